//! The commands as a person meets them: what they make, and what they say when they refuse.

#![allow(clippy::unwrap_used, reason = "a test says so by failing")]

mod support;

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use mingle::config::Config;
use mingle::local::process::LocalNetwork;
use mingle::local::{self};
use support::*;

fn mingle(arguments: &[&str]) -> Output {
    Command::new(PROGRAM).args(arguments).stdin(Stdio::null()).output().unwrap()
}

fn refusal(arguments: &[&str]) -> String {
    let output = mingle(arguments);
    assert!(!output.status.success(), "{arguments:?}");
    String::from_utf8(output.stderr).unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_new_network_has_the_folders_and_ports_that_were_promised() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("net");
    let output = mingle(&["network", "new", text(&root), "--mixes", "5", "--base-port", "23000"]);
    assert!(output.status.success());
    let listens = |name: &str| Config::read(&root.join(name)).unwrap().node().listen.clone();
    let figures = |name: &str| Config::read(&root.join(name)).unwrap().metrics().listen[0].port();
    for number in 1..=5 {
        let name = format!("mix-{number}");
        assert_eq!(listens(&name)[0].port(), 23_000 + number);
        assert_eq!(figures(&name), 23_200 + number);
    }
    assert_eq!((listens("exit")[0].port(), figures("exit")), (23_006, 23_206));
    let Config::Entry(entry) = Config::read(&root.join("entry")).unwrap() else { panic!() };
    assert_eq!(entry.raw.listen[0].port(), 23_000);
    assert_eq!(entry.socks.listen[0].port(), 23_100);
    assert_eq!(entry.metrics.listen[0].port(), 23_200);
    for name in ["mix-1", "exit"] {
        let key = root.join(name).join("identity.key");
        assert_eq!(key.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
    assert!(!root.join("entry").join("identity.key").exists());
    let list = mingle::network::read(&root.join("network.toml")).unwrap();
    assert_eq!((list.depth(), list.nodes.len()), (5, 6));
    assert_eq!(list.small, datagram::network::ClassSettings::small());
}

#[test]
fn the_strategy_option_sets_both_classes() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("net");
    assert!(mingle(&["network", "new", text(&root), "--strategy", "poisson"]).status.success());
    let list = mingle::network::read(&root.join("network.toml")).unwrap();
    assert_eq!(list.small.strategy, mingle::network::strategy("poisson").unwrap());
    assert_eq!(list.large.strategy, list.small.strategy);
}

#[test]
fn refusals_say_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("net");
    for (arguments, hint) in [
        (&["network", "new", text(&root), "--mixes", "6"][..], "1..=5"),
        (&["network", "new", text(&root), "--mixes", "0"], "1..=5"),
        (&["network", "new", text(&root), "--strategy", "fast"], "threshold:16,20ms"),
        (&["network", "new", text(&root), "--base-port", "65500"], "base port"),
        (&["run", text(&root)], "mingle init"),
        (&["init", "router", text(&root)], "mix|exit|entry|mixer|ledger"),
        (&["run", text(&root), "--forward", "53=9.9.9.9:53"], "LISTEN=DEST"),
    ] {
        let said = refusal(arguments);
        assert!(said.contains(hint), "{arguments:?}: {said}");
    }
    assert!(mingle(&["network", "new", text(&root)]).status.success());
    assert!(refusal(&["network", "new", text(&root)]).contains("not empty"));
    let mix = root.join("mix-1");
    let said = refusal(&["run", text(&mix), "--forward", "127.0.0.1:1=127.0.0.1:2"]);
    assert!(said.contains("--forward is for entries"), "{said}");
}

#[test]
fn a_node_refuses_a_key_that_others_can_read_and_settings_that_nobody_knows() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("net");
    let plan = plan();
    local::create(&root, &plan).unwrap();
    let key = root.join("mix-1").join("identity.key");
    std::fs::set_permissions(&key, PermissionsExt::from_mode(0o644)).unwrap();
    let said = refusal(&["run", text(&root.join("mix-1"))]);
    assert!(said.contains(&format!("chmod 600 {}", key.display())), "{said}");

    let file = root.join("mix-2").join("config.toml");
    let settings = std::fs::read_to_string(&file).unwrap();
    for (right, wrong, hint) in [
        ("allow_public", "allow_pubic", "expected"),
        ("[metrics]", "[metric]", "expected"),
        ("\"127.0.0.1:", "\"0.0.0.0:", "loopback"),
        ("figures_every = \"1s\"", "figures_every = \"1\"", "20ms"),
        ("figures_every = \"1s\"", "figures_every = \"1ms\"", "too short"),
        ("role = \"mix\"", "role = \"mixer\"", "mix"),
    ] {
        let changed = settings.replace(right, wrong);
        assert_ne!(changed, settings);
        std::fs::write(&file, changed).unwrap();
        let said = refusal(&["run", text(&root.join("mix-2"))]);
        assert!(said.contains(hint), "{wrong}: {said}");
    }
}

