//! The running posterior against closed forms, all histories, and a naive recomputation.

use std::collections::BTreeMap;

use libm::log2;
use mixing::entropy::Posterior;
use proptest::prelude::*;

#[test]
fn a_flush_of_equals_is_worth_the_logarithm_of_their_number() {
    for n in [1u64, 2, 3, 16, 1000] {
        let mut posterior = Posterior::new(1000);
        (0..n).for_each(|channel| posterior.arrive(channel));
        assert_near(posterior.release(n as usize, n as usize), log2(n as f64));
        assert_eq!(posterior.channels(), 0, "a full flush clears it");
    }
}

#[test]
fn many_cells_of_one_channel_hide_nobody() {
    let mut posterior = Posterior::new(1000);
    (0..1000).for_each(|_| posterior.arrive(7));
    assert_eq!(posterior.release(500, 1000), 0.0);
    posterior.arrive(8);
    // 500 of 501 against 1 of 501.
    let expected = 500.0 / 501.0 * log2(501.0 / 500.0) + log2(501.0) / 501.0;
    assert_near(posterior.release(501, 501), expected);
}

#[test]
fn a_limited_memory_keeps_the_heaviest() {
    let mut posterior = Posterior::new(4);
    (0..10).for_each(|_| posterior.arrive(0));
    (1..=4).for_each(|channel| posterior.arrive(channel));
    assert_eq!(posterior.channels(), 2, "the one with ten cells and the newest");
    assert_near(posterior.release(0, 14), 10.0 / 11.0 * log2(1.1) + log2(11.0) / 11.0);
}

/// Serjantov and Danezis (2002), the pool mix: n stay, N arrive and leave in each round; when it
/// has run for long, H = (1 + n/N)·log₂(n + N) − (n/N)·log₂ n.
#[test]
fn a_threshold_pool_mix_is_worth_what_its_closed_form_says() {
    for (stay, arrive) in [(1u64, 1u64), (10, 10), (20, 100), (100, 20), (500, 30)] {
        let mut posterior = Posterior::new(1_000_000);
        let mut channels = 0u64..;
        let mut next = |posterior: &mut Posterior, count| {
            channels.by_ref().take(count as usize).for_each(|channel| posterior.arrive(channel));
        };
        next(&mut posterior, stay);
        let mut entropy = 0.0;
        for _ in 0..1000 {
            next(&mut posterior, arrive);
            entropy = posterior.release(arrive as usize, (stay + arrive) as usize);
        }
        let (n, m) = (stay as f64, arrive as f64);
        let expected = (1.0 + n / m) * log2(n + m) - n / m * log2(n);
        assert!((entropy - expected).abs() < 1e-3, "{stay} of {arrive}: {entropy}, {expected}");
        assert!(posterior.channels() < 30_000, "what no longer counts is forgotten");
    }
}

#[derive(Clone, Debug)]
enum Step {
    Arrive(u64),
    /// A part of what is there leaves, in sixteenths.
    Release(usize),
}

fn steps(length: usize) -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (0u64..6).prop_map(Step::Arrive),
        1 => (0usize..16).prop_map(Step::Release),
    ];
    prop::collection::vec(step, 1..length)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 300,
        failure_persistence: None,
        ..Default::default()
    })]

    /// All choices of who leaves are followed, each with its probability.
    #[test]
    fn small_pools_are_worth_what_all_histories_say(mut steps in steps(12)) {
        steps.push(Step::Release(8));
        let mut posterior = Posterior::new(100);
        let mut histories = BTreeMap::from([(Vec::new(), 1.0)]);
        let mut of = 0;
        for step in steps {
            match step {
                Step::Arrive(channel) => {
                    posterior.arrive(channel);
                    histories = step_each(histories, |pool| vec![[pool, &[channel]].concat()]);
                    of += 1;
                }
                Step::Release(sixteenths) if of > 0 => {
                    let left = (of * sixteenths).div_ceil(16).clamp(1, of);
                    let expected = entropy_of_all(&histories, of);
                    let entropy = posterior.release(left, of);
                    prop_assert!((entropy - expected).abs() < 1e-9, "{} {}", entropy, expected);
                    histories = step_each(histories, |pool| subsets(pool, of - left));
                    of -= left;
                }
                Step::Release(_) => {}
            }
        }
    }

    #[test]
    fn the_running_sums_are_those_of_a_naive_recomputation(steps in steps(400)) {
        let mut posterior = Posterior::new(100);
        let mut weights: BTreeMap<u64, f64> = BTreeMap::new();
        let mut of = 0;
        for step in steps {
            match step {
                Step::Arrive(channel) => {
                    posterior.arrive(channel);
                    *weights.entry(channel).or_default() += 1.0;
                    of += 1;
                }
                Step::Release(sixteenths) => {
                    let left = of * sixteenths / 16;
                    let expected = entropy_of(weights.values().copied());
                    let entropy = posterior.release(left, of);
                    prop_assert!((entropy - expected).abs() < 1e-5, "{} {}", entropy, expected);
                    let stays = 1.0 - left as f64 / of.max(1) as f64;
                    weights.values_mut().for_each(|weight| *weight *= stays);
                    of -= left;
                }
            }
        }
    }

    #[test]
    fn a_limited_memory_makes_the_result_smaller_only(
        departures in prop::collection::vec(0usize..40, 1..600),
    ) {
        let (mut limited, mut whole) = (Posterior::new(32), Posterior::new(1000));
        let mut of = 0;
        for (channel, left) in (0..).zip(departures) {
            limited.arrive(channel);
            whole.arrive(channel);
            of += 1;
            // Mostly none leave, else the pool would stay too small to forget anything.
            let left = if left < 4 { left.min(of) } else { 0 };
            prop_assert!(limited.channels() <= 32);
            prop_assert!(limited.release(left, of) <= whole.release(left, of) + 1e-9);
            of -= left;
        }
    }
}

/// Every pool after a step, with its probability; all ends of one pool are equally likely.
fn step_each(
    pools: BTreeMap<Vec<u64>, f64>,
    ends: impl Fn(&[u64]) -> Vec<Vec<u64>>,
) -> BTreeMap<Vec<u64>, f64> {
    let mut after = BTreeMap::new();
    for (pool, probability) in pools {
        let ends = ends(&pool);
        let each = probability / ends.len() as f64;
        ends.into_iter().for_each(|end| *after.entry(end).or_insert(0.0) += each);
    }
    after
}

/// All ways to keep `count` of the pool.
fn subsets(pool: &[u64], count: usize) -> Vec<Vec<u64>> {
    (0u32..1 << pool.len())
        .filter(|kept| kept.count_ones() as usize == count)
        .map(|kept| (0..pool.len()).filter(|at| kept >> at & 1 == 1).map(|at| pool[at]).collect())
        .collect()
}

/// Which channel one that leaves came from, over all pools.
fn entropy_of_all(pools: &BTreeMap<Vec<u64>, f64>, of: usize) -> f64 {
    let mut shares: BTreeMap<u64, f64> = BTreeMap::new();
    for (pool, probability) in pools {
        for channel in pool {
            *shares.entry(*channel).or_default() += probability / of as f64;
        }
    }
    entropy_of(shares.values().copied())
}

fn entropy_of(weights: impl Iterator<Item = f64> + Clone) -> f64 {
    let sum: f64 = weights.clone().sum();
    weights.map(|weight| weight / sum).filter(|p| *p > 0.0).map(|p| -p * log2(p)).sum()
}

fn assert_near(found: f64, expected: f64) {
    assert!((found - expected).abs() < 1e-9, "{found} is not {expected}");
}
