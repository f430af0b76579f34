//! The key that moves an account's money, and the ways to come by it.
//!
//! ```text
//! salt, password ─► scrypt N=4096 r=16 p=1 ─► seed          (Duniter v1)
//! mnemonic       ─► PBKDF2-HMAC-SHA512(entropy, "mnemonic", 2048), first 32 bytes ─► seed  (Substrate)
//! key file       ─► "PubSec" of Duniter v1, or a seed in hex ─► seed
//! ```
//!
//! What always holds: the key signs either a document, which begins with `{`, or a transaction, which
//! does not; nothing else. Seeds are wiped and never printed.
//! Absent: where texts come from. The program asks at the terminal or reads files, and hands them in.

use std::fmt;

use ed25519_dalek::{Signer, SigningKey};
use zeroize::{Zeroize, Zeroizing};

use crate::{Account, address};

/// The secret half of an account. Wiped on drop; neither copied nor printed.
pub struct AccountKey(SigningKey);

impl AccountKey {
    /// Takes the 32 bytes of an Ed25519 seed.
    pub fn from_seed(mut seed: [u8; 32]) -> Self {
        let key = SigningKey::from_bytes(&seed);
        seed.zeroize();
        Self(key)
    }

    /// Makes the key of Duniter v1 from a salt ("secret identifier") and a password: scrypt with
    /// N = 4096, r = 16, p = 1 gives the seed. Texts are taken as their UTF-8 bytes, not normalised.
    pub fn from_salt(salt: &str, password: &str) -> Self {
        let params = scrypt::Params::new(12, 16, 1).expect("these parameters are legal");
        let mut seed = Zeroizing::new([0; 32]);
        scrypt::scrypt(password.as_bytes(), salt.as_bytes(), &params, &mut *seed)
            .expect("32 bytes are a legal output");
        Self::from_seed(*seed)
    }

    /// Makes the key of a mnemonic of 12 to 24 English or French words, as Substrate does: the seed
    /// comes from the entropy, not from the words.
    ///
    /// # Errors
    /// [`BadKey::Mnemonic`] for unknown words, a wrong number of them or a wrong checksum.
    pub fn from_mnemonic(words: &str) -> Result<Self, BadKey> {
        if words.len() > MNEMONIC_SIZE_MAX {
            return Err(BadKey::Mnemonic);
        }
        let words = Zeroizing::new(words.split_whitespace().collect::<Vec<_>>().join(" "));
        let mnemonic = bip39::Mnemonic::parse_normalized(&words).map_err(|_| BadKey::Mnemonic)?;
        let (entropy, size) = mnemonic.to_entropy_array();
        let entropy = Zeroizing::new(entropy);
        let mut long = Zeroizing::new([0; 64]);
        pbkdf2::pbkdf2::<hmac::Hmac<sha2::Sha512>>(&entropy[..size], b"mnemonic", 2048, &mut *long)
            .expect("HMAC takes keys of any size");
        let mut seed = Zeroizing::new([0; 32]);
        seed.copy_from_slice(&long[..32]);
        Ok(Self::from_seed(*seed))
    }

    /// Reads a key file: either the `PubSec` format of Duniter v1 (lines `Type: PubSec`, `Version: 1`,
    /// `pub: BASE58`, `sec: BASE58` of seed and key, 64 bytes), or a seed of 64 hex digits, `0x` allowed.
    ///
    /// # Errors
    /// [`BadKey::File`] for any other text, [`BadKey::Mismatch`] if the public half is another key's.
    pub fn from_file(text: &str) -> Result<Self, BadKey> {
        if text.len() > FILE_SIZE_MAX {
            return Err(BadKey::File);
        }
        match text.lines().any(|line| line.trim() == "Type: PubSec") {
            true => Self::from_pubsec(text),
            false => {
                let digits = text.trim();
                let digits = digits.strip_prefix("0x").unwrap_or(digits);
                Ok(Self::from_seed(*unhex(digits).ok_or(BadKey::File)?))
            }
        }
    }

    fn from_pubsec(text: &str) -> Result<Self, BadKey> {
        let field = |name: &str| {
            let mut values = text.lines().filter_map(|line| line.trim().strip_prefix(name));
            values.next().map(str::trim).filter(|_| values.next().is_none()).ok_or(BadKey::File)
        };
        if field("Version:")? != "1" {
            return Err(BadKey::File);
        }
        let mut pair = Zeroizing::new([0; 64]);
        if bs58::decode(field("sec:")?).onto(&mut pair[..]) != Ok(64) {
            return Err(BadKey::File);
        }
        let mut seed = Zeroizing::new([0; 32]);
        seed.copy_from_slice(&pair[..32]);
        let key = Self::from_seed(*seed);
        let shown: Account = field("pub:")?.parse().map_err(|_| BadKey::File)?;
        match shown == key.account() && pair[32..] == *shown.as_bytes() {
            true => Ok(key),
            false => Err(BadKey::Mismatch),
        }
    }

