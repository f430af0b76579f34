//! How a new mixer or wallet finds mixers, and which way it reaches them.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::Error;
use crate::payments::config::{Client, PeersConfig};
use crate::payments::peer_file;

#[derive(Args)]
pub(super) struct ReachArguments {
    /// A peer info file: mixers that are known at first; may be given again
    #[arg(long, value_name = "FILE")]
    pub(super) peers: Vec<PathBuf>,
    /// Ask this mixer who it is and whom it knows; may be given again
    #[arg(long, value_name = "HOST:PORT")]
    ask_mixer: Vec<String>,
    /// Believe mixers at addresses inside a network: for tests and private networks
    #[arg(long)]
    inside: bool,
    /// A SOCKS5 proxy, such as 127.0.0.1:9050 for Tor
    #[arg(long, value_name = "HOST:PORT", default_value = "")]
    proxy: String,
    /// Use the proxy for onion services only
    #[arg(long, requires = "proxy")]
    proxy_onion_only: bool,
}

impl ReachArguments {
    /// The way to others.
    pub(super) fn client(&self) -> Client {
        Client {
            proxy: self.proxy.clone(),
            proxy_onion_only: self.proxy_onion_only,
            ..Client::default()
        }
    }

    /// Who is known at first. All is read before anything is made: a wrong path is the commonest mistake.
    pub(super) fn settings(&self) -> Result<PeersConfig, Error> {
        for file in &self.peers {
            peer_file::read(file)?;
        }
        for host in &self.ask_mixer {
            peer_file::host(host)?;
        }
        Ok(PeersConfig {
            files: self.peers.iter().map(|file| absolute(file)).collect::<Result<_, _>>()?,
            hosts: self.ask_mixer.clone(),
            inside: self.inside,
            identity: PathBuf::new(),
        })
    }
}

/// A path that holds wherever the program is started.
pub(super) fn absolute(path: &Path) -> Result<PathBuf, Error> {
    std::path::absolute(path).map_err(|why| Error::read(path, why, "name a file"))
}
