//! Noise, cut, spoiled and repeated datagrams, at every node and from everybody.

mod common;

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use common::*;
use datagram::*;
use mixing::{Chance, Strategy};

const SECOND: Duration = Duration::from_secs(1);
const MILLISECOND: Duration = Duration::from_millis(1);

fn talking(seed: u8, class: Class) -> (World, Association) {
    let mut world = World::new(network(&[1, 1], 1, Some(Strategy::None)), seed);
    let association = world.open(ENTRY, class);
    world.send(ENTRY, association, "9.9.9.9:53", b"first");
    assert!(world.run_until(SOON, |world| world.replies.len() == 1), "{:?}", world.all_dropped());
    world.run(SECOND);
    (world, association)
}

fn assert_serves(world: &mut World, association: Association) {
    let (replies, arrivals) = (world.replies.len(), world.arrivals.len());
    world.send(ENTRY, association, "9.9.9.9:53", b"still here");
    world.run(10 * MILLISECOND);
    assert_eq!(world.replies.len(), replies + 1, "{:?}", world.all_dropped());
    assert_eq!(world.arrivals.len(), arrivals + 1);
}

/// The hops of a datagram there and back.
fn links() -> [(SocketAddr, SocketAddr); 6] {
    let [entry, one, two, exit] =
        [address(ENTRY), mix_address(1, 1), mix_address(2, 1), address(EXIT)];
    [(entry, one), (one, two), (two, exit), (exit, two), (two, one), (one, entry)]
}

/// Sends one datagram and catches its one cell on a link, undelivered.
fn catch(world: &mut World, association: Association, on: (SocketAddr, SocketAddr)) -> Packet {
    let caught = Rc::new(RefCell::new(None));
    let hold = caught.clone();
    world.tap = Box::new(move |packet| {
        if (packet.from, packet.to) != on {
            return true;
        }
        *hold.borrow_mut() = Some(packet.clone());
        false
    });
    world.send(ENTRY, association, "9.9.9.9:53", b"caught");
    world.run(MILLISECOND);
    world.tap = Box::new(|_| true);
    caught.take().expect("it passes this link")
}

#[test]
fn noise_from_anybody_is_counted_once_each_and_changes_nothing() {
    let (mut world, association) = talking(1, Class::Small);
    let mut chance = Chance::new([1; 32]);
    let nodes: Vec<SocketAddr> = world.nodes.keys().copied().collect();
    let recorded: Vec<Packet> = world.seen.clone();
    let sizes = [0, 1, 4, 7, 8, 35, 36, 56, 440, 424, 408, 1404, 1388, 1372, 1232, 696, 2000];
    let before: u64 = world.all_dropped().values().sum();
    let count = 30_000;
    let seen = world.seen.len();
    for _ in 0..count {
        let to = *chance.pick(&nodes).expect("some");
        let from = if chance.below(2) == 0 {
            *chance.pick(&nodes).expect("some")
        } else {
            address("203.0.114.1:1")
        };
        let size = match chance.below(3) {
            0 => chance.below(3000) as usize,
            _ => *chance.pick(&sizes).expect("some"),
        };
        let mut bytes = vec![0; size];
        chance.fill(&mut bytes);
        // Half of the noise begins like something that exists.
        match chance.below(4) {
            0 if size >= 8 => {
                bytes[..4].fill(0);
                (bytes[4], bytes[5]) = (chance.below(8) as u8, chance.below(3) as u8);
            }
            1 if size >= 4 => {
                let like = &chance.pick(&recorded).expect("some").bytes;
                bytes[..4].copy_from_slice(&like[..4]);
            }
            _ => {}
        }
        let given = world.give(from, to, &bytes);
        assert!(given.is_err(), "{size} bytes to {to} were taken");
    }
    let after: u64 = world.all_dropped().values().sum();
    assert_eq!(after - before, count);
    let answers = &world.seen[seen..];
    assert!(answers.is_empty(), "noise is not answered: {} datagrams", answers.len());
    assert_serves(&mut world, association);
}

