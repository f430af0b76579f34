//! What nodes do: start and stop, take in what arrives, wake, and send.

use std::net::SocketAddr;
use std::time::Duration;

use datagram::{Effect, Entry, Exit, Mix, Outbox, Policy};
use mixing::{Now, Time};

use super::World;
use crate::chain::log::Happened;
use crate::chain::node::{Core, EXIT, Node};
use crate::chain::queue::Event;
use crate::clock::Clock;

/// How soon after one wake the next may be: the precision of a machine that waits.
const WAKE_AGAIN: Duration = Duration::from_micros(50);

impl World {
    /// Makes room for a node that is not yet started.
    pub(super) fn place(&mut self, number: usize) {
        let address = self.plan.address(number);
        self.places.insert(address, number);
        self.nodes.push(Node {
            address,
            tier: self.plan.tier(number),
            clock: Clock { drift: self.plan.drifts[number], skew: 0 },
            core: None,
            stalled: Time::ZERO,
            wake: None,
            wakes: 0,
        });
    }

    /// Starts a node with nothing in memory.
    pub(super) fn start(&mut self, number: usize) {
        let node = &mut self.nodes[number];
        let (now, chance) = (node.clock.now(self.now), self.chance.fork());
        let (network, limits) = (self.network.clone(), self.plan.limits.clone());
        let identity = || self.plan.identity(number);
        let core = match node.tier {
            0 => Entry::new(now, network, limits, chance).map(|core| Core::Entry(Box::new(core))),
            EXIT => Exit::new(now, network, identity(), Policy::default(), limits, chance)
                .map(|core| Core::Exit(Box::new(core))),
            _ => Mix::new(now, network, identity(), limits, chance)
                .map(|core| Core::Mix(Box::new(core))),
        };
        node.core = Some(core.expect("plans have sound network lists"));
        node.wake = None;
        self.set_alarm(number);
    }

    /// A node ends, in good order or not; its sockets close either way.
    pub(super) fn stop(&mut self, number: usize, orderly: bool) {
        if orderly {
            self.with_core(number, |core, now, out| core.shutdown(now, out));
        }
        self.nodes[number].core = None;
        self.sockets.retain(|(node, _)| *node != number);
        for user in self.owners[number].values() {
            self.doors[*user] = None;
        }
        self.owners[number].clear();
    }

    /// Does something with a core, ticks it, and performs what it wants done.
    pub(super) fn with_core<R>(
        &mut self,
        number: usize,
        act: impl FnOnce(&mut Core, Now, &mut Outbox) -> R,
    ) -> Option<R> {
        let node = &mut self.nodes[number];
        let now = node.clock.now(self.now);
        let core = node.core.as_mut()?;
        let mut out = std::mem::take(&mut self.out);
        let done = act(core, now, &mut out);
        self.perform(number, &mut out);
        self.out = out;
        Some(done)
    }

    /// Datagrams reach an address.
    pub(super) fn arrive(&mut self, place: u32) {
        let mut flight = self.queue.flight(place);
        let (Some(from), Some(to)) = (flight.from, flight.to) else { return };
        let there = self.places.get(&to).copied().filter(|node| self.nodes[*node].core.is_some());
        let size = flight.size as u16;
        let Some(number) = there else {
            self.note(Happened::NotThere { size });
            return self.queue.landed(place, flight);
        };
        if self.nodes[number].stalled > self.now {
            return self.queue.put_off(place, flight, self.nodes[number].stalled);
        }
        let stranger = !self.places.contains_key(&from) && !self.left.contains_key(&from);
        for bytes in flight.bytes.chunks_mut(flight.size.max(1)) {
            if stranger {
                self.strangers.give(number, from, bytes.len());
            }
            self.note(Happened::Arrived { to: number as u16, size });
            let takes = match &mut self.mistake {
                Some(mistake) => mistake.takes(self.now, number, bytes),
                None => true,
            };
            let watched = self.repeats.find(number, bytes);
            let taken = takes.then(|| {
                self.with_core(number, |core, now, out| core.receive(now, from, bytes, out))
            });
            let Some(Some(mut said)) = taken else { continue };
            if let Some(mistake) = &mut self.mistake {
                said = mistake.says(self.now, number, said);
            }
            if let Err(why) = said {
                self.note(Happened::Refused { to: number as u16, why });
            }
            if let Some(Err(broken)) = watched.map(|key| self.repeats.judge(key, said)) {
                self.fail(broken);
            }
        }
        self.queue.landed(place, flight);
        self.tick(number);
    }

