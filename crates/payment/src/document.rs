//! Signed documents: what parties say to each other in writing, parsed once and kept with their bytes.
//!
//! ```text
//! signature, 64 bytes | object: UBJSON map that begins  doctype · docver · currency · …
//! ```
//! The signature is Ed25519 by an account key over exactly the bytes of the object that follow.
//!
//! What always holds: an account key signs only objects that we composed, which begin with `{` and
//! name their kind and currency; so no signature of one kind, version or currency serves as another,
//! and none serves as a ledger transaction. What arrived is verified as it arrived, never re-encoded.
//! Absent: whether the content is wise, timely or wanted; the machines judge that.

mod identity;
mod peer;
mod promise;
mod request;

use std::fmt;

use mixing::cipher;
use money::account::BadSignature;
use money::{Account, AccountKey};

pub use identity::{IdentitySignature, LIFE_MAX_S};
pub use peer::{ADDRESS_MAX, Host, KnownPeer, LIFE_S, PEERS_MAX, PeerInfo, Terms, peer_hash};
pub use promise::{Promise, reference};
pub use request::{Confirm, GetConfirm, Request};

use crate::ubjson::{Fields, Malformed, Value};

/// The largest document in bytes, signature included: a peer info with all its peers.
pub const DOCUMENT_SIZE_MAX: usize = 32 * 1024;

/// Which money: documents of one currency are worth nothing in another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Currency {
    /// Duniter v1: its name.
    Name(String),
    /// Duniter v2 and the embedded ledger: the hash of the genesis block.
    Genesis([u8; 32]),
}

impl Currency {
    /// The form in documents: a text, or 32 bytes.
    pub fn to_value(&self) -> Value {
        match self {
            Self::Name(name) => Value::from(name.as_str()),
            Self::Genesis(hash) => Value::from(&hash[..]),
        }
    }

    /// 32 bytes that stand for it in layers and hashes: BLAKE3 derive-key "mingle currency v1".
    pub fn digest(&self) -> [u8; 32] {
        cipher::hash("mingle currency v1", &[&self.to_value().to_bytes()])
    }
}

/// One kind of document.
pub trait Document: Sized {
    /// What its `doctype` says.
    const DOCTYPE: &'static str;
    /// What its `docver` says.
    const DOCVER: u64 = 1;

    /// The entries after `currency`, in the stated order.
    fn entries(&self) -> Vec<(&'static str, Value)>;

    /// Reads these entries.
    ///
    /// # Errors
    /// [`Malformed`] where an entry is missing, out of order or does not fit.
    fn read(fields: &mut Fields) -> Result<Self, Malformed>;
}

/// A document with its signature, as it was made or as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed<T> {
    content: T,
    bytes: Vec<u8>,
}

impl<T: Document> Signed<T> {
    /// Composes and signs.
    pub fn make(content: T, currency: &Currency, key: &AccountKey) -> Self {
        let head = [
            ("doctype", Value::from(T::DOCTYPE)),
            ("docver", Value::from(T::DOCVER)),
            ("currency", currency.to_value()),
        ];
        let entries = head.into_iter().chain(content.entries());
        let entries = entries.map(|(name, value)| (name.to_owned(), value)).collect();
        let object = Value::Map(entries).to_bytes();
        let bytes = [&key.sign_document(&object)[..], &object].concat();
        Self { content, bytes }
    }

    /// Reads and verifies. `signer` says from the content who must have signed it.
    ///
    /// # Errors
    /// [`BadDocument`], checked from cheap to dear; the signature last.
    pub fn read(
        bytes: &[u8],
        currency: &Currency,
        signer: impl FnOnce(&T) -> Option<Account>,
    ) -> Result<Self, BadDocument> {
        let unverified = Unverified::parse(bytes, currency)?;
        let signer = signer(&unverified.content).ok_or(BadDocument::UnknownSigner)?;
        unverified.verify(signer)
    }

    /// What it says.
    pub fn content(&self) -> &T {
        &self.content
    }

    /// Signature and object, as they arrived.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// A document that was parsed, and whose signature has not been looked at yet.
pub struct Unverified<'a, T> {
    content: T,
    bytes: &'a [u8],
}

impl<'a, T: Document> Unverified<'a, T> {
    /// Parses.
    ///
    /// # Errors
    /// [`BadDocument`], for all but the signature.
    pub fn parse(bytes: &'a [u8], currency: &Currency) -> Result<Self, BadDocument> {
        if bytes.len() > DOCUMENT_SIZE_MAX {
            return Err(BadDocument::TooLong);
        }
        let object = bytes.get(64..).ok_or(BadDocument::Malformed(Malformed::Truncated))?;
        Ok(Self { content: read_object(object, currency)?, bytes })
    }

    /// What somebody says it says.
    pub fn content(&self) -> &T {
        &self.content
    }

