//! The entry: spare channels, and a network list that changes while it runs.

mod common;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use common::*;
use datagram::*;
use mixing::Strategy;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// How long a first datagram takes from its association's opening to its answer.
fn first_answer(world: &mut World) -> Duration {
    let began = world.now.time;
    let answered = world.replies.len();
    let association = world.open(ENTRY, Class::Large);
    world.send(ENTRY, association, "9.9.9.9:53", b"first");
    assert!(world.run_until(SOON, |world| world.replies.len() > answered));
    world.now.time - began
}

fn with_spares(seed: u8) -> World {
    let network = network(&[1, 1, 1], 1, Some(Strategy::None));
    World::with_limits(network, seed, &Limits::default())
}

#[test]
fn an_association_that_takes_a_spare_channel_waits_for_no_set_up() {
    let mut world = with_spares(1);
    let without = first_answer(&mut world);
    world.run(3 * SECOND);
    let with = first_answer(&mut world);
    // Three mixes hold a set-up for 50 ms each.
    assert!(without >= Duration::from_millis(150), "{without:?}");
    assert!(with <= Duration::from_millis(10), "{with:?}");
}

#[test]
fn a_spare_outlives_every_idle_limit_and_reaches_no_destination() {
    let mut world = with_spares(2);
    world.run(5 * SECOND);
    let opened = world.figures(address(EXIT)).channels_opened;
    assert_eq!(opened, Limits::default().spare_channels as u64);
    world.run(30 * MINUTE);
    assert_eq!(world.figures(address(EXIT)).channels_opened, opened, "kept, not made anew");
    assert!(first_answer(&mut world) <= Duration::from_millis(10));
    assert_eq!(world.arrivals.len(), 1, "dummies end at the exit");
    assert!(world.all_dropped().is_empty(), "{:?}", world.all_dropped());
}

/// The nodes that a datagram of an open association meets, seen by its cells' size.
fn chain_of(world: &mut World, association: Association) -> BTreeSet<SocketAddr> {
    world.seen.clear();
    world.echo = false;
    world.send(ENTRY, association, "9.9.9.9:53", b"where?");
    world.run(SECOND / 10);
    let small = |packet: &&Packet| (300..=440).contains(&packet.bytes.len());
    world.seen.iter().filter(small).map(|packet| packet.to).collect()
}

#[test]
fn associations_of_different_isolation_share_no_chain_where_there_is_a_choice() {
    let mut world = World::new(network(&[2, 2], 2, Some(Strategy::None)), 3);
    world.run(3 * SECOND);
    let mut chains = BTreeSet::new();
    for isolation in 0..8 {
        let now = world.now;
        let association = world.entry(ENTRY).open(now, Class::Small, isolation).expect("room");
        world.run(3 * SECOND);
        let chain = chain_of(&mut world, association);
        assert_eq!(chain.len(), 3, "two mixes and an exit");
        assert!(chains.insert(chain), "isolation {isolation} shares a chain");
    }
    // All eight chains are taken: the ninth shares one and is served all the same.
    let now = world.now;
    let association = world.entry(ENTRY).open(now, Class::Small, 8).expect("room");
    world.run(3 * SECOND);
    assert!(chains.contains(&chain_of(&mut world, association)));
}

#[test]
fn a_node_that_joins_the_list_is_used_and_one_that_leaves_it_is_not() {
    let whole = network(&[1, 2, 1], 2, Some(Strategy::None));
    let without = |names: [&str; 2]| {
        let mut list = whole.clone();
        list.nodes.retain(|node| !names.contains(&node.name.as_str()));
        list
    };
    let mut world = World::new(without(["mix-2-2", "exit-2"]), 4);
    first_answer(&mut world);

    world.network = whole.clone();
    for joined in [mix_address(2, 2), address("10.0.1.2:700")] {
        world.start(joined, &Limits::default());
    }
    world.renew(&whole).expect("only nodes were added");
    assert!(world.run_until(5 * SECOND, |world| world.figures(address(ENTRY)).nodes_known == 6));

    for left in [mix_address(2, 1), address(EXIT)] {
        world.nodes.remove(&left);
    }
    world.renew(&without(["mix-2-1", "exit-1"])).expect("only nodes were removed");
    world.arrivals.clear();
    world.replies.clear();
    let association = world.open(ENTRY, Class::Large);
    for _ in 0..50 {
        world.send(ENTRY, association, "9.9.9.9:53", b"again");
        world.run(SECOND / 10);
    }
    assert!(world.replies.len() > 10, "{:?}", world.all_dropped());
    assert!(world.arrivals.iter().all(|arrival| arrival.exit == address("10.0.1.2:700")));
}

