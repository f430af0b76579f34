//! Exactly once, with real processes: mixers and their ledger are killed at moments drawn from a seed,
//! and in the end the ledger must say that every promise was kept.
//!
//! `MINGLE_SEED` names another seed, `MINGLE_KILLS` how many kills there are.

#![allow(clippy::unwrap_used, reason = "a test says so by failing")]

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mingle::clock::Clock;
use mixing::Chance;
use money::{Account, AccountKey, Reference, Slot};
use payment::document::PeerInfo;
use payment::receipt::{Evidence, Verdict, judge};
use rustix::process::{Pid, Signal, kill_process};
use support::payments::*;

/// What is done to the town, and how far it has come.
struct Trial {
    town: Town,
    purses: Vec<Purse>,
    stray: Stray,
    infos: Vec<PeerInfo>,
    chance: Chance,
    /// Orders by state that a mixer had when it was killed.
    states: BTreeMap<String, u64>,
    begun: u8,
    /// Older copies of the mixers' records.
    copies: Vec<Option<PathBuf>>,
    begins: bool,
}

/// Somebody who sends mixers what nobody promised anything for.
struct Stray {
    purse: Purse,
    sending: Option<(Slot, Account, Reference)>,
    sent: Vec<Reference>,
}

const MIXERS: u16 = 4;
const PURSES: u8 = 3;
const STRAY: u64 = 300;
/// Parts that one payer has under way at most, before their deposits.
const BEGUN_MAX: usize = 12;

fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).map_or(usual, |text| text.parse().unwrap())
}

impl Trial {
    async fn start(seed: u64) -> Self {
        let town = Town::start(plan(MIXERS)).await;
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let mut purses = Vec::new();
        for name in 1..=PURSES {
            purses.push(town.purse(name, 10_000_000).await);
        }
        let stray =
            Stray { purse: town.purse(99, 10_000_000).await, sending: None, sent: Vec::new() };
        let infos = town.infos();
        Self {
            town,
            purses,
            stray,
            infos,
            chance: Chance::new(bytes),
            states: BTreeMap::new(),
            begun: 0,
            copies: vec![None; usize::from(MIXERS)],
            begins: true,
        }
    }

    /// Lets payers pay for about so long.
    async fn live(&mut self, time: Duration) {
        let (clock, began) = Clock::started();
        while clock.now().time - began < time {
            if self.begins && self.chance.below(3) == 0 {
                self.begin();
            }
            for purse in &mut self.purses {
                purse.work().await;
            }
            // A ledger that stands still must not make everybody else stand still.
            let _ = tokio::time::timeout(Duration::from_millis(100), self.send_astray()).await;
        }
    }

    fn begin(&mut self) {
        let at = usize::try_from(self.chance.below(u64::from(PURSES))).unwrap();
        let purse = &mut self.purses[at];
        if purse.count(&["asking", "waiting", "ready"]) >= BEGUN_MAX {
            return;
        }
        let hops = 2 + usize::try_from(self.chance.below(2)).unwrap();
        let receiver = AccountKey::from_seed(self.chance.bytes()).account();
        let amount = *self.chance.pick(&[100, 200, 500]).unwrap();
        purse.begin(&route(&self.infos, hops, &mut self.chance), receiver, amount);
        self.begun = self.begun.wrapping_add(1);
    }

    /// One stray payment at a time, sent again until it is final.
    async fn send_astray(&mut self) {
        let Stray { purse, sending, sent } = &mut self.stray;
        let Some(slot) = purse.slot().await else { return };
        match sending {
            Some((at, to, reference)) if slot <= *at => {
                purse.pay_by_hand(*at, *to, STRAY, reference).await;
            }
            Some((_, _, reference)) => {
                sent.push(reference.clone());
                *sending = None;
            }
            None if self.begins => {
                let to = self.chance.pick(&self.infos).unwrap().pubkey;
                *sending = Some((slot, to, odd_reference(&mut self.chance)));
            }
            None => {}
        }
    }

    /// Kills one mixer, as it is, and starts it again.
    async fn kill(&mut self, old_copies: bool) {
        let wait = self.chance.exponential(Duration::from_millis(250));
        self.live(wait.min(Duration::from_secs(1))).await;
        let at = usize::try_from(self.chance.below(u64::from(MIXERS))).unwrap();
        // Under way it may not answer; then it is killed unseen.
        if let Some(status) = self.town.ask(at, "/status").await {
            for (state, count) in status["orders"].as_object().unwrap() {
                *self.states.entry(state.clone()).or_default() += count.as_u64().unwrap();
            }
            let returning = status["returning"].as_u64().unwrap();
            *self.states.entry("returning".into()).or_default() += returning;
        }
        self.town.payments.mixers[at].kill();
        if old_copies {
            self.exchange(at);
        }
        let down = self.chance.below(200);
        self.live(Duration::from_millis(down)).await;
        self.town.payments.mixers[at].start_again().unwrap();
    }

