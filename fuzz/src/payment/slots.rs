//! Slots against a chain that takes each nonce once, however the process in front of it is treated.

use std::collections::{BTreeMap, BTreeSet};

use money::{Account, Amount, LedgerTime, Place, Reference, Slot, Transfer};
use payment::effect::{Change, Effect, FinalBlock, Payment, Spent};
use payment::slots::{Purpose, Settled, Slots, slot_of};

use crate::input::Input;
use crate::money::account;

/// Payments that are owed, signed, lost, sent again, failed by the ledger, and a process that ends at
/// any time and begins with what it had saved: no payment stands twice on the chain, what is said to be
/// paid stands there, and in the end all that is owed is paid.
pub fn slots(bytes: &[u8]) {
    slots_with(bytes, &Rules::TRUE);
}

/// How the process behaves; a test lets it behave otherwise.
pub(crate) struct Rules {
    /// Whether a slot is saved before anything is signed for it.
    pub(crate) saves_first: bool,
    /// Whether the ledger shows what it spent.
    pub(crate) shows_spent: bool,
}

impl Rules {
    pub(crate) const TRUE: Rules = Rules { saves_first: true, shows_spent: true };
}

const PERIOD: u32 = 4;
const PAYEE: Account = Account::from_bytes([66; 32]);

/// A signed transaction: nonce, payment, last block.
#[derive(Clone, Debug)]
struct Signed {
    slot: Slot,
    payment: Option<Payment>,
    last: u64,
}

/// The process, the ledger and the wire between them.
struct World {
    slots: Slots,
    disk: BTreeMap<Vec<u8>, Vec<u8>>,
    /// What is owed and not yet known to be paid: as a mixer's orders say.
    owed: BTreeSet<u8>,
    /// Asked to be signed.
    to_sign: Vec<(Slot, Option<Payment>)>,
    signed: BTreeMap<Vec<u8>, Signed>,
    /// On the way to the ledger.
    sent: Vec<Vec<u8>>,
    height: u64,
    nonce: Slot,
    /// How often each payment stands on the chain.
    paid: BTreeMap<u8, usize>,
}

fn purpose(name: u8) -> Purpose {
    Purpose::Order([name; 16])
}

fn payment(name: u8) -> Payment {
    let reference = Reference::new(&[name]).expect("a short one");
    Payment { to: PAYEE, amount: Amount::from_units(500), reference }
}

pub(crate) fn slots_with(bytes: &[u8], rules: &Rules) {
    let mut input = Input::new(bytes);
    let mut world = World {
        slots: Slots::new(Slot(0), PERIOD),
        disk: BTreeMap::new(),
        owed: BTreeSet::new(),
        to_sign: Vec::new(),
        signed: BTreeMap::new(),
        sent: Vec::new(),
        height: 0,
        nonce: Slot(0),
        paid: BTreeMap::new(),
    };
    let mut next = 0u8;
    for _ in 0..200 {
        if input.is_empty() {
            break;
        }
        let step = input.byte();
        match step % 8 {
            0 | 1 if next < 60 => {
                world.owed.insert(next);
                world.slots.owe(purpose(next), payment(next));
                next += 1;
            }
            2 => world.give(rules),
            3 | 4 => world.sign(usize::from(step >> 3)),
            5 => drop(world.sent.pop()),
            6 if step >= 200 => world.start(),
            _ => world.block(step >> 4, rules),
        }
    }
    // From here on nothing is lost: all that is owed is paid, once.
    for _ in 0..40 {
        world.give(rules);
        while !world.to_sign.is_empty() {
            world.sign(0);
        }
        world.block(0, rules);
    }
    assert_eq!(world.owed, BTreeSet::new(), "all is paid in the end");
    assert!((0..next).all(|name| world.paid.get(&name) == Some(&1)), "{:?}", world.paid);
    assert!(world.slots.is_empty(), "nothing is left over");
}

