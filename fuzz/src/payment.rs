//! Payments: what is read of them, and the machines that move them.

mod commands;
mod documents;
mod layers;
mod mixers;
mod orders;
mod paths;
mod payers;
mod receipts;
mod records;
mod slots;
mod ubjson;
#[path = "../../crates/payment/tests/world/mod.rs"]
mod world;

use payment::document::Currency;

pub use commands::{command_paths, request_lines, sealed_commands};
#[cfg(test)]
pub(crate) use documents::examples;
pub use documents::{confirms, get_confirms, identity_signatures, peer_infos, promises, requests};
#[cfg(test)]
pub(crate) use layers::layer;
pub use layers::{onion_layers, order_records, promise_slots};
pub use mixers::mixers;
pub use orders::orders;
pub use paths::paths;
pub(crate) use payers::info;
pub use payers::payers;
pub use receipts::{receipts, verdicts};
pub use records::{mixer_records, payer_records};
pub use slots::slots;
pub use ubjson::ubjson;

/// The currency of everything here.
pub(crate) fn here() -> Currency {
    Currency::Genesis([7; 32])
}

/// Models that a test may change.
#[cfg(test)]
pub(crate) mod models {
    pub(crate) use super::mixers::{Rules as MixerRules, mixers_with};
    pub(crate) use super::orders::{Rules as OrderRules, orders_with};
    pub(crate) use super::paths::{Rules as PathRules, paths_with};
    pub(crate) use super::payers::{Rules as PayerRules, payers_with};
    pub(crate) use super::receipts::{Rules as VerdictRules, verdicts_with};
    pub(crate) use super::slots::{Rules as SlotRules, slots_with};
}
