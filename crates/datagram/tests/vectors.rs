//! `docs/protocol.md` held to what it says: fixed vectors, and a client that was written from that
//! page alone, with nothing of this crate's but the cores that it talks to.

mod common;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use common::*;
use datagram::Class;
use mixing::Chance;
use mixing::cipher::{self, Aead, Block};
use mixing::envelope::{self, EnvelopeKey, EnvelopePublic, Exporter, Sealing};
use mixing::keys::{Identity, IdentityKey, Signature};

// ---- the vectors in docs/vectors.txt

#[test]
fn the_vectors_in_the_book_are_what_the_primitives_give() {
    let book = include_str!("../../../docs/vectors.txt");
    let lines = book.lines().filter_map(|line| line.split_once(" = "));
    let book: BTreeMap<&str, &str> = lines.filter(|(name, _)| !name.contains(' ')).collect();
    let found = vectors(&unhex(book["envelope"]));
    for (name, value) in &found {
        assert_eq!(Some(&value.as_str()), book.get(name), "{name}");
    }
    assert_eq!(found.len(), book.len(), "every vector of the book is checked");
}

/// Prints the vectors for docs/vectors.txt: a new envelope each time the recipient's key changes.
#[test]
#[ignore = "prints new vectors; nothing to check"]
fn print_the_vectors() {
    let key = EnvelopeKey::from_seed([7; 32]);
    let aad = [0, 0, 0, 0, 1, 1, 0x12, 0x34];
    let (sealed, _) =
        envelope::seal(key.public(), OPENING, &aad, b"a message", &mut Chance::new([9; 32]));
    for (name, value) in vectors(&sealed) {
        println!("{name} = {value}");
    }
}

