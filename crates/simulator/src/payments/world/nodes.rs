//! What nodes do: start and stop, wake, and perform what their cores want done, saving first.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use ::money::AccountKey;
use mixing::{Now, Time};
use payment::effect::{Effect, Notice};
use payment::peers::Peers;
use payment::{Mixer, Payer};

use super::{Event, World};
use crate::clock::Clock;
use crate::payments::disk::Disk;
use crate::payments::fault::What;
use crate::payments::log::Happened;
use crate::payments::network::up_to;
use crate::payments::node::{Alive, Call, Core, Node};
use crate::payments::plan::{DOWN_MAX, Plan};

/// How soon after one wake the next may be.
const WAKE_AGAIN: Duration = Duration::from_millis(1);

impl Node {
    /// A node before its first start.
    pub(super) fn new(plan: &Plan, number: usize) -> Node {
        Node {
            account: plan.key(number).account(),
            disk: Disk::new(plan.is_copied(number)),
            clock: Clock { drift: plan.drifts[number], skew: 0 },
            alive: None,
            starts: 0,
            commands: 0,
        }
    }
}

impl World {
    /// Starts a node with what it finds on its disk.
    pub(super) fn start(&mut self, number: usize) {
        let now = self.nodes[number].clock.now(self.now);
        let key: AccountKey = self.plan.key(number);
        let (account, chance) = (key.account(), self.chance.fork());
        let mut records: Vec<_> = self.nodes[number].disk.records().clone().into_iter().collect();
        if let Some(mistake) = &mut self.mistake {
            records.retain(|(key, record)| mistake.finds(self.now, number, key, record));
        }
        let (height, currency) = (self.chain.final_height(), self.currency.clone());
        let core = if number < self.plan.mixers {
            let config = self.plan.mixer_config(currency.clone());
            let mixer = Mixer::resume(config, key, chance, records, height, now);
            Core::Mixer(Box::new(mixer.expect("disks keep what was saved")))
        } else {
            let config = self.plan.payer_config(number, currency.clone());
            let payer = Payer::resume(config, key, chance, records, height, now);
            Core::Payer(Box::new(payer.expect("disks keep what was saved")))
        };
        let node = &mut self.nodes[number];
        node.starts += 1;
        node.alive = Some(Alive {
            core,
            peers: Peers::new(currency, account, false, self.chance.fork()),
            date: 0,
            asked: BTreeMap::new(),
            todo: VecDeque::new(),
            busy: Time::ZERO,
            unsynced: false,
            wake: None,
            wakes: 0,
        });
        let starts = node.starts as u32;
        self.note(Happened::Up { node: number as u16, starts });
        self.queue.plan(self.now, Event::Look(number as u16));
        self.greet(number);
        self.set_alarm(number);
    }

    /// Starts a node that is down, unless something keeps it down.
    pub(super) fn start_again(&mut self, number: usize) {
        let kept = self.is_on(
            |what| matches!(what, What::Away(down) | What::OldCopy(down) if *down == number),
        );
        if !kept && self.nodes[number].alive.is_none() {
            self.start(number);
        }
    }

    /// A process ends wherever it is; what was not synced may be gone.
    pub(super) fn crash(&mut self, number: usize) {
        if self.nodes[number].alive.take().is_some() {
            self.nodes[number].disk.crash(&mut self.chance);
            self.note(Happened::Down { node: number as u16 });
        }
    }

    /// Whether this is the moment in which a process dies.
    fn dies(&mut self, number: usize) -> bool {
        let dies = |(_, what): &(usize, What)| match what {
            What::Dies(node, one_in) if *node == number => Some(*one_in),
            _ => None,
        };
        let Some(one_in) = self.active.iter().find_map(dies) else { return false };
        if self.chance.below(one_in) > 0 {
            return false;
        }
        self.crash(number);
        let down = up_to(&mut self.chance, DOWN_MAX);
        self.queue.plan(self.now + down, Event::Start(number as u16));
        true
    }

    /// Whether a node takes something in now; if its disk is at work, the time when it is done.
    pub(super) fn is_free(&self, number: usize) -> Result<(), Option<Time>> {
        match &self.nodes[number].alive {
            None => Err(None),
            Some(alive) if alive.busy > self.now => Err(Some(alive.busy)),
            Some(_) => Ok(()),
        }
    }

    /// What a node's clock shows.
    pub(super) fn clock(&self, number: usize) -> Now {
        self.nodes[number].clock.now(self.now)
    }

