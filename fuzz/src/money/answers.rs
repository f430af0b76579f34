//! What the embedded ledger says over HTTP, as its client reads it; and its file, as a start reads it.

use ledger::wire::{self, NUMBER_MAX};
use ledger::{AccountBlock, Error, SpentSlot, file};
use money::embedded::AccountState;
use money::{Account, Amount, Ledger, LedgerTime, Place, Reference, Slot, Transfer};
use serde_json::{Value, json};

use super::{account, genesis};
use crate::input::{Input, spoil};

/// Answers of a ledger, honest but for some values that the input changed: what is read is what a
/// second reader makes of it, and nothing is read that contradicts itself or the question.
pub fn ledger_answers(bytes: &[u8]) {
    ledger_answers_with(bytes, &Rules::TRUE);
}

/// What the second reader believes.
pub(crate) struct Rules {
    /// The largest number there may be.
    pub(crate) number_max: u64,
    /// Whether a payment that came in must be one to the account.
    pub(crate) ours: bool,
    /// Whether each payment stands there once.
    pub(crate) once: bool,
}

impl Rules {
    pub(crate) const TRUE: Rules = Rules { number_max: NUMBER_MAX, ours: true, once: true };
}

const GENESIS: [u8; 32] = [7; 32];
const FROM: u64 = 40;

pub(crate) fn ledger_answers_with(bytes: &[u8], rules: &Rules) {
    let mut input = Input::new(bytes);
    let us = account(1);
    let which = input.below(8).min(3);
    let mut says = match which {
        0 => about_says(),
        1 => head_says(),
        2 => json!({ "free": 700, "slot": 3, "member": true }),
        _ => blocks_say(&mut input),
    };
    for _ in 0..input.below(4) {
        change(&mut input, &mut says);
    }
    let answered = (200, says.to_string().into_bytes());
    let plain = Plain { rules, us };
    match which {
        0 => {
            let read = wire::about(&answered).ok();
            assert_eq!(read.is_some(), plain.about(&says).is_some(), "{says}");
            assert!(read.is_none_or(|about| !about.currency.chars().any(char::is_control)));
        }
        1 => {
            let read = wire::final_head(&answered, &GENESIS);
            let read = read.map(|name| (name.height, name.hash, name.time.as_millis()));
            assert_eq!(read.ok(), plain.head(&says), "{says}");
        }
        2 => assert_eq!(wire::account(&answered).ok(), plain.account(&says), "{says}"),
        _ => {
            let read = wire::blocks(&answered, &GENESIS, FROM, &us);
            assert_eq!(read.ok(), plain.blocks(&says), "{says}");
        }
    }
    // Spoiled beyond JSON, refused in words, or nothing but noise.
    let mut bytes = says.to_string().into_bytes();
    spoil(&mut input, &mut bytes);
    let statuses = [200, 204, 299, 300, 404, 422, 503];
    for body in [bytes, input.rest().to_vec()] {
        for status in statuses {
            let answered = (status, body.clone());
            let refused = [
                wire::about(&answered).err(),
                wire::final_head(&answered, &GENESIS).err(),
                wire::account(&answered).err(),
                wire::blocks(&answered, &GENESIS, FROM, &us).err(),
                wire::taken(&answered).err(),
            ];
            for why in refused {
                assert!(why.is_some() || status < 300, "a refusal is not taken for an answer");
                if let Some(Error::Refused(word)) = why {
                    assert!(status >= 300 && word.chars().count() <= 200);
                    assert!(!word.chars().any(char::is_control), "{word:?}");
                }
            }
        }
    }
}

fn digits(byte: u8) -> String {
    format!("{byte:02x}").repeat(32)
}

fn about_says() -> Value {
    json!({ "genesis": digits(7), "currency": "fuzz", "existential_deposit": 100, "fee": 2,
            "finality_lag": 3, "block_time_ms": 6_000 })
}

fn head_says() -> Value {
    json!({ "genesis": digits(7),
            "head": { "height": 43, "hash": digits(1), "time": 1_009_000 },
            "final": { "height": 40, "hash": digits(2), "time": 1_000_000 } })
}

