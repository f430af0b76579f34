//! What a node counts: plain numbers, and none that belongs to one link, peer or channel.

use mixing::pool::Release;

use crate::network::Class;
use crate::outbox::Dropped;

/// Counts since the node began, and a few present sizes.
#[derive(Clone, Debug)]
pub struct Figures {
    dropped: Vec<u64>,
    /// Open links now.
    pub links: u64,
    /// Channels now.
    pub channels: u64,
    /// Channels that were set up.
    pub channels_opened: u64,
    /// Channels that ended.
    pub channels_ended: u64,
    /// Listed nodes whose current key is known now.
    pub nodes_known: u64,
    /// Listed nodes with an open link now.
    pub nodes_linked: u64,
    /// Cells of channels that were accepted, per class.
    pub cells_in: [u64; 2],
    /// Cells of channels that were sent, per class.
    pub cells_out: [u64; 2],
    /// Whole datagrams: at the entry from applications, at the exit to the outside.
    pub datagrams_out: u64,
    /// Whole datagrams: at the entry to applications, at the exit from the outside.
    pub datagrams_in: u64,
    /// Pools, by class and direction (forward, backward).
    pub pools: [[PoolFigures; 2]; 2],
}

/// What one pool did.
#[derive(Clone, Default, Debug)]
pub struct PoolFigures {
    /// Cells that wait now.
    pub waiting: u64,
    /// Batches that left.
    pub releases: u64,
    /// Cells in them.
    pub items: u64,
    /// Distinct channels in them, added up over the batches.
    pub channels: u64,
    /// Distinct links that the cells had come over, added up over the batches.
    pub links: u64,
    /// Mixing entropy in bits, added up over the batches.
    pub entropy: f64,
    /// The last batch.
    pub last: Option<Release>,
}

impl PoolFigures {
    /// Counts a batch whose cells had come over `links` distinct links.
    pub(crate) fn released(&mut self, release: Release, links: usize) {
        self.releases += 1;
        self.items += release.items as u64;
        self.channels += release.channels as u64;
        self.links += links as u64;
        self.entropy += release.entropy;
        self.last = Some(release);
    }
}

impl Default for Figures {
    fn default() -> Self {
        Figures {
            dropped: vec![0; Dropped::ALL.len()],
            links: 0,
            channels: 0,
            channels_opened: 0,
            channels_ended: 0,
            nodes_known: 0,
            nodes_linked: 0,
            cells_in: [0; 2],
            cells_out: [0; 2],
            datagrams_out: 0,
            datagrams_in: 0,
            pools: Default::default(),
        }
    }
}

impl Figures {
    /// How often something was refused for this reason.
    pub fn dropped(&self, reason: Dropped) -> u64 {
        self.dropped[reason.index()]
    }

    /// All reasons with their counts.
    pub fn all_dropped(&self) -> impl Iterator<Item = (Dropped, u64)> + '_ {
        Dropped::ALL.iter().map(|&reason| (reason, self.dropped(reason)))
    }

    /// Counts a refusal.
    pub fn drop(&mut self, reason: Dropped) {
        self.drop_many(reason, 1);
    }

    /// Counts several refusals.
    pub fn drop_many(&mut self, reason: Dropped, count: u64) {
        self.dropped[reason.index()] += count;
    }

    /// The pool of a class and direction.
    pub fn pool(&self, class: Class, direction: crate::lane::Direction) -> &PoolFigures {
        &self.pools[class.index()][direction as usize]
    }
}
