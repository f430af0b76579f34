//! Worlds of the chain.
//!
//! ```text
//! seed ─► Plan (draw)  networks, users, faults: data
//!      ─► World        nodes with production cores ◄─► network ◄─► faults
//!                      applications ─► entry … exit ─► destinations, and back
//!      ─► checks       delivery, recovery, rest, and the observer of all links
//! ```
//! Absent: sockets; the time it takes to encipher.

pub mod checks;
mod draw;
pub mod fault;
pub mod log;
pub mod network;
pub mod node;
pub mod observer;
pub mod plan;
pub mod planted;
pub mod queue;
pub mod users;
pub mod world;

use crate::Planned;

pub use plan::{Plan, Profile};
pub use world::World;

/// How a world of the chain ended.
pub type Report = crate::Report<Plan>;

/// Runs the world of a seed; `log` keeps every line.
pub fn run(seed: u64, profile: Profile, log: bool) -> Report {
    World::new(Plan::draw(seed, profile), None, log).run()
}
