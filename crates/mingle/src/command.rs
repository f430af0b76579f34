//! The command line: one file per command.

mod init;
mod network;
mod run;

use clap::{Parser, Subcommand};

use crate::{Error, log};

/// A mix for datagrams: takes in what many people send, holds it, and lets it out so that nobody
/// can tell whose is whose.
#[derive(Parser)]
#[command(name = "mingle", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make a network
    #[command(subcommand)]
    Network(network::Command),
    /// Make the folder of one node for a real network
    Init(init::Arguments),
    /// Run the node in a folder until a signal
    Run(run::Arguments),
}

/// Reads the command line and does what it says; the exit code.
pub fn main() -> std::process::ExitCode {
    match perform(Arguments::parse().command) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(why) => {
            log::error(why);
            std::process::ExitCode::FAILURE
        }
    }
}

fn perform(command: Command) -> Result<(), Error> {
    match command {
        Command::Network(command) => network::perform(command),
        Command::Init(arguments) => init::perform(&arguments),
        Command::Run(arguments) => run::perform(&arguments),
    }
}
