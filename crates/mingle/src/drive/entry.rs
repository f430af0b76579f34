//! An entry: links on one side, the doors for applications on the other.
//!
//! ```text
//! SOCKS5   one relay socket per association: a datagram's relay is known by the port it came to,
//!          as its sender's port is not known before it comes, and one host has many associations
//! forward  one socket each; a channel per source
//! raw      one socket each; a channel per source and destination
//! ```

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use datagram::Entry;
use datagram::entry::Association;
use datagram::network::Class;
use datagram::outbox::{Dropped, Effect, Outbox};
use mixing::time::Now;
use tokio::sync::oneshot;

use super::notices::Notices;
use super::relay::{Channels, Relay};
use super::sources::{Key, Sources};
use super::wait::Waiter;
use super::whereabouts::{Whereabouts, source};
use super::{OWN, Role};
use crate::config::EntryConfig;
use crate::figures::{Lost, LostCounts, Sizes};
use crate::forward::Forward;
use crate::{log, raw, socks, udp};

/// An entry on its links and behind its doors.
pub(crate) struct EntryRole {
    core: Entry,
    whereabouts: Whereabouts,
    doors: Vec<Door>,
    sources: Sources<Key>,
    /// By number, which follows the doors'.
    relays: HashMap<u64, Relay>,
    /// The relay behind an association.
    behind: HashMap<Association, u64>,
    next: u64,
    class: Class,
    per_destination: bool,
    destinations_max: usize,
    quiet_max: Duration,
    notices: Notices,
    lost: LostCounts,
    buffer: Vec<u8>,
    reply: Vec<u8>,
}

/// Where applications come in without saying so beforehand.
pub(crate) struct Door {
    pub(crate) socket: UdpSocket,
    pub(crate) kind: DoorKind,
}

/// What a door's datagrams mean.
pub(crate) enum DoorKind {
    /// They begin with their destination.
    Raw { class: Class },
    /// All go to one.
    Forward(Forward),
}

/// What the SOCKS connections ask of an entry.
pub(crate) enum EntryCommand {
    /// A new association; the answer is its number.
    Associate {
        socket: UdpSocket,
        peer: IpAddr,
        isolation: u64,
        answer: oneshot::Sender<Result<u64, Dropped>>,
    },
    /// Its TCP connection ended.
    End { number: u64 },
}

#[allow(clippy::wrong_self_convention, reason = "they follow the path, as in the cores")]
impl EntryRole {
    pub(crate) fn new(
        core: Entry,
        config: &EntryConfig,
        doors: Vec<Door>,
        waiter: &Waiter,
    ) -> std::io::Result<Self> {
        let mut next = OWN;
        for door in &doors {
            waiter.add(&door.socket, next)?;
            next += 1;
        }
        let socks = &config.socks;
        Ok(EntryRole {
            core,
            whereabouts: Whereabouts::new(&config.node.listen),
            doors,
            sources: Sources::new(config.forwards.sources_max, config.forwards.source_idle),
            relays: HashMap::new(),
            behind: HashMap::new(),
            next,
            class: socks.class,
            per_destination: socks.channel_per_destination,
            destinations_max: socks.destinations_max,
            quiet_max: config.forwards.source_idle,
            notices: Notices::default(),
            lost: LostCounts::default(),
            buffer: vec![0; udp::DATAGRAM_MAX],
            reply: Vec::with_capacity(udp::DATAGRAM_MAX),
        })
    }

    fn associate(
        &mut self,
        now: Now,
        socket: UdpSocket,
        peer: IpAddr,
        isolation: u64,
        waiter: &Waiter,
    ) -> Result<u64, Dropped> {
        let number = self.next;
        waiter.add(&socket, number).map_err(|_| Dropped::AssociationsFull)?;
        let channels = if self.per_destination {
            let open = Sources::new(self.destinations_max, self.quiet_max);
            Channels::PerDestination { isolation, open }
        } else {
            let association = self.core.open(now, self.class, isolation)?;
            self.behind.insert(association, number);
            Channels::One(association)
        };
        self.next += 1;
        self.relays.insert(number, Relay { socket, peer, client: None, channels });
        Ok(number)
    }

    fn end(&mut self, now: Now, number: u64, out: &mut Outbox) {
        let Some(relay) = self.relays.remove(&number) else { return };
        for association in relay.associations() {
            self.behind.remove(&association);
            self.core.close(now, association, out);
        }
    }

    /// Reads what applications sent to a door or to a relay.
    fn read(&mut self, now: Now, number: u64, share: usize, out: &mut Outbox) {
        let mut buffer = std::mem::take(&mut self.buffer);
        for _ in 0..share {
            let door = self.doors.get((number - OWN) as usize).map(|door| &door.socket);
            let relay = || self.relays.get(&number).map(|relay| &relay.socket);
            let Some(socket) = door.or_else(relay) else { break };
            let Some((from, datagram)) = udp::receive_one(socket, &mut buffer) else { break };
            let taken = if door.is_some() {
                self.from_door(now, number, from, datagram, out)
            } else {
                self.from_relay(now, number, from, datagram, out)
            };
            if let Err(Refused::Here(why)) = taken {
                self.lost.add(why, 1);
            }
        }
        self.buffer = buffer;
    }

