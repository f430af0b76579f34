//! Ed25519 (RFC 8032), verified strictly.
//!
//! Strict means: for one key, message and signature there is one answer in every implementation
//! that is strict as well. Small-order keys and points, scalars out of range and encodings of a key
//! that are not the shortest are refused (Chalkias, Garillot, Nikolaenko, "Taming the many EdDSAs",
//! 2020), because a proof against a node must convince everybody or nobody.

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};

use super::Forged;

/// A signing key, wiped on drop.
pub(crate) struct Key(Box<SigningKey>);

impl Key {
    pub(crate) fn from_seed(seed: &[u8; 32]) -> Self {
        Self(Box::new(SigningKey::from_bytes(seed)))
    }

    pub(crate) fn seed(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    pub(crate) fn public(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }

    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

pub(crate) fn verify(public: &[u8; 32], message: &[u8], sig: &[u8; 64]) -> Result<(), Forged> {
    if !is_canonical(public) {
        return Err(Forged);
    }
    let key = VerifyingKey::from_bytes(public).map_err(|_| Forged)?;
    key.verify_strict(message, &Signature::from_bytes(sig)).map_err(|_| Forged)
}

/// Whether the y coordinate is below p = 2²⁵⁵ − 19. (The other long form, x = 0 with a sign, exists
/// for points of small order only.)
fn is_canonical(public: &[u8; 32]) -> bool {
    let high = public[1..31].iter().all(|byte| *byte == 0xff) && public[31] & 0x7f == 0x7f;
    !(high && public[0] >= 0xed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vectors::{Vector, read};

    #[test]
    fn keys_and_signatures_are_those_of_the_rfc() {
        let vectors = read(include_str!("../../tests/vectors/ed25519.txt"));
        assert_eq!(vectors.len(), 3);
        for vector in vectors {
            let key = Key::from_seed(&sized(&vector, "seed"));
            assert_eq!(key.public()[..], vector["public"]);
            assert_eq!(key.sign(&vector["msg"])[..], vector["signature"]);
            let (public, sig) = (sized(&vector, "public"), sized(&vector, "signature"));
            assert_eq!(verify(&public, &vector["msg"], &sig), Ok(()));
            assert_eq!(verify(&public, b"another message", &sig), Err(Forged));
        }
    }

    #[test]
    fn a_small_order_key_verifies_nothing() {
        // The neutral element: with R the same point and S = 0 the plain equation holds for any message.
        let mut neutral = [0; 32];
        neutral[0] = 1;
        let mut sig = [0; 64];
        sig[0] = 1;
        let lenient = VerifyingKey::from_bytes(&neutral).unwrap();
        let plain = ed25519_dalek::Verifier::verify(&lenient, b"any", &Signature::from_bytes(&sig));
        assert!(plain.is_ok(), "or this test shows nothing");
        assert_eq!(verify(&neutral, b"any", &sig), Err(Forged));
    }

    #[test]
    fn a_scalar_out_of_range_is_refused() {
        let key = Key::from_seed(&[1; 32]);
        let mut sig = key.sign(b"message");
        // S + the group order (RFC 8032, section 5.1) passes where the range is not checked.
        let order = 0x14de_f9de_a2f7_9cd6_5812_631a_5cf5_d3ed_u128.to_le_bytes();
        let order = order.into_iter().chain([0; 15]).chain([0x10]);
        let mut carry = 0;
        for (byte, add) in sig[32..].iter_mut().zip(order) {
            carry += u16::from(*byte) + u16::from(add);
            *byte = carry as u8;
            carry >>= 8;
        }
        assert_eq!(verify(&key.public(), b"message", &sig), Err(Forged));
    }

    #[test]
    fn only_the_shortest_encoding_of_a_key_is_canonical() {
        let mut bytes = [0xff; 32];
        for (low, high, canonical) in
            [(0xec, 0x7f, true), (0xed, 0x7f, false), (0xff, 0xff, false), (0xff, 0x7e, true)]
        {
            (bytes[0], bytes[31]) = (low, high);
            assert_eq!(is_canonical(&bytes), canonical);
        }
    }

    fn sized<const N: usize>(vector: &Vector, name: &str) -> [u8; N] {
        vector[name].as_slice().try_into().unwrap()
    }
}
