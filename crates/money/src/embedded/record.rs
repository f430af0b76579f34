//! A block as it is written down: what went into it, and the hash it had.
//!
//! ```text
//! height 8 | time, ms 8 | hash 32 | inherents 4 | each: kind 1, account 32, amount 8
//!          | transactions 4 | each: size 4, bytes                 all little-endian
//! ```
//! What always holds: a block that is replayed on the same chain has the same hash, or is refused.
//! Absent: outcomes and transfers; they follow from what went in.

use super::{Block, Inherent, Refused};
use crate::{Account, Amount, LedgerTime};

/// What went into a block.
pub(super) struct Recorded {
    pub(super) height: u64,
    pub(super) time: LedgerTime,
    pub(super) hash: [u8; 32],
    pub(super) inherents: Vec<Inherent>,
    pub(super) transactions: Vec<Vec<u8>>,
}

/// Why a written block is not taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadBlock {
    /// The bytes end too early, or go on too long.
    WrongSize,
    /// Something in it that blocks do not have.
    UnknownKind,
    /// It is not the next one.
    OutOfOrder,
    /// A transaction in it is not possible here.
    Refused(Refused),
    /// It is another chain's.
    OtherHash,
}

impl Block {
    /// Writes what went into the block.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.height.to_le_bytes().to_vec();
        bytes.extend_from_slice(&self.time.as_millis().to_le_bytes());
        bytes.extend_from_slice(&self.hash);
        bytes.extend_from_slice(&count(self.inherents.len()));
        for inherent in &self.inherents {
            let (kind, account, amount) = inherent.parts();
            bytes.push(kind);
            bytes.extend_from_slice(account.as_bytes());
            bytes.extend_from_slice(&amount.units().to_le_bytes());
        }
        bytes.extend_from_slice(&count(self.included.len()));
        for included in &self.included {
            bytes.extend_from_slice(&count(included.bytes.len()));
            bytes.extend_from_slice(&included.bytes);
        }
        bytes
    }
}

fn count(number: usize) -> [u8; 4] {
    u32::try_from(number).expect("blocks are bounded").to_le_bytes()
}

pub(super) fn read(bytes: &[u8]) -> Result<Recorded, BadBlock> {
    let mut rest = bytes;
    let height = u64::from_le_bytes(take(&mut rest)?);
    let time = LedgerTime::from_millis(u64::from_le_bytes(take(&mut rest)?));
    let hash = take(&mut rest)?;
    let mut inherents = Vec::new();
    for _ in 0..u32::from_le_bytes(take(&mut rest)?) {
        let [kind] = take(&mut rest)?;
        let account = Account::from_bytes(take(&mut rest)?);
        let amount = Amount::from_units(u64::from_le_bytes(take(&mut rest)?));
        inherents.push(match kind {
            0 => Inherent::Faucet { to: account, amount },
            1 => Inherent::Admit(account),
            2 => Inherent::Expel(account),
            _ => return Err(BadBlock::UnknownKind),
        });
    }
    let mut transactions = Vec::new();
    for _ in 0..u32::from_le_bytes(take(&mut rest)?) {
        let size = u32::from_le_bytes(take(&mut rest)?) as usize;
        let (transaction, after) = rest.split_at_checked(size).ok_or(BadBlock::WrongSize)?;
        transactions.push(transaction.to_vec());
        rest = after;
    }
    match rest.is_empty() {
        true => Ok(Recorded { height, time, hash, inherents, transactions }),
        false => Err(BadBlock::WrongSize),
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], BadBlock> {
    let (head, after) = rest.split_first_chunk::<N>().ok_or(BadBlock::WrongSize)?;
    *rest = after;
    Ok(*head)
}
