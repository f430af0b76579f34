//! `mingle init ROLE DIR`: one folder for a real deployment.

mod ledger;
mod mixer;
mod node;

use clap::Subcommand;

use crate::Error;
use node::RoleName;

#[derive(Subcommand)]
pub(super) enum Command {
    /// A mix of datagrams
    Mix(node::MixArguments),
    /// The last hop of datagrams
    Exit(node::ExitArguments),
    /// A user's own entry for datagrams
    Entry(node::EntryArguments),
    /// A mixer of payments
    Mixer(mixer::Arguments),
    /// A small ledger of test money, for trying the payments
    Ledger(ledger::Arguments),
}

pub(super) fn perform(command: &Command) -> Result<(), Error> {
    match command {
        Command::Mix(mix) => node::perform(RoleName::Mix, &mix.node, mix.port, mix.tier),
        Command::Exit(exit) => node::perform(RoleName::Exit, &exit.node, exit.port, 1),
        Command::Entry(entry) => node::perform(RoleName::Entry, &entry.node, 0, 1),
        Command::Mixer(arguments) => mixer::perform(arguments),
        Command::Ledger(arguments) => ledger::perform(arguments),
    }
}
