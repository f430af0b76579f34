//! A node of the world: a production core, its address, its clocks, and whether it runs.
//!
//! The core is the one that the program runs, without a switch. A node that crashes loses it and
//! with it all that was in memory; what it has on disk (its identity and the network list) is in
//! the [`Plan`](crate::chain::plan::Plan).

use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};

use datagram::{Entry, Exit, Machine, Mix};
use mixing::Time;

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

impl Deref for Core {
    type Target = dyn Machine;

    fn deref(&self) -> &Self::Target {
        match self {
            Core::Entry(entry) => &**entry,
            Core::Mix(mix) => &**mix,
            Core::Exit(exit) => &**exit,
        }
    }
}

impl DerefMut for Core {
    fn deref_mut(&mut self) -> &mut Self::Target {
        match self {
            Core::Entry(entry) => &mut **entry,
            Core::Mix(mix) => &mut **mix,
            Core::Exit(exit) => &mut **exit,
        }
    }
}

impl Core {
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
