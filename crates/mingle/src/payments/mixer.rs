//! One running mixer: the loop that joins the core to its records, and the tasks around it.
//!
//! ```text
//! server (requests) ─┐                        ┌─► store: all changes of a turn as one, on the disk
//! reader (blocks)   ─┼─► inbox ─► core ─► turn┤        then, and only then:
//! gossip (mixers)   ─┘      ▲                 ├─► answers · commands to mixers (asker)
//!                           └─────────────────┴─► signatures and transactions (signer)
//! ```
//! What always holds: nothing leaves before the changes it stands on are saved; many inputs of one turn
//! share one save. If a save fails the process ends: at the next start it does what it had saved.
//! Each queue has a limit; what does not fit into a queue of things to do is done at the next final
//! block, as the core asks for it again.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mixing::{Chance, Now};
use money::Account;
use payment::effect::{Answer, Change, Command, Effect, Input, Notice, OrderId, Refused};
use payment::mixer::{Mixer as Core, Resuming};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::asker::Asker;
use super::chain::Chain;
use super::client::Client;
use super::config::MixerConfig;
use super::gossip::Gossip;
use super::signer::{Signer, Work};
use super::store::Store;
use super::{chain, control, keys, server, settings};
use crate::clock::Clock;
use crate::{Error, log};

/// Gives things to a mixer's core and hears what came of them.
#[derive(Clone)]
pub struct Handle(mpsc::Sender<Event>);

/// The most events that wait for the core.
pub const INBOX_MAX: usize = 1024;

/// The most events of one turn: what shares one save.
pub const TURN_MAX: usize = 128;

/// How long deleted records may stay in the write-ahead log.
const SETTLE_WITHIN: Duration = Duration::from_secs(1);

enum Event {
    /// Something for the core, and who waits for its answer.
    Input(Input, Option<oneshot::Sender<Result<Answer, Refused>>>),
    /// Something else to be done with it.
    Look(Box<Look>),
}

/// Looks at the core and says how to tell what it saw, once what it changed is saved.
type Look = dyn FnOnce(&mut Core, Now, &mut Vec<Effect>) -> Box<dyn FnOnce() + Send> + Send;

/// What follows a save.
enum Next {
    Reply(oneshot::Sender<Result<Answer, Refused>>, Result<Answer, Refused>),
    Show(Box<dyn FnOnce() + Send>),
    Ask(OrderId, Account, Command),
    Work(Work),
    Tell(Notice),
}

impl Handle {
    /// Asks the core and waits for its answer, which is saved then.
    ///
    /// # Errors
    /// [`Refused`]; [`Refused::Full`] too while the inbox is full or the mixer ends.
    pub async fn ask(&self, input: Input) -> Result<Answer, Refused> {
        let (reply, answer) = oneshot::channel();
        let event = Event::Input(input, Some(reply));
        self.0.try_send(event).map_err(|_| Refused::Full)?;
        answer.await.unwrap_or(Err(Refused::Full))
    }

    /// Gives the core something that is not answered; waits while the inbox is full.
    pub async fn give(&self, input: Input) {
        // A mixer that ends takes nothing more.
        let _ = self.0.send(Event::Input(input, None)).await;
    }

    /// Looks at the core, or changes what the core leaves to others; nothing if the mixer ends.
    pub async fn with<T: Send + 'static>(
        &self,
        look: impl FnOnce(&mut Core, Now, &mut Vec<Effect>) -> T + Send + 'static,
    ) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        let look = move |core: &mut Core, now: Now, out: &mut Vec<Effect>| {
            let seen = look(core, now, out);
            // Whoever asked may have gone.
            Box::new(move || drop(reply.send(seen))) as Box<dyn FnOnce() + Send>
        };
        self.0.send(Event::Look(Box::new(look))).await.ok()?;
        answer.await.ok()
    }
}

/// A mixer that runs.
pub struct Mixer {
    running: Running,
    tasks: JoinSet<()>,
}

/// What the loop owns.
struct Running {
    core: Core,
    clock: Clock,
    store: Store,
    inbox: mpsc::Receiver<Event>,
    asker: Asker,
    signer: mpsc::Sender<Work>,
}

