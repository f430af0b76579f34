//! The socket of one SOCKS association, and who may send to it.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use datagram::Destination;
use datagram::entry::Association;

use super::sources::Sources;

/// A SOCKS association's socket.
pub(super) struct Relay {
    pub(super) socket: UdpSocket,
    /// Only this host may send (the peer of the TCP connection)
    pub(super) peer: IpAddr,
    /// and only from the port it first sent from.
    pub(super) client: Option<SocketAddr>,
    pub(super) channels: Channels,
}

/// One channel for all, or one each.
pub(super) enum Channels {
    One(Association),
    PerDestination { isolation: u64, open: Sources<Destination> },
}

impl Relay {
    /// Whether a datagram from there is the client's.
    pub(super) fn admits(&self, from: SocketAddr) -> bool {
        from.ip().to_canonical() == self.peer && self.client.is_none_or(|client| client == from)
    }

    /// All its associations.
    pub(super) fn associations(self) -> Vec<Association> {
        match self.channels {
            Channels::One(association) => vec![association],
            Channels::PerDestination { open, .. } => open.into_associations().collect(),
        }
    }
}
