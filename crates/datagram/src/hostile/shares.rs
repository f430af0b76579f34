//! One who takes all he can, and others who must not feel it: places in pools, bytes, links,
//! channels, incomplete set-ups and datagrams.

use mixing::Strategy;

use super::*;
use crate::limits::Limits;
use crate::message::Refusal;

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

fn limits() -> Limits {
    Limits { spare_channels: 0, ..Limits::default() }
}

/// How many of `count` datagrams of the entry's arrive, sent within one period of the pools.
fn arrive(world: &mut World, association: crate::Association, count: u8) -> usize {
    let before = world.arrivals.len();
    for number in 0..count {
        world.send(ENTRY, association, "9.9.9.9:53", &[b'h', number]);
    }
    world.run(2 * SECOND);
    world.arrivals[before..].iter().filter(|arrival| arrival.payload[0] == b'h').count()
}

#[test]
fn a_client_who_floods_the_pools_leaves_every_place_that_another_needs() {
    let limits = Limits { pool: 80, ..limits() };
    let timed = Some(Strategy::Timed { period: 200 * MILLISECOND });
    for channels in [1, 8] {
        let mut world = World::with_limits(network(&[1, 1], 1, timed.clone()), 51, &limits);
        world.run(2 * SECOND);
        let honest = world.open(ENTRY, Class::Small);
        assert_eq!(arrive(&mut world, honest, 1), 1);
        // Two links from one address, with channels on each.
        let mut flooders: Vec<(Puppet, Vec<Opened>)> = (1..=2)
            .map(|port| {
                let at = format!("198.51.102.1:{port}");
                let mut client = Puppet::connect(&mut world, &at, first_mix(), None);
                let open = |_| client.open(&mut world, Class::Small, &whole_chain());
                let opened = (0..channels).map(open).collect();
                (client, opened)
            })
            .collect();
        let mut flood = |world: &mut World, from: u32| {
            for (client, channels) in &mut flooders {
                for (number, channel) in channels.iter().enumerate() {
                    for sequence in 0..200 / channels.len() as u32 {
                        let payload = to_nine(&[b'f', number as u8]);
                        let cell = client.message(world, channel, from + sequence, &payload);
                        let _ = client.give(world, &cell);
                    }
                }
            }
        };
        flood(&mut world, 0);
        let full = world.dropped(first_mix(), Dropped::PoolFull);
        assert!(full >= 300, "{channels}: it is a flood: {full}");
        assert_eq!(arrive(&mut world, honest, 20), 20, "{:?}", world.all_dropped());
        // And when the flood comes second; what comes back for both shares pools as well.
        let before = world.arrivals.len();
        for number in 0..20 {
            world.send(ENTRY, honest, "9.9.9.9:53", &[b'h', number]);
        }
        flood(&mut world, 1_000);
        world.run(2 * SECOND);
        let arrived = world.arrivals[before..].iter().filter(|a| a.payload[0] == b'h').count();
        assert_eq!((arrived, world.replies.len()), (20, 41), "{:?}", world.all_dropped());
    }
}

