//! The embedded ledger's rules one by one, and random histories of it beside a naive model.

#![allow(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::collections::BTreeMap;

use money::embedded::{
    AccountState, BadBlock, BadGenesis, Call, Era, Failure, Genesis, Inherent, Ledger, MONEY_MAX,
    Refused, Transaction,
};
use money::{Account, AccountKey, Amount, LedgerTime, Reference, Slot};
use proptest::prelude::*;

const DEPOSIT: u64 = 100;
const FEE: u64 = 2;

fn key(name: u8) -> AccountKey {
    AccountKey::from_seed([name; 32])
}

fn account(name: u8) -> Account {
    key(name).account()
}

fn units(amount: u64) -> Amount {
    Amount::from_units(amount)
}

/// Accounts 1 to 3 hold 10,000 each; account 3 is a member.
fn ledger(finality_lag: u64) -> Ledger {
    Ledger::new(Genesis {
        currency: "test".into(),
        time: LedgerTime::from_secs(1000),
        existential_deposit: units(DEPOSIT),
        fee: units(FEE),
        finality_lag,
        accounts: (1..=3).map(|name| (account(name), units(10_000))).collect(),
        members: vec![account(3)],
    })
    .unwrap()
}

fn pay(to: u8, amount: u64) -> Call {
    Call::Transfer { to: account(to), amount: units(amount), keep_alive: false }
}

fn remark(text: &str) -> Call {
    Call::Remark(Reference::new(text.as_bytes()).unwrap())
}

fn signed(ledger: &Ledger, from: u8, slot: u64, era: Era, calls: &[Call]) -> Vec<u8> {
    let genesis = ledger.genesis().hash();
    let sender = account(from);
    Transaction { genesis, sender, slot: Slot(slot), era, calls: calls.to_vec() }.sign(&key(from))
}

fn build(ledger: &mut Ledger) {
    ledger.build(LedgerTime::from_millis(ledger.head().time.as_millis() + 500));
}

fn send(ledger: &mut Ledger, from: u8, slot: u64, calls: &[Call]) -> Result<[u8; 32], Refused> {
    let bytes = signed(ledger, from, slot, Era::Immortal, calls);
    ledger.submit(&bytes)
}

fn free(ledger: &Ledger, name: u8) -> u64 {
    ledger.account(&account(name)).free.units()
}

#[test]
fn a_batch_of_pairs_pays_with_references() {
    let mut ledger = ledger(0);
    send(&mut ledger, 1, 0, &[pay(2, 500), remark("a"), pay(4, 100), remark("b")]).unwrap();
    build(&mut ledger);
    let transfers = &ledger.head().transfers;
    assert_eq!(transfers.len(), 2);
    assert_eq!(transfers[0].reference.as_ref().unwrap().as_bytes(), b"a");
    assert_eq!(transfers[1].reference.as_ref().unwrap().as_bytes(), b"b");
    assert!(transfers[0].place < transfers[1].place);
    assert_eq!((free(&ledger, 1), free(&ledger, 2), free(&ledger, 4)), (9_398, 10_500, 100));
}

#[test]
fn a_failed_batch_moves_nothing_but_spends_nonce_and_fee() {
    let mut ledger = ledger(0);
    send(&mut ledger, 1, 0, &[pay(2, 500), remark("a"), pay(2, 9_999), remark("b")]).unwrap();
    build(&mut ledger);
    let included = &ledger.head().included[0];
    assert_eq!(included.outcome, Err(Failure::FundsUnavailable));
    assert!(ledger.head().transfers.is_empty());
    let after = ledger.account(&account(1));
    assert_eq!((after.free, after.slot), (units(9_998), Slot(1)));
}

#[test]
fn poor_transfers_fail_by_name() {
    let mut ledger = ledger(0);
    let keep = Call::Transfer { to: account(2), amount: units(9_990), keep_alive: true };
    send(&mut ledger, 1, 0, &[pay(9, 99)]).unwrap();
    send(&mut ledger, 1, 1, &[keep]).unwrap();
    send(&mut ledger, 1, 2, &[pay(2, u64::MAX)]).unwrap();
    build(&mut ledger);
    let outcomes: Vec<_> = ledger.head().included.iter().map(|i| i.outcome).collect();
    use Failure::{BelowMinimum, FundsUnavailable, NotExpendable};
    assert_eq!(outcomes, [Err(BelowMinimum), Err(NotExpendable), Err(FundsUnavailable)]);
}

