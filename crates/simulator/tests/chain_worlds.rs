//! Worlds of the chain: many seeds, all checks, and one history per seed.
//!
//! A world that broke and was mended is kept here by its seed as long as the drawing of worlds
//! does not change; what it showed has a test of its own in `datagram`.

mod worlds;

use simulator::chain::{Plan, Profile, run};
use worlds::{all_hold, have_kinds_of_faults, have_one_log_each, is_the_same_in_part};

#[test]
fn every_check_holds_in_140_worlds_of_faults() {
    all_hold::<Plan>(Profile::Faults, 1_000..1_140);
}

#[test]
fn every_check_holds_in_30_worlds_without_faults() {
    all_hold::<Plan>(Profile::Calm, 1_000..1_030);
}

#[test]
fn users_are_served_within_five_seconds_after_a_restart_in_28_worlds() {
    all_hold::<Plan>(Profile::Restarts, 1_000..1_028);
}

#[test]
fn crowds_that_start_at_once_are_served_in_2_worlds() {
    all_hold::<Plan>(Profile::Storm, 1_000..1_002);
}

#[test]
fn the_same_seed_gives_the_same_log() {
    have_one_log_each::<Plan>([(7, Profile::Faults), (8, Profile::Faults), (9, Profile::Restarts)]);
}

#[test]
fn keeping_the_log_changes_nothing() {
    let kept = run(11, Profile::Faults, true);
    assert_eq!(kept.sum, run(11, Profile::Faults, false).sum);
}

#[test]
fn worlds_have_faults_of_every_kind_and_some_have_only_one() {
    have_kinds_of_faults::<Plan>(Profile::Faults, 14);
}

#[test]
fn a_plan_that_is_run_in_part_is_the_same_world() {
    is_the_same_in_part::<Plan>(Profile::Faults);
}
