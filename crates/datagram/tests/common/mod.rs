//! A small world for tests: the real cores, a wire in memory and a clock that only the world moves.
//!
//! Every datagram on the wire passes `World::wire`, where a test may look at it, change it, drop it
//! or send others. Nothing is lost or late unless a test says so.

#![allow(dead_code, unreachable_pub)] // Every test file uses its own part.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use datagram::*;
use mixing::keys::IdentityKey;
use mixing::{Chance, Date, Now, Strategy, Time};

/// Any node.
pub enum Core {
    Entry(Box<Entry>),
    Mix(Box<Mix>),
    Exit(Box<Exit>),
}

impl Deref for Core {
    type Target = dyn Machine;

    fn deref(&self) -> &Self::Target {
        match self {
            Core::Entry(entry) => &**entry,
            Core::Mix(mix) => &**mix,
            Core::Exit(exit) => &**exit,
        }
    }
}

impl DerefMut for Core {
    fn deref_mut(&mut self) -> &mut Self::Target {
        match self {
            Core::Entry(entry) => &mut **entry,
            Core::Mix(mix) => &mut **mix,
            Core::Exit(exit) => &mut **exit,
        }
    }
}

/// A datagram on the wire.
#[derive(Clone, Debug, PartialEq)]
pub struct Packet {
    pub from: SocketAddr,
    pub to: SocketAddr,
    pub bytes: Vec<u8>,
}

/// What a test does with a packet: `true` lets it pass, changed or not.
pub type Tap = Box<dyn FnMut(&mut Packet) -> bool>;

/// A datagram at a destination.
#[derive(Clone, Debug, PartialEq)]
pub struct Arrival {
    pub exit: SocketAddr,
    pub flow: Flow,
    pub to: SocketAddr,
    pub payload: Vec<u8>,
}

pub struct World {
    pub now: Now,
    pub network: Network,
    pub nodes: BTreeMap<SocketAddr, Core>,
    /// Nodes whose wall clock is ahead of the others'.
    pub ahead: BTreeMap<SocketAddr, Duration>,
    pub wire: VecDeque<Packet>,
    /// Every packet that was ever on the wire, as it left its sender.
    pub seen: Vec<Packet>,
    pub tap: Tap,
    pub arrivals: Vec<Arrival>,
    pub replies: Vec<(Association, SocketAddr, Vec<u8>)>,
    pub notices: Vec<(Association, Notice)>,
    pub questions: Vec<(SocketAddr, Question, String)>,
    pub gone: Vec<Flow>,
    /// Answers every datagram at a destination with its payload.
    pub echo: bool,
    out: Outbox,
    chance: Chance,
}

pub const EXIT: &str = "10.0.1.1:700";
pub const ENTRY: &str = "10.0.9.1:700";

pub fn address(text: &str) -> SocketAddr {
    text.parse().expect("a socket address")
}

/// `10.0.0.TIER:NUMBER`.
pub fn mix_address(tier: u8, number: u16) -> SocketAddr {
    address(&format!("10.0.0.{tier}:{number}"))
}

/// A network of so many mixes in each tier and so many exits, with one strategy for both classes.
pub fn network(per_tier: &[u16], exits: u16, strategy: Option<Strategy>) -> Network {
    let mut nodes = Vec::new();
    let node = |name: String, role, address| Node {
        identity: identity_key(&address).identity(),
        name,
        role,
        address,
    };
    for (tier, count) in (1u8..).zip(per_tier) {
        for number in 1..=*count {
            let role = Role::Mix(Tier::new(tier).expect("1 to 5"));
            nodes.push(node(format!("mix-{tier}-{number}"), role, mix_address(tier, number)));
        }
    }
    for number in 1..=exits {
        let exit = address(&format!("10.0.1.{number}:700"));
        nodes.push(node(format!("exit-{number}"), Role::Exit, exit));
    }
    let mut network = Network {
        name: "test".into(),
        small: ClassSettings::small(),
        large: ClassSettings::large(),
        nodes,
    };
    if let Some(strategy) = strategy {
        network.small.strategy = strategy.clone();
        network.large.strategy = strategy;
    }
    network
}

pub fn identity_key(address: &SocketAddr) -> IdentityKey {
    IdentityKey::generate(&mut Chance::new(mixing::cipher::hash(
        "mingle test identity",
        &[address.to_string().as_bytes()],
    )))
}

impl World {
    /// All listed nodes and one entry without spare channels, so that every channel is a test's.
    pub fn new(network: Network, seed: u8) -> World {
        World::with_limits(network, seed, &Limits { spare_channels: 0, ..Limits::default() })
    }

