//! Paying exactly once: every outgoing payment holds a slot that the ledger lets be used once.
//!
//! ```text
//! owe ─► waiting ─► give: slot, saved ─► Sign ─► signed, saved ─► Broadcast … until final ─► Settled
//!           ▲                                            │ era over: signed anew, same slot
//!           └──── the slot was spent otherwise ◄─────────┘
//! ```
//! What always holds: a slot is saved before anything is signed for it, and bytes are saved before they
//! are sent; slots are given in order without gaps; a payment gets another slot only when a final block
//! shows its old one spent by something else. So at most one transaction of a payment can ever land.
//!
//! After a start nothing gets a *new* slot until the final chain was read to its head and a whole era
//! has passed beyond that. The file may be an old copy: then the process before this one may have given
//! the same payment another slot, and its transaction may still be on the way. Once its era is over, it
//! is either on the final chain, and found there, or dead. Until then only what already has a slot is
//! sent, which cannot do harm twice. Who knows that nothing from before is still owed says so with
//! [`Slots::begin_anew`], and need not wait.
//!
//! Absent: what a payment is for; the caller says so with a [`Purpose`].

use std::collections::{BTreeMap, VecDeque};

use money::{Account, Place, Reference, Slot, Transfer};

use crate::document::BadDocument;
use crate::effect::{Change, Effect, FinalBlock, Notice, OrderId, Payment, Refused, Spent};
use crate::ubjson::{COUNT_MAX, Fields, Malformed, Value, map};

/// Why money is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// A mixer's payout, or the deposit of a payer's part.
    Order(OrderId),
    /// A payment goes back that came in at this place.
    Return(Place),
}

/// What a final block says about a payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// It is made.
    Paid(Purpose),
    /// Its slot is spent without it; it waits for another.
    Missed(Purpose),
    /// The account paid something that nobody here owes.
    Unknown(Transfer),
    /// The account used a slot that was not given, or not for this.
    Foreign,
}

/// The slots of one account.
pub struct Slots {
    /// The first slot not given.
    next: Slot,
    given: BTreeMap<Slot, Given>,
    waiting: VecDeque<(Purpose, Payment)>,
    period: u32,
    /// How many blocks must become final after a start before a new slot is given.
    quiet: u32,
    stage: Stage,
    /// The newest final block heard of.
    newest: u64,
}

/// How far a start has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// No block seen.
    Started,
    /// Transactions of an earlier process may land up to this height.
    Quiet { until: u64 },
    /// Nobody else's transaction is on the way.
    Clear,
    /// The account began anew; nothing is safe.
    Halted,
}

/// A slot in use. Without a payment it is to be used up by an empty remark.
struct Given {
    due: Option<(Purpose, Payment)>,
    signed: Option<Signed>,
}

struct Signed {
    bytes: Vec<u8>,
    last: u64,
}

/// The most slots in use at once.
pub const GIVEN_MAX: usize = 256;

impl Slots {
    /// Begins with what was saved: the first slot not given, and each slot's record.
    pub fn new(next: Slot, period: u32) -> Self {
        Self {
            next,
            given: BTreeMap::new(),
            waiting: VecDeque::new(),
            period,
            quiet: period,
            stage: Stage::Started,
            newest: 0,
        }
    }

    /// Says that nothing which will be owed can have been owed before this start: then no transaction of
    /// an earlier process can make a payment of this one, and new slots are given as soon as the final
    /// chain was read to its head.
    pub fn begin_anew(&mut self) {
        self.quiet = 0;
    }

    /// Takes a saved record back.
    ///
    /// # Errors
    /// [`Malformed`] if it is none of ours.
    pub fn resume(&mut self, slot: Slot, record: &[u8]) -> Result<Option<Purpose>, Malformed> {
        let given = Given::read(record)?;
        let purpose = given.due.as_ref().map(|(purpose, _)| *purpose);
        self.next = self.next.max(slot.next());
        self.given.insert(slot, given);
        Ok(purpose)
    }

    /// Takes the saved number of the first slot not given.
    pub fn advance(&mut self, next: Slot) {
        self.next = self.next.max(next);
    }

    /// The first slot not given, to be saved.
    pub fn next(&self) -> Slot {
        self.next
    }

    /// Whether new slots are given.
    pub fn is_clear(&self) -> bool {
        self.stage == Stage::Clear
    }

    /// Whether a payment is on its way or waits for its slot.
    pub fn holds(&self, purpose: Purpose) -> bool {
        let given = self.given.values().filter_map(|given| given.due.as_ref());
        given.chain(&self.waiting).any(|(other, _)| *other == purpose)
    }

    /// Whether a payment waits for a slot and has none.
    pub fn lets_wait(&self, purpose: Purpose) -> bool {
        self.waiting.iter().any(|(other, _)| *other == purpose)
    }