    /// Writes the key as a `PubSec` file, to be kept where only its owner reads.
    pub fn to_file(&self) -> Zeroizing<String> {
        let pair = Zeroizing::new(self.0.to_keypair_bytes());
        let secret = Zeroizing::new(address::base58(&*pair));
        let public = self.account();
        Zeroizing::new(format!(
            "Type: PubSec\nVersion: 1\npub: {public}\nsec: {}\n",
            secret.as_str()
        ))
    }

    /// The account whose money this key moves.
    pub fn account(&self) -> Account {
        Account::from_bytes(self.0.verifying_key().to_bytes())
    }

    /// Derives a secret for another purpose from the key: BLAKE3 derive-key with `context` over the
    /// seed. It tells nothing of the key.
    pub fn derive(&self, context: &'static str) -> Zeroizing<[u8; 32]> {
        let seed = Zeroizing::new(self.0.to_bytes());
        Zeroizing::new(blake3::derive_key(context, &*seed))
    }

    /// Signs a document that we composed.
    ///
    /// # Panics
    /// If it does not begin with `{`: such bytes could be a ledger transaction.
    pub fn sign_document(&self, document: &[u8]) -> [u8; 64] {
        assert_eq!(document.first(), Some(&b'{'), "a document begins with a brace");
        self.0.sign(document).to_bytes()
    }

    /// Signs the payload of a ledger transaction that we composed.
    ///
    /// # Panics
    /// If it is empty or begins with `{`: such bytes could be a document.
    pub fn sign_transaction(&self, payload: &[u8]) -> [u8; 64] {
        assert!(payload.first().is_some_and(|byte| *byte != b'{'), "a transaction has no brace");
        self.0.sign(payload).to_bytes()
    }
}

/// The longest key file that is looked at, in bytes.
pub const FILE_SIZE_MAX: usize = 4096;

/// The longest mnemonic that is looked at, in bytes.
pub const MNEMONIC_SIZE_MAX: usize = 1024;

fn unhex(digits: &str) -> Option<Zeroizing<[u8; 32]>> {
    let digits = digits.as_bytes();
    if digits.len() != 64 {
        return None;
    }
    let value = |digit: u8| char::from(digit).to_digit(16);
    let mut bytes = Zeroizing::new([0; 32]);
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = u8::try_from(value(pair[0])? * 16 + value(pair[1])?).ok()?;
    }
    Some(bytes)
}

/// Why a text gives no key. Never holds the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadKey {
    /// Not a mnemonic of known words with a right checksum.
    Mnemonic,
    /// Neither a `PubSec` file nor a seed in hex.
    File,
    /// The public key in the file is not that of the secret one.
    Mismatch,
}

impl fmt::Display for BadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mnemonic => "not a mnemonic: a word, their number or the checksum is wrong",
            Self::File => "not a key file: neither PubSec version 1 nor 64 hex digits",
            Self::Mismatch => "the key file's public key does not belong to its secret key",
        })
    }
}

impl std::error::Error for BadKey {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_file_comes_back_and_a_spoiled_one_does_not() {
        let key = AccountKey::from_seed([3; 32]);
        let file = key.to_file();
        let again = AccountKey::from_file(&file).unwrap();
        assert_eq!(again.account(), key.account());
        let other = AccountKey::from_seed([4; 32]).account().to_string();
        let spoiled = file.replace(&key.account().to_string(), &other);
        assert_eq!(AccountKey::from_file(&spoiled).err(), Some(BadKey::Mismatch));
        let twice = format!("{}{}", file.as_str(), file.as_str());
        assert_eq!(AccountKey::from_file(&twice).err(), Some(BadKey::File));
        let hex = "03".repeat(32);
        assert_eq!(AccountKey::from_file(&hex).unwrap().account(), key.account());
        let odd = "é".repeat(32);
        assert_eq!(AccountKey::from_file(&odd).err(), Some(BadKey::File));
    }

    #[test]
    fn the_mnemonic_of_the_substrate_tests_gives_their_seed() {
        let words = "bottom drive obey lake curtain smoke basket hold race lonely fit walk";
        let seed = "fac7959dbfe72f052e5a0c3c8d6530f202b02fd8f9f5ca3580ec8deb7797479e";
        let from_words = AccountKey::from_mnemonic(words).unwrap();
        assert_eq!(from_words.account(), AccountKey::from_file(seed).unwrap().account());
        let wrong = words.replace("walk", "lake");
        assert_eq!(AccountKey::from_mnemonic(&wrong).err(), Some(BadKey::Mnemonic));
    }

    #[test]
    #[should_panic(expected = "a document begins with a brace")]
    fn a_transaction_is_not_signed_as_a_document() {
        AccountKey::from_seed([1; 32]).sign_document(&[1, 2, 3]);
    }

    #[test]
    #[should_panic(expected = "a transaction has no brace")]
    fn a_document_is_not_signed_as_a_transaction() {
        AccountKey::from_seed([1; 32]).sign_transaction(b"{}");
    }
}
