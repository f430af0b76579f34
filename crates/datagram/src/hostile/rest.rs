//! What is left when everybody has gone, and what one client may take while he is there.

use std::collections::BTreeMap;

use mixing::Strategy;

use super::*;
use crate::limits::Limits;
use crate::message::Refusal;

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// Everything that every node holds.
fn held(world: &World) -> BTreeMap<SocketAddr, Vec<(&'static str, usize)>> {
    world
        .nodes
        .iter()
        .map(|(at, core)| {
            let held = match core {
                Core::Entry(entry) => entry.held(),
                Core::Mix(mix) => mix.held(),
                Core::Exit(exit) => exit.held(),
            };
            (*at, held)
        })
        .collect()
}

fn quiet(strategy: Option<Strategy>, seed: u8) -> World {
    let mut world = World::new(network(&[1, 1], 1, strategy), seed);
    world.run(2 * SECOND);
    world
}

#[test]
fn ten_thousand_channels_opened_and_closed_leave_every_table_at_its_resting_size() {
    let mut world = World::new(network(&[1], 1, Some(Strategy::None)), 1);
    world.run(2 * SECOND);
    let resting = held(&world);
    let mut chance = Chance::new([1; 32]);
    for round in 0..100 {
        let associations: Vec<_> =
            (0..100).map(|number| world.open(ENTRY, Class::ALL[number % 2])).collect();
        for association in &associations {
            // Some are closed before they were used, some before they stood.
            if chance.below(4) > 0 {
                world.send(ENTRY, *association, "9.9.9.9:53", &[round; 400]);
            }
        }
        world.run((50 + chance.below(400)) as u32 * MILLISECOND);
        // What was on the wire is lost, late or twice, so that windows take bits.
        let mut wire: Vec<Packet> = world.wire.drain(..).collect();
        chance.shuffle(&mut wire);
        world.wire.extend(wire.clone());
        world.wire.extend(wire);
        for association in associations {
            world.with_entry(ENTRY, |entry, now, out| entry.close(now, association, out));
        }
        world.seen.clear();
        world.arrivals.clear();
    }
    world.run(30 * SECOND);
    assert_eq!(held(&world), resting, "{:?}", world.all_dropped());
    let exit = world.figures(address(EXIT));
    assert!(exit.channels_opened > 5_000, "{}", exit.channels_opened);
    assert_eq!(exit.channels_opened, exit.channels_ended);
}

#[test]
fn channels_that_end_in_every_other_way_leave_nothing_either() {
    let mut world = quiet(None, 2);
    let resting = held(&world);
    // Their exit dies while they are set up and while they talk; their entry is gone for good.
    for round in 0..6u32 {
        let associations: Vec<_> =
            (0..30).map(|number| world.open(ENTRY, Class::ALL[number % 2])).collect();
        for association in &associations {
            world.send(ENTRY, *association, "name.example:53", &[3; 5000]);
        }
        world.run(60 * round * MILLISECOND);
        world.start(
            [address(EXIT), second_mix(), first_mix()][round as usize % 3],
            &Limits::default(),
        );
        world.run(SECOND);
        for association in associations {
            world.with_entry(ENTRY, |entry, now, out| entry.close(now, association, out));
        }
    }
    world.run(60 * SECOND);
    for (_, question, _) in std::mem::take(&mut world.questions) {
        world.with_exit(EXIT, |exit, now, out| exit.resolved(now, question, &[], out));
    }
    world.run(60 * SECOND);
    assert_eq!(held(&world), resting, "{:?}", world.all_dropped());
}

#[test]
fn a_client_who_vanishes_is_forgotten() {
    let mut world = quiet(Some(Strategy::None), 3);
    let resting = held(&world);
    for number in 1..=20 {
        let at = format!("198.51.102.{number}:1");
        let mut client = Puppet::connect(&mut world, &at, first_mix(), None);
        let channel = client.open(&mut world, Class::Small, &whole_chain());
        let head = FragmentHead { index: 0, count: 2, length: 320.into() };
        let cell = client.cell(&world, &channel, 5, head, &[1; 320]);
        assert_eq!(client.give(&mut world, &cell), Ok(()));
        let piece = Message::Piece { parcel: 77, index: 0, count: 8, bytes: &[1; 1000] };
        client.say(&mut world, &piece);
    }
    world.run(300 * SECOND);
    assert_eq!(held(&world), resting, "{:?}", world.all_dropped());
}

