//! The payments: mixers, payers and the embedded ledger, joined to disk, network and ledger.
//!
//! ```text
//! config, keys   a folder's settings and its key       store   what must outlive a crash
//! client         commands to mixers, sealed, through a proxy
//! chain          the ledger: final blocks, signatures   peer_file   mixers in a file
//! ```
//! What a promise is, is not known here: `payment` says what to save, say and sign, in which order, and
//! this module does it in that order.

pub mod chain;
pub mod client;
pub mod config;
pub mod keys;
pub mod peer_file;
pub mod store;
