//! Everything between the nodes: what the faults of the moment do to a datagram on its way.
//!
//! Takes a datagram as it left its sender and says which copies of it arrive, when, from which
//! address and with which bytes. What no fault concerns arrives once and in order.

use std::net::SocketAddr;
use std::time::Duration;

use mixing::Chance;

use crate::chain::fault::{What, Wire};
use crate::chain::plan::Plan;

/// The wires of a world.
pub struct Wires {
    delays: Vec<Vec<Duration>>,
    /// The faults that are on, by their number in the plan.
    active: Vec<(usize, What)>,
    chance: Chance,
}

/// A datagram that will arrive.
pub struct Copy {
    /// After how long.
    pub after: Duration,
    /// `Some`: not from its sender's address.
    pub from: Option<SocketAddr>,
    /// `Some`: not as it was sent.
    pub bytes: Option<Vec<u8>>,
}

impl Wires {
    /// The wires of a planned world.
    pub fn new(plan: &Plan) -> Wires {
        let delays = plan.delays.clone();
        Wires { delays, active: Vec::new(), chance: plan.chance("wires", 0) }
    }

    /// A fault begins.
    pub fn begin(&mut self, number: usize, what: &What) {
        self.active.push((number, what.clone()));
    }

    /// A fault ends.
    pub fn end(&mut self, number: usize) {
        self.active.retain(|(active, _)| *active != number);
    }

    /// The delay of all datagrams between two nodes, if no fault is on: whole runs stay together.
    pub fn untouched(&self, from: usize, to: usize) -> Option<Duration> {
        self.active.is_empty().then(|| self.delays[from][to])
    }

    /// What arrives of a datagram.
    pub fn carry(&mut self, from: usize, to: usize, bytes: &[u8]) -> Vec<Copy> {
        let mut first = Copy { after: self.delays[from][to], from: None, bytes: None };
        let mut lost = false;
        let mut more = Vec::new();
        let chance = &mut self.chance;
        let hits = |wire: &Wire, rate: &u64, chance: &mut Chance| {
            wire.has(from, to) && strikes(chance, *rate)
        };
        for (_, what) in &self.active {
            match what {
                What::Loss(wire, rate) if hits(wire, rate, chance) => lost = true,
                What::Narrow(wire, most) if wire.has(from, to) => lost |= bytes.len() > *most,
                What::Jitter(wire, most) if wire.has(from, to) => {
                    first.after += up_to(chance, *most);
                }
                What::Copies(wire, rate, most) if hits(wire, rate, chance) => {
                    let after = self.delays[from][to] + up_to(chance, *most);
                    more.push(Copy { after, from: None, bytes: None });
                }
                What::Replays(wire, rate, after) if hits(wire, rate, chance) => {
                    let after = self.delays[from][to] + *after;
                    more.push(Copy { after, from: None, bytes: None });
                }
                What::Strays(wire, rate) if hits(wire, rate, chance) => {
                    let after = self.delays[from][to].mul_f64(0.5);
                    more.push(Copy { after, from: Some(nobody(chance)), bytes: None });
                }
                What::Noise(wire, rate) if hits(wire, rate, chance) => {
                    let noisy = first.bytes.get_or_insert_with(|| bytes.to_vec());
                    // Another fault may have cut it to nothing.
                    if !noisy.is_empty() {
                        let at = chance.below(noisy.len() as u64) as usize;
                        noisy[at] ^= 1 << chance.below(8);
                    }
                }
                What::Short(wire, rate) if hits(wire, rate, chance) => {
                    let short = chance.below(bytes.len() as u64) as usize;
                    first.bytes = Some(bytes[..short].to_vec());
                }
                _ => {}
            }
        }
        if !lost {
            more.push(first);
        }
        more
    }

    /// A datagram that somebody makes up for a node: noise, sometimes with the look of a cell or
    /// of an opening. Also from where it seems to come.
    pub fn forge(&mut self, plan: &Plan) -> (SocketAddr, Vec<u8>) {
        let chance = &mut self.chance;
        let sizes = [0, 3, 36, 56, 300, plan.small.cell_size, plan.large.cell_size, 1_232, 1_500];
        let size = sizes[chance.below(sizes.len() as u64) as usize];
        let mut bytes = vec![0; size.saturating_sub(16 * chance.below(4) as usize)];
        chance.fill(&mut bytes);
        let look: &[u8] = match chance.below(4) {
            0 => &[0, 0, 0, 0, 1 + chance.below(6) as u8, 1],
            1 => &[0, 0, 1 + chance.below(6) as u8, chance.below(3) as u8],
            _ => &[],
        };
        for (byte, look) in bytes.iter_mut().zip(look) {
            *byte = *look;
        }
        let node = chance.below(3 * plan.nodes() as u64) as usize;
        let from = if node < plan.nodes() { plan.address(node) } else { nobody(chance) };
        (from, bytes)
    }
}

fn strikes(chance: &mut Chance, per_thousand: u64) -> bool {
    chance.below(1_000) < per_thousand
}

fn up_to(chance: &mut Chance, most: Duration) -> Duration {
    Duration::from_nanos(chance.below(most.as_nanos() as u64 + 1))
}

/// An address that no node ever has.
fn nobody(chance: &mut Chance) -> SocketAddr {
    let [a, b, c, d] = chance.bytes();
    SocketAddr::from(([172, a, b, c], 1_024 + u16::from(d)))
}
