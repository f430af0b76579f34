//! A world: mixers, users and a ledger on one clock, and what happens next.
//!
//! ```text
//! Want ─► payer ─► post ─► Letter ─► mixer ─► disk, post, ledger
//! Block ─► ledger ─► Look ─► every node reads what is final ─► disk, Signed, Submit ─► ledger
//! ```
//!
//! One event after the other, each at its time; a node sees its own clock only. Faults begin and end
//! as planned; then everything under way comes to its end. At last days pass quickly, so that
//! whatever must be forgotten is forgotten, and the checks look at what is left.

mod money;
mod nodes;
mod post;
mod users;

use std::time::Duration;

use ::money::Slot;
use mixing::{Chance, Time};
use payment::command::ReplyKey;
use payment::document::Currency;

use crate::log::Log;
use crate::payments::checks::knowledge::Knowledge;
use crate::payments::checks::money::Books;
use crate::payments::checks::{Broken, liveness, rest};
use crate::payments::fault::What;
use crate::payments::ledger::Chain;
use crate::payments::log::Happened;
use crate::payments::network::Post;
use crate::payments::node::{Call, Node};
use crate::payments::plan::Plan;
use crate::payments::planted::Mistake;
use crate::queue::Queue;
use crate::report::Report;
use users::Wallet;
pub use users::{Attempt, End};

/// A world that runs.
pub struct World {
    plan: Plan,
    currency: Currency,
    now: Time,
    queue: Queue<Event>,
    nodes: Vec<Node>,
    chain: Chain,
    post: Post,
    /// The faults that are on, by their number in the plan.
    active: Vec<(usize, What)>,
    /// What is under way, by number.
    letters: Vec<Option<Letter>>,
    papers: Vec<Option<Paper>>,
    /// Keys of answers to commands that are being worked on.
    keys: Vec<Option<ReplyKey>>,
    wallets: Vec<Wallet>,
    attempts: Vec<Vec<Attempt>>,
    /// What parrots have heard: path and body.
    heard: Vec<Vec<(String, Vec<u8>)>>,
    books: Books,
    knowledge: Knowledge,
    mistake: Option<Box<dyn Mistake>>,
    chance: Chance,
    log: Log<Happened>,
    broken: Option<Broken>,
    /// How many blocks the night lasts yet, and how far they are apart.
    night: Option<Night>,
    /// What comes later does not happen.
    over: Option<Time>,
}

/// Something that will happen.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Event {
    /// A message arrives.
    Letter(u32),
    /// A node waited long enough for the answer to its command.
    Silence(u16, u32),
    /// A node wanted to be woken.
    Wake(u16),
    /// A node's disk is ready.
    Work(u16),
    /// A node starts.
    Start(u16),
    /// A node asks its endpoint what is final.
    Look(u16),
    /// What a node had signed is there, or what it submitted reaches the ledger.
    Paper(u32),
    /// The next block.
    Block,
    /// A user wants to pay.
    Want(u16, u16),
    /// Mixers tell everybody of themselves.
    Meet,
    /// A minute is over.
    Minute,
    /// A fault begins.
    Begins(u16),
    /// A fault ends.
    Ends(u16),
    /// Every payment should have ended.
    Night,
}

/// A message under way.
struct Letter {
    from: usize,
    to: usize,
    /// For commands and answers: the asker's number.
    number: u32,
    what: crate::payments::log::Letter,
    bytes: Vec<u8>,
}

/// A transaction under way.
enum Paper {
    /// Back to who had it signed, unless he has started anew meanwhile.
    Signed { node: usize, starts: u64, slot: Slot, bytes: Vec<u8>, last: u64 },
    /// To the ledger.
    Submitted { node: usize, bytes: Vec<u8> },
}

/// The days after the last payment.
#[derive(Clone, Copy)]
struct Night {
    /// Blocks no further apart than a ledger that does not stand still.
    slow: u64,
    /// Blocks an hour apart.
    fast: u64,
}

