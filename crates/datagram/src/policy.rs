//! Which destinations an exit serves: asked about the resolved address of every datagram.
//!
//! By default an exit serves the public Internet and nothing else: no loopback, private, shared,
//! link-local, unique-local, multicast, broadcast, reserved or unspecified address, none of these
//! in the disguise of a v4-mapped, NAT64 or 6to4 address, not itself and no node of the network.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use crate::network::Network;

/// An exit's policy.
#[derive(Clone, Default, PartialEq, Debug)]
pub struct Policy {
    /// Served although the rules below would refuse it.
    pub allow: Vec<Prefix>,
    /// Refused although the rules below would serve it. Stronger than `allow`.
    pub deny: Vec<Prefix>,
    /// The exit's own addresses.
    pub own: Vec<IpAddr>,
    /// Whether anybody may answer, and not only whom a channel wrote to.
    pub open_filtering: bool,
}

impl Policy {
    /// Whether a datagram may go there.
    pub fn permits(&self, network: &Network, to: SocketAddr) -> bool {
        // A disguised address is judged by what is in it, and refused if either is.
        let bare = bare(to.ip());
        let within =
            |prefixes: &[Prefix]| prefixes.iter().any(|p| p.contains(to.ip()) || p.contains(bare));
        let is_node = |node: &crate::network::Node| node.address.ip().to_canonical() == bare;
        let is_socket_of_node =
            network.nodes.iter().any(|node| is_node(node) && node.address.port() == to.port());
        if to.port() == 0 || is_socket_of_node || within(&self.deny) {
            return false;
        }
        if within(&self.allow) {
            return true;
        }
        let ours = self.own.iter().any(|own| own.to_canonical() == bare);
        !ours && !network.nodes.iter().any(is_node) && is_public(to.ip()) && is_public(bare)
    }
}

/// The IPv4 address inside a v4-mapped, v4-compatible, NAT64 or 6to4 address, else the address.
fn bare(address: IpAddr) -> IpAddr {
    let IpAddr::V6(address) = address else { return address };
    let from = |bytes: &[u8]| {
        let [a, b, c, d] = *bytes.first_chunk().expect("four bytes follow");
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    };
    let octets = address.octets();
    match address.segments() {
        [0, 0, 0, 0, 0, 0xFFFF, ..] => from(&octets[12..]),
        // IPv4-compatible, deprecated; `::` and `::1` are not such.
        [0, 0, 0, 0, 0, 0, a, b] if a != 0 || b > 1 => from(&octets[12..]),
        // NAT64, RFC 6052 and 8215.
        [0x64, 0xFF9B, 0, 0, 0, 0, ..] => from(&octets[12..]),
        [0x64, 0xFF9B, 1, ..] => from(&octets[12..]),
        // 6to4, RFC 3056.
        [0x2002, ..] => from(&octets[2..]),
        _ => IpAddr::V6(address),
    }
}

/// Whether an address is one of the public Internet (IANA's special-purpose registries).
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_broadcast()
        || address.is_documentation()
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b)) // shared, RFC 6598
        || (a == 192 && b == 0 && c == 0) // protocol assignments, RFC 6890
        || (a == 192 && b == 88 && c == 99) // 6to4 relays, RFC 7526
        || (a == 198 && (b == 18 || b == 19)); // benchmarks, RFC 2544
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    // Global unicast is 2000::/3; NAT64's prefix is judged by the address inside it.
    let nat64 = segments[0] == 0x64 && segments[1] == 0xFF9B;
    let global = segments[0] & 0xE000 == 0x2000;
    let special = match segments {
        [0x2001, second, ..] if second < 0x200 => true, // RFC 2928: Teredo, ORCHID, …
        [0x2001, 0xDB8, ..] => true,                    // documentation
        [0x3FFF, second, ..] => second < 0x1000,        // documentation, RFC 9637
        _ => false,
    };
    let mapped = address.to_ipv4_mapped().is_some();
    (global && !special) || nat64 || mapped
}

/// An address range: `192.0.2.0/24`, `2001:db8::/32`, or one address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Prefix {
    address: IpAddr,
    length: u8,
}

impl Prefix {
    /// Whether an address is in the range.
    pub fn contains(&self, address: IpAddr) -> bool {
        let (range, address, shift) = match (self.address, address) {
            (IpAddr::V4(range), IpAddr::V4(address)) => {
                (u128::from(range.to_bits()), u128::from(address.to_bits()), 32 - self.length)
            }
            (IpAddr::V6(range), IpAddr::V6(address)) => {
                (range.to_bits(), address.to_bits(), 128 - self.length)
            }
            _ => return false,
        };
        let cut = |bits: u128| bits.checked_shr(shift.into()).unwrap_or(0);
        cut(range) == cut(address)
    }
}

