//! The envelope: one message sealed to one public key, once.
//!
//! It opens links and channels and carries payment requests; what is inside is not known here.
//!
//! ```text
//! 0                    1120      1136
//! | X-Wing ciphertext  | tag     | body           AEGIS-128L, nonce 0: each key seals one message
//! ```
//!
//! ```text
//! shared secret ─┐
//! public key    ─┼─► BLAKE3 derive_key(context) ─► cipher key 16 | exporter secret 32
//! ciphertext    ─┘
//! ```
//!
//! The public key and the ciphertext are in the derivation because AEGIS does not commit to its
//! key: without them a sender could make one envelope that two recipients open differently. What
//! always holds: an envelope opens only with the key, the context and the associated data it was
//! sealed with. Absent: the sender's identity, and any memory of envelopes already seen; a caller
//! that must refuse a second opening keeps each [`fingerprint`].

use core::fmt;

use zeroize::Zeroizing;

use crate::Chance;
use crate::cipher::kem::{self, CIPHERTEXT_SIZE};
use crate::cipher::{self, Aead, Forged, KEY_SIZE, TAG_SIZE};
pub use crate::keys::BadKey;
use crate::keys::Secret;

/// The size of a public key: ML-KEM-768 1184 bytes, then X25519 32.
pub const PUBLIC_SIZE: usize = kem::PUBLIC_SIZE;

/// How much longer an envelope is than its message: KEM ciphertext 1120 bytes, then tag 16.
pub const OVERHEAD: usize = CIPHERTEXT_SIZE + TAG_SIZE;

/// A public key that envelopes are sealed to (X-Wing, draft-connolly-cfrg-xwing-kem). Checked: one
/// that exists can be sealed to. Prints as its first eight bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct EnvelopePublic(Box<[u8; PUBLIC_SIZE]>);

impl EnvelopePublic {
    /// Takes a public key from outside.
    ///
    /// # Errors
    /// [`BadKey`] if the ML-KEM part is not one (FIPS 203, section 7.2: the modulus check).
    pub fn from_bytes(bytes: &[u8; PUBLIC_SIZE]) -> Result<Self, BadKey> {
        if kem::is_valid(bytes) { Ok(Self(Box::new(*bytes))) } else { Err(BadKey) }
    }

    /// The public key.
    pub fn as_bytes(&self) -> &[u8; PUBLIC_SIZE] {
        &self.0
    }
}

impl fmt::Debug for EnvelopePublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EnvelopePublic(")?;
        self.0[..8].iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str("..)")
    }
}

/// The secret key that opens envelopes, expanded once and kept. Wiped on drop; no `Debug`, no
/// `Clone`.
pub struct EnvelopeKey {
    key: kem::Key,
    public: EnvelopePublic,
}

impl EnvelopeKey {
    /// Expands the key from its 32-byte seed (draft, section 5.2).
    pub fn from_seed(seed: [u8; 32]) -> Self {
        let key = kem::Key::from_seed(&Zeroizing::new(seed));
        let public = EnvelopePublic(Box::new(*key.public()));
        Self { key, public }
    }

    /// Draws a new key.
    pub fn generate(chance: &mut Chance) -> Self {
        Self::from_seed(chance.bytes())
    }

    /// The public half.
    pub fn public(&self) -> &EnvelopePublic {
        &self.public
    }

    /// Opens an envelope: the message, and a secret shared with whoever sealed it.
    ///
    /// # Errors
    /// [`Forged`] if the envelope is shorter than [`OVERHEAD`], or was not sealed to this key with
    /// this context and associated data, or was changed anywhere.
    pub fn open(
        &self,
        context: &'static str,
        associated: &[u8],
        envelope: &[u8],
    ) -> Result<(Vec<u8>, Exporter), Forged> {
        let (ciphertext, rest) = envelope.split_first_chunk().ok_or(Forged)?;
        let (tag, body) = rest.split_first_chunk().ok_or(Forged)?;
        let shared = self.key.decapsulate(ciphertext);
        let (cipher, exporter) = schedule(context, &shared, &self.public, ciphertext);
        let mut message = body.to_vec();
        cipher.open(&cipher::nonce(0), associated, &mut message, tag)?;
        Ok((message, exporter))
    }
}

