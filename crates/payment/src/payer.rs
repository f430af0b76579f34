//! A payer: asks, gathers promises, checks them, pays the first mixer, watches the end.
//!
//! ```text
//! begin ─► Asking ─► Waiting ─► Ready ─► pay ─► Depositing ─► Deposited ─► Arrived
//!            └─ Failed ◄┴─────────┘                              └──────► Returned
//! ```
//! Each part of a payment is one denomination with its own route and keys.
//!
//! What always holds: no money moves before every hop's promise was checked; a deposit holds one
//! ledger slot like any payout, so that a payer who dies and begins again pays once; a part whose
//! deposit may still land is never given up. What is saved holds the whole route: it is the payer's own.
//!
//! Absent: choosing the route (`route`), asking the user (the program does, between `Ready` and
//! [`Payer::pay`]).

mod check;
mod part;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mixing::keys::Secret;
use mixing::{Chance, Now, Time};
use money::{Account, AccountKey, Amount, Reference, Slot, Transfer};

pub use check::{Flaw, Mistrust};
pub use part::{Failure, Hop, Part, Plan};

use crate::document::{Currency, GetConfirm, PeerInfo, Promise, Request, Signed};
use crate::effect::{
    Answer, Change, Command, Effect, FinalBlock, OrderId, Payment, Refused, Unheard, retry_after,
};
use crate::mixer::records::print;
use crate::mixer::{RETURN_PREFIX, is_mingle};
use crate::onion::{self, Layer};
use crate::route::{Pace, dates};
use crate::slots::{self, Purpose, Settled, Slots};
use crate::ubjson::{Fields, Malformed, Value, map};

/// What a payer decides once.
#[derive(Clone, Debug)]
pub struct Config {
    /// Which money.
    pub currency: Currency,
    /// How dates are drawn.
    pub pace: Pace,
    /// Life of deposits in blocks.
    pub period: u32,
    /// Between two questions for the promises.
    pub poll: Duration,
    /// The most parts kept.
    pub parts_max: usize,
    /// Whether whoever asks for parts has none that an earlier process may have paid: then deposits need
    /// not wait until that one's transactions have landed or died.
    pub anew: bool,
}

/// A deposit that the ledger refused so often is given up: each time costs a fee.
pub const MISSES_MAX: u32 = 3;

/// The most deposits of lost parts that are remembered; the oldest makes room.
pub const SPENT_MAX: usize = 4096;

/// A payer.
pub struct Payer {
    config: Config,
    key: AccountKey,
    account: Account,
    chance: Chance,
    parts: BTreeMap<OrderId, Part>,
    slots: Slots,
    /// Deposits that the chain shows and no part knows, by print of their reference, each with the
    /// ledger second in which it was found: the file is an old copy, and the part that comes to
    /// promises again has paid already.
    spent: BTreeMap<[u8; 16], u64>,
    timers: BTreeSet<(Time, OrderId)>,
    attempts: BTreeMap<OrderId, u32>,
    /// How often a block showed a deposit's slot spent without it.
    misses: BTreeMap<OrderId, u32>,
    height: u64,
    /// Time of the newest final block, whole seconds.
    date: u64,
}

impl Payer {
    /// Begins from records, or from none; `final_height` as for a mixer.
    ///
    /// # Errors
    /// [`Malformed`]: a record that is none of ours.
    pub fn resume(
        config: Config,
        key: AccountKey,
        chance: Chance,
        records: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>,
        final_height: u64,
        now: Now,
    ) -> Result<Self, Malformed> {
        let mut payer = Self {
            slots: Slots::new(Slot(0), config.period),
            config,
            account: key.account(),
            key,
            chance,
            parts: BTreeMap::new(),
            spent: BTreeMap::new(),
            timers: BTreeSet::new(),
            attempts: BTreeMap::new(),
            misses: BTreeMap::new(),
            height: final_height,
            date: 0,
        };
        for (key, record) in records {
            payer.take(&key, &record)?;
        }
        if payer.config.anew && !payer.parts.values().any(Part::is_unpaid) {
            payer.slots.begin_anew();
            // Nothing to be found in the blocks between, either.
            if !payer.parts.values().any(Part::is_under_way) && payer.slots.is_empty() {
                payer.height = payer.height.max(final_height);
            }
        }
        let ids: Vec<_> = payer.parts.keys().copied().collect();
        for id in ids {
            payer.timers.insert((now.time, id));
            payer.owe(id);
        }
        Ok(payer)
    }

