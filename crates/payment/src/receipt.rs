//! Proof: what a promise and the ledger together say, to anyone.
//!
//! ```text
//! deposit found?  no ─► unfunded
//!   payout found? yes ─► kept, or late if its block is later than payout_date
//!   all deposits sent back? ─► returned
//!   final time past payout_date + 24 h + halts? no ─► pending, yes ─► broken
//! ```
//! What always holds: one transfer serves one promise; only final transfers count. A deposit later than
//! `expire_date` funds nothing: if it was passed on all the same, the promise is kept or late, else it is
//! unfunded. A ledger that stood still makes promises late, not broken.
//! Absent: the ledger; who verifies reads it from his own node.

use money::{Amount, LedgerTime, Reference, Transfer};

use crate::document::{BadDocument, Currency, PeerInfo, Promise, Signed};
use crate::mixer::RETURN_PREFIX;

/// How long past `payout_date` a payout is awaited before the promise counts as broken, in seconds.
pub const PATIENCE_S: u64 = 86_400;

/// What the ledger shows.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// Final transfers to and from the mixer, in ledger order, with their block's time, from the
    /// promise's `req_date` on.
    pub transfers: Vec<(Transfer, LedgerTime)>,
    /// Time of the newest final block.
    pub until: LedgerTime,
    /// How long in all the ledger stood still since `req_date`, in seconds: gaps between blocks that
    /// are longer than ten block times.
    pub halted_s: u64,
}

/// What became of a promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nobody paid in, or too late.
    Unfunded,
    /// Paid in, not yet paid on, and not yet overdue.
    Pending,
    /// Paid on in time.
    Kept,
    /// Paid on, after `payout_date`.
    Late,
    /// Sent back.
    Returned,
    /// Paid in in time, and neither paid on nor sent back.
    Broken,
}

/// Reads a promise and checks that the mixer of this peer info signed it. The info need not be fresh.
///
/// # Errors
/// [`BadDocument`] if either is not what it should be, or they are two mixers'.
pub fn read(
    promise: &[u8],
    info: &[u8],
    currency: &Currency,
) -> Result<(Signed<Promise>, Signed<PeerInfo>), BadDocument> {
    let info = Signed::<PeerInfo>::read(info, currency, |info| Some(info.pubkey))?;
    let node = info.content().pubkey;
    let signer = |promise: &Promise| Some(node).filter(|node| *node == promise.node);
    Ok((Signed::read(promise, currency, signer)?, info))
}

/// Judges a promise. `return_cost` is what the mixer's terms let it keep of a payment sent back.
pub fn judge(
    promise: &Promise,
    return_cost: Amount,
    currency: &Currency,
    evidence: &Evidence,
) -> Verdict {
    let paid_in = promise.in_reference(currency);
    let deposits: Vec<_> = evidence
        .transfers
        .iter()
        .filter(|(t, _)| {
            t.from == promise.sender && fits(t, promise.node, promise.in_amount, &paid_in)
        })
        .collect();
    let Some((first, deposited)) = deposits.first() else { return Verdict::Unfunded };
    let paid_out = promise.out_reference(currency);
    let payout = evidence.transfers.iter().find(|(t, _)| {
        t.from == promise.node
            && t.place > first.place
            && fits(t, promise.receiver, promise.out_amount, &paid_out)
    });
    if let Some((_, time)) = payout {
        return if in_time(*time, promise.payout_date) { Verdict::Kept } else { Verdict::Late };
    }
    let back = Reference::new(&[RETURN_PREFIX, paid_in.as_bytes()].concat());
    let least = promise.in_amount.minus(return_cost).unwrap_or(Amount::ZERO);
    let returns = evidence.transfers.iter().filter(|(t, _)| {
        t.from == promise.node
            && t.to == promise.sender
            && t.amount >= least
            && t.place > first.place
            && t.reference == back
    });
    // A second payment of one deposit goes back without the first one being settled by that.
    if returns.count() >= deposits.len() {
        return Verdict::Returned;
    }
    if !in_time(*deposited, promise.expire_date) {
        return Verdict::Unfunded;
    }
    let overdue = promise.payout_date.saturating_add(PATIENCE_S).saturating_add(evidence.halted_s);
    if in_time(evidence.until, overdue) { Verdict::Pending } else { Verdict::Broken }
}

fn fits(transfer: &Transfer, to: money::Account, amount: Amount, reference: &Reference) -> bool {
    transfer.to == to && transfer.amount == amount && transfer.reference.as_ref() == Some(reference)
}

