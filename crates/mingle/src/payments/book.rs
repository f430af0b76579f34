//! What a wallet keeps of its payments beside what the core keeps of their parts: which parts belong
//! together, for whom, by when, and how they ended.
//!
//! ```text
//! W number            to · amount · hops · begun · within · fee_most       a payment
//! S number index      amount · due · from · part · end · company           one share of it
//! I part              the peer infos of its route, for the receipt
//! ```
//! A share is one denomination; the core's part for it is another one each time it is tried anew.

use std::collections::BTreeMap;

use money::{Account, Amount};
use payment::effect::{Change, OrderId};
use payment::ubjson::{Fields, Malformed, Value, map};

use super::store::{Record, Store};
use crate::Error;

/// The payments of a wallet, by number.
#[derive(Default)]
pub struct Book {
    payments: BTreeMap<u64, Payment>,
}

/// One payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payment {
    /// Its number in this wallet, from 1.
    pub number: u64,
    /// The receiver.
    pub to: Account,
    /// What he gets.
    pub amount: Amount,
    /// Mixers on each route.
    pub hops: usize,
    /// When it began, seconds of ledger time.
    pub begun: u64,
    /// Over how many seconds its shares are spread.
    pub within_s: u64,
    /// What its payer agreed to give the first mixer of each share at most; nothing before he agreed.
    pub fee_most: Option<Amount>,
    /// Its shares, in the order in which they are due.
    pub shares: Vec<Share>,
}

/// One share of a payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// A denomination.
    pub amount: Amount,
    /// When it is to begin, seconds of ledger time.
    pub due: u64,
    /// Height of the newest final block when its part began: nothing of it stands below.
    pub from: u64,
    /// The core's part, while there is one.
    pub part: Option<OrderId>,
    /// How it ended.
    pub end: Option<End>,
    /// For each hop, how many equal payouts left with this one; empty before that is known.
    pub company: Vec<u64>,
}

/// How a share ended once money had moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The receiver has it.
    Arrived,
    /// The first mixer sent it back.
    Returned,
}

const PAYMENT: u8 = b'W';
const SHARE: u8 = b'S';
const INFOS: u8 = b'I';

impl Payment {
    /// Whether every share has ended.
    pub fn has_ended(&self) -> bool {
        self.shares.iter().all(|share| share.end.is_some())
    }

    fn key(number: u64) -> Vec<u8> {
        [&[PAYMENT][..], &number.to_be_bytes()].concat()
    }

    /// The record of the payment, without its shares.
    pub fn change(&self) -> Change {
        let fee_most = self.fee_most.map_or(Value::Null, |fee| Value::from(fee.units()));
        let record = map([
            ("to", Value::from(&self.to.as_bytes()[..])),
            ("amount", Value::from(self.amount.units())),
            ("hops", Value::from(self.hops as u64)),
            ("begun", Value::from(self.begun)),
            ("within", Value::from(self.within_s)),
            ("fee_most", fee_most),
        ]);
        Change { key: Self::key(self.number), value: Some(record.to_bytes()) }
    }

    /// The record of one share.
    pub fn share_change(&self, index: usize) -> Change {
        let share = &self.shares[index];
        let part = share.part.map_or(Value::Null, |part| Value::from(&part[..]));
        let end = match share.end {
            None => Value::Null,
            Some(End::Arrived) => Value::from("arrived"),
            Some(End::Returned) => Value::from("returned"),
        };
        let company = share.company.iter().map(|count| Value::from(*count)).collect();
        let record = map([
            ("amount", Value::from(share.amount.units())),
            ("due", Value::from(share.due)),
            ("from", Value::from(share.from)),
            ("part", part),
            ("end", end),
            ("company", Value::List(company)),
        ]);
        Change { key: share_key(self.number, index), value: Some(record.to_bytes()) }
    }

