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