#[test]
fn a_cell_cut_or_lengthened_anywhere_is_refused_on_every_link() {
    for class in Class::ALL {
        let (mut world, association) = talking(2, class);
        for on in links() {
            let cell = catch(&mut world, association, on);
            let (arrivals, replies) = (world.arrivals.len(), world.replies.len());
            for length in 0..cell.bytes.len() {
                let given = world.give(on.0, on.1, &cell.bytes[..length]);
                assert!(given.is_err(), "{length} of {} bytes", cell.bytes.len());
            }
            for more in [1, 15, 16, 17, 1404 - 440, 60_000] {
                let mut long = cell.bytes.clone();
                long.resize(cell.bytes.len() + more, 0);
                assert!(world.give(on.0, on.1, &long).is_err());
            }
            world.run(10 * MILLISECOND);
            assert_eq!((world.arrivals.len(), world.replies.len()), (arrivals, replies));
            world.give(on.0, on.1, &cell.bytes).expect("the whole cell is good");
            world.run(10 * MILLISECOND);
            assert_eq!(world.replies.len(), replies + 1);
        }
    }
}

#[test]
fn a_bit_flipped_anywhere_on_the_way_there_dies_at_the_next_hop_and_uses_nothing_up() {
    let (mut world, association) = talking(3, Class::Small);
    for on in &links()[..3] {
        let cell = catch(&mut world, association, *on);
        let (arrivals, replies) = (world.arrivals.len(), world.replies.len());
        for bit in 0..cell.bytes.len() * 8 {
            let mut bytes = cell.bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let given = world.give(on.0, on.1, &bytes);
            let expected = match bit / 8 {
                // Another id may be the id of another link, whose key does not fit, or of none.
                0..4 => given,
                4..28 => Err(Dropped::ForgedHeader),
                _ => Err(Dropped::ForgedLayer),
            };
            assert!(given.is_err() && given == expected, "bit {bit}: {given:?}");
        }
        world.run(10 * MILLISECOND);
        assert_eq!((world.arrivals.len(), world.replies.len()), (arrivals, replies));
        world.give(on.0, on.1, &cell.bytes).expect("its number is not used up");
        world.run(10 * MILLISECOND);
        assert_eq!((world.arrivals.len(), world.replies.len()), (arrivals + 1, replies + 1));
    }
}

#[test]
fn a_header_or_tag_changed_on_the_way_back_dies_at_the_next_hop_and_moves_no_window() {
    let (mut world, association) = talking(4, Class::Small);
    for on in &links()[3..] {
        let cell = catch(&mut world, association, *on);
        let replies = world.replies.len();
        for bit in 32..28 * 8 {
            let mut bytes = cell.bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(world.give(on.0, on.1, &bytes), Err(Dropped::ForgedHeader), "bit {bit}");
        }
        world.run(10 * MILLISECOND);
        assert_eq!(world.replies.len(), replies);
        world.give(on.0, on.1, &cell.bytes).expect("no window moved");
        world.run(10 * MILLISECOND);
        assert_eq!(world.replies.len(), replies + 1);
    }
}

#[test]
fn a_body_changed_behind_an_intact_header_is_dropped_at_the_client_and_only_there() {
    let (mut world, association) = talking(5, Class::Small);
    for on in &links()[3..] {
        for bit in (28 * 8..400 * 8).step_by(61) {
            let mut cell = catch(&mut world, association, *on);
            let (before, replies) = (world.all_dropped(), world.replies.len());
            cell.bytes[bit / 8] ^= 1 << (bit % 8);
            let _ = world.give(on.0, on.1, &cell.bytes);
            world.run(10 * MILLISECOND);
            let mut expected = before;
            *expected.entry(Dropped::ForgedLayer).or_default() += 1;
            assert_eq!(world.all_dropped(), expected, "bit {bit} from {}", on.0);
            assert_eq!(world.replies.len(), replies);
        }
        let at_client = world.dropped(address(ENTRY), Dropped::ForgedLayer);
        assert_eq!(at_client, world.all_dropped()[&Dropped::ForgedLayer]);
        assert_serves(&mut world, association);
    }
}

