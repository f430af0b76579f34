//! A ledger, mixers and payers for the tests of the payments: the former as processes, the latter as
//! cores in the test's own, over the program's real HTTP client.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mingle::clock::Clock;
use mingle::payments::chain::Chain;
use mingle::payments::client::Client;
use mingle::payments::config::{self, MixerConfig};
use mingle::payments::local::{Folders, LocalPayments, Plan};
use mingle::payments::operator::Operator;
use mixing::{Chance, Now};
use money::{Account, AccountKey, Amount, Ledger, LedgerTime, Reference, Slot, Transfer};
use payment::document::{PeerInfo, Promise, Signed};
use payment::effect::{Answer, Effect, FinalBlock, OrderId, Unheard};
use payment::payer::{self, Part, Payer};
use payment::route::Pace;
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::PROGRAM;

/// A ledger and mixers that run, in a folder that vanishes with them.
pub struct Town {
    pub payments: LocalPayments,
    folder: TempDir,
}

pub const BLOCK: Duration = Duration::from_millis(50);
pub const PERIOD: u32 = 32;
pub const FEE: u64 = 10;

/// A plan at ports of its own: quick blocks, little company.
pub fn plan(mixers: u16) -> Plan {
    Plan {
        mixers,
        base_port: mingle::local::free_base_port().unwrap(),
        block_time: BLOCK,
        finality_lag: 2,
        strategy: "timed:300ms".into(),
        delay: Duration::from_millis(50),
    }
}

/// Runs a test's story.
pub fn run<T>(story: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(story)
}

impl Town {
    pub async fn start(plan: Plan) -> Self {
        Self::changed(plan, |_, _| {}).await
    }

    pub async fn changed(mut plan: Plan, change: impl Fn(u16, &mut MixerConfig)) -> Self {
        loop {
            let folder = tempfile::tempdir().unwrap();
            let folders = Folders::create(&folder.path().join("town"), &plan).unwrap();
            folders
                .change(|number, config| {
                    config.payouts.period = PERIOD;
                    change(number, config);
                })
                .unwrap();
            match folders.start(Path::new(PROGRAM)).await {
                Ok(payments) => return Self { payments, folder },
                // Another test was quicker to take a port that was free when we looked.
                Err(why) if why.to_string().contains("another program uses that port") => {
                    plan.base_port = mingle::local::free_base_port().unwrap();
                }
                Err(why) => panic!("{why}"),
            }
        }
    }

    pub fn client(&self) -> Client {
        Client::new(&config::Client::default(), self.payments.currency()).unwrap()
    }

    /// A payer with money.
    pub async fn purse(&self, name: u8, money: u64) -> Purse {
        let key = AccountKey::from_seed([name; 32]);
        self.payments.faucet(&key.account(), money).await.unwrap();
        let mut purse = Purse::new(self, key).await;
        purse.work_until("a block", |core| core.date() > 0).await;
        purse
    }

    pub fn infos(&self) -> Vec<PeerInfo> {
        self.payments.infos().iter().map(|info| info.content().clone()).collect()
    }

    /// Asks mixer `i` over its operator's socket; nothing while it does not answer.
    pub async fn ask(&self, i: usize, page: &str) -> Option<serde_json::Value> {
        self.operator(i).get(page).await.ok()
    }

    pub async fn tell(&self, i: usize, page: &str) -> Option<serde_json::Value> {
        self.operator(i).post(page, Vec::new()).await.ok()
    }

    fn operator(&self, i: usize) -> Operator {
        Operator::new(self.payments.mixers[i].folder()).unwrap()
    }

    /// Ends everything and reads what the ledger has become.
    pub fn end(mut self) -> (Final, TempDir) {
        for mixer in &mut self.payments.mixers {
            mixer.stop().unwrap();
        }
        let folder = self.payments.ledger.folder().to_owned();
        self.payments.ledger.stop().unwrap();
        let config::Config::Ledger(config) = config::Config::read(&folder).unwrap() else {
            panic!("no ledger")
        };
        let genesis = mingle::payments::ledger::genesis(&config).unwrap();
        let path = folder.join(mingle::payments::ledger::FILE);
        let (_, ledger) = ledger::file::BlockFile::open(&path, genesis).unwrap();
        (Final::read(ledger), self.folder)
    }
}

/// What stands on the ledger in the end.
pub struct Final {
    pub ledger: Ledger,
    pub transfers: Vec<(Transfer, LedgerTime)>,
    /// How often each reference was paid with.
    pub made: BTreeMap<Reference, usize>,
}

