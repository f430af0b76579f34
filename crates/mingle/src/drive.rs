//! The loop that joins sockets to a core, the same for every role.
//!
//! ```text
//! wait ─► receive a batch ─► core ─► tick ─► perform what the core wants ─► wait
//! ```
//!
//! One thread owns a node's sockets and its core, so nothing on a cell's way is shared or locked.
//! What is not on that way (SOCKS connections, names, the metrics page) lives on other threads: it
//! puts commands into the mailbox and reads what is published. Nothing that the network sends ends
//! the loop; only `stop` does.

pub mod entry;
pub mod exit;
pub mod mailbox;
pub mod mix;
mod notices;
mod relay;
mod sources;
pub mod wait;
mod whereabouts;

use std::sync::Arc;
use std::time::Duration;

use datagram::outbox::{Effect, Outbox};
use datagram::{Machine, Network};
use mixing::time::{Now, Time};

use crate::Error;
use crate::clock::Clock;
use crate::figures::{Lost, LostCounts, Published, Sizes};
use crate::udp::{Inbox, LinkSocket};
use crate::{key, log};
use mailbox::Inside;
use wait::{Ready, Waiter};

/// A core with the sockets that only its role has.
pub(crate) trait Role: Send {
    /// What other threads ask of it.
    type Command: Send;
    /// An entry, a mix or an exit.
    type Core: Machine;

    /// The core.
    fn core(&self) -> &Self::Core;
    /// The core, to be driven.
    fn core_mut(&mut self) -> &mut Self::Core;
    /// A socket of the role's own can be read; at most `share` datagrams now.
    fn readable(&mut self, now: Now, number: u64, share: usize, out: &mut Outbox);
    /// Another thread asks for something.
    fn command(&mut self, now: Now, command: Self::Command, waiter: &Waiter, out: &mut Outbox);
    /// The core wants something that is not a send over a link.
    fn perform(&mut self, now: Now, effect: &Effect, out: &Outbox, waiter: &Waiter);
    /// Tells the core what performing its effects brought up.
    fn settle(&mut self, now: Now, out: &mut Outbox);
    /// Does what the role's own sockets need now and then.
    fn upkeep(&mut self, now: Now, out: &mut Outbox);
    /// What the role's sockets lost.
    fn lost(&self) -> &LostCounts;
    /// How many sockets and sources the role has.
    fn sizes(&self) -> Sizes;
}

/// The first number for a role's own sockets.
const OWN: u64 = 2;

/// The sockets that carry cells: at most one of each family, numbered 0 and 1.
pub(crate) struct Links {
    sockets: [Option<LinkSocket>; 2],
}

impl Links {
    pub(crate) fn new(sockets: Vec<LinkSocket>) -> Self {
        let mut links = Links { sockets: [None, None] };
        for socket in sockets {
            let ipv6 = socket.address().is_some_and(|address| address.is_ipv6());
            links.sockets[usize::from(ipv6)] = Some(socket);
        }
        links
    }

    fn send(&self, to: std::net::SocketAddr, segment: usize, run: &[u8], lost: &mut LostCounts) {
        match &self.sockets[usize::from(to.is_ipv6())] {
            Some(socket) => lost.add(Lost::SendRefused, socket.send(to, segment, run)),
            None => lost.add(Lost::NoRoute, run.len().div_ceil(segment.max(1)) as u64),
        }
    }
}

/// Everything a node's thread owns.
pub(crate) struct Drive<R: Role> {
    role: R,
    links: Links,
    lost: LostCounts,
    waiter: Waiter,
    inside: Inside<R::Command>,
    published: Arc<Published>,
    clock: Clock,
    out: Outbox,
    inbox: Inbox,
    figures_every: Duration,
    figures_at: Time,
    /// How many nodes were known and linked when it was last said.
    said: (u64, u64),
    feed_at: Time,
}

impl<R: Role> Drive<R> {
    pub(crate) fn new(
        role: R,
        links: Links,
        waiter: Waiter,
        inside: Inside<R::Command>,
        published: Arc<Published>,
        clock: Clock,
        figures_every: Duration,
    ) -> Result<Self, Error> {
        for (number, socket) in (0..).zip(&links.sockets) {
            if let Some(socket) = socket {
                waiter.add(socket, number).map_err(|why| Error::system("epoll", why))?;
            }
        }
        let now = clock.now().time;
        Ok(Drive {
            role,
            links,
            lost: LostCounts::default(),
            waiter,
            inside,
            published,
            clock,
            out: Outbox::new(),
            inbox: Inbox::new(),
            figures_every,
            figures_at: now + figures_every,
            said: (0, 0),
            feed_at: now + FEED_EVERY,
        })
    }

