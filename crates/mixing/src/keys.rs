//! Keys of people and nodes, one type per duty.
//!
//! [`IdentityKey`] signs and [`Identity`] verifies: who a node is, for as long as it lives.
//! [`Secret`] is any other secret of fixed size. Keys that messages are sealed to are in
//! [`envelope`](crate::envelope).
//!
//! What always holds: a secret is wiped on drop, has no `Clone`, prints nothing, and is compared in
//! constant time. Moving one may leave a copy where it was, so secrets belong where they stay.

use core::fmt;
use core::str::FromStr;

use zeroize::Zeroize;
pub use zeroize::Zeroizing;

use crate::Chance;
use crate::cipher::{self, Forged, signature};

/// Who a node is: a public Ed25519 key, 32 bytes (RFC 8032). Shown and read as 64 hexadecimal
/// digits, shown in lower case.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity([u8; 32]);

impl Identity {
    /// Takes 32 bytes for a public key. Bytes that are no key verify nothing.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The public key.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Checks that this identity signed `message` in `context`.
    ///
    /// # Errors
    /// [`Forged`] if it did not, or if key or signature is of a form that some implementations
    /// accept and others do not (points of small order, numbers in a long form).
    ///
    /// # Panics
    /// If `context` contains a zero byte.
    pub fn verify(&self, context: &str, message: &[u8], by: &Signature) -> Result<(), Forged> {
        signature::verify(&self.0, &signed(context, message), &by.0)
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show_hex(&self.0, f)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show_hex(&self.0, f)
    }
}

impl FromStr for Identity {
    type Err = BadKey;

    fn from_str(text: &str) -> Result<Self, BadKey> {
        let digits = text.as_bytes();
        if digits.len() != 64 {
            return Err(BadKey);
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Ok(Self(bytes))
    }
}

/// The secret behind an [`Identity`]. Wiped on drop; no `Debug`, no `Clone`.
pub struct IdentityKey(signature::Key);

impl IdentityKey {
    /// Makes the key from its 32-byte seed (RFC 8032, section 5.1.5).
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(signature::Key::from_seed(&Zeroizing::new(seed)))
    }

    /// Draws a new key.
    pub fn generate(chance: &mut Chance) -> Self {
        Self::from_seed(chance.bytes())
    }

    /// The public half.
    pub fn identity(&self) -> Identity {
        Identity(self.0.public())
    }

    /// Signs `context ‖ 0x00 ‖ message`. The same message always gets the same signature.
    ///
    /// # Panics
    /// If `context` contains a zero byte: two contexts could then sign the same bytes.
    pub fn sign(&self, context: &str, message: &[u8]) -> Signature {
        Signature(self.0.sign(&signed(context, message)))
    }

    /// The seed, for saving.
    pub fn seed(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(*self.0.seed())
    }
}

/// An Ed25519 signature over `context ‖ 0x00 ‖ message`: R, then S (RFC 8032, section 5.1.6).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature(pub [u8; 64]);

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show_hex(&self.0, f)
    }
}

/// A secret of `N` bytes. Wiped on drop; compared in constant time; prints as `Secret(..)`.
pub struct Secret<const N: usize>([u8; N]);

impl<const N: usize> Secret<N> {
    /// Takes the bytes; the caller's copy is the caller's to wipe.
    pub const fn new(bytes: [u8; N]) -> Self {
        Self(bytes)
    }

    /// Lends the bytes to whoever computes with them.
    pub const fn expose(&self) -> &[u8; N] {
        &self.0
    }
}

impl<const N: usize> Drop for Secret<N> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl<const N: usize> PartialEq for Secret<N> {
    fn eq(&self, other: &Self) -> bool {
        cipher::equal(&self.0, &other.0)
    }
}

impl<const N: usize> Eq for Secret<N> {}

impl<const N: usize> fmt::Debug for Secret<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// The bytes or the text are no public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadKey;

impl fmt::Display for BadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a public key")
    }
}

impl core::error::Error for BadKey {}

fn signed(context: &str, message: &[u8]) -> Vec<u8> {
    assert!(!context.contains('\0'), "a context has no zero byte: it ends with one");
    [context.as_bytes(), &[0], message].concat()
}

fn show_hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

fn digit(byte: u8) -> Result<u8, BadKey> {
    char::from(byte).to_digit(16).map(|digit| digit as u8).ok_or(BadKey)
}
