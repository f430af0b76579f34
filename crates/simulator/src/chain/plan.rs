//! A world before it runs: who is in it, who sends what, and what goes wrong when.
//!
//! Everything is drawn from one seed and then only data, so a world can be run again with a part
//! left out ([`crate::shrink`]). Nothing here depends on how the world goes.

use std::net::SocketAddr;
use std::time::Duration;

use datagram::keyring::{CLOCKS_APART, EPOCH_LEAST};
use datagram::{Class, ClassSettings, Destination, Limits, Network, Role, Tier};
use mixing::keys::IdentityKey;
use mixing::{Chance, Strategy};

use crate::chain::checks::Broken;
use crate::chain::fault::{Fault, What};
use crate::chain::{World, draw};
use crate::{Planned, Report, fault};

/// What kind of worlds are drawn.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Profile {
    /// Networks of every shape, a few users, and faults of one kind or many.
    #[default]
    Faults,
    /// The same without faults.
    Calm,
    /// Many users who all start at the same moment, and faults.
    Storm,
    /// One node after the other restarts; users must be served again within five seconds.
    Restarts,
    /// Some hours with little traffic: keys change.
    Hours,
    /// Three mixes, an exit and 50 channels at the rate of voice, for the speed of the simulator.
    Voice,
}

impl Profile {
    /// How soon after the last fault every user must be served again.
    pub fn recovery(self) -> Duration {
        match self {
            Profile::Restarts => Duration::from_secs(5),
            _ => Duration::from_secs(15),
        }
    }
}

/// A world before it runs.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The number that brings it back.
    pub seed: u64,
    /// What kind of world it is.
    pub profile: Profile,
    /// Mixes in each tier.
    pub tiers: Vec<usize>,
    /// How many exits there are.
    pub exits: usize,
    /// How many entries there are.
    pub entries: usize,
    /// What the network list says.
    pub small: ClassSettings,
    /// What the network list says.
    pub large: ClassSettings,
    /// The limits of every node.
    pub limits: Limits,
    /// How long a datagram takes from node to node, there and back separately.
    pub delays: Vec<Vec<Duration>>,
    /// Drift of each node's clock, in parts per million.
    pub drifts: Vec<i64>,
    /// The applications.
    pub users: Vec<User>,
    /// What goes wrong.
    pub faults: Vec<Fault>,
    /// When the users stop sending.
    pub ends: Duration,
}

/// An application behind an entry.
#[derive(Clone, Debug)]
pub struct User {
    /// Which entry, from 0.
    pub entry: usize,
    /// The class of its association.
    pub class: Class,
    /// Its isolation.
    pub isolation: u64,
    /// When it starts.
    pub starts: Duration,
    /// How often it sends.
    pub every: Duration,
    /// The least and the most bytes of a datagram, and of a reply.
    pub sizes: (usize, usize),
    /// To whom, in turn.
    pub destinations: Vec<Destination>,
    /// Left out of the world; the others keep their numbers.
    pub absent: bool,
}

impl Plan {
    /// How many nodes the network list has.
    pub fn listed(&self) -> usize {
        self.tiers.iter().sum::<usize>() + self.exits
    }

    /// How many nodes there are with the entries.
    pub fn nodes(&self) -> usize {
        self.listed() + self.entries
    }

    /// The tier of a node: 0 for an entry, [`crate::chain::node::EXIT`] for an exit.
    pub fn tier(&self, node: usize) -> u8 {
        let mut first = 0;
        for (tier, count) in (1u8..).zip(&self.tiers) {
            if (first..first + count).contains(&node) {
                return tier;
            }
            first += count;
        }
        if node < self.listed() { crate::chain::node::EXIT } else { 0 }
    }

    /// Where a node is at the beginning.
    pub fn address(&self, node: usize) -> SocketAddr {
        let net = if node < self.listed() { 0 } else { 1 };
        SocketAddr::from(([10, net, 0, node as u8 + 1], 700))
    }

    /// The name of a node in logs.
    pub fn name(&self, node: usize) -> String {
        match self.tier(node) {
            0 => format!("entry-{}", node - self.listed() + 1),
            crate::chain::node::EXIT => format!("exit-{}", node + self.exits + 1 - self.listed()),
            tier => {
                let before: usize = self.tiers[..usize::from(tier) - 1].iter().sum();
                format!("mix-{tier}-{}", node - before + 1)
            }
        }
    }

    /// The network list.
    pub fn network(&self) -> Network {
        let nodes = (0..self.listed()).map(|node| datagram::Node {
            name: self.name(node),
            identity: self.identity(node).identity(),
            role: match self.tier(node) {
                crate::chain::node::EXIT => Role::Exit,
                tier => Role::Mix(Tier::new(tier).expect("a plan has one to five tiers")),
            },
            address: self.address(node),
        });
        Network {
            name: "world".into(),
            small: self.small.clone(),
            large: self.large.clone(),
            nodes: nodes.collect(),
        }
    }

