//! The life of an entry, with the whole chain behind its first mix in hand.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use datagram::wire::{self, SET_UP_LAYER, SMALL, TAG};
use datagram::{Association, Class, Destination, Limits};
use mixing::cipher;

use super::node::{EXIT, MIX, Node};
use super::peer::{self, Hop, Listed, Peer, SET_UP, Said, read_messages};
use super::roles;
use crate::input::Input;

/// An entry with up to four associations, whose chain confirms, refuses, answers, forgets and lies as
/// the input says: what reaches the exit was sent by an application, once and whole; what reaches an
/// application was sent by the exit on its channel, once and whole; and while somebody sends and the
/// chain confirms, a channel comes to stand.
pub fn entries(bytes: &[u8]) {
    entries_with(bytes, &Rules::TRUE);
}

/// What the model believes.
pub(crate) struct Rules {
    /// Whether a confirmation needs the proofs of all hops.
    pub(crate) needs_proof: bool,
    /// Whether a reply serves once.
    pub(crate) once: bool,
}

impl Rules {
    pub(crate) const TRUE: Rules = Rules { needs_proof: true, once: true };
}

/// A channel, as the chain knows it.
struct Channel {
    hops: [Hop; 2],
    backward: u32,
    forward: u32,
    confirmed: bool,
    next: u32,
    /// What of a message has come.
    coming: Vec<u8>,
}

struct World {
    node: Node,
    mix: Peer,
    keys: [Listed; 2],
    channels: Vec<Channel>,
    /// What the applications sent and the exit has not got.
    sent: BTreeMap<Vec<u8>, usize>,
    /// The last id that the first mix gave out.
    next_id: u32,
}

pub(crate) fn entries_with(bytes: &[u8], rules: &Rules) {
    let mut input = Input::new(bytes);
    let limits = Limits { spare_channels: 0, ..Limits::default() };
    let (node, mix, exit) = roles::entry(&limits);
    let keys = [Listed::new(MIX), exit];
    let mut world =
        World { node, mix, keys, channels: Vec::new(), sent: BTreeMap::new(), next_id: 0x4400 };
    let mut open: Vec<Association> = Vec::new();
    let mut number = 0u32;
    let start = world.node.now.time;
    while !input.is_empty() && world.node.now.time - start < Duration::from_secs(60) {
        match input.below(8) {
            0 if open.len() < 4 => {
                world.node.entry(|entry, now, _| {
                    open.extend(entry.open(now, Class::Small, 0).ok());
                });
            }
            0 => {
                let association = open.remove(input.below(4));
                world.node.entry(|entry, now, out| entry.close(now, association, out));
            }
            1 | 2 if !open.is_empty() => {
                let association = open[input.below(open.len())];
                number += 1;
                // Each message is one of its kind.
                let mut payload = number.to_be_bytes().to_vec();
                payload.resize(4 + usize::from(input.u16()) % 700, input.byte());
                let to = SocketAddr::from(([9, 9, 9, 9], 53)).into();
                let mut message = Vec::new();
                Destination::write(&to, &mut message).expect("an address");
                message.extend_from_slice(&payload);
                world.sent.insert(message, 1);
                // Refused where too much waits already.
                let _ = world.node.send(association, &to, &payload);
            }
            3 => {
                world.node.pass(Duration::from_millis(u64::from(input.byte()) * 4));
                let alive = world.mix.control(&[7]);
                let _ = world.node.give(world.mix.at, &alive);
            }
            4 => world.settle(&mut input, rules),
            5 | 6 => world.reply(&mut input, rules),
            _ => world.word(&mut input),
        }
        world.read();
    }
    world.node.shutdown();
    world.read();
}

