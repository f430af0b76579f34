//! How accounts are written: base58 of the bare key (Duniter v1) and SS58 with prefix 4450 (Ğ1 v2).
//!
//! ```text
//! SS58:  base58( prefix, 2 bytes | key, 32 bytes | checksum, 2 bytes )
//! checksum = first 2 bytes of BLAKE2b-512("SS58PRE" | prefix | key)
//! ```
//!
//! What always holds: what is written can be read; an SS58 address with one changed character is
//! refused. Plain base58 has no checksum: a mistyped one names another account.
//! Absent: prefixes of other chains; an address of a foreign chain is refused, not converted.
//! Source: the SS58 address format of Substrate; for prefixes from 64 on it takes two bytes.

use std::fmt;
use std::str::FromStr;

use blake2::{Blake2b512, Digest};

use crate::Account;

/// The SS58 prefix of Ğ1 v2, whose addresses begin with `g1`.
pub const PREFIX: u16 = 4450;

/// 4450 in the two bytes of SS58: `01` and the upper six of the low eight bits, then the rest.
const PREFIX_BYTES: [u8; 2] = [
    0b0100_0000 | ((PREFIX & 0b1111_1100) >> 2) as u8,
    ((PREFIX >> 8) as u8) | (((PREFIX & 0b11) as u8) << 6),
];

/// The longest address that is looked at, in characters; the longest right one has 50.
pub const SIZE_MAX: usize = 64;

/// Writes an account as an SS58 address with prefix [`PREFIX`].
pub fn ss58(account: &Account) -> String {
    let mut bytes = [0; 36];
    bytes[..2].copy_from_slice(&PREFIX_BYTES);
    bytes[2..34].copy_from_slice(account.as_bytes());
    let checksum = checksum(&bytes[..34]);
    bytes[34..].copy_from_slice(&checksum);
    base58(&bytes)
}

/// Writes bytes in base58 with Bitcoin's alphabet.
pub fn base58(bytes: &[u8]) -> String {
    bs58::encode(bytes).into_string()
}

/// Reads 32 bytes written in base58; nothing else is taken.
pub fn unbase58(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    // The decoder's work is quadratic in the length, so the length is judged first.
    if text.len() > 44 {
        return None;
    }
    (bs58::decode(text).onto(&mut bytes) == Ok(32)).then_some(bytes)
}

fn checksum(prefixed: &[u8]) -> [u8; 2] {
    let hash = Blake2b512::new().chain_update(b"SS58PRE").chain_update(prefixed).finalize();
    [hash[0], hash[1]]
}

impl FromStr for Account {
    type Err = BadAddress;

    /// Reads either form of address.
    fn from_str(text: &str) -> Result<Self, BadAddress> {
        if text.len() > SIZE_MAX {
            return Err(BadAddress::TooLong);
        }
        let mut bytes = [0; SIZE_MAX];
        let size = bs58::decode(text).onto(&mut bytes).map_err(|_| BadAddress::NotBase58)?;
        let key = |slice: &[u8]| slice.try_into().map(Account::from_bytes);
        match size {
            32 => key(&bytes[..32]).map_err(|_| BadAddress::WrongSize),
            36 if bytes[..2] != PREFIX_BYTES => Err(BadAddress::OtherChain),
            36 if bytes[34..36] != checksum(&bytes[..34]) => Err(BadAddress::Checksum),
            36 => key(&bytes[2..34]).map_err(|_| BadAddress::WrongSize),
            _ => Err(BadAddress::WrongSize),
        }
    }
}

/// Why a text is no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadAddress {
    /// More than [`SIZE_MAX`] characters.
    TooLong,
    /// A character that base58 does not have.
    NotBase58,
    /// Neither 32 bytes nor an SS58 address with a prefix of two bytes.
    WrongSize,
    /// An SS58 address with another prefix.
    OtherChain,
    /// A character was changed.
    Checksum,
}

impl fmt::Display for BadAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "an address has at most 64 characters",
            Self::NotBase58 => "an address has no such character",
            Self::WrongSize => "an address holds a key of 32 bytes",
            Self::OtherChain => "this is an address of another chain",
            Self::Checksum => "the address is mistyped: its checksum does not fit",
        })
    }
}

impl std::error::Error for BadAddress {}
