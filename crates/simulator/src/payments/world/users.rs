//! Users: each wants to pay, most as the program does, some in odd ways.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ::money::{Account, Amount, Reference, address};
use mixing::Time;
use payment::effect::OrderId;
use payment::payer::Part;
use payment::route::{Wish, choose};

use super::{Event, World};
use crate::clock;
use crate::payments::log::Happened;
use crate::payments::node::Core;
use crate::payments::plan::Manner;

/// One of a user's payments.
#[derive(Clone, Debug, Default)]
pub struct Attempt {
    /// The part that was begun last.
    pub part: Option<OrderId>,
    /// How many were begun.
    pub tries: u32,
    /// The state it was last seen in.
    pub state: &'static str,
    /// How it ended.
    pub end: Option<End>,
}

/// How a payment ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)] // As in `payment::payer::Part`.
pub enum End {
    Arrived,
    Returned,
    Failed,
}

/// What a user pays by hand.
#[derive(Default)]
pub(super) struct Wallet {
    /// Payments to be made, each from a time on.
    meant: BTreeMap<(Time, u32), (Account, u64, Reference)>,
    count: u32,
    /// The one that is on its way.
    sent: Option<Vec<u8>>,
    /// Parts that were paid so.
    parts: BTreeSet<OrderId>,
}

/// How often somebody who cannot begin yet tries again.
const AGAIN: Duration = Duration::from_secs(10);
/// How often a payment that failed is begun anew.
const TRIES_MAX: u32 = 3;
/// After the last fault nobody waits longer than that to begin.
pub(super) const BEGUN_WITHIN: Duration = Duration::from_secs(60);

impl World {
    /// A user wants to pay.
    pub(super) fn want(&mut self, user: usize, number: usize) {
        let late = self.now > Time::ZERO + self.plan.quiet_from() + BEGUN_WITHIN;
        let manner = self.plan.users[user].manner;
        let begun = match manner {
            Manner::Unknown => self.pay_unknown(user, number),
            Manner::Copy | Manner::CopyOther => self.pay_copy(user, number),
            _ => self.begin(user, number),
        };
        if !begun && !late {
            self.queue.plan(self.now + AGAIN, Event::Want(user as u16, number as u16));
        }
    }

    fn begin(&mut self, user: usize, number: usize) -> bool {
        let node = self.plan.mixers + user;
        if self.is_free(node).is_err() {
            return false;
        }
        let want = self.plan.users[user].wants[number].clone();
        let receiver = self.plan.receiver(user, number);
        let manner = self.plan.users[user].manner;
        let odd = manner == Manner::Odd;
        let amount = Amount::from_units(want.amount + if odd { 33 } else { 0 });
        let now = self.clock(node);
        let mut out = Vec::new();
        let Some(alive) = &mut self.nodes[node].alive else { return false };
        let Core::Payer(payer) = &mut alive.core else { return false };
        let without = BTreeSet::new();
        let wish = Wish { hops: want.hops, amount, unvouched: true, without };
        let Ok(route) = choose(&alive.peers, &wish, &mut self.chance) else { return false };
        let mut route: Vec<_> = route.iter().map(|peer| peer.info().clone()).collect();
        if manner == Manner::Cheap {
            route.iter_mut().for_each(|info| info.terms.fee = Amount::ZERO);
        }
        let route: Vec<_> = route.iter().collect();
        let Ok(part) = payer.begin(now, &route, receiver, amount, &mut out) else { return false };
        if let Some(Part::Asking { plan, .. }) = payer.parts().get(&part) {
            self.knowledge.plans(node, plan);
        }
        let attempt = &mut self.attempts[user][number];
        (attempt.part, attempt.end) = (Some(part), None);
        attempt.tries += 1;
        self.note(Happened::Begun { user: user as u16, number: number as u16 });
        self.perform(node, out, None);
        self.tick(node);
        true
    }

    /// A user looks at what has become of his payments, and pays what is promised.
    pub(super) fn attend(&mut self, node: usize) {
        let user = node - self.plan.mixers;
        for number in 0..self.attempts[user].len() {
            self.attend_to(node, user, number);
        }
    }

    fn attend_to(&mut self, node: usize, user: usize, number: usize) {
        let Some(id) = self.attempts[user][number].part else { return };
        let Some(alive) = &self.nodes[node].alive else { return };
        let Some(payer) = alive.core.payer() else { return };
        let Some(part) = payer.parts().get(&id) else {
            return self.begin_again(user, number);
        };
        let state = part.name();
        let end = match part {
            Part::Arrived { .. } => Some(End::Arrived),
            Part::Returned { .. } => Some(End::Returned),
            Part::Failed(_) => Some(End::Failed),
            _ => None,
        };
        self.books.receipts(user, number, part, &self.currency);
        let attempt = &mut self.attempts[user][number];
        attempt.end = end;
        if std::mem::replace(&mut attempt.state, state) != state {
            let (user, number) = (user as u16, number as u16);
            self.note(Happened::State { user, number, state });
        }
        if end == Some(End::Failed) {
            self.begin_again(user, number);
        }
        if state == "ready" {
            self.pay(node, user, id);
        }
    }

    /// Begins a payment anew that failed, or that its payer has forgotten because he died before it
    /// was saved, or because his disk is an older copy.
    fn begin_again(&mut self, user: usize, number: usize) {
        let copied = self.plan.is_copied(self.plan.mixers + user);
        let quiet = Time::ZERO + self.plan.quiet_from();
        let attempt = &mut self.attempts[user][number];
        attempt.end = Some(End::Failed);
        if attempt.tries < TRIES_MAX && self.now < quiet && !copied {
            attempt.part = None;
            self.want(user, number);
        }
    }

