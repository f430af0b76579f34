//! Money: what is written down of it, and the embedded ledger, by itself and behind HTTP.

mod answers;
mod ledger;

use std::sync::LazyLock;

use money::embedded::transaction::{CALLS_MAX, SIZE_MAX, Unreadable};
use money::embedded::{Call, Era, Genesis, Ledger, Transaction};
use money::{Account, AccountKey, Amount, LedgerTime, Reference, Slot, address};

use crate::input::{Input, spoil};
#[cfg(test)]
pub(crate) use answers::{Rules as AnswerRules, ledger_answers_with};
pub use answers::{ledger_answers, ledger_files};
pub use ledger::ledger;
#[cfg(test)]
pub(crate) use ledger::{Rules as LedgerRules, ledger_with};

/// The key of somebody, by number from 0 to 9.
pub(crate) fn key(name: u8) -> &'static AccountKey {
    static KEYS: LazyLock<[AccountKey; 10]> =
        LazyLock::new(|| std::array::from_fn(|name| AccountKey::from_seed([name as u8; 32])));
    &KEYS[usize::from(name)]
}

/// The account of somebody.
pub(crate) fn account(name: u8) -> Account {
    static ACCOUNTS: LazyLock<[Account; 10]> =
        LazyLock::new(|| std::array::from_fn(|name| key(name as u8).account()));
    ACCOUNTS[usize::from(name)]
}

pub(crate) fn genesis() -> Genesis {
    let holds = |name| (account(name), Amount::from_units(1_000 * u64::from(name)));
    Genesis {
        currency: "fuzz".into(),
        time: LedgerTime::from_secs(1_000),
        existential_deposit: Amount::from_units(100),
        fee: Amount::from_units(3),
        finality_lag: 2,
        accounts: [1, 2, 3].map(holds).into(),
        members: vec![account(3)],
    }
}

/// A ledger transaction, as it comes and signed anew behind its payload. What is read has one form: it
/// writes the same bytes, and its signature is the sender's.
pub fn transactions(bytes: &[u8]) {
    let (by, payload) = bytes.split_first().unwrap_or((&0, &[]));
    // Somebody whose key is here signs what the input says: so the payload is read to its end.
    let key = key(by % 4);
    let mut signed = payload.to_vec();
    if payload.first().is_some_and(|first| *first != b'{') {
        signed.extend_from_slice(&key.sign_transaction(payload));
    }
    for bytes in [payload, &signed] {
        let read = Transaction::read(bytes);
        assert_eq!(read, by_hand(bytes), "as a plain reader reads it");
        let Ok(transaction) = read else { continue };
        assert!(bytes.len() <= SIZE_MAX && (1..=CALLS_MAX).contains(&transaction.calls.len()));
        if transaction.sender == key.account() {
            assert_eq!(transaction.sign(key), bytes, "what was read writes the same bytes");
        }
    }
}

/// The model of [`transactions`]: offsets from the page that describes them.
fn by_hand(bytes: &[u8]) -> Result<Transaction, Unreadable> {
    if bytes.len() > SIZE_MAX {
        return Err(Unreadable::TooLong);
    }
    let end = bytes.len().checked_sub(64).ok_or(Unreadable::Truncated)?;
    let (payload, signature) = bytes.split_at(end);
    let mut at = 0;
    let mut take = |size: usize| {
        let part = payload.get(at..at + size).ok_or(Unreadable::Truncated);
        at += size;
        part
    };
    let number = |bytes: &[u8]| bytes.iter().rev().fold(0u64, |n, byte| n << 8 | u64::from(*byte));
    let whole = |bytes: &[u8]| <[u8; 32]>::try_from(bytes).expect("32 bytes");
    if take(1)? != [1] {
        return Err(Unreadable::UnknownVersion);
    }
    let (genesis, sender) = (whole(take(32)?), Account::from_bytes(whole(take(32)?)));
    let slot = Slot(number(take(8)?));
    let (period, birth, hash) = (number(take(4)?), number(take(8)?), whole(take(32)?));
    let era = match period {
        0 if birth == 0 && hash == genesis => Era::Immortal,
        0 => return Err(Unreadable::BadEra),
        _ => Era::Mortal { birth, hash, period: period as u32 },
    };
    let count = number(take(2)?);
    if count == 0 || count > 256 {
        return Err(Unreadable::CallCount);
    }
    let mut calls = Vec::new();
    for _ in 0..count {
        calls.push(match take(1)? {
            [0] => {
                let size = number(take(2)?) as usize;
                let text = take(size)?;
                Call::Remark(Reference::new(text).ok_or(Unreadable::RemarkTooLong)?)
            }
            [1] => {
                let (to, amount) = (Account::from_bytes(whole(take(32)?)), number(take(8)?));
                let keep_alive = match take(1)? {
                    [0] => false,
                    [1] => true,
                    _ => return Err(Unreadable::BadFlag),
                };
                Call::Transfer { to, amount: Amount::from_units(amount), keep_alive }
            }
            _ => return Err(Unreadable::UnknownCall),
        });
    }
    if take(1).is_ok() {
        return Err(Unreadable::TrailingBytes);
    }
    let signature = signature.try_into().expect("split 64 bytes before the end");
    sender.verify(payload, signature).map_err(|_| Unreadable::BadSignature)?;
    Ok(Transaction { genesis, sender, slot, era, calls })
}

