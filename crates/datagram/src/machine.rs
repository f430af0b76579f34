//! What an entry, a mix and an exit have in common for whoever drives one: a shell with sockets, or a
//! world in memory.

use std::net::SocketAddr;

use mixing::{Now, Time};

use crate::{Dropped, Error, Figures, Network, Outbox};

/// A core on its links. Inputs come with the time; what they bring about is in the [`Outbox`].
pub trait Machine {
    /// Takes in a datagram from the network, and opens it in place.
    ///
    /// # Errors
    /// Why it was dropped; it is counted here already.
    fn receive(
        &mut self,
        now: Now,
        from: SocketAddr,
        cell: &mut [u8],
        out: &mut Outbox,
    ) -> Result<(), Dropped>;

    /// Does what is due. To be called after each batch of inputs and at [`wake_at`](Machine::wake_at).
    fn tick(&mut self, now: Now, out: &mut Outbox);

    /// When [`tick`](Machine::tick) is wanted next; a time in the past means at once.
    fn wake_at(&self) -> Option<Time>;

    /// Takes up a changed network list.
    ///
    /// # Errors
    /// A list that is not sound, in which this node does not have its role or an entry finds no chain,
    /// or that differs in what only a new start can change.
    fn renew(&mut self, now: Now, network: Network, out: &mut Outbox) -> Result<(), Error>;

    /// Lets everything go that waits, ends all channels, and says goodbye to the neighbours.
    fn shutdown(&mut self, now: Now, out: &mut Outbox);

    /// Stirs fresh randomness in; the shell does so once a minute.
    fn feed(&mut self, fresh: &[u8; 32]);

    /// What was counted.
    fn figures(&self) -> &Figures;
}
