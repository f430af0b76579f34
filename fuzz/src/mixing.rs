//! What both systems share: the replay window and the pool.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use mixing::replay::{Seen, Store, Window};
use mixing::{Chance, Full, Now, Pool, Strategy, Time};

use crate::input::Input;

/// Two windows that share one store with bits for one of them, against sets of all marked numbers.
pub fn window(bytes: &[u8]) {
    window_with(bytes, &WindowRules::TRUE);
}

/// What the model of [`window`] believes; a test lets it believe something wrong.
pub(crate) struct WindowRules {
    /// How far below the highest a number may come.
    pub(crate) width: u32,
    /// Whether a window that rested gives the numbers below its highest up.
    pub(crate) rest_gives_up: bool,
}

impl WindowRules {
    pub(crate) const TRUE: WindowRules = WindowRules { width: 64, rest_gives_up: true };
}

/// The model: all numbers that were marked, and the number below which the window gave up telling.
#[derive(Default)]
pub(crate) struct Marked {
    all: BTreeSet<u32>,
    given_up: u32,
    has_bits: bool,
}

impl Marked {
    pub(crate) fn top(&self) -> Option<u32> {
        self.all.last().copied()
    }

    pub(crate) fn check(&self, number: u32, rules: &WindowRules) -> Result<(), Seen> {
        let Some(top) = self.top().filter(|top| number <= *top) else { return Ok(()) };
        match () {
            () if !self.has_bits && number == top => Err(Seen::Repeated),
            () if !self.has_bits => Err(Seen::Late),
            () if number < self.given_up && rules.rest_gives_up => Err(Seen::Late),
            () if top - number >= rules.width => Err(Seen::Late),
            () if self.all.contains(&number) => Err(Seen::Repeated),
            () => Ok(()),
        }
    }

    pub(crate) fn mark(&mut self, number: u32, may_have_bits: bool) {
        let next = self.top().map_or(0, |top| top.saturating_add(1));
        if number > next && !self.has_bits {
            match may_have_bits {
                true => self.has_bits = true,
                false => self.given_up = number,
            }
        }
        self.all.insert(number);
    }

    pub(crate) fn rest(&mut self) {
        if std::mem::take(&mut self.has_bits) {
            self.given_up = self.top().unwrap_or(0);
        }
    }
}

pub(crate) fn window_with(bytes: &[u8], rules: &WindowRules) {
    let mut input = Input::new(bytes);
    let mut store = Store::new(1, WindowRules::TRUE.width);
    let mut windows = [Window::default(), Window::default()];
    let mut models = [Marked::default(), Marked::default()];
    while !input.is_empty() {
        let step = input.byte();
        let which = usize::from(step & 1);
        let others_bits = models[1 - which].has_bits;
        let (window, model) = (&mut windows[which], &mut models[which]);
        let near = model.top().unwrap_or(0);
        let number = match step >> 1 & 7 {
            0 => {
                window.rest(&mut store);
                model.rest();
                continue;
            }
            1 => input.u32(),
            2 => near.saturating_add(1),
            3 => near.saturating_add(input.byte().into()),
            _ => near.saturating_sub(u32::from(input.byte()) / 2),
        };
        let checked = window.check(number, &store);
        assert_eq!(checked, model.check(number, rules), "number {number} after {near}");
        if checked.is_ok() {
            window.mark(number, &mut store);
            model.mark(number, !others_bits);
        }
        assert_eq!(window.top(), model.top());
        assert_eq!(window.has_bits(), model.has_bits);
        assert_eq!(store.used(), usize::from(model.has_bits) + usize::from(others_bits));
    }
}

/// A pool under any strategy, against queues by channel: what goes in comes out once, a channel keeps
/// its order, nothing is held beyond the strategy's longest wait, and a full pool refuses.
pub fn pool(bytes: &[u8]) {
    pool_with(bytes, &PoolRules::TRUE);
}

/// What the model of [`pool`] believes.
pub(crate) struct PoolRules {
    /// Whether things of one channel leave in the order in which they came.
    pub(crate) in_order: bool,
    /// How many things may wait.
    pub(crate) limit: usize,
    /// Whether things wait longer than asked for when they must.
    pub(crate) patience: u32,
}