    pub fn with_limits(network: Network, seed: u8, limits: &Limits) -> World {
        let now = Now { time: Time::from_nanos(1), date: Date::from_secs(1_700_000_000) };
        let mut world = World {
            now,
            network: network.clone(),
            nodes: BTreeMap::new(),
            ahead: BTreeMap::new(),
            wire: VecDeque::new(),
            seen: Vec::new(),
            tap: Box::new(|_| true),
            arrivals: Vec::new(),
            replies: Vec::new(),
            notices: Vec::new(),
            questions: Vec::new(),
            gone: Vec::new(),
            echo: true,
            out: Outbox::new(),
            chance: Chance::new([seed; 32]),
        };
        for node in &network.nodes {
            world.start(node.address, limits);
        }
        world.add_entry(address(ENTRY), limits);
        world
    }

    /// Starts a listed node, or starts it again with nothing in memory.
    pub fn start(&mut self, at: SocketAddr, limits: &Limits) {
        let (network, limits, key) = (self.network.clone(), limits.clone(), identity_key(&at));
        let now = self.now_at(at);
        let chance = self.chance.fork();
        let node = network.nodes.iter().find(|node| node.address == at).expect("listed");
        let core = match node.role {
            Role::Mix(_) => Core::Mix(Box::new(
                Mix::new(now, network, key, limits, chance).expect("a sound list"),
            )),
            Role::Exit => Core::Exit(Box::new(
                Exit::new(now, network, key, Policy::default(), limits, chance)
                    .expect("a sound list"),
            )),
        };
        self.nodes.insert(at, core);
    }

    /// What the clocks of a node show.
    pub fn now_at(&self, at: SocketAddr) -> Now {
        let ahead = self.ahead.get(&at).copied().unwrap_or_default();
        Now { time: self.now.time, date: self.now.date + ahead }
    }

    pub fn add_entry(&mut self, at: SocketAddr, limits: &Limits) {
        let chance = self.chance.fork();
        let entry = Entry::new(self.now, self.network.clone(), limits.clone(), chance);
        self.nodes.insert(at, Core::Entry(Box::new(entry.expect("a sound list"))));
    }

    pub fn entry(&mut self, at: &str) -> &mut Entry {
        match self.nodes.get_mut(&address(at)) {
            Some(Core::Entry(entry)) => entry,
            _ => panic!("no entry at {at}"),
        }
    }

    pub fn exit(&mut self, at: &str) -> &mut Exit {
        match self.nodes.get_mut(&address(at)) {
            Some(Core::Exit(exit)) => exit,
            _ => panic!("no exit at {at}"),
        }
    }

    pub fn figures(&self, at: SocketAddr) -> &Figures {
        self.nodes.get(&at).unwrap_or_else(|| panic!("no node at {at}")).figures()
    }

    pub fn dropped(&self, at: SocketAddr, reason: Dropped) -> u64 {
        self.figures(at).dropped(reason)
    }

    /// All that all nodes dropped, by reason.
    pub fn all_dropped(&self) -> BTreeMap<Dropped, u64> {
        let mut all = BTreeMap::new();
        for at in self.nodes.keys() {
            for (reason, count) in self.figures(*at).all_dropped().filter(|(_, count)| *count > 0) {
                *all.entry(reason).or_default() += count;
            }
        }
        all
    }

    pub fn open(&mut self, entry: &str, class: Class) -> Association {
        let now = self.now;
        self.entry(entry).open(now, class, 0).expect("room for an association")
    }

    pub fn send(&mut self, entry: &str, association: Association, to: &str, payload: &[u8]) {
        let (now, mut out) = (self.now, std::mem::take(&mut self.out));
        let to: Destination = to.parse().expect("a destination");
        let _ = self.entry(entry).send(now, association, &to, payload, &mut out);
        self.perform(address(entry), &mut out);
        self.out = out;
    }

    /// Gives a node a datagram, as if it came over the wire.
    pub fn give(&mut self, from: SocketAddr, to: SocketAddr, bytes: &[u8]) -> Result<(), Dropped> {
        let (now, mut out) = (self.now_at(to), std::mem::take(&mut self.out));
        let mut bytes = bytes.to_vec();
        let core = self.nodes.get_mut(&to);
        let given = core.map_or(Ok(()), |core| core.receive(now, from, &mut bytes, &mut out));
        self.perform(to, &mut out);
        self.out = out;
        given
    }

    /// Does something with the entry and performs what it wants done.
    pub fn with_entry(&mut self, at: &str, act: impl FnOnce(&mut Entry, Now, &mut Outbox)) {
        let (now, mut out) = (self.now, std::mem::take(&mut self.out));
        act(self.entry(at), now, &mut out);
        self.perform(address(at), &mut out);
        self.out = out;
    }

