//! One order's life at one mixer, and every legal step of it.
//!
//! ```text
//! Requested ─► Answered ─► Promised ─► Funded ─► Paying ─► (paid: forgotten)
//!     │            │          │          ▲          │
//!     └────────────┴──────────┘          └──────────┤ slot spent otherwise
//!          expired: forgotten                       └──► Stuck, after too many failures
//! ```
//! The last mixer of a route goes from nothing to `Promised` at once.
//!
//! What always holds: a state holds only what is true in it; one-time and hop keys are gone once the
//! promise is made, the promises are gone once the money came. Whether a funded order lies in the pool
//! is not a state: pools live in memory and are filled anew after a start.

use mixing::keys::Secret;
use money::{Account, Amount, Place, Slot};

use crate::document::Promise;
use crate::slots::{place_bytes, place_from};
use crate::ubjson::{Fields, Malformed, Value, map};

/// What a mixer was asked to do, and agreed to try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deal {
    /// Hash of the request's bytes, to know it again.
    pub request: [u8; 32],
    /// Whether the sender is a payer.
    pub client: bool,
    /// Who pays in.
    pub sender: Account,
    /// How much.
    pub in_amount: Amount,
    /// The seeds of the deposit: ours, then the payer's.
    pub in_seeds: [[u8; 32]; 2],
    /// Whom we pay.
    pub next: Account,
    /// Whether that is a mixer.
    pub next_is_mixer: bool,
    /// How much.
    pub out_amount: Amount,
    /// The payer's seed of the payout.
    pub out_seed: [u8; 32],
    /// When it was asked, seconds, like all dates here.
    pub req_date: u64,
    /// The latest block time of the deposit.
    pub expire_date: u64,
    /// The latest block time of the payout.
    pub payout_date: u64,
}

impl Deal {
    /// The promise that this deal makes, with the seed of whoever is paid.
    pub fn promise(&self, node: Account, their_seed: [u8; 32]) -> Promise {
        Promise {
            node,
            sender: self.sender,
            receiver: self.next,
            in_amount: self.in_amount,
            in_seeds: self.in_seeds,
            out_amount: self.out_amount,
            out_seeds: [their_seed, self.out_seed],
            req_date: self.req_date,
            expire_date: self.expire_date,
            payout_date: self.payout_date,
        }
    }
}

/// The keys of a layer that are needed until the promise is made.
#[derive(Debug)]
pub struct HopKeys {
    /// Our promise goes back under it.
    pub one_time: Secret<32>,
    /// Masks what came from the next hop.
    pub hop_key: Secret<32>,
}

/// A deal whose deposit is final.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fund {
    /// What was agreed.
    pub deal: Deal,
    /// The seed of whoever is paid.
    pub their_seed: [u8; 32],
    /// Hash of the confirmation taken, zeros if nobody confirms.
    pub confirmed: [u8; 32],
    /// Where the deposit stands.
    pub deposit: Place,
    /// How many blocks used up this payout's slot without it.
    pub failures: u64,
}

/// An order.
#[derive(Debug)]
pub enum Order {
    /// The next mixer is being asked.
    Requested {
        /// What was asked of us.
        deal: Deal,
        /// For our promise.
        keys: HopKeys,
        /// What we ask, to the byte.
        ask: Vec<u8>,
    },
    /// The next mixer gave its seed; its promises have not come.
    Answered {
        /// What was asked of us.
        deal: Deal,
        /// For our promise.
        keys: HopKeys,
        /// The next mixer's seed.
        their_seed: [u8; 32],
    },
    /// We promised; no deposit yet.
    Promised {
        /// What we promised.
        deal: Deal,
        /// The seed of whoever is paid.
        their_seed: [u8; 32],
        /// Hash of the confirmation taken, zeros if nobody confirms.
        confirmed: [u8; 32],
        /// What goes back, to the byte.
        promises: Vec<u8>,
        /// Whether the mixer before has it.
        acknowledged: bool,
    },
    /// The deposit is final; the payout waits for company.
    Funded(Fund),
    /// The payout has a slot.
    Paying(Fund, Slot),
    /// The payout fails again and again; the operator must look.
    Stuck(Fund),
}

/// What moves an order on.
#[derive(Clone, Debug)]
pub enum Step {
    /// The next mixer gave its seed.
    Answer([u8; 32]),
    /// The promises are made.
    Promise {
        /// Hash of the confirmation taken.
        confirmed: [u8; 32],
        /// What goes back.
        promises: Vec<u8>,
    },
    /// The mixer before has the promises.
    Acknowledge,
    /// The deposit is final at this place.
    Deposit(Place),
    /// The payout was given a slot.
    Slot(Slot),
    /// The slot was spent without the payout.
    Miss,
    /// The operator tries again.
    Retry,
}

/// After so many failed payouts an order is stuck.
pub const FAILURES_MAX: u64 = 8;

