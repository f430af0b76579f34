//! Settings of a mixer, a ledger and a wallet: `config.toml` → checked values, and back.
//!
//! As in [`crate::config`]: one type per role, and a key that nobody knows is refused.

mod page;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use money::embedded::PERIOD_MAX;
use payment::{onion, route};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::config::{FILE, Metrics, explain, role, span};

/// What a folder of the payments says about itself.
#[derive(Clone, Debug, PartialEq)]
pub enum Config {
    /// A mixer.
    Mixer(Box<MixerConfig>),
    /// The embedded ledger.
    Ledger(LedgerConfig),
    /// A payer's wallet.
    Wallet(WalletConfig),
}

impl Config {
    /// Reads and checks `DIR/config.toml`.
    ///
    /// # Errors
    /// When it is missing, or says something that cannot be.
    pub fn read(folder: &Path) -> Result<Self, Error> {
        let path = folder.join(FILE);
        let remedy = "`mingle init` and `mingle wallet new` make folders with one in it";
        let text = std::fs::read_to_string(&path).map_err(|why| Error::read(&path, why, remedy))?;
        Self::parse(&text).map_err(|why| Error::unfit(&path, why))
    }

    /// Parses the text of a `config.toml`.
    ///
    /// # Errors
    /// A sentence for the operator.
    pub fn parse(text: &str) -> Result<Self, String> {
        let config = match role(text)? {
            Role::Mixer => Self::Mixer(Box::new(toml::from_str(text).map_err(explain)?)),
            Role::Ledger => Self::Ledger(toml::from_str(text).map_err(explain)?),
            Role::Wallet => Self::Wallet(toml::from_str(text).map_err(explain)?),
        };
        match &config {
            Self::Mixer(mixer) => mixer.check()?,
            Self::Wallet(wallet) => wallet.pay.check()?,
            Self::Ledger(_) => {}
        }
        Ok(config)
    }

    /// The commented file that `parse` reads back to this very value.
    pub fn page(&self) -> String {
        page::render(self)
    }
}

/// Whether a folder is a mixer's, a ledger's or a wallet's, and not a node's of the datagrams.
pub fn is_of_payments(folder: &Path) -> bool {
    let text = std::fs::read_to_string(folder.join(FILE));
    text.is_ok_and(|text| role::<Role>(&text).is_ok())
}

/// What a folder does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Passes payments on in company.
    Mixer,
    /// Keeps the embedded ledger.
    Ledger,
    /// Pays.
    Wallet,
}

/// What every folder says first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// What it does.
    pub role: Role,
    /// What its operator calls it.
    pub name: String,
}

/// A mixer's file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MixerConfig {
    /// What it is.
    pub node: Node,
    /// The ledger.
    pub ledger: LedgerLink,
    /// The account key.
    #[serde(default)]
    pub key: KeySource,
    /// Where it answers.
    pub server: Server,
    /// How it reaches others.
    #[serde(default)]
    pub client: Client,
    /// Whom it knows at first.
    #[serde(default)]
    pub peers: PeersConfig,
    /// What it asks and promises.
    pub terms: TermsConfig,
    /// How payments mix.
    #[serde(default)]
    pub mixing: Mixing,
    /// How payouts are made.
    pub payouts: Payouts,
    /// How much of anything there may be.
    #[serde(default)]
    pub limits: Limits,
    /// The operator's page.
    #[serde(default)]
    pub metrics: Metrics,
}

/// A ledger's file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LedgerConfig {
    /// What it is.
    pub node: Node,
    /// Where it answers.
    pub server: LedgerServer,
    /// What it begins with.
    pub genesis: GenesisConfig,
}

/// A wallet's file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WalletConfig {
    /// What it is.
    pub node: Node,
    /// The ledger.
    pub ledger: LedgerLink,
    /// The account key.
    #[serde(default)]
    pub key: KeySource,
    /// How it reaches mixers.
    #[serde(default)]
    pub client: Client,
    /// Whom it knows at first.
    #[serde(default)]
    pub peers: PeersConfig,
    /// How it pays.
    #[serde(default)]
    pub pay: Pay,
}