/// A payload that [`transactions`] signs: what a wallet of ours would write.
#[cfg(test)]
pub(crate) fn payload(by: u8, calls: Vec<Call>, era: Era) -> Vec<u8> {
    let genesis = genesis().hash();
    let sender = account(by);
    let mut signed = Transaction { genesis, sender, slot: Slot(0), era, calls }.sign(key(by));
    signed.truncate(signed.len() - 64);
    signed
}

/// A block as it is written down, spoiled, and replayed: it is refused, or leads to the very hash that
/// stands in it. Whatever it was, the money is counted.
pub fn blocks(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let mut writer = Ledger::new(genesis()).expect("a sound genesis");
    let mut reader = Ledger::new(genesis()).expect("a sound genesis");
    for second in 1_001..1_004 {
        let to = account(input.byte() % 5);
        let amount = Amount::from_units(u64::from(input.u16()));
        let calls = vec![Call::Transfer { to, amount, keep_alive: input.flag() }];
        let transaction = Transaction {
            genesis: writer.genesis().hash(),
            sender: account(2),
            slot: writer.next_slot(&account(2)),
            era: Era::Immortal,
            calls,
        };
        // Refused where the sender has closed his account meanwhile.
        let _ = writer.submit(&transaction.sign(key(2)));
        let _ = writer.order(money::embedded::Inherent::Faucet { to, amount });
        let honest = writer.build(LedgerTime::from_secs(second)).to_bytes();
        let mut spoiled = honest.clone();
        spoil(&mut input, &mut spoiled);
        match reader.replay(&spoiled) {
            Ok(()) => assert_eq!(reader.head().to_bytes(), spoiled, "a block has one form"),
            // A ledger that refused a block is thrown away: half of the block may be in it.
            Err(_) => {
                assert_ne!(spoiled, honest, "an honest block is taken back");
                return;
            }
        }
    }
    assert_eq!(reader.head().hash, writer.head().hash);
}

/// Texts that are to name an account or hold a key: addresses in both forms, key files, mnemonics.
/// What is read is written again and read as the same.
pub fn addresses(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(account) = text.parse::<Account>() {
        let forms = [address::ss58(&account), address::base58(account.as_bytes())];
        assert!(forms.contains(&text.to_string()), "an address has one form: {text}");
        for form in forms {
            assert_eq!(form.parse(), Ok(account));
        }
    }
    let bare = address::unbase58(&text);
    assert!(bare.is_none_or(|bytes| text == address::base58(&bytes)));
    if let Ok(bytes) = <[u8; 32]>::try_from(bytes) {
        let account = Account::from_bytes(bytes);
        assert_eq!(address::ss58(&account).parse(), Ok(account));
        assert_eq!(account.to_string().parse(), Ok(account));
    }
}

/// A key file or a mnemonic: what is read is the key that its file names, and writes a file that is
/// read as the same.
pub fn key_files(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(key) = AccountKey::from_file(&text) {
        let again = AccountKey::from_file(&key.to_file()).expect("a file of ours");
        assert_eq!(again.account(), key.account());
    }
    let spaced = text.split_whitespace().collect::<Vec<_>>().join("  ");
    let key = AccountKey::from_mnemonic(&text).map(|key| key.account());
    if spaced.len() <= money::keys::MNEMONIC_SIZE_MAX && key.is_ok() {
        let again = AccountKey::from_mnemonic(&spaced).map(|key| key.account());
        assert_eq!(again, key, "spaces between words mean nothing");
    }
}
