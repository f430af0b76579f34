//! What needs no key: destinations, prefixes, identities, and the table of ids.

use std::collections::BTreeMap;

use datagram::destination::{Destination, Host};
use datagram::slots::{Id, Slots, Wear};
use datagram::{Policy, Prefix};
use mixing::keys::Identity;

use crate::input::Input;

/// A destination in front of a datagram, and as a text; a prefix; an identity. What is read is written
/// as it came, and what is written is read as the same.
pub fn destinations(bytes: &[u8]) {
    if let Ok((to, payload)) = Destination::read(bytes) {
        let mut again = Vec::new();
        to.write(&mut again).expect("it came in fewer bytes than it may have");
        again.extend_from_slice(payload);
        assert_eq!(again, bytes, "a destination has one form");
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(to) = text.parse::<Destination>() {
        assert_eq!(to.to_string().parse(), Ok(to.clone()), "{text}");
        let mut message = Vec::new();
        to.write(&mut message).expect("a text is as long as a name may be");
        assert_eq!(Destination::read(&message), Ok((to.clone(), &[][..])));
        assert_eq!(to.address().is_none(), matches!(to.host, Host::Name(_)));
    }
    if let Ok(prefix) = text.parse::<Prefix>() {
        assert_eq!(prefix.to_string().parse(), Ok(prefix), "{text}");
        let policy = Policy { deny: vec![prefix], ..Policy::default() };
        assert_eq!(policy, policy.clone());
    }
    if let Ok(identity) = text.parse::<Identity>() {
        assert_eq!(identity.to_string(), text.to_ascii_lowercase());
    }
}

/// A table of ids against a map: an id stands for what it was given out for until that is taken out,
/// and a table that retires slots gives no id out twice.
pub fn id_tables(bytes: &[u8]) {
    id_tables_with(bytes, &IdRules::TRUE);
}

/// What the model of [`id_tables`] believes.
pub(crate) struct IdRules {
    /// How many values there may be at once.
    pub(crate) limit: usize,
    /// Whether an id ends with what it stood for.
    pub(crate) ids_end: bool,
}

impl IdRules {
    pub(crate) const TRUE: IdRules = IdRules { limit: 5, ids_end: true };
}

pub(crate) fn id_tables_with(bytes: &[u8], rules: &IdRules) {
    let mut input = Input::new(bytes);
    let wear = if input.flag() { Wear::Retire } else { Wear::Renew };
    let mut table = Slots::new(IdRules::TRUE.limit, wear);
    // The model: what every id stands for, that was ever given out.
    let mut given: BTreeMap<Id, Option<u32>> = BTreeMap::new();
    let mut order: Vec<Id> = Vec::new();
    let mut next = 0u32;
    while !input.is_empty() {
        let held = given.values().flatten().count();
        assert_eq!(table.len(), held);
        let step = input.byte();
        if step & 1 == 0 {
            next += 1;
            let Ok(id) = table.insert(next) else {
                assert_eq!(held, rules.limit, "a table refuses when it is full");
                continue;
            };
            assert!(held < rules.limit && id != Id::ZERO);
            let former = given.insert(id, Some(next));
            assert!(former.flatten().is_none(), "an id stands for one thing");
            assert!(wear == Wear::Renew || former.is_none(), "a retired id does not come again");
            order.push(id);
        } else if step & 2 == 0 || order.is_empty() {
            let id = Id::from_wire(input.u32());
            assert_eq!(table.get(id).copied(), given.get(&id).copied().flatten());
            assert_eq!(Id::from_wire(id.to_wire()), id);
        } else {
            let id = order[order.len() - 1 - usize::from(step >> 2) % order.len()];
            let expected = given.get(&id).copied().flatten();
            assert_eq!(table.get_mut(id).copied(), expected);
            assert_eq!(table.remove(id), expected);
            if rules.ids_end {
                given.insert(id, None);
            }
        }
    }
    let held: BTreeMap<Id, u32> = table.iter().map(|(id, value)| (id, *value)).collect();
    let expected = given.into_iter().filter_map(|(id, value)| Some((id, value?)));
    assert_eq!(held, expected.collect());
}
