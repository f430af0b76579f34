//! A mixer: promises, sees the money come, waits for company, pays on.
//!
//! ```text
//! asked.rs   Request ─► Requested ─► Heard(seed) ─► Answered ─► Confirm ─► Promised ─► Confirm, GetConfirm
//! paid.rs    Block: deposit ─► Funded ─► pool ─► tick: slot, Paying ─► Sign, Broadcast ─► Block: forgotten
//! index.rs   the ways to find an order, and when its messages leave
//! records.rs what is on the disk, and how a mixer begins again from it
//! ```
//! What always holds: a funded promise is paid exactly once; a payment with a Mingle reference that fits
//! no order is returned at most once; everything is saved before it is said. An order is found by its
//! references, so that what the chain shows is believed over what the file says.
//!
//! Absent: HTTP, the ledger, the disk. They give [`Input`]s and perform [`Effect`]s.

mod asked;
mod index;
mod paid;
pub(crate) mod records;

use std::collections::BTreeMap;
use std::time::Duration;

use mixing::cipher::Forged;
use mixing::envelope::{EnvelopeKey, EnvelopePublic};
use mixing::keys::Secret;
use mixing::{Chance, Now, Pool, Strategy, Time};
use money::amount::Series;
use money::{Account, AccountKey, Amount, Place};

use crate::command::{self, ReplyKey};
use crate::document::{Currency, Host, KnownPeer, PEERS_MAX, PeerInfo, Signed, Terms, peer_hash};
use crate::effect::{Change, Command, Effect, Input, OrderId, Refused, is_fresh, retry_after};
use crate::order::{Order, Step};
use crate::peers::Peers;
use crate::slots::{Purpose, Slots};
use index::{Index, Timers};
pub(crate) use paid::is_mingle;
pub use paid::{RETURN_PREFIX, Return};
pub use records::{BadRecord, Resuming};

/// What an operator decides.
#[derive(Clone, Debug)]
pub struct Config {
    /// Which money.
    pub currency: Currency,
    /// What everyone is asked and promised.
    pub terms: Terms,
    /// The network's denominations.
    pub series: Series,
    /// No account holds less and lives.
    pub existential_deposit: Amount,
    /// Kept for the ledger's fees; promises need it.
    pub float: Amount,
    /// When payouts leave, and which.
    pub strategy: Strategy,
    /// The ledger's usual time between blocks.
    pub block_time: Duration,
    /// Seconds for finality and retries that must fit between `expire_date` and `payout_date`, beside
    /// the longest wait.
    pub margin_s: u64,
    /// How far ahead dates may lie, in seconds.
    pub horizon_s: u64,
    /// Mean delay of requests and promises passed on.
    pub delay: Duration,
    /// Life of payouts in blocks.
    pub period: u32,
    /// The most orders.
    pub orders_max: usize,
    /// The most unfunded orders of one payer.
    pub client_orders_max: usize,
    /// The most unfunded orders of one mixer that nobody vouches for.
    pub peer_orders_max: usize,
    /// The most unfunded orders of one vouched mixer.
    pub vouched_orders_max: usize,
    /// The most returns that wait, and the most that are unclaimed.
    pub returns_max: usize,
    /// Whether peers at inside addresses are taken.
    pub inside: bool,
}

impl Config {
    /// Checks that what is published can be kept.
    ///
    /// # Errors
    /// The first thing that does not fit.
    pub fn check(&self) -> Result<(), Unfit> {
        if self.strategy.check().is_err() {
            return Err(Unfit::Strategy);
        }
        if self.strategy.longest() > Duration::from_secs(self.terms.wait_max_s) {
            return Err(Unfit::WaitMax);
        }
        if !self.series.holds(self.terms.least) {
            return Err(Unfit::Least);
        }
        if self.terms.keep_s < KEEP_MIN_S {
            return Err(Unfit::Keep);
        }
        Ok(())
    }
}

/// Why a configuration cannot be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// The strategy's own numbers.
    Strategy,
    /// The strategy may hold payouts longer than the terms say.
    WaitMax,
    /// The least amount is no denomination of the network.
    Least,
    /// Late deposits must be kept for 24 hours at least.
    Keep,
}