    fn take(&mut self, key: &[u8], record: &[u8]) -> Result<(), Malformed> {
        let wrong = Malformed::WrongValue("key");
        match key.split_first().ok_or(wrong)? {
            (b'h', []) => {
                let mut fields = Fields::new(Value::from_bytes(record)?)?;
                self.height = fields.count("height")?;
                self.date = fields.number("date")?;
                self.slots.advance(Slot(fields.count("next")?));
            }
            (b'a', id) => {
                let id = id.try_into().map_err(|_| wrong)?;
                self.parts.insert(id, Part::read(record, &self.config.currency)?);
            }
            (b'x', print) => {
                let print = print.try_into().map_err(|_| wrong)?;
                let Value::Int(date) = Value::from_bytes(record)? else { return Err(wrong) };
                self.spent.insert(print, u64::try_from(date).map_err(|_| wrong)?);
            }
            (&slots::TABLE, _) => {
                self.slots.resume(slots::slot_of(key).ok_or(wrong)?, record)?;
            }
            _ => return Err(wrong),
        }
        Ok(())
    }

    /// Asks for the promises of one part: `amount` to `receiver` over these mixers.
    ///
    /// # Errors
    /// [`Refused::NotDistinct`] if an account is there twice, [`Refused::Full`] at
    /// [`Config::parts_max`], [`Refused::NoPromises`] before the first final block,
    /// [`Refused::WrongAmount`] if the first fee does not fit on top.
    pub fn begin(
        &mut self,
        now: Now,
        route: &[&PeerInfo],
        receiver: Account,
        amount: Amount,
        out: &mut Vec<Effect>,
    ) -> Result<OrderId, Refused> {
        let mut accounts: BTreeSet<_> = route.iter().map(|info| info.pubkey).collect();
        accounts.extend([receiver, self.account]);
        if accounts.len() != route.len() + 2 {
            return Err(Refused::NotDistinct);
        }
        if self.parts.len() >= self.config.parts_max {
            return Err(Refused::Full);
        }
        if self.date == 0 {
            return Err(Refused::NoPromises);
        }
        let plan = self.plan(route, receiver, amount)?;
        let body = self.request(&plan, route);
        let id = onion::fingerprint(&body.content().onion);
        let part = Part::Asking { plan, ask: body.bytes().to_vec() };
        out.push(Effect::Save(vec![part::change(id, Some(&part), &self.config.currency)]));
        self.parts.insert(id, part);
        self.timers.insert((now.time, id));
        self.tick(now, out);
        Ok(id)
    }

    fn plan(
        &mut self,
        route: &[&PeerInfo],
        receiver: Account,
        amount: Amount,
    ) -> Result<Plan, Refused> {
        let dates = dates(route, self.config.pace, self.date, &mut self.chance);
        let first = route.first().ok_or(Refused::NotDistinct)?;
        let mut sender = self.account;
        let mut in_amount = amount.plus(first.terms.fee).ok_or(Refused::WrongAmount)?;
        let mut in_seed = self.chance.bytes();
        let mut hops = Vec::new();
        for (i, (info, dates)) in route.iter().zip(dates).enumerate() {
            let next = route.get(i + 1);
            let layer = Layer {
                sender,
                in_amount,
                in_seed,
                next: next.map_or(receiver, |info| info.pubkey),
                next_is_mixer: next.is_some(),
                out_amount: amount,
                out_seed: self.chance.bytes(),
                expire_date: dates.expire,
                payout_date: dates.payout,
                one_time: Secret::new(self.chance.bytes()),
                hop_key: Secret::new(self.chance.bytes()),
            };
            (sender, in_amount, in_seed) = (info.pubkey, amount, layer.out_seed);
            hops.push(Hop { account: info.pubkey, layer });
        }
        Ok(Plan { date: self.date, hops })
    }

