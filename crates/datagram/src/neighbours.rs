//! All links of a node, and everything that neighbours settle among themselves: opening links,
//! keys of the hour, parcels, probes, moves. What concerns channels is handed to the role.
//!
//! ```text
//! datagram ─► link id 0 ─► check ─► opening | key request | key piece | cookie | unknown key
//!          ─► a link that is opening ─► answer
//!          ─► an open link ─► decipher ─► channel 0 ─► messages     ─► News for the role
//!                                      ─► a channel               ─► Received::Cell for the role
//! ```
//!
//! Who may open links here: at tier 1 anybody; elsewhere listed nodes of the tier below that prove
//! who they are. Unknown link ids get silence, and no answer is longer than what provoked it.

mod approach;
mod strangers;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mixing::chance::Chance;
use mixing::keys::Identity;
use mixing::time::{Now, Time};

use crate::figures::Figures;
use crate::keyring::{Directory, Keyring};
use crate::limits::Limits;
use crate::link::{self, Health, Link, Pointer};
use crate::message::{Message, Reader, Refusal};
use crate::network::{Class, Error, Network};
use crate::opening::{self, Cookies};
use crate::outbox::{Dropped, Outbox};
use crate::parcel::Parcel;
use crate::rate::{Rate, Sources};
use crate::share::{Account, Accounts};
use crate::slots::{Id, Slots, Wear};
use crate::wire;

use approach::Approach;
use strangers::Gate;

/// How often links are looked after while something is under way, and while nothing is.
const BUSY_EVERY: Duration = Duration::from_millis(5);
const IDLE_EVERY: Duration = Duration::from_millis(200);

/// The links of a node.
pub(crate) struct Neighbours {
    pub(crate) network: Network,
    pub(crate) directory: Directory,
    pub(crate) news: Vec<News>,
    limits: Limits,
    /// The tier of this node: 0 for an entry.
    tier: u8,
    /// What the node proves itself and opens envelopes with; an entry has none.
    keyring: Option<Keyring>,
    links: Slots<Line>,
    /// The newest link to each node that this side opened.
    newest: BTreeMap<Identity, Id>,
    approaches: BTreeMap<Identity, Approach>,
    gate: Gate,
    pub(crate) accounts: Accounts,
    look_at: Time,
}

enum Line {
    /// Opened by this side, not yet answered.
    Opening(Identity),
    Open(Box<Link>),
}

/// What came.
pub(crate) enum Received {
    /// A cell of a channel, its header proved: the rest is the role's, who also says when the cell
    /// turned out to be new.
    Cell { link: Id, pointer: Pointer, class: Class, sequence: u32 },
    /// Something between neighbours; what it means for the role is in the news.
    Settled,
}

/// What the role has to know.
#[derive(Debug)]
pub(crate) enum News {
    /// A predecessor asks for a channel.
    SetUp { link: Id, backward: Id, envelope: Vec<u8> },
    /// A set-up was never acknowledged.
    Unheard { pointer: Pointer },
    /// A successor confirms a channel.
    Confirmed { link: Id, pointer: Pointer, forward: Id, proof: [u8; 16] },
    /// A successor could not open its envelope.
    Refused { pointer: Pointer, reason: Refusal },
    /// A predecessor ends a channel.
    Closed { pointer: Pointer },
    /// A link to a listed node stands.
    Linked { node: Identity },
    /// A listed node does not answer.
    Unreachable { node: Identity },
    /// A link ended; these were its channels.
    Ended { peer: Option<Identity>, ours: bool, channels: Vec<Pointer> },
}

impl Neighbours {
    pub(crate) fn new(
        now: Now,
        network: Network,
        tier: u8,
        keyring: Option<Keyring>,
        limits: Limits,
        chance: &mut Chance,
    ) -> Self {
        let time = now.time;
        let gate = Gate {
            cookies: Cookies::new(time, chance),
            openings: Rate::new(limits.openings_per_second.into(), time),
            knocks: Rate::new(limits.openings_before_cookies.into(), time),
            sources: Sources::new(limits.openings_per_source.into(), time, chance),
            key_requests: Rate::new(limits.key_requests_per_second.into(), time),
            key_sources: Sources::new(limits.key_requests_per_source.into(), time, chance),
            set_ups: Sources::new(limits.set_ups_per_source.into(), time, chance),
            parcels: 0,
        };
        Neighbours {
            network,
            directory: Directory::default(),
            news: Vec::new(),
            tier,
            keyring,
            // Those that this side opens have room of their own, so that strangers cannot take it.
            links: Slots::new(limits.links + 2 * Network::NODES_MAX, Wear::Renew),
            newest: BTreeMap::new(),
            approaches: BTreeMap::new(),
            gate,
            accounts: Accounts::new(limits.links),
            look_at: time,
            limits,
        }
    }

