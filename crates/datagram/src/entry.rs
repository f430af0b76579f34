//! The entry: the user's own end of every channel.
//!
//! ```text
//! send    ─► association ─► split ─► wrap ─► encipher ─► outbox ─► first mix
//! receive ─► neighbours: decipher ─► window, unwrap ─► join ─► deliver
//! set-up  ─► choose a chain ─► seal ─► first mix ─► confirmation ─► what waited leaves
//! ```
//!
//! An association is what an application opened; it has one channel at a time and gets another
//! when that ends. Associations never share a channel, and those of different isolation share no
//! chain while there is another. The entry is trusted by its user and hides nothing from him.

mod chains;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use mixing::chance::Chance;
use mixing::keys::Identity;
use mixing::replay::{Store, Window};
use mixing::time::{Now, Time};

use crate::channel::{self, HopKeys, Unwrapped};
use crate::destination::{Destination, Host};
use crate::figures::Figures;
use crate::fragment::{self, Joined, Joiner, Room};
use crate::lane::{self, WINDOWS};
use crate::limits::Limits;
use crate::link::Pointer;
use crate::machine::Machine;
use crate::message::{Message, Refusal};
use crate::neighbours::{Neighbours, News, Received};
use crate::network::{Class, Error, Network};
use crate::outbox::{Dropped, Effect, Outbox};
use crate::setup::Lifetime;
use crate::slots::{Id, Slots, Wear};
use crate::wire::{self, FragmentHead, LAST_SEQUENCE};

/// How many first mixes an entry keeps links to, where the list has so many.
pub const FIRST_MIXES: usize = 3;
/// While somebody waits and none of these has a link for so long, a further one is tried.
pub const FURTHER_AFTER: Duration = Duration::from_secs(20);
/// How many further ones may stand in at once, until one of the first is back.
pub const FURTHER_MOST: usize = 3;
/// Set-ups under way at once; others wait, so that many channels at once do not melt the chain.
pub const SET_UPS_UNDER_WAY: usize = 64;
/// How long a set-up may take before another is tried.
pub const SET_UP_FOR: Duration = Duration::from_millis(3_500);
/// The pause before the first further try; doubled each time, up to the longest.
pub const TRY_AGAIN: Duration = Duration::from_millis(100);
/// The longest pause between two tries.
pub const TRY_AGAIN_MAX: Duration = Duration::from_secs(3);
/// How long a node that could not be reached is passed over where there is another.
pub const AVOID_FOR: Duration = Duration::from_secs(30);
/// How long a channel that has a successor still takes replies.
pub const SUCCEEDED_FOR: Duration = Duration::from_secs(10);
/// How long before a channel's end its successor is opened.
const SUCCESSOR_BEFORE: Duration = Duration::from_secs(60);
/// A channel near its last number gets a successor.
const SUCCESSOR_AT: u32 = u32::MAX - (1 << 20);
const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// A channel that was quiet so long gives its replay bits back: longer than a cell can wait in a
/// chain of five pools, with room for slow links.
const RESTS_AFTER: Duration = Duration::from_secs(5);
/// How often waiting set-ups are tried while something is missing for them.
const BEGIN_EVERY: Duration = Duration::from_millis(20);

/// What an application opened.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Association(Id);

impl Association {
    /// Nobody's: what a spare channel has until somebody takes it. No table gives this id out.
    const NOBODY: Association = Association(Id::ZERO);
}

/// Something that the user should be told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Notice {
    /// A hop refused or ended the channel; another is tried.
    Refused {
        /// The hop's name in the network list.
        hop: String,
        /// Its reason.
        reason: Refusal,
    },
    /// No confirmation came in time; another chain is tried.
    Unconfirmed,
    /// No mix of the first tier answers.
    NoFirstMix,
    /// The keys of some tier, or of all exits, are not known.
    NoKeys,
    /// The entry has as many channels as it may have.
    NoRoom,
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Notice::Refused { hop, reason } => write!(f, "{hop} {reason}; trying again"),
            Notice::Unconfirmed => f.write_str("a chain did not answer; trying again"),
            Notice::NoFirstMix => f.write_str("no first mix answers: is the network running?"),
            Notice::NoRoom => {
                f.write_str("the entry has no room for another channel: limits.channels")
            }
            Notice::NoKeys => f.write_str("no whole chain is known yet: are all nodes running?"),
        }
    }
}

