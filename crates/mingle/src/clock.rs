//! The only clock of the program: everything else is told what time it is.
//!
//! `time` is the wall clock at the start plus the monotonic time since, so it never goes back and
//! two runs of one node do not live at the same times; `date` is the wall clock and may jump.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mixing::time::{Date, Now, Time};

/// Reads the system's clocks.
#[derive(Clone, Copy)]
pub struct Clock {
    start: Instant,
    start_time: Time,
}

impl Clock {
    /// A clock that starts now.
    #[allow(clippy::disallowed_methods)] // the one place
    pub fn start() -> Self {
        Clock { start: Instant::now(), start_time: Time::ZERO + wall() }
    }

    /// A clock that starts now, and when that was.
    pub fn started() -> (Self, Time) {
        let clock = Clock::start();
        (clock, clock.now().time)
    }

    /// What time it is.
    pub fn now(&self) -> Now {
        let time = self.start_time + self.start.elapsed();
        let millis = u64::try_from(wall().as_millis()).unwrap_or(u64::MAX);
        Now { time, date: Date::from_millis(millis) }
    }
}

/// The wall clock; a machine that believes in a year before 1970 gets 1970.
#[allow(clippy::disallowed_methods)] // the one place
fn wall() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_never_goes_back() {
        let clock = Clock::start();
        let mut before = clock.now().time;
        for _ in 0..1000 {
            let now = clock.now().time;
            assert!(now >= before);
            before = now;
        }
    }
}
