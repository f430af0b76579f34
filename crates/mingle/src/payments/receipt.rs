//! Receipts: the promises of one part with their mixers' peer infos, in a file; and what the ledger says
//! of them.
//!
//! ```text
//! {receipt 1 · currency · promises [{promise, info} …]}        UBJSON
//! ```
//! What always holds: a receipt is judged from one promise, its mixer's peer info and a ledger alone; one
//! that was cut to one promise names nobody but that mixer and its two neighbours on the ledger.

use std::path::Path;

use money::LedgerTime;
use payment::document::{Currency, IdentitySignature, PeerInfo, Promise, Signed};
use payment::mixer::RETURN_PREFIX;
use payment::receipt::{self, Evidence, Verdict};
use payment::ubjson::{Fields, Malformed, Value, map};

use super::chain::Chain;
use crate::Error;

/// The promises of one part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    currency: Currency,
    entries: Vec<Entry>,
}

/// One promise, and who made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The promise with its signature.
    pub promise: Vec<u8>,
    /// The mixer's signed peer info.
    pub info: Vec<u8>,
}

/// What was found of one promise.
pub struct Judged {
    /// The promise.
    pub promise: Promise,
    /// The mixer's peer info.
    pub info: PeerInfo,
    /// The member who answered for it when it promised, and is one now.
    pub member: Option<money::Account>,
    /// What became of it.
    pub verdict: Verdict,
}

/// The largest file that is read, in bytes.
pub const SIZE_MAX: u64 = 1024 * 1024;

const REMEDY: &str = "a receipt is written by `mingle receipt export` or `mingle receipt extract`";

impl Receipt {
    /// A receipt of these promises.
    pub fn new(currency: Currency, entries: Vec<Entry>) -> Self {
        Self { currency, entries }
    }

    /// Reads a file.
    ///
    /// # Errors
    /// When it is missing, too long, or no receipt.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let failed = |why| Error::read(path, why, REMEDY);
        if std::fs::metadata(path).map_err(failed)?.len() > SIZE_MAX {
            return Err(Error::unfit(path, "a receipt has at most 1 MiB"));
        }
        let bytes = std::fs::read(path).map_err(failed)?;
        let unfit = |why| Error::unfit(path, format_args!("no receipt ({why}); {REMEDY}"));
        Self::from_bytes(&bytes).map_err(unfit)
    }

    /// Reads the bytes of a file.
    ///
    /// # Errors
    /// [`Malformed`]. What the documents in it are worth, [`Self::judge`] finds out.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut fields = Fields::new(Value::from_bytes(bytes)?)?;
        if fields.number("receipt")? != VERSION {
            return Err(Malformed::WrongValue("receipt"));
        }
        let currency = match fields.take("currency")? {
            Value::Text(name) => Currency::Name(name),
            Value::Bytes(hash) => {
                Currency::Genesis(hash.try_into().map_err(|_| Malformed::WrongValue("currency"))?)
            }
            _ => return Err(Malformed::WrongValue("currency")),
        };
        let entry = |value| {
            let mut fields = Fields::new(value)?;
            let entry = Entry { promise: fields.bytes("promise")?, info: fields.bytes("info")? };
            fields.end().map(|()| entry)
        };
        let entries: Vec<_> =
            fields.list("promises")?.into_iter().map(entry).collect::<Result<_, Malformed>>()?;
        fields.end()?;
        match (1..=payment::onion::HOPS_MAX).contains(&entries.len()) {
            true => Ok(Self { currency, entries }),
            false => Err(Malformed::WrongValue("promises")),
        }
    }

    /// The bytes of a file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let entry = |entry: &Entry| {
            let (promise, info) = (Value::from(&entry.promise[..]), Value::from(&entry.info[..]));
            map([("promise", promise), ("info", info)])
        };
        let entries = self.entries.iter().map(entry).collect();
        map([
            ("receipt", Value::from(VERSION)),
            ("currency", self.currency.to_value()),
            ("promises", Value::List(entries)),
        ])
        .to_bytes()
    }

    /// Which money.
    pub fn currency(&self) -> &Currency {
        &self.currency
    }

    /// The promises.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The receipt of one promise alone, by hop from 1.
    pub fn extract(&self, hop: usize) -> Option<Self> {
        let entry = self.entries.get(hop.checked_sub(1)?)?.clone();
        Some(Self { currency: self.currency.clone(), entries: vec![entry] })
    }

    /// What the receiver may have: the last promise, which says nothing of the payer.
    pub fn slip(&self) -> Option<Self> {
        self.extract(self.entries.len())
    }

    /// Looks up on the ledger what became of each promise.
    ///
    /// # Errors
    /// When a document is not what it should be, or the ledger is out of reach.
    pub async fn judge(&self, chain: &Chain) -> Result<Vec<Judged>, Error> {
        let mut judged = Vec::new();
        for (i, entry) in self.entries.iter().enumerate() {
            let read = receipt::read(&entry.promise, &entry.info, &self.currency);
            let (promise, info) = read.map_err(|why| {
                Error::Failed(format!("promise {} of the receipt is not valid: {why}", i + 1))
            })?;
            let verdict = judge(chain, promise.content(), info.content(), &self.currency).await?;
            let member = member(chain, promise.content(), info.content(), &self.currency).await?;
            let (promise, info) = (promise.content().clone(), info.content().clone());
            judged.push(Judged { promise, info, member, verdict });
        }
        Ok(judged)
    }
}

