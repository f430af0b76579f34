//! Paths over several mixers in a small world: every layer, message and deposit as the input says, and a
//! payer and cheats whose keys are here.

use std::collections::{BTreeMap, BTreeSet};

use mixing::Chance;
use mixing::keys::Secret;
use money::{Account, Reference, Transfer};
use payment::document::{Confirm, GetConfirm, Promise, Request, Signed, Unverified};
use payment::effect::{Answer, Command, Input as Given, Unheard};
use payment::onion::{self, Layer};
use payment::promises;

use super::world::{self, Core, Faults, Message, World, key, units};
use crate::input::{Input, spoil};

/// Requests over one to three mixers with at most one thing wrong in one layer; messages between mixers
/// that are lost, late, twice, spoiled, or say something else under a good signature; deposits that fit,
/// do not fit, are late, come again; crashes in between. A path is promised exactly if every layer of it
/// is sound; and whatever was said, every payment that came in is passed on or sent back, once, and
/// nothing is paid without one.
pub fn paths(bytes: &[u8]) {
    paths_with(bytes, &Rules::TRUE);
}

/// What the model believes.
pub(crate) struct Rules {
    /// How long after its deposit's last date a payout's must be, in seconds.
    pub(crate) margin: u64,
    /// Whether a wrong layer behind the first spoils the path.
    pub(crate) all_layers: bool,
    /// Whether what fits no promise is sent back.
    pub(crate) returns: bool,
}

impl Rules {
    /// The longest wait and the margin of the world's mixers.
    pub(crate) const TRUE: Rules = Rules { margin: 3 + 30, all_layers: true, returns: true };
}

const PAYER: u8 = 101;
const MIXERS: usize = 4;
/// Within so many milliseconds a path is promised, if nothing happens to its messages.
const PROMISED_MS: u64 = 32_000;
/// Within so many, all that was paid in is paid out.
const SETTLED_MS: u64 = 120_000;

/// A path that was asked for.
struct Path {
    /// Its mixers, by place in the world.
    mixers: Vec<usize>,
    layers: Vec<Layer>,
    /// Whether every layer is sound.
    sound: bool,
    asked_ms: u64,
    seed: [u8; 32],
    /// What its mixers promised, once the payer has it.
    promised: Option<Vec<Promise>>,
    /// Whether what was asked for was paid, before the promises were there or after.
    early: bool,
    paid: bool,
}

struct Run<'a> {
    world: World,
    chance: Chance,
    rules: &'a Rules,
    paths: Vec<Path>,
    /// Every promise that any mixer ever had, by its deposit's reference.
    promises: BTreeMap<Reference, Promise>,
    /// Whether every message came, in time and once, and nobody crashed.
    calm: bool,
    /// Whether somebody lied.
    lied: bool,
}

pub(crate) fn paths_with(bytes: &[u8], rules: &Rules) {
    let mut input = Input::new(bytes);
    let mut world = World::new(1, MIXERS, 1, Faults::default());
    world.pays = false;
    world.run_until(15_000);
    let chance = Chance::new([2; 32]);
    let (paths, promises) = (Vec::new(), BTreeMap::new());
    let mut run = Run { world, chance, rules, paths, promises, calm: true, lied: false };
    for _ in 0..32 {
        if input.is_empty() {
            break;
        }
        match input.below(16) {
            0..5 => run.pass(250 * (1 + u64::from(input.byte() % 32))),
            5..8 => run.happen(&mut input),
            8 if input.byte() < 64 => {
                run.world.crash(input.below(MIXERS), 250 * u64::from(input.byte() % 16));
                run.calm = false;
            }
            9..13 if !run.paths.is_empty() => run.pay(&mut input),
            13 if !run.paths.is_empty() => {
                let which = input.below(run.paths.len());
                run.look(which);
            }
            _ => run.ask(&mut input),
        }
    }
    run.pass(PROMISED_MS);
    for which in 0..run.paths.len() {
        run.look(which);
    }
    run.pass(SETTLED_MS);
    run.settle();
}