impl World {
    /// What the first mix gets: cells of channels for the exit, and messages of the link.
    fn read(&mut self) {
        let mut pieces: BTreeMap<u32, VecDeque<Vec<u8>>> = BTreeMap::new();
        let mut answers = Vec::new();
        for cell in self.node.mail(self.mix.at) {
            // What begins a new link after this one is not answered.
            let Some((channel, sequence)) = self.mix.header(&cell) else { continue };
            if channel != 0 {
                self.forward(channel, sequence, cell);
                continue;
            }
            let (said, ends_well) = read_messages(&self.mix.open_control(&cell, sequence));
            assert!(ends_well, "what an entry says is well said");
            for message in said {
                if let Said::Piece { parcel, count, bytes, .. } = message {
                    let whole = pieces.entry(parcel).or_default();
                    whole.push_back(bytes);
                    if whole.len() == usize::from(count) {
                        let all = (0..count).fold(0u8, |bits, index| bits | 1 << index);
                        answers.push([&[2][..], &parcel.to_be_bytes(), &[all]].concat());
                        let whole: Vec<u8> = whole.drain(..).flatten().collect();
                        self.set_up(&whole);
                    }
                }
            }
        }
        for answer in answers {
            let cell = self.mix.control(&answer);
            let _ = self.node.give(self.mix.at, &cell);
        }
    }

    /// Opens a set-up as both hops would.
    fn set_up(&mut self, whole: &[u8]) {
        assert_eq!((whole[0], whole.len()), (1, 5 + wire::set_up_size(0)));
        let backward = u32::from_be_bytes(*whole[1..].first_chunk().expect("an id"));
        let mut envelope = whole[5..].to_vec();
        let hops = [MIX, EXIT].map(|number| {
            let listed = &self.keys[usize::from(number - MIX)];
            let opened = listed.key.open(SET_UP, &[], &envelope);
            let (message, exporter) = opened.expect("sealed to this hop");
            envelope = message[SET_UP_LAYER - mixing::envelope::OVERHEAD..].to_vec();
            Hop::derive(&exporter)
        });
        if self.channels.iter().all(|channel| channel.backward != backward) {
            self.next_id += 1;
            let forward = self.next_id;
            let (confirmed, next) = (false, 0);
            let coming = Vec::new();
            self.channels.push(Channel { hops, backward, forward, confirmed, next, coming });
        }
    }

    /// A cell towards the exit: both layers are the entry's, and the fragment is one of a message.
    fn forward(&mut self, id: u32, sequence: u32, mut cell: Vec<u8>) {
        assert_eq!(cell.len(), SMALL);
        let channel = self.channels.iter_mut().find(|channel| channel.forward == id);
        let channel = channel.expect("a channel that was confirmed");
        assert!(channel.confirmed, "nothing leaves before the confirmation");
        assert!(peer::open(&channel.hops[0].forward, sequence, &mut cell[20..]));
        assert!(peer::open(&channel.hops[1].forward, sequence, &mut cell[20 + TAG..]));
        let content = &cell[20 + 2 * TAG..];
        if content[1] == 0 {
            return;
        }
        let length = usize::from(u16::from_be_bytes([content[2], content[3]]));
        channel.coming.extend_from_slice(&content[4..4 + length]);
        if content[0] + 1 == content[1] {
            let message = std::mem::take(&mut channel.coming);
            let sent = self.sent.get_mut(&message).expect("an application sent this");
            assert_eq!(*sent, 1, "and it is sent on once");
            *sent = 0;
        }
    }

    /// The chain confirms a channel, honestly or not, or the first mix refuses it.
    fn settle(&mut self, input: &mut Input<'_>, rules: &Rules) {
        let spoil = input.byte();
        let Some(channel) = self.channels.iter_mut().rev().find(|channel| !channel.confirmed)
        else {
            return;
        };
        let last = cipher::mac(&channel.hops[1].confirm, &[&[0; 16]]);
        let mut proof = cipher::mac(&channel.hops[0].confirm, &[&last]);
        let honest = spoil >= 32;
        if !honest {
            proof[usize::from(spoil % 16)] ^= 1;
        }
        let message =
            [&[3][..], &channel.backward.to_be_bytes(), &channel.forward.to_be_bytes(), &proof];
        let message = match spoil {
            240.. => [&[4][..], &channel.backward.to_be_bytes(), &[1 + spoil % 7]].concat(),
            _ => message.concat(),
        };
        // A wrong proof is no reason to wait for the right one: the channel may be gone.
        channel.confirmed = (honest || !rules.needs_proof) && spoil < 240;
        let cell = self.mix.control(&message);
        let opened = self.node.figures().channels_opened;
        let _ = self.node.give(self.mix.at, &cell);
        if !honest && rules.needs_proof {
            assert_eq!(self.node.figures().channels_opened, opened, "a forged proof opens nothing");
        }
        if !honest && !rules.needs_proof {
            assert!(self.node.figures().channels_opened > opened);
        }
    }

