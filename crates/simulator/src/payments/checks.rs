//! What must hold in every world of the payments.
//!
//! * 2 [`liveness`]: some time after the last fault every payment has ended, and no honest mixer
//!   owes anything.
//! * 3 [`rest`]: no node spins, and some days later every table has its resting size.
//! * 5 [`money`]: every funded promise is paid or sent back exactly once, nobody who followed the
//!   protocol is poorer by more than the published fees, except by a cheating mixer, and then the
//!   receipt proves who.
//! * 6 [`knowledge`]: what a mixer has seen and stored does not join the two ends of a payment.
//!
//! The numbers are those of the issue of both systems; 1 and 4 are the chain's.

pub mod knowledge;
pub mod liveness;
pub mod money;
pub mod rest;

use payment::effect::Notice;
use payment::receipt::Verdict;

use crate::Breach;
use crate::payments::plan::Plan;

/// A check that did not hold.
#[derive(Clone, PartialEq, Debug)]
#[allow(missing_docs)] // The fields are those of the sentence in `tell`.
pub enum Broken {
    NotBegun { user: usize, number: usize },
    NotEnded { user: usize, number: usize, state: &'static str },
    NotArrived { user: usize, number: usize, state: &'static str },
    Owes { node: usize, what: &'static str, count: usize },
    Restless { node: usize, what: &'static str, is: usize, rests_at: usize },
    Spins { node: usize },
    Twice { node: usize },
    Unowed { node: usize },
    Misdirected { node: usize },
    Cheap { node: usize },
    Stale { node: usize },
    NotPaid { node: usize },
    Unsettled { node: usize, came: usize, settled: usize },
    Poorer { node: usize, by: u64 },
    Unproved { user: usize, number: usize, hops: Vec<(usize, Verdict)> },
    NotReceived { user: usize, number: usize },
    Accused { node: usize, verdict: Verdict },
    Alarm { node: usize, notice: Notice },
    Size { from: usize, to: usize, size: usize },
    Knows { node: usize, what: &'static str },
    Keeps { node: usize },
    Again { what: &'static str },
    Joins { nodes: (usize, usize), same: usize },
}

impl Breach for Broken {
    type Plan = Plan;

    fn check(&self) -> u8 {
        match self {
            Broken::NotBegun { .. }
            | Broken::NotEnded { .. }
            | Broken::NotArrived { .. }
            | Broken::Owes { .. } => 2,
            Broken::Restless { .. } | Broken::Spins { .. } => 3,
            Broken::Twice { .. }
            | Broken::Unowed { .. }
            | Broken::Misdirected { .. }
            | Broken::Cheap { .. }
            | Broken::Stale { .. }
            | Broken::NotPaid { .. }
            | Broken::Unsettled { .. }
            | Broken::Poorer { .. }
            | Broken::Unproved { .. }
            | Broken::NotReceived { .. }
            | Broken::Accused { .. }
            | Broken::Alarm { .. } => 5,
            Broken::Size { .. }
            | Broken::Knows { .. }
            | Broken::Keeps { .. }
            | Broken::Again { .. }
            | Broken::Joins { .. } => 6,
        }
    }

    fn is_like(&self, other: &Broken) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }

    fn tell(&self, plan: &Plan) -> String {
        let name = |node: usize| plan.name(node);
        let user = |user: usize| plan.name(plan.mixers + user);
        match self {
            Broken::NotBegun { user: who, number } => {
                format!("payment {number} of {} was never begun", user(*who))
            }
            Broken::NotEnded { user: who, number, state } => {
                format!("payment {number} of {} is still {state} long after", user(*who))
            }
            Broken::NotArrived { user: who, number, state } => {
                format!("payment {number} of {} is {state} without any fault", user(*who))
            }
            Broken::Owes { node, what, count } => {
                format!("{} still has {count} {what} long after", name(*node))
            }
            Broken::Restless { node, what, is, rests_at } => {
                format!("{} rests with {is} {what} instead of {rests_at}", name(*node))
            }
            Broken::Spins { node } => format!("{} wants to be woken without end", name(*node)),
            Broken::Twice { node } => format!("{} made the same payment twice", name(*node)),
            Broken::Unowed { node } => format!("{} paid what it did not owe", name(*node)),
            Broken::Misdirected { node } => {
                format!("{} paid another amount or account than it promised", name(*node))
            }
            Broken::Cheap { node } => format!("{} promised for less than its fee", name(*node)),
            Broken::Stale { node } => format!("{} promised what was out of date", name(*node)),
            Broken::NotPaid { node } => {
                format!("{} has not paid on what came in exactly and in time", name(*node))
            }
            Broken::Unsettled { node, came, settled } => format!(
                "of {came} payments that {} got with one reference {settled} are paid on, sent \
                 back or in its books",
                name(*node)
            ),
            Broken::Poorer { node, by } => format!("{} is poorer by {by} units", name(*node)),
            Broken::Unproved { user: who, number, hops } => {
                let hops =
                    hops.iter().map(|(node, verdict)| format!("{} {verdict:?}", name(*node)));
                let hops = hops.collect::<Vec<_>>().join(", ");
                format!(
                    "payment {number} of {} is lost, and nobody is to blame: {hops}",
                    user(*who)
                )
            }
            Broken::NotReceived { user: who, number } => {
                format!("payment {number} of {} ended otherwise than the ledger shows", user(*who))
            }
            Broken::Accused { node, verdict } => {
                format!("a receipt calls a promise of {} {verdict:?}", name(*node))
            }
            Broken::Alarm { node, notice } => {
                format!("{} tells its operator {notice:?} without cause", name(*node))
            }
            Broken::Size { from, to, size } => {
                format!("{} sends {} {size} bytes", name(*from), name(*to))
            }
            Broken::Knows { node, what } => {
                format!("{} has seen or stored {what} that it is no neighbour of", name(*node))
            }
            Broken::Keeps { node } => {
                format!("{} keeps more of an ended order than prints", name(*node))
            }
            Broken::Again { what } => format!("{what} was drawn for one place and is in two"),
            Broken::Joins { nodes: (a, b), same } => {
                let (a, b) = (name(*a), name(*b));
                format!("{a} and {b} are no neighbours and have {same} pieces in common")
            }
        }
    }
}
