//! A whole network on one machine: its folders, and its nodes as processes of their own.
//!
//! The processes end with the one that started them, however it ends: each watches a pipe whose
//! other end this one holds, and the system closes that end even when nobody else can.

pub mod process;
pub mod running;

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use datagram::network::{ClassSettings, Network, Node, Role, Tier};
use mixing::keys::Identity;
use mixing::strategy::Strategy;

use crate::config::{self, Config};
use crate::{Error, folder, network};

/// What a local network is made of.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How many mixes a chain passes, 1 to 5.
    pub mixes: u8,
    /// The first port; `Ports` says which follow.
    pub base_port: u16,
    /// The strategy of both classes, where it is not their default.
    pub strategy: Option<Strategy>,
}

impl Default for Plan {
    fn default() -> Self {
        Plan { mixes: 3, base_port: 20_000, strategy: None }
    }
}

/// Where everything is: node 0 is the entry, then come the mixes, then the exit.
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    base: u16,
}

impl Ports {
    /// The ports of a network that is made to this plan.
    pub fn of(plan: &Plan) -> Self {
        Ports { base: plan.base_port }
    }

    /// The ports of a network whose first is `base`.
    pub fn from_base(base: u16) -> Self {
        Ports { base }
    }

    /// The raw door of the entry.
    pub fn raw(self) -> SocketAddr {
        self.at(0)
    }

    /// The links of the node with this number, from 1.
    pub fn link(self, number: u16) -> SocketAddr {
        self.at(number)
    }

    /// The SOCKS5 door of the entry.
    pub fn socks(self) -> SocketAddr {
        self.at(SOCKS)
    }

    /// The figures of the node with this number, from 0.
    pub fn metrics(self, number: u16) -> SocketAddr {
        self.at(METRICS + number)
    }

    fn at(self, offset: u16) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.base + offset).into()
    }
}

/// Makes a local network in a new folder.
///
/// # Errors
/// When the plan cannot be, or the folder is not new.
pub fn create(root: &Path, plan: &Plan) -> Result<(), Error> {
    if !(1..=5).contains(&plan.mixes) {
        return Err(Error::Usage(format!("{} mixes: a chain has 1 to 5", plan.mixes)));
    }
    let ports = Ports { base: plan.base_port };
    if plan.base_port == 0 || plan.base_port > u16::MAX - METRICS - NODES_MOST {
        let highest = u16::MAX - METRICS - NODES_MOST;
        return Err(Error::Usage(format!("the base port must be 1 to {highest}")));
    }
    folder::make(root)?;
    let mut nodes = Vec::new();
    for number in 1..=plan.mixes {
        let tier = Tier::new(number).ok_or(Error::Usage("a tier is 1 to 5".into()))?;
        let name = format!("mix-{number}");
        nodes.push(listed_node(root, &name, Role::Mix(tier), ports, u16::from(number))?);
    }
    nodes.push(listed_node(root, EXIT, Role::Exit, ports, u16::from(plan.mixes) + 1)?);
    entry(root, ports)?;

    let (mut small, mut large) = (ClassSettings::small(), ClassSettings::large());
    if let Some(strategy) = &plan.strategy {
        small.strategy = strategy.clone();
        large.strategy = strategy.clone();
    }
    // A name of its own for every network: signatures of one are void in another.
    let name = format!("local-{}", plan.base_port);
    let list = Network { name, small, large, nodes };
    list.check().map_err(|why| Error::Core { path: root.join(network::FILE), why })?;
    folder::write_network(&root.join(network::FILE), &list)
}

fn listed_node(
    root: &Path,
    name: &str,
    role: Role,
    ports: Ports,
    number: u16,
) -> Result<Node, Error> {
    let address = ports.link(number);
    let config_role = match role {
        Role::Mix(_) => config::Role::Mix,
        Role::Exit => config::Role::Exit,
    };
    let config = settings(config_role, name, vec![address], ports.metrics(number));
    let identity: Option<Identity> = folder::create(&root.join(name), &config)?;
    let identity = identity.expect("mixes and exits have one");
    Ok(Node { name: name.to_owned(), identity, role, address })
}