#[test]
fn a_future_nonce_waits_and_a_stale_one_is_refused() {
    let mut ledger = ledger(0);
    send(&mut ledger, 1, 1, &[pay(2, 100)]).unwrap();
    build(&mut ledger);
    assert_eq!((ledger.waiting(), ledger.head().included.len()), (1, 0));
    send(&mut ledger, 1, 0, &[pay(2, 100)]).unwrap();
    build(&mut ledger);
    assert_eq!((ledger.waiting(), ledger.head().included.len()), (0, 2));
    assert_eq!(send(&mut ledger, 1, 1, &[pay(2, 300)]), Err(Refused::StaleSlot));
    assert_eq!(send(&mut ledger, 1, 5_000, &[pay(2, 300)]), Err(Refused::SlotTooFar));
}

#[test]
fn one_nonce_takes_one_transaction() {
    let mut ledger = ledger(0);
    let first = send(&mut ledger, 1, 0, &[pay(2, 100)]).unwrap();
    assert_eq!(send(&mut ledger, 1, 0, &[pay(2, 100)]), Ok(first), "the same again is no news");
    assert_eq!(send(&mut ledger, 1, 0, &[pay(4, 100)]), Err(Refused::SlotTaken));
}

#[test]
fn a_closed_account_begins_again_and_its_immortal_payment_lands_twice() {
    let mut ledger = ledger(0);
    let all = signed(&ledger, 1, 0, Era::Immortal, &[pay(2, 9_950)]);
    let hash = ledger.submit(&all).unwrap();
    build(&mut ledger);
    // 48 units are left, too few to live on.
    assert_eq!(ledger.account(&account(1)), AccountState::default());
    send(&mut ledger, 2, 0, &[pay(1, 10_000)]).unwrap();
    build(&mut ledger);
    assert_eq!(ledger.submit(&all), Ok(hash));
    build(&mut ledger);
    assert_eq!(ledger.head().included[0].hash, hash);
}

#[test]
fn a_mortal_payment_dies_with_its_era_and_with_its_birth_block() {
    let mut ledger = ledger(3);
    build(&mut ledger);
    let born = |ledger: &Ledger, period| {
        let head = ledger.head();
        Era::Mortal { birth: head.height, hash: head.hash, period }
    };
    let short = signed(&ledger, 1, 0, born(&ledger, 2), &[pay(2, 100)]);
    let long = signed(&ledger, 2, 0, born(&ledger, 64), &[pay(1, 100)]);
    build(&mut ledger);
    build(&mut ledger);
    assert_eq!(ledger.submit(&short), Err(Refused::Expired));
    ledger.fork(3, true).unwrap();
    ledger.build(LedgerTime::from_secs(5_000));
    assert_eq!(ledger.submit(&long), Err(Refused::UnknownBirth));
    let endless = signed(&ledger, 2, 0, born(&ledger, 4_097), &[pay(1, 100)]);
    assert_eq!(ledger.submit(&endless), Err(Refused::PeriodTooLong));
}

#[test]
fn a_waiting_payment_is_dropped_when_its_era_ends() {
    let mut ledger = ledger(0);
    let head = ledger.head();
    let era = Era::Mortal { birth: 0, hash: head.hash, period: 2 };
    let waits = signed(&ledger, 1, 1, era, &[pay(2, 100)]);
    ledger.submit(&waits).unwrap();
    build(&mut ledger);
    build(&mut ledger);
    build(&mut ledger);
    assert_eq!(ledger.waiting(), 0);
}

#[test]
fn what_is_final_stays_and_what_is_not_may_go() {
    let mut ledger = ledger(2);
    send(&mut ledger, 1, 0, &[pay(2, 500)]).unwrap();
    build(&mut ledger);
    assert_eq!(ledger.final_account(&account(2)).free, units(10_000));
    ledger.fork(1, false).unwrap();
    assert_eq!((free(&ledger, 1), free(&ledger, 2)), (10_000, 10_000));
    send(&mut ledger, 1, 0, &[pay(2, 500)]).unwrap();
    (0..3).for_each(|_| build(&mut ledger));
    assert_eq!(ledger.final_account(&account(2)).free, units(10_500));
    assert!(ledger.fork(3, true).is_err());
    ledger.fork(2, true).unwrap();
    assert_eq!(free(&ledger, 2), 10_500);
}

#[test]
fn a_lost_block_gives_its_payments_back_to_those_who_wait() {
    let mut ledger = ledger(2);
    send(&mut ledger, 1, 0, &[pay(2, 500)]).unwrap();
    send(&mut ledger, 1, 1, &[pay(2, 600)]).unwrap();
    build(&mut ledger);
    ledger.fork(1, true).unwrap();
    assert_eq!(ledger.waiting(), 2);
    build(&mut ledger);
    assert_eq!(free(&ledger, 2), 11_100);
}

