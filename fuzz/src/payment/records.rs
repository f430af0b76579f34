//! What mixers and payers find on their disks when they begin.

use std::sync::LazyLock;

use ledger::wire::NUMBER_MAX;
use mixing::Chance;
use money::{LedgerTime, Slot};
use payment::Payer;
use payment::effect::FinalBlock;
use payment::mixer::Mixer;

use super::world::{Faults, World, key, units};
use crate::input::{Input, spoil};

type Records = Vec<(Vec<u8>, Vec<u8>)>;

/// What the first mixer and the payer of a world have on their disks, at several times.
struct Disks {
    world: World,
    mixer: Vec<Records>,
    payer: Vec<Records>,
}

/// A world that stands still is only looked at.
fn disks() -> Disks {
    let mut world = World::new(3, 2, 1, Faults::default());
    world.hops = 2;
    for at in [15_000, 17_000, 25_000] {
        world.want(0, 201, 500, at);
    }
    let (mut mixer, mut payer) = (Vec::new(), Vec::new());
    world.run_until(14_000);
    for _ in 0..24 {
        world.run_until(world.ms + 1_000);
        let records = |at: usize| world.nodes[at].disk.records.clone().into_iter().collect();
        mixer.push(records(0));
        payer.push(records(2));
    }
    Disks { world, mixer, payer }
}

static DISKS: LazyLock<Disks> = LazyLock::new(disks);

/// Records of a mixer, of which some are spoiled: one that is none is refused, and with the rest the
/// mixer begins and takes the next block.
pub fn mixer_records(bytes: &[u8]) {
    let disks = &*DISKS;
    let (records, honest) = spoiled(bytes, &disks.mixer);
    let (world, now) = (&disks.world, disks.world.now());
    let config = world.mixer_config();
    let chance = Chance::new([1; 32]);
    let mixer = Mixer::resume(config, key(1), chance, records, 0, now);
    assert!(mixer.is_ok() || !honest, "its own records");
    let Ok(mut mixer) = mixer else { return };
    let mut out = Vec::new();
    mixer.tick(now, &mut out);
    if mixer.next_block() <= NUMBER_MAX {
        let block = block(mixer.next_block(), world);
        mixer.receive(now, payment::effect::Input::Block(block), &mut out).expect("the next");
    }
    let _ = (mixer.needed(), mixer.standing(now), mixer.wake_at());
}

/// Records of a payer: as [`mixer_records`].
pub fn payer_records(bytes: &[u8]) {
    let disks = &*DISKS;
    let (records, honest) = spoiled(bytes, &disks.payer);
    let (world, now) = (&disks.world, disks.world.now());
    let config = world.payer_config();
    let chance = Chance::new([1; 32]);
    let payer = Payer::resume(config, key(101), chance, records, 0, now);
    assert!(payer.is_ok() || !honest, "its own records");
    let Ok(mut payer) = payer else { return };
    let mut out = Vec::new();
    payer.tick(now, &mut out);
    if payer.next_block() <= NUMBER_MAX {
        let block = block(payer.next_block(), world);
        payer.on_block(&block, &[], &mut out).expect("the next");
    }
    let _ = (payer.watched(), payer.wake_at());
}

fn block(height: u64, world: &World) -> FinalBlock {
    FinalBlock {
        height,
        time: LedgerTime::from_millis(world.now().date.as_millis()),
        newest: height,
        received: Vec::new(),
        spent: Vec::new(),
        balance: units(100_000),
        slot: Slot(1),
    }
}

/// One of these disks, with what the input changes in it; and whether that is nothing.
fn spoiled(bytes: &[u8], disks: &[Records]) -> (Records, bool) {
    let mut input = Input::new(bytes);
    let honest = &disks[input.below(disks.len())];
    let mut records = honest.clone();
    for _ in 0..input.below(4) {
        let at = input.below(records.len());
        match input.below(4) {
            0 => spoil(&mut input, &mut records[at].0),
            1 | 2 => spoil(&mut input, &mut records[at].1),
            _ => records[at].1 = disks[input.below(disks.len())][0].1.clone(),
        }
    }
    let same = records == *honest;
    (records, same)
}
