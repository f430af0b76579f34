//! Receipts: files from strangers, and what a promise and the ledger together say.

use std::sync::LazyLock;

use mingle::payments::receipt::{Entry, Receipt};
use money::{Account, Amount, LedgerTime, Place, Reference, Transfer};
use payment::document::{Promise, Signed};
use payment::onion::HOPS_MAX;
use payment::receipt::{self, Evidence, PATIENCE_S, Verdict};

use super::here;
use super::payers::info;
use crate::input::{Input, spoil};
use crate::money::{account, key};

/// Promises of three mixers, and their peer infos.
static ENTRIES: LazyLock<Vec<Entry>> = LazyLock::new(|| {
    let entry = |name: u8| Entry {
        promise: Signed::make(promise(name), &here(), key(name)).bytes().to_vec(),
        info: Signed::make(info(name), &here(), key(name)).bytes().to_vec(),
    };
    [4, 5, 6].map(entry).into()
});

fn promise(name: u8) -> Promise {
    Promise {
        node: account(name),
        sender: account(name - 1),
        receiver: account(name + 1),
        in_amount: Amount::from_units(505),
        in_seeds: [[name; 32], [2; 32]],
        out_amount: Amount::from_units(500),
        out_seeds: [[name + 1; 32], [4; 32]],
        req_date: 1_000,
        expire_date: 2_000,
        payout_date: 3_000,
    }
}

/// A receipt's file, and promises and infos in it that were spoiled or belong to each other not: what
/// is read is written as one that is read as the same, one promise of it says nothing of the others,
/// and only what its mixer signed is believed.
pub fn receipts(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let mut entries = Vec::new();
    for _ in 0..input.below(HOPS_MAX + 3) {
        let (promise, info) = (input.below(ENTRIES.len()), input.below(ENTRIES.len()));
        let (promise, info) = (&ENTRIES[promise], &ENTRIES[info]);
        let mut entry = Entry { promise: promise.promise.clone(), info: info.info.clone() };
        match input.below(8) {
            0 => spoil(&mut input, &mut entry.promise),
            1 => spoil(&mut input, &mut entry.info),
            _ => {}
        }
        entries.push(entry);
    }
    let made = Receipt::new(here(), entries.clone());
    let mut file = made.to_bytes();
    let read = Receipt::from_bytes(&file);
    match (1..=HOPS_MAX).contains(&entries.len()) {
        true => assert_eq!(read, Ok(made)),
        false => assert!(read.is_err(), "{} promises", entries.len()),
    }
    if input.flag() {
        file = input.rest().to_vec();
    }
    spoil(&mut input, &mut file);
    let Ok(read) = Receipt::from_bytes(&file) else { return };
    assert_eq!(Receipt::from_bytes(&read.to_bytes()), Ok(read.clone()));
    let hops = read.entries().len();
    assert!((1..=HOPS_MAX).contains(&hops));
    assert_eq!([0, hops + 1].map(|hop| read.extract(hop)), [None, None]);
    assert_eq!(read.slip(), read.extract(hops));
    for (hop, entry) in read.entries().iter().enumerate() {
        let alone = read.extract(hop + 1).expect("one of its hops");
        assert_eq!(alone, Receipt::new(read.currency().clone(), vec![entry.clone()]));
        let known = receipt::read(&entry.promise, &entry.info, read.currency());
        let by = |by: fn(&Entry) -> &[u8], bytes: &[u8]| {
            ENTRIES.iter().position(|entry| by(entry) == bytes)
        };
        let made = by(|entry| &entry.promise, &entry.promise);
        let is_its = made.is_some() && made == by(|entry| &entry.info, &entry.info);
        assert_eq!(known.is_ok(), is_its && *read.currency() == here(), "signed by one mixer");
    }
}

/// Transfers that keep a promise, break it or have nothing to do with it, against a plain reading of
/// what each result means.
pub fn verdicts(bytes: &[u8]) {
    verdicts_with(bytes, &Rules::TRUE);
}

/// What the model believes.
pub(crate) struct Rules {
    /// How long after its date a payout is awaited, in seconds.
    pub(crate) patience: u64,
    /// Whether each deposit must have come back.
    pub(crate) all_back: bool,
    /// Whether a payout counts that stands before the deposit.
    pub(crate) after: bool,
}