/// All vectors, by the rules of the page; only the envelope is given, as its making is random.
fn vectors(sealed: &[u8]) -> Vec<(&'static str, String)> {
    let mut all: Vec<(&'static str, String)> = Vec::new();
    let mut add = |name, value: &[u8]| all.push((name, hex(value)));
    let sequential: [u8; 32] = std::array::from_fn(|i| i as u8);

    let mut out = [0; 40];
    cipher::derive("mingle test vector", &[b"ab", b"c"], &mut out);
    add("derive", &out);
    add("mac", &cipher::mac(&sequential, &[b"ab", b"c"]));

    let mut block = [0x00, 0x00, 0x01, 0x02, 0x00, 0x00, 0x00, 0x2a, 1, 2, 3, 4, 5, 6, 7, 8];
    add("header.clear", &block);
    Block::new(&first(&sequential)).encipher(&mut block);
    add("header.block", &block);

    let mut fragment = vec![0; 4 + 11 + 5];
    fragment[..4].copy_from_slice(&[0, 1, 0, 11]);
    fragment[4..15].copy_from_slice(&[1, 9, 9, 9, 9, 0, 53, b'D', b'N', b'S', b'?']);
    add("fragment", &fragment);
    let mut layer = fragment.clone();
    let tag = Aead::new(&first(&sequential)).seal(&cipher::nonce(42), &[], &mut layer);
    add("layer.tag", &tag);
    add("layer.ciphertext", &layer);

    let key = EnvelopeKey::from_seed([7; 32]);
    add("key.hint", &cipher::hash("mingle key hint v1", &[key.public().as_bytes()])[..2]);
    add("envelope", sealed);
    add("envelope.fingerprint", &envelope::fingerprint(sealed));
    let aad = [0, 0, 0, 0, 1, 1, 0x12, 0x34];
    let (message, exporter) = key.open(OPENING, &aad, sealed).expect("sealed to this key");
    add("envelope.message", &message);
    let export = |context, extra: &[&[u8]], size| {
        let mut out = vec![0; size];
        exporter.export(context, extra, &mut out);
        out
    };
    add("answer.key", &export("mingle link answer v1", &[], 16));
    add("link.keys", &export("mingle link keys v1", &[&sequential], 64));
    let channel = export("mingle channel keys v1", &[], 80);
    add("channel.keys", &channel);
    let confirm = first(&channel[48..]);
    let exits = cipher::mac(&confirm, &[&[0; 16]]);
    add("confirm.exit", &exits);
    add("confirm.before", &cipher::mac(&confirm, &[&exits]));

    let identity = IdentityKey::from_seed([3; 32]);
    let public = identity.identity();
    add("identity", public.as_bytes());
    let request = key_request(&public, 1, [5; 16]);
    add("key_request.check", &request[1216..]);
    let checked = with_cookie(&public, &[8; 16], b"all bytes before".to_vec());
    add("check_with_cookie", &checked[16..]);
    add("signature", &identity.sign("mingle key list v1", b"a message").0);
    all
}

// ---- a client written from docs/protocol.md

const OPENING: &str = "mingle link opening v1";
const SET_UP: &str = "mingle channel set-up v1";
const ME: &str = "10.0.9.77:700";
const LARGE: usize = 1404;

#[test]
fn a_client_written_from_the_book_reaches_a_destination_and_hears_its_reply() {
    for (class, cell_size) in [(Class::Small, 440), (Class::Large, LARGE)] {
        let mut world = World::new(network(&[1, 1, 1], 1, None), 4);
        world.run(Duration::from_secs(1));
        let mut client = Client::linked(&mut world);
        let chain: Vec<Identity> = world.network.nodes.iter().map(|node| node.identity).collect();
        let keys = client.set_up(&mut world, &chain, class.index() as u8);

        // Two fragments: the second begins where the first ends.
        let payload: Vec<u8> = (0..cell_size - 120).map(|i| i as u8).collect();
        let message = [&[1, 9, 9, 9, 9, 0, 53][..], &payload].concat();
        for sequence in 0..2u32 {
            client.send(&mut world, &keys, cell_size, sequence, &message);
        }
        world.run(Duration::from_secs(1));
        assert_eq!(world.arrivals.len(), 1, "{:?}", world.all_dropped());
        assert_eq!(world.arrivals[0].to, address("9.9.9.9:53"));
        assert_eq!(world.arrivals[0].payload, payload);
        assert_eq!(client.replies(&mut world, &keys, cell_size), message);

        client.say(&mut world, &[&[5][..], &keys.forward.to_be_bytes()].concat());
        world.run(Duration::from_secs(1));
        assert_eq!(world.gone.len(), 1);
        let mix = mix_address(1, 1);
        assert_eq!(world.figures(mix).channels, 0);
        assert!(world.all_dropped().is_empty(), "{:?}", world.all_dropped());
    }
}

#[test]
fn a_hop_that_refuses_is_recognised_by_its_word_key() {
    let mut world = World::new(network(&[1, 1, 1], 1, None), 5);
    world.run(Duration::from_secs(1));
    let mut client = Client::linked(&mut world);
    let chain: Vec<Identity> = world.network.nodes.iter().map(|node| node.identity).collect();
    // The second mix is told to go on to the first: not what a mix of its tier does.
    let (envelope, hops) = client.seal(&chain, 0, |at, next| if at == 1 { chain[0] } else { next });
    client.ask(&mut world, &envelope);
    world.run(Duration::from_secs(1));
    let cells = client.cells(&world, 440);
    let [cell] = &cells[..] else { panic!("one cell comes, the last word, not {}", cells.len()) };
    let (channel, sequence) = client.header(cell);
    assert_eq!((channel, sequence), (BACKWARD, u32::MAX));
    let mut body = cell[20..].to_vec();
    assert!(open(&hops[0][32..48], sequence, &mut body.clone()).is_none(), "hop 1 is silent");
    open(&hops[0][16..32], sequence, &mut body).expect("hop 1 added its layer");
    body.drain(..16);
    open(&hops[1][32..48], sequence, &mut body).expect("hop 2 speaks");
    assert_eq!(body[16], 2, "bad set-up");
    assert!(body[17..].iter().all(|byte| *byte == 0));
}

#[test]
fn a_node_answers_a_key_request_with_the_list_that_the_book_describes() {
    let mut world = World::new(network(&[1], 1, None), 6);
    let mix = world.network.nodes[0].clone();
    let list = ask_keys(&mut world, mix.address, &mix.identity);
    assert_eq!(list.len(), 1328);
    assert_eq!(list[..32], mix.identity.as_bytes()[..]);
    let number = |at: usize| u64::from_be_bytes(first(&list[at..]));
    assert_eq!(number(32), world.now.date.as_millis());
    assert_eq!(number(40) - number(32), 3_600_000);
}

#[test]
fn a_listed_opener_written_from_the_book_is_taken_for_who_it_is() {
    for (forged, answered) in [(false, true), (true, false)] {
        let mut world = World::new(network(&[1, 1], 1, None), 7);
        let [one, two] = [0, 1].map(|at| world.network.nodes[at].clone());
        let list = ask_keys(&mut world, two.address, &two.identity);
        let (_, public) = read_list(&world, &list);
        let mut chance = Chance::new([43; 32]);
        let sealing = Sealing::begin(&public, OPENING, &mut chance);
        let mut body = [0; 72];
        body[..4].copy_from_slice(&LINK.to_be_bytes());
        body[4..8].copy_from_slice(&one.identity.as_bytes()[..4]);
        let proven = [
            &one.identity.as_bytes()[..],
            two.identity.as_bytes(),
            &LINK.to_be_bytes(),
            &sealing.fingerprint(),
            world.network.name.as_bytes(),
        ];
        let mut proof = identity_key(&one.address).sign("mingle link proof v1", &proven.concat());
        proof.0[0] ^= u8::from(forged);
        body[8..].copy_from_slice(&proof.0);
        let head = head(1, &public);
        let (sealed, _) = sealing.finish(&head, &body);
        let opening = with_check(&two.identity, [&head[..], &sealed].concat());
        let given = world.give(address(ME), two.address, &opening);
        assert_eq!(given.is_ok(), answered);
        let answers = world.seen.iter().filter(|packet| packet.bytes.len() == 56);
        let ours = answers.filter(|packet| packet.to == address(ME)).count();
        assert_eq!(ours, usize::from(answered));
    }
}

#[test]
fn under_load_a_cookie_is_handed_out_and_lets_an_opening_in() {
    let mut world = World::new(network(&[1], 1, None), 8);
    let mix = world.network.nodes[0].clone();
    let list = ask_keys(&mut world, mix.address, &mix.identity);
    let (_, public) = read_list(&world, &list);
    let mut chance = Chance::new([44; 32]);
    let mut opening = |cookie: Option<[u8; 16]>| {
        let head = head(if cookie.is_some() { 2 } else { 1 }, &public);
        let mut body = [0; 72];
        body[..4].copy_from_slice(&LINK.to_be_bytes());
        let (sealed, _) = envelope::seal(&public, OPENING, &head, &body, &mut chance);
        let bytes = [&head[..], &sealed].concat();
        match cookie {
            None => with_check(&mix.identity, bytes),
            Some(cookie) => with_cookie(&mix.identity, &cookie, bytes),
        }
    };
    // More openings than are taken without a cookie, from one address after another.
    let cookie = (1..=200).find_map(|number| {
        let from = address(&format!("10.7.{number}.1:700"));
        let opening = opening(None);
        let _ = world.give(from, mix.address, &opening);
        let answer = world.seen.last().expect("something is answered").bytes.clone();
        (answer.len() == 72).then_some((from, opening, answer))
    });
    let (from, refused, answer) = cookie.expect("a cookie under load");
    assert_eq!(answer[..8], [0, 0, 0, 0, 5, 1, 0, 0]);
    assert_eq!(answer[8..24], refused[1216..], "it names the opening's check");
    let mut key = [0; 16];
    cipher::derive("mingle link cookie v1", &[mix.identity.as_bytes()], &mut key);
    let mut cookie: [u8; 16] = first(&answer[56..]);
    Aead::new(&key)
        .open(&first(&answer[24..]), &answer[8..24], &mut cookie, &first(&answer[40..]))
        .expect("readable by who sent the opening");
    let again = opening(Some(cookie));
    assert!(world.give(address("10.7.201.1:700"), mix.address, &again).is_err(), "another address");
    world.give(from, mix.address, &again).expect("its own");
    assert_eq!(world.seen.last().map(|packet| packet.bytes.len()), Some(56));
}

/// The channel id that the client chooses to see.
const BACKWARD: u32 = 0x0ABC_DE01;
/// The link id that the client chooses to see.
const LINK: u32 = 0x7000_0001;

struct Client {
    chance: Chance,
    mix: SocketAddr,
    /// The link id that the mix wants to see.
    theirs: u32,
    keys: Vec<u8>,
    lists: BTreeMap<Identity, EnvelopePublic>,
    /// The number of the next channel-0 cell, and of the next parcel.
    controls: u32,
    parcels: u32,
    /// How many of the world's packets were read.
    read: usize,
}

/// A channel that stands.
struct Channel {
    /// Each hop's 80 bytes of keys.
    hops: Vec<Vec<u8>>,
    /// The id that the first mix wants to see.
    forward: u32,
}

impl Client {
    /// Opens a link to the first mix and waits for everybody's keys.
    fn linked(world: &mut World) -> Client {
        let node = world.network.nodes[0].clone();
        let list = ask_keys(world, node.address, &node.identity);
        let (identity, public) = read_list(world, &list);
        assert_eq!(identity, node.identity);

        let mut chance = Chance::new([42; 32]);
        let sealing = Sealing::begin(&public, OPENING, &mut chance);
        let head = head(1, &public);
        let mut body = [0; 72];
        body[..4].copy_from_slice(&LINK.to_be_bytes());
        let (sealed, exporter) = sealing.finish(&head, &body);
        let opening = with_check(&node.identity, [&head[..], &sealed].concat());
        assert_eq!(opening.len(), 1232);
        let before = world.seen.len();
        world.give(address(ME), node.address, &opening).expect("a good opening");
        let answer = world.seen[before..].iter().find(|packet| packet.to == address(ME));
        let answer = answer.expect("an answer").bytes.clone();
        assert_eq!((answer.len(), &answer[..4]), (56, &LINK.to_be_bytes()[..]));
        let mut key = [0; 16];
        exporter.export("mingle link answer v1", &[], &mut key);
        let mut body = answer[20..].to_vec();
        let tag = first(&answer[4..]);
        Aead::new(&key).open(&[0; 16], &[], &mut body, &tag).expect("the opening's key");
        let mut keys = vec![0; 64];
        exporter.export("mingle link keys v1", &[&body[4..]], &mut keys);

        let theirs = u32::from_be_bytes(first(&body));
        let lists = BTreeMap::from([(identity, public)]);
        let (read, mix) = (world.seen.len(), node.address);
        let mut client = Client { chance, mix, theirs, keys, lists, controls: 0, parcels: 0, read };
        client.say(world, &[6]);
        world.run(Duration::from_millis(50));
        client.hear(world);
        assert_eq!(client.lists.len(), world.network.nodes.len(), "everybody's keys");
        client
    }

    /// Sends messages on channel 0.
    fn say(&mut self, world: &mut World, messages: &[u8]) {
        let mut cell = vec![0; LARGE];
        cell[36..36 + messages.len()].copy_from_slice(messages);
        let key = Aead::new(&first(&self.keys[16..]));
        let tag = key.seal(&cipher::nonce(self.controls.into()), &[], &mut cell[36..]);
        cell[20..36].copy_from_slice(&tag);
        self.encipher(&mut cell, 0, self.controls);
        self.controls += 1;
        world.give(address(ME), self.mix, &cell).expect("a good channel-0 cell");
    }

    /// Writes the head of a cell.
    fn encipher(&self, cell: &mut [u8], channel: u32, sequence: u32) {
        cell[..4].copy_from_slice(&self.theirs.to_be_bytes());
        let mut block = [0; 16];
        block[..4].copy_from_slice(&channel.to_be_bytes());
        block[4..8].copy_from_slice(&sequence.to_be_bytes());
        block[8..].copy_from_slice(&cell[20..28]);
        Block::new(&first(&self.keys)).encipher(&mut block);
        cell[4..20].copy_from_slice(&block);
    }

    /// Reads the head of a cell: channel and number.
    fn header(&self, cell: &[u8]) -> (u32, u32) {
        assert_eq!(cell[..4], LINK.to_be_bytes());
        let mut block = first(&cell[4..]);
        Block::new(&first(&self.keys[32..])).decipher(&mut block);
        assert_eq!(block[8..], cell[20..28], "the header belongs to the cell");
        (u32::from_be_bytes(first(&block)), u32::from_be_bytes(first(&block[4..])))
    }

    /// Reads what the mix says on channel 0, acknowledges pieces, keeps key lists; returns
    /// confirmations.
    fn hear(&mut self, world: &mut World) -> Vec<Vec<u8>> {
        let packets: Vec<Vec<u8>> = world.seen[self.read..]
            .iter()
            .filter(|packet| packet.to == address(ME) && packet.bytes.len() == LARGE)
            .map(|packet| packet.bytes.clone())
            .collect();
        self.read = world.seen.len();
        let mut confirmations = Vec::new();
        for cell in packets {
            let (channel, sequence) = self.header(&cell);
            if channel != 0 {
                continue;
            }
            let mut content = cell[36..].to_vec();
            let key = Aead::new(&first(&self.keys[48..]));
            let nonce = cipher::nonce(sequence.into());
            key.open(&nonce, &[], &mut content, &first(&cell[20..])).expect("the link's key");
            self.hear_one(world, &content, &mut confirmations);
        }
        confirmations
    }

    fn hear_one(&mut self, world: &mut World, content: &[u8], confirmations: &mut Vec<Vec<u8>>) {
        let mut at = 0;
        while at < content.len() && content[at] != 0 {
            let body = &content[at + 1..];
            at += 1 + match content[at] {
                1 => {
                    let length = usize::from(u16::from_be_bytes(first(&body[6..])));
                    assert_eq!(body[4..6], [0, 1], "a list is one piece on this link");
                    assert_eq!((body[8], length), (2, 1329));
                    let list = body[9..8 + length].to_vec();
                    let (identity, public) = read_list(world, &list);
                    self.lists.insert(identity, public);
                    self.say(world, &[&[2][..], &body[..4], &[1]].concat());
                    8 + length
                }
                2 => 5,
                3 => {
                    confirmations.push(body[..24].to_vec());
                    24
                }
                4 => 5,
                5 | 11 => 4,
                8 | 9 => 16,
                _ => 0,
            };
        }
    }

    /// Seals the layers of a set-up, last hop first; `next` may lie about who comes next.
    fn seal(
        &mut self,
        chain: &[Identity],
        class: u8,
        next: impl Fn(usize, Identity) -> Identity,
    ) -> (Vec<u8>, Vec<Vec<u8>>) {
        let mut inner = vec![0; 1176 * (6 - chain.len())];
        let mut hops = Vec::new();
        for (at, identity) in chain.iter().enumerate().rev() {
            let mut layer = [0; 40];
            if let Some(after) = chain.get(at + 1) {
                layer[..32].copy_from_slice(next(at, *after).as_bytes());
            }
            (layer[32], layer[33]) = (class, 1);
            let message = [&layer[..], &inner].concat();
            let public = &self.lists[identity];
            let (sealed, exporter): (Vec<u8>, Exporter) =
                envelope::seal(public, SET_UP, &[], &message, &mut self.chance);
            let mut keys = vec![0; 80];
            exporter.export("mingle channel keys v1", &[], &mut keys);
            hops.insert(0, keys);
            inner = sealed;
        }
        assert_eq!(inner.len(), 7056);
        (inner, hops)
    }

    /// Sends a set-up in its six pieces.
    fn ask(&mut self, world: &mut World, envelope: &[u8]) {
        let parcel = [&[1][..], &BACKWARD.to_be_bytes(), envelope].concat();
        let pieces: Vec<&[u8]> = parcel.chunks(LARGE - 36 - 9).collect();
        assert_eq!(pieces.len(), 6);
        for (index, bytes) in pieces.iter().enumerate() {
            let number = self.parcels.to_be_bytes();
            let length = (bytes.len() as u16).to_be_bytes();
            let head = [&[1][..], &number, &[index as u8, 6], &length].concat();
            self.say(world, &[&head[..], bytes].concat());
        }
        self.parcels += 1;
    }

    fn set_up(&mut self, world: &mut World, chain: &[Identity], class: u8) -> Channel {
        let (envelope, hops) = self.seal(chain, class, |_, next| next);
        self.ask(world, &envelope);
        world.run(Duration::from_secs(1));
        let confirmations = self.hear(world);
        let [confirmation] = &confirmations[..] else { panic!("one confirmation comes") };
        assert_eq!(confirmation[..4], BACKWARD.to_be_bytes());
        let proof = hops
            .iter()
            .rev()
            .fold([0; 16], |behind, keys| cipher::mac(&first(&keys[48..]), &[&behind]));
        assert_eq!(confirmation[8..24], proof);
        Channel { hops, forward: u32::from_be_bytes(first(&confirmation[4..])) }
    }

    /// Sends fragment `sequence` of a message of two.
    fn send(
        &mut self,
        world: &mut World,
        channel: &Channel,
        size: usize,
        sequence: u32,
        message: &[u8],
    ) {
        let parts: Vec<&[u8]> = message.chunks(size - 120).collect();
        let part = parts[sequence as usize];
        let hops = channel.hops.len();
        let mut cell = vec![0; size];
        let at = 36 + 16 * (hops - 1);
        cell[at] = sequence as u8;
        cell[at + 1] = parts.len() as u8;
        cell[at + 2..at + 4].copy_from_slice(&(part.len() as u16).to_be_bytes());
        cell[at + 4..at + 4 + part.len()].copy_from_slice(part);
        for (depth, keys) in channel.hops.iter().enumerate().rev() {
            let at = 20 + 16 * depth;
            let (tag, body) = cell[at..].split_at_mut(16);
            let key = Aead::new(&first(keys));
            tag.copy_from_slice(&key.seal(&cipher::nonce(sequence.into()), &[], body));
        }
        self.encipher(&mut cell, channel.forward, sequence);
        world.give(address(ME), self.mix, &cell).expect("a good cell");
    }

    /// All cells of a size that came since the last look.
    fn cells(&mut self, world: &World, size: usize) -> Vec<Vec<u8>> {
        let cells = world.seen[self.read..]
            .iter()
            .filter(|packet| packet.to == address(ME) && packet.bytes.len() == size)
            .map(|packet| packet.bytes.clone());
        let cells = cells.collect();
        self.read = world.seen.len();
        cells
    }

    /// Unwraps what came back and puts it together.
    fn replies(&mut self, world: &mut World, channel: &Channel, size: usize) -> Vec<u8> {
        let mut parts = BTreeMap::new();
        for cell in self.cells(world, size) {
            let (id, sequence) = self.header(&cell);
            if id == 0 {
                continue;
            }
            assert_eq!(id, BACKWARD);
            let mut body = cell[20..].to_vec();
            for keys in &channel.hops {
                open(&keys[16..32], sequence, &mut body).expect("every hop added a layer");
                body.drain(..16);
            }
            assert_eq!((u32::from(body[0]), body[1]), (sequence, 2), "the first message, of two");
            let length = usize::from(u16::from_be_bytes(first(&body[2..])));
            assert!(body[4 + length..].iter().all(|byte| *byte == 0));
            parts.insert(sequence, body[4..4 + length].to_vec());
        }
        parts.into_values().flatten().collect()
    }
}

/// Opens a layer in place: a tag, then what is sealed. The tag stays.
fn open(key: &[u8], sequence: u32, body: &mut [u8]) -> Option<()> {
    let (tag, content) = body.split_at_mut(16);
    let nonce = cipher::nonce(sequence.into());
    Aead::new(&first(key)).open(&nonce, &[], content, &first(tag)).ok()
}

/// Asks a node for both pieces of its key list.
fn ask_keys(world: &mut World, at: SocketAddr, identity: &Identity) -> Vec<u8> {
    let before = world.seen.len();
    let mut list = Vec::new();
    for piece in 0..2u8 {
        world.give(address(ME), at, &key_request(identity, piece, [5; 16])).expect("answered");
    }
    for (index, packet) in
        world.seen[before..].iter().filter(|packet| packet.to == address(ME)).enumerate()
    {
        assert_eq!(packet.bytes.len(), 688);
        assert_eq!(packet.bytes[..8], [0, 0, 0, 0, 4, 1, 0, index as u8]);
        assert_eq!(packet.bytes[8..24], [5; 16]);
        list.extend_from_slice(&packet.bytes[24..]);
    }
    list
}

fn key_request(of: &Identity, piece: u8, token: [u8; 16]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 0, 0, 3, 1, 0, piece];
    bytes.extend_from_slice(&token);
    bytes.resize(1216, 0);
    with_check(of, bytes)
}

