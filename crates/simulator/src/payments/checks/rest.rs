//! Check 3: when some days have passed since the last payment, every table has its resting size:
//! a mixer has its height, the keys of two days, and what it could not return; a payer who has
//! forgotten what ended, his height and prints of deposits that he found on the ledger.

use crate::payments::checks::Broken;
use crate::payments::world::World;

/// The most envelope keys at rest.
const KEYS_MAX: usize = 3;

/// Judges all nodes at rest.
///
/// # Errors
/// The first that is not.
pub fn verdict(world: &World) -> Result<(), Broken> {
    let plan = world.plan();
    for (number, node) in world.nodes().iter().enumerate() {
        let Some(alive) = &node.alive else {
            return Err(Broken::Restless {
                node: number,
                what: "processes missing",
                is: 1,
                rests_at: 0,
            });
        };
        // Who keeps the money never comes to rest.
        if plan.costs(number) {
            continue;
        }
        let count = |table: u8| {
            let keys = node.disk.records().keys();
            keys.filter(|key| key.first() == Some(&table)).count()
        };
        let mixer = number < plan.mixers;
        let parts = alive.core.payer().map_or(0, |payer| payer.parts().len());
        let tables = [
            ("orders", count(b'o'), 0),
            ("fingerprints", count(b'p'), 0),
            ("returns", count(b'r'), 0),
            ("slots", count(b's'), 0),
            ("keys", count(b'k').saturating_sub(KEYS_MAX), 0),
            ("parts", count(b'a'), parts),
            ("effects not performed", alive.todo.len(), 0),
            ("commands without an answer", alive.asked.len(), 0),
        ];
        for (what, is, rests_at) in tables {
            if is != rests_at {
                return Err(Broken::Restless { node: number, what, is, rests_at });
            }
        }
        if mixer && alive.core.wake_at().is_some() {
            return Err(Broken::Restless { node: number, what: "timers", is: 1, rests_at: 0 });
        }
    }
    Ok(())
}
