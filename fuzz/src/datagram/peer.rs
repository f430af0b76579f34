//! The other end of a link: somebody whose keys are here and who says what an input tells him to,
//! well sealed. Written from `docs/protocol.md` and `wire.rs`, with nothing else of the crate's.

use std::net::SocketAddr;

use datagram::wire::{
    self, Answer, AnswerBody, CellHead, Header, KeyList, KeyPiece, KeyRequest, OpeningBody,
    Prelude, SetUpLayer,
};
use mixing::cipher::{self, Aead, Block};
use mixing::envelope::{self, EnvelopeKey, EnvelopePublic, Exporter, Sealing};
use mixing::keys::{Identity, IdentityKey};
use mixing::{Chance, Date};
use zerocopy::{FromBytes, IntoBytes};

use super::node::{LARGE, NETWORK};

/// A listed node that is here and not a core: its keys.
pub(crate) struct Listed {
    pub(crate) identity: IdentityKey,
    pub(crate) key: EnvelopeKey,
}

impl Listed {
    /// The node of this number, as the networks of [`super::node`] list it.
    pub(crate) fn new(number: u8) -> Self {
        let identity = identity_key(number);
        Listed { identity, key: EnvelopeKey::from_seed([number; 32]) }
    }

    /// Its signed key list.
    pub(crate) fn list(&self, begins: Date) -> KeyList {
        let mut list = KeyList {
            identity: *self.identity.identity().as_bytes(),
            begins: begins.as_millis().into(),
            ends: (begins.as_millis() + 3_600_000).into(),
            key: *self.key.public().as_bytes(),
            signature: [0; 64],
        };
        sign_list(&self.identity, &mut list);
        list
    }

    /// The piece of its list that a request asks for.
    pub(crate) fn piece(&self, begins: Date, request: &[u8]) -> Vec<u8> {
        let request = KeyRequest::ref_from_bytes(request).expect("an honest request");
        let index = request.prelude.hint.get();
        let list = self.list(begins);
        let start = usize::from(index) * wire::KEY_PIECE;
        let bytes = *list.as_bytes()[start..].first_chunk().expect("one of two pieces");
        let piece =
            KeyPiece { prelude: prelude(wire::KIND_KEY_PIECE, index), token: request.token, bytes };
        piece.as_bytes().to_vec()
    }

    /// Answers an honest opening: the answer, and this end of the link that stands now.
    pub(crate) fn accept(
        &self,
        from: SocketAddr,
        opening: &[u8],
        leaving: u8,
        ours: u32,
    ) -> (Vec<u8>, Peer) {
        let opening = wire::Opening::ref_from_bytes(opening).expect("an honest opening");
        let opened = self.key.open(OPENING, opening.prelude.as_bytes(), &opening.envelope);
        let (body, exporter) = opened.expect("sealed to this key");
        let body = OpeningBody::read_from_bytes(&body).expect("an honest opening");
        let random = [7; 32];
        let mut answer = AnswerBody { link: ours.into(), random };
        let tag = answer_key(&exporter).seal(&cipher::nonce(0), &[], answer.as_mut_bytes());
        let theirs = body.link.get();
        let answer = Answer { link: theirs.into(), tag, body: answer };
        let peer = Peer::new(from, ours, theirs, leaving, &exporter, &random, false);
        (answer.as_bytes().to_vec(), peer)
    }
}

/// Signs a key list as its node does.
pub(crate) fn sign_list(identity: &IdentityKey, list: &mut KeyList) {
    let body = &list.as_bytes()[..wire::KEY_LIST - 64];
    let length = (NETWORK.len() as u64).to_be_bytes();
    let signed = [&length, NETWORK.as_bytes(), body].concat();
    list.signature = identity.sign("mingle key list v1", &signed).0;
}

/// The identity of the node of this number.
pub(crate) fn identity_key(number: u8) -> IdentityKey {
    IdentityKey::from_seed([number; 32])
}

pub(crate) const OPENING: &str = "mingle link opening v1";

pub(crate) fn prelude(kind: u8, hint: u16) -> Prelude {
    Prelude { link: 0.into(), kind, version: wire::VERSION, hint: hint.into() }
}

