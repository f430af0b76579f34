//! What is longer than a cell: set-ups and key lists, in pieces that are acknowledged and resent.
//!
//! Both travel as messages on channel 0. A parcel is at most eight pieces; the receiver says in
//! one byte which have arrived. Parcels are told apart by a number that the sender counts up.
//! Pieces leave in turn and a few at a time, so that many set-ups at once do not crowd out data.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use mixing::replay::{Store, Window};
use mixing::time::Time;

use crate::message::{Message, PIECE_HEAD};
use crate::outbox::Dropped;
use crate::slots::Id;
use crate::wire::{self, CELL_OVERHEAD, KEY_LIST};

/// The most pieces of a parcel: one bit each in an acknowledgement.
pub(crate) const PIECES_MAX: usize = 8;
/// How long before a piece without acknowledgement is sent again; doubled each time.
pub(crate) const RESEND_AFTER: Duration = Duration::from_millis(250);
/// How often a parcel is sent before it is given up.
pub(crate) const TRIES: u32 = 5;
/// How long an incomplete parcel is kept.
pub(crate) const INCOMPLETE_FOR: Duration = Duration::from_secs(10);
/// Parcels that may wait on a link to be sent.
pub(crate) const WAITING_MAX: usize = 4_096;
/// Parcels on their way at once, of those that wait.
pub(crate) const UNDER_WAY_MAX: usize = 32;
/// How many numbers back a parcel is known to have come already.
const REMEMBERED: u32 = 1024;

/// What a parcel holds.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Parcel {
    /// The receiver is asked to open a channel: the sender's id of its backward direction, and
    /// the nested envelopes.
    SetUp {
        /// The id that the sender wants to see backward.
        backward: Id,
        /// [`wire::set_up_size`] bytes.
        envelope: Vec<u8>,
    },
    /// Somebody's signed key; many links may hold one.
    KeyList(Arc<[u8]>),
}

impl Parcel {
    const SET_UP: u8 = 1;
    const KEY_LIST: u8 = 2;

    pub(crate) fn to_wire(&self) -> Vec<u8> {
        match self {
            Parcel::SetUp { backward, envelope } => {
                [&[Self::SET_UP][..], &backward.to_wire().to_be_bytes(), envelope].concat()
            }
            Parcel::KeyList(list) => [&[Self::KEY_LIST][..], list].concat(),
        }
    }

    /// Reads a parcel that came over a link which leaves tier `leaving`.
    pub(crate) fn from_wire(bytes: &[u8], leaving: u8) -> Result<Parcel, Dropped> {
        match bytes.split_first() {
            Some((&Self::SET_UP, rest)) => {
                let (id, envelope) = rest.split_first_chunk().ok_or(Dropped::BadControl)?;
                if envelope.len() != wire::set_up_size(leaving) {
                    return Err(Dropped::BadControl);
                }
                let backward = Id::from_wire(u32::from_be_bytes(*id));
                Ok(Parcel::SetUp { backward, envelope: envelope.to_vec() })
            }
            Some((&Self::KEY_LIST, list)) if list.len() == KEY_LIST => {
                Ok(Parcel::KeyList(list.into()))
            }
            _ => Err(Dropped::BadControl),
        }
    }
}

/// The sending side of a link.
#[derive(Default)]
pub(crate) struct Sender {
    next: u32,
    waiting: VecDeque<Parcel>,
    under_way: BTreeMap<u32, UnderWay>,
}

struct UnderWay {
    bytes: Vec<u8>,
    count: u8,
    arrived: u8,
    tries: u32,
    resend_at: Time,
    of: Of,
}

/// What becomes of a parcel that is never acknowledged.
enum Of {
    /// A set-up: this channel has failed.
    SetUp(Id),
    /// A key list, which nobody would ever send again: it is queued anew.
    KeyList(Arc<[u8]>),
}

impl Sender {
    /// Puts a parcel in the queue; false when that is full. A key list takes the place of an
    /// older one of the same node, so that nobody can fill the queue with his own.
    pub(crate) fn send(&mut self, parcel: Parcel) -> bool {
        if let Parcel::KeyList(list) = &parcel
            && self.waits(list)
        {
            return true;
        }
        let fits = self.waiting.len() < WAITING_MAX;
        if fits {
            self.waiting.push_back(parcel);
        }
        fits
    }

