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

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mixing::chance::Chance;
use mixing::keys::Identity;
use mixing::time::{Now, Time};
use zerocopy::{FromBytes, IntoBytes};

use crate::figures::Figures;
use crate::keyring::{Directory, Keyring};
use crate::limits::Limits;
use crate::link::{self, Health, Link, Pointer};
use crate::message::{Message, Reader, Refusal};
use crate::network::{Class, Error, Network, Role};
use crate::opening::{self, CookieBytes, Cookies, Pending};
use crate::outbox::{Dropped, Outbox};
use crate::parcel::Parcel;
use crate::rate::{Rate, Sources};
use crate::slots::{Id, Slots, Wear};
use crate::wire::{self, Answer, KeyPiece, KeyRequest, Opening, Prelude, UnknownKey};

/// How often links are looked after while something is under way, and while nothing is.
const BUSY_EVERY: Duration = Duration::from_millis(5);
const IDLE_EVERY: Duration = Duration::from_millis(200);
/// How long an answer to an opening or a key request may take before the next try; doubled each
/// time, up to the longest pause.
const TRY_AGAIN: Duration = Duration::from_millis(300);
const TRY_AGAIN_MAX: Duration = Duration::from_secs(1);
/// After so many tries without an answer, whoever waits for the link is told.
const TRIES_BEFORE_UNREACHABLE: u32 = 3;

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
    look_at: Time,
}

enum Line {
    /// Opened by this side, not yet answered.
    Opening(Identity),
    Open(Box<Link>),
}

/// The way to a link to a listed node.
struct Approach {
    stage: Stage,
    cookie: Option<CookieBytes>,
    tries: u32,
    next_try: Time,
}

enum Stage {
    /// The next try is due at `next_try`.
    Pausing,
    /// Waiting for the node's key list.
    AskingKeys { token: [u8; 16], pieces: [Option<Vec<u8>>; 2] },
    /// Waiting for the answer to an opening.
    Opening { link: Id, pending: Pending },
}

