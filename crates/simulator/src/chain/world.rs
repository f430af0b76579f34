//! A world: nodes, applications and destinations on one clock, and what happens next.
//!
//! ```text
//! Turn ─► entry ─► wires ─► Arrival ─► mix … exit ─► destination ─► Reply ─► exit … entry
//! ```
//!
//! One event after the other, each at its time; a node sees its own clocks only. After what
//! arrived together a node is ticked, as the program's loop does. Faults begin and end as planned;
//! then users go on for a while, close, and the world comes to rest.

mod nodes;
mod outside;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use datagram::{Association, Flow, Network, Outbox, Question};
use mixing::{Chance, Time};

use crate::chain::checks::once::Repeats;
use crate::chain::checks::rest::{REST_AFTER, Strangers, WAKES_MAX};
use crate::chain::checks::{Broken, recovery, rest};
use crate::chain::fault::What;
use crate::chain::log::Happened;
use crate::chain::network::Wires;
use crate::chain::node::Node;
use crate::chain::observer::Observer;
use crate::chain::plan::Plan;
use crate::chain::planted::Mistake;
use crate::chain::queue::{Event, Queue};
use crate::chain::users::Account;
use crate::log::Log;
use crate::report::Report;

/// A world that runs.
pub struct World {
    plan: Plan,
    network: Network,
    now: Time,
    queue: Queue,
    nodes: Vec<Node>,
    /// Who is reached where; an address that a client left leads nowhere.
    places: BTreeMap<SocketAddr, usize>,
    /// Addresses that clients once had.
    left: BTreeMap<SocketAddr, usize>,
    wires: Wires,
    /// By user: its open association, with its entry.
    doors: Vec<Option<Association>>,
    /// Whose association that is, by entry.
    owners: Vec<BTreeMap<Association, usize>>,
    accounts: Vec<Account>,
    /// Open sockets of exits.
    sockets: BTreeSet<(usize, Flow)>,
    /// For replies under way: through which exit and socket.
    flows: BTreeMap<(u16, u32), (usize, Flow)>,
    questions: Vec<(usize, Question, String)>,
    observer: Observer,
    repeats: Repeats,
    strangers: Strangers,
    mistake: Option<Box<dyn Mistake>>,
    chance: Chance,
    log: Log<Happened>,
    out: Outbox,
    broken: Option<Broken>,
    closed: bool,
}

/// How long after the last datagram the applications close: for what is under way.
const DRAIN: Duration = Duration::from_secs(5);
/// How often a node gets fresh randomness, in seconds.
const FEED_EVERY: u64 = 60;
const SECOND: Duration = Duration::from_secs(1);

impl World {
    /// The world of a plan, perhaps with a mistake in it; `log` keeps every line.
    pub fn new(plan: Plan, mistake: Option<Box<dyn Mistake>>, log: bool) -> World {
        let count = plan.nodes();
        let mut world = World {
            network: plan.network(),
            now: Time::from_nanos(1_000_000),
            queue: Queue::default(),
            nodes: Vec::new(),
            places: BTreeMap::new(),
            left: BTreeMap::new(),
            wires: Wires::new(&plan),
            doors: vec![None; plan.users.len()],
            owners: vec![BTreeMap::new(); count],
            accounts: plan.users.iter().map(|_| Account::default()).collect(),
            sockets: BTreeSet::new(),
            flows: BTreeMap::new(),
            questions: Vec::new(),
            observer: Observer::new(&plan),
            repeats: Repeats::default(),
            strangers: Strangers::default(),
            mistake,
            chance: plan.chance("world", 0),
            log: Log::new(log),
            out: Outbox::new(),
            broken: None,
            closed: false,
            plan,
        };
        for node in 0..count {
            world.place(node);
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
        for (number, user) in self.plan.users.iter().enumerate().filter(|(_, user)| !user.absent) {
            self.queue.plan(Time::ZERO + user.starts, Event::Turn(number as u16));
        }
        self.queue.plan(Time::ZERO + self.plan.ends + DRAIN, Event::Close);
        self.queue.plan(Time::ZERO + SECOND, Event::Second);
    }

    /// Lets the world run to its end, or to the first broken check.
    pub fn run(mut self) -> Report<Plan> {
        let end = Time::ZERO + self.plan.ends + DRAIN + REST_AFTER;
        while self.broken.is_none() {
            match self.queue.pop() {
                Some((at, event)) if at <= end => {
                    self.now = at;
                    self.happen(event);
                }
                _ => {
                    self.now = end;
                    self.rest();
                    break;
                }
            }
        }
        self.report()
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Arrival(place) => self.arrive(place),
            Event::Wake(node) => self.wake(node.into()),
            Event::Turn(user) => self.turn(user.into()),
            Event::Reply(user, number) => self.reply(user, number),
            Event::Answer(question) => self.answer(question as usize),
            Event::Begins(fault) => self.begins(fault),
            Event::Ends(fault) => self.ends(fault),
            Event::Forgery(fault) => self.forge(fault),
            Event::Second => self.second(),
            Event::Close => self.close(),
        }
    }

