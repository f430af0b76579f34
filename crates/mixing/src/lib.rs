//! What the datagram chain and the payment network share.
//!
//! Both take in what many people send, hold it until it can leave in company, and let it out so
//! that nobody can tell whose is whose. So both need the same few things, and only these are here:
//!
//! * [`Now`]: time that drives timers, and dates that signatures carry;
//! * [`Chance`]: a generator that forgets what it gave;
//! * [`keys`], [`cipher`] and [`envelope`]: secrets, primitives, and one message sealed to one key;
//! * [`replay`]: was this number seen?
//! * [`Pool`], [`Strategy`] and [`entropy`]: the mix itself, when it lets go, and what that was
//!   worth.
//!
//! The crate is pure: bytes and a time come in, values come out. No socket, file, clock, thread,
//! environment or system randomness; the same seed gives the same bytes on every machine. What a
//! cell, a link, a payment or a node is, is not known here.

pub mod chance;
pub mod cipher;
pub mod entropy;
pub mod envelope;
pub mod keys;
pub mod pool;
pub mod replay;
pub mod strategy;
pub mod time;

pub use chance::Chance;
pub use pool::{Full, Pool, Release};
pub use strategy::{Strategy, Unfit};
pub use time::{Date, Now, Time};

#[cfg(test)]
#[path = "../tests/vectors/read.rs"]
mod vectors;
