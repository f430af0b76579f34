//! Parts of checks 1 and 2, at every node: of what the network brings more than once, a cell or an
//! opening is taken at most once; and a good one is not refused as a repetition before it was there,
//! so that nobody uses numbers up by sending spoiled copies ahead.
//!
//! Not asked of mixes about cells towards clients: there only the client can tell a spoiled one, and
//! a mix lets the first of a number pass.

use std::collections::BTreeMap;

use datagram::Dropped;

use crate::chain::checks::Broken;
use crate::chain::plan::Plan;

/// What the network brings more than once, by receiver and bytes.
#[derive(Default)]
pub struct Repeats {
    watched: BTreeMap<(usize, u64), Watched>,
}

/// How it went with one datagram.
#[derive(Clone, Copy)]
struct Watched {
    /// Whether the receiver can tell it from a spoiled copy.
    proved: bool,
    /// It was there, as it was sent.
    came: bool,
    /// The receiver took it.
    taken: bool,
}

impl Repeats {
    /// The network will bring this datagram, or what is left of it, more than once.
    pub fn watch(&mut self, plan: &Plan, from: usize, to: usize, bytes: &[u8]) {
        let is_opening = matches!(bytes, [0, 0, 0, 0, 1 | 2, ..]);
        if is_opening || !bytes.starts_with(&[0; 4]) {
            let proved = plan.tier(to) == 0 || plan.tier(from) < plan.tier(to);
            let new = Watched { proved, came: false, taken: false };
            self.watched.entry((to, sum(bytes))).or_insert(new);
        }
    }

    /// Which of these a datagram is that arrives.
    pub fn find(&self, to: usize, bytes: &[u8]) -> Option<(usize, u64)> {
        if self.watched.is_empty() {
            return None;
        }
        Some((to, sum(bytes))).filter(|key| self.watched.contains_key(key))
    }

    /// What its receiver said to it.
    ///
    /// # Errors
    /// [`Broken::TakenTwice`] and [`Broken::Burned`].
    pub fn judge(&mut self, key: (usize, u64), said: Result<(), Dropped>) -> Result<(), Broken> {
        let Some(watched) = self.watched.get_mut(&key) else { return Ok(()) };
        let (node, before) = (key.0, *watched);
        watched.came = true;
        watched.taken |= said.is_ok();
        match said {
            Ok(()) if before.taken => Err(Broken::TakenTwice { node }),
            Err(Dropped::RepeatedCell) if before.proved && !before.came => {
                Err(Broken::Burned { node })
            }
            _ => Ok(()),
        }
    }
}

/// Tells datagrams apart. They are long and nearly all noise.
fn sum(bytes: &[u8]) -> u64 {
    let words = bytes.chunks(8).map(|chunk| chunk.iter().fold(0, |w, b| w << 8 | u64::from(*b)));
    words.fold(0, |sum: u64, word| (sum ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29))
}
