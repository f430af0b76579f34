//! `mingle network new|show|check`: network lists, and whether they are true.

mod check;
mod show;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use datagram::network::Network;
use mixing::strategy::Strategy;

use crate::config::{self, Config};
use crate::local::{self, Plan, Ports};
use crate::{Error, network};

#[derive(Subcommand)]
pub(super) enum Command {
    /// Make a local network: one folder per node, all on 127.0.0.1
    New(New),
    /// Say what a network list says
    Show(List),
    /// Ask every listed node for its key: who answers, how soon, and whether cells pass
    Check(check::Arguments),
}

/// Where a network list is.
#[derive(Args)]
pub(super) struct List {
    /// The list, or the folder of a network or of a node
    #[arg(value_name = "FILE|DIR", default_value = ".")]
    place: PathBuf,
}

impl List {
    /// Reads the list.
    fn read(&self) -> Result<Network, Error> {
        let place = &self.place;
        if !place.is_dir() {
            network::read(place)
        } else if place.join(config::FILE).exists() {
            network::read(&place.join(&Config::read(place)?.node().network))
        } else {
            network::read(&place.join(network::FILE))
        }
    }
}

#[derive(Args)]
pub(super) struct New {
    /// A folder that does not exist yet
    folder: PathBuf,
    /// How many mixes a chain passes, 1 to 5
    #[arg(long, value_name = "COUNT", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=5))]
    mixes: u8,
    /// The raw door; links, SOCKS5 (+100) and figures (+200) follow
    #[arg(long, value_name = "PORT", default_value_t = 20_000)]
    base_port: u16,
    /// The strategy of both classes: none, timed:10ms, threshold:16,20ms, pool:10ms,16,0.5,200ms
    /// or poisson:10ms,100ms; a name alone means these numbers. Without it: small timed:10ms,
    /// large threshold:16,20ms
    #[arg(long, value_parser = crate::network::strategy)]
    strategy: Option<Strategy>,
}

pub(super) fn perform(command: Command) -> Result<(), Error> {
    match command {
        Command::New(new) => make(&new),
        Command::Show(list) => {
            super::say(&show::text(&list.read()?));
            Ok(())
        }
        Command::Check(arguments) => check::perform(&arguments),
    }
}

fn make(new: &New) -> Result<(), Error> {
    let plan = Plan { mixes: new.mixes, base_port: new.base_port, strategy: new.strategy.clone() };
    local::create(&new.folder, &plan)?;
    super::say(&next_steps(&new.folder, &plan));
    Ok(())
}

/// What a person does next.
fn next_steps(folder: &Path, plan: &Plan) -> String {
    let ports = Ports::of(plan);
    let shown = folder.display();
    let nodes = (1..=plan.mixes).map(|number| format!("mix-{number}"));
    let nodes = nodes.chain([local::EXIT.to_owned(), local::ENTRY.to_owned()]);
    let run: String = nodes.map(|node| format!("  mingle run {shown}/{node}\n")).collect();
    format!(
        "A network of {} mixes and an exit is in {shown}. Run each node in a shell of its own:\n\
         {run}\
         Then:\n  \
           SOCKS5 with UDP ASSOCIATE at {}\n  \
           raw datagrams at {}: IPv4 address (4 bytes), port (2 bytes, big-endian), payload\n  \
           figures at http://{}/status and /metrics; each node has its own port\n\
         Its exit allows loopback destinations: this is a network for one machine.\n",
        plan.mixes,
        ports.socks(),
        ports.raw(),
        ports.metrics(0),
    )
}