#[test]
fn a_list_that_changes_what_only_a_start_can_change_is_refused_and_the_old_one_serves_on() {
    let list = network(&[1, 1], 1, None);
    let mut world = World::new(list.clone(), 5);
    let mut other_strategy = list.clone();
    other_strategy.small.strategy = Strategy::None;
    let mut other_name = list.clone();
    other_name.name = "another".into();
    for changed in [other_strategy, other_name] {
        assert_eq!(world.renew(&changed), Err(Error::NeedsRestart));
    }
    first_answer(&mut world);
}

#[test]
fn a_first_mix_that_becomes_something_else_is_left_alone() {
    let list = network(&[2, 1], 1, Some(Strategy::None));
    let mut world = World::new(list.clone(), 6);
    first_answer(&mut world);
    let moved = mix_address(1, 2);
    world.nodes.remove(&moved);
    for node in &mut world.network.nodes {
        if node.address == moved {
            node.role = Role::Mix(Tier::new(2).expect("1 to 5"));
        }
    }
    let changed = world.network.clone();
    world.renew(&changed).expect("only a role changed");
    world.start(moved, &Limits::default());
    world.seen.clear();
    world.run(10 * SECOND);
    let knocked = |packet: &&Packet| packet.from == address(ENTRY) && packet.to == moved;
    assert_eq!(world.seen.iter().filter(knocked).count(), 0);
    first_answer(&mut world);
}

#[test]
fn the_only_first_mix_left_serves_again_as_soon_as_it_was_restarted() {
    let mut world = World::new(network(&[3], 1, Some(Strategy::None)), 7);
    world.run(SECOND);
    for dead in [2, 3] {
        world.nodes.remove(&mix_address(1, dead));
    }
    world.run(40 * SECOND);
    let association = world.open(ENTRY, Class::Large);
    world.send(ENTRY, association, "9.9.9.9:53", b"before");
    assert!(world.run_until(SOON, |world| world.replies.len() == 1));
    // It says why it ends the channel, and is not to be tried for a while where there is another.
    world.shutdown(mix_address(1, 1));
    world.run(SECOND);
    world.start(mix_address(1, 1), &Limits::default());
    world.run(3 * SECOND);
    world.send(ENTRY, association, "9.9.9.9:53", b"after");
    assert!(world.run_until(SOON, |world| world.replies.len() == 2), "{:?}", world.notices);
}

#[test]
fn where_no_chosen_first_mix_answers_a_further_one_stands_in_until_one_is_back() {
    let mut world = World::new(network(&[9, 1], 1, Some(Strategy::None)), 7);
    world.run(2 * SECOND);
    let association = world.open(ENTRY, Class::Small);
    world.send(ENTRY, association, "9.9.9.9:53", b"first");
    assert!(world.run_until(SOON, |world| world.replies.len() == 1));
    let asked = |world: &World, from: usize| -> BTreeSet<SocketAddr> {
        let sent = world.seen[from..].iter().filter(|packet| packet.from == address(ENTRY));
        sent.map(|packet| packet.to).collect()
    };
    let chosen = asked(&world, 0);
    assert_eq!(chosen.len(), entry::FIRST_MIXES);
    for mix in &chosen {
        world.nodes.remove(mix);
    }
    // Nobody waits: nobody else is asked.
    world.run(5 * entry::FURTHER_AFTER);
    assert_eq!(asked(&world, 0), chosen);
    let start = world.now.time;
    while world.replies.len() == 1 {
        assert!(world.now.time - start < entry::FURTHER_AFTER + 5 * SECOND, "{:?}", world.notices);
        world.send(ENTRY, association, "9.9.9.9:53", b"again");
        world.run(SECOND / 10);
    }
    assert!(world.now.time - start >= entry::FURTHER_AFTER - SECOND);
    assert_eq!(asked(&world, 0).len(), entry::FIRST_MIXES + 1);
    // One of the first is back: what begins now begins there, and the other is left.
    let back = *chosen.first().expect("three");
    world.start(back, &Limits::default());
    world.run(3 * SECOND);
    let seen = world.seen.len();
    let other = world.open(ENTRY, Class::Small);
    world.send(ENTRY, other, "9.9.9.9:53", b"other");
    let replies = world.replies.len();
    assert!(world.run_until(SOON, |world| world.replies.len() > replies));
    let opened = world.seen[seen..].iter().filter(|packet| packet.from == address(ENTRY));
    let pieces: BTreeSet<SocketAddr> =
        opened.filter(|p| p.bytes.len() == wire::LARGE).map(|p| p.to).collect();
    assert!(pieces.contains(&back), "{pieces:?}");
    world.with_entry(ENTRY, |entry, now, out| entry.close(now, association, out));
    world.run(60 * SECOND);
    let seen = world.seen.len();
    world.run(60 * SECOND);
    assert!(asked(&world, seen).is_subset(&chosen), "the one that stood in is left alone");
}

