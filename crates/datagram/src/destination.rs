//! Where a datagram goes, or where a reply came from: what stands in front of a message.
//!
//! ```text
//! | kind u8 | address: 4 bytes (1), 16 bytes (4), or length u8 and name (3) | port u16 | payload |
//! ```
//!
//! The kinds are those of SOCKS5 (RFC 1928, section 5), so that there is one table to remember.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use crate::outbox::Dropped;

/// A host and a port.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Destination {
    /// An address, or a name that the exit resolves.
    pub host: Host,
    /// The UDP port.
    pub port: u16,
}

/// Who a destination is.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Host {
    /// IPv4 or IPv6.
    Address(IpAddr),
    /// A name of 1 to 255 bytes.
    Name(String),
}

const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

/// The longest name.
pub const NAME_MAX: usize = 255;

impl Destination {
    /// Puts the destination in front of a message.
    ///
    /// # Errors
    /// `TooLong` for a name longer than [`NAME_MAX`].
    pub fn write(&self, message: &mut Vec<u8>) -> Result<(), Dropped> {
        match &self.host {
            Host::Address(IpAddr::V4(address)) => {
                message.push(IPV4);
                message.extend_from_slice(&address.octets());
            }
            Host::Address(IpAddr::V6(address)) => {
                message.push(IPV6);
                message.extend_from_slice(&address.octets());
            }
            Host::Name(name) => {
                let length = u8::try_from(name.len()).map_err(|_| Dropped::TooLong)?;
                message.extend_from_slice(&[NAME, length]);
                message.extend_from_slice(name.as_bytes());
            }
        }
        message.extend_from_slice(&self.port.to_be_bytes());
        Ok(())
    }

    /// Takes the destination off a message; what is left is the payload.
    ///
    /// # Errors
    /// `BadDatagram` when none stands there.
    pub fn read(message: &[u8]) -> Result<(Destination, &[u8]), Dropped> {
        let (kind, rest) = message.split_first().ok_or(Dropped::BadDatagram)?;
        let (host, rest) = match *kind {
            IPV4 => {
                let (bytes, rest) = rest.split_first_chunk::<4>().ok_or(Dropped::BadDatagram)?;
                (Host::Address(Ipv4Addr::from(*bytes).into()), rest)
            }
            IPV6 => {
                let (bytes, rest) = rest.split_first_chunk::<16>().ok_or(Dropped::BadDatagram)?;
                (Host::Address(Ipv6Addr::from(*bytes).into()), rest)
            }
            NAME => {
                let (length, rest) = rest.split_first().ok_or(Dropped::BadDatagram)?;
                let (name, rest) =
                    rest.split_at_checked(usize::from(*length)).ok_or(Dropped::BadDatagram)?;
                let name = std::str::from_utf8(name).map_err(|_| Dropped::BadDatagram)?;
                if name.is_empty() {
                    return Err(Dropped::BadDatagram);
                }
                (Host::Name(name.to_owned()), rest)
            }
            _ => return Err(Dropped::BadDatagram),
        };
        let (port, payload) = rest.split_first_chunk::<2>().ok_or(Dropped::BadDatagram)?;
        Ok((Destination { host, port: u16::from_be_bytes(*port) }, payload))
    }

    /// The socket address, unless the host is a name.
    pub fn address(&self) -> Option<SocketAddr> {
        match self.host {
            Host::Address(address) => Some(SocketAddr::new(address, self.port)),
            Host::Name(_) => None,
        }
    }
}

impl From<SocketAddr> for Destination {
    fn from(address: SocketAddr) -> Self {
        Destination { host: Host::Address(address.ip()), port: address.port() }
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Address(address) => SocketAddr::new(*address, self.port).fmt(f),
            Host::Name(name) => write!(f, "{name}:{}", self.port),
        }
    }
}

/// Not `host:port`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotADestination;

impl fmt::Display for NotADestination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a destination is HOST:PORT, with an IPv6 address in brackets")
    }
}

impl std::error::Error for NotADestination {}

impl FromStr for Destination {
    type Err = NotADestination;

    fn from_str(text: &str) -> Result<Self, NotADestination> {
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(address.into());
        }
        let (name, port) = text.rsplit_once(':').ok_or(NotADestination)?;
        let digits = port.bytes().all(|byte| byte.is_ascii_digit());
        let port = port.parse().map_err(|_| NotADestination)?;
        let fits = (1..=NAME_MAX).contains(&name.len());
        if !digits || !fits || name.contains([':', '[', ']', ' ']) {
            return Err(NotADestination);
        }
        // An address beside a port with zeros in front is one, too: no resolver is asked for it.
        let host = name.parse().map_or_else(|_| Host::Name(name.to_owned()), Host::Address);
        Ok(Destination { host, port })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_destination_comes_back_as_it_was_written() {
        for text in ["127.0.0.1:53", "[2001:db8::1]:65535", "example.org:1"] {
            let destination: Destination = text.parse().expect("well-formed");
            assert_eq!(destination.to_string(), text);
            let mut message = Vec::new();
            destination.write(&mut message).expect("short enough");
            message.extend_from_slice(b"payload");
            assert_eq!(Destination::read(&message), Ok((destination, &b"payload"[..])));
            for end in 0..message.len() - b"payload".len() {
                assert_eq!(Destination::read(&message[..end]), Err(Dropped::BadDatagram));
            }
        }
    }

    #[test]
    fn what_is_no_destination_is_refused() {
        for text in ["", ":1", "host", "host:", "host:99999", "::1:5", "a b:1", "[::1]", "1.2.3.4"]
        {
            assert_eq!(text.parse::<Destination>(), Err(NotADestination), "{text}");
        }
        assert_eq!("192.0.2.1:+53".parse::<Destination>(), Err(NotADestination));
        let zeros = "192.0.2.1:000053".parse::<Destination>().map(|to| to.address());
        assert_eq!(zeros, Ok(Some(SocketAddr::from(([192, 0, 2, 1], 53)))));
        let long = format!("{}:1", "a".repeat(256));
        assert_eq!(long.parse::<Destination>(), Err(NotADestination));
    }
}
