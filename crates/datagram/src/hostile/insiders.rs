//! What a listed node, a neighbour, can do: repeat numbers, forge bodies, lie, talk nonsense.

use mixing::Strategy;

use super::*;
use crate::message::Refusal;
use crate::wire::LAST_SEQUENCE;

const MILLISECOND: Duration = Duration::from_millis(1);

/// An exit that does what the test says, in the place of the honest one.
struct FalseExit {
    ring: Keyring,
    puppet: Option<Puppet>,
    read: usize,
    chance: Chance,
}

impl FalseExit {
    fn new(world: &mut World) -> FalseExit {
        let at = address(EXIT);
        world.nodes.remove(&at);
        let mut chance = Chance::new([4; 32]);
        let name = world.network.name.clone();
        let ring = Keyring::new(world.now, identity_key(&at), &name, 1000, &mut chance);
        FalseExit { ring, puppet: None, read: 0, chance }
    }

    /// Lets the world run, answering openings and key requests.
    fn listen(&mut self, world: &mut World, duration: Duration) {
        let end = world.now.time + duration;
        while world.now.time < end {
            world.run(MILLISECOND);
            self.answer(world);
            if let Some(puppet) = &mut self.puppet {
                puppet.hear(world);
            }
        }
    }

    fn answer(&mut self, world: &mut World) {
        let at = address(EXIT);
        let mail: Vec<Packet> =
            world.seen[self.read..].iter().filter(|p| p.to == at).cloned().collect();
        self.read = world.seen.len();
        for packet in mail {
            if packet.bytes[..4] != [0; 4] {
                continue;
            }
            match packet.bytes[4] {
                wire::KIND_KEY_REQUEST => {
                    let request = wire::KeyRequest::read_from_bytes(&packet.bytes).expect("honest");
                    let index = request.prelude.hint.get();
                    let start = usize::from(index) * wire::KEY_PIECE;
                    let bytes = *self.ring.list()[start..].first_chunk().expect("two halves");
                    let prelude = opening::prelude(wire::KIND_KEY_PIECE, index);
                    let piece = KeyPiece { prelude, token: request.token, bytes };
                    let _ = world.give(at, packet.from, zerocopy::IntoBytes::as_bytes(&piece));
                }
                wire::KIND_OPENING => {
                    let opening = wire::Opening::ref_from_bytes(&packet.bytes).expect("honest");
                    let accepted = opening::accept(&world.network, &mut self.ring, opening);
                    let accepted = accepted.unwrap_or_else(|dropped| panic!("{dropped}"));
                    let id = Id::from_wire(0x100);
                    let (answer, keys) = accepted.answer(id, &mut self.chance);
                    let theirs = accepted.link;
                    let opened = opened(world, theirs, packet.from, false, 2);
                    let link = Link::new(world.now.time, opened, keys);
                    self.puppet = Some(Puppet {
                        at,
                        node: packet.from,
                        id,
                        link,
                        chance: Chance::new([6; 32]),
                        read: world.seen.len(),
                        said: vec![],
                        cells: vec![],
                        parcels: vec![],
                    });
                    let _ = world.give(at, packet.from, zerocopy::IntoBytes::as_bytes(&answer));
                }
                _ => {}
            }
        }
    }

    /// Waits for a set-up and confirms it: the id the mix wants to see, class and keys.
    fn confirm(&mut self, world: &mut World) -> (Id, Class, HopKeys) {
        for _ in 0..3000 {
            self.listen(world, MILLISECOND);
            let Some(puppet) = &mut self.puppet else { continue };
            for parcel in std::mem::take(&mut puppet.parcels) {
                let Ok(Parcel::SetUp { backward, envelope }) = Parcel::from_wire(&parcel, 2) else {
                    continue;
                };
                let found = setup::open(&mut self.ring, &envelope);
                let found = found.unwrap_or_else(|(dropped, _)| panic!("{dropped}"));
                let proof = found.keys.confirm.proof(&[0; 16]);
                let forward = Id::from_wire(0x100);
                puppet.say(world, &Message::Confirm { backward, forward, proof });
                return (backward, found.layer.class, found.keys);
            }
        }
        panic!("no set-up came: {:?}", world.all_dropped());
    }

