//! A chain of mixes for datagrams.
//!
//! ```text
//! client ─► Entry   split ─► wrap ─► encipher
//!        ─► Mix     decipher ─► window ─► peel ─► pool
//!                   pool ─► encipher                         (the strategy says when)
//!        ─► Exit    decipher ─► window ─► peel ─► join ─► destination
//! back:     Exit ─► Mix (decipher ─► window ─► seal ─► pool) ─► Entry ─► client
//! ```
//!
//! Pure: datagrams and a [`Now`](mixing::Now) come in, effects come out in an [`Outbox`] that the
//! caller owns. No socket, clock, thread or randomness of the system's. `docs/protocol.md` is the
//! same thing for someone who writes a second implementation.

#[cfg(test)]
extern crate self as datagram;

mod channel;
pub mod destination;
pub mod entry;
pub mod exit;
mod figures;
pub mod fragment;
#[cfg(test)]
mod hostile;
pub mod keyring;
pub mod keys;
pub mod lane;
mod limits;
pub mod link;
mod machine;
mod message;
pub mod mix;
mod neighbours;
pub mod network;
mod opening;
pub mod outbox;
mod parcel;
pub mod policy;
mod rate;
mod repeats;
mod setup;
mod share;
pub mod slots;
pub mod wire;

pub use destination::{Destination, Host};
pub use entry::{Association, Entry, Notice};
pub use exit::{Exit, Flow, Question};
pub use figures::{Figures, PoolFigures};
pub use lane::Direction;
pub use limits::Limits;
pub use machine::Machine;
pub use message::Refusal;
pub use mix::Mix;
pub use network::{Class, ClassSettings, Error, Network, Node, Role, Tier};
pub use outbox::{Dropped, Effect, Outbox};
pub use policy::{Policy, Prefix};
pub use setup::Lifetime;
