//! What happened, in order: kept in short for all of a world and in full for its last part.
//!
//! The sum is over every event, so two runs with the same sum had the same history. No wall clock,
//! no address of memory, nothing that differs between machines.

use std::collections::VecDeque;
use std::fmt::{self, Write};

use mixing::Time;

/// One thing that happened, in a world of one system.
pub trait Happening: Copy {
    /// Where the names of the world are.
    type Plan;

    /// All of it in numbers: its kind first.
    fn words(self) -> [u64; 2];

    /// Writes the sentence for people.
    ///
    /// # Errors
    /// Those of the text.
    fn tell(self, plan: &Self::Plan, text: &mut String) -> fmt::Result;
}

/// The log of one world.
pub struct Log<H> {
    sum: u64,
    events: u64,
    last: VecDeque<(Time, H)>,
    full: Option<String>,
}

/// How many events are kept in full.
const KEPT: usize = 4_096;

impl<H: Happening> Log<H> {
    /// An empty log; `full` keeps every line.
    pub fn new(full: bool) -> Log<H> {
        let last = VecDeque::with_capacity(KEPT);
        Log { sum: 0, events: 0, last, full: full.then(String::new) }
    }

    /// Adds an event.
    pub fn add(&mut self, plan: &H::Plan, at: Time, happened: H) {
        let [head, mark] = happened.words();
        for word in [at.as_nanos(), head, mark] {
            self.sum = (self.sum.rotate_left(5) ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        }
        self.events += 1;
        if self.last.len() == KEPT {
            self.last.pop_front();
        }
        self.last.push_back((at, happened));
        if let Some(full) = &mut self.full {
            line(full, plan, at, happened);
        }
    }

    /// Says more about the event before, in a log that keeps every line.
    pub fn remark(&mut self, remark: impl fmt::Display) {
        if let Some(full) = &mut self.full {
            let _ = writeln!(full, "                ({remark})");
        }
    }

    /// The sum over all events.
    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// How many there were.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// The last events in full.
    pub fn tail(&self, plan: &H::Plan, lines: usize) -> String {
        let mut text = String::new();
        for (at, happened) in self.last.iter().skip(self.last.len().saturating_sub(lines)) {
            line(&mut text, plan, *at, *happened);
        }
        text
    }

    /// All lines, if they were kept.
    pub fn full(self) -> Option<String> {
        self.full
    }
}

/// The numbers of an event in one: its kind and up to three more.
pub fn packed(kind: u64, a: u16, b: u16, c: u32) -> u64 {
    kind << 56 ^ u64::from(a) << 40 ^ u64::from(b) << 24 ^ u64::from(c)
}

fn line<H: Happening>(text: &mut String, plan: &H::Plan, at: Time, happened: H) {
    let (seconds, nanos) = (at.as_nanos() / 1_000_000_000, at.as_nanos() % 1_000_000_000);
    let written = write!(text, "{seconds:4}.{nanos:09} ");
    written.and_then(|()| happened.tell(plan, text)).expect("a string takes everything");
    text.push('\n');
}