/// Dates are whole seconds; a block within the last one is in time.
fn in_time(time: LedgerTime, date: u64) -> bool {
    time.as_secs() <= date
}

#[cfg(test)]
mod tests {
    use super::*;
    use money::{Account, AccountKey, Place};

    fn here() -> Currency {
        Currency::Genesis([7; 32])
    }

    fn promise() -> Promise {
        Promise {
            node: AccountKey::from_seed([1; 32]).account(),
            sender: Account::from_bytes([2; 32]),
            receiver: Account::from_bytes([3; 32]),
            in_amount: Amount::from_units(505),
            in_seeds: [[1; 32], [2; 32]],
            out_amount: Amount::from_units(500),
            out_seeds: [[3; 32], [4; 32]],
            req_date: 1_000,
            expire_date: 2_000,
            payout_date: 3_000,
        }
    }

    fn at(block: u64, second: u64, mut transfer: Transfer) -> (Transfer, LedgerTime) {
        transfer.place = Place { block, extrinsic: 0, event: 0 };
        (transfer, LedgerTime::from_secs(second))
    }

    fn transfer(from: Account, to: Account, amount: Amount, reference: Reference) -> Transfer {
        let place = Place { block: 0, extrinsic: 0, event: 0 };
        Transfer { from, to, amount, reference: Some(reference), place }
    }

    fn deposit() -> Transfer {
        let p = promise();
        transfer(p.sender, p.node, p.in_amount, p.in_reference(&here()))
    }

    fn payout() -> Transfer {
        let p = promise();
        transfer(p.node, p.receiver, p.out_amount, p.out_reference(&here()))
    }

    fn back(units: u64) -> Transfer {
        let p = promise();
        let reference = [RETURN_PREFIX, p.in_reference(&here()).as_bytes()].concat();
        let reference = Reference::new(&reference).unwrap();
        transfer(p.node, p.sender, Amount::from_units(units), reference)
    }

    fn judged(transfers: Vec<(Transfer, LedgerTime)>, until: u64, halted_s: u64) -> Verdict {
        let until = LedgerTime::from_secs(until);
        let evidence = Evidence { transfers, until, halted_s };
        judge(&promise(), Amount::from_units(2), &here(), &evidence)
    }

    #[test]
    fn each_of_the_six_results_is_found() {
        let paid = at(1, 2_000, deposit());
        assert_eq!(judged(vec![], 9_999_999, 0), Verdict::Unfunded);
        assert_eq!(judged(vec![at(1, 2_001, deposit())], 9_999_999, 0), Verdict::Unfunded);
        assert_eq!(judged(vec![paid.clone()], 3_000 + 86_400, 0), Verdict::Pending);
        assert_eq!(judged(vec![paid.clone()], 3_001 + 86_400, 0), Verdict::Broken);
        assert_eq!(judged(vec![paid.clone()], 3_001 + 86_400, 1), Verdict::Pending);
        let kept = vec![paid.clone(), at(2, 3_000, payout())];
        assert_eq!(judged(kept, 9_999_999, 0), Verdict::Kept);
        let late = vec![paid.clone(), at(2, 3_001, payout())];
        assert_eq!(judged(late, 9_999_999, 0), Verdict::Late);
        let returned = vec![paid.clone(), at(2, 9_000, back(503))];
        assert_eq!(judged(returned, 9_999_999, 0), Verdict::Returned);
        let short = vec![paid, at(2, 9_000, back(502))];
        assert_eq!(judged(short, 9_999_999, 0), Verdict::Broken);
    }

    #[test]
    fn a_doubled_deposit_sent_back_once_settles_nothing() {
        let twice = vec![at(1, 1_500, deposit()), at(1, 1_500, deposit()), at(2, 1_600, back(503))];
        assert_eq!(judged(twice, 9_999_999, 0), Verdict::Broken);
    }

    #[test]
    fn a_payout_to_another_or_before_the_deposit_keeps_nothing() {
        let mut other = payout();
        other.to = Account::from_bytes([9; 32]);
        let before = vec![at(1, 1_400, payout()), at(2, 1_500, deposit()), at(3, 1_600, other)];
        assert_eq!(judged(before, 9_999_999, 0), Verdict::Broken);
    }

    #[test]
    fn a_promise_of_another_mixer_is_not_this_ones() {
        let key = AccountKey::from_seed([8; 32]);
        let forged = Signed::make(promise(), &here(), &key);
        let refused = Signed::<Promise>::read(forged.bytes(), &here(), |p| Some(p.node));
        assert_eq!(refused.unwrap_err(), BadDocument::BadSignature);
    }
}
