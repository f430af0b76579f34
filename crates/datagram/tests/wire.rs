//! What an observer of all links sees: sizes, repetitions, and whether bytes look like noise.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use common::*;
use datagram::*;
use mixing::Strategy;

const SECOND: Duration = Duration::from_secs(1);

/// The tier that the link between two nodes leaves.
fn leaving(world: &World, packet: &Packet) -> u8 {
    let tier = |at: SocketAddr| {
        let node = world.network.nodes.iter().find(|node| node.address == at);
        node.map_or(0, |node| if node.role == Role::Exit { 9 } else { node.tier() })
    };
    tier(packet.from).min(tier(packet.to))
}

fn is_cell(packet: &Packet) -> bool {
    packet.bytes[..4] != [0; 4] && packet.bytes.len() != size_of::<wire::Answer>()
}

/// A whole life: openings, set-ups, data, losses, refusals, idleness, new keys, a restart, closes.
fn life(mixes: usize) -> World {
    let mut world = World::new(network(&vec![1; mixes], 1, None), 1);
    let associations: Vec<Association> =
        (0..6).map(|number| world.open(ENTRY, Class::ALL[number % 2])).collect();
    for round in 0..30usize {
        for (number, association) in associations.iter().enumerate() {
            let length = [0, 1, 40, 319, 320, 1200, 1284, 5000][(round + number) % 8];
            world.send(ENTRY, *association, "9.9.9.9:53", &vec![7; length]);
        }
        world.run(Duration::from_millis(15));
    }
    world.with_exit(EXIT, |exit, now, out| exit.tick(now, out));
    let flow = world.arrivals[0].flow;
    world.with_exit(EXIT, |exit, now, out| exit.no_socket(now, flow, out));
    world.run(2 * SECOND);
    world.start(mix_address(mixes as u8, 1), &Limits::default());
    for _ in 0..10 {
        for association in &associations {
            world.send(ENTRY, *association, "9.9.9.9:53", b"again");
        }
        world.run(SECOND);
    }
    world.run(Duration::from_secs(3700));
    for association in associations {
        world.with_entry(ENTRY, |entry, now, out| entry.close(now, association, out));
    }
    world.run(SECOND);
    for at in world.nodes.keys().copied().collect::<Vec<_>>() {
        let (now, mut out) = (world.now, Outbox::new());
        world.nodes.get_mut(&at).expect("listed above").shutdown(now, &mut out);
        for effect in out.effects() {
            let Effect::Send { to, segment, bytes } = effect else { continue };
            for bytes in out.bytes(bytes).chunks(*segment) {
                world.seen.push(Packet { from: at, to: *to, bytes: bytes.to_vec() });
            }
        }
    }
    world
}

#[test]
fn all_cells_of_a_class_on_a_link_are_of_one_size_both_ways_whatever_they_are() {
    for mixes in [1, 3, 5] {
        let world = life(mixes);
        let mut sizes: BTreeMap<(SocketAddr, SocketAddr), BTreeSet<usize>> = BTreeMap::new();
        let mut strange = BTreeSet::new();
        for packet in &world.seen {
            if is_cell(packet) {
                let size = packet.bytes.len();
                sizes.entry((packet.from, packet.to)).or_default().insert(size);
                let tier = leaving(&world, packet);
                let expected = [wire::SMALL, wire::LARGE].map(|s0| wire::cell_size(s0, tier));
                assert!(expected.contains(&size), "{size} bytes on a link that leaves tier {tier}");
            } else {
                strange.insert(packet.bytes.len());
            }
        }
        assert_eq!(sizes.len(), 2 * (mixes + 1), "every link, both ways");
        assert!(sizes.values().all(|sizes| sizes.len() == 2), "both classes: {sizes:?}");
        // Opening and key request, key piece, answer, unknown key: before there is a link.
        assert!(strange.is_subset(&BTreeSet::from([1232, 688, 56, 24])), "{strange:?}");
    }
}

#[test]
fn no_eight_bytes_of_any_cell_occur_in_another_on_any_link() {
    let mut world = World::new(network(&[1, 1, 1], 1, Some(Strategy::None)), 2);
    let associations = [world.open(ENTRY, Class::Small), world.open(ENTRY, Class::Small)];
    for _ in 0..40 {
        for association in associations {
            // The same payload, again and again, on two channels.
            world.send(ENTRY, association, "9.9.9.9:53", &[0; 300]);
        }
        world.run(Duration::from_millis(50));
    }
    world.run(SECOND);
    assert_eq!(world.replies.len(), 80);
    let cells: Vec<&Packet> = world.seen.iter().filter(|packet| is_cell(packet)).collect();
    assert!(cells.len() > 80 * 8);
    let mut windows = Vec::new();
    for cell in &cells {
        let windows_of = cell.bytes[4..].windows(8);
        windows.extend(windows_of.map(|w| u64::from_be_bytes(w.try_into().expect("eight"))));
    }
    let count = windows.len();
    windows.sort_unstable();
    windows.dedup();
    // By chance, two of so many would meet with a probability of about 10⁻⁸.
    assert_eq!(windows.len(), count, "some bytes were seen twice");
}

#[test]
fn the_bytes_of_every_link_are_uniform() {
    let mut world = World::new(network(&[1, 1, 1], 1, Some(Strategy::None)), 3);
    let association = world.open(ENTRY, Class::Small);
    for _ in 0..200 {
        world.send(ENTRY, association, "9.9.9.9:53", &[0; 300]);
        world.run(Duration::from_millis(20));
    }
    let mut links: BTreeMap<(SocketAddr, SocketAddr), [u64; 256]> = BTreeMap::new();
    for packet in world.seen.iter().filter(|packet| is_cell(packet)) {
        let histogram = links.entry((packet.from, packet.to)).or_insert([0; 256]);
        packet.bytes[4..].iter().for_each(|byte| histogram[usize::from(*byte)] += 1);
    }
    assert_eq!(links.len(), 8);
    for ((from, to), histogram) in links {
        let total: u64 = histogram.iter().sum();
        let mean = total as f64 / 256.0;
        let chi: f64 = histogram.iter().map(|&n| (n as f64 - mean).powi(2) / mean).sum();
        // 255 degrees of freedom: 352 is exceeded once in 20,000.
        assert!(chi < 352.0, "{from} to {to}: {chi:.0} over {total} bytes");
    }
}

#[test]
fn every_length_of_chain_looks_the_same_on_the_entrys_link() {
    let mut looks = BTreeSet::new();
    for mixes in 1..=5 {
        let mut world = World::new(network(&vec![1; mixes], 1, Some(Strategy::None)), 4);
        let association = world.open(ENTRY, Class::Large);
        world.send(ENTRY, association, "9.9.9.9:53", b"x");
        assert!(world.run_until(SOON, |world| !world.replies.is_empty()));
        let sizes: Vec<usize> = world
            .seen
            .iter()
            .filter(|packet| packet.from == address(ENTRY))
            .map(|packet| packet.bytes.len())
            .collect();
        let pieces = sizes.iter().filter(|size| **size == wire::LARGE).count();
        looks.insert(sizes.iter().copied().max());
        assert!(pieces >= 7, "a set-up of six pieces and a cell");
    }
    assert_eq!(looks.len(), 1);
}