impl Final {
    fn read(ledger: Ledger) -> Self {
        let heights = 1..=ledger.final_head().height;
        let blocks = heights.map(|height| ledger.block(height).unwrap());
        let transfers: Vec<_> = blocks
            .flat_map(|block| block.transfers.iter().map(|t| (t.clone(), block.time)))
            .collect();
        let mut made = BTreeMap::new();
        for reference in transfers.iter().filter_map(|(t, _)| t.reference.clone()) {
            *made.entry(reference).or_default() += 1;
        }
        Self { ledger, transfers, made }
    }

    pub fn count(&self, reference: &Reference) -> usize {
        self.made.get(reference).copied().unwrap_or(0)
    }
}

/// The reference of a payment that goes back.
pub fn returned(reference: &Reference) -> Reference {
    let prefix = payment::mixer::RETURN_PREFIX;
    Reference::new(&[prefix, reference.as_bytes()].concat()).unwrap()
}

/// A payer's core with a plain shell; its records are the test's memory.
pub struct Purse {
    pub core: Payer,
    pub account: Account,
    pub amounts: BTreeMap<OrderId, (Account, u64)>,
    key: AccountKey,
    client: Arc<Client>,
    chain: Arc<Chain>,
    infos: BTreeMap<Account, PeerInfo>,
    clock: Clock,
    work: JoinSet<Done>,
    /// Whether what is ready is paid.
    pub pays: bool,
}

enum Done {
    Blocks(Vec<FinalBlock>),
    Heard(OrderId, Result<Answer, Unheard>),
    Signed(Slot, Vec<u8>, u64),
    Nothing,
}

impl Purse {
    async fn new(town: &Town, key: AccountKey) -> Self {
        let client = Arc::new(town.client());
        let chain = Arc::new(Chain::connect(&town.payments.link(), &client).await.unwrap());
        let (clock, account) = (Clock::start(), key.account());
        let config = payer::Config {
            currency: town.payments.currency(),
            pace: Pace { deposit: 120, margin: 30, step: 1 },
            period: PERIOD,
            poll: Duration::from_millis(300),
            parts_max: 100_000,
            anew: true,
        };
        let own = AccountKey::from_file(&key.to_file()).unwrap();
        let chance = Chance::new(*key.derive("the chance of a purse in a test"));
        let height = chain.height().await.unwrap();
        let core = Payer::resume(config, own, chance, [], height, clock.now()).unwrap();
        let infos = town.infos().into_iter().map(|info| (info.pubkey, info)).collect();
        let mut purse = Self {
            core,
            account,
            amounts: BTreeMap::new(),
            key,
            client,
            chain,
            infos,
            clock,
            work: JoinSet::new(),
            pays: true,
        };
        purse.watch();
        purse
    }

    /// Begins a payment over these mixers.
    pub fn begin(&mut self, route: &[Account], receiver: Account, amount: u64) -> Option<OrderId> {
        let route: Vec<_> = route.iter().map(|account| self.infos[account].clone()).collect();
        let route: Vec<_> = route.iter().collect();
        let (now, units) = (self.clock.now(), Amount::from_units(amount));
        let mut out = Vec::new();
        let id = self.core.begin(now, &route, receiver, units, &mut out).ok()?;
        self.amounts.insert(id, (receiver, amount));
        self.perform(out);
        Some(id)
    }

    /// The first slot that the account has not spent on the final chain.
    pub async fn slot(&self) -> Option<Slot> {
        self.chain.connection().account(&self.account).await.ok().map(|state| state.slot)
    }

    /// Pays something else, whatever stands in `reference`. It may be lost.
    pub async fn pay_by_hand(&self, slot: Slot, to: Account, amount: u64, reference: &Reference) {
        let (amount, reference) = (Amount::from_units(amount), reference.clone());
        let payment = payment::effect::Payment { to, amount, reference };
        if let Ok((bytes, _)) = self.chain.sign(&self.key, slot, Some(payment), PERIOD).await {
            let _ = self.chain.submit(&bytes).await;
        }
    }

    /// Takes everything that has happened; waits a moment if nothing has.
    pub async fn work(&mut self) {
        let first = tokio::time::timeout(MOMENT, self.work.join_next()).await.ok().flatten();
        let now = self.clock.now();
        let mut out = Vec::new();
        let mut next = first;
        while let Some(done) = next {
            self.take(now, done.unwrap(), &mut out);
            next = self.work.try_join_next();
        }
        let ready = self.core.parts().iter().filter(|(_, part)| part.name() == "ready");
        for id in ready.map(|(id, _)| *id).collect::<Vec<_>>() {
            if self.pays {
                let _ = self.core.pay(id, &mut out);
            }
        }
        self.core.tick(now, &mut out);
        self.perform(out);
    }