    /// Does something with an exit and performs what it wants done.
    pub fn with_exit(&mut self, at: &str, act: impl FnOnce(&mut Exit, Now, &mut Outbox)) {
        let (now, mut out) = (self.now, std::mem::take(&mut self.out));
        act(self.exit(at), now, &mut out);
        self.perform(address(at), &mut out);
        self.out = out;
    }

    /// Tells a node to stop, performs its last wishes and takes it away.
    pub fn shutdown(&mut self, at: SocketAddr) {
        let (now, mut out) = (self.now_at(at), std::mem::take(&mut self.out));
        self.nodes.get_mut(&at).expect("a node of this world").shutdown(now, &mut out);
        self.perform(at, &mut out);
        self.out = out;
        self.nodes.remove(&at);
    }

    /// Gives every node another network list.
    pub fn renew(&mut self, network: &Network) -> Result<(), Error> {
        for at in self.nodes.keys().copied().collect::<Vec<_>>() {
            let (now, mut out) = (self.now, std::mem::take(&mut self.out));
            let core = self.nodes.get_mut(&at).expect("listed above");
            let renewed = core.renew(now, network.clone(), &mut out);
            self.perform(at, &mut out);
            self.out = out;
            renewed?;
        }
        Ok(())
    }

    fn perform(&mut self, at: SocketAddr, out: &mut Outbox) {
        let mut echoes = Vec::new();
        for effect in out.effects() {
            match effect {
                Effect::Send { to, segment, bytes } => {
                    for bytes in out.bytes(bytes).chunks(*segment) {
                        let packet = Packet { from: at, to: *to, bytes: bytes.to_vec() };
                        self.seen.push(packet.clone());
                        self.wire.push_back(packet);
                    }
                }
                Effect::Deliver { association, source, bytes } => {
                    self.replies.push((*association, *source, out.bytes(bytes).to_vec()));
                }
                Effect::Notice { association, notice } => {
                    self.notices.push((*association, notice.clone()));
                }
                Effect::Outside { flow, to, bytes } => {
                    let payload = out.bytes(bytes).to_vec();
                    if self.echo {
                        echoes.push((*flow, *to, payload.clone()));
                    }
                    self.arrivals.push(Arrival { exit: at, flow: *flow, to: *to, payload });
                }
                Effect::Resolve { question, name } => {
                    self.questions.push((at, *question, name.clone()));
                }
                Effect::Gone { flow } => self.gone.push(*flow),
            }
        }
        out.clear();
        for (flow, from, payload) in echoes {
            let Some(Core::Exit(exit)) = self.nodes.get_mut(&at) else { continue };
            let _ = exit.from_outside(self.now, flow, from, &payload, out);
            self.perform(at, out);
        }
    }

    /// Delivers what is on the wire and lets time pass up to `duration`, waking whoever wants it.
    pub fn run(&mut self, duration: Duration) {
        let end = self.now.time + duration;
        loop {
            while let Some(mut packet) = self.wire.pop_front() {
                let mut tap = std::mem::replace(&mut self.tap, Box::new(|_| true));
                let passes = tap(&mut packet);
                self.tap = tap;
                if passes {
                    let _ = self.give(packet.from, packet.to, &packet.bytes);
                }
            }
            let wakes = self.nodes.values().filter_map(|core| core.wake_at());
            let next = wakes.min().unwrap_or(end);
            if next > end {
                self.set_time(end);
                return;
            }
            self.set_time(next);
            for at in self.nodes.keys().copied().collect::<Vec<_>>() {
                let (now, mut out) = (self.now_at(at), std::mem::take(&mut self.out));
                self.nodes.get_mut(&at).expect("listed above").tick(now, &mut out);
                self.perform(at, &mut out);
                self.out = out;
            }
        }
    }

    fn set_time(&mut self, time: Time) {
        if time > self.now.time {
            let passed = time - self.now.time;
            self.now = Now { time, date: self.now.date + passed };
        }
    }

    /// Lets time pass until something holds, at most `within`; says whether it came to hold.
    pub fn run_until(&mut self, within: Duration, holds: impl Fn(&World) -> bool) -> bool {
        let step = Duration::from_millis(5);
        let mut passed = Duration::ZERO;
        while !holds(self) {
            if passed >= within {
                return false;
            }
            self.run(step);
            passed += step;
        }
        true
    }
}

/// How long a set-up may take in a world without faults.
pub const SOON: Duration = Duration::from_secs(2);
