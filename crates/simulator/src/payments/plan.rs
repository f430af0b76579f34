//! A world of the payments before it runs: who is in it, who wants to pay what, and what goes wrong
//! when.
//!
//! Everything is drawn from one seed and then only data. Nothing here depends on how the world goes.

use std::time::Duration;

use mixing::{Chance, Strategy};
use money::amount::Series;
use money::embedded::Genesis;
use money::{Account, AccountKey, Amount, LedgerTime};
use payment::document::{Currency, Host, Terms};
use payment::route::Pace;
use payment::{mixer, payer};

use crate::payments::checks::Broken;
use crate::payments::draw;
use crate::payments::fault::{Fault, What};
use crate::payments::world::World;
use crate::planned::{self, Planned};
use crate::report::Report;
use crate::{clock, fault};

/// What kind of worlds are drawn.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Profile {
    /// Networks of every shape, a few users, and faults of one kind or many.
    #[default]
    Faults,
    /// The same without faults and with honest users.
    Calm,
    /// Many users who all start at the same moment, and faults.
    Storm,
    /// Mixers, two in a row or all of them, sleep past all dates.
    Sleepers,
    /// Nodes die at any effect, and older copies of their disks are put back.
    Copies,
    /// Some operators cheat, some users send money that fits nothing, and nothing else is wrong.
    Cheats,
}

/// A world before it runs.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The number that brings it back.
    pub seed: u64,
    /// What kind of world it is.
    pub profile: Profile,
    /// How many mixers there are.
    pub mixers: usize,
    /// Who pays.
    pub users: Vec<User>,
    /// Time between blocks.
    pub block_every: Duration,
    /// How many blocks lie above the newest final one.
    pub lag: u64,
    /// Life of a transaction in blocks.
    pub period: u32,
    /// When payouts leave.
    pub strategy: Strategy,
    /// The longest that a deposit waits for company, in seconds.
    pub wait_max_s: u64,
    /// Mean delay of what mixers pass on.
    pub delay: Duration,
    /// Whether payers need not wait after a start, because nothing of theirs can be under way that
    /// they do not know. Not said by those who get an older copy of their disk.
    pub anew: bool,
    /// The longest that a message takes without any fault.
    pub latency: Duration,
    /// Drift of each node's clock, in parts per million.
    pub drifts: Vec<i64>,
    /// What goes wrong.
    pub faults: Vec<Fault>,
    /// When the checks say that all payments have ended.
    pub ends: Duration,
}

/// Somebody with an account of his own.
#[derive(Clone, Debug)]
pub struct User {
    /// How he pays.
    pub manner: Manner,
    /// What.
    pub wants: Vec<Want>,
    /// Left out of the world; the others keep their numbers.
    pub absent: bool,
}

/// A payment that somebody wants to make.
#[derive(Clone, Debug)]
pub struct Want {
    /// From when on.
    pub at: Duration,
    /// What arrives.
    pub amount: u64,
    /// Over how many mixers.
    pub hops: usize,
}

/// How somebody pays once he has his promises.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Manner {
    /// As the program does.
    Honest,
    /// By hand, one unit short.
    Short,
    /// By hand, too much.
    Long,
    /// By hand, twice.
    Twice,
    /// By hand, after the date.
    Late,
    /// What he wants is no denomination.
    Odd,
    /// He offers no fee.
    Cheap,
    /// Without promises, with a reference that nobody knows.
    Unknown,
    /// Without promises, with the reference and amount of somebody else's deposit.
    Copy,
    /// The same, with another amount.
    CopyOther,
}

impl Manner {
    /// All but the first.
    pub const ODD: [Manner; 9] = [
        Manner::Short,
        Manner::Long,
        Manner::Twice,
        Manner::Late,
        Manner::Odd,
        Manner::Cheap,
        Manner::Unknown,
        Manner::Copy,
        Manner::CopyOther,
    ];
}

