//! Through whom, and by when: choosing mixers and dates for one payment.
//!
//! What always holds: a route's mixers differ in account, identity and host; dates follow each other
//! so that each mixer has its full time, and are rounded and drawn with slack, so that they do not tell
//! the position. Absent: amounts; [`money::amount::Series::split`] makes the parts.

use std::collections::BTreeSet;

use mixing::Chance;
use money::{Account, Amount};

use crate::document::PeerInfo;
use crate::onion::HOPS_MAX;
use crate::peers::{Peer, Peers};

/// The fewest mixers: one alone would know both ends.
pub const HOPS_MIN: usize = 2;

/// What a route must be.
#[derive(Clone, Debug)]
pub struct Wish {
    /// How many mixers.
    pub hops: usize,
    /// The denomination that arrives.
    pub amount: Amount,
    /// Whether mixers for whom no member answers may be asked.
    pub unvouched: bool,
    /// Accounts that may not be on it: the payer, the receiver, mixers with an open part.
    pub without: BTreeSet<Account>,
}

/// Chooses mixers at random among the fit ones, in the order in which they are passed.
///
/// # Errors
/// [`NoRoute`] if there are too few, or a number of hops that is not allowed.
pub fn choose<'a>(
    peers: &'a Peers,
    wish: &Wish,
    chance: &mut Chance,
) -> Result<Vec<&'a Peer>, NoRoute> {
    if !(HOPS_MIN..=HOPS_MAX).contains(&wish.hops) {
        return Err(NoRoute::HopCount);
    }
    let mut fit: Vec<_> = peers.iter().filter(|peer| is_fit(peer, wish)).collect();
    chance.shuffle(&mut fit);
    let (mut hosts, mut members) = (BTreeSet::new(), BTreeSet::new());
    fit.retain(|peer| {
        let fresh_host = hosts.insert((peer.info().host.address.clone(), inside_port(peer)));
        fresh_host && peer.vouched().is_none_or(|member| members.insert(member))
    });
    match fit.len() < wish.hops {
        true => Err(NoRoute::TooFew { fit: fit.len(), needed: wish.hops }),
        false => {
            fit.truncate(wish.hops);
            Ok(fit)
        }
    }
}

/// Several mixers on one machine are one host, except where everything is inside: in tests.
fn inside_port(peer: &Peer) -> u16 {
    let host = &peer.info().host;
    if crate::peers::is_inside(&host.address) { host.port } else { 0 }
}

fn is_fit(peer: &Peer, wish: &Wish) -> bool {
    peer.is_reached()
        && (wish.unvouched || peer.vouched().is_some())
        && peer.info().terms.least <= wish.amount
        && !wish.without.contains(&peer.info().pubkey)
}

/// Why there is no route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoRoute {
    /// Fewer than [`HOPS_MIN`] or more than [`HOPS_MAX`] mixers asked for.
    HopCount,
    /// Not enough mixers that are fit.
    TooFew {
        /// How many are.
        fit: usize,
        /// How many must be.
        needed: usize,
    },
}

/// By when a hop's deposit and payout are due, seconds of ledger time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dates {
    /// The latest block time of the deposit.
    pub expire: u64,
    /// The latest block time of the payout.
    pub payout: u64,
}

/// How dates are drawn, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// From the request to the first deposit's latest time, at least.
    pub deposit: u64,
    /// For finality and retries, at each hop, beside its longest wait.
    pub margin: u64,
    /// Dates are multiples of this, and slack is 0 to 2 of it.
    pub step: u64,
}

/// Draws the dates of a route.
pub fn dates(hops: &[&PeerInfo], pace: Pace, date: u64, chance: &mut Chance) -> Vec<Dates> {
    let mut later = |from: u64| (from.div_ceil(pace.step) + chance.below(3)) * pace.step;
    let mut expire = later(date + pace.deposit);
    let mut dates = Vec::new();
    for hop in hops {
        let payout = later(expire.saturating_add(hop.terms.wait_max_s).saturating_add(pace.margin));
        dates.push(Dates { expire, payout });
        expire = later(payout);
    }
    dates
}