impl Order {
    /// The names of all states.
    pub const NAMES: [&'static str; 6] =
        ["requested", "answered", "promised", "funded", "paying", "stuck"];

    /// The state in one word.
    pub fn name(&self) -> &'static str {
        let at = match self {
            Self::Requested { .. } => 0,
            Self::Answered { .. } => 1,
            Self::Promised { .. } => 2,
            Self::Funded(_) => 3,
            Self::Paying(..) => 4,
            Self::Stuck(_) => 5,
        };
        Self::NAMES[at]
    }

    /// What was agreed.
    pub fn deal(&self) -> &Deal {
        match self {
            Self::Requested { deal, .. } | Self::Answered { deal, .. } => deal,
            Self::Promised { deal, .. } => deal,
            Self::Funded(fund) | Self::Paying(fund, _) | Self::Stuck(fund) => &fund.deal,
        }
    }

    /// The promise, if it is made.
    pub fn promise(&self, node: Account) -> Option<Promise> {
        match self {
            Self::Requested { .. } | Self::Answered { .. } => None,
            Self::Promised { deal, their_seed, .. } => Some(deal.promise(node, *their_seed)),
            Self::Funded(fund) | Self::Paying(fund, _) | Self::Stuck(fund) => {
                Some(fund.deal.promise(node, fund.their_seed))
            }
        }
    }

    /// Whether the deposit is final.
    pub fn is_funded(&self) -> bool {
        match self {
            Self::Requested { .. } | Self::Answered { .. } | Self::Promised { .. } => false,
            Self::Funded(_) | Self::Paying(..) | Self::Stuck(_) => true,
        }
    }

    /// Takes a step.
    ///
    /// # Errors
    /// The order as it was, if this step is not possible now.
    pub fn step(self, step: Step) -> Result<Self, Box<Self>> {
        match (self, step) {
            (Self::Requested { deal, keys, .. }, Step::Answer(their_seed)) => {
                Ok(Self::Answered { deal, keys, their_seed })
            }
            (Self::Answered { deal, their_seed, .. }, Step::Promise { confirmed, promises }) => {
                Ok(Self::Promised { deal, their_seed, confirmed, promises, acknowledged: false })
            }
            (Self::Promised { deal, their_seed, confirmed, promises, .. }, Step::Acknowledge) => {
                Ok(Self::Promised { deal, their_seed, confirmed, promises, acknowledged: true })
            }
            (Self::Promised { deal, their_seed, confirmed, .. }, Step::Deposit(deposit)) => {
                Ok(Self::Funded(Fund { deal, their_seed, confirmed, deposit, failures: 0 }))
            }
            (Self::Funded(fund), Step::Slot(slot)) => Ok(Self::Paying(fund, slot)),
            (Self::Paying(mut fund, _), Step::Miss) => {
                fund.failures += 1;
                match fund.failures < FAILURES_MAX {
                    true => Ok(Self::Funded(fund)),
                    false => Ok(Self::Stuck(fund)),
                }
            }
            (Self::Stuck(mut fund), Step::Retry) => {
                fund.failures = 0;
                Ok(Self::Funded(fund))
            }
            (
                order @ Self::Requested { .. },
                Step::Promise { .. }
                | Step::Acknowledge
                | Step::Deposit(_)
                | Step::Slot(_)
                | Step::Miss
                | Step::Retry,
            )
            | (
                order @ Self::Answered { .. },
                Step::Answer(_)
                | Step::Acknowledge
                | Step::Deposit(_)
                | Step::Slot(_)
                | Step::Miss
                | Step::Retry,
            )
            | (
                order @ Self::Promised { .. },
                Step::Answer(_) | Step::Promise { .. } | Step::Slot(_) | Step::Miss | Step::Retry,
            )
            | (
                order @ Self::Funded(_),
                Step::Answer(_)
                | Step::Promise { .. }
                | Step::Acknowledge
                | Step::Deposit(_)
                | Step::Miss
                | Step::Retry,
            )
            | (
                order @ Self::Paying(..),
                Step::Answer(_)
                | Step::Promise { .. }
                | Step::Acknowledge
                | Step::Deposit(_)
                | Step::Slot(_)
                | Step::Retry,
            )
            | (
                order @ Self::Stuck(_),
                Step::Answer(_)
                | Step::Promise { .. }
                | Step::Acknowledge
                | Step::Deposit(_)
                | Step::Slot(_)
                | Step::Miss,
            ) => Err(Box::new(order)),
        }
    }
}

