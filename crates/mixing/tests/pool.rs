//! What pools let go, when, and in which order.

use std::collections::BTreeMap;
use std::time::Duration;

use libm::log2;
use mixing::strategy::Unfit;
use mixing::{Chance, Date, Full, Now, Pool, Strategy, Time};

const MS: Duration = Duration::from_millis(1);

#[test]
fn nothing_waits_beyond_its_bound_and_everything_comes_out_once() {
    for strategy in strategies() {
        let mut chance = Chance::new([1; 32]);
        let mut pool = Pool::new(strategy.clone(), 1000);
        let mut left = BTreeMap::new();
        let (mut arrived, mut next, mut now) = (Vec::new(), Time::ZERO, Time::ZERO);
        while arrived.len() < 2000 || !pool.is_empty() {
            let arrives = arrived.len() < 2000 && pool.wake_at().is_none_or(|wake| next <= wake);
            now = now.max(if arrives { next } else { pool.wake_at().unwrap() });
            if arrives {
                pool.insert(at(now), chance.below(40), arrived.len(), &mut chance).unwrap();
                arrived.push(now);
                // Bursts, a steady stream, and now and then silence.
                let silence = if chance.below(50) == 0 { 300 * MS } else { MS };
                next = now + chance.exponential(silence);
            }
            let mut out = Vec::new();
            let release = pool.release(at(now), &mut chance, &mut out);
            assert_eq!(release.map_or(0, |release| release.items), out.len(), "{strategy}");
            for item in out {
                assert!(now - arrived[item] <= strategy.longest(), "{strategy}: {item}");
                assert!(left.insert(item, now).is_none(), "{strategy}: {item} left twice");
            }
        }
        assert_eq!(left.len(), 2000, "{strategy}");
        assert_eq!(pool.wake_at(), None, "{strategy}: an idle node is not woken");
    }
}

#[test]
fn cells_of_one_channel_are_no_crowd() {
    let mut chance = Chance::new([2; 32]);
    let mut pool = Pool::new(Strategy::Threshold { n: 4, timeout: 20 * MS }, 1000);
    let mut out = Vec::new();
    for item in 0..100 {
        pool.insert(at_ms(0), 7, item, &mut chance).unwrap();
    }
    assert_eq!(pool.wake_at(), Some(time_ms(20)));
    assert_eq!(pool.release(at_ms(19), &mut chance, &mut out), None);
    let release = pool.release(at_ms(20), &mut chance, &mut out).unwrap();
    assert_eq!((release.items, release.channels, release.entropy), (100, 1, 0.0));
}

#[test]
fn a_crowd_of_distinct_channels_leaves_at_once_and_together() {
    let mut chance = Chance::new([3; 32]);
    let mut pool = Pool::new(Strategy::Threshold { n: 4, timeout: 20 * MS }, 1000);
    let mut out = Vec::new();
    for round in 0..3 {
        for channel in [1, 1, 2, 3, 3] {
            pool.insert(at_ms(round), channel, channel, &mut chance).unwrap();
            assert_eq!(pool.release(at_ms(round), &mut chance, &mut out), None);
        }
        pool.insert(at_ms(round), 4, 4, &mut chance).unwrap();
        assert_eq!(pool.wake_at(), Some(time_ms(round)));
        let release = pool.release(at_ms(round), &mut chance, &mut out).unwrap();
        assert_eq!((release.items, release.channels), (6, 4));
        // Shares 2/6, 1/6, 2/6 and 1/6.
        let expected = 2.0 / 3.0 * log2(3.0) + 1.0 / 3.0 * log2(6.0);
        assert!((release.entropy - expected).abs() < 1e-9, "{}", release.entropy);
        out.sort_unstable();
        assert_eq!(core::mem::take(&mut out), [1, 1, 2, 3, 3, 4]);
    }
}

#[test]
fn a_period_begins_with_the_first_arrival() {
    let mut chance = Chance::new([4; 32]);
    let mut pool = Pool::new(Strategy::Timed { period: 10 * MS }, 1000);
    let mut out = Vec::new();
    assert_eq!(pool.wake_at(), None);
    for millis in [3, 5, 12] {
        pool.insert(at_ms(millis), millis, millis, &mut chance).unwrap();
        assert_eq!(pool.wake_at(), Some(time_ms(13)));
        assert_eq!(pool.release(at_ms(millis), &mut chance, &mut out), None);
    }
    let release = pool.release(at_ms(13), &mut chance, &mut out).unwrap();
    assert_eq!((release.items, release.channels), (3, 3));
    assert!((release.entropy - log2(3.0)).abs() < 1e-9);
    assert_eq!(pool.wake_at(), None);
}