    /// Performs what a core wants done, as far as the disk lets it.
    pub(super) fn perform(&mut self, number: usize, effects: Vec<Effect>, call: Option<Call>) {
        let effects = match &mut self.mistake {
            Some(mistake) => mistake.performs(self.now, number, effects),
            None => effects,
        };
        let Some(alive) = &mut self.nodes[number].alive else { return };
        alive.todo.extend(effects.into_iter().map(|effect| (effect, call)));
        self.work(number);
    }

    /// A node's disk is ready.
    pub(super) fn ready(&mut self, number: usize) {
        let Some(alive) = &mut self.nodes[number].alive else { return };
        if alive.busy > self.now {
            return;
        }
        if std::mem::take(&mut alive.unsynced) {
            self.nodes[number].disk.sync();
        }
        self.work(number);
        self.tick(number);
    }

    fn work(&mut self, number: usize) {
        loop {
            let Some(alive) = &mut self.nodes[number].alive else { return };
            if alive.busy > self.now {
                return;
            }
            let Some((effect, call)) = alive.todo.pop_front() else { return };
            let lives = match effect {
                Effect::Save(changes) => self.save(number, changes),
                Effect::Reply(answer) => {
                    self.reply(number, call, Ok(answer));
                    true
                }
                Effect::Ask { order, to, command } => {
                    self.ask(number, order, to, &command);
                    true
                }
                Effect::Sign { slot, payment, period } => {
                    self.sign(number, slot, payment, period);
                    true
                }
                Effect::Broadcast(bytes) => {
                    self.broadcast(number, bytes);
                    true
                }
                Effect::Tell(notice) => {
                    self.tell(number, notice);
                    true
                }
            };
            if !lives || self.dies(number) {
                return;
            }
        }
    }

    /// Saves; says whether the process still runs.
    fn save(&mut self, number: usize, changes: Vec<payment::effect::Change>) -> bool {
        let changes = match &mut self.mistake {
            Some(mistake) => mistake.saves(self.now, number, changes),
            None => changes,
        };
        let bytes = changes.iter().flat_map(|change| change.value.iter().flatten());
        let mark = bytes.fold(0u64, |mark, byte| mark.wrapping_mul(31) + u64::from(*byte));
        let count = changes.len() as u16;
        self.note(Happened::Saved { node: number as u16, changes: count, mark });
        self.knowledge.stores(number, &changes);
        self.nodes[number].disk.write(&changes);
        let slow = |(_, what): &(usize, What)| match what {
            What::SlowDisk(node, takes) if *node == number => Some(*takes),
            _ => None,
        };
        if let Some(takes) = self.active.iter().find_map(slow) {
            let Some(alive) = &mut self.nodes[number].alive else { return false };
            (alive.busy, alive.unsynced) = (self.now + takes, true);
            self.queue.plan(self.now + takes, Event::Work(number as u16));
            return true;
        }
        if self.dies(number) {
            return false;
        }
        self.nodes[number].disk.sync();
        true
    }

    fn tell(&mut self, number: usize, notice: Notice) {
        self.note(Happened::Told { node: number as u16, notice });
        if let Err(broken) = self.books.told(&self.plan, number, notice) {
            self.fail(broken);
        }
    }

    /// A node's alarm rings.
    pub(super) fn wake(&mut self, number: usize) {
        let Some(alive) = &mut self.nodes[number].alive else { return };
        if alive.wake.is_none_or(|at| at > self.now) {
            return;
        }
        alive.wake = None;
        if alive.busy > self.now {
            return;
        }
        alive.wakes += 1;
        self.tick(number);
    }

    /// Lets a core do what is due. To be called after each input.
    pub(super) fn tick(&mut self, number: usize) {
        if self.is_free(number).is_err() {
            return;
        }
        let now = self.clock(number);
        let mut out = Vec::new();
        if let Some(alive) = &mut self.nodes[number].alive {
            alive.core.tick(now, &mut out);
        }
        self.perform(number, out, None);
        self.set_alarm(number);
    }

    /// Plans the node's next wake, unless one is planned that is early enough.
    fn set_alarm(&mut self, number: usize) {
        let node = &mut self.nodes[number];
        let Some(alive) = &mut node.alive else { return };
        let Some(at) = alive.core.wake_at() else { return };
        let at = node.clock.world(at).max(self.now + WAKE_AGAIN);
        if alive.wake.is_none_or(|planned| at < planned) {
            alive.wake = Some(at);
            self.queue.plan(at, Event::Wake(number as u16));
        }
    }
}
