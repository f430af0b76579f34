//! Who attacks with the crate's own tools: clients and listed nodes that hold keys of their own
//! and say what no honest core would. The worlds they attack are those of `tests/common`.

use std::net::SocketAddr;
use std::time::Duration;

use mixing::chance::Chance;
use zerocopy::FromBytes;

use crate::channel::{self, HopKeys};
use crate::fragment;
use crate::keyring::{Directory, Keyring};
use crate::lane::Direction;
use crate::link::{self, Link, Pointer};
use crate::message::{Message, Reader};
use crate::network::Class;
use crate::opening::{self, Pending};
use crate::outbox::{Dropped, Effect, Outbox};
use crate::parcel::{Parcel, control_room};
use crate::setup::{self, Lifetime};
use crate::slots::Id;
use crate::wire::{self, CELL_OVERHEAD, FragmentHead, KeyPiece, TAG};

#[path = "../tests/common/mod.rs"]
mod common;
mod headers;
mod insiders;
mod limits;
mod reasons;
mod rest;
mod shares;

use common::*;

/// One end of a link that does what the test says.
struct Puppet {
    at: SocketAddr,
    node: SocketAddr,
    id: Id,
    link: Link,
    chance: Chance,
    read: usize,
    said: Vec<Message<'static>>,
    cells: Vec<(Id, u32, Vec<u8>)>,
    parcels: Vec<Vec<u8>>,
}

/// A channel that a puppet opened.
struct Opened {
    class: Class,
    hops: Vec<HopKeys>,
    forward: Id,
    backward: Id,
}

/// Takes what was just sent to an address off the wire.
fn mail(world: &mut World, to: SocketAddr) -> Vec<Vec<u8>> {
    let mail = world.wire.iter().filter(|p| p.to == to).map(|p| p.bytes.clone()).collect();
    world.wire.retain(|packet| packet.to != to);
    mail
}

/// Asks a node for its keys.
fn keys(world: &mut World, at: SocketAddr, node: SocketAddr) -> Directory {
    let identity = identity_key(&node).identity();
    let mut list = Vec::new();
    for piece in 0..wire::KEY_PIECES {
        let request = opening::key_request(&identity, piece, [piece as u8; 16]);
        world.give(at, node, &request).expect("an honest request");
        let answers = mail(world, at);
        let piece = answers.iter().find_map(|bytes| KeyPiece::read_from_bytes(bytes).ok());
        let piece = piece.expect("an answer");
        list.extend_from_slice(&piece.bytes);
    }
    let mut directory = Directory::default();
    directory.learn(world.now, &world.network, &list).expect("an honest list");
    directory
}

/// An honest opening, ready to be spoiled.
fn opening_of(
    world: &mut World,
    at: SocketAddr,
    node: SocketAddr,
    by: Option<&Keyring>,
    chance: &mut Chance,
) -> (Vec<u8>, Pending) {
    let directory = keys(world, at, node);
    let identity = identity_key(&node).identity();
    let known = directory.get(world.now.time, &identity).expect("just learned");
    opening::open(&world.network, &identity, known, by, Id::from_wire(0x100), None, chance)
}

/// Makes the cheap check of a spoiled opening good again, as anybody can.
fn check_again(bytes: &mut [u8], node: SocketAddr) {
    let mut key = [0; 32];
    let identity = identity_key(&node).identity();
    mixing::cipher::derive("mingle link check v1", &[identity.as_bytes()], &mut key);
    let (body, check) = bytes.split_at_mut(wire::OPENING - 16);
    check.copy_from_slice(&mixing::cipher::mac(&key, &[body]));
}

impl Puppet {
    /// Opens a link to a node, as a client or as the listed node whose keyring it has.
    fn connect(world: &mut World, at: &str, node: SocketAddr, by: Option<&Keyring>) -> Puppet {
        let at = address(at);
        let mut chance = Chance::new(mixing::cipher::hash("puppet", &[at.to_string().as_bytes()]));
        let (bytes, pending) = opening_of(world, at, node, by, &mut chance);
        world.give(at, node, &bytes).expect("an honest opening");
        let mut answers = mail(world, at);
        let answer = wire::Answer::mut_from_bytes(&mut answers[0]).expect("an answer");
        let (theirs, keys) = pending.answered(answer).expect("to this opening");
        let leaving = by.map_or(0, |by| world.network.node(&by.identity()).expect("listed").tier());
        let link = Link::new(world.now.time, opened(world, theirs, node, true, leaving), keys);
        let read = world.seen.len();
        let id = Id::from_wire(0x100);
        let mut puppet = Puppet {
            at,
            node,
            id,
            link,
            chance,
            read,
            said: vec![],
            cells: vec![],
            parcels: vec![],
        };
        puppet.say(world, &Message::Probe);
        puppet
    }

