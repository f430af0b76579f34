//! Every check of the payments is seen to fail: one mistake after the other is planted in a sound
//! world, and the check that must see it has to.

use std::collections::BTreeMap;
use std::time::Duration;

use mixing::{Strategy, Time};
use money::embedded::{Call, Era, Inherent, Ledger, Transaction};
use money::{Account, AccountKey, Amount, Reference};
use payment::effect::{Change, Effect, FinalBlock, Notice};
use simulator::payments::checks::Broken;
use simulator::payments::fault::{Cheat, Fault, What};
use simulator::payments::plan::{Manner, User, Want};
use simulator::payments::planted::Mistake;
use simulator::payments::{Plan, Profile, World};
use simulator::{Breach, Planned};

/// Three mixers, one user who pays once over all of them, and nothing wrong.
fn plan() -> Plan {
    let mut plan = Plan::draw(1, Profile::Calm);
    plan.mixers = 3;
    (plan.lag, plan.period) = (4, 16);
    plan.block_every = Duration::from_secs(6);
    plan.strategy = Strategy::Timed { period: Duration::from_secs(10) };
    plan.wait_max_s = 10;
    plan.delay = Duration::from_secs(1);
    plan.latency = Duration::from_millis(100);
    plan.drifts = vec![0; 5];
    let want = Want { at: seconds(90), amount: 500, hops: 3 };
    plan.users = vec![User { manner: Manner::Honest, wants: vec![want], absent: false }];
    plan.last(Duration::ZERO);
    plan
}

/// The same with a second user who pays in another manner.
fn plan_with(manner: Manner) -> Plan {
    let mut plan = plan();
    let mut odd = plan.users[0].clone();
    odd.manner = manner;
    plan.users.push(odd);
    // Another profile, so that an odd payment need not arrive.
    plan.profile = Profile::Cheats;
    plan
}

