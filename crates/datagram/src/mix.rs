//! A mix: strips one layer, holds, reorders, sends on; and the same backwards.
//!
//! ```text
//! receive ─► neighbours: decipher ─► lane: window, peel or seal ─► pool
//! tick    ─► pool: release ─► encipher ─► outbox                        (the strategy says when)
//! set-up  ─► open, read ─► pool of set-ups ─► next hop ─► confirmation ─► pool ─► back
//! ```
//!
//! What always holds: a cell leaves only under the id of the channel it came in, one for one; a
//! refused cell leaves no trace but a count. Absent: who the client is, how long the chain is, and
//! what is inside.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use mixing::chance::Chance;
use mixing::keys::{Identity, IdentityKey};
use mixing::pool::Pool;
use mixing::strategy::Strategy;
use mixing::time::{Now, Time};

use crate::channel::{ConfirmKey, WordKey};
use crate::figures::Figures;
use crate::keyring::Keyring;
use crate::lane::{Direction, Half, HalfKey, Lane, Parting, What};
use crate::limits::Limits;
use crate::link::Pointer;
use crate::message::{Message, Refusal};
use crate::neighbours::{Neighbours, News, Received};
use crate::network::{Class, Error, Network, Role};
use crate::outbox::{Dropped, Outbox};
use crate::parcel::Parcel;
use crate::setup;
use crate::slots::{Id, Slots, Wear};
use crate::wire::{self, LAST_SEQUENCE};

/// How long a set-up waits among others.
pub const SET_UPS_EVERY: Duration = Duration::from_millis(50);
/// How many set-ups may wait to leave, or for a link.
pub const SET_UPS_WAITING_MAX: usize = 10_000;
/// How often channels are looked over for those whose time is over.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// The core of a mix.
pub struct Mix {
    neighbours: Neighbours,
    tier: u8,
    /// By class and direction.
    lanes: [[Lane; 2]; 2],
    channels: Slots<Channel>,
    set_ups: Pool<SetUp>,
    /// Set-ups whose next hop has no open link yet.
    unlinked: BTreeMap<Identity, Vec<SetUp>>,
    limits: Limits,
    chance: Chance,
    figures: Figures,
    sweep_at: Time,
}

/// A channel, as control knows it; its cells know only their half-channel.
struct Channel {
    class: Class,
    opened: Time,
    ends: Time,
    /// The link towards the client, and the id that the neighbour there wants to see.
    back: (Id, Id),
    /// The id that this mix wants to see on that link.
    forward_id: Id,
    /// The half-channels in the lanes.
    halves: [Id; 2],
    ahead: Ahead,
    word: WordKey,
    confirm: ConfirmKey,
}

/// How far a channel reaches.
#[derive(Clone, Copy)]
enum Ahead {
    /// Its set-up waits here.
    Nothing,
    /// The next hop was asked: over which link, and the id this mix wants to see there.
    Asked(Id, Id),
    /// It stands: link, the id this mix wants to see there, the id the next hop wants to see.
    Open(Id, Id, Id),
}

/// A set-up on its way through.
struct SetUp {
    channel: Id,
    next: Identity,
    envelope: Vec<u8>,
}

impl Mix {
    /// A mix at the tier that the network list gives its identity.
    ///
    /// # Errors
    /// A list that is not sound, or does not have this identity as a mix.
    pub fn new(
        now: Now,
        network: Network,
        identity: IdentityKey,
        limits: Limits,
        mut chance: Chance,
    ) -> Result<Self, Error> {
        network.check()?;
        let limits = limits.within_the_wire();
        let node = network.node(&identity.identity()).ok_or(Error::NotListed)?;
        let Role::Mix(tier) = node.role else { return Err(Error::NotListed) };
        let tier = tier.get();
        let lanes = Class::ALL.map(|class| {
            let settings = network.class(class);
            Direction::ALL.map(|direction| {
                let leaving = if direction == Direction::Forward { tier } else { tier - 1 };
                let size = wire::cell_size(settings.cell_size, leaving);
                Lane::new(class, settings.strategy.clone(), size, &limits)
            })
        });
        let keyring = Keyring::new(now, identity, &network.name, limits.remembered, &mut chance);
        let neighbours =
            Neighbours::new(now, network, tier, Some(keyring), limits.clone(), &mut chance);
        let set_ups = Pool::new(Strategy::Timed { period: SET_UPS_EVERY }, SET_UPS_WAITING_MAX);
        let mut mix = Mix {
            neighbours,
            tier,
            lanes,
            channels: Slots::new(limits.channels, Wear::Renew),
            set_ups,
            unlinked: BTreeMap::new(),
            limits,
            chance,
            figures: Figures::default(),
            sweep_at: now.time + SWEEP_EVERY,
        };
        mix.reach_out(now);
        Ok(mix)
    }

