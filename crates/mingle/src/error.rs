//! What the operator must repair. Every message says what to do about it.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Why a command ended without doing what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder could not be read.
    #[error("cannot read {path}: {why}; {remedy}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        why: io::Error,
        /// What to do.
        remedy: &'static str,
    },
    /// A file or folder could not be written.
    #[error("cannot write {path}: {why}", path = path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        why: io::Error,
    },
    /// A folder that should be new has something in it.
    #[error("{path} is not empty; name a folder that does not exist yet", path = path.display())]
    NotEmpty {
        /// The folder.
        path: PathBuf,
    },
    /// A file that does not say what it should.
    #[error("{path}: {why}", path = path.display())]
    Unfit {
        /// The file.
        path: PathBuf,
        /// What is wrong with it and what would be right.
        why: String,
    },
    /// A key that others can read.
    #[error(
        "{path} can be read by others (mode {mode:03o}); run `chmod 600 {path}`, and if other people \
         use this machine, make a new key with `mingle init`",
        path = path.display()
    )]
    KeyExposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// An address could not be bound.
    #[error("cannot open {what} at {address}: {why}; {remedy}")]
    Bind {
        /// What it was for.
        what: &'static str,
        /// Where.
        address: SocketAddr,
        /// What the system says.
        why: io::Error,
        /// What to do.
        remedy: &'static str,
    },
    /// The metrics page must not be public by accident.
    #[error(
        "metrics.listen = {address} is not a loopback address: figures about a node are for its \
         operator; use 127.0.0.1, or set metrics.allow_public = true if a firewall guards that port"
    )]
    MetricsPublic {
        /// The configured address.
        address: SocketAddr,
    },
    /// The core refuses its configuration.
    #[error("{path}: {why}", path = path.display())]
    Core {
        /// The file the core's settings come from.
        path: PathBuf,
        /// What the core says.
        why: datagram::network::Error,
    },
    /// The system has no randomness, no epoll, no thread for us.
    #[error("the system refuses {what}: {why}")]
    System {
        /// What was asked for.
        what: &'static str,
        /// What it says.
        why: io::Error,
    },
    /// Another process works in the folder.
    #[error("{path}: another mingle works in this folder; end it first", path = path.display())]
    InUse {
        /// The lock.
        path: PathBuf,
    },
    /// The records cannot be read or written.
    #[error(
        "{path}: {why}; nothing that was promised is lost: see that the disk has room and works, \
         and start again",
        path = path.display()
    )]
    Store {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        why: String,
    },
    /// The ledger does not do what was asked.
    #[error("{url}: {why}")]
    Ledger {
        /// Where it answers.
        url: String,
        /// What it says.
        why: ledger::Error,
    },
    /// A process of a local network ended, or never answered.
    #[error("{name} {what}")]
    Child {
        /// The node.
        name: String,
        /// What happened, with the last it said.
        what: String,
    },
    /// What was asked for was tried and did not succeed.
    #[error("{0}")]
    Failed(String),
    /// The arguments make no sense together.
    #[error("{0}")]
    Usage(String),
}

impl Error {
    /// A file that could not be read, with what to do when it does not exist.
    pub(crate) fn read(path: &Path, why: io::Error, remedy: &'static str) -> Self {
        Error::Read { path: path.to_owned(), why, remedy }
    }

    /// A file that could not be written.
    pub(crate) fn write(path: &Path, why: io::Error) -> Self {
        Error::Write { path: path.to_owned(), why }
    }

    /// A file with the wrong contents.
    pub(crate) fn unfit(path: &Path, why: impl ToString) -> Self {
        Error::Unfit { path: path.to_owned(), why: why.to_string() }
    }

    /// The records failed.
    pub(crate) fn store(path: &Path, why: impl ToString) -> Self {
        Error::Store { path: path.to_owned(), why: why.to_string() }
    }

    /// The system refused something.
    pub(crate) fn system(what: &'static str, why: impl Into<io::Error>) -> Self {
        Error::System { what, why: why.into() }
    }

    /// An address that could not be bound.
    pub(crate) fn bind(what: &'static str, address: SocketAddr, why: io::Error) -> Self {
        let remedy = match why.kind() {
            io::ErrorKind::AddrInUse => "another program uses that port: end it or choose another",
            io::ErrorKind::AddrNotAvailable => "this machine does not have that address",
            io::ErrorKind::PermissionDenied => "choose a port above 1023",
            _ => "choose another address in config.toml",
        };
        Error::Bind { what, address, why, remedy }
    }
}
