//! The chain between hosts: network namespaces with paths of their own, rough and narrow ones too.

#![allow(clippy::unwrap_used, reason = "a test says so by failing")]

mod support;

use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use datagram::wire::{LARGE, LARGE_LEAST};
use serde_json::Value;
use support::hosts::*;
use support::wire::Rough;
use support::*;

/// Hosts, where this machine can have some.
fn hosts(what: &str) -> Option<Hosts> {
    Hosts::new().map_err(|why| skip(what, &why)).ok()
}

/// Datagrams of all sizes to destinations of both families and back.
fn works(hosts: &Hosts, rounds: u8) {
    let entry = hosts.space(ENTRY);
    let [v4, v6] = [false, true].map(|ipv6| {
        let address = Hosts::address(WORLD, ipv6, 9).to_string();
        hosts.space(WORLD).within(|| Echo::at(&address))
    });
    let application = entry.within(application);
    let association = entry.within(|| Association::open(hosts.ports().socks()));
    for round in 0..rounds {
        for size in [1, 300, 1100, 1400, 5000] {
            raw_echo(&application, hosts.ports().raw(), v4.address, &payload(size, round));
            let source = association.echo(&socks_address(v6.address), &payload(size, round));
            assert_eq!(source, v6.address);
        }
    }
}

/// What `network check` says on a host.
fn check(hosts: &Hosts, host: usize, json: bool) -> Output {
    let root = hosts.root();
    hosts.space(host).within(|| {
        let mut command = Command::new(PROGRAM);
        command.args(["network", "check"]).arg(&root);
        if json { command.arg("--json") } else { &mut command }.output().unwrap()
    })
}

#[test]
fn a_chain_between_hosts_carries_datagrams_over_both_families() {
    let Some(mut hosts) = hosts("a chain between hosts") else { return };
    hosts.run(LARGE, |host| host == MIX_2);
    works(&hosts, 3);
    let output = check(&hosts, WORLD, false);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("every node answers"), "{said}");
    hosts.stop();
}

#[test]
fn a_chain_works_over_paths_that_delay_lose_and_reorder() {
    let what = "delay, jitter, loss and reordering between hosts";
    let Some(mut hosts) = hosts(what) else { return };
    for host in ENTRY..=EXIT {
        let rough = ["netem", "delay", "20ms", "8ms", "loss", "2%", "reorder", "20%", "50%"];
        if let Err(why) = hosts.space(host).shape(&rough) {
            return skip(what, &why);
        }
    }
    hosts.run(LARGE, |host| host == MIX_1);
    works(&hosts, 10);
    hosts.stop();
}

#[test]
fn a_chain_works_over_paths_that_are_slow_and_drop_bursts() {
    let what = "slow paths between hosts";
    let Some(mut hosts) = hosts(what) else { return };
    for host in ENTRY..=EXIT {
        let slow = ["tbf", "rate", "2mbit", "burst", "4kb", "latency", "40ms"];
        if let Err(why) = hosts.space(host).shape(&slow) {
            return skip(what, &why);
        }
    }
    hosts.run(LARGE, |host| host == EXIT);
    works(&hosts, 3);
    hosts.stop();
}

#[test]
fn a_chain_works_while_paths_change_and_overtake_themselves() {
    let Some(mut hosts) = hosts("paths that change") else { return };
    let turning = [ENTRY, MIX_1, MIX_2];
    for host in turning {
        hosts.second_way(host);
    }
    hosts.run(LARGE, |host| host == MIX_2);
    // What queues on the slow way is overtaken by what is sent after the turn back.
    let end = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _end = SetOnDrop(&end);
        scope.spawn(|| {
            for second in [true, false].into_iter().cycle() {
                for host in turning {
                    hosts.turn(host, second);
                }
                if end.load(Ordering::Relaxed) {
                    break;
                }
            }
        });
        wait_overtaken(&hosts);
        works(&hosts, 10);
    });
    for host in turning {
        let space = hosts.space(host);
        let sent = ["path", "slow"].map(|device| space.sent(device));
        assert!(sent.iter().all(|&packets| packets > 20), "{host}: {sent:?}");
    }
    hosts.stop();
}

/// Waits until a plain datagram from the entry's host is overtaken by a later one.
fn wait_overtaken(hosts: &Hosts) {
    let host = |host| Hosts::address(host, false, 0).to_string();
    let from = hosts.space(ENTRY).within(|| application_at(&host(ENTRY)));
    let to = hosts.space(WORLD).within(|| application_at(&host(WORLD)));
    to.set_nonblocking(true).unwrap();
    let (mut number, mut highest) = (0u32, 0);
    wait_until("a datagram is overtaken", || {
        for _ in 0..8 {
            number += 1;
            let datagram = [&number.to_be_bytes()[..], &[0; 1000]].concat();
            from.send_to(&datagram, to.local_addr().unwrap()).unwrap();
        }
        let mut overtaken = false;
        let mut buffer = [0; 1100];
        while to.recv(&mut buffer).is_ok() {
            let came = u32::from_be_bytes(*buffer.first_chunk().unwrap());
            overtaken |= came < highest;
            highest = highest.max(came);
        }
        overtaken
    });
}

