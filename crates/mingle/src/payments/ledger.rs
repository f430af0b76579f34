//! The embedded ledger as a process: its file, its blocks, its HTTP side.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use ledger::file::BlockFile;
use ledger::server::{Shared, router};
use money::embedded::Genesis;
use money::{Account, Amount, LedgerTime};
use payment::document::Currency;
use tokio::net::TcpListener;

use super::client::Client;
use super::config::{self, LedgerConfig};
use crate::clock::Clock;
use crate::{Error, log};

/// The port of a ledger that nobody gave another.
pub const PORT: u16 = 9_950;
/// The shortest time between blocks.
pub const BLOCK_TIME_LEAST: Duration = Duration::from_millis(20);
/// What a local ledger and its folder are called.
pub const NAME: &str = "ledger";
/// The file of final blocks in a ledger's folder.
pub const FILE: &str = "blocks";

/// The address of the ledger that nobody gave another.
pub fn default_url() -> String {
    url(Ipv4Addr::LOCALHOST.into(), PORT)
}

/// The address of a ledger.
pub fn url(host: IpAddr, port: u16) -> String {
    format!("http://{}", SocketAddr::from((host, port)))
}

/// What a ledger begins with.
///
/// # Errors
/// When a member is no account, or the block time is too short.
pub fn genesis(config: &LedgerConfig) -> Result<Genesis, Error> {
    let genesis = &config.genesis;
    let member = |text: &String| {
        text.parse::<Account>()
            .map_err(|why| Error::Usage(format!("genesis.members: {text}: {why}")))
    };
    if config.server.block_time < BLOCK_TIME_LEAST {
        return Err(Error::Usage("server.block_time is shorter than \"20ms\"".into()));
    }
    Ok(Genesis {
        currency: genesis.currency.clone(),
        time: LedgerTime::from_secs(genesis.time),
        existential_deposit: Amount::from_units(genesis.existential_deposit),
        fee: Amount::from_units(genesis.fee),
        finality_lag: genesis.finality_lag,
        accounts: Default::default(),
        members: genesis.members.iter().map(member).collect::<Result<_, _>>()?,
    })
}

/// What the ledger at an address is, before there is a folder that names its currency.
///
/// # Errors
/// When it is out of reach.
pub async fn about(url: &str, settings: &config::Client) -> Result<ledger::About, Error> {
    let failed = |why| Error::Ledger { url: url.to_owned(), why };
    // No document is read before the ledger has said which currency it is.
    let client = Client::new(settings, Currency::Genesis([0; 32]))?;
    let http = client.for_ledger(url).map_err(|_| failed(ledger::Error::Unreachable))?;
    let connected = ledger::embedded::Client::connect_with(http, url).await.map_err(failed)?;
    Ok(connected.about().clone())
}

/// Runs the ledger of a folder until `ended` resolves or its file fails.
///
/// # Errors
/// What the operator must repair.
pub async fn run(
    folder: &Path,
    config: &LedgerConfig,
    ended: impl Future<Output = ()>,
) -> Result<(), Error> {
    let path = folder.join(FILE);
    let opened = BlockFile::open(&path, genesis(config)?);
    let (file, ledger) = opened.map_err(|why| match why.kind() {
        std::io::ErrorKind::WouldBlock => Error::InUse { path: path.clone() },
        std::io::ErrorKind::InvalidData => Error::unfit(&path, why),
        _ => Error::write(&path, why),
    })?;
    let address = SocketAddr::from((config.server.bind_host, config.server.bind_port));
    let listener = TcpListener::bind(address).await;
    let listener = listener.map_err(|why| Error::bind("the ledger's server", address, why))?;
    let shared = Shared::new(ledger, config.server.block_time);
    log::info(format_args!("{}: ledger at http://{address}", config.node.name));
    log::info("ready");
    let clock = Clock::start();
    let now = || LedgerTime::from_millis(clock.now().date.as_millis());
    tokio::select! {
        // A block that was not written must not become final for anyone.
        failed = shared.run(Some(file), now) => failed.map_err(|why| Error::write(&path, why)),
        served = axum::serve(listener, router(shared.clone())).into_future() => {
            served.map_err(|why| Error::system("the ledger's server", why))
        }
        () = ended => Ok(()),
    }
}
