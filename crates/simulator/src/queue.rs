//! What will happen, in the order in which it will.
//!
//! Things of the same instant happen in the order in which they were planned, so a world has one
//! history only.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use mixing::Time;

/// The queue of a world whose events are `E`.
pub struct Queue<E> {
    events: BinaryHeap<Reverse<(Time, u64, E)>>,
    planned: u64,
}

impl<E: Ord> Default for Queue<E> {
    fn default() -> Queue<E> {
        Queue { events: BinaryHeap::new(), planned: 0 }
    }
}

impl<E: Ord> Queue<E> {
    /// Plans something.
    pub fn plan(&mut self, at: Time, event: E) {
        self.events.push(Reverse((at, self.planned, event)));
        self.planned += 1;
    }

    /// Takes what happens next.
    pub fn pop(&mut self) -> Option<(Time, E)> {
        self.events.pop().map(|Reverse((at, _, event))| (at, event))
    }
}
