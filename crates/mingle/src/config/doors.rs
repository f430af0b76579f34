//! An entry's doors: where applications come in.

use std::net::SocketAddr;
use std::time::Duration;

use datagram::network::Class;
use serde::{Deserialize, Serialize};

use super::span;
use crate::forward::Forward;

/// The SOCKS5 door.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Socks {
    /// Where applications reach it.
    pub listen: Vec<SocketAddr>,
    /// The class of its channels.
    #[serde(with = "ClassName")]
    pub class: Class,
    /// One channel per destination instead of one per association.
    pub channel_per_destination: bool,
    /// With `channel_per_destination`: destinations of one association at one time; the quietest make
    /// room for others.
    pub destinations_max: usize,
    /// TCP connections, and so associations, at one time.
    pub connections_max: usize,
    /// How long a client may take to say what it wants.
    #[serde(with = "span")]
    pub handshake: Duration,
}

impl Default for Socks {
    fn default() -> Self {
        Socks {
            listen: Vec::new(),
            class: Class::Large,
            channel_per_destination: false,
            destinations_max: 256,
            connections_max: 1024,
            handshake: Duration::from_secs(10),
        }
    }
}

/// The raw door.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Raw {
    /// Where applications reach it.
    pub listen: Vec<SocketAddr>,
    /// The class of its channels.
    #[serde(with = "ClassName")]
    pub class: Class,
}

impl Default for Raw {
    fn default() -> Self {
        Raw { listen: Vec::new(), class: Class::Large }
    }
}

/// The forwards, and what they share with raw.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Forwards {
    /// `LISTEN=DEST` or `LISTEN=DEST,CLASS` each.
    pub list: Vec<Forward>,
    /// After how long without a datagram a source of raw or of a forward is forgotten.
    #[serde(with = "span")]
    pub source_idle: Duration,
    /// Sources of raw and forwards at one time.
    pub sources_max: usize,
}

impl Default for Forwards {
    fn default() -> Self {
        Forwards { list: Vec::new(), source_idle: Duration::from_secs(180), sources_max: 4096 }
    }
}

/// A class, as files spell it.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Class", rename_all = "lowercase")]
enum ClassName {
    Small,
    Large,
}
