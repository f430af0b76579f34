//! What can happen in a world of the payments, in numbers and in words.

use std::fmt::{self, Write};

use payment::effect::{Notice, Refused};

use crate::log::{Happening, packed};
use crate::payments::plan::Plan;

/// One thing that happened.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)] // The fields are those of the sentence in `tell`.
pub enum Happened {
    Sent { from: u16, to: u16, what: Letter, mark: u64 },
    Lost { from: u16, to: u16 },
    NobodyThere { to: u16 },
    Takes { node: u16, what: Taken },
    Refuses { node: u16, why: Refused },
    Answered { node: u16, status: u16 },
    Saved { node: u16, changes: u16, mark: u64 },
    Signed { node: u16, slot: u64 },
    Submitted { node: u16, taken: bool, mark: u64 },
    Told { node: u16, notice: Notice },
    Block { height: u64, included: u32, mark: u64 },
    Forked { depth: u16, kept: bool },
    Dropped { waiting: u32 },
    Begun { user: u16, number: u16 },
    State { user: u16, number: u16, state: &'static str },
    ByHand { user: u16, amount: u64 },
    Down { node: u16 },
    Up { node: u16, starts: u32 },
    OldCopy { node: u16 },
    Begins { fault: u16 },
    Ends { fault: u16 },
    Night,
}

/// What a node sends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)] // Their names say it.
pub enum Letter {
    Command,
    Answer,
    Info,
}

/// What a node takes in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)] // Their names say it.
pub enum Taken {
    Mix,
    Confirm,
    GetConfirm,
    Seed,
    Taken,
    Promises,
    No,
    Silence,
    Transaction,
}

impl Happening for Happened {
    type Plan = Plan;

    fn words(self) -> [u64; 2] {
        match self {
            Happened::Sent { from, to, what, mark } => [packed(1, from, to, what as u32), mark],
            Happened::Lost { from, to } => [packed(2, from, to, 0), 0],
            Happened::NobodyThere { to } => [packed(3, to, 0, 0), 0],
            Happened::Takes { node, what } => [packed(4, node, what as u16, 0), 0],
            Happened::Refuses { node, why } => [packed(5, node, why.status(), 0), 0],
            Happened::Answered { node, status } => [packed(6, node, status, 0), 0],
            Happened::Saved { node, changes, mark } => [packed(7, node, changes, 0), mark],
            Happened::Signed { node, slot } => [packed(8, node, 0, 0), slot],
            Happened::Submitted { node, taken, mark } => [packed(9, node, taken.into(), 0), mark],
            Happened::Told { node, notice } => [packed(10, node, notice as u16, 0), 0],
            Happened::Block { height, included, mark } => {
                [packed(11, included as u16, 0, height as u32), mark]
            }
            Happened::Forked { depth, kept } => [packed(12, depth, kept.into(), 0), 0],
            Happened::Dropped { waiting } => [packed(13, 0, 0, waiting), 0],
            Happened::Begun { user, number } => [packed(14, user, number, 0), 0],
            Happened::State { user, number, state } => {
                [packed(15, user, number, state.len() as u32), state.as_bytes()[0].into()]
            }
            Happened::ByHand { user, amount } => [packed(16, user, 0, 0), amount],
            Happened::Down { node } => [packed(17, node, 0, 0), 0],
            Happened::Up { node, starts } => [packed(18, node, 0, starts), 0],
            Happened::OldCopy { node } => [packed(19, node, 0, 0), 0],
            Happened::Begins { fault } => [packed(20, fault, 0, 0), 0],
            Happened::Ends { fault } => [packed(21, fault, 0, 0), 0],
            Happened::Night => [packed(22, 0, 0, 0), 0],
        }
    }

    fn tell(self, plan: &Plan, text: &mut String) -> fmt::Result {
        let name = |node: u16| plan.name(node.into());
        let user = |user: u16| plan.name(plan.mixers + usize::from(user));
        match self {
            Happened::Sent { from, to, what, mark } => {
                write!(text, "{} sends {} {what:?} {mark:016x}", name(from), name(to))
            }
            Happened::Lost { from, to } => {
                write!(text, "what {} sent {} is lost", name(from), name(to))
            }
            Happened::NobodyThere { to } => write!(text, "{} is not there", name(to)),
            Happened::Takes { node, what } => write!(text, "{} takes {what:?}", name(node)),
            Happened::Refuses { node, why } => write!(text, "{} refuses: {why:?}", name(node)),
            Happened::Answered { node, status } => write!(text, "{} answers {status}", name(node)),
            Happened::Saved { node, changes, mark } => {
                write!(text, "{} saves {changes} changes {mark:016x}", name(node))
            }
            Happened::Signed { node, slot } => write!(text, "{} signs for slot {slot}", name(node)),
            Happened::Submitted { node, taken: true, mark } => {
                write!(text, "{} submits {mark:016x}", name(node))
            }
            Happened::Submitted { node, taken: false, mark } => {
                write!(text, "{} submits {mark:016x}, which is not taken", name(node))
            }
            Happened::Told { node, notice } => {
                write!(text, "{} tells its operator: {notice:?}", name(node))
            }
            Happened::Block { height, included, mark } => {
                write!(text, "block {height} has {included} transactions {mark:016x}")
            }
            Happened::Forked { depth, kept } => {
                let kept = if kept { "wait again" } else { "are lost" };
                write!(text, "{depth} blocks are forked away; their transactions {kept}")
            }
            Happened::Dropped { waiting } => {
                write!(text, "the ledger forgets {waiting} transactions that waited")
            }
            Happened::Begun { user: who, number } => {
                write!(text, "{} begins payment {number}", user(who))
            }
            Happened::State { user: who, number, state } => {
                write!(text, "payment {number} of {} is {state}", user(who))
            }
            Happened::ByHand { user: who, amount } => {
                write!(text, "{} pays {amount} by hand", user(who))
            }
            Happened::Down { node } => write!(text, "{} is down", name(node)),
            Happened::Up { node, starts } => write!(text, "{} starts, time {starts}", name(node)),
            Happened::OldCopy { node } => write!(text, "{} gets an older copy back", name(node)),
            Happened::Begins { fault } => {
                write!(text, "fault {fault} begins: {}", plan.faults[usize::from(fault)])
            }
            Happened::Ends { fault } => {
                write!(text, "fault {fault} ends: {}", plan.faults[usize::from(fault)])
            }
            Happened::Night => write!(text, "all payments should have ended; days pass"),
        }
    }
}
