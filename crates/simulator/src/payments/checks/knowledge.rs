//! Check 6: what a mixer has seen and stored does not join the two ends of a payment.
//!
//! Precisely. Everything that belongs to one place of a payment is known to that place only:
//!
//! * a payer's account to the first mixer, a receiver's to the last;
//! * a link's seeds, reference, onion, promises and signatures to the two mixers at its ends;
//! * a hop's one-time key and hop key to that hop.
//!
//! All bytes that a mixer ever took in (opened commands and answers, payments to and from it), said
//! or stored, deleted records included, are searched at every offset for sixteen bytes in a row of
//! what belongs to a place that is not its own. So two mixers that are not neighbours on a route have
//! nothing of that payment in common but its time and its amount, and neither joins both ends.
//!
//! Between nodes, every command has one size and every answer another. Of an ended order a mixer
//! keeps two prints of sixteen bytes, in records of their own, each with a date on the payer's grid.
//!
//! Absent: what times, amounts and company reveal; a mixer that tells others what it was told.

use std::collections::BTreeMap;

use money::{Account, Reference};
use payment::command::{REPLY_SIZE, SEALED_SIZE};
use payment::document::{Confirm, Currency, Promise, Request, Unverified};
use payment::effect::{Change, Command, FinalBlock};
use payment::payer;

use crate::payments::checks::Broken;
use crate::payments::disk::Records;
use crate::payments::fault::{Cheat, What};
use crate::payments::log::Letter;
use crate::payments::plan::{PACE, Plan};

/// What is known about who knows what.
pub struct Knowledge {
    mixers: usize,
    nodes: BTreeMap<Account, usize>,
    /// By mixer: all that it ever saw or stored.
    seen: Vec<Vec<u8>>,
    /// By first eight bytes: the next eight, what it is, and the nodes that may know it.
    secrets: BTreeMap<[u8; 8], Vec<Secret>>,
}

struct Secret {
    rest: [u8; 8],
    what: &'static str,
    /// One bit for each node.
    known_to: u128,
    /// Whether nobody else may have a reason to know it.
    alone: bool,
}

impl Knowledge {
    /// Nothing was seen.
    pub fn new(plan: &Plan) -> Knowledge {
        Knowledge {
            mixers: plan.mixers,
            nodes: (0..plan.nodes()).map(|node| (plan.key(node).account(), node)).collect(),
            seen: vec![Vec::new(); plan.mixers],
            secrets: BTreeMap::new(),
        }
    }

    /// Something belongs to a place; what belongs to two, both may know: an account that pays twice.
    fn belongs(&mut self, bytes: &[u8], what: &'static str, nodes: &[usize]) {
        let known_to = nodes.iter().fold(0, |known, node| known | 1 << node);
        for (first, rest) in halves(bytes) {
            let same = self.secrets.entry(first).or_default();
            match same.iter_mut().find(|secret| secret.rest == rest && !secret.alone) {
                Some(secret) => secret.known_to |= known_to,
                None => same.push(Secret { rest, what, known_to, alone: false }),
            }
        }
    }

    /// Something was said between two: nobody else may ever see it, nor say the same.
    fn is_between(&mut self, bytes: &[u8], what: &'static str, from: usize, to: usize) {
        let known_to = 1 << from | 1 << to;
        for (first, rest) in halves(bytes) {
            let same = self.secrets.entry(first).or_default();
            if !same.iter().any(|secret| secret.rest == rest && secret.known_to == known_to) {
                same.push(Secret { rest, what, known_to, alone: true });
            }
        }
    }

    fn node(&self, account: &Account) -> Vec<usize> {
        self.nodes.get(account).copied().into_iter().collect()
    }

    /// A payer plans a payment.
    pub fn plans(&mut self, user: usize, plan: &payer::Plan) {
        let hops: Vec<_> = plan.hops.iter().flat_map(|hop| self.node(&hop.account)).collect();
        let account = plan.first().layer.sender;
        self.belongs(account.as_bytes(), "the account of a payer", &[user, hops[0]]);
        for (at, hop) in plan.hops.iter().enumerate() {
            let layer = &hop.layer;
            let before = if at == 0 { user } else { hops[at - 1] };
            let next = hops.get(at + 1).copied().unwrap_or(hops[at]);
            self.belongs(&layer.in_seed, "a seed", &[user, before, hops[at]]);
            self.belongs(&layer.out_seed, "a seed", &[user, hops[at], next]);
            self.belongs(layer.one_time.expose(), "a one-time key", &[user, hops[at]]);
            self.belongs(layer.hop_key.expose(), "a hop key", &[user, hops[at]]);
            if !layer.next_is_mixer {
                let receiver = layer.next;
                self.belongs(receiver.as_bytes(), "the account of a receiver", &[user, hops[at]]);
            }
        }
    }

    /// A mixer has made a promise.
    pub fn promises(&mut self, promise: &Promise, currency: &Currency) {
        let ends = |a, b| [self.node(a), self.node(b)].concat();
        let came = ends(&promise.sender, &promise.node);
        let goes = ends(&promise.node, &promise.receiver);
        let [came_text, goes_text]: [Reference; 2] =
            [promise.in_reference(currency), promise.out_reference(currency)];
        self.belongs(came_text.as_bytes(), "the reference of a deposit", &came);
        self.belongs(goes_text.as_bytes(), "the reference of a payout", &goes);
        self.belongs(&promise.in_seeds[0], "a seed", &came);
        self.belongs(&promise.out_seeds[0], "a seed", &goes);
    }

