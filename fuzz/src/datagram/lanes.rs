//! Cells through a mix, with the keys of client and exit in hand.

use std::collections::VecDeque;
use std::time::Duration;

use datagram::lane::WINDOWS;
use datagram::wire::{self, TAG};
use datagram::{Class, Direction, Dropped, Limits};
use mixing::Strategy;

use super::node::{LARGE, SMALL};
use super::peer;
use super::roles::{Between, Through};
use crate::input::Input;
use crate::mixing::{Marked, WindowRules};

/// Cells of two channels in both directions, in order and not, whole and spoiled: each that is good and
/// new leaves once, on its own channel, under the same number, of the size of the other link, and what
/// is in it is what was in it; each that is not is refused for the right reason and uses nothing up.
pub fn lanes(bytes: &[u8]) {
    lanes_with(bytes, &Rules::TRUE);
}

/// What the model believes.
pub(crate) struct Rules {
    /// How many numbers the window of class small is wider than it is.
    pub(crate) wider: i64,
    /// Whether a forward cell that does not open uses its number up.
    pub(crate) forged_uses_up: bool,
    /// How many cells of one client may wait.
    pub(crate) pool: usize,
}

impl Rules {
    pub(crate) const TRUE: Rules = Rules { wider: 0, forged_uses_up: false, pool: POOL / 2 };
}

/// One client gets no more than is left.
const POOL: usize = 6;
const PERIOD: Duration = Duration::from_millis(10);

/// The model: of one channel and direction, the numbers that came, and what waits.
#[derive(Default)]
struct Half {
    marked: Marked,
    waiting: VecDeque<(u32, Vec<u8>)>,
}

pub(crate) fn lanes_with(bytes: &[u8], rules: &Rules) {
    let mut input = Input::new(bytes);
    // One client alone gets half of a pool.
    let limits = Limits { pool: POOL, ..Limits::default() };
    let mut world = Between::new(Strategy::Timed { period: PERIOD }, &limits);
    let channels = [world.open(Class::Small), world.open(Class::Large)];
    let mut halves: [[Half; 2]; 2] = Default::default();
    // A channel that was used is confirmed no more: what waits from here on is cells.
    for (channel, halves) in channels.iter().zip(&mut halves) {
        let (cell, inner) = cell(&world, channel, Direction::Forward, 0, &mut Input::new(&[]));
        world.node.give(world.client.at, &cell).expect("the first cell");
        halves[0].marked.mark(0, true);
        halves[0].waiting.push_back((0, inner));
    }
    world.node.pass(20 * PERIOD);
    leave(&mut world, &channels, &mut halves);
    let start = world.node.now.time;
    // Windows rest after five quiet seconds; that is the window's own affair.
    while !input.is_empty() && world.node.now.time - start < Duration::from_secs(4) {
        let step = input.byte();
        if step < 40 {
            world.node.pass(Duration::from_millis(u64::from(input.byte() % 32)));
            leave(&mut world, &channels, &mut halves);
            continue;
        }
        let which = usize::from(step & 1);
        let direction = Direction::ALL[usize::from(step >> 1 & 1)];
        let all_waiting = halves[which][direction as usize].waiting.len();
        let half = &mut halves[which][direction as usize];
        let channel = &channels[which];
        let near = half.marked.top().unwrap_or(0);
        let sequence = match input.byte() % 8 {
            0 => input.u32() % (u32::MAX - 1),
            1 => near.saturating_sub(u32::from(input.u16())),
            2 => near.saturating_sub(WINDOWS[which]).saturating_add((input.byte() % 3).into()),
            3 => near.saturating_add(u32::from(input.byte()) + 1),
            4 => near.saturating_sub(input.byte().into()),
            _ => near.saturating_add(1),
        };
        // The last number of a channel is that of its end.
        let sequence = sequence.min(u32::MAX - 1);
        let spoil = input.byte();
        let (cell, inner) = cell(&world, channel, direction, sequence, &mut input);
        let mut sent = cell.clone();
        let mut expected = None;
        match spoil {
            0..16 => {
                sent[4 + usize::from(spoil)] ^= 1;
                expected = Some(Dropped::ForgedHeader);
            }
            16..32 => {
                sent.push(0);
                expected = Some(Dropped::WrongSize);
            }
            // A cell of the other class's size under this channel's id.
            32..40 => {
                let other = if which == 0 { LARGE } else { SMALL };
                let leaving = u8::from(direction == Direction::Backward);
                sent.resize(wire::cell_size(other, leaving), 0);
                expected = Some(Dropped::WrongClass);
            }
            _ => {}
        }
        let spoils_layer = (40..64).contains(&spoil) && direction == Direction::Forward;
        if spoils_layer {
            sent[40 + usize::from(spoil)] ^= 1;
        }
        let width = i64::from(WINDOWS[which]) + if which == 0 { rules.wider } else { 0 };
        let window = WindowRules { width: width as u32, ..WindowRules::TRUE };
        let expected = expected.map_or_else(
            || {
                half.marked.check(sequence, &window).map_err(|seen| match seen {
                    mixing::replay::Seen::Repeated => Dropped::RepeatedCell,
                    mixing::replay::Seen::Late => Dropped::LateCell,
                })?;
                if spoils_layer {
                    if rules.forged_uses_up {
                        half.marked.mark(sequence, true);
                    }
                    return Err(Dropped::ForgedLayer);
                }
                half.marked.mark(sequence, true);
                if all_waiting >= rules.pool { Err(Dropped::PoolFull) } else { Ok(()) }
            },
            Err,
        );
        let from = if direction == Direction::Forward { world.client.at } else { world.exit.at };
        assert_eq!(world.node.give(from, &sent), expected, "{direction:?} {sequence} after {near}");
        if expected.is_ok() {
            half.waiting.push_back((sequence, inner));
        }
    }
    world.node.pass(2 * PERIOD);
    leave(&mut world, &channels, &mut halves);
    assert!(halves.iter().flatten().all(|half| half.waiting.is_empty()), "all of it left");
}

