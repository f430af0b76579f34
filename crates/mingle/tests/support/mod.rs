//! What the tests of the program share: a network of processes, applications, and waiting for
//! conditions. No test looks at a clock; the only limit is one that turns a hang into a failure.

#![allow(clippy::unwrap_used, reason = "a test says so by failing")]
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part")]

pub mod asker;
pub mod hosts;
pub mod payments;
pub mod wire;

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use mingle::config::Config;
use mingle::local::process::LocalNetwork;
use mingle::local::{self, Plan, Ports};
use tempfile::TempDir;

/// The program under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_mingle");

/// A local network that runs, in a folder that vanishes with it.
pub struct Net {
    pub processes: LocalNetwork,
    _folder: TempDir,
}

impl Net {
    pub fn start(strategy: &str) -> Net {
        Net::with(Plan { strategy: Some(mingle::network::strategy(strategy).unwrap()), ..plan() })
    }

    pub fn with(plan: Plan) -> Net {
        Net::changed(plan, |_| {})
    }

    /// A network whose nodes' settings are changed first.
    pub fn changed(plan: Plan, change: impl Fn(&mut Config)) -> Net {
        Net::prepared(plan, |root| {
            for node in local::folders(root).unwrap() {
                edit(&node, &change);
            }
        })
    }

    /// A network whose folder is changed first.
    pub fn prepared(mut plan: Plan, prepare: impl Fn(&Path)) -> Net {
        loop {
            let folder = tempfile::tempdir().unwrap();
            let root = folder.path().join("net");
            local::create(&root, &plan).unwrap();
            prepare(&root);
            match LocalNetwork::start(Path::new(PROGRAM), &root) {
                Ok(processes) => return Net { processes, _folder: folder },
                // Another test was quicker to take a port that was free when we looked.
                Err(why) if why.to_string().contains("another program uses that port") => {
                    plan.base_port = local::free_base_port().unwrap();
                }
                Err(why) => panic!("{why}"),
            }
        }
    }

    pub fn ports(&self) -> Ports {
        self.processes.ports()
    }

    /// A number of a node's status page, such as `/dropped/bad_raw`; 0 where it is not there.
    pub fn figure(&mut self, node: &str, pointer: &str) -> u64 {
        let status = self.processes.node(node).unwrap().status().unwrap();
        status.pointer(pointer).and_then(serde_json::Value::as_u64).unwrap_or(0)
    }

    /// Waits until a number of a node's status page fulfils a condition.
    pub fn wait_figure(&mut self, node: &str, pointer: &str, fits: impl Fn(u64) -> bool) {
        wait_until(&format!("{node} {pointer}"), || fits(self.figure(node, pointer)));
    }
}

/// A plan at ports of its own.
pub fn plan() -> Plan {
    Plan { base_port: local::free_base_port().unwrap(), ..Plan::default() }
}

/// Changes a node's settings on disk; figures that change often spare the tests waiting.
pub fn edit(folder: &Path, change: impl Fn(&mut Config)) {
    let mut config = Config::read(folder).unwrap();
    match &mut config {
        Config::Entry(entry) => &mut entry.node,
        Config::Mix(mix) => &mut mix.node,
        Config::Exit(exit) => &mut exit.node,
    }
    .figures_every = Duration::from_millis(100);
    change(&mut config);
    std::fs::write(folder.join(mingle::config::FILE), config.page()).unwrap();
}

/// Looks again and again until it is so.
pub fn wait_until(what: &str, mut so: impl FnMut() -> bool) {
    for _ in 0..HANG / LOOK_AGAIN.as_millis() {
        if so() {
            return;
        }
        std::thread::sleep(LOOK_AGAIN);
    }
    panic!("never happened: {what}");
}

