//! How an entry comes by channels: choosing chains, setting up, spares.
//!
//! A spare is a channel that is nobody's yet. It is kept alive by dummies, which only the exit can
//! tell from data, and the next association takes it: an application's start is then no set-up.

use std::collections::BTreeSet;
use std::time::Duration;

use mixing::keys::Identity;
use mixing::replay::Window;
use mixing::time::Now;

use super::{Association, Channel, Entry, Notice, State};
use crate::fragment::Joiner;
use crate::lane::Direction;
use crate::link::Pointer;
use crate::network::Class;
use crate::outbox::{Dropped, Outbox};
use crate::parcel::Parcel;
use crate::setup;
use crate::slots::{Id, Slots};
use crate::wire::FragmentHead;

use super::{
    BEGIN_EVERY, FIRST_MIXES, FURTHER_AFTER, FURTHER_MOST, SET_UP_FOR, SET_UPS_UNDER_WAY,
    SUCCEEDED_FOR,
};

/// A spare sends a dummy at random times up to so far apart.
const DUMMY_EVERY: Duration = Duration::from_secs(100);
/// How long after one was taken the next spare is begun, at the least; twice that at the most.
const SPARE_AFTER: Duration = Duration::from_secs(2);
/// How long after one failed the next spare is begun, at the least; twice that at the most.
pub(super) const SPARE_AFTER_FAILURE: Duration = Duration::from_secs(30);

impl Entry {
    /// Chooses the first mixes to keep links to: those it has, as long as they are listed.
    pub(super) fn choose_first_mixes(&mut self, now: Now) {
        let listed: Vec<Identity> =
            self.neighbours.network.mixes(1).map(|node| node.identity).collect();
        self.first_mixes.retain(|mix| listed.contains(mix));
        self.further.retain(|mix| listed.contains(mix));
        let mut others: Vec<Identity> =
            listed.into_iter().filter(|mix| !self.is_first(mix)).collect();
        self.chance.shuffle(&mut others);
        others.truncate(FIRST_MIXES.saturating_sub(self.first_mixes.len()));
        self.first_mixes.extend(others);
        for mix in self.first_mixes.clone() {
            if self.neighbours.link_to(now, &mix).is_none() {
                self.neighbours.want(now, mix);
            }
        }
    }

    /// Whether a node is one of those that this entry may begin its chains with.
    pub(super) fn is_first(&self, node: &Identity) -> bool {
        self.first_mixes.contains(node) || self.further.contains(node)
    }

    /// Lets a further mix stand in while none of the first ones answers and somebody waits: one
    /// after the other and not many, since who cuts a user off from the first ones chooses, in a
    /// way, who comes next. They go as soon as one of the first is back.
    pub(super) fn tend_first_mixes(&mut self, now: Now) {
        let is_linked = |mix| self.neighbours.is_linked(mix);
        if self.first_mixes.iter().any(is_linked) {
            for mix in std::mem::take(&mut self.further) {
                self.neighbours.leave(&mix);
            }
        }
        let stands_in = self.further.iter().any(|mix| self.neighbours.is_linked(mix));
        let served = stands_in || self.first_mixes.iter().any(|mix| self.neighbours.is_linked(mix));
        if served || self.wanting.is_empty() {
            self.further_at = now.time + FURTHER_AFTER;
        }
        if now.time < self.further_at || self.further.len() >= FURTHER_MOST {
            return;
        }
        self.further_at = now.time + FURTHER_AFTER;
        let listed = self.neighbours.network.mixes(1).map(|node| node.identity);
        let others: Vec<Identity> = listed.filter(|mix| !self.is_first(mix)).collect();
        if let Some(mix) = self.chance.pick(&others).copied() {
            self.further.push(mix);
            self.neighbours.want(now, mix);
        }
    }

    pub(super) fn want(&mut self, now: Now, association: Association) {
        let Some(assoc) = self.associations.get(association.0) else { return };
        if assoc.coming.is_none() && self.wanting.insert(association) {
            let at = assoc.next_try.max(now.time);
            self.begin_at = Some(self.begin_at.map_or(at, |begin| begin.min(at)));
        }
    }

    pub(super) fn begin_wanted(&mut self, now: Now, out: &mut Outbox) {
        let due: Vec<Association> = self.wanting.iter().copied().collect();
        for association in due {
            if self.under_way >= SET_UPS_UNDER_WAY {
                break;
            }
            let assoc = self.associations.get(association.0).expect("wanting associations live");
            if assoc.next_try > now.time {
                continue;
            }
            let (class, isolation) = (assoc.class, assoc.isolation);
            match self.begin(now, association, class, Some(isolation)) {
                Ok(()) => {
                    self.wanting.remove(&association);
                }
                Err(notice) => self.notice(association, notice, out),
            }
        }
        self.begin_at = (!self.wanting.is_empty()).then_some(now.time + BEGIN_EVERY);
    }