/// The core of an entry.
pub struct Entry {
    neighbours: Neighbours,
    first_mixes: Vec<Identity>,
    /// Those that stand in while none of the first mixes answers.
    further: Vec<Identity>,
    /// None is added before.
    further_at: Time,
    associations: Slots<Assoc>,
    channels: Slots<Channel>,
    /// Associations whose set-up is to begin.
    wanting: BTreeSet<Association>,
    under_way: usize,
    /// The classes that somebody has used: only for those spares are kept.
    spared: [bool; 2],
    /// No spare is begun before.
    spares_at: Time,
    begin_at: Option<Time>,
    avoided: BTreeMap<Identity, Time>,
    stores: [Store; 2],
    room: Room,
    limits: Limits,
    lifetime: Lifetime,
    chance: Chance,
    figures: Figures,
    sweep_at: Time,
}

struct Assoc {
    class: Class,
    isolation: u64,
    queue: VecDeque<Waiting>,
    queued: usize,
    /// The channel in use, and the one that is being set up.
    current: Option<Id>,
    coming: Option<Id>,
    tries: u32,
    next_try: Time,
    noticed: Option<Notice>,
}

struct Waiting {
    since: Time,
    message: Vec<u8>,
}

struct Channel {
    association: Association,
    class: Class,
    /// `None`: nobody's yet.
    isolation: Option<u64>,
    chain: Vec<Identity>,
    hops: Vec<HopKeys>,
    /// The link to the first mix, and the id that the entry wants to see there.
    link: Id,
    backward_id: Id,
    state: State,
    /// The number of the next cell.
    next: u32,
    window: Window,
    joiner: Joiner,
    last: Time,
    /// A spare: when its next dummy leaves, so that the hops keep it.
    dummy_at: Time,
    began: Time,
    ends: Time,
}

/// How far a channel's set-up has come.
enum State {
    /// Asked for; given up then.
    Asked { until: Time },
    /// Confirmed: the id that the first mix wants to see.
    Open { forward: Id },
    /// Its successor has taken over; closed then.
    Succeeded { forward: Id, until: Time },
}

impl Entry {
    /// An entry to the listed network.
    ///
    /// # Errors
    /// A list that is not sound, or has no chain.
    pub fn new(
        now: Now,
        network: Network,
        limits: Limits,
        mut chance: Chance,
    ) -> Result<Self, Error> {
        network.check()?;
        let limits = limits.within_the_wire();
        if network.depth() == 0 || network.exits().next().is_none() {
            return Err(Error::NoChain);
        }
        let neighbours = Neighbours::new(now, network, 0, None, limits.clone(), &mut chance);
        let mut entry = Entry {
            neighbours,
            first_mixes: Vec::new(),
            further: Vec::new(),
            further_at: now.time + FURTHER_AFTER,
            associations: Slots::new(limits.associations, Wear::Renew),
            channels: Slots::new(limits.channels, Wear::Renew),
            wanting: BTreeSet::new(),
            under_way: 0,
            spared: [false, true],
            spares_at: now.time,
            begin_at: None,
            avoided: BTreeMap::new(),
            stores: WINDOWS.map(|width| Store::new(limits.windows, width)),
            room: Room::new(limits.reassembly_bytes),
            limits,
            lifetime: Lifetime::default(),
            chance,
            figures: Figures::default(),
            sweep_at: now.time + SWEEP_EVERY,
        };
        entry.choose_first_mixes(now);
        Ok(entry)
    }

    /// The machine has another address. Whatever is open came from the old one; if it went on from
    /// the new one, an observer would know both for one user's. So links and channels are left
    /// without a word, and begun afresh.
    pub fn moved(&mut self, now: Now, out: &mut Outbox) {
        let busy = self.associations.iter().filter(|(_, assoc)| assoc.current.is_some());
        let busy: Vec<Id> = busy.map(|(id, _)| id).collect();
        self.neighbours.leave_all(now);
        self.hear(now, out);
        for association in busy {
            self.want(now, Association(association));
        }
        self.tick(now, out);
    }