#[test]
fn a_neighbour_who_floods_the_pools_leaves_places_to_the_others() {
    // Two first mixes lead to one second mix; one of them is bad.
    let limits = Limits { pool: 90, ..limits() };
    let timed = Some(Strategy::Timed { period: 200 * MILLISECOND });
    let mut world = World::with_limits(network(&[2, 1], 1, timed), 52, &limits);
    let bad = mix_address(1, 2);
    world.nodes.remove(&bad);
    world.run(5 * SECOND);
    let honest = world.open(ENTRY, Class::Small);
    assert_eq!(arrive(&mut world, honest, 1), 1);
    let mut chance = Chance::new([7; 32]);
    let (now, name) = (world.now, world.network.name.clone());
    let mut ring = Keyring::new(now, identity_key(&bad), &name, 100, &mut chance);
    let mut mix = Puppet::connect(&mut world, &bad.to_string(), second_mix(), Some(&ring));
    // What it sends on is a client's, with its own layer off.
    let mut chain = Vec::new();
    for node in [second_mix(), address(EXIT)] {
        let identity = identity_key(&node).identity();
        let directory = keys(&mut world, mix.at, node);
        let known = directory.get(now.time, &identity).expect("just learned");
        chain.push((identity, known.key.clone()));
    }
    let mut directory = Directory::default();
    directory.learn(now, &world.network, ring.list()).expect("its own list");
    let own = directory.get(now.time, &ring.identity()).expect("just learned");
    chain.insert(0, (ring.identity(), own.key.clone()));
    let (envelope, hops) = setup::seal(&chain, Class::Small, Lifetime::Long, &mut mix.chance);
    let opened = setup::open(&mut ring, &envelope);
    let opened = opened.unwrap_or_else(|(dropped, _)| panic!("{dropped}"));
    let backward = mix.ask(&mut world, Class::Small, &opened.rest);
    let mut forward = None;
    for _ in 0..100 {
        mix.listen(&mut world, 10 * MILLISECOND);
        for message in mix.said.drain(..) {
            if let Message::Confirm { backward: mine, forward: theirs, .. } = message {
                assert_eq!(mine, backward);
                forward = Some(theirs);
            }
        }
    }
    let forward = forward.expect("the second mix takes it for a listed neighbour");
    for sequence in 0..500 {
        let mut cell = vec![0; wire::cell_size(wire::SMALL, 1)];
        let at = channel::content_at(hops.len() - 1);
        let message = to_nine(b"f");
        let length = (message.len() as u16).into();
        fragment::write(&mut cell[at..], FragmentHead { index: 0, count: 1, length }, &message);
        channel::wrap(&hops[1..], sequence, &mut cell);
        mix.link.encipher(&mut cell, forward, sequence);
        let _ = mix.give(&mut world, &cell);
    }
    let full = world.dropped(second_mix(), Dropped::PoolFull);
    assert!(full >= 400, "it is a flood: {full}");
    // A ninth of the places is left, whatever one neighbour does.
    assert_eq!(arrive(&mut world, honest, 9), 9, "{:?}", world.all_dropped());
}

#[test]
fn a_client_passes_no_more_bytes_than_its_share_and_others_do_not_feel_it() {
    let share = 44_000;
    let limits = Limits { bytes_per_source: share, ..limits() };
    let network = network(&[1, 1], 1, Some(Strategy::None));
    let mut world = World::with_limits(network, 53, &limits);
    world.run(2 * SECOND);
    let honest = world.open(ENTRY, Class::Small);
    assert_eq!(arrive(&mut world, honest, 1), 1);
    let mut clients: Vec<(Puppet, Opened)> = (1..=3)
        .map(|port| {
            let at = format!("198.51.102.1:{port}");
            let mut client = Puppet::connect(&mut world, &at, first_mix(), None);
            let channel = client.open(&mut world, Class::Small, &whole_chain());
            (client, channel)
        })
        .collect();
    world.run(SECOND);
    let before = world.arrivals.len();
    for step in 0..100u32 {
        for (client, channel) in &mut clients {
            for sequence in step * 5..step * 5 + 5 {
                let cell = client.message(&world, channel, sequence, &to_nine(b"f"));
                let _ = client.give(&mut world, &cell);
            }
        }
        world.run(20 * MILLISECOND);
    }
    // 1,500 cells in two seconds; the bucket holds one second's worth more.
    let passed = world.arrivals.len() - before;
    let most = 3 * share as usize / wire::SMALL;
    assert!((most - 10..=most).contains(&passed), "{passed} of {most}");
    assert_eq!(world.dropped(first_mix(), Dropped::TooFast) as usize, 1_500 - passed);
    // What comes back for it is limited as well, at the first mix, before it reaches the client.
    assert_eq!(arrive(&mut world, honest, 20), 20);
}

#[test]
fn what_comes_back_for_a_client_is_limited_as_what_it_sends() {
    let share = 44_000;
    let limits = Limits { bytes_per_source: share, ..limits() };
    let network = network(&[1, 1], 1, Some(Strategy::None));
    let mut world = World::with_limits(network, 54, &limits);
    world.run(2 * SECOND);
    let mut greedy = Puppet::connect(&mut world, "198.51.102.1:1", first_mix(), None);
    let channel = greedy.open(&mut world, Class::Small, &whole_chain());
    let cell = greedy.message(&world, &channel, 0, &to_nine(b"ask"));
    assert_eq!(greedy.give(&mut world, &cell), Ok(()));
    greedy.listen(&mut world, SECOND);
    greedy.cells.clear();
    let flow = world.arrivals[0].flow;
    for _ in 0..300 {
        world.with_exit(EXIT, |exit, now, out| {
            let sent = exit.from_outside(now, flow, address("9.9.9.9:53"), &[1; 100], out);
            assert_eq!(sent, Ok(()));
        });
    }
    greedy.listen(&mut world, 100 * MILLISECOND);
    let got = greedy.cells.len();
    assert!((90..=115).contains(&got), "{got} of 300");
    assert_eq!(world.dropped(first_mix(), Dropped::TooFast) as usize, 300 - got);
    let honest = world.open(ENTRY, Class::Small);
    assert_eq!(arrive(&mut world, honest, 20), 20);
}

