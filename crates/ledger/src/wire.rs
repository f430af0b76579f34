//! What goes over HTTP between the embedded ledger and its clients, as JSON.
//!
//! Accounts are base58, hashes and references hex; times are milliseconds since 1970.
//!
//! What always holds: what is read here has its form, no number in it passes [`NUMBER_MAX`], and what a
//! block says is of that block and of the account that was asked about. Whether it is true is the
//! ledger's word.

use std::time::Duration;

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use money::embedded::{AccountState, MONEY_MAX};
use money::{Account, Amount, LedgerTime, Place, Reference, Slot, Transfer};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{About, AccountBlock, BlockName, Error, SpentSlot};

/// An answer as it came: its status and its body.
pub type Answered = (u16, Vec<u8>);

/// The largest number that is read: what is added to one still fits into a document's number.
pub const NUMBER_MAX: u64 = MONEY_MAX.units();

/// The longest name of a currency that is read, in bytes.
pub const CURRENCY_MAX: usize = 255;

/// The longest word of a refusal that is passed on, in letters.
const WORD_MAX: usize = 200;

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

/// Reads the answer of `GET /about`.
///
/// # Errors
/// Here and below: [`Error::Refused`] with the ledger's word, [`Error::Unreadable`].
pub fn about(answered: &Answered) -> Result<About, Error> {
    let says: AboutSays = read(answered)?;
    let speaks = says.currency.chars().all(|letter| !letter.is_control());
    if says.currency.len() > CURRENCY_MAX || !speaks {
        return Err(Error::Unreadable);
    }
    Ok(About {
        genesis: hash(&says.genesis)?,
        currency: says.currency,
        existential_deposit: amount(says.existential_deposit)?,
        fee: amount(says.fee)?,
        finality_lag: number(says.finality_lag)?,
        block_time: Duration::from_millis(number(says.block_time_ms)?),
    })
}

/// Reads the answer of `GET /head`: the newest final block of the ledger with this genesis.
///
/// # Errors
/// [`Error::OtherLedger`], and as [`about`].
pub fn final_head(answered: &Answered, genesis: &[u8; 32]) -> Result<BlockName, Error> {
    let says: Head = read(answered)?;
    is_of(&says.genesis, genesis)?;
    let Name { height, hash: text, time } = &says.settled;
    let time = LedgerTime::from_millis(number(*time)?);
    Ok(BlockName { height: number(*height)?, hash: hash(text)?, time })
}

/// Reads the answer of `GET /account/ADDRESS`: what the account holds, and whether it is a member.
///
/// # Errors
/// As [`about`].
pub fn account(answered: &Answered) -> Result<(AccountState, bool), Error> {
    let AccountSays { free, slot: next, member } = read(answered)?;
    Ok((AccountState { free: amount(free)?, slot: slot(next)? }, member))
}

/// Reads the answer of `GET /blocks/FROM/ADDRESS` of the ledger with this genesis.
///
/// # Errors
/// As [`final_head`].
pub fn blocks(
    answered: &Answered,
    genesis: &[u8; 32],
    from: u64,
    account: &Account,
) -> Result<Vec<AccountBlock>, Error> {
    let says: BlocksSay = read(answered)?;
    is_of(&says.genesis, genesis)?;
    let heights = from..=NUMBER_MAX;
    let blocks = says.blocks.into_iter().map(|block| block.read(account));
    let blocks: Vec<AccountBlock> = blocks.collect::<Result<_, _>>()?;
    let in_order = heights.zip(&blocks).filter(|(height, block)| block.height == *height).count();
    if in_order == blocks.len() { Ok(blocks) } else { Err(Error::Unreadable) }
}

/// Reads the answer of a `POST`.
///
/// # Errors
/// As [`about`].
pub fn taken(answered: &Answered) -> Result<(), Error> {
    read::<Taken>(answered).map(|_| ())
}

fn read<T: DeserializeOwned>((status, body): &Answered) -> Result<T, Error> {
    match status {
        200..300 => serde_json::from_slice(body).map_err(|_| Error::Unreadable),
        _ => {
            let says = serde_json::from_slice::<RefusalSays>(body);
            Err(says.map_or(Error::Unreadable, |says| Error::Refused(plain(&says.error))))
        }
    }
}

/// A stranger's word, to be shown to a person: it must not move the cursor, nor fill the screen.
fn plain(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).take(WORD_MAX).collect()
}

fn is_of(says: &str, genesis: &[u8; 32]) -> Result<(), Error> {
    if hash(says)? == *genesis { Ok(()) } else { Err(Error::OtherLedger) }
}

fn hash(text: &str) -> Result<[u8; 32], Error> {
    unhex(text)?.try_into().map_err(|_| Error::Unreadable)
}

fn number(number: u64) -> Result<u64, Error> {
    if number <= NUMBER_MAX { Ok(number) } else { Err(Error::Unreadable) }
}

fn amount(units: u64) -> Result<Amount, Error> {
    number(units).map(Amount::from_units)
}

