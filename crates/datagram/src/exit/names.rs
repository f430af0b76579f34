//! Names: looked up by the shell, off the data path, and remembered per channel only.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use mixing::time::{Now, Time};

use super::{
    Asked, Channel, Exit, Flow, NAME_FOR, NAMES_PER_CHANNEL, Name, QUESTION_FOR, Question,
    WAITING_PER_NAME,
};
use crate::fragment::Room;
use crate::outbox::{Dropped, Effect, Outbox};

/// Datagrams that wait for a name, with their ports.
pub(super) type Waiting = VecDeque<(u16, Vec<u8>)>;

/// What a waiting datagram holds of the room; empty ones are not free.
fn held(payload: &[u8]) -> usize {
    payload.len() + size_of::<(u16, Vec<u8>)>()
}

impl Channel {
    fn give_back(&mut self, waiting: &Waiting, room: &mut Room) {
        let bytes = waiting.iter().map(|(_, payload)| held(payload)).sum();
        self.named -= bytes;
        room.give_back(bytes);
    }

    /// Forgets all names, at the end of the channel.
    pub(super) fn forget_names(&mut self, room: &mut Room) {
        self.names.clear();
        room.give_back(std::mem::take(&mut self.named));
    }
}

impl Exit {
    pub(super) fn leave_by_name(
        &mut self,
        now: Now,
        flow: Flow,
        name: String,
        port: u16,
        payload: &[u8],
        out: &mut Outbox,
    ) -> Result<(), Dropped> {
        let channel = self.channels.get_mut(flow.0).ok_or(Dropped::UnknownFlow)?;
        let bytes = held(payload);
        let fresh = |since: Time, time| now.time - since < time;
        match channel.names.get_mut(&name) {
            Some(Name::Known { address, since }) if fresh(*since, NAME_FOR) => {
                let address = address.ok_or(Dropped::UnknownName)?;
                return self.leave_to(now, flow, SocketAddr::new(address, port), payload, out);
            }
            Some(Name::Asked { waiting, since }) if fresh(*since, QUESTION_FOR) => {
                if waiting.len() >= WAITING_PER_NAME || !self.room.take(channel.named, bytes) {
                    return Err(Dropped::NamesFull);
                }
                channel.named += bytes;
                waiting.push_back((port, payload.to_vec()));
                return Ok(());
            }
            _ => {}
        }
        let asked = Asked { flow, name: name.clone(), since: now.time };
        if !self.room.take(channel.named, bytes) {
            return Err(Dropped::NamesFull);
        }
        let Ok(question) = self.questions.insert(asked) else {
            self.room.give_back(bytes);
            return Err(Dropped::NamesFull);
        };
        channel.named += bytes;
        if channel.names.len() >= NAMES_PER_CHANNEL {
            let since = |name: &Name| match name {
                Name::Asked { since, .. } | Name::Known { since, .. } => *since,
            };
            let oldest = channel.names.iter().min_by_key(|(_, known)| since(known));
            let oldest = oldest.expect("the map is full").0.clone();
            if let Some(Name::Asked { waiting, .. }) = channel.names.remove(&oldest) {
                channel.give_back(&waiting, &mut self.room);
                self.figures.drop_many(Dropped::NamesFull, waiting.len() as u64);
            }
        }
        let waiting = VecDeque::from([(port, payload.to_vec())]);
        let asked = Name::Asked { waiting, since: now.time };
        // A question that was never answered: what waited for it waited long enough.
        if let Some(Name::Asked { waiting, .. }) = channel.names.insert(name.clone(), asked) {
            channel.give_back(&waiting, &mut self.room);
            self.figures.drop_many(Dropped::UnknownName, waiting.len() as u64);
        }
        out.push(Effect::Resolve { question: Question(question), name });
        Ok(())
    }

    /// Takes the answer to a question: all addresses of the name, none if it has none. The first
    /// that the policy permits is used.
    pub fn resolved(&mut self, now: Now, question: Question, answer: &[IpAddr], out: &mut Outbox) {
        let Some(asked) = self.questions.remove(question.0) else { return };
        let Some(channel) = self.channels.get_mut(asked.flow.0) else { return };
        // The port does not matter for the choice among a name's addresses, but 0 is never served.
        let permitted = |address: &&IpAddr| {
            self.policy.permits(&self.neighbours.network, SocketAddr::new(**address, 1))
        };
        let address = answer.iter().find(permitted).or(answer.first()).copied();
        let known = Name::Known { address, since: now.time };
        let before = channel.names.insert(asked.name, known);
        let Some(Name::Asked { waiting, .. }) = before else { return };
        channel.give_back(&waiting, &mut self.room);
        for (port, payload) in waiting {
            let left = match address {
                Some(address) => {
                    let to = SocketAddr::new(address, port);
                    self.leave_to(now, asked.flow, to, &payload, out)
                }
                None => Err(Dropped::UnknownName),
            };
            if let Err(dropped) = left {
                self.figures.drop(dropped);
            }
        }
    }
}