    /// Takes in a datagram from the network.
    pub(crate) fn receive(
        &mut self,
        now: Now,
        from: SocketAddr,
        datagram: &mut [u8],
        chance: &mut Chance,
        out: &mut Outbox,
    ) -> Result<Received, Dropped> {
        let id = datagram.first_chunk().ok_or(Dropped::TooShort)?;
        let id = Id::from_wire(u32::from_be_bytes(*id));
        if id == Id::ZERO {
            return self.receive_prelude(now, from, datagram, chance, out);
        }
        match self.links.get_mut(id) {
            None => Err(Dropped::UnknownLink),
            Some(Line::Opening(node)) => {
                let node = *node;
                self.receive_answer(now, id, node, datagram, chance, out)
            }
            Some(Line::Open(_)) => self.receive_cell(now, id, from, datagram, chance, out),
        }
    }

    fn receive_cell(
        &mut self,
        now: Now,
        id: Id,
        from: SocketAddr,
        cell: &mut [u8],
        chance: &mut Chance,
        out: &mut Outbox,
    ) -> Result<Received, Dropped> {
        let Some(Line::Open(link)) = self.links.get_mut(id) else {
            return Err(Dropped::UnknownLink);
        };
        if cell.len() < wire::CELL_OVERHEAD {
            return Err(Dropped::TooShort);
        }
        let class = wire::class_of(&self.network, link.leaving, cell.len());
        let class = class.ok_or(Dropped::WrongSize)?;
        let (channel, sequence) = link.decipher(cell)?;
        let received = if channel == Id::ZERO {
            let first = !link.is_used();
            let content = link.open_control(sequence, cell)?.to_vec();
            self.proved(now, id, from, cell.len());
            if first {
                self.greet(now, id);
            }
            self.receive_messages(now, id, &content)?;
            self.flush(now, id, chance, out);
            Received::Settled
        } else {
            let Some(pointer) = link.channels.get(channel).copied() else {
                // Its end was told once, and that may be lost: whoever goes on is told again.
                if link.strays.take(1, now.time) {
                    link.say(&Message::Unknown { channel });
                    self.look_at = now.time;
                }
                return Err(Dropped::UnknownChannel);
            };
            if pointer.class != class {
                return Err(Dropped::WrongClass);
            }
            Received::Cell { link: id, pointer, class, sequence }
        };
        Ok(received)
    }

    /// A cell of this link was good and new: the neighbour lives, maybe elsewhere. A copy of an
    /// old cell must not keep a dead link alive, nor begin to move a live one.
    pub(crate) fn proved(&mut self, now: Now, id: Id, from: SocketAddr, size: usize) {
        let Some(Line::Open(link)) = self.links.get_mut(id) else { return };
        link.heard(now.time);
        if from != link.address && link.peer.is_none() {
            link.heard_from(now.time, from, size);
            self.look_at = now.time;
        }
    }

    fn receive_messages(&mut self, now: Now, id: Id, content: &[u8]) -> Result<(), Dropped> {
        let mut reader = Reader(content);
        while let Some(message) = reader.next()? {
            let Some(Line::Open(link)) = self.links.get_mut(id) else { return Ok(()) };
            let pointer = |channel: Id, direction| {
                let pointer = link.channels.get(channel).copied();
                pointer.filter(|pointer| pointer.direction == direction)
            };
            use crate::lane::Direction::{Backward, Forward};
            match message {
                Message::Piece { parcel, index, count, bytes } => {
                    let before = link.receiver.len();
                    let held = self.accounts.get_mut(link.account);
                    let (all, most) = (self.gate.parcels, self.limits.parcels);
                    let own = held.as_ref().map_or(0, |held| held.parcels);
                    let full = link.peer.is_none() && !link.account.fits(own, all, most);
                    if full && !link.receiver.knows(parcel) {
                        return Err(Dropped::ParcelsFull);
                    }
                    let (pieces, whole) =
                        link.receiver.piece(now.time, parcel, index, count, bytes)?;
                    let after = link.receiver.len();
                    self.gate.parcels = all + after - before;
                    if let Some(held) = held {
                        held.parcels = own + after - before;
                    }
                    link.say(&Message::Received { parcel, pieces });
                    if let Some(whole) = whole {
                        self.receive_parcel(now, id, &whole)?;
                    }
                }
                Message::Received { parcel, pieces } => link.sender.received(parcel, pieces),
                Message::Confirm { backward, forward, proof } => {
                    // For a channel that has ended here meanwhile, the confirmation says nothing.
                    if let Some(pointer) = pointer(backward, Backward) {
                        self.news.push(News::Confirmed { link: id, pointer, forward, proof });
                    }
                }
                Message::Refused { backward, reason } => {
                    if let Some(pointer) = pointer(backward, Backward) {
                        self.news.push(News::Refused { pointer, reason });
                    }
                }
                Message::Close { channel } => {
                    if let Some(pointer) = pointer(channel, Forward) {
                        self.news.push(News::Closed { pointer });
                    }
                }
                Message::Probe => link.say(&Message::Alive),
                Message::Alive => {}
                Message::Challenge { token } => link.say(&Message::Token { token }),
                Message::Token { token } => {
                    link.challenged(&token);
                }
                Message::Goodbye => self.end(id),
                Message::Unknown { channel } => link.disown(channel),
            }
        }
        Ok(())
    }