/// The shortest time for which late deposits are passed on, in seconds.
pub const KEEP_MIN_S: u64 = 86_400;

/// A mixer.
pub struct Mixer {
    config: Config,
    key: AccountKey,
    account: Account,
    hash: [u8; 32],
    chance: Chance,
    /// Seeds of payments are drawn from it; see `Mixer::seeds`.
    seed_key: Secret<32>,
    /// The keys envelopes are opened with, oldest first, each with the ledger second it began.
    keys: Vec<(u64, EnvelopeKey)>,
    peers: Peers,
    orders: BTreeMap<OrderId, Order>,
    index: Index,
    returns: BTreeMap<Place, Return>,
    unclaimed: BTreeMap<Place, Return>,
    pools: BTreeMap<Amount, Pool<Purpose>>,
    /// Returns are no denominations and keep company among themselves.
    return_pool: Pool<Purpose>,
    slots: Slots,
    timers: Timers,
    ledger: LedgerView,
}

/// What the last final block said.
struct LedgerView {
    /// Its height.
    height: u64,
    /// Height of the newest one known.
    newest: u64,
    /// Its time, whole seconds.
    date: u64,
    /// When it was heard of.
    heard: Time,
    solvent: bool,
    /// The account did something that we do not know.
    foreign: bool,
    /// Whether it did so since it was last clear. Kept over starts.
    doubt: bool,
    /// What came in unclaimed after [`Config::returns_max`] of such payments: the sum alone.
    beyond: u64,
}

/// How a mixer stands to its ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Height of the final block that was given in last.
    pub height: u64,
    /// Height of the newest one known.
    pub newest: u64,
    /// Whether new promises are made.
    pub promises: bool,
    /// Whether the account holds what it must.
    pub solvent: bool,
    /// Whether the account did something that is not in the records.
    pub foreign: bool,
    /// What the account must hold.
    pub needed: Amount,
    /// What came in unclaimed beyond the limit: the sum alone.
    pub beyond: Amount,
}

/// How long an envelope key is the newest, in seconds.
const KEY_LIFE_S: u64 = 86_400;

/// How many fingerprints are kept for each order there may be.
const SEEN_PER_ORDER: usize = 8;

impl Mixer {
    /// What happens.
    ///
    /// # Errors
    /// [`Refused`]: nothing has changed but counts.
    pub fn receive(
        &mut self,
        now: Now,
        input: Input,
        out: &mut Vec<Effect>,
    ) -> Result<(), Refused> {
        match input {
            Input::Request { body, owned } => self.on_request(now, &body, owned, out),
            Input::Confirm { body } => self.on_confirm(now, &body, out),
            Input::GetConfirm { body } => self.on_get_confirm(&body, out),
            Input::Heard { order, answer } => self.on_heard(order, answer, out),
            Input::Signed { slot, bytes, last } => self.slots.on_signed(slot, bytes, last, out),
            Input::Block(block) => self.on_block(now, &block, out),
        }
    }

    /// Lets time pass: messages that are due, and payouts whose wait is over.
    pub fn tick(&mut self, now: Now, out: &mut Vec<Effect>) {
        self.send_due(now, out);
        let mut released = Vec::new();
        for pool in self.pools.values_mut().chain([&mut self.return_pool]) {
            pool.release(now, &mut self.chance, &mut released);
        }
        for purpose in released {
            self.owe(purpose);
        }
        self.give_slots(out);
    }

    /// When [`Self::tick`] is needed next.
    pub fn wake_at(&self) -> Option<Time> {
        let pools = self.pools.values().chain([&self.return_pool]).filter_map(Pool::wake_at);
        pools.chain(self.timers.due.first().map(|(time, _)| *time)).min()
    }

    /// Feeds the generator.
    pub fn feed(&mut self, fresh: &[u8; 32]) {
        self.chance.feed(fresh);
    }

    /// The height of the final block to be given in next.
    pub fn next_block(&self) -> u64 {
        self.ledger.height + 1
    }

    /// Time of the newest final block that was given in, whole seconds; zero before the first.
    pub fn date(&self) -> u64 {
        self.ledger.date
    }

