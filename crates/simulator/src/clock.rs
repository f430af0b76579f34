//! A node's clocks: one that runs a little fast or slow, and a date that may jump.
//!
//! The world has one true time. A node sees only its own: drift stretches it, a fault moves its
//! date. Whole numbers throughout, so that every machine agrees.

use std::time::Duration;

use mixing::{Date, Now, Time};

/// How one node's clocks relate to the world's time.
#[derive(Clone, Debug)]
pub struct Clock {
    /// Parts per million by which the node's seconds are shorter than true ones.
    pub drift: i64,
    /// Seconds by which its date is ahead.
    pub skew: i64,
}

impl Clock {
    /// What the node's clocks show.
    pub fn now(&self, world: Time) -> Now {
        let time = stretched(world.as_nanos(), MILLION + self.drift, MILLION);
        let local = Duration::from_nanos(time);
        let date = BEGINNING + local;
        let skew = Duration::from_secs(self.skew.unsigned_abs());
        let date = if self.skew < 0 { date - skew } else { date + skew };
        Now { time: Time::from_nanos(time), date }
    }

    /// The first true time at which the node's clock shows `local`.
    pub fn world(&self, local: Time) -> Time {
        let rate = MILLION + self.drift;
        let true_time = stretched(local.as_nanos(), MILLION, rate);
        // Rounded down above; one more nanosecond is never too early by more than that.
        let exact = stretched(true_time, rate, MILLION) >= local.as_nanos();
        Time::from_nanos(if exact { true_time } else { true_time + 2 })
    }
}

/// `nanos * by / of`, rounded down, in parts that need no wide numbers.
fn stretched(nanos: u64, by: i64, of: i64) -> u64 {
    let (by, of) = (by as u64, of as u64);
    nanos / of * by + nanos % of * by / of
}

const MILLION: i64 = 1_000_000;

/// The date at which every world begins.
pub const BEGINNING: Date = Date::from_secs(1_800_000_000);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_woken_when_it_asked_to_be_finds_that_it_is_time() {
        for drift in [-20_000, -37, 0, 1, 100, 20_000] {
            let clock = Clock { drift, skew: 0 };
            for local in (1..1_000).map(|i| i * 7_777_777_777) {
                let local = Time::from_nanos(local);
                let world = clock.world(local);
                assert!(clock.now(world).time >= local);
                assert!(clock.now(world).time - local < Duration::from_nanos(5));
            }
        }
    }

    #[test]
    fn a_jump_moves_the_date_and_nothing_else() {
        let (straight, ahead) = (Clock { drift: 5, skew: 0 }, Clock { drift: 5, skew: -86_400 });
        let world = Time::from_nanos(123_456_789);
        assert_eq!(straight.now(world).time, ahead.now(world).time);
        assert_eq!(straight.now(world).date - ahead.now(world).date, Duration::from_secs(86_400));
    }
}
