//! The whole chain: processes, real sockets, real applications' datagrams.

#![allow(clippy::unwrap_used, reason = "a test says so by failing")]

mod support;

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use datagram::network::{Node, Role};
use mingle::config::Config;
use mingle::local::process::NodeProcess;
use mingle::local::{self, Plan, Ports};
use support::*;

#[test]
fn raw_datagrams_of_every_size_come_back_as_they_were_sent() {
    let net = Net::start("none");
    let echo = Echo::v4();
    let application = application();
    for (seed, size) in [0, 1, 2, 200, 319, 320, 321, 1283, 1284, 1285, 1500, 9000, 65_000, 65_501]
        .into_iter()
        .enumerate()
    {
        raw_echo(&application, net.ports().raw(), echo.address, &payload(size, seed as u8));
    }
}

#[test]
fn socks_datagrams_of_every_size_come_back_with_their_numeric_source() {
    let net = Net::start("none");
    let echo = Echo::v4();
    let association = Association::open(net.ports().socks());
    for (seed, size) in [0, 1, 300, 1284, 1400, 9000, 65_497].into_iter().enumerate() {
        let payload = payload(size, seed as u8);
        let source = association.echo(&socks_address(echo.address), &payload);
        assert_eq!(source, echo.address);
    }
}

#[test]
fn names_and_ipv6_destinations_are_reached_over_socks() {
    let mut net = Net::start("none");
    let association = Association::open(net.ports().socks());
    let echo = Echo::v4();
    let named = socks_name("localhost", echo.address.port());
    let source = association.echo(&named, b"to a name");
    assert_eq!(source, echo.address);
    if has_ipv6() {
        let echo = Echo::v6();
        let source = association.echo(&socks_address(echo.address), b"to IPv6");
        assert_eq!(source, echo.address);
    }
    let nowhere = [&[0, 0, 0], &*socks_name("no-such-name.invalid", 9), b"?"].concat();
    association.udp.send_to(&nowhere, association.relay).unwrap();
    net.wait_figure("exit", "/dropped/unknown_name", |count| count > 0);
}

#[test]
fn one_association_has_one_port_outside_for_all_destinations() {
    let net = Net::start("none");
    let association = Association::open(net.ports().socks());
    let (one, other) = (application(), application());
    let mut ports = Vec::new();
    for receiver in [&one, &other] {
        let to = socks_address(receiver.local_addr().unwrap());
        let datagram = [&[0, 0, 0], &*to, b"hello"].concat();
        ports.push(arrives(receiver, || {
            association.udp.send_to(&datagram, association.relay).unwrap();
        }));
    }
    assert_eq!(ports[0], ports[1], "mapping is endpoint-independent");
}

#[test]
fn on_request_every_destination_has_a_channel_of_its_own() {
    let net = Net::changed(plan(), |config| {
        if let Config::Entry(entry) = config {
            entry.socks.channel_per_destination = true;
            entry.socks.destinations_max = 2;
            entry.forwards.source_idle = Duration::from_secs(6);
        }
    });
    let association = Association::open(net.ports().socks());
    let receivers = [application(), application()];
    let mut ports = Vec::new();
    for receiver in &receivers {
        let to = socks_address(receiver.local_addr().unwrap());
        let datagram = [&[0, 0, 0], &*to, b"hello"].concat();
        ports.push(arrives(receiver, || {
            association.udp.send_to(&datagram, association.relay).unwrap();
        }));
    }
    assert_ne!(ports[0], ports[1]);
    let third = application();
    let to = socks_address(third.local_addr().unwrap());
    let datagram = [&[0, 0, 0], &*to, b"one too many"].concat();
    association.udp.send_to(&datagram, association.relay).unwrap();
    let mut net = net;
    net.wait_figure("entry", "/dropped/sources_full", |count| count == 1);
    // Quiet ones make room.
    arrives(&third, || {
        association.udp.send_to(&datagram, association.relay).unwrap();
    });
}

#[test]
fn raw_has_a_channel_for_each_destination_of_each_source() {
    let net = Net::start("none");
    let (source, other) = (application(), application());
    let receivers = [application(), application()];
    let mut ports = std::collections::BTreeSet::new();
    for receiver in &receivers {
        let datagram = mingle::raw::header(LOCALHOST, receiver.local_addr().unwrap().port());
        for source in [&source, &other] {
            ports.insert(arrives(receiver, || {
                source.send_to(&datagram, net.ports().raw()).unwrap();
            }));
            // What is still on its way must not be taken for the other source's.
            while receiver.recv_from(&mut [0; 10]).is_ok() {}
        }
    }
    assert_eq!(ports.len(), 4);
}