    /// Whether a list needs no place of its own in the queue: it waits already, or may take the
    /// place of one. At most two of one node wait, as many as anybody keeps, so that a node that
    /// signs lists without end fills no queue; the newest is never driven out.
    fn waits(&mut self, list: &Arc<[u8]>) -> bool {
        let of_node = self.waiting.iter_mut().filter_map(|waiting| match waiting {
            Parcel::KeyList(other) if other[..32] == list[..32] => Some(other),
            Parcel::KeyList(_) | Parcel::SetUp { .. } => None,
        });
        let mut of_node: Vec<&mut Arc<[u8]>> = of_node.collect();
        if of_node.iter().any(|other| **other == *list) {
            return true;
        }
        if of_node.len() < 2 {
            return false;
        }
        // The date when it begins follows the identity.
        let begins = |list: &Arc<[u8]>| list[32..40].to_vec();
        let oldest = of_node.iter_mut().min_by_key(|other| begins(other)).expect("there are two");
        if begins(oldest) < begins(list) {
            **oldest = list.clone();
        }
        true
    }

    /// Says which pieces have arrived.
    pub(crate) fn received(&mut self, parcel: u32, pieces: u8) {
        let Some(sent) = self.under_way.get_mut(&parcel) else { return };
        sent.arrived |= pieces;
        if sent.arrived.count_ones() >= u32::from(sent.count) {
            self.under_way.remove(&parcel);
        }
    }

    /// Hands out the messages that are due, at most about `budget` pieces. Returns the channels
    /// of set-ups that were given up.
    pub(crate) fn due(
        &mut self,
        now: Time,
        room: usize,
        budget: usize,
        out: &mut Vec<Vec<u8>>,
    ) -> Vec<Id> {
        let mut left = budget;
        let (mut given_up, mut anew) = (Vec::new(), Vec::new());
        self.under_way.retain(|&number, parcel| {
            if parcel.resend_at > now || left == 0 {
                return true;
            }
            if parcel.tries >= TRIES {
                match &parcel.of {
                    Of::SetUp(backward) => given_up.push(*backward),
                    Of::KeyList(list) => anew.push(Parcel::KeyList(list.clone())),
                }
                return false;
            }
            left = left.saturating_sub(parcel.emit(now, number, room, out));
            true
        });
        for list in anew {
            self.send(list);
        }
        while left > 0 && self.under_way.len() < UNDER_WAY_MAX {
            let Some(parcel) = self.waiting.pop_front() else { break };
            let bytes = parcel.to_wire();
            let count = bytes.len().div_ceil(room - PIECE_HEAD);
            assert!(count <= PIECES_MAX, "a parcel fits into eight pieces");
            let of = match parcel {
                Parcel::SetUp { backward, .. } => Of::SetUp(backward),
                Parcel::KeyList(list) => Of::KeyList(list),
            };
            let mut sent =
                UnderWay { bytes, count: count as u8, arrived: 0, tries: 0, resend_at: now, of };
            left = left.saturating_sub(sent.emit(now, self.next, room, out));
            self.under_way.insert(self.next, sent);
            self.next = self.next.wrapping_add(1);
        }
        given_up
    }

    /// When something is due next; `pace` from now while more wait than may leave at once.
    pub(crate) fn wake_at(&self, now: Time, pace: Duration) -> Option<Time> {
        let resend = self.under_way.values().map(|parcel| parcel.resend_at).min();
        let next = (!self.waiting.is_empty() && self.under_way.len() < UNDER_WAY_MAX)
            .then_some(now + pace);
        [resend, next].into_iter().flatten().min()
    }

    /// How many parcels are not yet acknowledged.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.waiting.len() + self.under_way.len()
    }
}

impl UnderWay {
    /// Writes the pieces that have not arrived; says how many.
    fn emit(&mut self, now: Time, number: u32, room: usize, out: &mut Vec<Vec<u8>>) -> usize {
        let mut pieces = 0;
        for (index, bytes) in (0u8..).zip(self.bytes.chunks(room - PIECE_HEAD)) {
            if self.arrived & 1 << index == 0 {
                let piece = Message::Piece { parcel: number, index, count: self.count, bytes };
                out.push(piece.to_wire());
                pieces += 1;
            }
        }
        self.resend_at = now + RESEND_AFTER * 2u32.pow(self.tries);
        self.tries += 1;
        pieces
    }
}