    fn request(&mut self, plan: &Plan, route: &[&PeerInfo]) -> Signed<Request> {
        let keys = route.iter().map(|info| &info.enckey);
        let layers: Vec<_> = keys.zip(plan.hops.iter().map(|hop| &hop.layer)).collect();
        let request = Request {
            to: plan.first().account,
            sender: *self.account.as_bytes(),
            amount: plan.first().layer.in_amount,
            client: true,
            req_date: self.date,
            onion: onion::build(&layers, &self.config.currency, &mut self.chance),
        };
        Signed::make(request, &self.config.currency, &self.key)
    }

    /// Lets time pass: questions that are due, deposits that may be given a slot.
    pub fn tick(&mut self, now: Now, out: &mut Vec<Effect>) {
        while let Some((time, id)) = self.timers.first().copied().filter(|due| due.0 <= now.time) {
            self.timers.remove(&(time, id));
            let Some((to, command)) = self.question(&id) else { continue };
            let attempt = self.attempts.entry(id).or_default();
            let wait = match &command {
                Command::GetConfirm(_) => self.config.poll,
                Command::Mix(_) | Command::Confirm(_) => retry_after(*attempt),
            };
            *attempt += 1;
            out.push(Effect::Ask { order: id, to, command });
            self.timers.insert((now.time + wait, id));
        }
        self.give_slots(out);
    }

    /// When [`Self::tick`] is needed next.
    pub fn wake_at(&self) -> Option<Time> {
        self.timers.first().map(|(time, _)| *time)
    }

    fn question(&self, id: &OrderId) -> Option<(Account, Command)> {
        match self.parts.get(id)? {
            Part::Asking { plan, ask } => Some((plan.first().account, Command::Mix(ask.clone()))),
            Part::Waiting { plan, in_seed } => {
                let to = plan.first().account;
                let sender = self.account;
                let question = GetConfirm { to, sender, in_seed: *in_seed, date: self.date };
                let signed = Signed::make(question, &self.config.currency, &self.key);
                Some((to, Command::GetConfirm(signed.bytes().to_vec())))
            }
            Part::Ready { .. }
            | Part::Depositing { .. }
            | Part::Deposited { .. }
            | Part::Arrived { .. }
            | Part::Returned { .. }
            | Part::Failed(_) => None,
        }
    }

    /// What came of a question.
    ///
    /// # Errors
    /// [`Refused::NoOrder`] and [`Refused::NotNow`].
    pub fn on_heard(
        &mut self,
        now: Now,
        id: OrderId,
        answer: Result<Answer, Unheard>,
        out: &mut Vec<Effect>,
    ) -> Result<(), Refused> {
        let part = self.parts.remove(&id).ok_or(Refused::NoOrder)?;
        let (part, result) = match (part, answer) {
            (Part::Asking { plan, .. }, Ok(Answer::Seed(in_seed))) => {
                self.timers.insert((now.time + self.config.poll, id));
                (Part::Waiting { plan, in_seed }, Ok(true))
            }
            (Part::Waiting { plan, in_seed }, Ok(Answer::Promises(slots))) => {
                match check::check(&plan, in_seed, &slots, &self.config.currency) {
                    Ok(promises) => (self.ready(plan, in_seed, promises), Ok(true)),
                    Err(why) => (Part::Failed(Failure::Mistrust(why)), Ok(true)),
                }
            }
            (Part::Asking { .. } | Part::Waiting { .. }, Err(Unheard::Refused)) => {
                (Part::Failed(Failure::Refused), Ok(true))
            }
            // The timer asks again.
            (part @ (Part::Asking { .. } | Part::Waiting { .. }), Err(Unheard::Unreachable)) => {
                (part, Ok(false))
            }
            (part @ Part::Asking { .. }, Ok(Answer::Taken | Answer::Promises(_)))
            | (part @ Part::Waiting { .. }, Ok(Answer::Seed(_) | Answer::Taken))
            | (
                part @ (Part::Ready { .. }
                | Part::Depositing { .. }
                | Part::Deposited { .. }
                | Part::Arrived { .. }
                | Part::Returned { .. }
                | Part::Failed(_)),
                Ok(_) | Err(_),
            ) => (part, Err(Refused::NotNow)),
        };
        if result == Ok(true) {
            out.push(Effect::Save(vec![part::change(id, Some(&part), &self.config.currency)]));
        }
        self.parts.insert(id, part);
        result.map(|_| ())
    }

