//! SOCKS5 as DESIGN 4.5 wants it. Most of it needs an entry alone, so no chain runs here.

#![allow(clippy::unwrap_used, reason = "a test says so by failing")]

mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use mingle::config::Config;
use mingle::local::process::NodeProcess;
use mingle::local::{self, Ports};
use support::*;
use tempfile::TempDir;

/// An entry without a network behind it.
struct Entry {
    process: NodeProcess,
    ports: Ports,
    _folder: TempDir,
}

impl Entry {
    fn start() -> Entry {
        Entry::changed(|_| {})
    }

    fn changed(change: impl Fn(&mut Config)) -> Entry {
        loop {
            let plan = plan();
            let folder = tempfile::tempdir().unwrap();
            let root = folder.path().join("net");
            local::create(&root, &plan).unwrap();
            let entry = root.join(local::ENTRY);
            edit(&entry, &change);
            let mut process = NodeProcess::start(PROGRAM.as_ref(), &entry).unwrap();
            match process.wait_for("ready") {
                Ok(()) => return Entry { process, ports: Ports::of(&plan), _folder: folder },
                Err(why) if why.to_string().contains("another program uses that port") => {}
                Err(why) => panic!("{why}"),
            }
        }
    }

    fn door(&self) -> SocketAddr {
        self.ports.socks()
    }

    fn wait_figure(&self, pointer: &str, fits: impl Fn(u64) -> bool) {
        wait_until(pointer, || {
            let status = self.process.status().unwrap();
            fits(status.pointer(pointer).and_then(serde_json::Value::as_u64).unwrap_or(0))
        });
    }
}

/// Whether the other side closed.
fn ended(tcp: &mut TcpStream) -> bool {
    matches!(tcp.read(&mut [0; 16]), Ok(0) | Err(_))
}

const ANYWHERE: [u8; 7] = [1, 0, 0, 0, 0, 0, 0];

#[test]
fn connect_and_bind_are_refused_as_commands_that_are_not_supported() {
    let entry = Entry::start();
    for command in [1, 2, 4, 0, 255] {
        for address in [
            ANYWHERE.to_vec(),
            socks_name("example.org", 80),
            socks_address("[::1]:80".parse().unwrap()),
        ] {
            let mut tcp = greet(entry.door(), None);
            assert_eq!(request(&mut tcp, command, &address).0, 7);
            assert!(ended(&mut tcp));
        }
    }
}

#[test]
fn an_unknown_kind_of_address_is_refused_as_such() {
    let entry = Entry::start();
    let mut tcp = greet(entry.door(), None);
    assert_eq!(request(&mut tcp, 3, &[9]).0, 8);
    assert!(ended(&mut tcp));
}

#[test]
fn a_client_with_no_method_that_we_know_is_told_so() {
    let entry = Entry::start();
    let mut tcp = TcpStream::connect(entry.door()).unwrap();
    tcp.write_all(&[5, 2, 1, 0x80]).unwrap();
    let mut answer = [0; 2];
    tcp.read_exact(&mut answer).unwrap();
    assert_eq!(answer, [5, 0xff]);
    assert!(ended(&mut tcp));
}

#[test]
fn another_version_and_garbage_end_their_own_connection_only() {
    let entry = Entry::start();
    let kept = Association::open(entry.door());
    for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[4, 1, 0, 80, 127, 0, 0, 1, 0], &[0; 600]] {
        let mut tcp = TcpStream::connect(entry.door()).unwrap();
        tcp.write_all(garbage).unwrap();
        assert!(ended(&mut tcp));
    }
    entry.wait_figure("/associations", |count| count == 1);
    drop(kept);
}

#[test]
fn any_user_and_password_are_accepted() {
    let entry = Entry::start();
    let long = "x".repeat(255);
    for credentials in [("", ""), ("user", "password"), (&long, &long)] {
        Association::open_as(entry.door(), Some(credentials));
    }
}

#[test]
fn the_bound_address_is_the_one_that_the_client_reached() {
    let entry = Entry::changed(|config| {
        if let Config::Entry(entry) = config {
            // On every address, reached at one that is not the first.
            let port = entry.socks.listen[0].port();
            entry.socks.listen = vec![SocketAddr::from(([0, 0, 0, 0], port))];
        }
    });
    let reached = SocketAddr::from(([127, 0, 0, 5], entry.door().port()));
    let association = Association::open(reached);
    assert_eq!(association.relay.ip(), reached.ip());
    let other = Association::open(reached);
    assert_ne!(association.relay, other.relay, "a port for each association");
}

