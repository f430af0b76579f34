//! Commands to mixers over HTTP: sealed, and through a proxy where the settings say so.
//!
//! ```text
//! Command ─► path, body ─► seal to the mixer's enckey ─► POST /sealed ─► open ─► Answer
//! ```
//! What always holds: every command to a mixer that is known goes sealed, in one size; with a proxy no
//! name is resolved here; an onion service is never asked without one; an answer is read up to
//! [`ANSWER_SIZE_MAX`].

use std::sync::Mutex;

use ::ledger::http::{Bounds, Http};
use mixing::Chance;
use money::Account;
use payment::command::{self, REPLY_SIZE};
use payment::document::{Currency, Host, PeerInfo};
use payment::effect::{Answer, Command, Unheard, is_passing};
use payment::ubjson::Value;

use super::{config, peer_file};
use crate::Error;

/// Reaches mixers.
pub struct Client {
    currency: Currency,
    direct: Http,
    proxied: Option<Http>,
    bounds: Bounds,
    onion_only: bool,
    chance: Mutex<Chance>,
}

/// The longest answer that is read, in bytes: a list of all peers.
pub const ANSWER_SIZE_MAX: usize = 16 * 1024 * 1024;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Silence {
    /// Not reached, or out of time.
    #[error("not reached")]
    Unreached,
    /// An onion service, and no proxy.
    #[error("an onion service is reached through Tor only: set client.proxy")]
    NoProxy,
    /// What came is no answer, or not from who holds the key.
    #[error("the answer is not from this mixer")]
    Forged,
    /// It could not or would not open the envelope: its key may be a newer one, or it is busy.
    #[error("the envelope was not opened (status {0})")]
    Unopened(u16),
    /// It refused.
    #[error("{message} ({word})")]
    Refused {
        /// The status.
        status: u16,
        /// The refusal's name.
        word: String,
        /// Its sentence.
        message: String,
    },
}

impl Silence {
    /// What a core is told of it.
    pub fn unheard(&self) -> Unheard {
        match self {
            Self::Refused { status, .. } if !is_passing(*status) => Unheard::Refused,
            Self::Refused { .. }
            | Self::Unreached
            | Self::NoProxy
            | Self::Forged
            | Self::Unopened(_) => Unheard::Unreachable,
        }
    }
}

impl Client {
    /// A client with these settings.
    ///
    /// # Errors
    /// When the proxy's address is none.
    pub fn new(settings: &config::Client, currency: Currency) -> Result<Self, Error> {
        let proxied = match settings.proxy.as_str() {
            "" => None,
            address => Some(through(address)?),
        };
        let bounds = Bounds { time: settings.time_out, size: ANSWER_SIZE_MAX };
        let chance = Mutex::new(Chance::new(crate::key::random()?));
        let onion_only = settings.proxy_onion_only;
        Ok(Self { currency, direct: Http::direct(), proxied, bounds, onion_only, chance })
    }

    /// The currency whose mixers it reaches.
    pub fn currency(&self) -> &Currency {
        &self.currency
    }

    /// The way to a ledger at `url`: through the proxy, unless the ledger is on this machine or the proxy
    /// is for onion services only.
    ///
    /// # Errors
    /// [`Silence`].
    pub fn for_ledger(&self, url: &str) -> Result<Http, Silence> {
        let parsed: hyper::Uri = url.parse().map_err(|_| Silence::Unreached)?;
        let host = parsed.host().unwrap_or_default();
        match payment::peers::is_inside(host) {
            true => Ok(self.direct.clone()),
            false => self.http(host).cloned(),
        }
    }

    /// Sends a sealed command and opens the answered map.
    ///
    /// # Errors
    /// [`Silence`].
    pub async fn sealed(&self, to: &PeerInfo, path: &str, body: &[u8]) -> Result<Value, Silence> {
        let (sealed, key) = {
            let mut chance = self.chance.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            command::seal(path, body, &to.enckey, &mut chance)
        };
        let (status, answer) = self.post(&to.host, "/sealed", sealed).await?;
        if status != 200 {
            return Err(Silence::Unopened(status));
        }
        if answer.len() != REPLY_SIZE {
            return Err(Silence::Forged);
        }
        let (status, answer) = key.open(&answer).map_err(|_| Silence::Forged)?;
        read(status, &answer)
    }

