//! One core by itself: a mix, an exit or an entry, with all that it sends and wants done kept.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use datagram::{
    Association, ClassSettings, Destination, Dropped, Effect, Entry, Exit, Figures, Flow, Limits,
    Machine, Mix, Network, Node as Entered, Outbox, Policy, Question, Role, Tier,
};
use mixing::envelope::EnvelopePublic;
use mixing::keys::Identity;
use mixing::{Chance, Date, Now, Strategy, Time};
use zerocopy::FromBytes;

use super::peer::{self, Listed, Peer, identity_key, key_request, prelude};

/// The network's name.
pub(crate) const NETWORK: &str = "fuzz";
/// S₀ of the classes.
pub(crate) const LARGE: usize = datagram::wire::LARGE;
pub(crate) const SMALL: usize = datagram::wire::SMALL;
/// The numbers of the mix and the exit that every network here has.
pub(crate) const MIX: u8 = 1;
pub(crate) const EXIT: u8 = 2;

/// Where a node of this number, or a client, is.
pub(crate) fn address(number: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, number], 700))
}

/// One mix of tier 1 and one exit.
pub(crate) fn network(strategy: Strategy) -> Network {
    let listed = |number: u8, role| Entered {
        name: format!("node-{number}"),
        identity: identity_key(number).identity(),
        role,
        address: address(number),
    };
    Network {
        name: NETWORK.into(),
        small: ClassSettings { strategy: strategy.clone(), ..ClassSettings::small() },
        large: ClassSettings { strategy, ..ClassSettings::large() },
        nodes: vec![listed(MIX, Role::Mix(Tier::FIRST)), listed(EXIT, Role::Exit)],
    }
}

pub(crate) enum Core {
    Mix(Box<Mix>),
    Exit(Box<Exit>),
    Entry(Box<Entry>),
}

impl Deref for Core {
    type Target = dyn Machine;

    fn deref(&self) -> &Self::Target {
        match self {
            Core::Entry(entry) => &**entry,
            Core::Mix(mix) => &**mix,
            Core::Exit(exit) => &**exit,
        }
    }
}

impl DerefMut for Core {
    fn deref_mut(&mut self) -> &mut Self::Target {
        match self {
            Core::Entry(entry) => &mut **entry,
            Core::Mix(mix) => &mut **mix,
            Core::Exit(exit) => &mut **exit,
        }
    }
}

/// A datagram that a core wanted sent outside.
pub(crate) type Outside = (Flow, SocketAddr, Vec<u8>);

/// A core, and what it did.
pub(crate) struct Node {
    pub(crate) core: Core,
    pub(crate) now: Now,
    out: Outbox,
    /// What it sent to neighbours, oldest first.
    pub(crate) sent: VecDeque<(SocketAddr, Vec<u8>)>,
    pub(crate) outside: VecDeque<Outside>,
    pub(crate) delivered: VecDeque<(Association, SocketAddr, Vec<u8>)>,
    pub(crate) asked: VecDeque<(Question, String)>,
    pub(crate) gone: Vec<Flow>,
    /// How often an input was refused.
    pub(crate) refused: u64,
}

impl Node {
    /// A core of its role in the network.
    pub(crate) fn new(role: Option<u8>, strategy: Strategy, limits: &Limits) -> Self {
        let now = Now { time: Time::from_nanos(1), date: Date::from_secs(1_700_000_000) };
        let (list, limits) = (network(strategy), limits.clone());
        let chance = Chance::new([3; 32]);
        let sound = "a sound list";
        let core = match role {
            None => Core::Entry(Box::new(Entry::new(now, list, limits, chance).expect(sound))),
            Some(MIX) => Core::Mix(Box::new(
                Mix::new(now, list, identity_key(MIX), limits, chance).expect(sound),
            )),
            Some(exit) => {
                let key = identity_key(exit);
                let exit = Exit::new(now, list, key, Policy::default(), limits, chance);
                Core::Exit(Box::new(exit.expect(sound)))
            }
        };
        Node {
            core,
            now,
            out: Outbox::new(),
            sent: VecDeque::new(),
            outside: VecDeque::new(),
            delivered: VecDeque::new(),
            asked: VecDeque::new(),
            gone: Vec::new(),
            refused: 0,
        }
    }

    pub(crate) fn figures(&self) -> &Figures {
        self.core.figures()
    }

    /// All that it counted as dropped.
    pub(crate) fn dropped(&self) -> u64 {
        self.figures().all_dropped().map(|(_, count)| count).sum()
    }

    /// Gives it a datagram from the network. What is refused is counted once.
    pub(crate) fn give(&mut self, from: SocketAddr, bytes: &[u8]) -> Result<(), Dropped> {
        let mut bytes = bytes.to_vec();
        let given = self.core.receive(self.now, from, &mut bytes, &mut self.out);
        self.perform();
        self.refused += u64::from(given.is_err());
        given
    }

    /// Gives it what a peer sent, and says that it was well.
    pub(crate) fn hears(&mut self, peer: &Peer, cells: &[Vec<u8>]) {
        for cell in cells {
            self.give(peer.at, cell).expect("an honest cell");
        }
    }