    fn say(&mut self, world: &mut World, message: &Message<'_>) -> Vec<Result<(), Dropped>> {
        self.link.say(message);
        self.flush(world)
    }

    /// Sends what waits; how each cell was taken.
    fn flush(&mut self, world: &mut World) -> Vec<Result<(), Dropped>> {
        let mut out = Outbox::new();
        self.link.flush(world.now.time, &mut self.chance, &mut out);
        let mut taken = Vec::new();
        for effect in out.effects() {
            let Effect::Send { segment, bytes, .. } = effect else { continue };
            for cell in out.bytes(bytes).chunks(*segment) {
                taken.push(world.give(self.at, self.node, cell));
            }
        }
        taken
    }

    /// Reads what the neighbour said and sent since.
    fn hear(&mut self, world: &mut World) {
        let packets: Vec<Vec<u8>> = world.seen[self.read..]
            .iter()
            .filter(|p| p.to == self.at && p.bytes[..4] == self.id.to_wire().to_be_bytes())
            .map(|p| p.bytes.clone())
            .collect();
        self.read = world.seen.len();
        for mut cell in packets {
            let (channel, sequence) = self.link.decipher(&cell).expect("the neighbour is honest");
            if channel != Id::ZERO {
                self.cells.push((channel, sequence, cell));
                continue;
            }
            let content = self.link.open_control(sequence, &mut cell).expect("honest").to_vec();
            let mut reader = Reader(&content);
            while let Some(message) = reader.next().expect("honest") {
                let message = match message {
                    Message::Piece { parcel, index, count, bytes } => {
                        let time = world.now.time;
                        let taken = self.link.receiver.piece(time, parcel, index, count, bytes);
                        let (pieces, whole) = taken.expect("honest");
                        self.parcels.extend(whole);
                        self.link.say(&Message::Received { parcel, pieces });
                        continue;
                    }
                    Message::Received { parcel, pieces } => {
                        self.link.sender.received(parcel, pieces);
                        continue;
                    }
                    Message::Probe => {
                        self.link.say(&Message::Alive);
                        continue;
                    }
                    Message::Confirm { backward, forward, proof } => {
                        Message::Confirm { backward, forward, proof }
                    }
                    Message::Refused { backward, reason } => Message::Refused { backward, reason },
                    Message::Close { channel } => Message::Close { channel },
                    Message::Alive => Message::Alive,
                    Message::Challenge { token } => Message::Challenge { token },
                    Message::Token { token } => Message::Token { token },
                    Message::Goodbye => Message::Goodbye,
                    Message::Unknown { channel } => Message::Unknown { channel },
                };
                self.said.push(message);
            }
        }
        self.flush(world);
    }

    /// Lets the world run and listens meanwhile.
    fn listen(&mut self, world: &mut World, duration: Duration) {
        let step = Duration::from_millis(10);
        let end = world.now.time + duration;
        while world.now.time < end {
            world.run(step);
            self.hear(world);
        }
    }

    /// Seals an honest set-up for a chain.
    fn set_up(
        &mut self,
        world: &mut World,
        class: Class,
        chain: &[SocketAddr],
    ) -> (Vec<u8>, Vec<HopKeys>) {
        let chain: Vec<_> = chain
            .iter()
            .map(|node| {
                let identity = identity_key(node).identity();
                let directory = keys(world, self.at, *node);
                let known = directory.get(world.now.time, &identity).expect("just learned");
                (identity, known.key.clone())
            })
            .collect();
        setup::seal(&chain, class, Lifetime::Long, &mut self.chance)
    }

    /// Sends a set-up under a new backward id.
    fn ask(&mut self, world: &mut World, class: Class, envelope: &[u8]) -> Id {
        let pointer = Pointer { class, direction: Direction::Backward, half: Id::ZERO };
        let backward = self.link.channels.insert(pointer).expect("room");
        let parcel = Parcel::SetUp { backward, envelope: envelope.to_vec() };
        assert!(self.link.sender.send(parcel));
        self.flush(world);
        backward
    }

