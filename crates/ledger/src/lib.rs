//! Connections to ledgers. Here and nowhere else is known how a ledger is reached.
//!
//! ```text
//! program ─► Connection ─► embedded::Client ─► HTTP ─► server::router ─► money::Ledger
//!                                                         │ block timer ─► file of final blocks
//! ```
//! What always holds: what a connection says of a block was final there; a transaction is signed only
//! from blocks that are final. Absent: what transfers mean (crate `payment`), and ledgers other than
//! the embedded one; [`Connection`] has room for them.

pub mod embedded;
pub mod file;
pub mod http;
pub mod server;
pub mod wire;

use std::fmt;
use std::time::Duration;

use money::embedded::AccountState;
use money::{Account, AccountKey, Amount, LedgerTime, Reference, Slot, Transfer};

/// A way to a ledger.
pub enum Connection {
    /// The embedded ledger, over HTTP.
    Embedded(embedded::Client),
}

/// What a ledger is, once and for all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// The hash of the genesis block.
    pub genesis: [u8; 32],
    /// The currency's name.
    pub currency: String,
    /// No account holds less and lives.
    pub existential_deposit: Amount,
    /// What a transaction costs its sender at most.
    pub fee: Amount,
    /// How many blocks lie above the newest final one.
    pub finality_lag: u64,
    /// The usual time between blocks.
    pub block_time: Duration,
}

/// A block by name and time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockName {
    /// Its height.
    pub height: u64,
    /// Its hash.
    pub hash: [u8; 32],
    /// Its time.
    pub time: LedgerTime,
}

/// What a final block means for one account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountBlock {
    /// Its height.
    pub height: u64,
    /// Its time.
    pub time: LedgerTime,
    /// Height of the newest final block.
    pub newest: u64,
    /// Payments to the account from others, in ledger order.
    pub received: Vec<Transfer>,
    /// The account's own transactions, in ledger order.
    pub spent: Vec<SpentSlot>,
    /// What the account holds after the newest final block.
    pub free: Amount,
    /// Its first unspent slot after the newest final block.
    pub slot: Slot,
}

/// One of the account's own transactions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpentSlot {
    /// The slot it used up.
    pub slot: Slot,
    /// Whether its calls happened.
    pub done: bool,
    /// The payments it made.
    pub transfers: Vec<Transfer>,
}

/// A payment to be signed, or nothing but a slot to be used up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// The slot.
    pub slot: Slot,
    /// To whom, how much, with which reference.
    pub payment: Option<(Account, Amount, Reference)>,
    /// Life in blocks, from the newest final one.
    pub period: u32,
}

/// A signed transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedOrder {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// The last block it can stand in.
    pub last: u64,
}

impl Connection {
    /// What this ledger is.
    pub fn about(&self) -> &About {
        match self {
            Self::Embedded(client) => client.about(),
        }
    }

    /// The newest final block.
    ///
    /// # Errors
    /// [`Error`], here and below: the ledger is out of reach or answers what it must not.
    pub async fn final_head(&self) -> Result<BlockName, Error> {
        match self {
            Self::Embedded(client) => client.final_head().await,
        }
    }

    /// An account at the newest final block.
    ///
    /// # Errors
    /// As [`Self::final_head`].
    pub async fn account(&self, account: &Account) -> Result<AccountState, Error> {
        match self {
            Self::Embedded(client) => client.account(account).await,
        }
    }

    /// Whether an account is a member at the newest final block.
    ///
    /// # Errors
    /// As [`Self::final_head`].
    pub async fn is_member(&self, account: &Account) -> Result<bool, Error> {
        match self {
            Self::Embedded(client) => client.is_member(account).await,
        }
    }

    /// What final blocks from a height on mean for an account, one by one; waits up to `wait` for the
    /// first, and gives none if none has become final by then.
    ///
    /// # Errors
    /// As [`Self::final_head`].
    pub async fn blocks(
        &self,
        from: u64,
        account: &Account,
        wait: Duration,
    ) -> Result<Vec<AccountBlock>, Error> {
        match self {
            Self::Embedded(client) => client.blocks(from, account, wait).await,
        }
    }

    /// Signs a payment for its slot. The sender's account is kept alive.
    ///
    /// # Errors
    /// As [`Self::final_head`].
    pub async fn sign(&self, key: &AccountKey, order: &Order) -> Result<SignedOrder, Error> {
        match self {
            Self::Embedded(client) => client.sign(key, order).await,
        }
    }

    /// Sends a signed transaction.
    ///
    /// # Errors
    /// As [`Self::final_head`], and [`Error::Refused`] with the ledger's word.
    pub async fn submit(&self, bytes: &[u8]) -> Result<(), Error> {
        match self {
            Self::Embedded(client) => client.submit(bytes).await,
        }
    }
}

/// Why a ledger did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// Not reached, or out of time.
    Unreachable,
    /// It refused, in its own words.
    Refused(String),
    /// Its answer is not of the form it must have, or too long.
    Unreadable,
    /// It is another ledger than the one this connection began with.
    OtherLedger,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable => f.write_str("the ledger is out of reach"),
            Self::Refused(why) => write!(f, "the ledger refused: {why}"),
            Self::Unreadable => f.write_str("the ledger's answer cannot be read"),
            Self::OtherLedger => f.write_str("this is another ledger than before"),
        }
    }
}

impl std::error::Error for Error {}