/// The receiving side of a link.
pub(crate) struct Receiver {
    limit: usize,
    incomplete: BTreeMap<u32, Incomplete>,
    done: Window,
    store: Store,
}

struct Incomplete {
    pieces: Vec<Option<Vec<u8>>>,
    deadline: Time,
}

impl Receiver {
    pub(crate) fn new(limit: usize) -> Self {
        let store = Store::new(1, REMEMBERED);
        Receiver { limit, incomplete: BTreeMap::new(), done: Window::default(), store }
    }

    /// Takes a piece: which pieces have arrived now, and the whole if this was the last.
    pub(crate) fn piece(
        &mut self,
        now: Time,
        number: u32,
        index: u8,
        count: u8,
        bytes: &[u8],
    ) -> Result<(u8, Option<Vec<u8>>), Dropped> {
        if count == 0 || usize::from(count) > PIECES_MAX || index >= count {
            return Err(Dropped::BadControl);
        }
        let all = u8::MAX >> (8 - count);
        if self.done.check(number, &self.store).is_err() {
            // The acknowledgement was lost: say it again.
            return Ok((all, None));
        }
        if !self.incomplete.contains_key(&number) && self.incomplete.len() >= self.limit {
            return Err(Dropped::ParcelsFull);
        }
        let parcel = self.incomplete.entry(number).or_insert_with(|| Incomplete {
            pieces: vec![None; count.into()],
            deadline: now + INCOMPLETE_FOR,
        });
        if parcel.pieces.len() != usize::from(count) {
            return Err(Dropped::BadControl);
        }
        parcel.pieces[usize::from(index)] = Some(bytes.to_vec());
        let arrived = (0u8..).zip(&parcel.pieces);
        let arrived = arrived.fold(0, |bits, (i, piece)| bits | u8::from(piece.is_some()) << i);
        if arrived != all {
            return Ok((arrived, None));
        }
        let whole = self.incomplete.remove(&number).expect("looked up above");
        self.done.mark(number, &mut self.store);
        Ok((all, Some(whole.pieces.into_iter().flatten().flatten().collect())))
    }

    /// Whether a parcel has begun to arrive, or has arrived.
    pub(crate) fn knows(&self, number: u32) -> bool {
        self.incomplete.contains_key(&number) || self.done.check(number, &self.store).is_err()
    }

    /// How many parcels are incomplete.
    pub(crate) fn len(&self) -> usize {
        self.incomplete.len()
    }

    /// Forgets what was not complete in time and says how many.
    pub(crate) fn expire(&mut self, now: Time) -> u64 {
        let before = self.incomplete.len();
        self.incomplete.retain(|_, parcel| parcel.deadline > now);
        (before - self.incomplete.len()) as u64
    }
}

