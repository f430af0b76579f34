//! One part of a payment, and how it is kept.
//!
//! What always holds: a state holds only what is true in it. Records hold the route and its keys until
//! the part has ended, the promises for as long as the payer keeps his receipt.

use money::{Account, Reference};

use super::check::Mistrust;
use crate::document::{Currency, Promise, Signed, reference};
use crate::effect::{Change, OrderId};
use crate::onion::Layer;
use crate::receipt::PATIENCE_S;
use crate::ubjson::{Fields, Malformed, Value};

/// What the payer planned.
pub struct Plan {
    /// When, seconds of ledger time.
    pub date: u64,
    /// The mixers, first one first; at least one.
    pub hops: Vec<Hop>,
}

/// One mixer of a route, with what it is told.
pub struct Hop {
    /// Its account.
    pub account: Account,
    /// Its layer.
    pub layer: Layer,
}

/// One part.
pub enum Part {
    /// The first mixer is being asked.
    Asking {
        /// The plan.
        plan: Plan,
        /// What is asked, to the byte.
        ask: Vec<u8>,
    },
    /// The first mixer gave its seed; the promises are awaited.
    Waiting {
        /// The plan.
        plan: Plan,
        /// The first mixer's seed.
        in_seed: [u8; 32],
    },
    /// All promised, all checked; no money has moved.
    Ready {
        /// The plan.
        plan: Plan,
        /// The first mixer's seed.
        in_seed: [u8; 32],
        /// The promises, first hop first.
        promises: Vec<Signed<Promise>>,
    },
    /// The deposit is on its way, or is about to be.
    Depositing {
        /// The plan.
        plan: Plan,
        /// The first mixer's seed.
        in_seed: [u8; 32],
        /// The promises.
        promises: Vec<Signed<Promise>>,
    },
    /// The deposit is final.
    Deposited {
        /// The plan.
        plan: Plan,
        /// The first mixer's seed.
        in_seed: [u8; 32],
        /// The promises.
        promises: Vec<Signed<Promise>>,
    },
    /// The receiver has it.
    Arrived {
        /// The receipt.
        promises: Vec<Signed<Promise>>,
    },
    /// The first mixer sent it back.
    Returned {
        /// The receipt.
        promises: Vec<Signed<Promise>>,
    },
    /// Ended before any money moved.
    Failed(Failure),
}

/// Why a part ended before any money moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The first mixer refused, or has no promises to give.
    Refused,
    /// A promise is not what was asked for.
    Mistrust(Mistrust),
    /// The first mixer's `expire_date` came before the deposit.
    TooLate,
    /// The ledger refused the deposit again and again.
    Unpaid,
    /// Read back from a record, which does not keep why.
    Earlier,
}

impl Plan {
    /// The first hop.
    pub fn first(&self) -> &Hop {
        self.hops.first().expect("a plan has hops")
    }

    /// The reference of the deposit.
    pub fn deposit(&self, in_seed: [u8; 32], currency: &Currency) -> Reference {
        let Hop { account, layer } = self.first();
        let seeds = [in_seed, layer.in_seed];
        reference(currency, &layer.sender, account, layer.in_amount, &seeds)
    }

    /// Whether the first mixer's `expire_date` has come.
    pub(super) fn is_over(&self, date: u64) -> bool {
        self.first().layer.expire_date <= date
    }

    fn receiver(&self) -> Option<Account> {
        self.hops.last().map(|hop| hop.layer.next)
    }
}

impl Part {
    /// The reference of the deposit, once the first mixer's seed is known and promises are there.
    pub fn deposit(&self, currency: &Currency) -> Option<Reference> {
        match self {
            Self::Ready { plan, in_seed, .. }
            | Self::Depositing { plan, in_seed, .. }
            | Self::Deposited { plan, in_seed, .. } => Some(plan.deposit(*in_seed, currency)),
            Self::Asking { .. }
            | Self::Waiting { .. }
            | Self::Arrived { .. }
            | Self::Returned { .. }
            | Self::Failed(_) => None,
        }
    }

    /// The plan, while the part is under way.
    pub fn plan(&self) -> Option<&Plan> {
        match self {
            Self::Asking { plan, .. }
            | Self::Waiting { plan, .. }
            | Self::Ready { plan, .. }
            | Self::Depositing { plan, .. }
            | Self::Deposited { plan, .. } => Some(plan),
            Self::Arrived { .. } | Self::Returned { .. } | Self::Failed(_) => None,
        }
    }

    /// Whether it has begun and not ended.
    pub fn is_under_way(&self) -> bool {
        self.plan().is_some()
    }

    /// Whether it is under way and its deposit is not known to be final.
    pub fn is_unpaid(&self) -> bool {
        self.is_under_way() && !matches!(self, Self::Deposited { .. })
    }

    /// Whether its deposit is final and the last promise broken, as far as the date tells.
    pub fn is_overdue(&self, date: u64) -> bool {
        let Self::Deposited { promises, .. } = self else { return false };
        let last = promises.last().map(|last| last.content().payout_date);
        last.is_some_and(|last| date > last.saturating_add(PATIENCE_S))
    }

    /// The receiver, while the arrival is awaited.
    pub fn receiver(&self) -> Option<Account> {
        match self {
            Self::Depositing { plan, .. } | Self::Deposited { plan, .. } => plan.receiver(),
            Self::Asking { .. }
            | Self::Waiting { .. }
            | Self::Ready { .. }
            | Self::Arrived { .. }
            | Self::Returned { .. }
            | Self::Failed(_) => None,
        }
    }