/// How often mixers tell of themselves.
const MEET_EVERY: Duration = Duration::from_secs(900);
/// How soon after the beginning they have met.
const MEET_FIRST: [u64; 4] = [15, 30, 60, 80];
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
/// After the night everything is forgotten: longer than any date can be ahead.
const NIGHT_HOURS: u64 = 9 * 24;
/// After so long a promise that was not kept is broken.
const OVERDUE: Duration = Duration::from_secs(27 * 3_600);
/// More wakes than that in one minute are a node that spins.
const WAKES_MAX: u32 = 6_000;

impl World {
    /// The world of a plan, perhaps with a mistake in it; `log` keeps every line.
    pub fn new(plan: Plan, mistake: Option<Box<dyn Mistake>>, log: bool) -> World {
        let chain = Chain::new(&plan);
        let count = plan.nodes();
        let mut world = World {
            currency: Currency::Genesis(chain.ledger.genesis().hash()),
            now: Time::from_nanos(1_000_000_000),
            queue: Queue::default(),
            nodes: (0..count).map(|node| Node::new(&plan, node)).collect(),
            chain,
            post: Post::new(&plan),
            active: Vec::new(),
            letters: Vec::new(),
            papers: Vec::new(),
            keys: Vec::new(),
            wallets: (0..plan.users.len()).map(|_| Wallet::default()).collect(),
            attempts: plan
                .users
                .iter()
                .map(|user| vec![Attempt::default(); user.wants.len()])
                .collect(),
            heard: vec![Vec::new(); count],
            books: Books::new(&plan),
            knowledge: Knowledge::new(&plan),
            mistake,
            chance: plan.chance("world", 0),
            log: Log::new(log),
            broken: None,
            night: None,
            over: None,
            plan,
        };
        for node in 0..count {
            world.start(node);
        }
        world.schedule();
        world
    }

    /// Plans everything that is known beforehand.
    fn schedule(&mut self) {
        for (number, fault) in self.plan.faults.iter().enumerate() {
            self.queue.plan(Time::ZERO + fault.from, Event::Begins(number as u16));
            self.queue.plan(Time::ZERO + fault.until, Event::Ends(number as u16));
        }
        for (user, who) in self.plan.users.iter().enumerate() {
            for (number, want) in who.wants.iter().enumerate() {
                self.queue.plan(Time::ZERO + want.at, Event::Want(user as u16, number as u16));
            }
        }
        let quiet = self.plan.quiet_from();
        let first = MEET_FIRST.map(Duration::from_secs).into_iter();
        for at in first.chain([5, 20].map(|later| quiet + Duration::from_secs(later))) {
            self.queue.plan(Time::ZERO + at, Event::Meet);
        }
        let mut at = MEET_EVERY;
        while at < self.plan.ends {
            self.queue.plan(Time::ZERO + at, Event::Meet);
            at += MEET_EVERY;
        }
        self.queue.plan(self.now + self.plan.block_every, Event::Block);
        self.queue.plan(self.now + MINUTE, Event::Minute);
        self.queue.plan(Time::ZERO + self.plan.ends, Event::Night);
    }

