//! The embedded ledger against a plain book of who holds what.

use std::collections::{BTreeMap, BTreeSet};

use money::embedded::{Block, Call, Era, Inherent, Ledger, Transaction};
use money::{Account, Amount, LedgerTime, Reference, Slot};

use super::{account, genesis, key};
use crate::input::Input;

/// Transactions, faucets, blocks, forks and lost queues, against a book that is written anew for each
/// block by the rules of `money::embedded`; at the end another ledger takes all blocks back and stands
/// where the first one does.
pub fn ledger(bytes: &[u8]) {
    ledger_with(bytes, &Rules::TRUE);
}

/// What the book believes; a test lets it believe something wrong.
pub(crate) struct Rules {
    /// What a transaction costs.
    pub(crate) fee: u64,
    /// Whether an account that closes forgets its nonce.
    pub(crate) forgets: bool,
    /// Whether a transaction that fails leaves its calls undone.
    pub(crate) all_or_nothing: bool,
}

impl Rules {
    pub(crate) const TRUE: Rules = Rules { fee: 3, forgets: true, all_or_nothing: true };
}

const DEPOSIT: u64 = 100;
/// How many accounts take part, by their number.
const NAMES: u8 = 5;

/// The model: what each account holds, and its nonce.
#[derive(Clone, Default)]
struct Book {
    accounts: BTreeMap<Account, (u64, u64)>,
    members: BTreeSet<Account>,
}

impl Book {
    fn begin() -> Self {
        let genesis = genesis();
        let accounts = genesis.accounts.iter().map(|(who, free)| (*who, (free.units(), 0)));
        Book { accounts: accounts.collect(), members: genesis.members.into_iter().collect() }
    }

    fn get(&self, who: &Account) -> (u64, u64) {
        self.accounts.get(who).copied().unwrap_or_default()
    }

    fn set(&mut self, who: Account, (free, slot): (u64, u64), rules: &Rules) {
        match (free < DEPOSIT, rules.forgets) {
            (false, _) => self.accounts.insert(who, (free, slot)),
            (true, true) => self.accounts.remove(&who),
            (true, false) => self.accounts.insert(who, (0, slot)),
        };
    }

    /// A whole block, as the ledger says it was.
    fn block(&mut self, block: &Block, rules: &Rules) {
        for inherent in &block.inherents {
            match *inherent {
                Inherent::Faucet { to, amount } => {
                    let (free, slot) = self.get(&to);
                    self.set(to, (free + amount.units(), slot), rules);
                }
                Inherent::Admit(who) => {
                    self.members.insert(who);
                }
                Inherent::Expel(who) => {
                    self.members.remove(&who);
                }
            }
        }
        for included in &block.included {
            let transaction = Transaction::read(&included.bytes).expect("it was taken in");
            assert_eq!(transaction.slot.0, self.get(&included.sender).1, "a nonce comes in turn");
            let done = self.transact(&transaction, rules);
            assert_eq!(done, included.outcome.is_ok(), "{:?}", included.outcome);
        }
        for included in &block.included {
            let (free, slot) = self.get(&included.sender);
            if self.members.contains(&included.sender) && free > 0 {
                self.set(included.sender, (free + rules.fee, slot), rules);
            }
        }
    }

    /// One transaction in a block: the fee and the nonce, then all calls or none.
    fn transact(&mut self, transaction: &Transaction, rules: &Rules) -> bool {
        let who = transaction.sender;
        let (free, slot) = self.get(&who);
        self.set(who, (free - rules.fee, slot + 1), rules);
        let before = self.clone();
        let done = transaction.calls.iter().all(|call| self.call(who, call, rules));
        if !done && rules.all_or_nothing {
            *self = before;
        }
        done
    }

    fn call(&mut self, from: Account, call: &Call, rules: &Rules) -> bool {
        let Call::Transfer { to, amount, keep_alive } = call else { return true };
        let ((free, slot), amount) = (self.get(&from), amount.units());
        let Some(left) = free.checked_sub(amount) else { return false };
        if amount == 0 || *to == from {
            return true;
        }
        let (theirs, their_slot) = self.get(to);
        if (*keep_alive && left < DEPOSIT) || theirs + amount < DEPOSIT {
            return false;
        }
        self.set(from, (left, slot), rules);
        self.set(*to, (theirs + amount, their_slot), rules);
        true
    }
}

