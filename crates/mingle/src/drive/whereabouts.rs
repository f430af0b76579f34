//! Where this machine is: the address that its datagrams to the first mixes leave from. When that
//! changes, the machine has moved, and the core is told so.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use datagram::Network;
use mixing::time::Time;

/// The last known addresses.
pub(super) struct Whereabouts {
    /// The families that leave from whatever address the system chooses.
    families: [bool; 2],
    known: [Option<IpAddr>; 2],
    look_at: Time,
}

impl Whereabouts {
    /// Of a machine whose links are at `listen`: one that names its address does not move.
    pub(super) fn new(listen: &[SocketAddr]) -> Self {
        let any = |ipv6| listen.iter().any(|a| a.is_ipv6() == ipv6 && a.ip().is_unspecified());
        let families = [any(false), any(true)];
        Whereabouts { families, known: [None, None], look_at: Time::ZERO }
    }

    /// Whether datagrams leave from another address than before; looks every two seconds. A
    /// machine without a way out has not moved yet.
    pub(super) fn changed(
        &mut self,
        now: Time,
        network: &Network,
        source: impl Fn(SocketAddr) -> Option<IpAddr>,
    ) -> bool {
        if now < self.look_at {
            return false;
        }
        self.look_at = now + LOOK_EVERY;
        let mut moved = false;
        for (family, known) in self.known.iter_mut().enumerate() {
            let mut first = network.mixes(1).map(|node| node.address);
            let to = first.find(|address| usize::from(address.is_ipv6()) == family);
            let found = to.filter(|_| self.families[family]).and_then(&source);
            moved |= known.zip(found).is_some_and(|(known, found)| known != found);
            *known = found.or(*known);
        }
        moved
    }
}

/// The address from which a datagram would leave. A socket that is connected knows, and to connect
/// one sends nothing.
pub(super) fn source(to: SocketAddr) -> Option<IpAddr> {
    let any: IpAddr =
        if to.is_ipv6() { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect(to).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

const LOOK_EVERY: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;
    use datagram::network::{ClassSettings, Node, Role, Tier};
    use mixing::keys::Identity;

    fn network(addresses: &[&str]) -> Network {
        let node = |address: &&str| Node {
            name: (*address).to_owned(),
            identity: Identity::from_bytes([7; 32]),
            role: Role::Mix(Tier::new(1).unwrap()),
            address: address.parse().unwrap(),
        };
        Network {
            name: "test".into(),
            small: ClassSettings::small(),
            large: ClassSettings::large(),
            nodes: addresses.iter().map(node).collect(),
        }
    }

    #[test]
    fn a_machine_has_moved_when_the_system_sends_from_another_address() {
        let network = network(&["192.0.2.1:1", "[2001:db8::1]:1"]);
        let any = ["0.0.0.0:0", "[::]:0"].map(|address| address.parse().unwrap());
        let mut whereabouts = Whereabouts::new(&any);
        let mut now = Time::ZERO;
        let mut moved = |v4: Option<&str>, v6: Option<&str>| {
            now = now + LOOK_EVERY;
            let source = |to: SocketAddr| {
                let found = if to.is_ipv6() { v6 } else { v4 };
                found.map(|address| address.parse().unwrap())
            };
            whereabouts.changed(now, &network, source)
        };
        assert!(!moved(Some("10.0.0.1"), None), "the first is where it is");
        assert!(!moved(Some("10.0.0.1"), Some("fd00::1")));
        assert!(!moved(None, None), "nowhere is not elsewhere");
        assert!(!moved(Some("10.0.0.1"), Some("fd00::1")), "and back");
        assert!(moved(Some("10.0.0.2"), Some("fd00::1")));
        assert!(!moved(Some("10.0.0.2"), Some("fd00::1")));
        assert!(moved(Some("10.0.0.2"), Some("fd00::2")));
        assert!(!moved(Some("10.0.0.2"), None));
        assert!(moved(Some("10.0.0.2"), Some("fd00::3")), "elsewhere after a while of nothing");
    }

    #[test]
    fn who_names_his_address_or_asks_too_soon_has_not_moved() {
        let network = network(&["192.0.2.1:1"]);
        let mut named = Whereabouts::new(&["10.0.0.1:0".parse().unwrap()]);
        let mut any = Whereabouts::new(&["0.0.0.0:0".parse().unwrap()]);
        let one = |_| Some(IpAddr::from([10, 0, 0, 1]));
        let other = |_| Some(IpAddr::from([10, 0, 0, 2]));
        for whereabouts in [&mut named, &mut any] {
            assert!(!whereabouts.changed(Time::ZERO, &network, one));
            assert!(!whereabouts.changed(Time::ZERO, &network, other));
        }
        let later = Time::ZERO + LOOK_EVERY;
        assert!(!named.changed(later, &network, other));
        assert!(any.changed(later, &network, other));
    }

    #[test]
    fn the_system_says_where_a_datagram_to_this_machine_leaves_from() {
        let to = SocketAddr::from(([127, 0, 0, 1], 9));
        assert_eq!(source(to), Some(to.ip()));
    }
}