impl Rules {
    pub(crate) const TRUE: Rules = Rules { patience: PATIENCE_S, all_back: true, after: true };
}

/// What a transfer is for.
#[derive(Clone, Copy, PartialEq, Debug)]
enum For {
    Deposit,
    Payout,
    Back,
    Nothing,
}

pub(crate) fn verdicts_with(bytes: &[u8], rules: &Rules) {
    let mut input = Input::new(bytes);
    let (promise, currency) = (promise(4), here());
    let (paid_in, paid_out) = (promise.in_reference(&currency), promise.out_reference(&currency));
    let back = [b"return:", paid_in.as_bytes()].concat();
    let back = Reference::new(&back).expect("short");
    let cost = 2;
    let halted_s = u64::from(input.byte());
    let mut until = 1_000;
    // The model: what each transfer is for, and when it was.
    let mut meant: Vec<(For, u64)> = Vec::new();
    let mut transfers = Vec::new();
    for _ in 0..input.below(8) {
        until += [0, 1, 500, 999, 1_000, PATIENCE_S][input.below(6)];
        let place = Place { block: until, extrinsic: 0, event: transfers.len() as u32 };
        let (mut what, wrong) =
            ([For::Deposit, For::Payout, For::Back][input.below(3)], input.byte());
        let (from, to, amount, reference) = match what {
            For::Deposit => (promise.sender, promise.node, 505, &paid_in),
            For::Payout => (promise.node, promise.receiver, 500, &paid_out),
            For::Back | For::Nothing => (promise.node, promise.sender, 505 - cost, &back),
        };
        let amount = Amount::from_units(amount);
        let reference = Some(reference.clone());
        let mut transfer = Transfer { from, to, amount, reference, place };
        let other = Account::from_bytes([9; 32]);
        match wrong {
            0..16 => transfer.from = other,
            16..32 => transfer.to = other,
            32..48 => transfer.amount = Amount::from_units(amount.units() - 1),
            48..64 => transfer.reference = None,
            64..72 => transfer.reference = Reference::new(b"another"),
            // Who gives more back than he must gives back.
            72..80 => transfer.amount = Amount::from_units(amount.units() + 1),
            _ => {}
        }
        if wrong < 72 || (wrong < 80 && what != For::Back) {
            what = For::Nothing;
        }
        meant.push((what, until));
        transfers.push((transfer, LedgerTime::from_millis(until * 1_000 + u64::from(wrong) * 3)));
    }
    // Often about the second in which patience ends.
    let overdue = promise.payout_date + PATIENCE_S + halted_s;
    until = match input.flag() {
        true => until.max(overdue - 128 + u64::from(input.byte())),
        false => until + u64::from(input.u16()) * 2,
    };
    let evidence = Evidence { transfers, until: LedgerTime::from_secs(until), halted_s };
    let judged = receipt::judge(&promise, Amount::from_units(cost), &currency, &evidence);
    assert_eq!(judged, plainly(&promise, &meant, until, halted_s, rules), "{meant:?} {until}");
}

fn plainly(
    promise: &Promise,
    meant: &[(For, u64)],
    until: u64,
    halted_s: u64,
    rules: &Rules,
) -> Verdict {
    let Some(first) = meant.iter().position(|(what, _)| *what == For::Deposit) else {
        return Verdict::Unfunded;
    };
    let later = &meant[if rules.after { first } else { 0 }..];
    if let Some((_, when)) = later.iter().find(|(what, _)| *what == For::Payout) {
        return if *when > promise.payout_date { Verdict::Late } else { Verdict::Kept };
    }
    let count = |what: For| meant[first..].iter().filter(|(other, _)| *other == what).count();
    let deposits = if rules.all_back { count(For::Deposit) } else { 1 };
    let overdue = until > promise.payout_date + rules.patience + halted_s;
    match () {
        () if count(For::Back) >= deposits => Verdict::Returned,
        () if meant[first].1 > promise.expire_date => Verdict::Unfunded,
        () if overdue => Verdict::Broken,
        () => Verdict::Pending,
    }
}
