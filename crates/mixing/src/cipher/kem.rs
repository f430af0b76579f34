//! X-Wing: a secret for one public key, from ML-KEM-768 and X25519 together
//! (draft-connolly-cfrg-xwing-kem, section 5). It holds while either of the two does.
//!
//! ```text
//! public key    ML-KEM-768 1184 | X25519 32
//! ciphertext    ML-KEM-768 1088 | X25519 32
//! secret        SHA3-256( ss_M 32 ‖ ss_X 32 ‖ ct_X 32 ‖ pk_X 32 ‖ label 6 )
//! ```
//!
//! Randomness is an argument. As in the draft, an X25519 result of zero is not refused: whoever
//! sends such a point gives away only its own secret. ML-KEM public keys are checked (FIPS 203,
//! section 7.2); a ciphertext of the right size always gives a secret, only not always the same.

use libcrux_ml_kem::mlkem768::{
    self, MlKem768Ciphertext, MlKem768KeyPair, MlKem768PrivateKey, MlKem768PublicKey,
};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

pub(crate) const PUBLIC_SIZE: usize = LATTICE_PUBLIC_SIZE + 32;
pub(crate) const CIPHERTEXT_SIZE: usize = LATTICE_CIPHERTEXT_SIZE + 32;

pub(crate) type Public = [u8; PUBLIC_SIZE];
pub(crate) type Ciphertext = [u8; CIPHERTEXT_SIZE];
pub(crate) type Shared = Zeroizing<[u8; 32]>;

/// The decapsulation key, expanded once from its 32-byte seed. Wiped on drop.
pub(crate) struct Key {
    lattice: Box<MlKem768PrivateKey>,
    curve: StaticSecret,
    public: Box<Public>,
}

impl Key {
    /// Expands a seed (draft, section 5.2: SHAKE-256 to 96 bytes, 64 for ML-KEM and 32 for X25519).
    pub(crate) fn from_seed(seed: &[u8; 32]) -> Self {
        let expanded = Zeroizing::new(libcrux_sha3::shake256::<96>(seed));
        let (lattice_seed, curve_seed) = expanded.split_at(64);
        let mut pair = mlkem768::generate_key_pair(sized(lattice_seed));
        let curve = StaticSecret::from(sized::<32>(curve_seed));
        let mut public = Box::new([0; PUBLIC_SIZE]);
        public[..LATTICE_PUBLIC_SIZE].copy_from_slice(pair.pk());
        public[LATTICE_PUBLIC_SIZE..].copy_from_slice(PublicKey::from(&curve).as_bytes());
        let lattice = Box::new(MlKem768PrivateKey::from(pair.sk()));
        wipe(&mut pair, MlKem768KeyPair::from(Default::default(), Default::default()));
        Self { lattice, curve, public }
    }

    pub(crate) fn public(&self) -> &Public {
        &self.public
    }

    /// The secret in a ciphertext (draft, section 5.5).
    pub(crate) fn decapsulate(&self, ciphertext: &Ciphertext) -> Shared {
        let (for_lattice, for_curve) = ciphertext.split_at(LATTICE_CIPHERTEXT_SIZE);
        let for_lattice = MlKem768Ciphertext::from(sized(for_lattice));
        let from_lattice = Zeroizing::new(mlkem768::decapsulate(&self.lattice, &for_lattice));
        let for_curve = PublicKey::from(sized(for_curve));
        let from_curve = self.curve.diffie_hellman(&for_curve);
        let own = &self.public[LATTICE_PUBLIC_SIZE..];
        combine(&from_lattice, from_curve.as_bytes(), for_curve.as_bytes(), own)
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        wipe(&mut *self.lattice, MlKem768PrivateKey::default());
    }
}

/// Makes a secret for `to` and the ciphertext that carries it (draft, section 5.4, derandomized:
/// the first 32 bytes for ML-KEM, the last for X25519). `to` must have passed [`is_valid`].
pub(crate) fn encapsulate(to: &Public, randomness: &[u8; 64]) -> (Ciphertext, Shared) {
    let (for_lattice, for_curve) = randomness.split_at(32);
    let (lattice, curve) = to.split_at(LATTICE_PUBLIC_SIZE);
    let lattice = MlKem768PublicKey::from(sized(lattice));
    let (sent, from_lattice) = mlkem768::encapsulate(&lattice, sized(for_lattice));
    let from_lattice = Zeroizing::new(from_lattice);
    let ephemeral = StaticSecret::from(sized::<32>(for_curve));
    let point = PublicKey::from(&ephemeral);
    let from_curve = ephemeral.diffie_hellman(&PublicKey::from(sized(curve)));
    let shared = combine(&from_lattice, from_curve.as_bytes(), point.as_bytes(), curve);
    let mut ciphertext = [0; CIPHERTEXT_SIZE];
    ciphertext[..LATTICE_CIPHERTEXT_SIZE].copy_from_slice(sent.as_slice());
    ciphertext[LATTICE_CIPHERTEXT_SIZE..].copy_from_slice(point.as_bytes());
    (ciphertext, shared)
}