    /// A node's alarm rings.
    pub(super) fn wake(&mut self, number: usize) {
        let node = &mut self.nodes[number];
        if node.core.is_none() || node.wake.is_none_or(|at| at > self.now) {
            return;
        }
        node.wake = None;
        if node.stalled > self.now {
            let until = node.stalled;
            return self.alarm(number, until);
        }
        let takes = match &mut self.mistake {
            Some(mistake) => mistake.wakes(self.now, number),
            None => true,
        };
        if takes {
            self.nodes[number].wakes += 1;
            self.tick(number);
        } else {
            self.alarm(number, self.now + Duration::from_millis(100));
        }
    }

    pub(super) fn tick(&mut self, number: usize) {
        self.with_core(number, |core, now, out| core.tick(now, out));
        self.set_alarm(number);
    }

    /// Plans the node's next wake, unless one is planned that is early enough.
    fn set_alarm(&mut self, number: usize) {
        let node = &self.nodes[number];
        let Some(at) = node.core.as_ref().and_then(|core| core.wake_at()) else { return };
        let at = node.clock.world(at).max(self.now + WAKE_AGAIN);
        if node.wake.is_none_or(|planned| at < planned) {
            self.alarm(number, at);
        }
    }

    fn alarm(&mut self, number: usize, at: Time) {
        self.nodes[number].wake = Some(at);
        self.queue.plan(at, Event::Wake(number as u16));
    }

    /// Performs what a core wants done.
    fn perform(&mut self, number: usize, out: &mut Outbox) {
        for effect in out.effects() {
            match effect {
                Effect::Send { to, segment, bytes } => {
                    self.send(number, *to, *segment, out.bytes(bytes));
                }
                Effect::Deliver { association, source, bytes } => {
                    self.deliver(number, *association, *source, out.bytes(bytes));
                }
                Effect::Notice { association, notice } => {
                    let user = self.owners[number].get(association).copied().unwrap_or_default();
                    self.note(Happened::Notice { node: number as u16, user: user as u16 });
                    self.log.remark(notice);
                }
                Effect::Outside { flow, to, bytes } => {
                    self.outside(number, *flow, *to, out.bytes(bytes));
                }
                Effect::Resolve { question, name } => self.ask(number, *question, name),
                Effect::Gone { flow } => self.gone(number, *flow),
            }
        }
        out.clear();
    }

    /// A node sends a run of datagrams.
    fn send(&mut self, from: usize, to: SocketAddr, size: usize, run: &[u8]) {
        let there = self.places.get(&to).or_else(|| self.left.get(&to)).copied();
        if self.mistake.is_some() {
            for bytes in run.chunks(size) {
                let mistake = self.mistake.as_mut().expect("looked at above");
                for bytes in mistake.sends(self.now, from, there, bytes) {
                    self.send_one(from, to, there, &bytes);
                }
            }
            return;
        }
        match there.and_then(|there| self.wires.untouched(from, there)) {
            Some(after) => {
                for bytes in run.chunks(size) {
                    self.see(from, to, there, bytes);
                }
                let source = self.nodes[from].address;
                self.queue.fly(self.now + after, source, to, size, run);
            }
            None => run.chunks(size).for_each(|bytes| self.send_one(from, to, there, bytes)),
        }
    }

    fn send_one(&mut self, from: usize, to: SocketAddr, there: Option<usize>, bytes: &[u8]) {
        self.see(from, to, there, bytes);
        let Some(there) = there else { return };
        let more = match &mut self.mistake {
            Some(mistake) => mistake.delays(self.now, from, there),
            None => Duration::ZERO,
        };
        let source = self.nodes[from].address;
        let copies = self.wires.carry(from, there, bytes);
        if copies.len() > 1 {
            self.repeats.watch(&self.plan, from, there, bytes);
        }
        for copy in copies {
            let bytes = copy.bytes.as_deref().unwrap_or(bytes);
            let source = copy.from.unwrap_or(source);
            self.queue.fly(self.now + copy.after + more, source, to, bytes.len(), bytes);
        }
    }

    /// The observer sees what leaves a node.
    fn see(&mut self, from: usize, to: SocketAddr, there: Option<usize>, bytes: &[u8]) {
        let size = bytes.len() as u16;
        let shown = self.mistake.as_mut().map(|mistake| mistake.shows(from, there, bytes));
        let bytes = shown.as_deref().unwrap_or(bytes);
        let seen = match there {
            Some(there) => {
                let mark = bytes.get(20..28).and_then(|mark| mark.try_into().ok());
                let mark = u64::from_be_bytes(mark.unwrap_or_default());
                self.note(Happened::Sent { from: from as u16, to: there as u16, size, mark });
                self.observer.see(from, there, bytes)
            }
            None => {
                self.note(Happened::Stray { from: from as u16, size });
                self.strangers.send(from, to, bytes.len())
            }
        };
        if let Err(broken) = seen {
            self.fail(broken);
        }
    }
}
