//! Payments: what is read of them, and the machines that move them.

mod commands;
mod documents;
mod layers;
mod ubjson;

use payment::document::Currency;

pub use commands::{command_paths, sealed_commands};
#[cfg(test)]
pub(crate) use documents::examples;
pub use documents::{confirms, get_confirms, identity_signatures, peer_infos, promises, requests};
#[cfg(test)]
pub(crate) use layers::layer;
pub use layers::{onion_layers, order_records, promise_slots};
pub use ubjson::ubjson;

/// The currency of everything here.
pub(crate) fn here() -> Currency {
    Currency::Genesis([7; 32])
}
