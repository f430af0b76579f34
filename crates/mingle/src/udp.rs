//! UDP sockets.
//!
//! A link's socket takes and gives many cells per system call: the kernel splits a run (GSO) and
//! joins what arrived together (GRO). Cells must not be cut on the way, so links forbid
//! fragmentation. An application's or a destination's socket is a plain one: its datagrams may be
//! as large as UDP allows and are fragmented where they must be.
//!
//! No error that the network causes ends anything: it is counted and the datagram is gone, which
//! is what UDP promises.

use std::fs;
use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;

use quinn_udp::{BATCH_SIZE, RecvMeta, Transmit, UdpSocketState};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::Error;

/// The most bytes a UDP datagram holds, and the most that joined ones have.
pub const DATAGRAM_MAX: usize = 65_535;

/// A socket that carries cells.
pub struct LinkSocket {
    socket: UdpSocket,
    state: UdpSocketState,
}

impl LinkSocket {
    /// Opens a socket at `address`.
    ///
    /// # Errors
    /// When the address is taken or not ours.
    pub fn bind(address: SocketAddr) -> Result<Self, Error> {
        let open = || -> io::Result<Self> {
            let socket = plain(address)?;
            enlarge(&socket);
            let state = UdpSocketState::new((&socket).into())?;
            Ok(LinkSocket { socket, state })
        };
        open().map_err(|why| Error::bind("the links", address, why))
    }

    /// Where it is bound.
    pub fn address(&self) -> Option<SocketAddr> {
        self.socket.local_addr().ok()
    }

    /// Bytes that may wait in the kernel, and whether that is as many as were wanted.
    pub fn buffer(&self) -> (usize, bool) {
        // Linux says twice of what it was asked for, as its own book-keeping counts too.
        let size = socket2::SockRef::from(&self.socket).recv_buffer_size().unwrap_or(0) / 2;
        (size, size >= BUFFER_WANTED)
    }

    /// How many datagrams came while the buffer was full, as far as the system says.
    pub fn overflowed(&self) -> u64 {
        let ipv6 = self.address().is_some_and(|address| address.is_ipv6());
        let table = if ipv6 { "/proc/net/udp6" } else { "/proc/net/udp" };
        let socket = format!("/proc/self/fd/{}", self.socket.as_raw_fd());
        let (Ok(table), Ok(socket)) = (fs::read_to_string(table), fs::metadata(socket)) else {
            return 0;
        };
        // Columns 9 and 12, from 0: the inode, and what was dropped.
        let of = |line: &str| {
            let inode = line.split_whitespace().nth(9)?.parse::<u64>().ok()?;
            (inode == socket.ino()).then(|| line.split_whitespace().nth(12)?.parse().ok())?
        };
        table.lines().find_map(of).unwrap_or(0)
    }

    /// Receives one batch into `inbox`; false when nothing was there.
    pub fn receive(&self, inbox: &mut Inbox) -> bool {
        inbox.filled = 0;
        let mut slices = inbox.buffers.each_mut().map(|buffer| IoSliceMut::new(buffer));
        loop {
            match self.state.recv((&self.socket).into(), &mut slices, &mut inbox.metas) {
                Ok(count) => {
                    inbox.filled = count;
                    return count > 0;
                }
                Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
                // Also ECONNREFUSED and its like: an answer to something sent, and not for us.
                Err(_) => return false,
            }
        }
    }

    /// Sends a run of datagrams of `segment` bytes each; how many the kernel refused.
    pub fn send(&self, to: SocketAddr, segment: usize, run: &[u8]) -> u64 {
        let together = self.state.max_gso_segments().max(1) * segment.max(1);
        let mut refused = 0;
        for part in run.chunks(together) {
            if self.send_part(to, segment, part).is_err() {
                // One by one: a kernel or network card that splits badly refuses only the run.
                let one_by_one = part.chunks(segment.max(1));
                refused +=
                    one_by_one.filter(|cell| self.send_part(to, segment, cell).is_err()).count();
            }
        }
        refused as u64
    }