#[test]
fn members_pay_no_fee_in_the_end_and_all_must_afford_it() {
    let mut ledger = ledger(0);
    send(&mut ledger, 3, 0, &[pay(2, 500)]).unwrap();
    send(&mut ledger, 1, 0, &[pay(4, 100)]).unwrap();
    build(&mut ledger);
    assert_eq!((free(&ledger, 3), free(&ledger, 1)), (9_500, 9_898));
    assert_eq!(send(&mut ledger, 4, 0, &[pay(1, 50)]), Err(Refused::CannotPayFee));
    ledger.order(Inherent::Expel(account(3))).unwrap();
    build(&mut ledger);
    assert!(!ledger.final_member(&account(3)));
}

#[test]
fn there_is_never_more_money_than_documents_can_name() {
    let mut ledger = ledger(2);
    let most = MONEY_MAX.minus(ledger.issued()).unwrap();
    let faucet = |amount| Inherent::Faucet { to: account(4), amount };
    ledger.order(faucet(most.plus(units(1)).unwrap())).unwrap();
    ledger.order(faucet(units(u64::MAX))).unwrap();
    build(&mut ledger);
    assert_eq!(ledger.issued(), units(30_000));
    ledger.order(faucet(most)).unwrap();
    build(&mut ledger);
    assert_eq!(ledger.issued(), MONEY_MAX);
    let mut genesis = ledger.genesis().clone();
    genesis.accounts = [(account(1), MONEY_MAX), (account(2), units(DEPOSIT))].into();
    assert_eq!(Ledger::new(genesis).err(), Some(BadGenesis::TooMuch));
}

#[test]
fn foreign_and_spoiled_transactions_are_refused() {
    let mut here = ledger(0);
    let mut genesis = here.genesis().clone();
    genesis.currency = "other".into();
    let there = Ledger::new(genesis).unwrap();
    let foreign = signed(&there, 1, 0, Era::Immortal, &[pay(2, 500)]);
    assert_eq!(here.submit(&foreign), Err(Refused::OtherLedger));
    let mut spoiled = signed(&here, 1, 0, Era::Immortal, &[pay(2, 500)]);
    spoiled[130] ^= 1;
    assert!(matches!(here.submit(&spoiled), Err(Refused::Unreadable(_))));
    let order = Inherent::Faucet { to: account(9), amount: units(99) };
    assert_eq!(here.order(order), Err(Refused::BelowDeposit));
}

#[test]
fn written_blocks_give_the_same_ledger_again() {
    let mut first = ledger(1);
    first.order(Inherent::Faucet { to: account(7), amount: units(700) }).unwrap();
    first.order(Inherent::Admit(account(7))).unwrap();
    send(&mut first, 1, 0, &[pay(2, 500), remark("a")]).unwrap();
    send(&mut first, 2, 1, &[pay(1, 500)]).unwrap();
    build(&mut first);
    send(&mut first, 2, 0, &[pay(1, 99_999)]).unwrap();
    build(&mut first);
    let mut again = ledger(1);
    for height in 1..=2 {
        let bytes = first.block(height).unwrap().to_bytes();
        assert!(again.replay(&bytes[..bytes.len() - 1]).is_err());
        assert_eq!(again.replay(&bytes), Ok(()));
    }
    assert_eq!(again.head(), first.head());
    assert_eq!(again.account(&account(7)), first.account(&account(7)));
    let mut spoiled = first.block(1).unwrap().to_bytes();
    spoiled[20] ^= 1;
    assert_eq!(ledger(1).replay(&spoiled), Err(BadBlock::OtherHash));
    assert_eq!(again.replay(&spoiled), Err(BadBlock::OutOfOrder));
}

/// The rules once more, with whole copies of the world and signed numbers.
#[derive(Clone, Default)]
struct Naive {
    accounts: BTreeMap<u8, (i128, u64)>,
    outside: i128,
}

impl Naive {
    fn get(&self, name: u8) -> (i128, u64) {
        self.accounts.get(&name).copied().unwrap_or((0, 0))
    }

    fn put(&mut self, name: u8, free: i128, slot: u64) {
        self.accounts.remove(&name);
        if free < i128::from(DEPOSIT) {
            self.outside += free;
        } else {
            self.accounts.insert(name, (free, slot));
        }
    }

    /// One payment of account `from`, as many times as `amounts` says; whether it got into a block.
    fn pay(&mut self, from: u8, slot: u64, to: u8, amounts: &[u64]) -> bool {
        let (free, next) = self.get(from);
        if next != slot || free < i128::from(FEE + DEPOSIT) {
            return false;
        }
        self.outside += i128::from(FEE);
        self.put(from, free - i128::from(FEE), slot + 1);
        let before = self.clone();
        for amount in amounts {
            let amount = i128::from(*amount);
            let (free, slot) = self.get(from);
            let (other, other_slot) = self.get(to);
            if free < amount || (from != to && amount > 0 && other + amount < i128::from(DEPOSIT)) {
                *self = before;
                return true;
            }
            if from != to && amount > 0 {
                self.put(from, free - amount, slot);
                self.put(to, other + amount, other_slot);
            }
        }
        true
    }
}