    /// How many payments are on their way or wait for a slot.
    pub fn len(&self) -> usize {
        self.given.len() + self.waiting.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Lets a payment wait for its slot.
    pub fn owe(&mut self, purpose: Purpose, payment: Payment) {
        self.waiting.push_back((purpose, payment));
    }

    /// Gives slots to what waits. The purposes are the caller's to save, together with `changes`,
    /// before [`Effect::Sign`] is done.
    pub fn give(
        &mut self,
        changes: &mut Vec<Change>,
        out: &mut Vec<Effect>,
    ) -> Vec<(Purpose, Slot)> {
        let mut given = Vec::new();
        while self.stage == Stage::Clear && self.given.len() < GIVEN_MAX {
            let Some((purpose, payment)) = self.waiting.pop_front() else { break };
            let slot = self.next;
            self.next = slot.next();
            out.push(self.sign(slot, Some(payment.clone())));
            let record = Given { due: Some((purpose, payment)), signed: None };
            changes.push(Change { key: key(slot), value: Some(record.to_bytes()) });
            self.given.insert(slot, record);
            given.push((purpose, slot));
        }
        given
    }

    fn sign(&self, slot: Slot, payment: Option<Payment>) -> Effect {
        Effect::Sign { slot, payment, period: self.period }
    }

    /// Takes a signed transaction: saved, then sent.
    ///
    /// # Errors
    /// [`Refused::EraTooLong`], and [`Refused::NotNow`] for a slot that is not to be signed.
    pub fn on_signed(
        &mut self,
        slot: Slot,
        bytes: Vec<u8>,
        last: u64,
        out: &mut Vec<Effect>,
    ) -> Result<(), Refused> {
        if last > self.newest + u64::from(self.period) {
            return Err(Refused::EraTooLong);
        }
        let given = self.given.get_mut(&slot).ok_or(Refused::NotNow)?;
        if given.signed.is_some() {
            return Err(Refused::NotNow);
        }
        given.signed = Some(Signed { bytes: bytes.clone(), last });
        out.push(Effect::Save(vec![Change { key: key(slot), value: Some(given.to_bytes()) }]));
        out.push(Effect::Broadcast(bytes));
        Ok(())
    }

    /// Reads the account's own transactions in the next final block.
    pub fn on_block(&mut self, block: &FinalBlock, changes: &mut Vec<Change>) -> Vec<Settled> {
        self.newest = block.newest;
        if self.stage == Stage::Started {
            self.stage = Stage::Quiet { until: block.newest + u64::from(self.quiet) };
        }
        let mut settled = Vec::new();
        for spent in &block.spent {
            self.on_spent(spent, changes, &mut settled);
        }
        let first = self.given.keys().next().copied().unwrap_or(self.next);
        if block.height == block.newest {
            // What the account spent before our first block was never shown to us.
            self.next = self.next.max(block.slot);
        }
        match self.stage {
            _ if block.slot < first && block.height == block.newest => self.stage = Stage::Halted,
            Stage::Quiet { until } if block.height >= until.max(block.newest) => {
                self.stage = Stage::Clear;
            }
            Stage::Started | Stage::Quiet { .. } | Stage::Clear | Stage::Halted => {}
        }
        settled
    }

    fn on_spent(&mut self, spent: &Spent, changes: &mut Vec<Change>, settled: &mut Vec<Settled>) {
        let given = self.given.remove(&spent.slot);
        if given.is_some() {
            changes.push(Change { key: key(spent.slot), value: None });
        }
        let known = given.is_some();
        self.next = self.next.max(spent.slot.next());
        let mut transfers: Vec<_> = spent.transfers.iter().collect();
        let mut is_ours = known && !spent.done;
        match given.and_then(|given| given.due) {
            Some((purpose, payment)) => match transfers.iter().position(|t| payment.is(t)) {
                Some(at) => {
                    transfers.remove(at);
                    is_ours = true;
                    settled.push(Settled::Paid(purpose));
                }
                None => {
                    // In front: it has waited longest.
                    self.waiting.push_front((purpose, payment));
                    settled.push(Settled::Missed(purpose));
                }
            },
            None => is_ours |= known && transfers.is_empty(),
        }
        for transfer in transfers {
            settled.push(match self.withdraw(transfer, changes) {
                Some(purpose) => Settled::Paid(purpose),
                None => Settled::Unknown(transfer.clone()),
            });
        }
        if !is_ours {
            settled.push(Settled::Foreign);
        }
    }

    /// Finds the payment that a transfer made from another slot than its own, as happens when the
    /// file is an old copy. A slot it had is left to an empty remark.
    fn withdraw(&mut self, transfer: &Transfer, changes: &mut Vec<Change>) -> Option<Purpose> {
        if let Some(at) = self.waiting.iter().position(|(_, payment)| payment.is(transfer)) {
            return self.waiting.remove(at).map(|(purpose, _)| purpose);
        }
        let is_it = |given: &Given| given.due.as_ref().is_some_and(|(_, due)| due.is(transfer));
        let given = self.given.values().find(|given| is_it(given))?;
        let purpose = given.due.as_ref().map(|(purpose, _)| *purpose)?;
        self.forget(purpose, changes);
        Some(purpose)
    }

    /// Takes back a payment that the chain shows as settled otherwise. A slot it had is left to an
    /// empty remark.
    pub fn forget(&mut self, purpose: Purpose, changes: &mut Vec<Change>) {
        self.forget_waiting(purpose);
        for (slot, given) in &mut self.given {
            if given.due.as_ref().is_some_and(|(other, _)| *other == purpose) {
                *given = Given { due: None, signed: None };
                changes.push(Change { key: key(*slot), value: Some(given.to_bytes()) });
            }
        }
    }

    /// Takes back a payment that has no slot yet.
    pub fn forget_waiting(&mut self, purpose: Purpose) {
        self.waiting.retain(|(other, _)| *other != purpose);
    }

    /// Signs what is unsigned or whose era is over, and sends the rest once more. To be called after
    /// each final block; does nothing before the newest.
    pub fn press(&mut self, block: &FinalBlock, out: &mut Vec<Effect>) {
        if block.height != block.newest {
            return;
        }
        if self.stage == Stage::Halted {
            return out.push(Effect::Tell(Notice::SlotsWentBack));
        }
        let mut unsigned = Vec::new();
        for (slot, given) in &mut self.given {
            // The last block it can stand in is final without it: it is dead.
            given.signed.take_if(|signed| signed.last <= block.height);
            match &given.signed {
                Some(signed) => out.push(Effect::Broadcast(signed.bytes.clone())),
                None => unsigned.push((*slot, given.due.as_ref().map(|(_, p)| p.clone()))),
            }
        }
        for (slot, payment) in unsigned {
            out.push(self.sign(slot, payment));
        }
    }
}

/// The table of slots among the records.
pub const TABLE: u8 = b's';

fn key(slot: Slot) -> Vec<u8> {
    let mut key = vec![TABLE];
    key.extend_from_slice(&slot.0.to_be_bytes());
    key
}

/// Reads the slot in a key.
pub fn slot_of(key: &[u8]) -> Option<Slot> {
    let (table, number) = key.split_first()?;
    let number = u64::from_be_bytes(number.try_into().ok()?);
    (*table == TABLE && number <= COUNT_MAX).then_some(Slot(number))
}

/// Writes a place as 16 bytes: block, extrinsic, event, big-endian.
pub fn place_bytes(place: Place) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&place.block.to_be_bytes());
    bytes[8..12].copy_from_slice(&place.extrinsic.to_be_bytes());
    bytes[12..].copy_from_slice(&place.event.to_be_bytes());
    bytes
}

