//! Draws worlds from seeds.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use datagram::{Class, ClassSettings, Destination, Host, Limits};
use mixing::Chance;

use crate::chain::fault::{Fault, Kind, What, Wire};
use crate::chain::plan::{Plan, Profile, User, strategy};
use crate::fault;

/// Draws the world of a seed.
pub(crate) fn plan(seed: u64, profile: Profile) -> Plan {
    if profile == Profile::Voice {
        return Plan::voice(seed, 50, Duration::from_secs(60));
    }
    let mut plan = Plan::voice(seed, 0, Duration::ZERO);
    plan.profile = profile;
    let mut chance = plan.chance("plan", 0);
    shape(&mut plan, &mut chance);
    users(&mut plan, &mut chance);
    match profile {
        Profile::Faults | Profile::Storm => faults(&mut plan, &mut chance),
        Profile::Restarts => restarts(&mut plan, &mut chance),
        Profile::Calm | Profile::Hours | Profile::Voice => {}
    }
    let served = plan.quiet_from() + profile.recovery();
    plan.ends = match profile {
        Profile::Hours => Duration::from_secs(3 * 3_600),
        _ => served + Duration::from_secs(5 + chance.below(15)),
    };
    plan
}

fn shape(plan: &mut Plan, chance: &mut Chance) {
    let depth = [1, 2, 3, 3, 3, 4, 5][chance.below(7) as usize];
    plan.tiers = (0..depth).map(|_| 1 + chance.below(2) as usize).collect();
    plan.exits = 1 + chance.below(2) as usize;
    plan.entries = 1 + chance.below(3) as usize;
    plan.small.strategy = strategy(chance, &ClassSettings::small().strategy);
    plan.large.strategy = strategy(chance, &ClassSettings::large().strategy);
    if chance.below(4) == 0 {
        plan.large.cell_size = datagram::wire::LARGE_LEAST;
        plan.small.cell_size = 240 + chance.below(400) as usize;
    }
    plan.limits = Limits::default();
    if chance.below(4) == 0 {
        // Everybody has to show a cookie.
        plan.limits.openings_before_cookies = 0;
    }
    plan.limits.spare_channels = [0, 2][chance.below(2) as usize];
    let slowest = [5, 40, 150][chance.below(3) as usize];
    let even = chance.below(2) == 0;
    let nodes = plan.nodes();
    plan.delays = vec![vec![Duration::ZERO; nodes]; nodes];
    for from in 0..nodes {
        for to in 0..nodes {
            let delay = Duration::from_micros(200 + chance.below(slowest * 1_000));
            let back = plan.delays[to][from];
            plan.delays[from][to] = if even && to < from { back } else { delay };
        }
    }
    let drift = [0, 50, 200, 5_000][chance.below(4) as usize];
    plan.drifts = (0..nodes).map(|_| chance.below(2 * drift + 1) as i64 - drift as i64).collect();
}

fn users(plan: &mut Plan, chance: &mut Chance) {
    let count = match plan.profile {
        Profile::Storm => 30 + chance.below(70),
        Profile::Hours => 1 + chance.below(3),
        _ => 1 + chance.below(6),
    };
    let at_once = plan.profile == Profile::Storm || chance.below(3) == 0;
    let alone = chance.below(2) == 0;
    plan.users = (0..count)
        .map(|number| {
            let class = if chance.below(2) == 0 { Class::Small } else { Class::Large };
            let least = 16 + chance.below(200) as usize;
            let most = [least, 300, 1_200, 5_000][chance.below(4) as usize].max(least);
            let every = match plan.profile {
                Profile::Hours => 5_000 + chance.below(25_000),
                Profile::Storm => 500 + chance.below(1_000),
                _ => [20, 100, 300, 1_000][chance.below(4) as usize] + chance.below(50),
            };
            let destinations = 1 + chance.below(3);
            let by_name = chance.below(4) == 0;
            User {
                entry: chance.below(plan.entries as u64) as usize,
                class,
                isolation: if alone { number } else { 0 },
                starts: Duration::from_millis(if at_once { 200 } else { chance.below(3_000) }),
                every: Duration::from_millis(every),
                sizes: (least, most),
                destinations: (0..destinations)
                    .map(|_| destination(chance.below(9), by_name))
                    .collect(),
                absent: false,
            }
        })
        .collect();
}