    fn receive_parcel(&mut self, now: Now, id: Id, whole: &[u8]) -> Result<(), Dropped> {
        let Some(Line::Open(link)) = self.links.get_mut(id) else { return Ok(()) };
        match Parcel::from_wire(whole, link.leaving)? {
            Parcel::SetUp { backward, envelope } if !link.ours => {
                // A client may open many links; its share is that of its address.
                let of_source =
                    link.peer.is_some() || self.gate.set_ups.take(link.address, now.time);
                if !of_source || !link.set_ups.take(1, now.time) {
                    let reason = Refusal::Overloaded;
                    link.say(&Message::Refused { backward, reason });
                    return Err(Dropped::TooManySetUps);
                }
                self.news.push(News::SetUp { link: id, backward, envelope });
                Ok(())
            }
            // Only listed nodes have anything to tell about keys.
            Parcel::KeyList(list) if link.ours || link.peer.is_some() => {
                self.learn(now, &list, Some(id))
            }
            Parcel::SetUp { .. } | Parcel::KeyList(_) => Err(Dropped::BadControl),
        }
    }

    /// Learns a key list and hands it on to the other neighbours.
    fn learn(&mut self, now: Now, list: &[u8], source: Option<Id>) -> Result<(), Dropped> {
        if self.keyring.as_ref().is_some_and(|ring| list.starts_with(ring.identity().as_bytes())) {
            return Ok(());
        }
        if self.directory.learn(now, &self.network, list)?.is_some() {
            self.hand_on(now, list, source);
        }
        Ok(())
    }

    fn hand_on(&mut self, now: Now, list: &[u8], except: Option<Id>) {
        // An entry has nobody to hand anything on to.
        if self.keyring.is_none() {
            return;
        }
        let list: Arc<[u8]> = list.into();
        for (id, line) in self.links.iter_mut() {
            if let Line::Open(link) = line
                && Some(id) != except
                && link.is_used()
            {
                link.sender.send(Parcel::KeyList(list.clone()));
            }
        }
        self.look_at = now.time;
    }

    /// A new neighbour gets all key lists that are known here.
    fn greet(&mut self, now: Now, id: Id) {
        let Some(keyring) = &self.keyring else { return };
        let Some(Line::Open(link)) = self.links.get_mut(id) else { return };
        link.sender.send(Parcel::KeyList(keyring.list()[..].into()));
        for (identity, known) in self.directory.all(now.time) {
            if Some(*identity) != link.peer {
                link.sender.send(Parcel::KeyList(known.list.clone()));
            }
        }
        self.look_at = now.time;
    }

    #[allow(clippy::too_many_arguments)] // Everything that a link is told once.
    fn open_link(
        &self,
        now: Now,
        theirs: Id,
        address: SocketAddr,
        peer: Option<Identity>,
        (ours, account): (bool, Account),
        leaving: u8,
        keys: opening::LinkKeys,
    ) -> Box<Link> {
        let opened = link::Opened {
            theirs,
            address,
            peer,
            ours,
            account,
            leaving,
            control_size: wire::cell_size(self.network.large.cell_size, leaving),
            channels_max: self.limits.channels_per_link,
            parcels_max: self.limits.parcels_per_link,
            set_ups_per_second: self.limits.set_ups_per_link,
        };
        Box::new(Link::new(now.time, opened, keys))
    }

