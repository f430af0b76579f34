//! `mingle bench`: what the chain and the payments cost, measured on this machine.

mod chain;
mod flood;
mod hold;
pub(super) mod load;
mod local;
mod payments;
pub(super) mod relay;
mod scratch;

use clap::Subcommand;

use crate::Error;

#[derive(Subcommand)]
pub(super) enum Command {
    /// Rate, loss and round trip through a local chain and through plain UDP relays
    Chain(chain::Arguments),
    /// Crowds, floods and restarts: what a chain holds, and what it costs its nodes
    Hold(hold::Arguments),
    /// Promises a second, restarts with many open orders, and how soon a payment arrives
    Payments(payments::Arguments),
}

pub(super) fn perform(command: &Command) -> Result<(), Error> {
    let _scratch = scratch::begin()?;
    match command {
        Command::Chain(arguments) => chain::perform(arguments),
        Command::Hold(arguments) => hold::perform(arguments),
        Command::Payments(arguments) => payments::perform(arguments),
    }
}
