//! Fragments at an exit: what is joined there is sent outside, so all of it is seen.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use datagram::fragment::{INCOMPLETE_FOR, INCOMPLETE_MAX};
use datagram::{Class, Dropped, Limits};
use mixing::Time;

use super::roles::Last;
use crate::input::Input;

/// Well sealed fragments of messages, in any order, with any head, over any time: joined as a plain
/// table joins them, each message once, and never mixed with another.
pub fn fragments(bytes: &[u8]) {
    fragments_with(bytes, &Rules::TRUE);
}

/// What the model believes.
pub(crate) struct Rules {
    /// How many messages may be incomplete at once.
    pub(crate) incomplete_max: usize,
    /// How long one is kept.
    pub(crate) kept_for: Duration,
    /// How many bytes there is room for.
    pub(crate) room: usize,
}

impl Rules {
    pub(crate) const TRUE: Rules =
        Rules { incomplete_max: INCOMPLETE_MAX, kept_for: INCOMPLETE_FOR, room: ROOM };
}

/// Bytes of a fragment of class small.
const PART: usize = datagram::wire::payload_size(datagram::wire::SMALL);
const ROOM: usize = 110 * PART;
const SWEEP: Duration = Duration::from_secs(1);

/// The model: messages by the number of their first fragment.
#[derive(Default)]
struct Table {
    incomplete: BTreeMap<u32, Incomplete>,
}

struct Incomplete {
    count: u8,
    parts: BTreeMap<u8, Vec<u8>>,
    until: Time,
}

/// What the head of a fragment says.
struct Head {
    index: u8,
    count: u8,
    length: u16,
}

impl Table {
    fn join(
        &mut self,
        now: Time,
        sequence: u32,
        head: &Head,
        body: &[u8],
        rules: &Rules,
    ) -> Result<Option<Vec<u8>>, Dropped> {
        let length = usize::from(head.length);
        if head.count == 0 {
            return Ok(None);
        }
        if head.index >= head.count {
            return Err(Dropped::BadFragment);
        }
        let last = head.index + 1 == head.count;
        if length > PART || (!last && length < PART) {
            return Err(Dropped::BadFragment);
        }
        let part = body[..length].to_vec();
        if head.count == 1 {
            return Ok(Some(part));
        }
        let first = sequence.checked_sub(head.index.into()).ok_or(Dropped::BadFragment)?;
        if !self.incomplete.contains_key(&first) {
            if self.incomplete.len() >= rules.incomplete_max {
                let oldest = self.incomplete.iter().min_by_key(|(_, message)| message.until);
                let oldest = *oldest.expect("there are some").0;
                self.incomplete.remove(&oldest);
            }
            let held: usize = self.incomplete.values().map(|m| usize::from(m.count) * PART).sum();
            // A channel gets no more than it leaves.
            if 2 * held + usize::from(head.count) * PART > rules.room {
                return Err(Dropped::FragmentsFull);
            }
            let until = now + rules.kept_for;
            let message = Incomplete { count: head.count, parts: BTreeMap::new(), until };
            self.incomplete.insert(first, message);
        }
        let message = self.incomplete.get_mut(&first).expect("there is one now");
        if message.count != head.count {
            return Err(Dropped::BadFragment);
        }
        // No part comes twice: the number of its cell would be the same.
        message.parts.insert(head.index, part);
        if message.parts.len() < usize::from(head.count) {
            return Ok(None);
        }
        let message = self.incomplete.remove(&first).expect("there is one");
        Ok(Some(message.parts.into_values().flatten().collect()))
    }
}

pub(crate) fn fragments_with(bytes: &[u8], rules: &Rules) {
    let mut input = Input::new(bytes);
    let limits = Limits {
        reassembly_bytes: ROOM,
        channel_unused: Duration::from_secs(3_600),
        channel_idle: Duration::from_secs(3_600),
        ..Limits::default()
    };
    let mut last = Last::new(Class::Small, &limits);
    let mut table = Table::default();
    let mut used: BTreeSet<u32> = BTreeSet::new();
    let start = Time::from_nanos(1);
    while !input.is_empty() && last.node.now.time - start < 60 * SWEEP {
        let step = input.byte();
        if step < 24 {
            // Sweeps happen every second from the start on.
            let before = last.node.now.time;
            last.node.pass(Duration::from_millis(u64::from(input.byte()) * 10));
            let alive = last.mix.control(&[7]);
            last.node.give(last.mix.at, &alive).expect("the neighbour lives");
            let swept = (last.node.now.time - start).as_secs();
            if swept > (before - start).as_secs() {
                let sweep = start + SWEEP * swept as u32;
                table.incomplete.retain(|_, message| message.until > sweep);
            }
            continue;
        }
        // A message of few fragments, mostly with a head that fits.
        let (count, place) = (step % 6, u32::from(input.byte() % 24));
        let index = input.byte() % 6;
        let whole = index + 1 < count;
        let head = match input.byte() {
            0..8 => Head { index: input.byte(), count: input.byte(), length: input.u16() },
            _ if whole => Head { index, count, length: PART as u16 },
            _ => Head { index, count, length: input.u16() % (PART as u16 + 2) },
        };
        let sequence = place * 6 + u32::from(index);
        let mut body = [&[1, 9, 9, 9, 9, 0, 53][..], &[input.byte(); PART - 7]].concat();
        if index > 0 {
            body.rotate_left(7);
        }
        let content = [&[head.index, head.count][..], &head.length.to_be_bytes(), &body].concat();
        let cell = last.cell(Class::Small, sequence, &content);
        let given = last.node.give(last.mix.at, &cell);
        if !used.insert(sequence) || matches!(given, Err(Dropped::LateCell | Dropped::RepeatedCell))
        {
            // The window's affair; it takes no number twice.
            assert!(matches!(given, Err(Dropped::LateCell | Dropped::RepeatedCell)), "{given:?}");
            continue;
        }
        let joined = table.join(last.node.now.time, sequence, &head, &body, rules);
        let expected = joined.and_then(|whole| match whole {
            Some(message) if message.len() < 7 => Err(Dropped::BadDatagram),
            Some(message) if message[..7] != [1, 9, 9, 9, 9, 0, 53] => Err(Dropped::BadDatagram),
            whole => Ok(whole),
        });
        let outside = last.node.outside.pop_front().map(|(_, _, payload)| payload);
        match expected {
            Ok(whole) => {
                assert_eq!(given, Ok(()));
                assert_eq!(outside, whole.map(|message| message[7..].to_vec()));
            }
            // What begins with other bytes may still be some destination.
            Err(Dropped::BadDatagram) => assert!(given.is_err() || outside.is_some()),
            Err(why) => assert_eq!((given, outside), (Err(why), None)),
        }
        last.node.mail(last.mix.at);
    }
}
