//! When something happens, said in two ways that never mix.
//!
//! [`Time`] drives every timer: the shell makes it from the wall clock at start plus monotonic time
//! since, so it never goes back. [`Date`] is the wall clock: it may jump, and is compared only with
//! dates that a signature carries. There is no conversion between the two, and no clock here: the
//! shell reads the clock and passes [`Now`] in. All arithmetic saturates, so a date invented by
//! somebody else cannot overflow.

use core::ops::{Add, Sub};
use core::time::Duration;

/// The moment an input arrived, as both clocks show it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Drives timers.
    pub time: Time,
    /// Is compared with signed dates, and with nothing else.
    pub date: Date,
}

/// A point on the clock that never goes back, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(u64);

impl Time {
    /// The earliest time there is.
    pub const ZERO: Self = Self(0);

    /// Makes a time from nanoseconds.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// The time in nanoseconds.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }
}

impl Add<Duration> for Time {
    type Output = Self;

    fn add(self, wait: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl Sub for Time {
    type Output = Duration;

    /// How long after `earlier` this is; zero if it is not after.
    fn sub(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// A wall-clock date, in milliseconds since the beginning of 1970 (UTC).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date(u64);

impl Date {
    /// Makes a date from milliseconds since 1970.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// The date in milliseconds since 1970.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Makes a date from seconds since 1970.
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1000))
    }

    /// The date in whole seconds since 1970, rounded down.
    pub const fn as_secs(self) -> u64 {
        self.0 / 1000
    }
}

impl Add<Duration> for Date {
    type Output = Self;

    fn add(self, wait: Duration) -> Self {
        Self(self.0.saturating_add(millis(wait)))
    }
}

impl Sub<Duration> for Date {
    type Output = Self;

    fn sub(self, wait: Duration) -> Self {
        Self(self.0.saturating_sub(millis(wait)))
    }
}

impl Sub for Date {
    type Output = Duration;

    /// How long after `earlier` this is; zero if it is not after.
    fn sub(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

fn millis(wait: Duration) -> u64 {
    u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_and_differences_saturate() {
        let second = Duration::from_secs(1);
        assert_eq!(Time::from_nanos(5) + second, Time::from_nanos(1_000_000_005));
        assert_eq!(Time::from_nanos(u64::MAX) + second, Time::from_nanos(u64::MAX));
        assert_eq!(Time::ZERO + Duration::MAX, Time::from_nanos(u64::MAX));
        assert_eq!(Time::ZERO - Time::from_nanos(7), Duration::ZERO);
        assert_eq!(Date::from_secs(3) - Date::from_secs(1), Duration::from_secs(2));
        assert_eq!(Date::from_secs(1) - Date::from_secs(3), Duration::ZERO);
        assert_eq!(Date::from_secs(1) - Duration::from_secs(3), Date::from_millis(0));
        assert_eq!(Date::from_secs(u64::MAX) + second, Date::from_millis(u64::MAX));
    }
}
