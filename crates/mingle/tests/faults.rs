//! A machine that fails around a node: no file handles, a full disk, a log that takes nothing.
//!
//! A clock that jumps is not here, as a test cannot move the machine's: the cores are given their
//! time, and their tests jump it (`crates/datagram/tests/clocks.rs`).

#![allow(clippy::unwrap_used, reason = "a test says so by failing")]

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use mingle::config::Config;
use mingle::local::process::LocalNetwork;
use mingle::local::{self, Plan, Ports};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::Value;
use support::*;

/// How many files a process may have, changed until this is dropped.
struct Files {
    of: Pid,
    before: Rlimit,
}

impl Files {
    /// Lets a process open not one file more.
    fn none_left(id: u32) -> Files {
        let open = |number: &u64| Path::new(&format!("/proc/{id}/fd/{number}")).is_symlink();
        // A new file gets the lowest number that is free, and it must be below the limit.
        let free = (0..).find(|number| !open(number)).unwrap();
        let of = Pid::from_raw(id as i32).unwrap();
        let before = prlimit(Some(of), Resource::Nofile, with_current(free)).unwrap();
        Files { of, before }
    }
}

fn with_current(current: u64) -> Rlimit {
    let maximum = rustix::process::getrlimit(Resource::Nofile).maximum;
    Rlimit { current: Some(current), maximum }
}

impl Drop for Files {
    fn drop(&mut self) {
        let current = self.before.current.unwrap_or(1024);
        let _ = prlimit(Some(self.of), Resource::Nofile, with_current(current));
    }
}

/// A connection to a node's page that was there before its file handles were gone.
struct Page(BufReader<TcpStream>);

impl Page {
    fn open(address: SocketAddr) -> Page {
        let mut page = Page(BufReader::new(TcpStream::connect(address).unwrap()));
        page.status();
        page
    }

    fn status(&mut self) -> Value {
        self.0.get_mut().write_all(b"GET /status HTTP/1.1\r\nHost: node\r\n\r\n").unwrap();
        let mut length = 0;
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).unwrap();
            if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if line.trim().is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).unwrap();
        serde_json::from_slice(&body).unwrap()
    }
}

#[test]
fn an_exit_without_file_handles_refuses_new_channels_and_keeps_the_old_ones() {
    let mut net = Net::start("none");
    let (echo, ports) = (Echo::v4(), net.ports());
    let to = socks_address(echo.address);
    let old = Association::open(ports.socks());
    assert_eq!(old.echo(&to, b"before"), echo.address);
    let exit = net.processes.node("exit").unwrap().id();
    let mut page = Page::open(ports.metrics(4));
    let files = Files::none_left(exit);

    let new = Association::open(ports.socks());
    wait_until("the refusal at the exit", || {
        new.udp.send_to(&[&[0, 0, 0], &*to, b"new"].concat(), new.relay).unwrap();
        page.status()["dropped"]["sockets_full"].as_u64() > Some(0)
    });
    for round in 0..20 {
        assert_eq!(old.echo(&to, &payload(100, round)), echo.address);
    }
    drop(files);
    // With handles again, the same application is served again by itself.
    assert_eq!(new.echo(&to, b"after"), echo.address);
    assert_eq!(old.echo(&to, b"after"), echo.address);
    net.wait_figure("exit", "/sockets", |sockets| sockets >= 2);
}

#[test]
fn an_entry_without_file_handles_keeps_its_associations_and_takes_new_ones_later() {
    let mut net = Net::start("none");
    let (echo, ports) = (Echo::v4(), net.ports());
    let to = socks_address(echo.address);
    let old = Association::open(ports.socks());
    assert_eq!(old.echo(&to, b"before"), echo.address);
    let files = Files::none_left(net.processes.node("entry").unwrap().id());
    // The system takes the connection, and it waits for an entry that can accept it.
    let mut waiting = TcpStream::connect(ports.socks()).unwrap();
    waiting.write_all(&[5, 1, 0]).unwrap();
    for round in 0..20 {
        assert_eq!(old.echo(&to, &payload(100, round)), echo.address);
    }
    drop(files);
    let mut answer = [0; 2];
    waiting.read_exact(&mut answer).unwrap();
    assert_eq!(answer, [5, 0]);
    assert_eq!(old.echo(&to, b"after"), echo.address);
}

/// A network whose program is started by a shell script, which is given to `exec`.
fn run_by(script: &str, then: impl FnOnce(&mut LocalNetwork)) {
    let folder = tempfile::tempdir().unwrap();
    let program = script_in(folder.path(), script);
    loop {
        let root = folder.path().join("net");
        let _ = std::fs::remove_dir_all(&root);
        let plan = Plan { strategy: Some(mingle::network::strategy("none").unwrap()), ..plan() };
        local::create(&root, &plan).unwrap();
        for node in local::folders(&root).unwrap() {
            edit(&node, |_| {});
        }
        match LocalNetwork::start(&program, &root) {
            Ok(mut network) => {
                then(&mut network);
                return network.stop().unwrap();
            }
            // Its log may not say so, but another test took one of the ports.
            Err(_) if !local_ports_free(&plan) => {}
            Err(why) => panic!("{why}"),
        }
    }
}

