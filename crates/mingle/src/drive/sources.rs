//! Who sends to raw and to forwards, and whom an association with a channel for each destination
//! sends to: these have no beginning and no end, so one is known from its first datagram until it was
//! quiet for a while.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::SocketAddr;
use std::time::Duration;

use datagram::entry::Association;
use mixing::time::Time;

/// One source of one door; for raw, one per destination.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Key {
    /// The door's number.
    pub(super) door: u64,
    /// The application.
    pub(super) from: SocketAddr,
    /// The destination, where the datagram names it.
    pub(super) to: Option<SocketAddr>,
}

/// All sources with their associations.
pub(super) struct Sources<K> {
    known: HashMap<K, Source>,
    keys: HashMap<Association, K>,
    most: usize,
    idle: Duration,
    sweep_at: Time,
}

struct Source {
    association: Association,
    last: Time,
}

impl<K: Clone + Eq + Hash> Sources<K> {
    pub(super) fn new(most: usize, idle: Duration) -> Self {
        let (known, keys) = (HashMap::new(), HashMap::new());
        Sources { known, keys, most, idle, sweep_at: Time::ZERO }
    }

    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    pub(super) fn is_full(&self) -> bool {
        self.known.len() >= self.most
    }

    /// The association of a source that is known; it counts as active.
    pub(super) fn find(&mut self, key: &K, now: Time) -> Option<Association> {
        let source = self.known.get_mut(key)?;
        source.last = now;
        Some(source.association)
    }

    /// Remembers a new source.
    pub(super) fn insert(&mut self, key: K, association: Association, now: Time) {
        self.known.insert(key.clone(), Source { association, last: now });
        self.keys.insert(association, key);
    }

    /// The source behind an association, which counts as active.
    pub(super) fn behind(&mut self, association: Association, now: Time) -> Option<&K> {
        let key = self.keys.get(&association)?;
        self.known.get_mut(key)?.last = now;
        Some(key)
    }

    /// All associations.
    pub(super) fn into_associations(self) -> impl Iterator<Item = Association> {
        self.keys.into_keys()
    }

    /// Forgets the sources that were quiet; their associations are to be closed. Looks only once a
    /// second, so it costs nothing per datagram.
    ///
    /// When there is hardly room for another, the quarter that was quiet longest goes before its time:
    /// applications that take a new port for each question, as resolvers do, would otherwise keep
    /// everybody out for minutes.
    pub(super) fn sweep(&mut self, now: Time) -> Vec<Association> {
        if now < self.sweep_at {
            return Vec::new();
        }
        self.sweep_at = now + SWEEP_EVERY;
        let idle = if self.known.len() >= self.most - self.most / 8 {
            let quiet = self.known.values().map(|source| now - source.last).collect();
            idle_when_full(quiet, self.idle)
        } else {
            self.idle
        };
        let quiet = self.known.extract_if(|_, source| now - source.last >= idle);
        let quiet: Vec<_> = quiet.map(|(_, source)| source.association).collect();
        for association in &quiet {
            self.keys.remove(association);
        }
        quiet
    }
}

/// How long a source of a nearly full table may be quiet: as long as the least quiet one of the quietest
/// quarter.
fn idle_when_full(mut quiet: Vec<Duration>, idle: Duration) -> Duration {
    quiet.sort_unstable_by(|a, b| b.cmp(a));
    let longest = quiet.get((quiet.len() / 4).saturating_sub(1)).copied().unwrap_or(idle);
    longest.max(IN_USE).min(idle)
}

const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// A source that sent or got something within this is never forgotten. It bounds the associations
/// that a flood of new sources can have opened a second.
const IN_USE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_table_forgets_the_quietest_quarter_and_nobody_in_use() {
        let seconds = Duration::from_secs;
        let when_full = |quiet: &[u64]| {
            idle_when_full(quiet.iter().copied().map(seconds).collect(), seconds(180))
        };
        assert_eq!(when_full(&[11, 12, 13, 14, 15, 16, 17, 18]), seconds(17));
        assert_eq!(when_full(&[1, 2, 3, 4, 5, 6, 7, 30]), IN_USE);
        assert_eq!(when_full(&[1, 2, 3, 4]), IN_USE);
        assert_eq!(when_full(&[500, 400, 300, 200]), seconds(180));
        assert_eq!(when_full(&[40]), seconds(40));
    }
}