    /// All promised. If the deposit stands on the chain already, it is not made again.
    fn ready(&self, plan: Plan, in_seed: [u8; 32], promises: Vec<Signed<Promise>>) -> Part {
        let reference = plan.deposit(in_seed, &self.config.currency);
        match self.spent.contains_key(&print(&reference)) {
            true => Part::Deposited { plan, in_seed, promises },
            false => Part::Ready { plan, in_seed, promises },
        }
    }

    /// Pays a part whose promises are all there. Money moves from here on.
    ///
    /// # Errors
    /// [`Refused::NoOrder`], [`Refused::NotNow`], and [`Refused::WrongDates`] if the first mixer's
    /// `expire_date` has come: the part has failed then, unpaid.
    pub fn pay(&mut self, id: OrderId, out: &mut Vec<Effect>) -> Result<(), Refused> {
        let part = self.parts.remove(&id).ok_or(Refused::NoOrder)?;
        let (part, result) = match part {
            Part::Ready { plan, in_seed, promises } => {
                match self.date < plan.first().layer.expire_date {
                    true => (Part::Depositing { plan, in_seed, promises }, Ok(())),
                    false => (Part::Failed(Failure::TooLate), Err(Refused::WrongDates)),
                }
            }
            part @ (Part::Asking { .. }
            | Part::Waiting { .. }
            | Part::Depositing { .. }
            | Part::Deposited { .. }
            | Part::Arrived { .. }
            | Part::Returned { .. }
            | Part::Failed(_)) => (part, Err(Refused::NotNow)),
        };
        out.push(Effect::Save(vec![part::change(id, Some(&part), &self.config.currency)]));
        self.parts.insert(id, part);
        self.owe(id);
        self.give_slots(out);
        result
    }

    /// Lets a deposit wait for its slot, if it has none and needs one.
    fn owe(&mut self, id: OrderId) {
        if let Some(Part::Depositing { plan, in_seed, .. }) = self.parts.get(&id)
            && !self.slots.holds(Purpose::Order(id))
        {
            let payment = Payment {
                to: plan.first().account,
                amount: plan.first().layer.in_amount,
                reference: plan.deposit(*in_seed, &self.config.currency),
            };
            self.slots.owe(Purpose::Order(id), payment);
        }
    }

    fn give_slots(&mut self, out: &mut Vec<Effect>) {
        let (mut changes, mut after) = (Vec::new(), Vec::new());
        self.slots.give(&mut changes, &mut after);
        if !changes.is_empty() {
            changes.push(self.height_record());
            out.push(Effect::Save(changes));
            out.append(&mut after);
        }
    }

    /// A deposit was signed for its slot.
    ///
    /// # Errors
    /// As [`Slots::on_signed`].
    pub fn on_signed(
        &mut self,
        slot: Slot,
        bytes: Vec<u8>,
        last: u64,
        out: &mut Vec<Effect>,
    ) -> Result<(), Refused> {
        self.slots.on_signed(slot, bytes, last, out)
    }

    /// The next final block; `arrivals` are its transfers to the receivers in [`Self::watched`].
    ///
    /// # Errors
    /// [`Refused::OutOfOrder`].
    pub fn on_block(
        &mut self,
        block: &FinalBlock,
        arrivals: &[Transfer],
        out: &mut Vec<Effect>,
    ) -> Result<(), Refused> {
        if block.height != self.height + 1 || block.newest < block.height {
            return Err(Refused::OutOfOrder);
        }
        self.height = block.height;
        self.date = self.date.max(block.time.as_secs());
        let mut changes = Vec::new();
        for settled in self.slots.on_block(block, &mut changes) {
            match settled {
                Settled::Paid(Purpose::Order(id)) => self.on_deposited(id, &mut changes),
                Settled::Unknown(transfer) => self.on_unknown(&transfer, &mut changes),
                Settled::Missed(Purpose::Order(id)) => {
                    *self.misses.entry(id).or_default() += 1;
                }
                // A wallet pays for other things too.
                Settled::Foreign
                | Settled::Missed(Purpose::Return(_))
                | Settled::Paid(Purpose::Return(_)) => {}
            }
        }
        for transfer in block.received.iter().chain(arrivals) {
            self.on_arrived(transfer, &mut changes);
        }
        self.expire(&mut changes);
        changes.push(self.height_record());
        out.push(Effect::Save(changes));
        self.slots.press(block, out);
        self.give_slots(out);
        Ok(())
    }

