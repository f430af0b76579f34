//! How many connections there may be, in all and of one source.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Counts connections.
#[derive(Clone)]
pub(super) struct Gate {
    most: usize,
    most_of_one: usize,
    inside: Arc<Mutex<Inside>>,
}

#[derive(Default)]
struct Inside {
    all: usize,
    /// Only sources that have a connection are in it.
    of: BTreeMap<IpAddr, usize>,
}

/// One connection's place, given back when dropped.
pub(super) struct Pass {
    gate: Gate,
    source: IpAddr,
}

impl Gate {
    pub(super) fn new(most: usize, most_of_one: usize) -> Self {
        Self { most, most_of_one, inside: Arc::default() }
    }

    /// Takes a place, if there is one for this source. A reverse proxy or Tor on this machine brings
    /// many sources in one.
    pub(super) fn enter(&self, source: IpAddr) -> Option<Pass> {
        let source = network(source);
        let mut inside = self.lock();
        let has = inside.of.get(&source).copied().unwrap_or_default();
        let is_full = has >= self.most_of_one && !source.is_loopback();
        if inside.all >= self.most || is_full {
            return None;
        }
        inside.all += 1;
        inside.of.insert(source, has + 1);
        Some(Pass { gate: self.clone(), source })
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut inside = self.gate.lock();
        inside.all -= 1;
        match inside.of.get_mut(&self.source) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(inside.of.remove(&self.source)),
        }
    }
}

/// One customer's addresses count as one source: all of an IPv6 /56.
fn network(source: IpAddr) -> IpAddr {
    match source {
        IpAddr::V4(v4) => v4.into(),
        IpAddr::V6(v6) if v6.is_loopback() => v6.into(),
        IpAddr::V6(v6) => Ipv6Addr::from(u128::from(v6) & (u128::MAX << 72)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_shared_and_given_back() {
        let gate = Gate::new(4, 2);
        let at = |text: &str| text.parse::<IpAddr>().unwrap();
        let first = gate.enter(at("192.0.2.1"));
        let _second = gate.enter(at("192.0.2.1"));
        assert!(gate.enter(at("192.0.2.1")).is_none(), "its share");
        let _third = gate.enter(at("2001:db8:0:1::1"));
        let _fourth = gate.enter(at("2001:db8:0:2::1"));
        assert!(gate.enter(at("127.0.0.1")).is_none(), "all of them");
        drop(first);
        assert!(gate.enter(at("2001:db8:0:3::1")).is_none(), "one /56 is one source");
        assert!(gate.enter(at("192.0.2.1")).is_some());
        let wide = Gate::new(4, 1);
        let held: Vec<_> = (0..3).map(|_| wide.enter(at("127.0.0.1"))).collect();
        assert!(held.iter().all(Option::is_some), "loopback brings many");
    }
}
