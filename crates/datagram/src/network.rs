//! The network list: who is in the network and what every node agrees on.
//!
//! The list is public and the same for everybody. It fixes what would otherwise divide the crowd:
//! the size of a cell and the strategy of each class. Where the list comes from (a file, later a
//! directory) is not decided here.

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use mixing::keys::Identity;
use mixing::strategy::Strategy;

use crate::wire;

/// Cell size and mixing strategy that a channel is made for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Class {
    /// Voice, games, short questions.
    Small,
    /// Everything else.
    Large,
}

impl Class {
    /// Both classes, in the order of `index`.
    pub const ALL: [Class; 2] = [Class::Small, Class::Large];

    /// 0 or 1: the number of this class on the wire and in tables.
    pub fn index(self) -> usize {
        self as usize
    }

    /// The class with this number.
    pub fn from_index(index: u8) -> Option<Class> {
        Class::ALL.get(usize::from(index)).copied()
    }

    /// The name used in configuration and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Class::Small => "small",
            Class::Large => "large",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Class {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Class::ALL.into_iter().find(|class| class.name() == text).ok_or(Error::UnknownClass)
    }
}

/// A mix's published place in chains: 1 to 5.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Tier(u8);

impl Tier {
    /// The tier of the first mix of every chain.
    pub const FIRST: Tier = Tier(1);

    /// A tier from 1 to [`wire::TIERS_MAX`].
    pub fn new(tier: u8) -> Option<Tier> {
        (1..=wire::TIERS_MAX).contains(&tier).then_some(Tier(tier))
    }

    /// The number.
    pub fn get(self) -> u8 {
        self.0
    }
}

/// What a listed node does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// Mixes, at its tier.
    Mix(Tier),
    /// Ends chains.
    Exit,
}

/// A listed node.
#[derive(Clone, PartialEq, Debug)]
pub struct Node {
    /// For people only.
    pub name: String,
    /// Its long-term identity.
    pub identity: Identity,
    /// What it does.
    pub role: Role,
    /// Where it is reached.
    pub address: SocketAddr,
}

/// What the list fixes for a class.
#[derive(Clone, PartialEq, Debug)]
pub struct ClassSettings {
    /// Bytes of a cell on a link that leaves the entry (S₀); 16 fewer for each tier behind it.
    pub cell_size: usize,
    /// When the pools of this class let go, and of what.
    pub strategy: Strategy,
}

impl ClassSettings {
    /// `small`: about 320 bytes of payload; everything every 10 ms.
    pub fn small() -> Self {
        let strategy = Strategy::Timed { period: Duration::from_millis(10) };
        ClassSettings { cell_size: wire::SMALL, strategy }
    }

    /// `large`: full-size datagrams; at 16 distinct channels, or after 20 ms.
    pub fn large() -> Self {
        let strategy = Strategy::Threshold { n: 16, timeout: Duration::from_millis(20) };
        ClassSettings { cell_size: wire::LARGE, strategy }
    }
}

/// The network list.
#[derive(Clone, PartialEq, Debug)]
pub struct Network {
    /// Tells networks apart: signatures of one are void in another.
    pub name: String,
    /// Settings of [`Class::Small`].
    pub small: ClassSettings,
    /// Settings of [`Class::Large`].
    pub large: ClassSettings,
    /// All nodes.
    pub nodes: Vec<Node>,
}

impl Network {
    /// The most nodes a list may have.
    pub const NODES_MAX: usize = 1000;

