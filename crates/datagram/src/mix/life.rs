//! The life of a channel at a mix.
//!
//! ```text
//! set_up ─► pool of set-ups ─► ask ─► confirmed ─► cells pass ─► end
//! ```
//!
//! However it ends, the client hears why (unless it was the client's wish) as the channel's last
//! cell, and the hops ahead are told to close.

use std::time::Duration;

use mixing::keys::Identity;
use mixing::time::{Now, Time};

use super::{Ahead, Channel, Mix, SET_UPS_WAITING_MAX, SetUp};
use crate::channel::WordKey;
use crate::lane::{Direction, Half, HalfKey, Way};
use crate::link::Pointer;
use crate::message::{Message, Refusal};
use crate::network::{Class, Role};
use crate::outbox::Dropped;
use crate::parcel::Parcel;
use crate::setup;
use crate::share::Account;
use crate::slots::Id;
use crate::wire::LAST_SEQUENCE;

impl Mix {
    pub(super) fn set_up(
        &mut self,
        now: Now,
        link: Id,
        backward: Id,
        envelope: &[u8],
    ) -> Result<(), Dropped> {
        let keyring = self.neighbours.keyring().expect("a mix has one");
        let found = setup::open(keyring, envelope).map_err(|(dropped, refusal)| {
            if let Some(reason) = refusal {
                self.neighbours.say(now, link, &Message::Refused { backward, reason });
            }
            dropped
        })?;
        let class = found.layer.class;
        let next = found.layer.next.filter(|next| self.leads_on(next));
        let word = found.keys.word;
        let Some(next) = next else {
            self.say_last(now, class, (link, backward), None, &word, Refusal::BadSetUp);
            return Err(Dropped::BadSetUp);
        };
        let Some(account) = self.neighbours.room_for_channel(link, self.channels.len()) else {
            self.say_last(now, class, (link, backward), None, &word, Refusal::Overloaded);
            return Err(Dropped::ChannelsFull);
        };
        // The ids are known once the table has given them, so the channel is made in two steps.
        let [forward_lane, backward_lane] = &mut self.lanes[class.index()];
        let forward = Half::new(HalfKey::Forward(found.keys.forward), link, None, account);
        let back = Some((link, backward));
        let back_half = Half::new(HalfKey::Backward(found.keys.backward), link, back, account);
        let halves = [forward_lane.halves.insert(forward), backward_lane.halves.insert(back_half)];
        let [Ok(forward), Ok(back_half)] = halves else { unreachable!("as many as channels") };
        let pointer = Pointer { class, direction: Direction::Forward, half: forward };
        let forward_id = self.neighbours.link_mut(link).map(|link| link.channels.insert(pointer));
        let Some(Ok(forward_id)) = forward_id else {
            self.lanes[class.index()][0].end(forward);
            self.lanes[class.index()][1].end(back_half);
            self.say_last(now, class, (link, backward), None, &word, Refusal::Overloaded);
            return Err(Dropped::ChannelsFull);
        };
        let channel = Channel {
            class,
            opened: now.time,
            ends: now.time + found.layer.lifetime.duration(),
            back: (link, backward),
            account,
            forward_id,
            halves: [forward, back_half],
            ahead: Ahead::Nothing,
            word,
            confirm: found.keys.confirm,
        };
        let Ok(id) = self.channels.insert(channel) else { unreachable!("looked at above") };
        for (lane, half) in self.lanes[class.index()].iter_mut().zip([forward, back_half]) {
            lane.halves.get_mut(half).expect("inserted above").channel = id;
        }
        self.neighbours.channel_began(account);
        self.figures.channels = self.channels.len() as u64;
        let set_up = SetUp { channel: id, next, envelope: found.rest };
        let label = u64::from(id.to_wire());
        if self.set_ups.insert(now, label, set_up, &mut self.chance).is_err() {
            self.end(now, id, Some(Refusal::Overloaded));
            return Err(Dropped::ChannelsFull);
        }
        Ok(())
    }

    /// Whether a chain may go on from here to this node: the next tier, or an exit.
    pub(super) fn leads_on(&self, next: &Identity) -> bool {
        self.neighbours.network.node(next).is_some_and(|node| match node.role {
            Role::Mix(tier) => tier.get() == self.tier + 1,
            Role::Exit => true,
        })
    }