    fn puppet(&mut self) -> &mut Puppet {
        self.puppet.as_mut().expect("a mix opened a link")
    }
}

/// A world whose exit is false, with one channel of class small open.
fn betrayed() -> (World, FalseExit, crate::Association, Id, HopKeys) {
    let mut world = World::new(network(&[1, 1], 1, Some(Strategy::None)), 21);
    let mut exit = FalseExit::new(&mut world);
    exit.listen(&mut world, Duration::from_secs(2));
    let association = world.open(ENTRY, Class::Small);
    world.send(ENTRY, association, "9.9.9.9:53", b"in good faith");
    let (backward, class, keys) = exit.confirm(&mut world);
    assert_eq!(class, Class::Small);
    exit.listen(&mut world, 100 * MILLISECOND);
    assert_eq!(world.figures(address(ENTRY)).channels_opened, 1);
    (world, exit, association, backward, keys)
}

/// A reply that the client takes: from 9.9.9.9:53.
fn reply(exit: &mut FalseExit, backward: Id, keys: &HopKeys, number: u32, text: &[u8]) -> Vec<u8> {
    let mut cell = vec![0; wire::cell_size(wire::SMALL, 2)];
    let message = to_nine(text);
    let length = (message.len() as u16).into();
    let head = FragmentHead { index: 0, count: 1, length };
    fragment::write(&mut cell[CELL_OVERHEAD..], head, &message);
    keys.backward.seal(number, &mut cell[CELL_OVERHEAD - TAG..]);
    exit.puppet().link.encipher(&mut cell, backward, number);
    cell
}

#[test]
fn a_number_that_a_neighbour_repeats_is_never_sealed_twice() {
    let (mut world, mut exit, _, backward, keys) = betrayed();
    let back = |world: &World| {
        world.seen.iter().filter(|p| p.from == second_mix() && p.to == first_mix()).count()
    };
    for number in [0, 1, 7, 3, 2, 6, 4, 5, 40, 39] {
        let good = reply(&mut exit, backward, &keys, number, b"once");
        let before = back(&world);
        assert_eq!(world.give(address(EXIT), second_mix(), &good), Ok(()), "{number}");
        world.run(MILLISECOND);
        assert_eq!(back(&world), before + 1);
        // The same cell, the same number over another body, and again later.
        let mut others = vec![good, reply(&mut exit, backward, &keys, number, b"twice")];
        let puppet = exit.puppet();
        others.push(puppet.raw(wire::cell_size(wire::SMALL, 2), backward, number));
        for other in &others {
            let given = world.give(address(EXIT), second_mix(), other);
            assert_eq!(given, Err(Dropped::RepeatedCell), "{number}");
        }
        world.run(MILLISECOND);
        assert_eq!(back(&world), before + 1, "nothing more was sealed");
    }
    assert_eq!(world.replies.len(), 10);
    assert!(world.replies.iter().all(|(_, _, text)| text == b"once"));
}

