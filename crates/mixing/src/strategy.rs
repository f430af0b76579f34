//! Strategies: when a pool lets go, and of what. Data, not code: the network list fixes one per
//! class, and a [`Pool`](crate::Pool) carries it out.
//!
//! What always holds: under every strategy that passes [`Strategy::check`] nothing waits longer
//! than [`Strategy::longest`], so nothing waits for traffic that never comes. Absent: lock-step
//! rounds.

use core::fmt;
use core::time::Duration;

/// When a pool lets go, and of what.
#[derive(Clone, Debug, PartialEq)]
pub enum Strategy {
    /// At once, in the order of arrival: the baseline for measurement. Hides nothing.
    None,
    /// All, in random order, once things of `n` distinct channels wait, or once the oldest has
    /// waited `timeout`. (A threshold mix, Chaum 1981, counting people instead of messages.)
    Threshold {
        /// How many distinct channels make a crowd; at least 2.
        n: usize,
        /// How long the oldest waits for the crowd.
        timeout: Duration,
    },
    /// All, in random order, every period. The period begins with the first arrival after the pool
    /// was empty, so that nothing wakes an idle node.
    Timed {
        /// How long a period is.
        period: Duration,
    },
    /// A random part every period, above a residue that stays: the timed dynamic-pool mix of
    /// Mixmaster (Serjantov, Dingledine, Syverson, "From a Trickle to a Flood", 2002).
    Pool {
        /// How long a period is; it begins as in `Timed`.
        period: Duration,
        /// How many things stay.
        keep: usize,
        /// Which part of those above `keep` leaves: rounded down, but at least one.
        fraction: f64,
        /// How long a thing may wait, however unlucky; at least `period`. It leaves with the last
        /// release before that, not alone.
        longest: Duration,
    },
    /// Each by itself after an exponential delay (Danezis, "The Traffic Analysis of Continuous-Time
    /// Mixes", 2004).
    Poisson {
        /// The mean of the delay before it is cut.
        mean: Duration,
        /// Longer delays are cut to this; at least `mean`.
        longest: Duration,
    },
}

impl Strategy {
    /// Checks that a pool can carry this out.
    ///
    /// # Errors
    /// The first [`Unfit`] that applies.
    pub fn check(&self) -> Result<(), Unfit> {
        match *self {
            Self::None => Ok(()),
            Self::Threshold { n, timeout } => {
                ensure(n >= 2, Unfit::NoCompany)?;
                ensure(!timeout.is_zero(), Unfit::NoTime)
            }
            Self::Timed { period } => ensure(!period.is_zero(), Unfit::NoTime),
            Self::Pool { period, keep: _, fraction, longest } => {
                ensure(!period.is_zero(), Unfit::NoTime)?;
                ensure(fraction > 0.0 && fraction <= 1.0, Unfit::NoFraction)?;
                ensure(longest >= period, Unfit::LongestTooShort)
            }
            Self::Poisson { mean, longest } => {
                ensure(!mean.is_zero(), Unfit::NoTime)?;
                ensure(longest >= mean, Unfit::LongestTooShort)
            }
        }
    }

    /// The strategy's name, one lower-case word.
    pub fn name(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Threshold { .. } => "threshold",
            Self::Timed { .. } => "timed",
            Self::Pool { .. } => "pool",
            Self::Poisson { .. } => "poisson",
        }
    }

    /// The longest a thing can wait, if the pool is asked whenever it wants to be: what replay
    /// windows and expiry dates are sized by.
    pub fn longest(&self) -> Duration {
        match *self {
            Self::None => Duration::ZERO,
            Self::Threshold { timeout, .. } => timeout,
            Self::Timed { period } => period,
            Self::Pool { longest, .. } | Self::Poisson { longest, .. } => longest,
        }
    }
}

/// The name and then the parameters in the order of their declaration: `threshold 16 20ms`.
impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            Self::None => Ok(()),
            Self::Threshold { n, timeout } => write!(f, " {n} {timeout:?}"),
            Self::Timed { period } => write!(f, " {period:?}"),
            Self::Pool { period, keep, fraction, longest } => {
                write!(f, " {period:?} {keep} {fraction} {longest:?}")
            }
            Self::Poisson { mean, longest } => write!(f, " {mean:?} {longest:?}"),
        }
    }
}

/// Why a strategy cannot be carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// A crowd is at least two.
    NoCompany,
    /// A period, timeout or mean is zero.
    NoTime,
    /// The fraction is not above 0 and at most 1.
    NoFraction,
    /// The longest wait is shorter than the period or the mean.
    LongestTooShort,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoCompany => "a threshold is at least 2 channels",
            Self::NoTime => "a period, timeout or mean is longer than zero",
            Self::NoFraction => "a fraction is above 0 and at most 1",
            Self::LongestTooShort => "the longest wait is at least the period or the mean",
        })
    }
}

impl core::error::Error for Unfit {}

fn ensure(fits: bool, otherwise: Unfit) -> Result<(), Unfit> {
    if fits { Ok(()) } else { Err(otherwise) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_strategy_shows_its_name_and_parameters() {
        let pool = Strategy::Pool { period: 100 * MS, keep: 20, fraction: 0.6, longest: 2000 * MS };
        assert_eq!(Strategy::None.to_string(), "none");
        assert_eq!(
            Strategy::Threshold { n: 16, timeout: 20 * MS }.to_string(),
            "threshold 16 20ms"
        );
        assert_eq!(Strategy::Timed { period: 10 * MS }.to_string(), "timed 10ms");
        assert_eq!(pool.to_string(), "pool 100ms 20 0.6 2s");
        assert_eq!(
            Strategy::Poisson { mean: 5 * MS, longest: 50 * MS }.to_string(),
            "poisson 5ms 50ms"
        );
    }

    #[test]
    fn a_strategy_that_cannot_be_carried_out_is_unfit() {
        let pool =
            |period, fraction, longest| Strategy::Pool { period, keep: 0, fraction, longest };
        let cases = [
            (Strategy::Threshold { n: 1, timeout: MS }, Unfit::NoCompany),
            (Strategy::Threshold { n: 2, timeout: Duration::ZERO }, Unfit::NoTime),
            (Strategy::Timed { period: Duration::ZERO }, Unfit::NoTime),
            (pool(Duration::ZERO, 0.5, MS), Unfit::NoTime),
            (pool(MS, 0.0, MS), Unfit::NoFraction),
            (pool(MS, 1.1, MS), Unfit::NoFraction),
            (pool(MS, f64::NAN, MS), Unfit::NoFraction),
            (pool(2 * MS, 0.5, MS), Unfit::LongestTooShort),
            (Strategy::Poisson { mean: Duration::ZERO, longest: MS }, Unfit::NoTime),
            (Strategy::Poisson { mean: 2 * MS, longest: MS }, Unfit::LongestTooShort),
        ];
        for (strategy, why) in cases {
            assert_eq!(strategy.check(), Err(why), "{strategy}");
        }
        assert_eq!(pool(MS, 1.0, MS).check(), Ok(()));
        assert_eq!(Strategy::None.check(), Ok(()));
    }
}
