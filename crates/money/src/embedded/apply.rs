//! What a transaction does to the accounts: its fee and nonce first, then all its calls or none.
//!
//! What always holds: a failure leaves no trace but the fee and the nonce.
//! Absent: whether the transaction may stand in this block at all (`Ledger::submit` and `build`).

use super::state::{AccountState, State};
use super::transaction::{Call, Transaction};
use crate::{Account, Amount};

/// Why the calls of a transaction in a block did not happen. Its nonce and fee are spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// A transfer is more than the sender has.
    FundsUnavailable,
    /// A transfer that keeps the sender alive would leave less than the existential deposit.
    NotExpendable,
    /// A transfer would open an account with less than the existential deposit.
    BelowMinimum,
}

impl State {
    /// Takes fee and nonce, then applies the calls.
    pub(super) fn transact(
        &mut self,
        transaction: &Transaction,
        fee: Amount,
    ) -> Result<(), Failure> {
        self.take_fee(transaction.sender, fee);
        let mut draft = Draft { state: self, changes: Vec::new() };
        for call in &transaction.calls {
            draft.call(transaction.sender, call)?;
        }
        let changes = draft.changes;
        for (account, after) in changes {
            self.set(account, after);
        }
        Ok(())
    }
}

/// Changes that are not yet made. Few, so a list is enough; the newest entry of an account counts.
struct Draft<'a> {
    state: &'a State,
    changes: Vec<(Account, AccountState)>,
}

impl Draft<'_> {
    fn account(&self, account: &Account) -> AccountState {
        let change = self.changes.iter().rev().find(|(changed, _)| changed == account);
        match change {
            // An account that closes in the middle of a batch has lost its nonce already.
            Some((_, after)) if after.free < self.state.existential_deposit => {
                AccountState::default()
            }
            Some((_, after)) => *after,
            None => self.state.account(account),
        }
    }

    fn call(&mut self, sender: Account, call: &Call) -> Result<(), Failure> {
        let Call::Transfer { to, amount, keep_alive } = call else {
            return Ok(());
        };
        let from = self.account(&sender);
        let left = from.free.minus(*amount).ok_or(Failure::FundsUnavailable)?;
        if *amount == Amount::ZERO || *to == sender {
            return Ok(());
        }
        let deposit = self.state.existential_deposit;
        if *keep_alive && left < deposit {
            return Err(Failure::NotExpendable);
        }
        let receiver = self.account(to);
        let free = receiver.free.plus(*amount).expect("all money together fits into 64 bits");
        if free < deposit {
            return Err(Failure::BelowMinimum);
        }
        self.changes.push((sender, AccountState { free: left, ..from }));
        self.changes.push((*to, AccountState { free, ..receiver }));
        Ok(())
    }
}
