//! What the pools do to the order on the wire, seen from outside.

mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use common::*;
use datagram::*;
use mixing::{Chance, Strategy};

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// A world of one mix with so many open channels, of which each sent something already.
fn crowd(strategy: Strategy, channels: usize, seed: u8) -> (World, Vec<Association>) {
    let mut world = World::new(network(&[1], 1, Some(strategy)), seed);
    let associations: Vec<Association> =
        (0..channels).map(|_| world.open(ENTRY, Class::Small)).collect();
    for association in &associations {
        world.send(ENTRY, *association, "9.9.9.9:53", b"hello");
    }
    assert!(world.run_until(10 * SECOND, |world| world.replies.len() == channels));
    world.run(SECOND);
    world.echo = false;
    world.arrivals.clear();
    (world, associations)
}

/// One datagram per channel, in the order of the channels; returns the order of arrival.
fn order_out(world: &mut World, associations: &[Association]) -> Vec<usize> {
    world.arrivals.clear();
    for (number, association) in (0u8..).zip(associations) {
        world.send(ENTRY, *association, "9.9.9.9:53", &[number]);
    }
    let n = associations.len();
    assert!(world.run_until(SECOND, |world| world.arrivals.len() == n));
    world.arrivals.iter().map(|arrival| usize::from(arrival.payload[0])).collect()
}

/// Whether orders look drawn from all orders alike: how often each came out at each place, and
/// how many pairs were in order.
fn looks_random(orders: &[Vec<usize>]) -> bool {
    let n = orders[0].len();
    let mut places = vec![vec![0u64; n]; n];
    let mut in_order = 0u64;
    for order in orders {
        for (place, who) in order.iter().enumerate() {
            places[place][*who] += 1;
            in_order += order[place..].iter().filter(|later| *later > who).count() as u64;
        }
    }
    let mean = orders.len() as f64 / n as f64;
    let chi: f64 = places.iter().flatten().map(|&count| (count as f64 - mean).powi(2) / mean).sum();
    // (n − 1)² degrees of freedom; five standard deviations.
    let freedom = ((n - 1) * (n - 1)) as f64;
    let pairs = (orders.len() * n * (n - 1) / 2) as f64;
    // Variance of the number of ordered pairs of one order: n(n−1)(2n+5)/72 (Kendall).
    let variance = orders.len() as f64 * (n * (n - 1) * (2 * n + 5)) as f64 / 72.0;
    (chi - freedom).abs() < 5.0 * (2.0 * freedom).sqrt()
        && (in_order as f64 - pairs / 2.0).abs() < 5.0 * variance.sqrt()
}

#[test]
fn under_threshold_the_order_out_is_random_with_respect_to_the_order_in() {
    let strategy = Strategy::Threshold { n: 8, timeout: 100 * MILLISECOND };
    let (mut world, associations) = crowd(strategy, 8, 1);
    let orders: Vec<Vec<usize>> = (0..400).map(|_| order_out(&mut world, &associations)).collect();
    assert!(looks_random(&orders));
}

#[test]
fn the_same_statistic_rejects_the_identity_a_sort_and_a_single_swap() {
    let (mut world, associations) = crowd(Strategy::None, 8, 2);
    let identity: Vec<Vec<usize>> =
        (0..400).map(|_| order_out(&mut world, &associations)).collect();
    assert_eq!(identity[0], [0, 1, 2, 3, 4, 5, 6, 7], "without a strategy nothing is reordered");
    assert!(!looks_random(&identity));
    // As a mix that sorts a batch by what is in it would send: some fixed order of the channels.
    let sorted = vec![vec![3, 0, 5, 1, 7, 2, 6, 4]; 400];
    assert!(!looks_random(&sorted));
    let mut chance = Chance::new([3; 32]);
    let swapped: Vec<Vec<usize>> = (0..400)
        .map(|_| {
            let mut order: Vec<usize> = (0..8).collect();
            let at = chance.below(7) as usize;
            order.swap(at, at + 1);
            order
        })
        .collect();
    assert!(!looks_random(&swapped));
    let shuffled: Vec<Vec<usize>> = (0..400)
        .map(|_| {
            let mut order: Vec<usize> = (0..8).collect();
            chance.shuffle(&mut order);
            order
        })
        .collect();
    assert!(looks_random(&shuffled));
}

