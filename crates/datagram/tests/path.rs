//! The path: entry → mixes → exit → destination, and back.

mod common;

use std::time::Duration;

use common::*;
use datagram::*;
use mixing::Strategy;

#[test]
fn a_datagram_passes_every_length_of_chain_and_its_reply_comes_back() {
    for mixes in 1..=5usize {
        for class in Class::ALL {
            let mut world = World::new(network(&vec![1; mixes], 1, None), mixes as u8);
            let association = world.open(ENTRY, class);
            world.send(ENTRY, association, "9.9.9.9:53", b"a question");
            assert!(
                world.run_until(SOON, |world| !world.replies.is_empty()),
                "{mixes} mixes, {class}: {:?}",
                world.all_dropped()
            );
            assert_eq!(world.arrivals[0].payload, b"a question");
            assert_eq!(world.arrivals[0].to, address("9.9.9.9:53"));
            let reply = (association, address("9.9.9.9:53"), b"a question".to_vec());
            assert_eq!(world.replies, [reply]);
            assert!(world.all_dropped().is_empty(), "{:?}", world.all_dropped());
        }
    }
}

#[test]
fn datagrams_of_every_length_arrive_whole_in_both_classes() {
    let mut world = World::new(network(&[1, 1, 1], 1, Some(Strategy::None)), 1);
    for class in Class::ALL {
        let association = world.open(ENTRY, class);
        for length in [0, 1, 319, 320, 321, 1280, 1284, 1472, 9000, 65_501] {
            let payload: Vec<u8> = (0..length).map(|i| (i * 31 + length) as u8).collect();
            world.replies.clear();
            world.send(ENTRY, association, "[2620:fe::fe]:9", &payload);
            assert!(world.run_until(SOON, |world| !world.replies.is_empty()), "{class} {length}");
            assert_eq!(world.replies[0].2, payload);
        }
    }
    assert!(world.all_dropped().is_empty(), "{:?}", world.all_dropped());
}

#[test]
fn two_entries_and_two_chains_work_side_by_side() {
    let mut world = World::new(network(&[2, 2, 2], 2, None), 9);
    let other = "10.0.9.2:700";
    world.add_entry(address(other), &Limits::default());
    let associations: Vec<_> = [ENTRY, other]
        .iter()
        .flat_map(|entry| {
            (0..8).map(|_| (*entry, world.open(entry, Class::Large))).collect::<Vec<_>>()
        })
        .collect();
    for (number, (entry, association)) in associations.iter().enumerate() {
        world.send(entry, *association, "9.9.9.9:7", &[number as u8; 40]);
    }
    assert!(world.run_until(SOON, |world| world.replies.len() == 16), "{:?}", world.all_dropped());
    let mut payloads: Vec<u8> = world.replies.iter().map(|(_, _, payload)| payload[0]).collect();
    payloads.sort_unstable();
    assert_eq!(payloads, (0..16).collect::<Vec<u8>>());
}

#[test]
fn a_closed_association_leaves_nothing_behind_on_the_whole_chain() {
    let mut world = World::new(network(&[1, 1, 1], 1, None), 2);
    let association = world.open(ENTRY, Class::Small);
    world.send(ENTRY, association, "9.9.9.9:53", b"x");
    assert!(world.run_until(SOON, |world| !world.replies.is_empty()));
    world.with_entry(ENTRY, |entry, now, out| entry.close(now, association, out));
    world.run(Duration::from_secs(1));
    assert_eq!(world.gone.len(), 1);
    for at in world.nodes.keys() {
        assert_eq!(world.figures(*at).channels, 0, "{at}");
    }
}

#[test]
fn names_are_resolved_at_the_exit_and_every_waiting_datagram_follows() {
    let mut world = World::new(network(&[1, 1], 1, None), 3);
    let association = world.open(ENTRY, Class::Large);
    for port in [1, 2] {
        world.send(ENTRY, association, &format!("example.org:{port}"), &[port as u8]);
    }
    assert!(world.run_until(SOON, |world| !world.questions.is_empty()));
    let (exit, question, name) = world.questions[0].clone();
    assert_eq!((exit, name.as_str()), (address(EXIT), "example.org"));
    let answer = ["127.0.0.1".parse().expect("valid"), "9.8.7.6".parse().expect("valid")];
    world.with_exit(EXIT, |exit, now, out| exit.resolved(now, question, &answer, out));
    assert!(world.run_until(SOON, |world| world.replies.len() == 2));
    assert_eq!(world.questions.len(), 1, "one question for one name");
    assert!(world.arrivals.iter().all(|arrival| arrival.to.ip().to_string() == "9.8.7.6"));
}
