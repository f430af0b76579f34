//! Every limit of a node, with its name. Reaching one is an answer, not a crash.

use std::time::Duration;

use crate::slots::Slots;

/// Limits of an entry, a mix or an exit. A role ignores what it has no use for.
#[derive(Clone, PartialEq, Debug)]
pub struct Limits {
    /// Links that may be open or opening at once.
    pub links: usize,
    /// Channels that may exist at once in this node.
    pub channels: usize,
    /// Channels that may exist at once over one link.
    pub channels_per_link: usize,
    /// Channels of clients that may exist at once for one source (/32, /56).
    pub channels_per_source: usize,
    /// Cells that may wait in one pool.
    pub pool: usize,
    /// Replay windows per class and direction that may hold bits at once; a channel takes one at
    /// its first reordered or lost cell and gives it back once it was quiet.
    pub windows: usize,
    /// Incomplete set-ups and key lists that may be held per link.
    pub parcels_per_link: usize,
    /// Incomplete set-ups that may be held in this node; nodes of the list may exceed it.
    pub parcels: usize,
    /// Bytes of incomplete datagrams, and of those that wait for a name, that may be held in this
    /// node.
    pub reassembly_bytes: usize,
    /// Openings worked on per second; each costs one opening of an envelope.
    pub openings_per_second: u32,
    /// Openings per second worked on for one source (/32, /56), and at once.
    pub openings_per_source: u32,
    /// Openings per second above which every opener first has to prove its address.
    pub openings_before_cookies: u32,
    /// Key requests answered per second.
    pub key_requests_per_second: u32,
    /// Key requests answered per second for one source (/32, /56), and at once.
    pub key_requests_per_source: u32,
    /// Set-ups worked on per second over one link.
    pub set_ups_per_link: u32,
    /// Set-ups of clients worked on per second for one source (/32, /56).
    pub set_ups_per_source: u32,
    /// Bytes of clients' cells passed on per second for one source (/32, /56), per class and each
    /// way.
    pub bytes_per_source: u64,
    /// Set-ups and openings remembered per key, so that none is accepted twice.
    pub remembered: usize,
    /// A channel without cells for so long ends.
    pub channel_idle: Duration,
    /// A channel without data for so long after its set-up ends.
    pub channel_unused: Duration,
    /// Entry: associations that may be open at once.
    pub associations: usize,
    /// Entry: channels kept ready per class, so that an application's start is not a set-up.
    pub spare_channels: usize,
    /// Entry: bytes that may wait per association for its channel.
    pub queue_bytes: usize,
    /// Entry: how long a datagram may wait for a channel.
    pub queue_wait: Duration,
    /// Exit: names that may be looked up at once.
    pub questions: usize,
    /// Exit: destinations that one channel may have written to and be answered by at once.
    pub correspondents: usize,
    /// Exit: how long a destination may answer after it was last written to.
    pub reply_window: Duration,
    /// Exit: bytes per second and channel, each way.
    pub bytes_per_second: u64,
    /// Exit: bytes per second to a destination that never answered.
    pub unanswered_bytes_per_second: u64,
}

impl Limits {
    /// The same, where a number is larger than what the wire can tell apart.
    pub(crate) fn within_the_wire(mut self) -> Self {
        self.channels = self.channels.min(Slots::<()>::SLOTS_MAX);
        self.channels_per_link = self.channels_per_link.min(Slots::<()>::SLOTS_MAX);
        self.links = self.links.min(Slots::<()>::SLOTS_MAX);
        self
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            links: 10_000,
            channels: 50_000,
            channels_per_link: 10_000,
            channels_per_source: 2_000,
            pool: 8_192,
            windows: 4_096,
            parcels_per_link: 64,
            parcels: 4_096,
            reassembly_bytes: 32 << 20,
            openings_per_second: 500,
            openings_per_source: 20,
            openings_before_cookies: 100,
            key_requests_per_second: 1_000,
            key_requests_per_source: 50,
            set_ups_per_link: 2_000,
            set_ups_per_source: 500,
            bytes_per_source: 25_000_000,
            remembered: 1_000_000,
            channel_idle: Duration::from_secs(180),
            channel_unused: Duration::from_secs(10),
            associations: 10_000,
            spare_channels: 2,
            queue_bytes: 1 << 20,
            queue_wait: Duration::from_secs(10),
            questions: 256,
            correspondents: 1_024,
            reply_window: Duration::from_secs(120),
            bytes_per_second: 12_500_000,
            unanswered_bytes_per_second: 2_500_000,
        }
    }
}
