//! A payer against mixers that answer as the input says.

use std::time::Duration;

use mixing::envelope::EnvelopeKey;
use mixing::{Chance, Now, Time};
use money::{Account, Amount, LedgerTime, Slot};
use payment::Payer;
use payment::document::{Host, PeerInfo, Promise, Signed, Terms};
use payment::effect::{Answer, Effect, FinalBlock, OrderId, Refused, Unheard};
use payment::payer::{Config, Part};
use payment::promises;
use payment::route::Pace;

use super::here;
use crate::input::Input;
use crate::money::{account, key};

/// Answers to a payer in any order, promises among them that are well sealed and signed and say what
/// the input says: a part is ready exactly when all promises are the ones that were asked for, and
/// nothing is paid before.
pub fn payers(bytes: &[u8]) {
    payers_with(bytes, &Rules::TRUE);
}

/// What the model believes.
pub(crate) struct Rules {
    /// How far a mixer's date may be from the payer's, in seconds.
    pub(crate) dates_apart: u64,
    /// Whether amounts are looked at.
    pub(crate) amounts: bool,
}

impl Rules {
    pub(crate) const TRUE: Rules = Rules { dates_apart: 7_200, amounts: true };
}

const DATE: u64 = 1_700_000_000;
const MIXERS: [u8; 3] = [4, 5, 6];
const PAYER: u8 = 1;

/// What the mixer of this name says of itself.
pub(crate) fn info(name: u8) -> PeerInfo {
    let units = Amount::from_units;
    PeerInfo {
        pubkey: account(name),
        sigtime: DATE,
        host: Host { address: "mixer.example".into(), port: 1 },
        idty: None,
        enckey: EnvelopeKey::from_seed([name; 32]).public().clone(),
        terms: Terms {
            least: units(100),
            fee: units(5),
            return_cost: units(2),
            company: 3,
            wait_max_s: 3,
            keep_s: 86_400,
        },
        peers: Vec::new(),
    }
}

/// The model of a part.
#[derive(Clone, Copy, PartialEq, Debug)]
enum State {
    Asking,
    Waiting([u8; 32]),
    Ready,
    Paid,
    Failed,
}

pub(crate) fn payers_with(bytes: &[u8], rules: &Rules) {
    let mut input = Input::new(bytes);
    let config = Config {
        currency: here(),
        pace: Pace { deposit: 400, margin: 60, step: 10 },
        period: 16,
        poll: Duration::from_secs(1),
        parts_max: 4,
        anew: true,
    };
    let now = Now { time: Time::from_nanos(1), ..Now::default() };
    let own = money::AccountKey::from_seed([PAYER; 32]);
    let none: [(Vec<u8>, Vec<u8>); 0] = [];
    let payer = Payer::resume(config, own, Chance::new([9; 32]), none, 0, now);
    let mut payer = payer.expect("no records");
    let block = FinalBlock {
        height: 1,
        time: LedgerTime::from_secs(DATE),
        newest: 1,
        received: Vec::new(),
        spent: Vec::new(),
        balance: Amount::from_units(1_000_000),
        slot: Slot(0),
    };
    let mut out = Vec::new();
    payer.on_block(&block, &[], &mut out).expect("the first block");
    let mut parts: Vec<(OrderId, State)> = Vec::new();
    while !input.is_empty() {
        out.clear();
        if parts.is_empty() || input.below(12) == 0 {
            let infos = MIXERS[..2 + input.below(2)].iter().map(|name| info(*name));
            let infos: Vec<PeerInfo> = infos.collect();
            let route: Vec<&PeerInfo> = infos.iter().collect();
            let receiver = Account::from_bytes([200 + input.byte() % 4; 32]);
            let begun = payer.begin(now, &route, receiver, Amount::from_units(500), &mut out);
            match begun {
                Ok(id) => parts.push((id, State::Asking)),
                Err(why) => assert_eq!((why, parts.len()), (Refused::Full, 4)),
            }
            continue;
        }
        let which = input.below(parts.len());
        let (id, state) = parts[which];
        let (heard, next) = match input.below(8) {
            0 => (Err(Unheard::Unreachable), state),
            1 => {
                let ends = matches!(state, State::Asking | State::Waiting(_));
                (Err(Unheard::Refused), if ends { State::Failed } else { state })
            }
            2 => (Ok(Answer::Taken), state),
            3 => {
                let paid = payer.pay(id, &mut out);
                assert_eq!(paid.is_ok(), state == State::Ready, "only what is ready is paid");
                let sent = out.iter().any(|effect| matches!(effect, Effect::Sign { .. }));
                assert!(paid.is_ok() || !sent);
                parts[which].1 = if paid.is_ok() { State::Paid } else { state };
                continue;
            }
            4 | 5 if state == State::Asking => {
                let seed = input.array();
                (Ok(Answer::Seed(seed)), State::Waiting(seed))
            }
            _ => match (state, &payer.parts()[&id]) {
                (State::Waiting(seed), Part::Waiting { plan, .. }) => {
                    let (slots, good) = answer(&mut input, plan, seed, rules);
                    (Ok(Answer::Promises(slots)), if good { State::Ready } else { State::Failed })
                }
                _ => (Ok(Answer::Promises(input.run().to_vec())), state),
            },
        };
        let fits = next != state
            || (heard == Err(Unheard::Unreachable)
                && matches!(state, State::Asking | State::Waiting(_)));
        let taken = payer.on_heard(now, id, heard, &mut out);
        assert_eq!(taken, if fits { Ok(()) } else { Err(Refused::NotNow) });
        assert!(out.iter().all(|effect| matches!(effect, Effect::Save(_))), "it only saves");
        parts[which].1 = next;
        let is = match &payer.parts()[&id] {
            Part::Asking { .. } => State::Asking,
            Part::Waiting { in_seed, .. } => State::Waiting(*in_seed),
            Part::Ready { .. } => State::Ready,
            Part::Failed(_) => State::Failed,
            Part::Depositing { .. }
            | Part::Deposited { .. }
            | Part::Arrived { .. }
            | Part::Returned { .. } => State::Paid,
        };
        assert_eq!(is, next);
        assert_eq!(
            payer.on_heard(now, [0; 16], Ok(Answer::Taken), &mut out),
            Err(Refused::NoOrder)
        );
    }
}

