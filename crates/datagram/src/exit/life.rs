//! The life of a channel at the exit: set up and confirmed at once, swept when its time is over.

use std::collections::BTreeMap;
use std::time::Duration;

use mixing::replay::Window;
use mixing::time::Now;

use super::{Channel, Exit, Flow, QUESTION_FOR};
use crate::channel::WordKey;
use crate::fragment::Joiner;
use crate::lane::Direction;
use crate::link::Pointer;
use crate::message::{Message, Refusal};
use crate::network::Class;
use crate::outbox::{Dropped, Effect, Outbox};
use crate::rate::Rate;
use crate::setup;
use crate::slots::Id;
use crate::wire::{self, CELL_OVERHEAD, LAST_SEQUENCE, TAG};

impl Exit {
    pub(super) fn set_up(
        &mut self,
        now: Now,
        link: Id,
        backward: Id,
        envelope: &[u8],
        out: &mut Outbox,
    ) -> Result<(), Dropped> {
        let keyring = self.neighbours.keyring().expect("an exit has one");
        let found = setup::open(keyring, envelope).map_err(|(dropped, refusal)| {
            if let Some(reason) = refusal {
                self.neighbours.say(now, link, &Message::Refused { backward, reason });
            }
            dropped
        })?;
        let (class, word) = (found.layer.class, found.keys.word);
        let back = (link, backward);
        if found.layer.next.is_some() {
            self.say_last(now, class, back, &word, Refusal::BadSetUp, out);
            return Err(Dropped::BadSetUp);
        }
        let pointer = |half| Pointer { class, direction: Direction::Forward, half };
        let account = self.neighbours.room_for_channel(link, self.channels.len());
        let forward_id = self
            .neighbours
            .link_mut(link)
            .filter(|_| account.is_some())
            .and_then(|link| link.channels.insert(pointer(Id::ZERO)).ok());
        let (Some(forward_id), Some(account)) = (forward_id, account) else {
            self.say_last(now, class, back, &word, Refusal::Overloaded, out);
            return Err(Dropped::ChannelsFull);
        };
        let (time, limits) = (now.time, &self.limits);
        let channel = Channel {
            class,
            opened: time,
            ends: time + found.layer.lifetime.duration(),
            last: None,
            back,
            account,
            forward_id,
            forward: found.keys.forward,
            backward: found.keys.backward,
            word,
            window: Window::default(),
            joiner: Joiner::default(),
            next: 0,
            correspondents: BTreeMap::new(),
            names: BTreeMap::new(),
            named: 0,
            out: Rate::new(limits.bytes_per_second, time),
            unanswered: Rate::new(limits.unanswered_bytes_per_second, time),
            back_rate: Rate::new(limits.bytes_per_second, time),
        };
        let Ok(id) = self.channels.insert(channel) else { unreachable!("looked at above") };
        let link_of_channel = self.neighbours.link_mut(link).expect("looked up above");
        *link_of_channel.channels.get_mut(forward_id).expect("inserted above") = pointer(id);
        let proof = found.keys.confirm.proof(&[0; 16]);
        let confirm = Message::Confirm { backward, forward: forward_id, proof };
        self.neighbours.say(now, link, &confirm);
        self.repeats.said(time, id, confirm);
        self.neighbours.channel_began(account);
        self.figures.channels = self.channels.len() as u64;
        self.figures.channels_opened += 1;
        Ok(())
    }

    /// Ends a channel and tells the client why, unless it was the client's wish.
    pub(super) fn end(&mut self, now: Now, flow: Flow, reason: Option<Refusal>, out: &mut Outbox) {
        let Some(mut channel) = self.channels.remove(flow.0) else { return };
        channel.joiner.clear(&mut self.room);
        channel.forget_names(&mut self.room);
        channel.window.rest(&mut self.stores[channel.class.index()]);
        if let Some(link) = self.neighbours.link_mut(channel.back.0) {
            link.channels.remove(channel.forward_id);
        }
        if let Some(reason) = reason {
            self.say_last(now, channel.class, channel.back, &channel.word, reason, out);
        }
        out.push(Effect::Gone { flow });
        self.neighbours.channel_ended(channel.account);
        self.figures.channels = self.channels.len() as u64;
        self.figures.channels_ended += 1;
    }

    pub(super) fn say_last(
        &mut self,
        now: Now,
        class: Class,
        (link, theirs): (Id, Id),
        word: &WordKey,
        reason: Refusal,
        out: &mut Outbox,
    ) {
        let s0 = self.neighbours.network.class(class).cell_size;
        let Some(link) = self.neighbours.link_mut(link) else { return };
        let cell = out.datagram(link.address, wire::cell_size(s0, link.leaving));
        word.seal(reason, &mut cell[CELL_OVERHEAD - TAG..]);
        link.encipher(cell, theirs, LAST_SEQUENCE);
        link.sent(now.time);
    }

    pub(super) fn sweep(&mut self, now: Now, out: &mut Outbox) {
        let time = now.time;
        let over = |channel: &Channel| {
            let quiet = match channel.last {
                Some(last) => time - last >= self.limits.channel_idle,
                None => time - channel.opened >= self.limits.channel_unused,
            };
            quiet || time >= channel.ends
        };
        let over: Vec<Id> =
            self.channels.iter().filter(|(_, c)| over(c)).map(|(id, _)| id).collect();
        for id in over {
            self.end(now, Flow(id), Some(Refusal::Expired), out);
        }
        let (window, room, stores) = (self.limits.reply_window, &mut self.room, &mut self.stores);
        for (_, channel) in self.channels.iter_mut() {
            let late = channel.joiner.expire(time, room);
            self.figures.drop_many(Dropped::FragmentExpired, late);
            channel.correspondents.retain(|_, known| time - known.written < window);
            if channel.last.is_none_or(|last| time - last >= Duration::from_secs(5)) {
                channel.window.rest(&mut stores[channel.class.index()]);
            }
        }
        // The shell answers every question; this is for one that it lost.
        let old: Vec<Id> = self
            .questions
            .iter()
            .filter(|(_, asked)| time - asked.since >= QUESTION_FOR * 2)
            .map(|(id, _)| id)
            .collect();
        for id in old {
            self.questions.remove(id);
        }
    }
}
