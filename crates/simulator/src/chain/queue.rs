//! What may happen in a world of the chain, and the datagrams under way: they lie in a slab beside
//! the queue and their buffers are used again.

use std::net::SocketAddr;

use mixing::Time;

use crate::queue;

/// Something that will happen.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Event {
    /// A run of datagrams arrives.
    Arrival(u32),
    /// A node wanted to be woken.
    Wake(u16),
    /// An application sends, or opens its door first.
    Turn(u16),
    /// A destination's answer reaches the exit: user and number.
    Reply(u16, u32),
    /// The answer to the question of this number reaches the exit.
    Answer(u32),
    /// A fault begins.
    Begins(u16),
    /// A fault ends.
    Ends(u16),
    /// An attacker sends something of his own, for this fault.
    Forgery(u16),
    /// A second is over.
    Second,
    /// All applications close.
    Close,
}

/// Datagrams of one size that travel together.
#[derive(Default)]
pub struct Flight {
    /// As the receiver sees it.
    pub from: Option<SocketAddr>,
    /// Where it goes.
    pub to: Option<SocketAddr>,
    /// Bytes of each datagram.
    pub size: usize,
    /// All of them.
    pub bytes: Vec<u8>,
}

/// The queue.
#[derive(Default)]
pub struct Queue {
    events: queue::Queue<Event>,
    flights: Vec<Flight>,
    landed: Vec<u32>,
}

impl Queue {
    /// Plans something.
    pub fn plan(&mut self, at: Time, event: Event) {
        self.events.plan(at, event);
    }

    /// Sends datagrams of `size` bytes on their way.
    pub fn fly(&mut self, at: Time, from: SocketAddr, to: SocketAddr, size: usize, bytes: &[u8]) {
        let place = self.landed.pop().unwrap_or_else(|| {
            self.flights.push(Flight::default());
            (self.flights.len() - 1) as u32
        });
        let flight = &mut self.flights[place as usize];
        (flight.from, flight.to, flight.size) = (Some(from), Some(to), size);
        flight.bytes.clear();
        flight.bytes.extend_from_slice(bytes);
        self.plan(at, Event::Arrival(place));
    }

    /// Takes what happens next.
    pub fn pop(&mut self) -> Option<(Time, Event)> {
        self.events.pop()
    }

    /// Takes a flight that arrived out of its place.
    pub fn flight(&mut self, place: u32) -> Flight {
        std::mem::take(&mut self.flights[place as usize])
    }

    /// Gives the place of a flight back, and its buffer.
    pub fn landed(&mut self, place: u32, flight: Flight) {
        self.flights[place as usize] = flight;
        self.landed.push(place);
    }

    /// Puts a flight off.
    pub fn put_off(&mut self, place: u32, flight: Flight, until: Time) {
        self.flights[place as usize] = flight;
        self.plan(until, Event::Arrival(place));
    }
}
