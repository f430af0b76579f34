//! The primitives, and nothing else: the only file (with its two children) that names one.
//!
//! One suite, no negotiation. [`Aead`] seals bodies (AEGIS-128L), [`Block`] enciphers a link
//! header (AES-128), [`derive()`], [`mac`] and [`hash`] are BLAKE3. `kem` holds X-Wing, `signature`
//! Ed25519.
//!
//! What always holds: whatever is derived has a context of its own, and every part that goes into
//! a derivation or a MAC is preceded by its length, so no two lists of parts read the same.
//! A primitive may leave copies of a key on the stack while it runs; what is kept is wiped.

use core::fmt;

use aegis::aegis128l::Aegis128L;
use aes::Aes128;
use aes::cipher::{BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};
use blake3::Hasher;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

pub(crate) mod kem;
pub(crate) mod signature;

/// The size of an [`Aead`] or [`Block`] key, in bytes.
pub const KEY_SIZE: usize = 16;

/// The size of an [`Aead`] tag, in bytes.
pub const TAG_SIZE: usize = 16;

/// A key of the authenticated cipher AEGIS-128L (draft-irtf-cfrg-aegis-aead), with a 16-byte
/// tag. Wiped on drop.
///
/// A nonce must not be used twice under one key. The cipher does not commit to its key: whoever
/// needs that must put the recipient into the key derivation.
pub struct Aead(Zeroizing<[u8; KEY_SIZE]>);

impl Aead {
    /// Makes a key from 16 bytes.
    pub fn new(key: &[u8; KEY_SIZE]) -> Self {
        Self(Zeroizing::new(*key))
    }

    /// Encrypts `body` in place and returns the tag over it and `associated`.
    pub fn seal(&self, nonce: &[u8; 16], associated: &[u8], body: &mut [u8]) -> [u8; TAG_SIZE] {
        Aegis128L::<TAG_SIZE>::new(&self.0, nonce).encrypt_in_place(body, associated)
    }

    /// Decrypts `body` in place.
    ///
    /// # Errors
    /// [`Forged`] if key, nonce, associated data, body or tag is not what was sealed; `body` then
    /// holds nothing of use.
    pub fn open(
        &self,
        nonce: &[u8; 16],
        associated: &[u8],
        body: &mut [u8],
        tag: &[u8; TAG_SIZE],
    ) -> Result<(), Forged> {
        Aegis128L::<TAG_SIZE>::new(&self.0, nonce)
            .decrypt_in_place(body, tag, associated)
            .map_err(|_| Forged)
    }
}

/// A key of the block cipher AES-128 (FIPS 197), for single blocks only. Wiped on drop.
pub struct Block(Aes128);

impl Block {
    /// Makes a key from 16 bytes.
    pub fn new(key: &[u8; KEY_SIZE]) -> Self {
        Self(Aes128::new(key.into()))
    }

    /// Enciphers one block in place.
    pub fn encipher(&self, block: &mut [u8; 16]) {
        self.0.encrypt_block(block.into());
    }

    /// Deciphers one block in place.
    pub fn decipher(&self, block: &mut [u8; 16]) {
        self.0.decrypt_block(block.into());
    }
}

/// The nonce for a number: eight zero bytes, then the number big-endian.
pub fn nonce(number: u64) -> [u8; 16] {
    u128::from(number).to_be_bytes()
}

/// Fills `out` with the BLAKE3 `derive_key` stream for `context` and `parts`; each part is preceded
/// by its length (u64 little-endian). A shorter `out` is a prefix of a longer one.
///
/// The context says in words what the output is for, and is used for nothing else.
pub fn derive(context: &'static str, parts: &[&[u8]], out: &mut [u8]) {
    stream_of_parts(Hasher::new_derive_key(context), parts, out);
}

/// The keyed BLAKE3 of `parts`, each preceded by its length (u64 little-endian), cut to 16 bytes.
pub fn mac(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 16] {
    let mut tag = [0; 16];
    stream_of_parts(Hasher::new_keyed(key), parts, &mut tag);
    tag
}

/// The first 32 bytes of [`derive()`], for what is not secret.
pub fn hash(context: &'static str, parts: &[&[u8]]) -> [u8; 32] {
    let mut out = [0; 32];
    derive(context, parts, &mut out);
    out
}

/// Whether two byte strings are equal, found in a time that depends on their lengths only.
pub fn equal(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

/// Fills `out` with the keyed BLAKE3 stream of `input`.
pub(crate) fn stream(key: &[u8; 32], input: &[u8], out: &mut [u8]) {
    let mut hasher = Hasher::new_keyed(key);
    hasher.update(input);
    finish(hasher, out);
}

fn stream_of_parts(mut hasher: Hasher, parts: &[&[u8]], out: &mut [u8]) {
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    finish(hasher, out);
}

fn finish(mut hasher: Hasher, out: &mut [u8]) {
    let mut reader = hasher.finalize_xof();
    reader.fill(out);
    hasher.zeroize();
    reader.zeroize();
}

/// The bytes are not what the holder of the key made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forged;

impl fmt::Display for Forged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not what the holder of the key made")
    }
}

impl core::error::Error for Forged {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contexts_and_parts_separate() {
        let one = hash("one", &[b"ab", b"c"]);
        assert_eq!(one, hash("one", &[b"ab", b"c"]));
        assert_ne!(one, hash("two", &[b"ab", b"c"]));
        assert_ne!(one, hash("one", &[b"a", b"bc"]));
        assert_ne!(one, hash("one", &[b"abc"]));
        assert_ne!(one, hash("one", &[b"ab", b"c", b""]));
        let mut long = [0; 100];
        derive("one", &[b"ab", b"c"], &mut long);
        assert_eq!(long[..32], one);
    }

    #[test]
    fn derivation_is_blake3_over_lengths_and_parts() {
        let expected = blake3::derive_key("purpose", b"\x02\0\0\0\0\0\0\0ab\x01\0\0\0\0\0\0\0c");
        assert_eq!(hash("purpose", &[b"ab", b"c"]), expected);
        let expected = blake3::keyed_hash(&[5; 32], b"\x02\0\0\0\0\0\0\0ab");
        assert_eq!(mac(&[5; 32], &[b"ab"]), expected.as_bytes()[..16]);
    }

    #[test]
    fn a_mac_depends_on_key_and_parts() {
        let tag = mac(&[1; 32], &[b"ab", b"c"]);
        assert_ne!(tag, mac(&[2; 32], &[b"ab", b"c"]));
        assert_ne!(tag, mac(&[1; 32], &[b"a", b"bc"]));
        assert!(equal(&tag, &mac(&[1; 32], &[b"ab", b"c"])));
        assert!(!equal(&tag, &tag[..15]) && !equal(&tag, &[0; 16]));
    }

    #[test]
    fn the_nonce_ends_with_the_number() {
        assert_eq!(nonce(0x0102), [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2]);
        assert_eq!(nonce(u64::MAX)[..8], [0; 8]);
    }

    #[test]
    fn a_block_comes_back() {
        let (key, clear) = (Block::new(&[3; 16]), [4; 16]);
        let mut block = clear;
        key.encipher(&mut block);
        assert_ne!(block, clear);
        key.decipher(&mut block);
        assert_eq!(block, clear);
    }
}
