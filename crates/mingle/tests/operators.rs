//! What operators ask a network and its nodes: the list, whether it is true, what a node does.

#![allow(clippy::unwrap_used, reason = "a test says so by failing")]

mod support;

use std::io::{BufRead, BufReader};
use std::net::UdpSocket;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use mingle::network;
use serde_json::Value;
use support::*;

fn ask(arguments: &[&str], place: &Path) -> Output {
    Command::new(PROGRAM).args(arguments).arg(place).stdin(Stdio::null()).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What `network check --json` says of a node.
fn checked(place: &Path, node: &str) -> (Option<i32>, Value) {
    let output = ask(&["network", "check", "--json", "--patience", "2s"], place);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let nodes = report["nodes"].as_array().unwrap();
    let node = nodes.iter().find(|found| found["name"] == node).unwrap().clone();
    assert_eq!(report["ok"] == true, output.status.success());
    (output.status.code(), node)
}

#[test]
fn a_list_is_shown_from_its_file_its_network_and_each_of_its_nodes() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("net");
    mingle::local::create(&root, &plan()).unwrap();
    let file = said(&ask(&["network", "show"], &root.join(network::FILE)));
    assert!(file.contains("1 chain is possible, of 3 mixes"), "{file}");
    for place in [root.clone(), root.join("entry"), root.join("mix-1")] {
        let output = ask(&["network", "show"], &place);
        assert!(output.status.success());
        assert_eq!(said(&output), file);
    }
    let nowhere = ask(&["network", "show"], folder.path());
    assert!(!nowhere.status.success());
    assert!(String::from_utf8_lossy(&nowhere.stderr).contains("network.toml"));
}

#[test]
fn a_check_finds_every_node_and_then_the_one_that_went() {
    let mut net = Net::start("none");
    let root = net.processes.root().to_owned();
    let output = ask(&["network", "check"], &root.join("mix-1"));
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(said(&output).contains("every node answers, and its largest cells pass both ways"));
    assert!(said(&output).contains("agrees"), "{}", said(&output));
    let (_, before) = checked(&root, "mix-2");
    assert_eq!(before["carried"], 1404);
    assert!(before["round_trip_ms"].as_f64().unwrap() > 0.0);
    let key = &before["key"];
    assert_eq!(key["ends_ms"].as_u64().unwrap() - key["begins_ms"].as_u64().unwrap(), 3_600_000);

    let mix = net.processes.node("mix-2").unwrap();
    mix.stop().unwrap();
    let (code, gone) = checked(&root, "mix-2");
    assert_eq!((code, &gone["answers"]), (Some(1), &Value::Bool(false)));
    assert!(gone["wrong"][0].as_str().unwrap().contains("does not answer"));
    assert_eq!(checked(&root, "mix-1").1["wrong"].as_array().unwrap().len(), 0);

    let mix = net.processes.node("mix-2").unwrap();
    mix.start_again().unwrap();
    mix.wait_for("ready").unwrap();
    let (code, back) = checked(&root, "mix-2");
    assert_eq!(code, Some(0));
    assert_ne!(back["key"]["fingerprint"], before["key"]["fingerprint"], "a key of its own");
}

#[test]
fn a_check_tells_a_list_of_another_name_or_identity_from_silence() {
    let net = Net::start("none");
    let path = net.processes.root().join("another.toml");
    let list = network::read(&net.processes.root().join(network::FILE)).unwrap();
    let mut other = list.clone();
    other.name = "another".into();
    mingle::folder::write_network(&path, &other).unwrap();
    let (code, node) = checked(&path, "exit");
    assert_eq!(code, Some(1));
    assert!(node["wrong"][0].as_str().unwrap().contains("not signed for this network"), "{node}");

    let mut swapped = list;
    (swapped.nodes[0].identity, swapped.nodes[1].identity) =
        (swapped.nodes[1].identity, swapped.nodes[0].identity);
    mingle::folder::write_network(&path, &swapped).unwrap();
    let (_, node) = checked(&path, "mix-1");
    assert_eq!(node["answers"], false, "nobody answers a question to another");
}

#[test]
fn a_check_is_not_led_astray_by_what_echoes_or_answers_nonsense() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("net");
    mingle::local::create(&root, &plan()).unwrap();
    let path = root.join(network::FILE);
    let mut list = network::read(&path).unwrap();
    let echo = Echo::v4();
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    list.nodes[0].address = echo.address;
    list.nodes[1].address = silent.local_addr().unwrap();
    mingle::folder::write_network(&path, &list).unwrap();
    for node in ["mix-1", "mix-2"] {
        let (code, found) = checked(&path, node);
        assert_eq!((code, &found["answers"]), (Some(1), &Value::Bool(false)), "{found}");
        assert_eq!(found["carried"], 0);
    }
}

#[test]
fn a_status_says_what_every_node_does() {
    let mut net = Net::with(plan());
    let echo = Echo::v4();
    raw_echo(&application(), net.ports().raw(), echo.address, b"hello");
    net.wait_figure("mix-1", "/classes/large/pools/forward/batches", |batches| batches > 0);
    net.wait_figure("entry", "/sources", |sources| sources == 1);
    let root = net.processes.root().to_owned();
    for (node, parts) in [
        (
            "entry",
            &["an entry of network", "serves, since 20", "1 sources", "from applications"][..],
        ),
        ("mix-1", &["a mix of network", "threshold 16 20ms", "channels together", "bits"]),
        ("exit", &["an exit of network", "to destinations", "sockets"]),
    ] {
        let output = ask(&["status"], &root.join(node));
        assert!(output.status.success());
        let text = said(&output);
        for part in parts {
            assert!(text.contains(part), "{node}: {part}: {text}");
        }
    }
    let json = ask(&["status", "--json"], &root.join("exit"));
    let status: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(status["role"], "exit");

    net.processes.node("exit").unwrap().stop().unwrap();
    let output = ask(&["status"], &root.join("exit"));
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("does not run"));
}

#[test]
fn a_watched_status_goes_on_through_a_restart_and_ends_with_its_reader() {
    let mut net = Net::start("none");
    let mut watch = Command::new(PROGRAM)
        .args(["status", "--watch"])
        .arg(net.processes.root().join("mix-1"))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.starts_with("serves")));
    let mix = net.processes.node("mix-1").unwrap();
    mix.stop().unwrap();
    assert!(lines.any(|line| line.contains("does not run")));
    mix.start_again().unwrap();
    assert!(lines.any(|line| line.starts_with("serves")));
    drop(lines);
    assert!(watch.wait().unwrap().success());
}