/// Whether the ML-KEM half is a public key at all; every 32 bytes are one for X25519.
pub(crate) fn is_valid(public: &Public) -> bool {
    let (lattice, _) = public.split_at(LATTICE_PUBLIC_SIZE);
    mlkem768::validate_public_key(&MlKem768PublicKey::from(sized(lattice)))
}

/// The combiner (draft, section 5.3).
fn combine(from_lattice: &[u8; 32], from_curve: &[u8; 32], sent: &[u8; 32], to: &[u8]) -> Shared {
    let mut input = Zeroizing::new([0; 4 * 32 + LABEL.len()]);
    for (place, part) in input.chunks_mut(32).zip([from_lattice, from_curve, sent, to, LABEL]) {
        place.copy_from_slice(part);
    }
    Zeroizing::new(libcrux_sha3::sha256(&*input))
}

/// Overwrites a secret of a crate that does not wipe its own.
fn wipe<T>(secret: &mut T, nothing: T) {
    *secret = nothing;
    // Seen by the compiler as read, so the write stays although nothing else reads it.
    core::hint::black_box(secret);
}

/// A copy of the bytes as an array.
fn sized<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().expect("the layout above gives every part its size")
}

const LATTICE_PUBLIC_SIZE: usize = 1184;
const LATTICE_CIPHERTEXT_SIZE: usize = 1088;
const LABEL: &[u8] = br"\.//^\";

#[cfg(test)]
mod tests {
    use x_wing::kem::{Decapsulate, KeyExport, KeyInit, TryKeyInit};

    use super::*;
    use crate::Chance;
    use crate::vectors::read;

    #[test]
    fn keys_ciphertexts_and_secrets_are_those_of_the_draft() {
        let vectors = read(include_str!("../../tests/vectors/xwing.txt"));
        assert_eq!(vectors.len(), 3);
        for vector in vectors {
            let key = Key::from_seed(&sized(&vector["sk"]));
            assert_eq!(key.public()[..], vector["pk"]);
            let (ciphertext, shared) = encapsulate(key.public(), &sized(&vector["eseed"]));
            assert_eq!(ciphertext[..], vector["ct"]);
            assert_eq!(shared[..], vector["ss"]);
            assert_eq!(key.decapsulate(&ciphertext)[..], vector["ss"]);
        }
    }

    #[test]
    fn another_implementation_opens_ours_and_we_open_its() {
        let mut chance = Chance::new([1; 32]);
        for _ in 0..5 {
            let (seed, randomness) = (chance.bytes(), chance.bytes());
            let ours = Key::from_seed(&seed);
            let theirs = x_wing::DecapsulationKey::new(&seed.into());
            let public = x_wing::EncapsulationKey::new(&(*ours.public()).into()).unwrap();
            assert_eq!(public.to_bytes()[..], ours.public()[..]);

            let (ciphertext, shared) = encapsulate(ours.public(), &randomness);
            assert_eq!(theirs.decapsulate(&ciphertext.into())[..], shared[..]);
            let (ciphertext, shared) = public.encapsulate_deterministic(&chance.bytes().into());
            assert_eq!(ours.decapsulate(&sized(&ciphertext))[..], shared[..]);
        }
    }

    #[test]
    fn a_changed_ciphertext_gives_another_secret() {
        let key = Key::from_seed(&[3; 32]);
        let (ciphertext, shared) = encapsulate(key.public(), &[4; 64]);
        for at in [0, 500, 1087, 1088, 1110] {
            let mut changed = ciphertext;
            changed[at] ^= 1;
            assert_ne!(key.decapsulate(&changed)[..], shared[..], "byte {at}");
        }
    }

    #[test]
    fn a_lattice_key_with_a_coefficient_out_of_range_is_not_valid() {
        let mut public = *Key::from_seed(&[5; 32]).public();
        assert!(is_valid(&public));
        public[..3].fill(0xff);
        assert!(!is_valid(&public));
    }

    #[test]
    fn wiping_overwrites() {
        let mut key = MlKem768PrivateKey::from([7; 2400]);
        wipe(&mut key, MlKem768PrivateKey::default());
        assert!(key.as_slice().iter().all(|byte| *byte == 0));
    }
}
