//! A network list that changes while its nodes run.
#![allow(clippy::unwrap_used, reason = "a test says so by failing")]

mod support;

use std::path::Path;

use mingle::network;
use support::{Echo, Net, application, plan, raw_echo, wait_until};

/// Writes the list of a running network anew, without one node.
fn leave_out(root: &Path, name: &str) {
    let path = root.join(network::FILE);
    let mut list = network::read(&path).unwrap();
    list.nodes.retain(|node| node.name != name);
    std::fs::write(&path, network::page(&list).unwrap()).unwrap();
}

#[test]
fn nodes_that_run_take_up_a_changed_list_and_one_that_makes_no_sense_changes_nothing() {
    let mut net = Net::with(plan());
    let echo = Echo::v4();
    let socket = application();
    raw_echo(&socket, net.ports().raw(), echo.address, b"before");

    let root = net.processes.root().to_owned();
    let whole = std::fs::read_to_string(root.join(network::FILE)).unwrap();
    std::fs::write(root.join(network::FILE), "this is no list").unwrap();
    wait_until("a node says what is wrong with the list", || {
        net.processes.nodes().iter().all(|node| node.said().contains("goes on with the former"))
    });
    raw_echo(&socket, net.ports().raw(), echo.address, b"meanwhile");

    // Chains of two mixes: the third is not listed any more.
    std::fs::write(root.join(network::FILE), whole).unwrap();
    leave_out(&root, "mix-3");
    net.processes.node("mix-3").unwrap().kill();
    for node in ["entry", "mix-1", "mix-2", "exit"] {
        net.wait_figure(node, "/nodes/listed", |nodes| nodes == 3);
    }
    raw_echo(&application(), net.ports().raw(), echo.address, b"after");
}