    /// Asks the next hop for a channel, now or when there is a link to it.
    pub(super) fn ask(&mut self, now: Now, set_up: SetUp) {
        // The list may have changed since the set-up came.
        if !self.leads_on(&set_up.next) {
            self.end(now, set_up.channel, Some(Refusal::NextUnreachable));
            return;
        }
        let Some(channel) = self.channels.get_mut(set_up.channel) else { return };
        let (class, half) = (channel.class, channel.halves[Direction::Backward as usize]);
        let Some(link) = self.neighbours.link_to(now, &set_up.next) else {
            let waiting = self.unlinked.entry(set_up.next).or_default();
            if waiting.len() < SET_UPS_WAITING_MAX {
                waiting.push(set_up);
            } else {
                self.end(now, set_up.channel, Some(Refusal::NextUnreachable));
            }
            return;
        };
        let pointer = Pointer { class, direction: Direction::Backward, half };
        let room = self.neighbours.link_mut(link).map(|link| link.channels.insert(pointer));
        let Some(Ok(backward)) = room else {
            self.end(now, set_up.channel, Some(Refusal::Overloaded));
            return;
        };
        channel.ahead = Ahead::Asked(link, backward);
        let lane = &mut self.lanes[class.index()][Direction::Backward as usize];
        lane.halves.get_mut(half).expect("lives as long as its channel").from = link;
        let parcel = Parcel::SetUp { backward, envelope: set_up.envelope };
        if !self.neighbours.send(now, link, parcel) {
            self.end(now, set_up.channel, Some(Refusal::Overloaded));
        }
    }

    pub(super) fn confirmed(
        &mut self,
        now: Now,
        link: Id,
        pointer: Pointer,
        forward: Id,
        proof: &[u8; 16],
    ) -> Result<(), Dropped> {
        let id = self.channel_of(pointer).ok_or(Dropped::UnknownChannel)?;
        let channel = self.channels.get_mut(id).ok_or(Dropped::UnknownChannel)?;
        let (asked, backward) = match channel.ahead {
            Ahead::Asked(asked, backward) => (asked, backward),
            // Said again, because the first cell of the channel was slower.
            Ahead::Open(open, _, known) if (open, known) == (link, forward) => return Ok(()),
            Ahead::Nothing | Ahead::Open(..) => return Err(Dropped::BadControl),
        };
        debug_assert_eq!(asked, link, "ids are given out per link");
        channel.ahead = Ahead::Open(link, backward, forward);
        let (class, half) = (channel.class, channel.halves[Direction::Forward as usize]);
        let ((back, theirs), account) = (channel.back, channel.account);
        let message = Message::Confirm {
            backward: theirs,
            forward: channel.forward_id,
            proof: channel.confirm.proof(proof),
        };
        let lane = &mut self.lanes[class.index()][Direction::Forward as usize];
        lane.halves.get_mut(half).expect("lives as long as its channel").to = Some((link, forward));
        self.figures.channels_opened += 1;
        self.repeats.said(now.time, id, message.clone());
        self.confirm(now, Way { link: back, from: link, account }, id, message)
    }

    /// Messages of the link are cells of class large, and wait among those.
    fn confirm(
        &mut self,
        now: Now,
        way: Way,
        channel: Id,
        message: Message<'static>,
    ) -> Result<(), Dropped> {
        let lane = &mut self.lanes[Class::Large.index()][Direction::Backward as usize];
        lane.insert_message(now, way, channel, message, &mut self.chance)
    }

    /// Says confirmations again whose channel has not been used.
    pub(super) fn confirm_again(&mut self, now: Now) {
        let unused = |id| {
            self.channels.get(id).is_some_and(|channel| {
                let lane = &self.lanes[channel.class.index()][Direction::Forward as usize];
                let half = lane.halves.get(channel.halves[Direction::Forward as usize]);
                half.is_some_and(|half| half.last.is_none())
            })
        };
        for (id, message) in self.repeats.due(now.time, unused) {
            let channel = self.channels.get(id).expect("it is unused, so it lives");
            let Ahead::Open(ahead, ..) = channel.ahead else { continue };
            let way = Way { link: channel.back.0, from: ahead, account: channel.account };
            if let Err(dropped) = self.confirm(now, way, id, message) {
                self.figures.drop(dropped);
            }
        }
    }