impl FromStr for Prefix {
    type Err = NotAPrefix;

    fn from_str(text: &str) -> Result<Self, NotAPrefix> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| NotAPrefix)?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let length = match length {
            Some(length) => length.parse().map_err(|_| NotAPrefix)?,
            None => longest,
        };
        if length > longest { Err(NotAPrefix) } else { Ok(Prefix { address, length }) }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

/// Not an address range.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotAPrefix;

impl fmt::Display for NotAPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an address range is ADDRESS or ADDRESS/BITS, such as 192.0.2.0/24")
    }
}

impl std::error::Error for NotAPrefix {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{ClassSettings, Node, Role};

    fn network() -> Network {
        let node = Node {
            name: "exit".into(),
            identity: mixing::keys::Identity::from_bytes([1; 32]),
            role: Role::Exit,
            address: "203.0.114.9:700".parse().expect("valid"),
        };
        Network {
            name: "test".into(),
            small: ClassSettings::small(),
            large: ClassSettings::large(),
            nodes: vec![node],
        }
    }

    fn permits(policy: &Policy, to: &str) -> bool {
        policy.permits(&network(), to.parse().expect("valid"))
    }

    #[test]
    fn by_default_only_the_public_internet_is_served() {
        let policy =
            Policy { own: vec!["198.51.101.3".parse().expect("valid")], ..Policy::default() };
        for served in
            ["9.9.9.9:53", "[2620:fe::fe]:53", "[64:ff9b::909:909]:53", "[2002:909:909::1]:53"]
        {
            assert!(permits(&policy, served), "{served}");
        }
        for refused in [
            "0.0.0.0:1",
            "0.1.2.3:1",
            "10.1.2.3:1",
            "100.64.0.1:1",
            "100.127.255.255:1",
            "127.0.0.1:1",
            "169.254.169.254:80",
            "172.16.0.1:1",
            "172.31.9.9:1",
            "192.0.0.8:1",
            "192.0.2.1:1",
            "192.168.1.1:1",
            "198.18.0.1:1",
            "198.51.100.1:1",
            "203.0.113.1:1",
            "224.0.0.251:5353",
            "239.255.255.250:1900",
            "240.0.0.1:1",
            "255.255.255.255:1",
            "9.9.9.9:0",
            "[::]:1",
            "[::1]:1",
            "[fe80::1]:1",
            "[fec0::1]:1",
            "[fc00::1]:1",
            "[fdff::1]:1",
            "[ff02::fb]:5353",
            "[2001:db8::1]:1",
            "[100::1]:1",
            "[2001:0:1::1]:1",
            "[::ffff:127.0.0.1]:1",
            "[::ffff:10.0.0.1]:1",
            "[::127.0.0.1]:1",
            "[64:ff9b::7f00:1]:1",
            "[64:ff9b:1::a00:1]:1",
            "[2002:7f00:1::]:1",
            "[2002:c0a8:101::1]:1",
            "198.51.101.3:1",
            "[::ffff:198.51.101.3]:1",
            "[64:ff9b::c633:6503]:1",
            "203.0.114.9:1",
            "203.0.114.9:700",
            "[::ffff:203.0.114.9]:1",
        ] {
            assert!(!permits(&policy, refused), "{refused}");
        }
    }

    #[test]
    fn what_is_allowed_is_served_but_never_a_node_and_deny_is_stronger() {
        let parse = |text: &str| text.parse().expect("a prefix");
        let mut policy =
            Policy { allow: vec![parse("127.0.0.0/8"), parse("::1")], ..Policy::default() };
        policy.allow.push(parse("203.0.114.0/24"));
        policy.deny.push(parse("127.0.0.7"));
        policy.deny.push(parse("9.9.9.0/24"));
        for (to, served) in [
            ("127.0.0.1:53", true),
            ("[::1]:53", true),
            ("[::2]:53", false),
            ("127.0.0.7:53", false),
            ("9.9.9.9:53", false),
            ("[::ffff:9.9.9.9]:53", false),
            ("203.0.114.9:53", true),
            ("203.0.114.9:700", false),
        ] {
            assert_eq!(permits(&policy, to), served, "{to}");
        }
    }

    #[test]
    fn prefixes_are_read_and_shown() {
        for text in ["10.0.0.0/8", "0.0.0.0/0", "2001:db8::/32", "::/0", "1.2.3.4/32"] {
            assert_eq!(text.parse::<Prefix>().expect("valid").to_string(), text);
        }
        assert!("::/0".parse::<Prefix>().expect("valid").contains("::1".parse().expect("valid")));
        for text in ["", "10.0.0.0/33", "10.0.0/8", "::/129", "x/1", "1.2.3.4/"] {
            assert_eq!(text.parse::<Prefix>(), Err(NotAPrefix), "{text}");
        }
    }
}
