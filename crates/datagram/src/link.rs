//! An open link: the wire between two neighbours.
//!
//! Every cell's header is one AES block over channel, sequence and half of the cell's tag
//! (encode-then-encipher, Bellare and Rogaway 2000). Whoever lacks the key cannot make a block
//! whose last half matches a tag, so nothing on this side moves before that check: no window,
//! timer, table or address. A mask over the header, as QUIC has, would not do here: a client
//! chooses the bytes that a hop sends on, and could make a mask repeat.
//!
//! Channel 0 is the link itself. What neighbours say there is sealed under a key of its own and
//! is of the size of any cell of class `large`.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use mixing::chance::Chance;
use mixing::cipher;
use mixing::keys::Identity;
use mixing::replay::{Store, Window};
use mixing::time::Time;
use zerocopy::{FromBytes, IntoBytes};

use crate::keyring::EPOCH;
use crate::lane::Direction;
use crate::message::{self, Message};
use crate::network::Class;
use crate::opening::LinkKeys;
use crate::outbox::{Dropped, Outbox};
use crate::parcel::{self, Receiver, Sender};
use crate::rate::Rate;
use crate::share::Account;
use crate::slots::{Id, Slots, Wear};
use crate::wire::{CELL_OVERHEAD, CellHead, Header};

/// A link between listed nodes, or of a client with channels, that was silent so long, or up to a
/// quarter less, is probed.
pub const PROBE_IDLE: Duration = Duration::from_secs(20);
/// A link over which something was sent, but nothing heard for so long, is probed.
pub const PROBE_BUSY: Duration = Duration::from_millis(600);
/// The pause between two probes that are not answered.
pub const PROBE_AGAIN: Duration = Duration::from_millis(400);
/// After so many probes without an answer the link is dead.
pub const PROBES_MAX: u32 = 5;
/// A link that its opener never used is forgotten after so long.
pub const UNUSED_FOR: Duration = Duration::from_secs(10);
/// A link that was replaced is closed when it has had no channel for so long.
pub const EMPTY_FOR: Duration = Duration::from_secs(5);
/// A client's link without a sign of life is forgotten after so long.
pub const SILENT_FOR: Duration = Duration::from_secs(90);
/// How many messages may wait on a link.
const MESSAGES_MAX: usize = 16_384;
/// Pieces of parcels that leave at once; the rest waits for the next turn, so that data goes
/// first.
pub(crate) const PIECES_PER_TURN: usize = 16;
/// How many numbers back a channel-0 cell may come late.
const CONTROL_WINDOW: u32 = 4096;
/// The pause before a challenge is sent again.
const CHALLENGE_AGAIN: Duration = Duration::from_millis(200);
/// A link that sent so many cells on channel 0 is given up: before the numbers, which are nonces,
/// come to their end, with room for what one turn may send.
const CONTROLS_MAX: u32 = u32::MAX - (1 << 20);
/// Cells of unknown channels that are answered per second.
const STRAYS_PER_SECOND: u64 = 20;
/// How many channels that the neighbour does not have are remembered.
const DISOWNED_MAX: usize = 64;
/// A link with so many used-up channel ids is replaced.
const WORN_AT: usize = 1 << 20;

/// Where a cell of a channel belongs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Pointer {
    pub(crate) class: Class,
    pub(crate) direction: Direction,
    /// What the owner of the table knows the half-channel by.
    pub(crate) half: Id,
}

