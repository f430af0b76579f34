//! The command line: one file per command.

mod account_key;
mod bench;
mod demo;
mod identity;
mod init;
mod ledger;
mod network;
mod orders;
mod pay;
mod peers;
mod reach;
mod receipt;
mod run;
mod signals;
mod sim;
mod status;
mod wallet;

use std::io::Read;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::{Error, log};

/// A mix for datagrams and for payments: takes in what many people send, holds it, and lets it out
/// so that nobody can tell whose is whose.
#[derive(Parser)]
#[command(name = "mingle", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make a network, show a list, check it
    #[command(subcommand)]
    Network(network::Command),
    /// Make the folder of one node, mixer or ledger
    #[command(subcommand, override_usage = "mingle init mix|exit|entry|mixer|ledger DIR [OPTIONS]")]
    Init(init::Command),
    /// Run what is in a folder until a signal
    Run(run::Arguments),
    /// Say what the node or mixer of a folder does
    Status(status::Arguments),
    /// Watch datagrams go through mixes and come back, and payments arrive, all on this machine
    Demo(demo::Arguments),
    /// Measure what it costs
    #[command(subcommand)]
    Bench(bench::Command),
    /// The mixers of payments that a mixer or wallet knows
    #[command(subcommand)]
    Peers(peers::Command),
    /// What a mixer of payments owes, and what only its operator may do
    #[command(subcommand)]
    Orders(orders::Command),
    /// Answer for a mixer of payments as a member
    #[command(subcommand)]
    Identity(identity::Command),
    /// Pay somebody over several mixers
    Pay(pay::Arguments),
    /// A payer's folder: make one, say what is in it
    #[command(subcommand)]
    Wallet(wallet::Command),
    /// Mixers' promises: judge them by the ledger, cut one out
    #[command(subcommand)]
    Receipt(receipt::Command),
    /// Test money on an embedded ledger
    #[command(subcommand)]
    Ledger(ledger::Command),
    /// Run made-up worlds of either system under faults and check what must hold
    Sim(sim::Arguments),
    #[command(hide = true)]
    DemoPart(demo::part::Arguments),
    #[command(hide = true)]
    BenchRelay(bench::relay::Arguments),
}

/// Reads the command line and does what it says; the exit code.
pub fn main() -> ExitCode {
    let code = perform(Arguments::parse().command).unwrap_or_else(|why| {
        log::error(why);
        ExitCode::FAILURE
    });
    log::flush();
    code
}

/// Says something to who typed the command; that nobody listens is no error.
fn say(text: &str) {
    use std::io::Write;
    let _ = std::io::stdout().write_all(text.as_bytes());
}

fn perform(command: Command) -> Result<ExitCode, Error> {
    match command {
        Command::Network(command) => network::perform(command),
        Command::Init(command) => init::perform(&command),
        Command::Run(arguments) => run::perform(&arguments),
        Command::Status(arguments) => status::perform(&arguments),
        Command::Demo(arguments) => demo::perform(&arguments),
        Command::Bench(command) => bench::perform(&command),
        Command::Peers(command) => peers::perform(&command),
        Command::Orders(command) => orders::perform(&command),
        Command::Identity(command) => identity::perform(&command),
        Command::Pay(arguments) => pay::perform(&arguments),
        Command::Wallet(command) => wallet::perform(&command),
        Command::Receipt(command) => return receipt::perform(&command),
        Command::Ledger(command) => ledger::perform(&command),
        Command::Sim(arguments) => sim::perform(&arguments),
        Command::DemoPart(arguments) => demo::part::perform(&arguments),
        Command::BenchRelay(arguments) => bench::relay::perform(&arguments),
    }?;
    Ok(ExitCode::SUCCESS)
}

/// A second of ledger time, for people.
fn date(seconds: u64) -> String {
    let time = std::time::UNIX_EPOCH.checked_add(std::time::Duration::from_secs(seconds));
    // What lies beyond the year 9999 is no date for people.
    match time.filter(|_| seconds < 253_402_300_800) {
        Some(time) => humantime::format_rfc3339_seconds(time).to_string(),
        None => format!("second {seconds}"),
    }
}

/// The runtime of a command's control plane.
fn runtime() -> Result<tokio::runtime::Runtime, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|why| Error::system("the control plane", why))
}

/// This program, for commands that start others of its kind.
fn program() -> Result<PathBuf, Error> {
    std::env::current_exe().map_err(|why| Error::system("this program's own path", why))
}

/// Ends this process when whoever started it ends: that one holds the other end of the pipe.
fn end_with_stdin() {
    std::thread::spawn(|| {
        read_stdin_out();
        log::flush();
        std::process::exit(0);
    });
}

/// Returns when standard input ends; what comes before is nobody's.
fn read_stdin_out() {
    let mut ignored = [0; 256];
    while std::io::stdin().lock().read(&mut ignored).is_ok_and(|size| size > 0) {}
}
