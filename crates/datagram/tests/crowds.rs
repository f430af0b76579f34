//! Crowds, losses, refusals and limits: what a user sees when something is full, gone or lost.

mod common;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use common::*;
use datagram::*;
use mixing::{Chance, Strategy};

const SECOND: Duration = Duration::from_secs(1);
const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND_EXIT: &str = "10.0.1.2:700";

fn limits() -> Limits {
    Limits { spare_channels: 0, ..Limits::default() }
}

#[test]
fn a_thousand_associations_at_the_same_moment_are_each_answered() {
    let mut world = World::new(network(&[1, 1, 1], 1, None), 1);
    world.run(SECOND);
    let associations: Vec<Association> =
        (0..1000).map(|number| world.open(ENTRY, Class::ALL[number % 2])).collect();
    for packet in 0..3u8 {
        for association in &associations {
            world.send(ENTRY, *association, "9.9.9.9:53", &[packet; 30]);
        }
    }
    assert!(
        world.run_until(8 * SECOND, |world| world.replies.len() == 3000),
        "{} of 3,000: {:?}",
        world.replies.len(),
        world.all_dropped()
    );
    let answered: BTreeSet<Association> = world.replies.iter().map(|reply| reply.0).collect();
    assert_eq!(answered.len(), 1000);
    assert!(world.all_dropped().is_empty(), "{:?}", world.all_dropped());
}

#[test]
fn lost_pieces_of_set_ups_are_sent_again_and_everybody_is_served() {
    for percent in [3, 10] {
        let mut world = World::new(network(&[1, 1, 1], 1, None), 2);
        world.run(SECOND);
        let mut chance = Chance::new([7; 32]);
        // All that travels in large cells may be lost: pieces, acknowledgements, confirmations.
        world.tap = Box::new(move |p| p.bytes.len() < 1300 || chance.below(100) >= percent);
        let associations: Vec<Association> =
            (0..60).map(|_| world.open(ENTRY, Class::Small)).collect();
        let mut served = BTreeSet::new();
        let start = world.now.time;
        while served.len() < 60 {
            let waited = world.now.time - start;
            assert!(waited < 20 * SECOND, "{percent} %: {} of 60 served", served.len());
            for association in &associations {
                if !served.contains(association) {
                    world.send(ENTRY, *association, "9.9.9.9:53", b"patient");
                }
            }
            world.run(SECOND);
            served.extend(world.replies.iter().map(|reply| reply.0));
        }
    }
}

/// Opens an association over two exits of which one is known to be spoiled, until it was refused
/// by that one; returns the notices.
fn refused_then_served(world: &mut World, within: Duration) -> Vec<Notice> {
    for _ in 0..20 {
        let association = world.open(ENTRY, Class::Small);
        world.notices.clear();
        let replies = world.replies.len();
        world.send(ENTRY, association, "9.9.9.9:53", b"anybody?");
        assert!(
            world.run_until(within, |world| world.replies.len() > replies),
            "not served: {:?}",
            world.all_dropped()
        );
        if !world.notices.is_empty() {
            return world.notices.iter().map(|notice| notice.1.clone()).collect();
        }
    }
    panic!("the spoiled exit was never chosen");
}

#[test]
fn a_full_exit_refuses_in_its_own_name_and_another_is_taken() {
    let mut world = World::new(network(&[1, 1], 2, Some(Strategy::None)), 3);
    world.start(address(EXIT), &Limits { channels: 0, ..limits() });
    world.run(5 * SECOND);
    let notices = refused_then_served(&mut world, 2 * SECOND);
    let refusal = Notice::Refused { hop: "exit-1".into(), reason: Refusal::Overloaded };
    assert_eq!(notices, [refusal]);
    assert!(world.dropped(address(EXIT), Dropped::ChannelsFull) >= 1);
    // It is left alone for a while.
    let asked = world.dropped(address(EXIT), Dropped::ChannelsFull);
    for _ in 0..10 {
        let association = world.open(ENTRY, Class::Small);
        world.send(ENTRY, association, "9.9.9.9:53", b"x");
        world.run(SECOND / 2);
    }
    assert_eq!(world.dropped(address(EXIT), Dropped::ChannelsFull), asked);
}