    /// Takes up a changed network list: links to nodes that left it or moved are ended.
    pub(crate) fn renew(&mut self, network: Network) -> Result<(), Error> {
        let former = &self.network;
        if (&network.name, &network.small, &network.large)
            != (&former.name, &former.small, &former.large)
        {
            return Err(Error::NeedsRestart);
        }
        let stays = |node: &Identity| {
            let address = network.node(node).map(|node| (node.address, node.role));
            address.is_some() && address == former.node(node).map(|node| (node.address, node.role))
        };
        let gone = |line: &Line| match line {
            Line::Open(link) => link.peer.is_some_and(|peer| !stays(&peer)),
            Line::Opening(_) => false,
        };
        let over: Vec<Id> =
            self.links.iter().filter(|(_, line)| gone(line)).map(|(id, _)| id).collect();
        let left: Vec<Identity> =
            self.approaches.keys().copied().filter(|node| !stays(node)).collect();
        for node in left {
            self.give_up(&node);
        }
        self.directory.keep_listed(&network);
        self.network = network;
        for id in over {
            self.end(id);
        }
        Ok(())
    }

    // ---- what a role does with links

    /// The open link that channels to this node should use; begins to open one if there is none.
    pub(crate) fn link_to(&mut self, now: Now, node: &Identity) -> Option<Id> {
        let newest = self.newest.get(node).copied();
        if newest.is_none_or(|id| self.link(id).is_none_or(|link| link.is_worn(now.time))) {
            self.want(now, *node);
        }
        newest
    }

    pub(crate) fn link(&self, id: Id) -> Option<&Link> {
        match self.links.get(id) {
            Some(Line::Open(link)) => Some(link),
            _ => None,
        }
    }

    pub(crate) fn link_mut(&mut self, id: Id) -> Option<&mut Link> {
        match self.links.get_mut(id) {
            Some(Line::Open(link)) => Some(link),
            _ => None,
        }
    }

    /// On whose account a further channel over this link would be, if it fits beside `all`.
    pub(crate) fn room_for_channel(&self, link: Id, all: usize) -> Option<Account> {
        let account = self.link(link)?.account;
        let own = self.accounts.get(account).map_or(0, |held| held.channels);
        let of_source = !account.is_client || own < self.limits.channels_per_source;
        (of_source && account.fits(own, all, self.limits.channels)).then_some(account)
    }

    /// Counts a channel that began.
    pub(crate) fn channel_began(&mut self, account: Account) {
        if let Some(held) = self.accounts.get_mut(account) {
            held.channels += 1;
        }
    }

    /// Counts a channel that ended; its owner may have no link any more.
    pub(crate) fn channel_ended(&mut self, account: Account) {
        if let Some(held) = self.accounts.get_mut(account) {
            held.channels -= 1;
        }
    }

    /// Whether a link to this node stands.
    pub(crate) fn is_linked(&self, node: &Identity) -> bool {
        self.newest.contains_key(node)
    }

    /// Wants no link to this node any more: the one that stands is over with its last channel.
    pub(crate) fn leave(&mut self, node: &Identity) {
        self.newest.remove(node);
        self.give_up(node);
    }

    /// Leaves all links that this side opened, without a word, and begins again where one was
    /// being opened.
    pub(crate) fn leave_all(&mut self, now: Now) {
        let ours = |line: &Line| matches!(line, Line::Open(link) if link.ours);
        let links: Vec<Id> =
            self.links.iter().filter(|(_, line)| ours(line)).map(|(id, _)| id).collect();
        for link in links {
            self.end(link);
        }
        for node in self.approaches.keys().copied().collect::<Vec<_>>() {
            self.try_again(node, now.time);
        }
    }

    /// Says something to a neighbour with the next flush.
    pub(crate) fn say(&mut self, now: Now, id: Id, message: &Message<'_>) {
        if let Some(link) = self.link_mut(id) {
            link.say(message);
            self.look_at = now.time;
        }
    }

    /// Sends a parcel to a neighbour; false if there is no room for it.
    pub(crate) fn send(&mut self, now: Now, id: Id, parcel: Parcel) -> bool {
        self.look_at = now.time;
        self.link_mut(id).is_some_and(|link| link.sender.send(parcel))
    }

    /// Opens an envelope that was sealed to this node.
    pub(crate) fn keyring(&mut self) -> Option<&mut Keyring> {
        self.keyring.as_mut()
    }

    /// Sends what was said on a link and the pieces that are due there.
    fn flush(&mut self, now: Now, id: Id, chance: &mut Chance, out: &mut Outbox) {
        let Some(Line::Open(link)) = self.links.get_mut(id) else { return };
        for backward in link.flush(now.time, chance, out) {
            if let Some(pointer) = link.channels.get(backward) {
                self.news.push(News::Unheard { pointer: *pointer });
            }
        }
    }

