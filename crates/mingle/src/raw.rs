//! The raw door's datagrams, for applications that are written for Mingle.
//!
//! ```text
//! | IPv4 address (4) | port (2, big-endian) | payload |
//! ```
//!
//! Replies come bare: an application that must tell sources apart uses a socket per destination,
//! or SOCKS.

use std::net::{Ipv4Addr, SocketAddr};

/// Where a datagram goes, and its payload; nothing when it is too short to say.
pub fn parse(datagram: &[u8]) -> Option<(SocketAddr, &[u8])> {
    let (address, rest) = datagram.split_first_chunk::<4>()?;
    let (port, payload) = rest.split_first_chunk::<2>()?;
    let to = (Ipv4Addr::from(*address), u16::from_be_bytes(*port));
    Some((to.into(), payload))
}

/// What an application writes before its payload.
pub fn header(address: Ipv4Addr, port: u16) -> [u8; HEADER] {
    let [a, b, c, d] = address.octets();
    let [high, low] = port.to_be_bytes();
    [a, b, c, d, high, low]
}

/// Bytes before the payload.
pub const HEADER: usize = 6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datagram_begins_with_its_destination() {
        let mut datagram = header(Ipv4Addr::new(9, 8, 7, 6), 0x1234).to_vec();
        assert_eq!(datagram, [9, 8, 7, 6, 0x12, 0x34]);
        assert_eq!(parse(&datagram), Some(("9.8.7.6:4660".parse().unwrap(), &[][..])));
        datagram.extend_from_slice(b"hi");
        assert_eq!(parse(&datagram).unwrap().1, b"hi");
        for end in 0..HEADER {
            assert_eq!(parse(&datagram[..end]), None);
        }
    }
}