fn with_check(of: &Identity, mut bytes: Vec<u8>) -> Vec<u8> {
    let mut key = [0; 32];
    cipher::derive("mingle link check v1", &[of.as_bytes()], &mut key);
    let check = cipher::mac(&key, &[&bytes]);
    bytes.extend_from_slice(&check);
    bytes
}

fn with_cookie(of: &Identity, cookie: &[u8; 16], mut bytes: Vec<u8>) -> Vec<u8> {
    let mut key = [0; 32];
    let context = "mingle link check with cookie v1";
    cipher::derive(context, &[of.as_bytes(), cookie], &mut key);
    let check = cipher::mac(&key, &[&bytes]);
    bytes.extend_from_slice(&check);
    bytes
}

/// The head of an opening to this key.
fn head(kind: u8, key: &EnvelopePublic) -> [u8; 8] {
    let hint = cipher::hash("mingle key hint v1", &[key.as_bytes()]);
    [0, 0, 0, 0, kind, 1, hint[0], hint[1]]
}

/// Verifies a key list: whose it is, and the key.
fn read_list(world: &World, list: &[u8]) -> (Identity, EnvelopePublic) {
    let identity = Identity::from_bytes(first(list));
    let name = world.network.name.as_bytes();
    let signed = [&(name.len() as u64).to_be_bytes()[..], name, &list[..1264]].concat();
    let signature = Signature(first(&list[1264..]));
    identity.verify("mingle key list v1", &signed, &signature).expect("signed");
    let public = EnvelopePublic::from_bytes(&first(&list[48..])).expect("a public key");
    (identity, public)
}

fn first<const N: usize>(bytes: &[u8]) -> [u8; N] {
    *bytes.first_chunk().expect("as long as the page says")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(digits: &str) -> Vec<u8> {
    (0..digits.len() / 2)
        .map(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).expect("hexadecimal"))
        .collect()
}
