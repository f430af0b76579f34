//! A node's disk: what was synced stays, what was written last may be torn.
//!
//! ```text
//! write ─► tail, a transaction in bytes ─► sync ─► records
//!                  │ crash: any number of its bytes are there
//!                  └► begin again: whole transactions count, a torn one does not
//! ```
//! An older copy can be put back whole.

use std::collections::BTreeMap;

use mixing::Chance;
use payment::effect::Change;

/// What is stored, by key.
pub type Records = BTreeMap<Vec<u8>, Vec<u8>>;

/// A disk.
#[derive(Default)]
pub struct Disk {
    records: Records,
    /// Written and not yet synced.
    tail: Vec<u8>,
    /// Earlier states, if this disk will be replaced by one.
    copies: Vec<Records>,
    /// Whether copies are made.
    copies_kept: bool,
}

/// The most copies that are kept; beyond, every second one goes.
const COPIES_MAX: usize = 128;

impl Disk {
    /// An empty disk. `copies_kept`: one that will be replaced by an older copy.
    pub fn new(copies_kept: bool) -> Disk {
        Disk { copies_kept, ..Disk::default() }
    }

    /// What is stored.
    pub fn records(&self) -> &Records {
        &self.records
    }

    /// Writes one transaction; nothing says yet that it stays.
    pub fn write(&mut self, changes: &[Change]) {
        let mut body = Vec::new();
        for Change { key, value } in changes {
            put(&mut body, key);
            body.push(value.is_some().into());
            put(&mut body, value.as_deref().unwrap_or_default());
        }
        self.tail.extend_from_slice(&sum(&body));
        put(&mut self.tail, &body);
    }

    /// From now on what was written stays.
    pub fn sync(&mut self) {
        // Before the first save there is no copy: that would be a lost file, not an old one.
        if self.copies_kept && !self.records.is_empty() {
            if self.copies.len() == COPIES_MAX {
                let mut number = 0;
                self.copies.retain(|_| {
                    number += 1;
                    number % 2 == 0
                });
            }
            self.copies.push(self.records.clone());
        }
        let tail = std::mem::take(&mut self.tail);
        self.recover(&tail);
    }

    /// The machine stops: of what was not synced any number of bytes is there.
    pub fn crash(&mut self, chance: &mut Chance) {
        let mut tail = std::mem::take(&mut self.tail);
        tail.truncate(chance.below(tail.len() as u64 + 1) as usize);
        self.recover(&tail);
    }

    /// Somebody puts an older copy back.
    pub fn restore(&mut self, chance: &mut Chance) -> bool {
        let copy = chance.pick(&self.copies).cloned();
        copy.map(|copy| self.records = copy).is_some()
    }

    /// Applies all whole transactions.
    fn recover(&mut self, mut tail: &[u8]) {
        while let Some((expected, rest)) = tail.split_first_chunk::<8>() {
            let Some((body, rest)) = take(rest) else { return };
            if sum(body) != *expected {
                return;
            }
            self.apply(body);
            tail = rest;
        }
    }

    fn apply(&mut self, mut body: &[u8]) {
        while let Some((key, rest)) = take(body) {
            let (there, rest) = rest.split_first().expect("what was summed was written whole");
            let (value, rest) = take(rest).expect("what was summed was written whole");
            match there {
                0 => self.records.remove(key),
                _ => self.records.insert(key.to_vec(), value.to_vec()),
            };
            body = rest;
        }
    }
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    out.extend_from_slice(bytes);
}

fn take(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (size, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(u32::from_le_bytes(*size) as usize)
}

/// Fowler, Noll and Vo's hash: enough to know a torn write.
fn sum(bytes: &[u8]) -> [u8; 8] {
    let step = |sum: u64, byte: &u8| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(key: u8, value: Option<u8>) -> Change {
        Change { key: vec![key; 3], value: value.map(|value| vec![value; 40]) }
    }

    #[test]
    fn what_was_synced_stays_and_a_torn_transaction_is_there_whole_or_not_at_all() {
        let mut whole = 0;
        for seed in 0..200 {
            let mut chance = Chance::new([seed; 32]);
            let mut disk = Disk::new(false);
            disk.write(&[change(1, Some(1)), change(2, Some(2))]);
            disk.sync();
            disk.write(&[change(1, None), change(3, Some(3))]);
            disk.crash(&mut chance);
            let has = |key: u8| disk.records().contains_key(&vec![key; 3]);
            assert!(has(2) && has(1) != has(3));
            whole += u32::from(has(3));
        }
        assert!(whole < 20, "{whole}");
    }

    #[test]
    fn an_older_copy_is_one_that_was_there() {
        let mut disk = Disk::new(true);
        for value in 0..250 {
            disk.write(&[change(1, Some(value))]);
            disk.sync();
        }
        assert!(disk.copies.len() <= COPIES_MAX);
        assert!(disk.restore(&mut Chance::new([1; 32])));
        assert!(disk.records().values().all(|value| value[0] < 250) && disk.records().len() == 1);
    }
}
