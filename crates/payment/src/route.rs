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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{Currency, Host, Signed, Terms};
    use mixing::envelope::EnvelopeKey;
    use money::AccountKey;

    const DATE: u64 = 1_700_000_000;

    /// Mixers 1 to `count`, two on each host.
    fn peers(count: u8) -> Peers {
        let currency = Currency::Genesis([7; 32]);
        let mut peers =
            Peers::new(currency.clone(), Account::from_bytes([0; 32]), false, Chance::new([9; 32]));
        for name in 1..=count {
            let key = AccountKey::from_seed([name; 32]);
            let zero = Amount::ZERO;
            let terms = Terms {
                least: Amount::from_units(u64::from(name)),
                fee: zero,
                return_cost: zero,
                company: 1,
                wait_max_s: 600,
                keep_s: 86_400,
            };
            let info = PeerInfo {
                pubkey: key.account(),
                sigtime: DATE,
                host: Host { address: format!("h{}.example.org", name / 2), port: name.into() },
                idty: None,
                enckey: EnvelopeKey::generate(&mut Chance::new([name; 32])).public().clone(),
                terms,
                peers: vec![],
            };
            let account = peers.offer(Signed::make(info, &currency, &key).bytes(), DATE).unwrap();
            peers.reached(&account, true);
        }
        peers
    }

    fn wish(hops: usize) -> Wish {
        Wish { hops, amount: Amount::from_units(100), unvouched: true, without: BTreeSet::new() }
    }

    #[test]
    fn a_route_has_different_hosts_and_all_fit_mixers_are_chosen_alike() {
        let peers = peers(5);
        let mut chance = Chance::new([1; 32]);
        let mut firsts = std::collections::BTreeMap::<Account, usize>::new();
        for _ in 0..3_000 {
            let route = choose(&peers, &wish(3), &mut chance).ok().unwrap();
            let hosts: BTreeSet<_> = route.iter().map(|p| &p.info().host.address).collect();
            assert_eq!(hosts.len(), 3);
            *firsts.entry(route[0].info().pubkey).or_default() += 1;
        }
        // Five mixers, 600 times each on average; five standard deviations are 110.
        assert!(firsts.len() == 5 && firsts.values().all(|n| (490..710).contains(n)), "{firsts:?}");
    }

    #[test]
    fn unfit_mixers_and_numbers_of_hops_are_refused() {
        let peers = peers(6);
        let mut chance = Chance::new([1; 32]);
        for hops in [0, 1, 6] {
            assert_eq!(choose(&peers, &wish(hops), &mut chance).err(), Some(NoRoute::HopCount));
        }
        let few = |wish: &Wish, chance: &mut Chance| choose(&peers, wish, chance).err();
        let vouched = Wish { unvouched: false, ..wish(2) };
        assert_eq!(few(&vouched, &mut chance), Some(NoRoute::TooFew { fit: 0, needed: 2 }));
        let small = Wish { amount: Amount::from_units(1), ..wish(2) };
        assert_eq!(few(&small, &mut chance), Some(NoRoute::TooFew { fit: 1, needed: 2 }));
        assert_eq!(few(&wish(5), &mut chance), Some(NoRoute::TooFew { fit: 4, needed: 5 }));
    }

    #[test]
    fn dates_give_every_hop_its_time_and_lie_on_a_grid() {
        let peers = peers(6);
        let mut chance = Chance::new([2; 32]);
        let pace = Pace { deposit: 900, margin: 300, step: 600 };
        for _ in 0..200 {
            let route = choose(&peers, &wish(3), &mut chance).ok().unwrap();
            let infos: Vec<_> = route.iter().map(|peer| peer.info()).collect();
            let dates = dates(&infos, pace, DATE, &mut chance);
            assert!(dates[0].expire >= DATE + 900);
            for (i, hop) in dates.iter().enumerate() {
                assert!(hop.payout >= hop.expire + 600 + 300);
                assert!(hop.expire.is_multiple_of(600) && hop.payout.is_multiple_of(600));
                assert!(dates.get(i + 1).is_none_or(|next| next.expire >= hop.payout));
            }
        }
    }
}