/// Bytes of messages in a channel-0 cell of `size` bytes.
pub(crate) fn control_room(size: usize) -> usize {
    size - CELL_OVERHEAD
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Reader;

    fn pieces(sender: &mut Sender, now: Time) -> Vec<Vec<u8>> {
        let mut out = Vec::new();
        sender.due(now, 1368, 64, &mut out);
        out
    }

    fn give(receiver: &mut Receiver, piece: &[u8]) -> (u32, u8, Option<Vec<u8>>) {
        let Ok(Some(Message::Piece { parcel, index, count, bytes })) = Reader(piece).next() else {
            panic!("only pieces are sent")
        };
        let (arrived, whole) =
            receiver.piece(Time::ZERO, parcel, index, count, bytes).expect("well-formed");
        (parcel, arrived, whole)
    }

    #[test]
    fn lost_pieces_are_sent_again_until_the_parcel_is_whole_and_only_once() {
        let envelope = (0..wire::set_up_size(0)).map(|i| i as u8).collect();
        let parcel = Parcel::SetUp { backward: Id::from_wire(0x101), envelope };
        let (mut sender, mut receiver) = (Sender::default(), Receiver::new(4));
        assert!(sender.send(parcel.clone()));
        let first = pieces(&mut sender, Time::ZERO);
        assert_eq!(first.len(), 6);
        for piece in [&first[5], &first[1], &first[1]] {
            let (number, arrived, whole) = give(&mut receiver, piece);
            assert_eq!(whole, None);
            sender.received(number, arrived);
        }
        assert!(pieces(&mut sender, Time::ZERO).is_empty());
        let second = pieces(&mut sender, Time::ZERO + RESEND_AFTER);
        assert_eq!(second.len(), 4);
        let results: Vec<_> = second.iter().map(|piece| give(&mut receiver, piece)).collect();
        let whole = results[3].2.as_ref().expect("all pieces have arrived");
        assert_eq!(Parcel::from_wire(whole, 0), Ok(parcel));
        assert_eq!(give(&mut receiver, &first[0]), (0, 0b11_1111, None));
        sender.received(0, results[3].1);
        assert_eq!(sender.len(), 0);
    }

    #[test]
    fn an_older_list_does_not_drive_the_newest_out_of_the_queue() {
        let list = |node: u8, begins: u8| {
            let mut list = vec![node; KEY_LIST];
            list[32..40].copy_from_slice(&u64::from(begins).to_be_bytes());
            Parcel::KeyList(list.into())
        };
        let mut sender = Sender::default();
        for (node, begins) in [(1, 5), (1, 3), (2, 1), (1, 5), (1, 4), (1, 2), (1, 9)] {
            assert!(sender.send(list(node, begins)));
        }
        assert_eq!(sender.waiting, [list(1, 5), list(1, 9), list(2, 1)]);
    }

    #[test]
    fn what_is_never_acknowledged_is_given_up_and_what_never_ends_expires() {
        let backward = Id::from_wire(0x101);
        let envelope = vec![1; wire::set_up_size(3)];
        let (mut sender, mut receiver) = (Sender::default(), Receiver::new(1));
        sender.send(Parcel::SetUp { backward, envelope });
        let mut given_up = Vec::new();
        let mut now = Time::ZERO;
        for _ in 0..=TRIES {
            given_up.extend(sender.due(now, 1320, 64, &mut Vec::new()));
            now = now + RESEND_AFTER * 32;
        }
        assert_eq!((given_up, sender.len()), (vec![backward], 0));

        assert!(receiver.piece(Time::ZERO, 0, 0, 2, b"half").is_ok());
        assert!(receiver.knows(0) && !receiver.knows(1), "what has begun may be completed");
        assert_eq!(receiver.piece(Time::ZERO, 1, 0, 2, b"half"), Err(Dropped::ParcelsFull));
        assert_eq!(receiver.piece(Time::ZERO, 0, 1, 3, b"half"), Err(Dropped::BadControl));
        assert_eq!(receiver.piece(Time::ZERO, 2, 3, 3, b"half"), Err(Dropped::BadControl));
        assert_eq!(receiver.expire(Time::ZERO + INCOMPLETE_FOR), 1);
        assert!(receiver.piece(Time::ZERO, 1, 0, 2, b"half").is_ok());
    }

    #[test]
    fn a_key_list_is_sent_until_it_is_acknowledged_however_long_that_takes() {
        let list = vec![7; KEY_LIST];
        let (mut sender, mut receiver) = (Sender::default(), Receiver::new(4));
        sender.send(Parcel::KeyList(list[..].into()));
        let mut now = Time::ZERO;
        let mut sent = 0;
        for _ in 0..600 {
            sent += pieces(&mut sender, now).len();
            now = now + Duration::from_millis(100);
        }
        assert!((30..50).contains(&sent), "{sent} in a minute");
        assert_eq!(sender.len(), 1);
        let last = loop {
            if let Some(piece) = pieces(&mut sender, now).pop() {
                break piece;
            }
            now = now + RESEND_AFTER;
        };
        let (number, arrived, whole) = give(&mut receiver, &last);
        assert_eq!(
            Parcel::from_wire(&whole.expect("one piece"), 0),
            Ok(Parcel::KeyList(list.into()))
        );
        sender.received(number, arrived);
        assert_eq!(sender.len(), 0);
    }

    #[test]
    fn every_set_up_fits_eight_pieces_on_every_link_of_the_smallest_network() {
        for leaving in 0..=wire::TIERS_MAX {
            let room = control_room(wire::cell_size(wire::LARGE_LEAST, leaving));
            let parcel = 5 + wire::set_up_size(leaving).max(KEY_LIST);
            assert!(parcel.div_ceil(room - PIECE_HEAD) <= PIECES_MAX);
        }
    }
}
