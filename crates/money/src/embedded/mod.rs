//! The embedded ledger: a small honest chain that one process keeps, as a state machine. It is the
//! default of the demo and of the tests, and has the traps of Duniter v2 on purpose.
//!
//! ```text
//! submit ─► waiting ─► build(time) ─► block ─► final, `finality_lag` blocks later
//!              ▲                        │
//!              └──────── fork(depth) ◄──┘   what is not final may be lost again
//! ```
//!
//! What always holds: the balances, the fees taken and the dust swept up add up to what was issued,
//! counted anew after every block; a block that is final never goes away; a nonce serves once while
//! its account lives.
//!
//! The traps: a closed account begins again at nonce 0, so an immortal transaction of it can land a
//! second time; a failed transaction spends its nonce and its fee; a nonce that is too high waits; a
//! transaction born on a lost fork can never land; members get their fees back at a block's end.
//!
//! Absent: other nodes, votes, and who may build a block: whoever holds this machine does.

mod apply;
mod record;
mod state;
pub mod transaction;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

pub use apply::Failure;
pub use record::BadBlock;
pub use state::AccountState;
use state::{State, Undo};
pub use transaction::{Call, Era, Transaction, Unreadable};

use crate::{Account, Amount, LedgerTime, Place, Slot, Transfer};

/// What a ledger begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Genesis {
    /// Name of the currency, part of the genesis hash.
    pub currency: String,
    /// Time of block 0.
    pub time: LedgerTime,
    /// No account holds less and lives.
    pub existential_deposit: Amount,
    /// What each transaction costs its sender.
    pub fee: Amount,
    /// How many blocks lie above the newest final one.
    pub finality_lag: u64,
    /// Who holds what.
    pub accounts: BTreeMap<Account, Amount>,
    /// Who is a member.
    pub members: Vec<Account>,
}

/// What happens in a block without anyone's signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inherent {
    /// New money, for tests.
    Faucet {
        /// To whom.
        to: Account,
        /// How much.
        amount: Amount,
    },
    /// An account becomes a member.
    Admit(Account),
    /// An account is a member no longer.
    Expel(Account),
}

/// One block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Its number; the genesis has 0.
    pub height: u64,
    /// Its hash, over all that follows here but what can be derived.
    pub hash: [u8; 32],
    /// Hash of the block before.
    pub parent: [u8; 32],
    /// Its time, later than its parent's.
    pub time: LedgerTime,
    /// What happened first.
    pub inherents: Vec<Inherent>,
    /// What happened then, in this order.
    pub included: Vec<Included>,
    /// The money that moved in it, in order.
    pub transfers: Vec<Transfer>,
}

/// A transaction in a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Included {
    /// Hash of the signed bytes.
    pub hash: [u8; 32],
    /// Who sent it.
    pub sender: Account,
    /// The nonce it spent.
    pub slot: Slot,
    /// Whether its calls happened. The nonce and the fee are spent either way.
    pub outcome: Result<(), Failure>,
    /// The signed bytes.
    pub bytes: Vec<u8>,
}

/// The ledger.
pub struct Ledger {
    genesis: Genesis,
    state: State,
    blocks: Vec<Block>,
    /// How to take back each block above the final one, oldest first.
    undo: VecDeque<Undo>,
    waiting: BTreeMap<(Account, Slot), Waiting>,
    inherents: Vec<Inherent>,
}

struct Waiting {
    transaction: Transaction,
    hash: [u8; 32],
    bytes: Vec<u8>,
}

/// All money there may be: whatever part of it a document or record names stays below 2⁶³, which is
/// what their numbers hold.
pub const MONEY_MAX: Amount = Amount::from_units((1 << 62) - 1);

