//! The program: the chain's pure cores on real sockets.
//!
//! ```text
//! command/   what a person types           config, key, network, folder, local: what is on disk
//! node       one running node              drive/   the loop that joins sockets to a core
//! udp, socks, raw, forward, http, resolve: one file per outside thing
//! clock      the only clock                figures  what a node publishes about itself
//! ```
//!
//! A node is one thread that owns its sockets and its core (`drive`), beside a control plane that
//! cells never meet: signals, SOCKS connections, names, the page of figures. What a cell is, is not
//! known here: `datagram` says what to send, and this crate sends it.

pub mod clock;
pub mod command;
pub mod config;
pub mod drive;
mod error;
pub mod figures;
pub mod folder;
pub mod forward;
pub mod http;
pub mod key;
pub mod local;
pub mod log;
pub mod network;
pub mod node;
pub mod payments;
pub mod raw;
mod resolve;
pub mod socks;
pub mod survey;
mod table;
pub mod udp;

pub use error::Error;
