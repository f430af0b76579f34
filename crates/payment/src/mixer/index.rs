//! The ways to find an order, and when its messages leave.
//!
//! What always holds: an order is in every index in which its state has a place, and in no other; an
//! order has at most one timer. So all of them have as many entries as there are orders, but for the
//! fingerprints, which `Mixer::on_request` limits.

use std::collections::{BTreeMap, BTreeSet};

use mixing::Time;
use money::{Account, Reference};

use super::{Config, Order, records};
use crate::effect::{Change, OrderId};

/// The ways to find an order.
#[derive(Default)]
pub(super) struct Index {
    /// By the hash of the request.
    pub(super) request: BTreeMap<[u8; 32], OrderId>,
    /// By our seed.
    pub(super) own_seed: BTreeMap<[u8; 32], OrderId>,
    /// By the next mixer's seed.
    pub(super) their_seed: BTreeMap<[u8; 32], OrderId>,
    /// By the deposit's reference, once promised.
    pub(super) deposit: BTreeMap<Reference, OrderId>,
    /// By the payout's reference, once promised.
    pub(super) payout: BTreeMap<Reference, OrderId>,
    /// By the ledger second in which an unfunded order ends.
    pub(super) deadline: BTreeSet<(u64, OrderId)>,
    /// What each sender has open and unfunded: how many, and how much in all.
    pub(super) open: BTreeMap<Account, (usize, u64)>,
    /// Fingerprints that may not come again before a ledger second.
    pub(super) seen: BTreeMap<[u8; 16], u64>,
    pub(super) seen_until: BTreeSet<(u64, [u8; 16])>,
}

/// When an order's message is sent next, and how often it was.
#[derive(Default)]
pub(super) struct Timers {
    pub(super) due: BTreeSet<(Time, OrderId)>,
    pub(super) of: BTreeMap<OrderId, (Time, u32)>,
}

impl Index {
    pub(super) fn insert(&mut self, id: OrderId, order: &Order, config: &Config, account: Account) {
        let deal = order.deal();
        self.request.insert(deal.request, id);
        self.own_seed.insert(deal.in_seeds[0], id);
        if let Some(promise) = order.promise(account) {
            self.deposit.insert(promise.in_reference(&config.currency), id);
            self.payout.insert(promise.out_reference(&config.currency), id);
        }
        if let Some(seed) = their_seed(order) {
            self.their_seed.insert(seed, id);
        }
        if !order.is_funded() {
            self.deadline.insert((deadline(order, config), id));
            let open = self.open.entry(deal.sender).or_default();
            *open = (open.0 + 1, open.1.saturating_add(deal.in_amount.units()));
        }
    }

    pub(super) fn remove(&mut self, id: OrderId, order: &Order, config: &Config, account: Account) {
        let deal = order.deal();
        self.request.remove(&deal.request);
        self.own_seed.remove(&deal.in_seeds[0]);
        if let Some(promise) = order.promise(account) {
            self.deposit.remove(&promise.in_reference(&config.currency));
            self.payout.remove(&promise.out_reference(&config.currency));
        }
        if let Some(seed) = their_seed(order) {
            self.their_seed.remove(&seed);
        }
        if !order.is_funded() {
            self.deadline.remove(&(deadline(order, config), id));
            if let Some(open) = self.open.get_mut(&deal.sender) {
                *open = (open.0 - 1, open.1.saturating_sub(deal.in_amount.units()));
                if open.0 == 0 {
                    self.open.remove(&deal.sender);
                }
            }
        }
    }

    /// Remembers a fingerprint until a ledger second.
    pub(super) fn see(&mut self, print: [u8; 16], until: u64) -> Change {
        self.seen.insert(print, until);
        self.seen_until.insert((until, print));
        records::seen(print, Some(until))
    }
}

/// The next mixer's seed, once it is known.
fn their_seed(order: &Order) -> Option<[u8; 32]> {
    let (deal, seed) = match order {
        Order::Requested { .. } => return None,
        Order::Answered { deal, their_seed, .. } => (deal, their_seed),
        Order::Promised { deal, their_seed, .. } => (deal, their_seed),
        Order::Funded(fund) | Order::Paying(fund, _) | Order::Stuck(fund) => {
            (&fund.deal, &fund.their_seed)
        }
    };
    deal.next_is_mixer.then_some(*seed)
}

/// The ledger second after which an unfunded order is forgotten: what is promised is kept longer, for
/// deposits that come late.
fn deadline(order: &Order, config: &Config) -> u64 {
    let expire = order.deal().expire_date;
    match order {
        Order::Requested { .. } | Order::Answered { .. } => expire,
        Order::Promised { .. } | Order::Funded(_) | Order::Paying(..) | Order::Stuck(_) => {
            expire.saturating_add(config.terms.keep_s)
        }
    }
}

impl Timers {
    pub(super) fn set(&mut self, id: OrderId, time: Time, attempt: u32) {
        self.clear(&id);
        self.due.insert((time, id));
        self.of.insert(id, (time, attempt));
    }

    pub(super) fn clear(&mut self, id: &OrderId) {
        if let Some((time, _)) = self.of.remove(id) {
            self.due.remove(&(time, *id));
        }
    }
}
