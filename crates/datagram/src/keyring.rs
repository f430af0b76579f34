//! A node's own keys of the hour, and the signed lists of everybody's.
//!
//! An envelope key lives in memory only, for one epoch, and is accepted a little longer; a restart
//! begins a new one. So whatever was sealed to it can be remembered for as long as the key lives,
//! and no replay survives a restart.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use mixing::chance::Chance;
use mixing::cipher;
use mixing::envelope::{self, EnvelopeKey, EnvelopePublic, Exporter};
use mixing::keys::{Identity, IdentityKey, Signature};
use mixing::time::{Now, Time};
use zerocopy::{FromBytes, IntoBytes};

use crate::network::Network;
use crate::outbox::Dropped;
use crate::wire::{KEY_LIST, KeyList};

/// How long a key is announced.
pub const EPOCH: Duration = Duration::from_secs(3600);
/// The least time that a key is announced, whatever is asked of it.
pub const EPOCH_LEAST: Duration = Duration::from_secs(120);
/// How many new lists of one node are taken in an hour: more than an honest node has, even one
/// that is flooded and restarted; a node that makes more lists than that keeps them to itself.
pub const LISTS_PER_HOUR: usize = 60;
/// How much longer it is accepted.
pub const GRACE: Duration = Duration::from_secs(600);
/// How far the clocks of two nodes may be apart before they refuse each other's lists. A clock
/// that jumps by a day must not end the service.
pub const CLOCKS_APART: Duration = Duration::from_secs(26 * 3600);

/// How far the present date may be from the lists of others that show it to be right.
pub const AGREES: Duration = Duration::from_secs(2 * 3600);

const SIGNING: &str = "mingle key list v1";

/// A node's own keys.
pub(crate) struct Keyring {
    identity: IdentityKey,
    network: String,
    current: Epoch,
    previous: Option<Epoch>,
    remembered_max: usize,
    /// Something could not be remembered: a new epoch is wanted before its time.
    full: bool,
}

struct Epoch {
    key: EnvelopeKey,
    hint: u16,
    seen: BTreeSet<[u8; 16]>,
    announced: Box<[u8; KEY_LIST]>,
    begins: u64,
    /// Announced until then.
    ends: Time,
}

impl Keyring {
    pub(crate) fn new(
        now: Now,
        identity: IdentityKey,
        network: &str,
        remembered_max: usize,
        chance: &mut Chance,
    ) -> Self {
        let current = Epoch::begin(now, &identity, network, 0, chance);
        Keyring {
            identity,
            network: network.to_owned(),
            current,
            previous: None,
            remembered_max,
            full: false,
        }
    }

    pub(crate) fn identity(&self) -> Identity {
        self.identity.identity()
    }

    pub(crate) fn sign(&self, context: &str, message: &[u8]) -> Signature {
        self.identity.sign(context, message)
    }

    /// The signed list of the present key.
    pub(crate) fn list(&self) -> &[u8; KEY_LIST] {
        &self.current.announced
    }

    /// Whether a key of this hint is still accepted.
    pub(crate) fn has(&self, hint: u16) -> bool {
        self.epochs().any(|epoch| epoch.hint == hint)
    }

    /// Whether the list was made while the clock was so far ahead or behind that nobody takes it, and
    /// the clock is right again, as lists of others show.
    pub(crate) fn is_astray(&self, now: Now, others: &Directory) -> bool {
        let list = KeyList::ref_from_bytes(&self.list()[..]).expect("of the right size");
        !is_timely(now, list) && others.agree_with(now)
    }

