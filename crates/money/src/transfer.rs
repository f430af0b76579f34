//! Money that moved, as a ledger shows it: from, to, how much, with what remark, and where it stands.
//!
//! What always holds: a [`Place`] names one transfer of one chain, also where one transaction holds
//! several equal ones. Absent: whether a transfer is final; who hands a `Transfer` on says so.

use std::fmt;

use crate::{Account, Amount};

/// One movement of money, as it stands on a ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// Who paid, and alone signed.
    pub from: Account,
    /// Who got the money.
    pub to: Account,
    /// How much, in the ledger's smallest unit.
    pub amount: Amount,
    /// The remark that belongs to this transfer alone; nothing where the ledger cannot say so.
    pub reference: Option<Reference>,
    /// Where it stands.
    pub place: Place,
}

/// Where a transfer stands on its chain. Ordered as the chain is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Height of the block.
    pub block: u64,
    /// Number of the transaction in the block, from 0.
    pub extrinsic: u32,
    /// Number of the transfer in the block's events, from 0.
    pub event: u32,
}

/// The remark on a transfer: at most [`Reference::SIZE_MAX`] bytes, which need not be text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference(Box<[u8]>);

impl Reference {
    /// The longest remark that is kept, in bytes; the limit of a Duniter v1 comment.
    pub const SIZE_MAX: usize = 255;

    /// Takes a remark, or nothing if it is longer than [`Self::SIZE_MAX`].
    pub fn new(bytes: &[u8]) -> Option<Self> {
        (bytes.len() <= Self::SIZE_MAX).then(|| Self(bytes.into()))
    }

    /// The bytes of the remark.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

/// What an outgoing payment uses up and the ledger lets be used once: the sender's nonce.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub u64);

impl Slot {
    /// The slot after this one.
    ///
    /// # Panics
    /// After 2⁶⁴ − 1 payments.
    pub fn next(self) -> Self {
        Self(self.0.checked_add(1).expect("an account makes fewer than 2^64 payments"))
    }
}

/// A block's time: milliseconds since 1970, UTC. The only clock by which lateness is judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LedgerTime(u64);

impl LedgerTime {
    /// Takes milliseconds since 1970.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Takes whole seconds since 1970, at most what milliseconds can say.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// Milliseconds since 1970.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Whole seconds since 1970, rounded down.
    pub const fn as_secs(self) -> u64 {
        self.0 / 1000
    }
}
