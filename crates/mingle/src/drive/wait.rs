//! Waiting: many sockets, one thread, and a timeout finer than a millisecond.
//!
//! epoll is level-triggered here, so whoever reads only one batch per turn is woken again at once
//! for the rest, and a busy socket cannot keep the others from their turn.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::event::{EventfdFlags, Timespec, eventfd};

use crate::Error;

/// A set of sockets to wait for, each known by a number of the caller's choice.
pub struct Waiter {
    epoll: OwnedFd,
    waker: Waker,
}

/// What can be read, in memory that is used again.
pub struct Ready {
    events: Vec<Event>,
    numbers: Vec<u64>,
}

impl Ready {
    /// Nothing yet.
    pub fn new() -> Self {
        Ready { events: Vec::with_capacity(EVENTS_AT_ONCE), numbers: Vec::new() }
    }

    /// The numbers of the sockets that can be read.
    pub fn numbers(&self) -> &[u64] {
        &self.numbers
    }
}

impl Default for Ready {
    fn default() -> Self {
        Ready::new()
    }
}

/// Ends another thread's waiting.
#[derive(Clone)]
pub struct Waker(Arc<OwnedFd>);

impl Waiter {
    /// Waits for nothing yet.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn new() -> Result<Self, Error> {
        let open = || -> rustix::io::Result<Self> {
            let epoll = epoll::create(CreateFlags::CLOEXEC)?;
            let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
            epoll::add(&epoll, &wake, EventData::new_u64(WAKE), EventFlags::IN)?;
            Ok(Waiter { epoll, waker: Waker(Arc::new(wake)) })
        };
        open().map_err(|why| Error::system("epoll", why))
    }

    /// What wakes this waiter.
    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// Begins to wait for a socket too; closing the socket ends that.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn add(&self, socket: impl AsFd, number: u64) -> std::io::Result<()> {
        assert!(number != WAKE, "the number of the waker itself");
        Ok(epoll::add(&self.epoll, socket, EventData::new_u64(number), EventFlags::IN)?)
    }

    /// Waits until a socket can be read, the waker was used, or `longest` is over.
    pub fn wait(&self, longest: Option<Duration>, ready: &mut Ready) {
        ready.numbers.clear();
        ready.events.clear();
        let timeout = longest.and_then(|longest| Timespec::try_from(longest).ok());
        let spare = rustix::buffer::spare_capacity(&mut ready.events);
        // The only errors here are a signal's interruption and bugs; both are an early end.
        if epoll::wait(&self.epoll, spare, timeout.as_ref()).is_err() {
            return;
        }
        for event in &ready.events {
            match event.data.u64() {
                WAKE => self.waker.calm(),
                number => ready.numbers.push(number),
            }
        }
    }
}

impl Waker {
    /// Ends the waiting, now or the next.
    pub fn wake(&self) {
        // It fails only when the counter is full, and then the other thread is being woken anyway.
        let _ = rustix::io::write(&*self.0, &1u64.to_ne_bytes());
    }

    fn calm(&self) {
        let _ = rustix::io::read(&*self.0, &mut [0u8; 8]);
    }
}

const WAKE: u64 = u64::MAX;
const EVENTS_AT_ONCE: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_and_a_waker_end_the_waiting_and_time_does_too() {
        let waiter = Waiter::new().unwrap();
        let socket = crate::udp::plain(([127, 0, 0, 1], 0).into()).unwrap();
        waiter.add(&socket, 7).unwrap();
        let mut ready = Ready::new();
        waiter.wait(Some(Duration::from_micros(200)), &mut ready);
        assert!(ready.numbers().is_empty());

        socket.send_to(b"hello", socket.local_addr().unwrap()).unwrap();
        for _ in 0..2 {
            waiter.wait(None, &mut ready);
            assert_eq!(ready.numbers(), [7], "as long as nobody reads it");
        }
        let _ = crate::udp::receive_one(&socket, &mut [0; 10]);

        let waker = waiter.waker();
        std::thread::spawn(move || waker.wake());
        waiter.wait(None, &mut ready);
        assert!(ready.numbers().is_empty());
        waiter.wait(Some(Duration::ZERO), &mut ready);
        assert!(ready.numbers().is_empty(), "woken once");
    }

    #[test]
    fn a_closed_socket_is_no_longer_waited_for() {
        let waiter = Waiter::new().unwrap();
        let socket = crate::udp::plain(([127, 0, 0, 1], 0).into()).unwrap();
        waiter.add(&socket, 7).unwrap();
        socket.send_to(b"hello", socket.local_addr().unwrap()).unwrap();
        drop(socket);
        let mut ready = Ready::new();
        waiter.wait(Some(Duration::ZERO), &mut ready);
        assert!(ready.numbers().is_empty());
    }
}
