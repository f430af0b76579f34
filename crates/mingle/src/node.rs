//! One running node: its thread, its doors and its page.
//!
//! Everything that can fail for reasons the operator must repair fails in `start`, before the
//! node's thread runs; afterwards only the end is left.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use datagram::network::{Class, Network};
use datagram::{Entry, Exit, Mix};
use mixing::Chance;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;

use crate::clock::Clock;
use crate::config::{Config, EntryConfig, ExitConfig, MixConfig, PolicyConfig};
use crate::drive::entry::{Door, DoorKind, EntryRole};
use crate::drive::exit::{ExitCommand, ExitRole};
use crate::drive::mailbox::{Mailbox, Stop, mailbox};
use crate::drive::mix::MixRole;
use crate::drive::wait::Waiter;
use crate::drive::{Drive, Links, Role};
use crate::figures::{About, Published};
use crate::udp::{self, LinkSocket};
use crate::{Error, http, key, log, network, resolve, socks};

/// A node that runs.
pub struct Node {
    thread: JoinHandle<()>,
    /// Taken when it has ended, as a receiver answers once.
    ended: Option<oneshot::Receiver<()>>,
    stop: Stop,
    published: Arc<Published>,
    /// The control plane: dropped, and so ended, with the node.
    tasks: JoinSet<()>,
}

impl Node {
    /// Starts the node of a folder.
    ///
    /// # Errors
    /// What the operator must repair.
    pub async fn start(folder: &Path, config: Config) -> Result<Self, Error> {
        let path = folder.join(&config.node().network);
        let list = network::read(&path)?;
        log::info(format_args!(
            "{}: network {:?}, {} nodes, chains of {} mixes and an exit",
            config.node().name,
            list.name,
            list.nodes.len(),
            list.depth()
        ));
        let start = Start::new(folder, path, list, &config).await?;
        match config {
            Config::Entry(config) => start.entry(config).await,
            Config::Mix(config) => start.mix(&config),
            Config::Exit(config) => start.exit(&config),
        }
    }

    /// What the node publishes.
    pub fn published(&self) -> &Arc<Published> {
        &self.published
    }

    /// Waits until the node's thread ended by itself, which it never should.
    pub async fn ended(&mut self) {
        if let Some(ended) = &mut self.ended {
            let _ = ended.await;
            self.ended = None;
        }
    }

    /// Ends the node cleanly: neighbours are told, what can still go goes.
    ///
    /// # Errors
    /// When the node's thread had ended in a panic.
    pub async fn stop(mut self) -> Result<(), Error> {
        self.stop.ask();
        self.ended().await;
        self.tasks.shutdown().await;
        self.thread.join().map_err(|_| {
            let why = std::io::Error::other("it panicked; the lines above say where");
            Error::system("the node's thread to go on", why)
        })
    }
}

/// What every role needs before it starts.
struct Start {
    folder: PathBuf,
    network_path: PathBuf,
    network: Network,
    node: crate::config::Node,
    links: Links,
    waiter: Waiter,
    clock: Clock,
    published: Arc<Published>,
    tasks: JoinSet<()>,
}

impl Start {
    async fn new(
        folder: &Path,
        network_path: PathBuf,
        network: Network,
        config: &Config,
    ) -> Result<Self, Error> {
        let node = config.node().clone();
        let about = About {
            name: node.name.clone(),
            role: node.role.name(),
            network: network.name.clone(),
            strategies: Class::ALL.map(|class| network.class(class).strategy.to_string()),
        };
        let published = Arc::new(Published::new(about, network.nodes.len()));
        let mut tasks = JoinSet::new();
        for (listener, address) in
            http::bind(config.metrics()).await?.into_iter().zip(&config.metrics().listen)
        {
            log::info(format_args!("figures at {}", http::status_address(*address)));
            tasks.spawn(http::serve(listener, http::pages(published.clone())));
        }
        let links = links(&node, &network)?;
        Ok(Start {
            folder: folder.to_owned(),
            network_path,
            network,
            node,
            links,
            waiter: Waiter::new()?,
            clock: Clock::start(),
            published,
            tasks,
        })
    }