const VERSION: u64 = 1;

/// Reads the final blocks from `req_date` on, until they settle what became of a promise.
async fn judge(
    chain: &Chain,
    promise: &Promise,
    info: &PeerInfo,
    currency: &Currency,
) -> Result<Verdict, Error> {
    let paid_in = promise.in_reference(currency);
    let wanted = [
        [RETURN_PREFIX, paid_in.as_bytes()].concat(),
        paid_in.as_bytes().to_vec(),
        promise.out_reference(currency).as_bytes().to_vec(),
    ];
    let is_wanted = |transfer: &money::Transfer| {
        transfer.reference.as_ref().is_some_and(|r| wanted.iter().any(|w| *w == r.as_bytes()))
    };
    let newest = chain.height().await?;
    let mut next = first_height(chain, &promise.node, promise.req_date, newest).await?;
    let mut evidence =
        Evidence { transfers: Vec::new(), until: LedgerTime::from_secs(0), halted_s: 0 };
    let pause = chain.about().block_time.as_millis() * 10;
    while next <= newest {
        let blocks = chain.blocks(next, &promise.node).await?;
        if blocks.is_empty() {
            // It named a height that it does not show.
            return Err(chain.failed(ledger::Error::Unreadable));
        }
        for block in blocks {
            let before = evidence.until.as_millis();
            let gap = block.time.as_millis().saturating_sub(before);
            if before > 0 && u128::from(gap) > pause {
                evidence.halted_s += gap.div_ceil(1000);
            }
            evidence.until = block.time;
            let paid = block.spent.iter().flat_map(|spent| &spent.transfers);
            let found = block.received.iter().chain(paid).filter(|transfer| is_wanted(transfer));
            evidence.transfers.extend(found.map(|transfer| (transfer.clone(), block.time)));
            next = block.height + 1;
        }
        evidence.transfers.sort_by_key(|(transfer, _)| transfer.place);
        let verdict = receipt::judge(promise, info.terms.return_cost, currency, &evidence);
        // What was paid on stays paid on.
        if matches!(verdict, Verdict::Kept | Verdict::Late) {
            return Ok(verdict);
        }
    }
    Ok(receipt::judge(promise, info.terms.return_cost, currency, &evidence))
}

/// The lowest final block that is not older than a date, by bisection; above the newest if there is none.
async fn first_height(
    chain: &Chain,
    account: &money::Account,
    date: u64,
    newest: u64,
) -> Result<u64, Error> {
    let (mut low, mut high) = (0, newest + 1);
    while low < high {
        let middle = low + (high - low) / 2;
        let blocks = chain.blocks(middle, account).await?;
        let first = blocks.first().ok_or_else(|| chain.failed(ledger::Error::Unreadable))?;
        match first.time.as_secs() < date {
            true => low = middle + 1,
            false => high = middle,
        }
    }
    Ok(low)
}

/// The member who answers for a mixer, by his signature at the time of the promise.
async fn member(
    chain: &Chain,
    promise: &Promise,
    info: &PeerInfo,
    currency: &Currency,
) -> Result<Option<money::Account>, Error> {
    let Some((identity, signature)) = &info.idty else { return Ok(None) };
    let signed = Signed::<IdentitySignature>::read(signature, currency, |_| Some(*identity));
    let holds = signed.is_ok_and(|signed| {
        let said = signed.content();
        said.pubkey == info.pubkey && said.holds_at(promise.req_date)
    });
    let is_member = chain.connection().is_member(identity).await;
    let is_member = is_member.map_err(|why| chain.failed(why))?;
    Ok(Some(*identity).filter(|_| holds && is_member))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receipt() -> Receipt {
        let entry = |n: u8| Entry { promise: vec![n; 300], info: vec![n; 900] };
        Receipt::new(Currency::Genesis([7; 32]), (1..=3).map(entry).collect())
    }

    #[test]
    fn a_receipt_comes_back_and_is_cut_to_one_promise() {
        let whole = receipt();
        assert_eq!(Receipt::from_bytes(&whole.to_bytes()), Ok(whole.clone()));
        let second = whole.extract(2).unwrap();
        assert_eq!(second.entries(), &whole.entries()[1..2]);
        assert_eq!(whole.slip(), whole.extract(3));
        assert!(whole.extract(0).is_none() && whole.extract(4).is_none());
        for other in [&[1; 300], &[3; 300]] {
            assert!(!second.to_bytes().windows(300).any(|window| window == other));
        }
    }

    #[test]
    fn what_is_no_receipt_is_refused() {
        let mut none = receipt();
        none.entries.clear();
        let mut many = receipt();
        many.entries.extend(receipt().entries);
        for odd in [none.to_bytes(), many.to_bytes(), b"{}".to_vec(), Vec::new(), vec![b'['; 99]] {
            assert!(Receipt::from_bytes(&odd).is_err());
        }
        // Cut anywhere, or with any byte changed, it is refused or read, and nothing else.
        let bytes = receipt().to_bytes();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 0x55;
            let _ = Receipt::from_bytes(&changed);
        }
        assert!((0..bytes.len()).all(|size| Receipt::from_bytes(&bytes[..size]).is_err()));
    }
}