pub(crate) fn ledger_with(bytes: &[u8], rules: &Rules) {
    let mut input = Input::new(bytes);
    let mut ledger = Ledger::new(genesis()).expect("a sound genesis");
    let mut books = vec![Book::begin()];
    let mut seconds = 1_000;
    while !input.is_empty() {
        match input.byte() % 8 {
            0 => {
                // Refused where it is less than an account may hold.
                let _ = ledger.order(inherent(&mut input));
            }
            1 => {
                let (depth, keep) = (input.below(4), input.flag());
                let above = books.len() - 1 - ledger.final_head().height as usize;
                assert_eq!(ledger.fork(depth, keep).is_ok(), depth <= above);
                books.truncate(books.len() - if depth <= above { depth } else { 0 });
            }
            2 if input.byte() < 16 => ledger.forget_waiting(),
            2 | 3 => {
                seconds += u64::from(input.byte());
                ledger.build(LedgerTime::from_secs(seconds));
                let mut book = books.last().expect("there is a first").clone();
                book.block(ledger.head(), rules);
                books.push(book);
            }
            _ => submit(&mut input, &mut ledger),
        }
        compare(&ledger, &books);
    }
    let mut other = Ledger::new(genesis()).expect("a sound genesis");
    for height in 1..=ledger.head().height {
        let block = ledger.block(height).expect("it is below the head");
        assert_eq!(other.replay(&block.to_bytes()), Ok(()), "block {height} is taken back");
    }
    assert_eq!(other.head(), ledger.head());
}

fn compare(ledger: &Ledger, books: &[Book]) {
    let newest = books.last().expect("there is a first");
    let settled = &books[ledger.final_head().height as usize];
    assert_eq!(ledger.head().height as usize, books.len() - 1);
    for name in 0..NAMES {
        let who = account(name);
        let shown = ledger.account(&who);
        assert_eq!((shown.free.units(), shown.slot.0), newest.get(&who), "account {name}");
        let shown = ledger.final_account(&who);
        assert_eq!((shown.free.units(), shown.slot.0), settled.get(&who), "account {name}, final");
        assert_eq!(ledger.final_member(&who), settled.members.contains(&who));
    }
}

fn inherent(input: &mut Input<'_>) -> Inherent {
    let who = account(input.byte() % NAMES);
    match input.below(4) {
        0 => Inherent::Admit(who),
        1 => Inherent::Expel(who),
        _ => Inherent::Faucet { to: who, amount: Amount::from_units(input.u16().into()) },
    }
}

fn submit(input: &mut Input<'_>, ledger: &mut Ledger) {
    let name = input.byte() % NAMES;
    let sender = account(name);
    let slot = match input.below(4) {
        0 => Slot(ledger.account(&sender).slot.0 + u64::from(input.byte() % 8)),
        1 => Slot(input.byte().into()),
        _ => ledger.next_slot(&sender),
    };
    let era = match input.below(3) {
        0 => Era::Immortal,
        more => {
            let birth = ledger.head().height.saturating_sub(input.below(4) as u64);
            let hash = ledger.block(birth).expect("below the head").hash;
            Era::Mortal { birth, hash, period: more as u32 + u32::from(input.byte() % 4) }
        }
    };
    let free = ledger.account(&sender).free.units();
    let calls = (0..=input.byte() % 4).map(|_| call(input, free)).collect();
    let genesis = ledger.genesis().hash();
    let signed = Transaction { genesis, sender, slot, era, calls }.sign(key(name));
    let before = ledger.waiting();
    let taken = ledger.submit(&signed);
    assert!(ledger.waiting() <= before + usize::from(taken.is_ok()));
    assert_eq!(ledger.submit(&signed).is_ok(), taken.is_ok(), "twice is like once");
}

/// A remark, or a transfer: of an amount that is the input's, or near to all that its sender has.
fn call(input: &mut Input<'_>, free: u64) -> Call {
    let amount = match input.below(4) {
        0 => {
            let text = input.take(3);
            return Call::Remark(Reference::new(text).expect("a short one"));
        }
        1 => free.saturating_sub(u64::from(input.byte())),
        _ => u64::from(input.u16() % 2_048),
    };
    let to = account(input.byte() % NAMES);
    Call::Transfer { to, amount: Amount::from_units(amount), keep_alive: input.flag() }
}