    /// Lets the world run to its end, or to the first broken check.
    pub fn run(mut self) -> Report<Plan> {
        while self.broken.is_none() {
            let Some((at, event)) = self.queue.pop() else { break };
            if self.over.is_some_and(|over| at > over) {
                break;
            }
            self.now = at;
            self.happen(event);
        }
        if self.broken.is_none() {
            self.rest();
        }
        self.report()
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Letter(number) => self.arrive(number),
            Event::Silence(node, number) => self.silence(node.into(), number),
            Event::Wake(node) => self.wake(node.into()),
            Event::Work(node) => self.ready(node.into()),
            Event::Start(node) => self.start_again(node.into()),
            Event::Look(node) => self.look(node.into()),
            Event::Paper(number) => self.paper(number),
            Event::Block => self.block(),
            Event::Want(user, number) => self.want(user.into(), number.into()),
            Event::Meet => self.meet(),
            Event::Minute => self.minute(),
            Event::Begins(fault) => self.begins(fault.into()),
            Event::Ends(fault) => self.ends(fault.into()),
            Event::Night => self.fall_asleep(),
        }
    }

    fn begins(&mut self, number: usize) {
        self.note(Happened::Begins { fault: number as u16 });
        let what = self.plan.faults[number].what.clone();
        self.post.begin(number, &what);
        self.active.push((number, what.clone()));
        match what {
            What::Away(node) | What::OldCopy(node) => self.crash(node),
            What::Skew(node, by) => self.nodes[node].clock.skew += by,
            _ => {}
        }
    }

    fn ends(&mut self, number: usize) {
        self.note(Happened::Ends { fault: number as u16 });
        self.post.end(number);
        self.active.retain(|(active, _)| *active != number);
        match self.plan.faults[number].what {
            What::Away(node) => self.start_again(node),
            What::OldCopy(node) => {
                // Whoever puts an old copy back has stopped the node before.
                self.crash(node);
                if self.nodes[node].disk.restore(&mut self.chance) {
                    self.note(Happened::OldCopy { node: node as u16 });
                }
                self.start_again(node);
            }
            What::Skew(node, by) => self.nodes[node].clock.skew -= by,
            _ => {}
        }
    }

    /// Whether a fault of the moment is such.
    fn is_on(&self, is: impl Fn(&What) -> bool) -> bool {
        self.active.iter().any(|(_, what)| is(what))
    }

    fn minute(&mut self) {
        if self.night.is_none() {
            self.queue.plan(self.now + MINUTE, Event::Minute);
        }
        for number in 0..self.nodes.len() {
            let Some(alive) = &mut self.nodes[number].alive else { continue };
            if std::mem::take(&mut alive.wakes) > WAKES_MAX {
                self.fail(Broken::Spins { node: number });
            }
        }
        self.cheat();
    }

    /// Every payment should have ended: the checks look, then days pass.
    fn fall_asleep(&mut self) {
        self.note(Happened::Night);
        let mut judged = liveness::verdict(self);
        let doubtful = |node: &usize| self.plan.is_copied(*node) || self.plan.costs(*node);
        for node in (0..self.plan.mixers).filter(|node| !doubtful(node)) {
            let records = self.nodes[node].disk.records();
            judged = judged.and_then(|()| Knowledge::keeps(node, records));
        }
        if let Err(broken) = judged {
            return self.fail(broken);
        }
        let slow = match self.books.awaits(self) {
            true => OVERDUE.as_secs() / (9 * self.plan.block_every.as_secs()),
            false => 0,
        };
        self.night = Some(Night { slow, fast: NIGHT_HOURS });
    }

    /// The last judgements, when the world is at rest.
    fn rest(&mut self) {
        let rested = rest::verdict(self);
        let judged = rested.and_then(|()| Books::verdict(self));
        if let Err(broken) = judged.and_then(|()| self.knowledge.verdict(&self.chain)) {
            self.fail(broken);
        }
    }

    fn report(self) -> Report<Plan> {
        let tail = match self.broken {
            Some(_) => self.log.tail(&self.plan, 80),
            None => String::new(),
        };
        let count = |end| {
            let all = self.attempts.iter().flatten();
            all.filter(|attempt| attempt.end == Some(end)).count() as u64
        };
        let counts = vec![
            ("arrived", count(End::Arrived)),
            ("returned", count(End::Returned)),
            ("failed", count(End::Failed)),
            ("letters", self.letters.len() as u64),
            ("blocks", self.chain.ledger.head().height),
        ];
        Report {
            at: self.now,
            tail,
            sum: self.log.sum(),
            events: self.log.events(),
            counts,
            broken: self.broken,
            log: self.log.full(),
            plan: self.plan,
        }
    }

    fn note(&mut self, happened: Happened) {
        self.log.add(&self.plan, self.now, happened);
    }

    fn fail(&mut self, broken: Broken) {
        self.broken.get_or_insert(broken);
    }

    /// The plan of this world.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Which money.
    pub fn currency(&self) -> &Currency {
        &self.currency
    }

    /// The ledger.
    pub fn chain(&self) -> &Chain {
        &self.chain
    }

    /// The nodes.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The users' payments, by user and number.
    pub fn attempts(&self) -> &[Vec<Attempt>] {
        &self.attempts
    }

    /// What is known of promises and payments.
    pub fn books(&self) -> &Books {
        &self.books
    }

    fn call_key(&mut self, call: Call) -> Option<ReplyKey> {
        self.keys.get_mut(call.key).and_then(Option::take)
    }
}