/// The promises of a route, each with what the input changes in it, in their slots; and whether they
/// are the ones that the payer asked for.
fn answer(
    input: &mut Input<'_>,
    plan: &payment::payer::Plan,
    first: [u8; 32],
    rules: &Rules,
) -> (Vec<u8>, bool) {
    let mut good = true;
    let mut signed = Vec::new();
    let mut in_seed = first;
    for (at, hop) in plan.hops.iter().enumerate() {
        let layer = &hop.layer;
        let their_seed = [at as u8 + 50; 32];
        let mut promise = Promise {
            node: hop.account,
            sender: layer.sender,
            receiver: layer.next,
            in_amount: layer.in_amount,
            in_seeds: [in_seed, layer.in_seed],
            out_amount: layer.out_amount,
            out_seeds: [their_seed, layer.out_seed],
            req_date: plan.date,
            expire_date: layer.expire_date,
            payout_date: layer.payout_date,
        };
        let by = input.byte();
        let other = Account::from_bytes([77; 32]);
        let more = |amount: Amount| Amount::from_units(amount.units() + u64::from(by));
        let mut signer = MIXERS[at];
        // Half of all promises are honest.
        match input.below(32) {
            0 => promise.node = other,
            1 => promise.sender = other,
            2 => promise.receiver = other,
            3 => promise.in_amount = more(promise.in_amount),
            4 => promise.out_amount = more(promise.out_amount),
            5 => promise.in_seeds[0][usize::from(by % 32)] ^= 1,
            6 => promise.in_seeds[1][usize::from(by % 32)] ^= 1,
            7 => promise.out_seeds[1][usize::from(by % 32)] ^= 1,
            8 => promise.expire_date += u64::from(by),
            9 => promise.payout_date += u64::from(by),
            10 | 13 | 14 => promise.req_date += 7_200 - 128 + u64::from(by),
            11 | 15 => promise.req_date -= 7_200 - 128 + u64::from(by),
            12 => signer = 8,
            _ => {}
        }
        let amounts = [promise.in_amount, promise.out_amount];
        good &= (promise.node, promise.sender, promise.receiver)
            == (hop.account, layer.sender, layer.next)
            && (!rules.amounts || amounts == [layer.in_amount, layer.out_amount])
            && promise.in_seeds == [in_seed, layer.in_seed]
            && promise.out_seeds[1] == layer.out_seed
            && (promise.expire_date, promise.payout_date) == (layer.expire_date, layer.payout_date)
            && promise.req_date.abs_diff(plan.date) <= rules.dates_apart
            && signer == MIXERS[at];
        in_seed = promise.out_seeds[0];
        signed.push(Signed::make(promise, &here(), key(signer)));
    }
    let mut slots = vec![3; promises::PROMISES_SIZE];
    for (hop, promise) in plan.hops.iter().zip(&signed).rev() {
        slots = promises::put(promise, &hop.layer.one_time, &hop.layer.hop_key, &slots);
    }
    if input.below(16) == 0 {
        let at = usize::from(input.u16()) % slots.len();
        slots[at] ^= 1;
        good &= at >= plan.hops.len() * promises::SLOT_SIZE;
    }
    (slots, good)
}