/// Sends until it arrives; from which address.
fn arrives(receiver: &UdpSocket, send: impl Fn()) -> SocketAddr {
    let mut outside = None;
    wait_until("the datagram at its destination", || {
        send();
        outside = receiver.recv_from(&mut [0; 100]).ok().map(|(_, from)| from);
        outside.is_some()
    });
    outside.unwrap()
}

#[test]
fn two_associations_never_share_a_port_outside() {
    let net = Net::start("none");
    let receiver = application();
    let to = socks_address(receiver.local_addr().unwrap());
    let datagram = [&[0, 0, 0], &*to, b"hello"].concat();
    let mut seen = Vec::new();
    for credentials in [None, None, Some(("user", "password")), Some(("user", "password"))] {
        let association = Association::open_as(net.ports().socks(), credentials);
        let mut buffer = [0; 100];
        wait_until("a datagram from a new port", || {
            association.udp.send_to(&datagram, association.relay).unwrap();
            receiver.recv_from(&mut buffer).is_ok_and(|(_, from)| {
                let new = !seen.contains(&from);
                if new {
                    seen.push(from);
                }
                new
            })
        });
    }
}

#[test]
fn two_applications_work_side_by_side_under_the_default_strategies() {
    let net = Net::with(plan());
    let (echo, door) = (Echo::v4(), net.ports().raw());
    std::thread::scope(|scope| {
        for seed in 0..2 {
            let to = echo.address;
            scope.spawn(move || {
                let application = application();
                for round in 0..20 {
                    raw_echo(&application, door, to, &payload(100 + round, seed));
                }
            });
        }
    });
}

#[test]
fn every_length_of_chain_and_every_strategy_carries_datagrams() {
    let chains = [(1, "poisson"), (2, "timed"), (3, "pool"), (4, "threshold"), (5, "none")];
    for (mixes, strategy) in chains {
        let strategy = Some(mingle::network::strategy(strategy).unwrap());
        let net = Net::with(Plan { mixes, strategy, ..plan() });
        let echo = Echo::v4();
        raw_echo(&application(), net.ports().raw(), echo.address, b"hello");
    }
}

#[test]
fn a_forward_stands_for_its_destination() {
    let echo = Echo::v4();
    let listen = application().local_addr().unwrap();
    let named = application().local_addr().unwrap();
    let net = Net::changed(plan(), |config| {
        if let Config::Entry(entry) = config {
            let to = format!("{listen}={},small", echo.address);
            entry.forwards.list.push(to.parse().unwrap());
            let to = format!("{named}=localhost:{}", echo.address.port());
            entry.forwards.list.push(to.parse().unwrap());
        }
    });
    let application = application();
    for door in [listen, named] {
        for size in [0, 3, 500] {
            let payload = payload(size, 9);
            ask_until(&application, door, &payload, |answer| answer == payload);
        }
    }
    drop(net);
}

#[test]
fn the_exit_refuses_what_its_policy_does_not_allow() {
    let echo = Echo::v4();
    let mut net = Net::changed(plan(), |config| {
        if let Config::Exit(exit) = config {
            exit.policy.allow = vec!["127.0.0.2/32".into()];
        }
    });
    let application = application();
    let SocketAddr::V4(to) = echo.address else { panic!("IPv4") };
    let datagram = mingle::raw::header(*to.ip(), to.port());
    application.send_to(&datagram, net.ports().raw()).unwrap();
    net.wait_figure("exit", "/dropped/forbidden_destination", |count| count > 0);
    let allowed = Echo::at("127.0.0.2:0");
    raw_echo(&application, net.ports().raw(), allowed.address, b"allowed");
}

#[test]
fn a_local_network_does_not_let_its_own_nodes_be_reached() {
    let mut net = Net::start("none");
    let mix = net.ports().link(1);
    let SocketAddr::V4(to) = mix else { panic!("IPv4") };
    let datagram = mingle::raw::header(*to.ip(), to.port());
    application().send_to(&datagram, net.ports().raw()).unwrap();
    net.wait_figure("exit", "/dropped/forbidden_destination", |count| count > 0);
}

