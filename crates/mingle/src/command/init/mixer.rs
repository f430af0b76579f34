//! `mingle init mixer [DIR]`: a mixer of payments.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::Args;
use data_encoding::HEXLOWER;

use super::node;
use crate::command::account_key::AccountKeyArguments;
use crate::command::reach::{ReachArguments, absolute};
use crate::config::{FILE, Metrics};
use crate::payments::client::Client;
use crate::payments::config::{
    self, Config, LedgerLink, MixerConfig, Node, PeersConfig, Role, Server,
};
use crate::payments::{chain, folders, ledger, public, settings};
use crate::{Error, folder};

#[derive(Args)]
pub(in crate::command) struct Arguments {
    /// A folder that does not exist yet [default: mingle/CURRENCY/mixer where settings are kept]
    folder: Option<PathBuf>,
    /// Where the ledger answers
    #[arg(long, value_name = "URL", default_value_t = ledger::default_url())]
    ledger: String,
    /// What its operator calls it [default: the folder's name]
    #[arg(long, value_parser = node::name)]
    name: Option<String>,
    /// The address it listens at; 127.0.0.1 behind a reverse proxy or Tor
    #[arg(long, default_value = "0.0.0.0")]
    bind_host: IpAddr,
    /// The port it listens at
    #[arg(long, default_value_t = 10_951, value_parser = clap::value_parser!(u16).range(1..))]
    bind_port: u16,
    /// The name, address or onion service that others reach it at
    #[arg(long, value_name = "HOST", required_unless_present = "public_ip")]
    public_host: Option<String>,
    /// The port that others reach it at [default: the port it listens at]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    public_port: Option<u16>,
    /// Ask the mixers in the peer info files under which address they see this machine
    #[arg(long, conflicts_with = "public_host", requires = "peers")]
    public_ip: bool,
    #[command(flatten)]
    reach: ReachArguments,
    /// An identity signature for this mixer, as `mingle identity sign` writes
    #[arg(long, value_name = "FILE")]
    identity: Option<PathBuf>,
    #[command(flatten)]
    key: AccountKeyArguments,
}

pub(super) fn perform(arguments: &Arguments) -> Result<(), Error> {
    crate::command::runtime()?.block_on(make(arguments))
}

async fn make(arguments: &Arguments) -> Result<(), Error> {
    let client = arguments.reach.client();
    let about = ledger::about(&arguments.ledger, &client).await?;
    let link =
        LedgerLink { url: arguments.ledger.clone(), genesis: HEXLOWER.encode(&about.genesis) };
    let public_host = match &arguments.public_host {
        Some(host) => host.clone(),
        None => {
            let client = Client::new(&client, chain::currency(&link)?)?;
            public::address(&client, &arguments.reach.peers).await?
        }
    };
    let folder = match &arguments.folder {
        Some(folder) => folder.clone(),
        None => folders::default(&about.currency, Role::Mixer)?,
    };
    let peers = PeersConfig {
        identity: arguments.identity.as_deref().map(absolute).transpose()?.unwrap_or_default(),
        ..arguments.reach.settings()?
    };
    let key = arguments.key.choose()?;
    folder::make(&folder)?;
    let (key, account) = key.settle(&folder)?;
    let (terms, payouts, mixing) = settings::proposed(&about)?;
    let bind_port = arguments.bind_port;
    let config = MixerConfig {
        node: Node { role: Role::Mixer, name: node::name_of(&folder, arguments.name.as_ref()) },
        ledger: link,
        key,
        server: Server {
            public_port: arguments.public_port.unwrap_or(bind_port),
            ..Server::at(arguments.bind_host, bind_port, public_host)
        },
        client,
        peers,
        terms,
        mixing,
        payouts,
        limits: config::Limits::default(),
        metrics: Metrics::default(),
    };
    settings::mixer(&config, &about)?;
    let needed = config.payouts.float + about.existential_deposit.units();
    let (host, port) = (config.server.public_host.clone(), config.server.public_port);
    folder::write(&folder.join(FILE), &Config::Mixer(Box::new(config)).page())?;
    let shown = folder.display();
    crate::command::say(&format!(
        "A mixer of {:?} is in {shown}. Its account is {account}.\nNext:\n  \
           1. Put money into its account: more than {needed} units, which stay there for fees. What it\n     \
              holds beyond that makes it able to pay while deposits become final.\n  \
           2. mingle run {shown}\n  \
           3. See that others reach it: curl http://{host}:{port}/json/info\n\
         Terms, denominations and waits are in {shown}/{FILE}, with what they mean.\n\
         A mixer holds other people's money for a while: read docs/responsible-use.md first.\n",
        about.currency,
    ));
    Ok(())
}