#[test]
fn an_exit_that_is_gone_is_told_by_the_mix_before_it_and_another_is_taken() {
    let mut world = World::new(network(&[1, 1], 2, Some(Strategy::None)), 4);
    world.run(2 * SECOND);
    world.nodes.remove(&address(EXIT));
    // Who asks before the mix has found out is told as soon as it has.
    let refusal = Notice::Refused { hop: "mix-2-1".into(), reason: Refusal::NextUnreachable };
    let notices = refused_then_served(&mut world, 5 * SECOND);
    assert_eq!(notices, [refusal.clone()]);
    // Who asks later is told too, also when it has been gone for long.
    world.run(60 * SECOND);
    let notices = refused_then_served(&mut world, 5 * SECOND);
    assert!(notices.contains(&refusal), "{notices:?}");
}

#[test]
fn a_restarted_exit_is_found_again_while_the_other_serves() {
    let mut world = World::new(network(&[1, 1], 2, Some(Strategy::None)), 5);
    world.run(2 * SECOND);
    let before = world.arrivals.len();
    world.start(address(EXIT), &limits());
    for _ in 0..100 {
        let association = world.open(ENTRY, Class::Small);
        let replies = world.replies.len();
        world.send(ENTRY, association, "9.9.9.9:53", b"x");
        assert!(world.run_until(6 * SECOND, |world| world.replies.len() > replies));
        world.with_entry(ENTRY, |entry, now, out| entry.close(now, association, out));
        world.run(SECOND / 2);
    }
    let exits: BTreeSet<SocketAddr> = world.arrivals[before..].iter().map(|a| a.exit).collect();
    assert_eq!(exits, BTreeSet::from([address(EXIT), address(SECOND_EXIT)]));
}

#[test]
fn a_mix_that_shuts_down_says_so_and_nothing_that_could_still_go_is_lost() {
    let pool = Strategy::Threshold { n: 50, timeout: 200 * MILLISECOND };
    let mut world = World::new(network(&[1, 2], 1, Some(pool)), 6);
    let associations: Vec<Association> = (0..6).map(|_| world.open(ENTRY, Class::Small)).collect();
    for association in &associations {
        world.send(ENTRY, *association, "9.9.9.9:53", b"first");
    }
    assert!(world.run_until(5 * SECOND, |world| world.replies.len() == 6));
    world.run(SECOND);
    let arrivals = world.arrivals.len();
    for association in &associations {
        world.send(ENTRY, *association, "9.9.9.9:53", b"last");
    }
    // They wait in the second mixes' pools, when these are told to stop.
    world.run(300 * MILLISECOND);
    assert_eq!(world.arrivals.len(), arrivals);
    for number in [1, 2] {
        world.shutdown(mix_address(2, number));
    }
    world.run(MILLISECOND);
    assert_eq!(world.arrivals.len(), arrivals + 6, "{:?}", world.all_dropped());
}

