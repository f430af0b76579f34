//! Asking every listed node for its key over UDP, from outside any chain.
//!
//! ```text
//! each round   key requests as long as an opening ───►        until a signed list came
//!              one as long as the largest cell    ───►        until that came back as long
//!              from the third round on, lengths in between ─► what does the path carry?
//! ```
//!
//! The sockets are those of links: cells are not fragmented, so what comes back as long as a cell
//! proves that cells pass. What answers without the node's signature is told apart from silence.

use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use datagram::keys::{Announced, Question, Token};
use datagram::{Dropped, Network, wire};
use mixing::Chance;
use mixing::time::Time;

use crate::clock::Clock;
use crate::drive::wait::{Ready, Waiter};
use crate::udp::{Inbox, LinkSocket};
use crate::{Error, key};

/// What was learned of one node.
#[derive(Clone, Debug, Default)]
pub struct Finding {
    /// What it signed.
    pub announced: Option<Announced>,
    /// Something answered that is not signed by the listed identity.
    pub unsigned: bool,
    /// The shortest time between a question and its answer.
    pub round_trip: Option<Duration>,
    /// The longest datagram that went there and came back; 0 when none did.
    pub carried: usize,
    /// This machine could not send it anything.
    pub unsent: bool,
}

impl Finding {
    fn settled(&self, needed: usize) -> bool {
        self.announced.is_some() && self.carried >= needed
    }
}

/// An asking under way.
pub struct Survey<'a> {
    network: &'a Network,
    sockets: [Option<LinkSocket>; 2],
    waiter: Waiter,
    clock: Clock,
    chance: Chance,
    asked: HashMap<Token, Asked>,
    findings: Vec<Finding>,
}

struct Asked {
    node: usize,
    at: Time,
    question: Question,
}

impl<'a> Survey<'a> {
    /// Nobody was asked yet.
    ///
    /// # Errors
    /// When the system has no randomness or no epoll.
    pub fn new(network: &'a Network, clock: Clock) -> Result<Self, Error> {
        let waiter = Waiter::new()?;
        let mut sockets = [None, None];
        let any: [SocketAddr; 2] =
            [(Ipv4Addr::UNSPECIFIED, 0).into(), (Ipv6Addr::UNSPECIFIED, 0).into()];
        for ((number, any), place) in (0..).zip(any).zip(&mut sockets) {
            // A machine without a family says so about each node of that family.
            let Ok(socket) = LinkSocket::bind(any) else { continue };
            waiter.add(&socket, number).map_err(|why| Error::system("epoll", why))?;
            *place = Some(socket);
        }
        let findings = vec![Finding::default(); network.nodes.len()];
        let chance = Chance::new(key::random()?);
        let asked = HashMap::new();
        Ok(Survey { network, sockets, waiter, clock, chance, asked, findings })
    }

    /// Asks all nodes, waits at most `patience`, and says what was learned of each, in the order
    /// of the list. `progress` is told how many have nothing left to say.
    pub fn run(mut self, patience: Duration, progress: impl Fn(usize)) -> Vec<Finding> {
        let (mut ready, mut inbox) = (Ready::new(), Inbox::new());
        for round in 0..ROUNDS {
            for node in 0..self.findings.len() {
                if !self.findings[node].settled(self.needed()) {
                    self.ask(node, round);
                }
            }
            let end = self.clock.now().time + patience / ROUNDS;
            loop {
                let left = self.findings.iter().filter(|f| !f.settled(self.needed())).count();
                progress(self.findings.len() - left);
                let now = self.clock.now().time;
                if left == 0 {
                    return self.findings;
                }
                if now >= end {
                    break;
                }
                self.waiter.wait(Some(end - now), &mut ready);
                for &number in ready.numbers() {
                    self.read(number, &mut inbox);
                }
            }
        }
        self.findings
    }

    /// The length of the largest cell of the network.
    fn needed(&self) -> usize {
        self.network.large.cell_size
    }

    fn ask(&mut self, node: usize, round: u32) {
        let (to, of) = (self.network.nodes[node].address, self.network.nodes[node].identity);
        let token = self.chance.bytes();
        let question = Question::new(of, token);
        let finding = &self.findings[node];
        let mut requests = Vec::new();
        if finding.announced.is_none() {
            requests.extend((0..wire::KEY_PIECES).map(|piece| (piece, wire::OPENING)));
        }
        if finding.carried < self.needed() {
            requests.push((0, self.needed()));
            if round >= NARROW_FROM && finding.carried > 0 {
                let lengths = (finding.carried + STEP..self.needed()).step_by(STEP);
                requests.extend(lengths.map(|length| (0, length)));
            }
        }
        let at = self.clock.now().time;
        let mut sent = false;
        for (piece, length) in requests {
            let request = question.request(piece, length);
            let socket = &self.sockets[usize::from(to.is_ipv6())];
            sent |= socket.as_ref().is_some_and(|s| s.send(to, request.len(), &request) == 0);
        }
        self.findings[node].unsent = !sent;
        self.asked.insert(token, Asked { node, at, question });
    }

    fn read(&mut self, number: u64, inbox: &mut Inbox) {
        let Some(Some(socket)) = self.sockets.get(number as usize) else { return };
        if !socket.receive(inbox) {
            return;
        }
        let now = self.clock.now().time;
        let Survey { network, asked, findings, .. } = self;
        inbox.each(|_, datagram| {
            let asked = Question::token_of(datagram).and_then(|token| asked.get_mut(&token));
            let Some(Asked { node, at, question }) = asked else { return };
            if question.answer(datagram).is_err() {
                return;
            }
            let finding = &mut findings[*node];
            // A piece alone answers a request as long as an opening, which so went one way.
            finding.carried = finding.carried.max(datagram.len().max(wire::OPENING));
            let round_trip = now - *at;
            finding.round_trip = Some(finding.round_trip.map_or(round_trip, |r| r.min(round_trip)));
            match question.announced(network) {
                Some(Ok(announced)) => finding.announced = Some(announced),
                Some(Err(Dropped::BadKeyList)) => finding.unsigned = true,
                Some(Err(_)) | None => {}
            }
        });
    }
}

const ROUNDS: u32 = 6;
/// The first round that asks for lengths in between: a lost datagram is no narrow path.
const NARROW_FROM: u32 = 2;
/// What the lengths in between are apart: tunnels' sizes are multiples of it.
const STEP: usize = 4;