/// Seals `message` to `to`: the envelope, [`OVERHEAD`] bytes longer than the message, and a secret
/// shared with whoever opens it. `associated` is bound to the envelope but not in it.
pub fn seal(
    to: &EnvelopePublic,
    context: &'static str,
    associated: &[u8],
    message: &[u8],
    chance: &mut Chance,
) -> (Vec<u8>, Exporter) {
    Sealing::begin(to, context, chance).finish(associated, message)
}

/// An envelope half made, for a message that signs the very envelope it travels in.
pub struct Sealing {
    ciphertext: [u8; CIPHERTEXT_SIZE],
    cipher: Aead,
    exporter: Exporter,
}

impl Sealing {
    /// Draws the shared secret and encapsulates it.
    pub fn begin(to: &EnvelopePublic, context: &'static str, chance: &mut Chance) -> Self {
        let randomness = Zeroizing::new(chance.bytes());
        let (ciphertext, shared) = kem::encapsulate(to.as_bytes(), &randomness);
        let (cipher, exporter) = schedule(context, &shared, to, &ciphertext);
        Self { ciphertext, cipher, exporter }
    }

    /// The [`fingerprint`] that the envelope will have.
    pub fn fingerprint(&self) -> [u8; 16] {
        fingerprint(&self.ciphertext)
    }

    /// Seals the message: the same results as [`seal`].
    pub fn finish(self, associated: &[u8], message: &[u8]) -> (Vec<u8>, Exporter) {
        let mut envelope = Vec::with_capacity(OVERHEAD + message.len());
        envelope.extend_from_slice(&self.ciphertext);
        envelope.extend_from_slice(&[0; TAG_SIZE]);
        envelope.extend_from_slice(message);
        let tag = self.cipher.seal(&cipher::nonce(0), associated, &mut envelope[OVERHEAD..]);
        envelope[CIPHERTEXT_SIZE..OVERHEAD].copy_from_slice(&tag);
        (envelope, self.exporter)
    }
}

/// What a memory of seen envelopes keeps: a hash of the KEM ciphertext, the part that a copy with
/// changes elsewhere would still share. Of fewer than 1120 bytes, all are hashed.
pub fn fingerprint(envelope: &[u8]) -> [u8; 16] {
    let ciphertext = &envelope[..envelope.len().min(CIPHERTEXT_SIZE)];
    let mut short = [0; 16];
    cipher::derive("mingle envelope fingerprint", &[ciphertext], &mut short);
    short
}

/// A secret that both sides of an envelope share, for keys of their own. Wiped on drop.
pub struct Exporter(Secret<32>);

impl Exporter {
    /// Fills `out` with key material for `context` and `extra`, as [`cipher::derive`] over the
    /// secret and then the parts of `extra`.
    pub fn export(&self, context: &'static str, extra: &[&[u8]], out: &mut [u8]) {
        let secret: &[u8] = self.0.expose();
        cipher::derive(context, &[&[secret], extra].concat(), out);
    }
}

/// The key schedule drawn above.
fn schedule(
    context: &'static str,
    shared: &kem::Shared,
    to: &EnvelopePublic,
    ciphertext: &kem::Ciphertext,
) -> (Aead, Exporter) {
    let mut keys = Zeroizing::new([0; KEY_SIZE + 32]);
    cipher::derive(context, &[&**shared, to.as_bytes(), ciphertext], &mut *keys);
    let (for_cipher, for_exporter) = keys.split_at(KEY_SIZE);
    let for_cipher = for_cipher.first_chunk().expect("split there");
    let for_exporter = for_exporter.first_chunk().expect("32 bytes are left");
    (Aead::new(for_cipher), Exporter(Secret::new(*for_exporter)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_depend_on_context_secret_recipient_and_ciphertext() {
        let publics = [1, 2].map(|seed| EnvelopeKey::from_seed([seed; 32]).public().clone());
        let export = |context, shared, to: &EnvelopePublic, ciphertext| {
            let shared = Zeroizing::new([shared; 32]);
            let (_, exporter) = schedule(context, &shared, to, &[ciphertext; CIPHERTEXT_SIZE]);
            let mut out = [0; 32];
            exporter.export("test: all", &[], &mut out);
            out
        };
        let plain = export("test: a", 1, &publics[0], 1);
        assert_eq!(plain, export("test: a", 1, &publics[0], 1));
        assert_ne!(plain, export("test: b", 1, &publics[0], 1));
        assert_ne!(plain, export("test: a", 2, &publics[0], 1));
        assert_ne!(plain, export("test: a", 1, &publics[1], 1));
        assert_ne!(plain, export("test: a", 1, &publics[0], 2));
    }
}
