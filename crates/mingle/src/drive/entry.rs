//! An entry: links on one side, the doors for applications on the other.
//!
//! ```text
//! SOCKS5   one relay socket per association: a datagram's relay is known by the port it came to,
//!          as its sender's port is not known before it comes, and one host has many associations
//! forward  one socket each; a channel per source
//! raw      one socket each; a channel per source and destination
//! ```

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use datagram::entry::{Association, Notice};
use datagram::network::Class;
use datagram::outbox::{Dropped, Effect, Outbox};
use datagram::{Destination, Entry, Figures};
use mixing::time::{Now, Time};
use tokio::sync::oneshot;

use super::sources::{Key, Sources};
use super::wait::Waiter;
use super::{OWN, Role};
use crate::config::EntryConfig;
use crate::figures::{Lost, LostCounts, Sizes};
use crate::forward::Forward;
use crate::{log, raw, socks, udp};

/// An entry on its links and behind its doors.
pub(crate) struct EntryRole {
    core: Entry,
    doors: Vec<Door>,
    sources: Sources,
    /// By number, which follows the doors'.
    relays: HashMap<u64, Relay>,
    /// The relay behind an association.
    behind: HashMap<Association, u64>,
    next: u64,
    class: Class,
    per_destination: Option<usize>,
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

/// A SOCKS association's socket.
struct Relay {
    socket: UdpSocket,
    /// Only this host may send (the peer of the TCP connection)
    peer: IpAddr,
    /// and only from the port it first sent from.
    client: Option<SocketAddr>,
    channels: Channels,
}

/// One channel for all, or one each.
enum Channels {
    One(Association),
    PerDestination { isolation: u64, open: BTreeMap<Destination, Association> },
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
            doors,
            sources: Sources::new(config.forwards.sources_max, config.forwards.source_idle),
            relays: HashMap::new(),
            behind: HashMap::new(),
            next,
            class: socks.class,
            per_destination: socks.channel_per_destination.then_some(socks.destinations_max),
            notices: Notices { again_at: Time::ZERO, unsaid: 0 },
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
        let channels = if self.per_destination.is_some() {
            Channels::PerDestination { isolation, open: BTreeMap::new() }
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
        let associations = match relay.channels {
            Channels::One(association) => vec![association],
            Channels::PerDestination { open, .. } => open.into_values().collect(),
        };
        for association in associations {
            self.behind.remove(&association);
            self.core.close(now, association, out);
        }
    }

    /// Reads what applications sent to a door.
    fn read_door(&mut self, now: Now, number: u64, out: &mut Outbox) {
        for _ in 0..DATAGRAMS_AT_ONCE {
            let Some(door) = self.doors.get((number - OWN) as usize) else { return };
            let Some((from, datagram)) = udp::receive_one(&door.socket, &mut self.buffer) else {
                return;
            };
            let (to, payload, class, key_to) = match &door.kind {
                DoorKind::Forward(forward) => (forward.to.clone(), &*datagram, forward.class, None),
                DoorKind::Raw { class } => match raw::parse(datagram) {
                    Some((to, payload)) => (to.into(), payload, *class, Some(to)),
                    None => {
                        self.lost.add(Lost::BadRaw, 1);
                        continue;
                    }
                },
            };
            let key = Key { door: number, from, to: key_to };
            let association = match self.sources.find(&key, now.time) {
                Some(association) => association,
                None if self.sources.is_full() => {
                    self.lost.add(Lost::SourcesFull, 1);
                    continue;
                }
                // Refused, and counted, by the core.
                None => match self.core.open(now, class, NO_CREDENTIALS) {
                    Ok(association) => {
                        self.sources.insert(key, association, now.time);
                        association
                    }
                    Err(_) => continue,
                },
            };
            let _ = self.core.send(now, association, &to, payload, out);
        }
    }

    /// Reads what a SOCKS client sent to its relay.
    fn read_relay(&mut self, now: Now, number: u64, out: &mut Outbox) {
        let Some(relay) = self.relays.get_mut(&number) else { return };
        for _ in 0..DATAGRAMS_AT_ONCE {
            let received = udp::receive_one(&relay.socket, &mut self.buffer);
            let Some((from, datagram)) = received else { return };
            let wrong_port = relay.client.is_some_and(|client| client != from);
            if from.ip().to_canonical() != relay.peer || wrong_port {
                self.lost.add(Lost::WrongSender, 1);
                continue;
            }
            let (to, payload) = match socks::parse_datagram(datagram) {
                Ok(parsed) => parsed,
                Err(why) => {
                    self.lost.add(why, 1);
                    continue;
                }
            };
            relay.client = Some(from);
            let association = match &mut relay.channels {
                Channels::One(association) => *association,
                Channels::PerDestination { isolation, open } => match open.get(&to) {
                    Some(association) => *association,
                    None if self.per_destination.is_some_and(|most| open.len() >= most) => {
                        self.lost.add(Lost::SourcesFull, 1);
                        continue;
                    }
                    None => match self.core.open(now, self.class, *isolation) {
                        Ok(association) => {
                            open.insert(to.clone(), association);
                            self.behind.insert(association, number);
                            association
                        }
                        Err(_) => continue,
                    },
                },
            };
            let _ = self.core.send(now, association, &to, payload, out);
        }
    }

    /// Hands a reply to its application.
    fn deliver(&mut self, now: Now, association: Association, source: SocketAddr, payload: &[u8]) {
        let sent = if let Some(key) = self.sources.behind(association, now.time) {
            self.doors[(key.door - OWN) as usize].socket.send_to(payload, key.from)
        } else {
            let relay = self.behind.get(&association).and_then(|number| self.relays.get(number));
            let Some((relay, client)) = relay.and_then(|relay| Some((relay, relay.client?))) else {
                return self.lost.add(Lost::NobodyBehind, 1);
            };
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

    fn receive(&mut self, now: Now, from: SocketAddr, cell: &mut [u8], out: &mut Outbox) {
        // The core counted why.
        let _ = self.core.receive(now, from, cell, out);
    }

    fn readable(&mut self, now: Now, number: u64, out: &mut Outbox) {
        if ((number - OWN) as usize) < self.doors.len() {
            self.read_door(now, number, out);
        } else {
            self.read_relay(now, number, out);
        }
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

    fn tick(&mut self, now: Now, out: &mut Outbox) {
        for association in self.sources.sweep(now.time) {
            self.core.close(now, association, out);
        }
        self.core.tick(now, out);
    }

    fn wake_at(&self) -> Option<Time> {
        self.core.wake_at()
    }

    fn feed(&mut self, fresh: &[u8; 32]) {
        self.core.feed(fresh);
    }

    fn shutdown(&mut self, now: Now, out: &mut Outbox) {
        self.core.shutdown(now, out);
    }

    fn figures(&self) -> &Figures {
        self.core.figures()
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

/// Tells the user why something does not work, but not once per datagram.
struct Notices {
    again_at: Time,
    unsaid: u64,
}

impl Notices {
    fn tell(&mut self, now: Time, notice: &Notice) {
        if now < self.again_at {
            self.unsaid += 1;
            return;
        }
        match std::mem::take(&mut self.unsaid) {
            0 => log::warning(notice),
            unsaid => log::warning(format_args!("{notice} (and {unsaid} notices before)")),
        }
        self.again_at = now + NOTICE_EVERY;
    }
}

/// Whoever gives no credentials shares chains with all who give none.
const NO_CREDENTIALS: u64 = 0;
/// Datagrams read from one socket before the others have their turn.
const DATAGRAMS_AT_ONCE: usize = 32;
const NOTICE_EVERY: Duration = Duration::from_secs(10);
