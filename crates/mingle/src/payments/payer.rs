//! One run of a payer: the loop that joins the core to records, mixers and ledger.
//!
//! ```text
//! blocks (own, and the receivers') ─┐            ┌─► save, all or none, on the disk; then
//! answers of mixers                ─┼─► core ─►──┤   commands · signatures · transactions
//! time                             ─┘            └─► events, for who shows them
//!                                    shares: which part is begun, paid, given up (`share`)
//! ```
//! What always holds: nothing leaves before the changes it stands on are saved, so the run may end
//! anywhere; nothing is begun before the final chain was read to its head, nor paid before its payer
//! agreed; no two parts under way share a mixer.

mod event;
mod plan;
mod rest;
mod share;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use mixing::{Chance, Time};
use money::{Account, AccountKey, Amount, Transfer};
use payment::Payer as Core;
use payment::document::{Currency, Host, PeerInfo, Signed};
use payment::effect::{Answer, Change, Command, Effect, FinalBlock, OrderId};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

pub use event::{Event, Setback, Step, Stop, Which};
pub use plan::Agreement;
use plan::answered;
use rest::{core_config, forget_unagreed};
pub use rest::{forget, mixers, promises};
use share::Live;

use super::book::{self, Book, Payment};
use super::chain::{self, Chain};
use super::client::{Client, Silence, plain};
use super::gather::{self, Gathered, Gatherer};
use super::store::Store;
use super::wallet::Wallet;
use super::{config, keys, peer_file};
use crate::Error;
use crate::clock::Clock;

/// A payer at work.
pub struct Payer {
    core: Core,
    store: Store,
    book: Book,
    /// The peer infos of each part's route.
    infos: BTreeMap<OrderId, Vec<Signed<PeerInfo>>>,
    key: AccountKey,
    account: Account,
    settings: config::Pay,
    inside: bool,
    hosts: Vec<Host>,
    client: Arc<Client>,
    chain: Arc<Chain>,
    chance: Chance,
    clock: Clock,
    /// Infos of mixers from files and records, to begin with.
    known: Vec<Vec<u8>>,
    gathered: Option<(Time, Gathered)>,
    asks: JoinSet<Heard>,
    reading: JoinSet<Result<Vec<FinalBlock>, Error>>,
    live: BTreeMap<Which, Live>,
    /// Who is to pay, once he has said so.
    agreement: Option<(Agreement, oneshot::Receiver<bool>)>,
    declined: bool,
    newest: u64,
    caught_up: bool,
    silent: bool,
    quiet_said: bool,
    refusal_said: Option<String>,
    events: VecDeque<Event>,
}

/// What came of a command.
struct Heard {
    part: OrderId,
    answer: Result<Answer, Silence>,
}

/// Mixers are looked for again after this.
const GATHERED_LIFE: Duration = Duration::from_secs(600);
/// Shares are looked after at least so often.
const TICK: Duration = Duration::from_millis(500);

impl Payer {
    /// Opens a wallet to pay from it. Payments that nobody agreed to are forgotten, unless `resume`.
    ///
    /// # Errors
    /// What the payer must repair.
    pub async fn open(wallet: &Wallet, resume: bool) -> Result<Self, Error> {
        let currency = chain::currency(&wallet.config().ledger)?;
        let key = wallet.key()?;
        let mut store = wallet.store().await?;
        let (client, chain) = patiently(|| wallet.connect()).await?;
        let settings = wallet.config().pay.clone();
        let mut book = Book::open(&mut store).await?;
        if !resume {
            forget_unagreed(&mut store, &mut book, &wallet.config().pay, &currency).await?;
        }
        let infos = routes(book::infos(&mut store).await?, &currency);
        let begun_earlier = |payment: &Payment| {
            payment.shares.iter().any(|share| share.part.is_none() && share.end.is_none())
        };
        // What has begun, the core knows itself.
        let anew = !book.payments().any(begun_earlier);
        let clock = Clock::start();
        let core = Core::resume(
            core_config(&settings, currency, anew),
            keys::copy(&key),
            Chance::new(crate::key::random()?),
            store.core().await?,
            patiently(|| chain.height()).await?,
            clock.now(),
        );
        let core = core.map_err(|_| store.unreadable("parts"))?;
        let known = known(wallet, &mut store).await?;
        let hosts = wallet.config().peers.hosts.iter().map(|text| peer_file::host(text));
        let hosts = hosts.collect::<Result<_, _>>()?;
        Ok(Self {
            core,
            store,
            book,
            infos,
            key,
            account: wallet.account(),
            settings,
            inside: wallet.config().peers.inside,
            hosts,
            client,
            chain: Arc::new(chain),
            chance: Chance::new(crate::key::random()?),
            clock,
            known,
            gathered: None,
            asks: JoinSet::new(),
            reading: JoinSet::new(),
            live: BTreeMap::new(),
            agreement: None,
            declined: false,
            newest: 0,
            caught_up: false,
            silent: false,
            quiet_said: false,
            refusal_said: None,
            events: VecDeque::new(),
        })
    }