    /// How the mixer stands to its ledger.
    pub fn standing(&self, now: Now) -> Standing {
        let LedgerView { height, newest, solvent, foreign, beyond, .. } = self.ledger;
        let promises = self.makes_promises(now);
        let needed = self.needed();
        let beyond = Amount::from_units(beyond);
        Standing { height, newest, promises, solvent, foreign, needed, beyond }
    }

    /// This mixer's account.
    pub fn account(&self) -> Account {
        self.account
    }

    /// The mixers it knows.
    pub fn peers(&self) -> &Peers {
        &self.peers
    }

    /// The mixers it knows, to be changed.
    pub fn peers_mut(&mut self) -> &mut Peers {
        &mut self.peers
    }

    /// The orders, for the operator.
    pub fn orders(&self) -> &BTreeMap<OrderId, Order> {
        &self.orders
    }

    /// Payments that are on their way back.
    pub fn returns(&self) -> &BTreeMap<Place, Return> {
        &self.returns
    }

    /// Payments that could not be returned.
    pub fn unclaimed(&self) -> &BTreeMap<Place, Return> {
        &self.unclaimed
    }

    /// The key that envelopes to this mixer are sealed to.
    pub fn enckey(&self) -> &EnvelopePublic {
        self.keys.last().expect("a mixer has a key from its start on").1.public()
    }

    /// Opens a sealed command: path, body, and the key of the answer. An older key opens as long as
    /// it is kept, for those who have not heard of the newest.
    ///
    /// # Errors
    /// [`Forged`]: sealed to another key, changed, or of another size or form.
    pub fn open_sealed(&self, sealed: &[u8]) -> Result<(String, Vec<u8>, ReplyKey), Forged> {
        let mut keys = self.keys.iter().rev().map(|(_, key)| key);
        keys.find_map(|key| command::open(sealed, key).ok()).ok_or(Forged)
    }

    /// This mixer's signed peer info, dated with the newest final block.
    pub fn info(&self, host: Host, idty: Option<(Account, Vec<u8>)>) -> Signed<PeerInfo> {
        let reached = self.peers.iter().filter(|peer| peer.is_reached());
        let known = reached.take(PEERS_MAX).map(|peer| KnownPeer {
            hash: peer_hash(&self.config.currency, &peer.info().pubkey),
            up_in: false,
            up_out: true,
        });
        let info = PeerInfo {
            pubkey: self.account,
            sigtime: self.ledger.date,
            host,
            idty,
            enckey: self.enckey().clone(),
            terms: self.config.terms.clone(),
            peers: known.collect(),
        };
        Signed::make(info, &self.config.currency, &self.key)
    }

    /// Lets a stuck order try again.
    ///
    /// # Errors
    /// [`Refused::NoOrder`] and [`Refused::NotNow`].
    pub fn retry(&mut self, now: Now, id: OrderId, out: &mut Vec<Effect>) -> Result<(), Refused> {
        let mut changes = Vec::new();
        self.step(id, Step::Retry, &mut changes)?;
        out.push(Effect::Save(changes));
        self.pool(now, Purpose::Order(id));
        Ok(())
    }

    /// Sends the deposit of a stuck order back to who made it, on the operator's word. The promise is
    /// not kept then.
    ///
    /// # Errors
    /// [`Refused::NoOrder`], [`Refused::NotNow`] for an order that is not stuck or not worth its return,
    /// [`Refused::Full`] if too many returns wait.
    pub fn give_back_order(
        &mut self,
        now: Now,
        id: OrderId,
        out: &mut Vec<Effect>,
    ) -> Result<(), Refused> {
        let order = self.orders.get(&id).ok_or(Refused::NoOrder)?;
        let Order::Stuck(fund) = order else { return Err(Refused::NotNow) };
        let promise = fund.deal.promise(self.account, fund.their_seed);
        let back = Return {
            to: promise.sender,
            amount: promise.in_amount,
            reference: promise.in_reference(&self.config.currency),
            failures: 0,
        };
        let place = fund.deposit;
        let mut changes = Vec::new();
        self.begin_return(now, place, back, &mut changes)?;
        self.forget(id, &mut changes);
        out.push(Effect::Save(changes));
        Ok(())
    }

