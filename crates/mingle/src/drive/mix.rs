//! A mix: it has no sockets but its links.

use std::net::SocketAddr;

use datagram::outbox::{Effect, Outbox};
use datagram::{Error, Figures, Mix, Network};
use mixing::time::{Now, Time};

use super::Role;
use super::wait::Waiter;
use crate::figures::{LostCounts, Sizes};

/// A mix on its links.
pub(crate) struct MixRole {
    core: Mix,
    lost: LostCounts,
}

impl MixRole {
    pub(crate) fn new(core: Mix) -> Self {
        MixRole { core, lost: LostCounts::default() }
    }
}

/// A mix is asked for nothing.
pub(crate) enum Never {}

impl Role for MixRole {
    type Command = Never;

    fn receive(&mut self, now: Now, from: SocketAddr, cell: &mut [u8], out: &mut Outbox) {
        // The core counted why.
        let _ = self.core.receive(now, from, cell, out);
    }

    fn readable(&mut self, _: Now, _: u64, _: usize, _: &mut Outbox) {}

    fn command(&mut self, _: Now, command: Never, _: &Waiter, _: &mut Outbox) {
        match command {}
    }

    fn perform(&mut self, _: Now, _: &Effect, _: &Outbox, _: &Waiter) {}

    fn settle(&mut self, _: Now, _: &mut Outbox) {}

    fn tick(&mut self, now: Now, out: &mut Outbox) {
        self.core.tick(now, out);
    }

    fn wake_at(&self) -> Option<Time> {
        self.core.wake_at()
    }

    fn feed(&mut self, fresh: &[u8; 32]) {
        self.core.feed(fresh);
    }

    fn renew(&mut self, now: Now, list: Network, _: &mut Outbox) -> Result<(), Error> {
        self.core.renew(now, list)
    }

    fn shutdown(&mut self, now: Now, out: &mut Outbox) {
        self.core.shutdown(now, out);
    }

    fn figures(&self) -> &Figures {
        self.core.figures()
    }

    fn lost(&self) -> &LostCounts {
        &self.lost
    }

    fn sizes(&self) -> Sizes {
        Sizes::default()
    }
}