    /// A datagram at a door: whose it is, and where to.
    fn from_door(
        &mut self,
        now: Now,
        number: u64,
        from: SocketAddr,
        datagram: &[u8],
        out: &mut Outbox,
    ) -> Result<(), Refused> {
        let (to, payload, class, key_to) = match &self.doors[(number - OWN) as usize].kind {
            DoorKind::Forward(forward) => (forward.to.clone(), datagram, forward.class, None),
            DoorKind::Raw { class } => {
                let (to, payload) = raw::parse(datagram).ok_or(Lost::BadRaw)?;
                (to.into(), payload, *class, Some(to))
            }
        };
        let key = Key { door: number, from, to: key_to };
        let association = match self.sources.find(&key, now.time) {
            Some(association) => association,
            None if self.sources.is_full() => return Err(Lost::SourcesFull.into()),
            None => {
                let association = self.core.open(now, class, NO_CREDENTIALS)?;
                self.sources.insert(key, association, now.time);
                association
            }
        };
        Ok(self.core.send(now, association, &to, payload, out)?)
    }

    /// A datagram at a relay: whether it is the client's, and where to.
    fn from_relay(
        &mut self,
        now: Now,
        number: u64,
        from: SocketAddr,
        datagram: &[u8],
        out: &mut Outbox,
    ) -> Result<(), Refused> {
        let Some(relay) = self.relays.get_mut(&number) else { return Ok(()) };
        if !relay.admits(from) {
            return Err(Lost::WrongSender.into());
        }
        let (to, payload) = socks::parse_datagram(datagram)?;
        relay.client = Some(from);
        let association = match &mut relay.channels {
            Channels::One(association) => *association,
            Channels::PerDestination { isolation, open } => match open.find(&to, now.time) {
                Some(association) => association,
                None => {
                    for quiet in open.sweep(now.time) {
                        self.behind.remove(&quiet);
                        self.core.close(now, quiet, out);
                    }
                    if open.is_full() {
                        return Err(Lost::SourcesFull.into());
                    }
                    let association = self.core.open(now, self.class, *isolation)?;
                    open.insert(to.clone(), association, now.time);
                    self.behind.insert(association, number);
                    association
                }
            },
        };
        Ok(self.core.send(now, association, &to, payload, out)?)
    }

    /// Hands a reply to its application.
    fn deliver(&mut self, now: Now, association: Association, source: SocketAddr, payload: &[u8]) {
        let sent = if let Some(key) = self.sources.behind(association, now.time) {
            self.doors[(key.door - OWN) as usize].socket.send_to(payload, key.from)
        } else {
            let number = self.behind.get(&association);
            let relay = number.and_then(|number| self.relays.get_mut(number));
            let known = relay.and_then(|relay| relay.client.map(|client| (relay, client)));
            let Some((relay, client)) = known else {
                return self.lost.add(Lost::NobodyBehind, 1);
            };
            if let Channels::PerDestination { open, .. } = &mut relay.channels {
                open.behind(association, now.time);
            }
            socks::write_datagram(source, payload, &mut self.reply);
            relay.socket.send_to(&self.reply, client)
        };
        if sent.is_err() {
            // The application's buffer is full, or the reply and its header are too large for UDP.
            self.lost.add(Lost::DeliveryRefused, 1);
        }
    }
}

impl Role for EntryRole {
    type Command = EntryCommand;
    type Core = Entry;

    fn core(&self) -> &Entry {
        &self.core
    }

    fn core_mut(&mut self) -> &mut Entry {
        &mut self.core
    }

    fn readable(&mut self, now: Now, number: u64, share: usize, out: &mut Outbox) {
        self.read(now, number, share, out);
    }

    fn command(&mut self, now: Now, command: EntryCommand, waiter: &Waiter, out: &mut Outbox) {
        match command {
            EntryCommand::Associate { socket, peer, isolation, answer } => {
                let result = self.associate(now, socket, peer, isolation, waiter);
                // A connection that ended meanwhile does not wait for the answer.
                if let Err(Ok(number)) = answer.send(result) {
                    self.end(now, number, out);
                }
            }
            EntryCommand::End { number } => self.end(now, number, out),
        }
    }

    fn perform(&mut self, now: Now, effect: &Effect, out: &Outbox, _: &Waiter) {
        match effect {
            Effect::Deliver { association, source, bytes } => {
                self.deliver(now, *association, *source, out.bytes(bytes));
            }
            Effect::Notice { notice, .. } => self.notices.tell(now.time, notice),
            Effect::Send { .. }
            | Effect::Outside { .. }
            | Effect::Resolve { .. }
            | Effect::Gone { .. } => {}
        }
    }

    fn settle(&mut self, _: Now, _: &mut Outbox) {}

    fn upkeep(&mut self, now: Now, out: &mut Outbox) {
        for association in self.sources.sweep(now.time) {
            self.core.close(now, association, out);
        }
        if self.whereabouts.changed(now.time, self.core.network(), source) {
            log::info("this machine has another address: links and channels begin afresh");
            self.core.moved(now, out);
        }
    }

    fn lost(&self) -> &LostCounts {
        &self.lost
    }

    fn sizes(&self) -> Sizes {
        Sizes {
            sockets: (self.doors.len() + self.relays.len()) as u64,
            sources: self.sources.len() as u64,
            associations: self.relays.len() as u64,
        }
    }
}

/// Why an application's datagram went nowhere.
enum Refused {
    /// To be counted here.
    Here(Lost),
    /// By the core, which counted it.
    Core,
}

impl From<Lost> for Refused {
    fn from(why: Lost) -> Self {
        Refused::Here(why)
    }
}

impl From<Dropped> for Refused {
    fn from(_: Dropped) -> Self {
        Refused::Core
    }
}

/// Whoever gives no credentials shares chains with all who give none.
const NO_CREDENTIALS: u64 = 0;