fn entry(root: &Path, ports: Ports) -> Result<(), Error> {
    let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let mut config = settings(config::Role::Entry, ENTRY, vec![any_port], ports.metrics(0));
    if let Config::Entry(entry) = &mut config {
        entry.raw.listen = vec![ports.raw()];
        entry.socks.listen = vec![ports.socks()];
    }
    folder::create(&root.join(ENTRY), &config).map(|_| ())
}

/// What differs on one machine: figures that can be watched, loopback as the world, and one source,
/// whose share is all.
fn settings(
    role: config::Role,
    name: &str,
    listen: Vec<SocketAddr>,
    metrics: SocketAddr,
) -> Config {
    let mut config = folder::settings(role, name, &Path::new("..").join(network::FILE), listen);
    let (node, page) = match &mut config {
        Config::Entry(entry) => (&mut entry.node, &mut entry.metrics),
        Config::Mix(mix) => {
            mix.limits.bytes_per_source = ALL;
            mix.limits.channels_per_source = mix.limits.channels;
            (&mut mix.node, &mut mix.metrics)
        }
        Config::Exit(exit) => {
            exit.policy.allow = ["127.0.0.0/8", "::1/128"].map(str::to_owned).into();
            (&mut exit.node, &mut exit.metrics)
        }
    };
    node.figures_every = Duration::from_secs(1);
    page.listen = vec![metrics];
    config
}

/// The folders of a local network's nodes in the order in which they are best started: whoever is
/// asked first comes first.
///
/// # Errors
/// When there is no network in that folder.
pub fn folders(root: &Path) -> Result<Vec<PathBuf>, Error> {
    let list = network::read(&root.join(network::FILE))?;
    let mut folders: Vec<_> = list.nodes.iter().rev().map(|node| root.join(&node.name)).collect();
    folders.push(root.join(ENTRY));
    Ok(folders)
}

/// A base port whose network would find all its ports free, for tests, demos and benches that must
/// not meet another network. It is free when looked at; nobody can promise more.
///
/// # Errors
/// When every try met a port in use.
pub fn free_base_port() -> Result<u16, Error> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Processes that ask at the same time have near numbers, so each takes large steps from its own.
    let start = std::process::id();
    for _ in 0..GROUPS * PLACES {
        let step = NEXT.fetch_add(1, Ordering::Relaxed).wrapping_mul(STEP);
        let place = start.wrapping_add(step) % u32::from(GROUPS * PLACES);
        let place = u16::try_from(place).expect("less than a u16");
        let base = PORTS_FROM + (place / PLACES) * GROUP + (place % PLACES) * NODES_MOST;
        if all_free(Ports { base }) {
            return Ok(base);
        }
    }
    Err(Error::Usage("no base port is free between 10000 and 31000; give --base-port".into()))
}

fn all_free(ports: Ports) -> bool {
    (0..NODES_MOST).all(|number| {
        UdpSocket::bind(ports.at(number)).is_ok()
            && TcpListener::bind(ports.metrics(number)).is_ok()
    }) && TcpListener::bind(ports.socks()).is_ok()
}

/// Bytes per second that no machine reaches.
const ALL: u64 = 1_000_000_000_000;

/// The folder of the entry.
pub const ENTRY: &str = "entry";
/// The folder of the exit.
pub const EXIT: &str = "exit";

const SOCKS: u16 = 100;
const METRICS: u16 = 200;
/// An entry, five mixes and an exit.
const NODES_MOST: u16 = 7;
/// Below the ports that systems give away by themselves.
const PORTS_FROM: u16 = 10_000;
/// In a group of 300 ports the base ports lie in the first hundred, so that no network's SOCKS5 or
/// figures meet another's links.
const GROUP: u16 = 300;
const GROUPS: u16 = 70;
const PLACES: u16 = SOCKS / NODES_MOST;
/// Coprime to the number of places.
const STEP: u32 = 211;
