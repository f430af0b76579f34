//! What is asked of a mixer, signed: to mix, to take promises back, to hand them out.
//!
//! What always holds: each names the mixer it is meant for, so that nobody can play it to another.

use money::{Account, Amount};

use super::Document;
use super::promise::read_base;
use crate::ubjson::{Fields, Malformed, Value};

/// Body of `/mix`: asks for a promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The mixer asked.
    pub to: Account,
    /// Who will pay in: with `client` an account, else the hash of a mixer.
    pub sender: [u8; 32],
    /// What will be paid in.
    pub amount: Amount,
    /// Whether the sender is a payer, not a mixer.
    pub client: bool,
    /// When it was asked, seconds of ledger time.
    pub req_date: u64,
    /// The onion, [`crate::onion::ONION_SIZE`] bytes.
    pub onion: Vec<u8>,
}

impl Document for Request {
    const DOCTYPE: &'static str = "mingle/mix";

    fn entries(&self) -> Vec<(&'static str, Value)> {
        vec![
            ("to", Value::from(&self.to.as_bytes()[..])),
            ("sender", Value::from(&self.sender[..])),
            ("amount", Value::from(self.amount.units())),
            ("base", Value::Int(0)),
            ("client", Value::Bool(self.client)),
            ("req_date", Value::from(self.req_date)),
            ("onion", Value::from(&self.onion[..])),
        ]
    }

    fn read(fields: &mut Fields) -> Result<Self, Malformed> {
        let to = Account::from_bytes(fields.array("to")?);
        let sender = fields.array("sender")?;
        let amount = Amount::from_units(fields.number("amount")?);
        read_base(fields, "base")?;
        let client = fields.flag("client")?;
        let req_date = fields.number("req_date")?;
        let onion = fields.bytes("onion")?;
        Ok(Self { to, sender, amount, client, req_date, onion })
    }
}

/// Body of `/confirm`: a mixer hands its promises to the one before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confirm {
    /// The mixer before.
    pub to: Account,
    /// The signer's in-seed, by which the mixer before knows the order.
    pub out_seed: [u8; 32],
    /// The promises, [`crate::promises::PROMISES_SIZE`] bytes.
    pub promises: Vec<u8>,
}

impl Document for Confirm {
    const DOCTYPE: &'static str = "mingle/confirm";

    fn entries(&self) -> Vec<(&'static str, Value)> {
        vec![
            ("to", Value::from(&self.to.as_bytes()[..])),
            ("out_seed", Value::from(&self.out_seed[..])),
            ("promises", Value::from(&self.promises[..])),
        ]
    }

    fn read(fields: &mut Fields) -> Result<Self, Malformed> {
        let to = Account::from_bytes(fields.array("to")?);
        let out_seed = fields.array("out_seed")?;
        Ok(Self { to, out_seed, promises: fields.bytes("promises")? })
    }
}

/// Body of `/getconfirm`: a payer asks the first mixer for the promises.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GetConfirm {
    /// The first mixer.
    pub to: Account,
    /// The payer's account, which signs.
    pub sender: Account,
    /// The mixer's in-seed, by which it knows the order.
    pub in_seed: [u8; 32],
    /// When it was asked, seconds of ledger time.
    pub date: u64,
}

impl Document for GetConfirm {
    const DOCTYPE: &'static str = "mingle/getconfirm";

    fn entries(&self) -> Vec<(&'static str, Value)> {
        vec![
            ("to", Value::from(&self.to.as_bytes()[..])),
            ("sender", Value::from(&self.sender.as_bytes()[..])),
            ("in_seed", Value::from(&self.in_seed[..])),
            ("date", Value::from(self.date)),
        ]
    }

    fn read(fields: &mut Fields) -> Result<Self, Malformed> {
        let to = Account::from_bytes(fields.array("to")?);
        let sender = Account::from_bytes(fields.array("sender")?);
        let in_seed = fields.array("in_seed")?;
        Ok(Self { to, sender, in_seed, date: fields.number("date")? })
    }
}