    pub(super) fn channel_of(&self, pointer: Pointer) -> Option<Id> {
        let lane = &self.lanes[pointer.class.index()][pointer.direction as usize];
        lane.halves.get(pointer.half).map(|half| half.channel)
    }

    pub(super) fn end_of(&mut self, now: Now, pointer: Pointer, reason: Option<Refusal>) {
        if let Some(channel) = self.channel_of(pointer) {
            self.end(now, channel, reason);
        }
    }

    /// Ends a channel: tells the client why, unless it was the client's wish, and the hops ahead.
    pub(super) fn end(&mut self, now: Now, id: Id, reason: Option<Refusal>) {
        let Some(channel) = self.remove(id) else { return };
        if let Some(reason) = reason {
            self.say_last(now, channel.class, channel.back, Some(id), &channel.word, reason);
        }
        if let Ahead::Open(link, _, forward) = channel.ahead {
            let lane = &mut self.lanes[Class::Large.index()][Direction::Forward as usize];
            let message = Message::Close { channel: forward };
            let way = Way { link, from: channel.back.0, account: channel.account };
            if let Err(dropped) = lane.insert_message(now, way, id, message, &mut self.chance) {
                self.figures.drop(dropped);
            }
        }
    }

    pub(super) fn remove(&mut self, id: Id) -> Option<Channel> {
        let channel = self.channels.remove(id)?;
        for (lane, half) in self.lanes[channel.class.index()].iter_mut().zip(channel.halves) {
            lane.end(half);
        }
        if let Some(link) = self.neighbours.link_mut(channel.back.0) {
            link.channels.remove(channel.forward_id);
        }
        if let Ahead::Asked(link, backward) | Ahead::Open(link, backward, _) = channel.ahead
            && let Some(link) = self.neighbours.link_mut(link)
        {
            link.channels.remove(backward);
        }
        self.neighbours.channel_ended(channel.account);
        self.figures.channels = self.channels.len() as u64;
        self.figures.channels_ended += 1;
        Some(channel)
    }

    /// A hop's own last word: a backward cell like any other, under the word key.
    pub(super) fn say_last(
        &mut self,
        now: Now,
        class: Class,
        (link, theirs): (Id, Id),
        channel: Option<Id>,
        word: &WordKey,
        reason: Refusal,
    ) {
        // Behind the channel's data and in its name; words of set-ups that became no channel are
        // no crowd, however many there are.
        let label = channel.map_or(1 << 32 | u64::from(link.to_wire()), |id| id.to_wire().into());
        let account = self.neighbours.link(link).map_or(Account::OURS, |link| link.account);
        let lane = &mut self.lanes[class.index()][Direction::Backward as usize];
        let said = lane.insert_cell(
            now,
            Way { link, from: link, account },
            label,
            (theirs, LAST_SEQUENCE),
            |body| word.seal(reason, body),
            &mut self.chance,
        );
        if let Err(dropped) = said {
            self.figures.drop(dropped);
        }
    }

    /// Ends channels that were never used, are quiet, or too old; rests windows.
    pub(super) fn sweep(&mut self, now: Now) {
        let over: Vec<Id> = self
            .channels
            .iter()
            .filter(|(_, channel)| self.is_over(channel, now.time))
            .map(|(id, _)| id)
            .collect();
        for id in over {
            self.end(now, id, Some(Refusal::Expired));
        }
        for lane in self.lanes.iter_mut().flatten() {
            // Longer than a cell can wait in a chain of five pools, with room for slow links.
            lane.rest(now.time, Duration::from_secs(5));
        }
    }

    pub(super) fn is_over(&self, channel: &Channel, now: Time) -> bool {
        let lanes = &self.lanes[channel.class.index()];
        let last = lanes.iter().zip(channel.halves);
        let last = last.filter_map(|(lane, half)| lane.halves.get(half)?.last).max();
        let quiet = match last {
            Some(last) => now - last >= self.limits.channel_idle,
            None => now - channel.opened >= self.limits.channel_unused,
        };
        quiet || now >= channel.ends
    }
}
