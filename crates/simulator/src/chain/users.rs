//! The applications and the destinations, and the account of what they sent and got.
//!
//! Every datagram says in its first bytes whose it is and which; all that follows is computed from
//! that, so whatever arrives can be compared with what was sent, byte for byte, without keeping
//! it. A destination answers each datagram once, with a reply made in the same way.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use datagram::{Destination, Host};
use mixing::Time;

use crate::chain::plan::Plan;

/// What one application sent and got.
#[derive(Default)]
pub struct Account {
    /// For each number: how far it came, and when it was sent.
    pub sent: Vec<(Progress, Time)>,
}

impl Account {
    /// How many of its datagrams were answered.
    pub fn answered(&self) -> u64 {
        self.sent.iter().filter(|(progress, _)| progress.answered).count() as u64
    }
}

/// How far a datagram came.
#[derive(Clone, Copy, Default)]
pub struct Progress {
    /// The entry took it.
    pub taken: bool,
    /// It reached its destination.
    pub arrived: bool,
    /// Its reply reached the application.
    pub answered: bool,
    /// Its reply was handed to an exit.
    pub replied: bool,
}

/// Whose datagram this is, and which.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Label {
    /// The application.
    pub user: usize,
    /// Its datagram, from 0.
    pub number: u32,
    /// Whether this is the reply.
    pub reply: bool,
}

const HEAD: usize = 8;
const MARK: u8 = 0xA5;

impl Label {
    /// Reads the label of a payload.
    pub fn read(payload: &[u8]) -> Option<Label> {
        let &[MARK, reply @ (0 | 1), u, v, a, b, c, d] = payload.first_chunk::<HEAD>()? else {
            return None;
        };
        let number = u32::from_be_bytes([a, b, c, d]);
        Some(Label { user: u16::from_be_bytes([u, v]).into(), number, reply: reply == 1 })
    }

    /// The payload that has this label.
    pub fn payload(&self, plan: &Plan) -> Vec<u8> {
        let [u, v] = (self.user as u16).to_be_bytes();
        let [a, b, c, d] = self.number.to_be_bytes();
        let head = [MARK, self.reply.into(), u, v, a, b, c, d];
        let mut state = plan.seed ^ u64::from_be_bytes(head);
        let (least, most) = plan.users[self.user].sizes;
        let size = least.max(HEAD) + (mixed(&mut state) as usize) % (most - least + 1);
        let mut payload = vec![0; size];
        let (label, rest) = payload.split_at_mut(HEAD);
        label.copy_from_slice(&head);
        for chunk in rest.chunks_mut(8) {
            chunk.copy_from_slice(&mixed(&mut state).to_le_bytes()[..chunk.len()]);
        }
        payload
    }
}

/// Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014.
pub fn mixed(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = *state;
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// The address behind a destination: names have one each.
pub fn resolved(to: &Destination) -> SocketAddr {
    let ip = match &to.host {
        Host::Address(ip) => *ip,
        Host::Name(name) => address_of(name),
    };
    SocketAddr::new(ip, to.port)
}

/// The address of a name.
pub fn address_of(name: &str) -> IpAddr {
    let digits = name.bytes().filter(u8::is_ascii_digit);
    let number = digits.fold(0u8, |n, digit| n.wrapping_mul(10).wrapping_add(digit - b'0'));
    Ipv4Addr::new(9, 9, 9, number + 1).into()
}