    /// The ledger.
    pub fn chain(&self) -> &Chain {
        &self.chain
    }

    /// The payments.
    pub fn book(&self) -> &Book {
        &self.book
    }

    /// The core's parts.
    pub fn core(&self) -> &Core {
        &self.core
    }

    /// What has happened and was not taken yet.
    pub fn take_events(&mut self) -> impl Iterator<Item = Event> {
        std::mem::take(&mut self.events).into_iter()
    }

    /// What the account holds.
    ///
    /// # Errors
    /// When the ledger is out of reach.
    pub async fn balance(&self) -> Result<Amount, Error> {
        let connection = self.chain.connection();
        patiently(async || {
            let state = connection.account(&self.account).await;
            Ok(state.map_err(|why| self.chain.failed(why))?.free)
        })
        .await
    }

    /// Whether there was nobody to begin with.
    pub fn knows_nobody(&self) -> bool {
        self.known.is_empty() && self.hosts.is_empty()
    }

    /// How many mixers may be asked, as was found last.
    pub fn fit_count(&self) -> usize {
        self.gathered.as_ref().map_or(0, |(_, gathered)| self.fit(&gathered.peers).count())
    }

    /// Whether a payment has a share that is not known to be deposited.
    pub fn is_unpaid(&self, payment: &Payment) -> bool {
        payment.shares.iter().any(|share| {
            let part = share.part.and_then(|id| self.core.parts().get(&id));
            share.end.is_none() && part.is_none_or(payment::payer::Part::is_unpaid)
        })
    }

    /// Whether the final chain was read to its head.
    pub fn is_caught_up(&self) -> bool {
        self.caught_up
    }

    /// Goes on until something has happened.
    ///
    /// # Errors
    /// What ends a run: the records, or another ledger.
    pub async fn step(&mut self) -> Result<(), Error> {
        if self.reading.is_empty() {
            let (chain, next, account) = (self.chain.clone(), self.core.next_block(), self.account);
            self.reading.spawn(async move { chain.blocks(next, &account).await });
        }
        let now = self.clock.now().time;
        let wait = self.core.wake_at().map_or(TICK, |at| (at - now).min(TICK));
        let Self { reading, asks, agreement, .. } = self;
        tokio::select! {
            Some(read) = reading.join_next() => self.on_read(read).await?,
            Some(heard) = asks.join_next() => if let Ok(heard) = heard {
                self.on_heard(heard).await?;
            },
            agreed = answered(agreement) => self.on_agreement(agreed).await?,
            () = tokio::time::sleep(wait) => {}
        }
        let mut out = Vec::new();
        self.core.tick(self.clock.now(), &mut out);
        self.perform(out, Vec::new()).await?;
        self.look_after_shares().await
    }

    /// Performs effects in their order; `extra` is saved with the first of them, as one.
    async fn perform(&mut self, effects: Vec<Effect>, extra: Vec<Change>) -> Result<(), Error> {
        let mut queue: VecDeque<_> = effects.into();
        let mut changes = extra;
        while let Some(effect) = queue.pop_front() {
            // Neighbouring saves are one: nothing happens between them.
            if let Effect::Save(more) = effect {
                changes.extend(more);
                continue;
            }
            self.store.save(std::mem::take(&mut changes)).await?;
            match effect {
                Effect::Save(_) | Effect::Reply(_) => {}
                Effect::Ask { order, to, command } => self.ask(order, to, command),
                Effect::Sign { slot, payment, period } => {
                    // What fails is asked for again at the next final block.
                    let signed = self.chain.sign(&self.key, slot, payment, period).await;
                    if let Ok((bytes, last)) = signed {
                        let mut out = Vec::new();
                        // Refused only if it is not wanted any more.
                        let _ = self.core.on_signed(slot, bytes, last, &mut out);
                        queue.extend(out);
                    }
                }
                Effect::Broadcast(bytes) => self.submit(&bytes).await,
                Effect::Tell(notice) => self.events.push_back(Event::Notice(notice)),
            }
        }
        self.store.save(changes).await?;
        self.store.settle().await
    }

