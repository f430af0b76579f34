//! Load: echoes at a fixed rate over many sockets, and who answers them.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use mixing::Time;

use crate::Error;
use crate::clock::Clock;
use crate::drive::wait::{Ready, Waiter};
use crate::udp::{self, Inbox, LinkSocket};

/// Sends every datagram back to where it came from, until dropped.
pub(in crate::command) struct Echo {
    address: SocketAddr,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Echo {
    pub(in crate::command) fn start() -> Result<Self, Error> {
        let socket = LinkSocket::bind((Ipv4Addr::LOCALHOST, 0).into())?;
        let address = socket.address().expect("bound above");
        let waiter = Waiter::new()?;
        waiter.add(&socket, 0).map_err(|why| Error::system("epoll", why))?;
        let over = Arc::new(AtomicBool::new(false));
        let stop = over.clone();
        let thread = std::thread::spawn(move || {
            let (mut inbox, mut ready) = (Inbox::new(), Ready::new());
            while !stop.load(Ordering::Relaxed) {
                waiter.wait(Some(Duration::from_millis(100)), &mut ready);
                if !ready.numbers().is_empty() && socket.receive(&mut inbox) {
                    inbox.each(|from, datagram| {
                        socket.send(from, datagram.len(), datagram);
                    });
                }
            }
        });
        Ok(Echo { address, over, thread: Some(thread) })
    }

    pub(in crate::command) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What is asked for.
#[derive(Clone)]
pub(in crate::command) struct Load {
    /// Where the datagrams go first.
    pub(in crate::command) to: SocketAddr,
    /// What stands in front of each.
    pub(in crate::command) header: Vec<u8>,
    /// Sockets, each its own channel.
    pub(in crate::command) sockets: usize,
    /// Bytes behind the header.
    pub(in crate::command) size: usize,
    /// Datagrams per second over all sockets.
    pub(in crate::command) rate: u64,
    pub(in crate::command) time: Duration,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub(in crate::command) struct Outcome {
    pub(in crate::command) sent: u64,
    pub(in crate::command) answered: u64,
    /// Round trips in milliseconds, sorted.
    pub(in crate::command) times: Vec<f64>,
    /// Seconds in which they were sent.
    pub(in crate::command) seconds: f64,
}

impl Outcome {
    pub(in crate::command) fn loss(&self) -> f64 {
        1.0 - self.answered as f64 / self.sent.max(1) as f64
    }

    pub(in crate::command) fn at(&self, share: f64) -> Option<f64> {
        let last = self.times.len().checked_sub(1)?;
        self.times.get((last as f64 * share) as usize).copied()
    }
}

/// A socket set that has been answered once on each socket: the channels stand.
pub(in crate::command) struct Asker {
    sockets: Vec<UdpSocket>,
    load: Load,
    clock: Clock,
    began: Time,
}

impl Asker {
    /// Opens the sockets and asks on each until it was answered.
    pub(in crate::command) fn new(load: Load) -> Result<Self, Error> {
        let failed = |why| Error::system("a socket", why);
        let clock = Clock::start();
        let mut sockets = Vec::new();
        for _ in 0..load.sockets {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).map_err(failed)?;
            socket.connect(load.to).map_err(failed)?;
            udp::enlarge(&socket);
            sockets.push(socket);
        }
        let ready = Asker { sockets, load, clock, began: clock.now().time };
        ready.warm().map_err(failed)?;
        Ok(ready)
    }

    fn warm(&self) -> std::io::Result<()> {
        for socket in &self.sockets {
            socket.set_read_timeout(Some(Duration::from_millis(500)))?;
            socket.send(&self.datagram())?;
        }
        for socket in &self.sockets {
            let mut tries = 0;
            while socket.recv(&mut [0; 2048]).is_err() {
                tries += 1;
                if tries > 40 {
                    return Err(std::io::Error::other("no answer came through the chain"));
                }
                socket.send(&self.datagram())?;
            }
            socket.set_nonblocking(true)?;
        }
        // Late answers to questions that were asked twice.
        std::thread::sleep(Duration::from_millis(300));
        for socket in &self.sockets {
            while socket.recv(&mut [0; 2048]).is_ok() {}
        }
        Ok(())
    }

    fn elapsed(&self) -> Duration {
        self.clock.now().time - self.began
    }

    /// When it is sent stands behind the header, so that an answer says how long it took.
    fn datagram(&self) -> Vec<u8> {
        let nanos = (self.elapsed().as_nanos() as u64).to_be_bytes();
        let mut datagram = [&self.load.header[..], &nanos].concat();
        datagram.resize(self.load.header.len() + self.load.size.max(8), 0x5A);
        datagram
    }

    /// Keeps asking until an answer to a question of now comes; false when none came in time.
    pub(in crate::command) fn served_again(&self, within: Duration) -> bool {
        let began = self.elapsed();
        let mut buffer = [0; 2048];
        while self.elapsed() - began < within {
            let _ = self.sockets[0].send(&self.datagram());
            std::thread::sleep(Duration::from_millis(20));
            while let Ok(size) = self.sockets[0].recv(&mut buffer) {
                let sent = buffer[..size].first_chunk().map(|nanos| u64::from_be_bytes(*nanos));
                // Answers that were under way when the node died do not count.
                if sent.is_some_and(|sent| Duration::from_nanos(sent) > began) {
                    return true;
                }
            }
        }
        false
    }

    /// Sends at the rate and collects the answers.
    pub(in crate::command) fn run(&self) -> Result<Outcome, Error> {
        let waiter = Waiter::new()?;
        for (number, socket) in (0..).zip(&self.sockets) {
            waiter.add(socket, number).map_err(|why| Error::system("epoll", why))?;
        }
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let collector = scope.spawn(|| self.collect(&waiter, &over));
            let (sent, seconds) = self.send();
            // What is still under way gets its time.
            std::thread::sleep(Duration::from_millis(700));
            over.store(true, Ordering::Relaxed);
            let mut times = collector.join().expect("the collector does not panic");
            times.sort_by(f64::total_cmp);
            Ok(Outcome { sent, answered: times.len() as u64, times, seconds })
        })
    }

    fn send(&self) -> (u64, f64) {
        let (began, mut sent) = (self.elapsed(), 0);
        let pause = Duration::from_secs_f64((1.0 / self.load.rate as f64).max(0.000_5));
        while self.elapsed() - began < self.load.time {
            let due = ((self.elapsed() - began).as_secs_f64() * self.load.rate as f64) as u64;
            while sent < due {
                let socket = &self.sockets[sent as usize % self.sockets.len()];
                // A full socket buffer is a loss like any other.
                let _ = socket.send(&self.datagram());
                sent += 1;
            }
            std::thread::sleep(pause);
        }
        (sent, (self.elapsed() - began).as_secs_f64())
    }

    fn collect(&self, waiter: &Waiter, over: &AtomicBool) -> Vec<f64> {
        let (mut ready, mut times, mut buffer) = (Ready::new(), Vec::new(), [0; 2048]);
        while !over.load(Ordering::Relaxed) {
            waiter.wait(Some(Duration::from_millis(50)), &mut ready);
            for &number in ready.numbers() {
                while let Ok(size) = self.sockets[number as usize].recv(&mut buffer) {
                    let Some(sent) = buffer[..size].first_chunk() else { continue };
                    let sent = Duration::from_nanos(u64::from_be_bytes(*sent));
                    times.push((self.elapsed() - sent).as_secs_f64() * 1000.0);
                }
            }
        }
        times
    }
}