#[test]
fn a_number_is_used_up_backward_even_if_the_pool_had_no_room() {
    let limits = crate::Limits { pool: 2, spare_channels: 0, ..crate::Limits::default() };
    let mut world = World::with_limits(network(&[1, 1], 1, Some(Strategy::None)), 21, &limits);
    let mut exit = FalseExit::new(&mut world);
    exit.listen(&mut world, Duration::from_secs(2));
    let association = world.open(ENTRY, Class::Small);
    world.send(ENTRY, association, "9.9.9.9:53", b"in good faith");
    let (backward, _, keys) = exit.confirm(&mut world);
    exit.listen(&mut world, 100 * MILLISECOND);
    let cells: Vec<_> =
        (0..3).map(|number| reply(&mut exit, backward, &keys, number, b"x")).collect();
    let given = |world: &mut World, at: usize| world.give(address(EXIT), second_mix(), &cells[at]);
    assert_eq!(given(&mut world, 0), Ok(()));
    assert_eq!(given(&mut world, 1), Ok(()));
    assert_eq!(given(&mut world, 2), Err(Dropped::PoolFull));
    world.run(MILLISECOND);
    assert_eq!(given(&mut world, 2), Err(Dropped::RepeatedCell));
}

#[test]
fn what_a_neighbour_invents_on_a_channel_reaches_the_client_as_a_forgery_at_most() {
    let (mut world, mut exit, _, backward, keys) = betrayed();
    let size = wire::cell_size(wire::SMALL, 2);
    for number in 0..50 {
        let cell = exit.puppet().raw(size, backward, number);
        assert_eq!(world.give(address(EXIT), second_mix(), &cell), Ok(()));
    }
    world.run(5 * MILLISECOND);
    assert_eq!(world.dropped(address(ENTRY), Dropped::ForgedLayer), 50);
    let good = reply(&mut exit, backward, &keys, 50, b"honest again");
    assert_eq!(world.give(address(EXIT), second_mix(), &good), Ok(()));
    world.run(5 * MILLISECOND);
    assert_eq!(world.replies.len(), 1);
    // An invented last word ends the channel, as silence would; no refusal is believed.
    let last = exit.puppet().raw(size, backward, LAST_SEQUENCE);
    assert_eq!(world.give(address(EXIT), second_mix(), &last), Ok(()));
    world.run(5 * MILLISECOND);
    assert_eq!(world.dropped(address(ENTRY), Dropped::ForgedLayer), 51);
    assert!(world.notices.is_empty());
}

#[test]
fn the_exit_says_its_last_word_in_its_own_name_and_no_other_hops() {
    let (mut world, mut exit, association, backward, keys) = betrayed();
    // So that the user is told at once, something waits.
    let mut cell = vec![0; wire::cell_size(wire::SMALL, 2)];
    keys.word.seal(Refusal::Overloaded, &mut cell[CELL_OVERHEAD - TAG..]);
    exit.puppet().link.encipher(&mut cell, backward, LAST_SEQUENCE);
    assert_eq!(world.give(address(EXIT), second_mix(), &cell), Ok(()));
    world.run(5 * MILLISECOND);
    assert!(world.all_dropped().is_empty(), "{:?}", world.all_dropped());
    assert_eq!(world.figures(second_mix()).channels, 0, "that was the channel's last cell");
    assert_eq!(world.figures(address(ENTRY)).channels_ended, 1);
    let _ = association;
}

#[test]
fn a_neighbour_cannot_confirm_refuse_or_close_what_is_not_its_own() {
    let (mut world, mut exit, association, backward, keys) = betrayed();
    let reason = Refusal::Overloaded;
    for id in [0, 1, 0x200, 0x101, u32::MAX].map(Id::from_wire) {
        let puppet = exit.puppet();
        let proof = [1; 16];
        puppet.say(&mut world, &Message::Confirm { backward: id, forward: id, proof });
        puppet.say(&mut world, &Message::Refused { backward: id, reason });
        puppet.say(&mut world, &Message::Close { channel: id });
    }
    // Its own channel stands already, and goes backward: not to be confirmed twice, nor closed.
    let proof = [1; 16];
    let puppet = exit.puppet();
    puppet.say(&mut world, &Message::Confirm { backward, forward: backward, proof });
    puppet.say(&mut world, &Message::Close { channel: backward });
    world.run(5 * MILLISECOND);
    assert_eq!(world.dropped(second_mix(), Dropped::BadControl), 1);
    world.send(ENTRY, association, "9.9.9.9:53", b"still open");
    let cell = reply(&mut exit, backward, &keys, 0, b"yes");
    assert_eq!(world.give(address(EXIT), second_mix(), &cell), Ok(()));
    world.run(5 * MILLISECOND);
    assert_eq!(world.replies.len(), 1);
}

