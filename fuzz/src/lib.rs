//! What must hold for bytes from anybody, as plain functions.
//!
//! ```text
//! cargo fuzz ─► fuzz_targets/NAME.rs ─┐
//! cargo test ─► tests.rs              ├─► a body: fn(&[u8]) ─► the real parser or machine, and a model
//!   regressions/NAME, seeds/NAME ─────┘
//! ```
//!
//! A parser's body reads the bytes and says what is right of the answer: what is read is written as it
//! came, or a second reader, written from the page, reads the same. A machine's body takes the bytes
//! for a list of steps and compares the machine after each with a simple model. To reach behind
//! encryption, a body seals what the input says with keys that are known here.
//!
//! A body panics where something is wrong, and never else. Absent: sockets, files, clocks, and any
//! randomness but the input's: the same bytes do the same every time.

pub mod datagram;
mod input;
pub mod mingle;
pub mod mixing;
pub mod money;
pub mod payment;
mod target;
#[cfg(test)]
mod tests;

pub use target::{TARGETS, Target, again, run};