    /// The exit answers on a channel: well, spoiled, or a second time.
    fn reply(&mut self, input: &mut Input<'_>, rules: &Rules) {
        let (which, spoil, at) = (input.byte(), input.byte(), usize::from(input.u16()));
        let confirmed: Vec<&mut Channel> =
            self.channels.iter_mut().filter(|channel| channel.confirmed).collect();
        let count = confirmed.len();
        let Some(channel) = confirmed.into_iter().nth(usize::from(which) % count.max(1)) else {
            return;
        };
        let sequence = channel.next;
        channel.next += 1;
        let payload = [&sequence.to_be_bytes()[..], &channel.backward.to_be_bytes()].concat();
        let message = [&[1, 9, 9, 9, 9, 0, 53][..], &payload].concat();
        let mut cell = vec![0; SMALL];
        let content = [&[0, 1][..], &(message.len() as u16).to_be_bytes(), &message].concat();
        cell[20 + 2 * TAG..][..content.len()].copy_from_slice(&content);
        peer::seal(&channel.hops[1].backward, sequence, &mut cell[20 + TAG..]);
        peer::seal(&channel.hops[0].backward, sequence, &mut cell[20..]);
        if spoil < 64 {
            let at = 28 + at % (cell.len() - 28);
            cell[at] ^= 1 << (spoil % 8);
        }
        self.mix.encipher(&mut cell, channel.backward, sequence);
        let at = self.mix.at;
        let given = self.node.give(at, &cell);
        assert!(spoil >= 64 || given.is_err(), "a changed cell is refused");
        let again = self.node.give(at, &cell);
        assert!(again.is_err() || !rules.once, "and so is a copy");
        let expected = usize::from(given.is_ok()) + usize::from(!rules.once);
        assert_eq!(self.node.delivered.len(), expected);
        for (_, source, delivered) in self.node.delivered.drain(..) {
            assert_eq!(source, SocketAddr::from(([9, 9, 9, 9], 53)));
            assert_eq!(delivered, payload);
        }
    }

    /// A hop says its last word on a channel, or something in its place.
    fn word(&mut self, input: &mut Input<'_>) {
        let (which, hop, reason) = (input.byte(), input.below(3), input.byte() % 10);
        let count = self.channels.len();
        let Some(channel) = self.channels.get_mut(usize::from(which) % count.max(1)) else {
            return;
        };
        let mut cell = vec![0; SMALL];
        let speaker = hop.min(1);
        cell[20 + TAG * (speaker + 1)] = reason;
        match hop {
            0 | 1 => peer::seal(&channel.hops[hop].word, u32::MAX, &mut cell[20 + TAG * hop..]),
            _ => peer::seal(&channel.hops[1].backward, u32::MAX, &mut cell[20 + TAG..]),
        }
        if hop > 0 {
            peer::seal(&channel.hops[0].backward, u32::MAX, &mut cell[20..]);
        }
        self.mix.encipher(&mut cell, channel.backward, u32::MAX);
        let given = self.node.give(self.mix.at, &cell);
        let is_word = hop < 2 && (1..=7).contains(&reason);
        assert!(is_word || given.is_err(), "only a word is taken for one");
        if given.is_ok() {
            // The channel is over; nothing more is sent on it.
            channel.confirmed = false;
            self.channels.remove(usize::from(which) % count);
        }
    }
}