    /// Sends a transaction. Whether it was taken, the final chain tells; but that the ledger refuses it
    /// for another reason than having it is worth knowing.
    async fn submit(&mut self, bytes: &[u8]) {
        let Err(Error::Ledger { why: ledger::Error::Refused(word), .. }) =
            self.chain.submit(bytes).await
        else {
            return;
        };
        let repeated = ["StaleSlot", "SlotTaken"].contains(&word.as_str());
        if !repeated && self.refusal_said.as_ref() != Some(&word) {
            self.refusal_said = Some(word.clone());
            self.events.push_back(Event::LedgerRefused(plain(&word)));
        }
    }

    fn ask(&mut self, part: OrderId, to: Account, command: Command) {
        let (client, account) = (self.client.clone(), self.account);
        let info = self.info_of(&part, &to);
        self.asks.spawn(async move {
            let answer = match info {
                Some(info) => client.command(&account, &info, &command).await,
                None => Err(Silence::Unreached),
            };
            Heard { part, answer }
        });
    }

    /// The newest that is known of a mixer on a part's route.
    fn info_of(&self, part: &OrderId, mixer: &Account) -> Option<PeerInfo> {
        let newest = self.gathered.as_ref().and_then(|(_, gathered)| gathered.peers.find(mixer));
        if let Some(peer) = newest {
            return Some(peer.info().clone());
        }
        let mut route = self.infos.get(part)?.iter().map(Signed::content);
        route.find(|info| info.pubkey == *mixer).cloned()
    }

    async fn on_heard(&mut self, heard: Heard) -> Result<(), Error> {
        let Heard { part, answer } = heard;
        self.remember_silence(&part, answer.as_ref().err());
        let answer = answer.map_err(|silence| silence.unheard());
        let mut out = Vec::new();
        // What comes too late is nobody's.
        let _ = self.core.on_heard(self.clock.now(), part, answer, &mut out);
        self.perform(out, Vec::new()).await
    }

    async fn on_read(
        &mut self,
        read: Result<Result<Vec<FinalBlock>, Error>, tokio::task::JoinError>,
    ) -> Result<(), Error> {
        let read = match read {
            Ok(Ok(blocks)) => self.on_blocks(blocks).await,
            Ok(Err(why)) => Err(why),
            Err(_) => return Ok(()),
        };
        match read {
            Ok(()) => {
                if std::mem::take(&mut self.silent) {
                    self.events.push_back(Event::LedgerBack);
                }
                Ok(())
            }
            Err(why @ Error::Ledger { why: ledger::Error::OtherLedger, .. }) => Err(why),
            Err(Error::Ledger { .. }) => {
                if !std::mem::replace(&mut self.silent, true) {
                    self.events.push_back(Event::LedgerSilent);
                }
                self.chain.pause().await;
                Ok(())
            }
            Err(why) => Err(why),
        }
    }

    /// Gives final blocks in, with what they bring to the receivers.
    async fn on_blocks(&mut self, blocks: Vec<FinalBlock>) -> Result<(), Error> {
        let (Some(first), Some(last)) = (blocks.first(), blocks.last()) else { return Ok(()) };
        let watched = self.core.watched();
        let arrivals = self.arrivals(&watched, first.height, last.height).await?;
        let mut out = Vec::new();
        for block in &blocks {
            // A part that a block shows as deposited brings a receiver whose blocks were not read yet.
            if !self.core.watched().is_subset(&watched) {
                break;
            }
            let arrived = arrivals.get(&block.height).map_or(&[][..], Vec::as_slice);
            // Out of order only if the ledger's answer was.
            let given = self.core.on_block(block, arrived, &mut out);
            given.map_err(|_| self.chain.failed(ledger::Error::Unreadable))?;
            self.caught_up |= block.height == block.newest;
            self.newest = block.height;
        }
        self.perform(out, Vec::new()).await
    }