#[test]
fn no_datagram_of_a_whole_life_makes_a_stranger_receive_more_than_he_sent() {
    // Every datagram that a client sends in its life is sent by somebody else from an address that
    // is not his, before the original arrives: the most that a reflector could be made to do.
    let mut world = World::new(network(&[1, 1], 1, Some(Strategy::None)), 7);
    let (mix, victim) = (mix_address(1, 1), address("203.0.114.80:80"));
    world.tap = Box::new(move |packet| {
        if packet.from == address(ENTRY) && packet.to == mix {
            packet.from = victim;
        }
        true
    });
    let mut budget: Vec<(usize, usize)> = Vec::new();
    let association = world.open(ENTRY, Class::Small);
    for round in 0..100 {
        let start = world.seen.len();
        if round % 3 == 0 {
            world.send(ENTRY, association, "9.9.9.9:53", b"x");
        }
        world.run(50 * MILLISECOND);
        let seen = &world.seen[start..];
        let sum = |packets: Vec<&Packet>| packets.iter().map(|p| p.bytes.len()).sum::<usize>();
        let sent = sum(seen.iter().filter(|p| p.from == address(ENTRY)).collect());
        let got = sum(seen.iter().filter(|p| p.to == victim).collect());
        budget.push((sent, got));
    }
    let (sent, got) = budget.iter().fold((0, 0), |sum, b| (sum.0 + b.0, sum.1 + b.1));
    // Before there is a link, nothing is longer than its request; a challenge may be three times.
    assert!(got <= 3 * sent, "{got} bytes for {sent}");
    assert_eq!(world.arrivals.len(), 0, "no link stands that was answered elsewhere");
    assert!(got <= sent, "{got} bytes for {sent}: not even that much");
}

#[test]
fn two_exits_and_many_entries_over_ipv6_and_names_work_side_by_side() {
    let mut world = World::new(network(&[2, 2], 2, None), 8);
    let entries: Vec<String> = (1..=5).map(|number| format!("10.0.9.{number}:700")).collect();
    for entry in &entries[1..] {
        world.add_entry(address(entry), &limits());
    }
    for (number, entry) in (0u8..).zip(&entries) {
        let association = world.open(entry, Class::Large);
        world.send(entry, association, "[2620:fe::fe]:53", &[number]);
        world.send(entry, association, "9.9.9.9:53", &[number]);
        world.send(entry, association, "v6.example:53", &[number]);
    }
    assert!(world.run_until(SOON, |world| world.questions.len() == 5));
    for (exit, question, _) in world.questions.clone() {
        let answer = ["2620:fe::9".parse().expect("valid")];
        let exit = exit.to_string();
        world.with_exit(&exit, |exit, now, out| exit.resolved(now, question, &answer, out));
    }
    assert!(world.run_until(SOON, |world| world.replies.len() == 15), "{:?}", world.all_dropped());
    let sources: BTreeSet<SocketAddr> = world.replies.iter().map(|reply| reply.1).collect();
    let expected = ["[2620:fe::fe]:53", "9.9.9.9:53", "[2620:fe::9]:53"].map(address);
    assert_eq!(sources, BTreeSet::from(expected));
}

#[test]
fn a_quiet_channel_gives_its_replay_bits_back_to_those_that_talk() {
    let limits = Limits { windows: 1, ..limits() };
    let mut world = World::with_limits(network(&[1], 1, Some(Strategy::None)), 9, &limits);
    for talk in 0..4 {
        let association = world.open(ENTRY, Class::Small);
        world.send(ENTRY, association, "9.9.9.9:53", b"hello");
        assert!(world.run_until(SOON, |world| world.replies.len() == talk * 11 + 1));
        // Ten replies that come to the entry in the opposite order.
        let held = Rc::new(RefCell::new(Vec::new()));
        let hold = held.clone();
        world.tap = Box::new(move |packet| {
            let to_entry = packet.to == address(ENTRY) && packet.bytes.len() == wire::SMALL;
            if to_entry {
                hold.borrow_mut().push(packet.clone());
            }
            !to_entry
        });
        for number in 0..10 {
            world.send(ENTRY, association, "9.9.9.9:53", &[number]);
        }
        world.run(10 * MILLISECOND);
        world.tap = Box::new(|_| true);
        for packet in held.take().iter().rev() {
            assert_eq!(world.give(packet.from, packet.to, &packet.bytes), Ok(()), "talk {talk}");
        }
        assert_eq!(world.replies.len(), talk * 11 + 11);
        world.run(7 * SECOND);
    }
}