#[test]
fn a_forged_proof_of_confirmation_opens_nothing() {
    let mut world = World::new(network(&[1, 1], 1, Some(Strategy::None)), 21);
    let mut exit = FalseExit::new(&mut world);
    exit.listen(&mut world, Duration::from_secs(2));
    let association = world.open(ENTRY, Class::Small);
    world.send(ENTRY, association, "9.9.9.9:53", b"in good faith");
    // The last mix, with the exit's help or without, claims a chain that does not reach the exit.
    let mut asked = None;
    for _ in 0..1000 {
        exit.listen(&mut world, MILLISECOND);
        let parcels = exit.puppet.as_mut().map(|puppet| std::mem::take(&mut puppet.parcels));
        for parcel in parcels.into_iter().flatten() {
            if let Ok(Parcel::SetUp { backward, .. }) = Parcel::from_wire(&parcel, 2) {
                asked = Some(backward);
            }
        }
        if asked.is_some() {
            break;
        }
    }
    let (backward, proof) = (asked.expect("a set-up came"), [9; 16]);
    let forward = Id::from_wire(0x100);
    exit.puppet().say(&mut world, &Message::Confirm { backward, forward, proof });
    exit.listen(&mut world, 100 * MILLISECOND);
    assert_eq!(world.dropped(address(ENTRY), Dropped::ForgedControl), 1);
    assert_eq!(world.figures(address(ENTRY)).channels_opened, 0);
    assert!(exit.puppet().cells.is_empty(), "nothing was sent in good faith");
}

#[test]
fn one_opening_answered_twice_gives_two_links_with_nothing_in_common() {
    let mut world = World::new(network(&[1, 1], 1, Some(Strategy::None)), 23);
    let at = address(EXIT);
    let mut chance = Chance::new([9; 32]);
    let name = world.network.name.clone();
    let mut ring = Keyring::new(world.now, identity_key(&at), &name, 10, &mut chance);
    let mut directory = Directory::default();
    directory.learn(world.now, &world.network, ring.list()).expect("its own");
    let identity = ring.identity();
    let known = directory.get(world.now.time, &identity).expect("just learned");
    let id = Id::from_wire(0x100);
    let (bytes, pending) =
        opening::open(&world.network, &identity, known, None, id, None, &mut chance);
    let opening = wire::Opening::ref_from_bytes(&bytes).expect("whole");
    let accepted = opening::accept(&world.network, &mut ring, opening);
    let accepted = accepted.unwrap_or_else(|dropped| panic!("{dropped}"));
    let mut blocks = Vec::new();
    for _ in 0..3 {
        // As if the node had forgotten that it answered.
        let (mut answer, keys) = accepted.answer(id, &mut chance);
        let (_, theirs) = pending.answered(&mut answer).expect("a good answer");
        for (key, same) in [(&keys.outward, &theirs.inward), (&keys.inward, &theirs.outward)] {
            let (mut block, mut again) = ([0; 16], [0; 16]);
            key.header.encipher(&mut block);
            same.header.encipher(&mut again);
            assert_eq!(block, again, "both sides agree");
            blocks.push(block);
            let mut body = [0; 32];
            let tag = key.control.seal(&[0; 16], &[], &mut body);
            blocks.push(tag);
            assert!(same.control.open(&[0; 16], &[], &mut body, &tag).is_ok());
        }
    }
    let count = blocks.len();
    blocks.sort_unstable();
    blocks.dedup();
    assert_eq!(blocks.len(), count, "all keys differ");
    // And in truth it does not forget.
    let again = opening::accept(&world.network, &mut ring, opening);
    assert_eq!(again.err(), Some(Dropped::RepeatedOpening));
    world.run(MILLISECOND);
}

