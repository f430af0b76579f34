//! Check 5: the books of an onlooker who knows every promise and reads the whole ledger.
//!
//! Of every mixer that does not take money itself:
//! * what it promises brings it the fee that it asks, and can still be paid for;
//! * each payment it makes is one that it owes, to the account and in the amount that it promised,
//!   and it makes each once;
//! * what came in exactly as promised and in time is paid on; everything else with a Mingle
//!   reference goes back to its sender, or is in its books as unclaimed if it is not worth a
//!   payment;
//! * it ends no poorer than the ledger's fees make it, and with no cause for an alarm.
//!
//! Of every user who pays as the program does: what he deposited arrived, came back, or a receipt
//! shows where it stopped: at a cheating mixer that broke its promise (or, where earlier ones or the
//! ledger were late, calls its deposit too late), or after one that paid on so late that the next had
//! forgotten; no receipt calls an honest mixer's promise broken.
//!
//! A mixer whose operator put an old copy of its disk back may leave money in its books that it
//! could have sent on; it never pays twice. The ledger itself counts all money at every block.

use std::collections::{BTreeMap, BTreeSet};

use money::{Account, Amount, LedgerTime, Reference, Transfer, address};
use payment::Mixer;
use payment::document::{Currency, Promise, Signed};
use payment::effect::{Notice, OrderId};
use payment::mixer::RETURN_PREFIX;
use payment::payer::Part;
use payment::receipt::{Evidence, Verdict, judge};

use crate::payments::checks::Broken;
use crate::payments::checks::liveness::doubtful;
use crate::payments::ledger::Chain;
use crate::payments::plan::{FEE, KEEP_S, LEDGER_FEE, Manner, Plan, Profile, RICH};
use crate::payments::world::{End, World};

/// What an onlooker knows.
pub struct Books {
    nodes: BTreeMap<Account, usize>,
    /// Orders whose promise is known.
    learned: BTreeSet<(usize, OrderId, [u8; 32])>,
    /// By mixer and reference of the deposit.
    promises: BTreeMap<(usize, Reference), Vec<Promise>>,
    /// By mixer and reference of the payout.
    owed: BTreeMap<(usize, Reference), Promise>,
    /// Payments that nodes made, by reference.
    made: BTreeMap<(usize, Reference), Vec<Transfer>>,
    /// Payments that mixers got, by reference.
    came: BTreeMap<(usize, Reference), Vec<(Transfer, LedgerTime)>>,
    /// By node: how many transactions it paid the ledger for.
    transactions: Vec<u64>,
    /// By mixer: all final transfers to and from it.
    evidence: Vec<Vec<(Transfer, LedgerTime)>>,
    /// Times of all final blocks.
    times: Vec<LedgerTime>,
    /// By payment: the receipts of all its parts.
    receipts: BTreeMap<(usize, usize), Receipts>,
}

/// By reference of the deposit: the promises of a part, first hop first.
type Receipts = BTreeMap<Reference, Vec<Signed<Promise>>>;

impl Books {
    /// Empty books.
    pub fn new(plan: &Plan) -> Books {
        Books {
            nodes: (0..plan.nodes()).map(|node| (plan.key(node).account(), node)).collect(),
            learned: BTreeSet::new(),
            promises: BTreeMap::new(),
            owed: BTreeMap::new(),
            made: BTreeMap::new(),
            came: BTreeMap::new(),
            transactions: vec![0; plan.nodes()],
            evidence: vec![Vec::new(); plan.mixers],
            times: Vec::new(),
            receipts: BTreeMap::new(),
        }
    }

    /// Looks at what a mixer has promised.
    ///
    /// # Errors
    /// [`Broken::Cheap`] and [`Broken::Stale`].
    pub fn learn(&mut self, mixer: &Mixer, currency: &Currency) -> Result<Vec<Promise>, Broken> {
        let node = self.nodes[&mixer.account()];
        let mut new = Vec::new();
        for (id, order) in mixer.orders() {
            let Some(promise) = order.promise(mixer.account()) else { continue };
            if !self.learned.insert((node, *id, promise.out_seeds[0])) {
                continue;
            }
            let fee = Amount::from_units(if order.deal().client { FEE } else { 0 });
            if promise.out_amount.plus(fee) > Some(promise.in_amount) {
                return Err(Broken::Cheap { node });
            }
            if promise.expire_date < mixer.date() {
                return Err(Broken::Stale { node });
            }
            let (came, goes) = (promise.in_reference(currency), promise.out_reference(currency));
            self.promises.entry((node, came)).or_default().push(promise.clone());
            self.owed.insert((node, goes), promise.clone());
            new.push(promise);
        }
        Ok(new)
    }

