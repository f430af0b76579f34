//! One class and one direction of a mix: its half-channels, their windows, the pool and the cells
//! that wait in it. Lanes share nothing with each other.
//!
//! ```text
//! accept:  window ─► forward: peel, then mark    ─► slab ─► pool
//!                 ─► backward: mark, then seal   ─► slab ─► pool
//! release: pool ─► partings in random order, grouped by the link they leave over
//! ```
//!
//! Forward, a number counts as seen only once its layer opened: a forger cannot use numbers up.
//! Backward there is nothing to open, and the number is the nonce: it is marked before the seal,
//! so that a neighbour who repeats a number never makes a nonce repeat.

use mixing::chance::Chance;
use mixing::pool::{Pool, Release};
use mixing::replay::{Seen, Store, Window};
use mixing::strategy::Strategy;
use mixing::time::{Now, Time};

use crate::channel::{BackwardKey, ForwardKey};
use crate::message::Message;
use crate::network::Class;
use crate::outbox::Dropped;
use crate::share::{Account, Turns};
use crate::slots::{Id, Slots, Wear};
use crate::wire::{CELL_OVERHEAD, TAG};

/// Which way a cell goes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Direction {
    /// Towards the exit.
    Forward,
    /// Towards the client.
    Backward,
}

impl Direction {
    /// Both directions.
    pub const ALL: [Direction; 2] = [Direction::Forward, Direction::Backward];

    /// The name used in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Direction::Forward => "forward",
            Direction::Backward => "backward",
        }
    }
}

/// How many numbers back a cell may come late, per class: more than a channel can send while its
/// slowest cell waits in the pools of a whole chain.
pub const WINDOWS: [u32; 2] = [2_048, 16_384];

/// One direction of a channel at a hop.
pub(crate) struct Half {
    pub(crate) key: HalfKey,
    /// Over which link and under which id it leaves; `None` forward, until the confirmation.
    pub(crate) to: Option<(Id, Id)>,
    /// Which link it comes over.
    pub(crate) from: Id,
    /// On whose account its cells wait: whoever set the channel up.
    pub(crate) account: Account,
    /// The channel, as the pool tells channels apart.
    pub(crate) channel: Id,
    /// When a cell was last accepted.
    pub(crate) last: Option<Time>,
    window: Window,
}

/// What a half-channel does to a cell.
pub(crate) enum HalfKey {
    Forward(ForwardKey),
    Backward(BackwardKey),
}

impl Half {
    /// A half-channel on somebody's account, over this link; the channel's id comes later.
    pub(crate) fn new(key: HalfKey, from: Id, to: Option<(Id, Id)>, account: Account) -> Self {
        let (channel, window) = (Id::ZERO, Window::default());
        Half { key, to, from, account, channel, last: None, window }
    }
}

/// Something that waits to leave.
#[derive(Debug)]
pub(crate) struct Parting {
    /// Over which link.
    pub(crate) link: Id,
    /// Over which link it came.
    pub(crate) from: Id,
    /// On whose account it waits.
    pub(crate) account: Account,
    pub(crate) what: What,
}

/// Whose something of this node's own making is: the link it leaves over, the one it came from,
/// and the account.
#[derive(Clone, Copy)]
pub(crate) struct Way {
    pub(crate) link: Id,
    pub(crate) from: Id,
    pub(crate) account: Account,
}

/// What waits.
#[derive(Debug)]
pub(crate) enum What {
    /// A cell in the slab.
    Cell { channel: Id, sequence: u32, place: u32 },
    /// A message of the link itself that speaks of one channel.
    Message(Message<'static>),
}

/// The lane.
pub(crate) struct Lane {
    pub(crate) halves: Slots<Half>,
    /// Bytes of a cell as it leaves.
    pub(crate) size: usize,
    pool: Pool<Parting>,
    turns: Turns,
    slab: Slab,
    store: Store,
}

impl Lane {
    pub(crate) fn new(
        class: Class,
        strategy: Strategy,
        size: usize,
        limits: &crate::limits::Limits,
    ) -> Self {
        Lane {
            halves: Slots::new(limits.channels, Wear::Renew),
            size,
            pool: Pool::new(strategy, limits.pool),
            turns: Turns::new(limits.bytes_per_source),
            slab: Slab { size: size - CELL_OVERHEAD + TAG, bytes: Vec::new(), free: Vec::new() },
            store: Store::new(limits.windows, WINDOWS[class.index()]),
        }
    }

    /// Takes in a cell whose header its link has proved.
    pub(crate) fn accept(
        &mut self,
        now: Now,
        half: Id,
        sequence: u32,
        cell: &mut [u8],
        chance: &mut Chance,
    ) -> Result<(), Dropped> {
        let half = self.halves.get_mut(half).ok_or(Dropped::UnknownChannel)?;
        let (link, channel) = half.to.ok_or(Dropped::Unconfirmed)?;
        half.window.check(sequence, &self.store).map_err(dropped)?;
        let body = match &half.key {
            HalfKey::Forward(key) => {
                key.peel(sequence, cell)?;
                half.window.mark(sequence, &mut self.store);
                &cell[CELL_OVERHEAD..]
            }
            HalfKey::Backward(_) => {
                half.window.mark(sequence, &mut self.store);
                &cell[CELL_OVERHEAD - TAG..]
            }
        };
        half.last = Some(now.time);
        let account = half.account;
        if !self.turns.pace(account, cell.len(), now.time) {
            return Err(Dropped::TooFast);
        }
        if !self.turns.fits(account, self.pool.len(), self.pool.limit()) {
            return Err(Dropped::PoolFull);
        }
        let place = self.slab.take();
        let room = self.slab.get_mut(place);
        match &half.key {
            HalfKey::Forward(_) => room.copy_from_slice(body),
            HalfKey::Backward(key) => {
                room[TAG..].copy_from_slice(body);
                key.seal(sequence, room);
            }
        }
        let what = What::Cell { channel, sequence, place };
        let parting = Parting { link, from: half.from, account, what };
        let label = u64::from(half.channel.to_wire());
        self.pool.insert(now, label, parting, chance).expect("its length was looked at above");
        self.turns.enter(account, now.time);
        Ok(())
    }