#[test]
fn one_source_cannot_take_more_than_its_share_of_set_ups() {
    let share = 20;
    let limits =
        Limits { set_ups_per_source: share as u32, spare_channels: 0, ..Limits::default() };
    let network = network(&[1, 1], 1, Some(Strategy::None));
    let mut world = World::with_limits(network, 4, &limits);
    world.run(2 * SECOND);
    // Four links from one address; every set-up costs the mix an envelope.
    let mut clients: Vec<Puppet> = (1..=4)
        .map(|port| {
            let at = format!("198.51.102.1:{port}");
            Puppet::connect(&mut world, &at, first_mix(), None)
        })
        .collect();
    let honest = world.open(ENTRY, Class::Large);
    for _ in 0..20 {
        for client in &mut clients {
            let mut envelope = vec![0; wire::set_up_size(0)];
            client.chance.fill(&mut envelope);
            client.ask(&mut world, Class::Small, &envelope);
            client.hear(&mut world);
        }
    }
    for client in &mut clients {
        client.listen(&mut world, 20 * MILLISECOND);
    }
    world.send(ENTRY, honest, "9.9.9.9:53", b"me too");
    assert!(world.run_until(SECOND, |world| !world.replies.is_empty()));
    let worked = world.dropped(first_mix(), Dropped::ForgedSetUp);
    assert!((share..=share + share / 2).contains(&worked), "{worked} envelopes tried");
    let refused = world.dropped(first_mix(), Dropped::TooManySetUps);
    assert_eq!(worked + refused, 80);
}

#[test]
fn a_stale_key_is_refused_in_the_name_of_the_hop_before() {
    let mut world = quiet(Some(Strategy::None), 5);
    let mut client = Puppet::connect(&mut world, "198.51.102.1:1", first_mix(), None);
    let (envelope, hops) = client.set_up(&mut world, Class::Small, &whole_chain());
    world.start(address(EXIT), &Limits::default());
    // The second mix notices, and opens a link under the new key.
    client.listen(&mut world, 25 * SECOND);
    client.cells.clear();
    let backward = client.ask(&mut world, Class::Small, &envelope);
    client.listen(&mut world, SECOND);
    let (id, sequence, mut cell) = client.cells.remove(0);
    assert_eq!(id, backward);
    let word = channel::unwrap(&hops, sequence, &mut cell).expect("a word");
    let reason = Refusal::UnknownKey;
    assert!(matches!(word, channel::Unwrapped::Word { hop: 1, reason: r } if r == reason));
    assert_eq!(world.dropped(address(EXIT), Dropped::ForgedSetUp), 1);
    assert_eq!(world.figures(first_mix()).channels, 0);
}

#[test]
fn a_replayed_set_up_opens_nothing_also_after_a_restart() {
    let mut world = quiet(Some(Strategy::None), 6);
    let mut client = Puppet::connect(&mut world, "198.51.102.1:1", first_mix(), None);
    let (envelope, _) = client.set_up(&mut world, Class::Small, &whole_chain());
    for _ in 0..2 {
        client.ask(&mut world, Class::Small, &envelope);
        client.listen(&mut world, SECOND);
    }
    assert_eq!(world.figures(first_mix()).channels_opened, 1);
    assert_eq!(world.dropped(first_mix(), Dropped::RepeatedSetUp), 1);
    // Over another link of somebody else's as well.
    let mut thief = Puppet::connect(&mut world, "203.0.114.9:1", first_mix(), None);
    thief.ask(&mut world, Class::Small, &envelope);
    thief.listen(&mut world, SECOND);
    assert_eq!(world.dropped(first_mix(), Dropped::RepeatedSetUp), 2);
    assert!(!thief.said.iter().any(|said| matches!(said, Message::Confirm { .. })));
    world.start(first_mix(), &Limits::default());
    world.run(3 * SECOND);
    let mut thief = Puppet::connect(&mut world, "203.0.114.9:1", first_mix(), None);
    thief.ask(&mut world, Class::Small, &envelope);
    thief.listen(&mut world, SECOND);
    assert_eq!(world.dropped(first_mix(), Dropped::ForgedSetUp), 1);
    assert_eq!(world.figures(first_mix()).channels_opened, 0);
}

