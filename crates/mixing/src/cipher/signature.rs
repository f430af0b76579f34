//! Ed25519 (RFC 8032), verified strictly.
//!
//! Strict means: for one key, message and signature there is one answer in every implementation
//! that is strict as well. Keys and points of small order, scalars out of range and long forms of R
//! are refused (Chalkias, Garillot, Nikolaenko, "Taming the many EdDSAs", 2020), because a proof
//! against a node must convince everybody or nobody. The few long forms of a key need no check:
//! those not of small order belong to points whose secret nobody knows.

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
    let key = VerifyingKey::from_bytes(public).map_err(|_| Forged)?;
    key.verify_strict(message, &Signature::from_bytes(sig)).map_err(|_| Forged)
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
        // The neutral element, y = 1, and its long form, y = p + 1. With R the same point and S = 0
        // the plain equation holds for any message.
        let mut sig = [0; 64];
        sig[0] = 1;
        let short = core::array::from_fn(|at| u8::from(at == 0));
        let mut long = [0xff; 32];
        (long[0], long[31]) = (0xee, 0x7f);
        for neutral in [short, long] {
            let lenient = VerifyingKey::from_bytes(&neutral).unwrap();
            let plain =
                ed25519_dalek::Verifier::verify(&lenient, b"any", &Signature::from_bytes(&sig));
            assert!(plain.is_ok(), "or this test shows nothing");
            assert_eq!(verify(&neutral, b"any", &sig), Err(Forged));
        }
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

    fn sized<const N: usize>(vector: &Vector, name: &str) -> [u8; N] {
        vector[name].as_slice().try_into().unwrap()
    }
}
