//! Hosts: network namespaces around a router, each with an IPv4 and an IPv6 address, and a mingle
//! network on them. Nothing of it is outside its namespaces, and all of it vanishes with it.
//!
//! ```text
//! entry ──┐        ┌── mix-2        host N: 10.77.N.2/24, fd77:N::2/64, port 700
//! mix-1 ──┼─ hub ──┼── exit         hub:    10.77.N.1/24, fd77:N::1/64
//!         └── world ┘
//! ```

use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Command;

use data_encoding::HEXLOWER;
use mingle::config::Config;
use mingle::local::process::NodeProcess;
use mingle::local::{self, Plan, Ports};
use mingle::network;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tempfile::TempDir;

use super::wire::{Counts, Rough, Wire};
use super::{PROGRAM, edit};

/// A network namespace, deleted on drop.
pub struct Space {
    name: String,
}

impl Space {
    fn new() -> Result<Space, String> {
        let random = mingle::key::random().unwrap();
        let name: String = HEXLOWER.encode(&random[..8]);
        let space = Space { name: format!("mingle-{name}") };
        run("ip", &["netns", "add", &space.name])?;
        space.ip(&["link", "set", "lo", "up"])?;
        Ok(space)
    }

    /// Does something as a process of this host would.
    pub fn within<T: Send>(&self, act: impl FnOnce() -> T + Send) -> T {
        let file = File::open(format!("/run/netns/{}", self.name)).unwrap();
        std::thread::scope(|scope| {
            let inside = scope.spawn(|| {
                let kind = Some(LinkNameSpaceType::Network);
                move_into_link_name_space(file.as_fd(), kind).unwrap();
                act()
            });
            inside.join().unwrap_or_else(|why| std::panic::resume_unwind(why))
        })
    }

    /// Configures this host.
    pub fn ip(&self, arguments: &[&str]) -> Result<(), String> {
        run("ip", &[&["-n", &self.name], arguments].concat())
    }

    /// How many packets this host sent over a device.
    pub fn sent(&self, device: &str) -> u64 {
        let table = self.within(|| fs::read_to_string("/proc/thread-self/net/dev").unwrap());
        let counts = table.lines().find_map(|line| line.trim().strip_prefix(device));
        // After the name, from 0: eight columns of what came, then bytes and packets of what went.
        let sent =
            counts.and_then(|counts| counts.trim_start_matches(':').split_whitespace().nth(9));
        sent.unwrap().parse().unwrap()
    }

    /// Shapes what this host sends to its router.
    pub fn shape(&self, discipline: &[&str]) -> Result<(), String> {
        let add = ["-n", &self.name, "qdisc", "add", "dev", "path", "root"];
        run("tc", &[&add, discipline].concat())
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        let _ = run("ip", &["netns", "del", &self.name]);
    }
}

