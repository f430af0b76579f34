//! What lies under a layer of encryption: the onion's layer, a promise in its slot; and an order's
//! record.

use mixing::Chance;
use mixing::cipher::{self, Aead};
use mixing::envelope::{self, EnvelopeKey};
use mixing::keys::Secret;
use payment::onion::{self, LAYER_SIZE, ONION_SIZE, Unopened};
use payment::order::Order;
use payment::promises::{self, PROMISES_SIZE, SLOT_SIZE};

use super::here;
use crate::input::Input;

/// The input is what the first slot of an onion holds, well sealed to a key that is here. What the hop
/// finds is what the layout on the page says, and its next onion has the size of all.
pub fn onion_layers(bytes: &[u8]) {
    let mut chance = Chance::new([1; 32]);
    let key = EnvelopeKey::from_seed([2; 32]);
    assert!(onion::open(&key, &here(), bytes).is_err(), "nobody sealed the bare input");
    let mut rest = vec![0; ONION_SIZE - onion::SLOT_SIZE];
    chance.fill(&mut rest);
    let context = "mingle onion layer v1";
    let (head, _) = envelope::seal(key.public(), context, &rest, bytes, &mut chance);
    let mut onion = [head, rest].concat();
    let opened = onion::open(&key, &here(), &onion);
    if bytes.len() != LAYER_SIZE {
        // The slots are bound to the envelope, so another size is another onion.
        assert_eq!(opened.err(), Some(Unopened::WrongSize));
        return;
    }
    let number = |at: usize| u64::from_be_bytes(bytes[at..at + 8].try_into().expect("eight"));
    let part = |at: usize| <[u8; 32]>::try_from(&bytes[at..at + 32]).expect("32 bytes");
    let numbers = [65, 138, 178, 186].map(number);
    let expected = match () {
        () if bytes[0] != 1 => Err(Unopened::OtherVersion),
        () if part(1) != here().digest() => Err(Unopened::OtherCurrency),
        () if bytes[137] > 1 || numbers.iter().any(|n| *n > i64::MAX as u64) => {
            Err(Unopened::OutOfRange)
        }
        () => Ok(()),
    };
    match opened {
        Err(why) => assert_eq!(Err(why), expected),
        Ok((layer, next)) => {
            assert_eq!((expected, next.len()), (Ok(()), ONION_SIZE));
            let amounts = [layer.in_amount.units(), layer.out_amount.units()];
            assert_eq!([amounts[0], amounts[1], layer.expire_date, layer.payout_date], numbers);
            assert_eq!(*layer.sender.as_bytes(), part(33));
            assert_eq!((layer.in_seed, layer.out_seed), (part(73), part(146)));
            assert_eq!((*layer.next.as_bytes(), layer.next_is_mixer), (part(105), bytes[137] == 1));
            assert_eq!([layer.one_time.expose(), layer.hop_key.expose()], [&part(194), &part(226)]);
        }
    }
    let at = usize::from(bytes[LAYER_SIZE - 1]) * 27 % ONION_SIZE;
    onion[at] ^= 1;
    assert_eq!(onion::open(&key, &here(), &onion).err(), Some(Unopened::Forged), "byte {at}");
}

/// A layer that says what a payer would.
#[cfg(test)]
pub(crate) fn layer() -> Vec<u8> {
    let mut layer = vec![0; LAYER_SIZE];
    layer[0] = 1;
    layer[1..33].copy_from_slice(&here().digest());
    for (at, fill) in [(33, 1), (73, 2), (105, 3), (146, 4), (194, 5), (226, 6)] {
        layer[at..at + 32].fill(fill);
    }
    (layer[71], layer[137], layer[144]) = (2, 1, 1);
    (layer[184], layer[192]) = (7, 9);
    layer
}

/// Slots of promises whose insides, well sealed, are the input's: each is handed out as long as it says
/// it is, and a reader stops at the first that says too much.
pub fn promise_slots(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let hops = 1 + input.below(onion::HOPS_MAX);
    let keys: Vec<[Secret<32>; 2]> =
        (0..hops as u8).map(|hop| [Secret::new([hop; 32]), Secret::new([hop + 100; 32])]).collect();
    // From the last hop to the first, as it happens.
    let mut slots = vec![0; PROMISES_SIZE];
    let mut said: Vec<Option<Vec<u8>>> = Vec::new();
    for [one_time, hop_key] in keys.iter().rev() {
        let size = input.u16();
        let mut body = [&size.to_be_bytes()[..], input.run()].concat();
        body.resize(SLOT_SIZE - cipher::TAG_SIZE, 0);
        said.insert(0, body[2..].get(..size.into()).map(<[u8]>::to_vec));
        let mut key = [0; cipher::KEY_SIZE];
        cipher::derive("mingle promise key v1", &[one_time.expose()], &mut key);
        let tag = Aead::new(&key).seal(&cipher::nonce(0), &[], &mut body);
        let mut stream = vec![0; PROMISES_SIZE - SLOT_SIZE];
        cipher::derive("mingle promises stream v1", &[hop_key.expose()], &mut stream);
        let masked = slots.iter().zip(&stream).map(|(slot, mask)| slot ^ mask);
        slots = [&tag[..], &body].concat().into_iter().chain(masked).collect();
    }
    let known: Vec<_> = keys.iter().map(|[one_time, hop_key]| (one_time, hop_key)).collect();
    let taken = promises::take(&slots, &known);
    match said.iter().position(Option::is_none) {
        None => assert_eq!(taken, Ok(said.into_iter().flatten().collect())),
        Some(hop) => assert_eq!(taken, Err(promises::Unreadable { hop })),
    }
    let at = usize::from(input.u16()) % (hops * SLOT_SIZE);
    slots[at] ^= 1 << input.below(8);
    assert!(promises::take(&slots, &known).is_err(), "a changed bit");
    assert!(promises::take(input.rest(), &known).is_err(), "noise");
}

/// The record of an order: what is read writes a record that is read as the same.
pub fn order_records(bytes: &[u8]) {
    if let Ok(order) = Order::read(bytes) {
        let written = order.to_bytes();
        let again = Order::read(&written).expect("a record of ours");
        assert_eq!(again.to_bytes(), written);
        assert_eq!(again.deal(), order.deal());
        assert_eq!(again.is_funded(), order.is_funded());
    }
}