    /// Keeps a user's receipt.
    pub fn receipts(&mut self, user: usize, number: usize, part: &Part, currency: &Currency) {
        let Some(first) = part.promises().first() else { return };
        let reference = first.content().in_reference(currency);
        let all = self.receipts.entry((user, number)).or_default();
        all.entry(reference).or_insert_with(|| part.promises().to_vec());
    }

    /// Whether a mixer may tell its operator this.
    ///
    /// # Errors
    /// [`Broken::Alarm`] if there is no cause.
    pub fn told(&self, plan: &Plan, node: usize, notice: Notice) -> Result<(), Broken> {
        let excused = plan.costs(node) || plan.is_copied(node);
        match notice {
            Notice::ForeignSpend | Notice::SlotsWentBack | Notice::Insolvent | Notice::Stuck
                if !excused =>
            {
                Err(Broken::Alarm { node, notice })
            }
            _ => Ok(()),
        }
    }

    /// Reads the ledger up to the newest final block.
    ///
    /// # Errors
    /// The first payment that is wrong by itself.
    pub fn read(&mut self, plan: &Plan, chain: &Chain) -> Result<(), Broken> {
        while self.times.len() as u64 <= chain.final_height() {
            let block = chain.ledger.block(self.times.len() as u64).expect("final blocks stay");
            self.times.push(block.time);
            for included in &block.included {
                if let Some(node) = self.nodes.get(&included.sender) {
                    self.transactions[*node] += 1;
                }
            }
            for transfer in &block.transfers {
                self.book(plan, transfer, block.time)?;
            }
        }
        Ok(())
    }

    fn book(&mut self, plan: &Plan, transfer: &Transfer, time: LedgerTime) -> Result<(), Broken> {
        let ends = [transfer.from, transfer.to].map(|end| self.nodes.get(&end).copied());
        for mixer in ends.into_iter().flatten().filter(|node| *node < plan.mixers) {
            self.evidence[mixer].push((transfer.clone(), time));
        }
        let [from, to] = ends;
        if let (Some(to), Some(reference)) = (to, &transfer.reference)
            && to < plan.mixers
        {
            let came = self.came.entry((to, reference.clone())).or_default();
            came.push((transfer.clone(), time));
        }
        let Some(from) = from else { return Ok(()) };
        let follows = match from.checked_sub(plan.mixers) {
            None => !plan.costs(from),
            Some(user) => plan.users[user].manner == Manner::Honest,
        };
        let Some(reference) = &transfer.reference else {
            return if follows { Err(Broken::Unowed { node: from }) } else { Ok(()) };
        };
        let key = (from, reference.clone());
        self.made.entry(key.clone()).or_default().push(transfer.clone());
        if !follows {
            return Ok(());
        }
        let made = &self.made[&key];
        if let Some(original) = original(reference) {
            let came = self.came.get(&(from, original)).map_or(&[][..], Vec::as_slice);
            let theirs = |t: &&Transfer| t.to == transfer.to;
            let back = made.iter().filter(theirs).count();
            let sent = came.iter().filter(|(t, _)| t.from == transfer.to).count();
            return match back <= sent {
                true => Ok(()),
                false if sent == 0 => Err(Broken::Unowed { node: from }),
                false => Err(Broken::Twice { node: from }),
            };
        }
        if made.len() > 1 {
            return Err(Broken::Twice { node: from });
        }
        if from >= plan.mixers {
            return Ok(());
        }
        match self.owed.get(&key) {
            None => Err(Broken::Unowed { node: from }),
            Some(promise) => {
                let as_promised =
                    transfer.to == promise.receiver && transfer.amount == promise.out_amount;
                if as_promised { Ok(()) } else { Err(Broken::Misdirected { node: from }) }
            }
        }
    }