    /// Puts an older copy of the records back, or makes one.
    fn exchange(&mut self, at: usize) {
        let folder = self.town.payments.mixers[at].folder().to_owned();
        match self.copies[at].take() {
            Some(copy) => copy_records(&copy, &folder),
            None => {
                let copy = folder.with_extension("copy");
                let _ = std::fs::remove_dir_all(&copy);
                std::fs::create_dir(&copy).unwrap();
                copy_records(&folder, &copy);
                self.copies[at] = Some(copy);
            }
        }
    }

    /// The ledger is killed, or stands still for a while.
    async fn trouble_ledger(&mut self) {
        let pid = Pid::from_raw(self.town.payments.ledger.id().cast_signed()).unwrap();
        let time = Duration::from_millis(self.chance.below(1_000));
        match self.chance.below(2) {
            0 => {
                kill_process(pid, Signal::STOP).unwrap();
                self.live(time).await;
                kill_process(pid, Signal::CONT).unwrap();
            }
            _ => {
                self.town.payments.ledger.kill();
                self.live(time).await;
                self.town.payments.ledger.start_again().unwrap();
            }
        }
    }

    /// Lets everything come to its end. After old copies the operator looks, again and again.
    async fn settle(&mut self, looks: bool) {
        self.begins = false;
        self.purses.iter_mut().for_each(|purse| purse.pays = false);
        for _ in 0..2_000 {
            self.live(Duration::from_millis(60)).await;
            if looks {
                self.look().await;
            }
            let sure = self.purses.iter().all(|purse| purse.count(&["depositing"]) == 0);
            if sure && self.stray.sending.is_none() && self.owed().await == Some(0) {
                // What was paid last may not have been seen by the next mixer yet.
                let height = self.heights().await.into_iter().max().unwrap();
                while self.heights().await.iter().any(|at| *at < height + 8) {
                    self.live(Duration::from_millis(60)).await;
                }
                if self.owed().await == Some(0) {
                    return;
                }
            }
        }
        let mut last = Vec::new();
        for at in 0..usize::from(MIXERS) {
            last.push(self.town.ask(at, "/status").await);
        }
        let purses: Vec<_> = self.purses.iter().map(Purse::states).collect();
        panic!("not everything came to its end: {purses:?} {last:#?}");
    }

    /// The operator of each mixer looks, so that promises go on.
    async fn look(&self) {
        for at in 0..usize::from(MIXERS) {
            self.town.tell(at, "/looked").await;
        }
    }

    /// What all mixers owe; nothing if one does not answer.
    async fn owed(&self) -> Option<u64> {
        let mut sum = 0;
        for at in 0..usize::from(MIXERS) {
            sum += owes(&self.town.ask(at, "/status").await?)?;
        }
        Some(sum)
    }

    async fn heights(&self) -> Vec<u64> {
        let mut heights = Vec::new();
        for at in 0..usize::from(MIXERS) {
            let status = self.town.ask(at, "/status").await;
            heights.push(status.and_then(|status| status["block"].as_u64()).unwrap_or(0));
        }
        heights
    }
}

fn copy_records(from: &Path, to: &Path) {
    for name in ["records.db", "records.db-wal"] {
        let _ = std::fs::remove_file(to.join(name));
        if from.join(name).exists() {
            std::fs::copy(from.join(name), to.join(name)).unwrap();
        }
    }
}

/// What must hold of the ledger in the end, whatever happened: no reference is paid with twice, no
/// payment back without what it sends back, and no money made.
fn check_always(end: &Final) {
    for (reference, count) in &end.made {
        assert_eq!(*count, 1, "{reference:?} was paid {count} times");
        let original = reference.as_bytes().strip_prefix(payment::mixer::RETURN_PREFIX);
        if let Some(original) = original {
            let original = Reference::new(original).unwrap();
            assert_eq!(end.count(&original), 1, "a return of nothing");
        }
    }
    let given = u64::from(MIXERS) * mingle::payments::local::MIXER_MONEY;
    let given = given + 10_000_000 * (u64::from(PURSES) + 1);
    assert_eq!(end.ledger.issued().units(), given, "money was made or lost");
}

/// The verdict on each promise of each part that was paid.
fn verdicts(trial_purses: &[Purse], end: &Final) -> Vec<Verdict> {
    let currency = payment::document::Currency::Genesis(end.ledger.genesis().hash());
    let until = end.ledger.final_head().time;
    let mut verdicts = Vec::new();
    for (promises, receiver, amount) in trial_purses.iter().flat_map(Purse::paid) {
        let mut kept = true;
        for promise in promises.iter().map(|promise| promise.content()) {
            let ours = |t: &&(money::Transfer, money::LedgerTime)| {
                t.0.from == promise.node || t.0.to == promise.node
            };
            let transfers = end.transfers.iter().filter(ours).cloned().collect();
            let evidence = Evidence { transfers, until, halted_s: 0 };
            let verdict = judge(promise, end.ledger.genesis().fee, &currency, &evidence);
            kept &= matches!(verdict, Verdict::Kept | Verdict::Late);
            verdicts.push(verdict);
        }
        let got = end.ledger.final_account(&receiver).free.units();
        assert_eq!(got, if kept { amount } else { 0 }, "{promises:?}");
    }
    verdicts
}