    fn read(number: u64, record: &[u8]) -> Result<Self, Malformed> {
        let mut fields = Fields::new(Value::from_bytes(record)?)?;
        let payment = Self {
            number,
            to: Account::from_bytes(fields.array("to")?),
            amount: Amount::from_units(fields.number("amount")?),
            hops: fields.small("hops")?,
            begun: fields.number("begun")?,
            within_s: fields.number("within")?,
            fee_most: match fields.take("fee_most")? {
                Value::Null => None,
                value => Some(Amount::from_units(number_in(&value, "fee_most")?)),
            },
            shares: Vec::new(),
        };
        fields.end()?;
        Ok(payment)
    }
}

impl Share {
    /// A share that has not begun.
    pub fn new(amount: Amount, due: u64) -> Self {
        Self { amount, due, from: 0, part: None, end: None, company: Vec::new() }
    }

    fn read(record: &[u8]) -> Result<Self, Malformed> {
        let mut fields = Fields::new(Value::from_bytes(record)?)?;
        let share = Self {
            amount: Amount::from_units(fields.number("amount")?),
            due: fields.number("due")?,
            from: fields.number("from")?,
            part: match fields.take("part")? {
                Value::Null => None,
                Value::Bytes(part) => {
                    Some(part.try_into().map_err(|_| Malformed::WrongValue("part"))?)
                }
                _ => return Err(Malformed::WrongValue("part")),
            },
            end: match fields.take("end")? {
                Value::Null => None,
                Value::Text(end) if end == "arrived" => Some(End::Arrived),
                Value::Text(end) if end == "returned" => Some(End::Returned),
                _ => return Err(Malformed::WrongValue("end")),
            },
            company: {
                let list = fields.list("company")?;
                list.iter().map(|count| number_in(count, "company")).collect::<Result<_, _>>()?
            },
        };
        fields.end()?;
        Ok(share)
    }
}

fn number_in(value: &Value, name: &'static str) -> Result<u64, Malformed> {
    match value {
        Value::Int(number) => u64::try_from(*number).map_err(|_| Malformed::WrongValue(name)),
        _ => Err(Malformed::WrongValue(name)),
    }
}

fn share_key(number: u64, index: usize) -> Vec<u8> {
    // A payment has at most 32 shares.
    let index = u8::try_from(index).expect("an index of a share fits into a byte");
    [&[SHARE][..], &number.to_be_bytes(), &[index]].concat()
}

/// The record of the peer infos of a part's route; none deletes it.
pub fn infos_change(part: &OrderId, infos: Option<Vec<Vec<u8>>>) -> Change {
    let list = infos.map(|infos| infos.iter().map(|info| Value::from(&info[..])).collect());
    let value = list.map(|list| Value::List(list).to_bytes());
    Change { key: [&[INFOS][..], part].concat(), value }
}

/// The peer infos of the routes of all parts.
///
/// # Errors
/// When they cannot be read.
pub async fn infos(store: &mut Store) -> Result<BTreeMap<OrderId, Vec<Vec<u8>>>, Error> {
    let records = store.table(INFOS).await?;
    let read = |(key, record): Record| {
        let part = key.get(1..).and_then(|part| part.try_into().ok())?;
        let Value::List(list) = Value::from_bytes(&record).ok()? else { return None };
        let bytes = |value| if let Value::Bytes(bytes) = value { Some(bytes) } else { None };
        Some((part, list.into_iter().map(bytes).collect::<Option<_>>()?))
    };
    let read = records.into_iter().map(read).collect::<Option<_>>();
    read.ok_or_else(|| store.unreadable("peer infos of a route"))
}