fn blocks_say(input: &mut Input<'_>) -> Value {
    let (us, other) = (account(1).to_string(), account(2).to_string());
    let mut event = 0;
    let mut transfer = |input: &mut Input<'_>, height: u64, from: &str, to: &str| {
        // At times two stand at one place.
        event += u32::from(input.below(8) != 0);
        json!({ "from": from, "to": to, "amount": 505, "reference": "6f6e65",
                "block": height, "extrinsic": 1, "event": event })
    };
    let blocks = (FROM..FROM + 1 + input.below(3) as u64).map(|height| {
        let mut received = Vec::new();
        for _ in 0..input.below(3) {
            received.push(match input.below(16) {
                0 => transfer(input, height, &other, &other),
                1 => transfer(input, height, &us, &us),
                _ => transfer(input, height, &other, &us),
            });
        }
        let spent: Vec<Value> = (0..input.below(3))
            .map(|slot| {
                let paid: Vec<Value> =
                    (0..input.below(3)).map(|_| transfer(input, height, &us, &other)).collect();
                json!({ "slot": slot, "done": true, "transfers": paid })
            })
            .collect();
        json!({ "height": height, "time": 1_000_000, "newest": 44, "received": received,
                "spent": spent, "free": 700, "slot": 3 })
    });
    let blocks: Vec<Value> = blocks.collect();
    json!({ "genesis": digits(7), "blocks": blocks })
}

/// Puts something else in the place of one value that holds no others.
fn change(input: &mut Input<'_>, says: &mut Value) {
    let mut places = Vec::new();
    leaves(says, "", &mut places);
    let place = &places[usize::from(input.u16()) % places.len()];
    let leaf = says.pointer_mut(place).expect("it was found there");
    let near = leaf.as_u64().unwrap_or(0);
    let named = leaf.as_str().is_some_and(|text| text.parse::<Account>().is_ok());
    *leaf = match input.below(16) {
        8.. if named => json!(account(input.byte() % 3).to_string()),
        0 => json!(u64::MAX),
        1 => json!(NUMBER_MAX + u64::from(input.byte() % 2)),
        2 => json!(u64::from(u32::MAX) + u64::from(input.byte() % 2)),
        3 => json!(i64::MIN),
        4 => json!(1.5),
        5 => Value::Null,
        6 => json!(input.flag()),
        7 => json!([]),
        8 => json!({}),
        9 => json!(account(input.byte() % 4).to_string()),
        10 => json!(digits(input.byte())),
        11 => json!(String::from_utf8_lossy(input.run())),
        12 => json!(near.wrapping_sub(1)),
        13 => json!(near.wrapping_add(1)),
        14 => json!("6F6e65".repeat(input.byte().into())),
        _ => json!(u64::from(input.u32())),
    };
}

/// The places of all values that hold no others.
fn leaves(says: &Value, at: &str, places: &mut Vec<String>) {
    match says {
        Value::Array(list) if !list.is_empty() => {
            let values = list.iter().enumerate();
            values.for_each(|(number, value)| leaves(value, &format!("{at}/{number}"), places));
        }
        Value::Object(map) if !map.is_empty() => {
            map.iter().for_each(|(name, value)| leaves(value, &format!("{at}/{name}"), places));
        }
        _ => places.push(at.to_owned()),
    }
}

/// The second reader.
struct Plain<'a> {
    rules: &'a Rules,
    us: Account,
}