#[test]
fn only_who_was_written_to_may_answer() {
    let mut net = Net::start("none");
    let association = Association::open(net.ports().socks());
    let receiver = application();
    let to = socks_address(receiver.local_addr().unwrap());
    let datagram = [&[0, 0, 0], &*to, b"hello"].concat();
    let outside = arrives(&receiver, || {
        association.udp.send_to(&datagram, association.relay).unwrap();
    });
    let stranger = application_at("127.0.0.3:0");
    stranger.send_to(b"let me in", outside).unwrap();
    net.wait_figure("exit", "/dropped/unknown_source", |count| count > 0);
}

#[test]
fn a_closed_destination_and_garbage_at_every_node_end_nothing() {
    let mut net = Net::start("none");
    let application = application();
    let closed = UdpSocket::bind((LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let SocketAddr::V4(to) = closed else { panic!("IPv4") };
    let said = net.processes.node("entry").unwrap().said();
    let links = said.lines().find_map(|line| line.strip_prefix("mingle: links at ")).unwrap();
    let mut doors: Vec<SocketAddr> = (1..=4).map(|node| net.ports().link(node)).collect();
    doors.push(links.parse().unwrap());
    for _ in 0..20 {
        application.send_to(&mingle::raw::header(*to.ip(), to.port()), net.ports().raw()).unwrap();
        for door in &doors {
            for size in [0, 1, 3, 4, 20, 36, 440, 1232, 1404, 1388, 65_507] {
                let garbage = payload(size, size as u8);
                application.send_to(&garbage, door).unwrap();
            }
        }
    }
    let echo = Echo::v4();
    raw_echo(&application, net.ports().raw(), echo.address, b"still there");
    for node in ["entry", "mix-1", "mix-2", "mix-3", "exit"] {
        net.wait_figure(node, "/dropped/too_short", |count| count > 0);
    }
}

#[test]
fn a_destination_that_cannot_be_reached_or_has_no_family_here_is_counted_and_harms_nobody() {
    let far = mingle::local::free_base_port().unwrap();
    let mut net =
        Net::changed(Plan { strategy: Some(mixing::Strategy::None), ..plan() }, |config| {
            match config {
                // From loopback nothing leads out, and there is no IPv6 at all.
                Config::Exit(exit) => exit.outside.addresses = vec![LOCALHOST.into()],
                Config::Entry(entry) => {
                    let forward = format!("127.0.0.1:{far}=[2600::1]:53");
                    entry.forwards.list.push(forward.parse().unwrap());
                }
                Config::Mix(_) => {}
            }
        });
    let application = application();
    for _ in 0..3 {
        let to = mingle::raw::header("9.9.9.9".parse().unwrap(), 53);
        application.send_to(&[&to[..], b"nobody"].concat(), net.ports().raw()).unwrap();
        application.send_to(b"nobody", (LOCALHOST, far)).unwrap();
    }
    net.wait_figure("exit", "/dropped/outside_refused", |count| count == 3);
    net.wait_figure("exit", "/dropped/no_route", |count| count == 3);
    let echo = Echo::v4();
    raw_echo(&application, net.ports().raw(), echo.address, b"still there");
}

#[test]
fn every_node_ends_cleanly_and_the_ports_are_free_again() {
    let mut net = Net::start("none");
    let echo = Echo::v4();
    raw_echo(&application(), net.ports().raw(), echo.address, b"hello");
    let ports = net.ports();
    for node in net.processes.nodes() {
        node.stop().unwrap();
    }
    for port in [ports.raw(), ports.link(1), ports.link(2), ports.link(3), ports.link(4)] {
        UdpSocket::bind(port).unwrap();
    }
    std::net::TcpListener::bind(ports.socks()).unwrap();
}

#[test]
fn links_run_over_ipv6_and_between_the_families() {
    if !has_ipv6() {
        return;
    }
    let net = Net::prepared(plan(), |root| {
        let path = root.join(mingle::network::FILE);
        let mut list = mingle::network::read(&path).unwrap();
        for node in list.nodes.iter_mut().step_by(2) {
            node.address.set_ip(std::net::Ipv6Addr::LOCALHOST.into());
        }
        mingle::folder::write_network(&path, &list).unwrap();
        for folder in local::folders(root).unwrap() {
            edit(&folder, |config| {
                let name = config.node().name.clone();
                let own = list.nodes.iter().find(|node| node.name == name);
                let listen = match own.map(|node| node.address) {
                    Some(own) if own.is_ipv6() => vec![own, "127.0.0.1:0".parse().unwrap()],
                    Some(own) => vec![own, "[::1]:0".parse().unwrap()],
                    None => ["127.0.0.1:0", "[::1]:0"].map(|any| any.parse().unwrap()).into(),
                };
                match config {
                    Config::Entry(entry) => entry.node.listen = listen,
                    Config::Mix(mix) => mix.node.listen = listen,
                    Config::Exit(exit) => exit.node.listen = listen,
                }
            });
        }
    });
    let echo = Echo::v4();
    raw_echo(&application(), net.ports().raw(), echo.address, &payload(5000, 1));
}

#[test]
fn two_entries_and_two_chains_share_their_mixes() {
    let plan = plan();
    let mut net = Net::prepared(plan, |root| {
        // A second exit, in the list, and a second entry, which is in no list.
        let path = root.join(mingle::network::FILE);
        let mut list = mingle::network::read(&path).unwrap();
        let exit = Config::read(&root.join("exit")).unwrap();
        let ports = Ports::from_base(exit.node().listen[0].port() - 4);
        let Config::Exit(mut exit) = exit else { panic!("an exit") };
        exit.node.name = "exit-2".into();
        exit.node.listen = vec![ports.link(5)];
        exit.metrics.listen = vec![ports.metrics(5)];
        let folder = root.join("exit-2");
        let identity = mingle::folder::create(&folder, &Config::Exit(exit)).unwrap().unwrap();
        let (name, address) = ("exit-2".into(), ports.link(5));
        list.nodes.push(Node { name, identity, role: Role::Exit, address });
        mingle::folder::write_network(&path, &list).unwrap();

        let Config::Entry(mut entry) = Config::read(&root.join("entry")).unwrap() else { panic!() };
        entry.raw.listen = vec![ports.link(6)];
        entry.socks.listen.clear();
        entry.metrics.listen = vec![ports.metrics(6)];
        mingle::folder::create(&root.join("entry-2"), &Config::Entry(entry)).unwrap();
        for folder in local::folders(root).unwrap() {
            edit(&folder, |_| {});
        }
    });
    let folder = net.processes.root().join("entry-2");
    let mut entry = NodeProcess::start(PROGRAM.as_ref(), &folder).unwrap();
    entry.wait_for("complete").unwrap();
    let (echo, application) = (Echo::v4(), application());
    let ports = net.ports();
    for round in 0..10 {
        raw_echo(&application, ports.raw(), echo.address, &payload(100, round));
        raw_echo(&application, ports.link(6), echo.address, &payload(100, round));
        let name = format!("user {round}");
        let association = Association::open_as(ports.socks(), Some((&name, "")));
        association.echo(&socks_address(echo.address), b"hello");
    }
    net.wait_figure("exit", "/datagrams/out", |count| count > 0);
    net.wait_figure("exit-2", "/datagrams/out", |count| count > 0);
    net.wait_figure("mix-1", "/links", |links| links >= 3);
    entry.stop().unwrap();
    raw_echo(&application, ports.raw(), echo.address, b"the other entry does not notice");
}

#[test]
fn a_node_that_crashed_and_came_back_serves_again() {
    let mut net = Net::start("none");
    let (echo, application) = (Echo::v4(), application());
    raw_echo(&application, net.ports().raw(), echo.address, b"before");
    for node in ["mix-2", "exit", "mix-1"] {
        let process = net.processes.node(node).unwrap();
        process.kill();
        process.start_again().unwrap();
        process.wait_for("ready").unwrap();
        raw_echo(&application, net.ports().raw(), echo.address, node.as_bytes());
    }
}

#[test]
fn hundreds_of_associations_at_once_work() {
    let mut net = Net::start("none");
    let echo = Echo::v4();
    let to = socks_address(echo.address);
    let associations: Vec<_> = (0..300).map(|_| Association::open(net.ports().socks())).collect();
    for (number, association) in associations.iter().enumerate() {
        assert_eq!(association.echo(&to, &payload(50, number as u8)), echo.address);
    }
    net.wait_figure("entry", "/associations", |count| count == 300);
    drop(associations);
    net.wait_figure("entry", "/associations", |count| count == 0);
    net.wait_figure("exit", "/sockets", |count| count == 0);
}
