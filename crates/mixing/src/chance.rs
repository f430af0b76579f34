//! Chance: a generator that forgets what it gave.
//!
//! A core owns one and draws everything from it: keys, permutations, delays. The same seed gives
//! the same bytes on every machine, so a run in the simulator can be repeated.
//!
//! Whoever seizes the memory must not be able to rewind it, or wiped keys and past permutations
//! would come back. So it works by fast key erasure (D. J. Bernstein, "Fast-key-erasure
//! random-number generators", 2017), over the output stream of keyed BLAKE3:
//!
//! ```text
//! 0        32                                     1024
//! | key    | bytes not yet handed out               |   refill: all 1024 = stream(key, "")
//! ```
//!
//! At a refill the key is at once replaced by its own output, and a byte that is handed out is
//! wiped here. What always holds: nothing in this object tells what it gave before. What it will
//! give next is there until [`Chance::feed`] replaces it, so the shell feeds it every minute.
//! No system randomness is here: seed and feed come from the shell.

use core::time::Duration;

use zeroize::{Zeroize, Zeroizing};

use crate::cipher;

/// A deterministic generator that erases what it gave. No `Debug`, no `Clone`; wiped on drop.
pub struct Chance {
    // Boxed, so that moving a core leaves no copy behind.
    state: Box<[u8; STATE_SIZE]>,
    /// Where the bytes not yet handed out begin.
    at: usize,
}

impl Chance {
    /// Makes a generator from 32 bytes that nobody else can know.
    pub fn new(seed: [u8; 32]) -> Self {
        let seed = Zeroizing::new(seed);
        let mut state = Box::new([0; STATE_SIZE]);
        state[..KEY_SIZE].copy_from_slice(&*seed);
        Self { state, at: STATE_SIZE }
    }

    /// Mixes in 32 fresh bytes: whoever knew the state but not these bytes no longer does.
    pub fn feed(&mut self, fresh: &[u8; 32]) {
        // A refill reads nothing but the key, so 32 bytes of input are a domain of their own.
        self.replace(fresh);
        self.at = KEY_SIZE;
    }

    /// Fills `out`.
    pub fn fill(&mut self, out: &mut [u8]) {
        let mut rest = out;
        while !rest.is_empty() {
            if self.at == STATE_SIZE {
                self.replace(&[]);
                self.at = KEY_SIZE;
            }
            let count = rest.len().min(STATE_SIZE - self.at);
            let (now, later) = rest.split_at_mut(count);
            let given = &mut self.state[self.at..self.at + count];
            now.copy_from_slice(given);
            // The state lives on, so the compiler has to keep this write.
            given.fill(0);
            self.at += count;
            rest = later;
        }
    }

    /// Draws `N` bytes.
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0; N];
        self.fill(&mut out);
        out
    }

    /// Draws a number, all equally likely.
    pub fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.bytes())
    }

    /// Draws a number, all equally likely.
    pub fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.bytes())
    }

    /// Draws a number below `n`, all equally likely (Lemire, "Fast Random Integer Generation in an
    /// Interval", 2019: multiply, and draw again in the rare case that would favour some).
    ///
    /// # Panics
    /// If `n` is 0.
    pub fn below(&mut self, n: u64) -> u64 {
        assert!(n > 0, "there is no number below 0");
        loop {
            let product = u128::from(self.u64()) * u128::from(n);
            // The division is needed only when the low half might be in the unfair part.
            if product as u64 >= n || product as u64 >= n.wrapping_neg() % n {
                return (product >> 64) as u64;
            }
        }
    }

    /// Draws from [0, 1), in steps of 2⁻⁵³.
    pub fn unit(&mut self) -> f64 {
        (self.u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Draws a delay from the exponential distribution with this mean; at most about 36.7 means.
    pub fn exponential(&mut self, mean: Duration) -> Duration {
        let means = -libm::log(1.0 - self.unit());
        Duration::try_from_secs_f64(mean.as_secs_f64() * means).unwrap_or(Duration::MAX)
    }

    /// Puts items in random order, all orders equally likely (Fisher–Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last as u64 + 1) as usize);
        }
    }

    /// Picks one item, all equally likely; none if there is none.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        if items.is_empty() {
            return None;
        }
        items.get(self.below(items.len() as u64) as usize)
    }

    /// Makes a second generator, whose draws tell nothing about this one's.
    pub fn fork(&mut self) -> Chance {
        Chance::new(self.bytes())
    }

    /// Replaces the whole state by the stream that the key gives for `input`.
    fn replace(&mut self, input: &[u8]) {
        let mut key = Zeroizing::new([0; KEY_SIZE]);
        key.copy_from_slice(&self.state[..KEY_SIZE]);
        cipher::stream(&key, input, &mut *self.state);
    }
}

impl Drop for Chance {
    fn drop(&mut self) {
        self.state.zeroize();
    }
}

const KEY_SIZE: usize = 32;

