//! A mix: it has no sockets but its links.

use datagram::Mix;
use datagram::outbox::{Effect, Outbox};
use mixing::time::Now;

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
    type Core = Mix;

    fn core(&self) -> &Mix {
        &self.core
    }

    fn core_mut(&mut self) -> &mut Mix {
        &mut self.core
    }

    fn readable(&mut self, _: Now, _: u64, _: usize, _: &mut Outbox) {}

    fn command(&mut self, _: Now, command: Never, _: &Waiter, _: &mut Outbox) {
        match command {}
    }

    fn perform(&mut self, _: Now, _: &Effect, _: &Outbox, _: &Waiter) {}

    fn settle(&mut self, _: Now, _: &mut Outbox) {}

    fn upkeep(&mut self, _: Now, _: &mut Outbox) {}

    fn lost(&self) -> &LostCounts {
        &self.lost
    }

    fn sizes(&self) -> Sizes {
        Sizes::default()
    }
}
