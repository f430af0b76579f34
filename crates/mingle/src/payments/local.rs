//! A ledger and mixers on one machine, each a process of its own, with money and acquainted: for the
//! demo, the bench and the tests.
//!
//! ```text
//! ROOT/ledger · ROOT/mixer-1 … ROOT/mixer-N · ROOT/peers      what payers know at first
//! ```

use std::path::{Path, PathBuf};
use std::time::Duration;

use data_encoding::HEXLOWER;
use ledger::About;
use money::{Account, Amount};
use payment::document::{Currency, Host, PeerInfo, Signed};
use serde_json::Value;

use super::client::Client;
use super::config::{
    self, Config, GenesisConfig, LedgerConfig, LedgerLink, LedgerServer, MixerConfig, Node,
    PeersConfig, Role, Server,
};
use super::operator::Operator;
use super::{keys, ledger as own_ledger, peer_file, settings};
use crate::clock::Clock;
use crate::config::{FILE, Metrics};
use crate::local::running::Running;
use crate::{Error, folder};

/// What is to run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How many mixers.
    pub mixers: u16,
    /// The ledger's port; the mixers' follow.
    pub base_port: u16,
    /// The ledger's.
    pub block_time: Duration,
    /// The ledger's.
    pub finality_lag: u64,
    /// When payouts leave, and which.
    pub strategy: String,
    /// Mean delay of requests and promises passed on.
    pub delay: Duration,
}

/// Their folders, before anything runs.
pub struct Folders {
    root: PathBuf,
    plan: Plan,
    about: About,
}

/// A ledger and mixers that run. Dropping it ends them.
pub struct LocalPayments {
    /// The ledger's process.
    pub ledger: Running,
    /// The mixers' processes.
    pub mixers: Vec<Running>,
    about: About,
    url: String,
    infos: Vec<Signed<PeerInfo>>,
}

/// What each mixer is given; its float is much less.
pub const MIXER_MONEY: u64 = 1_000_000;

/// The peer info file in the root.
pub const PEERS: &str = "peers";

impl Folders {
    /// Makes them in a new folder.
    ///
    /// # Errors
    /// When it is not new or cannot be written.
    pub fn create(root: &Path, plan: &Plan) -> Result<Self, Error> {
        folder::make(root)?;
        let config = ledger_config(plan);
        let genesis = own_ledger::genesis(&config)?;
        let about = About {
            genesis: genesis.hash(),
            currency: genesis.currency,
            existential_deposit: genesis.existential_deposit,
            fee: genesis.fee,
            finality_lag: genesis.finality_lag,
            block_time: config.server.block_time,
        };
        write(&root.join(own_ledger::NAME), &Config::Ledger(config))?;
        let folders = Self { root: root.to_owned(), plan: plan.clone(), about };
        for number in 1..=plan.mixers {
            let config = folders.mixer_config(number)?;
            let folder = folders.mixer(number);
            write(&folder, &Config::Mixer(Box::new(config)))?;
            keys::create(&folder.join(keys::FILE))?;
        }
        Ok(folders)
    }

    /// The folder of a mixer, from 1.
    pub fn mixer(&self, number: u16) -> PathBuf {
        self.root.join(format!("mixer-{number}"))
    }

    /// Changes every mixer's settings.
    ///
    /// # Errors
    /// When a file cannot be read or written.
    pub fn change(&self, change: impl Fn(u16, &mut MixerConfig)) -> Result<(), Error> {
        for number in 1..=self.plan.mixers {
            let path = self.mixer(number);
            let Config::Mixer(mut config) = Config::read(&path)? else { continue };
            change(number, &mut config);
            let path = path.join(FILE);
            let page = Config::Mixer(config).page();
            std::fs::write(&path, page).map_err(|why| Error::write(&path, why))?;
        }
        Ok(())
    }

    fn mixer_config(&self, number: u16) -> Result<MixerConfig, Error> {
        let Plan { base_port, strategy, delay, .. } = &self.plan;
        let (terms, payouts, _) = settings::proposed(&self.about)?;
        let host = std::net::Ipv4Addr::LOCALHOST;
        Ok(MixerConfig {
            node: Node { role: Role::Mixer, name: format!("mixer-{number}") },
            ledger: LedgerLink {
                url: own_ledger::url(host.into(), *base_port),
                genesis: HEXLOWER.encode(&self.about.genesis),
            },
            key: config::KeySource::default(),
            server: Server::at(host.into(), base_port + number, host.to_string()),
            client: config::Client::default(),
            peers: PeersConfig { inside: true, ..PeersConfig::default() },
            terms,
            mixing: config::Mixing { strategy: strategy.clone(), delay: *delay },
            payouts,
            limits: config::Limits::default(),
            metrics: Metrics::default(),
        })
    }