impl PoolRules {
    pub(crate) const TRUE: PoolRules = PoolRules { in_order: true, limit: 24, patience: 1 };
}

fn strategy(input: &mut Input<'_>) -> Strategy {
    let ms = |byte: u8| Duration::from_millis(u64::from(byte) + 1);
    match input.below(5) {
        0 => Strategy::None,
        1 => Strategy::Threshold { n: 2 + input.below(6), timeout: ms(input.byte()) },
        2 => Strategy::Timed { period: ms(input.byte()) },
        3 => {
            let (period, more) = (ms(input.byte()), ms(input.byte()));
            let fraction = (1.0 + f64::from(input.byte())) / 256.0;
            Strategy::Pool { period, keep: input.below(8), fraction, longest: period + more }
        }
        _ => {
            let (mean, more) = (ms(input.byte()), ms(input.byte()));
            Strategy::Poisson { mean, longest: mean + more }
        }
    }
}

/// The step that stands for the end of a node.
const DRAIN: u8 = 0xfc;

pub(crate) fn pool_with(bytes: &[u8], rules: &PoolRules) {
    let mut input = Input::new(bytes);
    let strategy = strategy(&mut input);
    let longest = strategy.longest() * rules.patience;
    let orderly = strategy == Strategy::None;
    let mut pool = Pool::new(strategy, PoolRules::TRUE.limit);
    let mut chance = Chance::new([7; 32]);
    let mut time = Time::from_nanos(1);
    // The model: of each channel, what waits and since when.
    let mut waiting: BTreeMap<u64, VecDeque<(u32, Time)>> = BTreeMap::new();
    let mut inserted = 0u32;
    while !input.is_empty() {
        let step = input.byte();
        let now = Now { time, ..Now::default() };
        let held: usize = waiting.values().map(VecDeque::len).sum();
        assert_eq!(pool.len(), held);
        let mut left: Vec<(u64, u32)> = Vec::new();
        if step & 3 != 0 {
            let channel = u64::from(step >> 2) % 12;
            let put = pool.insert(now, channel, (channel, inserted), &mut chance);
            assert_eq!(put == Ok(()), held < rules.limit, "{held} wait");
            match put {
                Ok(()) => waiting.entry(channel).or_default().push_back((inserted, time)),
                Err(Full(item)) => assert_eq!(item, (channel, inserted), "it is given back"),
            }
            inserted += 1;
            continue;
        } else if step == DRAIN {
            pool.drain(&mut chance, &mut left);
            assert_eq!(left.len(), held, "a drained pool is empty");
        } else {
            // Time passes, and the pool is asked whenever it wants to be.
            let until = time + Duration::from_millis(input.byte().into());
            let wake = pool.wake_at().unwrap_or(until).min(until);
            time = time.max(wake);
            let released = pool.release(Now { time, ..now }, &mut chance, &mut left);
            let channels: BTreeSet<u64> = left.iter().map(|(channel, _)| *channel).collect();
            let found = released.map(|release| (release.items, release.channels));
            let expected = (!left.is_empty()).then_some((left.len(), channels.len()));
            assert_eq!(found, expected);
            if let Some(release) = released {
                assert!(release.entropy.is_finite() && release.entropy >= 0.0);
            }
            assert!(pool.wake_at().is_none_or(|wake| wake > time), "it does not spin");
        }
        if orderly && step != DRAIN {
            assert!(left.is_sorted_by_key(|(_, item)| *item), "the baseline reorders nothing");
        }
        for (channel, item) in left {
            let queue = waiting.get_mut(&channel).expect("it went in");
            let first = if rules.in_order { queue.pop_front() } else { queue.pop_back() };
            assert_eq!(first.map(|(item, _)| item), Some(item));
        }
        let late = waiting.values().flatten().find(|(_, since)| time - *since > longest);
        assert_eq!(late, None, "nothing waits longer than its strategy says");
    }
}