    /// Opens an association for an application. It gets a spare channel, or one is set up at once.
    ///
    /// # Errors
    /// `AssociationsFull`.
    pub fn open(&mut self, now: Now, class: Class, isolation: u64) -> Result<Association, Dropped> {
        let association = Assoc {
            class,
            isolation,
            queue: VecDeque::new(),
            queued: 0,
            current: None,
            coming: None,
            tries: 0,
            next_try: now.time,
            noticed: None,
        };
        let Ok(id) = self.associations.insert(association) else {
            self.figures.drop(Dropped::AssociationsFull);
            return Err(Dropped::AssociationsFull);
        };
        let association = Association(id);
        self.spared[class.index()] = true;
        if !self.take_spare(now, association) {
            self.want(now, association);
        }
        Ok(association)
    }

    /// Sends an application's datagram, or lets it wait for its channel.
    ///
    /// # Errors
    /// Why it was dropped; it is counted here already.
    pub fn send(
        &mut self,
        now: Now,
        association: Association,
        to: &Destination,
        payload: &[u8],
        out: &mut Outbox,
    ) -> Result<(), Dropped> {
        let sent = self.try_send(now, association, to, payload, out);
        sent.inspect_err(|dropped| self.figures.drop(*dropped))
    }

    fn try_send(
        &mut self,
        now: Now,
        association: Association,
        to: &Destination,
        payload: &[u8],
        out: &mut Outbox,
    ) -> Result<(), Dropped> {
        let assoc = self.associations.get_mut(association.0).ok_or(Dropped::UnknownAssociation)?;
        let mut message = Vec::with_capacity(payload.len() + 24);
        to.write(&mut message)?;
        message.extend_from_slice(payload);
        let s0 = self.neighbours.network.class(assoc.class).cell_size;
        if message.len() > fragment::FRAGMENTS_MAX * wire::payload_size(s0) {
            return Err(Dropped::TooLong);
        }
        if let Some(channel) = assoc.current {
            if !self.is_disowned(channel) {
                return self.send_over(now, channel, &message, out);
            }
            // The datagram waits for the next channel.
            self.end(now, channel);
        }
        let assoc = self.associations.get_mut(association.0).ok_or(Dropped::UnknownAssociation)?;
        if assoc.queued + message.len() > self.limits.queue_bytes {
            return Err(Dropped::QueueFull);
        }
        assoc.queued += message.len();
        assoc.queue.push_back(Waiting { since: now.time, message });
        self.want(now, association);
        Ok(())
    }

    /// Whether the first mix does not have this channel any more.
    fn is_disowned(&self, id: Id) -> bool {
        let Some(channel) = self.channels.get(id) else { return true };
        let State::Open { forward } = channel.state else { return false };
        self.neighbours.link(channel.link).is_none_or(|link| link.is_disowned(forward))
    }

    fn send_over(
        &mut self,
        now: Now,
        id: Id,
        message: &[u8],
        out: &mut Outbox,
    ) -> Result<(), Dropped> {
        let class = self.channels.get(id).expect("a current channel lives").class;
        let size = wire::payload_size(self.neighbours.network.class(class).cell_size);
        self.send_cells(now, id, fragment::split(message, size)?, out)?;
        self.figures.datagrams_out += 1;
        Ok(())
    }

    fn send_cells<'m>(
        &mut self,
        now: Now,
        id: Id,
        fragments: impl Iterator<Item = (FragmentHead, &'m [u8])>,
        out: &mut Outbox,
    ) -> Result<(), Dropped> {
        let channel = self.channels.get_mut(id).ok_or(Dropped::UnknownChannel)?;
        let State::Open { forward } = channel.state else { return Err(Dropped::Unconfirmed) };
        let size = self.neighbours.network.class(channel.class).cell_size;
        let link = self.neighbours.link_mut(channel.link).ok_or(Dropped::Orphaned)?;
        let at = channel::content_at(channel.hops.len());
        for (head, part) in fragments {
            if channel.next == LAST_SEQUENCE {
                return Err(Dropped::Orphaned);
            }
            let cell = out.datagram(link.address, size);
            fragment::write(&mut cell[at..], head, part);
            channel::wrap(&channel.hops, channel.next, cell);
            link.encipher(cell, forward, channel.next);
            channel.next += 1;
            self.figures.cells_out[channel.class.index()] += 1;
        }
        link.sent(now.time);
        channel.last = now.time;
        Ok(())
    }