impl World {
    fn perform(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Save(changes) => self.save(changes),
                Effect::Sign { slot, payment, period } => {
                    assert_eq!(period, PERIOD);
                    self.to_sign.push((slot, payment));
                }
                Effect::Broadcast(bytes) => self.sent.push(bytes),
                Effect::Tell(_) | Effect::Reply(_) | Effect::Ask { .. } => {}
            }
        }
    }

    fn save(&mut self, changes: Vec<Change>) {
        for Change { key, value } in changes {
            match value {
                Some(value) => self.disk.insert(key, value),
                None => self.disk.remove(&key),
            };
        }
    }

    fn give(&mut self, rules: &Rules) {
        let (mut changes, mut out) = (Vec::new(), Vec::new());
        self.slots.give(&mut changes, &mut out);
        if rules.saves_first {
            self.save(changes);
        }
        self.perform(out);
    }

    /// One of the signatures that were asked for comes.
    fn sign(&mut self, which: usize) {
        if self.to_sign.is_empty() {
            return;
        }
        let (slot, payment) = self.to_sign.remove(which % self.to_sign.len());
        let bytes = format!("{} {} {:?}", slot.0, self.height, payment).into_bytes();
        let last = self.height + u64::from(PERIOD);
        let signed = Signed { slot, payment, last };
        self.signed.insert(bytes.clone(), signed);
        let mut out = Vec::new();
        // Refused where another signature was quicker.
        let _ = self.slots.on_signed(slot, bytes, last, &mut out);
        self.perform(out);
    }

    /// The process ends and begins with what it saved; what it owes it knows from elsewhere.
    fn start(&mut self) {
        self.slots = Slots::new(Slot(0), PERIOD);
        self.to_sign.clear();
        let mut held = BTreeSet::new();
        for (key, record) in &self.disk {
            let slot = slot_of(key).expect("a record of a slot");
            held.extend(self.slots.resume(slot, record).expect("a record of ours"));
        }
        for name in &self.owed {
            if !held.contains(&purpose(*name)) {
                self.slots.owe(purpose(*name), payment(*name));
            }
        }
    }

    /// The ledger makes a block of what has come: all that fits, unless the input says that some of it
    /// fails or is left for later. It is final at once.
    fn block(&mut self, choice: u8, rules: &Rules) {
        self.height += 1;
        let (mut spent, mut event) = (Vec::new(), 0);
        let takes_in = choice & 1 == 0;
        loop {
            let fits = |bytes: &Vec<u8>| {
                let signed = &self.signed[bytes];
                signed.slot == self.nonce && signed.last >= self.height
            };
            let next = self.sent.iter().position(fits).filter(|_| takes_in);
            let Some(at) = next else { break };
            let signed = self.signed[&self.sent.remove(at)].clone();
            self.nonce = self.nonce.next();
            let done = choice & 6 != 6;
            let mut transfers = Vec::new();
            if let Some(payment) = signed.payment.filter(|_| done) {
                let name = payment.reference.as_bytes()[0];
                *self.paid.entry(name).or_default() += 1;
                assert_eq!(self.paid[&name], 1, "payment {name} stands twice on the chain");
                transfers.push(Transfer {
                    from: account(1),
                    to: payment.to,
                    amount: payment.amount,
                    reference: Some(payment.reference),
                    place: Place { block: self.height, extrinsic: event, event },
                });
                event += 1;
            }
            spent.push(Spent { slot: signed.slot, done, transfers });
        }
        self.sent.retain(|bytes| self.signed[bytes].last > self.height);
        if !rules.shows_spent {
            spent.clear();
        }
        let block = FinalBlock {
            height: self.height,
            time: LedgerTime::from_secs(self.height),
            newest: self.height,
            received: Vec::new(),
            spent,
            balance: Amount::from_units(1_000_000),
            slot: self.nonce,
        };
        let mut changes = Vec::new();
        for settled in self.slots.on_block(&block, &mut changes) {
            match settled {
                Settled::Paid(Purpose::Order([name, ..])) => {
                    assert_eq!(self.paid.get(&name), Some(&1), "what is paid stands on the chain");
                    assert!(self.owed.remove(&name), "it was owed");
                }
                Settled::Missed(Purpose::Order([name, ..])) => {
                    assert_eq!(self.paid.get(&name), None, "what missed does not stand there");
                }
                Settled::Paid(Purpose::Return(_)) | Settled::Missed(Purpose::Return(_)) => {
                    panic!("there are no returns here");
                }
                Settled::Unknown(transfer) => panic!("a payment that nobody knows: {transfer:?}"),
                Settled::Foreign => {}
            }
        }
        self.save(changes);
        let mut out = Vec::new();
        self.slots.press(&block, &mut out);
        self.perform(out);
    }
}
