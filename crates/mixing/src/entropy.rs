//! What a release was worth: the mixing entropy.
//!
//! An observer sees what arrives and how many leave, and asks which **channel** one that left came
//! from. A thing that was there when `left` of `of` went stays with probability 1 − left/of; so
//! after some releases it is still here with the product of these. The weight of a channel is the
//! sum over its things, its share of all weights is the observer's posterior, and the entropy is
//!
//! ```text
//! H = −Σ p·log₂ p        p = weight / Σ weights
//! ```
//!
//! (Serjantov and Danezis, "Towards an Information Theoretic Metric for Anonymity", PET 2002.) They
//! count messages; here channels are counted, because sixteen cells of one person hide nobody. The
//! number is an upper bound: it assumes that none of the others is the attacker, and that which
//! things leave is a uniform choice. (Under `poisson` and `pool` the cut at the longest wait makes
//! it less than uniform.)
//!
//! What always holds: memory is limited, and what is forgotten for that are the lightest channels,
//! whose absence makes the result smaller, not greater. (One that comes back counts anew.) Each
//! arrival costs O(log channels), each release O(1), now and then a pass.

use std::collections::BTreeMap;

/// How many channels a posterior remembers, unless more can wait in its pool.
pub const REMEMBERED_MAX: usize = 65_536;

/// For each channel, how much of what is in the pool may be its own.
pub struct Posterior {
    /// The weights, times `gain`: a release makes all weights smaller, so instead all later
    /// arrivals count for more.
    weights: BTreeMap<u64, f64>,
    gain: f64,
    /// Σ w over the stored weights.
    sum: f64,
    /// Σ w·log₂ w over the stored weights.
    sum_log: f64,
    limit: usize,
}

impl Posterior {
    /// Makes the posterior of an empty pool, which remembers at most `limit` channels.
    ///
    /// # Panics
    /// If `limit` is 0.
    pub fn new(limit: usize) -> Self {
        assert!(limit > 0, "an observer remembers something");
        Self { weights: BTreeMap::new(), gain: 1.0, sum: 0.0, sum_log: 0.0, limit }
    }

    /// Counts one thing of this channel.
    pub fn arrive(&mut self, channel: u64) {
        if self.weights.len() == self.limit && !self.weights.contains_key(&channel) {
            self.forget_lightest();
        }
        let weight = self.weights.entry(channel).or_insert(0.0);
        let before = *weight;
        *weight += self.gain;
        self.sum += self.gain;
        self.sum_log += times_log(*weight) - times_log(before);
    }

    /// Counts a release of `left` of the `of` things in the pool, and returns the entropy in bits
    /// of which channel any one of them came from.
    ///
    /// # Panics
    /// If `left` is greater than `of`.
    pub fn release(&mut self, left: usize, of: usize) -> f64 {
        assert!(left <= of, "no more leaves than is there");
        let entropy = self.entropy();
        if left == of {
            self.clear();
            return entropy;
        }
        self.gain /= 1.0 - left as f64 / of as f64;
        if self.gain > GAIN_MAX {
            self.rescale();
        }
        entropy
    }

    /// How many channels have a weight: exactly those waiting, if every release so far was of all.
    pub fn channels(&self) -> usize {
        self.weights.len()
    }

    /// Forgets everything: the pool is empty.
    pub fn clear(&mut self) {
        self.weights.clear();
        (self.gain, self.sum, self.sum_log) = (1.0, 0.0, 0.0);
    }

    /// With p = w/Σw, −Σ p·log₂ p is log₂ Σw − Σ w·log₂ w / Σw; the gain cancels out.
    fn entropy(&self) -> f64 {
        if self.weights.len() < 2 {
            return 0.0;
        }
        (libm::log2(self.sum) - self.sum_log / self.sum).max(0.0)
    }

    /// Brings the gain back to 1, and forgets weights that no longer count.
    fn rescale(&mut self) {
        let gain = core::mem::replace(&mut self.gain, 1.0);
        self.weights.retain(|_, weight| {
            *weight /= gain;
            *weight >= 1.0 / GAIN_MAX
        });
        self.recompute();
    }

    /// Forgets at least the lighter half. Leaving out the lightest of k makes an entropy smaller:
    /// its share is at most 1/k, so it adds no less than it takes away.
    fn forget_lightest(&mut self) {
        let mut weights: Vec<f64> = self.weights.values().copied().collect();
        let middle = weights.len() / 2;
        let (_, bar, _) = weights.select_nth_unstable_by(middle, f64::total_cmp);
        self.weights.retain(|_, weight| *weight > *bar);
        self.recompute();
    }

    /// Sums afresh, which also ends the drift of the running sums.
    fn recompute(&mut self) {
        self.sum = self.weights.values().sum();
        self.sum_log = self.weights.values().copied().map(times_log).sum();
    }
}

/// The gain at which weights are rescaled, and one over the weight that no longer counts.
const GAIN_MAX: f64 = (1 << 24) as f64;

fn times_log(weight: f64) -> f64 {
    if weight > 0.0 { weight * libm::log2(weight) } else { 0.0 }
}