impl Plain<'_> {
    fn number(&self, value: &Value) -> Option<u64> {
        value.as_u64().filter(|number| *number <= self.rules.number_max)
    }

    fn about(&self, says: &Value) -> Option<()> {
        hash(&says["genesis"])?;
        let name = says["currency"].as_str()?;
        for number in ["existential_deposit", "fee", "finality_lag", "block_time_ms"] {
            self.number(&says[number])?;
        }
        (name.len() <= 255 && !name.chars().any(char::is_control)).then_some(())
    }

    fn head(&self, says: &Value) -> Option<(u64, [u8; 32], u64)> {
        // What is not final is of the same form, but nobody asks what it says.
        let other = &says["head"];
        (other["height"].is_u64() && other["time"].is_u64()).then_some(other["hash"].as_str()?)?;
        let is_it = hash(&says["genesis"])? == GENESIS;
        let name = &says["final"];
        let said =
            (self.number(&name["height"])?, hash(&name["hash"])?, self.number(&name["time"])?);
        is_it.then_some(said)
    }

    fn account(&self, says: &Value) -> Option<(AccountState, bool)> {
        let free = Amount::from_units(self.number(&says["free"])?);
        let slot = Slot(self.number(&says["slot"])?);
        Some((AccountState { free, slot }, says["member"].as_bool()?))
    }

    fn blocks(&self, says: &Value) -> Option<Vec<AccountBlock>> {
        let is_it = hash(&says["genesis"])? == GENESIS;
        let blocks: Vec<AccountBlock> = says["blocks"]
            .as_array()?
            .iter()
            .map(|block| self.block(block))
            .collect::<Option<_>>()?;
        let heights = blocks.iter().map(|block| block.height);
        (is_it && heights.eq(FROM..FROM + blocks.len() as u64)).then_some(blocks)
    }

    fn block(&self, says: &Value) -> Option<AccountBlock> {
        let spent = |says: &Value| {
            let transfers = self.transfers(&says["transfers"])?;
            let slot = Slot(self.number(&says["slot"])?);
            let ours = transfers.iter().all(|transfer| transfer.from == self.us);
            ours.then_some(SpentSlot { slot, done: says["done"].as_bool()?, transfers })
        };
        let block = AccountBlock {
            height: self.number(&says["height"])?,
            time: LedgerTime::from_millis(self.number(&says["time"])?),
            newest: self.number(&says["newest"])?,
            received: self.transfers(&says["received"])?,
            spent: says["spent"].as_array()?.iter().map(spent).collect::<Option<_>>()?,
            free: Amount::from_units(self.number(&says["free"])?),
            slot: Slot(self.number(&says["slot"])?),
        };
        let paid = block.spent.iter().flat_map(|spent| &spent.transfers);
        let here = block.received.iter().chain(paid).all(|t| t.place.block == block.height);
        let ours = |t: &Transfer| t.to == self.us && t.from != self.us;
        let ours = !self.rules.ours || block.received.iter().all(ours);
        (here && ours && block.newest >= block.height).then_some(block)
    }

    fn transfers(&self, says: &Value) -> Option<Vec<Transfer>> {
        let transfers: Vec<Transfer> =
            says.as_array()?.iter().map(|says| self.transfer(says)).collect::<Option<_>>()?;
        let place = |at: usize| transfers[at].place;
        let once = (1..transfers.len()).all(|at| place(at - 1) < place(at));
        (once || !self.rules.once).then_some(transfers)
    }

    fn transfer(&self, says: &Value) -> Option<Transfer> {
        let name = |value: &Value| value.as_str()?.parse::<Account>().ok();
        let small = |value: &Value| u32::try_from(value.as_u64()?).ok();
        let reference = match &says["reference"] {
            Value::Null => None,
            text => Some(Reference::new(&unhex(text.as_str()?)?)?),
        };
        let (extrinsic, event) = (small(&says["extrinsic"])?, small(&says["event"])?);
        Some(Transfer {
            from: name(&says["from"])?,
            to: name(&says["to"])?,
            amount: Amount::from_units(self.number(&says["amount"])?),
            reference,
            place: Place { block: says["block"].as_u64()?, extrinsic, event },
        })
    }
}

fn hash(says: &Value) -> Option<[u8; 32]> {
    unhex(says.as_str()?)?.try_into().ok()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit =
        |byte: &u8| b"0123456789abcdef".iter().position(|d| *d == byte.to_ascii_lowercase());
    let digits: Vec<usize> = text.as_bytes().iter().map(digit).collect::<Option<_>>()?;
    let whole = digits.len().is_multiple_of(2);
    whole.then(|| digits.chunks(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect())
}

/// A ledger's file, spoiled: it is another's, or a block in it is, or all whole blocks of it are taken
/// back, one after the other.
pub fn ledger_files(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let mut writer = Ledger::new(genesis()).expect("a sound genesis");
    let mut file = writer.genesis().hash().to_vec();
    let mut ends = vec![file.len()];
    for second in 1_001..1_003 + input.below(4) as u64 {
        let (to, amount) = (account(input.byte() % 5), Amount::from_units(input.u16().into()));
        let _ = writer.order(money::embedded::Inherent::Faucet { to, amount });
        let block = writer.build(LedgerTime::from_secs(second)).to_bytes();
        file.extend_from_slice(&(block.len() as u32).to_le_bytes());
        file.extend_from_slice(&block);
        ends.push(file.len());
    }
    let cut = usize::from(input.u16()) % (file.len() + 1);
    let torn = file::take_back(&file[..cut], genesis());
    match ends.iter().rposition(|end| *end <= cut) {
        None => assert!(torn.is_err(), "no whole name of a ledger"),
        Some(blocks) => {
            let (ledger, whole) = torn.expect("a torn last block is cut off");
            assert_eq!((ledger.head().height, whole), (blocks as u64, ends[blocks]));
            assert_eq!(ledger.final_head(), ledger.head(), "what was shown as final is so");
        }
    }
    let honest = file.clone();
    spoil(&mut input, &mut file);
    let taken = file::take_back(&file, genesis());
    assert!(taken.is_ok() || file != honest);
    if let Ok((ledger, whole)) = taken {
        let mut by_hand = Ledger::new(genesis()).expect("a sound genesis");
        let mut rest = &file[32..whole];
        while let Some((size, after)) = rest.split_first_chunk() {
            let (block, after) = after.split_at(u32::from_le_bytes(*size) as usize);
            by_hand.replay(block).expect("it was taken back");
            rest = after;
        }
        assert_eq!(ledger.head(), by_hand.head());
    }
}