/// One open link.
pub(crate) struct Link {
    /// The id that the neighbour wants to see.
    theirs: Id,
    pub(crate) address: SocketAddr,
    /// The listed node at the other end; `None`: a client.
    pub(crate) peer: Option<Identity>,
    /// Whether this side opened it.
    pub(crate) ours: bool,
    /// On whose account it is.
    pub(crate) account: Account,
    /// The tier that the link leaves.
    pub(crate) leaving: u8,
    /// What the ids stand for that this side gave out.
    pub(crate) channels: Slots<Pointer>,
    /// Set-ups still allowed in this second.
    pub(crate) set_ups: Rate,
    pub(crate) sender: Sender,
    pub(crate) receiver: Receiver,
    keys: LinkKeys,
    /// Bytes of a channel-0 cell.
    control_size: usize,
    next_control: u32,
    controls_seen: Window,
    store: Store,
    messages: VecDeque<Vec<u8>>,
    /// Cells of unknown channels that may still be answered in this second.
    pub(crate) strays: Rate,
    /// Channels that the neighbour says it does not have, by the ids that it gave them.
    disowned: VecDeque<Id>,
    opened: Time,
    /// Since when it has had no channel, as far as was looked.
    empty_since: Option<Time>,
    heard: Option<Time>,
    /// Since when something sent has not been followed by anything heard.
    unanswered_since: Option<Time>,
    probes: u32,
    probe_at: Time,
    /// How long this link may be silent before it is probed: drawn anew with each probe, so that
    /// the links of a node do not beat together.
    idle: Duration,
    moving: Option<Moving>,
}

/// A client that was heard from another address and has not yet proved that it receives there.
struct Moving {
    to: SocketAddr,
    token: [u8; 16],
    received: usize,
    sent: usize,
    /// When the challenge may be sent again, in case it was lost.
    again: Time,
}

/// What is fixed when a link opens.
pub(crate) struct Opened {
    pub(crate) theirs: Id,
    pub(crate) address: SocketAddr,
    pub(crate) peer: Option<Identity>,
    pub(crate) ours: bool,
    pub(crate) account: Account,
    pub(crate) leaving: u8,
    pub(crate) control_size: usize,
    pub(crate) channels_max: usize,
    pub(crate) parcels_max: usize,
    pub(crate) set_ups_per_second: u32,
}

impl Link {
    pub(crate) fn new(now: Time, opened: Opened, keys: LinkKeys) -> Self {
        Link {
            theirs: opened.theirs,
            address: opened.address,
            peer: opened.peer,
            ours: opened.ours,
            account: opened.account,
            leaving: opened.leaving,
            channels: Slots::new(opened.channels_max, Wear::Retire),
            set_ups: Rate::new(opened.set_ups_per_second.into(), now),
            sender: Sender::default(),
            receiver: Receiver::new(opened.parcels_max),
            keys,
            control_size: opened.control_size,
            next_control: 0,
            controls_seen: Window::default(),
            store: Store::new(1, CONTROL_WINDOW),
            messages: VecDeque::new(),
            strays: Rate::new(STRAYS_PER_SECOND, now),
            disowned: VecDeque::new(),
            opened: now,
            empty_since: None,
            heard: None,
            unanswered_since: None,
            probes: 0,
            probe_at: now + PROBE_IDLE,
            idle: PROBE_IDLE,
            moving: None,
        }
    }

    /// Writes the head of a cell whose tag and ciphertext stand already.
    pub(crate) fn encipher(&self, cell: &mut [u8], channel: Id, sequence: u32) {
        let (head, _) = CellHead::mut_from_prefix(cell).expect("a cell has a head");
        let mut tag_half = [0; 8];
        tag_half.copy_from_slice(&head.tag[..8]);
        let header =
            Header { channel: channel.to_wire().into(), sequence: sequence.into(), tag_half };
        head.link = self.theirs.to_wire().into();
        head.header.copy_from_slice(header.as_bytes());
        self.keys.outward.header.encipher(&mut head.header);
    }

    /// Reads the head of a cell: its channel and number, if the head belongs to this cell.
    pub(crate) fn decipher(&self, cell: &[u8]) -> Result<(Id, u32), Dropped> {
        let (head, _) = CellHead::ref_from_prefix(cell).map_err(|_| Dropped::TooShort)?;
        let mut block = head.header;
        self.keys.inward.header.decipher(&mut block);
        let header = Header::read_from_bytes(&block).expect("16 bytes");
        if !cipher::equal(&header.tag_half, &head.tag[..8]) {
            return Err(Dropped::ForgedHeader);
        }
        Ok((Id::from_wire(header.channel.get()), header.sequence.get()))
    }

