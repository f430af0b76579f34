//! Asking a listed node for its key from outside any chain: who checks a network does no more.
//!
//! ```text
//! request 0, request 1   ───►                   of any size from an opening's to the largest cell's
//!                        ◄───  piece 0, piece 1       longer requests get pieces of their own size
//! ```
//!
//! A [`Question`] is one asking of one node. It opens no link, and whoever answers proves with the
//! signature that he holds the node's identity. No state of a chain, no time.

use mixing::keys::Identity;
use mixing::time::Date;
use zerocopy::{FromBytes, IntoBytes};

use crate::keyring;
use crate::network::Network;
use crate::opening;
use crate::outbox::Dropped;
use crate::wire::{self, KeyList, KeyPiece};

/// One asking of one node: its requests share a token, by which answers are known.
pub struct Question {
    of: Identity,
    token: Token,
    pieces: [Option<[u8; wire::KEY_PIECE]>; wire::KEY_PIECES as usize],
}

/// What ties an answer to a question; random, so that nobody who does not see the question answers.
pub type Token = [u8; 16];

/// What a node said about its present key, signed by its identity.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Announced {
    /// Tells keys apart, for people.
    pub fingerprint: [u8; 8],
    /// When the key's epoch began, by the node's clock.
    pub begins: Date,
    /// When it ends, by the node's clock.
    pub ends: Date,
}

impl Question {
    /// A question to a node, under a token that no other question has.
    pub fn new(of: Identity, token: Token) -> Self {
        Question { of, token, pieces: [None; wire::KEY_PIECES as usize] }
    }

    /// The request for a piece, in `size` bytes: [`wire::OPENING`] to the network's largest cell.
    pub fn request(&self, piece: u16, size: usize) -> Vec<u8> {
        opening::key_request_of_size(&self.of, piece, self.token, size.max(wire::OPENING))
    }

    /// The token of a datagram that answers some question.
    pub fn token_of(datagram: &[u8]) -> Option<Token> {
        let (piece, _) = KeyPiece::ref_from_prefix(datagram).ok()?;
        let prelude = opening::prelude(wire::KIND_KEY_PIECE, piece.prelude.hint.get());
        (piece.prelude.as_bytes() == prelude.as_bytes()).then_some(piece.token)
    }

    /// Takes an answer.
    ///
    /// # Errors
    /// When it answers something else.
    pub fn answer(&mut self, datagram: &[u8]) -> Result<(), Dropped> {
        if Self::token_of(datagram) != Some(self.token) {
            return Err(Dropped::Unexpected);
        }
        let (piece, _) = KeyPiece::ref_from_prefix(datagram).map_err(|_| Dropped::TooShort)?;
        let index = usize::from(piece.prelude.hint.get());
        *self.pieces.get_mut(index).ok_or(Dropped::Unexpected)? = Some(piece.bytes);
        Ok(())
    }

    /// What the node said, once all pieces have come.
    ///
    /// # Errors
    /// When it is not signed by the node, or is no key. Pieces of two lists are not signed either:
    /// a node that renewed its key in between has to be asked again.
    pub fn announced(&self, network: &Network) -> Option<Result<Announced, Dropped>> {
        let [Some(first), Some(second)] = &self.pieces else { return None };
        let bytes = [&first[..], second].concat();
        let list = KeyList::read_from_bytes(&bytes).expect("its pieces make a list");
        if list.identity != *self.of.as_bytes() {
            return Some(Err(Dropped::BadKeyList));
        }
        Some(keyring::proved(&network.name, &list).map(|key| Announced {
            fingerprint: keyring::fingerprint(&key),
            begins: Date::from_millis(list.begins.get()),
            ends: Date::from_millis(list.ends.get()),
        }))
    }
}
