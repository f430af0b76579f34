//! The pool: what waits here leaves in another order.
//!
//! Things of any kind go in, each with the channel it belongs to; a [`Strategy`] says when which
//! of them come out. What waits should be a handle, not a cell: it is moved several times.
//!
//! ```text
//! insert ─► places, each with the latest time it may be left ─► release: choose, shuffle, measure
//!        ─► things, per channel in order of arrival           ─► fill the places that leave
//! ```
//!
//! What is mixed are the places: each belongs to a channel, and which leave and in which order is
//! the strategy's and chance's. A channel's things fill its places oldest first, so that a channel
//! keeps its own order. That tells nobody anything about whose is whose, which is a question about
//! channels, and without it every stream inside a channel would take the mix for loss.
//!
//! What always holds: what goes in comes out once; nothing waits beyond [`Strategy::longest`] if
//! the pool is asked at [`Pool::wake_at`]; the channels of things that leave together stand in random
//! order (except under `none`); and the channel of a thing is forgotten when it has left, but for the fading
//! weights in [`entropy`](crate::entropy). Absent: clocks, and any idea of where a thing goes next.

use core::cmp::Ordering;
use core::fmt;
use core::mem;
use core::time::Duration;
use std::collections::{BTreeMap, BinaryHeap};

use crate::entropy::{Posterior, REMEMBERED_MAX};
use crate::{Chance, Now, Strategy, Time};

/// Things that wait to leave in another order.
pub struct Pool<T> {
    strategy: Strategy,
    limit: usize,
    places: BinaryHeap<Place>,
    /// By channel and arrival.
    things: BTreeMap<(u64, u64), T>,
    arrivals: u64,
    /// When the strategy lets go next, other than because somebody's time is up: the moment a
    /// crowd was complete, or the end of a period.
    fires: Option<Time>,
    posterior: Posterior,
    /// The channels of the release in progress, one for each place; empty between releases.
    leaving: Vec<u64>,
}

impl<T> Pool<T> {
    /// Makes an empty pool for at most `limit` things.
    ///
    /// # Panics
    /// If the strategy does not pass [`Strategy::check`].
    pub fn new(strategy: Strategy, limit: usize) -> Self {
        assert_eq!(strategy.check(), Ok(()), "strategies are checked where they are read");
        Self {
            strategy,
            limit,
            places: BinaryHeap::new(),
            things: BTreeMap::new(),
            arrivals: 0,
            fires: None,
            // Never fewer than can wait, so that a crowd is always counted in full.
            posterior: Posterior::new(limit.max(REMEMBERED_MAX)),
            leaving: Vec::new(),
        }
    }

    /// Lets a thing of this channel wait.
    ///
    /// # Errors
    /// [`Full`], with the thing in it, if `limit` things wait already.
    pub fn insert(
        &mut self,
        now: Now,
        channel: u64,
        item: T,
        chance: &mut Chance,
    ) -> Result<(), Full<T>> {
        if self.places.len() >= self.limit {
            return Err(Full(item));
        }
        let wait = match self.strategy {
            Strategy::Poisson { mean, longest } => chance.exponential(mean).min(longest),
            _ => self.strategy.longest(),
        };
        self.places.push(Place { due: now.time + wait, arrival: self.arrivals, channel });
        self.things.insert((channel, self.arrivals), item);
        self.arrivals += 1;
        if self.strategy != Strategy::None {
            self.posterior.arrive(channel);
        }
        self.fires = self.fires.or(match self.strategy {
            Strategy::Threshold { n, .. } if self.posterior.channels() >= n => Some(now.time),
            Strategy::Pool { period, .. } => Some(now.time + period),
            _ => None,
        });
        Ok(())
    }

    /// When to call [`release`](Pool::release) next; a time in the past means at once.
    pub fn wake_at(&self) -> Option<Time> {
        let due = self.places.peek().map(|first| first.due);
        self.fires.into_iter().chain(due).min()
    }