    /// Takes up a changed network list.
    ///
    /// # Errors
    /// A list that is not sound, does not have this node in its role, or differs in what only a
    /// new start can change.
    pub fn renew(&mut self, now: Now, network: Network) -> Result<(), Error> {
        network.check()?;
        let me = self.neighbours.keyring().expect("a node has one").identity();
        match network.node(&me).ok_or(Error::NotListed)?.role {
            Role::Mix(tier) if tier.get() == self.tier => {}
            _ => return Err(Error::NotListed),
        }
        self.neighbours.renew(now, network)?;
        self.reach_out(now);
        self.hear(now);
        Ok(())
    }

    /// Takes in a datagram from the network.
    ///
    /// # Errors
    /// Why it was dropped; it is counted here already.
    pub fn receive(
        &mut self,
        now: Now,
        from: SocketAddr,
        cell: &mut [u8],
        out: &mut Outbox,
    ) -> Result<(), Dropped> {
        let received =
            self.neighbours.receive(now, from, cell, &mut self.chance, out).and_then(|received| {
                match received {
                    Received::Cell { link, pointer, class, sequence } => {
                        self.receive_cell(now, pointer, class, sequence, cell)?;
                        self.neighbours.proved(now, link, from, cell.len());
                        Ok(())
                    }
                    Received::Settled => Ok(()),
                }
            });
        self.hear(now);
        received.inspect_err(|dropped| self.figures.drop(*dropped))
    }

    fn receive_cell(
        &mut self,
        now: Now,
        pointer: Pointer,
        class: Class,
        sequence: u32,
        cell: &mut [u8],
    ) -> Result<(), Dropped> {
        let lane = &mut self.lanes[class.index()][pointer.direction as usize];
        lane.accept(now, pointer.half, sequence, cell, &mut self.chance)?;
        self.figures.cells_in[class.index()] += 1;
        if pointer.direction == Direction::Backward
            && sequence == LAST_SEQUENCE
            && let Some(channel) = self.channel_of(pointer)
        {
            // Some hop behind has said its last word; this was it.
            self.remove(channel);
        }
        Ok(())
    }

    /// Does what is due. To be called after each batch of `receive` and at `wake_at`.
    pub fn tick(&mut self, now: Now, out: &mut Outbox) {
        for class in Class::ALL {
            for direction in Direction::ALL {
                self.release(now, class, direction, out);
            }
        }
        let mut leaving = Vec::new();
        self.set_ups.release(now, &mut self.chance, &mut leaving);
        for set_up in leaving {
            self.ask(now, set_up);
        }
        if now.time >= self.sweep_at {
            self.sweep(now);
            self.sweep_at = now.time + SWEEP_EVERY;
        }
        self.neighbours.tick(now, &mut self.chance, &mut self.figures, out);
        self.hear(now);
    }

    /// When `tick` is wanted next; a time in the past means at once.
    pub fn wake_at(&self) -> Option<Time> {
        let lanes = self.lanes.iter().flatten().filter_map(Lane::wake_at);
        let others = [self.sweep_at, self.neighbours.wake_at()];
        lanes.chain(self.set_ups.wake_at()).chain(others).min()
    }

    /// Lets everything go that waits, tells clients and neighbours, and ends all channels.
    pub fn shutdown(&mut self, now: Now, out: &mut Outbox) {
        let channels: Vec<Id> = self.channels.iter().map(|(id, _)| id).collect();
        for channel in channels {
            self.end(now, channel, Some(Refusal::ShuttingDown));
        }
        for class in Class::ALL {
            for direction in Direction::ALL {
                let mut leaving = Vec::new();
                let lane = &mut self.lanes[class.index()][direction as usize];
                lane.drain(&mut self.chance, &mut leaving);
                self.depart(now, class, direction, leaving, out);
            }
        }
        self.neighbours.shutdown(now, &mut self.chance, out);
    }

    /// Stirs fresh randomness in; the shell does so once a minute.
    pub fn feed(&mut self, fresh: &[u8; 32]) {
        self.chance.feed(fresh);
    }

    /// What the mix has counted.
    pub fn figures(&self) -> &Figures {
        &self.figures
    }

    // ---- cells leave