    fn pay(&mut self, node: usize, user: usize, id: OrderId) {
        let manner = self.plan.users[user].manner;
        if manner != Manner::Honest {
            return self.pay_by_hand(node, user, id);
        }
        let mut out = Vec::new();
        let Some(alive) = &mut self.nodes[node].alive else { return };
        let Core::Payer(payer) = &mut alive.core else { return };
        // Refused if the date has come: the part has failed then.
        let _ = payer.pay(id, &mut out);
        self.perform(node, out, None);
    }

    /// Pays what is promised in an odd way.
    fn pay_by_hand(&mut self, node: usize, user: usize, id: OrderId) {
        let Some(payer) = self.nodes[node].alive.as_ref().and_then(|alive| alive.core.payer())
        else {
            return;
        };
        let Some(promise) = payer.parts().get(&id).and_then(|part| part.promises().first()) else {
            return;
        };
        let promise = promise.content().clone();
        let (to, amount) = (promise.node, promise.in_amount.units());
        let reference = promise.in_reference(&self.currency);
        if !self.wallets[user].parts.insert(id) {
            return;
        }
        let (amount, copies, at) = match self.plan.users[user].manner {
            Manner::Short => (amount - 1, 1, self.now),
            Manner::Long => (amount + 7, 1, self.now),
            Manner::Late => {
                let expires = promise.expire_date - clock::BEGINNING.as_secs();
                (amount, 1, Time::ZERO + Duration::from_secs(expires + 20))
            }
            _ => (amount, 2, self.now),
        };
        for _ in 0..copies {
            self.wallets[user].mean(at, to, amount, reference.clone());
        }
    }

    /// Pays a mixer with a reference that nobody knows.
    fn pay_unknown(&mut self, user: usize, number: usize) -> bool {
        let mixer = self.chance.below(self.plan.mixers as u64) as usize;
        let reference = address::base58(&self.chance.bytes::<32>());
        let reference = Reference::new(reference.as_bytes()).expect("base58 is short");
        let amount = self.plan.users[user].wants[number].amount;
        let to = self.nodes[mixer].account;
        self.wallets[user].mean(self.now, to, amount, reference);
        true
    }

    /// Pays a mixer with the reference of somebody else's deposit, as soon as one is seen: on the
    /// ledger, or by somebody who has seen the promises before the payer has paid.
    fn pay_copy(&mut self, user: usize, number: usize) -> bool {
        let own = self.plan.mixers + user;
        let other = self.plan.users[user].manner == Manner::CopyOther;
        let seen = match other {
            true => self.deposited(own),
            false => self.promised(own).or_else(|| self.deposited(own)),
        };
        let Some((to, amount, reference)) = seen else { return false };
        let amount = if other { self.plan.users[user].wants[number].amount + 1 } else { amount };
        self.wallets[user].mean(self.now, to, amount, reference);
        true
    }

    /// A deposit of somebody else in one of the newest blocks.
    fn deposited(&self, own: usize) -> Option<(Account, u64, Reference)> {
        let head = self.chain.ledger.head().height;
        let recent = (head.saturating_sub(20)..=head).rev();
        let blocks = recent.filter_map(|height| self.chain.ledger.block(height));
        let mut others =
            blocks.flat_map(|block| &block.transfers).filter(|t| t.from != self.nodes[own].account);
        others.find_map(|transfer| {
            let reference = transfer.reference.as_ref().filter(|r| r.as_bytes().len() >= 43)?;
            let mixers = &self.nodes[..self.plan.mixers];
            let to_mixer = mixers.iter().any(|mixer| mixer.account == transfer.to);
            to_mixer.then(|| (transfer.to, transfer.amount.units(), reference.clone()))
        })
    }

    /// What somebody else is about to deposit.
    fn promised(&self, own: usize) -> Option<(Account, u64, Reference)> {
        let nodes = self.nodes.iter().enumerate().filter(|(node, _)| *node != own);
        let payers = nodes.filter_map(|(_, node)| node.alive.as_ref()?.core.payer());
        let mut parts = payers.flat_map(|payer| payer.parts().values());
        parts.find_map(|part| {
            let (Part::Ready { promises, .. } | Part::Depositing { promises, .. }) = part else {
                return None;
            };
            let first = promises.first()?.content();
            Some((first.node, first.in_amount.units(), first.in_reference(&self.currency)))
        })
    }

    /// Sends on what users pay by hand: one after the other, until it is spent.
    pub(super) fn press_wallets(&mut self) {
        for user in 0..self.wallets.len() {
            if let Some(sent) = self.wallets[user].sent.clone() {
                // Taken again if it was dropped, stale once it is in a block.
                let _ = self.chain.ledger.submit(&sent);
                let waits = ::money::embedded::Transaction::read(&sent).is_ok_and(|sent| {
                    self.chain.ledger.final_account(&sent.sender).slot <= sent.slot
                });
                if waits {
                    continue;
                }
                self.wallets[user].sent = None;
            }
            let Some(((at, place), (to, amount, reference))) =
                self.wallets[user].meant.first_key_value().map(|(k, v)| (*k, v.clone()))
            else {
                continue;
            };
            if at > self.now {
                continue;
            }
            self.wallets[user].meant.remove(&(at, place));
            let key = self.plan.key(self.plan.mixers + user);
            let bytes = self.chain.by_hand(&key, to, amount, Some(&reference));
            let _ = self.chain.ledger.submit(&bytes);
            self.wallets[user].sent = Some(bytes);
            self.note(Happened::ByHand { user: user as u16, amount });
        }
    }
}

impl Wallet {
    fn mean(&mut self, at: Time, to: Account, amount: u64, reference: Reference) {
        self.meant.insert((at, self.count), (to, amount, reference));
        self.count += 1;
    }
}
