//! What the embedded ledger takes in: a signed transaction, to the last byte.
//!
//! ```text
//! offset  size  field
//! 0       1     version, 0x01 (never 0x7B, the brace that begins a document)
//! 1       32    hash of the genesis: which ledger
//! 33      32    sender
//! 65      8     nonce, little-endian, like all numbers here
//! 73      4     period: blocks the transaction lives; 0 = for ever ("immortal")
//! 77      8     birth: height of the block from which the period counts; 0 if immortal
//! 85      32    hash of the birth block; of the genesis if immortal
//! 117     2     number of calls, 1 to 256
//! 119     …     calls, one after the other
//! end-64  64    Ed25519 signature by the sender over all bytes before it
//!
//! call:  0x00  remark    size u16 | bytes
//!        0x01  transfer  to, 32 | amount u64 | keep alive, 0 or 1
//! ```
//! All calls happen or none does. A mortal transaction may stand in blocks `birth + 1` to
//! `birth + period`, on a chain that holds its birth block. If the calls are pairs of a transfer and a
//! remark, each remark is the reference of the transfer before it; else no transfer has a reference.
//!
//! What always holds: bytes are read in one way only, and what was read writes the same bytes.

use crate::{Account, AccountKey, Amount, Reference, Slot};

/// A transaction before it is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// Hash of the ledger's genesis block.
    pub genesis: [u8; 32],
    /// Who pays, and signs.
    pub sender: Account,
    /// The sender's nonce.
    pub slot: Slot,
    /// How long it may wait.
    pub era: Era,
    /// What it does, all or nothing.
    pub calls: Vec<Call>,
}

/// The blocks a transaction may stand in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Era {
    /// Any. It can be replayed once the account was closed and opened anew.
    Immortal,
    /// Those after `birth`, `period` of them, on the chain with that birth block.
    Mortal {
        /// Height of the birth block.
        birth: u64,
        /// Hash of the birth block.
        hash: [u8; 32],
        /// Number of blocks, not 0.
        period: u32,
    },
}

/// One thing that a transaction does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// Leaves a text on the ledger.
    Remark(Reference),
    /// Moves money.
    Transfer {
        /// To whom.
        to: Account,
        /// How much.
        amount: Amount,
        /// Refuse rather than close the sender's account.
        keep_alive: bool,
    },
}

/// The version byte in front.
pub const VERSION: u8 = 1;

/// The most calls in one transaction.
pub const CALLS_MAX: usize = 256;

/// The largest transaction in bytes, signature included: as many transfers with as long remarks as
/// may be.
pub const SIZE_MAX: usize = 119 + CALLS_MAX / 2 * (42 + 3 + Reference::SIZE_MAX) + 64;

impl Transaction {
    /// Writes and signs.
    ///
    /// # Panics
    /// If the key is not the sender's, or the calls are none or too many.
    pub fn sign(&self, key: &AccountKey) -> Vec<u8> {
        assert_eq!(key.account(), self.sender, "the sender signs");
        assert!((1..=CALLS_MAX).contains(&self.calls.len()), "a transaction has 1 to 256 calls");
        let mut bytes = self.payload();
        let signature = key.sign_transaction(&bytes);
        bytes.extend_from_slice(&signature);
        bytes
    }

    fn payload(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&self.genesis);
        bytes.extend_from_slice(self.sender.as_bytes());
        bytes.extend_from_slice(&self.slot.0.to_le_bytes());
        let (period, birth, hash) = match self.era {
            Era::Immortal => (0, 0, self.genesis),
            Era::Mortal { birth, hash, period } => (period, birth, hash),
        };
        bytes.extend_from_slice(&period.to_le_bytes());
        bytes.extend_from_slice(&birth.to_le_bytes());
        bytes.extend_from_slice(&hash);
        let count = u16::try_from(self.calls.len()).expect("at most 256 calls");
        bytes.extend_from_slice(&count.to_le_bytes());
        for call in &self.calls {
            call.write(&mut bytes);
        }
        bytes
    }

    /// Reads a transaction and checks its signature.
    ///
    /// # Errors
    /// What is wrong with the bytes, in the order of the layout; the signature last.
    pub fn read(bytes: &[u8]) -> Result<Self, Unreadable> {
        if bytes.len() > SIZE_MAX {
            return Err(Unreadable::TooLong);
        }
        let (payload, signature) = bytes.split_last_chunk::<64>().ok_or(Unreadable::Truncated)?;
        let transaction = Self::read_payload(payload)?;
        match transaction.sender.verify(payload, signature) {
            Ok(()) => Ok(transaction),
            Err(_) => Err(Unreadable::BadSignature),
        }
    }

    fn read_payload(payload: &[u8]) -> Result<Self, Unreadable> {
        let mut rest = payload;
        if take::<1>(&mut rest)? != [VERSION] {
            return Err(Unreadable::UnknownVersion);
        }
        let genesis = take(&mut rest)?;
        let sender = Account::from_bytes(take(&mut rest)?);
        let slot = Slot(u64::from_le_bytes(take(&mut rest)?));
        let period = u32::from_le_bytes(take(&mut rest)?);
        let birth = u64::from_le_bytes(take(&mut rest)?);
        let hash = take(&mut rest)?;
        let era = match (period, birth) {
            (0, 0) if hash == genesis => Era::Immortal,
            (0, _) => return Err(Unreadable::BadEra),
            _ => Era::Mortal { birth, hash, period },
        };
        let count = usize::from(u16::from_le_bytes(take(&mut rest)?));
        if !(1..=CALLS_MAX).contains(&count) {
            return Err(Unreadable::CallCount);
        }
        let calls = (0..count).map(|_| Call::read(&mut rest)).collect::<Result<_, _>>()?;
        match rest.is_empty() {
            true => Ok(Self { genesis, sender, slot, era, calls }),
            false => Err(Unreadable::TrailingBytes),
        }
    }

    /// The transfers with the references that the ledger lets count.
    pub fn transfers(&self) -> Vec<(Account, Amount, Option<Reference>)> {
        let pairs: Option<Vec<_>> = self
            .calls
            .chunks(2)
            .map(|pair| match pair {
                [Call::Transfer { to, amount, .. }, Call::Remark(text)] => {
                    Some((*to, *amount, Some(text.clone())))
                }
                _ => None,
            })
            .collect();
        let bare = |call: &Call| match call {
            Call::Transfer { to, amount, .. } => Some((*to, *amount, None)),
            Call::Remark(_) => None,
        };
        pairs.unwrap_or_else(|| self.calls.iter().filter_map(bare).collect())
    }
}

