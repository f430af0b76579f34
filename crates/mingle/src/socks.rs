//! SOCKS5 as an entry speaks it: UDP ASSOCIATE and nothing else (RFC 1928, RFC 1929).
//!
//! ```text
//! client ── TCP: methods, perhaps user and password, UDP ASSOCIATE ──► here
//!        ◄──────────────────── BND: a port for this association alone
//!        ── UDP to that port: | 0 0 | FRAG | ATYP | address | port | payload | ──►
//! ```
//!
//! Any user and password are accepted: they are not to keep anyone out, but to keep channels
//! apart. The association lives as long as its TCP connection. Written here because the crates
//! that serve SOCKS5 own the relay themselves: they resolve names locally, connect the socket, or
//! let any host send.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use datagram::destination::{Destination, Host};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot};

use crate::config::Socks;
use crate::drive::entry::EntryCommand;
use crate::drive::mailbox::Mailbox;
use crate::figures::Lost;
use crate::udp;

/// Serves the TCP side of one listener until its task ends.
pub(crate) struct Door {
    mailbox: Mailbox<EntryCommand>,
    handshake: Duration,
    /// Keyed anew in every process: the same credentials give the same number only here.
    credentials: RandomState,
}

impl Door {
    pub(crate) fn new(mailbox: Mailbox<EntryCommand>, config: &Socks) -> Arc<Self> {
        let handshake = config.handshake;
        Arc::new(Door { mailbox, handshake, credentials: RandomState::new() })
    }

    /// Accepts connections; `places` is how many there may be at once, over all listeners.
    pub(crate) async fn serve(self: Arc<Self>, listener: TcpListener, places: Arc<Semaphore>) {
        loop {
            let Ok((stream, peer)) = listener.accept().await else {
                // No file handle left: it comes back when another connection ends.
                tokio::time::sleep(ACCEPT_AGAIN).await;
                continue;
            };
            // With no place left the connection is closed at once: an answer, and a cheap one.
            let Ok(place) = places.clone().try_acquire_owned() else { continue };
            let door = self.clone();
            tokio::spawn(async move {
                // What goes wrong with a client's connection is the end of that connection.
                let _ = door.connection(stream, peer).await;
                drop(place);
            });
        }
    }

    async fn connection(&self, mut stream: TcpStream, peer: SocketAddr) -> io::Result<()> {
        keep_alive(&stream);
        let handshake = self.associate(&mut stream, peer.ip());
        let Ok(associated) = tokio::time::timeout(self.handshake, handshake).await else {
            return Err(io::ErrorKind::TimedOut.into());
        };
        let Some(_association) = associated? else { return Ok(()) };
        // From here on the client says nothing; what it says anyway is not kept.
        let mut ignored = [0; 512];
        while stream.read(&mut ignored).await.is_ok_and(|size| size > 0) {}
        Ok(())
    }

    /// The handshake; the new association, or nothing when it was refused.
    async fn associate(
        &self,
        stream: &mut TcpStream,
        peer: IpAddr,
    ) -> io::Result<Option<Association>> {
        let Some(isolation) = greet(stream, &self.credentials).await? else { return Ok(None) };
        let opened = match read_request(stream).await? {
            Ok(()) => self.open(stream.local_addr()?, peer, isolation).await,
            Err(refusal) => Err(refusal),
        };
        match opened {
            Ok((association, bound)) => {
                stream.write_all(&reply(SUCCEEDED, bound)).await?;
                Ok(Some(association))
            }
            Err(refusal) => {
                stream.write_all(&reply(refusal as u8, UNSPECIFIED)).await?;
                // So that the refusal is not lost with the rest of the connection.
                stream.shutdown().await?;
                Ok(None)
            }
        }
    }

    /// Opens a relay for a client that reached us at `reached`, so that it can reach the relay too.
    async fn open(
        &self,
        reached: SocketAddr,
        peer: IpAddr,
        isolation: u64,
    ) -> Result<(Association, SocketAddr), Refusal> {
        let opened = udp::plain(SocketAddr::new(reached.ip().to_canonical(), 0));
        let opened = opened.and_then(|socket| Ok((socket.local_addr()?, socket)));
        let (bound, socket) = opened.map_err(|_| Refusal::General)?;
        let peer = peer.to_canonical();
        let (answer, answered) = oneshot::channel();
        self.mailbox.send(EntryCommand::Associate { socket, peer, isolation, answer });
        match answered.await {
            Ok(Ok(number)) => Ok((Association { number, mailbox: self.mailbox.clone() }, bound)),
            // The limit on associations, or the end of the node.
            Ok(Err(_)) | Err(_) => Err(Refusal::General),
        }
    }
}