#[test]
fn strangers_who_take_all_links_keep_no_mix_from_its_next_hop() {
    let limits = Limits { links: 3, spare_channels: 0, ..Limits::default() };
    let network = network(&[1, 1], 1, Some(Strategy::None));
    let mut world = World::with_limits(network, 7, &limits);
    // The next hop is away when the mix starts, and strangers come first.
    world.nodes.remove(&second_mix());
    world.run(SECOND);
    let mut chance = Chance::new([8; 32]);
    let mut number = 0;
    let mut knock = |world: &mut World| {
        number += 1;
        let stranger = address(&format!("198.51.{}.{}:1", number / 250, number % 250));
        let (opening, _) = opening_of(world, stranger, first_mix(), None, &mut chance);
        world.give(stranger, first_mix(), &opening)
    };
    assert_eq!(knock(&mut world), Ok(()));
    assert_eq!(knock(&mut world), Ok(()));
    assert_eq!(knock(&mut world), Err(Dropped::LinksFull));
    world.start(second_mix(), &limits);
    let association = world.open(ENTRY, Class::Small);
    let start = world.now.time;
    while world.replies.is_empty() {
        assert!(world.now.time - start < 6 * SECOND, "{:?}", world.all_dropped());
        let _ = knock(&mut world);
        world.send(ENTRY, association, "9.9.9.9:53", b"through");
        world.run(100 * MILLISECOND);
    }
}

#[test]
fn a_key_is_accepted_ten_minutes_after_its_hour_and_then_no_longer() {
    let mut world = quiet(Some(Strategy::None), 8);
    let mut early = Puppet::connect(&mut world, "198.51.102.1:1", first_mix(), None);
    let envelopes: Vec<Vec<u8>> =
        (0..3).map(|_| early.set_up(&mut world, Class::Small, &whole_chain()).0).collect();
    let confirmed = |world: &mut World, number: u8, envelope: &[u8]| {
        let at = format!("198.51.102.{number}:1");
        let mut client = Puppet::connect(world, &at, first_mix(), None);
        client.ask(world, Class::Small, envelope);
        client.listen(world, SECOND);
        client.said.iter().any(|said| matches!(said, Message::Confirm { .. }))
    };
    world.run(3590 * SECOND);
    assert!(confirmed(&mut world, 2, &envelopes[0]), "within the hour");
    world.run(590 * SECOND);
    assert!(confirmed(&mut world, 3, &envelopes[1]), "{:?}", world.all_dropped());
    // And what was opened with it stays remembered as long.
    assert!(!confirmed(&mut world, 4, &envelopes[0]));
    assert_eq!(world.dropped(first_mix(), Dropped::RepeatedSetUp), 1);
    world.run(30 * SECOND);
    assert!(!confirmed(&mut world, 5, &envelopes[2]));
    assert_eq!(world.dropped(first_mix(), Dropped::ForgedSetUp), 1);
}

#[test]
fn set_ups_that_wait_for_a_node_which_leaves_the_list_are_refused_and_forgotten() {
    let mut world = World::new(network(&[1], 2, Some(Strategy::None)), 9);
    world.run(2 * SECOND);
    let gone = address("10.0.1.2:700");
    world.nodes.remove(&gone);
    world.run(40 * SECOND);
    let waiting = |world: &World| {
        let held = held(world).remove(&first_mix()).expect("it lives");
        held.iter().find(|(name, _)| *name == "set-ups without a link").expect("it has a name").1
    };
    let associations: Vec<_> = (0..8).map(|_| world.open(ENTRY, Class::Large)).collect();
    for association in associations {
        world.send(ENTRY, association, "9.9.9.9:53", b"waits");
    }
    assert!(world.run_until(2 * SECOND, |world| waiting(world) > 0));
    world.network.nodes.retain(|node| node.address != gone);
    let network = world.network.clone();
    world.renew(&network).expect("only a node left");
    assert_eq!(waiting(&world), 0);
    assert!(world.run_until(2 * SECOND, |world| world.replies.len() == 8), "{:?}", world.notices);
}