impl Call {
    fn write(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Remark(text) => {
                let size = u16::try_from(text.as_bytes().len()).expect("a remark has 255 bytes");
                bytes.push(0);
                bytes.extend_from_slice(&size.to_le_bytes());
                bytes.extend_from_slice(text.as_bytes());
            }
            Self::Transfer { to, amount, keep_alive } => {
                bytes.push(1);
                bytes.extend_from_slice(to.as_bytes());
                bytes.extend_from_slice(&amount.units().to_le_bytes());
                bytes.push(u8::from(*keep_alive));
            }
        }
    }

    fn read(rest: &mut &[u8]) -> Result<Self, Unreadable> {
        match take::<1>(rest)? {
            [0] => {
                let size = usize::from(u16::from_le_bytes(take(rest)?));
                let (text, after) = rest.split_at_checked(size).ok_or(Unreadable::Truncated)?;
                *rest = after;
                Reference::new(text).map(Self::Remark).ok_or(Unreadable::RemarkTooLong)
            }
            [1] => {
                let to = Account::from_bytes(take(rest)?);
                let amount = Amount::from_units(u64::from_le_bytes(take(rest)?));
                match take::<1>(rest)? {
                    [keep @ (0 | 1)] => Ok(Self::Transfer { to, amount, keep_alive: keep == 1 }),
                    [_] => Err(Unreadable::BadFlag),
                }
            }
            [_] => Err(Unreadable::UnknownCall),
        }
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], Unreadable> {
    let (head, after) = rest.split_first_chunk::<N>().ok_or(Unreadable::Truncated)?;
    *rest = after;
    Ok(*head)
}

/// Why bytes are no transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// More than [`SIZE_MAX`] bytes.
    TooLong,
    /// The bytes end too early.
    Truncated,
    /// Bytes are left over.
    TrailingBytes,
    /// The first byte is not [`VERSION`].
    UnknownVersion,
    /// No period, and yet a birth.
    BadEra,
    /// No call, or more than [`CALLS_MAX`].
    CallCount,
    /// Neither remark nor transfer.
    UnknownCall,
    /// More than [`Reference::SIZE_MAX`] bytes of remark.
    RemarkTooLong,
    /// Neither 0 nor 1.
    BadFlag,
    /// The sender did not sign this.
    BadSignature,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn example() -> (AccountKey, Transaction) {
        let key = AccountKey::from_seed([1; 32]);
        let remark = Call::Remark(Reference::new(b"hello").unwrap());
        let transfer = Call::Transfer {
            to: Account::from_bytes([2; 32]),
            amount: Amount::from_units(500),
            keep_alive: true,
        };
        let era = Era::Mortal { birth: 7, hash: [9; 32], period: 64 };
        let calls = vec![transfer, remark];
        let sender = key.account();
        (key, Transaction { genesis: [5; 32], sender, slot: Slot(3), era, calls })
    }

    #[test]
    fn every_changed_or_missing_byte_is_refused() {
        let (key, transaction) = example();
        let bytes = transaction.sign(&key);
        assert_eq!(Transaction::read(&bytes), Ok(transaction));
        for i in 0..bytes.len() {
            assert!(Transaction::read(&bytes[..i]).is_err());
            let mut changed = bytes.clone();
            changed[i] ^= 0x40;
            assert!(Transaction::read(&changed).is_err(), "byte {i}");
        }
    }

    #[test]
    fn only_pairs_have_references() {
        let (_, mut transaction) = example();
        assert!(transaction.transfers()[0].2.is_some());
        transaction.calls.push(transaction.calls[0].clone());
        assert!(transaction.transfers().iter().all(|(_, _, reference)| reference.is_none()));
        transaction.calls.swap(0, 1);
        assert!(transaction.transfers().iter().all(|(_, _, reference)| reference.is_none()));
    }

    proptest! {
        #[test]
        fn what_can_be_read_writes_the_same_bytes(mut tail in prop::collection::vec(0u8..4, 0..400)) {
            tail.insert(0, VERSION);
            if let Ok(read) = Transaction::read_payload(&tail) {
                prop_assert_eq!(read.payload(), tail);
            }
        }
    }
}
