//! Who owns money: an Ed25519 public key, and what it means that it signed something.
//!
//! What always holds: a signature is accepted only in its one canonical form, from a key in its one
//! canonical form and not of small order, so that nobody can say "this key signed both" of two texts.
//! Absent: secret keys (`keys`) and the many ways to write an account (`address`).

use std::fmt;

use ed25519_dalek::{Signature, VerifyingKey};

/// An account on a ledger: an Ed25519 public key of 32 bytes, which need not be a point of the curve
/// (money can be sent to any 32 bytes; only nobody can spend it then).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Account([u8; Account::SIZE]);

impl Account {
    /// The size of an account in bytes.
    pub const SIZE: usize = 32;

    /// Takes the 32 bytes of a public key.
    pub const fn from_bytes(bytes: [u8; Self::SIZE]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes of the public key.
    pub const fn as_bytes(&self) -> &[u8; Self::SIZE] {
        &self.0
    }

    /// Checks that this account signed `message`: strict verification as in libsodium, which refuses
    /// keys and points of small order, keys whose encoding is not canonical, and any second form of a
    /// signature.
    ///
    /// # Errors
    /// [`BadSignature`] for everything that is not the one signature.
    pub fn verify(&self, message: &[u8], signature: &[u8; 64]) -> Result<(), BadSignature> {
        let key = VerifyingKey::from_bytes(&self.0).map_err(|_| BadSignature)?;
        // A few points have a second encoding, with y not reduced; only the first is a name.
        if key.to_edwards().compress().to_bytes() != self.0 {
            return Err(BadSignature);
        }
        key.verify_strict(message, &Signature::from_bytes(signature)).map_err(|_| BadSignature)
    }
}

impl fmt::Display for Account {
    /// Writes base58 of the 32 bytes, the form of Duniter v1.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::address::base58(&self.0))
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What was shown is not a signature of this account over these bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadSignature;

impl fmt::Display for BadSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the signature does not fit the key and the bytes")
    }
}

impl std::error::Error for BadSignature {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::AccountKey;

    #[test]
    fn a_signature_fits_one_key_and_one_text() {
        let key = AccountKey::from_seed([7; 32]);
        let signature = key.sign_document(b"{hello");
        assert!(key.account().verify(b"{hello", &signature).is_ok());
        assert_eq!(key.account().verify(b"{hellO", &signature), Err(BadSignature));
        let other = AccountKey::from_seed([8; 32]).account();
        assert_eq!(other.verify(b"{hello", &signature), Err(BadSignature));
    }

    #[test]
    fn a_signature_has_no_second_form() {
        // s and s + L are the same scalar; only the smaller one is taken.
        const ORDER: [u8; 32] = [
            0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9,
            0xde, 0x14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
        ];
        let key = AccountKey::from_seed([7; 32]);
        let mut signature = key.sign_document(b"{");
        let mut carry = 0u16;
        for (byte, order) in signature[32..].iter_mut().zip(ORDER) {
            carry += u16::from(*byte) + u16::from(order);
            *byte = carry.to_le_bytes()[0];
            carry >>= 8;
        }
        assert_eq!(key.account().verify(b"{", &signature), Err(BadSignature));
    }

    #[test]
    fn a_key_of_small_order_signs_nothing() {
        // The neutral point: with R neutral and s zero the plain equation holds for every text.
        let mut neutral = [0; 32];
        neutral[0] = 1;
        let mut signature = [0; 64];
        signature[0] = 1;
        assert_eq!(Account::from_bytes(neutral).verify(b"{", &signature), Err(BadSignature));
    }
}
