//! What happened, in order: kept in short for all of a world and in full for its last part.
//!
//! The sum is over every event, so two runs with the same sum had the same history. No wall clock,
//! no address of memory, nothing that differs between machines.

use std::collections::VecDeque;
use std::fmt::Write;

use datagram::Dropped;
use mixing::Time;

use crate::plan::Plan;

/// One thing that happened.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)] // The fields are those of the sentence in `Log::line`.
pub enum Happened {
    Sent { from: u16, to: u16, size: u16, mark: u64 },
    Stray { from: u16, size: u16 },
    Arrived { to: u16, size: u16 },
    Refused { to: u16, why: Dropped },
    NotThere { size: u16 },
    Turn { user: u16, number: u32, taken: bool },
    Outside { user: u16, number: u32 },
    Reply { user: u16, number: u32, taken: bool },
    Answered { user: u16, number: u32 },
    Notice { node: u16, user: u16 },
    Gone { node: u16 },
    Begins { fault: u16 },
    Ends { fault: u16 },
    Closed,
}

/// The log of one world.
pub struct Log {
    sum: u64,
    events: u64,
    last: VecDeque<(Time, Happened)>,
    full: Option<String>,
}

/// How many events are kept in full.
const KEPT: usize = 4_096;

impl Log {
    /// An empty log; `full` keeps every line.
    pub fn new(full: bool) -> Log {
        let last = VecDeque::with_capacity(KEPT);
        Log { sum: 0, events: 0, last, full: full.then(String::new) }
    }

    /// Adds an event.
    pub fn add(&mut self, plan: &Plan, at: Time, happened: Happened) {
        for word in words(at, happened) {
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
    pub fn remark(&mut self, remark: impl std::fmt::Display) {
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

    /// The last events in full, those of the wire left out if there are too many.
    pub fn tail(&self, plan: &Plan, lines: usize) -> String {
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

fn words(at: Time, happened: Happened) -> [u64; 3] {
    let pack = |kind: u64, a: u16, b: u16, c: u32| {
        kind << 56 ^ u64::from(a) << 40 ^ u64::from(b) << 24 ^ u64::from(c)
    };
    let (head, mark) = match happened {
        Happened::Sent { from, to, size, mark } => (pack(1, from, to, size.into()), mark),
        Happened::Stray { from, size } => (pack(2, from, size, 0), 0),
        Happened::Arrived { to, size } => (pack(3, to, size, 0), 0),
        Happened::Refused { to, why } => (pack(4, to, why.index() as u16, 0), 0),
        Happened::NotThere { size } => (pack(5, size, 0, 0), 0),
        Happened::Turn { user, number, taken } => (pack(6, user, taken.into(), number), 0),
        Happened::Outside { user, number } => (pack(7, user, 0, number), 0),
        Happened::Reply { user, number, taken } => (pack(8, user, taken.into(), number), 0),
        Happened::Answered { user, number } => (pack(9, user, 0, number), 0),
        Happened::Notice { node, user } => (pack(10, node, user, 0), 0),
        Happened::Gone { node } => (pack(11, node, 0, 0), 0),
        Happened::Begins { fault } => (pack(12, fault, 0, 0), 0),
        Happened::Ends { fault } => (pack(13, fault, 0, 0), 0),
        Happened::Closed => (pack(14, 0, 0, 0), 0),
    };
    [at.as_nanos(), head, mark]
}

fn line(text: &mut String, plan: &Plan, at: Time, happened: Happened) {
    let name = |node: u16| plan.name(node.into());
    let (seconds, nanos) = (at.as_nanos() / 1_000_000_000, at.as_nanos() % 1_000_000_000);
    let written = write!(text, "{seconds:4}.{nanos:09} ").and_then(|()| match happened {
        Happened::Sent { from, to, size, mark } => {
            write!(text, "{} sends {} {size} bytes {mark:016x}", name(from), name(to))
        }
        Happened::Stray { from, size } => write!(text, "{} sends nobody {size} bytes", name(from)),
        Happened::Arrived { to, size } => write!(text, "{} gets {size} bytes", name(to)),
        Happened::Refused { to, why } => write!(text, "{} drops it: {why}", name(to)),
        Happened::NotThere { size } => write!(text, "nobody is there for {size} bytes"),
        Happened::Turn { user, number, taken: true } => write!(text, "user {user} sends {number}"),
        Happened::Turn { user, number, taken: false } => {
            write!(text, "user {user} cannot send {number}")
        }
        Happened::Outside { user, number } => write!(text, "{number} of user {user} arrives"),
        Happened::Reply { user, number, taken: true } => {
            write!(text, "{number} of user {user} is answered")
        }
        Happened::Reply { user, number, taken: false } => {
            write!(text, "{number} of user {user} is answered, but its exit takes no answer")
        }
        Happened::Answered { user, number } => {
            write!(text, "user {user} gets the answer to {number}")
        }
        Happened::Notice { node, user } => write!(text, "{} has news for user {user}", name(node)),
        Happened::Gone { node } => write!(text, "{} closes a socket", name(node)),
        Happened::Begins { fault } => {
            write!(text, "fault {fault} begins: {}", plan.faults[usize::from(fault)])
        }
        Happened::Ends { fault } => {
            write!(text, "fault {fault} ends: {}", plan.faults[usize::from(fault)])
        }
        Happened::Closed => write!(text, "all applications close"),
    });
    written.expect("a string takes everything");
    text.push('\n');
}