    /// Sets a channel up over a fresh chain.
    fn begin(
        &mut self,
        now: Now,
        association: Association,
        class: Class,
        isolation: Option<u64>,
    ) -> Result<(), Notice> {
        // Sealing is dear: first see whether there is room.
        if self.channels.len() >= self.limits.channels {
            return Err(Notice::NoRoom);
        }
        let chain = self.choose(now, isolation)?;
        let link = self.neighbours.link_to(now, &chain[0]).ok_or(Notice::NoFirstMix)?;
        let keys = chain.iter().map(|node| {
            let known = self.neighbours.directory.get(now.time, node);
            (*node, known.expect("chosen among the known").key.clone())
        });
        let keys: Vec<_> = keys.collect();
        let (envelope, hops) = setup::seal(&keys, class, self.lifetime, &mut self.chance);
        let channel = Channel {
            association,
            class,
            isolation,
            chain,
            hops,
            link,
            backward_id: Id::ZERO,
            state: State::Asked { until: now.time + SET_UP_FOR },
            next: 0,
            window: Window::default(),
            joiner: Joiner::default(),
            began: now.time,
            last: now.time,
            dummy_at: now.time,
            ends: now.time + self.lifetime.duration(),
        };
        let Ok(id) = self.channels.insert(channel) else { return Err(Notice::NoRoom) };
        let pointer = Pointer { class, direction: Direction::Backward, half: id };
        let link_to_mix = self.neighbours.link_mut(link).expect("just looked up");
        let Ok(backward) = link_to_mix.channels.insert(pointer) else {
            self.channels.remove(id);
            return Err(Notice::NoFirstMix);
        };
        self.channels.get_mut(id).expect("inserted above").backward_id = backward;
        self.neighbours.send(now, link, Parcel::SetUp { backward, envelope });
        self.under_way += 1;
        self.figures.channels = self.channels.len() as u64;
        if let Some(assoc) = self.associations.get_mut(association.0) {
            assoc.coming = Some(id);
        }
        Ok(())
    }

    /// Chooses a chain: a linked first mix, a mix of every further tier, an exit, all with known
    /// keys; none that lately failed, and none that another isolation uses, while there is a
    /// choice.
    fn choose(&mut self, now: Now, isolation: Option<u64>) -> Result<Vec<Identity>, Notice> {
        const DRAWS: usize = 32;
        // Before anything else, so that the only one with a link is not passed over.
        let neighbours = &mut self.neighbours;
        let mut linked = self.first_mixes.clone();
        linked.retain(|mix| neighbours.link_to(now, mix).is_some());
        if linked.is_empty() {
            linked.clone_from(&self.further);
            linked.retain(|mix| neighbours.link_to(now, mix).is_some());
        }
        if linked.is_empty() {
            return Err(Notice::NoFirstMix);
        }
        let network = &self.neighbours.network;
        let depth = network.depth();
        let usable = |node: &Identity| self.neighbours.directory.get(now.time, node).is_some();
        let well = |node: &Identity| self.avoided.get(node).is_none_or(|until| *until <= now.time);
        let mut tiers: Vec<Vec<Identity>> = vec![linked];
        for tier in 2..=depth {
            tiers.push(network.mixes(tier).map(|node| node.identity).collect());
        }
        tiers.push(network.exits().map(|node| node.identity).collect());
        for nodes in &mut tiers {
            nodes.retain(usable);
            if nodes.iter().any(well) {
                nodes.retain(well);
            }
        }
        let taken = taken(&self.channels, isolation);
        let mut chain = Vec::new();
        for _ in 0..DRAWS {
            let drawn: Option<Vec<Identity>> =
                tiers.iter().map(|nodes| self.chance.pick(nodes).copied()).collect();
            chain = drawn.ok_or(Notice::NoKeys)?;
            if !taken.contains(&chain[..]) {
                break;
            }
        }
        Ok(chain)
    }

