//! Worlds of the payments: many seeds, all checks, and one history per seed.
//!
//! A world that broke and was mended is kept here by its seed as long as the drawing of worlds
//! does not change; what it showed has a test of its own in `payment`.

use simulator::Planned;
use simulator::payments::{Plan, Profile, Report, World, run};

/// Runs worlds and fails with the report of the first broken one.
fn all_hold(profile: Profile, seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let report = run(seed, profile, false);
        assert!(report.is_clean(), "{report}");
    }
}

#[test]
fn every_check_holds_in_60_worlds_of_faults() {
    all_hold(Profile::Faults, 1_000..1_060);
}

#[test]
fn every_check_holds_in_60_other_worlds_of_faults() {
    all_hold(Profile::Faults, 1_060..1_120);
}

#[test]
fn every_payment_arrives_in_20_worlds_without_faults() {
    all_hold(Profile::Calm, 1_000..1_020);
}

#[test]
fn older_copies_may_be_put_back_in_20_worlds() {
    all_hold(Profile::Copies, 1_000..1_020);
}

#[test]
fn mixers_may_sleep_past_all_dates_in_20_worlds() {
    all_hold(Profile::Sleepers, 1_000..1_020);
}

#[test]
fn operators_and_users_may_cheat_in_20_worlds() {
    all_hold(Profile::Cheats, 1_000..1_020);
}

#[test]
fn crowds_may_pay_at_once_in_4_worlds() {
    all_hold(Profile::Storm, 1_000..1_004);
}

#[test]
fn the_same_seed_gives_the_same_log() {
    for (seed, profile) in [(7, Profile::Faults), (8, Profile::Faults), (9, Profile::Cheats)] {
        let again: [Report; 2] = [(), ()].map(|()| run(seed, profile, true));
        let [one, two] = again.map(|report| (report.sum, report.log));
        assert_eq!(one, two);
        assert!(one.1.is_some_and(|log| log.lines().count() > 1_000), "the log says something");
        assert_ne!(one.0, run(seed + 100, profile, false).sum);
    }
}

#[test]
fn worlds_have_faults_of_every_kind_and_some_have_only_one() {
    let plans: Vec<Plan> = (0..400).map(|seed| Plan::draw(seed, Profile::Faults)).collect();
    let kind = |fault: &simulator::payments::fault::Fault| std::mem::discriminant(&fault.what);
    let kinds: std::collections::BTreeSet<String> = plans
        .iter()
        .flat_map(|plan| &plan.faults)
        .map(|fault| format!("{:?}", fault.what))
        .map(|what| what.split('(').next().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(kinds.len(), 18, "{kinds:?}");
    let single = |plan: &&Plan| {
        let mut faults = plan.faults.iter();
        let first = faults.next().map(kind);
        first.is_some() && faults.all(|fault| Some(kind(fault)) == first)
    };
    assert!(plans.iter().filter(single).count() > 50);
    assert!(plans.iter().filter(|plan| plan.faults.len() > 20).count() > 30);
}

#[test]
fn a_plan_that_is_run_in_part_is_the_same_world() {
    let drawn = Plan::draw(5, Profile::Faults);
    let whole = World::new(drawn.clone(), None, false).run();
    let same = World::new(simulator::shrink::Less::default().of(drawn), None, false).run();
    assert_eq!(whole.sum, same.sum);
}
