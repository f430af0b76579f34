//! What can happen in a world of the chain, in numbers and in words.

use std::fmt::{self, Write};

use datagram::Dropped;

use crate::chain::plan::Plan;
use crate::log::{Happening, packed};

/// One thing that happened.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)] // The fields are those of the sentence in `tell`.
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

impl Happening for Happened {
    type Plan = Plan;

    fn words(self) -> [u64; 2] {
        let (head, mark) = match self {
            Happened::Sent { from, to, size, mark } => (packed(1, from, to, size.into()), mark),
            Happened::Stray { from, size } => (packed(2, from, size, 0), 0),
            Happened::Arrived { to, size } => (packed(3, to, size, 0), 0),
            Happened::Refused { to, why } => (packed(4, to, why.index() as u16, 0), 0),
            Happened::NotThere { size } => (packed(5, size, 0, 0), 0),
            Happened::Turn { user, number, taken } => (packed(6, user, taken.into(), number), 0),
            Happened::Outside { user, number } => (packed(7, user, 0, number), 0),
            Happened::Reply { user, number, taken } => (packed(8, user, taken.into(), number), 0),
            Happened::Answered { user, number } => (packed(9, user, 0, number), 0),
            Happened::Notice { node, user } => (packed(10, node, user, 0), 0),
            Happened::Gone { node } => (packed(11, node, 0, 0), 0),
            Happened::Begins { fault } => (packed(12, fault, 0, 0), 0),
            Happened::Ends { fault } => (packed(13, fault, 0, 0), 0),
            Happened::Closed => (packed(14, 0, 0, 0), 0),
        };
        [head, mark]
    }

    fn tell(self, plan: &Plan, text: &mut String) -> fmt::Result {
        let name = |node: u16| plan.name(node.into());
        match self {
            Happened::Sent { from, to, size, mark } => {
                write!(text, "{} sends {} {size} bytes {mark:016x}", name(from), name(to))
            }
            Happened::Stray { from, size } => {
                write!(text, "{} sends nobody {size} bytes", name(from))
            }
            Happened::Arrived { to, size } => write!(text, "{} gets {size} bytes", name(to)),
            Happened::Refused { to, why } => write!(text, "{} drops it: {why}", name(to)),
            Happened::NotThere { size } => write!(text, "nobody is there for {size} bytes"),
            Happened::Turn { user, number, taken: true } => {
                write!(text, "user {user} sends {number}")
            }
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
            Happened::Notice { node, user } => {
                write!(text, "{} has news for user {user}", name(node))
            }
            Happened::Gone { node } => write!(text, "{} closes a socket", name(node)),
            Happened::Begins { fault } => {
                write!(text, "fault {fault} begins: {}", plan.faults[usize::from(fault)])
            }
            Happened::Ends { fault } => {
                write!(text, "fault {fault} ends: {}", plan.faults[usize::from(fault)])
            }
            Happened::Closed => write!(text, "all applications close"),
        }
    }
}
