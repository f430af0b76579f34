//! The ledger, as the payments' cores see it: final blocks one by one, and payments signed for a slot.
//!
//! What always holds: it is the currency that the folder was made for; what a core is shown was final.

use std::time::Duration;

use data_encoding::HEXLOWER_PERMISSIVE;
use ledger::{AccountBlock, Connection, Order};
use money::{Account, AccountKey, Slot};
use payment::document::Currency;
use payment::effect::{FinalBlock, Payment, Spent};

use super::client::Client;
use super::config::LedgerLink;
use crate::Error;

/// A connection to the ledger of one folder.
pub struct Chain {
    connection: Connection,
    url: String,
}

/// How long a question for the next block waits for it.
const WAIT: Duration = Duration::from_secs(20);

/// The currency that a folder was made for.
///
/// # Errors
/// When `ledger.genesis` is no hash.
pub fn currency(link: &LedgerLink) -> Result<Currency, Error> {
    let hash = HEXLOWER_PERMISSIVE.decode(link.genesis.as_bytes()).ok();
    let hash = hash.and_then(|hash| hash.try_into().ok()).ok_or_else(|| {
        Error::Usage(format!("ledger.genesis = {:?} is not 64 hexadecimal digits", link.genesis))
    })?;
    Ok(Currency::Genesis(hash))
}

impl Chain {
    /// Connects to the ledger of a folder.
    ///
    /// # Errors
    /// When it is out of reach, or another currency's.
    pub async fn connect(link: &LedgerLink, client: &Client) -> Result<Self, Error> {
        let url = link.url.clone();
        let failed = |why| Error::Ledger { url: url.clone(), why };
        let http = client.for_ledger(&url).map_err(|_| failed(ledger::Error::Unreachable))?;
        let connected = ledger::embedded::Client::connect_with(http, &url).await;
        let chain = Self { connection: Connection::Embedded(connected.map_err(failed)?), url };
        match Currency::Genesis(chain.connection.about().genesis) == currency(link)? {
            true => Ok(chain),
            false => Err(chain.failed(ledger::Error::OtherLedger)),
        }
    }

    /// As [`Self::connect`], again and again while the ledger is out of reach; says so once.
    ///
    /// # Errors
    /// As there, but for being out of reach.
    pub async fn await_connection(link: &LedgerLink, client: &Client) -> Result<Self, Error> {
        let mut said = false;
        loop {
            match Self::connect(link, client).await {
                Err(Error::Ledger { url, why: ledger::Error::Unreachable }) => {
                    if !said {
                        crate::log::warning(format_args!("{url}: no ledger answers; still trying"));
                        said = true;
                    }
                    tokio::time::sleep(RETRY).await;
                }
                outcome => return outcome,
            }
        }
    }

    /// What this ledger is.
    pub fn about(&self) -> &ledger::About {
        self.connection.about()
    }

    /// The ledger itself, for questions that no core asks.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The height of the newest final block.
    ///
    /// # Errors
    /// [`Error::Ledger`].
    pub async fn height(&self) -> Result<u64, Error> {
        let head = self.connection.final_head().await;
        head.map(|head| head.height).map_err(|why| self.failed(why))
    }

    /// The final blocks from a height on, as they are for an account; waits a while for the first.
    ///
    /// # Errors
    /// [`Error::Ledger`].
    pub async fn blocks(&self, from: u64, account: &Account) -> Result<Vec<FinalBlock>, Error> {
        let blocks = self.connection.blocks(from, account, WAIT).await;
        Ok(blocks.map_err(|why| self.failed(why))?.into_iter().map(seen).collect())
    }

    /// Signs a payment for its slot, or an empty remark: its bytes, and the last block it can stand in.
    ///
    /// # Errors
    /// [`Error::Ledger`].
    pub async fn sign(
        &self,
        key: &AccountKey,
        slot: Slot,
        payment: Option<Payment>,
        period: u32,
    ) -> Result<(Vec<u8>, u64), Error> {
        let payment = payment.map(|p| (p.to, p.amount, p.reference));
        let signed = self.connection.sign(key, &Order { slot, payment, period }).await;
        let signed = signed.map_err(|why| self.failed(why))?;
        Ok((signed.bytes, signed.last))
    }

    /// Sends a signed transaction.
    ///
    /// # Errors
    /// [`Error::Ledger`]. Whether it was taken, the final chain alone tells.
    pub async fn submit(&self, bytes: &[u8]) -> Result<(), Error> {
        self.connection.submit(bytes).await.map_err(|why| self.failed(why))
    }

    /// Waits before another try.
    pub async fn pause(&self) {
        tokio::time::sleep(RETRY.min(self.about().block_time)).await;
    }

    /// An error of this ledger's.
    pub fn failed(&self, why: ledger::Error) -> Error {
        Error::Ledger { url: self.url.clone(), why }
    }
}

const RETRY: Duration = Duration::from_secs(2);

fn seen(block: AccountBlock) -> FinalBlock {
    let spent = |spent: ledger::SpentSlot| Spent {
        slot: spent.slot,
        done: spent.done,
        transfers: spent.transfers,
    };
    FinalBlock {
        height: block.height,
        time: block.time,
        newest: block.newest,
        received: block.received,
        spent: block.spent.into_iter().map(spent).collect(),
        balance: block.free,
        slot: block.slot,
    }
}
