//! A channel's keys: one layer per hop and direction, sealed by the client and peeled by the hops.
//!
//! ```text
//! client   wrap: sealₑ, …, seal₂, seal₁        ─► hop 1 peels ─► hop 2 peels … ─► exit peels
//! client   unwrap: open₁, open₂, …, openₑ      ◄─ hop 1 adds  ◄─ hop 2 adds  … ◄─ exit adds
//! ```
//!
//! The nonce of a layer is the cell's number, which is the same at every hop; a key seals in one
//! direction only and each number once. A hop that has something to say to the client itself does
//! so as the last cell of the channel, under its *word key*: the client recognises the speaker by
//! which hop's word key opens it.

use mixing::cipher::{self, Aead};
use mixing::envelope::Exporter;
use zeroize::Zeroizing;

use crate::message::Refusal;
use crate::outbox::Dropped;
use crate::wire::{CELL_OVERHEAD, LAST_SEQUENCE, TAG};

const KEYS: &str = "mingle channel keys v1";

/// Seals the forward layer of one hop, and peels it there.
pub(crate) struct ForwardKey(Aead);
/// Seals the backward layer of one hop, and is opened by the client.
pub(crate) struct BackwardKey(Aead);
/// Seals a hop's last word to the client.
pub(crate) struct WordKey(Aead);
/// Proves that a hop passed the confirmation on.
pub(crate) struct ConfirmKey(Zeroizing<[u8; 32]>);

/// All keys that a client and one hop share.
pub(crate) struct HopKeys {
    pub(crate) forward: ForwardKey,
    pub(crate) backward: BackwardKey,
    pub(crate) word: WordKey,
    pub(crate) confirm: ConfirmKey,
}

impl HopKeys {
    /// Both sides derive the keys from the hop's envelope in the set-up.
    pub(crate) fn derive(exporter: &Exporter) -> Self {
        let mut keys = Zeroizing::new([0; 80]);
        exporter.export(KEYS, &[], &mut *keys);
        let aead = |at: usize| Aead::new(keys[at..].first_chunk().expect("80 bytes"));
        let mut confirm = Zeroizing::new([0; 32]);
        confirm.copy_from_slice(&keys[48..]);
        HopKeys {
            forward: ForwardKey(aead(0)),
            backward: BackwardKey(aead(16)),
            word: WordKey(aead(32)),
            confirm: ConfirmKey(confirm),
        }
    }
}

impl ForwardKey {
    /// Opens this hop's layer of a cell in place; what follows the cell's tag is then the tag and
    /// ciphertext of the next layer.
    pub(crate) fn peel(&self, sequence: u32, cell: &mut [u8]) -> Result<(), Dropped> {
        open(&self.0, sequence, &mut cell[CELL_OVERHEAD - TAG..])
    }
}

impl BackwardKey {
    /// Adds this hop's layer: `body` is room for a tag, then what is sealed.
    pub(crate) fn seal(&self, sequence: u32, body: &mut [u8]) {
        seal(&self.0, sequence, body);
    }
}

impl WordKey {
    /// Seals a hop's last word: `body` is room for a tag, then zeros.
    pub(crate) fn seal(&self, reason: Refusal, body: &mut [u8]) {
        body[TAG] = reason.to_wire();
        seal(&self.0, LAST_SEQUENCE, body);
    }
}

impl ConfirmKey {
    /// This hop's proof over the proof of the hops behind it (the exit's is over zeros).
    pub(crate) fn proof(&self, behind: &[u8; 16]) -> [u8; 16] {
        cipher::mac(&self.0, &[behind])
    }
}

/// Seals all layers of a cell whose content stands at [`content_at`] already: last hop first.
pub(crate) fn wrap(hops: &[HopKeys], sequence: u32, cell: &mut [u8]) {
    for (depth, hop) in hops.iter().enumerate().rev() {
        seal(&hop.forward.0, sequence, &mut cell[CELL_OVERHEAD - TAG + TAG * depth..]);
    }
}

/// Where the content of a cell stands for the client of a chain with so many hops.
pub(crate) fn content_at(hops: usize) -> usize {
    CELL_OVERHEAD + TAG * (hops - 1)
}

