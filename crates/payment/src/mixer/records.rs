//! What a mixer keeps on the disk, and how it begins again from it.
//!
//! ```text
//! key                          record
//! 'h'                          height, date, first slot not given, foreign spends, unclaimed sum
//! 'k' | since, 8 bytes         seed of an envelope key
//! 'o' | order, 16              an order
//! 'p' | fingerprint, 16        ledger second after which it may come again
//! 'r' | place, 16              a payment to be returned
//! 's' | slot, 8                a payment that has this slot
//! 'u' | place, 16              a payment that could not be returned
//! ```
//! Numbers in keys are big-endian; records are UBJSON.
//!
//! What always holds: a mixer that begins from its records does everything again that it had saved and
//! not seen done. An order's record is deleted when its payout is final; what stays is a fingerprint of
//! its envelope and one of its payout, with nothing in common.

use std::collections::BTreeMap;

use mixing::envelope::EnvelopeKey;
use mixing::keys::Secret;
use mixing::{Chance, Now, Pool, cipher};
use money::{Account, AccountKey, Amount, Place, Reference, Slot};

use super::{Config, Index, LedgerView, Mixer, Order, Purpose, Return, Timers, own_hash};
use crate::effect::{Change, OrderId};
use crate::peers::Peers;
use crate::slots::{self, Slots, place_bytes, place_from};
use crate::ubjson::{Fields, Malformed, Value, map};

/// A record on the disk that no version of this program wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadRecord(pub Malformed);

impl From<Malformed> for BadRecord {
    fn from(why: Malformed) -> Self {
        Self(why)
    }
}

fn change(table: u8, id: &[u8], value: Option<Value>) -> Change {
    Change { key: [&[table], id].concat(), value: value.map(|value| value.to_bytes()) }
}

pub(super) fn order(id: OrderId, order: Option<&Order>) -> Change {
    Change { key: [&b"o"[..], &id].concat(), value: order.map(Order::to_bytes) }
}

pub(super) fn seen(print: [u8; 16], until: Option<u64>) -> Change {
    change(b'p', &print, until.map(Value::from))
}

pub(super) fn return_of(place: Place, back: Option<&Return>) -> Change {
    change(b'r', &place_bytes(place), back.map(Return::to_value))
}

pub(super) fn unclaimed(place: Place, back: Option<&Return>) -> Change {
    change(b'u', &place_bytes(place), back.map(Return::to_value))
}

pub(super) fn key(since: u64, seed: Option<&[u8; 32]>) -> Change {
    change(b'k', &since.to_be_bytes(), seed.map(|seed| Value::from(&seed[..])))
}

pub(super) fn height(ledger: &LedgerView, next: Slot) -> Change {
    let value = map([
        ("height", Value::from(ledger.height)),
        ("date", Value::from(ledger.date)),
        ("next", Value::from(next.0)),
        ("foreign", Value::Bool(ledger.foreign)),
        ("doubt", Value::Bool(ledger.doubt)),
        ("beyond", Value::from(ledger.beyond)),
    ]);
    change(b'h', &[], Some(value))
}

/// What is remembered of a payout's reference.
pub(crate) fn print(reference: &Reference) -> [u8; 16] {
    let hash = cipher::hash("mingle reference print v1", &[reference.as_bytes()]);
    std::array::from_fn(|i| hash[i])
}

impl Return {
    fn to_value(&self) -> Value {
        map([
            ("to", Value::from(&self.to.as_bytes()[..])),
            ("amount", Value::from(self.amount.units())),
            ("reference", Value::from(self.reference.as_bytes())),
            ("failures", Value::from(self.failures)),
        ])
    }

    fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut fields = Fields::new(Value::from_bytes(bytes)?)?;
        let to = Account::from_bytes(fields.array("to")?);
        let amount = Amount::from_units(fields.number("amount")?);
        let reference = Reference::new(&fields.bytes("reference")?);
        let reference = reference.ok_or(Malformed::WrongValue("reference"))?;
        let back = Self { to, amount, reference, failures: fields.count("failures")? };
        fields.end()?;
        Ok(back)
    }
}

/// A mixer that is being given its records.
pub struct Resuming(Mixer);

impl Resuming {
    /// Takes one of them, in any order.
    ///
    /// # Errors
    /// [`BadRecord`].
    pub fn take(&mut self, key: &[u8], record: &[u8]) -> Result<(), BadRecord> {
        self.0.take(key, record)
    }

    /// That was all of them.
    pub fn done(self, now: Now) -> Mixer {
        let Self(mut mixer) = self;
        mixer.keys.sort_by_key(|(since, _)| *since);
        if mixer.keys.is_empty() {
            // Not saved: replaced by one that is with the first block, before anything is signed.
            mixer.keys.push((0, EnvelopeKey::generate(&mut mixer.chance)));
        }
        mixer.begin_again(now);
        mixer
    }
}

