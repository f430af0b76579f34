//! The one ledger, as nodes see it through their endpoints.
//!
//! What is final stays; everything above may be forked away. The state of every node's account is
//! kept for each final height, so that an endpoint that is behind shows the past and not a mixture.

use mixing::Time;
use money::embedded::{Call, Era, Ledger, Transaction};
use money::{Account, AccountKey, Amount, LedgerTime, Reference, Slot, Transfer};
use payment::effect::{FinalBlock, Payment, Spent};

use crate::clock;
use crate::payments::plan::Plan;

/// The ledger of a world.
pub struct Chain {
    /// The production core.
    pub ledger: Ledger,
    accounts: Vec<Account>,
    /// By final height and node: what its account holds and its first unspent slot.
    past: Vec<Vec<(Amount, Slot)>>,
}

impl Chain {
    /// The ledger of a planned world, some blocks old.
    pub fn new(plan: &Plan) -> Chain {
        let ledger = Ledger::new(plan.genesis()).expect("plans have a sound genesis");
        let accounts = (0..plan.nodes()).map(|node| plan.key(node).account()).collect();
        let mut chain = Chain { ledger, accounts, past: Vec::new() };
        chain.remember();
        for number in 0..plan.lag + 2 {
            chain.build(Time::from_nanos((number + 1) * 1_000_000));
        }
        chain
    }

    /// Builds the next block.
    pub fn build(&mut self, now: Time) {
        let millis = clock::BEGINNING.as_millis() + now.as_nanos() / 1_000_000;
        self.ledger.build(LedgerTime::from_millis(millis));
        self.remember();
    }

    fn remember(&mut self) {
        if self.past.len() as u64 == self.ledger.final_head().height {
            let state = |account| self.ledger.final_account(account);
            let states = self.accounts.iter().map(state);
            self.past.push(states.map(|state| (state.free, state.slot)).collect());
        }
    }

    /// The height of the newest final block.
    pub fn final_height(&self) -> u64 {
        self.ledger.final_head().height
    }

    /// What a final block means for a node, to whom `newest` is the newest.
    pub fn show(&self, node: usize, height: u64, newest: u64) -> FinalBlock {
        let account = self.accounts[node];
        let block = self.ledger.block(height).expect("final blocks stay");
        let own = |t: &&Transfer| t.from == account;
        let spent = block.included.iter().enumerate().filter(|(_, i)| i.sender == account);
        let spent = spent.map(|(at, included)| Spent {
            slot: included.slot,
            done: included.outcome.is_ok(),
            transfers: block
                .transfers
                .iter()
                .filter(own)
                .filter(|t| t.place.extrinsic as usize == at)
                .cloned()
                .collect(),
        });
        let to_us = block.transfers.iter().filter(|t| t.to == account && t.from != account);
        let (balance, slot) = self.past[height as usize][node];
        FinalBlock {
            height,
            time: block.time,
            newest,
            received: to_us.cloned().collect(),
            spent: spent.collect(),
            balance,
            slot,
        }
    }

    /// Composes a payment for a slot, to live `period` blocks from the final block at `birth`.
    pub fn compose(
        &self,
        sender: Account,
        slot: Slot,
        payment: Option<Payment>,
        birth: u64,
        period: u32,
    ) -> Transaction {
        let calls = payment.map_or_else(
            || vec![Call::Remark(Reference::new(b"").expect("nothing is short"))],
            |Payment { to, amount, reference }| {
                vec![Call::Transfer { to, amount, keep_alive: true }, Call::Remark(reference)]
            },
        );
        let hash = self.ledger.block(birth).expect("final blocks stay").hash;
        let era = Era::Mortal { birth, hash, period };
        Transaction { genesis: self.ledger.genesis().hash(), sender, slot, era, calls }
    }

    /// Signs a payment that somebody makes by hand, for the slot that a wallet would take.
    pub fn by_hand(
        &self,
        key: &AccountKey,
        to: Account,
        amount: u64,
        reference: Option<&Reference>,
    ) -> Vec<u8> {
        let sender = key.account();
        let amount = Amount::from_units(amount);
        let mut calls = vec![Call::Transfer { to, amount, keep_alive: true }];
        calls.extend(reference.cloned().map(Call::Remark));
        let slot = self.ledger.next_slot(&sender);
        let genesis = self.ledger.genesis().hash();
        Transaction { genesis, sender, slot, era: Era::Immortal, calls }.sign(key)
    }
}
