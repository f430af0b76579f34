//! What a mixer is asked, rightly and wrongly, before and after the money.

#![allow(clippy::unwrap_used, reason = "a test may fail loudly")]

mod world;

use mixing::envelope::EnvelopePublic;
use mixing::keys::Secret;
use mixing::{Chance, Now};
use money::embedded::Transaction;
use money::{Account, Reference};
use payment::Mixer;
use payment::document::{BadDocument, Confirm, Currency, GetConfirm, Promise, Request, Signed};
use payment::document::{Unverified, peer_hash};
use payment::effect::{Answer, Effect, Input, Notice, OrderId, Refused};
use payment::mixer::RETURN_PREFIX;
use payment::onion::{self, Layer, Unopened};
use payment::order::Order;
use payment::payer::Part;
use payment::promises;
use payment::receipt::{Evidence, Verdict, judge};
use world::{Faults, World, key, units};

const BEGIN_S: u64 = 1_700_000_000;

/// Three mixers at rest, a payer named 101 who does nothing by himself.
fn resting() -> World {
    let mut world = World::new(3, 3, 1, Faults::default());
    world.run_until(15_000);
    world
}

fn account(name: u8) -> Account {
    key(name).account()
}

/// A layer for mixer 1 as the last one, from payer 101 to receiver 201.
fn layer(chance: &mut Chance) -> Layer {
    Layer {
        sender: account(101),
        in_amount: units(505),
        in_seed: chance.bytes(),
        next: account(201),
        next_is_mixer: false,
        out_amount: units(500),
        out_seed: chance.bytes(),
        expire_date: BEGIN_S + 500,
        payout_date: BEGIN_S + 1_000,
        one_time: Secret::new(chance.bytes()),
        hop_key: Secret::new(chance.bytes()),
    }
}

/// A layer for mixer 1 with mixer 2 behind it.
fn middle(chance: &mut Chance) -> Layer {
    Layer { next: account(2), next_is_mixer: true, ..layer(chance) }
}

struct Asker {
    currency: Currency,
    enckey: EnvelopePublic,
    chance: Chance,
}

impl Asker {
    fn new(world: &World) -> Self {
        let enckey = world.mixer(0).enckey().clone();
        Self { currency: world.currency(), enckey, chance: Chance::new([9; 32]) }
    }

    fn request(&mut self, layer: &Layer) -> Request {
        Request {
            to: account(1),
            sender: *account(101).as_bytes(),
            amount: layer.in_amount,
            client: true,
            req_date: BEGIN_S + 15,
            onion: onion::build(&[(&self.enckey, layer)], &self.currency, &mut self.chance),
        }
    }

    fn sign(&self, request: Request) -> Vec<u8> {
        Signed::make(request, &self.currency, &key(101)).bytes().to_vec()
    }

    /// A signed request for one layer.
    fn ask(&mut self, layer: &Layer) -> Vec<u8> {
        let request = self.request(layer);
        self.sign(request)
    }
}