/// The most transactions that wait, of all senders.
pub const WAITING_MAX: usize = 8192;
/// The most transactions of one sender that wait.
pub const WAITING_MAX_PER_SENDER: usize = 512;
/// How far ahead of the account a nonce may be and still wait.
pub const SLOTS_AHEAD_MAX: u64 = 1024;
/// The most faucet payments and member changes between two blocks.
pub const INHERENTS_MAX: usize = 1024;
/// The longest life of a mortal transaction in blocks.
pub const PERIOD_MAX: u32 = 4096;

impl Ledger {
    /// Begins a ledger.
    ///
    /// # Errors
    /// [`BadGenesis`] if an account holds less than the existential deposit, that deposit is zero, or
    /// the sum does not fit.
    pub fn new(genesis: Genesis) -> Result<Self, BadGenesis> {
        let state = State::new(&genesis)?;
        let first = Block {
            height: 0,
            hash: genesis.hash(),
            parent: [0; 32],
            time: genesis.time,
            inherents: Vec::new(),
            included: Vec::new(),
            transfers: Vec::new(),
        };
        Ok(Self {
            genesis,
            state,
            blocks: vec![first],
            undo: VecDeque::new(),
            waiting: BTreeMap::new(),
            inherents: Vec::new(),
        })
    }

    /// What this ledger began with.
    pub fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    /// The newest block.
    pub fn head(&self) -> &Block {
        self.blocks.last().expect("there is a genesis block")
    }

    /// The newest block that cannot go away. A fork does not lower it.
    pub fn final_head(&self) -> &Block {
        &self.blocks[self.blocks.len() - 1 - self.undo.len()]
    }

    /// The block at a height, final or not.
    pub fn block(&self, height: u64) -> Option<&Block> {
        usize::try_from(height).ok().and_then(|height| self.blocks.get(height))
    }

    /// An account at the newest block; an empty one if there is none.
    pub fn account(&self, account: &Account) -> AccountState {
        self.state.account(account)
    }

    /// An account at the newest final block.
    pub fn final_account(&self, account: &Account) -> AccountState {
        // The oldest record of a change above the final block says what was before all of them.
        let before = self.undo.iter().find_map(|undo| undo.account(account));
        before.unwrap_or_else(|| self.state.account(account))
    }

    /// Whether an account is a member at the newest final block.
    pub fn final_member(&self, account: &Account) -> bool {
        let before = self.undo.iter().find_map(|undo| undo.member(account));
        before.unwrap_or_else(|| self.state.is_member(account))
    }

    /// The nonce a wallet would use next: after what is spent and what waits without a gap.
    pub fn next_slot(&self, account: &Account) -> Slot {
        let mut slot = self.state.account(account).slot;
        while self.waiting.contains_key(&(*account, slot)) {
            slot = slot.next();
        }
        slot
    }

    /// Takes in a signed transaction; it waits until a block has it. The answer is its hash. Sending
    /// what waits already is answered likewise.
    ///
    /// # Errors
    /// Why it cannot wait; see [`Refused`].
    pub fn submit(&mut self, bytes: &[u8]) -> Result<[u8; 32], Refused> {
        let transaction = Transaction::read(bytes).map_err(Refused::Unreadable)?;
        let hash = transaction_hash(bytes);
        let key = (transaction.sender, transaction.slot);
        if let Some(other) = self.waiting.get(&key) {
            return if other.hash == hash { Ok(hash) } else { Err(Refused::SlotTaken) };
        }
        self.admissible(&transaction)?;
        let of_sender = (transaction.sender, Slot(0))..=(transaction.sender, Slot(u64::MAX));
        if self.waiting.range(of_sender).count() >= WAITING_MAX_PER_SENDER {
            return Err(Refused::SenderQueueFull);
        }
        if self.waiting.len() >= WAITING_MAX {
            return Err(Refused::QueueFull);
        }
        self.waiting.insert(key, Waiting { transaction, hash, bytes: bytes.to_vec() });
        Ok(hash)
    }

