//! The post between nodes: what the faults of the moment do to a message on its way.

use std::time::Duration;

use mixing::Chance;

use crate::payments::fault::{Cheat, What, Wire};
use crate::payments::plan::Plan;

/// The post of a world.
pub struct Post {
    latency: Duration,
    /// The faults that are on, by their number in the plan.
    active: Vec<(usize, What)>,
    chance: Chance,
}

/// A message that will arrive.
pub struct Copy {
    /// After how long.
    pub after: Duration,
    /// With which bytes.
    pub bytes: Vec<u8>,
}

/// How much later a tardy operator says what he says.
const TARDY: Duration = Duration::from_secs(90);

impl Post {
    /// The post of a planned world.
    pub fn new(plan: &Plan) -> Post {
        Post { latency: plan.latency, active: Vec::new(), chance: plan.chance("post", 0) }
    }

    /// A fault begins.
    pub fn begin(&mut self, number: usize, what: &What) {
        self.active.push((number, what.clone()));
    }

    /// A fault ends.
    pub fn end(&mut self, number: usize) {
        self.active.retain(|(active, _)| *active != number);
    }

    /// What arrives of a message.
    pub fn carry(&mut self, from: usize, to: usize, mut bytes: Vec<u8>) -> Vec<Copy> {
        let chance = &mut self.chance;
        let mut after = up_to(chance, self.latency);
        let mut lost = false;
        let mut again = Vec::new();
        let hits = |wire: &Wire, rate: u64, chance: &mut Chance| {
            wire.has(from, to) && chance.below(1_000) < rate
        };
        for (_, what) in &self.active {
            match what {
                What::Loss(wire, rate) if hits(wire, *rate, chance) => lost = true,
                What::Cheat(cheat, Cheat::Silent) if *cheat == from => lost |= chance.below(2) == 0,
                What::Cheat(cheat, Cheat::Tardy) if *cheat == from => after += TARDY,
                What::Jitter(wire, most) if wire.has(from, to) => after += up_to(chance, *most),
                What::Copies(wire, rate, most) if hits(wire, *rate, chance) => {
                    again.push(up_to(chance, *most));
                }
                What::Noise(wire, rate) if hits(wire, *rate, chance) => {
                    if let Some(place) = pick(&mut bytes, chance) {
                        *place ^= 1 << chance.below(8);
                    }
                }
                _ => {}
            }
        }
        let later = again.into_iter().map(|more| after + more);
        let first = (!lost).then_some(after);
        let copy = |after| Copy { after, bytes: bytes.clone() };
        first.into_iter().chain(later).map(copy).collect()
    }
}

/// One of the bytes.
pub fn pick<'a>(bytes: &'a mut [u8], chance: &mut Chance) -> Option<&'a mut u8> {
    let at = chance.below(bytes.len().max(1) as u64) as usize;
    bytes.get_mut(at)
}

/// A time between nothing and so much.
pub fn up_to(chance: &mut Chance, most: Duration) -> Duration {
    Duration::from_nanos(chance.below(most.as_nanos() as u64 + 1))
}