    /// Ends a link without a word.
    fn end(&mut self, id: Id) {
        let Some(Line::Open(link)) = self.links.remove(id) else { return };
        self.gate.parcels -= link.receiver.len();
        if let Some(held) = self.accounts.get_mut(link.account) {
            held.parcels -= link.receiver.len();
        }
        self.accounts.end_link(link.account);
        let channels = link.channels.iter().map(|(_, pointer)| *pointer).collect();
        if let Some(peer) = link.peer
            && self.newest.get(&peer) == Some(&id)
        {
            self.newest.remove(&peer);
        }
        self.news.push(News::Ended { peer: link.peer, ours: link.ours, channels });
    }

    /// Says goodbye on all links.
    pub(crate) fn shutdown(&mut self, now: Now, chance: &mut Chance, out: &mut Outbox) {
        for (_, line) in self.links.iter_mut() {
            if let Line::Open(link) = line {
                link.say(&Message::Goodbye);
                link.flush(now.time, chance, out);
            }
        }
    }

    // ---- time

    pub(crate) fn wake_at(&self) -> Time {
        self.look_at
    }

    /// Looks after links, approaches and keys when that is due.
    pub(crate) fn tick(
        &mut self,
        now: Now,
        chance: &mut Chance,
        figures: &mut Figures,
        out: &mut Outbox,
    ) {
        if now.time < self.look_at {
            return;
        }
        self.gate.cookies.tick(now.time, chance);
        for list in self.directory.timely(now) {
            // The clock here is right again; or the list is known by now.
            let _ = self.learn(now, &list, None);
        }
        if let Some(keyring) = &mut self.keyring {
            let astray = keyring.is_astray(now, &self.directory);
            if keyring.tick(now, astray, chance) {
                let list = keyring.list().to_vec();
                self.hand_on(now, &list, None);
                // Lists that came meanwhile were refused; new neighbours say all of them again.
                let again: Vec<Identity> = self.newest.keys().copied().filter(|_| astray).collect();
                again.into_iter().for_each(|node| self.want(now, node));
            }
        }
        let mut busy = self.tick_links(now, chance, figures, out);
        busy |= self.tick_approaches(now, chance, out);
        self.look_at = now.time + if busy { BUSY_EVERY } else { IDLE_EVERY };
    }

    fn tick_links(
        &mut self,
        now: Now,
        chance: &mut Chance,
        figures: &mut Figures,
        out: &mut Outbox,
    ) -> bool {
        let mut busy = false;
        let mut dead = Vec::new();
        let mut open = 0;
        for (id, line) in self.links.iter_mut() {
            let Line::Open(link) = line else { continue };
            open += 1;
            if link.check(now.time, chance) == Health::Dead {
                dead.push(id);
                continue;
            }
            // A worn link has a successor and is over with its last channel.
            let newest = link.peer.and_then(|peer| self.newest.get(&peer));
            if link.ours && newest != Some(&id) && link.is_over(now.time) {
                link.say(&Message::Goodbye);
                link.flush(now.time, chance, out);
                dead.push(id);
                continue;
            }
            let expired = link.receiver.expire(now.time);
            figures.drop_many(Dropped::ParcelExpired, expired);
            self.gate.parcels -= expired as usize;
            if let Some(held) = self.accounts.get_mut(link.account) {
                held.parcels -= expired as usize;
            }
            for backward in link.flush(now.time, chance, out) {
                if let Some(pointer) = link.channels.get(backward) {
                    self.news.push(News::Unheard { pointer: *pointer });
                }
            }
            busy |= link.has_messages() || link.sender.wake_at(now.time, BUSY_EVERY).is_some();
        }
        figures.links = open - dead.len() as u64;
        figures.nodes_linked = self.newest.len() as u64;
        figures.nodes_known = self.directory.count(now.time) as u64;
        for id in dead {
            self.end(id);
        }
        busy
    }
}

#[cfg(test)]
impl Neighbours {
    /// What is held, by name: for tests that look for what was left behind.
    pub(crate) fn held(&self) -> Vec<(&'static str, usize)> {
        let open = || {
            self.links.iter().filter_map(|(_, line)| match line {
                Line::Open(link) => Some(link),
                Line::Opening(_) => None,
            })
        };
        vec![
            ("links", self.links.len()),
            ("accounts", self.accounts.held()),
            ("approaches", self.approaches.len()),
            ("news", self.news.len()),
            ("channels of links", open().map(|link| link.channels.len()).sum()),
            ("messages and parcels of links", open().map(|link| link.held()).sum()),
        ]
    }
}
