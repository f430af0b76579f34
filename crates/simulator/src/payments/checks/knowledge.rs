//! Check 6: what a mixer has seen and stored does not join the two ends of a payment.
//!
//! Precisely. Everything that belongs to one place of a payment is known to that place only:
//!
//! * a payer's account to the first mixer, a receiver's to the last;
//! * a link's seeds, reference, onion, promises and signatures to the two mixers at its ends;
//! * a hop's one-time key and hop key to that hop.
//!
//! What was drawn for one place is in no other.
//!
//! All bytes that a mixer ever took in (opened commands and answers, payments to and from it), said
//! or stored, deleted records included, are searched at every offset for sixteen bytes in a row of
//! what belongs to a place that is not its own.
//!
//! Two operators who show each other everything gain nothing by it where an honest mixer stands
//! between them: of two mixers that are neighbours on nobody's route, all bytes are compared. What
//! belongs to a place is left out, as it was searched for above, and so is what everybody knows
//! (accounts, hashes of mixers, of the genesis and of blocks). No sixteen bytes of the rest may be
//! the same, if they look as drawn by chance: so also what nobody thought of above joins no two of
//! them. What is left to both is the time and the amount.
//!
//! Between nodes, every command has one size and every answer another. Of an ended order a mixer
//! keeps two prints of sixteen bytes, in records of their own, each with a date on the payer's grid.
//!
//! What an operator tells another of what it was told (a parrot) is then known to that one, and
//! nothing else is.
//!
//! Absent: what times, amounts and company reveal; values in letters and digits that belong to no
//! place.

use std::collections::{BTreeMap, BTreeSet};

use money::{Account, Reference};
use payment::command::{REPLY_SIZE, SEALED_SIZE};
use payment::document::{Confirm, Currency, Promise, Request, Unverified, peer_hash};
use payment::effect::{Change, Command, FinalBlock};
use payment::payer;

use crate::payments::checks::Broken;
use crate::payments::disk::Records;
use crate::payments::ledger::Chain;
use crate::payments::log::Letter;
use crate::payments::plan::{PACE, Plan};

/// What is known about who knows what.
pub struct Knowledge {
    mixers: usize,
    nodes: BTreeMap<Account, usize>,
    /// By mixer: all that it ever saw or stored.
    seen: Vec<Vec<u8>>,
    /// By mixer: what others told it that was told to them.
    told: Vec<Vec<u8>>,
    /// By first eight bytes: the next eight, what it is, and the nodes that may know it.
    secrets: BTreeMap<[u8; 8], Vec<Secret>>,
    /// Mixers that follow each other on some route, the smaller number first.
    neighbours: BTreeSet<(usize, usize)>,
    /// What was drawn for one place and is in another as well.
    again: Option<Broken>,
}

struct Secret {
    rest: [u8; 8],
    what: &'static str,
    /// One bit for each node.
    known_to: u128,
    /// Whether nobody else may have a reason to know it.
    alone: bool,
}

/// Stands between two things that were seen, so that nothing is found across them.
const APART: [u8; 8] = [0; 8];

impl Knowledge {
    /// Nothing was seen.
    pub fn new(plan: &Plan) -> Knowledge {
        Knowledge {
            mixers: plan.mixers,
            nodes: (0..plan.nodes()).map(|node| (plan.key(node).account(), node)).collect(),
            seen: vec![Vec::new(); plan.mixers],
            told: vec![Vec::new(); plan.mixers],
            secrets: BTreeMap::new(),
            neighbours: BTreeSet::new(),
            again: None,
        }
    }

    /// Something was drawn for a place: it is in no other.
    fn belongs(&mut self, bytes: &[u8], what: &'static str, nodes: &[usize]) {
        let known_to = bits(nodes);
        for (first, rest) in halves(bytes) {
            let same = self.secrets.entry(first).or_default();
            match same.iter().find(|secret| secret.rest == rest && !secret.alone) {
                Some(secret) if secret.known_to == known_to => {}
                Some(_) => self.again = self.again.take().or(Some(Broken::Again { what })),
                None => same.push(Secret { rest, what, known_to, alone: false }),
            }
        }
    }