    /// Lets go of what the strategy says, at the end of `out`; none if it keeps everything. To be
    /// called after each batch of inserts and at [`wake_at`](Pool::wake_at).
    pub fn release(&mut self, now: Now, chance: &mut Chance, out: &mut Vec<T>) -> Option<Release> {
        if self.wake_at().is_none_or(|wake| wake > now.time) {
            return None;
        }
        let waited = self.places.len();
        match self.strategy {
            Strategy::None | Strategy::Threshold { .. } | Strategy::Timed { .. } => {
                self.leave_while(|_| true);
            }
            Strategy::Pool { period, keep, fraction, .. } => {
                let next = self.next_period(now.time, period);
                self.leave_while(|first| first.due < next);
                let part = dynamic_part(waited, keep, fraction);
                self.leave_random(part.saturating_sub(self.leaving.len()), chance);
            }
            Strategy::Poisson { .. } => self.leave_while(|first| first.due <= now.time),
        }
        if self.places.is_empty() {
            self.fires = None;
        }
        let items = self.leaving.len();
        if items == 0 {
            return None;
        }
        let entropy = if self.strategy == Strategy::None {
            0.0
        } else {
            chance.shuffle(&mut self.leaving);
            self.posterior.release(items, waited)
        };
        self.fill_places(out);
        Some(Release { items, channels: self.count_leaving(), entropy })
    }

    /// Lets go of everything, in random order: a node that stops keeps nothing.
    pub fn drain(&mut self, chance: &mut Chance, out: &mut Vec<T>) {
        self.leave_while(|_| true);
        chance.shuffle(&mut self.leaving);
        self.fill_places(out);
        self.leaving.clear();
        self.posterior.clear();
        self.fires = None;
    }

    /// How many things wait.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// How many things may wait.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// The strategy this pool carries out.
    pub fn strategy(&self) -> &Strategy {
        &self.strategy
    }

    /// Ends the period, and returns when the one that has now begun will end. Periods missed while
    /// nobody asked are skipped, so that the grid stays.
    fn next_period(&mut self, now: Time, period: Duration) -> Time {
        let end = self.fires.unwrap_or(now);
        let into = (now - end).as_nanos() % period.as_nanos();
        let next = now + (period - Duration::from_nanos(into as u64));
        self.fires = Some(next);
        next
    }

    /// Takes from the front, which is what must leave first, as long as `leaves` says so.
    fn leave_while(&mut self, leaves: impl Fn(&Place) -> bool) {
        while self.places.peek().is_some_and(&leaves) {
            let place = self.places.pop().expect("it was just seen");
            self.leaving.push(place.channel);
        }
    }

    /// Takes `count` places, or all if there are fewer; every choice is equally likely.
    fn leave_random(&mut self, count: usize, chance: &mut Chance) {
        let mut rest = mem::take(&mut self.places).into_vec();
        for _ in 0..count.min(rest.len()) {
            let place = rest.swap_remove(chance.below(rest.len() as u64) as usize);
            self.leaving.push(place.channel);
        }
        self.places = rest.into();
    }

    /// Gives each place that leaves the oldest thing of its channel. As many places as things of a
    /// channel wait, and the oldest thing was there before the place, so none waits too long.
    fn fill_places(&mut self, out: &mut Vec<T>) {
        for channel in &self.leaving {
            let mut oldest = self.things.range((*channel, 0)..);
            let key = *oldest.next().expect("every place has a thing of its channel").0;
            out.extend(self.things.remove(&key));
        }
    }

    /// How many distinct channels leave; forgets which.
    fn count_leaving(&mut self) -> usize {
        self.leaving.sort_unstable();
        self.leaving.dedup();
        let channels = self.leaving.len();
        self.leaving.clear();
        channels
    }
}

/// What a release was.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Release {
    /// How many things left.
    pub items: usize,
    /// How many distinct channels they belong to.
    pub channels: usize,
    /// The mixing entropy in bits: see [`entropy`](crate::entropy) for what it is and is not.
    pub entropy: f64,
}

/// The pool is full; here is the thing back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Full<T>(pub T);

/// Shows nothing of the thing, so that any thing can wait.
impl<T> fmt::Debug for Full<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Full(..)")
    }
}

impl<T> fmt::Display for Full<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the pool is full")
    }
}

impl<T> core::error::Error for Full<T> {}

/// A place in the pool.
struct Place {
    /// When it is left at the latest.
    due: Time,
    arrival: u64,
    channel: u64,
}

/// The one that must leave first is the greatest, because the heap gives the greatest.
impl Ord for Place {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.due, other.arrival).cmp(&(self.due, self.arrival))
    }
}

impl PartialOrd for Place {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Place {
    fn eq(&self, other: &Self) -> bool {
        self.arrival == other.arrival
    }
}

impl Eq for Place {}

/// Mixmaster's rule: of the m things above the residue, the greater of 1 and ⌊m·fraction⌋ leave.
fn dynamic_part(waiting: usize, keep: usize, fraction: f64) -> usize {
    match waiting.saturating_sub(keep) {
        0 => 0,
        above => ((above as f64 * fraction) as usize).clamp(1, above),
    }
}