/// Key and buffer: sixteen BLAKE3 blocks, which wide instructions make in one go.
const STATE_SIZE: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_bytes() {
        let mut one = Chance::new([7; 32]);
        let mut two = Chance::new([7; 32]);
        let mut whole = [0; 5000];
        one.fill(&mut whole);
        let pieces: Vec<u8> = (0..5000 / 8).flat_map(|_| two.u64().to_le_bytes()).collect();
        assert_eq!(whole.as_slice(), pieces.as_slice(), "however the bytes are asked for");
        assert_ne!(Chance::new([8; 32]).bytes::<32>()[..], whole[..32]);
    }

    #[test]
    fn the_bytes_are_those_of_keyed_blake3() {
        let mut stream = [0; 96];
        blake3::Hasher::new_keyed(&[7; 32]).finalize_xof().fill(&mut stream);
        assert_eq!(Chance::new([7; 32]).bytes::<64>()[..], stream[32..]);
    }

    #[test]
    fn memory_shows_no_past_draw() {
        for size in [1, 8, 100, 992, 993, 3000] {
            let mut chance = Chance::new([1; 32]);
            let mut given = Vec::new();
            while given.len() < 1200.max(2 * size) {
                let start = given.len();
                given.resize(start + size, 0);
                chance.fill(&mut given[start..]);
                assert_no_trace(&chance, &given);
            }
        }
    }

    /// Neither the state nor what it will ever give contains eight bytes in a row that were given.
    fn assert_no_trace(chance: &Chance, given: &[u8]) {
        assert!(chance.state[KEY_SIZE..chance.at].iter().all(|byte| *byte == 0));
        let past: std::collections::BTreeSet<&[u8]> = given.windows(8).collect();
        let mut seized = Chance { state: chance.state.clone(), at: chance.at };
        let future: [u8; 2048] = seized.bytes();
        let trace = |bytes: &[u8]| bytes.windows(8).any(|window| past.contains(window));
        assert!(!trace(&*chance.state) && !trace(&future));
    }

    #[test]
    fn the_key_that_made_the_bytes_is_gone_before_they_are_given() {
        let mut chance = Chance::new([1; 32]);
        let mut before = chance.state[..KEY_SIZE].to_vec();
        for _ in 0..10 {
            let _: [u8; STATE_SIZE - KEY_SIZE] = chance.bytes();
            let after = chance.state[..KEY_SIZE].to_vec();
            assert_ne!(before, after);
            before = after;
        }
    }

    #[test]
    fn feeding_changes_the_future_and_leaves_nothing_of_the_old_one() {
        let mut fed = Chance::new([2; 32]);
        let mut other = Chance::new([2; 32]);
        let mut unfed = Chance::new([2; 32]);
        let _: [u8; 10] = fed.bytes();
        let _: [u8; 10] = other.bytes();
        let _: [u8; 10] = unfed.bytes();
        let foretold = fed.state[fed.at..].to_vec();
        fed.feed(&[1; 32]);
        other.feed(&[2; 32]);
        assert_ne!(fed.state[KEY_SIZE..], foretold[..]);
        let next: [u8; 32] = fed.bytes();
        assert_ne!(next, unfed.bytes());
        assert_ne!(next, other.bytes());
    }

    #[test]
    fn numbers_below_a_bound_are_unbiased() {
        // Reduced modulo 3·2⁶², half the draws would be below 2⁶²; multiplied without drawing
        // again, half would be multiples of 3.
        let mut chance = Chance::new([3; 32]);
        let draws: Vec<u64> = (0..30_000).map(|_| chance.below(3 << 62)).collect();
        let low = draws.iter().filter(|draw| **draw < 1 << 62).count();
        let multiples = draws.iter().filter(|draw| **draw % 3 == 0).count();
        assert!((9_600..10_400).contains(&low), "a third of 30,000, not {low}");
        assert!((9_600..10_400).contains(&multiples), "a third of 30,000, not {multiples}");
        for n in [1, 2, 3, 10, u64::MAX] {
            assert!((0..100).all(|_| chance.below(n) < n));
        }
        let mut counts = [0u32; 6];
        (0..60_000).for_each(|_| counts[chance.below(6) as usize] += 1);
        assert!(counts.iter().all(|count| (9_600..10_400).contains(count)), "{counts:?}");
    }

    #[test]
    fn delays_are_exponential() {
        let mut chance = Chance::new([4; 32]);
        let mean = Duration::from_millis(20);
        let draws: Vec<Duration> = (0..50_000).map(|_| chance.exponential(mean)).collect();
        let average = draws.iter().sum::<Duration>() / 50_000;
        assert!(average.abs_diff(mean) < Duration::from_micros(400), "{average:?}");
        let longer = draws.iter().filter(|delay| **delay > mean * 2).count();
        assert!((6_400..7_150).contains(&longer), "e⁻² of them, 6,767, not {longer}");
    }

    #[test]
    fn a_fork_goes_its_own_way() {
        let mut parent = Chance::new([5; 32]);
        let mut child = parent.fork();
        assert_ne!(child.bytes::<32>(), parent.bytes::<32>());
        assert_eq!(parent.pick::<u8>(&[]), None);
        assert_eq!(parent.pick(&[9]), Some(&9));
    }
}
