//! Draws worlds from seeds.

use std::time::Duration;

use mixing::{Chance, Strategy};

use crate::payments::fault::{Cheat, Fault, Kind, What, Wire};
use crate::payments::plan::{Manner, PACE, Plan, Profile, User, Want};
use crate::{Planned, fault};

/// Draws the world of a seed.
pub(crate) fn plan(seed: u64, profile: Profile) -> Plan {
    let mut plan = Plan {
        seed,
        profile,
        mixers: 0,
        users: Vec::new(),
        block_every: Duration::from_secs(6),
        lag: 3,
        period: 16,
        strategy: Strategy::None,
        wait_max_s: 60,
        delay: Duration::from_secs(2),
        anew: false,
        latency: Duration::from_millis(200),
        drifts: Vec::new(),
        faults: Vec::new(),
        ends: Duration::ZERO,
    };
    let mut chance = plan.chance("plan", 0);
    shape(&mut plan, &mut chance);
    users(&mut plan, &mut chance);
    let drift = [0, 50, 5_000][chance.below(3) as usize];
    let drifted = |chance: &mut Chance| chance.below(2 * drift + 1) as i64 - drift as i64;
    plan.drifts = (0..plan.nodes()).map(|_| drifted(&mut chance)).collect();
    match profile {
        Profile::Faults | Profile::Storm => faults(&mut plan, &mut chance),
        Profile::Sleepers => sleepers(&mut plan, &mut chance),
        Profile::Copies => {
            for kind in [Kind::OldCopy, Kind::OldCopy, Kind::Dies, Kind::Forks] {
                add(&mut plan, &mut chance, kind, 900);
            }
        }
        Profile::Cheats => {
            for _ in 0..1 + chance.below(3) {
                add(&mut plan, &mut chance, Kind::Cheat, 1_500);
            }
        }
        Profile::Calm => {}
    }
    plan.last(Duration::ZERO);
    plan
}

fn shape(plan: &mut Plan, chance: &mut Chance) {
    plan.mixers = 3 + chance.below(6) as usize;
    plan.block_every = Duration::from_secs([2, 6, 6, 12][chance.below(4) as usize]);
    plan.lag = 1 + chance.below(6);
    plan.period = [8, 16, 64][chance.below(3) as usize];
    if plan.block_every * plan.period > DEPOSIT_TIME / 2 {
        // A payer who starts and waits out one life must still be in time.
        plan.period = 16;
    }
    let secs = |chance: &mut Chance, least, most| {
        Duration::from_secs(least + chance.below(most - least + 1))
    };
    plan.strategy = match chance.below(8) {
        0 => Strategy::None,
        1 | 2 => Strategy::Timed { period: secs(chance, 5, 60) },
        3 => {
            let n = 2 + chance.below(3) as usize;
            Strategy::Threshold { n, timeout: secs(chance, 20, 120) }
        }
        4 => Strategy::Poisson { mean: secs(chance, 5, 40), longest: secs(chance, 60, 120) },
        _ => Strategy::Pool {
            period: secs(chance, 10, 40),
            keep: chance.below(4) as usize,
            fraction: 0.25 + chance.unit() / 2.0,
            longest: secs(chance, 60, 180),
        },
    };
    plan.wait_max_s = plan.strategy.longest().as_secs().max(10);
    plan.delay = Duration::from_millis([0, 2_000, 2_000, 10_000][chance.below(4) as usize]);
    plan.anew = chance.below(2) == 0;
    plan.latency = Duration::from_millis([20, 200, 2_000][chance.below(3) as usize]);
}

fn users(plan: &mut Plan, chance: &mut Chance) {
    let count = match plan.profile {
        Profile::Storm => 10 + chance.below(15),
        _ => 1 + chance.below(6),
    };
    let odd = match plan.profile {
        Profile::Calm | Profile::Sleepers | Profile::Copies => 0,
        Profile::Cheats => 3,
        Profile::Faults | Profile::Storm => [0, 0, 2][chance.below(3) as usize],
    };
    let at_once = plan.profile == Profile::Storm || chance.below(4) == 0;
    let span = 60 + chance.below(900);
    let alike = chance.below(2) == 0;
    for _ in 0..count {
        let manner = match chance.below(6) < odd {
            true => *chance.pick(&Manner::ODD).expect("there are some"),
            false => Manner::Honest,
        };
        let wants = 1 + chance.below(if plan.profile == Profile::Storm { 1 } else { 3 });
        let want = |chance: &mut Chance| Want {
            at: Duration::from_secs(if at_once { 90 } else { 90 + chance.below(span) }),
            amount: if alike { 500 } else { [100, 200, 500, 1_000][chance.below(4) as usize] },
            hops: (2 + chance.below(4) as usize).min(plan.mixers).min(5),
        };
        let wants = (0..wants).map(|_| want(chance)).collect();
        plan.users.push(User { manner, wants, absent: false });
    }
}