    /// Begins a new epoch when it is time, and wipes the key before last. True when the list
    /// changed.
    pub(crate) fn tick(&mut self, now: Now, astray: bool, chance: &mut Chance) -> bool {
        if self.previous.as_ref().is_some_and(|epoch| epoch.ends + GRACE <= now.time) {
            self.previous = None;
        }
        // A flood that fills the memory of a key shortens its life and opens nothing twice.
        let early = (self.full || astray) && now.time + EPOCH >= self.current.ends + EPOCH_LEAST;
        if now.time < self.current.ends && !early {
            return false;
        }
        self.full = false;
        self.current.ends = self.current.ends.min(now.time);
        // A newer list is known by its date, so the date never goes back where anybody may have
        // taken the former, whatever the clock does.
        let after = if astray { 0 } else { self.current.begins + 1 };
        let mut next = Epoch::begin(now, &self.identity, &self.network, after, chance);
        while next.hint == self.current.hint {
            next = Epoch::begin(now, &self.identity, &self.network, after, chance);
        }
        self.previous = Some(std::mem::replace(&mut self.current, next));
        true
    }

    /// Opens an envelope that was sealed to one of the keys, once.
    ///
    /// The opener of a link gives a hint; set-ups have none, and both keys are tried.
    pub(crate) fn open(
        &mut self,
        hint: Option<u16>,
        context: &'static str,
        associated: &[u8],
        sealed: &[u8],
    ) -> Result<(Vec<u8>, Exporter), Refused> {
        let fingerprint = envelope::fingerprint(sealed);
        if self.epochs().any(|epoch| epoch.seen.contains(&fingerprint)) {
            return Err(Refused::Repeated);
        }
        let limit = self.remembered_max;
        let epochs = [Some(&mut self.current), self.previous.as_mut()];
        let fits = |epoch: &&mut Epoch| hint.is_none_or(|hint| hint == epoch.hint);
        for epoch in epochs.into_iter().flatten().filter(fits) {
            let Ok(opened) = epoch.key.open(context, associated, sealed) else { continue };
            if epoch.seen.len() >= limit {
                self.full = true;
                return Err(Refused::MemoryFull);
            }
            epoch.seen.insert(fingerprint);
            return Ok(opened);
        }
        Err(Refused::NotOurs)
    }

    fn epochs(&self) -> impl Iterator<Item = &Epoch> {
        std::iter::once(&self.current).chain(&self.previous)
    }
}

/// Why an envelope was not opened.
pub(crate) enum Refused {
    /// It was opened before.
    Repeated,
    /// It is not sealed to any key of ours.
    NotOurs,
    /// No room to remember it.
    MemoryFull,
}

impl Epoch {
    fn begin(
        now: Now,
        identity: &IdentityKey,
        network: &str,
        after: u64,
        chance: &mut Chance,
    ) -> Self {
        let key = EnvelopeKey::generate(chance);
        let begins = now.date.as_millis().max(after);
        let mut list = KeyList {
            identity: *identity.identity().as_bytes(),
            begins: begins.into(),
            ends: begins.saturating_add(EPOCH.as_millis() as u64).into(),
            key: *key.public().as_bytes(),
            signature: [0; 64],
        };
        list.signature = identity.sign(SIGNING, &signed(network, &list)).0;
        let mut announced = Box::new([0; KEY_LIST]);
        announced.copy_from_slice(list.as_bytes());
        let hint = hint(key.public());
        Epoch { key, hint, seen: BTreeSet::new(), announced, begins, ends: now.time + EPOCH }
    }
}

/// Tells a node's few keys apart: the first two bytes of a hash of the public key.
fn hint(key: &EnvelopePublic) -> u16 {
    let [a, b, ..] = fingerprint(key);
    u16::from_be_bytes([a, b])
}

/// Tells keys apart for people: it begins with the hint.
pub(crate) fn fingerprint(key: &EnvelopePublic) -> [u8; 8] {
    let mut fingerprint = [0; 8];
    cipher::derive("mingle key hint v1", &[key.as_bytes()], &mut fingerprint);
    fingerprint
}

fn signed(network: &str, list: &KeyList) -> Vec<u8> {
    let body = &list.as_bytes()[..KEY_LIST - 64];
    let length = (network.len() as u64).to_be_bytes();
    [&length, network.as_bytes(), body].concat()
}