    fn release(&mut self, now: Now, class: Class, direction: Direction, out: &mut Outbox) {
        let mut leaving = Vec::new();
        let lane = &mut self.lanes[class.index()][direction as usize];
        if let Some((release, links)) = lane.release(now, &mut self.chance, &mut leaving) {
            let figures = &mut self.figures.pools[class.index()][direction as usize];
            figures.released(release, links);
        }
        let waiting = lane.waiting() as u64;
        self.figures.pools[class.index()][direction as usize].waiting = waiting;
        self.depart(now, class, direction, leaving, out);
    }

    fn depart(
        &mut self,
        now: Now,
        class: Class,
        direction: Direction,
        leaving: Vec<Parting>,
        out: &mut Outbox,
    ) {
        let lane = &mut self.lanes[class.index()][direction as usize];
        for parting in leaving {
            let link = self.neighbours.link_mut(parting.link);
            match (parting.what, link) {
                (What::Cell { channel, sequence, place }, Some(link)) => {
                    let cell = out.datagram(link.address, lane.size);
                    lane.depart(place, cell);
                    link.encipher(cell, channel, sequence);
                    link.sent(now.time);
                    self.figures.cells_out[class.index()] += 1;
                }
                (What::Message(message), Some(_)) => {
                    self.neighbours.say(now, parting.link, &message);
                }
                (What::Cell { place, .. }, None) => {
                    lane.forget(place);
                    self.figures.drop(Dropped::Orphaned);
                }
                (What::Message(_), None) => self.figures.drop(Dropped::Orphaned),
            }
        }
    }

    // ---- what neighbours say

    fn hear(&mut self, now: Now) {
        while !self.neighbours.news.is_empty() {
            for news in std::mem::take(&mut self.neighbours.news) {
                if let Err(dropped) = self.hear_one(now, news) {
                    self.figures.drop(dropped);
                }
            }
        }
    }

    fn hear_one(&mut self, now: Now, news: News) -> Result<(), Dropped> {
        match news {
            News::SetUp { link, backward, envelope } => self.set_up(now, link, backward, &envelope),
            News::Confirmed { link, pointer, forward, proof } => {
                self.confirmed(now, link, pointer, forward, &proof)
            }
            News::Refused { pointer, reason } => {
                // A hop that cannot open its envelope has no word key, so this one speaks for it.
                let reason = match reason {
                    Refusal::UnknownKey => Refusal::UnknownKey,
                    _ => Refusal::NextUnreachable,
                };
                self.end_of(now, pointer, Some(reason));
                Ok(())
            }
            News::Unheard { pointer } => {
                self.end_of(now, pointer, Some(Refusal::NextUnreachable));
                Ok(())
            }
            News::Closed { pointer } => {
                self.end_of(now, pointer, None);
                Ok(())
            }
            News::Linked { node } => {
                for set_up in self.unlinked.remove(&node).unwrap_or_default() {
                    self.ask(now, set_up);
                }
                Ok(())
            }
            News::Unreachable { node } => {
                for set_up in self.unlinked.remove(&node).unwrap_or_default() {
                    self.end(now, set_up.channel, Some(Refusal::NextUnreachable));
                }
                Ok(())
            }
            News::Ended { peer, ours, channels } => {
                for pointer in channels {
                    let reason = ours.then_some(Refusal::NextUnreachable);
                    self.end_of(now, pointer, reason);
                }
                if let (true, Some(node)) = (ours, peer) {
                    self.neighbours.want(now, node);
                }
                Ok(())
            }
        }
    }

    /// Keeps a link to every node that a chain may go on to from here.
    fn reach_out(&mut self, now: Now) {
        let network = &self.neighbours.network;
        let mut ahead: Vec<Identity> =
            network.mixes(self.tier + 1).map(|node| node.identity).collect();
        if ahead.is_empty() {
            ahead = network.exits().map(|node| node.identity).collect();
        }
        for node in ahead {
            // A link that stands is left as it is.
            self.neighbours.link_to(now, &node);
        }
    }

    // ---- the life of a channel

