//! What goes over HTTP between the embedded ledger and its clients, as JSON.
//!
//! Accounts are base58, hashes and references hex; amounts, heights and slots are numbers of up to 64
//! bits; times are milliseconds since 1970.
//!
//! What always holds: what is read here is checked for form; whether it is true is the ledger's word.

use std::time::Duration;

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use money::{Account, Amount, LedgerTime, Place, Reference, Slot, Transfer};
use serde::{Deserialize, Serialize};

use crate::{About, AccountBlock, BlockName, Error, SpentSlot};

/// `GET /about`: what does not change.
#[derive(Serialize, Deserialize)]
pub(crate) struct AboutSays {
    pub(crate) genesis: String,
    pub(crate) currency: String,
    pub(crate) existential_deposit: u64,
    pub(crate) fee: u64,
    pub(crate) finality_lag: u64,
    pub(crate) block_time_ms: u64,
}

/// `GET /head`.
#[derive(Serialize, Deserialize)]
pub(crate) struct Head {
    pub(crate) genesis: String,
    pub(crate) head: Name,
    #[serde(rename = "final")]
    pub(crate) settled: Name,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Name {
    pub(crate) height: u64,
    pub(crate) hash: String,
    pub(crate) time: u64,
}

/// `GET /account/ADDRESS`: at the newest final block.
#[derive(Serialize, Deserialize)]
pub(crate) struct AccountSays {
    pub(crate) free: u64,
    pub(crate) slot: u64,
    pub(crate) member: bool,
}

/// How long to wait for a block, in milliseconds.
#[derive(Deserialize)]
pub(crate) struct Wait {
    #[serde(default)]
    pub(crate) wait: u64,
}

/// `GET /blocks/FROM/ADDRESS`.
#[derive(Serialize, Deserialize)]
pub(crate) struct BlocksSay {
    pub(crate) genesis: String,
    pub(crate) blocks: Vec<BlockSays>,
}

/// One of them.
#[derive(Serialize, Deserialize)]
pub(crate) struct BlockSays {
    pub(crate) height: u64,
    pub(crate) time: u64,
    pub(crate) newest: u64,
    pub(crate) received: Vec<TransferSays>,
    pub(crate) spent: Vec<SpentSays>,
    pub(crate) free: u64,
    pub(crate) slot: u64,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct SpentSays {
    pub(crate) slot: u64,
    pub(crate) done: bool,
    pub(crate) transfers: Vec<TransferSays>,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct TransferSays {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) amount: u64,
    pub(crate) reference: Option<String>,
    pub(crate) block: u64,
    pub(crate) extrinsic: u32,
    pub(crate) event: u32,
}

/// `POST /transaction` and `POST /faucet/ADDRESS/AMOUNT`.
#[derive(Serialize, Deserialize)]
pub(crate) struct Taken {
    pub(crate) hash: Option<String>,
}

/// Every refusal.
#[derive(Serialize, Deserialize)]
pub(crate) struct RefusalSays {
    pub(crate) error: String,
    pub(crate) message: String,
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    HEXLOWER.encode(bytes)
}

pub(crate) fn unhex(text: &str) -> Result<Vec<u8>, Error> {
    HEXLOWER_PERMISSIVE.decode(text.as_bytes()).map_err(|_| Error::Unreadable)
}

fn hash(text: &str) -> Result<[u8; 32], Error> {
    unhex(text)?.try_into().map_err(|_| Error::Unreadable)
}

impl AboutSays {
    pub(crate) fn read(self) -> Result<About, Error> {
        Ok(About {
            genesis: hash(&self.genesis)?,
            currency: self.currency,
            existential_deposit: Amount::from_units(self.existential_deposit),
            fee: Amount::from_units(self.fee),
            finality_lag: self.finality_lag,
            block_time: Duration::from_millis(self.block_time_ms),
        })
    }
}

impl Head {
    /// The ledger's name and its newest final block.
    pub(crate) fn read(&self) -> Result<([u8; 32], BlockName), Error> {
        let Name { height, hash: text, time } = &self.settled;
        let time = LedgerTime::from_millis(*time);
        Ok((hash(&self.genesis)?, BlockName { height: *height, hash: hash(text)?, time }))
    }
}

impl BlocksSay {
    /// The ledger's name and the blocks.
    pub(crate) fn read(self) -> Result<([u8; 32], Vec<AccountBlock>), Error> {
        let blocks = self.blocks.into_iter().map(BlockSays::read).collect::<Result<_, _>>()?;
        Ok((hash(&self.genesis)?, blocks))
    }
}

impl BlockSays {
    pub(crate) fn of(block: &AccountBlock) -> Self {
        let all = |transfers: &[Transfer]| transfers.iter().map(TransferSays::of).collect();
        let spent = |spent: &SpentSlot| SpentSays {
            slot: spent.slot.0,
            done: spent.done,
            transfers: all(&spent.transfers),
        };
        Self {
            height: block.height,
            time: block.time.as_millis(),
            newest: block.newest,
            received: all(&block.received),
            spent: block.spent.iter().map(spent).collect(),
            free: block.free.units(),
            slot: block.slot.0,
        }
    }

    fn read(self) -> Result<AccountBlock, Error> {
        let all = |list: Vec<TransferSays>| -> Result<Vec<Transfer>, Error> {
            list.into_iter().map(TransferSays::read).collect()
        };
        let spent = |spent: SpentSays| -> Result<SpentSlot, Error> {
            let transfers = all(spent.transfers)?;
            Ok(SpentSlot { slot: Slot(spent.slot), done: spent.done, transfers })
        };
        Ok(AccountBlock {
            height: self.height,
            time: LedgerTime::from_millis(self.time),
            newest: self.newest,
            received: all(self.received)?,
            spent: self.spent.into_iter().map(spent).collect::<Result<_, _>>()?,
            free: Amount::from_units(self.free),
            slot: Slot(self.slot),
        })
    }
}

impl TransferSays {
    fn of(transfer: &Transfer) -> Self {
        let Place { block, extrinsic, event } = transfer.place;
        Self {
            from: transfer.from.to_string(),
            to: transfer.to.to_string(),
            amount: transfer.amount.units(),
            reference: transfer.reference.as_ref().map(|text| hex(text.as_bytes())),
            block,
            extrinsic,
            event,
        }
    }

    fn read(self) -> Result<Transfer, Error> {
        let account = |text: &str| text.parse::<Account>().map_err(|_| Error::Unreadable);
        let reference = |text: String| Reference::new(&unhex(&text)?).ok_or(Error::Unreadable);
        let Self { block, extrinsic, event, .. } = self;
        Ok(Transfer {
            from: account(&self.from)?,
            to: account(&self.to)?,
            amount: Amount::from_units(self.amount),
            reference: self.reference.map(reference).transpose()?,
            place: Place { block, extrinsic, event },
        })
    }
}
