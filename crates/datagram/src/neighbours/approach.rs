//! The way to a link to a listed node: asking for its keys, opening, and trying again.

use std::time::Duration;

use mixing::chance::Chance;
use mixing::keys::Identity;
use mixing::time::{Now, Time};
use zerocopy::FromBytes;

use super::{Line, Neighbours, News, Received};
use crate::message::Message;
use crate::opening::{self, CookieBytes, Pending};
use crate::outbox::{Dropped, Outbox};
use crate::share::Account;
use crate::slots::Id;
use crate::wire::{self, Answer, KeyPiece, UnknownKey};

/// How long an answer to an opening or a key request may take before the next try; doubled each
/// time, up to the longest pause.
const TRY_AGAIN: Duration = Duration::from_millis(300);
const TRY_AGAIN_MAX: Duration = Duration::from_secs(1);
/// After so many tries without an answer, whoever waits for the link is told.
const TRIES_BEFORE_UNREACHABLE: u32 = 3;

/// The way to a link to a listed node.
pub(super) struct Approach {
    pub(super) stage: Stage,
    pub(super) cookie: Option<CookieBytes>,
    pub(super) tries: u32,
    pub(super) next_try: Time,
}

pub(super) enum Stage {
    /// The next try is due at `next_try`.
    Pausing,
    /// Waiting for the node's key list.
    AskingKeys { token: [u8; 16], pieces: [Option<Vec<u8>>; 2] },
    /// Waiting for the answer to an opening.
    Opening { link: Id, pending: Pending },
}

impl Neighbours {
    /// Begins to open a link to a listed node, unless that is under way.
    pub(crate) fn want(&mut self, now: Now, node: Identity) {
        if self.network.node(&node).is_none() || self.approaches.contains_key(&node) {
            return;
        }
        let approach =
            Approach { stage: Stage::Pausing, cookie: None, tries: 0, next_try: now.time };
        self.approaches.insert(node, approach);
        self.look_at = now.time;
    }

    pub(super) fn tick_approaches(
        &mut self,
        now: Now,
        chance: &mut Chance,
        out: &mut Outbox,
    ) -> bool {
        let due: Vec<Identity> = self
            .approaches
            .iter()
            .filter(|(_, approach)| approach.next_try <= now.time)
            .map(|(node, _)| *node)
            .collect();
        for node in due {
            self.approach(now, node, chance, out);
        }
        !self.approaches.is_empty()
    }

    /// The next step towards a link: ask for keys, or open.
    pub(super) fn approach(
        &mut self,
        now: Now,
        node: Identity,
        chance: &mut Chance,
        out: &mut Outbox,
    ) {
        self.try_again(node, now.time);
        let Some(address) = self.network.node(&node).map(|node| node.address) else {
            self.approaches.remove(&node);
            return;
        };
        let Some(approach) = self.approaches.get_mut(&node) else { return };
        // At every further try, too: somebody may have begun to wait since.
        if approach.tries >= TRIES_BEFORE_UNREACHABLE {
            self.news.push(News::Unreachable { node });
        }
        let pause = TRY_AGAIN * 2u32.pow(approach.tries.min(8));
        let pause = pause.min(TRY_AGAIN_MAX);
        approach.next_try = now.time + pause + pause.mul_f64(chance.unit() / 4.0);
        approach.tries += 1;
        let Some(known) = self.directory.get(now.time, &node) else {
            let token = chance.bytes();
            for piece in 0..wire::KEY_PIECES {
                let request = opening::key_request(&node, piece, token);
                out.datagram(address, wire::OPENING).copy_from_slice(&request);
            }
            approach.stage = Stage::AskingKeys { token, pieces: [None, None] };
            return;
        };
        let Ok(link) = self.links.insert(Line::Opening(node)) else { return };
        let cookie = approach.cookie.take();
        let by = self.keyring.as_ref();
        let (bytes, pending) =
            opening::open(&self.network, &node, known, by, link, cookie.as_ref(), chance);
        approach.stage = Stage::Opening { link, pending };
        out.datagram(address, wire::OPENING).copy_from_slice(&bytes);
    }

