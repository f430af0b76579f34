//! A member's word for one mixer.
//!
//! What always holds: it lives at most a year. Absent: whether the signer is a member; that is looked
//! up on the final chain when it matters.

use money::Account;

use super::Document;
use crate::ubjson::{Fields, Malformed, Value};

/// Says that its signer, an identity of the web of trust, answers for a mixer. The newest one of an
/// identity wins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentitySignature {
    /// The mixer.
    pub pubkey: Account,
    /// When it was signed, seconds since 1970.
    pub sigtime: u64,
    /// Until when it is meant, seconds since 1970.
    pub expiry: u64,
}

/// The longest life of an identity signature, in seconds: 366 days.
pub const LIFE_MAX_S: u64 = 366 * 86_400;

impl IdentitySignature {
    /// Whether it holds at `date`, seconds since 1970.
    pub fn holds_at(&self, date: u64) -> bool {
        (self.sigtime..self.expiry).contains(&date)
    }
}

impl Document for IdentitySignature {
    const DOCTYPE: &'static str = "gmixer/idtysig";

    fn entries(&self) -> Vec<(&'static str, Value)> {
        vec![
            ("pubkey", Value::from(&self.pubkey.as_bytes()[..])),
            ("sigtime", Value::from(self.sigtime)),
            ("expiry", Value::from(self.expiry)),
        ]
    }

    fn read(fields: &mut Fields) -> Result<Self, Malformed> {
        let pubkey = Account::from_bytes(fields.array("pubkey")?);
        let sigtime = fields.number("sigtime")?;
        let expiry = fields.number("expiry")?;
        match expiry.checked_sub(sigtime) {
            Some(0..=LIFE_MAX_S) => Ok(Self { pubkey, sigtime, expiry }),
            _ => Err(Malformed::WrongValue("expiry")),
        }
    }
}
