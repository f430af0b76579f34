//! A message in fragments of one size, and back.
//!
//! A message (a destination or source and a payload) is cut into as many fragments as it needs;
//! the last is filled up, so that every cell of a class looks the same. Fragments of one message
//! have successive numbers, so a fragment's index says where its message begins, and no further
//! name is needed. A fragment that never comes costs its message only.

use std::collections::BTreeMap;
use std::time::Duration;

use mixing::time::Time;
use zerocopy::{FromBytes, IntoBytes};

use crate::outbox::Dropped;
use crate::share::fits;
use crate::wire::{FRAGMENT_HEADER, FragmentHead};

/// The most fragments of one message: the count is one byte.
pub const FRAGMENTS_MAX: usize = u8::MAX as usize;
/// The most incomplete messages of one channel; a further one drives out the oldest.
pub const INCOMPLETE_MAX: usize = 16;
/// How long an incomplete message waits for its missing fragments.
pub const INCOMPLETE_FOR: Duration = Duration::from_secs(5);

/// Cuts a message into contents of `FRAGMENT_HEADER + size` bytes, less what stays zero.
///
/// # Errors
/// `TooLong` when it would need more than [`FRAGMENTS_MAX`].
pub(crate) fn split(
    message: &[u8],
    size: usize,
) -> Result<impl Iterator<Item = (FragmentHead, &[u8])>, Dropped> {
    let count = message.len().div_ceil(size).max(1);
    let count = u8::try_from(count).map_err(|_| Dropped::TooLong)?;
    Ok((0..count).map(move |index| {
        let start = usize::from(index) * size;
        let part = &message[start..message.len().min(start + size)];
        let length = u16::try_from(part.len()).expect("a fragment is shorter than a cell");
        (FragmentHead { index, count, length: length.into() }, part)
    }))
}

/// Writes a fragment into the content of a cell; what is left over becomes zero.
pub(crate) fn write(content: &mut [u8], head: FragmentHead, part: &[u8]) {
    content[..FRAGMENT_HEADER].copy_from_slice(head.as_bytes());
    let (used, rest) = content[FRAGMENT_HEADER..].split_at_mut(part.len());
    used.copy_from_slice(part);
    rest.fill(0);
}

/// Bytes of incomplete messages in a node, and of those that wait for a name, and their limit.
pub(crate) struct Room {
    used: usize,
    limit: usize,
}

impl Room {
    pub(crate) fn new(limit: usize) -> Self {
        Room { used: 0, limit }
    }

    #[cfg(test)]
    pub(crate) fn used(&self) -> usize {
        self.used
    }

    /// Takes bytes for a channel that has `own`, if it may have so many more.
    pub(crate) fn take(&mut self, own: usize, bytes: usize) -> bool {
        let fits = fits(own, bytes, self.used, self.limit);
        self.used += if fits { bytes } else { 0 };
        fits
    }

    pub(crate) fn give_back(&mut self, bytes: usize) {
        self.used -= bytes;
    }
}

/// Puts the messages of one channel and direction together.
#[derive(Default)]
pub(crate) struct Joiner {
    /// By the number of the first fragment.
    incomplete: BTreeMap<u32, Incomplete>,
}

struct Incomplete {
    bytes: Vec<u8>,
    count: u8,
    arrived: [u64; 4],
    missing: u8,
    length: usize,
    deadline: Time,
}

/// What a cell's content turned out to be.
#[derive(Debug, PartialEq)]
pub(crate) enum Joined {
    /// A message is whole.
    Whole(Vec<u8>),
    /// More is to come.
    Waiting,
    /// A dummy.
    Dummy,
}