    /// An account is known to those with whom it has to do, in any payment.
    fn is_met(&mut self, account: &Account, what: &'static str, nodes: &[usize]) {
        let known_to = bits(nodes);
        for (first, rest) in halves(account.as_bytes()) {
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
        let pairs = hops.windows(2).map(|pair| (pair[0].min(pair[1]), pair[0].max(pair[1])));
        self.neighbours.extend(pairs);
        let account = plan.first().layer.sender;
        self.is_met(&account, "the account of a payer", &[user, hops[0]]);
        for (at, hop) in plan.hops.iter().enumerate() {
            let layer = &hop.layer;
            let before = if at == 0 { user } else { hops[at - 1] };
            let next = hops.get(at + 1).copied().unwrap_or(hops[at]);
            self.belongs(&layer.in_seed, "a seed", &[user, before, hops[at]]);
            self.belongs(&layer.out_seed, "a seed", &[user, hops[at], next]);
            self.belongs(layer.one_time.expose(), "a one-time key", &[user, hops[at]]);
            self.belongs(layer.hop_key.expose(), "a hop key", &[user, hops[at]]);
            if !layer.next_is_mixer {
                self.is_met(&layer.next, "the account of a receiver", &[user, hops[at]]);
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

    /// A mixer tells another what it was told, which that one may know from now on.
    pub fn tells(&mut self, to: usize, bytes: &[u8]) {
        self.told[to].extend_from_slice(bytes);
        self.told[to].extend_from_slice(&APART);
    }

    /// A node sees bytes.
    pub fn sees(&mut self, node: usize, bytes: &[u8]) {
        if let Some(seen) = self.seen.get_mut(node) {
            seen.extend_from_slice(bytes);
            seen.extend_from_slice(&APART);
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
    /// [`Broken::Again`] for what is in two places, [`Broken::Knows`] for the first thing that a mixer
    /// should not have met, [`Broken::Joins`] for the first two that could join what they know.
    pub fn verdict(&self, chain: &Chain) -> Result<(), Broken> {
        if let Some(broken) = &self.again {
            return Err(broken.clone());
        }
        let public = self.public(chain);
        let beginnings = public.iter().map(|piece| *piece.first_chunk().expect("sixteen bytes"));
        let hints = Hints::new(self.secrets.keys().copied().chain(beginnings));
        let mut own = Vec::new();
        for node in 0..self.mixers {
            own.push(self.searched(node, &hints, &public)?);
        }
        for (a, b) in pairs(self.mixers).filter(|pair| !self.neighbours.contains(pair)) {
            let (mine, theirs) = (&own[a], &own[b]);
            let same = mine.iter().filter(|piece| theirs.binary_search(piece).is_ok()).count();
            if same > 0 {
                return Err(Broken::Joins { nodes: (a, b), same });
            }
        }
        Ok(())
    }

    /// Looks at every sixteen bytes that a mixer has seen. Those that look drawn by chance and belong
    /// to no place are its own.
    fn searched(
        &self,
        node: usize,
        hints: &Hints,
        public: &BTreeSet<[u8; 16]>,
    ) -> Result<Vec<[u8; 16]>, Broken> {
        let seen = &self.seen[node];
        let told: BTreeSet<[u8; 16]> = self.told[node].array_windows::<16>().copied().collect();
        let (mut own, mut ends) = (Vec::new(), 0);
        // Between what belongs to a place: from `ends` to where the next such thing begins.
        let mut rest = |ends: usize, begins: usize| {
            let gap = seen.get(ends..begins).unwrap_or_default();
            let pieces = gap.array_windows::<16>();
            own.extend(pieces.filter(|piece| is_by_chance(piece) && !told.contains(*piece)));
        };
        for (at, window) in seen.array_windows::<16>().enumerate() {
            let (first, second) = window.split_first_chunk::<8>().expect("sixteen bytes");
            if !hints.has(*first) {
                continue;
            }
            let all = self.secrets.get(first).into_iter().flatten();
            let mut belongs = public.contains(window);
            for secret in all.filter(|secret| secret.rest == *second) {
                belongs = true;
                let knows = secret.known_to >> node & 1 == 1;
                if !knows && !told.contains(window) {
                    return Err(Broken::Knows { node, what: secret.what });
                }
            }
            if belongs {
                rest(ends, at);
                ends = at + 16;
            }
        }
        rest(ends, seen.len());
        own.sort_unstable();
        own.dedup();
        Ok(own)
    }

    /// What everybody may know: accounts, hashes of mixers, of the genesis and of blocks.
    fn public(&self, chain: &Chain) -> BTreeSet<[u8; 16]> {
        let ledger = &chain.ledger;
        let genesis = Currency::Genesis(ledger.genesis().hash());
        let accounts = self.nodes.keys().map(|account| *account.as_bytes());
        let hashes = self.nodes.keys().map(|account| peer_hash(&genesis, account));
        let blocks = (0..=ledger.head().height).filter_map(|height| ledger.block(height));
        let blocks = blocks.map(|block| block.hash).chain([ledger.genesis().hash()]);
        let pieces = |bytes: [u8; 32]| bytes.as_chunks::<16>().0.to_vec();
        accounts.chain(hashes).chain(blocks).flat_map(pieces).collect()
    }
}

/// All pairs, the smaller number first.
fn pairs(count: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..count).flat_map(move |b| (0..b).map(move |a| (a, b)))
}

/// Whether bytes look drawn by chance: names, dates and amounts have few above the letters. Of
/// thirty-two bytes there are seventeen pieces, so that one of them looks so.
fn is_by_chance(piece: &[u8; 16]) -> bool {
    piece.iter().filter(|byte| **byte >= 0x80).count() >= 6
}

/// One bit for each node.
fn bits(nodes: &[usize]) -> u128 {
    nodes.iter().fold(0, |bits, node| bits | 1 << node)
}

/// Pieces of sixteen bytes, each in two halves.
fn halves(bytes: &[u8]) -> impl Iterator<Item = ([u8; 8], [u8; 8])> {
    let half = |at: usize, chunk: &[u8]| std::array::from_fn(|i| chunk[at + i]);
    bytes.chunks_exact(16).map(move |chunk| (half(0, chunk), half(8, chunk)))
}

/// Tells quickly that most bytes are the beginning of nothing that is searched for.
struct Hints(Vec<u64>);

impl Hints {
    fn new(beginnings: impl Iterator<Item = [u8; 8]>) -> Hints {
        let mut hints = vec![0; 1 << 14];
        for first in beginnings {
            let (word, bit) = Hints::place(first);
            hints[word] |= bit;
        }
        Hints(hints)
    }

    fn has(&self, first: [u8; 8]) -> bool {
        let (word, bit) = Hints::place(first);
        self.0[word] & bit != 0
    }

    fn place(first: [u8; 8]) -> (usize, u64) {
        let hash = u64::from_le_bytes(first).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 44;
        ((hash >> 6) as usize, 1 << (hash & 63))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Planned;
    use crate::payments::Profile;

    #[test]
    fn what_a_parrot_told_is_known_to_whom_it_told_it_and_to_nobody_else() {
        let plan = Plan::draw(1, Profile::Calm);
        let (chain, secret) = (Chain::new(&plan), [200; 32]);
        let verdict = |told: Option<usize>| {
            let mut knowledge = Knowledge::new(&plan);
            knowledge.answers(0, 1, &secret);
            if let Some(to) = told {
                knowledge.tells(to, &secret);
            }
            knowledge.sees(2, &secret);
            knowledge.verdict(&chain)
        };
        let knows = Err(Broken::Knows { node: 2, what: "an answer" });
        assert_eq!(verdict(None), knows);
        assert_eq!(verdict(Some(1)), knows);
        assert_eq!(verdict(Some(2)), Ok(()));
    }

    #[test]
    fn what_was_drawn_for_one_place_is_in_no_other() {
        let plan = Plan::draw(1, Profile::Calm);
        let chain = Chain::new(&plan);
        let mut knowledge = Knowledge::new(&plan);
        knowledge.belongs(&[200; 32], "a seed", &[0, 1]);
        knowledge.belongs(&[200; 32], "a seed", &[1, 0]);
        assert_eq!(knowledge.verdict(&chain), Ok(()));
        knowledge.belongs(&[200; 32], "a seed", &[1, 2]);
        assert_eq!(knowledge.verdict(&chain), Err(Broken::Again { what: "a seed" }));
    }
}
