//! An order's life, step by step, against the table of all legal steps.

use mixing::keys::Secret;
use money::{Account, Amount, Place, Slot};
use payment::order::{Deal, FAILURES_MAX, HopKeys, Order, Step};

use crate::input::Input;

/// Any steps in any order: each leads where the table says, or changes nothing; and at any time the
/// order's record brings it back.
pub fn orders(bytes: &[u8]) {
    orders_with(bytes, &Rules::TRUE);
}

/// What the model believes.
pub(crate) struct Rules {
    /// After how many failures an order is stuck.
    pub(crate) failures_max: u64,
    /// Whether a deposit counts before the promise is acknowledged.
    pub(crate) early_deposit: bool,
}

impl Rules {
    pub(crate) const TRUE: Rules = Rules { failures_max: FAILURES_MAX, early_deposit: true };
}

/// The model: where an order is.
#[derive(Clone, Copy, PartialEq, Debug)]
enum At {
    Requested,
    Answered,
    Promised { acknowledged: bool },
    Funded { failures: u64 },
    Paying { failures: u64, slot: u64 },
    Stuck,
}

fn after(at: At, step: &Step, rules: &Rules) -> Option<At> {
    Some(match (at, step) {
        (At::Requested, Step::Answer(_)) => At::Answered,
        (At::Answered, Step::Promise { .. }) => At::Promised { acknowledged: false },
        (At::Promised { .. }, Step::Acknowledge) => At::Promised { acknowledged: true },
        (At::Promised { acknowledged }, Step::Deposit(_))
            if acknowledged || rules.early_deposit =>
        {
            At::Funded { failures: 0 }
        }
        (At::Funded { failures }, Step::Slot(slot)) => At::Paying { failures, slot: slot.0 },
        (At::Paying { failures, .. }, Step::Miss) if failures + 1 < rules.failures_max => {
            At::Funded { failures: failures + 1 }
        }
        (At::Paying { .. }, Step::Miss) => At::Stuck,
        (At::Stuck, Step::Retry) => At::Funded { failures: 0 },
        _ => return None,
    })
}

fn where_is(order: &Order) -> At {
    match order {
        Order::Requested { .. } => At::Requested,
        Order::Answered { .. } => At::Answered,
        Order::Promised { acknowledged, .. } => At::Promised { acknowledged: *acknowledged },
        Order::Funded(fund) => At::Funded { failures: fund.failures },
        Order::Paying(fund, slot) => At::Paying { failures: fund.failures, slot: slot.0 },
        Order::Stuck(_) => At::Stuck,
    }
}

pub(crate) fn orders_with(bytes: &[u8], rules: &Rules) {
    let mut input = Input::new(bytes);
    let deal = deal();
    let keys = HopKeys { one_time: Secret::new([1; 32]), hop_key: Secret::new([2; 32]) };
    let mut order = Order::Requested { deal: deal.clone(), keys, ask: vec![7; 9] };
    let mut at = At::Requested;
    while !input.is_empty() {
        let step = step(&mut input);
        let expected = after(at, &step, rules);
        let taken = order.step(step);
        assert_eq!(taken.is_ok(), expected.is_some());
        order = match taken {
            Ok(order) => order,
            Err(order) => *order,
        };
        at = expected.unwrap_or(at);
        assert_eq!(where_is(&order), at);
        assert_eq!(order.deal(), &deal, "what was agreed stays");
        let funded = matches!(at, At::Funded { .. } | At::Paying { .. } | At::Stuck);
        assert_eq!(order.is_funded(), funded);
        let promised = order.promise(Account::from_bytes([3; 32])).is_some();
        assert_eq!(promised, funded || matches!(at, At::Promised { .. }));
        let record = order.to_bytes();
        let again = Order::read(&record).expect("a record of ours");
        assert_eq!((where_is(&again), again.to_bytes()), (at, record));
    }
}

fn step(input: &mut Input<'_>) -> Step {
    match input.below(16) {
        0 => Step::Answer([input.byte(); 32]),
        1 => Step::Promise { confirmed: [input.byte(); 32], promises: input.take(4).to_vec() },
        2 => Step::Acknowledge,
        3 => Step::Deposit(Place { block: input.byte().into(), extrinsic: 1, event: 2 }),
        4..9 => Step::Slot(Slot(input.byte().into())),
        9..15 => Step::Miss,
        _ => Step::Retry,
    }
}

fn deal() -> Deal {
    Deal {
        request: [1; 32],
        client: true,
        sender: Account::from_bytes([2; 32]),
        in_amount: Amount::from_units(505),
        in_seeds: [[3; 32], [4; 32]],
        next: Account::from_bytes([5; 32]),
        next_is_mixer: true,
        out_amount: Amount::from_units(500),
        out_seed: [6; 32],
        req_date: 1_700_000_000,
        expire_date: 1_700_000_600,
        payout_date: 1_700_001_200,
    }
}