/// What limits strangers.
struct Gate {
    cookies: Cookies,
    openings: Rate,
    /// Openings that came, worked on or not: above a number per second, cookies are asked for.
    knocks: Rate,
    sources: Sources,
    key_requests: Rate,
    /// Set-ups of clients.
    set_ups: Sources,
    /// Incomplete parcels of all links.
    parcels: usize,
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
            set_ups: Sources::new(limits.set_ups_per_source.into(), time, chance),
            parcels: 0,
        };
        Neighbours {
            network,
            directory: Directory::default(),
            news: Vec::new(),
            tier,
            keyring,
            links: Slots::new(limits.links, Wear::Renew),
            newest: BTreeMap::new(),
            approaches: BTreeMap::new(),
            gate,
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
            let pointer = *link.channels.get(channel).ok_or(Dropped::UnknownChannel)?;
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
                    if self.gate.parcels >= self.limits.parcels && link.peer.is_none() {
                        return Err(Dropped::ParcelsFull);
                    }
                    let (pieces, whole) =
                        link.receiver.piece(now.time, parcel, index, count, bytes)?;
                    self.gate.parcels += link.receiver.len();
                    self.gate.parcels -= before;
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

    // ---- link id 0: what travels before there is a link

    fn receive_prelude(
        &mut self,
        now: Now,
        from: SocketAddr,
        datagram: &mut [u8],
        chance: &mut Chance,
        out: &mut Outbox,
    ) -> Result<Received, Dropped> {
        let (prelude, _) = Prelude::read_from_prefix(datagram).map_err(|_| Dropped::TooShort)?;
        if prelude.version != wire::VERSION {
            return Err(Dropped::UnknownVersion);
        }
        match prelude.kind {
            wire::KIND_OPENING | wire::KIND_OPENING_WITH_COOKIE => {
                let opening = Opening::ref_from_bytes(datagram).map_err(|_| Dropped::WrongSize)?;
                self.receive_opening(now, from, opening, chance, out)?;
            }
            wire::KIND_KEY_REQUEST => {
                let request =
                    KeyRequest::ref_from_bytes(datagram).map_err(|_| Dropped::WrongSize)?;
                self.receive_key_request(now, from, request, out)?;
            }
            wire::KIND_KEY_PIECE => {
                let piece = KeyPiece::ref_from_bytes(datagram).map_err(|_| Dropped::WrongSize)?;
                self.receive_key_piece(now, piece)?;
            }
            wire::KIND_COOKIE => {
                let cookie =
                    wire::Cookie::mut_from_bytes(datagram).map_err(|_| Dropped::WrongSize)?;
                self.receive_cookie(now, cookie)?;
            }
            wire::KIND_UNKNOWN_KEY => {
                let notice =
                    UnknownKey::ref_from_bytes(datagram).map_err(|_| Dropped::WrongSize)?;
                self.receive_unknown_key(now, notice)?;
            }
            _ => return Err(Dropped::UnknownKind),
        }
        Ok(Received::Settled)
    }

    /// From cheap to dear: check, cookie, rates, key, envelope, proof, room.
    fn receive_opening(
        &mut self,
        now: Now,
        from: SocketAddr,
        opening: &Opening,
        chance: &mut Chance,
        out: &mut Outbox,
    ) -> Result<(), Dropped> {
        let keyring = self.keyring.as_mut().ok_or(Dropped::UnknownKind)?;
        let (me, time) = (keyring.identity(), now.time);
        let showed_cookie = opening.prelude.kind == wire::KIND_OPENING_WITH_COOKIE;
        let has_check = if showed_cookie {
            self.gate.cookies.has_check(opening.as_bytes(), &me, from)
        } else {
            opening::has_check(opening.as_bytes(), &me, None)
        };
        if !has_check {
            return Err(Dropped::BadCheck);
        }
        let listed = self.network.nodes.iter().any(|node| node.address == from);
        if !self.gate.knocks.take(1, time) && !showed_cookie {
            let cookie = self.gate.cookies.bake(&me, from, opening.check, chance);
            out.datagram(from, size_of::<wire::Cookie>()).copy_from_slice(cookie.as_bytes());
            return Err(Dropped::NeedsCookie);
        }
        if !listed && !self.gate.sources.take(from, time) || !self.gate.openings.take(1, time) {
            return Err(Dropped::TooManyOpenings);
        }
        if !keyring.has(opening.prelude.hint.get()) {
            let prelude = opening::prelude(wire::KIND_UNKNOWN_KEY, 0);
            let notice = UnknownKey { prelude, check: opening.check };
            out.datagram(from, size_of::<UnknownKey>()).copy_from_slice(notice.as_bytes());
            return Err(Dropped::UnknownKey);
        }
        let opened = opening::accept(&self.network, keyring, opening)?;
        let leaving = self.admit(opened.opener.as_ref())?;
        let room = self.links.insert(Line::Opening(me)).map_err(|_| Dropped::LinksFull)?;
        let (answer, keys) = opened.answer(room, chance);
        let link = self.open_link(now, opened.link, from, opened.opener, false, leaving, keys);
        *self.links.get_mut(room).expect("inserted above") = Line::Open(link);
        out.datagram(from, size_of::<Answer>()).copy_from_slice(answer.as_bytes());
        Ok(())
    }

    /// The tier that a link from this opener leaves, if it may open one.
    fn admit(&self, opener: Option<&Identity>) -> Result<u8, Dropped> {
        let Some(opener) = opener else {
            return if self.tier == 1 { Ok(0) } else { Err(Dropped::UnprovedOpening) };
        };
        let node = self.network.node(opener).ok_or(Dropped::UnprovedOpening)?;
        match node.role {
            // Exits (tier 0 here) take every tier, mixes the one below.
            Role::Mix(tier) if self.tier == 0 || tier.get() + 1 == self.tier => Ok(tier.get()),
            Role::Mix(_) | Role::Exit => Err(Dropped::UnprovedOpening),
        }
    }

    #[allow(clippy::too_many_arguments)] // Everything that a link is told once.
    fn open_link(
        &self,
        now: Now,
        theirs: Id,
        address: SocketAddr,
        peer: Option<Identity>,
        ours: bool,
        leaving: u8,
        keys: opening::LinkKeys,
    ) -> Box<Link> {
        let opened = link::Opened {
            theirs,
            address,
            peer,
            ours,
            leaving,
            control_size: wire::cell_size(self.network.large.cell_size, leaving),
            channels_max: self.limits.channels_per_link,
            parcels_max: self.limits.parcels_per_link,
            set_ups_per_second: self.limits.set_ups_per_link,
        };
        Box::new(Link::new(now.time, opened, keys))
    }

    fn receive_key_request(
        &mut self,
        now: Now,
        from: SocketAddr,
        request: &KeyRequest,
        out: &mut Outbox,
    ) -> Result<(), Dropped> {
        let keyring = self.keyring.as_ref().ok_or(Dropped::UnknownKind)?;
        if !opening::has_check(request.as_bytes(), &keyring.identity(), None) {
            return Err(Dropped::BadCheck);
        }
        if !self.gate.key_requests.take(1, now.time) {
            return Err(Dropped::TooManyKeyRequests);
        }
        let index = request.prelude.hint.get();
        if index >= wire::KEY_PIECES {
            return Err(Dropped::WrongSize);
        }
        let start = usize::from(index) * wire::KEY_PIECE;
        let bytes = keyring.list()[start..].first_chunk().expect("two halves");
        let prelude = opening::prelude(wire::KIND_KEY_PIECE, index);
        let piece = KeyPiece { prelude, token: request.token, bytes: *bytes };
        out.datagram(from, size_of::<KeyPiece>()).copy_from_slice(piece.as_bytes());
        Ok(())
    }

    fn receive_key_piece(&mut self, now: Now, piece: &KeyPiece) -> Result<(), Dropped> {
        let index = usize::from(piece.prelude.hint.get());
        let mut whole = None;
        for approach in self.approaches.values_mut() {
            if let Stage::AskingKeys { token, pieces } = &mut approach.stage
                && *token == piece.token
            {
                let place = pieces.get_mut(index).ok_or(Dropped::Unexpected)?;
                *place = Some(piece.bytes.to_vec());
                let [Some(first), Some(second)] = pieces else { return Ok(()) };
                whole = Some([&first[..], second].concat());
                (approach.stage, approach.next_try) = (Stage::Pausing, now.time);
                break;
            }
        }
        self.look_at = now.time;
        self.learn(now, &whole.ok_or(Dropped::Unexpected)?, None)
    }

    fn receive_cookie(&mut self, now: Now, cookie: &mut wire::Cookie) -> Result<(), Dropped> {
        let (node, approach) = self.approach_of(&cookie.check)?;
        approach.cookie = Some(opening::taste(&node, cookie)?);
        self.try_again(node, now.time);
        Ok(())
    }

    /// Notices are not signed, so all that one can do is to make us ask for the node's keys.
    fn receive_unknown_key(&mut self, now: Now, notice: &UnknownKey) -> Result<(), Dropped> {
        let (node, _) = self.approach_of(&notice.check)?;
        self.directory.forget(&node);
        self.try_again(node, now.time);
        Ok(())
    }

    /// The approach whose opening has this check, which only its receiver can know.
    fn approach_of(&mut self, check: &[u8; 16]) -> Result<(Identity, &mut Approach), Dropped> {
        let found = self.approaches.iter_mut().find(|(_, approach)| {
            matches!(&approach.stage, Stage::Opening { pending, .. } if pending.check == *check)
        });
        found.map(|(node, approach)| (*node, approach)).ok_or(Dropped::Unexpected)
    }

    fn try_again(&mut self, node: Identity, at: Time) {
        let Some(approach) = self.approaches.get_mut(&node) else { return };
        approach.next_try = at;
        if let Stage::Opening { link, .. } = std::mem::replace(&mut approach.stage, Stage::Pausing)
        {
            self.links.remove(link);
        }
        self.look_at = self.look_at.min(at);
    }

    fn receive_answer(
        &mut self,
        now: Now,
        id: Id,
        node: Identity,
        datagram: &mut [u8],
        chance: &mut Chance,
        out: &mut Outbox,
    ) -> Result<Received, Dropped> {
        let answer = Answer::mut_from_bytes(datagram).map_err(|_| Dropped::WrongSize)?;
        let approach = self.approaches.get(&node).ok_or(Dropped::Unexpected)?;
        let Stage::Opening { pending, .. } = &approach.stage else {
            return Err(Dropped::Unexpected);
        };
        let (theirs, keys) = pending.answered(answer)?;
        let address = self.network.node(&node).ok_or(Dropped::Unexpected)?.address;
        let mut link = self.open_link(now, theirs, address, Some(node), true, self.tier, keys);
        // The first cell shows the responder that its answer arrived.
        link.say(&Message::Probe);
        link.heard(now.time);
        *self.links.get_mut(id).expect("it was opening") = Line::Open(link);
        self.approaches.remove(&node);
        self.newest.insert(node, id);
        self.news.push(News::Linked { node });
        self.greet_node(now, id);
        self.flush(now, id, chance, out);
        Ok(Received::Settled)
    }

    fn greet_node(&mut self, now: Now, id: Id) {
        // Lists flow from the exits towards the clients, and every mix's own to all.
        if self.tier > 0 {
            self.greet(now, id);
        }
    }

    /// Takes up a changed network list: links to nodes that left it or moved are ended.
    pub(crate) fn renew(&mut self, now: Now, network: Network) -> Result<(), Error> {
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
            self.try_again(node, now.time);
            self.approaches.remove(&node);
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
        if newest.is_none_or(|id| self.link(id).is_none_or(Link::is_worn)) {
            self.want(now, *node);
        }
        newest
    }

    /// Begins to open a link to a listed node, unless that is under way.
    pub(crate) fn want(&mut self, now: Now, node: Identity) {
        if self.network.node(&node).is_none() || self.approaches.contains_key(&node) {
            return;
        }
        let approach =
            Approach { stage: Stage::Pausing, cookie: None, tries: 0, next_try: now.time };
        self.approaches.insert(node, approach);
        self.look_at = now.time;
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
        if let Some(keyring) = &mut self.keyring
            && keyring.tick(now, chance)
        {
            let list = keyring.list().to_vec();
            self.hand_on(now, &list, None);
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
            if link.ours && newest != Some(&id) && link.channels.is_empty() {
                link.say(&Message::Goodbye);
                link.flush(now.time, chance, out);
                dead.push(id);
                continue;
            }
            let expired = link.receiver.expire(now.time);
            figures.drop_many(Dropped::ParcelExpired, expired);
            self.gate.parcels -= expired as usize;
            for backward in link.flush(now.time, chance, out) {
                if let Some(pointer) = link.channels.get(backward) {
                    self.news.push(News::Unheard { pointer: *pointer });
                }
            }
            busy |= link.has_messages() || link.sender.wake_at(now.time, BUSY_EVERY).is_some();
        }
        figures.links = open - dead.len() as u64;
        figures.nodes_linked = self.newest.len() as u64;
        figures.nodes_known = self.directory.all(now.time).count() as u64;
        for id in dead {
            self.end(id);
        }
        busy
    }

    fn tick_approaches(&mut self, now: Now, chance: &mut Chance, out: &mut Outbox) -> bool {
        let due: Vec<Identity> = self
            .approaches
            .iter()
            .filter(|(_, approach)| approach.next_try <= now.time)
            .map(|(node, _)| *node)
            .collect();
        for node in due {
            self.approach(now, node, chance, out);
        }
        !self.approaches.is_empty()
    }

    /// The next step towards a link: ask for keys, or open.
    fn approach(&mut self, now: Now, node: Identity, chance: &mut Chance, out: &mut Outbox) {
        self.try_again(node, now.time);
        let Some(address) = self.network.node(&node).map(|node| node.address) else {
            self.approaches.remove(&node);
            return;
        };
        let Some(approach) = self.approaches.get_mut(&node) else { return };
        // At every further try, too: somebody may have begun to wait since.
        if approach.tries >= TRIES_BEFORE_UNREACHABLE {
            self.news.push(News::Unreachable { node });
        }
        let pause = TRY_AGAIN * 2u32.pow(approach.tries.min(8));
        let pause = pause.min(TRY_AGAIN_MAX);
        approach.next_try = now.time + pause + pause.mul_f64(chance.unit() / 4.0);
        approach.tries += 1;
        let Some(known) = self.directory.get(now.time, &node) else {
            let token = chance.bytes();
            for piece in 0..wire::KEY_PIECES {
                let request = opening::key_request(&node, piece, token);
                out.datagram(address, wire::OPENING).copy_from_slice(&request);
            }
            approach.stage = Stage::AskingKeys { token, pieces: [None, None] };
            return;
        };
        let Ok(link) = self.links.insert(Line::Opening(node)) else { return };
        let cookie = approach.cookie.take();
        let by = self.keyring.as_ref();
        let (bytes, pending) =
            opening::open(&self.network, &node, known, by, link, cookie.as_ref(), chance);
        approach.stage = Stage::Opening { link, pending };
        out.datagram(address, wire::OPENING).copy_from_slice(&bytes);
    }
}
