//! The attack that the header block answers: a client chooses what a hop sends on, and with it the
//! tag and ciphertext of a cell on the next link, where somebody watches.

use mixing::Strategy;
use mixing::cipher::Block;

use super::*;

/// What an observer makes of two cells with the same tag and ciphertext: the bits in which channel
/// and sequence differ, if the header is masked by something that hangs on those bytes.
fn difference(one: &[u8], other: &[u8]) -> [u8; 8] {
    assert_eq!(one[20..], other[20..], "the client made these bytes equal");
    std::array::from_fn(|at| one[4 + at] ^ other[4 + at])
}

/// A cell's header as QUIC (RFC 9001, section 5.4) would protect it: masked by the block cipher's
/// output for a sample of the ciphertext.
fn masked(key: &Block, channel: u32, sequence: u32, tail: &[u8]) -> Vec<u8> {
    let mut mask = [0; 16];
    mask.copy_from_slice(&tail[16..32]);
    key.encipher(&mut mask);
    let header = (u64::from(channel) << 32 | u64::from(sequence)).to_be_bytes();
    let mut cell = vec![0; 20];
    for (at, byte) in header.iter().enumerate() {
        cell[4 + at] = byte ^ mask[at];
    }
    cell.extend_from_slice(tail);
    cell
}

/// Makes the first mix send cells on whose tag and ciphertext are the client's own choice.
fn chosen_cells(numbers: &[u32]) -> Vec<Vec<u8>> {
    let mut world = World::new(network(&[1, 1], 1, Some(Strategy::None)), 8);
    world.run(Duration::from_secs(1));
    let mut client = Puppet::connect(&mut world, "198.51.102.1:1", first_mix(), None);
    let channel = client.open(&mut world, Class::Small, &whole_chain());
    let start = world.seen.len();
    for number in numbers {
        let mut cell = vec![0; wire::SMALL];
        // Under the first layer nothing is sealed: a tag and a ciphertext of the client's making.
        cell[CELL_OVERHEAD..].fill(0x5A);
        channel::wrap(&channel.hops[..1], *number, &mut cell);
        client.link.encipher(&mut cell, channel.forward, *number);
        assert_eq!(client.give(&mut world, &cell), Ok(()));
        world.run(Duration::from_millis(1));
    }
    let on_link = |p: &&Packet| p.from == first_mix() && p.to == second_mix();
    let small = |p: &&Packet| p.bytes.len() == wire::cell_size(wire::SMALL, 1);
    let cells: Vec<Vec<u8>> =
        world.seen[start..].iter().filter(on_link).filter(small).map(|p| p.bytes.clone()).collect();
    assert_eq!(cells.len(), numbers.len());
    assert!(cells.iter().all(|cell| cell[20..].iter().all(|byte| *byte == 0x5A)));
    cells
}

#[test]
fn equal_bytes_behind_it_tell_nothing_about_what_is_in_a_header_block() {
    let numbers: Vec<u32> = (0..400).collect();
    let cells = chosen_cells(&numbers);
    let mut ones = [0u32; 64];
    let mut guessed = 0;
    for pair in cells.windows(2).zip(numbers.windows(2)) {
        let (cells, numbers) = pair;
        let seen = difference(&cells[0], &cells[1]);
        let truth = u64::from(numbers[0] ^ numbers[1]).to_be_bytes();
        guessed += usize::from(seen == truth);
        let bits = u64::from_be_bytes(seen);
        (0..64).for_each(|bit| ones[bit] += (bits >> bit & 1) as u32);
    }
    assert_eq!(guessed, 0);
    // Each bit of the difference is a fair coin: 399 throws, five standard deviations.
    assert!(ones.iter().all(|count| (150..=249).contains(count)), "{ones:?}");
    let mut blocks: Vec<&[u8]> = cells.iter().map(|cell| &cell[4..20]).collect();
    blocks.sort_unstable();
    blocks.dedup();
    assert_eq!(blocks.len(), cells.len(), "no block occurs twice");
}

#[test]
fn the_same_attack_reads_every_header_under_a_mask() {
    let key = Block::new(&[7; 16]);
    let tail = [0x5A; 404];
    for (one, other) in [(0, 1), (7, 900), (70_000, 3)] {
        // Two cells of one channel; then one of the attacker's and one of somebody else's.
        let [a, b] = [one, other].map(|number| masked(&key, 0x300, number, &tail));
        assert_eq!(difference(&a, &b), u64::from(one ^ other).to_be_bytes());
        let own = masked(&key, 0x300, one, &tail);
        let foreign = masked(&key, 0x1F00, other, &tail);
        let read = u64::from_be_bytes(difference(&own, &foreign)) ^ (0x300 << 32 | u64::from(one));
        assert_eq!(read, 0x1F00 << 32 | u64::from(other), "channel and number of another");
    }
}
