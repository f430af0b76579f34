//! What comes into a machine and what goes out of it.
//!
//! ```text
//! shell ─► Input ─► Mixer::receive ─► [Save, then Reply, Ask, Sign, Broadcast, Tell] ─► shell
//! ```
//! The shell performs effects in their order, each [`Effect::Save`] as one transaction that is on the
//! disk before the next effect begins. If a save fails, the node stops: what it meant to do is done
//! after the next start.
//!
//! What always holds: doing everything but a save a second time, or losing it, changes nothing.

use std::fmt;
use std::time::Duration;

use mixing::Now;
use money::{Account, Amount, LedgerTime, Reference, Slot, Transfer};

use crate::document::BadDocument;
use crate::onion::Unopened;

/// Names an order, or a payer's part: the fingerprint of its onion's first envelope.
pub type OrderId = [u8; 16];

/// What happens to a mixer.
#[derive(Clone, Debug)]
pub enum Input {
    /// Somebody asks for a promise: body of `/mix`. `owned` is what the sender's account holds on the
    /// final chain; only payers are asked for it.
    Request {
        /// The signed request.
        body: Vec<u8>,
        /// The sender's balance, zero if unknown.
        owned: Amount,
    },
    /// A mixer hands its promises back: body of `/confirm`.
    Confirm {
        /// The signed document.
        body: Vec<u8>,
    },
    /// A payer asks for the promises: body of `/getconfirm`.
    GetConfirm {
        /// The signed document.
        body: Vec<u8>,
    },
    /// What came of an [`Effect::Ask`].
    Heard {
        /// Which order it was about.
        order: OrderId,
        /// The answer, or why there is none.
        answer: Result<Answer, Unheard>,
    },
    /// A payment was signed for its slot.
    Signed {
        /// The slot.
        slot: Slot,
        /// The signed transaction.
        bytes: Vec<u8>,
        /// The last block it can stand in.
        last: u64,
    },
    /// The next final block.
    Block(FinalBlock),
}

/// What a final block means for one account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FinalBlock {
    /// Its height; blocks come one by one, without gaps.
    pub height: u64,
    /// Its time.
    pub time: LedgerTime,
    /// Height of the newest final block when this one was read.
    pub newest: u64,
    /// Payments to the account, in ledger order.
    pub received: Vec<Transfer>,
    /// The account's own transactions, in ledger order.
    pub spent: Vec<Spent>,
    /// What the account holds after this block.
    pub balance: Amount,
    /// The account's first unspent slot after this block.
    pub slot: Slot,
}

/// One of the account's own transactions in a final block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spent {
    /// The slot it used up.
    pub slot: Slot,
    /// Whether its calls happened.
    pub done: bool,
    /// The payments it made; none if its calls did not happen.
    pub transfers: Vec<Transfer>,
}

/// What a machine wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Keep these changes, all or none, before anything that follows.
    Save(Vec<Change>),
    /// Answer the request that was just given in.
    Reply(Answer),
    /// Send a command to a mixer and give its answer in as [`Input::Heard`].
    Ask {
        /// The order it is about.
        order: OrderId,
        /// The mixer.
        to: Account,
        /// The command.
        command: Command,
    },
    /// Sign a payment for a slot, to live `period` blocks from the newest final one, and give it in
    /// as [`Input::Signed`]. Without a payment: an empty remark that only uses up the slot.
    Sign {
        /// The slot.
        slot: Slot,
        /// What to pay.
        payment: Option<Payment>,
        /// Life in blocks.
        period: u32,
    },
    /// Send a signed transaction to the ledger.
    Broadcast(Vec<u8>),
    /// Tell the operator.
    Tell(Notice),
}

/// One record that changes: stored under `key`, or deleted. The first byte of a key names its table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The key.
    pub key: Vec<u8>,
    /// The record, or nothing if it is to be deleted.
    pub value: Option<Vec<u8>>,
}

/// Money to be sent, without where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payment {
    /// To whom.
    pub to: Account,
    /// How much.
    pub amount: Amount,
    /// With which reference.
    pub reference: Reference,
}

