//! Who may hold how much of what all share.
//!
//! Links and what comes over them are on the account of an *owner*: at tier 1 a source of clients
//! (/32 of IPv4, /56 of IPv6), elsewhere a listed neighbour. Of a store that all share no source
//! gets more than is left of it, and no neighbour, who brings a crowd, more than eight times that
//! (Choudhury and Hahne 1998). So one source that takes what it can gets half, two get a third
//! each, and who holds little always finds room, whatever the others do.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use mixing::keys::Identity;
use mixing::time::Time;

use crate::rate::Rate;
use crate::slots::{Id, Slots, Wear};

/// Whether one who holds `own` may have `more` of a store of `limit` of which `all` is taken:
/// nobody gets more than is left.
pub(crate) fn fits(own: usize, more: usize, all: usize, limit: usize) -> bool {
    own.saturating_add(more) <= limit.saturating_sub(all)
}

/// How many times as much as a source a listed neighbour may hold: all its users come with it.
const CROWD: usize = 8;

/// On whose account something is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Account {
    pub(crate) id: Id,
    /// Whether it is a source of clients.
    pub(crate) is_client: bool,
}

impl Account {
    /// Of what this side began itself.
    pub(crate) const OURS: Account = Account { id: Id::ZERO, is_client: false };

    /// Whether one who holds `own` of a store may have one thing more.
    pub(crate) fn fits(self, own: usize, all: usize, limit: usize) -> bool {
        let share = if self.is_client { 1 } else { CROWD };
        own < limit.saturating_sub(all).saturating_mul(share)
    }
}

/// Whoever opens links.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Owner {
    /// All clients at a /32 of IPv4 (as 0 and four bytes) or a /56 of IPv6 (as seven bytes).
    Source([u8; 7], bool),
    /// A listed node.
    Node(Identity),
}

impl Owner {
    /// The owner's account, once it has an id.
    fn account(self, id: Id) -> Account {
        Account { id, is_client: matches!(self, Owner::Source(..)) }
    }

    /// Whether one who holds `own` of a store may have one thing more.
    pub(crate) fn fits(self, own: usize, all: usize, limit: usize) -> bool {
        self.account(Id::ZERO).fits(own, all, limit)
    }

    /// The owner of a link from this address.
    pub(crate) fn of(peer: Option<Identity>, from: SocketAddr) -> Owner {
        match (peer, from.ip().to_canonical()) {
            (Some(node), _) => Owner::Node(node),
            (None, IpAddr::V4(address)) => {
                let mut source = [0; 7];
                source[..4].copy_from_slice(&address.octets());
                Owner::Source(source, false)
            }
            (None, IpAddr::V6(address)) => {
                let [a, b, c, d, e, f, g, ..] = address.octets();
                Owner::Source([a, b, c, d, e, f, g], true)
            }
        }
    }
}

/// What every owner holds of the tables that all lanes share.
pub(crate) struct Accounts {
    by_owner: BTreeMap<Owner, Id>,
    held: Slots<Held>,
}

/// What one owner holds.
pub(crate) struct Held {
    owner: Owner,
    pub(crate) links: usize,
    pub(crate) channels: usize,
    /// Incomplete set-ups.
    pub(crate) parcels: usize,
}

impl Accounts {
    pub(crate) fn new(limit: usize) -> Self {
        Accounts { by_owner: BTreeMap::new(), held: Slots::new(limit, Wear::Renew) }
    }

    /// How many links an owner has.
    pub(crate) fn links(&self, owner: &Owner) -> usize {
        self.by_owner.get(owner).and_then(|id| self.held.get(*id)).map_or(0, |held| held.links)
    }

    /// Counts a further link of an owner; its account.
    pub(crate) fn open_link(&mut self, owner: Owner) -> Option<Account> {
        let id = match self.by_owner.get(&owner) {
            Some(id) => *id,
            None => {
                let held = Held { owner, links: 0, channels: 0, parcels: 0 };
                let id = self.held.insert(held).ok()?;
                self.by_owner.insert(owner, id);
                id
            }
        };
        self.held.get_mut(id)?.links += 1;
        Some(owner.account(id))
    }

    /// A link of this account ended; with the last one the account ends.
    pub(crate) fn end_link(&mut self, account: Account) {
        let Some(held) = self.get_mut(account) else { return };
        held.links -= 1;
        if held.links == 0 {
            let owner = held.owner;
            self.by_owner.remove(&owner);
            self.held.remove(account.id);
        }
    }

    pub(crate) fn get(&self, account: Account) -> Option<&Held> {
        self.held.get(account.id)
    }

    pub(crate) fn get_mut(&mut self, account: Account) -> Option<&mut Held> {
        self.held.get_mut(account.id)
    }

    #[cfg(test)]
    pub(crate) fn held(&self) -> usize {
        self.held.len()
    }
}

