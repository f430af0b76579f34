//! What a node publishes about itself: counts, and nothing that belongs to one link, peer, channel,
//! user or destination (promise 6).
//!
//! The node's thread leaves a copy here every `figures_every`; who asks in between gets the same
//! copy, so that nobody can watch a single datagram move a count.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use datagram::Figures;
use mixing::time::Date;

/// What the program itself refuses or loses; the core has reasons of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lost {
    /// The kernel did not take a cell.
    SendRefused,
    /// A cell came while the kernel's buffer of the links was full.
    LinkBufferFull,
    /// There is no socket of the family that the address has.
    NoRoute,
    /// A datagram to raw that is too short to name a destination.
    BadRaw,
    /// A datagram to a SOCKS relay that is no SOCKS datagram.
    BadSocks,
    /// A datagram to a SOCKS relay that is a piece of one.
    FragmentedSocks,
    /// A datagram to a SOCKS relay from another host or port than its client's.
    WrongSender,
    /// No room for another source of raw or a forward, or another destination of an association.
    SourcesFull,
    /// A reply to an application that never sent, or is gone.
    NobodyBehind,
    /// The kernel did not take a reply to an application.
    DeliveryRefused,
    /// The kernel did not take a datagram to a destination.
    OutsideRefused,
    /// Too many names wait to be looked up.
    NamesWaiting,
}

impl Lost {
    /// All, in the order of their numbers.
    pub const ALL: [Lost; 12] = [
        Lost::SendRefused,
        Lost::LinkBufferFull,
        Lost::NoRoute,
        Lost::BadRaw,
        Lost::BadSocks,
        Lost::FragmentedSocks,
        Lost::WrongSender,
        Lost::SourcesFull,
        Lost::NobodyBehind,
        Lost::DeliveryRefused,
        Lost::OutsideRefused,
        Lost::NamesWaiting,
    ];

    /// The metric label.
    pub fn label(self) -> &'static str {
        match self {
            Lost::SendRefused => "send_refused",
            Lost::LinkBufferFull => "link_buffer_full",
            Lost::NoRoute => "no_route",
            Lost::BadRaw => "bad_raw",
            Lost::BadSocks => "bad_socks",
            Lost::FragmentedSocks => "fragmented_socks",
            Lost::WrongSender => "wrong_sender",
            Lost::SourcesFull => "sources_full",
            Lost::NobodyBehind => "nobody_behind",
            Lost::DeliveryRefused => "delivery_refused",
            Lost::OutsideRefused => "outside_refused",
            Lost::NamesWaiting => "names_waiting",
        }
    }
}

/// How often each was lost.
#[derive(Clone, Debug, Default)]
pub struct LostCounts([u64; Lost::ALL.len()]);

impl LostCounts {
    /// Counts.
    pub fn add(&mut self, reason: Lost, count: u64) {
        self.0[reason as usize] += count;
    }

    /// All with their counts.
    pub fn all(&self) -> impl Iterator<Item = (Lost, u64)> + '_ {
        Lost::ALL.into_iter().zip(self.0)
    }

    pub(crate) fn plus(&self, other: &LostCounts) -> LostCounts {
        LostCounts(std::array::from_fn(|i| self.0[i] + other.0[i]))
    }
}

/// How much of what only some roles have.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sizes {
    /// Sockets besides those of the links.
    pub sockets: u64,
    /// Sources of raw and forwards.
    pub sources: u64,
    /// SOCKS associations.
    pub associations: u64,
}

/// What never changes while the node runs.
#[derive(Clone, Debug)]
pub struct About {
    /// The node's name.
    pub name: String,
    /// Its role: `entry`, `mix` or `exit`.
    pub role: &'static str,
    /// The network's name.
    pub network: String,
    /// The strategy of each class, as text.
    pub strategies: [String; 2],
}

/// One copy.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// When it was made.
    pub date: Date,
    /// What the core counts.
    pub figures: Figures,
    /// What the program counts.
    pub lost: LostCounts,
    /// What only some roles have.
    pub sizes: Sizes,
}

/// Where the node's thread leaves its copies.
#[derive(Debug)]
pub struct Published {
    about: About,
    listed: AtomicUsize,
    ready: AtomicBool,
    complete: AtomicBool,
    /// The date of the first copy.
    started: OnceLock<Date>,
    snapshot: Mutex<Option<Arc<Snapshot>>>,
}

impl Published {
    /// Nothing is published yet of a node whose list has so many.
    pub fn new(about: About, listed: usize) -> Self {
        let (ready, complete) = (AtomicBool::new(false), AtomicBool::new(false));
        let listed = AtomicUsize::new(listed);
        Published { about, listed, ready, complete, started: OnceLock::new(), snapshot: Mutex::new(None) }
    }

    /// What never changes.
    pub fn about(&self) -> &About {
        &self.about
    }

    /// Whether the node serves.
    pub fn ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    pub(crate) fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Ordering::Release);
    }

    /// Whether the current key of every listed node is known, as when a chain can begin at once.
    pub fn complete(&self) -> bool {
        self.complete.load(Ordering::Acquire)
    }

    pub(crate) fn set_known(&self, nodes: u64) {
        self.complete.store(nodes == self.listed() as u64, Ordering::Release);
    }

    /// How many nodes the list has now.
    pub fn listed(&self) -> usize {
        self.listed.load(Ordering::Relaxed)
    }

    pub(crate) fn set_listed(&self, nodes: usize) {
        self.listed.store(nodes, Ordering::Relaxed);
    }

    /// The last copy; none before the node's thread runs.
    pub fn snapshot(&self) -> Option<Arc<Snapshot>> {
        self.snapshot.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// When the node's thread began, once it has.
    pub fn started(&self) -> Option<Date> {
        self.started.get().copied()
    }

    pub(crate) fn set(&self, date: Date, figures: Figures, lost: LostCounts, sizes: Sizes) {
        let _ = self.started.set(date);
        let snapshot = Some(Arc::new(Snapshot { date, figures, lost, sizes }));
        *self.snapshot.lock().unwrap_or_else(PoisonError::into_inner) = snapshot;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_own_number_and_label() {
        for (number, reason) in Lost::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, number);
        }
        let mut labels: Vec<_> = Lost::ALL.iter().map(|reason| reason.label()).collect();
        labels.extend(datagram::Dropped::ALL.iter().map(|reason| reason.label()));
        labels.sort_unstable();
        let count = labels.len();
        labels.dedup();
        assert_eq!(labels.len(), count, "the core and the program share one counter family");
    }
}