    /// The mixers of all parts of a payment that came to promises.
    pub fn route(&self, user: usize, number: usize) -> impl Iterator<Item = usize> {
        let parts = self.receipts.get(&(user, number)).into_iter().flatten();
        let promises = parts.flat_map(|(_, promises)| promises);
        promises.filter_map(|promise| self.nodes.get(&promise.content().node).copied())
    }

    fn judge(&self, world: &World, promise: &Promise) -> Verdict {
        let node = self.nodes[&promise.node];
        let block_s = world.plan().block_every.as_secs_f64();
        let since = self.times.windows(2).filter(|pair| pair[1].as_secs() >= promise.req_date);
        let gaps = since.map(|pair| pair[1].as_secs() - pair[0].as_secs());
        let evidence = Evidence {
            transfers: self.evidence[node].clone(),
            until: self.times.last().copied().unwrap_or_default(),
            halted_s: gaps.filter(|gap| *gap as f64 > 10.0 * block_s).sum(),
        };
        judge(promise, Amount::from_units(LEDGER_FEE), world.currency(), &evidence)
    }

    fn all_receipts(&self) -> impl Iterator<Item = &Promise> {
        let parts = self.receipts.values().flatten();
        parts.flat_map(|(_, promises)| promises).map(Signed::content)
    }

    /// Whether some promise is neither kept nor overdue yet.
    pub fn awaits(&self, world: &World) -> bool {
        self.all_receipts().any(|promise| self.judge(world, promise) == Verdict::Pending)
    }

    /// The last judgement.
    ///
    /// # Errors
    /// The first account that does not balance.
    pub fn verdict(world: &World) -> Result<(), Broken> {
        let books = world.books();
        for node in (0..world.plan().mixers).filter(|node| !world.plan().costs(*node)) {
            books.of_mixer(world, node)?;
        }
        for user in 0..world.plan().users.len() {
            let honest = world.plan().users[user].manner == Manner::Honest;
            for number in 0..world.plan().users[user].wants.len() {
                if honest && !world.plan().is_copied(world.plan().mixers + user) {
                    books.of_user(world, user, number)?;
                }
            }
        }
        for promise in books.all_receipts() {
            let node = books.nodes[&promise.node];
            let verdict = books.judge(world, promise);
            let calm = world.plan().profile == Profile::Calm;
            let accused = verdict == Verdict::Broken || calm && verdict != Verdict::Kept;
            if accused && !doubtful(world, node) {
                return Err(Broken::Accused { node, verdict });
            }
        }
        Ok(())
    }

    fn of_mixer(&self, world: &World, node: usize) -> Result<(), Broken> {
        let mixer = world.nodes()[node].alive.as_ref().and_then(|alive| alive.core.mixer());
        let Some(mixer) = mixer else { return Ok(()) };
        let copied = world.plan().is_copied(node);
        let mine = self.came.iter().filter(|((to, _), _)| *to == node);
        for ((_, reference), came) in mine.filter(|((_, r), _)| is_mingle(r)) {
            self.of_reference(mixer, node, reference, came, copied)?;
        }
        let unclaimed: Amount = mixer.unclaimed().values().map(|back| back.amount).sum();
        let holds = world.chain().ledger.final_account(&mixer.account()).free.units();
        let has = holds.saturating_sub(unclaimed.units());
        let least = RICH - LEDGER_FEE * self.transactions[node];
        if has < least && !copied {
            return Err(Broken::Poorer { node, by: least - has });
        }
        Ok(())
    }

