//! The page of figures: its form, and what it must not say.

#![allow(clippy::unwrap_used, reason = "a test says so by failing")]

mod support;

use std::collections::BTreeSet;

use datagram::Dropped;
use mingle::figures::Lost;
use support::*;

#[test]
fn every_drop_reason_has_a_counter_and_no_label_belongs_to_a_peer() {
    let mut net = Net::start("timed");
    let echo = Echo::v4();
    raw_echo(&application(), net.ports().raw(), echo.address, b"hello");
    let labels_allowed: BTreeSet<_> =
        ["reason", "class", "direction", "strategy", "name", "role", "network"].into();
    for node in net.processes.nodes() {
        let page = node.metrics().unwrap();
        assert!(page.ends_with("# EOF\n"), "{page}");
        for reason in
            Dropped::ALL.iter().map(|reason| reason.label()).chain(Lost::ALL.map(Lost::label))
        {
            let line = format!("mingle_dropped_total{{reason=\"{reason}\"}} ");
            assert_eq!(page.matches(&line).count(), 1, "{line}");
        }
        for name in ["mingle_channels ", "mingle_links ", "mingle_cells_in_total{class=\"small\"} "]
        {
            assert_eq!(page.matches(&format!("\n{name}")).count(), 1, "{name}: {page}");
        }
        for line in page.lines().filter(|line| !line.starts_with('#')) {
            let (sample, value) = line.rsplit_once(' ').unwrap();
            assert!(value.parse::<f64>().is_ok(), "{line}");
            let Some((_, labels)) = sample.split_once('{') else { continue };
            for label in labels.trim_end_matches('}').split("\",") {
                let (name, value) = label.split_once("=\"").unwrap();
                assert!(labels_allowed.contains(name), "{line}");
                assert!(!value.contains("127.0.0.1"), "{line}");
            }
        }
        let described: BTreeSet<_> = page
            .lines()
            .filter_map(|line| line.strip_prefix("# HELP ")?.split(' ').next())
            .collect();
        let typed: BTreeSet<_> = page
            .lines()
            .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
            .collect();
        assert_eq!(described, typed);
    }
    for mix in ["mix-1", "mix-2", "mix-3"] {
        for direction in ["forward", "backward"] {
            let pool = format!("/classes/large/pools/{direction}/batches");
            net.wait_figure(mix, &pool, |batches| batches > 0);
        }
    }
    net.wait_figure("exit", "/datagrams/out", |count| count > 0);
    net.wait_figure("entry", "/datagrams/in", |count| count > 0);
}

#[test]
fn what_a_node_says_never_names_a_user_or_a_destination() {
    let mut net = Net::start("none");
    let echo = Echo::at("127.0.0.9:0");
    let application = application_at("127.0.0.8:0");
    raw_echo(&application, net.ports().raw(), echo.address, b"hello");
    let association = Association::open(net.ports().socks());
    association.echo(&socks_address(echo.address), b"hello");
    for node in net.processes.nodes() {
        let page = node.metrics().unwrap() + &node.status().unwrap().to_string();
        node.stop().unwrap();
        let everything = node.said() + &page;
        for secret in ["127.0.0.9", "127.0.0.8", &echo.address.port().to_string()] {
            assert!(!everything.contains(secret), "{}: {secret}: {everything}", node.name());
        }
    }
}