impl Run<'_> {
    /// Lets time pass, and sees what mixers promise.
    fn pass(&mut self, ms: u64) {
        let end = self.world.ms + ms;
        while self.world.ms < end {
            self.world.run_until(self.world.ms + world::STEP_MS);
            let currency = self.world.currency();
            for node in &self.world.nodes[..MIXERS] {
                let Some(Core::Mixer(mixer)) = &node.core else { continue };
                for promise in mixer.orders().values().filter_map(|o| o.promise(node.account)) {
                    let reference = promise.in_reference(&currency);
                    let known = self.promises.entry(reference).or_insert_with(|| promise.clone());
                    assert_eq!(*known, promise, "one deposit is promised one thing");
                }
            }
        }
    }

    /// Asks the first mixer of a path, with at most one thing wrong in one layer.
    fn ask(&mut self, input: &mut Input<'_>) {
        let currency = self.world.currency();
        let date = self.world.ledger.final_head().time.as_secs();
        let first = input.below(MIXERS);
        let hops = 1 + input.below(3);
        let mixers: Vec<usize> = (0..hops).map(|hop| (first + hop) % MIXERS).collect();
        let accounts: Vec<Account> =
            mixers.iter().map(|mixer| self.world.nodes[*mixer].account).collect();
        let out = units([100, 200, 500][input.below(3)]);
        let payer = key(PAYER).account();
        let (mut sender, mut amount) = (payer, units(out.units() + world::FEE));
        let mut in_seed = self.chance.bytes();
        let mut expire_date = date + 60;
        let mut layers: Vec<Layer> = Vec::new();
        for hop in 0..hops {
            let layer = Layer {
                sender,
                in_amount: amount,
                in_seed,
                next: accounts
                    .get(hop + 1)
                    .copied()
                    .unwrap_or(key(210 + input.byte() % 4).account()),
                next_is_mixer: hop + 1 < hops,
                out_amount: out,
                out_seed: self.chance.bytes(),
                expire_date,
                payout_date: expire_date + 40,
                one_time: Secret::new(self.chance.bytes()),
                hop_key: Secret::new(self.chance.bytes()),
            };
            (sender, amount, in_seed) = (accounts[hop], out, layer.out_seed);
            expire_date = layer.payout_date;
            layers.push(layer);
        }
        let whose = input.below(hops);
        let mut sealed_to = mixers.clone();
        let by = input.byte();
        let nobody = Account::from_bytes([77; 32]);
        let layer = &mut layers[whose];
        let mut sound = false;
        match input.below(24) {
            0 => layer.sender = nobody,
            1 => layer.in_amount = units(layer.in_amount.units() + 1 + u64::from(by)),
            2 => layer.out_amount = units(layer.out_amount.units() + 1),
            3 => layer.expire_date = date - u64::from(by),
            4..7 => {
                let margin = 24 + u64::from(by % 16);
                layer.payout_date = layer.expire_date + margin;
                sound = margin >= self.rules.margin;
            }
            7 => layer.next = accounts[whose],
            8 => layer.next = layer.sender,
            9 => (layer.next, layer.next_is_mixer) = (nobody, true),
            10 => sealed_to[whose] = (mixers[whose] + 1) % MIXERS,
            11 => layer.payout_date += 8 * 86_400,
            _ => sound = true,
        }
        sound |= whose > 0 && !self.rules.all_layers;
        let running = mixers
            .iter()
            .chain(&sealed_to)
            .all(|mixer| matches!(&self.world.nodes[*mixer].core, Some(Core::Mixer(_))));
        if !running {
            return;
        }
        let keys: Vec<_> =
            sealed_to.iter().map(|mixer| self.world.mixer(*mixer).enckey().clone()).collect();
        let sealed: Vec<_> = keys.iter().zip(&layers).collect();
        let request = Request {
            to: accounts[0],
            sender: *payer.as_bytes(),
            amount: units(out.units() + world::FEE),
            client: true,
            req_date: date,
            onion: onion::build(&sealed, &currency, &mut self.chance),
        };
        let body = Signed::make(request, &currency, &key(PAYER)).bytes().to_vec();
        let given = self.world.give(mixers[0], Given::Request { body, owned: units(100_000) });
        let Ok(Some(Answer::Seed(seed))) = given else {
            let full = given == Err(payment::effect::Refused::SenderFull);
            // A mixer that crashed makes no promises until it has read the chain.
            assert!(
                !self.calm || full || !sound || whose > 0,
                "a sound request is taken: {given:?}"
            );
            return;
        };
        let asked_ms = self.world.ms;
        self.paths.push(Path {
            mixers,
            layers,
            sound,
            asked_ms,
            seed,
            promised: None,
            early: false,
            paid: false,
        });
    }

    /// Something happens to a message between mixers: what the network may do, or a cheat.
    fn happen(&mut self, input: &mut Input<'_>) {
        if self.world.messages.is_empty() {
            return;
        }
        let currency = self.world.currency();
        let at = input.below(self.world.messages.len());
        let what = input.below(8);
        self.calm = false;
        self.lied |= what > 2;
        match what {
            0 => drop(self.world.messages.remove(at)),
            1 => {
                let copy = self.world.messages[at].clone();
                self.world.messages.push(copy);
            }
            2 => self.world.messages[at].0 += 250 * u64::from(input.byte() % 32),
            _ => match &mut self.world.messages[at].1 {
                Message::Command { from, command, .. } => {
                    let key = key(*from as u8 + 1);
                    let (Command::Mix(body) | Command::Confirm(body) | Command::GetConfirm(body)) =
                        command;
                    if input.flag() {
                        spoil(input, body);
                    } else if let Ok(said) = Unverified::<Confirm>::parse(body, &currency) {
                        let mut said = said.content().clone();
                        if input.flag() {
                            spoil(input, &mut said.promises);
                        } else {
                            said.out_seed = input.array();
                        }
                        *body = Signed::make(said, &currency, &key).bytes().to_vec();
                    } else if let Ok(said) = Unverified::<Request>::parse(body, &currency) {
                        let mut said = said.content().clone();
                        match input.below(4) {
                            0 => spoil(input, &mut said.onion),
                            1 => said.amount = units(u64::from(input.u32())),
                            2 => said.client = true,
                            _ => said.req_date = said.req_date.wrapping_add(input.u16().into()),
                        }
                        *body = Signed::make(said, &currency, &key).bytes().to_vec();
                    }
                }
                Message::Answer { answer, .. } => {
                    *answer = match input.below(5) {
                        0 => Err(Unheard::Refused),
                        1 => Err(Unheard::Unreachable),
                        2 => Ok(Answer::Taken),
                        3 => Ok(Answer::Seed(input.array())),
                        _ => Ok(Answer::Promises(input.run().to_vec())),
                    };
                }
                Message::Signed { .. } => {}
            },
        }
    }

    /// The payer asks for the promises of a path, and reads them.
    fn look(&mut self, which: usize) {
        let (currency, date) =
            (self.world.currency(), self.world.ledger.final_head().time.as_secs());
        let path = &self.paths[which];
        let to = self.world.nodes[path.mixers[0]].account;
        let question = GetConfirm { to, sender: key(PAYER).account(), in_seed: path.seed, date };
        let body = Signed::make(question, &currency, &key(PAYER)).bytes().to_vec();
        let given = self.world.give(path.mixers[0], Given::GetConfirm { body });
        let path = &mut self.paths[which];
        if let Ok(Some(Answer::Promises(slots))) = given {
            let keys: Vec<_> =
                path.layers.iter().map(|layer| (&layer.one_time, &layer.hop_key)).collect();
            let taken = promises::take(&slots, &keys).ok().and_then(|all| {
                let nodes = path.mixers.iter().map(|mixer| self.world.nodes[*mixer].account);
                let read = all.iter().zip(nodes).map(|(promise, node)| {
                    let signed = Signed::<Promise>::read(promise, &currency, |_| Some(node));
                    signed.map(|signed| signed.content().clone()).ok()
                });
                read.collect::<Option<Vec<Promise>>>()
            });
            assert!(self.lied || taken.is_some(), "nobody lied, so the payer can read it");
            if let Some(taken) = taken {
                assert!(path.sound, "a path with a wrong layer is not promised: {taken:?}");
                let mut seed = path.seed;
                for (promise, layer) in taken.iter().zip(&path.layers) {
                    let fits = (promise.sender, promise.receiver) == (layer.sender, layer.next)
                        && (promise.in_amount, promise.out_amount)
                            == (layer.in_amount, layer.out_amount)
                        && promise.in_seeds == [seed, layer.in_seed];
                    assert!(fits || self.lied, "promised is what was asked: {promise:?}");
                    seed = promise.out_seeds[0];
                }
                path.promised = Some(taken);
            }
        }
        let due = self.world.ms >= path.asked_ms + PROMISED_MS && self.calm;
        assert!(
            !due || !path.sound || path.promised.is_some() || path.early,
            "it is promised in time"
        );
    }

    /// A payment to the first mixer of a path: what it is to be, or with something wrong.
    fn pay(&mut self, input: &mut Input<'_>) {
        let which = input.below(self.paths.len());
        let path = &mut self.paths[which];
        let layer = &path.layers[0];
        let mixer = self.world.nodes[path.mixers[0]].account;
        let reference = payment::document::Promise {
            node: mixer,
            sender: layer.sender,
            receiver: layer.next,
            in_amount: layer.in_amount,
            in_seeds: [path.seed, layer.in_seed],
            out_amount: layer.out_amount,
            out_seeds: [[0; 32]; 2],
            req_date: 0,
            expire_date: 0,
            payout_date: 0,
        }
        .in_reference(&self.world.currency());
        let (mut from, mut amount) = (PAYER, layer.in_amount.units());
        let mut text = reference.as_bytes().to_vec();
        match input.below(12) {
            0 => amount += 1 + u64::from(input.byte()),
            1 => amount -= 1,
            // A mixer's own account belongs to its core; only who has none of these may pay by hand.
            2 => from = STRANGER,
            3 => spoil(input, &mut text),
            4 => text = [b"return:", reference.as_bytes()].concat(),
            _ if path.promised.is_some() => path.paid = true,
            _ => path.early = true,
        }
        text.truncate(Reference::SIZE_MAX);
        if from == STRANGER {
            let (to, amount) = (key(STRANGER).account(), units(10_000));
            let faucet = money::embedded::Inherent::Faucet { to, amount };
            self.world.ledger.order(faucet).expect("room for one order");
            self.pass(world::BLOCK_MS * 2);
        }
        self.world.pay_by_hand(from, mixer, amount, &text);
    }

    /// What the final chain shows, mixer by mixer.
    fn settle(&self) {
        let transfers: Vec<Transfer> =
            self.world.final_transfers().into_iter().map(|(transfer, _)| transfer).collect();
        let currency = self.world.currency();
        let mut kept: BTreeSet<&Reference> = BTreeSet::new();
        for (at, node) in self.world.nodes[..MIXERS].iter().enumerate() {
            let mixer = self.world.mixer(at);
            let is_mingle = |reference: &&Reference| {
                std::str::from_utf8(reference.as_bytes())
                    .is_ok_and(|text| money::address::unbase58(text).is_some())
            };
            // What came in and must go out again.
            let mut held: Vec<&Transfer> = transfers
                .iter()
                .filter(|t| {
                    t.to == node.account && t.reference.as_ref().filter(is_mingle).is_some()
                })
                .collect();
            for paid in transfers.iter().filter(|t| t.from == node.account) {
                let reference = paid.reference.as_ref().expect("no mixer pays without one");
                let is_its = |came: &&Transfer| {
                    let known = came.reference.as_ref().expect("looked for above");
                    if let Some(original) = reference.as_bytes().strip_prefix(b"return:") {
                        let back = came.amount.minus(units(world::LEDGER_FEE));
                        return known.as_bytes() == original
                            && came.from == paid.to
                            && back == Some(paid.amount);
                    }
                    self.promises.get(known).is_some_and(|promise| {
                        (promise.node, promise.sender) == (node.account, came.from)
                            && promise.in_amount == came.amount
                            && (promise.receiver, promise.out_amount) == (paid.to, paid.amount)
                            && promise.out_reference(&currency) == *reference
                    })
                };
                let deposit = held.iter().position(is_its);
                let deposit = deposit.unwrap_or_else(|| panic!("paid for nothing: {paid:?}"));
                if !reference.as_bytes().starts_with(b"return:") {
                    assert!(kept.insert(reference), "a promise is kept once");
                }
                held.remove(deposit);
            }
            held.retain(|came| !mixer.unclaimed().contains_key(&came.place));
            let all = held.is_empty();
            assert!(all && self.rules.returns || !all && !self.rules.returns, "kept: {held:?}");
            assert!(mixer.returns().is_empty(), "all that goes back went back");
        }
        if self.lied {
            return;
        }
        for path in self.paths.iter().filter(|path| path.paid) {
            for promise in path.promised.iter().flatten() {
                let reference = promise.out_reference(&currency);
                assert!(kept.contains(&reference), "paid in, so paid on: {promise:?}");
            }
        }
    }
}

/// Somebody who pays for others.
const STRANGER: u8 = 150;