    async fn arrivals(
        &self,
        receivers: &BTreeSet<Account>,
        from: u64,
        until: u64,
    ) -> Result<BTreeMap<u64, Vec<Transfer>>, Error> {
        let mut arrivals: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for receiver in receivers {
            let mut next = from;
            while next <= until {
                let blocks = self.chain.blocks(next, receiver).await?;
                let last = blocks.last().map(|block| block.height);
                next = last.ok_or_else(|| self.chain.failed(ledger::Error::Unreachable))? + 1;
                for block in blocks.into_iter().filter(|block| !block.received.is_empty()) {
                    arrivals.entry(block.height).or_default().extend(block.received);
                }
            }
        }
        Ok(arrivals)
    }

    /// Looks for mixers, unless that was done just now.
    ///
    /// # Errors
    /// When they cannot be saved.
    pub async fn gather(&mut self) -> Result<(), Error> {
        let now = self.clock.now().time;
        if self.gathered.as_ref().is_some_and(|(at, _)| now - *at < GATHERED_LIFE) {
            return Ok(());
        }
        let gatherer = Gatherer {
            client: &self.client,
            chain: &self.chain,
            own: self.account,
            hosts: &self.hosts,
            inside: self.inside,
            unvouched: self.settings.unvouched,
            date: self.core.date(),
        };
        let gathered = gatherer.gather(&self.known, &mut self.chance).await;
        let saved = self.store.table(gather::TABLE).await?;
        let saved: Vec<_> = saved.into_iter().map(|(key, _)| key).collect();
        self.store.save(gather::changes(&gathered.peers, &saved)).await?;
        self.known.extend(gathered.peers.iter().map(|peer| peer.bytes().to_vec()));
        self.known.sort_unstable();
        self.known.dedup();
        self.known.truncate(KNOWN_MAX);
        let (known, fit) = (gathered.peers.iter().count(), self.fit(&gathered.peers).count());
        let sources = gathered.sources;
        self.events.push_back(Event::Gathered { known, fit, sources });
        self.gathered = Some((now, gathered));
        Ok(())
    }

    /// What the first mixer of a route may take at most: twice what is usual. Who asks for more is asked
    /// only to pass on, which costs nothing.
    pub fn fee_most(&self) -> Amount {
        let Some((_, gathered)) = &self.gathered else { return Amount::ZERO };
        let mut fees: Vec<_> =
            self.fit(&gathered.peers).map(|peer| peer.info().terms.fee).collect();
        fees.sort_unstable();
        let usual = fees.get(fees.len() / 2).copied().unwrap_or_default();
        usual.plus(usual).unwrap_or(usual)
    }

    /// Ends the run.
    ///
    /// # Errors
    /// When the records cannot be closed.
    pub async fn close(mut self) -> Result<(), Error> {
        self.store.settle().await?;
        self.store.close().await
    }
}

/// Asks the ledger again a few times while it is out of reach.
async fn patiently<T>(ask: impl AsyncFn() -> Result<T, Error>) -> Result<T, Error> {
    for _ in 1..ASKS_MAX {
        match ask().await {
            Err(Error::Ledger { why: ledger::Error::Unreachable, .. }) => {
                tokio::time::sleep(ASK_AGAIN).await;
            }
            answer => return answer,
        }
    }
    ask().await
}

const ASKS_MAX: u32 = 4;
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// The most infos that are kept to begin with.
const KNOWN_MAX: usize = 4096;

/// The mixers of each part's route, as they signed what they said of themselves.
fn routes(
    infos: BTreeMap<OrderId, Vec<Vec<u8>>>,
    currency: &Currency,
) -> BTreeMap<OrderId, Vec<Signed<PeerInfo>>> {
    let read =
        |raw: &Vec<u8>| Signed::read(raw, currency, |info: &PeerInfo| Some(info.pubkey)).ok();
    let route = |(part, raws): (_, Vec<_>)| (part, raws.iter().filter_map(read).collect());
    infos.into_iter().map(route).collect()
}

/// Infos of mixers from the settings' files and from earlier runs.
async fn known(wallet: &Wallet, store: &mut Store) -> Result<Vec<Vec<u8>>, Error> {
    let mut known = Vec::new();
    for file in peer_file::of_folder(wallet.folder(), &wallet.config().peers) {
        known.extend(peer_file::read(&file)?);
    }
    known.extend(store.table(gather::TABLE).await?.into_iter().map(|(_, info)| info));
    Ok(known)
}