    /// A listed node's identity: it has that on its disk.
    pub fn identity(&self, node: usize) -> IdentityKey {
        IdentityKey::generate(&mut self.chance("identity", node))
    }

    /// A generator for one purpose, so that leaving a part of the world out changes no other.
    pub fn chance(&self, purpose: &str, number: usize) -> Chance {
        crate::planned::chance(self.seed, purpose, number)
    }

    /// When the last fault is over and all users have started.
    pub fn quiet_from(&self) -> Duration {
        let tail = |fault: &Fault| match fault.what {
            What::Replays(_, _, after) => fault.until + after,
            // A key that nobody takes is replaced, but not at once.
            What::Skew(node, _) if self.is_far_off(node) => fault.until + EPOCH_LEAST,
            _ => fault.until,
        };
        let faults = self.faults.iter().map(tail);
        faults.chain(self.users.iter().map(|user| user.starts)).max().unwrap_or_default()
    }

    /// Whether all that is wrong with a node's clock may be more together than others put up with.
    fn is_far_off(&self, node: usize) -> bool {
        let skews = self.faults.iter().filter_map(|fault| match fault.what {
            What::Skew(of, by) if of == node => Some(by),
            _ => None,
        });
        let (mut ahead, mut behind) = (0, 0);
        for by in skews {
            (ahead, behind) = (ahead + by.max(0), behind - by.min(0));
        }
        ahead.max(behind) as u64 > CLOCKS_APART.as_secs()
    }

    /// A world of voice: for the speed of the simulator and of the cores in it.
    pub(crate) fn voice(seed: u64, users: usize, lasts: Duration) -> Plan {
        let every = Duration::from_millis(20);
        let user = |number: usize| User {
            entry: number % 5,
            class: Class::Small,
            isolation: 0,
            starts: Duration::from_millis(1_500) + every * number as u32 / users as u32,
            every,
            sizes: (160, 160),
            destinations: vec![draw::destination(number as u64, false)],
            absent: false,
        };
        let nodes = 3 + 1 + 5;
        let delay = |from, to| Duration::from_millis(if from == to { 0 } else { 10 });
        Plan {
            seed,
            profile: Profile::Voice,
            tiers: vec![1, 1, 1],
            exits: 1,
            entries: 5,
            small: ClassSettings::small(),
            large: ClassSettings::large(),
            limits: Limits { spare_channels: 0, ..Limits::default() },
            delays: (0..nodes).map(|a| (0..nodes).map(|b| delay(a, b)).collect()).collect(),
            drifts: vec![0; nodes],
            users: (0..users).map(user).collect(),
            faults: Vec::new(),
            ends: lasts,
        }
    }
}

impl Planned for Plan {
    type Profile = Profile;
    type Broken = Broken;

    const SYSTEM: &'static str = "chain";
    const PROFILES: &'static [(&'static str, Profile)] = &[
        ("faults", Profile::Faults),
        ("calm", Profile::Calm),
        ("storm", Profile::Storm),
        ("restarts", Profile::Restarts),
        ("hours", Profile::Hours),
        ("voice", Profile::Voice),
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
        format!(
            "{} tiers {:?}, {} exits, {} entries, {} users, {} faults, {:.1} s, small {}, large {}",
            self.tiers.len(),
            self.tiers,
            self.exits,
            self.entries,
            self.users.len(),
            self.faults.len(),
            self.ends.as_secs_f64(),
            self.small.strategy,
            self.large.strategy,
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
        let least = self.quiet_from() + self.profile.recovery() + Duration::from_secs(2);
        self.ends = lasts.max(least);
    }

    fn leave_out(&mut self, faults: &[usize], users: &[usize]) {
        for user in users {
            if let Some(user) = self.users.get_mut(*user) {
                (user.starts, user.absent) = (Duration::ZERO, true);
            }
        }
        fault::leave_out(&mut self.faults, faults);
    }

    fn run(self, log: bool) -> Report<Plan> {
        World::new(self, None, log).run()
    }
}

/// Draws one of the strategies; half the networks have the default.
pub(crate) fn strategy(chance: &mut Chance, default: &Strategy) -> Strategy {
    let millis =
        |chance: &mut Chance, from, to| Duration::from_millis(from + chance.below(to - from + 1));
    match chance.below(10) {
        0 => Strategy::None,
        1 => Strategy::Timed { period: millis(chance, 2, 50) },
        2 => {
            let n = 2 + chance.below(20) as usize;
            Strategy::Threshold { n, timeout: millis(chance, 5, 60) }
        }
        3 => Strategy::Pool {
            period: millis(chance, 5, 30),
            keep: chance.below(8) as usize,
            fraction: 0.25 + chance.unit() / 2.0,
            longest: millis(chance, 50, 200),
        },
        4 => Strategy::Poisson { mean: millis(chance, 2, 30), longest: millis(chance, 40, 200) },
        _ => default.clone(),
    }
}