#[test]
fn a_client_with_many_links_has_the_channels_of_one_source_and_is_told_so() {
    let limits = Limits { channels_per_source: 5, ..limits() };
    let network = network(&[1, 1], 1, Some(Strategy::None));
    let mut world = World::with_limits(network, 55, &limits);
    world.run(2 * SECOND);
    let mut clients: Vec<Puppet> = (1..=3)
        .map(|port| Puppet::connect(&mut world, &format!("198.51.102.1:{port}"), first_mix(), None))
        .collect();
    for number in 0..5 {
        clients[number % 3].open(&mut world, Class::Small, &whole_chain());
    }
    let client = &mut clients[2];
    let (envelope, hops) = client.set_up(&mut world, Class::Small, &whole_chain());
    let backward = client.ask(&mut world, Class::Small, &envelope);
    client.listen(&mut world, SECOND);
    let (id, sequence, mut cell) = client.cells.remove(0);
    assert_eq!(id, backward);
    let word = channel::unwrap(&hops, sequence, &mut cell).expect("a word");
    let reason = Refusal::Overloaded;
    assert!(matches!(word, channel::Unwrapped::Word { hop: 0, reason: r } if r == reason));
    assert_eq!(world.dropped(first_mix(), Dropped::ChannelsFull), 1);
    let honest = world.open(ENTRY, Class::Small);
    assert_eq!(arrive(&mut world, honest, 3), 3);
    // Its channels of another link are over, and there is room for further ones.
    clients[0].say(&mut world, &Message::Goodbye);
    world.run(SECOND);
    clients[2].open(&mut world, Class::Small, &whole_chain());
}

#[test]
fn one_source_cannot_take_all_links_nor_all_room_for_set_ups() {
    let limits = Limits { links: 20, parcels: 20, ..limits() };
    let network = network(&[1, 1], 1, Some(Strategy::None));
    let mut world = World::with_limits(network, 56, &limits);
    world.run(2 * SECOND);
    let mut taken = 0;
    let mut chance = Chance::new([9; 32]);
    let at = address("198.51.102.1:1");
    for _ in 0..20 {
        let (opening, _) = opening_of(&mut world, at, first_mix(), None, &mut chance);
        taken += usize::from(world.give(at, first_mix(), &opening).is_ok());
        world.run(100 * MILLISECOND);
    }
    assert!((8..=10).contains(&taken), "{taken} of 20 links");
    let mut others: Vec<Puppet> = (1..=3)
        .map(|number| {
            Puppet::connect(&mut world, &format!("198.51.103.{number}:1"), first_mix(), None)
        })
        .collect();
    // One of them begins set-ups that never end.
    let taken: Vec<_> = (0..20)
        .flat_map(|parcel| {
            let piece = Message::Piece { parcel, index: 0, count: 2, bytes: b"half" };
            others[0].say(&mut world, &piece)
        })
        .collect();
    assert_eq!(taken.iter().filter(|taken| taken.is_ok()).count(), 10);
    assert_eq!(taken[10..], [Err(Dropped::ParcelsFull); 10]);
    others[1].open(&mut world, Class::Small, &whole_chain());
    let honest = world.open(ENTRY, Class::Small);
    assert_eq!(arrive(&mut world, honest, 3), 3);
}

#[test]
fn channels_that_fill_the_room_for_fragments_leave_some_for_the_next() {
    let limits = Limits { reassembly_bytes: 20 * 640, ..limits() };
    let network = network(&[1, 1], 1, Some(Strategy::None));
    let mut world = World::with_limits(network, 57, &limits);
    world.run(2 * SECOND);
    let mut client = Puppet::connect(&mut world, "198.51.102.1:1", first_mix(), None);
    let channel = client.open(&mut world, Class::Small, &whole_chain());
    let head = FragmentHead { index: 0, count: 2, length: 320.into() };
    for number in 0..16 {
        let cell = client.cell(&world, &channel, 2 * number, head, &[1; 320]);
        assert_eq!(client.give(&mut world, &cell), Ok(()));
    }
    world.run(100 * MILLISECOND);
    assert_eq!(world.dropped(address(EXIT), Dropped::FragmentsFull), 6);
    let honest = world.open(ENTRY, Class::Small);
    world.send(ENTRY, honest, "9.9.9.9:53", &[7; 500]);
    assert!(world.run_until(SECOND, |world| world.replies.len() == 1), "{:?}", world.all_dropped());
}