/// From the request to the deposit's date, at least.
const DEPOSIT_TIME: Duration = Duration::from_secs(PACE.deposit);
/// Longer than any world lasts.
const FOR_EVER: Duration = Duration::from_secs(1 << 30);

/// Draws which kinds are on, and then faults of these kinds.
fn faults(plan: &mut Plan, chance: &mut Chance) {
    let kinds = fault::kinds(chance, &Kind::ALL);
    let span = 600 + chance.below(1_800);
    for kind in kinds {
        for _ in 0..1 + chance.below(3) {
            add(plan, chance, kind, span);
        }
    }
}

fn add(plan: &mut Plan, chance: &mut Chance, kind: Kind, span: u64) {
    if kind == Kind::Sleepers {
        return sleepers(plan, chance);
    }
    let from = Duration::from_secs(20 + chance.below(span));
    let lasts = Duration::from_secs(5 + chance.below(span / 2));
    let what = what(plan, chance, kind);
    let until = match what {
        // Who keeps money need not stop.
        What::Cheat(_, cheat) if cheat.costs() && chance.below(2) == 0 => FOR_EVER,
        _ => from + lasts,
    };
    plan.faults.push(Fault { from, until, what });
}

fn what(plan: &Plan, chance: &mut Chance, kind: Kind) -> What {
    let any = chance.below(plan.nodes() as u64) as usize;
    let other = chance.below(plan.nodes() as u64) as usize;
    let mixer = chance.below(plan.mixers as u64) as usize;
    let wire = Wire::draw(chance, any, (any, other));
    let some = |chance: &mut Chance| [20, 100, 400][chance.below(3) as usize];
    let one_in = |chance: &mut Chance| [3, 10, 30][chance.below(3) as usize];
    let secs = |chance: &mut Chance, most| Duration::from_secs(1 + chance.below(most));
    match kind {
        Kind::Loss => What::Loss(wire, some(chance)),
        Kind::Copies => What::Copies(wire, some(chance), secs(chance, 600)),
        Kind::Jitter => What::Jitter(wire, secs(chance, 60)),
        Kind::Noise => What::Noise(wire, some(chance)),
        Kind::Cut => What::Loss(wire, 1_000),
        Kind::Partition => What::Loss(Wire::Across(chance.u64()), 1_000),
        Kind::Away | Kind::Sleepers => What::Away(any),
        Kind::Dies => What::Dies(any, [4, 15, 60][chance.below(3) as usize]),
        Kind::OldCopy => What::OldCopy(any),
        Kind::SlowDisk => What::SlowDisk(any, Duration::from_millis(10 + chance.below(10_000))),
        Kind::Skew => What::Skew(any, chance.below(2 * 86_400) as i64 - 86_400),
        Kind::Forks => What::Forks(one_in(chance), chance.below(2) == 0),
        Kind::Drops => What::Drops(one_in(chance)),
        Kind::Halt => What::Halt,
        Kind::Blind => What::Blind(any),
        Kind::Late => What::Late(any, 1 + chance.below(20)),
        Kind::Slow => What::Slow(any, secs(chance, 30)),
        Kind::Unsent => What::Unsent(any, some(chance)),
        Kind::Resent => What::Resent(any, some(chance), secs(chance, 300)),
        Kind::Cheat => What::Cheat(mixer, *chance.pick(&Cheat::ALL).expect("there are some")),
    }
}

/// Two mixers, or all of them, sleep past all dates, while payments are under way.
fn sleepers(plan: &mut Plan, chance: &mut Chance) {
    let first = chance.below(plan.mixers as u64) as usize;
    let count = if chance.below(3) == 0 { plan.mixers } else { 2 };
    let at = 120 + chance.below(900);
    for sleeper in 0..count {
        let from = Duration::from_secs(at + chance.below(60));
        let until = from + Duration::from_secs(3_600 + chance.below(7_200));
        let what = What::Away((first + sleeper) % plan.mixers);
        plan.faults.push(Fault { from, until, what });
    }
}
