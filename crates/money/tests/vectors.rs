//! Addresses and keys against ones recorded with other implementations (polkadot.js, hashlib).

#![allow(clippy::unwrap_used, reason = "a test may fail loudly")]

use money::address::{BadAddress, ss58};
use money::{Account, AccountKey};
use serde_json::Value;

fn vectors(group: &str) -> Vec<Value> {
    let all: Value = serde_json::from_str(include_str!("vectors.json")).unwrap();
    let group = all[group].as_array().unwrap().clone();
    assert!(!group.is_empty());
    group
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap()
}

fn hex(text: &str) -> [u8; 32] {
    let digits = text.strip_prefix("0x").unwrap();
    std::array::from_fn(|i| u8::from_str_radix(&digits[2 * i..2 * i + 2], 16).unwrap())
}

#[test]
fn both_forms_of_an_address_are_written_and_read() {
    for vector in vectors("addresses") {
        let account = Account::from_bytes(hex(text(&vector, "public_key")));
        assert_eq!(account.to_string(), text(&vector, "v1_pubkey"));
        assert_eq!(ss58(&account), text(&vector, "ss58_4450"));
        assert_eq!(text(&vector, "v1_pubkey").parse(), Ok(account));
        assert_eq!(text(&vector, "ss58_4450").parse(), Ok(account));
        let foreign: Result<Account, _> = text(&vector, "ss58_42").parse();
        assert_eq!(foreign, Err(BadAddress::WrongSize), "one-byte prefixes are other chains");
    }
}

#[test]
fn spoiled_addresses_are_refused() {
    for vector in vectors("bad_addresses") {
        let read: Result<Account, _> = text(&vector, "address").parse();
        // A bare key is no SS58 address, but it is an address of Duniter v1.
        match text(&vector, "why").contains("v1 public key") {
            true => assert!(read.is_ok()),
            false => assert!(read.is_err(), "{vector}"),
        }
    }
}

#[test]
fn salt_and_password_give_the_key_of_duniter_v1() {
    for vector in vectors("scrypt") {
        let key = AccountKey::from_salt(text(&vector, "salt"), text(&vector, "password"));
        assert_eq!(key.account().as_bytes(), &hex(text(&vector, "public_key")), "{vector}");
    }
}
