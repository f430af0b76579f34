//! A node's settings: `config.toml` → checked values, and back.
//!
//! One type per role, because a setting that means nothing to a role has no place in its file. A
//! key that nobody knows is refused, so that a typing mistake is not a silent default.

mod doors;
mod limits;
mod outside;
pub(crate) mod page;
pub mod span;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use datagram::Limits;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::Error;
pub use doors::{Forwards, Raw, Socks};
pub use outside::{Outside, PolicyConfig};

/// What a node's folder says about it.
#[derive(Clone, Debug, PartialEq)]
pub enum Config {
    /// The user's own proxy.
    Entry(EntryConfig),
    /// A mix.
    Mix(MixConfig),
    /// The last hop.
    Exit(ExitConfig),
}

impl Config {
    /// Reads and checks `DIR/config.toml`.
    ///
    /// # Errors
    /// When it is missing, or says something that cannot be.
    pub fn read(folder: &Path) -> Result<Self, Error> {
        let path = folder.join(FILE);
        let remedy = if folder.join(crate::network::FILE).exists() {
            "this is a network's folder: name one of its nodes, such as the folder `entry` in it"
        } else {
            "`mingle init` and `mingle network new` make folders with one in it"
        };
        let text = std::fs::read_to_string(&path).map_err(|why| Error::read(&path, why, remedy))?;
        Self::parse(&text).map_err(|why| Error::unfit(&path, why))
    }

    /// Parses the text of a `config.toml`.
    ///
    /// # Errors
    /// A sentence for the operator.
    pub fn parse(text: &str) -> Result<Self, String> {
        let config = match role(text)? {
            Role::Entry => Config::Entry(toml::from_str(text).map_err(explain)?),
            Role::Mix => Config::Mix(toml::from_str(text).map_err(explain)?),
            Role::Exit => Config::Exit(toml::from_str(text).map_err(explain)?),
        };
        config.check()?;
        Ok(config)
    }

    /// The commented file that `parse` reads back to this very value.
    pub fn page(&self) -> String {
        page::render(self)
    }

    /// What every role has.
    pub fn node(&self) -> &Node {
        match self {
            Config::Entry(config) => &config.node,
            Config::Mix(config) => &config.node,
            Config::Exit(config) => &config.node,
        }
    }

    /// The metrics page.
    pub fn metrics(&self) -> &Metrics {
        match self {
            Config::Entry(config) => &config.metrics,
            Config::Mix(config) => &config.metrics,
            Config::Exit(config) => &config.metrics,
        }
    }

    fn check(&self) -> Result<(), String> {
        let node = self.node();
        if node.name.is_empty() {
            return Err("node.name is empty: give the node the name it has in the list".into());
        }
        if node.listen.is_empty() {
            return Err("node.listen is empty: name at least one address".into());
        }
        if node.figures_every < FIGURES_EVERY_LEAST {
            return Err("node.figures_every is too short: the least is \"100ms\"".into());
        }
        for family in [SocketAddr::is_ipv4, SocketAddr::is_ipv6] {
            if node.listen.iter().filter(|address| family(address)).count() > 1 {
                return Err("node.listen has two addresses of one family: it takes one IPv4 and \
                            one IPv6 address"
                    .into());
            }
        }
        if let Config::Exit(exit) = self {
            exit.outside.check()?;
            exit.policy.core(Vec::new())?;
        }
        Ok(())
    }
}

/// What every role has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// What the node does.
    pub role: Role,
    /// What the network list calls it; an entry is in no list and may be called anything.
    pub name: String,
    /// The network list.
    pub network: PathBuf,
    /// Where links arrive and leave: at most one address of each family.
    pub listen: Vec<SocketAddr>,
    /// How often the published figures change.
    #[serde(with = "span", default = "figures_every")]
    pub figures_every: Duration,
}

/// What a node does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The user's own proxy.
    Entry,
    /// A mix.
    Mix,
    /// The last hop.
    Exit,
}

impl Role {
    /// As in the file.
    pub fn name(self) -> &'static str {
        match self {
            Role::Entry => "entry",
            Role::Mix => "mix",
            Role::Exit => "exit",
        }
    }
}

/// The metrics page.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Metrics {
    /// Where it is; without an address there is none.
    pub listen: Vec<SocketAddr>,
    /// Whether the address may be other than loopback.
    pub allow_public: bool,
}

/// An entry's file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EntryConfig {
    /// What every role has.
    pub node: Node,
    /// The metrics page.
    #[serde(default)]
    pub metrics: Metrics,
    /// SOCKS5.
    #[serde(default)]
    pub socks: Socks,
    /// Datagrams that begin with their destination.
    #[serde(default)]
    pub raw: Raw,
    /// Addresses that stand for one destination.
    #[serde(default)]
    pub forwards: Forwards,
    /// Limits of the core.
    #[serde(default, with = "limits")]
    pub limits: Limits,
}

/// A mix's file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MixConfig {
    /// What every role has.
    pub node: Node,
    /// The identity key.
    #[serde(default)]
    pub key: KeyFile,
    /// The metrics page.
    #[serde(default)]
    pub metrics: Metrics,
    /// Limits of the core.
    #[serde(default, with = "limits")]
    pub limits: Limits,
}

/// An exit's file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExitConfig {
    /// What every role has.
    pub node: Node,
    /// The identity key.
    #[serde(default)]
    pub key: KeyFile,
    /// The metrics page.
    #[serde(default)]
    pub metrics: Metrics,
    /// The sockets towards destinations.
    #[serde(default)]
    pub outside: Outside,
    /// Which destinations are served.
    #[serde(default)]
    pub policy: PolicyConfig,
    /// Limits of the core.
    #[serde(default, with = "limits")]
    pub limits: Limits,
}

/// Where a node's key is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KeyFile {
    /// The file.
    pub file: PathBuf,
}

impl Default for KeyFile {
    fn default() -> Self {
        KeyFile { file: KEY.into() }
    }
}

/// The file in a node's folder.
pub const FILE: &str = "config.toml";
/// The key in a node's folder.
pub const KEY: &str = "identity.key";

/// How often figures change by default (promise 6).
fn figures_every() -> Duration {
    FIGURES_EVERY
}

/// Promise 6: published figures change once a minute.
pub const FIGURES_EVERY: Duration = Duration::from_secs(60);
const FIGURES_EVERY_LEAST: Duration = Duration::from_millis(100);

/// The role in a settings file. It decides which keys exist, so it is read alone first.
pub(crate) fn role<R: DeserializeOwned>(text: &str) -> Result<R, String> {
    #[derive(Deserialize)]
    struct Settings<R> {
        node: Node<R>,
    }
    #[derive(Deserialize)]
    struct Node<R> {
        role: R,
    }
    toml::from_str::<Settings<R>>(text).map(|settings| settings.node.role).map_err(explain)
}

/// What `toml` says shows the line and, for an unknown key, lists those that exist.
pub(crate) fn explain(why: toml::de::Error) -> String {
    let mut text = why.to_string().trim_end().to_owned();
    if text.contains("unknown field") {
        text.push_str("\nA key that is not known is refused so that a typing mistake is noticed.");
    }
    text
}