    fn admissible(&self, transaction: &Transaction) -> Result<(), Refused> {
        if transaction.genesis != self.genesis.hash() {
            return Err(Refused::OtherLedger);
        }
        let account = self.state.account(&transaction.sender);
        if transaction.slot < account.slot {
            return Err(Refused::StaleSlot);
        }
        if transaction.slot.0 - account.slot.0 > SLOTS_AHEAD_MAX {
            return Err(Refused::SlotTooFar);
        }
        self.alive(&transaction.era, self.head().height + 1)?;
        // The fee must not close the account: it is kept out of the existential deposit.
        let needed = self.genesis.fee.plus(self.genesis.existential_deposit);
        match needed.is_some_and(|needed| account.free >= needed) {
            true => Ok(()),
            false => Err(Refused::CannotPayFee),
        }
    }

    fn alive(&self, era: &Era, height: u64) -> Result<(), Refused> {
        let Era::Mortal { birth, hash, period } = *era else {
            return Ok(());
        };
        if period > PERIOD_MAX {
            return Err(Refused::PeriodTooLong);
        }
        match self.block(birth) {
            Some(block) if block.hash == hash => {}
            Some(_) | None => return Err(Refused::UnknownBirth),
        }
        match height - birth <= u64::from(period) {
            true => Ok(()),
            false => Err(Refused::Expired),
        }
    }

    /// Puts something into the next block without a signature.
    ///
    /// # Errors
    /// [`Refused::QueueFull`], or [`Refused::BelowDeposit`] for a faucet payment that could not live.
    pub fn order(&mut self, inherent: Inherent) -> Result<(), Refused> {
        if let Inherent::Faucet { amount, .. } = inherent
            && amount < self.genesis.existential_deposit
        {
            return Err(Refused::BelowDeposit);
        }
        if self.inherents.len() >= INHERENTS_MAX {
            return Err(Refused::QueueFull);
        }
        self.inherents.push(inherent);
        Ok(())
    }

    /// Builds the next block from what waits. Its time is `time`, or a millisecond after its parent's
    /// if that is later.
    ///
    /// # Panics
    /// If money was made or lost.
    pub fn build(&mut self, time: LedgerTime) -> &Block {
        let parent = self.head();
        let mut block = Block {
            height: parent.height + 1,
            hash: [0; 32],
            parent: parent.hash,
            time: time.max(LedgerTime::from_millis(parent.time.as_millis() + 1)),
            inherents: Vec::new(),
            included: Vec::new(),
            transfers: Vec::new(),
        };
        self.state.begin();
        for inherent in std::mem::take(&mut self.inherents) {
            if self.state.inherent(&inherent) {
                block.inherents.push(inherent);
            }
        }
        self.include(&mut block);
        self.state.refund_members(&block.included, self.genesis.fee);
        self.state.audit();
        block.hash = block.hash_now();
        self.undo.push_back(self.state.finish());
        self.blocks.push(block);
        while self.undo.len() as u64 > self.genesis.finality_lag {
            self.undo.pop_front();
        }
        self.head()
    }

    /// Applies what waits, account by account and nonce by nonce, and drops what can never land.
    fn include(&mut self, block: &mut Block) {
        let keys: Vec<_> = self.waiting.keys().copied().collect();
        for key in keys {
            let Some(waiting) = self.waiting.get(&key) else { continue };
            match self.admissible(&waiting.transaction) {
                Ok(()) if self.state.account(&key.0).slot < key.1 => continue,
                Ok(()) => {}
                Err(_) => {
                    self.waiting.remove(&key);
                    continue;
                }
            }
            let Some(Waiting { transaction, hash, bytes }) = self.waiting.remove(&key) else {
                continue;
            };
            let extrinsic = u32::try_from(block.included.len()).expect("blocks are bounded");
            let outcome = self.state.transact(&transaction, self.genesis.fee);
            if outcome.is_ok() {
                // A transfer of nothing happens, but leaves no event.
                let moved = transaction.transfers().into_iter().filter(|t| t.1 != Amount::ZERO);
                for (to, amount, reference) in moved {
                    let event = u32::try_from(block.transfers.len()).expect("blocks are bounded");
                    let place = Place { block: block.height, extrinsic, event };
                    let from = transaction.sender;
                    block.transfers.push(Transfer { from, to, amount, reference, place });
                }
            }
            let (sender, slot) = key;
            block.included.push(Included { hash, sender, slot, outcome, bytes });
        }
    }