    pub(crate) fn entry(&mut self, act: impl FnOnce(&mut Entry, Now, &mut Outbox)) {
        let Core::Entry(entry) = &mut self.core else { panic!("it is an entry") };
        act(entry, self.now, &mut self.out);
        self.perform();
    }

    pub(crate) fn exit(&mut self, act: impl FnOnce(&mut Exit, Now, &mut Outbox)) {
        let Core::Exit(exit) = &mut self.core else { panic!("it is an exit") };
        act(exit, self.now, &mut self.out);
        self.perform();
    }

    fn tick(&mut self) {
        self.core.tick(self.now, &mut self.out);
        self.perform();
    }

    /// Lets time pass: the core ticks now, as after a batch of inputs, and whenever it wants to.
    pub(crate) fn pass(&mut self, duration: Duration) {
        let end = self.now.time + duration;
        self.tick();
        let mut at_once = 0;
        while let Some(wake) = self.core.wake_at().filter(|wake| *wake <= end) {
            at_once = if wake > self.now.time { 0 } else { at_once + 1 };
            assert!(at_once < 10, "a core that was woken has something to do");
            self.set_time(wake.max(self.now.time));
            self.tick();
        }
        self.set_time(end);
    }

    fn set_time(&mut self, time: Time) {
        self.now = Now { time, date: self.now.date + (time - self.now.time) };
    }

    /// Ends it, and keeps its last wishes.
    pub(crate) fn shutdown(&mut self) {
        self.core.shutdown(self.now, &mut self.out);
        self.perform();
    }

    fn perform(&mut self) {
        for effect in self.out.effects() {
            let copy = |bytes| self.out.bytes(bytes).to_vec();
            match effect {
                Effect::Send { to, segment, bytes } => {
                    let bytes = self.out.bytes(bytes);
                    assert!(bytes.len().is_multiple_of(*segment), "a run is of whole datagrams");
                    self.sent.extend(bytes.chunks(*segment).map(|cell| (*to, cell.to_vec())));
                }
                Effect::Deliver { association, source, bytes } => {
                    self.delivered.push_back((*association, *source, copy(bytes)));
                }
                Effect::Notice { .. } => {}
                Effect::Outside { flow, to, bytes } => {
                    self.outside.push_back((*flow, *to, copy(bytes)));
                }
                Effect::Resolve { question, name } => {
                    self.asked.push_back((*question, name.clone()));
                }
                Effect::Gone { flow } => self.gone.push(*flow),
            }
        }
        self.out.clear();
    }

    /// Takes what was sent to an address, oldest first.
    pub(crate) fn mail(&mut self, to: SocketAddr) -> Vec<Vec<u8>> {
        let all = std::mem::take(&mut self.sent);
        let (mail, rest): (Vec<_>, VecDeque<_>) = all.into_iter().fold(
            (Vec::new(), VecDeque::new()),
            |(mut mail, mut rest), (at, bytes)| {
                if at == to {
                    mail.push(bytes)
                } else {
                    rest.push_back((at, bytes))
                }
                (mail, rest)
            },
        );
        self.sent = rest;
        mail
    }

    /// Asks it for its key.
    pub(crate) fn key(&mut self, of: &Identity) -> EnvelopePublic {
        let (asker, mut list) = (address(200), Vec::new());
        for piece in 0..2 {
            self.give(asker, &key_request(of, piece, [9; 16])).expect("an honest request");
            let answer = self.mail(asker).remove(0);
            let piece = datagram::wire::KeyPiece::read_from_bytes(&answer).expect("a piece");
            list.extend_from_slice(&piece.bytes);
        }
        let list = datagram::wire::KeyList::read_from_bytes(&list).expect("two pieces");
        EnvelopePublic::from_bytes(&list.key).expect("an honest key")
    }

    /// Opens a link to it: as a client, or as the listed node that is given. It has heard one cell.
    pub(crate) fn link(&mut self, of: u8, by: Option<&Listed>, at: SocketAddr) -> Peer {
        let of = identity_key(of).identity();
        let key = self.key(&of);
        let mut chance = Chance::new([4; 32]);
        let id = 0x7700 + u32::from(by.is_some());
        let head = prelude(datagram::wire::KIND_OPENING, peer::hint(&key));
        let body = |fingerprint: &[u8; 16]| match by {
            Some(by) => peer::proved(&by.identity, &of, id, fingerprint),
            None => peer::unnamed(id),
        };
        let (opening, asked) = peer::opening(&of, &key, head, body, &mut chance);
        self.give(at, &opening).expect("an honest opening");
        let answer = self.mail(at).remove(0);
        let mut peer = asked.answered(at, &answer, u8::from(by.is_some()));
        let probe = peer.control(&[6]);
        self.give(at, &probe).expect("an honest cell");
        self.mail(at);
        peer
    }

    /// Sends for an application, and says how it was taken.
    pub(crate) fn send(
        &mut self,
        association: Association,
        to: &Destination,
        payload: &[u8],
    ) -> Result<(), Dropped> {
        let mut sent = Ok(());
        self.entry(|entry, now, out| sent = entry.send(now, association, to, payload, out));
        self.refused += u64::from(sent.is_err());
        sent
    }
}
