//! What rides in the envelopes that open a channel.
//!
//! ```text
//! envelope₁( layer₁ | envelope₂( layer₂ | … envelopeₑ( layerₑ | zeros ) ) )
//! ```
//!
//! One envelope per hop, each to that hop's key of the hour. The exit's holds as many zeros as
//! make the set-up on every link as long as the link's tier says, whatever the length of the
//! chain. Both sides take the channel's keys from the envelope's secret.

use std::time::Duration;

use mixing::chance::Chance;
use mixing::envelope::{self, EnvelopePublic};
use mixing::keys::Identity;
use zerocopy::{FromBytes, IntoBytes};

use crate::channel::HopKeys;
use crate::keyring::{Keyring, Refused};
use crate::message::Refusal;
use crate::network::Class;
use crate::outbox::Dropped;
use crate::wire::{self, HOPS_MAX, SET_UP_LAYER, SetUpLayer};

pub(crate) const ENVELOPE: &str = "mingle channel set-up v1";

/// How long a channel may live: one of three, so that its length names nobody.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Lifetime {
    /// Ten minutes.
    Short,
    /// An hour.
    Middle,
    /// Eight hours.
    #[default]
    Long,
}

impl Lifetime {
    const ALL: [Lifetime; 3] = [Lifetime::Short, Lifetime::Middle, Lifetime::Long];

    /// How long that is.
    pub fn duration(self) -> Duration {
        Duration::from_secs(match self {
            Lifetime::Short => 600,
            Lifetime::Middle => 3_600,
            Lifetime::Long => 28_800,
        })
    }
}

/// One hop's layer, read.
pub(crate) struct Layer {
    /// The next hop; `None` at the exit.
    pub(crate) next: Option<Identity>,
    pub(crate) class: Class,
    pub(crate) lifetime: Lifetime,
}

/// Seals a set-up for a chain of one to five mixes and an exit, and derives the client's keys.
pub(crate) fn seal(
    chain: &[(Identity, EnvelopePublic)],
    class: Class,
    lifetime: Lifetime,
    chance: &mut Chance,
) -> (Vec<u8>, Vec<HopKeys>) {
    assert!((2..=HOPS_MAX).contains(&chain.len()), "a chain is one to five mixes and an exit");
    let mut inner = vec![0; (HOPS_MAX - chain.len()) * SET_UP_LAYER];
    let mut next = [0; 32];
    let mut keys = Vec::with_capacity(chain.len());
    for (identity, public) in chain.iter().rev() {
        let layer = SetUpLayer {
            next,
            class: class.index() as u8,
            lifetime: lifetime as u8,
            reserved: [0; 6],
        };
        let message = [layer.as_bytes(), &inner].concat();
        let (sealed, exporter) = envelope::seal(public, ENVELOPE, &[], &message, chance);
        keys.push(HopKeys::derive(&exporter));
        inner = sealed;
        next = *identity.as_bytes();
    }
    keys.reverse();
    debug_assert_eq!(inner.len(), wire::set_up_size(0));
    (inner, keys)
}

/// What a hop found in its envelope.
pub(crate) struct Found {
    pub(crate) layer: Layer,
    /// What it passes on: the next hop's envelope.
    pub(crate) rest: Vec<u8>,
    pub(crate) keys: HopKeys,
}

/// Opens a set-up at a hop.
///
/// # Errors
/// The reason to count, and what to tell the neighbour, unless this was a replay or nonsense.
pub(crate) fn open(
    keyring: &mut Keyring,
    envelope: &[u8],
) -> Result<Found, (Dropped, Option<Refusal>)> {
    let opened = keyring.open(None, ENVELOPE, &[], envelope).map_err(|refused| match refused {
        Refused::Repeated => (Dropped::RepeatedSetUp, None),
        Refused::NotOurs => (Dropped::ForgedSetUp, Some(Refusal::UnknownKey)),
        Refused::MemoryFull => (Dropped::MemoryFull, Some(Refusal::Overloaded)),
    });
    let (message, exporter) = opened?;
    let (layer, rest) = read(&message).map_err(|dropped| (dropped, None))?;
    Ok(Found { layer, rest: rest.to_vec(), keys: HopKeys::derive(&exporter) })
}

/// Reads what a hop's envelope held: its layer and what it passes on.
fn read(message: &[u8]) -> Result<(Layer, &[u8]), Dropped> {
    let (layer, rest) = SetUpLayer::read_from_prefix(message).map_err(|_| Dropped::BadSetUp)?;
    let class = Class::from_index(layer.class).ok_or(Dropped::BadSetUp)?;
    let lifetime = Lifetime::ALL.get(usize::from(layer.lifetime)).ok_or(Dropped::BadSetUp)?;
    let next = (layer.next != [0; 32]).then(|| Identity::from_bytes(layer.next));
    Ok((Layer { next, class, lifetime: *lifetime }, rest))
}

#[cfg(test)]
mod tests {
    use mixing::envelope::EnvelopeKey;

    use super::*;

    #[test]
    fn every_chain_opens_hop_by_hop_at_the_size_of_its_tier() {
        let mut chance = Chance::new([3; 32]);
        for hops in 2..=HOPS_MAX {
            let keys: Vec<_> = (0..hops).map(|_| EnvelopeKey::generate(&mut chance)).collect();
            let identity = |at: usize| Identity::from_bytes([at as u8 + 1; 32]);
            let chain: Vec<_> =
                keys.iter().enumerate().map(|(i, k)| (identity(i), k.public().clone())).collect();
            let (mut set_up, client) = seal(&chain, Class::Small, Lifetime::Middle, &mut chance);
            assert_eq!(client.len(), hops);
            for (at, key) in keys.iter().enumerate() {
                assert_eq!(set_up.len(), wire::set_up_size(at as u8));
                let (message, exporter) = key.open(ENVELOPE, &[], &set_up).expect("ours");
                let (layer, rest) = read(&message).expect("well-formed");
                assert_eq!(layer.next, (at + 1 < hops).then(|| identity(at + 1)));
                assert_eq!((layer.class, layer.lifetime), (Class::Small, Lifetime::Middle));
                let proof = HopKeys::derive(&exporter).confirm.proof(&[1; 16]);
                assert_eq!(proof, client[at].confirm.proof(&[1; 16]));
                set_up = rest.to_vec();
            }
            assert!(set_up.iter().all(|&byte| byte == 0), "the exit's padding");
        }
    }
}
