//! What goes wrong in a world, of whatever kind: from when until when.
//!
//! Faults are data: a plan holds a list of them, so that a world can be run again without one of
//! them. Which kinds are on is drawn from the seed; many worlds have only one kind.

use std::fmt;
use std::time::Duration;

use mixing::Chance;

/// One fault: from when until when, and what.
#[derive(Clone, PartialEq, Debug)]
pub struct Fault<W> {
    /// When it begins.
    pub from: Duration,
    /// When it is over.
    pub until: Duration,
    /// What happens.
    pub what: W,
}

impl<W: fmt::Debug> fmt::Display for Fault<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} from {:?} until {:?}", self.what, self.from, self.until)
    }
}

/// Draws which kinds are on: one, a few, many or all.
pub(crate) fn kinds<K: Copy>(chance: &mut Chance, all: &[K]) -> Vec<K> {
    let some = |chance: &mut Chance, one_in| {
        all.iter().copied().filter(|_| chance.below(one_in) == 0).collect()
    };
    match chance.below(10) {
        0..4 => chance.pick(all).copied().into_iter().collect(),
        4..7 => some(chance, 6),
        7..9 => some(chance, 2),
        _ => all.to_vec(),
    }
}

/// Leaves out those of these numbers.
pub(crate) fn leave_out<W>(faults: &mut Vec<Fault<W>>, numbers: &[usize]) {
    let mut number = 0;
    faults.retain(|_| {
        number += 1;
        !numbers.contains(&(number - 1))
    });
}
