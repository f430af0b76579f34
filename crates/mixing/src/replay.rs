//! Was this number seen? A sliding window over the numbers of one channel and direction.
//!
//! After RFC 6479 (ring of words, the word ahead is cleared, nothing shifts), with one addition: as
//! long as numbers come in order a window is one number, and bits are taken from a [`Store`] of
//! limited size at the first gap. So ten thousand quiet channels cost ten thousand numbers.
//!
//! ```text
//!   … seen or too late … | 1 0 1 1 0 1 … 1 |  not yet
//!                         └─── width ────┘ top
//! ```
//!
//! What always holds: no number passes [`Window::check`] after it was marked, whatever the store
//! could give. When there is a doubt, a number is late. Absent: time; the caller decides
//! when a channel was quiet long enough to [`Window::rest`].

/// A limited stock of bits for windows that saw a gap.
pub struct Store {
    width: u32,
    limit: usize,
    used: usize,
}

impl Store {
    /// Makes a stock for `limit` windows at a time, each `width` numbers wide.
    ///
    /// # Panics
    /// If `width` is 0 or not a multiple of 64.
    pub fn new(limit: usize, width: u32) -> Self {
        assert!(width > 0 && width.is_multiple_of(64), "a window is whole words wide");
        Self { width, limit, used: 0 }
    }

    /// How many windows have bits now.
    pub fn used(&self) -> usize {
        self.used
    }

    /// A ring for `width` numbers: one word more, because the word of the top is not yet full.
    fn take(&mut self, fill: u64) -> Option<Box<[u64]>> {
        if self.used == self.limit {
            return None;
        }
        self.used += 1;
        Some(vec![fill; (self.width / 64) as usize + 1].into())
    }
}

/// Which numbers were seen. Holds one number until the first gap. A window that has bits must
/// [`rest`](Window::rest) before it is dropped, or the store counts them for ever.
#[derive(Default)]
pub struct Window {
    top: Option<u32>,
    /// Which of the numbers below were seen is not known any more.
    given_up: u32,
    bits: Option<Box<[u64]>>,
}

impl Window {
    /// Checks a number and moves nothing, so that it can come before the number is authenticated.
    ///
    /// # Errors
    /// [`Seen::Repeated`] if it was marked; [`Seen::Late`] if it is too far below the highest to tell,
    /// or was given up when the store was empty or the window rested.
    pub fn check(&self, number: u32, store: &Store) -> Result<(), Seen> {
        let Some(top) = self.top.filter(|top| number <= *top) else {
            return Ok(());
        };
        let Some(bits) = &self.bits else {
            return Err(if number == top { Seen::Repeated } else { Seen::Late });
        };
        if number < self.given_up || top - number >= store.width {
            return Err(Seen::Late);
        }
        let (word, bit) = place(number, bits);
        if bits[word] & bit == 0 { Ok(()) } else { Err(Seen::Repeated) }
    }

    /// Marks a number as seen, after [`check`](Window::check) let it pass.
    pub fn mark(&mut self, number: u32, store: &mut Store) {
        if self.top.is_none_or(|top| number > top) {
            self.advance(number, store);
        }
        if let Some(bits) = &mut self.bits {
            let (word, bit) = place(number, bits);
            bits[word] |= bit;
        }
    }

    /// Gives the bits back, and all numbers below the highest up.
    pub fn rest(&mut self, store: &mut Store) {
        if self.bits.take().is_some() {
            store.used -= 1;
            self.given_up = self.top.unwrap_or(0);
        }
    }

    /// Whether this window holds bits of the store.
    pub fn has_bits(&self) -> bool {
        self.bits.is_some()
    }

    /// The highest number seen.
    pub fn top(&self) -> Option<u32> {
        self.top
    }

    /// Makes `number`, which is above the top, the new top.
    fn advance(&mut self, number: u32, store: &mut Store) {
        let next = self.top.map_or(0, |top| top + 1);
        if self.bits.is_none() && number > next {
            self.bits = match self.top {
                None => store.take(0),
                // All up to the top were seen or given up. Those above it in its word were not.
                Some(top) => store.take(u64::MAX).map(|mut bits| {
                    let (word, bit) = place(top, &bits);
                    bits[word] = bit | (bit - 1);
                    bits
                }),
            };
            if self.bits.is_none() {
                self.given_up = number;
            }
        }
        if let Some(bits) = &mut self.bits {
            let (words, before) = (bits.len(), self.top.unwrap_or(0) / 64);
            for word in (before + 1..=number / 64).take(words) {
                bits[word as usize % words] = 0;
            }
        }
        self.top = Some(number);
    }
}

/// Why a number is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// It was marked before.
    Repeated,
    /// It is too far below the highest to tell.
    Late,
}

/// Where a number's bit is: the index of the word in the ring, and the bit in the word.
fn place(number: u32, bits: &[u64]) -> (usize, u64) {
    ((number / 64) as usize % bits.len(), 1 << (number % 64))
}
