//! What happens while a payer pays, for whoever shows it.

use std::fmt;

use money::{Account, Amount};
use payment::document::{Host, Promise};
use payment::effect::{Notice, Refused};
use payment::payer::{Flaw, Mistrust};
use payment::route::NoRoute;

use super::Agreement;
use crate::payments::client::Silence;

/// One share of one payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Which {
    /// The payment's number.
    pub payment: u64,
    /// The share, from 0.
    pub share: usize,
}

/// Something that happened.
#[derive(Debug)]
pub enum Event {
    /// Mixers were looked for.
    Gathered {
        /// How many are known.
        known: usize,
        /// How many of them proved their keys and may be asked.
        fit: usize,
        /// How many told us of others.
        sources: usize,
    },
    /// The ledger does not answer.
    LedgerSilent,
    /// It does again.
    LedgerBack,
    /// The ledger refused a deposit, in its words.
    LedgerRefused(String),
    /// New deposits wait until so many more blocks are final: an earlier process may have made one.
    Quiet {
        /// How many, at most.
        blocks: u32,
    },
    /// Something happened to a share.
    Share(Which, Step),
    /// Something is wrong with the account.
    Notice(Notice),
}

/// What happens to a share.
#[derive(Debug)]
pub enum Step {
    /// A route is asked for promises.
    Asked(Vec<Stop>),
    /// The first mixer answered; the promises are awaited.
    Awaited,
    /// All promised, and every promise was checked.
    Promised(Vec<Promise>),
    /// The payer must agree before money moves.
    Question(Agreement),
    /// This route will not do. No money has moved.
    SetBack(Setback),
    /// No further route is tried. No money has moved.
    GivenUp(Setback),
    /// The deposit waits for its slot, or is on its way.
    Depositing,
    /// The deposit is final.
    Deposited,
    /// So many mixers have paid on, of so many.
    PaidOn(usize, usize),
    /// The receiver has it.
    Arrived,
    /// The first mixer sent it back.
    Returned,
    /// How many equal payouts left each mixer with this one.
    Company(Vec<u64>),
}

/// A mixer on a route.
#[derive(Clone, Debug)]
pub struct Stop {
    /// Its account.
    pub account: Account,
    /// Where it answers.
    pub host: Host,
    /// What it takes from payers.
    pub fee: Amount,
    /// The company it aims at.
    pub company: u64,
    /// The longest it waits, in seconds.
    pub wait_max_s: u64,
}

/// Why a route will not do.
#[derive(Clone, Debug)]
pub enum Setback {
    /// A mixer, by hop from 1, does not answer, or not as it should.
    Silent {
        /// Which hop.
        hop: usize,
        /// Who.
        mixer: Account,
        /// What came.
        why: Silence,
    },
    /// The first mixer refused.
    Refused {
        /// Who.
        mixer: Account,
        /// Its words.
        why: Silence,
    },
    /// All mixers answer the payer, but a later one refused the one before it.
    NotPassedOn,
    /// All mixers answer the payer, but the promises did not come back in time.
    NotBack,
    /// A promise is not what was asked for.
    Mistrust(Account, Mistrust),
    /// Too late for the deposit by now.
    TooLate,
    /// The ledger refused the deposit again and again.
    Unpaid,
    /// There is no route.
    NoRoute(NoRoute),
    /// The first mixer asks for more than was agreed to.
    Fees,
    /// The core will not begin.
    Core(Refused),
    /// The ledger shows deposits that these records do not know.
    OldCopy,
    /// It failed before this run.
    Earlier,
}

impl Setback {
    /// Whether another route may do.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Silent { .. }
            | Self::Refused { .. }
            | Self::NotPassedOn
            | Self::NotBack
            | Self::Mistrust(..)
            | Self::TooLate
            | Self::Fees
            | Self::Earlier => true,
            Self::Unpaid | Self::NoRoute(_) | Self::Core(_) | Self::OldCopy => false,
        }
    }
}

impl fmt::Display for Setback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent { hop, mixer, why } => write!(f, "hop {hop}, {mixer}, does not do: {why}"),
            Self::Refused { mixer, why } => write!(f, "hop 1, {mixer}, refuses: {why}"),
            Self::NotPassedOn => {
                f.write_str("every mixer answers, but one after the first refused the one before it")
            }
            Self::NotBack => f.write_str(
                "every mixer answers, but the promises did not come back in time (pay.patience)",
            ),
            Self::Mistrust(mixer, Mistrust { hop, why }) => {
                let hop = hop + 1;
                write!(f, "the promise of hop {hop}, {mixer}, does not verify: {}", flaw(*why))
            }
            Self::TooLate => f.write_str("the time for the deposit has run out"),
            Self::Unpaid => f.write_str(
                "the ledger refused the deposit again and again; does the account hold enough?",
            ),
            Self::NoRoute(NoRoute::HopCount) => f.write_str("a route has 2 to 5 mixers"),
            Self::NoRoute(NoRoute::TooFew { fit, needed }) => write!(
                f,
                "{fit} mixers with different hosts and identities can be asked, and the route needs \
                 {needed}"
            ),
            Self::Fees => f.write_str("no first mixer asks as little as was agreed to"),
            Self::Core(why) => why.fmt(f),
            Self::OldCopy => f.write_str(
                "the ledger shows deposits of this account that these records do not know: they are \
                 an older copy, and this part may have been paid; nothing is paid again",
            ),
            Self::Earlier => f.write_str("it failed before"),
        }
    }
}

fn flaw(why: Flaw) -> &'static str {
    match why {
        Flaw::Unreadable => "it is not there, or signed by another",
        Flaw::Accounts => "it names other accounts",
        Flaw::Amounts => "it names other amounts",
        Flaw::Dates => "it names other dates",
        Flaw::Seeds => "it lacks our seeds",
        Flaw::Chain => "it does not follow from the one before",
    }
}
