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

mod life;

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
use crate::lane::{Direction, Lane, Parting, What};
use crate::limits::Limits;
use crate::link::Pointer;
use crate::machine::Machine;
use crate::message::Refusal;
use crate::neighbours::{Neighbours, News, Received};
use crate::network::{Class, Error, Network, Role};
use crate::outbox::{Dropped, Outbox};
use crate::repeats::Repeats;
use crate::share::Account;
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
    repeats: Repeats,
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
    /// On whose account it is.
    account: Account,
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
            repeats: Repeats::default(),
            limits,
            chance,
            figures: Figures::default(),
            sweep_at: now.time + SWEEP_EVERY,
        };
        mix.reach_out(now);
        Ok(mix)
    }
}

impl Machine for Mix {
    fn receive(
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

    fn tick(&mut self, now: Now, out: &mut Outbox) {
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
        self.confirm_again(now);
        if now.time >= self.sweep_at {
            self.sweep(now);
            self.sweep_at = now.time + SWEEP_EVERY;
        }
        self.neighbours.tick(now, &mut self.chance, &mut self.figures, out);
        self.hear(now);
    }

    fn wake_at(&self) -> Option<Time> {
        let lanes = self.lanes.iter().flatten().filter_map(Lane::wake_at);
        let others = [self.sweep_at, self.neighbours.wake_at()];
        lanes.chain(self.set_ups.wake_at()).chain(self.repeats.wake_at()).chain(others).min()
    }

    fn renew(&mut self, now: Now, network: Network, _: &mut Outbox) -> Result<(), Error> {
        network.check()?;
        let me = self.neighbours.keyring().expect("a node has one").identity();
        match network.node(&me).ok_or(Error::NotListed)?.role {
            Role::Mix(tier) if tier.get() == self.tier => {}
            _ => return Err(Error::NotListed),
        }
        self.neighbours.renew(network)?;
        self.reach_out(now);
        // Of a node that left nothing more will be heard.
        for set_up in std::mem::take(&mut self.unlinked).into_values().flatten() {
            self.ask(now, set_up);
        }
        self.hear(now);
        Ok(())
    }

    fn shutdown(&mut self, now: Now, out: &mut Outbox) {
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

    fn feed(&mut self, fresh: &[u8; 32]) {
        self.chance.feed(fresh);
    }

    fn figures(&self) -> &Figures {
        &self.figures
    }
}

impl Mix {
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
        let mut disowned = Vec::new();
        for parting in leaving {
            let link = self.neighbours.link_mut(parting.link);
            match (parting.what, link) {
                (What::Cell { channel, place, .. }, Some(link)) if link.is_disowned(channel) => {
                    lane.forget(place);
                    self.figures.drop(Dropped::Orphaned);
                    disowned.push((parting.link, channel));
                }
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
        disowned.dedup();
        for (link, theirs) in disowned {
            self.disowned(now, link, theirs);
        }
    }

    /// A neighbour does not have this channel any more: it ends here too.
    fn disowned(&mut self, now: Now, link: Id, theirs: Id) {
        let is_ahead =
            |ahead| matches!(ahead, Ahead::Open(over, _, id) if (over, id) == (link, theirs));
        let is_it = |c: &Channel| c.back == (link, theirs) || is_ahead(c.ahead);
        let Some((id, channel)) = self.channels.iter().find(|(_, c)| is_it(c)) else { return };
        let reason = is_ahead(channel.ahead).then_some(Refusal::NextUnreachable);
        self.end(now, id, reason);
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
                if let (true, Some(node)) = (ours, peer)
                    && self.leads_on(&node)
                {
                    // A link that was replaced is not missed.
                    self.neighbours.link_to(now, &node);
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
}

#[cfg(test)]
impl Mix {
    /// What is held, by name.
    pub(crate) fn held(&self) -> Vec<(&'static str, usize)> {
        let mut held = self.neighbours.held();
        held.push(("channels", self.channels.len()));
        held.push(("set-ups", self.set_ups.len()));
        held.push(("set-ups without a link", self.unlinked.values().map(Vec::len).sum()));
        for lane in self.lanes.iter().flatten() {
            held.extend(["halves", "windows", "pool", "slab"].into_iter().zip(lane.held()));
        }
        held
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lane::Half;

    #[test]
    fn an_idle_channel_is_less_than_a_kibibyte_also_when_every_table_has_just_doubled() {
        let own = Slots::<Channel>::PLACE + 2 * Slots::<Half>::PLACE;
        let of_links = 2 * Slots::<Pointer>::PLACE;
        // The set-up is remembered for the life of its key, in a tree that is at least half full.
        let remembered = 2 * size_of::<[u8; 16]>();
        let bytes = 2 * (own + of_links) + remembered;
        assert!(bytes <= 1024, "{own} and {of_links} bytes, {bytes} at the most");
    }
}