/// No account holds less and lives.
pub const EXISTENTIAL: u64 = 100;
/// What the ledger takes for a transaction.
pub const LEDGER_FEE: u64 = 2;
/// What the first mixer takes.
pub const FEE: u64 = 5;
/// What every node has at the beginning.
pub const RICH: u64 = 10_000_000;
/// Kept for the ledger's fees.
const FLOAT: u64 = 1_000;
/// How dates are drawn.
pub const PACE: Pace = Pace { deposit: 600, margin: 240, step: 60 };
/// How long past `expire_date` a late deposit is forwarded, in seconds.
pub const KEEP_S: u64 = 86_400;
/// How long a process that died is down, at most.
pub const DOWN_MAX: Duration = Duration::from_secs(60);
/// How often a payer asks for his promises.
const POLL: Duration = Duration::from_secs(10);

impl Plan {
    /// How many nodes there are.
    pub fn nodes(&self) -> usize {
        self.mixers + self.users.len()
    }

    /// The name of a node in logs.
    pub fn name(&self, node: usize) -> String {
        match node < self.mixers {
            true => format!("mixer-{}", node + 1),
            false => format!("user-{}", node - self.mixers + 1),
        }
    }

    /// Where a mixer answers.
    pub fn host(&self, node: usize) -> Host {
        Host { address: format!("{}.example.org", self.name(node)), port: 80 }
    }

    /// A node's account key: it has that in its own folder.
    pub fn key(&self, node: usize) -> AccountKey {
        AccountKey::from_seed(self.chance("account", node).bytes())
    }

    /// Who gets the payment of this number of this user.
    pub fn receiver(&self, user: usize, number: usize) -> Account {
        AccountKey::from_seed(self.chance("receiver", user << 16 | number).bytes()).account()
    }

    /// A generator for one purpose, so that leaving a part of the world out changes no other.
    pub fn chance(&self, purpose: &str, number: usize) -> Chance {
        planned::chance(self.seed, &format!("payments {purpose}"), number)
    }

    /// What the ledger begins with.
    pub fn genesis(&self) -> Genesis {
        let rich = Amount::from_units(RICH);
        Genesis {
            currency: "world".into(),
            time: LedgerTime::from_millis(clock::BEGINNING.as_millis()),
            existential_deposit: Amount::from_units(EXISTENTIAL),
            fee: Amount::from_units(LEDGER_FEE),
            finality_lag: self.lag,
            accounts: (0..self.nodes()).map(|node| (self.key(node).account(), rich)).collect(),
            members: vec![],
        }
    }

    /// What every operator decided.
    pub fn mixer_config(&self, currency: Currency) -> mixer::Config {
        mixer::Config {
            currency,
            terms: Terms {
                least: Amount::from_units(EXISTENTIAL),
                fee: Amount::from_units(FEE),
                return_cost: Amount::from_units(LEDGER_FEE),
                company: 3,
                wait_max_s: self.wait_max_s,
                keep_s: KEEP_S,
            },
            series: Series::new(Amount::from_units(EXISTENTIAL)).expect("there are denominations"),
            existential_deposit: Amount::from_units(EXISTENTIAL),
            float: Amount::from_units(FLOAT),
            strategy: self.strategy.clone(),
            block_time: self.block_every,
            margin_s: PACE.margin,
            horizon_s: 7 * 86_400,
            delay: self.delay,
            period: self.period,
            orders_max: 1_000,
            client_orders_max: 16,
            peer_orders_max: 400,
            vouched_orders_max: 400,
            returns_max: 1_000,
            inside: false,
        }
    }

    /// What a payer decided.
    pub fn payer_config(&self, node: usize, currency: Currency) -> payer::Config {
        let (pace, period, anew) = (PACE, self.period, self.anew && !self.is_copied(node));
        payer::Config { currency, pace, period, poll: POLL, parts_max: 64, anew }
    }

