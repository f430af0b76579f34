//! One seed, one world: both systems under faults, and the checks that must hold in them.
//!
//! ```text
//! seed ─► Plan (draw)  who is there, what is wanted, what goes wrong when: data
//!      ─► World        nodes with production cores, on one queue, each with its own clock
//!      ─► checks       what must hold
//!      ─► Report       clean, or the first broken check with the log around it
//!      ─► shrink       the smallest part of that world that still breaks the same way
//! ```
//!
//! The cores are those that the program runs, without a switch. The same seed gives the same
//! history on every machine: no clock, no thread, no map with an order of its own, no
//! floating-point function but those of `libm`. Mistakes that must be found are in
//! [`chain::planted`], as wrappers around the seams of the world.

pub mod chain;
pub mod clock;
pub mod fault;
pub mod log;
pub mod payments;
pub mod planned;
pub mod queue;
pub mod report;
pub mod shrink;
pub mod wire;

pub use planned::{Breach, Planned};
pub use report::Report;
