//! What the core wants the user told: why something does not work, and never once per datagram.

use std::time::Duration;

use datagram::entry::Notice;
use mixing::time::Time;

use crate::log;

/// Tells one notice in ten seconds, and how many it left out.
#[derive(Default)]
pub(super) struct Notices {
    again_at: Time,
    unsaid: u64,
}

impl Notices {
    pub(super) fn tell(&mut self, now: Time, notice: &Notice) {
        if now < self.again_at {
            self.unsaid += 1;
            return;
        }
        match std::mem::take(&mut self.unsaid) {
            0 => log::warning(notice),
            unsaid => log::warning(format_args!("{notice} (and {unsaid} notices before)")),
        }
        self.again_at = now + NOTICE_EVERY;
    }
}

const NOTICE_EVERY: Duration = Duration::from_secs(10);