    /// The promises, once they are checked: the receipt.
    pub fn promises(&self) -> &[Signed<Promise>] {
        match self {
            Self::Ready { promises, .. }
            | Self::Depositing { promises, .. }
            | Self::Deposited { promises, .. }
            | Self::Arrived { promises }
            | Self::Returned { promises } => promises,
            Self::Asking { .. } | Self::Waiting { .. } | Self::Failed(_) => &[],
        }
    }

    /// The state in one word.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Asking { .. } => "asking",
            Self::Waiting { .. } => "waiting",
            Self::Ready { .. } => "ready",
            Self::Depositing { .. } => "depositing",
            Self::Deposited { .. } => "deposited",
            Self::Arrived { .. } => "arrived",
            Self::Returned { .. } => "returned",
            Self::Failed(_) => "failed",
        }
    }

    fn to_bytes(&self, currency: &Currency) -> Vec<u8> {
        let mut entries: Vec<(String, Value)> = Vec::new();
        let mut put = |name: &str, value| entries.push((name.to_owned(), value));
        put("state", Value::from(self.name()));
        match self {
            Self::Asking { plan, ask } => {
                put("plan", plan.to_value(currency));
                put("ask", Value::from(&ask[..]));
            }
            Self::Waiting { plan, in_seed } => {
                put("plan", plan.to_value(currency));
                put("in_seed", Value::from(&in_seed[..]));
            }
            Self::Ready { plan, in_seed, promises }
            | Self::Depositing { plan, in_seed, promises }
            | Self::Deposited { plan, in_seed, promises } => {
                put("plan", plan.to_value(currency));
                put("in_seed", Value::from(&in_seed[..]));
                put("promises", promises_value(promises));
            }
            Self::Arrived { promises } | Self::Returned { promises } => {
                put("promises", promises_value(promises));
            }
            Self::Failed(_) => {}
        }
        Value::Map(entries).to_bytes()
    }

    pub(super) fn read(bytes: &[u8], currency: &Currency) -> Result<Self, Malformed> {
        let mut fields = Fields::new(Value::from_bytes(bytes)?)?;
        let state = fields.text("state")?;
        let part = match state.as_str() {
            "asking" => {
                let plan = Plan::read(fields.take("plan")?, currency)?;
                Self::Asking { plan, ask: fields.bytes("ask")? }
            }
            "waiting" => {
                let plan = Plan::read(fields.take("plan")?, currency)?;
                Self::Waiting { plan, in_seed: fields.array("in_seed")? }
            }
            "ready" | "depositing" | "deposited" => {
                let plan = Plan::read(fields.take("plan")?, currency)?;
                let in_seed = fields.array("in_seed")?;
                let promises = read_promises(fields.list("promises")?, currency)?;
                match state.as_str() {
                    "ready" => Self::Ready { plan, in_seed, promises },
                    "depositing" => Self::Depositing { plan, in_seed, promises },
                    _ => Self::Deposited { plan, in_seed, promises },
                }
            }
            "arrived" => {
                Self::Arrived { promises: read_promises(fields.list("promises")?, currency)? }
            }
            "returned" => {
                Self::Returned { promises: read_promises(fields.list("promises")?, currency)? }
            }
            "failed" => Self::Failed(Failure::Earlier),
            _ => return Err(Malformed::WrongValue("state")),
        };
        fields.end()?;
        Ok(part)
    }
}

impl Plan {
    fn to_value(&self, currency: &Currency) -> Value {
        let hop = |hop: &Hop| {
            let layer = hop.layer.to_bytes(currency);
            [Value::from(&hop.account.as_bytes()[..]), Value::from(&layer[..])]
        };
        let mut list = vec![Value::from(self.date)];
        list.extend(self.hops.iter().flat_map(hop));
        Value::List(list)
    }

    fn read(value: Value, currency: &Currency) -> Result<Self, Malformed> {
        let wrong = Malformed::WrongValue("plan");
        let Value::List(list) = value else { return Err(wrong) };
        let [Value::Int(date), rest @ ..] = &list[..] else { return Err(wrong) };
        let hop = |pair: &[Value]| {
            let [Value::Bytes(account), Value::Bytes(layer)] = pair else { return Err(wrong) };
            let account = account.as_slice().try_into().map_err(|_| wrong)?;
            let layer = Layer::from_bytes(layer, currency).map_err(|_| wrong)?;
            Ok(Hop { account: Account::from_bytes(account), layer })
        };
        let hops = rest.chunks(2).map(hop).collect::<Result<Vec<_>, _>>()?;
        let date = u64::try_from(*date).map_err(|_| wrong)?;
        if hops.is_empty() { Err(wrong) } else { Ok(Self { date, hops }) }
    }
}

fn promises_value(promises: &[Signed<Promise>]) -> Value {
    Value::List(promises.iter().map(|promise| Value::from(promise.bytes())).collect())
}

fn read_promises(list: Vec<Value>, currency: &Currency) -> Result<Vec<Signed<Promise>>, Malformed> {
    let wrong = Malformed::WrongValue("promises");
    let read = |value| {
        let Value::Bytes(bytes) = value else { return Err(wrong) };
        Signed::read(&bytes, currency, |promise: &Promise| Some(promise.node)).map_err(|_| wrong)
    };
    list.into_iter().map(read).collect()
}

pub(super) fn change(id: OrderId, part: Option<&Part>, currency: &Currency) -> Change {
    let key = [&b"a"[..], &id].concat();
    Change { key, value: part.map(|part| part.to_bytes(currency)) }
}