    /// Opens a channel over an honest chain.
    fn open(&mut self, world: &mut World, class: Class, chain: &[SocketAddr]) -> Opened {
        let (envelope, hops) = self.set_up(world, class, chain);
        let backward = self.ask(world, class, &envelope);
        for _ in 0..100 {
            self.listen(world, Duration::from_millis(10));
            for message in self.said.drain(..) {
                if let Message::Confirm { backward: mine, forward, .. } = message
                    && mine == backward
                {
                    return Opened { class, hops, forward, backward };
                }
            }
        }
        panic!("no confirmation: {:?}", world.all_dropped());
    }

    /// A cell of a channel, as the client would make it.
    fn cell(
        &self,
        world: &World,
        channel: &Opened,
        sequence: u32,
        head: FragmentHead,
        part: &[u8],
    ) -> Vec<u8> {
        let mut cell = vec![0; world.network.class(channel.class).cell_size];
        let at = channel::content_at(channel.hops.len());
        fragment::write(&mut cell[at..], head, part);
        channel::wrap(&channel.hops, sequence, &mut cell);
        self.link.encipher(&mut cell, channel.forward, sequence);
        cell
    }

    /// A cell with one whole message.
    fn message(&self, world: &World, channel: &Opened, sequence: u32, message: &[u8]) -> Vec<u8> {
        let length = (message.len() as u16).into();
        let head = FragmentHead { index: 0, count: 1, length };
        self.cell(world, channel, sequence, head, message)
    }

    /// A cell of the right size under the link's key whose content is the test's.
    fn raw(&mut self, size: usize, channel: Id, sequence: u32) -> Vec<u8> {
        let mut cell = vec![0; size];
        self.chance.fill(&mut cell[CELL_OVERHEAD - TAG..]);
        self.link.encipher(&mut cell, channel, sequence);
        cell
    }

    /// A channel-0 cell, well sealed, whose content is the test's.
    fn control(&mut self, content: &[u8]) -> Vec<u8> {
        let mut out = Outbox::new();
        self.link.send_control(self.node, content, &mut out);
        let Effect::Send { bytes, .. } = &out.effects()[0] else { panic!("it sends") };
        out.bytes(bytes).to_vec()
    }

    fn give(&self, world: &mut World, cell: &[u8]) -> Result<(), Dropped> {
        world.give(self.at, self.node, cell)
    }
}

fn opened(world: &World, theirs: Id, address: SocketAddr, ours: bool, leaving: u8) -> link::Opened {
    link::Opened {
        theirs,
        address,
        peer: Some(identity_key(&address).identity()),
        ours,
        account: crate::share::Account::OURS,
        leaving,
        control_size: wire::cell_size(world.network.large.cell_size, leaving),
        channels_max: 1_000_000,
        parcels_max: 1_000_000,
        set_ups_per_second: u32::MAX,
    }
}

/// `9.9.9.9:53` in front of a payload.
fn to_nine(payload: &[u8]) -> Vec<u8> {
    [&[1, 9, 9, 9, 9, 0, 53], payload].concat()
}

fn first_mix() -> SocketAddr {
    mix_address(1, 1)
}

fn second_mix() -> SocketAddr {
    mix_address(2, 1)
}

fn whole_chain() -> [SocketAddr; 3] {
    [first_mix(), second_mix(), address(EXIT)]
}

#[test]
fn a_puppet_is_a_client_like_any_other() {
    for class in Class::ALL {
        let mut world = World::new(network(&[1, 1], 1, Some(mixing::Strategy::None)), 1);
        world.run(Duration::from_secs(1));
        let mut puppet = Puppet::connect(&mut world, "198.51.102.1:1", first_mix(), None);
        let channel = puppet.open(&mut world, class, &whole_chain());
        let cell = puppet.message(&world, &channel, 0, &to_nine(b"hello"));
        assert_eq!(puppet.give(&mut world, &cell), Ok(()));
        puppet.listen(&mut world, Duration::from_millis(100));
        assert_eq!(world.arrivals[0].payload, b"hello");
        let (backward, sequence, mut cell) = puppet.cells.remove(0);
        assert_eq!((backward, sequence), (channel.backward, 0));
        assert!(channel::unwrap(&channel.hops, 0, &mut cell).is_ok());
        assert!(world.all_dropped().is_empty(), "{:?}", world.all_dropped());
    }
}