    fn set_up(&mut self, now: Now, link: Id, backward: Id, envelope: &[u8]) -> Result<(), Dropped> {
        let keyring = self.neighbours.keyring().expect("a mix has one");
        let found = setup::open(keyring, envelope).map_err(|(dropped, refusal)| {
            if let Some(reason) = refusal {
                self.neighbours.say(now, link, &Message::Refused { backward, reason });
            }
            dropped
        })?;
        let class = found.layer.class;
        let next = found.layer.next.filter(|next| self.leads_on(next));
        let word = found.keys.word;
        let Some(next) = next else {
            self.say_last(now, class, (link, backward), &word, Refusal::BadSetUp);
            return Err(Dropped::BadSetUp);
        };
        if self.channels.len() >= self.limits.channels {
            self.say_last(now, class, (link, backward), &word, Refusal::Overloaded);
            return Err(Dropped::ChannelsFull);
        }
        // The ids are known once the table has given them, so the channel is made in two steps.
        let [forward_lane, backward_lane] = &mut self.lanes[class.index()];
        let forward = Half::new(HalfKey::Forward(found.keys.forward), Id::ZERO, link, None);
        let back = Some((link, backward));
        let back_half = Half::new(HalfKey::Backward(found.keys.backward), Id::ZERO, link, back);
        let halves = [forward_lane.halves.insert(forward), backward_lane.halves.insert(back_half)];
        let [Ok(forward), Ok(back_half)] = halves else { unreachable!("as many as channels") };
        let pointer = Pointer { class, direction: Direction::Forward, half: forward };
        let forward_id = self.neighbours.link_mut(link).map(|link| link.channels.insert(pointer));
        let Some(Ok(forward_id)) = forward_id else {
            self.lanes[class.index()][0].end(forward);
            self.lanes[class.index()][1].end(back_half);
            self.say_last(now, class, (link, backward), &word, Refusal::Overloaded);
            return Err(Dropped::ChannelsFull);
        };
        let channel = Channel {
            class,
            opened: now.time,
            ends: now.time + found.layer.lifetime.duration(),
            back: (link, backward),
            forward_id,
            halves: [forward, back_half],
            ahead: Ahead::Nothing,
            word,
            confirm: found.keys.confirm,
        };
        let Ok(id) = self.channels.insert(channel) else { unreachable!("looked at above") };
        for (lane, half) in self.lanes[class.index()].iter_mut().zip([forward, back_half]) {
            lane.halves.get_mut(half).expect("inserted above").channel = id;
        }
        self.figures.channels = self.channels.len() as u64;
        let set_up = SetUp { channel: id, next, envelope: found.rest };
        let label = u64::from(id.to_wire());
        if self.set_ups.insert(now, label, set_up, &mut self.chance).is_err() {
            self.end(now, id, Some(Refusal::Overloaded));
            return Err(Dropped::ChannelsFull);
        }
        Ok(())
    }

    /// Whether a chain may go on from here to this node: the next tier, or an exit.
    fn leads_on(&self, next: &Identity) -> bool {
        self.neighbours.network.node(next).is_some_and(|node| match node.role {
            Role::Mix(tier) => tier.get() == self.tier + 1,
            Role::Exit => true,
        })
    }

    /// Asks the next hop for a channel, now or when there is a link to it.
    fn ask(&mut self, now: Now, set_up: SetUp) {
        let Some(channel) = self.channels.get_mut(set_up.channel) else { return };
        let (class, half) = (channel.class, channel.halves[Direction::Backward as usize]);
        let Some(link) = self.neighbours.link_to(now, &set_up.next) else {
            let waiting = self.unlinked.entry(set_up.next).or_default();
            if waiting.len() < SET_UPS_WAITING_MAX {
                waiting.push(set_up);
            } else {
                self.end(now, set_up.channel, Some(Refusal::NextUnreachable));
            }
            return;
        };
        let pointer = Pointer { class, direction: Direction::Backward, half };
        let room = self.neighbours.link_mut(link).map(|link| link.channels.insert(pointer));
        let Some(Ok(backward)) = room else {
            self.end(now, set_up.channel, Some(Refusal::Overloaded));
            return;
        };
        channel.ahead = Ahead::Asked(link, backward);
        let lane = &mut self.lanes[class.index()][Direction::Backward as usize];
        lane.halves.get_mut(half).expect("lives as long as its channel").from = link;
        let parcel = Parcel::SetUp { backward, envelope: set_up.envelope };
        if !self.neighbours.send(now, link, parcel) {
            self.end(now, set_up.channel, Some(Refusal::Overloaded));
        }
    }

