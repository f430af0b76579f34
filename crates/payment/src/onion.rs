//! The onion: five slots of one size, one layer opened at each hop, in the manner of Sphinx.
//!
//! ```text
//! onion   | slot 0 | slot 1 | slot 2 | slot 3 | slot 4 |
//! slot 0: envelope to the hop's key (X-Wing), 1136 bytes more than the layer, bound to slots 1 to 4
//!
//! layer, 258 bytes, numbers big-endian:
//! 0   1   version, 1                      138 8   out amount
//! 1   32  digest of the currency          146 32  payer's out-seed
//! 33  32  sender                          178 8   expire_date, seconds
//! 65  8   in amount                       186 8   payout_date, seconds
//! 73  32  payer's in-seed                 194 32  one-time key: this hop's promise goes back under it
//! 105 32  next account                    226 32  hop key: streams for onion and promises
//! 137 1   1 if next is a mixer, else 0
//!
//! next onion = (slots 1 to 4 | a slot of zeros) XOR stream(hop key)
//! ```
//! The stream is BLAKE3 derive-key "mingle onion stream v1" over the hop key, five slots long. What it
//! makes of the zeros is the filler; who builds the onion knows all hop keys and so what each hop sees.
//!
//! What always holds: size and form are the same at every hop; no bytes are common to two links; a
//! changed bit anywhere is refused by the next honest hop. Absent: memory of envelopes already opened.

use mixing::Chance;
use mixing::cipher::{self, Forged};
use mixing::envelope::{self, EnvelopeKey, EnvelopePublic};
use mixing::keys::Secret;
use money::{Account, Amount};
use zeroize::Zeroizing;

use crate::document::Currency;

/// The most hops; also the number of slots.
pub const HOPS_MAX: usize = 5;

/// The size of a layer in bytes.
pub const LAYER_SIZE: usize = 258;

/// The size of a slot in bytes.
pub const SLOT_SIZE: usize = envelope::OVERHEAD + LAYER_SIZE;

/// The size of an onion in bytes.
pub const ONION_SIZE: usize = HOPS_MAX * SLOT_SIZE;

const CONTEXT: &str = "mingle onion layer v1";

/// What one hop is told.
pub struct Layer {
    /// Whose payment it will see.
    pub sender: Account,
    /// How much that is.
    pub in_amount: Amount,
    /// The payer's seed of that payment.
    pub in_seed: [u8; 32],
    /// Whom it pays.
    pub next: Account,
    /// Whether that is a mixer, to be asked first.
    pub next_is_mixer: bool,
    /// How much it pays.
    pub out_amount: Amount,
    /// The payer's seed of that payment.
    pub out_seed: [u8; 32],
    /// The latest block time of the deposit, seconds.
    pub expire_date: u64,
    /// The latest block time of the payout, seconds.
    pub payout_date: u64,
    /// The key under which its promise goes back.
    pub one_time: Secret<32>,
    /// The key of its streams.
    pub hop_key: Secret<32>,
}

/// Builds an onion for 1 to 5 hops, first one first: each with the key it opens envelopes with.
///
/// # Panics
/// If there are no hops or too many.
pub fn build(
    hops: &[(&EnvelopePublic, &Layer)],
    currency: &Currency,
    chance: &mut Chance,
) -> Vec<u8> {
    assert!((1..=HOPS_MAX).contains(&hops.len()), "routes are checked where they are chosen");
    let streams: Vec<_> = hops.iter().map(|(_, layer)| stream(&layer.hop_key)).collect();
    let mut onion = Zeroizing::new(vec![0; ONION_SIZE]);
    chance.fill(&mut onion);
    let filler = filler(&streams[..hops.len() - 1]);
    onion[ONION_SIZE - filler.len()..].copy_from_slice(&filler);
    for (i, (key, layer)) in hops.iter().enumerate().rev() {
        if i + 1 < hops.len() {
            // Undo what hop i will do: its slots 1 to 4 become the next one's 0 to 3.
            onion.copy_within(..ONION_SIZE - SLOT_SIZE, SLOT_SIZE);
            xor(&mut onion[SLOT_SIZE..], &streams[i]);
        }
        let (head, rest) = onion.split_at_mut(SLOT_SIZE);
        let bytes = layer.to_bytes(currency);
        let (envelope, _) = envelope::seal(key, CONTEXT, rest, &bytes, chance);
        head.copy_from_slice(&envelope);
    }
    onion.to_vec()
}