    /// What became of the payments that a mixer got with one reference, sender by sender.
    fn of_reference(
        &self,
        mixer: &Mixer,
        node: usize,
        reference: &Reference,
        came: &[(Transfer, LedgerTime)],
        copied: bool,
    ) -> Result<(), Broken> {
        let promises = self.promises.get(&(node, reference.clone())).map_or(&[][..], Vec::as_slice);
        let exact = |(transfer, time): &(Transfer, LedgerTime)| {
            promises.iter().any(|promise| {
                transfer.from == promise.sender
                    && transfer.amount == promise.in_amount
                    && time.as_secs() <= promise.expire_date.saturating_add(KEEP_S)
            })
        };
        let paid: usize = self
            .owed
            .iter()
            .filter(|((of, _), promise)| *of == node && promises.contains(promise))
            .map(|(key, _)| self.made.get(key).map_or(0, Vec::len))
            .sum();
        if came.iter().any(exact) && paid == 0 && !copied {
            return Err(Broken::NotPaid { node });
        }
        if paid > 0 && !came.iter().any(exact) {
            return Err(Broken::Unowed { node });
        }
        let payer = promises.first().map(|promise| promise.sender);
        let senders: BTreeSet<_> = came.iter().map(|(transfer, _)| transfer.from).collect();
        for sender in senders {
            let theirs = came.iter().filter(|(transfer, _)| transfer.from == sender).count();
            let returned = return_of(reference);
            let back = self
                .made
                .get(&(node, returned))
                .map_or(0, |made| made.iter().filter(|transfer| transfer.to == sender).count());
            let booked = mixer.unclaimed().values();
            let booked = booked.filter(|b| b.reference == *reference && b.to == sender);
            let worth = Amount::from_units(LEDGER_FEE);
            let booked = booked.filter(|b| copied || b.amount <= worth).count();
            let sent = back + if payer == Some(sender) { paid } else { 0 };
            let settled = sent + booked;
            // With an old copy it may not know what it has sent already, and keep it apart as well.
            let fits = if copied { sent <= theirs && theirs <= settled } else { settled == theirs };
            if !fits {
                return Err(Broken::Unsettled { node, came: theirs, settled });
            }
        }
        Ok(())
    }

    fn of_user(&self, world: &World, user: usize, number: usize) -> Result<(), Broken> {
        let attempt = &world.attempts()[user][number];
        let node = world.plan().mixers + user;
        let parts = self.receipts.get(&(user, number)).into_iter().flatten();
        let deposited: Vec<_> = parts
            .filter(|(reference, _)| self.made.contains_key(&(node, (*reference).clone())))
            .map(|(_, promises)| promises)
            .collect();
        let receiver = world.plan().receiver(user, number);
        let got = world.chain().ledger.final_account(&receiver).free.units();
        let wanted = world.plan().users[user].wants[number].amount;
        let hops: Vec<_> = deposited.iter().copied().flatten().map(Signed::content).collect();
        let is =
            |promise: &&Promise, doubt: &dyn Fn(usize) -> bool| doubt(self.nodes[&promise.node]);
        let cheated = hops.iter().any(|p| is(p, &|node| world.plan().costs(node)));
        // Who pays the wrong amount or account must pay once more: that is his own loss.
        let received = |amount| got == amount || cheated && got >= amount;
        let as_shown = match attempt.end {
            Some(End::Arrived) => deposited.len() == 1 && received(wanted),
            Some(End::Returned) => deposited.len() == 1 && received(0),
            Some(End::Failed) => deposited.is_empty() && got == 0,
            None => deposited.len() <= 1,
        };
        if !as_shown {
            return Err(Broken::NotReceived { user, number });
        }
        if attempt.end.is_some() || deposited.is_empty() {
            return Ok(());
        }
        let copied = hops.iter().any(|p| is(p, &|node| world.plan().is_copied(node)));
        let judged = hops.iter().map(|p| (self.nodes[&p.node], self.judge(world, p)));
        let hops: Vec<_> = judged.collect();
        let held =
            hops.iter().find(|(_, verdict)| !matches!(verdict, Verdict::Kept | Verdict::Late));
        let held = held.is_some_and(|(node, _)| world.plan().costs(*node));
        let proved = held
            || hops
                .iter()
                .any(|(node, verdict)| world.plan().costs(*node) && *verdict == Verdict::Late);
        if proved || copied { Ok(()) } else { Err(Broken::Unproved { user, number, hops }) }
    }
}

/// What a payment back returns.
fn original(reference: &Reference) -> Option<Reference> {
    reference.as_bytes().strip_prefix(RETURN_PREFIX).and_then(Reference::new)
}

fn return_of(reference: &Reference) -> Reference {
    let bytes = [RETURN_PREFIX, reference.as_bytes()].concat();
    Reference::new(&bytes).expect("a Mingle reference is short")
}

fn is_mingle(reference: &Reference) -> bool {
    std::str::from_utf8(reference.as_bytes()).is_ok_and(|text| address::unbase58(text).is_some())
}