/// Nonsense of every kind, well sealed.
fn nonsense(chance: &mut Chance, room: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while bytes.len() < room.min(600) {
        let kind = chance.below(13) as u8;
        let length = match kind {
            1 => 8,
            2 => 5,
            3 => 24,
            4 => 5,
            5 => 4,
            8 | 9 => 16,
            _ => 0,
        };
        bytes.push(kind);
        let start = bytes.len();
        bytes.resize(start + length, 0);
        chance.fill(&mut bytes[start..]);
        // Small numbers are likelier to mean something.
        if length >= 4 && chance.below(2) == 0 {
            bytes[start..start + 4].copy_from_slice(&[0, 0, chance.below(4) as u8, 0]);
        }
        if kind == 1 {
            let body = chance.below(60) as usize;
            bytes[start + 4] = chance.below(9) as u8;
            bytes[start + 5] = chance.below(10) as u8;
            let said = if chance.below(9) == 0 { 60_000 } else { body as u16 };
            bytes[start + 6..start + 8].copy_from_slice(&said.to_be_bytes());
            let start = bytes.len();
            bytes.resize(start + body, 0);
            chance.fill(&mut bytes[start..]);
        }
        if kind == 10 || chance.below(4) == 0 {
            break;
        }
    }
    bytes.truncate(room);
    bytes
}

#[test]
fn nonsense_on_channel_0_ends_nobody_and_is_answered_with_no_more_than_it_cost() {
    let mut chance = Chance::new([31; 32]);
    for side in 0..2 {
        let mut world = World::new(network(&[1, 1], 1, Some(Strategy::None)), 24);
        world.run(Duration::from_secs(1));
        let bystander = world.open(ENTRY, Class::Large);
        let ring = {
            let mut chance = Chance::new([5; 32]);
            let name = world.network.name.clone();
            Keyring::new(world.now, identity_key(&first_mix()), &name, 100, &mut chance)
        };
        // A client of the first mix, or the first mix itself, of the second.
        let connect = |world: &mut World, round: u32| {
            let at = format!("198.51.{}.{}:1", 102 + round / 200, round % 200 + 1);
            match side {
                0 => Puppet::connect(world, &at, first_mix(), None),
                _ => Puppet::connect(world, &at, second_mix(), Some(&ring)),
            }
        };
        let mut puppet = connect(&mut world, 0);
        for round in 1..1500 {
            let size = world.network.large.cell_size - TAG * side;
            let content = nonsense(&mut chance, control_room(size));
            let goodbye = content.contains(&10);
            let sent = puppet.control(&content);
            let before = world.seen.len();
            let _ = puppet.give(&mut world, &sent);
            let back: usize = world.seen[before..]
                .iter()
                .filter(|p| p.to == puppet.at)
                .map(|p| p.bytes.len())
                .sum();
            // Pieces of key lists that are due anyway may leave with the answer.
            let lists = 3 * 2;
            assert!(back <= sent.len() * (1 + lists), "{back} bytes for one cell");
            if goodbye || round % 40 == 0 {
                world.run(10 * MILLISECOND);
                puppet = connect(&mut world, round);
            }
        }
        world.run(Duration::from_secs(1));
        let replies = world.replies.len();
        world.send(ENTRY, bystander, "9.9.9.9:53", b"unmoved");
        world.run(20 * MILLISECOND);
        assert_eq!(world.replies.len(), replies + 1, "{:?}", world.all_dropped());
    }
}