fn give(world: &mut World, body: &[u8]) -> Result<[u8; 32], Refused> {
    let input = Input::Request { body: body.to_vec(), owned: units(100_000) };
    match world.give(0, input)? {
        Some(Answer::Seed(seed)) => Ok(seed),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_same_bytes_get_the_same_answer_and_an_envelope_opens_once() {
    let mut world = resting();
    let mut asker = Asker::new(&world);
    let layer = layer(&mut asker.chance);
    let mut request = asker.request(&layer);
    let body = asker.sign(request.clone());
    let seed = give(&mut world, &body).unwrap();
    assert_eq!(give(&mut world, &body), Ok(seed));
    assert_eq!(world.mixer(0).orders().len(), 1);
    request.req_date += 1;
    assert_eq!(give(&mut world, &asker.sign(request.clone())), Err(Refused::Replayed));
    // Over a restart too.
    world.crash(0, 0);
    world.run_until(20_000);
    request.req_date += 1;
    assert_eq!(give(&mut world, &body), Ok(seed));
    assert_eq!(give(&mut world, &asker.sign(request)), Err(Refused::Replayed));
    assert_eq!(world.mixer(0).orders().len(), 1);
}

#[test]
fn who_is_refused_may_ask_again_with_the_same_onion() {
    let mut world = resting();
    let mut asker = Asker::new(&world);
    let layer = Layer { next: account(77), ..middle(&mut asker.chance) };
    let body = asker.ask(&layer);
    // The next mixer may become known meanwhile.
    for _ in 0..2 {
        assert_eq!(give(&mut world, &body), Err(Refused::UnknownNext));
    }
    assert!(world.mixer(0).orders().is_empty());
}

/// Two mixers with old copies could else promise one deposit to two different payments.
#[test]
fn a_mixer_whose_file_forgot_a_request_makes_the_same_promise_again() {
    let mut world = resting();
    let mut asker = Asker::new(&world);
    let layer = layer(&mut asker.chance);
    let body = asker.ask(&layer);
    let id = onion::fingerprint(&asker_onion(&body, &asker.currency));
    let before = world.nodes[0].disk.records.clone();
    let seed = give(&mut world, &body).unwrap();
    let promise = world.mixer(0).orders()[&id].promise(account(1));
    world.crash(0, 0);
    world.nodes[0].disk.records = before;
    world.run_until(25_000);
    assert!(world.mixer(0).orders().is_empty());
    assert_eq!(give(&mut world, &body), Ok(seed));
    assert_eq!(world.mixer(0).orders()[&id].promise(account(1)), promise);
}

#[test]
fn each_wrong_request_is_refused_by_name() {
    let mut world = resting();
    let mut asker = Asker::new(&world);
    let mut refusal = |change: &dyn Fn(&mut Layer), body: &dyn Fn(&mut Request)| {
        let mut layer = layer(&mut asker.chance);
        change(&mut layer);
        let mut request = asker.request(&layer);
        body(&mut request);
        let refused = give(&mut world, &asker.sign(request)).err();
        assert!(world.mixer(0).orders().is_empty() || refused.is_none());
        refused
    };
    let fine = |_: &mut Layer| {};
    let same = |_: &mut Request| {};
    use Refused::{Contradiction, DateFar, NotDistinct, NotForUs, WrongAmount, WrongDates};
    assert_eq!(refusal(&fine, &|r| r.to = account(2)), Some(NotForUs));
    assert_eq!(refusal(&fine, &|r| r.amount = units(500)), Some(Contradiction));
    assert_eq!(refusal(&|l| l.sender = account(9), &same), Some(Contradiction));
    assert_eq!(refusal(&|l| l.out_amount = units(300), &same), Some(WrongAmount));
    assert_eq!(
        refusal(&|l| l.in_amount = units(504), &|r| r.amount = units(504)),
        Some(WrongAmount)
    );
    let tiny = |l: &mut Layer| (l.in_amount, l.out_amount) = (units(55), units(50));
    assert_eq!(refusal(&tiny, &|r| r.amount = units(55)), Some(WrongAmount));
    assert_eq!(refusal(&|l| l.expire_date = BEGIN_S + 10, &same), Some(WrongDates));
    assert_eq!(refusal(&|l| l.payout_date = l.expire_date + 32, &same), Some(WrongDates));
    let far = |l: &mut Layer| l.payout_date = BEGIN_S + 8 * 86_400;
    assert_eq!(refusal(&far, &same), Some(WrongDates));
    assert_eq!(refusal(&|l| l.next = account(1), &same), Some(NotDistinct));
    assert_eq!(refusal(&|l| l.next = account(101), &same), Some(NotDistinct));
    let nowhere = |l: &mut Layer| (l.next, l.next_is_mixer) = (account(77), true);
    assert_eq!(refusal(&nowhere, &same), Some(Refused::UnknownNext));
    assert_eq!(refusal(&fine, &|r| r.req_date += 3_700), Some(DateFar));
    assert_eq!(refusal(&fine, &|r| r.onion[9] ^= 1), Some(Refused::Onion(Unopened::Forged)));
    assert_eq!(refusal(&fine, &|r| r.onion.truncate(9)), Some(Refused::Onion(Unopened::WrongSize)));
    let peer = |r: &mut Request| (r.client, r.sender) = (false, [5; 32]);
    assert_eq!(refusal(&fine, &peer), Some(Refused::UnknownSender));
    let forged = Refused::Document(BadDocument::BadSignature);
    assert_eq!(refusal(&fine, &|r| r.sender = *account(102).as_bytes()), Some(forged));
    assert_eq!(refusal(&fine, &same), None);
}

#[test]
fn an_unfunded_order_costs_a_place_and_the_money_to_fund_it() {
    let mut world = resting();
    let mut asker = Asker::new(&world);
    for i in 1..=17u64 {
        let layer = layer(&mut asker.chance);
        let body = asker.ask(&layer);
        let owned = |units_owned| Input::Request { body: body.clone(), owned: units(units_owned) };
        if i == 17 {
            assert_eq!(world.give(0, owned(100_000)).err(), Some(Refused::SenderFull));
        } else {
            assert_eq!(world.give(0, owned(505 * i - 1)).err(), Some(Refused::NotOwned));
            assert!(world.give(0, owned(505 * i)).is_ok());
        }
    }
    // Their time passes, and all is as before, but for what refuses copies.
    world.run_until(15_000 + 1_000);
    assert_eq!(world.mixer(0).orders().len(), 16);
}

#[test]
fn promises_come_back_once_and_from_the_next_mixer_only() {
    let mut world = resting();
    let mut asker = Asker::new(&world);
    let layer = middle(&mut asker.chance);
    let body = asker.ask(&layer);
    let id = onion::fingerprint(&asker_onion(&body, &asker.currency));
    give(&mut world, &body).unwrap();
    let confirm = |from: u8, fill: u8, seed: [u8; 32]| {
        let promises = vec![fill; promises::PROMISES_SIZE];
        let content = Confirm { to: account(1), out_seed: seed, promises };
        let body = Signed::make(content, &asker.currency, &key(from)).bytes().to_vec();
        Input::Confirm { body }
    };
    // Before the answer the seed is unknown.
    assert_eq!(world.give(0, confirm(2, 0, [4; 32])).err(), Some(Refused::NoOrder));
    world.give(0, Input::Heard { order: id, answer: Ok(Answer::Seed([4; 32])) }).unwrap();
    let forged = Refused::Document(BadDocument::BadSignature);
    assert_eq!(world.give(0, confirm(3, 0, [4; 32])).err(), Some(forged));
    assert_eq!(world.give(0, confirm(2, 0, [4; 32])), Ok(Some(Answer::Taken)));
    assert_eq!(world.give(0, confirm(2, 0, [4; 32])), Ok(Some(Answer::Taken)));
    assert_eq!(world.give(0, confirm(2, 1, [4; 32])).err(), Some(Refused::Different));
    let order = &world.mixer(0).orders()[&id];
    assert!(matches!(order, Order::Promised { .. }));
}

fn asker_onion(body: &[u8], currency: &Currency) -> Vec<u8> {
    Unverified::<Request>::parse(body, currency).unwrap().content().onion.clone()
}

#[test]
fn payer_and_next_mixer_cannot_make_one_payout_serve_two_promises() {
    let mut world = resting();
    // The next mixer is the attacker's: the world must not answer for it.
    world.crash(1, 10_000_000);
    let mut asker = Asker::new(&world);
    let (mut first, mut second) = (middle(&mut asker.chance), middle(&mut asker.chance));
    (first.out_seed, second.out_seed) = ([8; 32], [8; 32]);
    let mut orders = Vec::new();
    for layer in [&first, &second] {
        let body = asker.ask(layer);
        orders.push(onion::fingerprint(&asker_onion(&body, &asker.currency)));
        give(&mut world, &body).unwrap();
    }
    let heard = |order| Input::Heard { order, answer: Ok(Answer::Seed([4; 32])) };
    world.give(0, heard(orders[0])).unwrap();
    assert_eq!(world.give(0, heard(orders[1])).err(), Some(Refused::ReferenceTaken));
    // Nor after the first is paid and forgotten: the deposits are made, the payout becomes final.
    let confirm =
        Confirm { to: account(1), out_seed: [4; 32], promises: vec![0; promises::PROMISES_SIZE] };
    let confirm = Signed::make(confirm, &asker.currency, &key(2)).bytes().to_vec();
    world.give(0, Input::Confirm { body: confirm.clone() }).unwrap();
    let promise = world.mixer(0).orders()[&orders[0]].promise(account(1)).unwrap();
    let reference = promise.in_reference(&asker.currency);
    world.pay_by_hand(101, account(1), 505, reference.as_bytes());
    let ms = world.ms;
    world.run_until(ms + 15_000);
    assert!(!world.mixer(0).orders().contains_key(&orders[0]), "paid and forgotten");
    world.give(0, heard(orders[1])).unwrap();
    let refused = world.give(0, Input::Confirm { body: confirm }).err();
    assert_eq!(refused, Some(Refused::ReferenceTaken));
}

/// The bytes that a stranger would like to have signed.
fn bait(world: &World) -> (Vec<u8>, [u8; 32]) {
    let key = key(1);
    let transaction = Transaction {
        genesis: world.ledger.genesis().hash(),
        sender: key.account(),
        slot: money::Slot(0),
        era: money::embedded::Era::Immortal,
        calls: vec![money::embedded::Call::Transfer {
            to: account(101),
            amount: units(90_000),
            keep_alive: false,
        }],
    };
    let bytes = transaction.sign(&key);
    let payload = bytes[..bytes.len() - 64].to_vec();
    let hash = mixing::cipher::hash("some payload's hash", &[&payload]);
    (payload, hash)
}

#[test]
fn the_mixer_signs_nothing_that_begins_with_what_a_stranger_chose() {
    let mut world = resting();
    let (payload, hash) = bait(&world);
    let mut asker = Asker::new(&world);
    // As an onion it is refused, whatever its size.
    let mut padded = payload.clone();
    padded.resize(onion::ONION_SIZE, 0);
    for bytes in [payload.clone(), padded] {
        let mut request = asker.request(&layer(&mut Chance::new([1; 32])));
        request.onion = bytes;
        assert!(matches!(give(&mut world, &asker.sign(request)), Err(Refused::Onion(_))));
    }
    // As seeds, keys and receiver it travels inside promises.
    let mut layer = layer(&mut asker.chance);
    (layer.in_seed, layer.out_seed, layer.next) = (hash, hash, Account::from_bytes(hash));
    let body = asker.ask(&layer);
    let seed = give(&mut world, &body).unwrap();
    let question =
        GetConfirm { to: account(1), sender: account(101), in_seed: seed, date: BEGIN_S + 15 };
    let question = Signed::make(question, &asker.currency, &key(101)).bytes().to_vec();
    let answer = world.give(0, Input::GetConfirm { body: question }).unwrap();
    let Some(Answer::Promises(slots)) = answer else { panic!("{answer:?}") };
    let promises = promises::take(&slots, &[(&layer.one_time, &layer.hop_key)]).unwrap();
    let (signature, signed) = promises[0].split_first_chunk::<64>().unwrap();
    assert_eq!(signed[0], b'{');
    assert!(account(1).verify(signed, signature).is_ok());
    for wanted in [&payload[..], &hash, &signed[1..]] {
        assert!(account(1).verify(wanted, signature).is_err());
    }
    for bytes in [[&payload[..], signature].concat(), [signed, signature].concat()] {
        assert!(world.ledger.submit(&bytes).is_err());
    }
}

/// A world in which one part of 500 is promised and not paid.
fn promised() -> (World, Vec<Promise>) {
    let mut world = World::new(11, 3, 1, Faults::default());
    world.pays = false;
    world.want(0, 201, 500, 15_000);
    world.run_until(60_000);
    let part = world.payer(0).parts().values().next().unwrap();
    assert!(matches!(part, Part::Ready { .. }), "{}", part.name());
    let promises = part.promises().iter().map(|p| p.content().clone()).collect();
    (world, promises)
}

fn count(world: &World, reference: &[u8]) -> usize {
    let is_it = |r: &Option<Reference>| r.as_ref().is_some_and(|r| r.as_bytes() == reference);
    world.final_transfers().iter().filter(|(t, _)| is_it(&t.reference)).count()
}

fn run(world: &mut World, ms: u64) {
    let begin = world.ms;
    world.run_until(begin + ms);
}

fn verdict(world: &World, promise: &Promise) -> Verdict {
    let transfers = world.final_transfers();
    let evidence = Evidence { transfers, until: world.ledger.final_head().time, halted_s: 0 };
    judge(promise, units(world::LEDGER_FEE), &world.currency(), &evidence)
}

#[test]
fn what_misfits_goes_back_once_and_never_bounces() {
    let (mut world, promises) = promised();
    let first = promises[0].node;
    let right = promises[0].in_reference(&world.currency());
    let unknown = money::address::base58(&[7; 32]);
    let back = |reference: &[u8]| [RETURN_PREFIX, reference].concat();
    // Short, long, of another sender; unknown; too small to go back; not Mingle's.
    world.pay_by_hand(101, first, 504, right.as_bytes());
    world.pay_by_hand(101, first, 700, unknown.as_bytes());
    world.pay_by_hand(101, first, 2, money::address::base58(&[8; 32]).as_bytes());
    world.pay_by_hand(101, first, 900, b"hello");
    world.pay_by_hand(101, first, 800, &back(unknown.as_bytes()));
    run(&mut world, 30_000);
    assert_eq!(count(&world, &back(right.as_bytes())), 1);
    assert_eq!(
        count(&world, &back(unknown.as_bytes())),
        2,
        "ours, and the one that was sent to us"
    );
    let ours = world.final_transfers().into_iter().map(|(t, _)| t).filter(|t| t.from == first);
    let mut sent: Vec<_> = ours.map(|t| t.amount.units()).collect();
    sent.sort_unstable();
    assert_eq!(sent, [502, 698], "each less the published cost");
    let node = (0..3).find(|i| world.nodes[*i].account == first).unwrap();
    assert_eq!(world.mixer(node).unclaimed().len(), 2, "two units, and the returned return");
    assert!(world.mixer(node).returns().is_empty());
    // The promise still stands: paid rightly, then once too often.
    world.pay_by_hand(101, first, 505, right.as_bytes());
    world.pay_by_hand(101, first, 505, right.as_bytes());
    run(&mut world, 90_000);
    assert_eq!(world.ledger.final_account(&account(201)).free, units(500));
    assert_eq!(count(&world, &back(right.as_bytes())), 2, "one for 504 and one for the second 505");
    assert_eq!(verdict(&world, &promises[0]), Verdict::Kept);
}

#[test]
fn a_late_but_exact_deposit_is_passed_on() {
    let (mut world, promises) = promised();
    let late = (promises[2].payout_date - BEGIN_S) * 1_000 + 60_000;
    world.run_until(late);
    assert_eq!(verdict(&world, &promises[0]), Verdict::Unfunded);
    let reference = promises[0].in_reference(&world.currency());
    world.pay_by_hand(101, promises[0].node, 505, reference.as_bytes());
    run(&mut world, 90_000);
    assert_eq!(world.ledger.final_account(&account(201)).free, units(500));
    assert!(promises.iter().all(|promise| verdict(&world, promise) == Verdict::Late));
}

#[test]
fn mixers_that_sleep_past_every_date_still_deliver() {
    let (mut world, promises) = promised();
    let sleepers = [promises[1].node, promises[2].node];
    let wake = (promises[2].payout_date - BEGIN_S) * 1_000 + 600_000;
    for i in 0..3 {
        if sleepers.contains(&world.nodes[i].account) {
            let down = wake - world.ms;
            world.crash(i, down);
        }
    }
    let reference = promises[0].in_reference(&world.currency());
    world.pay_by_hand(101, promises[0].node, 505, reference.as_bytes());
    world.run_until(wake);
    assert_eq!(
        verdict(&world, &promises[0]),
        Verdict::Kept,
        "the next one being dead changes nothing"
    );
    assert_eq!(verdict(&world, &promises[1]), Verdict::Pending);
    run(&mut world, 120_000);
    assert_eq!(world.ledger.final_account(&account(201)).free, units(500));
    assert_eq!(verdict(&world, &promises[2]), Verdict::Late);
}

#[test]
fn a_slot_spent_by_something_else_is_followed_by_another() {
    let (mut world, promises) = promised();
    let node = (0..3).find(|i| world.nodes[*i].account == promises[0].node).unwrap();
    let name = u8::try_from(node + 1).unwrap();
    let reference = promises[0].in_reference(&world.currency());
    world.pay_by_hand(101, promises[0].node, 505, reference.as_bytes());
    while !world.mixer(node).orders().values().any(Order::is_funded) {
        run(&mut world, 250);
    }
    // The payout gets its slot while the ledger is out of reach; meanwhile another program uses it.
    world.nodes[node].blind_until = world.ms + 20_000;
    run(&mut world, 10_000);
    assert!(world.mixer(node).orders().values().any(|order| matches!(order, Order::Paying(..))));
    world.pay_by_hand(name, account(202), 500, b"by another program");
    run(&mut world, 120_000);
    assert_eq!(world.ledger.final_account(&account(201)).free, units(500));
    assert!(world.nodes[node].notices.contains(&Notice::ForeignSpend));
    let out = promises[0].out_reference(&world.currency());
    assert_eq!(count(&world, out.as_bytes()), 1);
}

/// A mixer whose payout failed until its order was stuck, and who has money again: its place, the
/// order, and its promise.
fn stuck() -> (World, usize, OrderId, Promise) {
    let (mut world, promises) = promised();
    let promise = promises[0].clone();
    let node = (0..3).find(|i| world.nodes[*i].account == promise.node).unwrap();
    let name = u8::try_from(node + 1).unwrap();
    world.pay_by_hand(name, account(202), 99_700, b"withdrawn");
    run(&mut world, 5_000);
    let reference = promise.in_reference(&world.currency());
    // 300 are left; with the deposit 800, and 500 out would leave enough, so the account is robbed
    // once more as soon as the deposit is there.
    world.pay_by_hand(101, promise.node, 505, reference.as_bytes());
    while !world.mixer(node).orders().values().any(Order::is_funded) {
        run(&mut world, 250);
    }
    world.pay_by_hand(name, account(202), 400, b"withdrawn");
    run(&mut world, 60_000);
    assert!(world.nodes[node].notices.contains(&Notice::Stuck));
    let (id, order) = world.mixer(node).orders().first_key_value().unwrap();
    assert!(matches!(order, Order::Stuck(_)));
    let id = *id;
    world.pay_by_hand(101, promise.node, 5_000, b"from the operator");
    run(&mut world, 10_000);
    (world, node, id, promise)
}

/// What the operator of a mixer does.
fn operate<T>(
    world: &mut World,
    node: usize,
    act: impl FnOnce(&mut Mixer, Now, &mut Vec<Effect>) -> T,
) -> T {
    let (now, mut out) = (world.now(), Vec::new());
    let Some(world::Core::Mixer(mixer)) = &mut world.nodes[node].core else { panic!() };
    let done = act(mixer, now, &mut out);
    world.perform(node, out);
    done
}

#[test]
fn a_payout_that_fails_again_and_again_waits_for_the_operator() {
    let (mut world, node, id, _) = stuck();
    assert_eq!(operate(&mut world, node, |mixer, now, out| mixer.retry(now, id, out)), Ok(()));
    run(&mut world, 90_000);
    assert_eq!(world.ledger.final_account(&account(201)).free, units(500));
}

#[test]
fn the_operator_sends_the_deposit_of_a_stuck_order_back_once() {
    let (mut world, node, id, promise) = stuck();
    let give_back =
        |mixer: &mut Mixer, now, out: &mut Vec<Effect>| mixer.give_back_order(now, id, out);
    assert_eq!(operate(&mut world, node, give_back), Ok(()));
    assert_eq!(operate(&mut world, node, give_back), Err(Refused::NoOrder));
    // It is on the disk: a crash does not change it.
    world.crash(node, 1_000);
    run(&mut world, 120_000);
    let reference = promise.in_reference(&world.currency());
    let back = Reference::new(&[RETURN_PREFIX, reference.as_bytes()].concat());
    let transfers = world.final_transfers();
    let returned = transfers.iter().filter(|(t, _)| t.reference == back && t.to == promise.sender);
    assert_eq!(returned.map(|(t, _)| t.amount).collect::<Vec<_>>(), [units(503)]);
    assert_eq!(world.ledger.final_account(&account(201)).free, units(0));
    assert!(world.mixer(node).orders().is_empty() && world.mixer(node).returns().is_empty());
}

#[test]
fn what_is_not_stuck_or_is_itself_a_return_is_not_sent_back_by_hand() {
    let (mut world, promises) = promised();
    let node = (0..3).find(|i| world.nodes[*i].account == promises[0].node).unwrap();
    let id = *world.mixer(node).orders().first_key_value().unwrap().0;
    let refused = operate(&mut world, node, |mixer, now, out| mixer.give_back_order(now, id, out));
    assert_eq!(refused, Err(Refused::NotNow));
    let reference = promises[0].out_reference(&world.currency());
    let back = [RETURN_PREFIX, reference.as_bytes()].concat();
    world.pay_by_hand(101, promises[0].node, 500, &back);
    run(&mut world, 10_000);
    let place = *world.mixer(node).unclaimed().first_key_value().unwrap().0;
    let refused = operate(&mut world, node, |mixer, now, out| mixer.give_back(now, place, out));
    assert_eq!(refused, Err(Refused::NotNow));
    assert_eq!(world.mixer(node).unclaimed().len(), 1);
}

#[test]
fn after_a_foreign_spend_the_operator_s_word_brings_promises_back() {
    let mut world = resting();
    world.pay_by_hand(1, account(202), 500, b"by another program");
    run(&mut world, 10_000);
    let mut asker = Asker::new(&world);
    let layer = layer(&mut asker.chance);
    let body = asker.ask(&layer);
    assert_eq!(give(&mut world, &body), Err(Refused::NoPromises));
    operate(&mut world, 0, |mixer, _, out| mixer.looked(out));
    // Over a restart too.
    world.crash(0, 1_000);
    run(&mut world, 20_000);
    assert!(give(&mut world, &body).is_ok());
}

#[test]
fn without_the_next_mixer_there_is_no_promise_and_no_money_moves() {
    let mut world = World::new(11, 3, 1, Faults::default());
    world.want(0, 201, 500, 15_000);
    world.run_until(15_000);
    // Who is second is drawn, so whichever of the others must be asked is asleep.
    let part = *world.payer(0).parts().keys().next().unwrap();
    let first = (0..3).find(|i| world.mixer(*i).orders().contains_key(&part));
    for i in (0..3).filter(|i| Some(*i) != first) {
        world.crash(i, 10_000_000);
    }
    world.run_until(1_200_000);
    let part = world.payer(0).parts().values().next().unwrap();
    assert!(matches!(part, Part::Failed(_)), "{}", part.name());
    assert!(world.final_transfers().is_empty());
}

#[test]
fn a_mixer_that_cannot_cover_what_it_owes_makes_no_promises() {
    let mut world = resting();
    world.pay_by_hand(1, account(201), 99_500, b"withdrawn");
    run(&mut world, 10_000);
    assert!(world.nodes[0].notices.contains(&Notice::Insolvent));
    assert!(world.nodes[0].notices.contains(&Notice::ForeignSpend));
    let mut asker = Asker::new(&world);
    let layer = layer(&mut asker.chance);
    let body = asker.ask(&layer);
    assert_eq!(give(&mut world, &body), Err(Refused::NoPromises));
}

#[test]
fn more_unclaimed_payments_than_there_may_be_are_still_owed() {
    let mut world = resting();
    let needed = world.mixer(0).needed().units();
    let most = u64::try_from(world.mixer_config().returns_max).unwrap();
    for i in 0..most + 5 {
        let reference = money::address::base58(&mixing::cipher::hash("test", &[&i.to_be_bytes()]));
        world.pay_by_hand(101, account(1), 1, reference.as_bytes());
        if i % 200 == 0 {
            run(&mut world, 1_000);
        }
    }
    run(&mut world, 10_000);
    assert_eq!(world.mixer(0).unclaimed().len() as u64, most);
    assert_eq!(world.mixer(0).needed().units(), needed + most + 5);
}

#[test]
fn mixers_of_two_currencies_refuse_each_other() {
    let mut world = resting();
    let mut asker = Asker::new(&world);
    asker.currency = Currency::Genesis([1; 32]);
    let layer = layer(&mut asker.chance);
    let body = asker.ask(&layer);
    let other = Refused::Document(BadDocument::OtherCurrency);
    assert_eq!(give(&mut world, &body), Err(other));
    let here = peer_hash(&world.currency(), &account(1));
    assert_ne!(here, peer_hash(&asker.currency, &account(1)));
}

/// Whether bytes hold an account in any form in which programs write one.
fn holds(bytes: &[u8], account: &Account) -> bool {
    let raw = account.as_bytes();
    let hex: String = raw.iter().map(|byte| format!("{byte:02x}")).collect();
    let json = raw.iter().map(u8::to_string).collect::<Vec<_>>().join(",");
    let forms = [
        raw.to_vec(),
        hex.clone().into_bytes(),
        hex.to_uppercase().into_bytes(),
        account.to_string().into_bytes(),
        money::address::ss58(account).into_bytes(),
        base64(raw).into_bytes(),
        base64(raw).replace('+', "-").replace('/', "_").into_bytes(),
        json.into_bytes(),
    ];
    forms.iter().any(|form| bytes.windows(form.len()).any(|window| window == &form[..]))
}

/// Base64 without padding.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let mut wide = [0; 4];
        wide[1..1 + chunk.len()].copy_from_slice(chunk);
        let number = u32::from_be_bytes(wide);
        for i in 0..=chunk.len() {
            text.push(char::from(DIGITS[(number >> (18 - 6 * i)) as usize & 63]));
        }
    }
    text
}

