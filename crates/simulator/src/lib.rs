//! One seed, one world: the chain under faults, and the checks that must hold in it.
//!
//! ```text
//! seed ─► Plan (draw)  networks, users, faults: data
//!      ─► World        nodes with production cores ◄─► network ◄─► faults
//!                      applications ─► entry … exit ─► destinations, and back
//!      ─► checks       delivery, recovery, rest, and the observer of all links
//!      ─► Report       clean, or the first broken check with the log around it
//!      ─► shrink       the smallest part of that world that still breaks the same way
//! ```
//!
//! The cores are those that the program runs, without a switch. The same seed gives the same
//! history on every machine: no clock, no thread, no map with an order of its own, no
//! floating-point function but those of `libm`. Mistakes that must be found are in [`planted`], as
//! wrappers around the seams of the world. Absent: sockets, disks and payments; those come beside
//! the chain as a system of their own in the same world.

pub mod checks;
pub mod clock;
mod draw;
pub mod fault;
pub mod log;
pub mod network;
pub mod node;
pub mod observer;
pub mod plan;
pub mod planted;
pub mod queue;
pub mod report;
pub mod shrink;
pub mod users;
pub mod world;

pub use plan::{Plan, Profile};
pub use report::Report;
pub use world::World;

/// Runs the world of a seed; `log` keeps every line.
pub fn run(seed: u64, profile: Profile, log: bool) -> Report {
    World::new(Plan::draw(seed, profile), None, log).run()
}