/// The check at the end of openings and key requests.
pub(crate) fn check(of: &Identity, body: &[u8]) -> [u8; 16] {
    let mut key = [0; 32];
    cipher::derive("mingle link check v1", &[of.as_bytes()], &mut key);
    cipher::mac(&key, &[body])
}

/// The hint of a key.
pub(crate) fn hint(key: &EnvelopePublic) -> u16 {
    let mut hint = [0; 2];
    cipher::derive("mingle key hint v1", &[key.as_bytes()], &mut hint);
    u16::from_be_bytes(hint)
}

/// A request for a piece of a node's key list.
pub(crate) fn key_request(of: &Identity, piece: u16, token: [u8; 16]) -> Vec<u8> {
    let head = [prelude(wire::KIND_KEY_REQUEST, piece).as_bytes(), &token].concat();
    let mut bytes = [head, vec![0; wire::OPENING - 40]].concat();
    let check = check(of, &bytes);
    bytes.extend_from_slice(&check);
    bytes
}

/// What an opener keeps until the answer comes.
pub(crate) struct Asked {
    exporter: Exporter,
    link: u32,
}

/// An opening around a body that `write` fills; it is told the fingerprint that a proof is over.
pub(crate) fn opening(
    of: &Identity,
    key: &EnvelopePublic,
    prelude: Prelude,
    write: impl FnOnce(&[u8; 16]) -> OpeningBody,
    chance: &mut Chance,
) -> (Vec<u8>, Asked) {
    let sealing = Sealing::begin(key, OPENING, chance);
    let body = write(&sealing.fingerprint());
    let (envelope, exporter) = sealing.finish(prelude.as_bytes(), body.as_bytes());
    let mut bytes = [prelude.as_bytes(), &envelope].concat();
    let check = check(of, &bytes);
    bytes.extend_from_slice(&check);
    (bytes, Asked { exporter, link: body.link.get() })
}

/// What a listed opener says: who it is, with its proof.
pub(crate) fn proved(
    by: &IdentityKey,
    of: &Identity,
    link: u32,
    fingerprint: &[u8; 16],
) -> OpeningBody {
    let me = by.identity();
    let link_bytes = link.to_be_bytes();
    let proven =
        [me.as_bytes(), of.as_bytes(), &link_bytes[..], fingerprint, NETWORK.as_bytes()].concat();
    let proof = by.sign("mingle link proof v1", &proven).0;
    let [a, b, c, d, ..] = *me.as_bytes();
    OpeningBody { link: link.into(), opener: [a, b, c, d], proof }
}

/// What a client says: nothing but the id it wants to see.
pub(crate) fn unnamed(link: u32) -> OpeningBody {
    OpeningBody { link: link.into(), opener: [0; 4], proof: [0; 64] }
}

impl Asked {
    /// Reads the answer: this end of the link that stands now.
    pub(crate) fn answered(self, from: SocketAddr, answer: &[u8], leaving: u8) -> Peer {
        let mut answer = Answer::read_from_bytes(answer).expect("an answer");
        let body = answer.body.as_mut_bytes();
        let opened = answer_key(&self.exporter).open(&cipher::nonce(0), &[], body, &answer.tag);
        opened.expect("the answer to this opening");
        let theirs = answer.body.link.get();
        Peer::new(from, self.link, theirs, leaving, &self.exporter, &answer.body.random, true)
    }
}

fn answer_key(exporter: &Exporter) -> Aead {
    let mut key = [0; 16];
    exporter.export("mingle link answer v1", &[], &mut key);
    Aead::new(&key)
}

/// One end of an open link.
pub(crate) struct Peer {
    /// Where this end is.
    pub(crate) at: SocketAddr,
    ours: u32,
    theirs: u32,
    leaving: u8,
    outward: (Block, Aead),
    inward: (Block, Aead),
    next_control: u32,
    next_parcel: u32,
}

impl Peer {
    fn new(
        at: SocketAddr,
        ours: u32,
        theirs: u32,
        leaving: u8,
        exporter: &Exporter,
        random: &[u8; 32],
        opened_here: bool,
    ) -> Self {
        let mut keys = [[0; 16]; 4];
        exporter.export("mingle link keys v1", &[random], keys.as_flattened_mut());
        let [a, b, c, d] = keys;
        let first = (Block::new(&a), Aead::new(&b));
        let second = (Block::new(&c), Aead::new(&d));
        let (outward, inward) = if opened_here { (first, second) } else { (second, first) };
        Peer { at, ours, theirs, leaving, outward, inward, next_control: 0, next_parcel: 0 }
    }