/// The key in a list that its node signed.
pub(crate) fn proved(network: &str, list: &KeyList) -> Result<EnvelopePublic, Dropped> {
    let signature = Signature(list.signature);
    Identity::from_bytes(list.identity)
        .verify(SIGNING, &signed(network, list), &signature)
        .map_err(|_| Dropped::BadKeyList)?;
    EnvelopePublic::from_bytes(&list.key).map_err(|_| Dropped::BadKeyList)
}

/// What is known of other nodes' keys.
#[derive(Default)]
pub(crate) struct Directory {
    known: BTreeMap<Identity, Known>,
    /// Lists that begin before the known one and came after it. A node whose clock was put back
    /// and that was restarted has such a list, and an old list that somebody kept looks the same:
    /// it is used once the known one was refused.
    others: BTreeMap<Identity, Known>,
    /// The newest list of each node that is too far from the date here: perhaps the date is wrong.
    untimely: BTreeMap<Identity, Arc<[u8]>>,
    /// When the lists of each node were taken, of the last hour.
    taken: BTreeMap<Identity, VecDeque<Time>>,
}

/// A node's present key.
pub(crate) struct Known {
    pub(crate) key: EnvelopePublic,
    pub(crate) hint: u16,
    pub(crate) list: Arc<[u8]>,
    begins: u64,
    usable_until: Time,
    /// When set-ups began to be sealed to it.
    since: Time,
}

impl Directory {
    /// Takes a list in. `Ok(None)` when it says nothing new, else whose it is.
    pub(crate) fn learn(
        &mut self,
        now: Now,
        network: &Network,
        bytes: &[u8],
    ) -> Result<Option<Identity>, Dropped> {
        let bytes: &[u8; KEY_LIST] = bytes.try_into().map_err(|_| Dropped::BadKeyList)?;
        let list = KeyList::read_from_bytes(bytes).expect("of the right size");
        let identity = Identity::from_bytes(list.identity);
        network.node(&identity).ok_or(Dropped::BadKeyList)?;
        let (known, other) = (self.known.get(&identity), self.others.get(&identity));
        if [known, other].into_iter().flatten().any(|had| *had.list == bytes[..]) {
            return Ok(None);
        }
        let (begins, ends) = (list.begins.get(), list.ends.get());
        let is_older = |had: &Known| begins < had.begins && had.usable_until > now.time;
        let older = known.is_some_and(is_older);
        if older && other.is_some_and(is_older) {
            // A list that was overtaken on its way says nothing against who brought it.
            return Ok(None);
        }
        if ends.saturating_sub(begins) > EPOCH.as_millis() as u64 {
            return Err(Dropped::BadKeyList);
        }
        let key = proved(&network.name, &list)?;
        if !is_timely(now, &list) {
            let newer = |kept: &Arc<[u8]>| {
                KeyList::ref_from_bytes(kept).is_ok_and(|kept| kept.begins.get() < begins)
            };
            if self.untimely.get(&identity).is_none_or(newer) {
                self.untimely.insert(identity, bytes[..].into());
            }
            return Err(Dropped::BadKeyList);
        }
        let taken = self.taken.entry(identity).or_default();
        taken.retain(|at| now.time - *at < EPOCH);
        if taken.len() >= LISTS_PER_HOUR {
            return Err(Dropped::TooManyKeyLists);
        }
        taken.push_back(now.time);
        let (hint, list) = (hint(&key), Arc::from(&bytes[..]));
        let usable_until = now.time + EPOCH + GRACE;
        let lists = if older { &mut self.others } else { &mut self.known };
        lists.insert(identity, Known { key, hint, list, begins, usable_until, since: now.time });
        Ok(Some(identity))
    }

    /// Lists that were refused for their dates and would not be refused by the present one.
    pub(crate) fn timely(&mut self, now: Now) -> Vec<Arc<[u8]>> {
        let timely =
            |list: &[u8]| KeyList::ref_from_bytes(list).is_ok_and(|list| is_timely(now, list));
        self.untimely.extract_if(.., |_, list| timely(list)).map(|(_, list)| list).collect()
    }