/// What the last hop finds behind slot 0 that the hops before it filled in.
fn filler(streams: &[Zeroizing<Vec<u8>>]) -> Vec<u8> {
    let mut filler = Vec::new();
    for stream in streams {
        filler.extend_from_slice(&[0; SLOT_SIZE]);
        let start = ONION_SIZE - filler.len();
        xor(&mut filler, &stream[start..]);
    }
    filler
}

/// Opens slot 0: this hop's layer, and the onion for the next hop.
///
/// # Errors
/// [`Unopened`].
pub fn open(
    key: &EnvelopeKey,
    currency: &Currency,
    onion: &[u8],
) -> Result<(Layer, Vec<u8>), Unopened> {
    if onion.len() != ONION_SIZE {
        return Err(Unopened::WrongSize);
    }
    let (head, rest) = onion.split_at(SLOT_SIZE);
    let (bytes, _) = key.open(CONTEXT, rest, head)?;
    let bytes = Zeroizing::new(bytes);
    let layer = Layer::from_bytes(&bytes, currency)?;
    let mut next = [rest, &[0; SLOT_SIZE]].concat();
    xor(&mut next, &stream(&layer.hop_key));
    Ok((layer, next))
}

/// Names the envelope in slot 0, the same for every copy of it.
pub fn fingerprint(onion: &[u8]) -> [u8; 16] {
    envelope::fingerprint(onion)
}

fn stream(key: &Secret<32>) -> Zeroizing<Vec<u8>> {
    let mut stream = Zeroizing::new(vec![0; ONION_SIZE]);
    cipher::derive("mingle onion stream v1", &[key.expose()], &mut stream);
    stream
}

/// XORs as many bytes as the shorter has.
pub(crate) fn xor(bytes: &mut [u8], stream: &[u8]) {
    for (byte, mask) in bytes.iter_mut().zip(stream) {
        *byte ^= mask;
    }
}

impl Layer {
    pub(crate) fn to_bytes(&self, currency: &Currency) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(LAYER_SIZE));
        bytes.push(1);
        bytes.extend_from_slice(&currency.digest());
        bytes.extend_from_slice(self.sender.as_bytes());
        bytes.extend_from_slice(&self.in_amount.units().to_be_bytes());
        bytes.extend_from_slice(&self.in_seed);
        bytes.extend_from_slice(self.next.as_bytes());
        bytes.push(u8::from(self.next_is_mixer));
        bytes.extend_from_slice(&self.out_amount.units().to_be_bytes());
        bytes.extend_from_slice(&self.out_seed);
        bytes.extend_from_slice(&self.expire_date.to_be_bytes());
        bytes.extend_from_slice(&self.payout_date.to_be_bytes());
        bytes.extend_from_slice(self.one_time.expose());
        bytes.extend_from_slice(self.hop_key.expose());
        assert_eq!(bytes.len(), LAYER_SIZE, "the layout is fixed");
        bytes
    }

    pub(crate) fn from_bytes(bytes: &[u8], currency: &Currency) -> Result<Self, Unopened> {
        let bytes: &[u8; LAYER_SIZE] = bytes.try_into().map_err(|_| Unopened::WrongSize)?;
        if bytes[0] != 1 {
            return Err(Unopened::OtherVersion);
        }
        if bytes[1..33] != currency.digest() {
            return Err(Unopened::OtherCurrency);
        }
        let next_is_mixer = match bytes[137] {
            0 => false,
            1 => true,
            _ => return Err(Unopened::OutOfRange),
        };
        Ok(Self {
            sender: Account::from_bytes(part(bytes, 33)),
            in_amount: Amount::from_units(number(bytes, 65)?),
            in_seed: part(bytes, 73),
            next: Account::from_bytes(part(bytes, 105)),
            next_is_mixer,
            out_amount: Amount::from_units(number(bytes, 138)?),
            out_seed: part(bytes, 146),
            expire_date: number(bytes, 178)?,
            payout_date: number(bytes, 186)?,
            one_time: Secret::new(part(bytes, 194)),
            hop_key: Secret::new(part(bytes, 226)),
        })
    }
}

