//! A plain relay: what a chain is compared with. It passes datagrams on as they are, with the
//! chain's own batched sockets and without a key, a layer or a pool.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;

use crate::Error;
use crate::drive::wait::{Ready, Waiter};
use crate::udp::{Inbox, LinkSocket};

#[derive(Args)]
pub(in crate::command) struct Arguments {
    /// Where it listens
    listen: SocketAddr,
    /// Where it passes things on; whatever comes from there goes to who was heard last
    next: SocketAddr,
}

pub(in crate::command) fn perform(arguments: &Arguments) -> Result<(), Error> {
    super::super::end_with_stdin();
    let socket = LinkSocket::bind(arguments.listen)?;
    let waiter = Waiter::new()?;
    waiter.add(&socket, 0).map_err(|why| Error::system("epoll", why))?;
    let (mut inbox, mut ready) = (Inbox::new(), Ready::new());
    let mut back = None;
    let mut run = Run::default();
    loop {
        waiter.wait(Some(Duration::from_secs(1)), &mut ready);
        if ready.numbers().is_empty() || !socket.receive(&mut inbox) {
            continue;
        }
        inbox.each(|from, datagram| {
            let to = if from == arguments.next { back } else { Some(arguments.next) };
            if from != arguments.next {
                back = Some(from);
            }
            if let Some(to) = to {
                run.add(to, datagram, &socket);
            }
        });
        run.send(&socket);
    }
}

/// Datagrams of one size to one neighbour.
#[derive(Default)]
struct Run {
    to: Option<SocketAddr>,
    segment: usize,
    bytes: Vec<u8>,
}

impl Run {
    fn add(&mut self, to: SocketAddr, datagram: &[u8], socket: &LinkSocket) {
        let fits = self.bytes.len() + datagram.len() <= 60_000;
        if self.to != Some(to) || self.segment != datagram.len() || !fits {
            self.send(socket);
            (self.to, self.segment) = (Some(to), datagram.len());
        }
        self.bytes.extend_from_slice(datagram);
    }

    fn send(&mut self, socket: &LinkSocket) {
        if let Some(to) = self.to.take() {
            socket.send(to, self.segment, &self.bytes);
        }
        self.bytes.clear();
    }
}
