//! The roles with both their neighbours in hand: how each gets its link and its channels.

use std::time::Duration;

use datagram::wire::{self, SetUpLayer};
use datagram::{Class, Limits};
use mixing::{Chance, Strategy, cipher};
use zerocopy::IntoBytes;

use super::neighbours::heard;
use super::node::{EXIT, MIX, Node, address, network};
use super::peer::{self, Hop, Listed, Peer, Said, identity_key, read_messages};

/// An entry that has its link to the only first mix, which is the peer, and knows the exit's key.
pub(crate) fn entry(limits: &Limits) -> (Node, Peer, Listed) {
    let mut node = Node::new(None, Strategy::None, limits);
    let (mix, exit) = (Listed::new(MIX), Listed::new(EXIT));
    let mut peer = opened_by(&mut node, MIX, &mix, 0);
    let list = exit.list(node.now.date);
    let cells = peer.parcel(&[&[2][..], list.as_bytes()].concat());
    node.hears(&peer, &cells);
    node.mail(peer.at);
    (node, peer, exit)
}

/// Lets a node open its link to a listed one that is here, which leaves tier `leaving`.
pub(crate) fn opened_by(node: &mut Node, number: u8, listed: &Listed, leaving: u8) -> Peer {
    let at = address(number);
    node.pass(Duration::from_millis(1));
    for request in node.mail(at) {
        let piece = listed.piece(node.now.date, &request);
        node.give(at, &piece).expect("an honest piece");
    }
    node.pass(Duration::from_millis(1));
    let opening = node.mail(at).remove(0);
    let (answer, peer) = listed.accept(at, &opening, leaving, 0x5500);
    node.give(at, &answer).expect("an honest answer");
    node.pass(Duration::from_millis(1));
    node.mail(at);
    peer
}

/// A mix with a client and an exit in hand.
pub(crate) struct Between {
    pub(crate) node: Node,
    pub(crate) client: Peer,
    pub(crate) exit: Peer,
    exits: Listed,
    chance: Chance,
    next: u32,
}

/// A channel through the mix.
pub(crate) struct Through {
    pub(crate) class: Class,
    /// What the client shares with the mix.
    pub(crate) hop: Hop,
    /// The ids that the mix wants to see: from the client, and from the exit.
    pub(crate) forward: u32,
    pub(crate) ahead_backward: u32,
    /// The ids that client and exit want to see.
    pub(crate) backward: u32,
    pub(crate) ahead_forward: u32,
}

impl Between {
    pub(crate) fn new(strategy: Strategy, limits: &Limits) -> Self {
        let mut node = Node::new(Some(MIX), strategy, limits);
        let exits = Listed::new(EXIT);
        let exit = opened_by(&mut node, EXIT, &exits, 1);
        let client = node.link(MIX, None, address(200));
        Between { node, client, exit, exits, chance: Chance::new([8; 32]), next: 0x9000 }
    }

    /// Opens a channel of this class, honestly at all ends.
    pub(crate) fn open(&mut self, class: Class) -> Through {
        let mix_key = self.node.key(&identity_key(MIX).identity());
        let at =
            |next| SetUpLayer { next, class: class.index() as u8, lifetime: 2, reserved: [0; 6] };
        let rest = vec![0; wire::set_up_size(2)];
        let exit_key = self.exits.key.public().clone();
        let (inner, _) = peer::layer(&exit_key, &at([0; 32]), &rest, &mut self.chance);
        let next = *identity_key(EXIT).identity().as_bytes();
        let (envelope, hop) = peer::layer(&mix_key, &at(next), &inner, &mut self.chance);
        let (backward, ahead_forward) = (self.next, self.next + 1);
        self.next += 2;
        let whole = [&[1][..], &backward.to_be_bytes(), &envelope].concat();
        let cells = self.client.parcel(&whole);
        self.node.hears(&self.client, &cells);
        self.node.pass(Duration::from_millis(60));
        let ahead_backward = self.asked();
        let proof = [5; 16];
        let confirm =
            [&[3][..], &ahead_backward.to_be_bytes(), &ahead_forward.to_be_bytes(), &proof];
        let cell = self.exit.control(&confirm.concat());
        self.node.hears(&self.exit, &[cell]);
        self.node.pass(Duration::from_millis(30));
        let expected = cipher::mac(&hop.confirm, &[&proof]);
        let (said, _) = heard(&mut self.node, &self.client);
        let forward = said.into_iter().find_map(|said| match said {
            Said::Confirm { backward: b, forward, proof } if b == backward => {
                assert_eq!(proof, expected, "the mix adds its own proof");
                Some(forward)
            }
            _ => None,
        });
        let forward = forward.expect("the channel stands");
        self.node.mail(self.exit.at);
        Through { class, hop, forward, ahead_backward, backward, ahead_forward }
    }