/// An honest cell, and what must come out at the other side.
fn cell(
    world: &Between,
    channel: &Through,
    direction: Direction,
    sequence: u32,
    input: &mut Input<'_>,
) -> (Vec<u8>, Vec<u8>) {
    let s0 = if channel.class == Class::Small { SMALL } else { LARGE };
    let fill = input.byte();
    match direction {
        Direction::Forward => {
            let mut cell = vec![fill; s0];
            let inner = cell[36..].to_vec();
            peer::seal(&channel.hop.forward, sequence, &mut cell[20..]);
            world.client.encipher(&mut cell, channel.forward, sequence);
            (cell, inner)
        }
        Direction::Backward => {
            let mut cell = vec![fill; s0 - TAG];
            let inner = cell[20..].to_vec();
            world.exit.encipher(&mut cell, channel.ahead_backward, sequence);
            (cell, inner)
        }
    }
}

/// Reads what left at both sides, each cell against what waited.
fn leave(world: &mut Between, channels: &[Through; 2], halves: &mut [[Half; 2]; 2]) {
    for direction in Direction::ALL {
        let forward = direction == Direction::Forward;
        let peer = if forward { &world.exit } else { &world.client };
        for mut cell in world.node.mail(peer.at) {
            let (id, sequence) = peer.header(&cell).expect("this link's");
            if id == 0 {
                continue;
            }
            let is_its = |c: &Through| id == if forward { c.ahead_forward } else { c.backward };
            let which = channels.iter().position(is_its).expect("a channel that there is");
            let s0 = if which == 0 { SMALL } else { LARGE };
            assert_eq!(cell.len(), wire::cell_size(s0, u8::from(forward)));
            if !forward {
                let opens = peer::open(&channels[which].hop.backward, sequence, &mut cell[20..]);
                assert!(opens, "the mix adds its layer");
            }
            let inner = &cell[if forward { 20 } else { 36 }..];
            let oldest = halves[which][direction as usize].waiting.pop_front();
            assert_eq!(oldest, Some((sequence, inner.to_vec())), "once, and in its order");
        }
    }
}
