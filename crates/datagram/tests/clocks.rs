//! Keys of the hour under traffic, and clocks that jump.

mod common;

use std::time::Duration;

use common::*;
use datagram::*;
use mixing::Strategy;

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);

fn world(seed: u8) -> World {
    World::new(network(&[1, 1], 1, Some(Strategy::None)), seed)
}

/// A new association's first datagram is answered in time: whole set-ups under present keys.
fn opens_anew(world: &mut World, within: Duration) -> bool {
    let association = world.open(ENTRY, Class::Small);
    let replies = world.replies.len();
    world.send(ENTRY, association, "9.9.9.9:53", b"new");
    let answered = world.run_until(within, |world| world.replies.len() > replies);
    world.with_entry(ENTRY, |entry, now, out| entry.close(now, association, out));
    answered
}

#[test]
fn keys_rotate_under_traffic_for_a_day_and_an_hour_without_a_loss() {
    let mut world = world(1);
    let association = world.open(ENTRY, Class::Small);
    world.send(ENTRY, association, "9.9.9.9:53", b"0");
    assert!(world.run_until(SOON, |world| world.replies.len() == 1));
    let end = world.now.time + DAY + Duration::from_secs(3600);
    let (mut sent, mut opened) = (1, 0);
    while world.now.time < end {
        for _ in 0..20 {
            world.send(ENTRY, association, "9.9.9.9:53", b"a call");
            sent += 1;
            world.run(30 * SECOND);
        }
        assert_eq!(world.replies.len(), sent, "{:?}", world.all_dropped());
        // Every ten minutes: before, in and after the grace of the old keys.
        assert!(opens_anew(&mut world, SOON), "{:?}", world.all_dropped());
        sent += 1;
        opened += 1;
        world.seen.clear();
        world.arrivals.clear();
    }
    assert_eq!(opened, 150);
    assert!(world.all_dropped().is_empty(), "{:?}", world.all_dropped());
}

#[test]
fn a_clock_that_jumps_a_day_forward_and_back_ends_no_service() {
    for at in [address(ENTRY), mix_address(2, 1), address(EXIT)] {
        let mut world = world(2);
        let association = world.open(ENTRY, Class::Small);
        world.send(ENTRY, association, "9.9.9.9:53", b"0");
        assert!(world.run_until(SOON, |world| world.replies.len() == 1));
        for ahead in [DAY, Duration::ZERO] {
            world.ahead.insert(at, ahead);
            // At once, and after the next change of keys.
            for _ in 0..2 {
                let replies = world.replies.len();
                world.send(ENTRY, association, "9.9.9.9:53", b"on");
                world.run(SECOND);
                assert_eq!(world.replies.len(), replies + 1, "{at} {ahead:?}");
                assert!(opens_anew(&mut world, SOON), "{at}: {:?}", world.all_dropped());
                for _ in 0..37 {
                    world.send(ENTRY, association, "9.9.9.9:53", b"on");
                    world.run(60 * SECOND);
                }
            }
            world.seen.clear();
        }
    }
}

#[test]
fn a_clock_a_day_ahead_at_a_restart_and_right_again_later_ends_no_service() {
    for at in [mix_address(1, 1), address(EXIT)] {
        let mut world = world(3);
        world.run(SECOND);
        world.ahead.insert(at, DAY);
        world.start(at, &Limits { spare_channels: 0, ..Limits::default() });
        world.run(5 * SECOND);
        assert!(opens_anew(&mut world, 5 * SECOND), "{at}: {:?}", world.all_dropped());
        world.ahead.clear();
        world.run(4000 * SECOND);
        assert!(opens_anew(&mut world, 5 * SECOND), "{at}: {:?}", world.all_dropped());
    }
}

#[test]
fn a_node_restarted_after_its_clock_was_put_back_is_served_again_within_seconds() {
    for at in [mix_address(1, 1), mix_address(2, 1), address(EXIT)] {
        let mut world = world(4);
        world.ahead.insert(at, DAY);
        world.start(at, &Limits { spare_channels: 0, ..Limits::default() });
        world.run(5 * SECOND);
        assert!(opens_anew(&mut world, 5 * SECOND));
        // Its new list is a day older than the one that everybody has.
        world.ahead.clear();
        world.start(at, &Limits { spare_channels: 0, ..Limits::default() });
        let association = world.open(ENTRY, Class::Small);
        let replies = world.replies.len();
        let start = world.now.time;
        while world.replies.len() == replies {
            let waited = world.now.time - start;
            assert!(waited < 8 * SECOND, "{at}: {:?}", world.all_dropped());
            world.send(ENTRY, association, "9.9.9.9:53", b"again");
            world.run(SECOND / 10);
        }
        // And through the next changes of its key, before and after the other list has ended.
        for _ in 0..8 {
            world.run(1000 * SECOND);
            assert!(opens_anew(&mut world, 5 * SECOND), "{at}: {:?}", world.all_dropped());
        }
    }
}

