//! A mixer in a small world with a payer whose key is here, who asks, pays and copies as the input says.

use std::collections::BTreeMap;

use mixing::Chance;
use mixing::keys::Secret;
use money::{Account, Reference};
use payment::document::{GetConfirm, Promise, Request, Signed};
use payment::effect::{Answer, Input as Given};
use payment::onion::{self, Layer};
use payment::promises;

use super::world::{self, Faults, World, key, units};
use crate::input::{Input, spoil};

/// Requests that are well sealed and signed and say what the input says; deposits that fit, do not fit
/// or come again; crashes in between: a mixer promises exactly what it may, keeps every promise whose
/// deposit came, once, and sends back once what it did not promise to pass on.
pub fn mixers(bytes: &[u8]) {
    mixers_with(bytes, &Rules::TRUE);
}

/// What the model believes.
pub(crate) struct Rules {
    /// How long after the deposit's last date the payout's must be, in seconds.
    pub(crate) margin: u64,
    /// Whether a deposit that comes again is sent back.
    pub(crate) returns_copies: bool,
}

impl Rules {
    /// The longest wait and the margin of the world's mixers.
    pub(crate) const TRUE: Rules = Rules { margin: 3 + 30, returns_copies: true };
}

const PAYER: u8 = 101;

/// A promise that was made, and what was paid in for it.
struct Deal {
    promise: Promise,
    body: Vec<u8>,
    seed: [u8; 32],
    exact: usize,
    other: usize,
}

pub(crate) fn mixers_with(bytes: &[u8], rules: &Rules) {
    let mut input = Input::new(bytes);
    let mut world = World::new(1, 2, 1, Faults::default());
    world.pays = false;
    world.run_until(20_000);
    let mut chance = Chance::new([2; 32]);
    let mut deals: Vec<Deal> = Vec::new();
    for _ in 0..24 {
        if input.is_empty() {
            break;
        }
        match input.below(8) {
            0 => {
                let ms = world.ms + 250 * u64::from(input.byte() % 20);
                world.run_until(ms);
            }
            1 if input.byte() < 64 => {
                world.crash(0, 250);
                let ms = world.ms + 1_000;
                world.run_until(ms);
            }
            1..=3 if !deals.is_empty() => {
                let which = input.below(deals.len());
                let deal = &mut deals[which];
                let more = if input.byte() < 64 { 1 + u64::from(input.byte()) } else { 0 };
                *(if more == 0 { &mut deal.exact } else { &mut deal.other }) += 1;
                let reference = deal.promise.in_reference(&world.currency());
                let amount = deal.promise.in_amount.units() + more;
                world.pay_by_hand(PAYER, deal.promise.node, amount, reference.as_bytes());
            }
            4 if !deals.is_empty() => {
                // The same bytes get the same answer; others, none.
                let deal = &deals[input.below(deals.len())];
                let mut body = deal.body.clone();
                spoil(&mut input, &mut body);
                let same = body == deal.body;
                let given = world.give(0, Given::Request { body, owned: units(100_000) });
                let unpaid = deal.exact == 0;
                assert!(same || given.is_err(), "a changed request is refused: {given:?}");
                if same && unpaid {
                    assert_eq!(given, Ok(Some(Answer::Seed(deal.seed))));
                }
            }
            _ => deals.extend(ask(&mut world, &mut input, &mut chance, rules)),
        }
    }
    let end = world.ms + 90_000;
    world.run_until(end);
    settle(&world, &deals, rules);
}

