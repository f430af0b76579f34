//! What nodes do on the ledger, and what the ledger does.

use std::time::Duration;

use ::money::{AccountKey, Amount, Slot};
use payment::effect::{Input, Payment};

use super::{Event, HOUR, Paper, World};
use crate::payments::fault::{Cheat, What};
use crate::payments::log::{Happened, Taken};
use crate::payments::node::Core;

/// How many blocks a node reads at once.
const READ_MAX: usize = 64;

impl World {
    /// The next block, after whatever goes wrong with the newest ones.
    pub(super) fn block(&mut self) {
        let every = match &mut self.night {
            None => self.plan.block_every,
            Some(night) if night.slow > 0 => {
                night.slow -= 1;
                self.plan.block_every * 9
            }
            Some(night) if night.fast > 0 => {
                night.fast -= 1;
                HOUR
            }
            // Time for what the last block has begun.
            Some(_) => return self.over = Some(self.now + HOUR),
        };
        self.queue.plan(self.now + every, Event::Block);
        if self.is_on(|what| *what == What::Halt) {
            return;
        }
        for (_, what) in self.active.clone() {
            match what {
                What::Forks(one_in, kept) if self.chance.below(one_in) == 0 => {
                    let depth = 1 + self.chance.below(self.plan.lag) as usize;
                    if self.chain.ledger.fork(depth, kept).is_ok() {
                        self.note(Happened::Forked { depth: depth as u16, kept });
                    }
                }
                What::Drops(one_in) if self.chance.below(one_in) == 0 => {
                    let waiting = self.chain.ledger.waiting() as u32;
                    self.note(Happened::Dropped { waiting });
                    self.chain.ledger.forget_waiting();
                }
                _ => {}
            }
        }
        self.press_wallets();
        if let Some(mistake) = &mut self.mistake {
            mistake.builds(self.now, &mut self.chain.ledger, &|node| self.plan.key(node));
        }
        self.chain.build(self.now);
        let head = self.chain.ledger.head();
        let (height, included) = (head.height, head.included.len() as u32);
        let mark = u64::from_le_bytes(std::array::from_fn(|i| head.hash[i]));
        self.note(Happened::Block { height, included, mark });
        if let Err(broken) = self.books.read(&self.plan, &self.chain) {
            self.fail(broken);
        }
        for node in 0..self.nodes.len() {
            let after = Duration::from_millis(self.chance.below(500)) + self.slowness(node);
            self.queue.plan(self.now + after, Event::Look(node as u16));
        }
    }

    fn slowness(&self, node: usize) -> Duration {
        let slow = |(_, what): &(usize, What)| match what {
            What::Slow(slow, takes) if *slow == node => Some(*takes),
            _ => None,
        };
        self.active.iter().find_map(slow).unwrap_or_default()
    }

    fn is_blind(&self, node: usize) -> bool {
        self.is_on(|what| *what == What::Blind(node))
    }

    /// The height of the newest final block as a node's endpoint has it.
    fn newest(&self, node: usize) -> u64 {
        let late = |(_, what): &(usize, What)| match what {
            What::Late(late, blocks) if *late == node => Some(*blocks),
            _ => None,
        };
        let late = self.active.iter().find_map(late).unwrap_or_default();
        self.chain.final_height().saturating_sub(late)
    }

    /// A node reads what is final.
    pub(super) fn look(&mut self, node: usize) {
        if self.is_blind(node) {
            return;
        }
        for _ in 0..READ_MAX {
            if self.is_free(node).is_err() || !self.read_one(node) {
                break;
            }
        }
        if node >= self.plan.mixers && self.is_free(node).is_ok() {
            self.attend(node);
        }
        self.tick(node);
    }

    fn read_one(&mut self, node: usize) -> bool {
        let newest = self.newest(node);
        let now = self.clock(node);
        let Some(alive) = &mut self.nodes[node].alive else { return false };
        let height = alive.core.next_block();
        if height > newest {
            return false;
        }
        let mut block = self.chain.show(node, height, newest);
        if let Some(mistake) = &mut self.mistake {
            mistake.shows(self.now, node, &mut block);
        }
        self.knowledge.reads(node, &block);
        let first = alive.date == 0;
        alive.date = alive.date.max(block.time.as_secs());
        let mut out = Vec::new();
        let taken = match &mut alive.core {
            Core::Mixer(mixer) => mixer.receive(now, Input::Block(block), &mut out),
            Core::Payer(payer) => {
                let watched = payer.watched();
                let all = &self.chain.ledger.block(height).expect("final blocks stay").transfers;
                let arrivals: Vec<_> =
                    all.iter().filter(|t| watched.contains(&t.to)).cloned().collect();
                payer.on_block(&block, &arrivals, &mut out)
            }
        };
        taken.expect("blocks come in order");
        self.perform(node, out, None);
        if first && node < self.plan.mixers {
            // It has a key that it keeps, and tells everybody.
            self.introduce(node, &(0..self.nodes.len()).collect::<Vec<_>>());
        }
        true
    }