    /// Lets a cell of this node's own making wait: `write` fills tag and content.
    pub(crate) fn insert_cell(
        &mut self,
        now: Now,
        Way { link, from, account }: Way,
        label: u64,
        (channel, sequence): (Id, u32),
        write: impl FnOnce(&mut [u8]),
        chance: &mut Chance,
    ) -> Result<(), Dropped> {
        if !self.turns.fits(account, self.pool.len(), self.pool.limit()) {
            return Err(Dropped::PoolFull);
        }
        let place = self.slab.take();
        let room = self.slab.get_mut(place);
        room.fill(0);
        write(room);
        let what = What::Cell { channel, sequence, place };
        let parting = Parting { link, from, account, what };
        self.pool.insert(now, label, parting, chance).expect("its length was looked at above");
        self.turns.enter(account, now.time);
        Ok(())
    }

    /// Lets a message wait among the cells.
    pub(crate) fn insert_message(
        &mut self,
        now: Now,
        Way { link, from, account }: Way,
        channel: Id,
        message: Message<'static>,
        chance: &mut Chance,
    ) -> Result<(), Dropped> {
        if !self.turns.fits(account, self.pool.len(), self.pool.limit()) {
            return Err(Dropped::PoolFull);
        }
        let parting = Parting { link, from, account, what: What::Message(message) };
        let label = channel.to_wire().into();
        self.pool.insert(now, label, parting, chance).expect("its length was looked at above");
        self.turns.enter(account, now.time);
        Ok(())
    }

    /// What leaves now, grouped by link, and what the batch was worth. The order within a link is
    /// the pool's: random.
    pub(crate) fn release(
        &mut self,
        now: Now,
        chance: &mut Chance,
        leaving: &mut Vec<Parting>,
    ) -> Option<(Release, usize)> {
        let release = self.pool.release(now, chance, leaving)?;
        self.give_places_back(leaving);
        let mut links: Vec<Id> = leaving.iter().map(|parting| parting.from).collect();
        links.sort_unstable();
        links.dedup();
        leaving.sort_by_key(|parting| parting.link);
        Some((release, links.len()))
    }

    /// Everything that waits, in random order: the node is shutting down.
    pub(crate) fn drain(&mut self, chance: &mut Chance, leaving: &mut Vec<Parting>) {
        self.pool.drain(chance, leaving);
        self.give_places_back(leaving);
        leaving.sort_by_key(|parting| parting.link);
    }

    fn give_places_back(&mut self, leaving: &[Parting]) {
        for parting in leaving {
            self.turns.leave(parting.account);
        }
    }

    /// Copies a waiting cell's tag and ciphertext into its place on the wire and frees its place
    /// here.
    pub(crate) fn depart(&mut self, place: u32, cell: &mut [u8]) {
        cell[CELL_OVERHEAD - TAG..].copy_from_slice(self.slab.get_mut(place));
        self.slab.free.push(place);
    }

    /// Frees the place of a cell whose link ended while it waited.
    pub(crate) fn forget(&mut self, place: u32) {
        self.slab.free.push(place);
    }

    /// Gives back the replay bits of half-channels that were quiet for `quiet`.
    pub(crate) fn rest(&mut self, now: Time, quiet: std::time::Duration) {
        for (_, half) in self.halves.iter_mut() {
            if half.window.has_bits() && half.last.is_none_or(|last| now - last >= quiet) {
                half.window.rest(&mut self.store);
            }
        }
    }

    /// Ends a half-channel.
    pub(crate) fn end(&mut self, half: Id) {
        if let Some(mut half) = self.halves.remove(half) {
            half.window.rest(&mut self.store);
        }
    }

    pub(crate) fn wake_at(&self) -> Option<Time> {
        self.pool.wake_at()
    }

    pub(crate) fn waiting(&self) -> usize {
        self.pool.len()
    }
}

/// A window's refusal as the reason that is counted.
pub(crate) fn dropped(seen: Seen) -> Dropped {
    match seen {
        Seen::Repeated => Dropped::RepeatedCell,
        Seen::Late => Dropped::LateCell,
    }
}

/// Room for cells of one size; grows to what the pool may hold and is used again and again.
struct Slab {
    size: usize,
    bytes: Vec<u8>,
    free: Vec<u32>,
}

impl Slab {
    fn take(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            let place = self.bytes.len() / self.size;
            self.bytes.resize(self.bytes.len() + self.size, 0);
            u32::try_from(place).expect("a pool holds fewer than 2³² cells")
        })
    }

    fn get_mut(&mut self, place: u32) -> &mut [u8] {
        let start = place as usize * self.size;
        &mut self.bytes[start..start + self.size]
    }
}

#[cfg(test)]
impl Lane {
    /// Half-channels, windows with bits, waiting things, and cells of the slab that are not free.
    pub(crate) fn held(&self) -> [usize; 4] {
        let cells = self.slab.bytes.len() / self.slab.size - self.slab.free.len();
        [self.halves.len(), self.store.used(), self.pool.len(), cells]
    }
}
