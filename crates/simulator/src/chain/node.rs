//! A node of the world: a production core, its address, its clocks, and whether it runs.
//!
//! The core is the one that the program runs, without a switch. A node that crashes loses it and
//! with it all that was in memory; what it has on disk (its identity and the network list) is in
//! the [`Plan`](crate::chain::plan::Plan).

use std::net::SocketAddr;

use datagram::{Dropped, Entry, Exit, Figures, Mix, Outbox};
use mixing::{Now, Time};

use crate::clock::Clock;

/// A node.
pub struct Node {
    /// Where it is now.
    pub address: SocketAddr,
    /// 0 for an entry, 1 to 5 for a mix, [`EXIT`] for an exit.
    pub tier: u8,
    /// How its time runs.
    pub clock: Clock,
    /// `None` while it is down.
    pub core: Option<Core>,
    /// Until when it does nothing, although it runs: a machine that stalls.
    pub stalled: Time,
    /// When it will be woken; the earliest of all wakes in the queue that still count.
    pub wake: Option<Time>,
    /// How often it was woken in the current second, to see a node that spins.
    pub wakes: u32,
}

/// The tier of an exit: behind all mixes.
pub const EXIT: u8 = u8::MAX;

/// Any core.
pub enum Core {
    /// A user's own.
    Entry(Box<Entry>),
    /// A mix.
    Mix(Box<Mix>),
    /// An exit.
    Exit(Box<Exit>),
}

impl Core {
    /// Gives it a datagram.
    ///
    /// # Errors
    /// Why the core dropped it.
    pub fn receive(
        &mut self,
        now: Now,
        from: SocketAddr,
        bytes: &mut [u8],
        out: &mut Outbox,
    ) -> Result<(), Dropped> {
        match self {
            Core::Entry(entry) => entry.receive(now, from, bytes, out),
            Core::Mix(mix) => mix.receive(now, from, bytes, out),
            Core::Exit(exit) => exit.receive(now, from, bytes, out),
        }
    }

    /// Lets it do what is due.
    pub fn tick(&mut self, now: Now, out: &mut Outbox) {
        match self {
            Core::Entry(entry) => entry.tick(now, out),
            Core::Mix(mix) => mix.tick(now, out),
            Core::Exit(exit) => exit.tick(now, out),
        }
    }

    /// When it wants to be woken, by its own clock.
    pub fn wake_at(&self) -> Option<Time> {
        match self {
            Core::Entry(entry) => entry.wake_at(),
            Core::Mix(mix) => mix.wake_at(),
            Core::Exit(exit) => exit.wake_at(),
        }
    }

    /// Stops it in good order.
    pub fn shutdown(&mut self, now: Now, out: &mut Outbox) {
        match self {
            Core::Entry(entry) => entry.shutdown(now, out),
            Core::Mix(mix) => mix.shutdown(now, out),
            Core::Exit(exit) => exit.shutdown(now, out),
        }
    }

    /// Stirs fresh randomness in.
    pub fn feed(&mut self, fresh: &[u8; 32]) {
        match self {
            Core::Entry(entry) => entry.feed(fresh),
            Core::Mix(mix) => mix.feed(fresh),
            Core::Exit(exit) => exit.feed(fresh),
        }
    }

    /// What it counted.
    pub fn figures(&self) -> &Figures {
        match self {
            Core::Entry(entry) => entry.figures(),
            Core::Mix(mix) => mix.figures(),
            Core::Exit(exit) => exit.figures(),
        }
    }

    /// The entry in it.
    pub fn entry(&mut self) -> Option<&mut Entry> {
        match self {
            Core::Entry(entry) => Some(entry),
            Core::Mix(_) | Core::Exit(_) => None,
        }
    }

    /// The exit in it.
    pub fn exit(&mut self) -> Option<&mut Exit> {
        match self {
            Core::Exit(exit) => Some(exit),
            Core::Entry(_) | Core::Mix(_) => None,
        }
    }
}