#[test]
fn the_checker_of_knowledge_finds_what_is_planted() {
    let far = account(201);
    assert_eq!(base64(b"light work"), "bGlnaHQgd29yaw");
    let hex: String = far.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let json = format!("{:?}", far.as_bytes()).replace(' ', "");
    for form in [hex, far.to_string(), money::address::ss58(&far), base64(far.as_bytes()), json] {
        assert!(holds(format!("xx{form}yy").as_bytes(), &far));
        assert!(!holds(format!("xx{form}yy").as_bytes(), &account(202)));
    }
    assert!(holds(&[&[1], &far.as_bytes()[..], &[2]].concat(), &far));
}

#[test]
fn no_mixer_has_the_far_end_on_its_disk_or_its_lines() {
    let mut world = World::new(21, 3, 1, Faults::default());
    world.nodes.iter_mut().for_each(|node| node.disk.keeps = true);
    world.want(0, 201, 500, 15_000);
    world.run_to_end(180_000);
    let part = world.payer(0).parts().values().next().unwrap();
    let nodes: Vec<_> = part.promises().iter().map(|p| p.content().node).collect();
    assert_eq!(nodes.len(), 3);
    let (payer, receiver) = (account(101), account(201));
    for (hop, account) in nodes.iter().enumerate() {
        let node = world.nodes.iter().find(|node| node.account == *account).unwrap();
        let disks = node.disk.earlier.iter().chain([&node.disk.records]);
        let records = disks.flat_map(|disk| disk.iter().flat_map(|(key, value)| [key, value]));
        let all: Vec<_> = records.chain(&node.traffic).collect();
        let knows = |far: &Account| all.iter().any(|bytes| holds(bytes, far));
        let neighbours = [Some(&payer), nodes.get(1), nodes.get(2)];
        assert!(knows(if hop == 0 { &payer } else { &nodes[hop - 1] }), "{neighbours:?}");
        assert_eq!(knows(&payer), hop == 0);
        assert_eq!(knows(&receiver), hop == 2);
        let far = if hop == 0 { nodes[2] } else { nodes[0] };
        assert_eq!(knows(&far), hop == 1, "the two ends of three do not know each other");
    }
    // What travels has one size on all links, so that it does not tell the position.
    let sizes = |size: usize| {
        let traffic = world.nodes[..3].iter().flat_map(|node| &node.traffic);
        traffic.filter(move |bytes| (size..size + 400).contains(&bytes.len())).map(Vec::len)
    };
    let onions: std::collections::BTreeSet<_> = sizes(onion::ONION_SIZE).collect();
    assert!(onions.len() == 1, "{onions:?}");
    let back: std::collections::BTreeSet<_> = sizes(promises::PROMISES_SIZE).collect();
    assert!(back.len() == 1, "{back:?}");
}
