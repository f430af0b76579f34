//! Who sees every link: whether what travels on one tells anything about another.
//!
//! Stands where a datagram leaves its sender, before the network can touch it. Three questions:
//!
//! * **Size**: on a link that leaves tier *k*, a cell has one of two sizes, and what is no cell has
//!   the size of its kind.
//! * **Freshness**: no eight bytes of header, tag or sealed content are seen twice, on this link or
//!   any other. A cell passed on unpeeled, a nonce used twice or a repeated cell shows here. Of a
//!   block of a cipher, which repeats as a whole or not at all, the first half is remembered: of
//!   every header and tag, and of a sample of the content, chosen by the bytes themselves and so
//!   the same wherever they occur.
//! * **Evenness**: header and tag look like noise, by themselves, against the cell before on the
//!   same link, and against the last cell that came to their sender. A counter, an id or a mask
//!   that repeats shows here, over the whole run.
//!
//! What timing and counts reveal is not asked here.

use crate::chain::checks::Broken;
use crate::chain::plan::Plan;

/// The watcher of one world.
pub struct Observer {
    nodes: usize,
    leaving: Vec<u8>,
    sizes: [usize; 2],
    /// Eight bytes that were seen and on which link, where the bytes say; newer drive out older ones.
    seen: Vec<u64>,
    links: Vec<Option<Box<Noise>>>,
    /// By node: the head of the last cell sent to it, and how its own compare with that.
    heads: Vec<[u8; HEAD]>,
    compared: Vec<Option<Box<Noise>>>,
    cells: u64,
}

/// Header block and tag: what follows the link id.
const HEAD: usize = 32;
/// What the ciphers make at once, and by how much a layer moves the content.
const BLOCK: usize = 16;
/// One in how many blocks of content is remembered.
const SAMPLED: u8 = 16;
/// How many eight bytes are remembered, as bits of a place; so many are left for the link. Some
/// 18,000 cells, in a table that stays in a processor's own cache.
const SEEN_BITS: u32 = 16;
const LINK_BITS: u32 = SEEN_BITS;
/// Cells per link that are all counted, and one in how many of those after.
const ALL_OF: u64 = 2_000;
const ONE_IN: u64 = 16;

/// How often each value of each half byte occurred.
struct Noise {
    seen: u64,
    samples: u64,
    counts: [[u32; 16]; 4 * HEAD],
    last: [u8; HEAD],
}

impl Observer {
    /// A watcher of a planned world.
    pub fn new(plan: &Plan) -> Observer {
        let nodes = plan.nodes();
        let leaving = |a, b| plan.tier(a).min(plan.tier(b));
        Observer {
            nodes,
            leaving: (0..nodes * nodes).map(|link| leaving(link / nodes, link % nodes)).collect(),
            sizes: [plan.small.cell_size, plan.large.cell_size],
            seen: vec![0; 1 << SEEN_BITS],
            links: (0..nodes * nodes).map(|_| None).collect(),
            heads: vec![[0; HEAD]; nodes],
            compared: (0..nodes).map(|_| None).collect(),
            cells: 0,
        }
    }

    /// Cells seen.
    pub fn cells(&self) -> u64 {
        self.cells
    }

    /// Sees a datagram leave a node for another.
    ///
    /// # Errors
    /// What it gives away.
    pub fn see(&mut self, from: usize, to: usize, bytes: &[u8]) -> Result<(), Broken> {
        let link = from * self.nodes + to;
        if bytes.starts_with(&[0; 4]) {
            return self.see_prelude(link, bytes);
        }
        if bytes.len() == ANSWER {
            return self.fresh(link, &bytes[4..]);
        }
        let off = 16 * usize::from(self.leaving[link]);
        if !self.sizes.iter().any(|size| bytes.len() + off == *size) {
            return Err(Broken::Size { from, to, size: bytes.len() });
        }
        self.cells += 1;
        for (at, block) in bytes[4..].chunks_exact(BLOCK).enumerate() {
            if at < HEAD / BLOCK || block[0].is_multiple_of(SAMPLED) {
                self.fresh(link, &block[..8])?;
            }
        }
        let head = bytes[4..].first_chunk().expect("a cell has a head");
        let noise = self.links[link].get_or_insert_with(Noise::new);
        noise.add(head);
        self.compared[from].get_or_insert_with(Noise::new).compare(head, &self.heads[from]);
        self.heads[to] = *head;
        Ok(())
    }