    /// Takes back the newest `depth` blocks. What they held waits again if `keep`, else it is lost as
    /// on a chain whose other nodes never heard of it.
    ///
    /// # Errors
    /// [`ForkTooDeep`] if one of them is final.
    pub fn fork(&mut self, depth: usize, keep: bool) -> Result<(), ForkTooDeep> {
        if depth > self.undo.len() {
            return Err(ForkTooDeep);
        }
        let mut lost = Vec::new();
        for _ in 0..depth {
            let undo = self.undo.pop_back().ok_or(ForkTooDeep)?;
            self.state.take_back(undo);
            lost.extend(self.blocks.pop().into_iter().flat_map(|block| block.included));
        }
        self.state.audit();
        let kept = lost.into_iter().rev().filter(|_| keep);
        for included in kept {
            // Those born on the lost blocks cannot come back; that is the trap of short eras.
            let _ = self.submit(&included.bytes);
        }
        Ok(())
    }

    /// Takes back a block that was written down with [`Block::to_bytes`], as the next one after the
    /// newest.
    ///
    /// # Errors
    /// [`BadBlock`] if it is none, or gives another hash than it had: the ledger is as before, or must
    /// be thrown away.
    pub fn replay(&mut self, bytes: &[u8]) -> Result<(), BadBlock> {
        let recorded = record::read(bytes)?;
        let parent = self.head();
        if recorded.height != parent.height + 1 || recorded.time <= parent.time {
            return Err(BadBlock::OutOfOrder);
        }
        self.waiting.clear();
        self.inherents = recorded.inherents;
        for bytes in recorded.transactions {
            let unreadable = |why| BadBlock::Refused(Refused::Unreadable(why));
            let transaction = Transaction::read(&bytes).map_err(unreadable)?;
            let key = (transaction.sender, transaction.slot);
            // Whether it may stand here is seen in its turn: what stands before it may have paid for it.
            let hash = transaction_hash(&bytes);
            self.waiting.insert(key, Waiting { transaction, hash, bytes });
        }
        match self.build(recorded.time).hash == recorded.hash {
            true => Ok(()),
            false => Err(BadBlock::OtherHash),
        }
    }

    /// Makes every block final, as those are that come from a file of final blocks.
    pub fn settle(&mut self) {
        self.undo.clear();
    }

    /// Forgets everything that waits, as a node does that answered "accepted" and then crashed.
    pub fn forget_waiting(&mut self) {
        self.waiting.clear();
    }

    /// How many transactions wait.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// All money there is, at the newest block: in accounts, taken as fees, swept up as dust.
    pub fn issued(&self) -> Amount {
        self.state.issued()
    }
}

impl Genesis {
    /// The hash that names this ledger.
    pub fn hash(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_derive_key("mingle embedded genesis v1");
        hasher.update(&(self.currency.len() as u64).to_le_bytes());
        hasher.update(self.currency.as_bytes());
        hasher.update(&self.time.as_millis().to_le_bytes());
        for amount in [self.existential_deposit, self.fee] {
            hasher.update(&amount.units().to_le_bytes());
        }
        hasher.update(&self.finality_lag.to_le_bytes());
        hasher.update(&(self.accounts.len() as u64).to_le_bytes());
        for (account, amount) in &self.accounts {
            hasher.update(account.as_bytes());
            hasher.update(&amount.units().to_le_bytes());
        }
        for member in &self.members {
            hasher.update(member.as_bytes());
        }
        *hasher.finalize().as_bytes()
    }
}