    /// Starts everything, gives every mixer money, and waits until each has reached all others and makes
    /// promises.
    ///
    /// # Errors
    /// When a process ends instead, with what it said.
    pub async fn start(self, program: &Path) -> Result<LocalPayments, Error> {
        let mut ledger = Running::start(program, &self.root.join(own_ledger::NAME))?;
        ledger.wait_ready()?;
        let numbers = 1..=self.plan.mixers;
        let mixers = numbers.clone().map(|number| Running::start(program, &self.mixer(number)));
        let mut mixers = mixers.collect::<Result<Vec<_>, _>>()?;
        let url = own_ledger::url(std::net::Ipv4Addr::LOCALHOST.into(), self.plan.base_port);
        let client = Client::new(&config::Client::default(), currency(&self.about))?;
        let mut infos = Vec::new();
        for (mixer, number) in mixers.iter_mut().zip(numbers) {
            mixer.wait_ready()?;
            let port = self.plan.base_port + number;
            infos.push(self.info(&client, &Host { address: "127.0.0.1".into(), port }).await?);
        }
        let payments = LocalPayments { ledger, mixers, about: self.about, url, infos };
        for info in &payments.infos {
            payments.faucet(&info.content().pubkey, MIXER_MONEY).await?;
        }
        payments.acquaint(&client).await?;
        let path = self.root.join(PEERS);
        let infos = payments.infos.iter().map(Signed::bytes);
        std::fs::write(&path, peer_file::page(infos)).map_err(|why| Error::write(&path, why))?;
        Ok(payments)
    }

    /// What a mixer says of itself, once it has heard of the ledger.
    async fn info(&self, client: &Client, host: &Host) -> Result<Signed<PeerInfo>, Error> {
        for _ in 0..LOOKS {
            if let Ok(answer) = client.plain(host, "/info").await
                && let Some(info) = peer_file::bytes(answer, "info")
                && let Ok(info) =
                    Signed::read(&info, &currency(&self.about), |info: &PeerInfo| Some(info.pubkey))
                && info.content().sigtime > 0
            {
                return Ok(info);
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Err(Error::Failed(format!("the mixer at port {} does not say who it is", host.port)))
    }
}

impl LocalPayments {
    /// What the ledger is.
    pub fn about(&self) -> &About {
        &self.about
    }

    /// Its money's name.
    pub fn currency(&self) -> Currency {
        currency(&self.about)
    }

    /// Where the ledger answers.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The ledger's settings for who uses it.
    pub fn link(&self) -> LedgerLink {
        LedgerLink { url: self.url.clone(), genesis: HEXLOWER.encode(&self.about.genesis) }
    }

    /// What the mixers said of themselves at their start.
    pub fn infos(&self) -> &[Signed<PeerInfo>] {
        &self.infos
    }

    /// Makes money, and waits until it is there.
    ///
    /// # Errors
    /// When the ledger does not answer, or does not do it.
    pub async fn faucet(&self, to: &Account, amount: u64) -> Result<(), Error> {
        let failed = |why| Error::Ledger { url: self.url.clone(), why };
        let client = ledger::embedded::Client::connect(&self.url).await.map_err(failed)?;
        let wanted = client.account(to).await.map_err(failed)?.free.units() + amount;
        client.faucet(to, Amount::from_units(amount)).await.map_err(failed)?;
        for _ in 0..LOOKS {
            if client.account(to).await.map_err(failed)?.free.units() >= wanted {
                return Ok(());
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Err(Error::Failed("the faucet's money does not come".into()))
    }

    /// Tells every mixer of all others, and waits until they have met.
    async fn acquaint(&self, client: &Client) -> Result<(), Error> {
        for at in &self.infos {
            for of in self.infos.iter().filter(|of| of.content().pubkey != at.content().pubkey) {
                // One that heard of it already refuses what is no newer.
                let _ = client.sealed(at.content(), "/new", of.bytes()).await;
            }
        }
        for mixer in &self.mixers {
            wait_status(mixer, |status| {
                let others = self.infos.len() - 1;
                status["makes_promises"] == true && status["peers_reached"] == others
            })
            .await?;
        }
        Ok(())
    }
}

/// Waits until what a mixer says over its operator's socket fits.
///
/// # Errors
/// When it takes a minute, with what it said last.
pub async fn wait_status(mixer: &Running, so: impl Fn(&Value) -> bool) -> Result<(), Error> {
    let operator = Operator::new(mixer.folder())?;
    let mut last = None;
    for _ in 0..LOOKS {
        last = operator.get("/status").await.ok().or(last);
        if last.as_ref().is_some_and(&so) {
            return Ok(());
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    let last = last.unwrap_or_default();
    Err(Error::Failed(format!("never came to be: {last}; it said:\n{}", mixer.said())))
}

fn currency(about: &About) -> Currency {
    Currency::Genesis(about.genesis)
}

fn ledger_config(plan: &Plan) -> LedgerConfig {
    LedgerConfig {
        node: Node { role: Role::Ledger, name: own_ledger::NAME.into() },
        server: LedgerServer {
            bind_host: std::net::Ipv4Addr::LOCALHOST.into(),
            bind_port: plan.base_port,
            block_time: plan.block_time,
        },
        genesis: GenesisConfig {
            // A name of its own for every ledger: signatures of one are void in another.
            currency: format!("local-{}", plan.base_port),
            time: Clock::start().now().date.as_millis() / 1000,
            existential_deposit: 100,
            fee: 2,
            finality_lag: plan.finality_lag,
            members: Vec::new(),
        },
    }
}

fn write(folder: &Path, config: &Config) -> Result<(), Error> {
    folder::make(folder)?;
    folder::write(&folder.join(FILE), &config.page())
}

const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// A minute.
const LOOKS: u32 = 3000;