impl Mixer {
    /// Begins from records, or from none. Without records the first block looked at is the one after
    /// `final_height`: the newest final one for a new mixer; for one whose file is lost, one before
    /// its oldest deposit, so that what came in since is found and returned or booked.
    ///
    /// # Errors
    /// [`BadRecord`]: the folder is another's, or spoiled.
    ///
    /// # Panics
    /// If the configuration does not pass [`Config::check`].
    pub fn resume(
        config: Config,
        key: AccountKey,
        chance: Chance,
        records: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>,
        final_height: u64,
        now: Now,
    ) -> Result<Self, BadRecord> {
        let mut resuming = Self::resuming(config, key, chance, final_height, now);
        for (key, record) in records {
            resuming.take(&key, &record)?;
        }
        Ok(resuming.done(now))
    }

    /// As [`Self::resume`], for who gives the records piece by piece.
    ///
    /// # Panics
    /// As there.
    pub fn resuming(
        config: Config,
        key: AccountKey,
        mut chance: Chance,
        final_height: u64,
        now: Now,
    ) -> Resuming {
        assert_eq!(config.check(), Ok(()), "configurations are checked where they are read");
        let account = key.account();
        let seed_key = Secret::new(*key.derive("mingle mixer seeds v1"));
        Resuming(Self {
            hash: own_hash(&config, &account),
            peers: Peers::new(config.currency.clone(), account, config.inside, chance.fork()),
            slots: Slots::new(Slot(0), config.period),
            return_pool: Pool::new(config.strategy.clone(), config.returns_max),
            config,
            key,
            account,
            chance,
            seed_key,
            keys: Vec::new(),
            orders: BTreeMap::new(),
            index: Index::default(),
            returns: BTreeMap::new(),
            unclaimed: BTreeMap::new(),
            pools: BTreeMap::new(),
            timers: Timers::default(),
            ledger: LedgerView {
                height: final_height,
                newest: final_height,
                date: 0,
                heard: now.time,
                solvent: false,
                foreign: false,
                doubt: false,
                beyond: 0,
            },
        })
    }

    fn take(&mut self, key: &[u8], record: &[u8]) -> Result<(), BadRecord> {
        let wrong = Malformed::WrongValue("key");
        let (table, id) = key.split_first().ok_or(wrong)?;
        let wide = |id: &[u8]| <[u8; 16]>::try_from(id).map_err(|_| wrong);
        match table {
            b'h' if id.is_empty() => self.take_height(record)?,
            b'k' => {
                let since = u64::from_be_bytes(id.try_into().map_err(|_| wrong)?);
                let Value::Bytes(seed) = Value::from_bytes(record)? else {
                    return Err(wrong.into());
                };
                let seed = <[u8; 32]>::try_from(seed).map_err(|_| wrong)?;
                self.keys.push((since, EnvelopeKey::from_seed(seed)));
            }
            b'o' => self.insert(wide(id)?, Order::read(record)?),
            b'p' => {
                let Value::Int(until) = Value::from_bytes(record)? else {
                    return Err(wrong.into());
                };
                self.index.see(wide(id)?, u64::try_from(until).map_err(|_| wrong)?);
            }
            b'r' => {
                self.returns.insert(place_from(wide(id)?), Return::read(record)?);
            }
            b's' => {
                self.slots.resume(slots::slot_of(key).ok_or(wrong)?, record)?;
            }
            b'u' => {
                self.unclaimed.insert(place_from(wide(id)?), Return::read(record)?);
            }
            _ => return Err(wrong.into()),
        }
        Ok(())
    }

    fn take_height(&mut self, record: &[u8]) -> Result<(), Malformed> {
        let mut fields = Fields::new(Value::from_bytes(record)?)?;
        self.ledger.height = fields.count("height")?;
        self.ledger.date = fields.number("date")?;
        self.slots.advance(Slot(fields.count("next")?));
        self.ledger.foreign = fields.flag("foreign")?;
        self.ledger.doubt = fields.flag("doubt")?;
        self.ledger.beyond = fields.count("beyond")?;
        fields.end()
    }

    /// Asks again, promises again, and lets funded orders wait again.
    fn begin_again(&mut self, now: Now) {
        let ids: Vec<_> = self.orders.keys().copied().collect();
        for id in ids {
            if self.message(&id).is_some() {
                self.send_later(now, id);
            }
            if matches!(self.orders.get(&id), Some(Order::Funded(_))) {
                self.pool(now, Purpose::Order(id));
            }
        }
        let purposes = self.returns.keys().map(|place| Purpose::Return(*place));
        let slotless: Vec<_> = purposes.filter(|purpose| !self.slots.holds(*purpose)).collect();
        for purpose in slotless {
            self.pool(now, purpose);
        }
    }
}