    pub(super) fn receive_key_piece(&mut self, now: Now, piece: &KeyPiece) -> Result<(), Dropped> {
        let index = usize::from(piece.prelude.hint.get());
        let mut whole = None;
        for (node, approach) in &mut self.approaches {
            if let Stage::AskingKeys { token, pieces } = &mut approach.stage
                && *token == piece.token
            {
                let place = pieces.get_mut(index).ok_or(Dropped::Unexpected)?;
                *place = Some(piece.bytes.to_vec());
                let [Some(first), Some(second)] = pieces else { return Ok(()) };
                whole = Some((*node, [&first[..], second].concat()));
                approach.stage = Stage::Pausing;
                break;
            }
        }
        let (node, list) = whole.ok_or(Dropped::Unexpected)?;
        self.learn(now, &list, None)?;
        // A list that is of no use here would be the same at once.
        if self.directory.get(now.time, &node).is_some() {
            self.try_again(node, now.time);
        }
        Ok(())
    }

    pub(super) fn receive_cookie(
        &mut self,
        now: Now,
        cookie: &mut wire::Cookie,
    ) -> Result<(), Dropped> {
        let (node, approach) = self.approach_of(&cookie.check)?;
        approach.cookie = Some(opening::taste(&node, cookie)?);
        self.try_again(node, now.time);
        Ok(())
    }

    /// Notices are not signed, so all that one can do is to make us ask for the node's keys.
    pub(super) fn receive_unknown_key(
        &mut self,
        now: Now,
        notice: &UnknownKey,
    ) -> Result<(), Dropped> {
        let (node, _) = self.approach_of(&notice.check)?;
        self.directory.forget(&node);
        self.try_again(node, now.time);
        Ok(())
    }

    pub(super) fn receive_answer(
        &mut self,
        now: Now,
        id: Id,
        node: Identity,
        datagram: &mut [u8],
        chance: &mut Chance,
        out: &mut Outbox,
    ) -> Result<Received, Dropped> {
        let answer = Answer::mut_from_bytes(datagram).map_err(|_| Dropped::WrongSize)?;
        let approach = self.approaches.get(&node).ok_or(Dropped::Unexpected)?;
        let Stage::Opening { pending, .. } = &approach.stage else {
            return Err(Dropped::Unexpected);
        };
        let (theirs, keys) = pending.answered(answer)?;
        let address = self.network.node(&node).ok_or(Dropped::Unexpected)?.address;
        let mut link = self.open_link(
            now,
            theirs,
            address,
            Some(node),
            (true, Account::OURS),
            self.tier,
            keys,
        );
        // The first cell shows the responder that its answer arrived.
        link.say(&Message::Probe);
        link.heard(now.time);
        *self.links.get_mut(id).expect("it was opening") = Line::Open(link);
        self.approaches.remove(&node);
        self.newest.insert(node, id);
        self.news.push(News::Linked { node });
        self.greet_node(now, id);
        self.flush(now, id, chance, out);
        Ok(Received::Settled)
    }

    pub(super) fn greet_node(&mut self, now: Now, id: Id) {
        // Lists flow from the exits towards the clients, and every mix's own to all.
        if self.tier > 0 {
            self.greet(now, id);
        }
    }

    /// The approach whose opening has this check, which only its receiver can know.
    pub(super) fn approach_of(
        &mut self,
        check: &[u8; 16],
    ) -> Result<(Identity, &mut Approach), Dropped> {
        let found = self.approaches.iter_mut().find(|(_, approach)| {
            matches!(&approach.stage, Stage::Opening { pending, .. } if pending.check == *check)
        });
        found.map(|(node, approach)| (*node, approach)).ok_or(Dropped::Unexpected)
    }

    /// Opens no link to this node any more.
    pub(super) fn give_up(&mut self, node: &Identity) {
        if let Some(Approach { stage: Stage::Opening { link, .. }, .. }) =
            self.approaches.remove(node)
        {
            self.links.remove(link);
        }
    }

    pub(super) fn try_again(&mut self, node: Identity, at: Time) {
        let Some(approach) = self.approaches.get_mut(&node) else { return };
        approach.next_try = at;
        if let Stage::Opening { link, .. } = std::mem::replace(&mut approach.stage, Stage::Pausing)
        {
            self.links.remove(link);
        }
        self.look_at = self.look_at.min(at);
    }
}