/// Reads a place from 16 bytes.
pub fn place_from(bytes: [u8; 16]) -> Place {
    let number = u128::from_be_bytes(bytes);
    Place { block: (number >> 64) as u64, extrinsic: (number >> 32) as u32, event: number as u32 }
}

impl Given {
    fn to_bytes(&self) -> Vec<u8> {
        let due = self.due.as_ref().map_or(Value::Null, |(purpose, payment)| {
            let (kind, id) = match purpose {
                Purpose::Order(id) => (0, *id),
                Purpose::Return(place) => (1, place_bytes(*place)),
            };
            map([
                ("kind", Value::Int(kind)),
                ("id", Value::from(&id[..])),
                ("to", Value::from(&payment.to.as_bytes()[..])),
                ("amount", Value::from(payment.amount.units())),
                ("reference", Value::from(payment.reference.as_bytes())),
            ])
        });
        let signed = self.signed.as_ref().map_or(Value::Null, |signed| {
            map([("bytes", Value::from(&signed.bytes[..])), ("last", Value::from(signed.last))])
        });
        map([("due", due), ("signed", signed)]).to_bytes()
    }

    fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut fields = Fields::new(Value::from_bytes(bytes)?)?;
        let due = match fields.take("due")? {
            Value::Null => None,
            value => Some(read_due(Fields::new(value)?)?),
        };
        let signed = match fields.take("signed")? {
            Value::Null => None,
            value => {
                let mut fields = Fields::new(value)?;
                Some(Signed { bytes: fields.bytes("bytes")?, last: fields.number("last")? })
            }
        };
        fields.end()?;
        Ok(Self { due, signed })
    }
}

fn read_due(mut fields: Fields) -> Result<(Purpose, Payment), Malformed> {
    let kind = fields.number("kind")?;
    let id = fields.array("id")?;
    let purpose = match kind {
        0 => Purpose::Order(id),
        1 => Purpose::Return(place_from(id)),
        _ => return Err(Malformed::WrongValue("kind")),
    };
    let to = Account::from_bytes(fields.array("to")?);
    let amount = money::Amount::from_units(fields.number("amount")?);
    let reference = Reference::new(&fields.bytes("reference")?);
    let reference = reference.ok_or(Malformed::WrongValue("reference"))?;
    fields.end()?;
    Ok((purpose, Payment { to, amount, reference }))
}

impl From<Malformed> for Refused {
    fn from(why: Malformed) -> Self {
        Self::Document(BadDocument::Malformed(why))
    }
}