    async fn entry(mut self, config: EntryConfig) -> Result<Node, Error> {
        let chance = Chance::new(key::random()?);
        let core =
            Entry::new(self.clock.now(), self.network.clone(), config.limits.clone(), chance)
                .map_err(|why| self.core_refused(why))?;
        let role = EntryRole::new(core, &config, doors(&config)?, &self.waiter)
            .map_err(|why| Error::system("epoll", why))?;
        let mut listeners = Vec::new();
        for &address in &config.socks.listen {
            let listener = TcpListener::bind(address).await;
            listeners.push(listener.map_err(|why| Error::bind("SOCKS5", address, why))?);
            log::info(format_args!("SOCKS5 at {address}"));
        }
        let (mailbox, inside) = mailbox(self.waiter.waker());
        let door = socks::Door::new(mailbox.clone(), &config.socks);
        // Each has its connection and its relay.
        let places = allowed("socks.connections_max", config.socks.connections_max, 2);
        let places = Arc::new(Semaphore::new(places));
        for listener in listeners {
            self.tasks.spawn(door.clone().serve(listener, places.clone()));
        }
        self.run(role, mailbox.stop(), inside)
    }

    fn mix(self, config: &MixConfig) -> Result<Node, Error> {
        let identity = key::read(&self.folder.join(&config.key.file))?;
        let chance = Chance::new(key::random()?);
        let limits = config.limits.clone();
        let core = Mix::new(self.clock.now(), self.network.clone(), identity, limits, chance)
            .map_err(|why| self.core_refused(why))?;
        let (mailbox, inside) = mailbox(self.waiter.waker());
        self.run(MixRole::new(core), mailbox.stop(), inside)
    }

    fn exit(mut self, config: &ExitConfig) -> Result<Node, Error> {
        let identity = key::read(&self.folder.join(&config.key.file))?;
        let chance = Chance::new(key::random()?);
        let own = own_addresses();
        let policy = config
            .policy
            .core(own.clone())
            .map_err(|why| Error::unfit(&self.folder.join(crate::config::FILE), why))?;
        let limits = config.limits.clone();
        let core =
            Exit::new(self.clock.now(), self.network.clone(), identity, policy, limits, chance)
                .map_err(|why| self.core_refused(why))?;
        let outside = &config.outside;
        let (mailbox, inside) = mailbox(self.waiter.waker());
        let (questions, asked) = mpsc::channel(outside.names_waiting.max(1));
        let resolver = resolve::resolver(outside)?;
        self.tasks.spawn(watch_addresses(own, config.policy.clone(), mailbox.clone()));
        let at_once = outside.names_at_once;
        self.tasks.spawn(resolve::serve(resolver, at_once, asked, mailbox.clone()));
        let sockets_max = allowed("outside.sockets_max", outside.sockets_max, 1);
        let role = ExitRole::new(core, &outside.addresses, sockets_max, questions);
        self.run(role, mailbox.stop(), inside)
    }

    /// Gives everything to the node's thread.
    fn run<R: Role + 'static>(
        mut self,
        role: R,
        stop: Stop,
        inside: crate::drive::mailbox::Inside<R::Command>,
    ) -> Result<Node, Error> {
        self.tasks.spawn(network::watch(self.network_path, inside.new_list()));
        let every = self.node.figures_every;
        let published = self.published.clone();
        let drive =
            Drive::new(role, self.links, self.waiter, inside, published, self.clock, every)?;
        let (end, ended) = oneshot::channel();
        let run = move || {
            // Dropped, and so noticed, also when the thread ends in a panic.
            let _end = end;
            drive.run();
        };
        let thread = std::thread::Builder::new()
            .name("node".into())
            .spawn(run)
            .map_err(|why| Error::system("a thread", why))?;
        Ok(Node { thread, ended: Some(ended), stop, published: self.published, tasks: self.tasks })
    }

    fn core_refused(&self, why: datagram::network::Error) -> Error {
        Error::Core { path: self.network_path.clone(), why }
    }
}