/// An association of the node's thread, which ends with this, whatever ends it.
struct Association {
    number: u64,
    mailbox: Mailbox<EntryCommand>,
}

impl Drop for Association {
    fn drop(&mut self) {
        self.mailbox.send(EntryCommand::End { number: self.number });
    }
}

/// Agrees on a method; the isolation that the credentials ask for, or nothing when there is no method
/// that both know.
///
/// # Errors
/// When the stream ends or breaks.
pub async fn greet<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    isolations: &RandomState,
) -> io::Result<Option<u64>> {
    let [version, count] = read_array(stream).await?;
    if version != VERSION {
        return Ok(None);
    }
    let mut methods = vec![0; usize::from(count)];
    stream.read_exact(&mut methods).await?;
    // A client that can say who it is wants to be kept apart from others.
    if methods.contains(&USER_AND_PASSWORD) {
        stream.write_all(&[VERSION, USER_AND_PASSWORD]).await?;
        let Some(credentials) = read_credentials(stream).await? else { return Ok(None) };
        stream.write_all(&[CREDENTIALS_VERSION, 0]).await?;
        // Never 0, which is for those who give none.
        return Ok(Some(isolations.hash_one(credentials).max(1)));
    }
    if methods.contains(&NOTHING) {
        stream.write_all(&[VERSION, NOTHING]).await?;
        return Ok(Some(0));
    }
    stream.write_all(&[VERSION, NO_METHOD]).await?;
    stream.shutdown().await?;
    Ok(None)
}

/// Reads user and password (RFC 1929).
async fn read_credentials(
    stream: &mut (impl AsyncRead + Unpin),
) -> io::Result<Option<(Vec<u8>, Vec<u8>)>> {
    let [version] = read_array(stream).await?;
    if version != CREDENTIALS_VERSION {
        return Ok(None);
    }
    let user = read_counted(stream).await?;
    let password = read_counted(stream).await?;
    Ok(Some((user, password)))
}

/// Reads a request; what is refused, and with which code.
///
/// # Errors
/// When the stream ends or breaks.
pub async fn read_request(
    stream: &mut (impl AsyncRead + Unpin),
) -> io::Result<Result<(), Refusal>> {
    let [version, command, _, kind] = read_array(stream).await?;
    if version != VERSION {
        return Ok(Err(Refusal::General));
    }
    // The address is where the client will send from, if it knows; the first datagram says it.
    match kind {
        IPV4 => drop(read_array::<6>(stream).await?),
        IPV6 => drop(read_array::<18>(stream).await?),
        NAME => {
            read_counted(stream).await?;
            read_array::<2>(stream).await?;
        }
        _ => return Ok(Err(Refusal::AddressType)),
    }
    Ok(if command == UDP_ASSOCIATE { Ok(()) } else { Err(Refusal::Command) })
}

async fn read_array<const N: usize>(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}

/// A byte that says how many follow, and these.
async fn read_counted(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let [count] = read_array(stream).await?;
    let mut bytes = vec![0; usize::from(count)];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}

/// A client that vanished without a word is noticed, and its channel ends.
fn keep_alive(stream: &TcpStream) {
    let probes = TcpKeepalive::new()
        .with_time(Duration::from_secs(60))
        .with_interval(Duration::from_secs(20))
        .with_retries(3);
    let _ = SockRef::from(stream).set_tcp_keepalive(&probes);
}

/// Why a request is refused: the codes of RFC 1928, section 6.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Refusal {
    /// No room, no socket, or another version.
    General = 1,
    /// Another command than UDP ASSOCIATE.
    Command = 7,
    /// A kind of address that does not exist.
    AddressType = 8,
}

fn reply(code: u8, bound: SocketAddr) -> Vec<u8> {
    let mut reply = vec![VERSION, code, 0];
    write_address(bound, &mut reply);
    reply
}

fn write_address(address: SocketAddr, to: &mut Vec<u8>) {
    match address.ip() {
        IpAddr::V4(ip) => {
            to.push(IPV4);
            to.extend_from_slice(&ip.octets());
        }
        IpAddr::V6(ip) => {
            to.push(IPV6);
            to.extend_from_slice(&ip.octets());
        }
    }
    to.extend_from_slice(&address.port().to_be_bytes());
}