#[test]
fn everything_that_ever_passed_a_wire_may_be_sent_again_from_anywhere_without_effect() {
    let mut world = World::new(network(&[1, 1], 1, None), 6);
    let associations = [world.open(ENTRY, Class::Small), world.open(ENTRY, Class::Large)];
    for round in 0..20u8 {
        for association in associations {
            world.send(ENTRY, association, "9.9.9.9:53", &[round; 100]);
        }
        world.run(13 * MILLISECOND);
    }
    world.run(SECOND);
    assert_eq!((world.arrivals.len(), world.replies.len()), (40, 40));
    let recorded = world.seen.clone();
    let channels_opened: u64 =
        world.nodes.keys().map(|at| world.figures(*at).channels_opened).sum();
    let nodes: Vec<SocketAddr> = world.nodes.keys().copied().collect();
    for packet in &recorded {
        for from in [packet.from, address("203.0.114.1:1")] {
            for to in &nodes {
                let given = world.give(from, *to, &packet.bytes);
                // Everybody may ask for keys, as often as he likes.
                let key_request = packet.bytes[..5] == [0, 0, 0, 0, 3];
                assert!(given.is_err() || key_request, "{given:?}");
            }
        }
    }
    world.run(2 * SECOND);
    assert_eq!((world.arrivals.len(), world.replies.len()), (40, 40));
    let opened: u64 = world.nodes.keys().map(|at| world.figures(*at).channels_opened).sum();
    assert_eq!(opened, channels_opened);
    assert_eq!(world.figures(mix_address(1, 1)).links, 2);
    assert_serves_slowly(&mut world, associations[0]);
}

#[test]
fn nothing_recorded_before_a_restart_opens_anything_after_it() {
    let mut world = World::new(network(&[1, 1], 1, Some(Strategy::None)), 7);
    let association = world.open(ENTRY, Class::Small);
    world.send(ENTRY, association, "9.9.9.9:53", b"x");
    assert!(world.run_until(SOON, |world| !world.replies.is_empty()));
    let recorded = world.seen.clone();
    let nodes: Vec<SocketAddr> = world.network.nodes.iter().map(|node| node.address).collect();
    for at in &nodes {
        world.start(*at, &Limits::default());
    }
    world.nodes.remove(&address(ENTRY));
    let arrivals = world.arrivals.len();
    for packet in recorded.iter().filter(|packet| nodes.contains(&packet.to)) {
        let _ = world.give(packet.from, packet.to, &packet.bytes);
        world.run(MILLISECOND);
    }
    world.run(2 * SECOND);
    assert_eq!(world.arrivals.len(), arrivals);
    for at in &nodes {
        assert_eq!(world.figures(*at).channels_opened, 0, "{at}");
    }
    assert!(world.dropped(mix_address(1, 1), Dropped::UnknownKey) >= 1, "the opening came");
}

fn assert_serves_slowly(world: &mut World, association: Association) {
    let replies = world.replies.len();
    world.send(ENTRY, association, "9.9.9.9:53", b"still here");
    assert!(world.run_until(SECOND, |world| world.replies.len() > replies));
}

#[test]
fn the_hundred_thousandth_message_works_like_the_first() {
    let mut world = World::new(network(&[1], 1, Some(Strategy::None)), 8);
    let association = world.open(ENTRY, Class::Small);
    world.send(ENTRY, association, "9.9.9.9:53", b"first");
    assert!(world.run_until(SOON, |world| !world.replies.is_empty()));
    let opened = world.figures(address(EXIT)).channels_opened;
    world.arrivals.clear();
    world.replies.clear();
    for batch in 0..1_000u32 {
        world.echo = batch % 50 == 0;
        for number in 0..100u32 {
            let payload = (batch * 100 + number).to_be_bytes();
            world.send(ENTRY, association, "9.9.9.9:53", &payload);
        }
        world.run(MILLISECOND);
        assert_eq!(world.arrivals.len(), 100);
        assert_eq!(world.replies.len(), if world.echo { 100 } else { 0 });
        assert_eq!(world.arrivals.last().expect("100").payload, (batch * 100 + 99).to_be_bytes());
        world.arrivals.clear();
        world.replies.clear();
        world.seen.clear();
    }
    world.echo = true;
    assert_serves(&mut world, association);
    assert_eq!(world.figures(address(ENTRY)).cells_out[0], 100_002);
    assert_eq!(world.figures(address(EXIT)).channels_opened, opened, "on one channel");
    assert!(world.all_dropped().is_empty(), "{:?}", world.all_dropped());
}