    /// The node's id of this link.
    pub(crate) fn theirs(&self) -> u32 {
        self.theirs
    }

    /// Bytes of a channel-0 cell on this link.
    pub(crate) fn control_size(&self) -> usize {
        wire::cell_size(LARGE, self.leaving)
    }

    /// A cell whose tag and ciphertext stand from byte 20 on: writes its head.
    pub(crate) fn encipher(&self, cell: &mut [u8], channel: u32, sequence: u32) {
        let (head, _) = CellHead::mut_from_prefix(cell).expect("a cell has a head");
        let tag_half = *head.tag.first_chunk().expect("a tag has two halves");
        let header = Header { channel: channel.into(), sequence: sequence.into(), tag_half };
        head.link = self.theirs.into();
        head.header.copy_from_slice(header.as_bytes());
        self.outward.0.encipher(&mut head.header);
    }

    /// The next channel-0 cell, with this content.
    pub(crate) fn control(&mut self, content: &[u8]) -> Vec<u8> {
        let sequence = self.next_control;
        self.next_control += 1;
        self.control_numbered(content, sequence)
    }

    /// A channel-0 cell with a number that is the caller's.
    pub(crate) fn control_numbered(&self, content: &[u8], sequence: u32) -> Vec<u8> {
        let mut cell = vec![0; self.control_size()];
        let room = cell.len() - wire::CELL_OVERHEAD;
        let content = &content[..content.len().min(room)];
        cell[wire::CELL_OVERHEAD..][..content.len()].copy_from_slice(content);
        let body = &mut cell[wire::CELL_OVERHEAD..];
        let tag = self.outward.1.seal(&cipher::nonce(sequence.into()), &[], body);
        cell[20..wire::CELL_OVERHEAD].copy_from_slice(&tag);
        self.encipher(&mut cell, 0, sequence);
        cell
    }

    /// A parcel of any kind in as many channel-0 cells as it needs.
    pub(crate) fn parcel(&mut self, whole: &[u8]) -> Vec<Vec<u8>> {
        let number = self.next_parcel;
        self.next_parcel += 1;
        let room = self.control_size() - wire::CELL_OVERHEAD - 9;
        let count = whole.chunks(room).count() as u8;
        let pieces = (0..count).zip(whole.chunks(room));
        let pieces: Vec<Vec<u8>> = pieces.map(|(i, p)| piece(number, i, count, p)).collect();
        pieces.iter().map(|piece| self.control(piece)).collect()
    }

    /// Reads a cell's head, if it came over this link: channel and number.
    pub(crate) fn header(&self, cell: &[u8]) -> Option<(u32, u32)> {
        let (head, _) = CellHead::ref_from_prefix(cell).ok()?;
        if head.link.get() != self.ours {
            return None;
        }
        let mut block = head.header;
        self.inward.0.decipher(&mut block);
        let header = Header::read_from_bytes(&block).expect("sixteen bytes");
        assert_eq!(header.tag_half, head.tag[..8], "an honest node's header fits its cell");
        Some((header.channel.get(), header.sequence.get()))
    }

    /// Opens a channel-0 cell.
    pub(crate) fn open_control(&self, cell: &[u8], sequence: u32) -> Vec<u8> {
        let (head, content) = CellHead::ref_from_prefix(cell).expect("a cell");
        let mut content = content.to_vec();
        let opened =
            self.inward.1.open(&cipher::nonce(sequence.into()), &[], &mut content, &head.tag);
        opened.expect("an honest node's cell opens");
        content
    }
}

/// The message that carries a piece of a parcel.
pub(crate) fn piece(parcel: u32, index: u8, count: u8, bytes: &[u8]) -> Vec<u8> {
    let length = (bytes.len() as u16).to_be_bytes();
    [&[1][..], &parcel.to_be_bytes(), &[index, count], &length, bytes].concat()
}

