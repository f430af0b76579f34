//! What comes with link id 0, and what a responder does for someone it shares no key with.
//!
//! From cheap to dear: size, check, cookie, rates, key, envelope, proof, room. A stranger who does
//! not know whom he talks to gets silence and costs one hash; no answer is longer than what
//! provoked it.

use std::net::SocketAddr;

use mixing::chance::Chance;
use mixing::keys::Identity;
use mixing::time::Now;
use zerocopy::{FromBytes, IntoBytes};

use super::{Line, Neighbours, Received};
use crate::network::Role;
use crate::opening::{self, Cookies};
use crate::outbox::{Dropped, Outbox};
use crate::rate::{Rate, Sources};
use crate::share::Owner;
use crate::wire::{self, Answer, KeyPiece, KeyRequest, Opening, Prelude, UnknownKey};

/// What limits strangers.
pub(super) struct Gate {
    pub(super) cookies: Cookies,
    pub(super) openings: Rate,
    /// Openings that came, worked on or not: above a number per second, cookies are asked for.
    pub(super) knocks: Rate,
    pub(super) sources: Sources,
    pub(super) key_requests: Rate,
    pub(super) key_sources: Sources,
    /// Set-ups of clients.
    pub(super) set_ups: Sources,
    /// Incomplete parcels of all links.
    pub(super) parcels: usize,
}

impl Neighbours {
    pub(super) fn receive_prelude(
        &mut self,
        now: Now,
        from: SocketAddr,
        datagram: &mut [u8],
        chance: &mut Chance,
        out: &mut Outbox,
    ) -> Result<Received, Dropped> {
        let (prelude, _) = Prelude::read_from_prefix(datagram).map_err(|_| Dropped::TooShort)?;
        if prelude.version != wire::VERSION {
            return Err(Dropped::UnknownVersion);
        }
        match prelude.kind {
            wire::KIND_OPENING | wire::KIND_OPENING_WITH_COOKIE => {
                let opening = Opening::ref_from_bytes(datagram).map_err(|_| Dropped::WrongSize)?;
                self.receive_opening(now, from, opening, chance, out)?;
            }
            wire::KIND_KEY_REQUEST => {
                self.receive_key_request(now, from, datagram, out)?;
            }
            wire::KIND_KEY_PIECE => {
                let piece = KeyPiece::ref_from_bytes(datagram).map_err(|_| Dropped::WrongSize)?;
                self.receive_key_piece(now, piece)?;
            }
            wire::KIND_COOKIE => {
                let cookie =
                    wire::Cookie::mut_from_bytes(datagram).map_err(|_| Dropped::WrongSize)?;
                self.receive_cookie(now, cookie)?;
            }
            wire::KIND_UNKNOWN_KEY => {
                let notice =
                    UnknownKey::ref_from_bytes(datagram).map_err(|_| Dropped::WrongSize)?;
                self.receive_unknown_key(now, notice)?;
            }
            _ => return Err(Dropped::UnknownKind),
        }
        Ok(Received::Settled)
    }