    /// Gives up what was not paid before the first mixer's `expire_date`, and deposits that the ledger
    /// refuses again and again. One that has a slot may still land, and is not given up.
    fn expire(&mut self, changes: &mut Vec<Change>) {
        for (id, part) in &mut self.parts {
            let why = match part {
                Part::Asking { plan, .. }
                | Part::Waiting { plan, .. }
                | Part::Ready { plan, .. } => plan.is_over(self.date).then_some(Failure::TooLate),
                Part::Depositing { plan, .. } => {
                    let waits = self.slots.lets_wait(Purpose::Order(*id)) && self.slots.is_clear();
                    let often = self.misses.get(id).is_some_and(|misses| *misses >= MISSES_MAX);
                    match waits {
                        true if often => Some(Failure::Unpaid),
                        true => plan.is_over(self.date).then_some(Failure::TooLate),
                        false => None,
                    }
                }
                Part::Deposited { .. }
                | Part::Arrived { .. }
                | Part::Returned { .. }
                | Part::Failed(_) => None,
            };
            if let Some(why) = why {
                self.slots.forget_waiting(Purpose::Order(*id));
                *part = Part::Failed(why);
                changes.push(part::change(*id, Some(part), &self.config.currency));
            }
        }
    }

    fn on_deposited(&mut self, id: OrderId, changes: &mut Vec<Change>) {
        let Some(part) = self.parts.remove(&id) else { return };
        let part = match part {
            Part::Depositing { plan, in_seed, promises } => {
                Part::Deposited { plan, in_seed, promises }
            }
            other @ (Part::Asking { .. }
            | Part::Waiting { .. }
            | Part::Ready { .. }
            | Part::Deposited { .. }
            | Part::Arrived { .. }
            | Part::Returned { .. }
            | Part::Failed(_)) => other,
        };
        changes.push(part::change(id, Some(&part), &self.config.currency));
        self.parts.insert(id, part);
    }

    /// The account paid something without a slot here: the file is an old copy, or another program
    /// pays. A part whose deposit this is need not pay again.
    fn on_unknown(&mut self, transfer: &Transfer, changes: &mut Vec<Change>) {
        let currency = &self.config.currency;
        let is_it = |part: &Part| {
            part.deposit(currency)
                .is_some_and(|reference| Some(&reference) == transfer.reference.as_ref())
        };
        let found = self.parts.iter().find(|(_, part)| is_it(part)).map(|(id, _)| *id);
        let Some(id) = found else { return self.remember_spent(transfer, changes) };
        // A part that was paid already stays what it is: this is a second payment of it.
        if let Some(part) = self.parts.remove(&id) {
            let part = match part {
                Part::Ready { plan, in_seed, promises } => {
                    Part::Depositing { plan, in_seed, promises }
                }
                other @ (Part::Asking { .. }
                | Part::Waiting { .. }
                | Part::Depositing { .. }
                | Part::Deposited { .. }
                | Part::Arrived { .. }
                | Part::Returned { .. }
                | Part::Failed(_)) => other,
            };
            self.parts.insert(id, part);
        }
        self.on_deposited(id, changes);
    }

    fn remember_spent(&mut self, transfer: &Transfer, changes: &mut Vec<Change>) {
        let Some(reference) = transfer.reference.as_ref().filter(|text| is_mingle(text)) else {
            return;
        };
        if self.spent.len() >= SPENT_MAX {
            let oldest = self.spent.iter().min_by_key(|(_, date)| **date).map(|(print, _)| *print);
            if let Some(oldest) = oldest {
                self.spent.remove(&oldest);
                changes.push(Change { key: [&b"x"[..], &oldest].concat(), value: None });
            }
        }
        let print = print(reference);
        self.spent.insert(print, self.date);
        let value = Some(Value::from(self.date).to_bytes());
        changes.push(Change { key: [&b"x"[..], &print].concat(), value });
    }