    fn send_part(&self, to: SocketAddr, segment: usize, part: &[u8]) -> io::Result<()> {
        let transmit = Transmit {
            destination: to,
            ecn: None,
            contents: part,
            segment_size: (part.len() > segment).then_some(segment),
            src_ip: None,
        };
        loop {
            match self.state.try_send((&self.socket).into(), &transmit) {
                Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }
}

impl AsFd for LinkSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// What one `receive` brought, in memory that is used again.
pub struct Inbox {
    buffers: [Vec<u8>; BATCH_SIZE],
    metas: [RecvMeta; BATCH_SIZE],
    filled: usize,
}

impl Inbox {
    /// An empty inbox.
    pub fn new() -> Self {
        Inbox {
            buffers: std::array::from_fn(|_| vec![0; DATAGRAM_MAX]),
            metas: [RecvMeta::default(); BATCH_SIZE],
            filled: 0,
        }
    }

    /// Gives each datagram to `take`, in the order of arrival.
    pub fn each(&mut self, mut take: impl FnMut(SocketAddr, &mut [u8])) {
        for (buffer, meta) in self.buffers.iter_mut().zip(&self.metas).take(self.filled) {
            let joined = &mut buffer[..meta.len];
            if joined.is_empty() {
                take(meta.addr, joined);
                continue;
            }
            for datagram in joined.chunks_mut(meta.stride.max(1)) {
                take(meta.addr, datagram);
            }
        }
    }
}

impl Default for Inbox {
    fn default() -> Self {
        Inbox::new()
    }
}

/// Opens a plain socket that never blocks, for one family only.
///
/// # Errors
/// What the system says.
pub fn plain(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        // So that an IPv4 address never hides in an IPv6 one.
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::from(address))?;
    Ok(socket.into())
}

/// Asks for large buffers, so that a burst waits and is not lost; the kernel gives what it allows.
pub fn enlarge(socket: &UdpSocket) {
    let socket = socket2::SockRef::from(socket);
    for size in [BUFFER_WANTED, BUFFER_WANTED / 4] {
        if socket.set_recv_buffer_size(size).is_ok() {
            break;
        }
    }
    let _ = socket.set_send_buffer_size(BUFFER_WANTED);
}

/// Receives one datagram; `None` when nothing was there.
pub fn receive_one<'a>(
    socket: &UdpSocket,
    buffer: &'a mut [u8],
) -> Option<(SocketAddr, &'a mut [u8])> {
    loop {
        match socket.recv_from(buffer) {
            Ok((size, from)) => return Some((from, &mut buffer[..size])),
            Err(why) if why.kind() == io::ErrorKind::WouldBlock => return None,
            // An error that belongs to something sent earlier; what arrived is behind it.
            Err(why) if passing(&why) => {}
            Err(_) => return None,
        }
    }
}

/// Errors that say something about another datagram than the one asked about.
fn passing(why: &io::Error) -> bool {
    matches!(
        why.kind(),
        io::ErrorKind::Interrupted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
    )
}

/// Four seconds of a thousand `large` cells a second.
pub const BUFFER_WANTED: usize = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (LinkSocket, LinkSocket, SocketAddr) {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let (one, other) = (LinkSocket::bind(any).unwrap(), LinkSocket::bind(any).unwrap());
        let to = other.address().unwrap();
        (one, other, to)
    }

    #[test]
    fn a_run_arrives_as_the_datagrams_it_was_made_of() {
        let (one, other, to) = pair();
        let segment = 1404;
        let run: Vec<u8> = (0..46 * segment).map(|i| (i / segment) as u8).collect();
        assert_eq!(one.send(to, segment, &run), 0);
        let mut inbox = Inbox::new();
        let mut seen = 0;
        while seen < 46 {
            other.receive(&mut inbox);
            inbox.each(|_, cell| {
                assert_eq!(cell, &vec![seen as u8; segment]);
                seen += 1;
            });
        }
    }

    #[test]
    fn what_the_kernel_had_no_room_for_is_counted() {
        let (one, other, to) = pair();
        assert_eq!(other.overflowed(), 0);
        let run = vec![0; 46 * 1400];
        for _ in 0..2 * BUFFER_WANTED / run.len() {
            one.send(to, 1400, &run);
        }
        assert!(other.overflowed() > 0);
        assert_eq!(one.overflowed(), 0);
    }

    #[test]
    fn sending_to_nobody_hurts_nobody() {
        let (one, other, to) = pair();
        drop(other);
        let mut inbox = Inbox::new();
        for _ in 0..10 {
            one.send(to, 100, &[0; 1000]);
            assert!(!one.receive(&mut inbox));
        }
    }

    #[test]
    fn an_empty_datagram_is_a_datagram() {
        let (one, other, to) = pair();
        let plain = plain(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        plain.send_to(&[], to).unwrap();
        let mut inbox = Inbox::new();
        let mut empty = 0;
        while empty == 0 {
            other.receive(&mut inbox);
            inbox.each(|_, cell| empty += usize::from(cell.is_empty()));
        }
        drop(one);
    }
}