impl Joiner {
    /// Takes the content of cell `sequence`, whose fragments carry `size` bytes each. Returns
    /// also how many older messages it had to drive out.
    pub(crate) fn join(
        &mut self,
        now: Time,
        sequence: u32,
        content: &[u8],
        size: usize,
        room: &mut Room,
    ) -> Result<(Joined, u64), Dropped> {
        let (head, body) =
            FragmentHead::read_from_prefix(content).map_err(|_| Dropped::BadFragment)?;
        if head.count == 0 {
            return Ok((Joined::Dummy, 0));
        }
        let length = usize::from(head.length.get());
        if head.index >= head.count {
            return Err(Dropped::BadFragment);
        }
        let last = head.index + 1 == head.count;
        if length > size || (!last && length != size) {
            return Err(Dropped::BadFragment);
        }
        let part = body.get(..length).ok_or(Dropped::BadFragment)?;
        if head.count == 1 {
            return Ok((Joined::Whole(part.to_vec()), 0));
        }
        let first = sequence.checked_sub(head.index.into()).ok_or(Dropped::BadFragment)?;
        let driven_out = self.begin(now, first, head.count, size, room)?;
        let message = self.incomplete.get_mut(&first).expect("begun above");
        message.put(head, part, size)?;
        if message.missing > 0 {
            return Ok((Joined::Waiting, driven_out));
        }
        let mut whole = self.take(first, room);
        whole.bytes.truncate(whole.length);
        Ok((Joined::Whole(whole.bytes), driven_out))
    }

    /// Forgets messages whose time is over and says how many.
    pub(crate) fn expire(&mut self, now: Time, room: &mut Room) -> u64 {
        let late: Vec<u32> = self
            .incomplete
            .iter()
            .filter(|(_, message)| message.deadline <= now)
            .map(|(first, _)| *first)
            .collect();
        for first in &late {
            self.take(*first, room);
        }
        late.len() as u64
    }

    /// Forgets everything, at the end of the channel.
    pub(crate) fn clear(&mut self, room: &mut Room) {
        while let Some((_, message)) = self.incomplete.pop_first() {
            room.give_back(message.bytes.len());
        }
    }

    fn begin(
        &mut self,
        now: Time,
        first: u32,
        count: u8,
        size: usize,
        room: &mut Room,
    ) -> Result<u64, Dropped> {
        if let Some(message) = self.incomplete.get(&first) {
            return if message.count == count { Ok(0) } else { Err(Dropped::BadFragment) };
        }
        let mut driven_out = 0;
        if self.incomplete.len() >= INCOMPLETE_MAX {
            let oldest = self.incomplete.iter().min_by_key(|(_, message)| message.deadline);
            let oldest = *oldest.expect("the map is full").0;
            self.take(oldest, room);
            driven_out = 1;
        }
        let bytes = usize::from(count) * size;
        let own = self.incomplete.values().map(|message| message.bytes.len()).sum();
        if !room.take(own, bytes) {
            return Err(Dropped::FragmentsFull);
        }
        let message = Incomplete {
            bytes: vec![0; bytes],
            count,
            arrived: [0; 4],
            missing: count,
            length: 0,
            deadline: now + INCOMPLETE_FOR,
        };
        self.incomplete.insert(first, message);
        Ok(driven_out)
    }

    fn take(&mut self, first: u32, room: &mut Room) -> Incomplete {
        let message = self.incomplete.remove(&first).expect("callers looked it up");
        room.give_back(message.bytes.len());
        message
    }
}