#[derive(Clone, Debug)]
enum Step {
    Pay { from: u8, to: u8, ahead: u64, amounts: Vec<u64> },
    Faucet { to: u8, amount: u64 },
    Build,
    Fork { depth: usize },
}

fn step() -> impl Strategy<Value = Step> {
    let amount = prop_oneof![Just(0u64), 1u64..200, Just(9_898), 5_000u64..10_100, Just(u64::MAX)];
    prop_oneof![
        6 => (1u8..6, 1u8..6, 0u64..2, prop::collection::vec(amount, 1..4))
            .prop_map(|(from, to, ahead, amounts)| Step::Pay { from, to, ahead, amounts }),
        1 => (1u8..6, 100u64..500).prop_map(|(to, amount)| Step::Faucet { to, amount }),
        4 => Just(Step::Build),
        1 => (1usize..3).prop_map(|depth| Step::Fork { depth }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    /// At most one payment between two blocks, so that the model needs no order of its own.
    #[test]
    fn the_ledger_does_what_the_naive_model_does(steps in prop::collection::vec(step(), 1..60)) {
        let mut ledger = ledger(2);
        let accounts = (1..=3).map(|name| (name, (10_000, 0))).collect();
        let mut now = Naive { accounts, outside: 0 };
        let mut past = vec![now.clone()];
        let mut issued = 30_000;
        // The final height, which a fork does not lower.
        let mut height = 0;
        for step in steps {
            // Members get their fee back, which the model leaves out.
            ledger.order(Inherent::Expel(account(3))).unwrap();
            match step {
                Step::Pay { from, to, ahead, amounts } => {
                    let slot = now.get(from).1 + ahead;
                    let calls: Vec<_> = amounts.iter().map(|amount| pay(to, *amount)).collect();
                    let sent = send(&mut ledger, from, slot, &calls);
                    let poor = now.get(from).0 < i128::from(FEE + DEPOSIT);
                    prop_assert_eq!(sent.err(), poor.then_some(Refused::CannotPayFee));
                    build(&mut ledger);
                    let naive = !poor && now.pay(from, slot, to, &amounts);
                    prop_assert_eq!(ledger.head().included.len(), usize::from(naive));
                    past.push(now.clone());
                }
                Step::Faucet { to, amount } => {
                    ledger.order(Inherent::Faucet { to: account(to), amount: units(amount) }).unwrap();
                    build(&mut ledger);
                    let (free, slot) = now.get(to);
                    now.put(to, free + i128::from(amount), slot);
                    issued += amount;
                    past.push(now.clone());
                }
                Step::Build => {
                    build(&mut ledger);
                    past.push(now.clone());
                }
                Step::Fork { depth } => {
                    let can = past.len() > depth && ledger.fork(depth, false).is_ok();
                    if can {
                        past.truncate(past.len() - depth);
                        now = past.last().unwrap().clone();
                    }
                }
            }
            ledger.forget_waiting();
            height = height.max(past.len().saturating_sub(3));
            for name in 1..6 {
                let (free, slot) = now.get(name);
                let real = ledger.account(&account(name));
                prop_assert_eq!((i128::from(real.free.units()), real.slot), (free, Slot(slot)));
                let settled = ledger.final_account(&account(name)).free.units();
                prop_assert_eq!(i128::from(settled), past[height].get(name).0);
            }
            let held: i128 = now.accounts.values().map(|account| account.0).sum();
            let total = i128::from(ledger.issued().units());
            prop_assert_eq!(held + now.outside, total);
            prop_assert!(total <= i128::from(issued));
        }
    }
}

#[test]
fn a_block_whose_sender_was_paid_in_that_very_block_is_taken_back() {
    let mut ledger = ledger(2);
    let faucet = || Inherent::Faucet { to: account(4), amount: units(1_000) };
    ledger.order(faucet()).unwrap();
    build(&mut ledger);
    send(&mut ledger, 4, 0, &[pay(2, 300)]).unwrap();
    // The money is gone again, and the payment still waits for it.
    ledger.fork(1, true).unwrap();
    ledger.order(faucet()).unwrap();
    build(&mut ledger);
    assert_eq!((ledger.head().included.len(), free(&ledger, 2)), (1, 10_300));
    let mut again = self::ledger(2);
    assert_eq!(again.replay(&ledger.head().to_bytes()), Ok(()));
    assert_eq!(again.head(), ledger.head());
}