/// The ledger that a mixer or wallet uses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LedgerLink {
    /// Where it answers, such as `http://127.0.0.1:9950`.
    pub url: String,
    /// The hash of its genesis block in hex: this and no other currency.
    pub genesis: String,
}

/// Where the account key comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KeySource {
    /// The key file.
    pub file: PathBuf,
    /// Whether salt and password are asked for at the terminal instead.
    pub ask: bool,
}

impl Default for KeySource {
    fn default() -> Self {
        Self { file: super::keys::FILE.into(), ask: false }
    }
}

/// Where a mixer answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// The address it listens at.
    pub bind_host: IpAddr,
    /// The port it listens at.
    pub bind_port: u16,
    /// The name or address that others reach it at.
    pub public_host: String,
    /// The port that others reach it at.
    pub public_port: u16,
    /// Whether requests are logged: they say who pays whom when.
    #[serde(default)]
    pub access_log: bool,
    /// Connections at one time.
    #[serde(default = "connections")]
    pub connections_max: usize,
    /// Connections of one source at one time.
    #[serde(default = "source_connections")]
    pub source_connections_max: usize,
    /// How long a client may take over one request.
    #[serde(with = "span", default = "request_time")]
    pub request_time: Duration,
}

impl Server {
    /// A server with the usual limits.
    pub fn at(bind_host: IpAddr, bind_port: u16, public_host: String) -> Self {
        Self {
            bind_host,
            bind_port,
            public_host,
            public_port: bind_port,
            access_log: false,
            connections_max: connections(),
            source_connections_max: source_connections(),
            request_time: request_time(),
        }
    }
}

fn connections() -> usize {
    512
}

fn source_connections() -> usize {
    32
}

fn request_time() -> Duration {
    Duration::from_secs(15)
}

/// How others are reached.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Client {
    /// A SOCKS5 proxy such as `127.0.0.1:9050`; empty for none.
    pub proxy: String,
    /// Whether only onion services are reached through it.
    pub proxy_onion_only: bool,
    /// The longest that an answer may take.
    #[serde(with = "span")]
    pub time_out: Duration,
}

impl Default for Client {
    fn default() -> Self {
        let time_out = Duration::from_secs(30);
        Self { proxy: String::new(), proxy_onion_only: false, time_out }
    }
}

/// Whom a mixer or wallet knows at first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PeersConfig {
    /// Peer info files; relative to the folder.
    pub files: Vec<PathBuf>,
    /// Mixers by HOST:PORT that are asked for their infos, and whom they know, as long as nobody is.
    pub hosts: Vec<String>,
    /// Whether addresses inside a network are believed.
    pub inside: bool,
    /// An identity signature for this mixer; empty for none.
    pub identity: PathBuf,
}

/// What a mixer asks and promises: amounts in the ledger's smallest unit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TermsConfig {
    /// The smallest denomination it moves.
    pub least: u64,
    /// What it takes from payers whose first mixer it is.
    pub fee: u64,
    /// What it keeps of a payment that it sends back.
    pub return_cost: u64,
    /// The company it aims at.
    pub company: u64,
    /// The longest that a payment waits for company.
    #[serde(with = "span")]
    pub wait_max: Duration,
    /// How long after its date a deposit is still passed on.
    #[serde(with = "span")]
    pub keep: Duration,
}

/// How payments mix.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mixing {
    /// When payouts leave, and which.
    pub strategy: String,
    /// Mean delay of requests and promises that are passed on.
    #[serde(with = "span")]
    pub delay: Duration,
}

impl Default for Mixing {
    fn default() -> Self {
        Self { strategy: "pool:5m,3,0.5,50m".into(), delay: Duration::from_secs(2) }
    }
}

/// How payouts are made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Payouts {
    /// What is kept for the ledger's fees.
    pub float: u64,
    /// Time for finality and retries, beside the longest wait.
    #[serde(with = "span")]
    pub margin: Duration,
    /// How far ahead dates may lie.
    #[serde(with = "span")]
    pub horizon: Duration,
    /// Life of a transaction in blocks.
    pub period: u32,
}