impl Book {
    /// Reads all payments.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn open(store: &mut Store) -> Result<Self, Error> {
        let (payments, shares) = (store.table(PAYMENT).await?, store.table(SHARE).await?);
        Self::read(payments, shares).ok_or_else(|| store.unreadable("payments"))
    }

    fn read(payments: Vec<Record>, shares: Vec<Record>) -> Option<Self> {
        let mut book = Self::default();
        for (key, record) in payments {
            let number = u64::from_be_bytes(key.get(1..)?.try_into().ok()?);
            book.payments.insert(number, Payment::read(number, &record).ok()?);
        }
        // In order of number and index, as keys are.
        for (key, record) in shares {
            let number = u64::from_be_bytes(key.get(1..9)?.try_into().ok()?);
            book.payments.get_mut(&number)?.shares.push(Share::read(&record).ok()?);
        }
        Some(book)
    }

    /// All payments, oldest first.
    pub fn payments(&self) -> impl Iterator<Item = &Payment> {
        self.payments.values()
    }

    /// One of them.
    pub fn find(&self, number: u64) -> Option<&Payment> {
        self.payments.get(&number)
    }

    /// One of them, to be changed.
    pub fn find_mut(&mut self, number: u64) -> Option<&mut Payment> {
        self.payments.get_mut(&number)
    }

    /// The number of a new payment.
    pub fn next(&self) -> u64 {
        self.payments.keys().next_back().map_or(1, |number| number + 1)
    }

    /// Adds a payment; its records.
    pub fn add(&mut self, payment: Payment) -> Vec<Change> {
        let mut changes = vec![payment.change()];
        changes.extend((0..payment.shares.len()).map(|index| payment.share_change(index)));
        self.payments.insert(payment.number, payment);
        changes
    }

    /// Forgets a payment; what deletes its records, those of its routes included.
    pub fn forget(&mut self, number: u64) -> Vec<Change> {
        let Some(payment) = self.payments.remove(&number) else { return Vec::new() };
        let mut changes = vec![Change { key: Payment::key(number), value: None }];
        for (index, share) in payment.shares.iter().enumerate() {
            changes.push(Change { key: share_key(number, index), value: None });
            changes.extend(share.part.map(|part| infos_change(&part, None)));
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payment() -> Payment {
        let mut shares: Vec<_> =
            (0..3).map(|i| Share::new(Amount::from_units(500), 1_000 + i)).collect();
        shares[0].part = Some([7; 16]);
        shares[0].from = 99;
        shares[0].end = Some(End::Arrived);
        shares[0].company = vec![3, 1, 4];
        shares[1].end = Some(End::Returned);
        Payment {
            number: 1,
            to: Account::from_bytes([9; 32]),
            amount: Amount::from_units(1_500),
            hops: 3,
            begun: 1_000,
            within_s: 3_600,
            fee_most: Some(Amount::from_units(10)),
            shares,
        }
    }

    #[tokio::test]
    async fn payments_come_back_as_they_were_and_go_without_a_trace() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(folder.path()).await.unwrap();
        let mut book = Book::open(&mut store).await.unwrap();
        assert_eq!(book.next(), 1);
        store.save(book.add(payment())).await.unwrap();
        let infos = vec![vec![1; 40], vec![2; 50]];
        store.save(vec![infos_change(&[7; 16], Some(infos.clone()))]).await.unwrap();
        let second = Payment { number: book.next(), fee_most: None, ..payment() };
        store.save(book.add(second.clone())).await.unwrap();
        let mut book = Book::open(&mut store).await.unwrap();
        assert_eq!(book.payments().cloned().collect::<Vec<_>>(), [payment(), second]);
        assert_eq!(super::infos(&mut store).await.unwrap()[&[7; 16]], infos);
        assert!(!payment().has_ended());
        store.save(book.forget(1)).await.unwrap();
        store.save(book.forget(2)).await.unwrap();
        assert!(Book::open(&mut store).await.unwrap().payments().next().is_none());
        for table in [PAYMENT, SHARE, INFOS] {
            assert!(store.table(table).await.unwrap().is_empty());
        }
    }

    #[tokio::test]
    async fn a_record_that_is_none_is_refused_with_a_sentence() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(folder.path()).await.unwrap();
        for key in [&b"W"[..], b"W12345678", b"S123456789"] {
            let spoiled = Change { key: key.to_vec(), value: Some(b"{}".to_vec()) };
            store.save(vec![spoiled]).await.unwrap();
            assert!(Book::open(&mut store).await.is_err());
            store.save(vec![Change { key: key.to_vec(), value: None }]).await.unwrap();
        }
        assert!(Book::open(&mut store).await.is_ok());
    }
}