/// Takes the header off a client's datagram.
///
/// # Errors
/// Which counter it goes to.
pub fn parse_datagram(datagram: &[u8]) -> Result<(Destination, &[u8]), Lost> {
    // The two reserved bytes are not looked at: what a client leaves in them harms nobody.
    let ([_, _, fragment, kind], rest) = datagram.split_first_chunk::<4>().ok_or(Lost::BadSocks)?;
    if *fragment != 0 {
        return Err(Lost::FragmentedSocks);
    }
    let (host, rest) = match *kind {
        IPV4 => {
            let (address, rest) = rest.split_first_chunk::<4>().ok_or(Lost::BadSocks)?;
            (Host::Address(Ipv4Addr::from(*address).into()), rest)
        }
        IPV6 => {
            let (address, rest) = rest.split_first_chunk::<16>().ok_or(Lost::BadSocks)?;
            (Host::Address(Ipv6Addr::from(*address).into()), rest)
        }
        NAME => {
            let (count, rest) = rest.split_first().ok_or(Lost::BadSocks)?;
            let (name, rest) = rest.split_at_checked(usize::from(*count)).ok_or(Lost::BadSocks)?;
            let name = std::str::from_utf8(name).map_err(|_| Lost::BadSocks)?;
            if name.is_empty() {
                return Err(Lost::BadSocks);
            }
            // Some clients write an address as if it were a name.
            let host = name.parse().map_or_else(|_| Host::Name(name.to_owned()), Host::Address);
            (host, rest)
        }
        _ => return Err(Lost::BadSocks),
    };
    let (port, payload) = rest.split_first_chunk::<2>().ok_or(Lost::BadSocks)?;
    Ok((Destination { host, port: u16::from_be_bytes(*port) }, payload))
}

/// Puts the header before a reply, with the numeric address that it came from.
pub fn write_datagram(source: SocketAddr, payload: &[u8], to: &mut Vec<u8>) {
    to.clear();
    to.extend_from_slice(&[0, 0, 0]);
    write_address(source, to);
    to.extend_from_slice(payload);
}

const VERSION: u8 = 5;
const SUCCEEDED: u8 = 0;
const CREDENTIALS_VERSION: u8 = 1;
const NOTHING: u8 = 0;
const USER_AND_PASSWORD: u8 = 2;
const NO_METHOD: u8 = 0xff;
const UDP_ASSOCIATE: u8 = 3;
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;
const UNSPECIFIED: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_reads_back_what_it_writes() {
        for source in ["127.0.0.1:53", "[2001:db8::1]:65535"] {
            let source: SocketAddr = source.parse().unwrap();
            let mut datagram = Vec::new();
            write_datagram(source, b"hello", &mut datagram);
            assert_eq!(parse_datagram(&datagram), Ok((source.into(), &b"hello"[..])));
            for end in 0..datagram.len() - 5 {
                assert_eq!(parse_datagram(&datagram[..end]), Err(Lost::BadSocks), "{end}");
            }
        }
    }

    #[test]
    fn a_name_stays_a_name_and_an_address_written_as_one_does_not() {
        let named = |name: &[u8]| {
            let mut datagram = vec![0, 0, 0, NAME, name.len() as u8];
            datagram.extend_from_slice(name);
            datagram.extend_from_slice(&[0, 53, b'!']);
            datagram
        };
        let destination = |name| parse_datagram(&named(name)).map(|(to, _)| to.to_string());
        assert_eq!(destination(b"localhost"), Ok("localhost:53".into()));
        assert_eq!(destination(b"127.0.0.1"), Ok("127.0.0.1:53".into()));
        assert_eq!(destination(b"::1"), Ok("[::1]:53".into()));
        assert_eq!(destination(b""), Err(Lost::BadSocks));
        assert_eq!(destination(b"\xff\xfe"), Err(Lost::BadSocks));
    }

    #[test]
    fn a_fragment_is_refused_as_one() {
        let datagram = [0, 0, 1, IPV4, 127, 0, 0, 1, 0, 53, b'!'];
        assert_eq!(parse_datagram(&datagram), Err(Lost::FragmentedSocks));
        let datagram = [0, 0, 0, 2, 127, 0, 0, 1, 0, 53, b'!'];
        assert_eq!(parse_datagram(&datagram), Err(Lost::BadSocks));
    }
}