/// Opens the sockets of the links and says which listed nodes they cannot reach.
fn links(node: &crate::config::Node, network: &Network) -> Result<Links, Error> {
    let mut sockets = Vec::new();
    for &address in &node.listen {
        match LinkSocket::bind(address) {
            Ok(socket) => {
                log::info(format_args!("links at {}", socket.address().unwrap_or(address)));
                say_buffer(&socket);
                sockets.push(socket);
            }
            // An entry on a machine without IPv6 is as good as one with it.
            Err(why) if address.ip().is_unspecified() && address.is_ipv6() => log::warning(why),
            Err(why) => return Err(why),
        }
    }
    let opened = |ipv6| sockets.iter().any(|s| s.address().is_some_and(|a| a.is_ipv6() == ipv6));
    for (ipv6, family, any) in [(false, "IPv4", "0.0.0.0:0"), (true, "IPv6", "[::]:0")] {
        let count = network.nodes.iter().filter(|node| node.address.is_ipv6() == ipv6).count();
        if count > 0 && !opened(ipv6) {
            log::warning(format_args!(
                "{count} listed nodes have {family} addresses and cannot be reached from here; \
                 node.listen could have \"{any}\" too"
            ));
        }
    }
    Ok(Links::new(sockets))
}

/// Says when bursts will be lost because the system grants less than they need.
fn say_buffer(socket: &LinkSocket) {
    let (size, enough) = socket.buffer();
    if !enough {
        log::info(format_args!(
            "the system gives links a receive buffer of {} KiB, so bursts may be lost; for a busy \
             node set `sysctl net.core.rmem_max={wanted} net.core.wmem_max={wanted}`",
            size >> 10,
            wanted = udp::BUFFER_WANTED
        ));
    }
}

/// Opens the doors that have no beginning: raw and forwards.
fn doors(config: &EntryConfig) -> Result<Vec<Door>, Error> {
    let raw = config
        .raw
        .listen
        .iter()
        .map(|&listen| (listen, "the raw door", DoorKind::Raw { class: config.raw.class }));
    let forwards = config.forwards.list.iter();
    let forwards =
        forwards.map(|forward| (forward.listen, "a forward", DoorKind::Forward(forward.clone())));
    let open = |(listen, what, kind)| {
        let socket = udp::plain(listen).map_err(|why| Error::bind(what, listen, why))?;
        udp::enlarge(&socket);
        log::info(format_args!("{what} at {listen}"));
        Ok(Door { socket, kind })
    };
    raw.chain(forwards).map(open).collect()
}

/// The addresses of this machine's interfaces, loopback excepted: that one is the policy's own
/// business, and a local network allows it.
fn own_addresses() -> Vec<IpAddr> {
    match if_addrs::get_if_addrs() {
        Ok(interfaces) => {
            let addresses = interfaces.into_iter().map(|interface| interface.ip());
            addresses.filter(|address| !address.is_loopback()).collect()
        }
        Err(why) => {
            log::warning(format_args!(
                "this machine does not tell its addresses ({why}): list them in policy.own"
            ));
            Vec::new()
        }
    }
}

/// Looks now and then whether the machine has other addresses, which the exit must not serve.
async fn watch_addresses(
    mut own: Vec<IpAddr>,
    policy: PolicyConfig,
    mailbox: Mailbox<ExitCommand>,
) {
    loop {
        tokio::time::sleep(ADDRESSES_EVERY).await;
        let now = own_addresses();
        if now != own
            && let Ok(policy) = policy.core(now.clone())
        {
            log::info("this machine's addresses changed: the policy knows");
            mailbox.send(ExitCommand::Policy(policy));
            own = now;
        }
    }
}

const ADDRESSES_EVERY: Duration = Duration::from_secs(15);

/// Raises the limit on files as far as the system lets us; how many there may be.
fn raise_files() -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    // A refusal leaves the limit as it was.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(files).unwrap_or(usize::MAX)
}

/// How many of `wanted` things of `each` files the system allows.
fn allowed(setting: &str, wanted: usize, each: usize) -> usize {
    let files = raise_files();
    let most = files.saturating_sub(FILES_ASIDE) / each;
    if most < wanted {
        log::warning(format_args!(
            "the system allows {files} files, so {setting} is {most} and not {wanted}; raise the \
             limit with `ulimit -n` or LimitNOFILE, or lower the setting"
        ));
    }
    most.min(wanted)
}

/// Files that are no sockets to the outside: links, page, names, and room to spare.
const FILES_ASIDE: usize = 256;