#[test]
fn a_pool_keeps_its_residue_until_the_longest_wait() {
    let strategy = Strategy::Pool { period: 10 * MS, keep: 5, fraction: 0.5, longest: 60 * MS };
    let mut chance = Chance::new([5; 32]);
    let mut pool = Pool::new(strategy, 1000);
    let mut out = Vec::new();
    for item in 0..15 {
        pool.insert(at_ms(0), item, item, &mut chance).unwrap();
    }
    assert_eq!(pool.release(at_ms(9), &mut chance, &mut out), None);
    let mut leave = |pool: &mut Pool<u64>, millis, count| {
        assert_eq!(pool.wake_at(), Some(time_ms(millis)));
        let release = pool.release(at_ms(millis), &mut chance, &mut out).unwrap();
        assert_eq!((release.items, release.channels), (count, count), "at {millis} ms");
    };
    // ⌊10/2⌋, ⌊5/2⌋, ⌊3/2⌋, ⌊2/2⌋, and not ⌊1/2⌋ but one.
    for (millis, count) in [(10, 5), (20, 2), (30, 1), (40, 1), (50, 1)] {
        leave(&mut pool, millis, count);
    }
    (20..30)
        .for_each(|item| pool.insert(at_ms(55), item, item, &mut Chance::new([1; 32])).unwrap());
    // The five whose time is up are the ⌊10/2⌋ that leave.
    leave(&mut pool, 60, 5);
    leave(&mut pool, 70, 2);
    assert!(out.iter().filter(|item| **item < 15).count() == 15, "the old ones all left");
}

#[test]
fn the_grid_of_a_pool_stays_when_a_period_is_missed() {
    let strategy = Strategy::Pool { period: 10 * MS, keep: 5, fraction: 0.5, longest: 900 * MS };
    let mut chance = Chance::new([5; 32]);
    let mut pool = Pool::new(strategy, 1000);
    pool.insert(at_ms(0), 0, 0, &mut chance).unwrap();
    assert_eq!(pool.release(at_ms(34), &mut chance, &mut Vec::new()), None);
    assert_eq!(pool.wake_at(), Some(time_ms(40)));
}

#[test]
fn poisson_delays_are_exponential_and_cut() {
    let mut chance = Chance::new([6; 32]);
    let mut pool = Pool::new(Strategy::Poisson { mean: 10 * MS, longest: 30 * MS }, 100_000);
    (0..20_000).for_each(|item| pool.insert(at_ms(0), item, item, &mut chance).unwrap());
    let mut out = Vec::new();
    // 1 − 1/e, and 1 − 1/e²; e⁻³ of them, 996, are cut.
    for (millis, low, high) in [(10, 12_400, 12_900), (20, 17_100, 17_500), (29, 18_800, 19_000)] {
        while let Some(wake) = pool.wake_at().filter(|wake| *wake <= time_ms(millis)) {
            let release = pool.release(at(wake), &mut chance, &mut out);
            assert!(release.is_some(), "a pool that wakes in vain wakes for ever");
        }
        assert!((low..high).contains(&out.len()), "{} left in {millis} ms", out.len());
    }
    pool.release(at_ms(30), &mut chance, &mut out);
    assert_eq!(out.len(), 20_000);
}

#[test]
fn a_full_pool_gives_the_thing_back_and_has_room_after_a_release() {
    for strategy in strategies() {
        let mut chance = Chance::new([7; 32]);
        let mut pool = Pool::new(strategy.clone(), 3);
        (0..3).for_each(|item| pool.insert(at_ms(0), 1, item, &mut chance).unwrap());
        assert_eq!(pool.insert(at_ms(0), 2, 99, &mut chance), Err(Full(99)), "{strategy}");
        let mut out = Vec::new();
        (1..=999).for_each(|millis| {
            pool.release(at_ms(millis), &mut chance, &mut out);
        });
        out.sort_unstable();
        assert_eq!(out, [0, 1, 2], "{strategy}: what was refused does not come out");
        assert_eq!(pool.insert(at_ms(0), 2, 99, &mut chance), Ok(()), "{strategy}");
    }
}