#[test]
fn nothing_waits_beyond_the_timeout() {
    let timeout = 70 * MILLISECOND;
    let (mut world, associations) = crowd(Strategy::Threshold { n: 16, timeout }, 2, 3);
    for round in 0..50u32 {
        let before = world.arrivals.len();
        world.send(ENTRY, associations[0], "9.9.9.9:53", b"alone");
        world.run(timeout - 5 * MILLISECOND);
        assert_eq!(world.arrivals.len(), before, "{round}: it waits for company");
        world.run(5 * MILLISECOND);
        assert_eq!(world.arrivals.len(), before + 1, "{round}: but not longer");
        world.run(13 * MILLISECOND);
    }
}

#[test]
fn many_cells_of_one_channel_release_no_batch_and_report_no_bits() {
    let timeout = 200 * MILLISECOND;
    let (mut world, associations) = crowd(Strategy::Threshold { n: 4, timeout }, 4, 4);
    let mix = mix_address(1, 1);
    let forward = |world: &World| world.figures(mix).pool(Class::Small, Direction::Forward).clone();
    let before = forward(&world);
    for _ in 0..40 {
        world.send(ENTRY, associations[0], "9.9.9.9:53", b"flood");
    }
    world.run(timeout - MILLISECOND);
    assert_eq!(forward(&world).releases, before.releases, "forty cells are no crowd of four");
    assert_eq!(forward(&world).waiting, 40);
    world.run(2 * MILLISECOND);
    let after = forward(&world);
    let last = after.last.as_ref().expect("the timeout is over");
    assert_eq!((after.releases, last.items, last.channels), (before.releases + 1, 40, 1));
    assert!(last.entropy == 0.0 && after.entropy == before.entropy, "{}", last.entropy);
    // Four channels are one, and leave at once.
    let replies = world.arrivals.len();
    for association in &associations {
        world.send(ENTRY, *association, "9.9.9.9:53", b"together");
    }
    world.run(MILLISECOND);
    assert_eq!(world.arrivals.len(), replies + 4);
    let last = forward(&world).last.expect("a batch left");
    assert!((last.entropy - 2.0).abs() < 1e-9, "two bits, not {}", last.entropy);
}

/// 10,000 cells of one channel as fast as its rate limit lets it, through five tiers.
fn ten_thousand(strategy: Strategy) {
    let mut world = World::new(network(&[1, 1, 1, 1, 1], 1, Some(strategy.clone())), 5);
    for class in Class::ALL {
        let association = world.open(ENTRY, class);
        world.send(ENTRY, association, "9.9.9.9:53", b"first");
        assert!(world.run_until(10 * SECOND, |world| !world.replies.is_empty()), "{strategy}");
        world.replies.clear();
        world.arrivals.clear();
        // As many as the class's window is made for, in flight at once.
        let burst = [20, 160][class.index()];
        for number in 0..10_000u32 {
            world.send(ENTRY, association, "9.9.9.9:53", &number.to_be_bytes());
            if number % burst == burst - 1 {
                world.run(10 * MILLISECOND);
                world.seen.clear();
            }
        }
        world.run(3 * SECOND);
        let mut there: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
        for arrival in &world.arrivals {
            *there.entry(arrival.payload.clone()).or_default() += 1;
        }
        let disorder = world.arrivals.windows(2).filter(|w| w[0].payload > w[1].payload).count();
        assert!(disorder > 2_000, "{strategy}: the wire was reordered {disorder} times");
        assert_eq!((there.len(), world.replies.len()), (10_000, 10_000), "{strategy} {class}");
        world.replies.clear();
    }
    let late = world.all_dropped();
    assert!(late.is_empty(), "{strategy}: {late:?}");
}

#[test]
fn ten_thousand_cells_survive_the_order_that_pools_in_every_tier_cause() {
    ten_thousand(Strategy::Pool {
        period: 10 * MILLISECOND,
        keep: 50,
        fraction: 0.5,
        longest: 200 * MILLISECOND,
    });
}

#[test]
fn ten_thousand_cells_survive_the_order_that_poisson_in_every_tier_causes() {
    ten_thousand(Strategy::Poisson { mean: 20 * MILLISECOND, longest: 200 * MILLISECOND });
}
