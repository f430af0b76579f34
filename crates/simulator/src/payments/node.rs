//! A node of the world: a production core, its disk, its clock, and what its shell has in hand.
//!
//! A node that crashes loses its core and all that is in its shell; what it finds again is on its
//! [`Disk`].

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use mixing::{Now, Time};
use money::Account;
use payment::command::ReplyKey;
use payment::effect::{Effect, OrderId};
use payment::peers::Peers;
use payment::{Mixer, Payer};

use crate::clock::Clock;
use crate::payments::disk::Disk;

/// A node.
pub struct Node {
    /// Whose money it moves.
    pub account: Account,
    /// What stays when it crashes.
    pub disk: Disk,
    /// How its time runs.
    pub clock: Clock,
    /// What is gone when it crashes; `None` while it is down.
    pub alive: Option<Alive>,
    /// How often it was started.
    pub starts: u64,
    /// Commands it sent, over all starts.
    pub commands: u32,
}

/// A running process.
pub struct Alive {
    /// The production core.
    pub core: Core,
    /// The mixers that a payer knows.
    pub peers: Peers,
    /// Time of the newest final block read, whole seconds.
    pub date: u64,
    /// Commands that were sent and not answered.
    pub asked: BTreeMap<u32, Asked>,
    /// Effects that wait for a slow disk, each with the command that it may answer.
    pub todo: VecDeque<(Effect, Option<Call>)>,
    /// Until when the disk is at work.
    pub busy: Time,
    /// Whether something is written and not yet synced.
    pub unsynced: bool,
    /// When it will be woken; the earliest of all wakes in the queue that still count.
    pub wake: Option<Time>,
    /// How often it was woken in the current minute, to see a node that spins.
    pub wakes: u32,
}

/// A command that was sent.
pub struct Asked {
    /// The order it is about.
    pub order: OrderId,
    /// Which of the three.
    pub kind: Kind,
    /// Opens the answer.
    pub key: ReplyKey,
}

/// The three commands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)] // Named as in `payment::effect::Command`.
pub enum Kind {
    Mix,
    Confirm,
    GetConfirm,
}

/// A command that came in, to be answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Call {
    /// Who asked.
    pub from: usize,
    /// His number for it.
    pub number: u32,
    /// Where the key of the answer is.
    pub key: usize,
}

/// Either core.
pub enum Core {
    /// A mixer.
    Mixer(Box<Mixer>),
    /// A payer.
    Payer(Box<Payer>),
}

impl Core {
    /// When it wants to be woken, by its own clock.
    pub fn wake_at(&self) -> Option<Time> {
        match self {
            Core::Mixer(mixer) => mixer.wake_at(),
            Core::Payer(payer) => payer.wake_at(),
        }
    }

    /// Lets it do what is due.
    pub fn tick(&mut self, now: Now, out: &mut Vec<Effect>) {
        match self {
            Core::Mixer(mixer) => mixer.tick(now, out),
            Core::Payer(payer) => payer.tick(now, out),
        }
    }

    /// The height of the final block that it wants next.
    pub fn next_block(&self) -> u64 {
        match self {
            Core::Mixer(mixer) => mixer.next_block(),
            Core::Payer(payer) => payer.next_block(),
        }
    }

    /// The mixer in it.
    pub fn mixer(&self) -> Option<&Mixer> {
        match self {
            Core::Mixer(mixer) => Some(mixer),
            Core::Payer(_) => None,
        }
    }

    /// The payer in it.
    pub fn payer(&self) -> Option<&Payer> {
        match self {
            Core::Payer(payer) => Some(payer),
            Core::Mixer(_) => None,
        }
    }
}

/// How long a shell waits for an answer.
pub const PATIENCE: Duration = Duration::from_secs(30);
