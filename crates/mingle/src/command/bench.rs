//! `mingle bench`: what the chain costs, measured on this machine and beside plain relays.

mod chain;
pub(super) mod load;
pub(super) mod relay;

use clap::Subcommand;

use crate::Error;

#[derive(Subcommand)]
pub(super) enum Command {
    /// Rate, loss and round trip through a local chain and through plain UDP relays
    Chain(chain::Arguments),
}

pub(super) fn perform(command: &Command) -> Result<(), Error> {
    match command {
        Command::Chain(arguments) => chain::perform(arguments),
    }
}