    /// From cheap to dear: check, cookie, rates, key, envelope, proof, room.
    pub(super) fn receive_opening(
        &mut self,
        now: Now,
        from: SocketAddr,
        opening: &Opening,
        chance: &mut Chance,
        out: &mut Outbox,
    ) -> Result<(), Dropped> {
        let keyring = self.keyring.as_mut().ok_or(Dropped::UnknownKind)?;
        let (me, time) = (keyring.identity(), now.time);
        let showed_cookie = opening.prelude.kind == wire::KIND_OPENING_WITH_COOKIE;
        let has_check = if showed_cookie {
            self.gate.cookies.has_check(opening.as_bytes(), &me, from)
        } else {
            opening::has_check(opening.as_bytes(), &me, None)
        };
        if !has_check {
            return Err(Dropped::BadCheck);
        }
        let listed = self.network.nodes.iter().any(|node| node.address == from);
        if !self.gate.knocks.take(1, time) && !showed_cookie {
            let cookie = self.gate.cookies.bake(&me, from, opening.check, chance);
            out.datagram(from, size_of::<wire::Cookie>()).copy_from_slice(cookie.as_bytes());
            return Err(Dropped::NeedsCookie);
        }
        if !listed && !self.gate.sources.take(from, time) || !self.gate.openings.take(1, time) {
            return Err(Dropped::TooManyOpenings);
        }
        if !keyring.has(opening.prelude.hint.get()) {
            let prelude = opening::prelude(wire::KIND_UNKNOWN_KEY, 0);
            let notice = UnknownKey { prelude, check: opening.check };
            out.datagram(from, size_of::<UnknownKey>()).copy_from_slice(notice.as_bytes());
            return Err(Dropped::UnknownKey);
        }
        let opened = opening::accept(&self.network, keyring, opening)?;
        let leaving = self.admit(opened.opener.as_ref())?;
        let owner = Owner::of(opened.opener, from);
        if !owner.fits(self.accounts.links(&owner), self.links.len(), self.limits.links) {
            return Err(Dropped::LinksFull);
        }
        let room = self.links.insert(Line::Opening(me)).map_err(|_| Dropped::LinksFull)?;
        let account = self.accounts.open_link(owner).expect("as many as links");
        let (answer, keys) = opened.answer(room, chance);
        let ours = (false, account);
        let link = self.open_link(now, opened.link, from, opened.opener, ours, leaving, keys);
        *self.links.get_mut(room).expect("inserted above") = Line::Open(link);
        out.datagram(from, size_of::<Answer>()).copy_from_slice(answer.as_bytes());
        Ok(())
    }

    /// The tier that a link from this opener leaves, if it may open one.
    pub(super) fn admit(&self, opener: Option<&Identity>) -> Result<u8, Dropped> {
        let Some(opener) = opener else {
            return if self.tier == 1 { Ok(0) } else { Err(Dropped::UnprovedOpening) };
        };
        let node = self.network.node(opener).ok_or(Dropped::UnprovedOpening)?;
        match node.role {
            // Exits (tier 0 here) take every tier, mixes the one below.
            Role::Mix(tier) if self.tier == 0 || tier.get() + 1 == self.tier => Ok(tier.get()),
            Role::Mix(_) | Role::Exit => Err(Dropped::UnprovedOpening),
        }
    }

    /// Answers with a piece of the key list. A request longer than an opening, up to the largest
    /// cell, asks for an answer of its own length, and so whether that length passes both ways.
    pub(super) fn receive_key_request(
        &mut self,
        now: Now,
        from: SocketAddr,
        datagram: &[u8],
        out: &mut Outbox,
    ) -> Result<(), Dropped> {
        if !(wire::OPENING..=self.network.large.cell_size).contains(&datagram.len()) {
            return Err(Dropped::WrongSize);
        }
        let (request, longer) =
            KeyRequest::ref_from_prefix(datagram).map_err(|_| Dropped::WrongSize)?;
        let keyring = self.keyring.as_ref().ok_or(Dropped::UnknownKind)?;
        if !opening::has_check(datagram, &keyring.identity(), None) {
            return Err(Dropped::BadCheck);
        }
        let listed = self.network.nodes.iter().any(|node| node.address == from);
        let gate = &mut self.gate;
        if !listed && !gate.key_sources.take(from, now.time) || !gate.key_requests.take(1, now.time)
        {
            return Err(Dropped::TooManyKeyRequests);
        }
        let index = request.prelude.hint.get();
        if index >= wire::KEY_PIECES {
            return Err(Dropped::WrongSize);
        }
        let start = usize::from(index) * wire::KEY_PIECE;
        let bytes = keyring.list()[start..].first_chunk().expect("two halves");
        let prelude = opening::prelude(wire::KIND_KEY_PIECE, index);
        let piece = KeyPiece { prelude, token: request.token, bytes: *bytes };
        let size = if longer.is_empty() { size_of::<KeyPiece>() } else { datagram.len() };
        out.datagram(from, size)[..size_of::<KeyPiece>()].copy_from_slice(piece.as_bytes());
        Ok(())
    }
}