#[test]
fn nonsense_under_every_layer_ends_no_exit_and_no_mix() {
    let mut chance = Chance::new([32; 32]);
    let mut world = World::new(network(&[1, 1], 1, Some(Strategy::None)), 25);
    world.run(Duration::from_secs(1));
    let bystander = world.open(ENTRY, Class::Large);
    let mut client = Puppet::connect(&mut world, "198.51.102.1:1", first_mix(), None);
    let channel = client.open(&mut world, Class::Small, &whole_chain());
    for number in 0..3000u32 {
        let mut cell = vec![0; wire::SMALL];
        let depth = chance.below(3) as usize + 1;
        let at = CELL_OVERHEAD + TAG * (depth - 1);
        match chance.below(3) {
            // Fragments that are almost right, destinations that are almost right.
            0 => {
                let head = [chance.below(4) as u8, chance.below(5) as u8, 1, 64];
                cell[at..at + 4].copy_from_slice(&head);
                chance.fill(&mut cell[at + 4..at + 324]);
                cell[at + 4] = chance.below(6) as u8;
            }
            1 => {
                cell[at..at + 4].copy_from_slice(&[0, 1, 0, chance.below(60) as u8]);
                chance.fill(&mut cell[at + 4..at + 64]);
                cell[at + 4] = chance.below(6) as u8;
            }
            _ => chance.fill(&mut cell[at..]),
        }
        channel::wrap(&channel.hops[..depth], number, &mut cell);
        client.link.encipher(&mut cell, channel.forward, number);
        assert_eq!(client.give(&mut world, &cell), Ok(()));
        if number % 50 == 0 {
            client.listen(&mut world, 10 * MILLISECOND);
        }
    }
    world.run(Duration::from_millis(100));
    let arrivals = world.arrivals.len();
    assert!(arrivals > 0, "some of it was a datagram");
    let replies = world.replies.len();
    world.send(ENTRY, bystander, "9.9.9.9:53", b"unmoved");
    world.run(20 * MILLISECOND);
    assert_eq!(world.replies.len(), replies + 1, "{:?}", world.all_dropped());
}

#[test]
fn a_client_moves_with_the_token_it_was_sent_and_with_no_other() {
    let mut world = World::new(network(&[1, 1], 1, Some(Strategy::None)), 26);
    world.run(Duration::from_secs(1));
    let mut client = Puppet::connect(&mut world, "198.51.102.1:1", first_mix(), None);
    let (old, new) = (client.at, address("203.0.114.77:9"));
    let goes_to = |world: &mut World, client: &mut Puppet| {
        let (before, probe) = (world.seen.len(), client.control(&[6]));
        let _ = world.give(old, first_mix(), &probe);
        world.run(MILLISECOND);
        let answers = world.seen[before..].iter().filter(|p| p.from == first_mix());
        answers.map(|p| p.to).filter(|to| [old, new].contains(to)).collect::<Vec<_>>()
    };
    assert!(goes_to(&mut world, &mut client).iter().all(|to| *to == old));
    // Tokens before any challenge, from there and from here.
    let token = Message::Token { token: [0; 16] }.to_wire();
    for from in [new, old] {
        let cell = client.control(&token);
        assert_eq!(world.give(from, first_mix(), &cell), Ok(()));
    }
    assert!(goes_to(&mut world, &mut client).iter().all(|to| *to == old));
    // The challenge has left for the new address; any other token is void.
    let cell = client.control(&[6]);
    assert_eq!(world.give(new, first_mix(), &cell), Ok(()));
    world.run(MILLISECOND);
    for wrong in [[0; 16], [1; 16], [0xFF; 16]] {
        let cell = client.control(&Message::Token { token: wrong }.to_wire());
        assert_eq!(world.give(new, first_mix(), &cell), Ok(()));
    }
    assert!(goes_to(&mut world, &mut client).iter().all(|to| *to == old));
    // Read with the link's key, it is good.
    client.read = 0;
    let mut token = None;
    for packet in world.seen.iter().filter(|p| p.to == new) {
        let mut cell = packet.bytes.clone();
        let (channel, sequence) = client.link.decipher(&cell).expect("the mix is honest");
        assert_eq!(channel, Id::ZERO);
        let Ok(content) = client.link.open_control(sequence, &mut cell) else { continue };
        if let Ok(Some(Message::Challenge { token: sent })) = Reader(content).next() {
            token = Some(sent);
        }
    }
    let token = token.expect("a challenge was sent there");
    let cell = client.control(&Message::Token { token }.to_wire());
    assert_eq!(world.give(new, first_mix(), &cell), Ok(()));
    let probe = client.control(&[6]);
    let before = world.seen.len();
    assert_eq!(world.give(new, first_mix(), &probe), Ok(()));
    assert!(world.seen[before..].iter().any(|p| p.to == new), "the link has moved");
}