#[test]
fn a_node_that_is_not_in_the_list_or_whose_port_is_taken_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("net");
    let plan = plan();
    local::create(&root, &plan).unwrap();
    let taken = std::net::UdpSocket::bind(local::Ports::of(&plan).link(1)).unwrap();
    let said = refusal(&["run", text(&root.join("mix-1"))]);
    assert!(said.contains("another program uses that port"), "{said}");
    drop(taken);
    std::fs::remove_file(root.join("mix-1").join("identity.key")).unwrap();
    mingle::key::create(&root.join("mix-1").join("identity.key")).unwrap();
    let said = refusal(&["run", text(&root.join("mix-1"))]);
    assert!(said.contains("network.toml") && said.contains("not in the list"), "{said}");
}

#[test]
fn a_folder_for_a_real_network_says_what_comes_next() {
    let folder = tempfile::tempdir().unwrap();
    for (role, hints) in [
        (
            "mix",
            &["[[node]]", "tier = 1", "PUBLIC-ADDRESS:20001", "Open UDP port", "mingle run"][..],
        ),
        ("exit", &["[[node]]", "role = \"exit\"", "Open UDP port", "docs/"]),
        ("entry", &["network.toml", "mingle run", "SOCKS5"]),
    ] {
        let node = folder.path().join(role);
        let output = mingle(&["init", role, text(&node)]);
        assert!(output.status.success());
        let said = String::from_utf8(output.stdout).unwrap();
        for hint in hints {
            assert!(said.contains(hint), "{role} {hint}: {said}");
        }
        let config = Config::read(&node).unwrap();
        assert_eq!(config.node().figures_every, mingle::config::FIGURES_EVERY);
        assert!(config.metrics().listen.iter().all(|address| address.ip().is_loopback()));
        if let Config::Exit(exit) = config {
            assert!(exit.policy.allow.is_empty(), "a real exit serves the public Internet only");
        }
    }
}

#[test]
fn a_signal_ends_a_node_with_success() {
    for signal in ["-INT", "-TERM", "-HUP"] {
        let mut net = Net::start("none");
        let mix = net.processes.node("mix-2").unwrap();
        let id = mix.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
        mix.stop().unwrap();
        assert!(mix.said().contains("ended"), "{}", mix.said());
    }
}

#[test]
fn a_signal_ends_a_demo_and_takes_its_folder_along() {
    for signal in ["-INT", "-TERM", "-HUP"] {
        let folder = tempfile::tempdir().unwrap();
        // Whoever runs the tests may ignore a closed terminal; children inherit that.
        let mut demo = Command::new("env")
            .args(["--default-signal=HUP", PROGRAM, "demo", "--stay"])
            .env("TMPDIR", folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(demo.stdout.take().unwrap()).lines();
        assert!(lines.map_while(Result::ok).any(|line| line.contains("until Ctrl-C")));
        assert_eq!(folder.path().read_dir().unwrap().count(), 1);
        let id = demo.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
        assert!(demo.wait().unwrap().success(), "{signal}");
        assert_eq!(folder.path().read_dir().unwrap().count(), 0, "{signal}");
    }
}

#[test]
fn a_demo_whose_output_nobody_reads_goes_on_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut demo = Command::new(PROGRAM);
    demo.arg("demo").env("TMPDIR", folder.path()).stdout(writer);
    assert!(demo.status().unwrap().success());
    assert_eq!(folder.path().read_dir().unwrap().count(), 0);
}

#[test]
fn a_node_ends_when_the_process_that_holds_its_input_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("net");
    local::create(&root, &plan()).unwrap();
    let mut parent =
        Command::new("sleep").arg("1000").stdout(Stdio::piped()).spawn().expect("sleep");
    let mut node = Command::new(PROGRAM)
        .args(["run", text(&root.join("mix-1")), "--end-with-stdin"])
        .stdin(parent.stdout.take().unwrap())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    parent.kill().unwrap();
    parent.wait().unwrap();
    assert!(node.wait().unwrap().success());
}

#[test]
fn no_process_outlives_a_network_that_is_dropped() {
    let net = Net::start("none");
    let mut ids = Vec::new();
    let Net { mut processes, .. } = net;
    ids.extend(processes.nodes().iter().map(|node| node.id()));
    assert_eq!(ids.len(), 5);
    drop::<LocalNetwork>(processes);
    for id in ids {
        // A process that ended and was waited for is in no table.
        assert!(!Path::new(&format!("/proc/{id}")).exists());
    }
}