    fn on_arrived(&mut self, transfer: &Transfer, changes: &mut Vec<Change>) {
        let Some(reference) = &transfer.reference else { return };
        let currency = &self.config.currency;
        let mut found = None;
        for (id, part) in &self.parts {
            let Part::Deposited { plan, in_seed, promises } = part else { continue };
            let back = [RETURN_PREFIX, plan.deposit(*in_seed, currency).as_bytes()].concat();
            let back = Reference::new(&back);
            if transfer.to == self.account && back.as_ref() == Some(reference) {
                found = Some((*id, false));
            }
            let last = promises.last().map(Signed::content);
            let is_last = |last: &crate::document::Promise| {
                let payment = Payment {
                    to: last.receiver,
                    amount: last.out_amount,
                    reference: last.out_reference(currency),
                };
                transfer.from == last.node && payment.is(transfer)
            };
            if last.is_some_and(is_last) {
                found = Some((*id, true));
            }
        }
        let Some((id, arrived)) = found else { return };
        if let Some(Part::Deposited { promises, .. }) = self.parts.remove(&id) {
            let part =
                if arrived { Part::Arrived { promises } } else { Part::Returned { promises } };
            changes.push(part::change(id, Some(&part), &self.config.currency));
            self.parts.insert(id, part);
        }
    }

    /// Final transfers that were found in blocks given in before: a part that an older copy of the file
    /// still awaits may have arrived in one of them.
    pub fn on_found(&mut self, transfers: &[Transfer], out: &mut Vec<Effect>) {
        let mut changes = Vec::new();
        for transfer in transfers {
            self.on_arrived(transfer, &mut changes);
        }
        if !changes.is_empty() {
            out.push(Effect::Save(changes));
        }
    }

    fn height_record(&self) -> Change {
        let record = map([
            ("height", Value::from(self.height)),
            ("date", Value::from(self.date)),
            ("next", Value::from(self.slots.next().0)),
        ]);
        Change { key: vec![b'h'], value: Some(record.to_bytes()) }
    }

    /// The parts.
    pub fn parts(&self) -> &BTreeMap<OrderId, Part> {
        &self.parts
    }

    /// Time of the newest final block that was given in, whole seconds; zero before the first.
    pub fn date(&self) -> u64 {
        self.date
    }

    /// Whether deposits are given slots: the final chain was read to its head, and no transaction of an
    /// earlier process can land any more.
    pub fn is_clear(&self) -> bool {
        self.slots.is_clear()
    }

    /// How many deposits the chain showed from this second on that no part knows: the file is an older
    /// copy, and what seems unpaid in it may be paid.
    pub fn unknown_since(&self, date: u64) -> usize {
        self.spent.values().filter(|found| **found >= date).count()
    }

    /// The receivers whose accounts the shell watches.
    pub fn watched(&self) -> BTreeSet<Account> {
        self.parts.values().filter_map(Part::receiver).collect()
    }

    /// The height of the final block to be given in next.
    pub fn next_block(&self) -> u64 {
        self.height + 1
    }

    /// Forgets a part that has come to its end.
    ///
    /// # Errors
    /// [`Refused::NotNow`] while its deposit may still land or its payment arrive.
    pub fn forget(&mut self, id: OrderId, out: &mut Vec<Effect>) -> Result<(), Refused> {
        match self.parts.get(&id).ok_or(Refused::NoOrder)? {
            Part::Depositing { .. } | Part::Deposited { .. } => Err(Refused::NotNow),
            Part::Asking { .. }
            | Part::Waiting { .. }
            | Part::Ready { .. }
            | Part::Arrived { .. }
            | Part::Returned { .. }
            | Part::Failed(_) => {
                self.remove(id, out);
                Ok(())
            }
        }
    }

    /// Forgets a part whose money was paid in and has not come, with the proof of it. Should it come after
    /// all, the receiver has it all the same.
    ///
    /// # Errors
    /// [`Refused::NotNow`] before the day on which a receipt calls the last promise broken.
    pub fn give_up(&mut self, id: OrderId, out: &mut Vec<Effect>) -> Result<(), Refused> {
        let part = self.parts.get(&id).ok_or(Refused::NoOrder)?;
        match part.is_overdue(self.date) {
            true => self.remove(id, out),
            false => return Err(Refused::NotNow),
        }
        Ok(())
    }

    fn remove(&mut self, id: OrderId, out: &mut Vec<Effect>) {
        self.parts.remove(&id);
        self.attempts.remove(&id);
        self.misses.remove(&id);
        out.push(Effect::Save(vec![part::change(id, None, &self.config.currency)]));
    }
}