impl Inherent {
    fn parts(&self) -> (u8, &Account, Amount) {
        match self {
            Self::Faucet { to, amount } => (0, to, *amount),
            Self::Admit(account) => (1, account, Amount::ZERO),
            Self::Expel(account) => (2, account, Amount::ZERO),
        }
    }
}

impl Block {
    /// BLAKE3 derive-key "mingle embedded block v1" over parent, height, time, then each inherent and
    /// the hash of each transaction, both lists with their count in front.
    fn hash_now(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_derive_key("mingle embedded block v1");
        hasher.update(&self.parent);
        hasher.update(&self.height.to_le_bytes());
        hasher.update(&self.time.as_millis().to_le_bytes());
        hasher.update(&(self.inherents.len() as u64).to_le_bytes());
        for inherent in &self.inherents {
            let (kind, account, amount) = inherent.parts();
            hasher.update(&[kind]);
            hasher.update(account.as_bytes());
            hasher.update(&amount.units().to_le_bytes());
        }
        hasher.update(&(self.included.len() as u64).to_le_bytes());
        for included in &self.included {
            hasher.update(&included.hash);
        }
        *hasher.finalize().as_bytes()
    }
}

/// The hash of a signed transaction: BLAKE3 derive-key "mingle embedded transaction v1" over its bytes.
pub fn transaction_hash(bytes: &[u8]) -> [u8; 32] {
    blake3::derive_key("mingle embedded transaction v1", bytes)
}

/// Why the ledger does not take something in. None of these spends a nonce or a fee.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The bytes are no signed transaction.
    Unreadable(Unreadable),
    /// It is signed for a ledger with another genesis.
    OtherLedger,
    /// Its nonce is spent.
    StaleSlot,
    /// Another transaction with this nonce waits.
    SlotTaken,
    /// Its nonce is more than [`SLOTS_AHEAD_MAX`] ahead.
    SlotTooFar,
    /// Its birth block is not on this chain.
    UnknownBirth,
    /// It would live longer than [`PERIOD_MAX`] blocks.
    PeriodTooLong,
    /// Its last block has passed.
    Expired,
    /// The sender could not pay the fee and keep the existential deposit.
    CannotPayFee,
    /// [`WAITING_MAX_PER_SENDER`] transactions of this sender wait.
    SenderQueueFull,
    /// [`WAITING_MAX`] transactions or [`INHERENTS_MAX`] orders wait.
    QueueFull,
    /// A faucet payment below the existential deposit.
    BelowDeposit,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(why) => write!(f, "not a signed transaction: {why:?}"),
            Self::OtherLedger => f.write_str("signed for another ledger"),
            Self::StaleSlot => f.write_str("the nonce is spent"),
            Self::SlotTaken => f.write_str("another transaction with this nonce waits"),
            Self::SlotTooFar => f.write_str("the nonce is too far ahead"),
            Self::UnknownBirth => f.write_str("the birth block is not on this chain"),
            Self::PeriodTooLong => f.write_str("the period is too long"),
            Self::Expired => f.write_str("the era is over"),
            Self::CannotPayFee => f.write_str("the sender cannot pay the fee"),
            Self::SenderQueueFull => f.write_str("too many transactions of this sender wait"),
            Self::QueueFull => f.write_str("too many transactions wait"),
            Self::BelowDeposit => f.write_str("less than the existential deposit"),
        }
    }
}

impl std::error::Error for Refused {}

/// A fork would take back a final block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForkTooDeep;

/// Why a ledger cannot begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadGenesis {
    /// The existential deposit is zero: accounts would never close.
    NoDeposit,
    /// An account holds less than the existential deposit.
    BelowDeposit,
    /// The sum of all accounts passes [`MONEY_MAX`].
    TooMuch,
}