fn part(bytes: &[u8; LAYER_SIZE], at: usize) -> [u8; 32] {
    std::array::from_fn(|i| bytes[at + i])
}

/// Documents hold numbers below 2⁶³ only.
fn number(bytes: &[u8; LAYER_SIZE], at: usize) -> Result<u64, Unopened> {
    let number = u64::from_be_bytes(std::array::from_fn(|i| bytes[at + i]));
    if i64::try_from(number).is_ok() { Ok(number) } else { Err(Unopened::OutOfRange) }
}

/// Why a hop cannot open an onion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unopened {
    /// Not [`ONION_SIZE`] bytes.
    WrongSize,
    /// Sealed to another key, or changed in any slot.
    Forged,
    /// A layer of another version.
    OtherVersion,
    /// A layer of another currency.
    OtherCurrency,
    /// A number from 2⁶³ on, or a flag that is neither 0 nor 1.
    OutOfRange,
}

impl From<Forged> for Unopened {
    fn from(Forged: Forged) -> Self {
        Self::Forged
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn here() -> Currency {
        Currency::Name("test".into())
    }

    fn layer(i: u8, chance: &mut Chance) -> Layer {
        Layer {
            sender: Account::from_bytes([i; 32]),
            in_amount: Amount::from_units(100 + u64::from(i)),
            in_seed: chance.bytes(),
            next: Account::from_bytes([i + 1; 32]),
            next_is_mixer: i.is_multiple_of(2),
            out_amount: Amount::from_units(99),
            out_seed: chance.bytes(),
            expire_date: 1_000,
            payout_date: 2_000,
            one_time: Secret::new(chance.bytes()),
            hop_key: Secret::new(chance.bytes()),
        }
    }

    struct Built {
        keys: Vec<EnvelopeKey>,
        layers: Vec<Layer>,
        onion: Vec<u8>,
    }

    fn built(hops: u8) -> Built {
        let mut chance = Chance::new([hops; 32]);
        let keys: Vec<_> = (0..hops).map(|_| EnvelopeKey::generate(&mut chance)).collect();
        let layers: Vec<_> = (0..hops).map(|i| layer(i, &mut chance)).collect();
        let route: Vec<_> = keys.iter().map(|key| key.public()).zip(&layers).collect();
        let onion = build(&route, &here(), &mut chance);
        Built { keys, layers, onion }
    }

    #[test]
    fn each_hop_opens_its_layer_and_all_onions_have_one_size() {
        for hops in 1..=5 {
            let Built { keys, layers, mut onion } = built(hops);
            for (key, layer) in keys.iter().zip(&layers) {
                assert_eq!(onion.len(), ONION_SIZE);
                let (opened, next) = open(key, &here(), &onion).ok().unwrap();
                assert_eq!(opened.to_bytes(&here()), layer.to_bytes(&here()));
                onion = next;
            }
        }
    }

    #[test]
    fn a_changed_bit_in_any_slot_is_refused_at_the_next_hop() {
        let Built { keys, onion, .. } = built(3);
        let (_, second) = open(&keys[0], &here(), &onion).ok().unwrap();
        for (key, onion) in [(&keys[0], onion), (&keys[1], second)] {
            for at in (0..ONION_SIZE).step_by(97).chain([ONION_SIZE - 1]) {
                let mut changed = onion.clone();
                changed[at] ^= 1;
                assert_eq!(open(key, &here(), &changed).err(), Some(Unopened::Forged), "byte {at}");
            }
        }
    }

    #[test]
    fn two_links_have_no_bytes_in_common() {
        let Built { keys, onion, .. } = built(5);
        let (_, second) = open(&keys[0], &here(), &onion).ok().unwrap();
        let words: std::collections::BTreeSet<_> = onion.windows(8).collect();
        assert!(second.windows(8).all(|word| !words.contains(word)));
    }

    #[test]
    fn another_currency_or_size_is_refused() {
        let Built { keys, onion, .. } = built(2);
        let other = Currency::Name("other".into());
        assert_eq!(open(&keys[0], &other, &onion).err(), Some(Unopened::OtherCurrency));
        assert_eq!(open(&keys[0], &here(), &onion[1..]).err(), Some(Unopened::WrongSize));
        assert_eq!(open(&keys[1], &here(), &onion).err(), Some(Unopened::Forged));
    }
}