    /// Runs until it is told to stop, then says goodbye to the neighbours.
    pub(crate) fn run(mut self) {
        self.publish();
        self.finish(self.clock.now());
        self.published.set_ready(true);
        let mut ready = Ready::new();
        while !self.inside.stopped() {
            self.turn(&mut ready);
        }
        self.published.set_ready(false);
        let now = self.clock.now();
        self.role.core_mut().shutdown(now, &mut self.out);
        self.perform(now);
        self.publish();
    }

    fn turn(&mut self, ready: &mut Ready) {
        let due = self.figures_at.min(self.feed_at);
        let due = self.role.core().wake_at().map_or(due, |wake| wake.min(due));
        self.waiter.wait(Some(due - self.clock.now().time), ready);

        let now = self.clock.now();
        // Where many sockets have one datagram each, asking each whether there are more would be
        // one system call in three; where few have many, it is one in many.
        let share = if ready.numbers().len() > SOCKETS_FEW { 1 } else { DATAGRAMS_AT_ONCE };
        for &number in ready.numbers() {
            self.read(now, number, share);
            if self.out.effects().len() > EFFECTS_MANY {
                self.finish(now);
            }
        }
        if let Some(list) = self.inside.changed_list() {
            self.renew(now, list);
        }
        while let Some(command) = self.inside.next() {
            self.role.command(now, command, &self.waiter, &mut self.out);
        }
        self.finish(now);
        self.published.set_known(self.role.core().figures().nodes_known);
        self.keep_time(now);
    }

    /// Takes up a changed list, or says why not and goes on with the one it has.
    fn renew(&mut self, now: Now, list: Network) {
        let nodes = list.nodes.len();
        match self.role.core_mut().renew(now, list, &mut self.out) {
            Ok(()) => {
                self.published.set_listed(nodes);
                log::info(format_args!("the network list changed: {nodes} nodes now"));
            }
            Err(why) => log::warning(format_args!(
                "the network list changed, and this node goes on with the former: {why}"
            )),
        }
    }

    fn read(&mut self, now: Now, number: u64, share: usize) {
        let Self { role, links, inbox, out, .. } = self;
        match links.sockets.get(number as usize) {
            Some(Some(socket)) => {
                if socket.receive(inbox) {
                    // The core counts what it drops.
                    inbox.each(|from, cell| {
                        let _ = role.core_mut().receive(now, from, cell, out);
                    });
                }
            }
            _ => role.readable(now, number, share, out),
        }
    }

    /// Lets the core tick and performs all that came of the batch.
    fn finish(&mut self, now: Now) {
        self.role.upkeep(now, &mut self.out);
        self.role.core_mut().tick(now, &mut self.out);
        self.perform(now);
    }

    fn perform(&mut self, now: Now) {
        // Settling may want more, but each round settles something, so there is an end.
        while !self.out.effects().is_empty() {
            for effect in self.out.effects() {
                match effect {
                    Effect::Send { to, segment, bytes } => {
                        self.links.send(*to, *segment, self.out.bytes(bytes), &mut self.lost);
                    }
                    other => self.role.perform(now, other, &self.out, &self.waiter),
                }
            }
            self.out.clear();
            self.role.settle(now, &mut self.out);
        }
    }

    fn keep_time(&mut self, now: Now) {
        if now.time >= self.feed_at {
            self.feed_at = now.time + FEED_EVERY;
            // A system out of randomness is no reason to end: the generator stays sound without.
            if let Ok(fresh) = key::random() {
                self.role.core_mut().feed(&fresh);
            }
        }
        if now.time >= self.figures_at {
            self.figures_at = now.time + self.figures_every;
            self.publish();
            self.say_nodes();
        }
    }

    /// Says when the number of nodes that answer changed, as seldom as the figures do.
    fn say_nodes(&mut self) {
        let figures = self.role.core().figures();
        let nodes = (figures.nodes_known, figures.nodes_linked);
        if nodes != self.said {
            self.said = nodes;
            let listed = self.published.listed();
            let (known, linked) = nodes;
            log::info(format_args!("of {listed} nodes, {known} are known and {linked} linked"));
        }
    }

    fn publish(&self) {
        let mut lost = self.role.lost().plus(&self.lost);
        let links = self.links.sockets.iter().flatten();
        lost.add(Lost::LinkBufferFull, links.map(LinkSocket::overflowed).sum());
        let date = self.clock.now().date;
        self.published.set(date, self.role.core().figures().clone(), lost, self.role.sizes());
    }
}

/// Fresh randomness once a minute (DESIGN section 3).
const FEED_EVERY: Duration = Duration::from_secs(60);
/// Datagrams read from one socket of a role before the others have their turn.
const DATAGRAMS_AT_ONCE: usize = 32;
/// Up to so many sockets at once are few.
const SOCKETS_FEW: usize = 4;
/// Effects of one turn after which they are performed before the next socket is read.
const EFFECTS_MANY: usize = 1024;
