//! A payer between promise and arrival: when deposits are made, and when they are given up.

#![allow(clippy::unwrap_used, reason = "a test may fail loudly")]

mod world;

use money::{Amount, LedgerTime, Slot};
use payment::effect::{FinalBlock, Refused};
use payment::payer::{Failure, Part};
use payment::receipt::PATIENCE_S;
use world::{BLOCK_MS, Core, Faults, PERIOD, STEP_MS, World, key};

const LONG_MS: u64 = 3_600_000;

fn world(anew: bool) -> World {
    let mut world = World::new(31, 3, 1, Faults::default());
    (world.anew, world.pays) = (anew, false);
    world.want(0, 201, 500, 15_000);
    world.run_until(10_000);
    world
}

fn part(world: &World) -> Option<&Part> {
    world.payer(0).parts().values().next()
}

fn run_until(world: &mut World, so: impl Fn(&World) -> bool) {
    while !so(world) {
        assert!(world.ms < LONG_MS, "never happened: {:?}", part(world).map(Part::name));
        world.run_until(world.ms + STEP_MS);
    }
}

fn is(name: &'static str) -> impl Fn(&World) -> bool {
    move |world| part(world).is_some_and(|part| part.name() == name)
}

fn pay(world: &mut World) {
    let payer = world.mixers;
    let Some(Core::Payer(core)) = &mut world.nodes[payer].core else { panic!("no payer") };
    let id = *core.parts().keys().next().unwrap();
    let mut out = Vec::new();
    core.pay(id, &mut out).unwrap();
    world.perform(payer, out);
}

/// Ends the payer's process and lets it begin again.
fn restart(world: &mut World) {
    world.crash(world.mixers, 0);
    let is_up = |world: &World| world.nodes[world.mixers].core.is_some();
    run_until(world, is_up);
}

/// How many blocks pass from a start until deposits are given slots.
fn quiet(world: &mut World) -> u64 {
    restart(world);
    let began = world.ms;
    run_until(world, |world| world.payer(0).is_clear());
    (world.ms - began) / BLOCK_MS
}

#[test]
fn who_has_nothing_to_pay_from_before_deposits_at_once() {
    let (mut anew, mut any) = (world(true), world(false));
    assert!(quiet(&mut anew) <= 2);
    assert!(quiet(&mut any) >= u64::from(PERIOD));
    // What the file knows as unpaid outweighs what the caller says.
    run_until(&mut anew, is("ready"));
    assert!(quiet(&mut anew) >= u64::from(PERIOD));
    pay(&mut anew);
    run_until(&mut anew, is("deposited"));
    assert!(quiet(&mut anew) <= 2, "a final deposit is not made again");
    run_until(&mut anew, is("arrived"));
}

#[test]
fn a_deposit_that_the_ledger_refuses_is_given_up_and_no_money_moves() {
    let mut world = world(true);
    run_until(&mut world, is("ready"));
    world.pay_by_hand(101, key(250).account(), 99_700, b"elsewhere");
    let left = |world: &World| world.ledger.final_account(&key(101).account()).free.units();
    run_until(&mut world, |world| left(world) < 300);
    pay(&mut world);
    run_until(&mut world, is("failed"));
    assert!(matches!(part(&world), Some(Part::Failed(Failure::Unpaid))));
    let before = left(&world);
    let ms = world.ms;
    world.run_until(ms + 60_000);
    assert_eq!(left(&world), before, "nothing more is tried");
}

#[test]
fn a_deposit_without_a_slot_is_not_made_after_its_date() {
    let mut world = world(false);
    run_until(&mut world, is("ready"));
    let Some(Part::Ready { plan, .. }) = part(&world) else { panic!("not ready") };
    let expire = plan.first().layer.expire_date;
    run_until(&mut world, |world| world.payer(0).date() + 3 >= expire);
    restart(&mut world);
    run_until(&mut world, |world| world.payer(0).date() + 1 >= expire);
    pay(&mut world);
    run_until(&mut world, |world| world.payer(0).is_clear());
    assert!(matches!(part(&world), Some(Part::Failed(Failure::TooLate))));
}

#[test]
fn a_payment_that_its_mixers_kept_is_given_up_a_day_after_its_date_and_not_before() {
    let mut world = world(true);
    run_until(&mut world, is("ready"));
    world.crash(2, u64::MAX / 2);
    pay(&mut world);
    run_until(&mut world, is("deposited"));
    let payer = world.mixers;
    let last = part(&world).unwrap().promises().last().unwrap().content().payout_date;
    let Some(Core::Payer(core)) = &mut world.nodes[payer].core else { panic!("no payer") };
    let id = *core.parts().keys().next().unwrap();
    let mut out = Vec::new();
    for (date, over) in [(last, false), (last + PATIENCE_S, false), (last + PATIENCE_S + 1, true)] {
        let block = FinalBlock {
            height: core.next_block(),
            time: LedgerTime::from_secs(date),
            newest: core.next_block(),
            received: Vec::new(),
            spent: Vec::new(),
            balance: Amount::ZERO,
            slot: Slot(1),
        };
        core.on_block(&block, &[], &mut out).unwrap();
        assert_eq!(core.forget(id, &mut out), Err(Refused::NotNow));
        assert_eq!(core.give_up(id, &mut out).is_ok(), over, "{date}");
    }
    assert!(core.parts().is_empty() && core.watched().is_empty());
    world.perform(payer, out);
    restart(&mut world);
    assert!(part(&world).is_none(), "the record is gone too");
}
