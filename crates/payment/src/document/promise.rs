//! The promise: one mixer's signed word that it passes one payment on; and the reference that ties a
//! payment on the ledger to it.
//!
//! What always holds: a promise holds all that is needed to recognise its deposit and its payout on
//! the ledger, and to prove either to anyone.

use mixing::cipher;
use money::{Account, Amount, Reference, address};

use super::{Currency, Document};
use crate::ubjson::{Fields, Malformed, Value};

/// One mixer's promise ("confirmation document").
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Promise {
    /// Who promises, and signs.
    pub node: Account,
    /// Who pays in.
    pub sender: Account,
    /// Whom it pays.
    pub receiver: Account,
    /// What is paid in.
    pub in_amount: Amount,
    /// The seeds of the deposit: this mixer's, then the payer's.
    pub in_seeds: [[u8; 32]; 2],
    /// What is paid out.
    pub out_amount: Amount,
    /// The seeds of the payout: its receiver's (this mixer's own, if no mixer receives it), then the
    /// payer's.
    pub out_seeds: [[u8; 32]; 2],
    /// When the payer asked, seconds of ledger time, like all dates here.
    pub req_date: u64,
    /// The latest block time of the deposit.
    pub expire_date: u64,
    /// The latest block time of the payout.
    pub payout_date: u64,
}

impl Promise {
    /// The reference that the deposit carries.
    pub fn in_reference(&self, currency: &Currency) -> Reference {
        reference(currency, &self.sender, &self.node, self.in_amount, &self.in_seeds)
    }

    /// The reference that the payout carries.
    pub fn out_reference(&self, currency: &Currency) -> Reference {
        reference(currency, &self.node, &self.receiver, self.out_amount, &self.out_seeds)
    }
}

/// Ties a payment to a promise: base58 of BLAKE3 derive-key "mingle payment reference v1" over
/// currency, from, to, amount (8 bytes, big-endian), payer's seed, receiver's seed, each with its
/// length. `seeds` are the receiver's, then the payer's, as in promises.
pub fn reference(
    currency: &Currency,
    from: &Account,
    to: &Account,
    amount: Amount,
    seeds: &[[u8; 32]; 2],
) -> Reference {
    let hash = cipher::hash(
        "mingle payment reference v1",
        &[
            &currency.to_value().to_bytes(),
            from.as_bytes(),
            to.as_bytes(),
            &amount.units().to_be_bytes(),
            &seeds[1],
            &seeds[0],
        ],
    );
    let text = address::base58(&hash);
    Reference::new(text.as_bytes()).expect("base58 of 32 bytes has at most 44 characters")
}

fn write_seeds(seeds: &[[u8; 32]; 2]) -> Value {
    Value::List(seeds.iter().map(|seed| Value::from(&seed[..])).collect())
}

fn read_seeds(fields: &mut Fields, name: &'static str) -> Result<[[u8; 32]; 2], Malformed> {
    let wrong = Malformed::WrongValue(name);
    let seed = |value| match value {
        Value::Bytes(bytes) => <[u8; 32]>::try_from(bytes).map_err(|_| wrong),
        _ => Err(wrong),
    };
    let seeds: Vec<_> = fields.list(name)?.into_iter().map(seed).collect::<Result<_, _>>()?;
    seeds.try_into().map_err(|_| wrong)
}

/// Reads the base of an amount, which v1 moves with the money supply and which is 0 everywhere now.
pub(super) fn read_base(fields: &mut Fields, name: &'static str) -> Result<(), Malformed> {
    match fields.number(name)? {
        0 => Ok(()),
        _ => Err(Malformed::WrongValue(name)),
    }
}

impl Document for Promise {
    const DOCTYPE: &'static str = "gmixer-mixconfirm1";

    fn entries(&self) -> Vec<(&'static str, Value)> {
        let account = |account: &Account| Value::from(&account.as_bytes()[..]);
        vec![
            ("node_pubkey", account(&self.node)),
            ("sender_pubkey", account(&self.sender)),
            ("receiver_pubkey", account(&self.receiver)),
            ("in_amount", Value::from(self.in_amount.units())),
            ("in_base", Value::Int(0)),
            ("in_seeds", write_seeds(&self.in_seeds)),
            ("out_amount", Value::from(self.out_amount.units())),
            ("out_base", Value::Int(0)),
            ("out_seeds", write_seeds(&self.out_seeds)),
            ("req_date", Value::from(self.req_date)),
            ("expire_date", Value::from(self.expire_date)),
            ("payout_date", Value::from(self.payout_date)),
        ]
    }

    fn read(fields: &mut Fields) -> Result<Self, Malformed> {
        let node = Account::from_bytes(fields.array("node_pubkey")?);
        let sender = Account::from_bytes(fields.array("sender_pubkey")?);
        let receiver = Account::from_bytes(fields.array("receiver_pubkey")?);
        let in_amount = Amount::from_units(fields.number("in_amount")?);
        read_base(fields, "in_base")?;
        let in_seeds = read_seeds(fields, "in_seeds")?;
        let out_amount = Amount::from_units(fields.number("out_amount")?);
        read_base(fields, "out_base")?;
        let out_seeds = read_seeds(fields, "out_seeds")?;
        let req_date = fields.number("req_date")?;
        let expire_date = fields.number("expire_date")?;
        let payout_date = fields.number("payout_date")?;
        Ok(Self {
            node,
            sender,
            receiver,
            in_amount,
            in_seeds,
            out_amount,
            out_seeds,
            req_date,
            expire_date,
            payout_date,
        })
    }
}
