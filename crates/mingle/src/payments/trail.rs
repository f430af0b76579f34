//! Where a deposited part is by now: the payouts of its route, as the final chain shows them.
//!
//! What always holds: what is seen is final. Absent: what it means; the core judges arrivals by itself.

use money::{Account, Transfer};
use payment::document::{Currency, Promise, Signed};
use payment::effect::{FinalBlock, Payment};

use super::chain::Chain;
use crate::Error;

/// One part's way over the ledger.
pub struct Trail {
    hops: Vec<Hop>,
    /// The height to be read next: a payout stands above the one before it.
    next: u64,
}

struct Hop {
    mixer: Account,
    payout: Payment,
    seen: Option<Transfer>,
}

/// Payouts so many blocks apart still count as having left together: a release is several transactions.
pub const TOGETHER: u64 = 1;

impl Trail {
    /// The way that these promises describe, nothing of which stands in a block up to `from`.
    pub fn new(promises: &[Signed<Promise>], currency: &Currency, from: u64) -> Self {
        let hop = |promise: &Signed<Promise>| {
            let promise = promise.content();
            let payout = Payment {
                to: promise.receiver,
                amount: promise.out_amount,
                reference: promise.out_reference(currency),
            };
            Hop { mixer: promise.node, payout, seen: None }
        };
        Self { hops: promises.iter().map(hop).collect(), next: from + 1 }
    }

    /// How many mixers have paid on.
    pub fn seen(&self) -> usize {
        self.hops.iter().take_while(|hop| hop.seen.is_some()).count()
    }

    /// The last payout, once it is there.
    pub fn arrival(&self) -> Option<&Transfer> {
        self.hops.last()?.seen.as_ref()
    }

    /// Reads on, up to a height.
    ///
    /// # Errors
    /// [`Error::Ledger`]; what was seen by then is kept.
    pub async fn follow(&mut self, chain: &Chain, newest: u64) -> Result<(), Error> {
        while let Some(hop) = self.hops.iter_mut().find(|hop| hop.seen.is_none()) {
            if self.next > newest {
                return Ok(());
            }
            for block in chain.blocks(self.next, &hop.mixer).await? {
                hop.seen = paid(&block).find(|transfer| hop.payout.is(transfer)).cloned();
                if hop.seen.is_some() {
                    break;
                }
                self.next = block.height + 1;
            }
        }
        Ok(())
    }

    /// For each mixer, how many equal payouts left it with this one, itself included.
    ///
    /// # Errors
    /// [`Error::Ledger`].
    pub async fn company(&self, chain: &Chain) -> Result<Vec<u64>, Error> {
        let mut company = Vec::new();
        for hop in &self.hops {
            let Some(seen) = &hop.seen else { continue };
            let from = seen.place.block.saturating_sub(TOGETHER);
            let mut equal = 0;
            let mut next = from;
            while next <= seen.place.block + TOGETHER {
                let blocks = chain.blocks(next, &hop.mixer).await?;
                // Not final yet: whoever comes later did not leave together with ours as we know it.
                let Some(last) = blocks.last() else { break };
                next = last.height + 1;
                let near = blocks.iter().filter(|b| b.height <= seen.place.block + TOGETHER);
                let payouts = near.flat_map(paid).filter(|t| t.amount == seen.amount);
                equal += payouts.count() as u64;
            }
            company.push(equal);
        }
        Ok(company)
    }
}

fn paid(block: &FinalBlock) -> impl Iterator<Item = &Transfer> {
    block.spent.iter().flat_map(|spent| &spent.transfers)
}