impl Mixer {
    /// Starts the mixer of a folder: everything that its operator must repair fails here.
    ///
    /// # Errors
    /// What the operator must repair.
    pub async fn start(folder: &Path, config: &MixerConfig) -> Result<Self, Error> {
        let mut store = Store::open(folder).await?;
        let key = keys::find(folder, &config.key)?;
        let currency = chain::currency(&config.ledger)?;
        let client = Arc::new(Client::new(&config.client, currency.clone())?);
        let listener = server::bind(&config.server).await?;
        let control = control::bind(folder)?;
        let page = crate::http::bind(&config.metrics).await?;
        let chain = Arc::new(Chain::await_connection(&config.ledger, &client).await?);

        let clock = Clock::start();
        let (account, signs) = (key.account(), keys::copy(&key));
        let made = settings::mixer(config, chain.about())?;
        let chance = Chance::new(crate::key::random()?);
        let resuming = Core::resuming(made, key, chance, chain.height().await?, clock.now());
        let core = take_records(resuming, &mut store, folder).await?.done(clock.now());
        log::info(format_args!(
            "{}: mixer {account}, currency {:?}, next block {}",
            config.node.name,
            chain.about().currency,
            core.next_block()
        ));

        let (sender, inbox) = mpsc::channel(INBOX_MAX);
        let handle = Handle(sender);
        let mut tasks = JoinSet::new();
        let (signer, work) = mpsc::channel(Signer::QUEUE_MAX);
        tasks.spawn(Signer { chain: chain.clone(), key: signs, handle: handle.clone() }.run(work));
        let gossip = Gossip::new(folder, config, handle.clone(), client.clone(), chain.clone());
        let (gossip, news) = gossip?;
        let known = store.table(Gossip::TABLE).await?;
        tasks.spawn(gossip.run(known));
        let asker = Asker::new(account, client, handle.clone(), news.clone());
        tasks.spawn(read_blocks(chain.clone(), account, handle.clone()));
        let state =
            server::State::new(handle.clone(), chain, account, currency, news, &config.server);
        let state = Arc::new(state);
        tasks.spawn(server::serve(listener, state, config.server.clone()));
        tasks.spawn(control::serve(control, handle.clone()));
        for listener in page {
            tasks.spawn(control::serve_page(listener, handle.clone()));
        }
        let running = Running { core, clock, store, inbox, asker, signer };
        Ok(Self { running, tasks })
    }

    /// Runs until `ended` resolves, or a save fails.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn run(self, ended: impl Future<Output = ()>) -> Result<(), Error> {
        let Self { mut running, mut tasks } = self;
        let outcome = tokio::select! {
            outcome = running.run() => outcome,
            () = ended => Ok(()),
        };
        tasks.shutdown().await;
        running.store.settle().await?;
        running.store.close().await?;
        outcome
    }
}

/// Gives a core its records, a batch at a time.
async fn take_records(
    mut core: Resuming,
    store: &mut Store,
    folder: &Path,
) -> Result<Resuming, Error> {
    let mut last = Vec::new();
    loop {
        let batch = store.core_after(&last).await?;
        let Some((key, _)) = batch.last() else { return Ok(core) };
        last.clone_from(key);
        for (key, record) in batch {
            let taken = core.take(&key, &record);
            taken.map_err(|why| Error::unfit(folder, format!("{:?}", why.0)))?;
        }
    }
}