    fn confirmed(
        &mut self,
        now: Now,
        link: Id,
        pointer: Pointer,
        forward: Id,
        proof: &[u8; 16],
    ) -> Result<(), Dropped> {
        let id = self.channel_of(pointer).ok_or(Dropped::UnknownChannel)?;
        let channel = self.channels.get_mut(id).ok_or(Dropped::UnknownChannel)?;
        let Ahead::Asked(asked, backward) = channel.ahead else {
            return Err(Dropped::BadControl);
        };
        debug_assert_eq!(asked, link, "ids are given out per link");
        channel.ahead = Ahead::Open(link, backward, forward);
        let (class, half) = (channel.class, channel.halves[Direction::Forward as usize]);
        let (back, theirs) = channel.back;
        let message = Message::Confirm {
            backward: theirs,
            forward: channel.forward_id,
            proof: channel.confirm.proof(proof),
        };
        let lane = &mut self.lanes[class.index()][Direction::Forward as usize];
        lane.halves.get_mut(half).expect("lives as long as its channel").to = Some((link, forward));
        self.figures.channels_opened += 1;
        // Messages of the link are cells of class large, and wait among those.
        let lane = &mut self.lanes[Class::Large.index()][Direction::Backward as usize];
        lane.insert_message(now, (back, link, id), message, &mut self.chance)
    }

    fn channel_of(&self, pointer: Pointer) -> Option<Id> {
        let lane = &self.lanes[pointer.class.index()][pointer.direction as usize];
        lane.halves.get(pointer.half).map(|half| half.channel)
    }

    fn end_of(&mut self, now: Now, pointer: Pointer, reason: Option<Refusal>) {
        if let Some(channel) = self.channel_of(pointer) {
            self.end(now, channel, reason);
        }
    }

    /// Ends a channel: tells the client why, unless it was the client's wish, and the hops ahead.
    fn end(&mut self, now: Now, id: Id, reason: Option<Refusal>) {
        let Some(channel) = self.remove(id) else { return };
        if let Some(reason) = reason {
            self.say_last(now, channel.class, channel.back, &channel.word, reason);
        }
        if let Ahead::Open(link, _, forward) = channel.ahead {
            let lane = &mut self.lanes[Class::Large.index()][Direction::Forward as usize];
            let message = Message::Close { channel: forward };
            let parting = (link, channel.back.0, id);
            if let Err(dropped) = lane.insert_message(now, parting, message, &mut self.chance) {
                self.figures.drop(dropped);
            }
        }
    }

    fn remove(&mut self, id: Id) -> Option<Channel> {
        let channel = self.channels.remove(id)?;
        for (lane, half) in self.lanes[channel.class.index()].iter_mut().zip(channel.halves) {
            lane.end(half);
        }
        if let Some(link) = self.neighbours.link_mut(channel.back.0) {
            link.channels.remove(channel.forward_id);
        }
        if let Ahead::Asked(link, backward) | Ahead::Open(link, backward, _) = channel.ahead
            && let Some(link) = self.neighbours.link_mut(link)
        {
            link.channels.remove(backward);
        }
        self.figures.channels = self.channels.len() as u64;
        self.figures.channels_ended += 1;
        Some(channel)
    }

    /// A hop's own last word: a backward cell like any other, under the word key.
    fn say_last(
        &mut self,
        now: Now,
        class: Class,
        (link, theirs): (Id, Id),
        word: &WordKey,
        reason: Refusal,
    ) {
        let lane = &mut self.lanes[class.index()][Direction::Backward as usize];
        let said = lane.insert_cell(
            now,
            (link, link, theirs),
            (theirs, LAST_SEQUENCE),
            |body| word.seal(reason, body),
            &mut self.chance,
        );
        if let Err(dropped) = said {
            self.figures.drop(dropped);
        }
    }

    /// Ends channels that were never used, are quiet, or too old; rests windows.
    fn sweep(&mut self, now: Now) {
        let over: Vec<Id> = self
            .channels
            .iter()
            .filter(|(_, channel)| self.is_over(channel, now.time))
            .map(|(id, _)| id)
            .collect();
        for id in over {
            self.end(now, id, Some(Refusal::Expired));
        }
        for lane in self.lanes.iter_mut().flatten() {
            // Longer than a cell can wait in a chain of five pools, with room for slow links.
            lane.rest(now.time, Duration::from_secs(5));
        }
    }

    fn is_over(&self, channel: &Channel, now: Time) -> bool {
        let lanes = &self.lanes[channel.class.index()];
        let last = lanes.iter().zip(channel.halves);
        let last = last.filter_map(|(lane, half)| lane.halves.get(half)?.last).max();
        let quiet = match last {
            Some(last) => now - last >= self.limits.channel_idle,
            None => now - channel.opened >= self.limits.channel_unused,
        };
        quiet || now >= channel.ends
    }
}
