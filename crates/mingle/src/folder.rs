//! Making a node's folder: `config.toml` and, where the role has an identity, its key.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use mixing::keys::Identity;

use crate::config::{self, Config, EntryConfig, ExitConfig, MixConfig, Node, Role};
use crate::{Error, key, network};

/// The settings of a new node: defaults, but for what every node must say of itself.
pub fn settings(role: Role, name: &str, network: &Path, listen: Vec<SocketAddr>) -> Config {
    let name = name.to_owned();
    let figures_every = config::FIGURES_EVERY;
    let node = Node { role, name, network: network.to_owned(), listen, figures_every };
    match role {
        Role::Entry => Config::Entry(EntryConfig {
            node,
            metrics: Default::default(),
            socks: Default::default(),
            raw: Default::default(),
            forwards: Default::default(),
            limits: Default::default(),
        }),
        Role::Mix => Config::Mix(MixConfig {
            node,
            key: Default::default(),
            metrics: Default::default(),
            limits: Default::default(),
        }),
        Role::Exit => Config::Exit(ExitConfig {
            node,
            key: Default::default(),
            metrics: Default::default(),
            outside: Default::default(),
            policy: Default::default(),
            limits: Default::default(),
        }),
    }
}

/// Makes the folder of a node; its new identity, where it has one.
///
/// # Errors
/// When there is something in the folder already, or it cannot be written.
pub fn create(folder: &Path, config: &Config) -> Result<Option<Identity>, Error> {
    make(folder)?;
    let identity = match config {
        Config::Entry(_) => None,
        Config::Mix(MixConfig { key, .. }) | Config::Exit(ExitConfig { key, .. }) => {
            Some(key::create(&folder.join(&key.file))?.identity())
        }
    };
    write(&folder.join(config::FILE), &config.page())?;
    Ok(identity)
}

/// Makes an empty folder that only its owner may enter, or takes one that is empty.
///
/// # Errors
/// When there is something in it already.
pub fn make(folder: &Path) -> Result<(), Error> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true).mode(0o700);
    builder.create(folder).map_err(|why| Error::write(folder, why))?;
    let mut inside = fs::read_dir(folder)
        .map_err(|why| Error::read(folder, why, "name a folder that can be read"))?;
    if inside.next().is_some() {
        return Err(Error::NotEmpty { path: folder.to_owned() });
    }
    Ok(())
}

/// Writes a file that does not exist yet and that only its owner reads.
///
/// # Errors
/// When it exists, or cannot be written.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let mut options = fs::OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(path);
    let written = file.and_then(|mut file| std::io::Write::write_all(&mut file, bytes));
    written.map_err(|why| Error::write(path, why))
}

/// Writes a public network list.
///
/// # Errors
/// When it cannot be written.
pub fn write_network(path: &Path, list: &datagram::network::Network) -> Result<(), Error> {
    let page = network::page(list).map_err(|why| Error::unfit(path, why))?;
    write(path, &page)
}

/// Writes a text that may be read.
///
/// # Errors
/// When it cannot be written.
pub fn write(path: &Path, text: &str) -> Result<(), Error> {
    fs::write(path, text).map_err(|why| Error::write(path, why))
}