impl Running {
    async fn run(&mut self) -> Result<(), Error> {
        let mut events = Vec::with_capacity(TURN_MAX);
        let mut settle = tokio::time::interval(SETTLE_WITHIN);
        settle.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let wake = self.core.wake_at().map(|at| at - self.clock.now().time);
            tokio::select! {
                count = self.inbox.recv_many(&mut events, TURN_MAX) => if count == 0 { return Ok(()) },
                () = sleep(wake) => {}
                _ = settle.tick(), if !self.store.is_settled() => self.store.settle().await?,
            }
            self.turn(&mut events).await?;
        }
    }

    /// Lets the core take what came and do what is due; saves; then does what follows.
    async fn turn(&mut self, events: &mut Vec<Event>) -> Result<(), Error> {
        let now = self.clock.now();
        let (mut changes, mut nexts) = (Vec::new(), Vec::new());
        let mut out = Vec::new();
        for event in events.drain(..) {
            match event {
                Event::Input(input, reply) => {
                    let taken = self.core.receive(now, input, &mut out);
                    collect(&mut out, reply, taken.err(), &mut changes, &mut nexts);
                }
                Event::Look(look) => {
                    nexts.push(Next::Show(look(&mut self.core, now, &mut out)));
                    collect(&mut out, None, None, &mut changes, &mut nexts);
                }
            }
        }
        self.core.tick(now, &mut out);
        collect(&mut out, None, None, &mut changes, &mut nexts);
        self.store.save(changes).await?;
        for next in nexts {
            match next {
                // Whoever asked may have gone; asking again gives the same answer.
                Next::Reply(to, answer) => drop(to.send(answer)),
                Next::Show(show) => show(),
                Next::Ask(order, to, command) => {
                    let to = self.core.peers().find(&to).map(|peer| peer.info().clone());
                    self.asker.ask(order, to, command);
                }
                // A full queue is no loss: each final block asks for what is still to be done.
                Next::Work(work) => drop(self.signer.try_send(work)),
                Next::Tell(notice) => tell(notice),
            }
        }
        Ok(())
    }
}

/// Takes effects apart: what is saved, and what follows the save. A refusal changed nothing, but may
/// stand on what another input of this turn changed.
fn collect(
    out: &mut Vec<Effect>,
    mut reply: Option<oneshot::Sender<Result<Answer, Refused>>>,
    refused: Option<Refused>,
    changes: &mut Vec<Change>,
    nexts: &mut Vec<Next>,
) {
    for effect in out.drain(..) {
        nexts.extend(match effect {
            Effect::Save(some) => {
                changes.extend(some);
                None
            }
            Effect::Reply(answer) => reply.take().map(|to| Next::Reply(to, Ok(answer))),
            Effect::Ask { order, to, command } => Some(Next::Ask(order, to, command)),
            Effect::Sign { slot, payment, period } => {
                Some(Next::Work(Work::Sign { slot, payment, period }))
            }
            Effect::Broadcast(bytes) => Some(Next::Work(Work::Submit(bytes))),
            Effect::Tell(notice) => Some(Next::Tell(notice)),
        });
    }
    if let (Some(to), Some(why)) = (reply, refused) {
        nexts.push(Next::Reply(to, Err(why)));
    }
}

/// Sleeps for a while, or for ever.
async fn sleep(wait: Option<Duration>) {
    match wait {
        Some(wait) => tokio::time::sleep(wait).await,
        None => std::future::pending().await,
    }
}

/// Reads the final chain, block by block, for ever.
async fn read_blocks(chain: Arc<Chain>, account: Account, handle: Handle) {
    let mut reachable = true;
    while let Some(from) = handle.with(|core, _, _| core.next_block()).await {
        match chain.blocks(from, &account).await {
            Ok(blocks) => {
                if !std::mem::replace(&mut reachable, true) {
                    log::info("the ledger answers again");
                }
                for block in blocks {
                    handle.give(Input::Block(block)).await;
                }
            }
            Err(why) => {
                if std::mem::replace(&mut reachable, false) {
                    log::warning(format_args!("{why}; no new promises until it answers"));
                }
                chain.pause().await;
            }
        }
    }
}

/// Says what the operator should know.
fn tell(notice: Notice) {
    match notice {
        Notice::ForeignSpend => log::warning(
            "the account paid something that is not in these records: another program uses its key, or \
             this folder is an old copy. No new promises; see `mingle orders list`",
        ),
        Notice::SlotsWentBack => log::error(
            "the account was emptied and its numbers began again: nothing is sent any more. Use another \
             account",
        ),
        Notice::Insolvent => {
            log::warning(
                "the account holds less than is owed and kept for fees: no new promises. Top it up",
            );
        }
        Notice::Solvent => log::info("the account holds what is owed and kept for fees"),
        Notice::Unclaimed => log::warning(
            "a payment fits no promise and cannot be sent back by itself: see `mingle orders list`",
        ),
        Notice::Stuck => log::warning(
            "a payout fails again and again: see `mingle orders list`, then `mingle orders retry` or \
             `mingle orders return`",
        ),
    }
}