impl Payment {
    /// Whether a transfer is this payment.
    pub fn is(&self, transfer: &Transfer) -> bool {
        self.to == transfer.to
            && self.amount == transfer.amount
            && Some(&self.reference) == transfer.reference.as_ref()
    }
}

/// A command to a mixer, with its signed body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// `/mix/SENDER/AMOUNT/BASE[/client]`.
    Mix(Vec<u8>),
    /// `/confirm/RECEIVER_HASH/OUT_SEED1`.
    Confirm(Vec<u8>),
    /// `/getconfirm/SENDER_PUBKEY/IN_SEED1`.
    GetConfirm(Vec<u8>),
}

/// What a mixer answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// To `/mix`: the seed of the payment asked for (`mix_ok`).
    Seed([u8; 32]),
    /// To `/confirm`: taken.
    Taken,
    /// To `/getconfirm`: the promises (`confirm`).
    Promises(Vec<u8>),
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unheard {
    /// Not reached, or out of time; worth another try.
    Unreachable,
    /// It refused, and said that trying again is useless.
    Refused,
}

/// What the operator should know. Holds nothing that could join in with out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The account spent a slot in a way that we do not know: another program uses it, or the
    /// database is an old copy. No new promises.
    ForeignSpend,
    /// The account's slots began again: it was emptied. Nothing is sent any more.
    SlotsWentBack,
    /// The balance does not cover what is owed. No new promises.
    Insolvent,
    /// It does again.
    Solvent,
    /// A payment could not be returned and is kept as unclaimed.
    Unclaimed,
    /// A funded order needs the operator.
    Stuck,
}

/// Why a mixer does not do what it is asked. Nothing has changed then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The body is no such document.
    Document(BadDocument),
    /// It is meant for another mixer.
    NotForUs,
    /// Its date is more than an hour from the newest final block's.
    DateFar,
    /// The mixer does not know its sender.
    UnknownSender,
    /// The onion cannot be opened.
    Onion(Unopened),
    /// Its envelope was opened before.
    Replayed,
    /// The layer and the request say different things.
    Contradiction,
    /// The amounts are not a denomination, or not one with this mixer's fee.
    WrongAmount,
    /// The dates leave too little time, or too much.
    WrongDates,
    /// Payer, mixer and receiver are not three.
    NotDistinct,
    /// The next mixer is unknown.
    UnknownNext,
    /// As many orders as there may be.
    Full,
    /// As many unfunded orders of this sender as there may be.
    SenderFull,
    /// The sender's account does not hold what his unfunded orders sum up to.
    NotOwned,
    /// No new promises: no fresh final block, not caught up, insolvent, or a foreign spend.
    NoPromises,
    /// There is no such command.
    NoCommand,
    /// There is no such order.
    NoOrder,
    /// The order is not in a state in which this can happen.
    NotNow,
    /// The promises have not come back yet.
    NotYet,
    /// Another confirmation than the one taken before.
    Different,
    /// This payment's reference is another order's.
    ReferenceTaken,
    /// A block that is not the next one.
    OutOfOrder,
    /// A transaction that would live too long.
    EraTooLong,
}

impl Refused {
    /// The HTTP status that says so.
    pub fn status(self) -> u16 {
        match self {
            Self::Document(BadDocument::TooLong) => 413,
            Self::Document(BadDocument::BadSignature | BadDocument::UnknownSigner) => 403,
            Self::Document(_) | Self::Onion(_) | Self::Contradiction => 400,
            // A mixer that just started does not know everyone yet.
            Self::UnknownSender => 401,
            Self::NotForUs | Self::NotOwned => 403,
            Self::NoCommand => 405,
            Self::NoOrder | Self::UnknownNext => 404,
            Self::Replayed | Self::NotNow | Self::Different | Self::ReferenceTaken => 409,
            Self::WrongAmount | Self::WrongDates | Self::NotDistinct | Self::DateFar => 422,
            Self::NotYet => 425,
            Self::SenderFull => 429,
            Self::Full | Self::NoPromises => 503,
            Self::OutOfOrder | Self::EraTooLong => 500,
        }
    }