/// What every owner has of one lane: places in its pool, and bytes that may still pass in this
/// second.
pub(crate) struct Turns {
    bytes_per_second: u64,
    /// By the slot of the account.
    turns: Vec<Turn>,
}

struct Turn {
    account: Id,
    waiting: usize,
    bytes: Rate,
}

impl Turns {
    pub(crate) fn new(bytes_per_second: u64) -> Self {
        Turns { bytes_per_second, turns: Vec::new() }
    }

    /// Whether an owner may have one more of the pool's places, of which `all` are taken.
    pub(crate) fn fits(&self, account: Account, all: usize, limit: usize) -> bool {
        let own = self.turns.get(account.id.slot()).map_or(0, |turn| turn.waiting);
        account.fits(own, all, limit)
    }

    /// Takes a place.
    pub(crate) fn enter(&mut self, account: Account, now: Time) {
        self.turn(account, now).waiting += 1;
    }

    /// Gives a place back.
    pub(crate) fn leave(&mut self, account: Account) {
        if let Some(turn) = self.turns.get_mut(account.id.slot()) {
            turn.waiting = turn.waiting.saturating_sub(1);
        }
    }

    /// Takes bytes of a client's rate, if so many are left; others are not paced.
    pub(crate) fn pace(&mut self, account: Account, bytes: usize, now: Time) -> bool {
        !account.is_client || self.turn(account, now).bytes.take(bytes as u64, now)
    }

    fn turn(&mut self, account: Account, now: Time) -> &mut Turn {
        let full = Rate::new(self.bytes_per_second, now);
        while self.turns.len() <= account.id.slot() {
            self.turns.push(Turn { account: account.id, waiting: 0, bytes: full });
        }
        let turn = &mut self.turns[account.id.slot()];
        if turn.account != account.id {
            // The former holder's last cells leave under the slot's present one; his rate is none
            // of its business.
            (turn.account, turn.bytes) = (account.id, full);
        }
        turn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_takes_what_he_can_leaves_as_much_to_each_other() {
        for greedy in 1..=9 {
            let limit = 10_000;
            let mut held = vec![0; greedy];
            let mut all = 0;
            for turn in 0..3 * limit {
                let own = &mut held[turn % greedy];
                if fits(*own, 1, all, limit) {
                    *own += 1;
                    all += 1;
                }
            }
            let share = limit / (greedy + 1);
            assert!(held.iter().all(|own| own.abs_diff(share) <= greedy), "{greedy}: {held:?}");
            // One who comes later finds as much.
            let mut late = 0;
            while fits(late, 1, all, limit) {
                (late, all) = (late + 1, all + 1);
            }
            assert!(late >= share / 2, "{greedy}: {late}");
        }
        assert!(fits(0, 1, 0, 1) && !fits(0, 1, 0, 0) && !fits(0, 1, 7, 3));
        // A crowd gets eight times as much, and leaves a ninth to who brings another.
        let crowd = Account::OURS;
        let held = (0..).find(|own| !crowd.fits(*own, *own, 9_000)).expect("there is an end");
        assert_eq!(held, 8_000);
        assert!(crowd.fits(0, held, 9_000) && !crowd.fits(0, 9_000, 9_000));
    }

    #[test]
    fn an_account_lives_as_long_as_its_links_and_sources_are_what_they_are_elsewhere() {
        let [one, port, v6, near, far]: [SocketAddr; 5] = [
            "192.0.2.1:1",
            "192.0.2.1:2",
            "[2001:db8::1]:1",
            "[2001:db8:0:1::9]:2",
            "[2001:db8:1::1]:1",
        ]
        .map(|address| address.parse().expect("valid"));
        let mapped: SocketAddr = "[::ffff:192.0.2.1]:9".parse().expect("valid");
        let of = |from| Owner::of(None, from);
        assert_eq!(of(one), of(port));
        assert_eq!(of(one), of(mapped));
        assert_eq!(of(v6), of(near));
        assert_ne!(of(v6), of(far));
        let node = Identity::from_bytes([7; 32]);
        assert_eq!(Owner::of(Some(node), one), Owner::of(Some(node), v6));
        let mut accounts = Accounts::new(2);
        let first = accounts.open_link(of(one)).expect("room");
        assert!(first.is_client);
        assert_eq!(accounts.open_link(of(port)), Some(first));
        assert_eq!(accounts.links(&of(mapped)), 2);
        accounts.end_link(first);
        accounts.end_link(first);
        assert_eq!((accounts.links(&of(one)), accounts.held()), (0, 0));
        assert!(accounts.open_link(of(one)).is_some_and(|again| again.id != first.id));
        let node = accounts.open_link(Owner::of(Some(node), one)).expect("room");
        assert!(!node.is_client);
    }
}