    /// Opens a channel-0 cell in place and returns its messages.
    pub(crate) fn open_control<'c>(
        &mut self,
        sequence: u32,
        cell: &'c mut [u8],
    ) -> Result<&'c [u8], Dropped> {
        let seen = self.controls_seen.check(sequence, &self.store);
        seen.map_err(crate::lane::dropped)?;
        let (head, content) = CellHead::mut_from_prefix(cell).map_err(|_| Dropped::TooShort)?;
        let nonce = cipher::nonce(sequence.into());
        let opened = self.keys.inward.control.open(&nonce, &[], content, &head.tag);
        opened.map_err(|_| Dropped::ForgedControl)?;
        self.controls_seen.mark(sequence, &mut self.store);
        Ok(content)
    }

    /// Notes that the neighbour was heard.
    pub(crate) fn heard(&mut self, now: Time) {
        self.heard = Some(now);
        self.unanswered_since = None;
        self.probes = 0;
        self.probe_at = now + self.idle;
    }

    /// Notes that something was sent which makes the neighbour answer, if only to a probe.
    pub(crate) fn sent(&mut self, now: Time) {
        if self.unanswered_since.is_none() {
            self.unanswered_since = Some(now);
            self.probe_at = self.probe_at.min(now + PROBE_BUSY);
        }
    }

    /// Notes that the neighbour does not have a channel, by the id that it once gave it.
    pub(crate) fn disown(&mut self, theirs: Id) {
        if self.disowned.len() == DISOWNED_MAX {
            self.disowned.pop_front();
        }
        if !self.is_disowned(theirs) {
            self.disowned.push_back(theirs);
        }
    }

    /// Whether the neighbour has said that it does not have a channel. Ids never come again under
    /// a link's keys, so what is true once stays so.
    pub(crate) fn is_disowned(&self, theirs: Id) -> bool {
        self.disowned.contains(&theirs)
    }

    /// Whether the opener has shown that it received the answer.
    pub(crate) fn is_used(&self) -> bool {
        self.ours || self.heard.is_some()
    }

    /// Queues a message; what does not fit is left out, and its sender's timers make up for it.
    pub(crate) fn say(&mut self, message: &Message<'_>) {
        if self.messages.len() < MESSAGES_MAX {
            self.messages.push_back(message.to_wire());
        }
    }

    /// Whether the link should be probed, and whether it has died.
    pub(crate) fn check(&mut self, now: Time, chance: &mut Chance) -> Health {
        if !self.is_used() {
            return if now - self.opened >= UNUSED_FOR { Health::Dead } else { Health::Well };
        }
        // A number of channel 0 is a nonce.
        if self.next_control >= CONTROLS_MAX {
            return Health::Dead;
        }
        let keep = self.ours || self.peer.is_some() || !self.channels.is_empty();
        if !keep && self.heard.is_some_and(|heard| now - heard >= SILENT_FOR) {
            return Health::Dead;
        }
        if now < self.probe_at || (!keep && self.unanswered_since.is_none()) {
            return Health::Well;
        }
        if self.probes >= PROBES_MAX {
            return Health::Dead;
        }
        self.probes += 1;
        self.say(&Message::Probe);
        self.idle = PROBE_IDLE.mul_f64(0.75 + chance.unit() / 4.0);
        self.probe_at = now + PROBE_AGAIN + PROBE_AGAIN.mul_f64(chance.unit() / 4.0);
        Health::Well
    }

    /// Whether a new link should take over: this one is old, or many of its ids were used up.
    ///
    /// A link's keys live as long as the link. Once they are an epoch old, new channels get a new
    /// link, so that whoever seizes a node's memory reads the headers of that time and no others.
    pub(crate) fn is_worn(&self, now: Time) -> bool {
        now - self.opened >= EPOCH
            || self.channels.retired() >= WORN_AT
            || self.next_control >= u32::MAX / 2
    }

    /// Whether it has had no channel for so long that nothing waits for it in a pool any more:
    /// last words and closes leave after their channel is gone.
    pub(crate) fn is_over(&mut self, now: Time) -> bool {
        if !self.channels.is_empty() {
            self.empty_since = None;
            return false;
        }
        now - *self.empty_since.get_or_insert(now) >= EMPTY_FOR
    }

    /// Sends what was said and the pieces that are due. Returns the channels of set-ups that the
    /// neighbour never acknowledged.
    pub(crate) fn flush(&mut self, now: Time, chance: &mut Chance, out: &mut Outbox) -> Vec<Id> {
        let room = parcel::control_room(self.control_size);
        let mut pieces = Vec::new();
        let given_up = self.sender.due(now, room, PIECES_PER_TURN, &mut pieces);
        self.messages.extend(pieces);
        while let Some(first) = self.messages.pop_front() {
            let mut content = first;
            let mut asks = message::asks(&content);
            while let Some(next) = self.messages.front()
                && content.len() + next.len() <= room
            {
                content.extend_from_slice(next);
                asks |= message::asks(next);
                self.messages.pop_front();
            }
            self.send_control(self.address, &content, out);
            // Else each answer would itself wait for one, and idle neighbours would never rest.
            if asks {
                self.sent(now);
            }
        }
        // Not more than three times what came from there goes there.
        if let Some(moving) = &mut self.moving
            && moving.received * 3 >= moving.sent + self.control_size
            && moving.again <= now
        {
            if moving.sent == 0 {
                moving.token = chance.bytes();
            }
            moving.sent += self.control_size;
            moving.again = now + CHALLENGE_AGAIN;
            let (to, token) = (moving.to, moving.token);
            self.send_control(to, &Message::Challenge { token }.to_wire(), out);
        }
        given_up
    }

    /// Whether anything waits to be sent at once.
    pub(crate) fn has_messages(&self) -> bool {
        !self.messages.is_empty()
    }

    /// Notes that a cell of `size` bytes with a good header came from another address.
    pub(crate) fn heard_from(&mut self, now: Time, from: SocketAddr, size: usize) {
        match &mut self.moving {
            Some(moving) if moving.to == from => moving.received += size,
            _ => {
                let (token, received) = ([0; 16], size);
                self.moving = Some(Moving { to: from, token, received, sent: 0, again: now });
            }
        }
    }

    /// Takes the answer to a challenge; true when the link moved.
    pub(crate) fn challenged(&mut self, token: &[u8; 16]) -> bool {
        let proved =
            self.moving.take_if(|moving| moving.sent > 0 && cipher::equal(&moving.token, token));
        if let Some(moving) = &proved {
            self.address = moving.to;
        }
        proved.is_some()
    }

    pub(crate) fn send_control(&mut self, to: SocketAddr, content: &[u8], out: &mut Outbox) {
        let sequence = self.next_control;
        self.next_control += 1;
        let cell = out.datagram(to, self.control_size);
        let body = &mut cell[CELL_OVERHEAD..];
        body[..content.len()].copy_from_slice(content);
        let tag = self.keys.outward.control.seal(&cipher::nonce(sequence.into()), &[], body);
        cell[20..CELL_OVERHEAD].copy_from_slice(&tag);
        self.encipher(cell, Id::ZERO, sequence);
    }
}

/// How a link is.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Health {
    /// Nothing to do.
    Well,
    /// It has to be given up.
    Dead,
}

#[cfg(test)]
impl Link {
    /// Messages and parcels that wait here.
    pub(crate) fn held(&self) -> usize {
        self.messages.len() + self.sender.len() + self.receiver.len()
    }
}