#[test]
fn without_a_strategy_things_leave_at_once_in_order_and_hide_nothing() {
    let mut chance = Chance::new([8; 32]);
    let mut pool = Pool::new(Strategy::None, 100);
    let mut out = Vec::new();
    (0..50).for_each(|item| pool.insert(at_ms(0), item % 5, item, &mut chance).unwrap());
    assert_eq!(pool.wake_at(), Some(time_ms(0)));
    let release = pool.release(at_ms(0), &mut chance, &mut out).unwrap();
    assert_eq!((release.items, release.channels, release.entropy), (50, 5, 0.0));
    assert!(out.iter().copied().eq(0..50));
}

#[test]
fn draining_gives_everything_and_begins_anew() {
    for strategy in strategies() {
        let mut chance = Chance::new([9; 32]);
        let mut pool = Pool::new(strategy.clone(), 100);
        (0..100).for_each(|item| pool.insert(at_ms(0), item, item, &mut chance).unwrap());
        let mut out = Vec::new();
        pool.drain(&mut chance, &mut out);
        assert!(!out.is_sorted(), "{strategy}");
        out.sort_unstable();
        assert!(out.into_iter().eq(0..100), "{strategy}");
        assert_eq!((pool.len(), pool.wake_at()), (0, None), "{strategy}");
        pool.insert(at_ms(500), 1, 1, &mut chance).unwrap();
        assert!(pool.wake_at() >= Some(time_ms(500)), "{strategy}");
        let release = pool.release(at_ms(999), &mut chance, &mut Vec::new()).unwrap();
        assert_eq!(release.entropy, 0.0, "{strategy}: who was drained is no company");
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for strategy in strategies() {
        let run = |seed| {
            let mut chance = Chance::new([seed; 32]);
            let mut pool = Pool::new(strategy.clone(), 1000);
            let mut out = Vec::new();
            for millis in 0..300 {
                pool.insert(at_ms(millis), millis % 20, millis, &mut chance).unwrap();
                pool.release(at_ms(millis), &mut chance, &mut out);
            }
            pool.drain(&mut chance, &mut out);
            out
        };
        assert_eq!(run(1), run(1), "{strategy}");
        assert!(strategy == Strategy::None || run(1) != run(2), "{strategy}");
    }
}

#[test]
fn the_order_going_out_is_random_with_respect_to_the_order_in() {
    for strategy in strategies().into_iter().filter(|strategy| *strategy != Strategy::None) {
        let mut chance = Chance::new([10; 32]);
        let mut pool = Pool::new(strategy.clone(), 5);
        let orders = (0..ROUNDS as u64).map(|round| {
            let start = 1000 * round;
            let mut out = Vec::new();
            (0..5).for_each(|item| pool.insert(at_ms(start), item, item, &mut chance).unwrap());
            pool.release(at_ms(start + 999), &mut chance, &mut out);
            out
        });
        let chi = chi_square(orders);
        assert!(chi < CHI_MAX, "{strategy}: {chi}");
    }
}

/// What the judge of the test above is worth: it refuses orders that only look mixed.
#[test]
fn a_channel_keeps_its_own_order_under_every_strategy() {
    for strategy in strategies() {
        let longest = strategy.longest();
        let mut chance = Chance::new([8; 32]);
        let mut pool = Pool::new(strategy.clone(), 1000);
        let mut out = Vec::new();
        for step in 0..300u64 {
            let now = at_ms(step);
            let channel = chance.below(3);
            pool.insert(now, channel, (channel, now.time), &mut chance).expect("room");
            let left = out.len();
            pool.release(now, &mut chance, &mut out);
            for (_, arrived) in &out[left..] {
                assert!(now.time - *arrived <= longest, "{strategy} holds nothing too long");
            }
        }
        pool.drain(&mut chance, &mut out);
        assert_eq!(out.len(), 300);
        for channel in 0..3 {
            let own = out.iter().filter(|(of, _)| *of == channel).map(|(_, arrived)| *arrived);
            assert!(own.is_sorted(), "{strategy}");
        }
        let all = out.iter().map(|(_, arrived)| *arrived);
        assert!(strategy == Strategy::None || !all.is_sorted(), "{strategy} mixes channels");
    }
}

#[test]
fn the_judge_of_orders_refuses_what_is_not_random() {
    let mut chance = Chance::new([11; 32]);
    let fair = |chance: &mut Chance| {
        let mut order = vec![0, 1, 2, 3, 4];
        chance.shuffle(&mut order);
        order
    };
    assert!(chi_square((0..ROUNDS).map(|_| fair(&mut chance))) < CHI_MAX);

    let kept = |_| vec![0, 1, 2, 3, 4];
    assert!(chi_square((0..ROUNDS).map(kept)) > CHI_MAX, "the order of arrival");
    let sorted = |_| {
        let mut order = fair(&mut chance);
        order.sort_unstable();
        order
    };
    assert!(chi_square((0..ROUNDS).map(sorted)) > CHI_MAX, "sorted after shuffling");
    let turned = |_| {
        let mut order = vec![0, 1, 2, 3, 4];
        order.rotate_left(chance.below(5) as usize);
        order
    };
    assert!(
        chi_square((0..ROUNDS).map(turned)) > CHI_MAX,
        "every place equally likely, but turned"
    );
    let naive = |_| {
        let mut order = vec![0, 1, 2, 3, 4];
        (0..5).for_each(|at| order.swap(at, chance.below(5) as usize));
        order
    };
    assert!(chi_square((0..ROUNDS).map(naive)) > CHI_MAX, "the shuffle that swaps with any place");
}

#[test]
fn which_things_of_a_pool_leave_is_random() {
    let strategy = Strategy::Pool { period: 10 * MS, keep: 4, fraction: 1.0, longest: 900 * MS };
    let mut chance = Chance::new([12; 32]);
    let mut counts = [0u32; 6];
    for _ in 0..12_000 {
        let mut pool = Pool::new(strategy.clone(), 6);
        let mut out = Vec::new();
        (0..6).for_each(|item| pool.insert(at_ms(item), item, item, &mut chance).unwrap());
        pool.release(at_ms(10), &mut chance, &mut out);
        assert_eq!(out.len(), 2);
        out.iter().for_each(|item| counts[*item as usize] += 1);
    }
    assert!(counts.iter().all(|count| (3_800..4_200).contains(count)), "{counts:?}");
}

#[test]
#[should_panic(expected = "strategies are checked where they are read")]
fn a_pool_of_an_unfit_strategy_is_not_made() {
    let strategy = Strategy::Threshold { n: 0, timeout: MS };
    assert_eq!(strategy.check(), Err(Unfit::NoCompany));
    Pool::<()>::new(strategy, 1);
}

/// One of each, all of whose things leave together after 999 ms.
fn strategies() -> Vec<Strategy> {
    vec![
        Strategy::None,
        Strategy::Threshold { n: 5, timeout: 20 * MS },
        Strategy::Timed { period: 10 * MS },
        Strategy::Pool { period: 10 * MS, keep: 10, fraction: 0.6, longest: 100 * MS },
        Strategy::Poisson { mean: 10 * MS, longest: 80 * MS },
    ]
}

/// Pearson's statistic of five things' orders against all 120 being equally likely.
fn chi_square(orders: impl Iterator<Item = Vec<u64>>) -> f64 {
    let mut counts = BTreeMap::new();
    orders.for_each(|order| *counts.entry(order).or_insert(0u32) += 1);
    let expected = ROUNDS as f64 / 120.0;
    let never = (120 - counts.len()) as f64 * expected;
    never
        + counts
            .values()
            .map(|count| (f64::from(*count) - expected).powi(2) / expected)
            .sum::<f64>()
}

const ROUNDS: usize = 24_000;

/// With 119 degrees of freedom, one fair run in a thousand is above 172.7.
const CHI_MAX: f64 = 173.0;

fn at(time: Time) -> Now {
    Now { time, date: Date::default() }
}

fn at_ms(millis: u64) -> Now {
    at(time_ms(millis))
}

fn time_ms(millis: u64) -> Time {
    Time::ZERO + Duration::from_millis(millis)
}