    /// Sends a command in the clear: to learn of a mixer whose key is not known yet, and of lists that
    /// do not fit into a sealed answer.
    ///
    /// # Errors
    /// [`Silence`].
    pub async fn plain(&self, to: &Host, path: &str) -> Result<Value, Silence> {
        let (status, answer) = self.post(to, path, Vec::new()).await?;
        read(status, &answer)
    }

    /// Asks for a proof that whoever answers has the mixer's keys: only who can open the envelope can
    /// answer it, and the account signed its key.
    ///
    /// # Errors
    /// [`Silence`].
    pub async fn proves(&self, mixer: &PeerInfo) -> Result<(), Silence> {
        let answer = self.sealed(mixer, "/pubkey", &[]).await?;
        let said = peer_file::entry(answer, "pubkey").ok_or(Silence::Forged)?;
        match said == Value::from(mixer.pubkey.to_string().as_str()) {
            true => Ok(()),
            false => Err(Silence::Forged),
        }
    }

    /// Sends a core's command; what came of it is for the core.
    pub async fn ask(
        &self,
        from: &Account,
        to: &PeerInfo,
        command: &Command,
    ) -> Result<Answer, Unheard> {
        self.command(from, to, command).await.map_err(|silence| silence.unheard())
    }

    /// Sends a core's command; for who wants to know why there is no answer.
    ///
    /// # Errors
    /// [`Silence`].
    pub async fn command(
        &self,
        from: &Account,
        to: &PeerInfo,
        command: &Command,
    ) -> Result<Answer, Silence> {
        let path = command.path(&self.currency, from);
        let path = path.map_err(|why| Silence::Refused {
            status: why.status(),
            word: why.word().into(),
            message: why.to_string(),
        })?;
        let answered = self.sealed(to, &path, command.body()).await?;
        Answer::read(answered).map_err(|_| Silence::Forged)
    }

    fn http(&self, host: &str) -> Result<&Http, Silence> {
        let onion = host.trim_end_matches('.').to_ascii_lowercase().ends_with(".onion");
        match &self.proxied {
            Some(proxied) if onion || !self.onion_only => Ok(proxied),
            None if onion => Err(Silence::NoProxy),
            _ => Ok(&self.direct),
        }
    }

    async fn post(&self, to: &Host, path: &str, body: Vec<u8>) -> Result<(u16, Vec<u8>), Silence> {
        let http = self.http(&to.address)?;
        let answered = http.post(&format!("{}{path}", url(to)), body, self.bounds).await;
        answered.map_err(|why| match why {
            ::ledger::Error::Unreadable => Silence::Forged,
            _ => Silence::Unreached,
        })
    }
}

/// Reads an answer: a map, or a refusal.
///
/// # Errors
/// [`Silence::Refused`] with what was said, [`Silence::Forged`] for what is no answer.
pub fn read(status: u16, answer: &[u8]) -> Result<Value, Silence> {
    match status {
        200 => Value::from_bytes(answer).map_err(|_| Silence::Forged),
        _ => Err(refusal(status, answer)),
    }
}

fn refusal(status: u16, answer: &[u8]) -> Silence {
    let said = Value::from_bytes(answer).ok();
    let entries = match said {
        Some(Value::Map(entries)) => entries,
        _ => Vec::new(),
    };
    let text = |name: &str| {
        let found = entries.iter().find(|(key, _)| key == name);
        match found {
            Some((_, Value::Text(text))) => plain(text),
            _ => String::new(),
        }
    };
    Silence::Refused { status, word: text("error"), message: text("message") }
}

/// What a stranger says, to be shown to a person: it must not move the cursor, nor fill the screen.
pub fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}

/// The URL of a host; IPv6 addresses stand in brackets.
fn url(host: &Host) -> String {
    match host.address.parse::<std::net::Ipv6Addr>() {
        Ok(address) => format!("http://[{address}]:{}", host.port),
        Err(_) => format!("http://{}:{}", host.address, host.port),
    }
}

fn through(address: &str) -> Result<Http, Error> {
    let bare = address.trim_start_matches("socks5h://").trim_start_matches("socks5://");
    Http::through(bare).ok_or_else(|| {
        Error::Usage(format!("client.proxy = {address:?} is no address such as \"127.0.0.1:9050\""))
    })
}
