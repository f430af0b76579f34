//! The exit: the last hop. It peels its own layer, puts datagrams together, talks to destinations
//! and sends replies back.
//!
//! ```text
//! receive      ─► neighbours: decipher ─► window, peel ─► join ─► name? ─► policy ─► outside
//! from_outside ─► filter, rate ─► split ─► seal ─► encipher ─► outbox
//! ```
//!
//! What always holds: every address a datagram goes to has passed the policy, resolved; only whom
//! a channel wrote to lately may answer it (unless the policy opens that). Sockets and lookups are
//! the shell's: one unconnected socket per flow and address family. Absent: who the client is.

mod life;
mod names;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use mixing::chance::Chance;
use mixing::keys::IdentityKey;
use mixing::replay::{Store, Window};
use mixing::time::{Now, Time};

use crate::channel::{BackwardKey, ForwardKey, WordKey};
use crate::destination::{Destination, Host};
use crate::figures::Figures;
use crate::fragment::{self, Joined, Joiner, Room};
use crate::keyring::Keyring;
use crate::lane::{self, WINDOWS};
use crate::limits::Limits;
use crate::link::Pointer;
use crate::machine::Machine;
use crate::message::Refusal;
use crate::neighbours::{Neighbours, News, Received};
use crate::network::{Class, Error, Network, Role};
use crate::outbox::{Dropped, Outbox};
use crate::policy::Policy;
use crate::rate::Rate;
use crate::repeats::Repeats;
use crate::share::Account;
use crate::slots::{Id, Slots, Wear};
use crate::wire::{self, CELL_OVERHEAD, LAST_SEQUENCE, TAG};

/// How long a channel keeps what a name resolved to.
pub const NAME_FOR: Duration = Duration::from_secs(60);
/// How long a question about a name may take.
pub const QUESTION_FOR: Duration = Duration::from_secs(10);
/// Names that one channel may have in memory at once; a further one drives out the oldest.
pub const NAMES_PER_CHANNEL: usize = 64;
/// Datagrams that may wait for one name: as many as a call sends while it waits for a chain.
pub const WAITING_PER_NAME: usize = 512;
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// What a datagram costs of a rate in bytes: its headers count, so that empty ones are not free.
fn charged(payload: &[u8]) -> u64 {
    payload.len() as u64 + 48
}

/// A channel, as the shell knows it: what sockets belong to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Flow(Id);

/// A name to look up.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Question(Id);

/// The core of an exit.
pub struct Exit {
    neighbours: Neighbours,
    policy: Policy,
    channels: Slots<Channel>,
    questions: Slots<Asked>,
    stores: [Store; 2],
    room: Room,
    repeats: Repeats,
    limits: Limits,
    chance: Chance,
    figures: Figures,
    sweep_at: Time,
}

struct Channel {
    class: Class,
    opened: Time,
    ends: Time,
    last: Option<Time>,
    /// The link to the last mix, and the id that it wants to see.
    back: (Id, Id),
    /// On whose account it is.
    account: Account,
    /// The id that the exit wants to see.
    forward_id: Id,
    forward: ForwardKey,
    backward: BackwardKey,
    word: WordKey,
    window: Window,
    joiner: Joiner,
    /// The number of the next backward cell.
    next: u32,
    /// By address: whoever sits there may answer, from whatever port.
    correspondents: BTreeMap<IpAddr, Correspondent>,
    names: BTreeMap<String, Name>,
    /// What waits for names holds so much of the room.
    named: usize,
    out: Rate,
    unanswered: Rate,
    back_rate: Rate,
}

/// Someone a channel wrote to.
struct Correspondent {
    written: Time,
    answered: bool,
}

/// What a channel knows of a name.
enum Name {
    Asked { waiting: names::Waiting, since: Time },
    Known { address: Option<IpAddr>, since: Time },
}

struct Asked {
    flow: Flow,
    name: String,
    since: Time,
}

impl Exit {
    /// Serves other destinations from now on, as when the machine got another address, which nobody
    /// may reach through it.
    pub fn set_policy(&mut self, policy: Policy) {
        self.policy = policy;
    }

    /// An exit that the network list has under its identity.
    ///
    /// # Errors
    /// A list that is not sound, or does not have this identity as an exit.
    pub fn new(
        now: Now,
        network: Network,
        identity: IdentityKey,
        policy: Policy,
        limits: Limits,
        mut chance: Chance,
    ) -> Result<Self, Error> {
        network.check()?;
        let limits = limits.within_the_wire();
        let node = network.node(&identity.identity()).ok_or(Error::NotListed)?;
        if node.role != Role::Exit {
            return Err(Error::NotListed);
        }
        let keyring = Keyring::new(now, identity, &network.name, limits.remembered, &mut chance);
        let neighbours =
            Neighbours::new(now, network, 0, Some(keyring), limits.clone(), &mut chance);
        Ok(Exit {
            neighbours,
            policy,
            channels: Slots::new(limits.channels, Wear::Renew),
            questions: Slots::new(limits.questions, Wear::Renew),
            stores: WINDOWS.map(|width| Store::new(limits.windows, width)),
            room: Room::new(limits.reassembly_bytes),
            repeats: Repeats::default(),
            limits,
            chance,
            figures: Figures::default(),
            sweep_at: now.time + SWEEP_EVERY,
        })
    }
}