/// A destination of the made-up Internet; what it answers is in [`crate::chain::users`].
pub(crate) fn destination(number: u64, by_name: bool) -> Destination {
    let last = number as u8 + 1;
    let host = match (by_name, number % 3) {
        (true, _) => Host::Name(format!("host-{number}.example")),
        (false, 2) => Host::Address(Ipv6Addr::new(0x2a00, 1, 2, 3, 4, 5, 6, last.into()).into()),
        (false, _) => Host::Address(Ipv4Addr::new(9, 1, 2, last).into()),
    };
    Destination { host, port: 53 + u16::from(last) }
}

/// Draws which kinds are on, and then faults of these kinds.
fn faults(plan: &mut Plan, chance: &mut Chance) {
    let kinds = fault::kinds(chance, &Kind::ALL);
    let span = 3_000 + chance.below(25_000);
    for kind in kinds {
        for _ in 0..1 + chance.below(3) {
            let from = Duration::from_millis(chance.below(4_000 + span));
            let lasts = Duration::from_millis(100 + chance.below(span / 2));
            let what = what(plan, chance, kind);
            plan.faults.push(Fault { from, until: from + lasts, what });
        }
    }
}

fn what(plan: &Plan, chance: &mut Chance, kind: Kind) -> What {
    let any = chance.below(plan.nodes() as u64) as usize;
    let entry = plan.listed() + chance.below(plan.entries as u64) as usize;
    let (a, b) = neighbours(plan, chance);
    let wire = Wire::draw(chance, any, (a, b));
    let some = |chance: &mut Chance| [5, 50, 300][chance.below(3) as usize];
    let millis = |chance: &mut Chance, most| Duration::from_millis(1 + chance.below(most));
    match kind {
        Kind::Loss => What::Loss(wire, some(chance)),
        Kind::Copies => What::Copies(wire, some(chance), millis(chance, 300)),
        Kind::Jitter => What::Jitter(wire, millis(chance, 400)),
        Kind::Noise => What::Noise(wire, some(chance)),
        Kind::Short => What::Short(wire, some(chance)),
        Kind::Narrow => What::Narrow(wire, 200 + chance.below(1_200) as usize),
        Kind::Replays => What::Replays(wire, some(chance), millis(chance, 20_000)),
        Kind::Strays => What::Strays(wire, some(chance)),
        Kind::Crash => What::Crash(any),
        Kind::Stop => What::Stop(any),
        Kind::Stall => What::Stall(any),
        Kind::Move => What::Move(entry, chance.below(2) == 0),
        Kind::Skew => What::Skew(any, chance.below(2 * 86_400) as i64 - 86_400),
        Kind::Flood => What::Flood(any, 10 + chance.below(1_000)),
        Kind::Cut => What::Loss(Wire::Between(a, b), 1_000),
        Kind::HalfCut => What::Loss(Wire::OneWay(a, b), 1_000),
        Kind::Cheat => match chance.below(4) {
            0 => What::Loss(Wire::From(any), 500),
            1 => What::Jitter(Wire::From(any), millis(chance, 3_000)),
            2 => What::Replays(Wire::From(any), 500, millis(chance, 5_000)),
            _ => What::Noise(Wire::From(any), 500),
        },
    }
}

/// Two nodes that may have a link.
fn neighbours(plan: &Plan, chance: &mut Chance) -> (usize, usize) {
    loop {
        let a = chance.below(plan.nodes() as u64) as usize;
        let b = chance.below(plan.nodes() as u64) as usize;
        let last = plan.tiers.len() as u8;
        let linked = match (plan.tier(a), plan.tier(b)) {
            (crate::chain::node::EXIT, tier) | (tier, crate::chain::node::EXIT) => tier == last,
            (one, other) => one.abs_diff(other) == 1,
        };
        if linked {
            return (a, b);
        }
    }
}

/// Every listed node in turn is gone for a moment.
fn restarts(plan: &mut Plan, chance: &mut Chance) {
    let node = chance.below(plan.listed() as u64) as usize;
    let from = Duration::from_millis(4_000 + chance.below(10_000));
    let until = from + Duration::from_millis(50 + chance.below(5_000));
    let what = if chance.below(2) == 0 { What::Crash(node) } else { What::Stop(node) };
    plan.faults.push(Fault { from, until, what });
}