/// The same with a second account, 4, that pays nothing by itself.
fn plan_with_a_stranger() -> Plan {
    let mut plan = plan_with(Manner::Unknown);
    plan.users[1].wants.clear();
    plan
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The user's node.
const USER: usize = 3;

/// The broken check of a world with this mistake.
fn broken_in(plan: Plan, mistake: impl Mistake + 'static) -> Broken {
    let sound = World::new(plan.clone(), None, false).run();
    assert!(sound.is_clean(), "without the mistake: {sound}");
    let report = World::new(plan, Some(Box::new(mistake)), false).run();
    report.broken.expect("the mistake is found")
}

fn broken(mistake: impl Mistake + 'static) -> Broken {
    broken_in(plan(), mistake)
}

/// Every node is gone for a moment after the promises are made.
fn with_restarts(mut plan: Plan) -> Plan {
    plan.profile = Profile::Faults;
    for node in 0..3 {
        plan.faults.push(Fault { from: seconds(112), until: seconds(116), what: What::Away(node) });
    }
    plan.last(Duration::ZERO);
    plan
}

struct Saves<F>(F);

impl<F: FnMut(usize, Vec<Change>) -> Vec<Change>> Mistake for Saves<F> {
    fn saves(&mut self, _: Time, node: usize, changes: Vec<Change>) -> Vec<Change> {
        (self.0)(node, changes)
    }
}

struct Signs<F>(F);

impl<F: FnMut(usize, &mut Transaction)> Mistake for Signs<F> {
    fn signs(&mut self, _: Time, node: usize, transaction: &mut Transaction) {
        (self.0)(node, transaction);
    }
}

struct Shows<F>(F);

impl<F: FnMut(usize, &mut FinalBlock)> Mistake for Shows<F> {
    fn shows(&mut self, _: Time, node: usize, block: &mut FinalBlock) {
        (self.0)(node, block);
    }
}

/// Somebody does something with the ledger before a block.
struct Builds<F>(F);

impl<F: FnMut(Time, &mut Ledger, &dyn Fn(usize) -> AccountKey)> Mistake for Builds<F> {
    fn builds(&mut self, at: Time, ledger: &mut Ledger, key: &dyn Fn(usize) -> AccountKey) {
        (self.0)(at, ledger, key);
    }
}

/// Whatever this node has sent is signed once more for the next slot and sent as well.
struct Again {
    node: usize,
    sent: BTreeMap<[u8; 8], Transaction>,
}

impl Mistake for Again {
    fn performs(&mut self, _: Time, node: usize, effects: Vec<Effect>) -> Vec<Effect> {
        for effect in &effects {
            if let Effect::Broadcast(bytes) = effect
                && node == self.node
            {
                let transaction = Transaction::read(bytes).expect("cores send transactions");
                let name = std::array::from_fn(|i| bytes[bytes.len() - 8 + i]);
                self.sent.entry(name).or_insert(transaction);
            }
        }
        effects
    }

    fn builds(&mut self, _: Time, ledger: &mut Ledger, key: &dyn Fn(usize) -> AccountKey) {
        for transaction in self.sent.values_mut() {
            transaction.slot = transaction.slot.next();
            let _ = ledger.submit(&transaction.sign(&key(self.node)));
        }
        self.sent.clear();
    }
}

fn transfer(from: &AccountKey, ledger: &Ledger, call: Call, more: Option<Call>) -> Vec<u8> {
    signed(from, ledger, [call].into_iter().chain(more).collect())
}

fn signed(from: &AccountKey, ledger: &Ledger, calls: Vec<Call>) -> Vec<u8> {
    let sender = from.account();
    let (genesis, slot) = (ledger.genesis().hash(), ledger.next_slot(&sender));
    Transaction { genesis, sender, slot, era: Era::Immortal, calls }.sign(from)
}

fn pay(to: Account, amount: u64, keep_alive: bool) -> Call {
    Call::Transfer { to, amount: Amount::from_units(amount), keep_alive }
}

fn stranger() -> Account {
    AccountKey::from_seed([77; 32]).account()
}

/// Whether a record is an order in this state.
fn is_order(change: &Change, state: &str) -> bool {
    let has = |value: &Vec<u8>| value.windows(state.len()).any(|w| w == state.as_bytes());
    change.key[0] == b'o' && change.value.as_ref().is_some_and(has)
}

#[test]
fn without_a_mistake_the_world_is_clean() {
    struct Nothing;
    impl Mistake for Nothing {}
    for plan in [plan(), with_restarts(plan()), plan_with(Manner::Short)] {
        let report = World::new(plan, Some(Box::new(Nothing)), false).run();
        assert!(report.is_clean() && report.count("arrived") == 1, "{report}");
    }
}

#[test]
fn a_payout_that_is_sent_but_not_saved_is_found_as_a_spend_that_nobody_knows() {
    let mut plan = plan();
    plan.profile = Profile::Faults;
    let away = |node| Fault { from: seconds(170), until: seconds(400), what: What::Away(node) };
    plan.faults = (0..3).map(away).collect();
    plan.last(Duration::ZERO);
    let unsaved = Saves(|node, mut changes: Vec<Change>| {
        let slots = changes.iter().any(|change| change.key[0] == b's');
        if node < USER && slots {
            changes.clear();
        }
        changes
    });
    let found = broken_in(plan, unsaved);
    assert!(matches!(found, Broken::Alarm { notice: Notice::ForeignSpend, .. }), "{found:?}");
}

#[test]
fn a_new_slot_before_the_old_one_is_spent_is_found() {
    for node in 0..3 {
        let found = broken(Again { node, sent: BTreeMap::new() });
        assert_eq!(found, Broken::Twice { node });
    }
}

#[test]
fn a_payer_who_deposits_once_more_under_another_slot_is_found() {
    let found = broken(Again { node: USER, sent: BTreeMap::new() });
    assert_eq!(found, Broken::Twice { node: USER });
}

#[test]
fn a_gap_in_slots_is_found() {
    let found = broken(Signs(|node, transaction: &mut Transaction| {
        if node < USER {
            transaction.slot = transaction.slot.next();
        }
    }));
    assert_eq!(found.check(), 2, "{found:?}");
}

#[test]
fn a_nonce_that_is_used_again_is_found() {
    /// A mixer signs every payout for the first slot, as one that forgot what it used.
    struct Reuse;
    impl Mistake for Reuse {
        fn signs(&mut self, _: Time, node: usize, transaction: &mut Transaction) {
            if node < USER {
                transaction.slot = money::Slot(0);
            }
        }
    }
    let mut plan = plan();
    plan.users[0].wants.push(Want { at: seconds(900), amount: 200, hops: 3 });
    plan.last(Duration::ZERO);
    let found = broken_in(plan, Reuse);
    assert_eq!(found.check(), 2, "{found:?}");
}

#[test]
fn an_endpoint_that_claims_a_payout_failed_is_found() {
    let found = broken(Shows(|node, block: &mut FinalBlock| {
        if node < USER {
            for spent in &mut block.spent {
                spent.done = false;
                spent.transfers.clear();
            }
        }
    }));
    assert!(matches!(found, Broken::Twice { .. }), "{found:?}");
}

#[test]
fn an_account_that_is_spent_elsewhere_is_found() {
    let found =
        broken(Builds(|at: Time, ledger: &mut Ledger, key: &dyn Fn(usize) -> AccountKey| {
            if at - Time::ZERO > seconds(100) && ledger.account(&key(0).account()).slot.0 == 0 {
                let bytes = transfer(&key(0), ledger, pay(stranger(), 1_000, true), None);
                let _ = ledger.submit(&bytes);
            }
        }));
    assert!(matches!(found, Broken::Unowed { node: 0 }), "{found:?}");
}

#[test]
fn an_account_that_is_closed_and_whose_nonce_begins_again_is_found() {
    /// Payouts live for ever; the operator empties the account and fills it again, and somebody sends
    /// the old payout once more.
    struct Emptied {
        old: Option<Vec<u8>>,
        done: u32,
    }
    impl Mistake for Emptied {
        fn signs(&mut self, _: Time, node: usize, transaction: &mut Transaction) {
            if node == 0 {
                transaction.era = Era::Immortal;
            }
        }
        fn performs(&mut self, _: Time, node: usize, effects: Vec<Effect>) -> Vec<Effect> {
            let sent = effects.iter().find_map(|effect| match effect {
                Effect::Broadcast(bytes) if node == 0 => Some(bytes.clone()),
                _ => None,
            });
            self.old = self.old.take().or(sent);
            effects
        }
        fn builds(&mut self, _: Time, ledger: &mut Ledger, key: &dyn Fn(usize) -> AccountKey) {
            let state = ledger.final_account(&key(0).account());
            match (self.done, &self.old) {
                (0, Some(_)) if state.slot.0 > 0 => {
                    let all = pay(stranger(), state.free.units() - 2, false);
                    let _ = ledger.submit(&transfer(&key(0), ledger, all, None));
                    self.done = 1;
                }
                (1, Some(old)) => {
                    let amount = Amount::from_units(1_000_000);
                    let _ = ledger.order(Inherent::Faucet { to: key(0).account(), amount });
                    let _ = ledger.submit(old);
                    self.done = 2;
                }
                (2, Some(old)) => {
                    let _ = ledger.submit(old);
                }
                _ => {}
            }
        }
    }
    let found = broken(Emptied { old: None, done: 0 });
    assert!(matches!(found, Broken::Unowed { node: 0 } | Broken::Twice { node: 0 }), "{found:?}");
}

#[test]
fn a_copied_reference_with_another_sender_and_amount_that_is_taken_is_found() {
    let plan = plan_with(Manner::CopyOther);
    let payer = plan.key(USER).account();
    let found = broken_in(
        plan,
        Shows(move |node, block: &mut FinalBlock| {
            for transfer in block.received.iter_mut().filter(|_| node < USER) {
                if transfer.amount.units() == 501 {
                    (transfer.from, transfer.amount) = (payer, Amount::from_units(505));
                }
            }
        }),
    );
    assert!(matches!(found, Broken::Unsettled { .. } | Broken::Unowed { .. }), "{found:?}");
}

#[test]
fn a_copied_reference_from_another_sender_that_is_taken_is_found() {
    let plan = plan_with(Manner::Copy);
    let [payer, other] = [USER, USER + 1].map(|node| plan.key(node).account());
    let found = broken_in(
        plan,
        Shows(move |node, block: &mut FinalBlock| {
            for transfer in block.received.iter_mut().filter(|_| node < USER) {
                if transfer.from == other {
                    transfer.from = payer;
                }
            }
        }),
    );
    assert!(matches!(found, Broken::Unsettled { .. } | Broken::Unowed { .. }), "{found:?}");
}

#[test]
fn a_deposit_that_is_too_short_and_taken_is_found() {
    let found = broken_in(
        plan_with(Manner::Short),
        Shows(|node, block: &mut FinalBlock| {
            for transfer in block.received.iter_mut().filter(|_| node < USER) {
                if transfer.amount.units() == 504 {
                    transfer.amount = Amount::from_units(505);
                }
            }
        }),
    );
    assert!(matches!(found, Broken::Unowed { .. }), "{found:?}");
}

#[test]
fn a_return_that_is_answered_with_a_return_is_found() {
    /// Somebody sends a mixer a return, which the mixer takes for a payment of its own kind.
    struct Answered(bool);
    impl Mistake for Answered {
        fn shows(&mut self, _: Time, _: usize, block: &mut FinalBlock) {
            for transfer in &mut block.received {
                let text = transfer.reference.as_ref().map(|r| r.as_bytes().to_vec());
                let original = text.as_ref().and_then(|text| text.strip_prefix(b"return:"));
                if let Some(original) = original {
                    transfer.reference = Reference::new(original);
                }
            }
        }
        fn builds(&mut self, _: Time, ledger: &mut Ledger, key: &dyn Fn(usize) -> AccountKey) {
            if !std::mem::replace(&mut self.0, true) {
                let text = format!("return:{}", money::address::base58(&[9; 32]));
                let remark = Reference::new(text.as_bytes()).map(Call::Remark);
                let call = pay(key(0).account(), 500, true);
                let _ = ledger.submit(&transfer(&key(4), ledger, call, remark));
            }
        }
    }
    let found = broken_in(plan_with_a_stranger(), Answered(false));
    assert!(matches!(found, Broken::Unowed { node: 0 }), "{found:?}");
}

#[test]
fn two_remarks_on_one_transfer_are_found_as_a_payment_without_a_reference() {
    let found = broken(Signs(|node, transaction: &mut Transaction| {
        if node < USER {
            let second = transaction.calls[1].clone();
            transaction.calls.push(second);
        }
    }));
    assert!(matches!(found, Broken::Unowed { .. }), "{found:?}");
}

#[test]
fn an_endpoint_that_lets_two_remarks_on_one_transfer_count_is_found() {
    /// Somebody pays once and adds two remarks, each of which the endpoint takes for a payment.
    struct Both(bool);
    fn both() -> [Reference; 2] {
        [8, 9].map(|byte| Reference::new(money::address::base58(&[byte; 32]).as_bytes()).unwrap())
    }
    impl Mistake for Both {
        fn builds(&mut self, _: Time, ledger: &mut Ledger, key: &dyn Fn(usize) -> AccountKey) {
            if !std::mem::replace(&mut self.0, true) {
                let calls = [pay(key(0).account(), 500, true)];
                let remarks = both().map(Call::Remark);
                let calls = calls.into_iter().chain(remarks).collect();
                let _ = ledger.submit(&signed(&key(4), ledger, calls));
            }
        }
        fn shows(&mut self, _: Time, node: usize, block: &mut FinalBlock) {
            let bare = |t: &money::Transfer| t.reference.is_none() && t.amount.units() == 500;
            if let (0, Some(at)) = (node, block.received.iter().position(bare)) {
                let transfer = block.received.remove(at);
                block.received.extend((1..).zip(both()).map(|(event, reference)| {
                    let mut transfer = transfer.clone();
                    transfer.place.event += event;
                    transfer.reference = Some(reference);
                    transfer
                }));
            }
        }
    }
    let found = broken_in(plan_with_a_stranger(), Both(false));
    assert!(matches!(found, Broken::Unowed { node: 0 }), "{found:?}");
}

#[test]
fn an_endpoint_that_shows_a_deposit_twice_is_found() {
    let again = Shows(|node, block: &mut FinalBlock| {
        if node < USER
            && let Some(mut again) = block.received.first().cloned()
        {
            again.place.event += 1;
            block.received.push(again);
        }
    });
    let found = broken_in(plan_with_a_stranger(), again);
    assert_eq!(found.check(), 5, "{found:?}");
}

#[test]
fn a_start_that_does_not_find_the_orders_is_found() {
    /// Mixers begin again without what is on their disks.
    struct Lost;
    impl Mistake for Lost {
        fn finds(&mut self, _: Time, node: usize, key: &[u8], _: &[u8]) -> bool {
            node >= USER || key[0] != b'o'
        }
    }
    let found = broken_in(with_restarts(plan()), Lost);
    assert!(matches!(found, Broken::Restless { what: "orders", .. }), "{found:?}");
}

#[test]
fn a_promise_that_is_said_and_not_saved_is_found() {
    let found = broken_in(
        with_restarts(plan()),
        Saves(|_, mut changes: Vec<Change>| {
            changes.retain(|change| !is_order(change, "promised"));
            changes
        }),
    );
    assert_eq!(found.check(), 5, "{found:?}");
}

#[test]
fn a_payout_of_another_amount_or_to_another_is_found() {
    for to in [None, Some(stranger())] {
        let found = broken(Signs(move |node, transaction: &mut Transaction| {
            if let (true, Call::Transfer { to: whom, amount, .. }) =
                (node < USER, &mut transaction.calls[0])
            {
                *amount = Amount::from_units(amount.units() - u64::from(to.is_none()));
                *whom = to.unwrap_or(*whom);
            }
        }));
        assert!(matches!(found, Broken::Misdirected { .. }), "{found:?}");
    }
}

#[test]
fn a_mixer_that_does_not_send_what_it_signed_is_found() {
    struct Mute;
    impl Mistake for Mute {
        fn performs(&mut self, _: Time, node: usize, mut effects: Vec<Effect>) -> Vec<Effect> {
            effects.retain(|effect| node == USER || !matches!(effect, Effect::Broadcast(_)));
            effects
        }
    }
    assert_eq!(broken(Mute).check(), 2);
}

#[test]
fn an_order_that_is_never_forgotten_is_found() {
    let found = broken(Saves(|_, mut changes: Vec<Change>| {
        changes.retain(|change| change.key[0] != b'o' || change.value.is_some());
        changes
    }));
    assert!(matches!(found, Broken::Restless { what: "orders", .. }), "{found:?}");
}

#[test]
fn a_fingerprint_that_is_never_forgotten_is_found() {
    let found = broken(Saves(|_, mut changes: Vec<Change>| {
        changes.retain(|change| change.key[0] != b'p' || change.value.is_some());
        changes
    }));
    assert!(matches!(found, Broken::Restless { what: "fingerprints", .. }), "{found:?}");
}

#[test]
fn a_command_of_another_size_is_found() {
    struct Bare;
    impl Mistake for Bare {
        fn sends(&mut self, _: Time, _: usize, _: usize, mut bytes: Vec<u8>) -> Vec<u8> {
            bytes.truncate(8_000);
            bytes
        }
    }
    assert!(matches!(broken(Bare), Broken::Size { .. }));
}

/// What mixer 0 has promised, mixer 1 stores as well.
struct OneBook(Option<Vec<u8>>);

impl Mistake for OneBook {
    fn saves(&mut self, _: Time, node: usize, mut changes: Vec<Change>) -> Vec<Change> {
        let order = changes.iter().find(|change| is_order(change, "promised")).cloned();
        match node {
            0 => self.0 = order.and_then(|order| order.value).or(self.0.take()),
            1 => {
                let value = self.0.take();
                changes
                    .extend(value.map(|value| Change { key: b"z".to_vec(), value: Some(value) }));
            }
            _ => {}
        }
        changes
    }
}

#[test]
fn two_mixers_that_write_into_one_book_are_found() {
    let found = broken(OneBook(None));
    assert!(matches!(found, Broken::Knows { node: 1, .. }), "{found:?}");
}

#[test]
fn an_id_that_a_payment_keeps_on_its_way_joins_the_first_and_the_last_mixer_and_is_found() {
    // Neighbours may have it in common, the others not.
    let id = Change { key: b"z".to_vec(), value: Some(vec![200; 32]) };
    let found = broken(Saves(move |_, mut changes: Vec<Change>| {
        if changes.iter().any(|change| change.key[0] == b'o') {
            changes.push(id.clone());
        }
        changes
    }));
    assert!(matches!(found, Broken::Joins { .. }), "{found:?}");
}

#[test]
fn a_mixer_that_knows_more_than_its_neighbours_is_found_although_another_is_a_parrot() {
    let mut plan = plan();
    plan.profile = Profile::Cheats;
    let parrot = |node| What::Cheat(node, Cheat::Parrot);
    let fault = |node| Fault { from: seconds(60), until: seconds(3_000), what: parrot(node) };
    plan.faults = (0..3).map(fault).collect();
    plan.last(Duration::ZERO);
    let found = broken_in(plan, OneBook(None));
    assert!(matches!(found, Broken::Knows { node: 1, .. }), "{found:?}");
}

#[test]
fn a_date_that_is_as_exact_as_a_name_is_found() {
    let found = broken(Saves(|_, mut changes: Vec<Change>| {
        for change in changes.iter_mut().filter(|change| change.key[0] == b'p') {
            if let Some(last) = change.value.as_mut().and_then(|value| value.last_mut()) {
                *last ^= 1;
            }
        }
        changes
    }));
    assert!(matches!(found, Broken::Keeps { .. }), "{found:?}");
}
