//! Who holds what, at one block; and how to take a block back.
//!
//! What always holds: every change goes through [`State::set`] or [`State::set_member`], which note what
//! was before; an account in the table holds at least the existential deposit.
//! Absent: rules of transactions (`apply`).

use std::collections::{BTreeMap, BTreeSet};

use super::{BadGenesis, Genesis, Included, Inherent, MONEY_MAX};
use crate::{Account, Amount, Slot};

/// One account at one block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AccountState {
    /// What it holds.
    pub free: Amount,
    /// The nonce its next transaction has.
    pub slot: Slot,
}

/// All accounts, all members, and where money is that no account holds.
pub(super) struct State {
    pub(super) existential_deposit: Amount,
    accounts: BTreeMap<Account, AccountState>,
    members: BTreeSet<Account>,
    totals: Totals,
    undo: Undo,
}

/// Money outside accounts, and how much there is at all.
#[derive(Clone, Copy, Default)]
struct Totals {
    /// Fees taken and not refunded.
    fees: Amount,
    /// What closed accounts left behind.
    dust: Amount,
    /// All money ever made.
    issued: Amount,
}

/// What a block changed: how things stood before it.
#[derive(Default)]
pub(super) struct Undo {
    accounts: BTreeMap<Account, AccountState>,
    members: BTreeMap<Account, bool>,
    totals: Totals,
}

impl Undo {
    pub(super) fn account(&self, account: &Account) -> Option<AccountState> {
        self.accounts.get(account).copied()
    }

    pub(super) fn member(&self, account: &Account) -> Option<bool> {
        self.members.get(account).copied()
    }
}

impl State {
    pub(super) fn new(genesis: &Genesis) -> Result<Self, BadGenesis> {
        if genesis.existential_deposit == Amount::ZERO {
            return Err(BadGenesis::NoDeposit);
        }
        if genesis.accounts.values().any(|free| *free < genesis.existential_deposit) {
            return Err(BadGenesis::BelowDeposit);
        }
        let issued = genesis.accounts.values().copied().try_fold(Amount::ZERO, Amount::plus);
        let issued = issued.filter(|issued| *issued <= MONEY_MAX).ok_or(BadGenesis::TooMuch)?;
        let account = |(account, free): (&Account, &Amount)| {
            (*account, AccountState { free: *free, slot: Slot(0) })
        };
        Ok(Self {
            existential_deposit: genesis.existential_deposit,
            accounts: genesis.accounts.iter().map(account).collect(),
            members: genesis.members.iter().copied().collect(),
            totals: Totals { issued, ..Totals::default() },
            undo: Undo::default(),
        })
    }

    pub(super) fn account(&self, account: &Account) -> AccountState {
        self.accounts.get(account).copied().unwrap_or_default()
    }

    pub(super) fn is_member(&self, account: &Account) -> bool {
        self.members.contains(account)
    }

    pub(super) fn issued(&self) -> Amount {
        self.totals.issued
    }

    /// Begins to note changes.
    pub(super) fn begin(&mut self) {
        self.undo = Undo { totals: self.totals, ..Undo::default() };
    }

    /// Hands out what was noted since [`Self::begin`].
    pub(super) fn finish(&mut self) -> Undo {
        std::mem::take(&mut self.undo)
    }

    /// Takes a block back; blocks go in the reverse of the order in which they came.
    pub(super) fn take_back(&mut self, undo: Undo) {
        for (account, before) in undo.accounts {
            match before == AccountState::default() {
                true => self.accounts.remove(&account),
                false => self.accounts.insert(account, before),
            };
        }
        for (account, before) in undo.members {
            match before {
                true => self.members.insert(account),
                false => self.members.remove(&account),
            };
        }
        self.totals = undo.totals;
    }

    /// Sets an account. What is below the existential deposit is swept up and the account closes: its
    /// nonce is forgotten with it.
    pub(super) fn set(&mut self, account: Account, after: AccountState) {
        let before = self.account(&account);
        self.undo.accounts.entry(account).or_insert(before);
        if after.free < self.existential_deposit {
            self.accounts.remove(&account);
            self.totals.dust = plus(self.totals.dust, after.free);
        } else {
            self.accounts.insert(account, after);
        }
    }

    /// Moves a fee from an account to the pot.
    pub(super) fn take_fee(&mut self, payer: Account, fee: Amount) {
        let before = self.account(&payer);
        let free = before.free.minus(fee).expect("the fee was checked before");
        self.totals.fees = plus(self.totals.fees, fee);
        self.set(payer, AccountState { free, slot: before.slot.next() });
    }

    /// Gives members back what their transactions cost, while their account lives.
    pub(super) fn refund_members(&mut self, included: &[Included], fee: Amount) {
        for sender in included.iter().map(|included| included.sender) {
            let before = self.account(&sender);
            if self.is_member(&sender) && before.free != Amount::ZERO {
                self.totals.fees = self.totals.fees.minus(fee).expect("the fee was taken before");
                self.set(sender, AccountState { free: plus(before.free, fee), ..before });
            }
        }
    }

    /// Does what needs no signature; says whether it was possible.
    pub(super) fn inherent(&mut self, inherent: &Inherent) -> bool {
        match *inherent {
            Inherent::Faucet { to, amount } => {
                let issued = self.totals.issued.plus(amount);
                let Some(issued) = issued.filter(|issued| *issued <= MONEY_MAX) else {
                    return false;
                };
                let before = self.account(&to);
                self.totals.issued = issued;
                self.set(to, AccountState { free: plus(before.free, amount), ..before });
                true
            }
            Inherent::Admit(account) => self.set_member(account, true),
            Inherent::Expel(account) => self.set_member(account, false),
        }
    }

    fn set_member(&mut self, account: Account, after: bool) -> bool {
        let before = match after {
            true => !self.members.insert(account),
            false => self.members.remove(&account),
        };
        self.undo.members.entry(account).or_insert(before);
        true
    }

    /// Counts all money.
    ///
    /// # Panics
    /// If some was made or lost, or an account lives below the existential deposit.
    pub(super) fn audit(&self) {
        let held: Amount = self.accounts.values().map(|account| account.free).sum();
        let outside = plus(self.totals.fees, self.totals.dust);
        assert_eq!(plus(held, outside), self.totals.issued, "money is neither made nor lost");
        let least = self.accounts.values().map(|account| account.free).min();
        assert!(least.is_none_or(|free| free >= self.existential_deposit), "the poor are closed");
    }
}

fn plus(a: Amount, b: Amount) -> Amount {
    a.plus(b).expect("all money together fits into 64 bits")
}