/// Runs a tool; what it says when it refuses.
fn run(tool: &str, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(tool).args(arguments).output();
    let output = output.map_err(|why| format!("{tool} cannot be run: {why}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let arguments = arguments.join(" ");
    if output.status.success() { Ok(()) } else { Err(format!("{tool} {arguments}: {said}")) }
}

/// The hosts, and the nodes on them.
pub struct Hosts {
    nodes: Vec<NodeProcess>,
    /// Where a thread joins them, not a router.
    wire: Option<Wire>,
    spaces: Vec<Space>,
    ports: Ports,
    folder: TempDir,
}

/// Whose host is which; `WORLD` has the destinations.
pub const ENTRY: usize = 1;
pub const MIX_1: usize = 2;
pub const MIX_2: usize = 3;
pub const EXIT: usize = 4;
pub const WORLD: usize = 5;

/// The nodes in the order of their hosts.
const NODES: [&str; 4] = ["entry", "mix-1", "mix-2", "exit"];
/// Every host has a kernel of its own, as far as ports go.
const PORT: u16 = 700;

impl Hosts {
    /// Hosts that reach each other, without nodes yet, or why this machine allows none.
    pub fn new() -> Result<Hosts, String> {
        let hub = Space::new()?;
        hub.within(|| {
            for (file, value) in [
                ("ipv4/ip_forward", "1"),
                ("ipv6/conf/all/forwarding", "1"),
                // A host with two ways sends from one address over both.
                ("ipv4/conf/all/rp_filter", "0"),
                ("ipv4/conf/default/rp_filter", "0"),
            ] {
                fs::write(Path::new("/proc/sys/net").join(file), value).unwrap();
            }
        });
        let mut spaces = vec![hub];
        for number in ENTRY..=WORLD {
            let host = Space::new()?;
            let hub = &spaces[0];
            let down = format!("down-{number}");
            let peer = ["peer", "name", &down, "netns", &hub.name];
            host.ip(&[&["link", "add", "path", "type", "veth"][..], &peer].concat())?;
            for (space, device, last) in [(&host, "path", 2), (hub, down.as_str(), 1)] {
                let (v4, v6) =
                    (format!("10.77.{number}.{last}/24"), format!("fd77:{number}::{last}/64"));
                space.ip(&["address", "add", &v4, "dev", device]).unwrap();
                space.ip(&["address", "add", &v6, "dev", device, "nodad"]).unwrap();
                space.ip(&["link", "set", device, "up"]).unwrap();
            }
            host.ip(&["route", "add", "default", "via", &format!("10.77.{number}.1")]).unwrap();
            host.ip(&["-6", "route", "add", "default", "via", &format!("fd77:{number}::1")])
                .unwrap();
            spaces.push(host);
        }
        Ok(Hosts::with(spaces, None))
    }

    fn with(spaces: Vec<Space>, wire: Option<Wire>) -> Hosts {
        let folder = tempfile::tempdir().unwrap();
        Hosts { nodes: Vec::new(), wire, spaces, ports: Ports::of(&Plan::default()), folder }
    }

    /// Hosts on a wire, where the path of `narrow` is only so wide, which nobody is told.
    pub fn on_a_wire(rough: Rough, narrow: Option<(usize, usize)>) -> Result<Hosts, String> {
        let mut spaces = vec![Space::new()?];
        let (mut devices, mut widths) = (Vec::new(), Vec::new());
        for number in ENTRY..=WORLD {
            let host = Space::new()?;
            devices.push(host.within(Wire::device)?);
            let width = narrow.filter(|(narrow, _)| *narrow == number);
            widths.push(width.map_or(1_500, |(_, width)| width));
            let (v4, v6) = (format!("10.77.{number}.2/24"), format!("fd77:{number}::2/64"));
            host.ip(&["address", "add", &v4, "dev", "path"]).unwrap();
            host.ip(&["address", "add", &v6, "dev", "path", "nodad"]).unwrap();
            host.ip(&["link", "set", "path", "up"]).unwrap();
            host.ip(&["route", "add", "default", "dev", "path"]).unwrap();
            host.ip(&["-6", "route", "add", "default", "dev", "path"]).unwrap();
            spaces.push(host);
        }
        Ok(Hosts::with(spaces, Some(Wire::join(devices, widths, rough))))
    }

    /// What the wire has done.
    pub fn wire(&self) -> &Counts {
        &self.wire.as_ref().unwrap().counts
    }

    /// What a node has said.
    pub fn said(&self, host: usize) -> String {
        self.nodes[host - 1].said()
    }

    /// Gives a host other addresses in place of the ones it has.
    pub fn move_host(&self, host: usize) {
        let space = &self.spaces[host];
        space.ip(&["address", "flush", "dev", "path", "scope", "global"]).unwrap();
        let (v4, v6) = (format!("10.77.{host}.3/24"), format!("fd77:{host}::3/64"));
        space.ip(&["address", "add", &v4, "dev", "path"]).unwrap();
        space.ip(&["address", "add", &v6, "dev", "path", "nodad"]).unwrap();
        space.ip(&["route", "replace", "default", "dev", "path"]).unwrap();
        space.ip(&["-6", "route", "replace", "default", "dev", "path"]).unwrap();
    }

    /// A host.
    pub fn space(&self, host: usize) -> &Space {
        &self.spaces[host]
    }

    /// An address of a host.
    pub fn address(host: usize, ipv6: bool, port: u16) -> SocketAddr {
        let text = if ipv6 {
            format!("[fd77:{host}::2]:{port}")
        } else {
            format!("10.77.{host}.2:{port}")
        };
        text.parse().unwrap()
    }

    /// The width of the path between a host and the router.
    pub fn narrow(&self, host: usize, mtu: u16) {
        let mtu = mtu.to_string();
        self.spaces[host].ip(&["link", "set", "path", "mtu", &mtu]).unwrap();
        self.spaces[0].ip(&["link", "set", &format!("down-{host}"), "mtu", &mtu]).unwrap();
    }

    /// Gives a host a second way to the router, with delay as queues have it and loss.
    pub fn second_way(&self, host: usize) {
        let down = format!("slow-{host}");
        let link = ["link", "add", "slow", "type", "veth", "peer", "name", &down, "netns"];
        self.spaces[host].ip(&[&link[..], &[&self.spaces[0].name]].concat()).unwrap();
        for (space, device, last) in [(&self.spaces[host], "slow", 2), (&self.spaces[0], &*down, 1)]
        {
            let v4 = format!("10.78.{host}.{last}/24");
            let v6 = format!("fd78:{host}::{last}/64");
            space.ip(&["address", "add", &v4, "dev", device]).unwrap();
            space.ip(&["address", "add", &v6, "dev", device, "nodad"]).unwrap();
            space.ip(&["link", "set", device, "up"]).unwrap();
        }
        let queue = ["rate", "1mbit", "burst", "2kb", "latency", "100ms"];
        let add = ["-n", &self.spaces[host].name, "qdisc", "add", "dev", "slow", "root", "tbf"];
        run("tc", &[&add[..], &queue].concat()).unwrap();
    }

    /// Sends what a host sends from now on over its second way, or its first.
    pub fn turn(&self, host: usize, second: bool) {
        let net = if second { "78" } else { "77" };
        let (v4, v6) = (format!("10.{net}.{host}.1"), format!("fd{net}:{host}::1"));
        self.spaces[host].ip(&["route", "replace", "default", "via", &v4]).unwrap();
        self.spaces[host].ip(&["-6", "route", "replace", "default", "via", &v6]).unwrap();
    }

    /// Where the network's folder is.
    pub fn root(&self) -> PathBuf {
        self.folder.path().join("net")
    }

    /// Where the entry's doors are, on its own host.
    pub fn ports(&self) -> Ports {
        self.ports
    }

    /// Makes a network whose largest cells and whose nodes' families are as said, and runs it.
    pub fn run(&mut self, large: usize, ipv6: impl Fn(usize) -> bool + Sync) {
        let plan = Plan { mixes: 2, strategy: None, ..Plan::default() };
        let root = self.root();
        local::create(&root, &plan).unwrap();
        let list_path = root.join(network::FILE);
        let mut list = network::read(&list_path).unwrap();
        list.large.cell_size = large;
        for node in &mut list.nodes {
            let host = 1 + NODES.iter().position(|name| *name == node.name).unwrap();
            node.address = Hosts::address(host, ipv6(host), PORT);
        }
        mingle::folder::write_network(&list_path, &list).unwrap();
        for (host, name) in (1..).zip(NODES) {
            edit(&root.join(name), |config| settle(config, host));
        }
        if self.wire.is_some() {
            // A user's machine sends from whatever address it has.
            let any = ["0.0.0.0:0", "[::]:0"].map(|any| any.parse().unwrap());
            edit(&root.join(NODES[0]), |config| {
                if let Config::Entry(entry) = config {
                    entry.node.listen = any.to_vec();
                }
            });
        }
        for (host, name) in (1..).zip(NODES) {
            let folder = root.join(name);
            let start = || NodeProcess::start(PROGRAM.as_ref(), &folder).unwrap();
            self.nodes.push(self.spaces[host].within(start));
        }
        for (space, node) in self.spaces[1..].iter().zip(&mut self.nodes) {
            space.within(|| node.wait_for("ready").unwrap());
        }
    }

    /// Waits until the entry knows every node.
    pub fn wait_complete(&mut self) {
        let (space, node) = (&self.spaces[ENTRY], &mut self.nodes[ENTRY - 1]);
        space.within(|| node.wait_for("complete").unwrap());
    }

    /// Ends every node cleanly.
    pub fn stop(mut self) {
        for node in &mut self.nodes {
            node.stop().unwrap();
        }
    }
}

/// What a node's settings say about its host.
fn settle(config: &mut Config, host: usize) {
    let own = [false, true].map(|ipv6| Hosts::address(host, ipv6, PORT)).to_vec();
    match config {
        Config::Entry(entry) => entry.node.listen = own,
        Config::Mix(mix) => mix.node.listen = own,
        Config::Exit(exit) => {
            exit.node.listen = own;
            exit.policy.allow = ["10.77.0.0/16", "fd77::/16"].map(str::to_owned).into();
        }
    }
}