/// Ends another thread also when this one panics.
struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_network_of_the_smallest_cells_works_over_a_path_of_1280_bytes() {
    let Some(mut hosts) = hosts("a path of 1280 bytes") else { return };
    hosts.narrow(MIX_2, 1280);
    hosts.run(LARGE_LEAST, |_| true);
    works(&hosts, 2);
    let output = check(&hosts, ENTRY, false);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    hosts.stop();
}

#[test]
fn with_the_default_list_a_path_of_1280_bytes_is_reported() {
    for ipv6 in [false, true] {
        let Some(mut hosts) = hosts("a path that is too narrow") else { return };
        hosts.narrow(MIX_2, 1280);
        hosts.run(LARGE, |_| ipv6);
        // UDP over IPv4 has 28 bytes of its own, over IPv6 48.
        let width = if ipv6 { 1232 } else { 1252 };
        for host in [ENTRY, WORLD] {
            let output = check(&hosts, host, true);
            assert_eq!(output.status.code(), Some(1));
            let report: Value = serde_json::from_slice(&output.stdout).unwrap();
            for node in report["nodes"].as_array().unwrap() {
                let narrow = node["name"] == "mix-2";
                assert_eq!(node["carried"], if narrow { width } else { LARGE }, "{node}");
                assert_eq!(node["wrong"].as_array().unwrap().len(), usize::from(narrow), "{node}");
                assert_eq!(node["answers"], true);
            }
        }
        let said = check(&hosts, WORLD, false).stdout;
        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(said.contains(&format!("carries {width} bytes and not {LARGE}")), "{said}");
    }
}

/// What a bad path does: delay, jitter that lets packets overtake, and loss.
const ROUGH: Rough =
    Rough { delay: Duration::from_millis(15), jitter: Duration::from_millis(12), lost: 20 };
const SMOOTH: Rough = Rough { delay: Duration::ZERO, jitter: Duration::ZERO, lost: 0 };

/// Hosts on a wire of this test's own, where this machine can have some.
fn on_a_wire(what: &str, rough: Rough, narrow: Option<(usize, usize)>) -> Option<Hosts> {
    Hosts::on_a_wire(rough, narrow).map_err(|why| skip(what, &why)).ok()
}

/// The wire was what it should have been.
fn was_rough(hosts: &Hosts) {
    let counts = hosts.wire();
    for (what, count) in
        [("passed", &counts.passed), ("lost", &counts.lost), ("overtaken", &counts.overtaken)]
    {
        assert!(count.load(Ordering::Relaxed) > 10, "{what}: {count:?}");
    }
}

#[test]
fn a_chain_works_over_a_wire_that_delays_loses_and_reorders() {
    let Some(mut hosts) = on_a_wire("a rough wire", ROUGH, None) else { return };
    hosts.run(LARGE, |host| host == MIX_1);
    works(&hosts, 6);
    was_rough(&hosts);
    hosts.stop();
}

#[test]
fn a_network_of_the_smallest_cells_works_over_a_rough_wire_that_is_narrow_in_one_place() {
    let narrow = Some((MIX_2, 1280));
    let Some(mut hosts) = on_a_wire("a rough and narrow wire", ROUGH, narrow) else { return };
    hosts.run(LARGE_LEAST, |_| true);
    works(&hosts, 3);
    was_rough(&hosts);
    assert_eq!(hosts.wire().swallowed.load(Ordering::Relaxed), 0);
    hosts.stop();
}

#[test]
fn with_the_default_list_a_wire_that_swallows_large_cells_is_reported() {
    let narrow = Some((MIX_2, 1280));
    let Some(mut hosts) = on_a_wire("a narrow wire", SMOOTH, narrow) else { return };
    hosts.run(LARGE, |_| true);
    let output = check(&hosts, WORLD, true);
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    for node in report["nodes"].as_array().unwrap() {
        let narrow = node["name"] == "mix-2";
        assert_eq!(node["carried"], if narrow { LARGE_LEAST } else { LARGE }, "{node}");
        assert_eq!(node["wrong"].as_array().unwrap().len(), usize::from(narrow), "{node}");
    }
    assert!(hosts.wire().swallowed.load(Ordering::Relaxed) > 0);
}

#[test]
fn an_entry_whose_machine_gets_another_address_goes_on_from_there() {
    let Some(mut hosts) = on_a_wire("a machine that moves", SMOOTH, None) else { return };
    hosts.run(LARGE, |host| host == MIX_1);
    works(&hosts, 1);
    hosts.move_host(ENTRY);
    works(&hosts, 1);
    wait_until("it is noticed", || hosts.said(ENTRY).contains("has another address"));
    works(&hosts, 1);
    hosts.stop();
}

#[test]
fn hosts_that_are_not_there_are_reported() {
    let Some(mut hosts) = hosts("a host that is down") else { return };
    hosts.run(LARGE, |host| host == EXIT);
    hosts.space(MIX_1).ip(&["link", "set", "path", "down"]).unwrap();
    hosts.space(WORLD).ip(&["-6", "route", "del", "default"]).unwrap();
    let output = check(&hosts, WORLD, true);
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let nodes = report["nodes"].as_array().unwrap();
    let wrong = |name: &str| {
        let node = nodes.iter().find(|node| node["name"] == name).unwrap();
        node["wrong"][0].as_str().unwrap_or_default().to_owned()
    };
    assert!(wrong("mix-1").contains("does not answer"), "{report}");
    assert!(wrong("exit").contains("no way to its address"), "{report}");
    assert_eq!(wrong("mix-2"), "");
}