#[test]
fn a_cookie_is_good_at_its_address_only_and_for_two_minutes_at_most() {
    let limits = crate::Limits { openings_before_cookies: 0, ..crate::Limits::default() };
    let mut world = World::with_limits(network(&[1, 1], 1, Some(Strategy::None)), 27, &limits);
    world.run(Duration::from_secs(1));
    let [at, near, other] = ["198.51.102.1:1", "198.51.102.1:2", "203.0.114.1:1"].map(address);
    let mut chance = Chance::new([2; 32]);
    let identity = identity_key(&first_mix()).identity();
    let (knock, _) = opening_of(&mut world, at, first_mix(), None, &mut chance);
    assert_eq!(world.give(at, first_mix(), &knock), Err(Dropped::NeedsCookie));
    let mut answer = mail(&mut world, at).remove(0);
    let answer = wire::Cookie::mut_from_bytes(&mut answer).expect("a cookie");
    let cookie = opening::taste(&identity, answer).expect("readable");
    let mut with_cookie = |world: &mut World, from: SocketAddr| {
        let directory = keys(world, at, first_mix());
        let known = directory.get(world.now.time, &identity).expect("just learned");
        let id = Id::from_wire(0x100);
        let list = &world.network;
        let (bytes, _) =
            opening::open(list, &identity, known, None, id, Some(&cookie), &mut chance);
        world.give(from, first_mix(), &bytes)
    };
    assert_eq!(with_cookie(&mut world, near), Err(Dropped::BadCheck));
    assert_eq!(with_cookie(&mut world, other), Err(Dropped::BadCheck));
    assert_eq!(with_cookie(&mut world, at), Ok(()));
    world.run(Duration::from_secs(55));
    assert_eq!(with_cookie(&mut world, at), Ok(()));
    world.run(Duration::from_secs(70));
    assert_eq!(with_cookie(&mut world, at), Err(Dropped::BadCheck));
}

#[test]
fn a_listed_node_that_signs_list_after_list_is_passed_on_sixty_times_an_hour_at_most() {
    let mut world = World::new(network(&[1, 1], 1, Some(Strategy::None)), 28);
    let mut exit = FalseExit::new(&mut world);
    exit.listen(&mut world, Duration::from_secs(2));
    // What the first mix hears of it, in bytes of large cells from the second.
    let start = world.seen.len();
    let name = world.network.name.clone();
    for number in 1..400u64 {
        let mut later = world.now;
        later.date = later.date + Duration::from_millis(number);
        let key = identity_key(&address(EXIT));
        let ring = Keyring::new(later, key, &name, 1, &mut exit.chance);
        let puppet = exit.puppet();
        puppet.link.sender.send(Parcel::KeyList(ring.list().to_vec().into()));
        puppet.flush(&mut world);
        exit.listen(&mut world, 20 * MILLISECOND);
    }
    assert!(world.dropped(second_mix(), Dropped::TooManyKeyLists) >= 300);
    let told = world.seen[start..].iter();
    let told = told.filter(|p| p.from == second_mix() && p.to == first_mix()).count();
    assert!(told <= 60 * 4, "{told} cells for four hundred lists");
}
