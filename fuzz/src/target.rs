//! All bodies, by name.

use crate::{datagram, mingle, mixing, money, payment};

/// A body and what the ordinary tests do with it.
pub struct Target {
    /// Its name, which is also that of its program and of its folders.
    pub name: &'static str,
    /// What is called with every input.
    pub body: fn(&[u8]),
    /// How many changed inputs the ordinary tests give it: fewer where one costs more.
    pub mutations: u32,
}

/// Every target, parsers first.
pub const TARGETS: &[Target] = &[
    // The chain.
    target("cells", datagram::cells, 250),
    target("openings", datagram::openings, 150),
    target("messages", datagram::messages, 300),
    target("set_ups", datagram::set_ups, 150),
    target("key_lists", datagram::key_lists, 150),
    target("destinations", datagram::destinations, 4_000),
    // Payments.
    target("ubjson", payment::ubjson, 6_000),
    target("identity_signatures", payment::identity_signatures, 500),
    target("peer_infos", payment::peer_infos, 500),
    target("promises", payment::promises, 500),
    target("requests", payment::requests, 500),
    target("confirms", payment::confirms, 500),
    target("get_confirms", payment::get_confirms, 500),
    target("onion_layers", payment::onion_layers, 300),
    target("promise_slots", payment::promise_slots, 500),
    target("sealed_commands", payment::sealed_commands, 300),
    target("command_paths", payment::command_paths, 1_000),
    target("request_lines", payment::request_lines, 4_000),
    target("receipts", payment::receipts, 300),
    target("order_records", payment::order_records, 2_000),
    target("mixer_records", payment::mixer_records, 300),
    target("payer_records", payment::payer_records, 300),
    // Money.
    target("transactions", money::transactions, 800),
    target("blocks", money::blocks, 400),
    target("addresses", money::addresses, 3_000),
    target("key_files", money::key_files, 1_000),
    target("ledger_answers", money::ledger_answers, 1_500),
    target("ledger_files", money::ledger_files, 150),
    // The program.
    target("socks_datagrams", mingle::socks_datagrams, 4_000),
    target("socks_handshakes", mingle::socks_handshakes, 4_000),
    target("configs", mingle::configs, 800),
    target("network_lists", mingle::network_lists, 800),
    target("payment_configs", mingle::payment_configs, 400),
    target("peer_files", mingle::peer_files, 1_000),
    target("identity_files", mingle::identity_files, 1_000),
    target("mixer_answers", mingle::mixer_answers, 3_000),
    target("order_names", mingle::order_names, 3_000),
    target("hosts", mingle::hosts, 4_000),
    // Machines.
    target("window", mixing::window, 3_000),
    target("pool", mixing::pool, 2_000),
    target("id_tables", datagram::id_tables, 3_000),
    target("fragments", datagram::fragments, 500),
    target("lanes", datagram::lanes, 100),
    target("links", datagram::links, 300),
    target("exits", datagram::exits, 100),
    target("entries", datagram::entries, 80),
    target("orders", payment::orders, 1_000),
    target("slots", payment::slots, 1_000),
    target("payers", payment::payers, 500),
    target("mixers", payment::mixers, 60),
    target("paths", payment::paths, 100),
    target("verdicts", payment::verdicts, 2_000),
    target("ledger", money::ledger, 200),
];

const fn target(name: &'static str, body: fn(&[u8]), mutations: u32) -> Target {
    Target { name, body, mutations }
}

/// Runs the body of this name.
///
/// # Panics
/// Where the input shows that something is wrong, or no body has this name.
pub fn run(name: &str, bytes: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name).expect("a target of the list");
    (target.body)(bytes);
}

/// Runs a body once more on the files that the command line names: what a target's program does where
/// no fuzzer is built in.
///
/// # Panics
/// As [`run`], and where a file cannot be read.
pub fn again(name: &str) {
    for path in std::env::args_os().skip(1) {
        let bytes = std::fs::read(&path).expect("a file that can be read");
        run(name, &bytes);
        println!("{name}: {} holds", path.display());
    }
}
