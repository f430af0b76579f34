//! Check 3: nothing grows without bound, and when all applications have closed every table has its
//! resting size.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use crate::chain::checks::Broken;
use crate::chain::node::{EXIT, Node};
use crate::chain::plan::Plan;

/// How long after the last application closed a node must be at rest: longer than it keeps a
/// channel whose client vanished.
pub const REST_AFTER: Duration = Duration::from_secs(215);
/// More wakes than that in one second are a node that spins. Under `poisson` every cell that
/// leaves is a wake of its own, so this is above what a busy world's cells come to.
pub const WAKES_MAX: u32 = 30_000;

/// Judges all nodes at rest.
///
/// # Errors
/// The first that is not.
pub fn verdict(plan: &Plan, nodes: &[Node], sockets: &[usize]) -> Result<(), Broken> {
    for (number, node) in nodes.iter().enumerate() {
        let Some(core) = &node.core else { continue };
        let figures = core.figures();
        let spares = if node.tier == 0 { 2 * plan.limits.spare_channels as u64 } else { u64::MAX };
        let dummies = (plan.entries * 4 * plan.limits.spare_channels) as u64;
        let waiting: u64 = figures.pools.iter().flatten().map(|pool| pool.waiting).sum();
        let links = resting_links(plan, nodes, number);
        let tables = [
            ("channels", figures.channels, figures.channels.min(spares)),
            // Spares send dummies, which may wait at any moment.
            ("cells in pools", waiting, waiting.min(dummies)),
            ("links", figures.links, links),
            ("sockets", sockets[number] as u64, 0),
        ];
        for (what, is, rests_at) in tables {
            if is != rests_at {
                return Err(Broken::Restless { node: number, what, is, rests_at });
            }
        }
    }
    only_spares(nodes)
}

/// At rest there are no channels but the spares of the entries, and these pass every tier once.
fn only_spares(nodes: &[Node]) -> Result<(), Broken> {
    let mut tiers = BTreeMap::<u8, (usize, u64)>::new();
    for (number, node) in nodes.iter().enumerate() {
        let channels = node.core.as_ref().map_or(0, |core| core.figures().channels);
        let (last, all) = tiers.entry(node.tier).or_default();
        (*last, *all) = (number, *all + channels);
    }
    let spares = tiers.get(&0).map_or(0, |(_, spares)| *spares);
    for (node, channels) in tiers.into_values() {
        if channels != spares {
            let what = "channels in its tier";
            return Err(Broken::Restless { node, what, is: channels, rests_at: spares });
        }
    }
    Ok(())
}

/// How many links a node has when nothing happens: those of an entry to its first mixes, and those
/// of a mix to all nodes that its chains may go on to.
fn resting_links(plan: &Plan, nodes: &[Node], number: usize) -> u64 {
    let depth = plan.tiers.len() as u8;
    let opens = |from: &Node, to: &Node| match (from.tier, to.tier) {
        (EXIT, _) => false,
        (tier, EXIT) => tier == depth,
        (tier, next) => tier + 1 == next,
    };
    let node = &nodes[number];
    let up = |other: &&Node| other.core.is_some();
    nodes.iter().filter(up).filter(|other| opens(node, other) || opens(other, node)).count() as u64
}

/// What strangers gave and got: an answer is never longer than what provoked it, and whoever
/// repeats a client's cells from elsewhere gets at most three times what he sent.
#[derive(Default)]
pub struct Strangers {
    given: BTreeMap<(usize, SocketAddr), usize>,
    sent: BTreeMap<(usize, SocketAddr), usize>,
}

impl Strangers {
    /// A node gets something from an address that no node has.
    pub fn give(&mut self, node: usize, from: SocketAddr, size: usize) {
        *self.given.entry((node, from)).or_default() += size;
    }

    /// A node sends something to an address that no node has.
    ///
    /// # Errors
    /// It is more than it may be.
    pub fn send(&mut self, node: usize, to: SocketAddr, size: usize) -> Result<(), Broken> {
        let sent = self.sent.entry((node, to)).or_default();
        *sent += size;
        let (sent, given) = (*sent, self.given.get(&(node, to)).copied().unwrap_or_default());
        if sent > 3 * given { Err(Broken::Amplifies { node, sent, given }) } else { Ok(()) }
    }
}
