//! Signs payments for their slots and sends transactions, one after the other.

use std::sync::Arc;

use money::{AccountKey, Slot};
use payment::effect::{Input, Payment};
use tokio::sync::mpsc;

use super::chain::Chain;
use super::mixer::Handle;

/// What there is to do.
pub(super) enum Work {
    /// Sign, and give it back to the core.
    Sign { slot: Slot, payment: Option<Payment>, period: u32 },
    /// Send.
    Submit(Vec<u8>),
}

/// Has the key, and the connection.
pub(super) struct Signer {
    pub(super) chain: Arc<Chain>,
    pub(super) key: AccountKey,
    pub(super) handle: Handle,
}

impl Signer {
    /// The most things that wait: every slot in use may be asked for twice.
    pub(super) const QUEUE_MAX: usize = 1024;

    /// Works until there is nobody left who asks.
    pub(super) async fn run(self, mut work: mpsc::Receiver<Work>) {
        while let Some(work) = work.recv().await {
            match work {
                // What fails here is asked for again at the next final block; the reader of blocks
                // says that the ledger is out of reach.
                Work::Sign { slot, payment, period } => {
                    let signed = self.chain.sign(&self.key, slot, payment, period).await;
                    if let Ok((bytes, last)) = signed {
                        self.handle.give(Input::Signed { slot, bytes, last }).await;
                    }
                }
                // "Accepted" proves nothing and "refused" may be a repetition: the final chain tells.
                Work::Submit(bytes) => drop(self.chain.submit(&bytes).await),
            }
        }
    }
}