    /// Sends an unclaimed payment back to who made it, on the operator's word.
    ///
    /// # Errors
    /// [`Refused::NoOrder`], [`Refused::NotNow`] for one that is itself a return or not worth its cost,
    /// [`Refused::Full`] if too many returns wait.
    pub fn give_back(
        &mut self,
        now: Now,
        place: Place,
        out: &mut Vec<Effect>,
    ) -> Result<(), Refused> {
        let mut back = self.unclaimed.get(&place).cloned().ok_or(Refused::NoOrder)?;
        if !is_mingle(&back.reference) {
            return Err(Refused::NotNow);
        }
        back.failures = 0;
        let mut changes = Vec::new();
        self.begin_return(now, place, back, &mut changes)?;
        self.unclaimed.remove(&place);
        changes.push(records::unclaimed(place, None));
        out.push(Effect::Save(changes));
        Ok(())
    }

    /// The operator has looked at what the account did that is not in the records: new promises again.
    pub fn looked(&mut self, out: &mut Vec<Effect>) {
        self.ledger.foreign = false;
        out.push(Effect::Save(vec![records::height(&self.ledger, self.slots.next())]));
    }

    /// Whether new promises are made: the newest final block is known and fresh, the account is
    /// solvent, and nobody else uses it.
    pub fn makes_promises(&self, now: Now) -> bool {
        let LedgerView { height, newest, heard, solvent, foreign, .. } = self.ledger;
        let current = height == newest && is_fresh(now, heard, self.config.block_time);
        current && solvent && !foreign
    }

    fn send_due(&mut self, now: Now, out: &mut Vec<Effect>) {
        while let Some((time, id)) =
            self.timers.due.first().copied().filter(|due| due.0 <= now.time)
        {
            let attempt = self.timers.of.get(&id).map_or(0, |timer| timer.1);
            debug_assert_eq!(self.timers.of.get(&id).map(|timer| timer.0), Some(time));
            match self.message(&id) {
                Some((to, command)) => {
                    out.push(Effect::Ask { order: id, to, command });
                    self.timers.set(id, now.time + retry_after(attempt), attempt + 1);
                }
                None => self.timers.clear(&id),
            }
        }
    }

    /// What is to be said about an order now, and to whom.
    fn message(&self, id: &OrderId) -> Option<(Account, Command)> {
        match self.orders.get(id)? {
            Order::Requested { deal, ask, .. } => Some((deal.next, Command::Mix(ask.clone()))),
            Order::Promised { deal, promises, acknowledged: false, .. } if !deal.client => {
                Some((deal.sender, Command::Confirm(self.confirmation(deal, promises))))
            }
            Order::Answered { .. }
            | Order::Promised { .. }
            | Order::Funded(_)
            | Order::Paying(..)
            | Order::Stuck(_) => None,
        }
    }

    /// Arms an order's timer after a random delay, so that what comes in and what goes out on the
    /// network do not follow each other closely.
    fn send_later(&mut self, now: Now, id: OrderId) {
        let delay = self.chance.exponential(self.config.delay).min(self.config.delay * 10);
        self.timers.set(id, now.time + delay, 0);
    }

    fn step(&mut self, id: OrderId, step: Step, changes: &mut Vec<Change>) -> Result<(), Refused> {
        let order = self.orders.remove(&id).ok_or(Refused::NoOrder)?;
        self.index.remove(id, &order, &self.config, self.account);
        let (order, done) = match order.step(step) {
            Ok(order) => (order, Ok(())),
            Err(order) => (*order, Err(Refused::NotNow)),
        };
        if done.is_ok() {
            changes.push(records::order(id, Some(&order)));
        }
        self.insert(id, order);
        done
    }

    fn insert(&mut self, id: OrderId, order: Order) {
        self.index.insert(id, &order, &self.config, self.account);
        self.orders.insert(id, order);
    }

    /// Forgets an order: nothing of it stays but the fingerprints that refuse its copies.
    fn forget(&mut self, id: OrderId, changes: &mut Vec<Change>) {
        if let Some(order) = self.orders.remove(&id) {
            self.index.remove(id, &order, &self.config, self.account);
            self.timers.clear(&id);
            changes.push(records::order(id, None));
        }
    }
}

/// This mixer's name among mixers.
pub(crate) fn own_hash(config: &Config, account: &Account) -> [u8; 32] {
    peer_hash(&config.currency, account)
}