/// One request with at most one thing wrong in it; the promise, if one is made.
fn ask(
    world: &mut World,
    input: &mut Input<'_>,
    chance: &mut Chance,
    rules: &Rules,
) -> Option<Deal> {
    let (currency, payer, mixer) = (world.currency(), key(PAYER), key(1).account());
    let date = world.ledger.final_head().time.as_secs();
    let out = [100, 200, 500][input.below(3)];
    let (wrong, by) = (input.below(24), input.byte());
    let other = Account::from_bytes([77; 32]);
    let expire_date = date + 400;
    let mut layer = Layer {
        sender: payer.account(),
        in_amount: units(out + world::FEE),
        in_seed: chance.bytes(),
        next: key(210 + by % 4).account(),
        next_is_mixer: false,
        out_amount: units(out),
        out_seed: chance.bytes(),
        expire_date,
        payout_date: expire_date + 100,
        one_time: Secret::new(chance.bytes()),
        hop_key: Secret::new(chance.bytes()),
    };
    let (one_time, hop_key) =
        (Secret::new(*layer.one_time.expose()), Secret::new(*layer.hop_key.expose()));
    let mut request = Request {
        to: mixer,
        sender: *payer.account().as_bytes(),
        amount: layer.in_amount,
        client: true,
        req_date: date,
        onion: Vec::new(),
    };
    let mut good = true;
    match wrong {
        0 => layer.sender = other,
        1 => layer.in_amount = units(out + world::FEE + 1),
        2 => (layer.in_amount, request.amount) = (units(out + 6), units(out + 6)),
        3 => layer.out_amount = units(out + 1 + u64::from(by)),
        4 => layer.expire_date = date - u64::from(by),
        5 | 6 => {
            layer.payout_date = expire_date + 16 + u64::from(by % 32);
            good = 16 + u64::from(by % 32) >= rules.margin;
        }
        7 => layer.next = mixer,
        8 => layer.next = payer.account(),
        9 => (layer.next, layer.next_is_mixer) = (other, true),
        10 => request.to = other,
        11 => request.sender = *other.as_bytes(),
        12 => request.req_date = date + 3_601 + u64::from(by),
        13 => request.client = false,
        _ => {}
    }
    good &= !(0..14).contains(&wrong) || matches!(wrong, 5 | 6);
    let enckey = world.mixer(0).enckey().clone();
    request.onion = onion::build(&[(&enckey, &layer)], &currency, chance);
    let signer = if wrong == 14 { key(9) } else { key(PAYER) };
    let body = Signed::make(request, &currency, &signer).bytes().to_vec();
    let given = world.give(0, Given::Request { body: body.clone(), owned: units(100_000) });
    // As many as one payer may have open.
    let full = given == Err(payment::effect::Refused::SenderFull);
    assert_eq!(given.is_ok(), good && wrong != 14 && !full, "{given:?}");
    let Ok(Some(Answer::Seed(seed))) = given else { return None };
    let question = GetConfirm { to: mixer, sender: payer.account(), in_seed: seed, date };
    let question = Signed::make(question, &currency, &payer).bytes().to_vec();
    let answer = world.give(0, Given::GetConfirm { body: question });
    let Ok(Some(Answer::Promises(slots))) = answer else {
        panic!("the last mixer promises at once")
    };
    let taken = promises::take(&slots, &[(&one_time, &hop_key)]).expect("the payer's own key");
    let signed = Signed::<Promise>::read(&taken[0], &currency, |_| Some(mixer));
    let promise = signed.expect("signed by the mixer").content().clone();
    let expected = Promise {
        node: mixer,
        sender: payer.account(),
        receiver: layer.next,
        in_amount: layer.in_amount,
        in_seeds: [seed, layer.in_seed],
        out_amount: layer.out_amount,
        out_seeds: [promise.out_seeds[0], layer.out_seed],
        req_date: date,
        expire_date: layer.expire_date,
        payout_date: layer.payout_date,
    };
    assert_eq!(promise, expected, "the promise is what was asked for");
    Some(Deal { promise, body, seed, exact: 0, other: 0 })
}

/// What the final chain shows of each deal.
fn settle(world: &World, deals: &[Deal], rules: &Rules) {
    let mut seen: BTreeMap<Reference, usize> = BTreeMap::new();
    for (transfer, _) in world.final_transfers() {
        if let Some(reference) = transfer.reference {
            *seen.entry(reference).or_default() += 1;
        }
    }
    let count = |reference: &Reference| seen.get(reference).copied().unwrap_or(0);
    let currency = world.currency();
    for deal in deals {
        let (deposit, payout) =
            (deal.promise.in_reference(&currency), deal.promise.out_reference(&currency));
        assert_eq!(count(&deposit), deal.exact + deal.other, "all deposits are final");
        assert_eq!(count(&payout), deal.exact.min(1), "a funded promise is kept once");
        let back = [b"return:", deposit.as_bytes()].concat();
        let back = Reference::new(&back).expect("short enough");
        let copies = if rules.returns_copies { deal.exact.saturating_sub(1) } else { 0 };
        assert_eq!(count(&back), copies + deal.other, "what fits nothing comes back once");
    }
}
