//! The payments: mixers, payers and the embedded ledger, joined to disk, network and ledger.
//!
//! ```text
//! mixer      the loop of one mixer   server  its HTTP side     gossip  whom it knows
//!            asker, signer: its commands to mixers, its transactions
//! control, operator                  the socket that its operator's commands use
//! config, settings, keys             a folder's settings and its key
//! store      what must outlive a crash
//! client     commands to mixers, sealed, through a proxy
//! chain      the ledger: final blocks, signatures
//! ledger     the embedded ledger as a process
//! wallet, book   a payer's folder and his payments     payer   the loop of one run of `mingle pay`
//! gather     whom he may ask         trail, receipt  what the ledger shows of his parts
//! peer_file, identity, folders       mixers and vouching in files, and where folders are
//! local      a ledger and mixers on one machine, as processes
//! ```
//! What a promise is, is not known here: `payment` says what to save, say and sign, in which order, and
//! this module does it in that order.

mod asker;
pub mod book;
pub mod chain;
pub mod client;
pub mod config;
pub mod control;
pub mod folders;
pub mod gather;
mod gossip;
pub mod identity;
pub mod keys;
pub mod ledger;
pub mod local;
pub mod mixer;
pub mod operator;
pub mod payer;
pub mod peer_file;
pub mod public;
pub mod receipt;
mod server;
pub mod settings;
mod signer;
pub mod store;
pub mod trail;
pub mod wallet;
