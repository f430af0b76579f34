//! Check 2: some time after the last fault (`Plan::recovery`) every payment has come to an end, and
//! honest mixers owe nothing.
//!
//! Not asked of payments over a mixer that keeps the money, nor over one whose operator put an old
//! copy of its disk back: there they may rest in the books of others.

use crate::payments::checks::Broken;
use crate::payments::plan::{Manner, Profile};
use crate::payments::world::{End, World};

/// Judges all payments and mixers.
///
/// # Errors
/// The first that has not ended.
pub fn verdict(world: &World) -> Result<(), Broken> {
    let plan = world.plan();
    for (user, attempts) in world.attempts().iter().enumerate() {
        let node = plan.mixers + user;
        let excused = plan.users[user].manner != Manner::Honest || plan.is_copied(node);
        for (number, attempt) in attempts.iter().enumerate().filter(|_| !excused) {
            let state = attempt.state;
            if attempt.tries == 0 {
                return Err(Broken::NotBegun { user, number });
            }
            let odd = world.books().route(user, number).any(|hop| doubtful(world, hop));
            if attempt.end.is_none() && !odd {
                return Err(Broken::NotEnded { user, number, state });
            }
            if plan.profile == Profile::Calm && attempt.end != Some(End::Arrived) {
                return Err(Broken::NotArrived { user, number, state });
            }
        }
    }
    for (node, mixer) in world.nodes()[..plan.mixers].iter().enumerate() {
        let Some(mixer) = mixer.alive.as_ref().and_then(|alive| alive.core.mixer()) else {
            continue;
        };
        let funded = mixer.orders().values().filter(|order| order.is_funded()).count();
        let tables = [("funded orders", funded), ("returns", mixer.returns().len())];
        for (what, count) in tables {
            if count > 0 && !plan.costs(node) {
                return Err(Broken::Owes { node, what, count });
            }
        }
    }
    Ok(())
}

/// Whether a payment over this mixer may rest somewhere.
pub(super) fn doubtful(world: &World, node: usize) -> bool {
    world.plan().costs(node) || world.plan().is_copied(node)
}