#[test]
fn a_key_list_that_came_while_a_clock_was_wrong_is_taken_once_it_is_right() {
    let hours = |hours: u64| Duration::from_secs(hours * 3600);
    for wrong in [mix_address(1, 1), address(ENTRY)] {
        let mut world = world(7);
        // For all it is two in the afternoon; for one still midnight, and for the exit that begins
        // again already the next morning.
        world.ahead = world.nodes.keys().map(|at| (*at, hours(14))).collect();
        world.run(SECOND);
        world.ahead.insert(wrong, hours(0));
        world.ahead.insert(address(EXIT), hours(28));
        world.start(address(EXIT), &Limits { spare_channels: 0, ..Limits::default() });
        assert!(!opens_anew(&mut world, 10 * SECOND), "{wrong}: that list is too far ahead");
        world.ahead.insert(wrong, hours(14));
        world.ahead.insert(address(EXIT), hours(14));
        world.run(2 * SECOND);
        assert!(opens_anew(&mut world, 5 * SECOND), "{wrong}: {:?}", world.all_dropped());
    }
}

#[test]
fn who_takes_no_list_of_a_node_because_of_his_clock_asks_no_faster_than_who_gets_no_answer() {
    let mut world = world(5);
    world.ahead.insert(address(ENTRY), 3 * DAY);
    world.run(60 * SECOND);
    let asked = world.seen.iter().filter(|packet| packet.from == address(ENTRY)).count();
    assert!((60..150).contains(&asked), "{asked} datagrams in a minute");
    world.ahead.clear();
    assert!(opens_anew(&mut world, 5 * SECOND), "{:?}", world.all_dropped());
}

#[test]
fn a_key_list_that_a_narrow_path_kept_back_comes_when_the_path_is_wide_again() {
    let mut world = World::new(network(&[1, 1], 2, Some(Strategy::None)), 6);
    world.run(2 * SECOND);
    // A call over the other exit keeps the link alive between the two mixes.
    let call = loop {
        let call = world.open(ENTRY, Class::Small);
        let arrivals = world.arrivals.len();
        world.send(ENTRY, call, "9.9.9.9:53", b"over which?");
        assert!(world.run_until(SOON, |world| world.arrivals.len() > arrivals));
        if world.arrivals[arrivals].exit != address(EXIT) {
            break call;
        }
        world.with_entry(ENTRY, |entry, now, out| entry.close(now, call, out));
    };
    let narrow = (mix_address(2, 1), mix_address(1, 1));
    world.tap = Box::new(move |p| (p.from, p.to) != narrow || p.bytes.len() < 1_000);
    world.start(address(EXIT), &Limits { spare_channels: 0, ..Limits::default() });
    for _ in 0..600 {
        world.send(ENTRY, call, "9.9.9.9:53", b"on");
        world.run(SECOND / 20);
    }
    world.tap = Box::new(|_| true);
    let start = world.now.time;
    while world.figures(address(EXIT)).channels_opened == 0 {
        // Who was refused there leaves it alone for half a minute.
        let patience = entry::AVOID_FOR + 20 * SECOND;
        assert!(world.now.time - start < patience, "{:?}", world.all_dropped());
        assert!(opens_anew(&mut world, 5 * SECOND));
    }
}

#[test]
fn a_node_that_took_a_key_while_its_clock_was_days_ahead_is_found_again_once_it_is_right() {
    for at in [mix_address(1, 1), mix_address(2, 1), address(EXIT)] {
        let mut world = world(7);
        assert!(opens_anew(&mut world, 5 * SECOND));
        world.ahead.insert(at, 3 * DAY);
        world.run(4000 * SECOND);
        // Whoever knows its former key is served for as long as that lives.
        world.run(1000 * SECOND);
        assert!(!opens_anew(&mut world, 5 * SECOND), "{at}: nobody takes its list");
        world.ahead.clear();
        world.run(300 * SECOND);
        assert!(opens_anew(&mut world, 5 * SECOND), "{at}: {:?}", world.all_dropped());
    }
}

#[test]
fn a_node_that_began_while_its_clock_was_days_behind_is_found_once_it_is_right() {
    // An exit hears of nobody while nobody opens a link to it: it is to be started again.
    for at in [mix_address(1, 1), mix_address(2, 1)] {
        let mut world = world(8);
        world.ahead = world.nodes.keys().map(|at| (*at, 3 * DAY)).collect();
        for at in world.nodes.keys().copied().filter(|at| *at != address(ENTRY)).collect::<Vec<_>>()
        {
            world.start(at, &Limits { spare_channels: 0, ..Limits::default() });
        }
        assert!(opens_anew(&mut world, 10 * SECOND), "{:?}", world.all_dropped());
        world.ahead.remove(&at);
        world.start(at, &Limits { spare_channels: 0, ..Limits::default() });
        assert!(!opens_anew(&mut world, 10 * SECOND), "{at}: nobody takes its list");
        world.ahead.insert(at, 3 * DAY);
        world.run(300 * SECOND);
        assert!(opens_anew(&mut world, 5 * SECOND), "{at}: {:?}", world.all_dropped());
    }
}