impl Machine for Exit {
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
        let unused =
            |id| self.channels.get(id).is_some_and(|channel: &Channel| channel.last.is_none());
        for (id, message) in self.repeats.due(now.time, unused) {
            if let Some(channel) = self.channels.get(id) {
                self.neighbours.say(now, channel.back.0, &message);
            }
        }
        if now.time >= self.sweep_at {
            self.sweep(now, out);
            self.sweep_at = now.time + SWEEP_EVERY;
        }
        self.neighbours.tick(now, &mut self.chance, &mut self.figures, out);
        self.hear(now, out);
    }

    fn wake_at(&self) -> Option<Time> {
        let others = [self.sweep_at, self.neighbours.wake_at()].into_iter();
        others.chain(self.repeats.wake_at()).min()
    }

    fn renew(&mut self, now: Now, network: Network, out: &mut Outbox) -> Result<(), Error> {
        network.check()?;
        let me = self.neighbours.keyring().expect("a node has one").identity();
        match network.node(&me).ok_or(Error::NotListed)?.role {
            Role::Exit => {}
            Role::Mix(_) => return Err(Error::NotListed),
        }
        self.neighbours.renew(network)?;
        self.hear(now, out);
        Ok(())
    }

    fn shutdown(&mut self, now: Now, out: &mut Outbox) {
        let flows: Vec<Id> = self.channels.iter().map(|(id, _)| id).collect();
        for flow in flows {
            self.end(now, Flow(flow), Some(Refusal::ShuttingDown), out);
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

impl Exit {
    fn receive_cell(
        &mut self,
        now: Now,
        (link, from): (Id, SocketAddr),
        pointer: Pointer,
        sequence: u32,
        cell: &mut [u8],
        out: &mut Outbox,
    ) -> Result<(), Dropped> {
        let flow = Flow(pointer.half);
        let channel = self.channels.get_mut(flow.0).ok_or(Dropped::UnknownChannel)?;
        let store = &mut self.stores[channel.class.index()];
        channel.window.check(sequence, store).map_err(lane::dropped)?;
        channel.forward.peel(sequence, cell)?;
        channel.window.mark(sequence, store);
        channel.last = Some(now.time);
        self.neighbours.proved(now, link, from, cell.len());
        self.figures.cells_in[channel.class.index()] += 1;
        let size = wire::payload_size(self.neighbours.network.class(channel.class).cell_size);
        let content = &cell[CELL_OVERHEAD..];
        let (joined, driven_out) =
            channel.joiner.join(now.time, sequence, content, size, &mut self.room)?;
        self.figures.drop_many(Dropped::FragmentExpired, driven_out);
        match joined {
            Joined::Whole(message) => self.leave(now, flow, &message, out),
            Joined::Waiting | Joined::Dummy => Ok(()),
        }
    }

    /// A whole message: looks its destination up if it is a name, and lets the payload go.
    fn leave(
        &mut self,
        now: Now,
        flow: Flow,
        message: &[u8],
        out: &mut Outbox,
    ) -> Result<(), Dropped> {
        let (destination, payload) = Destination::read(message)?;
        match destination.host {
            Host::Address(address) => {
                self.leave_to(now, flow, SocketAddr::new(address, destination.port), payload, out)
            }
            Host::Name(name) => self.leave_by_name(now, flow, name, destination.port, payload, out),
        }
    }

    fn leave_to(
        &mut self,
        now: Now,
        flow: Flow,
        to: SocketAddr,
        payload: &[u8],
        out: &mut Outbox,
    ) -> Result<(), Dropped> {
        let to = SocketAddr::new(to.ip().to_canonical(), to.port());
        if !self.policy.permits(&self.neighbours.network, to) {
            return Err(Dropped::ForbiddenDestination);
        }
        let channel = self.channels.get_mut(flow.0).ok_or(Dropped::UnknownFlow)?;
        let known = channel.correspondents.get(&to.ip());
        let (is_new, answered) = (known.is_none(), known.is_some_and(|known| known.answered));
        let bytes = charged(payload);
        if !answered && !channel.unanswered.take(bytes, now.time)
            || !channel.out.take(bytes, now.time)
        {
            return Err(Dropped::TooFast);
        }
        if is_new && channel.correspondents.len() >= self.limits.correspondents {
            let oldest = channel.correspondents.iter().min_by_key(|(_, c)| c.written);
            let oldest = *oldest.expect("the map is full").0;
            channel.correspondents.remove(&oldest);
        }
        channel.correspondents.insert(to.ip(), Correspondent { written: now.time, answered });
        self.figures.datagrams_out += 1;
        out.outside(flow, to, payload);
        Ok(())
    }

    /// Takes in a datagram that came to a flow's socket.
    ///
    /// # Errors
    /// Why it was dropped; it is counted here already.
    pub fn from_outside(
        &mut self,
        now: Now,
        flow: Flow,
        from: SocketAddr,
        payload: &[u8],
        out: &mut Outbox,
    ) -> Result<(), Dropped> {
        let sent = self.reply(now, flow, from, payload, out);
        sent.inspect_err(|dropped| self.figures.drop(*dropped))
    }

    fn reply(
        &mut self,
        now: Now,
        flow: Flow,
        from: SocketAddr,
        payload: &[u8],
        out: &mut Outbox,
    ) -> Result<(), Dropped> {
        let channel = self.channels.get_mut(flow.0).ok_or(Dropped::UnknownFlow)?;
        let from = SocketAddr::new(from.ip().to_canonical(), from.port());
        let (window, time) = (self.limits.reply_window, now.time);
        match channel.correspondents.get_mut(&from.ip()) {
            Some(known) if time - known.written < window => known.answered = true,
            _ if self.policy.open_filtering => {}
            _ => return Err(Dropped::UnknownSource),
        }
        if !channel.back_rate.take(charged(payload), time) {
            return Err(Dropped::TooFast);
        }
        let mut message = Vec::with_capacity(payload.len() + 19);
        Destination::from(from).write(&mut message)?;
        message.extend_from_slice(payload);
        channel.last = Some(time);
        self.figures.datagrams_in += 1;
        self.send_back(now, flow, &message, out)
    }

    fn send_back(
        &mut self,
        now: Now,
        flow: Flow,
        message: &[u8],
        out: &mut Outbox,
    ) -> Result<(), Dropped> {
        let channel = self.channels.get_mut(flow.0).ok_or(Dropped::UnknownFlow)?;
        let s0 = self.neighbours.network.class(channel.class).cell_size;
        let (link, theirs) = channel.back;
        let link = self.neighbours.link_mut(link).ok_or(Dropped::Orphaned)?;
        if link.is_disowned(theirs) {
            self.end(now, flow, None, out);
            return Err(Dropped::Orphaned);
        }
        let size = wire::cell_size(s0, link.leaving);
        for (head, part) in fragment::split(message, wire::payload_size(s0))? {
            if channel.next == LAST_SEQUENCE {
                return Err(Dropped::Orphaned);
            }
            let cell = out.datagram(link.address, size);
            fragment::write(&mut cell[CELL_OVERHEAD..], head, part);
            channel.backward.seal(channel.next, &mut cell[CELL_OVERHEAD - TAG..]);
            link.encipher(cell, theirs, channel.next);
            channel.next += 1;
            self.figures.cells_out[channel.class.index()] += 1;
        }
        link.sent(now.time);
        Ok(())
    }

    /// Ends a flow whose socket could not be opened, and says so to its client.
    pub fn no_socket(&mut self, now: Now, flow: Flow, out: &mut Outbox) {
        self.figures.drop(Dropped::SocketsFull);
        self.end(now, flow, Some(Refusal::NoSocket), out);
    }

    // ---- what neighbours say

    fn hear(&mut self, now: Now, out: &mut Outbox) {
        while !self.neighbours.news.is_empty() {
            for news in std::mem::take(&mut self.neighbours.news) {
                match news {
                    News::SetUp { link, backward, envelope } => {
                        if let Err(dropped) = self.set_up(now, link, backward, &envelope, out) {
                            self.figures.drop(dropped);
                        }
                    }
                    News::Closed { pointer } => self.end(now, Flow(pointer.half), None, out),
                    News::Ended { channels, .. } => {
                        for pointer in channels {
                            self.end(now, Flow(pointer.half), None, out);
                        }
                    }
                    // An exit asks nobody for channels and opens no links.
                    News::Confirmed { .. }
                    | News::Refused { .. }
                    | News::Unheard { .. }
                    | News::Linked { .. }
                    | News::Unreachable { .. } => self.figures.drop(Dropped::BadControl),
                }
            }
        }
    }
}

#[cfg(test)]
impl Exit {
    /// What is held, by name.
    pub(crate) fn held(&self) -> Vec<(&'static str, usize)> {
        let mut held = self.neighbours.held();
        held.push(("channels", self.channels.len()));
        held.push(("questions", self.questions.len()));
        held.push(("windows", self.stores.iter().map(Store::used).sum()));
        held.push(("reassembly", self.room.used()));
        held
    }
}