#[test]
fn a_client_may_come_over_ipv6() {
    if !has_ipv6() {
        return;
    }
    let entry = Entry::changed(|config| {
        if let Config::Entry(entry) = config {
            let port = entry.socks.listen[0].port();
            entry.socks.listen.push(SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], port)));
        }
    });
    let reached = SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], entry.door().port()));
    let association = Association::open(reached);
    assert_eq!(association.relay.ip(), reached.ip());
}

#[test]
fn a_fragment_and_what_is_no_socks_are_dropped_and_counted() {
    let entry = Entry::start();
    let association = Association::open(entry.door());
    let to = socks_address("127.0.0.1:9".parse().unwrap());
    for fragment in [1, 127, 128, 255] {
        let datagram = [&[0, 0, fragment], &*to, b"piece"].concat();
        association.udp.send_to(&datagram, association.relay).unwrap();
    }
    entry.wait_figure("/dropped/fragmented_socks", |count| count == 4);
    for datagram in [&[][..], &[0, 0, 0], &[0, 0, 0, 1, 127, 0, 0, 1, 0], &[0, 0, 0, 2, 1, 1, 1]] {
        association.udp.send_to(datagram, association.relay).unwrap();
    }
    entry.wait_figure("/dropped/bad_socks", |count| count == 4);
}

#[test]
fn only_the_clients_host_and_its_first_port_may_send() {
    let entry = Entry::start();
    let association = Association::open(entry.door());
    let datagram = [&[0, 0, 0], &*socks_address("127.0.0.1:9".parse().unwrap()), b"!"].concat();
    // Another host, before and after the client first sent.
    let stranger = application_at("127.0.0.2:0");
    stranger.send_to(&datagram, association.relay).unwrap();
    entry.wait_figure("/dropped/wrong_sender", |count| count == 1);
    association.udp.send_to(&datagram, association.relay).unwrap();
    stranger.send_to(&datagram, association.relay).unwrap();
    // Another port of the client's host.
    let other = application();
    other.send_to(&datagram, association.relay).unwrap();
    other.send_to(&datagram, association.relay).unwrap();
    association.udp.send_to(&datagram, association.relay).unwrap();
    entry.wait_figure("/dropped/wrong_sender", |count| count == 4);
}

#[test]
fn an_association_ends_with_its_connection() {
    let entry = Entry::start();
    let associations: Vec<_> = (0..5).map(|_| Association::open(entry.door())).collect();
    entry.wait_figure("/associations", |count| count == 5);
    let relay = associations[0].relay;
    drop(associations);
    entry.wait_figure("/associations", |count| count == 0);
    std::net::UdpSocket::bind(relay).expect("its port is free again");
}

#[test]
fn a_client_that_says_nothing_is_let_go() {
    let entry = Entry::changed(|config| {
        if let Config::Entry(entry) = config {
            entry.socks.handshake = std::time::Duration::from_millis(200);
        }
    });
    let mut silent = TcpStream::connect(entry.door()).unwrap();
    let mut half = TcpStream::connect(entry.door()).unwrap();
    half.write_all(&[5, 3, 0]).unwrap();
    assert!(ended(&mut silent));
    assert!(ended(&mut half));
}

#[test]
fn more_connections_than_the_limit_are_closed_and_places_come_back() {
    let entry = Entry::changed(|config| {
        if let Config::Entry(entry) = config {
            entry.socks.connections_max = 3;
        }
    });
    let kept: Vec<_> = (0..3).map(|_| Association::open(entry.door())).collect();
    let mut fourth = TcpStream::connect(entry.door()).unwrap();
    assert!(ended(&mut fourth));
    drop(kept);
    entry.wait_figure("/associations", |count| count == 0);
    Association::open(entry.door());
}

#[test]
fn raw_datagrams_that_are_too_short_and_too_many_sources_are_counted() {
    let entry = Entry::changed(|config| {
        if let Config::Entry(entry) = config {
            entry.forwards.sources_max = 2;
            entry.forwards.source_idle = std::time::Duration::from_secs(2);
        }
    });
    let application = application();
    application.send_to(&[127, 0, 0, 1, 9], entry.ports.raw()).unwrap();
    application.send_to(&[], entry.ports.raw()).unwrap();
    entry.wait_figure("/dropped/bad_raw", |count| count == 2);
    for port in 1..=4 {
        application.send_to(&mingle::raw::header(LOCALHOST, port), entry.ports.raw()).unwrap();
    }
    entry.wait_figure("/dropped/sources_full", |count| count == 2);
    // The two that found room are forgotten when they were quiet.
    entry.wait_figure("/sources", |count| count == 0);
}
