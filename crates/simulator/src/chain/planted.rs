//! Mistakes on purpose: what a broken core or world would do at its seams, so that every check is
//! seen to fail.
//!
//! A mistake wraps what goes into a node and what comes out; the core stays the production one.
//! `tests/chain_planted.rs` plants one after the other and asks which check reports it. What no
//! wrapper can express is a patch in `planted/`.

use std::net::SocketAddr;
use std::time::Duration;

use datagram::Dropped;
use mixing::Time;

/// A mistake. Every method does what is right unless the mistake says otherwise.
pub trait Mistake {
    /// A node sends a datagram to another: what leaves instead.
    fn sends(&mut self, _at: Time, _from: usize, _to: Option<usize>, bytes: &[u8]) -> Vec<Vec<u8>> {
        vec![bytes.to_vec()]
    }

    /// What the observer sees of a datagram that is delivered as it is: a mistake that both ends
    /// of a link share.
    fn shows(&mut self, _from: usize, _to: Option<usize>, bytes: &[u8]) -> Vec<u8> {
        bytes.to_vec()
    }

    /// A datagram reaches a node: whether its core sees it.
    fn takes(&mut self, _at: Time, _node: usize, _bytes: &[u8]) -> bool {
        true
    }

    /// What a node's core said to a datagram: what it says instead.
    fn says(&mut self, _at: Time, _node: usize, said: Result<(), Dropped>) -> Result<(), Dropped> {
        said
    }

    /// An exit sends a datagram to the outside: what leaves instead.
    fn leaves(&mut self, _at: Time, to: SocketAddr, payload: &[u8]) -> Vec<(SocketAddr, Vec<u8>)> {
        vec![(to, payload.to_vec())]
    }

    /// An entry hands a reply to an application: who gets what instead.
    fn delivers(
        &mut self,
        _at: Time,
        user: usize,
        from: SocketAddr,
        payload: &[u8],
    ) -> Vec<(usize, SocketAddr, Vec<u8>)> {
        vec![(user, from, payload.to_vec())]
    }

    /// A node wanted to be woken: whether it is.
    fn wakes(&mut self, _at: Time, _node: usize) -> bool {
        true
    }

    /// An exit closes a socket: whether it does.
    fn closes(&mut self, _at: Time, _node: usize) -> bool {
        true
    }

    /// How much longer a datagram takes than the network says.
    fn delays(&mut self, _at: Time, _from: usize, _to: usize) -> Duration {
        Duration::ZERO
    }
}