fn slot(next: u64) -> Result<Slot, Error> {
    number(next).map(Slot)
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

    fn read(self, account: &Account) -> Result<AccountBlock, Error> {
        let height = number(self.height)?;
        let all = |list: Vec<TransferSays>, ours: fn(&Transfer, &Account) -> bool| {
            let transfers: Vec<Transfer> =
                list.into_iter().map(TransferSays::read).collect::<Result<_, _>>()?;
            let fits =
                |transfer: &Transfer| transfer.place.block == height && ours(transfer, account);
            // Each stands there once.
            let sound = transfers.iter().all(fits)
                && transfers.is_sorted_by(|one, next| one.place < next.place);
            if sound { Ok(transfers) } else { Err(Error::Unreadable) }
        };
        let spent = |spent: SpentSays| -> Result<SpentSlot, Error> {
            let transfers = all(spent.transfers, |transfer, account| transfer.from == *account)?;
            Ok(SpentSlot { slot: slot(spent.slot)?, done: spent.done, transfers })
        };
        let to_us = |t: &Transfer, account: &Account| t.to == *account && t.from != *account;
        let block = AccountBlock {
            height,
            time: LedgerTime::from_millis(number(self.time)?),
            newest: number(self.newest)?,
            received: all(self.received, to_us)?,
            spent: self.spent.into_iter().map(spent).collect::<Result<_, _>>()?,
            free: amount(self.free)?,
            slot: slot(self.slot)?,
        };
        if block.newest < height { Err(Error::Unreadable) } else { Ok(block) }
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
            amount: amount(self.amount)?,
            reference: self.reference.map(reference).transpose()?,
            place: Place { block, extrinsic, event },
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail loudly")]

    use serde_json::{Value, json};

    use super::*;

    const GENESIS: [u8; 32] = [7; 32];

    fn us() -> Account {
        Account::from_bytes([1; 32])
    }

    fn transfer(event: u32) -> Value {
        let (from, to) = (Account::from_bytes([2; 32]).to_string(), us().to_string());
        json!({ "from": from, "to": to, "amount": 5, "reference": "6f6e65", "block": 9,
                "extrinsic": 0, "event": event })
    }

    fn answer() -> Value {
        let mut paid = transfer(0);
        (paid["from"], paid["to"]) = (paid["to"].clone(), paid["from"].clone());
        json!({ "genesis": hex(&GENESIS), "blocks": [{
            "height": 9, "time": 1, "newest": 9, "free": 7, "slot": 3,
            "received": [transfer(0), transfer(1)],
            "spent": [{ "slot": 2, "done": true, "transfers": [paid] }],
        }] })
    }

    fn read_blocks(answer: &Value) -> Result<Vec<AccountBlock>, Error> {
        blocks(&(200, answer.to_string().into_bytes()), &GENESIS, 9, &us())
    }

    #[test]
    fn a_block_is_read_and_one_that_contradicts_itself_or_the_question_is_not() {
        let block = read_blocks(&answer()).unwrap().remove(0);
        assert_eq!((block.received.len(), block.spent[0].transfers.len()), (2, 1));
        let other = json!(Account::from_bytes([3; 32]).to_string());
        let nonsense = [
            ("/blocks/0/height", json!(10)),
            ("/blocks/0/newest", json!(8)),
            ("/blocks/0/received/0/block", json!(8)),
            ("/blocks/0/received/1/event", json!(0)),
            ("/blocks/0/received/0/to", other.clone()),
            ("/blocks/0/received/0/from", json!(us().to_string())),
            ("/blocks/0/received/0/reference", json!("6f6e6")),
            ("/blocks/0/spent/0/transfers/0/from", other),
            ("/blocks/0/spent/0/transfers/0/block", json!(8)),
        ];
        for (place, value) in nonsense {
            let mut answer = answer();
            *answer.pointer_mut(place).unwrap() = value;
            assert_eq!(read_blocks(&answer), Err(Error::Unreadable), "{place}");
        }
        let mut another = answer();
        another["genesis"] = json!(hex(&[8; 32]));
        assert_eq!(read_blocks(&another), Err(Error::OtherLedger));
    }

    /// What reads them adds to them and writes them into records.
    #[test]
    fn no_number_is_so_large_that_who_adds_to_it_ends() {
        for place in ["free", "slot", "time", "newest", "received/0/amount", "spent/0/slot"] {
            for (number, fits) in [(NUMBER_MAX, true), (NUMBER_MAX + 1, false), (u64::MAX, false)] {
                let mut answer = answer();
                *answer.pointer_mut(&format!("/blocks/0/{place}")).unwrap() = json!(number);
                assert_eq!(read_blocks(&answer).is_ok(), fits, "{place} {number}");
            }
        }
    }

    #[test]
    fn a_word_or_a_name_that_would_move_the_cursor_is_not_passed_on() {
        let refused = json!({ "error": format!("No\u{1b}[2J{}", "!".repeat(900)), "message": "" });
        let Err(Error::Refused(word)) = taken(&(422, refused.to_string().into_bytes())) else {
            panic!("it refused")
        };
        assert_eq!((word.len(), &word[..5]), (WORD_MAX, "No[2J"));
        let about_of = |currency: &str| {
            let says = json!({ "genesis": hex(&GENESIS), "currency": currency, "fee": 1,
                "existential_deposit": 1, "finality_lag": 1, "block_time_ms": 1 });
            about(&(200, says.to_string().into_bytes()))
        };
        assert_eq!(about_of("test money").unwrap().currency, "test money");
        assert_eq!(about_of("test\u{7}"), Err(Error::Unreadable));
        assert_eq!(about_of(&"x".repeat(CURRENCY_MAX + 1)), Err(Error::Unreadable));
    }
}
