//! Worlds of the payments.
//!
//! ```text
//! seed ─► Plan (draw)  mixers, users, what each wants to pay and how honestly, faults: data
//!      ─► World        payers ◄─► post ◄─► mixers, each with a disk ◄─► faults
//!                      all of them ◄─► one ledger ◄─► faults
//!      ─► checks       money, liveness, rest, knowledge
//! ```
//! What is here of a shell is as plain as one can be: it performs effects in their order, each save
//! synced before the next effect, and gives the results back in. Commands travel sealed.
//! Absent: HTTP, SQLite.

pub mod checks;
pub mod disk;
mod draw;
pub mod fault;
pub mod ledger;
pub mod log;
pub mod network;
pub mod node;
pub mod plan;
pub mod planted;
pub mod world;

use crate::Planned;

pub use plan::{Plan, Profile};
pub use world::World;

/// How a world of the payments ended.
pub type Report = crate::Report<Plan>;

/// Runs the world of a seed; `log` keeps every line.
pub fn run(seed: u64, profile: Profile, log: bool) -> Report {
    World::new(Plan::draw(seed, profile), None, log).run()
}
