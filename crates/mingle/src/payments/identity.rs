//! Identity signatures in files: a member's word for one mixer.
//!
//! ```text
//! UBJSON map: idty, 32 bytes | idtysig, the signed document `gmixer/idtysig`
//! ```

use std::path::Path;

use money::{Account, AccountKey};
use payment::document::{Currency, IdentitySignature, Signed};
use payment::ubjson::{Fields, Value, map};

use crate::Error;

/// An identity and what it signed.
pub type Vouching = (Account, Vec<u8>);

/// The longest that a word may last, in seconds.
pub const LASTS_MAX_S: u64 = 366 * 86_400;

/// Signs for a mixer.
pub fn sign(key: &AccountKey, content: IdentitySignature, currency: &Currency) -> Vec<u8> {
    let signed = Signed::make(content, currency, key);
    let identity = key.account();
    let idty = Value::from(&identity.as_bytes()[..]);
    map([("idty", idty), ("idtysig", Value::from(signed.bytes()))]).to_bytes()
}

/// Reads a file and verifies it.
///
/// # Errors
/// When it is missing, is no such file, or does not verify.
pub fn read(path: &Path, currency: &Currency) -> Result<Vouching, Error> {
    let remedy = "an identity signature is written by `mingle identity sign`";
    let bytes = std::fs::read(path).map_err(|why| Error::read(path, why, remedy))?;
    let (identity, signature) = parse(&bytes).ok_or_else(|| Error::unfit(path, remedy))?;
    Signed::<IdentitySignature>::read(&signature, currency, |_| Some(identity))
        .map_err(|why| Error::unfit(path, why))?;
    Ok((identity, signature))
}

/// Reads the bytes of a file. Whether the signature holds, [`read`] finds out.
pub fn parse(bytes: &[u8]) -> Option<Vouching> {
    let mut fields = Fields::new(Value::from_bytes(bytes).ok()?).ok()?;
    let identity = Account::from_bytes(fields.array("idty").ok()?);
    let signature = fields.bytes("idtysig").ok()?;
    fields.end().ok()?;
    Some((identity, signature))
}