fn tally<T: std::fmt::Debug>(all: impl IntoIterator<Item = T>) -> BTreeMap<String, usize> {
    let mut tally = BTreeMap::new();
    for one in all {
        *tally.entry(format!("{one:?}")).or_default() += 1;
    }
    tally
}

#[test]
fn a_killed_mixer_pays_every_funded_promise_exactly_once() {
    let (seed, kills) = (number("MINGLE_SEED", 1), number("MINGLE_KILLS", 40));
    println!("seed {seed}, {kills} kills");
    run(async {
        let mut trial = Trial::start(seed).await;
        for kill in 0..kills {
            trial.kill(false).await;
            if kill % 50 == 49 {
                println!("{} kills", kill + 1);
            }
            if trial.chance.below(12) == 0 {
                trial.trouble_ledger().await;
            }
        }
        trial.settle(false).await;
        let Trial { town, purses, stray, states, .. } = trial;
        let (end, _folder) = town.end();
        check_always(&end);
        let verdicts = verdicts(&purses, &end);
        println!("orders at the moments of the kills: {states:?}");
        println!("promises: {:?}; strays {}", tally(&verdicts), stray.sent.len());
        let fine = |v: &Verdict| matches!(v, Verdict::Kept | Verdict::Late);
        assert!(verdicts.iter().all(fine));
        assert!(verdicts.len() as u64 >= kills, "too few to mean anything");
        for reference in &stray.sent {
            assert_eq!(end.count(reference), 1, "it was made");
            assert_eq!(end.count(&returned(reference)), 1, "a stray payment went back once");
        }
        for state in ["requested", "answered", "promised", "funded", "paying", "returning"] {
            let met = states.get(state).is_some_and(|count| *count > 0);
            assert!(met || kills < 100, "no order was {state} when its mixer was killed");
        }
    });
}

#[test]
fn an_older_copy_of_the_records_pays_nothing_twice_and_hides_nothing() {
    let (seed, kills) = (number("MINGLE_SEED", 1), number("MINGLE_KILLS", 40) / 2);
    println!("seed {seed}, {kills} kills");
    run(async {
        let mut trial = Trial::start(seed + 1_000_000).await;
        for _ in 0..kills {
            trial.kill(true).await;
            trial.look().await;
        }
        trial.settle(true).await;
        // What the operator finds in the books.
        let mut booked = BTreeMap::<String, usize>::new();
        for at in 0..usize::from(MIXERS) {
            let orders = trial.town.ask(at, "/orders").await.unwrap();
            for back in orders["unclaimed"].as_array().unwrap() {
                *booked.entry(back["reference"].as_str().unwrap().to_owned()).or_default() += 1;
            }
        }
        let Trial { town, purses, stray, states, .. } = trial;
        let (end, _folder) = town.end();
        check_always(&end);
        let currency = payment::document::Currency::Genesis(end.ledger.genesis().hash());
        let book = |reference: &Reference| {
            let text = String::from_utf8_lossy(reference.as_bytes()).into_owned();
            booked.get(&text).copied().unwrap_or(0)
        };
        let (mut on, mut back, mut kept) = (0, 0, 0);
        for (promises, ..) in purses.iter().flat_map(Purse::paid) {
            for promise in promises.iter().map(|promise| promise.content()) {
                let reference = promise.in_reference(&currency);
                let deposits = end.count(&reference);
                let out = end.count(&promise.out_reference(&currency));
                let returns = end.count(&returned(&reference));
                assert!(out + returns <= deposits, "{promise:?} paid twice");
                assert!(out + returns + book(&reference) >= deposits, "{promise:?} is lost");
                (on, back, kept) = (on + out, back + returns, kept + book(&reference));
            }
        }
        for reference in &stray.sent {
            let found = end.count(&returned(reference)) + book(reference);
            assert!(found >= 1, "a stray payment is lost");
        }
        println!("orders at the moments of the kills: {states:?}");
        println!("deposits passed on {on}, sent back {back}, in the books {kept}");
        assert!(on > 0);
    });
}

/// The check can fail: a payment that was made twice is found.
#[test]
#[should_panic(expected = "was paid 2 times")]
fn a_planted_second_payment_is_found() {
    let end = run(async {
        let town = Town::start(plan(2)).await;
        let mut purse = town.purse(1, 10_000).await;
        let receiver = AccountKey::from_seed([202; 32]).account();
        let reference = odd_reference(&mut Chance::new([1; 32]));
        for slot in [Slot(0), Slot(1)] {
            purse.pay_by_hand(slot, receiver, 100, &reference).await;
        }
        while purse.slot().await != Some(Slot(2)) {
            purse.work().await;
        }
        town.end().0
    });
    check_always(&end);
}
