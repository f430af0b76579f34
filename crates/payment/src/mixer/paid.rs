//! A mixer and the money: deposits, company, payouts, returns, and what the final chain says.
//!
//! What always holds: everything a block says is saved in one piece with its height, so that a deposit
//! is looked at once; a payout leaves the pool before it gets its slot, and is forgotten when a final
//! block shows it; a payment back is made once per place on the ledger, and never answered.

use std::collections::BTreeMap;

use mixing::Now;
use money::{Account, Amount, Place, Reference, Transfer, address};

use super::{Config, KEY_LIFE_S, Mixer, Order, Purpose, records};
use crate::document::LIFE_S;
use crate::effect::{Change, Effect, FinalBlock, Notice, OrderId, Payment, Refused};
use crate::order::Step;
use crate::slots::Settled;
use crate::ubjson::COUNT_MAX;
use mixing::Pool;
use mixing::envelope::EnvelopeKey;

/// A payment that came in and fits no order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Return {
    /// Who sent it.
    pub to: Account,
    /// How much came in.
    pub amount: Amount,
    /// The reference it carried.
    pub reference: Reference,
    /// How many blocks used up the slot of its payment back without it.
    pub failures: u64,
}

/// What stands before the original reference in a payment back.
pub const RETURN_PREFIX: &[u8] = b"return:";

/// After so many failures a payment back is booked as unclaimed.
const RETURN_FAILURES_MAX: u64 = 3;

/// Whether a reference has Mingle's form: base58 of 32 bytes.
pub(crate) fn is_mingle(reference: &Reference) -> bool {
    std::str::from_utf8(reference.as_bytes()).is_ok_and(|text| address::unbase58(text).is_some())
}

/// The reference of the payment back.
pub(crate) fn return_reference(original: &Reference) -> Reference {
    let bytes = [RETURN_PREFIX, original.as_bytes()].concat();
    Reference::new(&bytes).expect("a Mingle reference is short")
}

impl Return {
    /// What is paid back, or nothing if it is not worth its cost.
    fn payment(&self, cost: Amount) -> Option<Payment> {
        let amount = self.amount.minus(cost).filter(|amount| *amount != Amount::ZERO)?;
        Some(Payment { to: self.to, amount, reference: return_reference(&self.reference) })
    }
}

impl Mixer {
    /// The next final block.
    pub(super) fn on_block(
        &mut self,
        now: Now,
        block: &FinalBlock,
        out: &mut Vec<Effect>,
    ) -> Result<(), Refused> {
        if block.height != self.ledger.height + 1 || block.newest < block.height {
            return Err(Refused::OutOfOrder);
        }
        self.ledger.height = block.height;
        self.ledger.newest = block.newest;
        self.ledger.date = self.ledger.date.max(block.time.as_secs());
        self.ledger.heard = now.time;
        let mut changes = Vec::new();
        let mut after = Vec::new();
        for transfer in &block.received {
            self.on_received(now, transfer, &mut changes, &mut after);
        }
        for settled in self.slots.on_block(block, &mut changes) {
            self.on_settled(settled, &mut changes, &mut after);
        }
        if self.slots.is_clear() {
            self.judge_doubtful(&mut changes, &mut after);
        }
        self.expire(&mut changes);
        self.renew_key(&mut changes);
        self.check_solvency(block.balance, &mut after);
        changes.push(records::height(&self.ledger, self.slots.next()));
        out.push(Effect::Save(changes));
        out.append(&mut after);
        self.slots.press(block, out);
        self.give_slots(out);
        Ok(())
    }

