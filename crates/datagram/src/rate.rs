//! How much of something is still allowed: a bucket that fills at a rate and holds one second's
//! worth.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use mixing::chance::Chance;
use mixing::cipher;
use mixing::time::Time;

/// One allowance.
#[derive(Clone, Copy)]
pub(crate) struct Rate {
    per_second: u64,
    left: u64,
    at: Time,
}

impl Rate {
    /// A full bucket.
    pub(crate) fn new(per_second: u64, now: Time) -> Self {
        Rate { per_second, left: per_second, at: now }
    }

    /// Takes `amount` if so much is left.
    pub(crate) fn take(&mut self, amount: u64, now: Time) -> bool {
        self.fill(now);
        let enough = self.left >= amount;
        self.left -= if enough { amount } else { 0 };
        enough
    }

    fn fill(&mut self, now: Time) {
        let passed = (now - self.at).as_nanos() as u64;
        let more = u128::from(passed) * u128::from(self.per_second) / 1_000_000_000;
        // Only the time that made whole units is used up, or a slow bucket would never fill.
        if more >= u128::from(self.per_second) {
            (self.left, self.at) = (self.per_second, now);
        } else if more > 0 {
            let more = more as u64;
            self.left = self.per_second.min(self.left + more);
            let nanos = u128::from(more) * 1_000_000_000 / u128::from(self.per_second);
            self.at = self.at + Duration::from_nanos(nanos as u64);
        }
    }
}

/// An allowance per source (/32 of IPv4, /56 of IPv6) in a fixed number of buckets.
///
/// Sources share buckets at random under a key that nobody outside knows, so memory is bounded
/// and a flood from many sources cannot choose whom it shares with.
pub(crate) struct Sources {
    key: [u8; 32],
    buckets: Vec<Rate>,
}

impl Sources {
    const BUCKETS: u64 = 4096;

    pub(crate) fn new(per_second: u64, now: Time, chance: &mut Chance) -> Self {
        let buckets = vec![Rate::new(per_second, now); Self::BUCKETS as usize];
        Sources { key: chance.bytes(), buckets }
    }

    /// Takes one from the allowance of a source.
    pub(crate) fn take(&mut self, from: SocketAddr, now: Time) -> bool {
        let code = match from.ip().to_canonical() {
            IpAddr::V4(address) => cipher::mac(&self.key, &[&address.octets()]),
            IpAddr::V6(address) => cipher::mac(&self.key, &[&address.octets()[..7]]),
        };
        let [a, b, c, d, e, f, g, h, ..] = code;
        let at = u64::from_le_bytes([a, b, c, d, e, f, g, h]) % Self::BUCKETS;
        self.buckets[at as usize].take(1, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_gives_one_second_at_once_and_then_its_rate() {
        let mut now = Time::ZERO;
        let mut rate = Rate::new(10, now);
        assert_eq!((0..20).filter(|_| rate.take(1, now)).count(), 10);
        let mut taken = 0;
        for _ in 0..1000 {
            now = now + Duration::from_millis(7);
            taken += usize::from(rate.take(1, now));
        }
        assert!((69..=70).contains(&taken), "{taken} in seven seconds");
        now = now + Duration::from_secs(3600);
        assert_eq!((0..20).filter(|_| rate.take(1, now)).count(), 10);
    }

    #[test]
    fn one_source_does_not_spend_the_allowance_of_another() {
        let mut sources = Sources::new(5, Time::ZERO, &mut Chance::new([1; 32]));
        let [one, near, other]: [SocketAddr; 3] =
            ["[2001:db8::1]:1", "[2001:db8:0:1::9]:2", "192.0.2.1:1"]
                .map(|a| a.parse().expect("valid"));
        assert_eq!((0..9).filter(|_| sources.take(one, Time::ZERO)).count(), 5);
        assert!(!sources.take(near, Time::ZERO), "the same /56");
        assert!(sources.take(other, Time::ZERO));
    }
}
