//! `mingle bench`: what the chain costs, measured on this machine and beside plain relays.

mod chain;
mod flood;
mod hold;
pub(super) mod load;
mod local;
pub(super) mod relay;

use clap::Subcommand;

use crate::Error;

#[derive(Subcommand)]
pub(super) enum Command {
    /// Rate, loss and round trip through a local chain and through plain UDP relays
    Chain(chain::Arguments),
    /// Crowds, floods and restarts: what a chain holds, and what it costs its nodes
    Hold(hold::Arguments),
}

pub(super) fn perform(command: &Command) -> Result<(), Error> {
    match command {
        Command::Chain(arguments) => chain::perform(arguments),
        Command::Hold(arguments) => hold::perform(arguments),
    }
}