/// A destination that sends everything back.
pub struct Echo {
    pub address: SocketAddr,
    end: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Echo {
    pub fn v4() -> Echo {
        Echo::at("127.0.0.1:0")
    }

    pub fn v6() -> Echo {
        Echo::at("[::1]:0")
    }

    pub fn at(address: &str) -> Echo {
        let socket = UdpSocket::bind(address).unwrap();
        socket.set_read_timeout(Some(LOOK_AGAIN)).unwrap();
        let address = socket.local_addr().unwrap();
        let end = Arc::new(AtomicBool::new(false));
        let ended = end.clone();
        let thread = std::thread::spawn(move || {
            let mut buffer = vec![0; 65_535];
            while !ended.load(Ordering::Relaxed) {
                if let Ok((size, from)) = socket.recv_from(&mut buffer) {
                    let _ = socket.send_to(&buffer[..size], from);
                }
            }
        });
        Echo { address, end, thread: Some(thread) }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// A socket of an application; a receive that hears nothing for a while says so.
pub fn application() -> UdpSocket {
    application_at("127.0.0.1:0")
}

pub fn application_at(address: &str) -> UdpSocket {
    let socket = UdpSocket::bind(address).unwrap();
    socket.set_read_timeout(Some(SILENCE)).unwrap();
    socket
}

/// Sends a datagram until `fits` says that its answer came, as applications over UDP do.
pub fn ask_until(
    socket: &UdpSocket,
    to: SocketAddr,
    datagram: &[u8],
    fits: impl Fn(&[u8]) -> bool,
) -> Vec<u8> {
    let mut buffer = vec![0; 65_535];
    for _ in 0..TRIES {
        socket.send_to(datagram, to).unwrap();
        while let Ok((size, _)) = socket.recv_from(&mut buffer) {
            if fits(&buffer[..size]) {
                buffer.truncate(size);
                return buffer;
            }
        }
    }
    panic!("no answer to {} bytes", datagram.len());
}

/// Through the raw door and back.
pub fn raw_echo(socket: &UdpSocket, door: SocketAddr, to: SocketAddr, payload: &[u8]) {
    let SocketAddr::V4(to) = to else { panic!("raw is IPv4 only") };
    let mut datagram = mingle::raw::header(*to.ip(), to.port()).to_vec();
    datagram.extend_from_slice(payload);
    ask_until(socket, door, &datagram, |answer| answer == payload);
}

/// A payload that no other has.
pub fn payload(size: usize, seed: u8) -> Vec<u8> {
    (0..size).map(|i| (i as u8).wrapping_mul(31).wrapping_add((i >> 8) as u8) ^ seed).collect()
}

/// A SOCKS5 client's association.
pub struct Association {
    pub tcp: TcpStream,
    pub relay: SocketAddr,
    pub udp: UdpSocket,
}

impl Association {
    pub fn open(door: SocketAddr) -> Association {
        Association::open_as(door, None)
    }

    pub fn open_as(door: SocketAddr, credentials: Option<(&str, &str)>) -> Association {
        let mut tcp = greet(door, credentials);
        let reply = request(&mut tcp, 3, &[1, 0, 0, 0, 0, 0, 0]);
        assert_eq!(reply.0, 0, "succeeded");
        let udp = application_at(if door.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" });
        Association { tcp, relay: reply.1, udp }
    }

    /// Through the chain and back; the answer's payload and its numeric source.
    pub fn echo(&self, to: &[u8], payload: &[u8]) -> SocketAddr {
        let datagram = [&[0, 0, 0], to, payload].concat();
        let answer = ask_until(&self.udp, self.relay, &datagram, |answer| {
            mingle::socks::parse_datagram(answer).is_ok_and(|(_, body)| body == payload)
        });
        let (source, _) = mingle::socks::parse_datagram(&answer).unwrap();
        source.address().expect("replies carry a numeric source")
    }
}

/// Agrees on a method with a SOCKS5 server.
pub fn greet(door: SocketAddr, credentials: Option<(&str, &str)>) -> TcpStream {
    let mut tcp = TcpStream::connect(door).unwrap();
    let mut answer = [0; 2];
    match credentials {
        None => tcp.write_all(&[5, 1, 0]).unwrap(),
        Some(_) => tcp.write_all(&[5, 2, 0, 2]).unwrap(),
    }
    tcp.read_exact(&mut answer).unwrap();
    if let Some((user, password)) = credentials {
        assert_eq!(answer, [5, 2]);
        let mut message = vec![1, user.len() as u8];
        message.extend_from_slice(user.as_bytes());
        message.push(password.len() as u8);
        message.extend_from_slice(password.as_bytes());
        tcp.write_all(&message).unwrap();
        tcp.read_exact(&mut answer).unwrap();
        assert_eq!(answer, [1, 0]);
    } else {
        assert_eq!(answer, [5, 0]);
    }
    tcp
}

/// Asks a SOCKS5 server for something; the code it answers with and its BND.
pub fn request(tcp: &mut TcpStream, command: u8, address: &[u8]) -> (u8, SocketAddr) {
    tcp.write_all(&[&[5, command, 0], address].concat()).unwrap();
    let mut head = [0; 4];
    tcp.read_exact(&mut head).unwrap();
    assert_eq!((head[0], head[2]), (5, 0));
    let ip: IpAddr = match head[3] {
        1 => {
            let mut ip = [0; 4];
            tcp.read_exact(&mut ip).unwrap();
            ip.into()
        }
        4 => {
            let mut ip = [0; 16];
            tcp.read_exact(&mut ip).unwrap();
            ip.into()
        }
        other => panic!("address type {other}"),
    };
    let mut port = [0; 2];
    tcp.read_exact(&mut port).unwrap();
    (head[1], SocketAddr::new(ip, u16::from_be_bytes(port)))
}

/// An address as SOCKS writes it.
pub fn socks_address(address: SocketAddr) -> Vec<u8> {
    let mut bytes = match address.ip() {
        IpAddr::V4(ip) => [&[1][..], &ip.octets()].concat(),
        IpAddr::V6(ip) => [&[4][..], &ip.octets()].concat(),
    };
    bytes.extend_from_slice(&address.port().to_be_bytes());
    bytes
}

/// A name as SOCKS writes it.
pub fn socks_name(name: &str, port: u16) -> Vec<u8> {
    let mut bytes = vec![3, name.len() as u8];
    bytes.extend_from_slice(name.as_bytes());
    bytes.extend_from_slice(&port.to_be_bytes());
    bytes
}

/// Whether this machine has IPv6 on loopback; skips what needs it where it has not.
pub fn has_ipv6() -> bool {
    let has = UdpSocket::bind("[::1]:0").is_ok();
    if !has {
        skip("IPv6 destinations", "this machine has no ::1");
    }
    has
}

/// Says what is not tested here and why; fails where everything is required.
pub fn skip(what: &str, why: &str) {
    // Not a macro that the test harness catches: who runs the tests must see it.
    let _ = writeln!(std::io::stderr(), "skipped: {what}: {}", why.trim_end());
    assert!(std::env::var_os("MINGLE_REQUIRE_ALL").is_none_or(|all| all != "1"), "{what}: {why}");
}

pub const LOCALHOST: Ipv4Addr = Ipv4Addr::LOCALHOST;
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// How long an application hears nothing before it asks again.
const SILENCE: Duration = Duration::from_millis(500);
const TRIES: usize = 120;
/// Milliseconds after which a test that waits has hung.
const HANG: u128 = 60_000;