impl Order {
    /// Writes the record.
    pub fn to_bytes(&self) -> Vec<u8> {
        let deal = ("deal", self.deal().to_value());
        let bytes = |bytes: &[u8]| Value::from(bytes);
        match self {
            Self::Requested { keys, ask, .. } => map([
                ("state", Value::from("requested")),
                deal,
                ("one_time", bytes(keys.one_time.expose())),
                ("hop_key", bytes(keys.hop_key.expose())),
                ("ask", bytes(ask)),
            ]),
            Self::Answered { keys, their_seed, .. } => map([
                ("state", Value::from("answered")),
                deal,
                ("one_time", bytes(keys.one_time.expose())),
                ("hop_key", bytes(keys.hop_key.expose())),
                ("their_seed", bytes(their_seed)),
            ]),
            Self::Promised { their_seed, confirmed, promises, acknowledged, .. } => map([
                ("state", Value::from("promised")),
                deal,
                ("their_seed", bytes(their_seed)),
                ("confirmed", bytes(confirmed)),
                ("promises", bytes(promises)),
                ("acknowledged", Value::Bool(*acknowledged)),
            ]),
            Self::Funded(fund) => fund.to_value("funded", Slot(0)),
            Self::Paying(fund, slot) => fund.to_value("paying", *slot),
            Self::Stuck(fund) => fund.to_value("stuck", Slot(0)),
        }
        .to_bytes()
    }

    /// Reads a record.
    ///
    /// # Errors
    /// [`Malformed`] if it is none of ours.
    pub fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut fields = Fields::new(Value::from_bytes(bytes)?)?;
        let state = fields.text("state")?;
        let deal = Deal::read(Fields::new(fields.take("deal")?)?)?;
        let order = match state.as_str() {
            "requested" => {
                let keys = HopKeys::read(&mut fields)?;
                Self::Requested { deal, keys, ask: fields.bytes("ask")? }
            }
            "answered" => {
                let keys = HopKeys::read(&mut fields)?;
                Self::Answered { deal, keys, their_seed: fields.array("their_seed")? }
            }
            "promised" => Self::Promised {
                deal,
                their_seed: fields.array("their_seed")?,
                confirmed: fields.array("confirmed")?,
                promises: fields.bytes("promises")?,
                acknowledged: fields.flag("acknowledged")?,
            },
            "funded" | "paying" | "stuck" => {
                let (fund, slot) = Fund::read(deal, &mut fields)?;
                match state.as_str() {
                    "funded" => Self::Funded(fund),
                    "paying" => Self::Paying(fund, slot),
                    _ => Self::Stuck(fund),
                }
            }
            _ => return Err(Malformed::WrongValue("state")),
        };
        fields.end()?;
        Ok(order)
    }
}

impl HopKeys {
    fn read(fields: &mut Fields) -> Result<Self, Malformed> {
        let one_time = Secret::new(fields.array("one_time")?);
        Ok(Self { one_time, hop_key: Secret::new(fields.array("hop_key")?) })
    }
}

impl Fund {
    fn to_value(&self, state: &str, slot: Slot) -> Value {
        map([
            ("state", Value::from(state)),
            ("deal", self.deal.to_value()),
            ("their_seed", Value::from(&self.their_seed[..])),
            ("confirmed", Value::from(&self.confirmed[..])),
            ("deposit", Value::from(&place_bytes(self.deposit)[..])),
            ("failures", Value::from(self.failures)),
            ("slot", Value::from(slot.0)),
        ])
    }

    fn read(deal: Deal, fields: &mut Fields) -> Result<(Self, Slot), Malformed> {
        let their_seed = fields.array("their_seed")?;
        let confirmed = fields.array("confirmed")?;
        let deposit = place_from(fields.array("deposit")?);
        let failures = fields.number("failures")?;
        let fund = Self { deal, their_seed, confirmed, deposit, failures };
        Ok((fund, Slot(fields.number("slot")?)))
    }
}

impl Deal {
    fn to_value(&self) -> Value {
        let bytes = |bytes: &[u8]| Value::from(bytes);
        map([
            ("request", bytes(&self.request)),
            ("client", Value::Bool(self.client)),
            ("sender", bytes(self.sender.as_bytes())),
            ("in_amount", Value::from(self.in_amount.units())),
            ("in_seed1", bytes(&self.in_seeds[0])),
            ("in_seed2", bytes(&self.in_seeds[1])),
            ("next", bytes(self.next.as_bytes())),
            ("next_is_mixer", Value::Bool(self.next_is_mixer)),
            ("out_amount", Value::from(self.out_amount.units())),
            ("out_seed", bytes(&self.out_seed)),
            ("req_date", Value::from(self.req_date)),
            ("expire_date", Value::from(self.expire_date)),
            ("payout_date", Value::from(self.payout_date)),
        ])
    }

    fn read(mut fields: Fields) -> Result<Self, Malformed> {
        let deal = Self {
            request: fields.array("request")?,
            client: fields.flag("client")?,
            sender: Account::from_bytes(fields.array("sender")?),
            in_amount: Amount::from_units(fields.number("in_amount")?),
            in_seeds: [fields.array("in_seed1")?, fields.array("in_seed2")?],
            next: Account::from_bytes(fields.array("next")?),
            next_is_mixer: fields.flag("next_is_mixer")?,
            out_amount: Amount::from_units(fields.number("out_amount")?),
            out_seed: fields.array("out_seed")?,
            req_date: fields.number("req_date")?,
            expire_date: fields.number("expire_date")?,
            payout_date: fields.number("payout_date")?,
        };
        fields.end()?;
        Ok(deal)
    }
}
