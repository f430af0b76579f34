//! The way back: each hop's promise in one of five slots, readable by the payer alone.
//!
//! ```text
//! slot, 1024 bytes: | tag 16 | size 2, big-endian | promise with its signature | zeros |
//! sealed with AEGIS-128L, nonce 0, under BLAKE3 derive-key "mingle promise key v1" of the one-time key
//!
//! sent back = own slot | (slots 0 to 3 of what came from the next hop) XOR stream(hop key)
//! ```
//! The last hop takes random slots in place of those from a next hop. The stream is BLAKE3 derive-key
//! "mingle promises stream v1" over the hop key, four slots long: without it two hops that are not
//! neighbours would see the same slots and know that they serve one payment.
//!
//! What always holds: the size does not tell the position; slots that are not promises and promises
//! under another's key look alike.

use mixing::Chance;
use mixing::cipher::{self, Aead, TAG_SIZE};
use mixing::keys::Secret;
use zeroize::Zeroizing;

use crate::document::{Promise, Signed};
use crate::onion::{HOPS_MAX, xor};

/// The size of a slot in bytes.
pub const SLOT_SIZE: usize = 1024;

/// The size of all five.
pub const PROMISES_SIZE: usize = HOPS_MAX * SLOT_SIZE;

/// The largest promise in bytes, signature included.
pub const PROMISE_SIZE_MAX: usize = SLOT_SIZE - TAG_SIZE - 2;

/// Five slots of noise, for the last hop to begin with.
pub fn noise(chance: &mut Chance) -> Vec<u8> {
    let mut noise = vec![0; PROMISES_SIZE];
    chance.fill(&mut noise);
    noise
}

/// Puts an own promise in front of what came from the next hop, and drops the last slot.
///
/// # Panics
/// If `from_next` is not [`PROMISES_SIZE`] bytes.
pub fn put(
    promise: &Signed<Promise>,
    one_time: &Secret<32>,
    hop_key: &Secret<32>,
    from_next: &[u8],
) -> Vec<u8> {
    assert_eq!(from_next.len(), PROMISES_SIZE, "sizes are checked on arrival");
    let size = u16::try_from(promise.bytes().len()).expect("a promise is smaller than its slot");
    let mut body = size.to_be_bytes().to_vec();
    body.extend_from_slice(promise.bytes());
    assert!(body.len() <= SLOT_SIZE - TAG_SIZE, "a promise is smaller than its slot");
    body.resize(SLOT_SIZE - TAG_SIZE, 0);
    let tag = aead(one_time).seal(&cipher::nonce(0), &[], &mut body);
    let mut slots = [&tag[..], &body, &from_next[..PROMISES_SIZE - SLOT_SIZE]].concat();
    xor(&mut slots[SLOT_SIZE..], &stream(hop_key));
    slots
}

/// Reads the promises of a route, first hop first, as bytes that may hold anything.
///
/// # Errors
/// The number of the first hop whose slot does not open.
pub fn take(slots: &[u8], keys: &[(&Secret<32>, &Secret<32>)]) -> Result<Vec<Vec<u8>>, Unreadable> {
    if slots.len() != PROMISES_SIZE {
        return Err(Unreadable { hop: 0 });
    }
    let mut rest = slots.to_vec();
    let mut promises = Vec::new();
    for (hop, (one_time, hop_key)) in keys.iter().enumerate() {
        let mut tail = rest.split_off(SLOT_SIZE);
        let (tag, body) = rest.split_first_chunk_mut().ok_or(Unreadable { hop })?;
        let opened = aead(one_time).open(&cipher::nonce(0), &[], body, tag);
        opened.map_err(|_| Unreadable { hop })?;
        let size = usize::from(u16::from_be_bytes([body[0], body[1]]));
        promises.push(body[2..].get(..size).ok_or(Unreadable { hop })?.to_vec());
        xor(&mut tail, &stream(hop_key));
        tail.resize(PROMISES_SIZE, 0);
        rest = tail;
    }
    Ok(promises)
}

fn aead(one_time: &Secret<32>) -> Aead {
    let mut key = Zeroizing::new([0; cipher::KEY_SIZE]);
    cipher::derive("mingle promise key v1", &[one_time.expose()], &mut *key);
    Aead::new(&key)
}

fn stream(hop_key: &Secret<32>) -> Zeroizing<Vec<u8>> {
    let mut stream = Zeroizing::new(vec![0; PROMISES_SIZE - SLOT_SIZE]);
    cipher::derive("mingle promises stream v1", &[hop_key.expose()], &mut stream);
    stream
}

/// A hop's slot holds no promise under its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// Which hop, from 0.
    pub hop: usize,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Currency;
    use money::{AccountKey, Amount};

    /// The largest promise that can be: all numbers of eight bytes, the longest currency name.
    fn promise() -> Signed<Promise> {
        let key = AccountKey::from_seed([1; 32]);
        let large = i64::MAX.unsigned_abs();
        let content = Promise {
            node: key.account(),
            sender: key.account(),
            receiver: key.account(),
            in_amount: Amount::from_units(large),
            in_seeds: [[1; 32], [2; 32]],
            out_amount: Amount::from_units(large),
            out_seeds: [[3; 32], [4; 32]],
            req_date: large,
            expire_date: large,
            payout_date: large,
        };
        Signed::make(content, &Currency::Name("n".repeat(64)), &key)
    }

    #[test]
    fn the_largest_promise_fits_its_slot() {
        assert!(promise().bytes().len() <= PROMISE_SIZE_MAX);
    }

    #[test]
    fn the_payer_reads_all_promises_and_nobody_else_any() {
        let mut chance = Chance::new([3; 32]);
        let promise = promise();
        for hops in 2..=HOPS_MAX {
            let keys: Vec<(Secret<32>, Secret<32>)> = (0..hops)
                .map(|_| (Secret::new(chance.bytes()), Secret::new(chance.bytes())))
                .collect();
            let mut slots = noise(&mut chance);
            for (one_time, hop_key) in keys.iter().rev() {
                let before = slots.clone();
                slots = put(&promise, one_time, hop_key, &before);
                assert_eq!(slots.len(), PROMISES_SIZE);
                let words: std::collections::BTreeSet<_> = before.windows(8).collect();
                assert!(slots.windows(8).all(|word| !words.contains(word)), "links share bytes");
            }
            let mine: Vec<_> = keys.iter().map(|(a, b)| (a, b)).collect();
            let read = take(&slots, &mine).unwrap();
            assert!(read.iter().all(|bytes| bytes == promise.bytes()) && read.len() == hops);
            let mut swapped = mine.clone();
            swapped.swap(0, 1);
            assert_eq!(take(&slots, &swapped).unwrap_err(), Unreadable { hop: 0 });
            slots[SLOT_SIZE + 5] ^= 1;
            assert_eq!(take(&slots, &mine).unwrap_err(), Unreadable { hop: 1 });
        }
    }
}