#[test]
fn an_entry_that_is_cut_off_tries_no_more_than_a_few_further_mixes() {
    let mut world = World::new(network(&[20, 1], 1, Some(Strategy::None)), 8);
    world.run(2 * SECOND);
    world.tap = Box::new(|packet| packet.from != address(ENTRY));
    let association = world.open(ENTRY, Class::Small);
    for _ in 0..200 {
        world.send(ENTRY, association, "9.9.9.9:53", b"anybody?");
        world.run(SECOND);
    }
    let sent = world.seen.iter().filter(|packet| packet.from == address(ENTRY));
    let asked: BTreeSet<SocketAddr> = sent.map(|packet| packet.to).collect();
    assert_eq!(asked.len(), entry::FIRST_MIXES + entry::FURTHER_MOST);
    world.tap = Box::new(|_| true);
    let start = world.now.time;
    while world.replies.is_empty() {
        assert!(world.now.time - start < 5 * SECOND, "{:?}", world.notices);
        world.send(ENTRY, association, "9.9.9.9:53", b"there again");
        world.run(SECOND / 10);
    }
}

#[test]
fn an_entry_that_notices_its_move_uses_nothing_that_was_seen_before() {
    let mut world = World::new(network(&[1, 1], 1, Some(Strategy::None)), 9);
    world.run(2 * SECOND);
    let call = world.open(ENTRY, Class::Small);
    let quiet = world.open(ENTRY, Class::Large);
    for association in [call, quiet] {
        world.send(ENTRY, association, "9.9.9.9:53", b"before");
    }
    assert!(world.run_until(SOON, |world| world.replies.len() == 2));
    let links = |world: &World, from: usize| -> BTreeSet<[u8; 4]> {
        let cells = world.seen[from..].iter();
        let cells = cells.filter(|p| p.from == address(ENTRY) || p.to == address(ENTRY));
        let ids = cells.map(|packet| *packet.bytes.first_chunk().expect("a cell"));
        ids.filter(|id| *id != [0; 4]).collect()
    };
    let before = links(&world, 0);
    let seen = world.seen.len();
    world.with_entry(ENTRY, |entry, now, out| entry.moved(now, out));
    for number in 0..100 {
        world.send(ENTRY, call, "9.9.9.9:53", &[number]);
        world.run(SECOND / 50);
    }
    let said: BTreeSet<&[u8]> = world.replies.iter().map(|reply| &reply.2[..]).collect();
    assert_eq!(said.len(), 101, "nothing of the call is lost: {:?}", world.all_dropped());
    let after: BTreeSet<_> = links(&world, seen);
    let theirs = |packet: &&Packet| packet.from == address(ENTRY);
    let sent: BTreeSet<[u8; 4]> = world.seen[seen..]
        .iter()
        .filter(theirs)
        .map(|packet| *packet.bytes.first_chunk().expect("a cell"))
        .collect();
    assert!(sent.is_disjoint(&before), "{sent:?} {before:?}");
    assert!(!after.is_empty());
    // Who was quiet has a channel again before it speaks.
    let seen = world.seen.len();
    world.send(ENTRY, quiet, "9.9.9.9:53", b"after");
    assert_eq!(world.seen.len(), seen + 1, "it leaves at once");
    world.run(SECOND);
    assert_eq!(world.replies.last().expect("an answer").2, b"after");
}