    /// Checks everything that the cores rely on.
    ///
    /// # Errors
    /// Names the first rule that the list breaks.
    pub fn check(&self) -> Result<(), Error> {
        if self.nodes.len() > Self::NODES_MAX {
            return Err(Error::TooManyNodes);
        }
        for class in Class::ALL {
            let settings = self.class(class);
            if !(wire::SMALLEST..=wire::LARGE).contains(&settings.cell_size) {
                return Err(Error::CellSize(class));
            }
            settings.strategy.check().map_err(|_| Error::Strategy(class))?;
        }
        // Cells of the two classes must never be of one size, on whatever link they meet.
        let apart = self.large.cell_size.saturating_sub(self.small.cell_size);
        if apart <= wire::TAG * usize::from(wire::TIERS_MAX) {
            return Err(Error::ClassesAlike);
        }
        if self.large.cell_size < wire::LARGE_LEAST {
            return Err(Error::CellSize(Class::Large));
        }
        let mut identities = BTreeSet::new();
        let mut addresses = BTreeSet::new();
        for node in &self.nodes {
            if !identities.insert(node.identity) {
                return Err(Error::IdentityTwice(node.name.clone()));
            }
            if !addresses.insert(node.address) {
                return Err(Error::AddressTwice(node.name.clone()));
            }
        }
        let highest = self.nodes.iter().map(|node| node.tier()).max().unwrap_or(0);
        if highest != self.depth() {
            return Err(Error::TierGap(self.depth() + 1));
        }
        Ok(())
    }

    /// The settings of a class.
    pub fn class(&self, class: Class) -> &ClassSettings {
        match class {
            Class::Small => &self.small,
            Class::Large => &self.large,
        }
    }

    /// How many mixes a chain passes: the highest tier below which none is missing.
    pub fn depth(&self) -> u8 {
        let taken = |tier: &u8| self.nodes.iter().any(|node| node.tier() == *tier);
        (1..=wire::TIERS_MAX).take_while(taken).last().unwrap_or(0)
    }

    /// The listed node of an identity.
    pub fn node(&self, identity: &Identity) -> Option<&Node> {
        self.nodes.iter().find(|node| node.identity == *identity)
    }

    /// All mixes of a tier.
    pub fn mixes(&self, tier: u8) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(move |node| tier != 0 && node.tier() == tier)
    }

    /// All exits.
    pub fn exits(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| node.role == Role::Exit)
    }
}

impl Node {
    /// The tier of a mix; 0 for an exit.
    pub fn tier(&self) -> u8 {
        match self.role {
            Role::Mix(tier) => tier.get(),
            Role::Exit => 0,
        }
    }
}

/// What is wrong with a network list or a configuration: for the operator to repair.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Error {
    /// More nodes than [`Network::NODES_MAX`].
    TooManyNodes,
    /// A cell size outside what the wire allows.
    CellSize(Class),
    /// A strategy whose numbers make no sense.
    Strategy(Class),
    /// The sizes of the classes are too near to each other.
    ClassesAlike,
    /// One identity for two nodes.
    IdentityTwice(String),
    /// One address for two nodes.
    AddressTwice(String),
    /// A tier without mixes below one that has some.
    TierGap(u8),
    /// Neither `small` nor `large`.
    UnknownClass,
    /// The node's own identity is not in the list, or in another role.
    NotListed,
    /// The list has no mix of tier 1, or no exit.
    NoChain,
    /// The list has another name or other class settings than the running node.
    NeedsRestart,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::TooManyNodes => write!(f, "more than {} nodes", Network::NODES_MAX),
            Error::CellSize(Class::Small) => {
                let highest = wire::LARGE_LEAST - wire::TAG * usize::from(wire::TIERS_MAX) - 1;
                write!(f, "cell size of class small must be {} to {highest}", wire::SMALLEST)
            }
            Error::CellSize(Class::Large) => write!(
                f,
                "cell size of class large must be {} to {}",
                wire::LARGE_LEAST,
                wire::LARGE
            ),
            Error::Strategy(class) => write!(f, "strategy of class {class} makes no sense"),
            Error::ClassesAlike => write!(f, "the cell sizes of the classes are too near"),
            Error::IdentityTwice(name) => write!(f, "identity of node {name} is listed twice"),
            Error::AddressTwice(name) => write!(f, "address of node {name} is listed twice"),
            Error::TierGap(tier) => write!(f, "no mix has tier {tier}, but a higher tier exists"),
            Error::UnknownClass => write!(f, "a class is either small or large"),
            Error::NotListed => write!(f, "this node's identity and role are not in the list"),
            Error::NeedsRestart => {
                write!(f, "the name or the classes of the network changed: restart the node")
            }
            Error::NoChain => write!(f, "the list needs a mix of tier 1 and an exit"),
        }
    }
}

impl std::error::Error for Error {}