    /// A payment to us: a deposit, a payment to be returned, or the operator's.
    fn on_received(
        &mut self,
        now: Now,
        transfer: &Transfer,
        changes: &mut Vec<Change>,
        after: &mut Vec<Effect>,
    ) {
        let Some(reference) = &transfer.reference else { return };
        if transfer.from == self.account {
            return;
        }
        if let Some(original) = reference.as_bytes().strip_prefix(RETURN_PREFIX) {
            // A successor sent our payout back. Who lost it can show us our promise.
            if Reference::new(original).is_some_and(|original| is_mingle(&original)) {
                self.book_unclaimed(
                    transfer.place,
                    Return::of(transfer, reference),
                    changes,
                    after,
                );
            }
            return;
        }
        if !is_mingle(reference) {
            return;
        }
        let id = self.index.deposit.get(reference).copied().filter(|id| {
            let deal = self.orders.get(id).map(Order::deal);
            deal.is_some_and(|d| d.sender == transfer.from && d.in_amount == transfer.amount)
        });
        let step = Step::Deposit(transfer.place);
        match id.map(|id| (id, self.step(id, step, changes))) {
            Some((id, Ok(()))) => {
                self.timers.clear(&id);
                self.pool(now, Purpose::Order(id));
            }
            // Unknown, of another sender or amount, or a second one: back it goes.
            Some((_, Err(_))) | None => self.send_back(now, transfer, reference, changes, after),
        }
    }

    fn send_back(
        &mut self,
        now: Now,
        transfer: &Transfer,
        reference: &Reference,
        changes: &mut Vec<Change>,
        after: &mut Vec<Effect>,
    ) {
        let back = Return::of(transfer, reference);
        if self.begin_return(now, transfer.place, back.clone(), changes).is_err() {
            self.book_unclaimed(transfer.place, back, changes, after);
        }
    }

    /// Lets a payment back wait for company.
    ///
    /// # Errors
    /// [`Refused::NotNow`] if it is not worth its cost, [`Refused::Full`] if too many wait.
    pub(super) fn begin_return(
        &mut self,
        now: Now,
        place: Place,
        back: Return,
        changes: &mut Vec<Change>,
    ) -> Result<(), Refused> {
        back.payment(self.config.terms.return_cost).ok_or(Refused::NotNow)?;
        if self.returns.len() >= self.config.returns_max {
            return Err(Refused::Full);
        }
        changes.push(records::return_of(place, Some(&back)));
        self.returns.insert(place, back);
        self.pool(now, Purpose::Return(place));
        Ok(())
    }

    fn book_unclaimed(
        &mut self,
        place: Place,
        back: Return,
        changes: &mut Vec<Change>,
        after: &mut Vec<Effect>,
    ) {
        if self.unclaimed.len() < self.config.returns_max {
            changes.push(records::unclaimed(place, Some(&back)));
            self.unclaimed.insert(place, back);
        } else {
            // The ledger still knows each of them; here only the sum is kept apart.
            let beyond = self.ledger.beyond.saturating_add(back.amount.units());
            self.ledger.beyond = beyond.min(COUNT_MAX);
        }
        after.push(Effect::Tell(Notice::Unclaimed));
    }

    /// What the final chain says about what we sent.
    fn on_settled(&mut self, settled: Settled, changes: &mut Vec<Change>, after: &mut Vec<Effect>) {
        match settled {
            Settled::Paid(Purpose::Order(id)) => self.forget(id, changes),
            Settled::Paid(Purpose::Return(place)) => self.forget_return(place, changes),
            Settled::Missed(Purpose::Order(id)) => {
                let missed = self.step(id, Step::Miss, changes);
                if missed.is_ok() && matches!(self.orders.get(&id), Some(Order::Stuck(_))) {
                    self.slots.forget_waiting(Purpose::Order(id));
                    after.push(Effect::Tell(Notice::Stuck));
                }
            }
            Settled::Missed(Purpose::Return(place)) => self.on_return_missed(place, changes, after),
            Settled::Unknown(transfer) => self.on_unknown(&transfer, changes),
            Settled::Foreign => {
                if !self.ledger.foreign {
                    after.push(Effect::Tell(Notice::ForeignSpend));
                }
                self.ledger.foreign = true;
                self.ledger.doubt |= !self.slots.is_clear();
            }
        }
    }