    /// Checks who signed it.
    ///
    /// # Errors
    /// [`BadDocument::BadSignature`].
    pub fn verify(self, signer: Account) -> Result<Signed<T>, BadDocument> {
        let (signature, object) =
            self.bytes.split_first_chunk().ok_or(BadDocument::BadSignature)?;
        signer.verify(object, signature)?;
        Ok(Signed { content: self.content, bytes: self.bytes.to_vec() })
    }
}

fn read_object<T: Document>(object: &[u8], currency: &Currency) -> Result<T, BadDocument> {
    let mut fields = Fields::new(Value::from_bytes(object)?)?;
    if fields.text("doctype")? != T::DOCTYPE {
        return Err(BadDocument::OtherKind);
    }
    if fields.number("docver")? != T::DOCVER {
        return Err(BadDocument::OtherVersion);
    }
    if fields.take("currency")? != currency.to_value() {
        return Err(BadDocument::OtherCurrency);
    }
    let content = T::read(&mut fields)?;
    fields.end()?;
    Ok(content)
}

/// Why bytes are no document of the kind expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadDocument {
    /// More than [`DOCUMENT_SIZE_MAX`] bytes.
    TooLong,
    /// Not the UBJSON of this kind.
    Malformed(Malformed),
    /// Another `doctype`.
    OtherKind,
    /// Another `docver`.
    OtherVersion,
    /// Another currency.
    OtherCurrency,
    /// Nobody we know would have to sign this.
    UnknownSigner,
    /// Signed by another, or changed.
    BadSignature,
}

impl From<Malformed> for BadDocument {
    fn from(why: Malformed) -> Self {
        Self::Malformed(why)
    }
}

impl From<BadSignature> for BadDocument {
    fn from(BadSignature: BadSignature) -> Self {
        Self::BadSignature
    }
}

impl fmt::Display for BadDocument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => f.write_str("the document is too long"),
            Self::Malformed(why) => why.fmt(f),
            Self::OtherKind => f.write_str("a document of another kind"),
            Self::OtherVersion => f.write_str("a document of another version"),
            Self::OtherCurrency => f.write_str("a document of another currency"),
            Self::UnknownSigner => f.write_str("signed by nobody we know"),
            Self::BadSignature => f.write_str("the signature does not fit"),
        }
    }
}

impl std::error::Error for BadDocument {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key() -> AccountKey {
        AccountKey::from_seed([1; 32])
    }

    fn here() -> Currency {
        Currency::Genesis([7; 32])
    }

    fn question() -> Signed<GetConfirm> {
        let content = GetConfirm {
            to: Account::from_bytes([2; 32]),
            sender: key().account(),
            in_seed: [3; 32],
            date: 1_700_000_000,
        };
        Signed::make(content, &here(), &key())
    }

    #[test]
    fn a_document_comes_back_and_every_changed_byte_is_refused() {
        let made = question();
        let signer = |content: &GetConfirm| Some(content.sender);
        assert_eq!(Signed::read(made.bytes(), &here(), signer).as_ref(), Ok(&made));
        for i in 0..made.bytes().len() {
            let mut changed = made.bytes().to_vec();
            changed[i] ^= 1;
            assert!(Signed::<GetConfirm>::read(&changed, &here(), signer).is_err(), "byte {i}");
            assert!(Signed::<GetConfirm>::read(&changed[..i], &here(), signer).is_err());
        }
    }

    #[test]
    fn a_signature_of_one_kind_or_currency_is_refused_as_another() {
        let made = question();
        let other = Currency::Name("g1".into());
        let refused = Signed::<GetConfirm>::read(made.bytes(), &other, |c| Some(c.sender));
        assert_eq!(refused.unwrap_err(), BadDocument::OtherCurrency);
        let refused = Signed::<Promise>::read(made.bytes(), &here(), |c| Some(c.node));
        assert_eq!(refused.unwrap_err(), BadDocument::OtherKind);
        let refused = Signed::<GetConfirm>::read(made.bytes(), &here(), |_| None);
        assert_eq!(refused.unwrap_err(), BadDocument::UnknownSigner);
        let named = Currency::Name(String::from_utf8(vec![b'a'; 32]).unwrap());
        assert_ne!(named.digest(), Currency::Genesis([b'a'; 32]).digest());
    }

    #[test]
    fn a_document_is_no_transaction_of_any_ledger() {
        // The first signed byte of a document is a brace; a transaction's is not.
        let made = question();
        assert_eq!(made.bytes()[64], b'{');
        assert!(money::embedded::Transaction::read(&made.bytes()[64..]).is_err());
        assert_ne!(money::embedded::transaction::VERSION, b'{');
    }

    proptest! {
        #[test]
        fn any_bytes_are_parsed_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read_object::<Promise>(&bytes, &here());
            let _ = read_object::<PeerInfo>(&bytes, &here());
            let _ = read_object::<Request>(&bytes, &here());
        }
    }
}