    /// A node says something to another.
    pub fn says(&mut self, from: usize, to: usize, command: &Command, currency: &Currency) {
        let body = command.body();
        self.sees(from, body);
        self.is_between(&body[..64], "a signature", from, to);
        match command {
            Command::Mix(_) => {
                let request = Unverified::<Request>::parse(body, currency);
                let onion = request.map(|request| request.content().onion.clone());
                self.is_between(&onion.unwrap_or_default(), "an onion", from, to);
            }
            Command::Confirm(_) => {
                let confirm = Unverified::<Confirm>::parse(body, currency);
                let slots = confirm.map(|confirm| confirm.content().promises.clone());
                self.is_between(&slots.unwrap_or_default(), "promises on their way", from, to);
            }
            Command::GetConfirm(_) => {}
        }
    }

    /// A mixer answers somebody.
    pub fn answers(&mut self, from: usize, to: usize, body: &[u8]) {
        self.sees(from, body);
        self.sees(to, body);
        self.is_between(body, "an answer", from, to);
    }

    /// A node sees bytes.
    pub fn sees(&mut self, node: usize, bytes: &[u8]) {
        if let Some(seen) = self.seen.get_mut(node) {
            seen.extend_from_slice(bytes);
            // So that nothing is found across two things.
            seen.extend_from_slice(&[0; 8]);
        }
    }

    /// A node stores something, or deletes it.
    pub fn stores(&mut self, node: usize, changes: &[Change]) {
        for Change { key, value } in changes {
            self.sees(node, key);
            self.sees(node, value.as_deref().unwrap_or_default());
        }
    }

    /// A node reads what a block means for it.
    pub fn reads(&mut self, node: usize, block: &FinalBlock) {
        let own = block.spent.iter().flat_map(|spent| &spent.transfers);
        for transfer in block.received.iter().chain(own) {
            self.sees(node, transfer.from.as_bytes());
            self.sees(node, transfer.to.as_bytes());
            if let Some(reference) = &transfer.reference {
                self.sees(node, reference.as_bytes());
            }
        }
    }

    /// Something travels between two nodes.
    ///
    /// # Errors
    /// [`Broken::Size`] if its size tells something.
    pub fn travels(&self, from: usize, to: usize, what: Letter, size: usize) -> Result<(), Broken> {
        let fits = match what {
            Letter::Command => size == SEALED_SIZE,
            Letter::Answer => size == REPLY_SIZE,
            Letter::Info => true,
        };
        if fits { Ok(()) } else { Err(Broken::Size { from, to, size }) }
    }

    /// Looks at what a mixer keeps of ended orders.
    ///
    /// # Errors
    /// [`Broken::Keeps`] if it is more than prints and dates.
    pub fn keeps(node: usize, records: &Records) -> Result<(), Broken> {
        for (key, record) in records.iter().filter(|(key, _)| key.first() == Some(&b'p')) {
            let date = payment::ubjson::Value::from_bytes(record);
            let on_grid = |date: i64| date.unsigned_abs().is_multiple_of(PACE.step);
            let coarse = matches!(date, Ok(payment::ubjson::Value::Int(date)) if on_grid(date));
            if key.len() != 17 || !coarse {
                return Err(Broken::Keeps { node });
            }
        }
        Ok(())
    }

    /// The last judgement.
    ///
    /// # Errors
    /// [`Broken::Knows`] for the first thing that a mixer should not have met.
    pub fn verdict(&self, plan: &Plan) -> Result<(), Broken> {
        // A parrot tells others what was not meant for them; that is no leak of theirs.
        if plan.faults.iter().any(|fault| matches!(fault.what, What::Cheat(_, Cheat::Parrot))) {
            return Ok(());
        }
        let mut hint = vec![0u64; 1 << 14];
        for first in self.secrets.keys() {
            let (word, bit) = place(*first);
            hint[word] |= bit;
        }
        for (node, seen) in self.seen.iter().enumerate().take(self.mixers) {
            for window in seen.windows(16) {
                let (first, rest) = window.split_first_chunk::<8>().expect("sixteen bytes");
                let (word, bit) = place(*first);
                if hint[word] & bit == 0 {
                    continue;
                }
                let all = self.secrets.get(first).into_iter().flatten();
                for secret in all.filter(|secret| secret.rest == *rest) {
                    if secret.known_to >> node & 1 == 0 {
                        return Err(Broken::Knows { node, what: secret.what });
                    }
                }
            }
        }
        Ok(())
    }
}

/// Pieces of sixteen bytes, each in two halves.
fn halves(bytes: &[u8]) -> impl Iterator<Item = ([u8; 8], [u8; 8])> {
    let half = |at: usize, chunk: &[u8]| std::array::from_fn(|i| chunk[at + i]);
    bytes.chunks_exact(16).map(move |chunk| (half(0, chunk), half(8, chunk)))
}

/// Where a hint lies.
fn place(first: [u8; 8]) -> (usize, u64) {
    let hash = u64::from_le_bytes(first).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 44;
    ((hash >> 6) as usize, 1 << (hash & 63))
}