/// What a backward cell was for its client.
pub(crate) enum Unwrapped {
    /// The exit's: the content stands at [`content_at`].
    Content,
    /// A hop's last word.
    Word {
        /// Which hop, from 0.
        hop: usize,
        /// What it says.
        reason: Refusal,
    },
}

/// Opens all layers of a backward cell in place.
pub(crate) fn unwrap(
    hops: &[HopKeys],
    sequence: u32,
    cell: &mut [u8],
) -> Result<Unwrapped, Dropped> {
    for (depth, hop) in hops.iter().enumerate() {
        let body = &mut cell[CELL_OVERHEAD - TAG + TAG * depth..];
        if sequence == LAST_SEQUENCE {
            let mut word = body.to_vec();
            if open(&hop.word.0, sequence, &mut word).is_ok() {
                let reason = Refusal::from_wire(word[TAG]).ok_or(Dropped::BadControl)?;
                return Ok(Unwrapped::Word { hop: depth, reason });
            }
        }
        open(&hop.backward.0, sequence, body)?;
    }
    // The last number is no fragment's.
    if sequence == LAST_SEQUENCE { Err(Dropped::BadControl) } else { Ok(Unwrapped::Content) }
}

fn seal(key: &Aead, sequence: u32, body: &mut [u8]) {
    let (tag, content) = body.split_at_mut(TAG);
    tag.copy_from_slice(&key.seal(&cipher::nonce(sequence.into()), &[], content));
}

fn open(key: &Aead, sequence: u32, body: &mut [u8]) -> Result<(), Dropped> {
    let (tag, content) = body.split_first_chunk_mut().ok_or(Dropped::TooShort)?;
    key.open(&cipher::nonce(sequence.into()), &[], content, tag).map_err(|_| Dropped::ForgedLayer)
}

#[cfg(test)]
mod tests {
    use mixing::chance::Chance;
    use mixing::envelope::{self, EnvelopeKey};

    use super::*;

    /// The keys of `count` hops twice: as the client and as the hops have them.
    fn chain(count: usize) -> (Vec<HopKeys>, Vec<HopKeys>) {
        let mut chance = Chance::new([5; 32]);
        (0..count)
            .map(|_| {
                let key = EnvelopeKey::generate(&mut chance);
                let (sealed, client) = envelope::seal(key.public(), "test", &[], &[], &mut chance);
                let (_, hop) = key.open("test", &[], &sealed).expect("ours");
                (HopKeys::derive(&client), HopKeys::derive(&hop))
            })
            .unzip()
    }

    #[test]
    fn what_the_client_wraps_the_hops_peel_and_what_they_seal_the_client_unwraps() {
        for count in 1..=6 {
            let (client, hops) = chain(count);
            let mut cell = vec![0; 440];
            let at = content_at(count);
            cell[at..].fill(7);
            wrap(&client, 9, &mut cell);
            for hop in &hops {
                hop.forward.peel(9, &mut cell).expect("intact");
                cell.drain(20..36);
            }
            assert_eq!(cell[20..], vec![7; 440 - at]);
            for hop in hops.iter().rev() {
                cell.splice(20..20, [0; 16]);
                hop.backward.seal(9, &mut cell[20..]);
            }
            assert!(matches!(unwrap(&client, 9, &mut cell), Ok(Unwrapped::Content)));
            assert_eq!(cell[at..], vec![7; 440 - at]);
        }
    }

    #[test]
    fn a_hop_speaks_for_itself_and_for_no_other() {
        let (client, hops) = chain(4);
        for speaker in 0..4 {
            let mut body = vec![0; 440 - 20 - TAG * speaker];
            hops[speaker].word.seal(Refusal::Overloaded, &mut body);
            for hop in hops[..speaker].iter().rev() {
                body.splice(0..0, [0; 16]);
                hop.backward.seal(LAST_SEQUENCE, &mut body);
            }
            let mut cell = [vec![0; 20], body].concat();
            let heard = unwrap(&client, LAST_SEQUENCE, &mut cell).expect("a word");
            let Unwrapped::Word { hop, reason } = heard else { panic!("no content was sent") };
            assert_eq!((hop, reason), (speaker, Refusal::Overloaded));
        }
    }
}