/// Whether nobody has taken the ports of a plan.
fn local_ports_free(plan: &Plan) -> bool {
    let ports = Ports::of(plan);
    (0..5).all(|number| std::net::TcpListener::bind(ports.metrics(number)).is_ok())
        && (1..5).all(|number| std::net::UdpSocket::bind(ports.link(number)).is_ok())
}

/// Writes a script by another process, as one that was open for writing here could not be run.
fn script_in(folder: &Path, script: &str) -> PathBuf {
    let path = folder.join("mingle.sh");
    let mut install = Command::new("install")
        .args(["-m", "755", "/dev/stdin"])
        .arg(&path)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let text = format!("#!/bin/sh\n{script}\n");
    install.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    assert!(install.wait().unwrap().success());
    path
}

fn carries(network: &mut LocalNetwork) {
    let (echo, application) = (Echo::v4(), application());
    let door = network.ports().raw();
    for round in 0..5 {
        raw_echo(&application, door, echo.address, &payload(2000, round));
    }
    // What would be said, were there somebody to say it to.
    network.node("mix-2").unwrap().kill();
    let mix = network.node("mix-2").unwrap();
    mix.start_again().unwrap();
    mix.wait_for("ready").unwrap();
    raw_echo(&application, door, echo.address, b"after a restart");
}

#[test]
fn a_log_that_cannot_be_written_ends_nothing() {
    for log in ["2>/dev/full", "2>&-"] {
        run_by(&format!("exec '{PROGRAM}' \"$@\" {log}"), carries);
    }
}

/// Whether this process may have mounts of its own.
fn can_mount(what: &str) -> bool {
    let script = "mount -t tmpfs -o size=64k tmpfs /mnt";
    let tried = Command::new("unshare").args(["--mount", "sh", "-c", script]).output();
    match tried {
        Ok(output) if output.status.success() => return true,
        Ok(output) => skip(what, &String::from_utf8_lossy(&output.stderr)),
        Err(why) => skip(what, &format!("unshare cannot be run: {why}")),
    }
    false
}

#[test]
fn nodes_whose_disk_is_full_serve_and_start_again() {
    if !can_mount("a full disk") {
        return;
    }
    // $2 is the node's folder: a small disk of its own takes its place, with nothing left on it.
    let full = format!(
        "exec unshare --mount sh -c '\
         copy=$(mktemp -d) && cp -a \"$2/.\" \"$copy\" && mount -t tmpfs -o size=64k tmpfs \"$2\" \
         && cp -a \"$copy/.\" \"$2\" && rm -r \"$copy\" \
         && ! head -c 100000 /dev/zero 2>/dev/null >\"$2/full\" && exec {PROGRAM} \"$@\"' sh \"$@\""
    );
    run_by(&full, carries);
}

#[test]
fn a_folder_that_does_not_fit_on_the_disk_is_refused_in_plain_words() {
    let what = "making a folder on a full disk";
    if !can_mount(what) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for command in ["init mix", "init exit", "network new"] {
        let script = format!(
            "mount -t tmpfs -o size=64k tmpfs \"$PWD\" && cd \"$PWD\" \
             && ! head -c 100000 /dev/zero 2>/dev/null >full && exec {PROGRAM} {command} new"
        );
        let output = Command::new("unshare")
            .args(["--mount", "sh", "-c", &script])
            .current_dir(folder.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("cannot write new") && said.contains("No space left"), "{said}");
    }
}

/// How many files a process has open.
fn files(id: u32) -> usize {
    std::fs::read_dir(format!("/proc/{id}/fd")).unwrap().count()
}

#[test]
fn hundreds_of_channels_that_came_and_went_leave_no_file_behind() {
    let none = Some(mixing::Strategy::None);
    let mut net = Net::changed(Plan { strategy: none, ..plan() }, |config| match config {
        Config::Entry(entry) => {
            entry.forwards.source_idle = Duration::from_secs(2);
            entry.limits.spare_channels = 0;
        }
        Config::Mix(_) | Config::Exit(_) => {}
    });
    let echo = Echo::v4();
    let door = net.ports().raw();
    raw_echo(&application(), door, echo.address, b"the first");
    let nodes = ["entry", "mix-1", "mix-2", "mix-3", "exit"];
    let rests = |net: &mut Net| {
        for node in nodes {
            net.wait_figure(node, "/channels/now", |count| count == 0);
        }
        nodes.map(|node| files(net.processes.node(node).unwrap().id()))
    };
    let before = rests(&mut net);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..75 {
                    raw_echo(&application(), door, echo.address, b"one of many");
                }
            });
        }
    });
    // A port that comes again soon is a source that is known.
    net.wait_figure("exit", "/channels/opened", |count| count > 200);
    let after = rests(&mut net);
    // A status connection that is just ending may be there or not.
    for (before, after) in before.into_iter().zip(after) {
        assert!(after.abs_diff(before) <= 2, "{before:?} files before, {after:?} after");
    }
}
