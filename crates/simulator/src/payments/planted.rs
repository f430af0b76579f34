//! Mistakes on purpose: what a broken core, shell or endpoint would do at the seams of the world, so
//! that every check is seen to fail.
//!
//! A mistake wraps what goes into a node and what comes out; the core stays the production one.
//! `tests/payments_planted.rs` plants one after the other and asks which check reports it. What no
//! wrapper can express is a patch in `planted/`.

use mixing::Time;
use money::AccountKey;
use money::embedded::{Ledger, Transaction};
use payment::effect::{Change, Effect, FinalBlock};

/// A mistake. Every method does what is right unless the mistake says otherwise.
pub trait Mistake {
    /// A core wants things done: what its shell does instead.
    fn performs(&mut self, _at: Time, _node: usize, effects: Vec<Effect>) -> Vec<Effect> {
        effects
    }

    /// A node saves: what is stored instead.
    fn saves(&mut self, _at: Time, _node: usize, changes: Vec<Change>) -> Vec<Change> {
        changes
    }

    /// A node begins again: whether what it finds on its disk is given to its core.
    fn finds(&mut self, _at: Time, _node: usize, _key: &[u8], _record: &[u8]) -> bool {
        true
    }

    /// A payment is about to be signed: what is signed instead.
    fn signs(&mut self, _at: Time, _node: usize, _transaction: &mut Transaction) {}

    /// A node's endpoint shows a final block: what it shows instead.
    fn shows(&mut self, _at: Time, _node: usize, _block: &mut FinalBlock) {}

    /// A block is about to be built: what somebody does beforehand, with any account's key.
    fn builds(&mut self, _at: Time, _ledger: &mut Ledger, _key: &dyn Fn(usize) -> AccountKey) {}

    /// What a node sends: what leaves instead.
    fn sends(&mut self, _at: Time, _from: usize, _to: usize, bytes: Vec<u8>) -> Vec<u8> {
        bytes
    }
}