    /// We paid something that has no slot here, as when the file is an old copy: what the chain shows
    /// as paid or sent back is so, whatever the file says.
    fn on_unknown(&mut self, transfer: &Transfer, changes: &mut Vec<Change>) {
        let Some(reference) = &transfer.reference else { return };
        let paid = self.index.payout.get(reference).copied().filter(|id| {
            let deal = self.orders.get(id).map(Order::deal);
            deal.is_some_and(|d| d.next == transfer.to && d.out_amount == transfer.amount)
        });
        if let Some(id) = paid {
            return self.settle(id, changes);
        }
        let cost = self.config.terms.return_cost;
        let is_it = |back: &Return| back.payment(cost).is_some_and(|payment| payment.is(transfer));
        let find = |book: &BTreeMap<Place, Return>| {
            book.iter().find(|(_, back)| is_it(back)).map(|(place, _)| *place)
        };
        if let Some(place) = find(&self.returns) {
            self.slots.forget(Purpose::Return(place), changes);
            return self.forget_return(place, changes);
        }
        if let Some(place) = find(&self.unclaimed) {
            self.unclaimed.remove(&place);
            return changes.push(records::unclaimed(place, None));
        }
        // A process whose file did not know the order sent its deposit back.
        let original = reference.as_bytes().strip_prefix(RETURN_PREFIX).and_then(Reference::new);
        let returned = original.and_then(|original| self.index.deposit.get(&original).copied());
        let funded = returned.filter(|id| {
            let order = self.orders.get(id).filter(|order| order.is_funded());
            order.is_some_and(|order| order.deal().sender == transfer.to)
        });
        if let Some(id) = funded {
            self.settle(id, changes);
        } else if is_mingle(reference) {
            // The payout of an order that is lost. Asked for again it would have the same reference,
            // and must not be promised again.
            let Config { horizon_s, terms, .. } = &self.config;
            let until = self.ledger.date.saturating_add(*horizon_s).saturating_add(terms.keep_s);
            changes.push(self.index.see(records::print(reference), until));
        }
    }

    /// Forgets an order that the chain shows as settled, and takes back what was on its way for it.
    fn settle(&mut self, id: OrderId, changes: &mut Vec<Change>) {
        self.slots.forget(Purpose::Order(id), changes);
        self.forget(id, changes);
    }

    fn forget_return(&mut self, place: Place, changes: &mut Vec<Change>) {
        if self.returns.remove(&place).is_some() {
            changes.push(records::return_of(place, None));
        }
    }

    fn on_return_missed(
        &mut self,
        place: Place,
        changes: &mut Vec<Change>,
        after: &mut Vec<Effect>,
    ) {
        let Some(mut back) = self.returns.remove(&place) else { return };
        back.failures += 1;
        if back.failures < RETURN_FAILURES_MAX {
            changes.push(records::return_of(place, Some(&back)));
            self.returns.insert(place, back);
        } else {
            self.slots.forget_waiting(Purpose::Return(place));
            changes.push(records::return_of(place, None));
            self.book_unclaimed(place, back, changes, after);
        }
    }

    /// The account is clear. If the file was an old copy, and the account paid things that are not in
    /// it, then payments that fit no order may have been deposits of orders that were lost, and paid
    /// on. They are not returned; the operator must look.
    fn judge_doubtful(&mut self, changes: &mut Vec<Change>, after: &mut Vec<Effect>) {
        if !std::mem::take(&mut self.ledger.doubt) {
            return;
        }
        for (place, back) in std::mem::take(&mut self.returns) {
            self.slots.forget_waiting(Purpose::Return(place));
            if self.slots.holds(Purpose::Return(place)) {
                self.returns.insert(place, back);
            } else {
                changes.push(records::return_of(place, None));
                self.book_unclaimed(place, back, changes, after);
            }
        }
    }

    /// Forgets orders that were never funded, and fingerprints whose dates have passed.
    fn expire(&mut self, changes: &mut Vec<Change>) {
        let date = self.ledger.date;
        while let Some((_, id)) = self.index.deadline.first().copied().filter(|d| d.0 < date) {
            self.forget(id, changes);
        }
        while let Some(old) = self.index.seen_until.first().copied().filter(|s| s.0 < date) {
            self.index.seen_until.remove(&old);
            self.index.seen.remove(&old.1);
            changes.push(records::seen(old.1, None));
        }
        self.peers.expire(date);
    }

    /// A new envelope key every day; the old one is wiped when the last info that shows it has ended.
    fn renew_key(&mut self, changes: &mut Vec<Change>) {
        let date = self.ledger.date;
        let began = self.keys.last().map_or(0, |(since, _)| *since);
        if self.keys.is_empty() || date >= began.saturating_add(KEY_LIFE_S) {
            let seed = self.chance.bytes();
            changes.push(records::key(date, Some(&seed)));
            self.keys.push((date, EnvelopeKey::from_seed(seed)));
        }
        while let [(old, _), (next, _), ..] = self.keys[..] {
            if date < next.saturating_add(LIFE_S + super::asked::DATE_FAR_S) {
                break;
            }
            changes.push(records::key(old, None));
            self.keys.remove(0);
        }
    }

