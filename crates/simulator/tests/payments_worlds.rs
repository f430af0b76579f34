//! Worlds of the payments: many seeds, all checks, and one history per seed.
//!
//! A world that broke and was mended is kept here by its seed as long as the drawing of worlds
//! does not change; what it showed has a test of its own in `payment`.

mod worlds;

use simulator::payments::{Plan, Profile};
use worlds::{all_hold, have_kinds_of_faults, have_one_log_each, is_the_same_in_part};

#[test]
fn every_check_holds_in_60_worlds_of_faults() {
    all_hold::<Plan>(Profile::Faults, 1_000..1_060);
}

#[test]
fn every_check_holds_in_60_other_worlds_of_faults() {
    all_hold::<Plan>(Profile::Faults, 1_060..1_120);
}

#[test]
fn every_payment_arrives_in_20_worlds_without_faults() {
    all_hold::<Plan>(Profile::Calm, 1_000..1_020);
}

#[test]
fn older_copies_may_be_put_back_in_20_worlds() {
    all_hold::<Plan>(Profile::Copies, 1_000..1_020);
}

#[test]
fn mixers_may_sleep_past_all_dates_in_20_worlds() {
    all_hold::<Plan>(Profile::Sleepers, 1_000..1_020);
}

#[test]
fn operators_and_users_may_cheat_in_20_worlds() {
    all_hold::<Plan>(Profile::Cheats, 1_000..1_020);
}

#[test]
fn crowds_may_pay_at_once_in_4_worlds() {
    all_hold::<Plan>(Profile::Storm, 1_000..1_004);
}

#[test]
fn the_same_seed_gives_the_same_log() {
    have_one_log_each::<Plan>([(7, Profile::Faults), (8, Profile::Faults), (9, Profile::Cheats)]);
}

#[test]
fn worlds_have_faults_of_every_kind_and_some_have_only_one() {
    have_kinds_of_faults::<Plan>(Profile::Faults, 18);
}

#[test]
fn a_plan_that_is_run_in_part_is_the_same_world() {
    is_the_same_in_part::<Plan>(Profile::Faults);
}