    /// Ends an association; its channel is closed along the whole chain.
    pub fn close(&mut self, now: Now, association: Association, out: &mut Outbox) {
        let Some(assoc) = self.associations.remove(association.0) else { return };
        self.wanting.remove(&association);
        for channel in [assoc.current, assoc.coming].into_iter().flatten() {
            self.close_channel(now, channel);
        }
        self.tick(now, out);
    }
}

impl Machine for Entry {
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
                    Received::Cell { link, pointer, sequence, .. } => {
                        self.receive_cell(now, (link, from), pointer, sequence, cell, out)
                    }
                    Received::Settled => Ok(()),
                }
            });
        self.hear(now, out);
        received.inspect_err(|dropped| self.figures.drop(*dropped))
    }

    fn tick(&mut self, now: Now, out: &mut Outbox) {
        if now.time >= self.sweep_at {
            self.sweep(now, out);
            self.sweep_at = now.time + SWEEP_EVERY;
        }
        if self.begin_at.is_some_and(|at| at <= now.time) {
            self.begin_wanted(now, out);
        }
        self.neighbours.tick(now, &mut self.chance, &mut self.figures, out);
        self.hear(now, out);
    }

    fn wake_at(&self) -> Option<Time> {
        [Some(self.sweep_at), Some(self.neighbours.wake_at()), self.begin_at]
            .into_iter()
            .flatten()
            .min()
    }

    fn renew(&mut self, now: Now, network: Network, out: &mut Outbox) -> Result<(), Error> {
        network.check()?;
        if network.depth() == 0 || network.exits().next().is_none() {
            return Err(Error::NoChain);
        }
        self.neighbours.renew(network)?;
        self.choose_first_mixes(now);
        self.hear(now, out);
        Ok(())
    }

    fn shutdown(&mut self, now: Now, out: &mut Outbox) {
        let channels: Vec<Id> = self.channels.iter().map(|(id, _)| id).collect();
        for channel in channels {
            self.close_channel(now, channel);
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

impl Entry {
    fn receive_cell(
        &mut self,
        now: Now,
        (link, from): (Id, SocketAddr),
        pointer: Pointer,
        sequence: u32,
        cell: &mut [u8],
        out: &mut Outbox,
    ) -> Result<(), Dropped> {
        let channel = self.channels.get_mut(pointer.half).ok_or(Dropped::UnknownChannel)?;
        let store = &mut self.stores[channel.class.index()];
        channel.window.check(sequence, store).map_err(lane::dropped)?;
        let unwrapped = channel::unwrap(&channel.hops, sequence, cell)?;
        channel.window.mark(sequence, store);
        channel.last = now.time;
        self.neighbours.proved(now, link, from, cell.len());
        self.figures.cells_in[channel.class.index()] += 1;
        match unwrapped {
            Unwrapped::Word { hop, reason } => {
                self.refused(now, pointer.half, hop, reason, out);
                Ok(())
            }
            Unwrapped::Content => {
                let at = channel::content_at(channel.hops.len());
                let s0 = self.neighbours.network.class(channel.class).cell_size;
                let size = wire::payload_size(s0);
                let (joined, driven_out) =
                    channel.joiner.join(now.time, sequence, &cell[at..], size, &mut self.room)?;
                self.figures.drop_many(Dropped::FragmentExpired, driven_out);
                let Joined::Whole(message) = joined else { return Ok(()) };
                let (source, payload) = Destination::read(&message)?;
                let Host::Address(address) = source.host else { return Err(Dropped::BadDatagram) };
                let source = SocketAddr::new(address, source.port);
                self.figures.datagrams_in += 1;
                out.deliver(channel.association, source, payload);
                Ok(())
            }
        }
    }

    /// The network list that the entry goes by.
    pub fn network(&self) -> &Network {
        &self.neighbours.network
    }

    /// A hop said its last word on a channel.
    fn refused(&mut self, now: Now, id: Id, hop: usize, reason: Refusal, out: &mut Outbox) {
        let Some(channel) = self.channels.get(id) else { return };
        let association = channel.association;
        let name = |node: &Identity| {
            let node = self.neighbours.network.node(node);
            node.map_or_else(String::new, |node| node.name.clone())
        };
        // What a hop says of the next one is to be avoided there, else at the hop itself. Who has
        // a new key cannot say so: the hop before it does.
        let (blamed, named) = match reason {
            Refusal::NextUnreachable => (channel.chain.get(hop + 1), hop),
            Refusal::UnknownKey => (channel.chain.get(hop + 1), hop + 1),
            Refusal::Overloaded | Refusal::ShuttingDown | Refusal::NoSocket => {
                (channel.chain.get(hop), hop)
            }
            Refusal::BadSetUp | Refusal::Expired => (None, hop),
        };
        let hop = channel.chain.get(named).map_or_else(String::new, name);
        let notice = Notice::Refused { hop, reason };
        if let (Refusal::UnknownKey, Some(node)) = (reason, blamed) {
            self.neighbours.directory.refused(now.time, node, channel.began);
        }
        if let Some(node) = blamed {
            self.avoided.insert(*node, now.time + AVOID_FOR);
        }
        if reason != Refusal::Expired {
            self.notice(association, notice, out);
        }
        self.end(now, id);
    }

    fn notice(&mut self, association: Association, notice: Notice, out: &mut Outbox) {
        let Some(assoc) = self.associations.get_mut(association.0) else { return };
        if assoc.noticed.as_ref() != Some(&notice) && !assoc.queue.is_empty() {
            assoc.noticed = Some(notice.clone());
            out.push(Effect::Notice { association, notice });
        }
    }

    // ---- what the first mixes say

    fn hear(&mut self, now: Now, out: &mut Outbox) {
        while !self.neighbours.news.is_empty() {
            for news in std::mem::take(&mut self.neighbours.news) {
                if let Err(dropped) = self.hear_one(now, news, out) {
                    self.figures.drop(dropped);
                }
            }
        }
    }

    fn hear_one(&mut self, now: Now, news: News, out: &mut Outbox) -> Result<(), Dropped> {
        match news {
            News::Confirmed { pointer, forward, proof, .. } => {
                return self.confirmed(now, pointer, forward, &proof, out);
            }
            // The first mix itself could not open its envelope, or never got it.
            News::Refused { pointer, reason } => {
                if let Some(channel) = self.channels.get(pointer.half) {
                    let (association, first) = (channel.association, channel.chain[0]);
                    self.avoided.insert(first, now.time + AVOID_FOR);
                    let node = self.neighbours.network.node(&first);
                    let hop = node.map_or_else(String::new, |node| node.name.clone());
                    self.notice(association, Notice::Refused { hop, reason }, out);
                }
                self.end(now, pointer.half);
            }
            News::Unheard { pointer } => self.end(now, pointer.half),
            News::Ended { peer, channels, .. } => {
                for pointer in channels {
                    self.end(now, pointer.half);
                }
                if let Some(node) = peer.filter(|node| self.is_first(node)) {
                    // A link that was replaced is not missed.
                    self.neighbours.link_to(now, &node);
                }
            }
            News::Linked { .. } => {
                if !self.wanting.is_empty() {
                    self.begin_at = Some(now.time);
                }
            }
            News::Unreachable { .. } => {}
            // Nobody asks an entry for channels.
            News::SetUp { .. } | News::Closed { .. } => return Err(Dropped::BadControl),
        }
        Ok(())
    }

    // ---- the end of a channel

    /// A channel is gone; its association gets another if anything waits, or was under way.
    fn end(&mut self, now: Now, id: Id) {
        let Some(channel) = self.remove(id) else { return };
        if channel.association == Association::NOBODY {
            self.rest_spares(now, chains::SPARE_AFTER_FAILURE);
        }
        let association = channel.association;
        let Some(assoc) = self.associations.get_mut(association.0) else { return };
        if assoc.current == Some(id) {
            assoc.current = None;
        }
        if assoc.coming == Some(id) {
            assoc.coming = None;
            let pause = TRY_AGAIN * 2u32.pow(assoc.tries.min(8));
            assoc.next_try = now.time + pause.min(TRY_AGAIN_MAX);
            assoc.tries += 1;
        }
        if !assoc.queue.is_empty() {
            self.want(now, association);
        }
    }

    /// Closes a channel that is wanted no longer.
    fn close_channel(&mut self, now: Now, id: Id) {
        let Some(channel) = self.remove(id) else { return };
        if let State::Open { forward } | State::Succeeded { forward, .. } = channel.state {
            self.neighbours.say(now, channel.link, &Message::Close { channel: forward });
        }
    }

    fn remove(&mut self, id: Id) -> Option<Channel> {
        let mut channel = self.channels.remove(id)?;
        channel.joiner.clear(&mut self.room);
        channel.window.rest(&mut self.stores[channel.class.index()]);
        if let State::Asked { .. } = channel.state {
            self.under_way -= 1;
        }
        if let Some(link) = self.neighbours.link_mut(channel.link) {
            link.channels.remove(channel.backward_id);
        }
        self.figures.channels = self.channels.len() as u64;
        self.figures.channels_ended += 1;
        Some(channel)
    }

    fn sweep(&mut self, now: Now, out: &mut Outbox) {
        let time = now.time;
        let (mut unconfirmed, mut close, mut succeed) = (Vec::new(), Vec::new(), Vec::new());
        // Before the hops forget a quiet channel, so that nothing is sent into the void.
        let idle = self.limits.channel_idle.mul_f64(0.8);
        for (id, channel) in self.channels.iter_mut() {
            let late = channel.joiner.expire(time, &mut self.room);
            self.figures.drop_many(Dropped::FragmentExpired, late);
            if time - channel.last >= RESTS_AFTER {
                channel.window.rest(&mut self.stores[channel.class.index()]);
            }
            match channel.state {
                State::Asked { until } if until <= time => unconfirmed.push(id),
                State::Succeeded { until, .. } if until <= time => close.push(id),
                State::Open { .. } if time - channel.last >= idle || channel.ends <= time => {
                    close.push(id);
                }
                State::Open { .. }
                    if channel.ends - time <= SUCCESSOR_BEFORE || channel.next >= SUCCESSOR_AT =>
                {
                    succeed.push((id, channel.association));
                }
                State::Asked { .. } | State::Open { .. } | State::Succeeded { .. } => {}
            }
        }
        for id in unconfirmed {
            if let Some(channel) = self.channels.get(id) {
                self.notice(channel.association, Notice::Unconfirmed, out);
            }
            self.end(now, id);
        }
        for id in close {
            if let Some(assoc) = self.channels.get(id).map(|channel| channel.association)
                && let Some(assoc) = self.associations.get_mut(assoc.0)
                && assoc.current == Some(id)
            {
                assoc.current = None;
            }
            self.close_channel(now, id);
        }
        for (id, association) in succeed {
            match association {
                // A spare has no successor, only a replacement.
                Association::NOBODY => self.close_channel(now, id),
                association => self.want(now, association),
            }
        }
        self.tend_first_mixes(now);
        self.tend_spares(now, out);
        self.expire_queues(time);
        self.avoided.retain(|_, until| *until > time);
    }

    fn expire_queues(&mut self, time: Time) {
        let mut late = 0;
        for (_, assoc) in self.associations.iter_mut() {
            while let Some(first) = assoc.queue.front()
                && time - first.since >= self.limits.queue_wait
            {
                assoc.queued -= first.message.len();
                assoc.queue.pop_front();
                late += 1;
            }
        }
        self.figures.drop_many(Dropped::NoChain, late);
    }
}

#[cfg(test)]
impl Entry {
    /// What is held, by name.
    pub(crate) fn held(&self) -> Vec<(&'static str, usize)> {
        let mut held = self.neighbours.held();
        held.push(("associations", self.associations.len()));
        held.push(("channels", self.channels.len()));
        held.push(("wanting", self.wanting.len()));
        held.push(("set-ups under way", self.under_way));
        held.push(("windows", self.stores.iter().map(Store::used).sum()));
        held.push(("reassembly", self.room.used()));
        held
    }
}