    /// What the exit was asked for, as its peer: all pieces acknowledged, and the id backward.
    fn asked(&mut self) -> u32 {
        let mut whole = Vec::new();
        let mut acknowledged = Vec::new();
        for cell in self.node.mail(self.exit.at) {
            let (_, sequence) = self.exit.header(&cell).expect("this link's");
            for said in read_messages(&self.exit.open_control(&cell, sequence)).0 {
                if let Said::Piece { parcel, index, count, bytes } = said {
                    let all = (0..count).fold(0u8, |bits, index| bits | 1 << index);
                    let received = [&[2][..], &parcel.to_be_bytes(), &[all]].concat();
                    acknowledged.push(self.exit.control(&received));
                    if index == 0 {
                        whole = bytes;
                    }
                }
            }
        }
        self.node.hears(&self.exit, &acknowledged);
        assert_eq!(whole.first(), Some(&1), "the exit is asked for a channel");
        u32::from_be_bytes(*whole[1..].first_chunk().expect("an id"))
    }
}

/// An exit with a mix in hand that has one channel to it.
pub(crate) struct Last {
    pub(crate) node: Node,
    pub(crate) mix: Peer,
    pub(crate) hop: Hop,
    pub(crate) forward: u32,
    pub(crate) backward: u32,
}

impl Last {
    pub(crate) fn new(class: Class, limits: &Limits) -> Self {
        let mut node = Node::new(Some(EXIT), Strategy::None, limits);
        let mut mix = node.link(EXIT, Some(&Listed::new(MIX)), address(MIX));
        let key = node.key(&identity_key(EXIT).identity());
        let layer =
            SetUpLayer { next: [0; 32], class: class.index() as u8, lifetime: 2, reserved: [0; 6] };
        let rest = vec![0; wire::set_up_size(2)];
        let (envelope, hop) = peer::layer(&key, &layer, &rest, &mut Chance::new([8; 32]));
        let backward = 0x9000u32;
        let cells = mix.parcel(&[&[1][..], &backward.to_be_bytes(), &envelope].concat());
        node.hears(&mix, &cells);
        node.pass(Duration::from_millis(10));
        let (said, _) = heard(&mut node, &mix);
        let forward = said.into_iter().find_map(|said| match said {
            Said::Confirm { forward, .. } => Some(forward),
            _ => None,
        });
        Last { node, mix, hop, forward: forward.expect("an exit confirms at once"), backward }
    }

    /// A forward cell with this content, as the last mix sends it.
    pub(crate) fn cell(&self, class: Class, sequence: u32, content: &[u8]) -> Vec<u8> {
        let s0 = network(Strategy::None).class(class).cell_size;
        let mut cell = vec![0; wire::cell_size(s0, 1)];
        cell[36..36 + content.len()].copy_from_slice(content);
        peer::seal(&self.hop.forward, sequence, &mut cell[20..]);
        self.mix.encipher(&mut cell, self.forward, sequence);
        cell
    }
}