    /// Its name in answers.
    pub fn word(self) -> &'static str {
        match self {
            Self::Document(BadDocument::TooLong) => "too_long",
            Self::Document(BadDocument::BadSignature) => "bad_signature",
            Self::Document(BadDocument::UnknownSigner) => "unknown_signer",
            Self::Document(_) => "malformed",
            Self::NotForUs => "not_for_us",
            Self::DateFar => "date_far",
            Self::UnknownSender => "unknown_sender",
            Self::Onion(_) => "bad_onion",
            Self::Replayed => "replayed",
            Self::Contradiction => "contradiction",
            Self::WrongAmount => "wrong_amount",
            Self::WrongDates => "wrong_dates",
            Self::NotDistinct => "not_distinct",
            Self::UnknownNext => "unknown_next",
            Self::Full => "full",
            Self::SenderFull => "sender_full",
            Self::NotOwned => "not_owned",
            Self::NoPromises => "no_promises",
            Self::NoCommand => "no_command",
            Self::NoOrder => "no_order",
            Self::NotNow => "not_now",
            Self::NotYet => "not_yet",
            Self::Different => "different",
            Self::ReferenceTaken => "reference_taken",
            Self::OutOfOrder => "out_of_order",
            Self::EraTooLong => "era_too_long",
        }
    }

    /// Whether asking again later may help.
    pub fn is_passing(self) -> bool {
        is_passing(self.status())
    }
}

/// Whether asking again may help after a refusal of this status.
pub fn is_passing(status: u16) -> bool {
    matches!(status, 401 | 404 | 425 | 429 | 503)
}

impl fmt::Display for Refused {
    /// A sentence for who asked.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Document(BadDocument::TooLong) => "the document is too long",
            Self::Document(BadDocument::BadSignature) => "the signature does not fit the document",
            Self::Document(BadDocument::UnknownSigner) => "nobody who may sign this signed it",
            Self::Document(_) => "this is no document of the kind that belongs here",
            Self::NotForUs => "this is meant for another mixer",
            Self::DateFar => "the date is more than an hour from the ledger's time",
            Self::UnknownSender => "the sender is no mixer that is known here; it may become known",
            Self::Onion(_) => "the onion cannot be opened here",
            Self::Replayed => "this onion was opened before; build a new one",
            Self::Contradiction => "path, body and onion do not say the same",
            Self::WrongAmount => "the amounts are no denomination with this mixer's fee",
            Self::WrongDates => "the dates leave too little time, or too much",
            Self::NotDistinct => "sender, mixer and receiver must be three accounts",
            Self::UnknownNext => "the next mixer is not known here; it may become known",
            Self::Full => "there are as many orders as there may be; ask later",
            Self::SenderFull => "this sender has as many unfunded orders as it may; ask later",
            Self::NotOwned => "the account holds less than its unfunded orders and this one need",
            Self::NoPromises => "no promises are made at the moment; ask later",
            Self::NoCommand => "there is no such command",
            Self::NoOrder => "there is no such order",
            Self::NotNow => "the order is past that",
            Self::NotYet => "the promises have not come back yet; ask later",
            Self::Different => "another confirmation was taken before",
            Self::ReferenceTaken => "this payment serves another promise",
            Self::OutOfOrder => "that is not the next block",
            Self::EraTooLong => "that transaction would live too long",
        })
    }
}

impl From<BadDocument> for Refused {
    fn from(why: BadDocument) -> Self {
        Self::Document(why)
    }
}

impl From<Unopened> for Refused {
    fn from(why: Unopened) -> Self {
        Self::Onion(why)
    }
}

/// When something is tried again: 5 s after the first time, twice as long each time, at most 5 min.
pub fn retry_after(attempt: u32) -> Duration {
    Duration::from_secs(5 << attempt.min(6)).min(Duration::from_secs(300))
}

/// Whether the newest final block is fresh: less than ten block times ago by the local timer.
pub fn is_fresh(now: Now, seen: mixing::Time, block_time: Duration) -> bool {
    now.time - seen < block_time * 10
}