    fn begins(&mut self, number: u16) {
        self.note(Happened::Begins { fault: number });
        let what = self.plan.faults[usize::from(number)].what.clone();
        match what {
            What::Crash(node) => self.stop(node, false),
            What::Stop(node) => self.stop(node, true),
            What::Stall(node) => {
                self.nodes[node].stalled = Time::ZERO + self.plan.faults[usize::from(number)].until;
            }
            What::Move(entry, port_only) => self.move_away(entry, port_only),
            What::Skew(node, by) => self.nodes[node].clock.skew += by,
            What::Flood(..) => self.queue.plan(self.now, Event::Forgery(number)),
            _ => self.wires.begin(number.into(), &what),
        }
    }

    fn ends(&mut self, number: u16) {
        self.note(Happened::Ends { fault: number });
        self.wires.end(number.into());
        match self.plan.faults[usize::from(number)].what {
            // Two faults may keep one node down: the last to end brings it back.
            What::Crash(node) | What::Stop(node) if !self.is_kept_down(node) => self.start(node),
            What::Skew(node, by) => self.nodes[node].clock.skew -= by,
            _ => {}
        }
    }

    /// Whether a fault that has begun and not ended keeps a node down.
    fn is_kept_down(&self, node: usize) -> bool {
        let now = self.now - Time::ZERO;
        self.plan.faults.iter().any(|fault| {
            matches!(fault.what, What::Crash(down) | What::Stop(down) if down == node)
                && fault.from <= now
                && fault.until > now
        })
    }

    /// A client is somewhere else: what goes to its old address is lost.
    fn move_away(&mut self, node: usize, port_only: bool) {
        let old = self.nodes[node].address;
        let new = if port_only {
            SocketAddr::new(old.ip(), 1_024 + self.chance.below(60_000) as u16)
        } else {
            let [a, b] = self.chance.bytes();
            SocketAddr::from(([10, 2, a, b], 700))
        };
        if self.places.contains_key(&new) {
            return;
        }
        self.places.remove(&old);
        self.left.insert(old, node);
        self.nodes[node].address = new;
        self.places.insert(new, node);
    }

    fn forge(&mut self, number: u16) {
        let fault = &self.plan.faults[usize::from(number)];
        let What::Flood(node, per_second) = fault.what else { return };
        if Time::ZERO + fault.until <= self.now {
            return;
        }
        let (from, bytes) = self.wires.forge(&self.plan);
        let to = self.nodes[node].address;
        self.queue.fly(self.now, from, to, bytes.len(), &bytes);
        self.queue.plan(self.now + SECOND / per_second as u32, Event::Forgery(number));
    }

    fn second(&mut self) {
        self.queue.plan(self.now + SECOND, Event::Second);
        let feeds = (self.now.as_nanos() / 1_000_000_000).is_multiple_of(FEED_EVERY);
        for number in 0..self.nodes.len() {
            let node = &mut self.nodes[number];
            if std::mem::take(&mut node.wakes) > WAKES_MAX {
                self.broken.get_or_insert(Broken::Spins { node: number });
            }
            if let (true, Some(core)) = (feeds, &mut node.core) {
                core.feed(&self.chance.bytes());
            }
        }
    }

    /// All applications close, after what they sent had time to arrive.
    fn close(&mut self) {
        self.note(Happened::Closed);
        self.closed = true;
        if let Err(broken) = recovery::verdict(&self.plan, &self.accounts) {
            self.fail(broken);
        }
        for user in 0..self.plan.users.len() {
            self.shut(user);
        }
    }

    /// The last judgements, when the world is at rest.
    fn rest(&mut self) {
        let mut sockets = vec![0; self.nodes.len()];
        for (node, _) in &self.sockets {
            sockets[*node] += 1;
        }
        let rested = rest::verdict(&self.plan, &self.nodes, &sockets);
        if let Err(broken) = rested.and_then(|()| self.observer.verdict()) {
            self.fail(broken);
        }
    }

    fn report(self) -> Report<Plan> {
        let tail =
            if self.broken.is_some() { self.log.tail(&self.plan, 60) } else { String::new() };
        let sent = self.accounts.iter().map(|account| account.sent.len() as u64).sum();
        let answered = self.accounts.iter().map(Account::answered).sum();
        Report {
            broken: self.broken,
            at: self.now,
            tail,
            sum: self.log.sum(),
            events: self.log.events(),
            counts: vec![("sent", sent), ("answered", answered), ("cells", self.observer.cells())],
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
}
