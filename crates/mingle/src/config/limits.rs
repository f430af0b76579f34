//! `[limits]`: the core's limits under the names they have there.

use std::time::Duration;

use datagram::Limits;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::span;

/// A copy of the core's fields that the compiler compares with them.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Limits", default = "Limits::default", deny_unknown_fields)]
struct LimitsFile {
    links: usize,
    channels: usize,
    channels_per_link: usize,
    channels_per_source: usize,
    pool: usize,
    windows: usize,
    parcels_per_link: usize,
    parcels: usize,
    reassembly_bytes: usize,
    openings_per_second: u32,
    openings_per_source: u32,
    openings_before_cookies: u32,
    key_requests_per_second: u32,
    key_requests_per_source: u32,
    set_ups_per_link: u32,
    set_ups_per_source: u32,
    bytes_per_source: u64,
    remembered: usize,
    #[serde(with = "span")]
    channel_idle: Duration,
    #[serde(with = "span")]
    channel_unused: Duration,
    associations: usize,
    spare_channels: usize,
    queue_bytes: usize,
    #[serde(with = "span")]
    queue_wait: Duration,
    questions: usize,
    correspondents: usize,
    #[serde(with = "span")]
    reply_window: Duration,
    bytes_per_second: u64,
    unanswered_bytes_per_second: u64,
}

pub(super) fn serialize<S: Serializer>(limits: &Limits, to: S) -> Result<S::Ok, S::Error> {
    LimitsFile::serialize(limits, to)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Limits, D::Error> {
    LimitsFile::deserialize(from)
}