/// A message of a channel-0 cell, as far as the bodies here look at them.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Said {
    Piece { parcel: u32, index: u8, count: u8, bytes: Vec<u8> },
    Received { parcel: u32, pieces: u8 },
    Confirm { backward: u32, forward: u32, proof: [u8; 16] },
    Refused { backward: u32, reason: u8 },
    Close { channel: u32 },
    Probe,
    Alive,
    Challenge { token: [u8; 16] },
    Token { token: [u8; 16] },
    Goodbye,
    Unknown { channel: u32 },
}

/// A second reader of channel-0 cells, written from the page: what is said, and whether it ends well.
pub(crate) fn read_messages(content: &[u8]) -> (Vec<Said>, bool) {
    let mut said = Vec::new();
    let mut rest = content;
    loop {
        match read_message(&mut rest) {
            Some(Some(message)) => said.push(message),
            Some(None) => return (said, true),
            None => return (said, false),
        }
    }
}

fn read_message(rest: &mut &[u8]) -> Option<Option<Said>> {
    let mut take = |count: usize| {
        let (part, after) = rest.split_at_checked(count)?;
        *rest = after;
        Some(part)
    };
    let Some(kind) = take(1) else { return Some(None) };
    let number = |bytes: &[u8]| bytes.iter().fold(0u32, |n, byte| n << 8 | u32::from(*byte));
    let whole = |bytes: &[u8]| <[u8; 16]>::try_from(bytes).expect("sixteen were taken");
    Some(Some(match kind[0] {
        0 => return Some(None),
        1 => {
            let (parcel, index, count) = (number(take(4)?), take(1)?[0], take(1)?[0]);
            let length = number(take(2)?) as usize;
            Said::Piece { parcel, index, count, bytes: take(length)?.to_vec() }
        }
        2 => Said::Received { parcel: number(take(4)?), pieces: take(1)?[0] },
        3 => Said::Confirm {
            backward: number(take(4)?),
            forward: number(take(4)?),
            proof: whole(take(16)?),
        },
        4 => {
            let (backward, reason) = (number(take(4)?), take(1)?[0]);
            if !(1..=7).contains(&reason) {
                return None;
            }
            Said::Refused { backward, reason }
        }
        5 => Said::Close { channel: number(take(4)?) },
        6 => Said::Probe,
        7 => Said::Alive,
        8 => Said::Challenge { token: whole(take(16)?) },
        9 => Said::Token { token: whole(take(16)?) },
        10 => Said::Goodbye,
        11 => Said::Unknown { channel: number(take(4)?) },
        _ => return None,
    }))
}

/// What a client and one hop share.
pub(crate) struct Hop {
    pub(crate) forward: Aead,
    pub(crate) backward: Aead,
    pub(crate) word: Aead,
    pub(crate) confirm: [u8; 32],
}

impl Hop {
    pub(crate) fn derive(exporter: &Exporter) -> Self {
        let mut keys = [0; 80];
        exporter.export("mingle channel keys v1", &[], &mut keys);
        let aead = |at: usize| Aead::new(keys[at..].first_chunk().expect("eighty bytes"));
        let confirm = *keys[48..].first_chunk().expect("eighty bytes");
        Hop { forward: aead(0), backward: aead(16), word: aead(32), confirm }
    }
}

/// The context of set-up layers.
pub(crate) const SET_UP: &str = "mingle channel set-up v1";

/// Seals one layer of a set-up around what the next hops get.
pub(crate) fn layer(
    to: &EnvelopePublic,
    layer: &SetUpLayer,
    inner: &[u8],
    chance: &mut Chance,
) -> (Vec<u8>, Hop) {
    let message = [layer.as_bytes(), inner].concat();
    let (sealed, exporter) = envelope::seal(to, SET_UP, &[], &message, chance);
    (sealed, Hop::derive(&exporter))
}

/// Seals a body in place: room for the tag, then what is sealed.
pub(crate) fn seal(key: &Aead, sequence: u32, body: &mut [u8]) {
    let (tag, content) = body.split_at_mut(wire::TAG);
    tag.copy_from_slice(&key.seal(&cipher::nonce(sequence.into()), &[], content));
}

/// Opens a body in place.
pub(crate) fn open(key: &Aead, sequence: u32, body: &mut [u8]) -> bool {
    let (tag, content) = body.split_at_mut(wire::TAG);
    let tag = *tag.first_chunk().expect("a whole tag");
    key.open(&cipher::nonce(sequence.into()), &[], content, &tag).is_ok()
}
