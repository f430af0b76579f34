//! A table of ids that a receiver hands out: a dense slot and a generation.
//!
//! Both link ids and channel ids are of this kind. An id is a direct index, so finding what a cell
//! belongs to costs no hashing; the generation tells a late cell of a slot's former holder from
//! one of the present holder. Freed slots are used again in the order in which they were freed,
//! so that a slot rests as long as possible.
//!
//! Slot 0 is never given out: link id 0 means *opening*, channel id 0 means *the link itself*.

use std::collections::VecDeque;
use std::fmt;

/// A slot (24 bits) and its generation (8 bits), as they travel on the wire.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Id(u32);

impl Id {
    /// The id that no slot has.
    pub const ZERO: Id = Id(0);

    /// Reads an id from its wire form.
    pub fn from_wire(id: u32) -> Self {
        Id(id)
    }

    /// The wire form: slot in the upper 24 bits, generation in the lower 8.
    pub fn to_wire(self) -> u32 {
        self.0
    }

    fn new(slot: usize, generation: u8) -> Self {
        Id((slot as u32) << 8 | u32::from(generation))
    }

    /// The place in a table, from 1.
    pub(crate) fn slot(self) -> usize {
        (self.0 >> 8) as usize
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.slot(), self.0 as u8)
    }
}

/// What happens when every generation of a slot was used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wear {
    /// The slot is retired: no id is ever given out twice. For channel ids, which must not repeat
    /// under one link key.
    Retire,
    /// The generations begin again. For ids that only have to be told apart from recent ones.
    Renew,
}

/// The table.
pub struct Slots<T> {
    entries: Vec<Entry<T>>,
    free: VecDeque<u32>,
    limit: usize,
    held: usize,
    wear: Wear,
}

struct Entry<T> {
    generation: u8,
    value: Option<T>,
}

impl<T> Slots<T> {
    /// The most slots a table can have: 24 bits, less slot 0.
    pub const SLOTS_MAX: usize = (1 << 24) - 1;

    /// Bytes of one place.
    #[cfg(test)]
    pub(crate) const PLACE: usize = size_of::<Entry<T>>();

    /// An empty table that holds at most `limit` values at once.
    pub fn new(limit: usize, wear: Wear) -> Self {
        let limit = limit.min(Self::SLOTS_MAX);
        Slots { entries: Vec::new(), free: VecDeque::new(), limit, held: 0, wear }
    }

    /// Puts a value in and returns its id, or gives it back when the table is full.
    pub fn insert(&mut self, value: T) -> Result<Id, T> {
        if self.held >= self.limit {
            return Err(value);
        }
        let slot = match self.free.pop_front() {
            Some(slot) => slot as usize,
            None if self.entries.len() < Self::SLOTS_MAX => {
                self.entries.push(Entry { generation: 0, value: None });
                self.entries.len()
            }
            None => return Err(value),
        };
        let entry = &mut self.entries[slot - 1];
        entry.value = Some(value);
        self.held += 1;
        Ok(Id::new(slot, entry.generation))
    }

    /// What an id stands for, unless its slot was freed since.
    pub fn get(&self, id: Id) -> Option<&T> {
        let entry = self.entries.get(id.slot().wrapping_sub(1))?;
        if entry.generation == id.0 as u8 { entry.value.as_ref() } else { None }
    }

    /// As `get`, to change it.
    pub fn get_mut(&mut self, id: Id) -> Option<&mut T> {
        let entry = self.entries.get_mut(id.slot().wrapping_sub(1))?;
        if entry.generation == id.0 as u8 { entry.value.as_mut() } else { None }
    }

    /// Takes a value out and ends its id.
    pub fn remove(&mut self, id: Id) -> Option<T> {
        self.get(id)?;
        let slot = id.slot();
        let entry = &mut self.entries[slot - 1];
        let value = entry.value.take();
        entry.generation = entry.generation.wrapping_add(1);
        if entry.generation != 0 || self.wear == Wear::Renew {
            self.free.push_back(slot as u32);
        }
        self.held -= 1;
        value
    }

    /// How many values are held.
    pub fn len(&self) -> usize {
        self.held
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.held == 0
    }

    /// How many slots will never be given out again.
    pub fn retired(&self) -> usize {
        self.entries.len() - self.free.len() - self.held
    }

    /// All ids in slot order, with what they stand for.
    pub fn iter(&self) -> impl Iterator<Item = (Id, &T)> {
        self.entries.iter().enumerate().filter_map(|(at, entry)| {
            entry.value.as_ref().map(|value| (Id::new(at + 1, entry.generation), value))
        })
    }

    /// As `iter`, to change them.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (Id, &mut T)> {
        self.entries.iter_mut().enumerate().filter_map(|(at, entry)| {
            entry.value.as_mut().map(|value| (Id::new(at + 1, entry.generation), value))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ended_id_finds_nothing_and_is_never_given_out_twice_when_slots_retire() {
        let mut slots = Slots::new(1, Wear::Retire);
        let mut seen = std::collections::BTreeSet::new();
        for round in 0..1000 {
            let id = slots.insert(round).expect("one at a time fits");
            assert_ne!(id, Id::ZERO);
            assert!(seen.insert(id), "{id:?} was given out before");
            assert_eq!(slots.insert(round), Err(round), "the limit holds");
            assert_eq!(slots.remove(id), Some(round));
            assert_eq!(slots.get(id), None);
            assert_eq!(slots.remove(id), None);
        }
        assert_eq!(slots.retired(), 3);
        assert!(slots.is_empty());
    }

    #[test]
    fn slots_that_renew_do_not_grow() {
        let mut slots = Slots::new(4, Wear::Renew);
        for round in 0..10_000 {
            let id = slots.insert(round).expect("fits");
            slots.remove(id);
        }
        assert_eq!((slots.entries.len(), slots.retired()), (1, 0));
    }
}