    /// What is refused here is a repetition.
    fn take(&mut self, now: Now, done: Done, out: &mut Vec<Effect>) {
        match done {
            Done::Blocks(blocks) => {
                for block in blocks {
                    self.core.on_block(&block, &[], out).unwrap();
                }
                self.watch();
            }
            Done::Heard(order, answer) => drop(self.core.on_heard(now, order, answer, out)),
            Done::Signed(slot, bytes, last) => drop(self.core.on_signed(slot, bytes, last, out)),
            Done::Nothing => {}
        }
    }

    /// Works until it is so.
    pub async fn work_until(&mut self, what: &str, so: impl Fn(&Payer) -> bool) {
        for _ in 0..WORKS {
            if so(&self.core) {
                return;
            }
            self.work().await;
        }
        panic!("never happened: {what}; {:?}", self.states());
    }

    /// How many parts are in each state.
    pub fn states(&self) -> BTreeMap<&'static str, usize> {
        let mut states = BTreeMap::new();
        for part in self.core.parts().values() {
            *states.entry(part.name()).or_default() += 1;
        }
        states
    }

    pub fn count(&self, names: &[&str]) -> usize {
        self.core.parts().values().filter(|part| names.contains(&part.name())).count()
    }

    /// Every part that is or was paid: its promises, and who is to have how much.
    pub fn paid(&self) -> Vec<(&[Signed<Promise>], Account, u64)> {
        let paid = |part: &Part| !part.promises().is_empty() && part.name() != "ready";
        let parts = self.core.parts().iter().filter(|(_, part)| paid(part));
        parts
            .map(|(id, part)| {
                let (receiver, amount) = self.amounts[id];
                (part.promises(), receiver, amount)
            })
            .collect()
    }

    /// Waits for the next blocks.
    fn watch(&mut self) {
        let (chain, account, from) = (self.chain.clone(), self.account, self.core.next_block());
        self.work.spawn(async move {
            loop {
                match chain.blocks(from, &account).await {
                    Ok(blocks) if !blocks.is_empty() => return Done::Blocks(blocks),
                    _ => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            }
        });
    }

    fn perform(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            let (client, chain) = (self.client.clone(), self.chain.clone());
            match effect {
                Effect::Ask { order, to, command } => {
                    let (account, info) = (self.account, self.infos[&to].clone());
                    self.work.spawn(async move {
                        Done::Heard(order, client.ask(&account, &info, &command).await)
                    });
                }
                Effect::Sign { slot, payment, period } => {
                    let key = AccountKey::from_file(&self.key.to_file()).unwrap();
                    self.work.spawn(async move {
                        match chain.sign(&key, slot, payment, period).await {
                            Ok((bytes, last)) => Done::Signed(slot, bytes, last),
                            Err(_) => Done::Nothing,
                        }
                    });
                }
                Effect::Broadcast(bytes) => {
                    self.work.spawn(async move {
                        let _ = chain.submit(&bytes).await;
                        Done::Nothing
                    });
                }
                Effect::Save(_) | Effect::Reply(_) | Effect::Tell(_) => {}
            }
        }
    }
}

/// Whether all of a payer's parts are in one state.
pub fn is(name: &'static str) -> impl Fn(&Payer) -> bool {
    move |core| core.parts().values().all(|part| part.name() == name)
}

/// Different mixers, drawn.
pub fn route(infos: &[PeerInfo], hops: usize, chance: &mut Chance) -> Vec<Account> {
    let mut accounts: Vec<_> = infos.iter().map(|info| info.pubkey).collect();
    chance.shuffle(&mut accounts);
    accounts.truncate(hops);
    accounts
}

/// References in Mingle's form that nobody promised anything for.
pub fn odd_reference(chance: &mut Chance) -> Reference {
    Reference::new(money::address::base58(&chance.bytes::<32>()).as_bytes()).unwrap()
}

/// What a mixer owes in one number: funded orders, and payments on their way back.
pub fn owes(status: &serde_json::Value) -> Option<u64> {
    let orders = ["funded", "paying", "stuck"].map(|state| status["orders"][state].as_u64());
    let orders = orders.into_iter().sum::<Option<u64>>()?;
    Some(orders + status["returning"].as_u64()?)
}

const MOMENT: Duration = Duration::from_millis(10);
/// Turns after which a purse that waits has hung.
const WORKS: u32 = 6_000;
