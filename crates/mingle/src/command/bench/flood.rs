//! An opening flood from many sources: well-made up to the envelope, which is garbage.
//!
//! Every opening passes the cheap check and names the right key, so that without limits each would
//! cost the node a decapsulation. The sources are addresses of this machine only (127.0.0.0/8).

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use datagram::keys::{Question, Token};
use datagram::wire::{self, Prelude};
use datagram::{Network, Node};
use mixing::keys::Identity;
use mixing::{Chance, cipher};
use zerocopy::IntoBytes;

use super::local::Chain;
use crate::clock::Clock;
use crate::{Error, key, network};

const SOURCES: usize = 256;
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// What the flood is made of.
pub(super) struct Flood {
    to: SocketAddr,
    check_key: [u8; 32],
    hint: u16,
    sources: Vec<UdpSocket>,
    seed: [u8; 32],
}

impl Flood {
    /// Asks the first mix for its key, as any stranger may, and opens the sources.
    pub(super) fn prepare(chain: &Chain) -> Result<Self, Error> {
        let list = network::read(&chain.network.root().join(network::FILE))?;
        let node = list.mixes(1).next().ok_or(Error::Failed("no first mix".into()))?;
        let mut chance = Chance::new(key::random()?);
        let failed = |why| Error::system("a socket", why);
        let sources = (0..SOURCES).map(|_| {
            let [_, b, c, d] = chance.bytes::<4>();
            UdpSocket::bind((Ipv4Addr::new(127, b, c, d.clamp(1, 254)), 0))
        });
        let sources = sources.collect::<Result<Vec<_>, _>>().map_err(failed)?;
        let check_key = check_key(&node.identity);
        let hint = hint(&sources[0], node, &list, chance.bytes()).map_err(failed)?;
        Ok(Flood { to: node.address, check_key, hint, sources, seed: chance.bytes() })
    }

    /// Sends at the rate; how many were sent.
    pub(super) fn run(&self, rate: u64, time: Duration) -> u64 {
        let mut chance = Chance::new(self.seed);
        let (clock, mut sent) = (Clock::start(), 0);
        let began = clock.now().time;
        let mut opening = vec![0; wire::OPENING];
        chance.fill(&mut opening);
        let prelude = Prelude {
            link: 0.into(),
            kind: wire::KIND_OPENING,
            version: wire::VERSION,
            hint: self.hint.into(),
        };
        opening[..8].copy_from_slice(prelude.as_bytes());
        while clock.now().time - began < time {
            let due = ((clock.now().time - began).as_secs_f64() * rate as f64) as u64;
            while sent < due {
                // Another envelope each time, and so another check.
                opening[8..24].copy_from_slice(&chance.bytes::<16>());
                let (body, check) = opening.split_at_mut(wire::OPENING - 16);
                check.copy_from_slice(&cipher::mac(&self.check_key, &[body]));
                let _ = self.sources[sent as usize % SOURCES].send_to(&opening, self.to);
                sent += 1;
            }
            std::thread::sleep(Duration::from_micros(500));
        }
        sent
    }
}

fn check_key(identity: &Identity) -> [u8; 32] {
    let mut check_key = [0; 32];
    cipher::derive("mingle link check v1", &[identity.as_bytes()], &mut check_key);
    check_key
}

/// The hint of a node's present key: what its fingerprint begins with.
fn hint(socket: &UdpSocket, node: &Node, list: &Network, token: Token) -> std::io::Result<u16> {
    socket.set_read_timeout(Some(ANSWER_WITHIN))?;
    let mut question = Question::new(node.identity, token);
    for piece in 0..wire::KEY_PIECES {
        socket.send_to(&question.request(piece, wire::OPENING), node.address)?;
        let mut answer = [0; wire::OPENING];
        let size = socket.recv(&mut answer)?;
        question.answer(&answer[..size]).map_err(std::io::Error::other)?;
    }
    let announced = question.announced(list).expect("all pieces came");
    let [a, b, ..] = announced.map_err(std::io::Error::other)?.fingerprint;
    Ok(u16::from_be_bytes([a, b]))
}