    fn check_solvency(&mut self, balance: Amount, after: &mut Vec<Effect>) {
        let solvent = balance >= self.needed();
        let was = std::mem::replace(&mut self.ledger.solvent, solvent);
        match (was, solvent) {
            (true, false) => after.push(Effect::Tell(Notice::Insolvent)),
            (false, true) => after.push(Effect::Tell(Notice::Solvent)),
            (true, true) | (false, false) => {}
        }
    }

    /// What the account must hold: what is owed, and what keeps it alive and paying. More than any
    /// account can hold, if a ledger says so.
    pub fn needed(&self) -> Amount {
        let funded = self.orders.values().filter(|order| order.is_funded());
        let owed = funded.map(|order| order.deal().out_amount);
        let back = self.returns.values().chain(self.unclaimed.values()).map(|back| back.amount);
        let beyond = Amount::from_units(self.ledger.beyond);
        let kept = [self.config.existential_deposit, self.config.float, beyond];
        let most = Amount::from_units(u64::MAX);
        owed.chain(back).chain(kept).try_fold(Amount::ZERO, Amount::plus).unwrap_or(most)
    }

    /// Lets a payment wait for company.
    pub(super) fn pool(&mut self, now: Now, purpose: Purpose) {
        let (pool, channel) = match purpose {
            Purpose::Return(place) => (&mut self.return_pool, place.block),
            Purpose::Order(id) => {
                let Some(order) = self.orders.get(&id) else { return };
                let limit = self.config.orders_max;
                let strategy = self.config.strategy.clone();
                let pool = self.pools.entry(order.deal().out_amount);
                let sender = order.deal().sender;
                let (channel, _) = sender.as_bytes().split_first_chunk().expect("32 bytes");
                (pool.or_insert_with(|| Pool::new(strategy, limit)), u64::from_be_bytes(*channel))
            }
        };
        let full = pool.insert(now, channel, purpose, &mut self.chance);
        // Pools hold as many as there may be orders or returns; were one full, money outranks company.
        if full.is_err() {
            self.owe(purpose);
        }
    }

    /// Lets a payment that left its pool wait for a slot; nothing if it was paid or taken back since.
    pub(super) fn owe(&mut self, purpose: Purpose) {
        let payment = match purpose {
            Purpose::Order(id) => match self.orders.get(&id) {
                Some(Order::Funded(fund)) => {
                    let promise = fund.deal.promise(self.account, fund.their_seed);
                    let reference = promise.out_reference(&self.config.currency);
                    Some(Payment { to: promise.receiver, amount: promise.out_amount, reference })
                }
                Some(
                    Order::Requested { .. }
                    | Order::Answered { .. }
                    | Order::Promised { .. }
                    | Order::Paying(..)
                    | Order::Stuck(_),
                )
                | None => None,
            },
            Purpose::Return(place) => {
                let cost = self.config.terms.return_cost;
                self.returns.get(&place).and_then(|back| back.payment(cost))
            }
        };
        if let Some(payment) = payment
            && !self.slots.holds(purpose)
        {
            self.slots.owe(purpose, payment);
        }
    }

    /// Gives slots to what left the pools: saved first, then signed.
    pub(super) fn give_slots(&mut self, out: &mut Vec<Effect>) {
        let (mut changes, mut after) = (Vec::new(), Vec::new());
        for (purpose, slot) in self.slots.give(&mut changes, &mut after) {
            if let Purpose::Order(id) = purpose {
                self.step(id, Step::Slot(slot), &mut changes).expect("what is owed is funded");
            }
        }
        if !changes.is_empty() {
            changes.push(records::height(&self.ledger, self.slots.next()));
            out.push(Effect::Save(changes));
            out.append(&mut after);
        }
    }
}

impl Return {
    fn of(transfer: &Transfer, reference: &Reference) -> Self {
        let reference = reference.clone();
        Self { to: transfer.from, amount: transfer.amount, reference, failures: 0 }
    }
}
