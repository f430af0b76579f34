//! What is not of the chain: applications in front of entries, destinations behind exits.

use std::net::SocketAddr;
use std::time::Duration;

use datagram::{Association, Flow, Question};
use mixing::Time;

use super::World;
use crate::chain::checks::delivery;
use crate::chain::log::Happened;
use crate::chain::queue::Event;
use crate::chain::users::{Label, Progress, address_of, resolved};

/// How long a destination takes to answer, and a question about a name.
const ANSWER_AFTER: Duration = Duration::from_millis(15);

impl World {
    /// An application opens its door, or sends its next datagram.
    pub(super) fn turn(&mut self, user: usize) {
        if self.now >= Time::ZERO + self.plan.ends {
            return;
        }
        self.queue.plan(self.now + self.plan.users[user].every, Event::Turn(user as u16));
        let entry = self.plan.listed() + self.plan.users[user].entry;
        let Some(association) = self.door(entry, user) else { return };
        let number = self.accounts[user].sent.len() as u32;
        let label = Label { user, number, reply: false };
        let payload = label.payload(&self.plan);
        let destinations = &self.plan.users[user].destinations;
        let to = destinations[number as usize % destinations.len()].clone();
        // Before the entry sees it: it may be there before this function returns.
        let progress = Progress { taken: true, ..Progress::default() };
        self.accounts[user].sent.push((progress, self.now));
        let taken = self.with_core(entry, |core, now, out| {
            let entry = core.entry().expect("users sit at entries");
            entry.send(now, association, &to, &payload, out).is_ok()
        });
        let taken = taken.unwrap_or(false);
        self.accounts[user].sent[number as usize].0.taken = taken;
        self.note(Happened::Turn { user: user as u16, number, taken });
        self.tick(entry);
    }

    /// The association of a user; opens one if there is none and the entry runs.
    fn door(&mut self, entry: usize, user: usize) -> Option<Association> {
        if self.nodes[entry].core.is_none() || self.nodes[entry].stalled > self.now {
            return None;
        }
        if self.doors[user].is_none() {
            let (class, isolation) = (self.plan.users[user].class, self.plan.users[user].isolation);
            let opened = self.with_core(entry, |core, now, _| {
                core.entry().expect("users sit at entries").open(now, class, isolation)
            });
            let association = opened?.ok()?;
            self.doors[user] = Some(association);
            self.owners[entry].insert(association, user);
        }
        self.doors[user]
    }

    /// An application closes.
    pub(super) fn shut(&mut self, user: usize) {
        let entry = self.plan.listed() + self.plan.users[user].entry;
        let Some(association) = self.doors[user].take() else { return };
        self.with_core(entry, |core, now, out| {
            core.entry().expect("users sit at entries").close(now, association, out);
        });
        self.owners[entry].remove(&association);
        self.tick(entry);
    }

    /// An entry hands a reply to an application.
    pub(super) fn deliver(
        &mut self,
        entry: usize,
        association: Association,
        from: SocketAddr,
        payload: &[u8],
    ) {
        // A reply to an application that has just closed is nobody's.
        let Some(user) = self.owners[entry].get(&association).copied() else { return };
        match &mut self.mistake {
            None => self.deliver_one(user, from, payload),
            Some(mistake) => {
                for (user, from, payload) in mistake.delivers(self.now, user, from, payload) {
                    self.deliver_one(user, from, &payload);
                }
            }
        }
    }

    fn deliver_one(&mut self, user: usize, from: SocketAddr, payload: &[u8]) {
        match delivery::answers(&self.plan, &mut self.accounts, user, from, payload) {
            Ok(Label { user, number, .. }) => {
                self.note(Happened::Answered { user: user as u16, number });
            }
            Err(broken) => self.fail(broken),
        }
    }

    /// An exit sends a datagram to a destination.
    pub(super) fn outside(&mut self, exit: usize, flow: Flow, to: SocketAddr, payload: &[u8]) {
        self.sockets.insert((exit, flow));
        match &mut self.mistake {
            None => self.outside_one(exit, flow, to, payload),
            Some(mistake) => {
                for (to, payload) in mistake.leaves(self.now, to, payload) {
                    self.outside_one(exit, flow, to, &payload);
                }
            }
        }
    }

    fn outside_one(&mut self, exit: usize, flow: Flow, to: SocketAddr, payload: &[u8]) {
        match delivery::arrives(&self.plan, &mut self.accounts, to, payload) {
            Ok(Label { user, number, .. }) => {
                self.note(Happened::Outside { user: user as u16, number });
                self.flows.insert((user as u16, number), (exit, flow));
                self.queue.plan(self.now + ANSWER_AFTER, Event::Reply(user as u16, number));
            }
            Err(broken) => self.fail(broken),
        }
    }

    /// A destination's reply reaches the exit's socket.
    pub(super) fn reply(&mut self, user: u16, number: u32) {
        let Some((exit, flow)) = self.flows.remove(&(user, number)) else { return };
        let index = usize::from(user);
        let payload = Label { user: index, number, reply: true }.payload(&self.plan);
        let destinations = &self.plan.users[index].destinations;
        let from = resolved(&destinations[number as usize % destinations.len()]);
        // A socket that was closed meanwhile takes nothing.
        let open = self.sockets.contains(&(exit, flow));
        let taken = open
            && self.with_core(exit, |core, now, out| {
                let exit = core.exit().expect("only exits have sockets");
                exit.from_outside(now, flow, from, &payload, out).is_ok()
            }) == Some(true);
        self.accounts[index].sent[number as usize].0.replied = taken;
        self.note(Happened::Reply { user, number, taken });
        self.tick(exit);
    }

    /// An exit looks a name up.
    pub(super) fn ask(&mut self, exit: usize, question: Question, name: &str) {
        self.questions.push((exit, question, name.to_owned()));
        let number = self.questions.len() - 1;
        self.queue.plan(self.now + ANSWER_AFTER, Event::Answer(number as u32));
    }

    /// The answer reaches the exit, unless that has started again meanwhile.
    pub(super) fn answer(&mut self, number: usize) {
        let (exit, question, name) = self.questions[number].clone();
        self.with_core(exit, |core, now, out| {
            let exit = core.exit().expect("only exits ask");
            exit.resolved(now, question, &[address_of(&name)], out);
        });
        self.tick(exit);
    }

    /// An exit closes a channel's socket.
    pub(super) fn gone(&mut self, exit: usize, flow: Flow) {
        let closes = match &mut self.mistake {
            Some(mistake) => mistake.closes(self.now, exit),
            None => true,
        };
        if closes {
            self.sockets.remove(&(exit, flow));
        }
        self.note(Happened::Gone { node: exit as u16 });
    }
}