    /// When the last fault is over and all users have begun.
    pub fn quiet_from(&self) -> Duration {
        let faults = self.faults.iter().map(|fault| match fault.what {
            What::Resent(_, _, after) | What::Copies(_, _, after) => fault.until + after,
            // Who died last comes back after a while.
            What::Dies(..) => fault.until + DOWN_MAX,
            // A cheat may go on for ever; others need not wait for him.
            What::Cheat(..) => fault.from,
            _ => fault.until,
        });
        let wants = self.users.iter().flat_map(|user| &user.wants).map(|want| want.at);
        faults.chain(wants).max().unwrap_or_default()
    }

    /// How soon after that every payment has ended: the time to deposit, and for each hop its
    /// longest wait, two lives of a transaction (one to be sure after a start, one to sign anew),
    /// and finality.
    pub fn recovery(&self) -> Duration {
        let blocks = 2 * u64::from(self.period) + 3 * self.lag + 10;
        let hop = Duration::from_secs(self.wait_max_s) + self.block_every * blocks as u32;
        let hops = self.users.iter().flat_map(|user| &user.wants).map(|want| want.hops).max();
        let deposit = Duration::from_secs(PACE.deposit + 4 * PACE.step);
        deposit + hop * (hops.unwrap_or_default() as u32 + 1)
    }

    /// Whether an operator takes money that is not his, at any time.
    pub fn costs(&self, node: usize) -> bool {
        self.faults.iter().any(
            |fault| matches!(fault.what, What::Cheat(cheat, how) if cheat == node && how.costs()),
        )
    }

    /// Whether somebody puts an older copy of this node's disk back.
    pub fn is_copied(&self, node: usize) -> bool {
        self.faults
            .iter()
            .any(|fault| matches!(fault.what, What::OldCopy(copied) if copied == node))
    }
}

impl Planned for Plan {
    type Profile = Profile;
    type Broken = Broken;

    const SYSTEM: &'static str = "payments";
    const PROFILES: &'static [(&'static str, Profile)] = &[
        ("faults", Profile::Faults),
        ("calm", Profile::Calm),
        ("storm", Profile::Storm),
        ("sleepers", Profile::Sleepers),
        ("copies", Profile::Copies),
        ("cheats", Profile::Cheats),
    ];

    fn draw(seed: u64, profile: Profile) -> Plan {
        draw::plan(seed, profile)
    }

    fn seed(&self) -> u64 {
        self.seed
    }

    fn profile(&self) -> Profile {
        self.profile
    }

    fn summary(&self) -> String {
        let odd = self.users.iter().filter(|user| user.manner != Manner::Honest).count();
        format!(
            "{} mixers, {} users, {odd} of them odd, {} payments, {} faults, {:.0} s, blocks of \
             {:.0} s, {} above the final one, {}",
            self.mixers,
            self.users.len(),
            self.users.iter().map(|user| user.wants.len()).sum::<usize>(),
            self.faults.len(),
            self.ends.as_secs_f64(),
            self.block_every.as_secs_f64(),
            self.lag,
            self.strategy,
        )
    }

    fn faults(&self) -> Vec<String> {
        self.faults.iter().map(ToString::to_string).collect()
    }

    fn users(&self) -> usize {
        self.users.len()
    }

    fn ends(&self) -> Duration {
        self.ends
    }

    fn last(&mut self, lasts: Duration) {
        self.ends = lasts.max(self.quiet_from() + self.recovery());
    }

    fn leave_out(&mut self, faults: &[usize], users: &[usize]) {
        for user in users {
            if let Some(user) = self.users.get_mut(*user) {
                (user.absent, user.wants) = (true, Vec::new());
            }
        }
        fault::leave_out(&mut self.faults, faults);
        self.last(Duration::ZERO);
    }

    fn run(self, log: bool) -> Report<Plan> {
        World::new(self, None, log).run()
    }
}
