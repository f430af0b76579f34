//! What who checks a network learns by asking, and that nobody can gain by asking.

mod common;

use common::*;
use datagram::keys::Question;
use datagram::{Dropped, Network, wire};
use mixing::Strategy;
use mixing::time::Date;

const ASKER: &str = "203.0.113.7:700";

fn small_world() -> (World, Network) {
    let network = network(&[1], 1, Some(Strategy::None));
    (World::new(network.clone(), 1), network)
}

/// Asks a node; the answers.
fn ask(world: &mut World, node: std::net::SocketAddr, request: &[u8]) -> Vec<Vec<u8>> {
    let before = world.seen.len();
    let _ = world.give(address(ASKER), node, request);
    let answers = world.seen[before..].iter().filter(|packet| packet.to == address(ASKER));
    answers.map(|packet| packet.bytes.clone()).collect()
}

#[test]
fn a_node_of_any_role_says_its_key_to_who_knows_its_identity() {
    let (mut world, network) = small_world();
    for node in &network.nodes {
        let mut question = Question::new(node.identity, [7; 16]);
        assert!(question.announced(&network).is_none());
        for piece in 0..wire::KEY_PIECES {
            let answers = ask(&mut world, node.address, &question.request(piece, wire::OPENING));
            assert_eq!(answers.len(), 1);
            assert_eq!(Question::token_of(&answers[0]), Some([7; 16]));
            question.answer(&answers[0]).expect("its own");
        }
        let announced = question.announced(&network).expect("both pieces").expect("signed");
        assert_eq!(announced.begins, world.now.date);
        assert_eq!(announced.ends, Date::from_millis(world.now.date.as_millis() + 3_600_000));
        let other = Network { name: "another".into(), ..network.clone() };
        assert_eq!(question.announced(&other), Some(Err(Dropped::BadKeyList)));
    }
}

#[test]
fn a_longer_request_is_answered_in_its_own_length_and_never_in_more() {
    let (mut world, network) = small_world();
    let node = &network.nodes[0];
    let question = Question::new(node.identity, [8; 16]);
    for size in wire::OPENING..=network.large.cell_size {
        let answers = ask(&mut world, node.address, &question.request(1, size));
        let lengths: Vec<usize> = answers.iter().map(Vec::len).collect();
        let right = if size == wire::OPENING { size_of::<wire::KeyPiece>() } else { size };
        assert_eq!(lengths, [right]);
    }
    let mut longest = question.request(1, network.large.cell_size + 1);
    assert_eq!(ask(&mut world, node.address, &longest).len(), 0);
    assert_eq!(world.dropped(node.address, Dropped::WrongSize), 1);
    longest.pop();
    assert_eq!(ask(&mut world, node.address, &longest).len(), 0, "its check is elsewhere");
    assert_eq!(world.dropped(node.address, Dropped::BadCheck), 1);
}

#[test]
fn a_request_as_long_as_a_cell_of_the_smallest_network_is_the_longest_there() {
    let mut network = network(&[1], 1, Some(Strategy::None));
    network.large.cell_size = wire::LARGE_LEAST;
    let mut world = World::new(network.clone(), 2);
    let node = &network.nodes[0];
    let question = Question::new(node.identity, [9; 16]);
    for (size, answers) in [(wire::LARGE_LEAST, 1), (wire::LARGE_LEAST + 1, 0)] {
        let request = question.request(0, size);
        assert_eq!(ask(&mut world, node.address, &request).len(), answers);
    }
}

#[test]
fn what_answers_another_question_is_refused() {
    let (mut world, network) = small_world();
    let [mix, exit] = &network.nodes[..] else { panic!("a mix and an exit") };
    let of_exit = Question::new(exit.identity, [1; 16]);
    assert_eq!(ask(&mut world, mix.address, &of_exit.request(0, wire::OPENING)).len(), 0);
    let pieces: Vec<_> = (0..wire::KEY_PIECES)
        .flat_map(|piece| ask(&mut world, exit.address, &of_exit.request(piece, wire::OPENING)))
        .collect();
    let mut of_mix = Question::new(mix.identity, [2; 16]);
    assert_eq!(of_mix.answer(&pieces[0]), Err(Dropped::Unexpected));
    // Somebody who sees the token and has another node's list: it is not the one asked for.
    for piece in &pieces {
        let mut piece = piece.clone();
        piece[8..24].copy_from_slice(&[2; 16]);
        of_mix.answer(&piece).expect("its token fits");
    }
    assert_eq!(of_mix.announced(&network), Some(Err(Dropped::BadKeyList)));
    for bytes in [&[][..], &[0; 24], &[1; 688]] {
        assert_eq!(Question::token_of(bytes), None);
    }
}