    /// The first mix confirms a channel: what waited leaves, or a spare is kept.
    pub(super) fn confirmed(
        &mut self,
        now: Now,
        pointer: Pointer,
        forward: Id,
        proof: &[u8; 16],
        out: &mut Outbox,
    ) -> Result<(), Dropped> {
        let id = pointer.half;
        let channel = self.channels.get_mut(id).ok_or(Dropped::UnknownChannel)?;
        match channel.state {
            State::Asked { .. } => {}
            // Said again, because the first cell of the channel was slower.
            State::Open { forward: known } | State::Succeeded { forward: known, .. }
                if known == forward =>
            {
                return Ok(());
            }
            State::Open { .. } | State::Succeeded { .. } => return Err(Dropped::BadControl),
        }
        let proved =
            channel.hops.iter().rev().fold([0; 16], |behind, hop| hop.confirm.proof(&behind));
        if !mixing::cipher::equal(&proved, proof) {
            return Err(Dropped::ForgedControl);
        }
        channel.state = State::Open { forward };
        self.under_way -= 1;
        self.figures.channels_opened += 1;
        let association = channel.association;
        if association == Association::NOBODY {
            return self.send_dummy(now, id, out);
        }
        let Some(assoc) = self.associations.get_mut(association.0) else {
            self.close_channel(now, id);
            return Ok(());
        };
        assoc.coming = None;
        assoc.tries = 0;
        assoc.noticed = None;
        let former = assoc.current.replace(id);
        assoc.queued = 0;
        let waiting = std::mem::take(&mut assoc.queue);
        if let Some(former) = former.and_then(|former| self.channels.get_mut(former))
            && let State::Open { forward } = former.state
        {
            former.state = State::Succeeded { forward, until: now.time + SUCCEEDED_FOR };
        }
        for waiting in waiting {
            if let Err(dropped) = self.send_over(now, id, &waiting.message, out) {
                self.figures.drop(dropped);
            }
        }
        Ok(())
    }

    // ---- spares

    /// Gives an association a spare channel, if one may be used.
    pub(super) fn take_spare(&mut self, now: Now, association: Association) -> bool {
        let Some(assoc) = self.associations.get_mut(association.0) else { return false };
        let (class, isolation) = (assoc.class, Some(assoc.isolation));
        let taken = taken(&self.channels, isolation);
        let fits = |channel: &Channel| {
            channel.association == Association::NOBODY
                && channel.class == class
                && matches!(channel.state, State::Open { .. })
                && !taken.contains(&channel.chain[..])
        };
        let spare = self.channels.iter().find(|(_, channel)| fits(channel)).map(|(id, _)| id);
        let Some(id) = spare else { return false };
        let channel = self.channels.get_mut(id).expect("found above");
        (channel.association, channel.isolation) = (association, isolation);
        assoc.current = Some(id);
        // Its replacement comes some seconds later, or its set-up would show on the line when an
        // application starts.
        self.rest_spares(now, SPARE_AFTER);
        true
    }

    /// Keeps as many spares as are wanted, and their hops awake.
    pub(super) fn tend_spares(&mut self, now: Now, out: &mut Outbox) {
        let spares = self.channels.iter().filter(|(_, c)| c.association == Association::NOBODY);
        let mut missing = [0; 2].map(|_: usize| self.limits.spare_channels);
        let (mut due, mut gone) = (Vec::new(), Vec::new());
        for (id, channel) in spares {
            if self.is_disowned(id) {
                gone.push(id);
                continue;
            }
            let missing = &mut missing[channel.class.index()];
            *missing = missing.saturating_sub(1);
            if matches!(channel.state, State::Open { .. }) && channel.dummy_at <= now.time {
                due.push(id);
            }
        }
        for id in gone {
            self.end(now, id);
        }
        for id in due {
            if let Err(dropped) = self.send_dummy(now, id, out) {
                self.figures.drop(dropped);
            }
        }
        for class in Class::ALL {
            let rests = now.time < self.spares_at || !self.wanting.is_empty();
            if !self.spared[class.index()] || rests {
                continue;
            }
            for _ in 0..missing[class.index()] {
                if self.under_way >= SET_UPS_UNDER_WAY
                    || self.begin(now, Association::NOBODY, class, None).is_err()
                {
                    // What is missing for a chain now may be there at the next sweep.
                    break;
                }
            }
        }
    }

    /// Begins no spare for a while: one to two times so long.
    pub(super) fn rest_spares(&mut self, now: Now, pause: Duration) {
        let at = now.time + pause + pause.mul_f64(self.chance.unit());
        self.spares_at = self.spares_at.max(at);
    }

    fn send_dummy(&mut self, now: Now, id: Id, out: &mut Outbox) -> Result<(), Dropped> {
        let pause = DUMMY_EVERY.mul_f64(0.5 + self.chance.unit() / 2.0);
        let channel = self.channels.get_mut(id).ok_or(Dropped::UnknownChannel)?;
        channel.dummy_at = now.time + pause;
        let head = FragmentHead { index: 0, count: 0, length: 0.into() };
        self.send_cells(now, id, [(head, &[][..])].into_iter(), out)
    }
}

/// The chains that other isolations use.
fn taken(channels: &Slots<Channel>, isolation: Option<u64>) -> BTreeSet<&[Identity]> {
    channels
        .iter()
        .filter(|(_, channel)| channel.isolation.is_some() && channel.isolation != isolation)
        .map(|(_, channel)| &channel.chain[..])
        .collect()
}