    /// Has a payment signed, from the newest final block on, as a ledger connection does.
    pub(super) fn sign(&mut self, node: usize, slot: Slot, payment: Option<Payment>, period: u32) {
        if self.is_blind(node) {
            return;
        }
        let payment = payment.map(|payment| self.meddled(node, payment));
        let birth = self.newest(node);
        let sender = self.nodes[node].account;
        let mut transaction = self.chain.compose(sender, slot, payment, birth, period);
        if let Some(mistake) = &mut self.mistake {
            mistake.signs(self.now, node, &mut transaction);
        }
        let bytes = transaction.sign(&self.plan.key(node));
        let last = birth + u64::from(period);
        let starts = self.nodes[node].starts;
        self.papers.push(Some(Paper::Signed { node, starts, slot, bytes, last }));
        let place = self.papers.len() as u32 - 1;
        self.queue.plan(self.now + self.slowness(node), Event::Paper(place));
    }

    /// What a cheating operator has signed instead.
    fn meddled(&mut self, node: usize, mut payment: Payment) -> Payment {
        for (_, what) in self.active.clone() {
            match what {
                What::Cheat(cheat, Cheat::Miser) if cheat == node => {
                    let less = payment.amount.minus(Amount::from_units(1));
                    payment.amount = less.unwrap_or(payment.amount);
                }
                What::Cheat(cheat, Cheat::Thief) if cheat == node => {
                    payment.to = AccountKey::from_seed(self.chance.bytes()).account();
                }
                _ => {}
            }
        }
        payment
    }

    /// Sends a transaction to the ledger.
    pub(super) fn broadcast(&mut self, node: usize, bytes: Vec<u8>) {
        let mut lost = self.is_blind(node);
        let mut again = Vec::new();
        for (_, what) in self.active.clone() {
            match what {
                What::Unsent(unsent, rate) if unsent == node => {
                    lost |= self.chance.below(1_000) < rate;
                }
                What::Resent(resent, rate, after)
                    if resent == node && self.chance.below(1_000) < rate =>
                {
                    again.push(after);
                }
                What::Cheat(cheat, Cheat::Keeper) if cheat == node => lost = true,
                _ => {}
            }
        }
        let slowness = self.slowness(node);
        for after in again {
            self.submit_after(node, bytes.clone(), slowness + after);
        }
        if !lost {
            self.submit_after(node, bytes, slowness);
        }
    }

    /// A transaction reaches the ledger after some time.
    pub(super) fn submit_after(&mut self, node: usize, bytes: Vec<u8>, after: Duration) {
        self.papers.push(Some(Paper::Submitted { node, bytes }));
        let place = self.papers.len() as u32 - 1;
        self.queue.plan(self.now + after, Event::Paper(place));
    }

    /// A transaction arrives: signed at its node, or at the ledger.
    pub(super) fn paper(&mut self, place: u32) {
        match self.papers[place as usize].take() {
            Some(Paper::Submitted { node, bytes }) => self.submit(node, &bytes),
            Some(Paper::Signed { node, starts, slot, bytes, last }) => {
                if self.nodes[node].starts != starts {
                    return;
                }
                if let Err(Some(until)) = self.is_free(node) {
                    let paper = Paper::Signed { node, starts, slot, bytes, last };
                    self.papers[place as usize] = Some(paper);
                    return self.queue.plan(until, Event::Paper(place));
                }
                self.signed(node, slot, bytes, last);
            }
            None => {}
        }
    }

    fn signed(&mut self, node: usize, slot: Slot, bytes: Vec<u8>, last: u64) {
        self.note(Happened::Signed { node: node as u16, slot: slot.0 });
        if node < self.plan.mixers {
            let input = Input::Signed { slot, bytes, last };
            self.give(node, input, Taken::Transaction, None);
        } else {
            let mut out = Vec::new();
            let Some(alive) = &mut self.nodes[node].alive else { return };
            let Core::Payer(payer) = &mut alive.core else { return };
            // Refused if another answer for this slot was quicker.
            let _ = payer.on_signed(slot, bytes, last, &mut out);
            self.perform(node, out, None);
        }
        self.tick(node);
    }

    fn submit(&mut self, node: usize, bytes: &[u8]) {
        let taken = self.chain.ledger.submit(bytes).is_ok();
        let mark = bytes.last_chunk::<8>().map_or(0, |tail| u64::from_le_bytes(*tail));
        self.note(Happened::Submitted { node: node as u16, taken, mark });
    }
}