    fn see_prelude(&mut self, link: usize, bytes: &[u8]) -> Result<(), Broken> {
        let size = match bytes.get(4) {
            Some(1..=3) => datagram::wire::OPENING,
            Some(4) => size_of::<datagram::wire::KeyPiece>(),
            Some(5) => size_of::<datagram::wire::Cookie>(),
            Some(6) => size_of::<datagram::wire::UnknownKey>(),
            _ => 0,
        };
        let (from, to) = (link / self.nodes, link % self.nodes);
        if bytes.len() != size {
            return Err(Broken::Size { from, to, size: bytes.len() });
        }
        // Openings are sealed; the other kinds are public, or echo what they answer.
        if matches!(bytes[4], 1 | 2) { self.fresh(link, &bytes[8..256]) } else { Ok(()) }
    }

    fn fresh(&mut self, link: usize, bytes: &[u8]) -> Result<(), Broken> {
        for chunk in bytes.chunks_exact(8) {
            let mut word = [0; 8];
            word.copy_from_slice(chunk);
            // An odd factor loses nothing: the place and the bits kept there are the eight bytes.
            let word = u64::from_le_bytes(word).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let place = &mut self.seen[(word >> (64 - SEEN_BITS)) as usize];
            let before = std::mem::replace(place, word << SEEN_BITS | link as u64);
            if before >> LINK_BITS == word << SEEN_BITS >> LINK_BITS {
                let there = (before & ((1 << LINK_BITS) - 1)) as usize;
                let pair = |link: usize| (link / self.nodes, link % self.nodes);
                return Err(Broken::Repeated { here: pair(link), there: pair(there) });
            }
        }
        Ok(())
    }

    /// The verdict over the whole run.
    ///
    /// # Errors
    /// What is not even.
    pub fn verdict(&self) -> Result<(), Broken> {
        for (link, noise) in self.links.iter().enumerate() {
            if let Some((place, odds)) = noise.as_ref().and_then(|noise| noise.uneven()) {
                let (from, to) = (link / self.nodes, link % self.nodes);
                return Err(Broken::Uneven { from, to: Some(to), place, odds });
            }
        }
        for (from, noise) in self.compared.iter().enumerate() {
            if let Some((place, odds)) = noise.as_ref().and_then(|noise| noise.uneven()) {
                return Err(Broken::Uneven { from, to: None, place, odds });
            }
        }
        Ok(())
    }
}

const ANSWER: usize = size_of::<datagram::wire::Answer>();

impl Noise {
    fn new() -> Box<Noise> {
        Box::new(Noise { seen: 0, samples: 0, counts: [[0; 16]; 4 * HEAD], last: [0; HEAD] })
    }

    /// Counts a head, and its difference to the one before.
    fn add(&mut self, head: &[u8; HEAD]) {
        let before = std::mem::replace(&mut self.last, *head);
        if !self.takes() {
            return;
        }
        for (at, (byte, before)) in head.iter().zip(before).enumerate() {
            self.count(at, *byte);
            self.count(HEAD + at, byte ^ before);
        }
    }

    /// Counts the difference of two heads.
    fn compare(&mut self, head: &[u8; HEAD], other: &[u8; HEAD]) {
        if self.takes() {
            for (at, (byte, other)) in head.iter().zip(other).enumerate() {
                self.count(at, byte ^ other);
            }
        }
    }

    fn takes(&mut self) -> bool {
        self.seen += 1;
        let takes = self.seen <= ALL_OF || self.seen.is_multiple_of(ONE_IN);
        self.samples += u64::from(takes);
        takes
    }

    fn count(&mut self, at: usize, byte: u8) {
        self.counts[2 * at][usize::from(byte >> 4)] += 1;
        self.counts[2 * at + 1][usize::from(byte & 15)] += 1;
    }

    /// The byte that is least like noise, if it is not: Pearson's chi-squared over 16 values. By
    /// chance, one in 10¹⁶ exceeds the bound.
    fn uneven(&self) -> Option<(usize, u64)> {
        if self.samples < 200 {
            return None;
        }
        let expected = self.samples as f64 / 16.0;
        let odds = |counts: &[u32; 16]| {
            let part =
                |count: &u32| (f64::from(*count) - expected) * (f64::from(*count) - expected);
            counts.iter().map(part).sum::<f64>() / expected
        };
        let used = |counts: &&[u32; 16]| counts.iter().any(|count| *count > 0);
        let all = self.counts.iter().enumerate().filter(|(_, counts)| used(counts));
        all.map(|(place, counts)| (place / 2, odds(counts) as u64)).find(|(_, odds)| *odds > 120)
    }
}