impl Incomplete {
    fn put(&mut self, head: FragmentHead, part: &[u8], size: usize) -> Result<(), Dropped> {
        let (word, bit) = (usize::from(head.index / 64), 1u64 << (head.index % 64));
        if self.arrived[word] & bit != 0 {
            return Err(Dropped::BadFragment);
        }
        self.arrived[word] |= bit;
        self.missing -= 1;
        self.length += part.len();
        let start = usize::from(head.index) * size;
        self.bytes[start..start + part.len()].copy_from_slice(part);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: usize = 320;

    fn contents(message: &[u8]) -> Vec<Vec<u8>> {
        split(message, SIZE)
            .expect("fits")
            .map(|(head, part)| {
                let mut content = vec![0xAA; FRAGMENT_HEADER + SIZE + 48];
                write(&mut content, head, part);
                content
            })
            .collect()
    }

    #[test]
    fn a_message_of_any_length_comes_together_in_any_order() {
        for length in [0, 1, SIZE - 1, SIZE, SIZE + 1, 10 * SIZE, FRAGMENTS_MAX * SIZE] {
            let message: Vec<u8> = (0..length).map(|i| (i * 7) as u8).collect();
            let mut room = Room::new(1 << 20);
            let mut joiner = Joiner::default();
            let contents = contents(&message);
            let mut whole = None;
            for (at, content) in contents.iter().enumerate().rev() {
                let joined = joiner.join(Time::ZERO, 100 + at as u32, content, SIZE, &mut room);
                match joined.expect("well-formed").0 {
                    Joined::Whole(bytes) => whole = Some(bytes),
                    Joined::Waiting => assert!(at > 0),
                    Joined::Dummy => panic!("no dummy was sent"),
                }
            }
            assert_eq!(whole.as_deref(), Some(&message[..]));
            assert_eq!(room.used(), 0);
        }
        assert!(split(&vec![0; FRAGMENTS_MAX * SIZE + 1], SIZE).is_err());
    }

    #[test]
    fn what_is_never_complete_expires_and_gives_its_room_back() {
        let mut room = Room::new(1 << 20);
        let mut joiner = Joiner::default();
        let content = &contents(&[1; 2 * SIZE])[0];
        for message in 0..40u32 {
            let (joined, out) =
                joiner.join(Time::ZERO, message * 10, content, SIZE, &mut room).expect("room");
            assert_eq!((joined, out), (Joined::Waiting, u64::from(message >= 16)));
        }
        assert_eq!(room.used(), INCOMPLETE_MAX * 2 * SIZE);
        assert_eq!(joiner.expire(Time::ZERO + INCOMPLETE_FOR, &mut room), INCOMPLETE_MAX as u64);
        assert_eq!(room.used(), 0);
    }

    #[test]
    fn a_fragment_that_contradicts_itself_or_its_message_changes_nothing() {
        let mut room = Room::new(1 << 20);
        let mut joiner = Joiner::default();
        let good = contents(&[1; 3 * SIZE]);
        joiner.join(Time::ZERO, 7, &good[0], SIZE, &mut room).expect("the first is good");
        let spoil = |at: usize, change: &dyn Fn(&mut [u8])| {
            let mut content = good[at].clone();
            change(&mut content);
            content
        };
        let bad = [
            (7, good[0].clone()),                            // the same once more
            (8, spoil(1, &|c| c[1] = 4)),                    // another count
            (8, spoil(1, &|c| c[0] = 3)),                    // index = count
            (8, spoil(1, &|c| c[0] = 255)),                  // index + 1 is no byte
            (8, spoil(1, &|c| c[3] = c[3].wrapping_sub(1))), // a short one in the middle
            (9, spoil(2, &|c| c[2] = 0xFF)),                 // longer than a cell
            (1, spoil(2, &|_| ())),                          // begins before 0
        ];
        for (sequence, content) in bad {
            let joined = joiner.join(Time::ZERO, sequence, &content, SIZE, &mut room);
            assert_eq!(joined, Err(Dropped::BadFragment));
        }
        joiner.join(Time::ZERO, 8, &good[1], SIZE, &mut room).expect("good");
        let (joined, _) = joiner.join(Time::ZERO, 9, &good[2], SIZE, &mut room).expect("good");
        assert_eq!(joined, Joined::Whole(vec![1; 3 * SIZE]));
    }

    #[test]
    fn a_full_room_refuses_and_stays_usable() {
        let mut room = Room::new(4 * SIZE);
        let mut joiner = Joiner::default();
        let long = contents(&[1; 5 * SIZE]);
        let short = contents(&[1; 2 * SIZE]);
        let refused = joiner.join(Time::ZERO, 0, &long[0], SIZE, &mut room);
        assert_eq!(refused, Err(Dropped::FragmentsFull));
        assert!(joiner.join(Time::ZERO, 50, &short[0], SIZE, &mut room).is_ok());
        joiner.clear(&mut room);
        assert_eq!(room.used(), 0);
    }
}
