//! What a payer checks before any money moves.
//!
//! What always holds: what passes is a chain of promises, signed by the mixers that were asked, from
//! the payer's account to the receiver, with the payer's own seeds, amounts and dates.

use money::Amount;

use super::part::Plan;
use crate::document::{Currency, Promise, Signed};
use crate::promises;

/// How far a mixer's `req_date` may be from the payer's, in seconds.
const DATE_FAR_S: u64 = 2 * 3600;

/// Which hop's promise is not what was asked for, and in what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mistrust {
    /// The hop, from 0.
    pub hop: usize,
    /// What is wrong.
    pub why: Flaw,
}

/// What can be wrong with a promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// Its slot does not open, or holds no promise signed by this mixer.
    Unreadable,
    /// Another mixer, sender or receiver.
    Accounts,
    /// Other amounts.
    Amounts,
    /// Other dates.
    Dates,
    /// The payer's seeds are not in it.
    Seeds,
    /// Its receiving seed is not the one before it pays to.
    Chain,
}

/// Reads the promises that came back and checks all of them.
///
/// # Errors
/// The first [`Mistrust`].
pub(super) fn check(
    plan: &Plan,
    in_seed: [u8; 32],
    slots: &[u8],
    currency: &Currency,
) -> Result<Vec<Signed<Promise>>, Mistrust> {
    let keys: Vec<_> =
        plan.hops.iter().map(|hop| (&hop.layer.one_time, &hop.layer.hop_key)).collect();
    let unreadable = |hop| Mistrust { hop, why: Flaw::Unreadable };
    let read = promises::take(slots, &keys).map_err(|error| unreadable(error.hop))?;
    let mut promises: Vec<Signed<Promise>> = Vec::new();
    let mut seed = in_seed;
    for (hop, bytes) in read.iter().enumerate() {
        let node = plan.hops[hop].account;
        let promise = Signed::<Promise>::read(bytes, currency, |_| Some(node));
        let promise = promise.map_err(|_| unreadable(hop))?;
        flaw(plan, hop, seed, promise.content())
            .map_or(Ok(()), |why| Err(Mistrust { hop, why }))?;
        seed = promise.content().out_seeds[0];
        promises.push(promise);
    }
    Ok(promises)
}

fn flaw(plan: &Plan, hop: usize, seed: [u8; 32], promise: &Promise) -> Option<Flaw> {
    let layer = &plan.hops[hop].layer;
    let accounts = (promise.node, promise.sender, promise.receiver);
    if accounts != (plan.hops[hop].account, layer.sender, layer.next) {
        return Some(Flaw::Accounts);
    }
    if (promise.in_amount, promise.out_amount) != (layer.in_amount, layer.out_amount)
        || promise.out_amount == Amount::ZERO
    {
        return Some(Flaw::Amounts);
    }
    let next = plan.hops.get(hop + 1).map(|hop| hop.layer.expire_date);
    if (promise.expire_date, promise.payout_date) != (layer.expire_date, layer.payout_date)
        || next.is_some_and(|expire| promise.payout_date > expire)
        || promise.req_date.abs_diff(plan.date) > DATE_FAR_S
    {
        return Some(Flaw::Dates);
    }
    if (promise.in_seeds[1], promise.out_seeds[1]) != (layer.in_seed, layer.out_seed) {
        return Some(Flaw::Seeds);
    }
    (promise.in_seeds[0] != seed).then_some(Flaw::Chain)
}