    /// A node's key, while it can be expected to be accepted.
    pub(crate) fn get(&self, now: Time, identity: &Identity) -> Option<&Known> {
        let lists = [&self.known, &self.others].into_iter();
        lists.filter_map(|lists| lists.get(identity)).find(|known| known.usable_until > now)
    }

    /// Its node does not have this key, says somebody: the other list, if there is one, may be
    /// right. Who says so wrongly gains nothing: the next refusal turns it round again. Of many
    /// set-ups that were sealed to one key only the first counts: an even number of refusals would
    /// leave everything as it was.
    pub(crate) fn refused(&mut self, now: Time, identity: &Identity, sealed: Time) {
        if self.known.get(identity).is_some_and(|known| known.since > sealed) {
            return;
        }
        let other = self.others.remove(identity).filter(|other| other.usable_until > now);
        if let Some(other) = other
            && let Some(known) = self.known.insert(*identity, Known { since: now, ..other })
        {
            self.others.insert(*identity, known);
        }
    }

    /// Whether a list that somebody else signed within the last hours, by the present date, is
    /// known here: then the clock is right, or another is wrong in the same way.
    fn agree_with(&self, now: Now) -> bool {
        let date = now.date.as_millis();
        let apart = |list: &Known| list.begins.abs_diff(date);
        let lists = self.known.values().chain(self.others.values());
        lists.into_iter().any(|list| apart(list) <= AGREES.as_millis() as u64)
    }

    /// Of how many nodes a key is known.
    pub(crate) fn count(&self, now: Time) -> usize {
        self.known.keys().filter(|identity| self.get(now, identity).is_some()).count()
    }

    /// Forgets a key that its node does not have any more.
    pub(crate) fn forget(&mut self, identity: &Identity) {
        self.known.remove(identity);
        self.others.remove(identity);
    }

    /// Forgets nodes that are not listed any more.
    pub(crate) fn keep_listed(&mut self, network: &Network) {
        self.known.retain(|identity, _| network.node(identity).is_some());
        self.others.retain(|identity, _| network.node(identity).is_some());
        self.untimely.retain(|identity, _| network.node(identity).is_some());
        self.taken.retain(|identity, _| network.node(identity).is_some());
    }

    /// All lists that are still good.
    pub(crate) fn all(&self, now: Time) -> impl Iterator<Item = (&Identity, &Known)> {
        // The known first, so that who hears of both takes them for what they are here.
        self.known.iter().chain(&self.others).filter(move |(_, known)| known.usable_until > now)
    }
}

/// Whether a list's dates are no further from the date here than two clocks may be apart.
fn is_timely(now: Now, list: &KeyList) -> bool {
    let (date, apart) = (now.date.as_millis(), CLOCKS_APART.as_millis() as u64);
    let (begins, ends) = (list.begins.get(), list.ends.get());
    begins <= date.saturating_add(apart) && date <= ends.saturating_add(apart)
}

#[cfg(test)]
mod tests {
    use mixing::time::Date;

    use super::*;

    #[test]
    fn an_envelope_opens_until_the_grace_of_its_key_is_over_and_never_after() {
        let mut chance = Chance::new([1; 32]);
        let later = |after: Duration| Now { time: Time::ZERO + after, date: Date::default() };
        let identity = IdentityKey::generate(&mut chance);
        let mut keyring = Keyring::new(later(Duration::ZERO), identity, "test", 10, &mut chance);
        let key = keyring.current.key.public().clone();
        let mut opens = |after: Duration| {
            keyring.tick(later(after), false, &mut chance);
            let (sealed, _) = envelope::seal(&key, "test", &[], b"to an old key", &mut chance);
            keyring.open(None, "test", &[], &sealed).is_ok()
        };
        let second = Duration::from_secs(1);
        for after in [Duration::ZERO, EPOCH - second, EPOCH, EPOCH + GRACE - second] {
            assert!(opens(after), "after {after:?}");
        }
        assert!(!opens(EPOCH + GRACE));
    }
}
