//! What must hold in every world.
//!
//! 1. [`delivery`]: what a destination gets was sent to it, at most once per send; replies too.
//! 2. [`recovery`]: some time after the last fault every application is served, and from then on
//!    nothing is lost. [`once`]: of both, at every node, what the network repeats is taken once.
//! 3. [`rest`]: no node spins or answers with more than it was given, and when all applications
//!    have closed every table has its resting size.
//! 4. [`crate::chain::observer`]: on every link one size per class, nothing that recurs elsewhere.

pub mod delivery;
pub mod once;
pub mod recovery;
pub mod rest;

use crate::Breach;
use crate::chain::plan::Plan;

/// A check that did not hold.
#[derive(Clone, PartialEq, Debug)]
#[allow(missing_docs)] // The fields are those of the sentence in `tell`.
pub enum Broken {
    NeverSent { what: &'static str },
    Altered { what: &'static str, user: usize, number: u32 },
    Twice { what: &'static str, user: usize, number: u32 },
    WrongPlace { what: &'static str, user: usize, number: u32 },
    TakenTwice { node: usize },
    NotServed { user: usize, within: u64 },
    LostInPeace { user: usize, number: u32, lost: usize },
    Burned { node: usize },
    Restless { node: usize, what: &'static str, is: u64, rests_at: u64 },
    Spins { node: usize },
    Amplifies { node: usize, sent: usize, given: usize },
    Size { from: usize, to: usize, size: usize },
    Repeated { here: (usize, usize), there: (usize, usize) },
    Uneven { from: usize, to: Option<usize>, place: usize, odds: u64 },
}

impl Breach for Broken {
    type Plan = Plan;

    fn check(&self) -> u8 {
        match self {
            Broken::NeverSent { .. }
            | Broken::Altered { .. }
            | Broken::Twice { .. }
            | Broken::WrongPlace { .. }
            | Broken::TakenTwice { .. } => 1,
            Broken::NotServed { .. } | Broken::LostInPeace { .. } | Broken::Burned { .. } => 2,
            Broken::Restless { .. } | Broken::Spins { .. } | Broken::Amplifies { .. } => 3,
            Broken::Size { .. } | Broken::Repeated { .. } | Broken::Uneven { .. } => 4,
        }
    }

    fn is_like(&self, other: &Broken) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }

    fn tell(&self, plan: &Plan) -> String {
        let name = |node: usize| plan.name(node);
        let link = |(from, to): (usize, usize)| format!("{} to {}", name(from), name(to));
        match self {
            Broken::NeverSent { what } => format!("{what} was delivered that nobody sent"),
            Broken::Altered { what, user, number } => {
                format!("{what} {number} of user {user} was delivered with other bytes")
            }
            Broken::Twice { what, user, number } => {
                format!("{what} {number} of user {user} was delivered twice")
            }
            Broken::WrongPlace { what, user, number } => {
                format!("{what} {number} of user {user} was delivered in the wrong place")
            }
            Broken::TakenTwice { node } => {
                format!("{} took the same datagram twice", name(*node))
            }
            Broken::Burned { node } => {
                format!("{} refused a good cell as repeated that had not come yet", name(*node))
            }
            Broken::NotServed { user, within } => {
                format!("user {user} was not served within {within} s after the last fault")
            }
            Broken::LostInPeace { user, number, lost } => {
                format!("{lost} of user {user} were lost without any fault, first {number}")
            }
            Broken::Restless { node, what, is, rests_at } => {
                format!("{} rests with {is} {what} instead of {rests_at}", name(*node))
            }
            Broken::Spins { node } => format!("{} wants to be woken without end", name(*node)),
            Broken::Amplifies { node, sent, given } => {
                format!("{} sent a stranger {sent} bytes for {given}", name(*node))
            }
            Broken::Size { from, to, size } => {
                format!("{}: {size} bytes is no size of this link", link((*from, *to)))
            }
            Broken::Repeated { here, there } => {
                format!("the same bytes on {} and on {}", link(*here), link(*there))
            }
            Broken::Uneven { from, to, place, odds } => {
                let whose = to.map_or_else(
                    || format!("{}, in against out", name(*from)),
                    |to| link((*from, to)),
                );
                format!("{whose}: byte {place} of the head is no noise (chi-squared {odds})")
            }
        }
    }
}
