//! An exit: links on one side, a socket per flow and address family on the other.
//!
//! A socket is opened when its flow first writes to its family, is never connected (so that its
//! one port serves every destination of the flow), and is closed when the core says that the flow
//! is gone. Names are asked of another thread.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};

use datagram::Exit;
use datagram::exit::{Flow, Question};
use datagram::outbox::{Effect, Outbox};
use datagram::policy::Policy;
use mixing::time::Now;
use rustix::io::Errno;
use tokio::sync::mpsc;

use super::wait::Waiter;
use super::{OWN, Role};
use crate::figures::{Lost, LostCounts, Sizes};
use crate::udp;

/// An exit on its links and its sockets to the outside.
pub(crate) struct ExitRole {
    core: Exit,
    addresses: [Option<IpAddr>; 2],
    sockets_max: usize,
    /// By number.
    sockets: HashMap<u64, (Flow, UdpSocket)>,
    /// The numbers of a flow's sockets, IPv4 and IPv6.
    flows: HashMap<Flow, [Option<u64>; 2]>,
    next: u64,
    questions: mpsc::Sender<(Question, String)>,
    /// What the core has yet to be told.
    without_socket: Vec<Flow>,
    unasked: Vec<Question>,
    lost: LostCounts,
    buffer: Vec<u8>,
}

/// What other threads tell an exit.
pub(crate) enum ExitCommand {
    /// A name was looked up.
    Resolved { question: Question, answer: Vec<IpAddr> },
    /// This machine has other addresses now, and so another policy.
    Policy(Policy),
}

impl ExitRole {
    pub(crate) fn new(
        core: Exit,
        addresses: &[IpAddr],
        sockets_max: usize,
        questions: mpsc::Sender<(Question, String)>,
    ) -> Self {
        let of = |family: fn(&IpAddr) -> bool| addresses.iter().copied().find(family);
        ExitRole {
            core,
            addresses: [of(IpAddr::is_ipv4), of(IpAddr::is_ipv6)],
            sockets_max,
            sockets: HashMap::new(),
            flows: HashMap::new(),
            next: OWN,
            questions,
            without_socket: Vec::new(),
            unasked: Vec::new(),
            lost: LostCounts::default(),
            buffer: vec![0; udp::DATAGRAM_MAX],
        }
    }

    fn outside(&mut self, flow: Flow, to: SocketAddr, payload: &[u8], waiter: &Waiter) {
        let family = usize::from(to.is_ipv6());
        let open = self.flows.get(&flow).and_then(|numbers| numbers[family]);
        let number = match open.map_or_else(|| self.open(flow, family, waiter), Ok) {
            Ok(number) => number,
            Err(Closed::NoRoute) => return self.lost.add(Lost::NoRoute, 1),
            Err(Closed::Full) => return self.without_socket.push(flow),
        };
        let (_, socket) = &self.sockets[&number];
        if socket.send_to(payload, to).is_err() {
            // Unreachable, too large for the path, or the queue is full.
            self.lost.add(Lost::OutsideRefused, 1);
        }
    }

    fn open(&mut self, flow: Flow, family: usize, waiter: &Waiter) -> Result<u64, Closed> {
        let address = self.addresses[family].ok_or(Closed::NoRoute)?;
        if self.sockets.len() >= self.sockets_max {
            return Err(Closed::Full);
        }
        let socket = udp::plain(SocketAddr::new(address, 0)).map_err(Closed::because)?;
        let number = self.next;
        waiter.add(&socket, number).map_err(Closed::because)?;
        self.next += 1;
        self.sockets.insert(number, (flow, socket));
        self.flows.entry(flow).or_default()[family] = Some(number);
        Ok(number)
    }

    fn gone(&mut self, flow: Flow) {
        for number in self.flows.remove(&flow).into_iter().flatten().flatten() {
            self.sockets.remove(&number);
        }
    }
}

impl Role for ExitRole {
    type Command = ExitCommand;
    type Core = Exit;

    fn core(&self) -> &Exit {
        &self.core
    }

    fn core_mut(&mut self) -> &mut Exit {
        &mut self.core
    }

    fn readable(&mut self, now: Now, number: u64, share: usize, out: &mut Outbox) {
        let Some((flow, socket)) = self.sockets.get(&number) else { return };
        for _ in 0..share {
            let Some((from, payload)) = udp::receive_one(socket, &mut self.buffer) else { return };
            let _ = self.core.from_outside(now, *flow, from, payload, out);
        }
    }

    fn command(&mut self, now: Now, command: ExitCommand, _: &Waiter, out: &mut Outbox) {
        match command {
            ExitCommand::Resolved { question, answer } => {
                self.core.resolved(now, question, &answer, out);
            }
            ExitCommand::Policy(policy) => self.core.set_policy(policy),
        }
    }

    fn perform(&mut self, _: Now, effect: &Effect, out: &Outbox, waiter: &Waiter) {
        match effect {
            Effect::Outside { flow, to, bytes } => {
                self.outside(*flow, *to, out.bytes(bytes), waiter);
            }
            Effect::Resolve { question, name } => {
                if self.questions.try_send((*question, name.clone())).is_err() {
                    self.lost.add(Lost::NamesWaiting, 1);
                    self.unasked.push(*question);
                }
            }
            Effect::Gone { flow } => self.gone(*flow),
            Effect::Send { .. } | Effect::Deliver { .. } | Effect::Notice { .. } => {}
        }
    }

    fn settle(&mut self, now: Now, out: &mut Outbox) {
        for flow in self.without_socket.drain(..) {
            self.core.no_socket(now, flow, out);
        }
        for question in self.unasked.drain(..) {
            self.core.resolved(now, question, &[], out);
        }
    }

    fn upkeep(&mut self, _: Now, _: &mut Outbox) {}

    fn lost(&self) -> &LostCounts {
        &self.lost
    }

    fn sizes(&self) -> Sizes {
        Sizes { sockets: self.sockets.len() as u64, ..Sizes::default() }
    }
}

/// Why there is no socket.
enum Closed {
    /// This machine or this exit does not speak that family.
    NoRoute,
    /// The limit on sockets, ours or the system's.
    Full,
}

impl Closed {
    fn because(why: io::Error) -> Self {
        match why.kind() {
            io::ErrorKind::AddrNotAvailable => Closed::NoRoute,
            _ if why.raw_os_error() == Some(Errno::AFNOSUPPORT.raw_os_error()) => Closed::NoRoute,
            _ => Closed::Full,
        }
    }
}