/// How much of anything there may be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Orders.
    pub orders_max: usize,
    /// Unfunded orders of one payer.
    pub client_orders_max: usize,
    /// Unfunded orders of one mixer that nobody vouches for.
    pub peer_orders_max: usize,
    /// Unfunded orders of one vouched mixer.
    pub vouched_orders_max: usize,
    /// Payments that wait to be returned, and as many unclaimed ones.
    pub returns_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            orders_max: 100_000,
            client_orders_max: 16,
            peer_orders_max: 1_000,
            vouched_orders_max: 10_000,
            returns_max: 10_000,
        }
    }
}

/// Where a ledger answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LedgerServer {
    /// The address it listens at.
    pub bind_host: IpAddr,
    /// The port it listens at.
    pub bind_port: u16,
    /// The time between blocks, at least 20 ms.
    #[serde(with = "span")]
    pub block_time: Duration,
}

/// What a ledger begins with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenesisConfig {
    /// The currency's name.
    pub currency: String,
    /// Seconds since 1970.
    pub time: u64,
    /// No account holds less and lives.
    pub existential_deposit: u64,
    /// What a transaction costs.
    pub fee: u64,
    /// How many blocks lie above the newest final one.
    pub finality_lag: u64,
    /// Members of the web of trust.
    #[serde(default)]
    pub members: Vec<String>,
}

/// How a wallet pays.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Pay {
    /// Mixers on each route, 2 to 5.
    pub hops: usize,
    /// Over how long the parts of a payment are spread.
    #[serde(with = "span")]
    pub within: Duration,
    /// Whether mixers for whom no member answers may be asked.
    pub unvouched: bool,
    /// From the request to the deposit's latest time, at least.
    #[serde(with = "span")]
    pub deposit: Duration,
    /// For finality and retries at each hop.
    #[serde(with = "span")]
    pub margin: Duration,
    /// Dates are multiples of this.
    #[serde(with = "span")]
    pub step: Duration,
    /// Between two questions for the promises.
    #[serde(with = "span")]
    pub poll: Duration,
    /// How long promises are awaited before another route is tried.
    #[serde(with = "span")]
    pub patience: Duration,
    /// Life of a deposit's transaction in blocks.
    pub period: u32,
}

impl Default for Pay {
    fn default() -> Self {
        Self {
            hops: 3,
            within: Duration::from_secs(3600),
            unvouched: false,
            deposit: Duration::from_secs(15 * 60),
            margin: Duration::from_secs(15 * 60),
            step: Duration::from_secs(60),
            poll: Duration::from_secs(2),
            patience: Duration::from_secs(2 * 60),
            period: 64,
        }
    }
}

impl Pay {
    fn check(&self) -> Result<(), String> {
        let hops = route::HOPS_MIN..=onion::HOPS_MAX;
        if !hops.contains(&self.hops) {
            return Err(format!("pay.hops must be {} to {}", hops.start(), hops.end()));
        }
        if !(1..=PERIOD_MAX).contains(&self.period) {
            return Err(format!("pay.period must be 1 to {PERIOD_MAX} blocks"));
        }
        let whole = |span: Duration| span >= Duration::from_secs(1);
        if !(whole(self.deposit) && whole(self.margin) && whole(self.step)) {
            return Err("pay.deposit, pay.margin and pay.step must be at least \"1s\"".into());
        }
        if self.poll.is_zero() || self.within > WITHIN_MAX {
            return Err("pay.poll must be above 0, pay.within at most \"30days\"".into());
        }
        Ok(())
    }
}

/// The longest time over which the parts of a payment are spread.
pub const WITHIN_MAX: Duration = Duration::from_secs(30 * 86_400);

impl MixerConfig {
    fn check(&self) -> Result<(), String> {
        let server = &self.server;
        if server.bind_port == 0 || server.public_port == 0 {
            return Err("server.bind_port and server.public_port must be 1 to 65535".into());
        }
        if !(1..=PERIOD_MAX).contains(&self.payouts.period) {
            return Err(format!("payouts.period must be 1 to {PERIOD_MAX} blocks"));
        }
        crate::network::strategy(&self.mixing.strategy)?;
        Ok(())
    }
}
