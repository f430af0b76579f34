//! `mingle init mix|exit|entry DIR`: a node of the datagrams.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use clap::Args;
use datagram::network::{Node, Role, Tier};
use mixing::keys::Identity;

use crate::config::{self, Config};
use crate::{Error, folder, network};

#[derive(Args)]
pub(in crate::command) struct MixArguments {
    #[command(flatten)]
    pub(super) node: Arguments,
    /// The port of its links
    #[arg(long, default_value_t = 20_001, value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) port: u16,
    /// Its place in chains, 1 to 5
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=5))]
    pub(super) tier: u8,
}

#[derive(Args)]
pub(in crate::command) struct ExitArguments {
    #[command(flatten)]
    pub(super) node: Arguments,
    /// The port of its links
    #[arg(long, default_value_t = 20_001, value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) port: u16,
}

#[derive(Args)]
pub(in crate::command) struct EntryArguments {
    #[command(flatten)]
    pub(super) node: Arguments,
}

#[derive(Args)]
pub(in crate::command) struct Arguments {
    /// A folder that does not exist yet
    folder: PathBuf,
    /// What the network list will call it [default: the folder's name]
    #[arg(long, value_parser = name)]
    name: Option<String>,
}

#[derive(Clone, Copy)]
pub(super) enum RoleName {
    Mix,
    Exit,
    Entry,
}

/// A name for people and for folders.
pub(super) fn name(text: &str) -> Result<String, String> {
    if text.is_empty() || text.contains(['/', '\\']) || text.chars().any(char::is_control) {
        return Err("a name is one word or a few, without slashes".into());
    }
    Ok(text.to_owned())
}

/// What a node is called that nobody named.
pub(super) fn name_of(folder: &Path, name: Option<&String>) -> String {
    match name {
        Some(name) => name.clone(),
        None => folder.file_name().map_or("node".into(), |name| name.to_string_lossy().into()),
    }
}

pub(super) fn perform(
    role_name: RoleName,
    arguments: &Arguments,
    port: u16,
    tier: u8,
) -> Result<(), Error> {
    let folder = &arguments.folder;
    let name = name_of(folder, arguments.name.as_ref());
    let role = match role_name {
        RoleName::Mix => config::Role::Mix,
        RoleName::Exit => config::Role::Exit,
        RoleName::Entry => config::Role::Entry,
    };
    let listen: [SocketAddr; 2] =
        [(Ipv4Addr::UNSPECIFIED, port).into(), (Ipv6Addr::UNSPECIFIED, port).into()];
    let mut config = folder::settings(role, &name, Path::new(network::FILE), listen.into());
    if let Config::Entry(entry) = &mut config {
        entry.socks.listen = vec![(Ipv4Addr::LOCALHOST, SOCKS).into()];
    }
    let page = vec![(Ipv4Addr::LOCALHOST, METRICS).into()];
    match &mut config {
        Config::Entry(entry) => entry.metrics.listen = page,
        Config::Mix(mix) => mix.metrics.listen = page,
        Config::Exit(exit) => exit.metrics.listen = page,
    }
    let identity = folder::create(folder, &config)?;
    let text = match identity {
        None => entry_steps(folder),
        Some(identity) => node_steps(folder, role_name, &name, (port, tier), identity)?,
    };
    crate::command::say(&text);
    Ok(())
}

fn entry_steps(folder: &Path) -> String {
    let shown = folder.display();
    format!(
        "An entry is in {shown}. Next:\n  \
           1. Put the network's list, which who runs the network gives you, at {shown}/{}.\n  \
           2. mingle run {shown}\n  \
           3. Point applications at SOCKS5 127.0.0.1:{SOCKS} (UDP ASSOCIATE), or add forwards in\n     \
              {shown}/{}.\n",
        network::FILE,
        config::FILE,
    )
}

fn node_steps(
    folder: &Path,
    role_name: RoleName,
    name: &str,
    (port, tier): (u16, u8),
    identity: Identity,
) -> Result<String, Error> {
    let shown = folder.display();
    let role = match role_name {
        RoleName::Mix => Role::Mix(Tier::new(tier).ok_or(Error::Usage("a tier is 1 to 5".into()))?),
        RoleName::Exit | RoleName::Entry => Role::Exit,
    };
    let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
    let node = Node { name: name.to_owned(), identity, role, address };
    let lines = network::listed(&node).map_err(Error::Usage)?;
    let lines = lines.replace("0.0.0.0", "PUBLIC-ADDRESS");
    let lines: String = lines.lines().map(|line| format!("       {line}\n")).collect();
    let policy = match role {
        Role::Exit => {
            "  An exit talks to the outside for others: read the pages in docs/ about that first.\n"
        }
        Role::Mix(_) => "",
    };
    Ok(format!(
        "{shown} has a new identity and its settings. Next:\n  \
           1. Put these lines, with the address that others reach this machine at, into the\n     \
              network list, and give the list to all nodes and users:\n\
         {lines}  \
           2. Put the list at {shown}/{}.\n  \
           3. Open UDP port {} in the firewall, towards this machine and away from it.\n  \
           4. mingle run {shown}\n\
         {policy}\
         {shown}/{} is the node's identity: keep it secret and keep a copy.\n",
        network::FILE,
        port,
        config::KEY,
    ))
}

const SOCKS: u16 = 20_100;
const METRICS: u16 = 20_200;
