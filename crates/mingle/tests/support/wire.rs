//! A wire between hosts: what a host sends comes to a thread of this process, which delays it,
//! loses some, lets some overtake, and swallows what is too wide for a path.
//!
//! ```text
//! host N ─ `path`, a TUN device ─ wire ─ `path` of host M     host N: 10.77.N.x, fd77:N::x
//! ```

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use mingle::clock::Clock;
use mixing::{Chance, Time};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tappers::{Interface, Tun};

/// What a wire does to packets.
#[derive(Clone, Copy)]
pub struct Rough {
    /// How long each takes at the least.
    pub delay: Duration,
    /// How much longer at the most, each on its own: so they overtake one another.
    pub jitter: Duration,
    /// How many of a thousand are lost.
    pub lost: u64,
}

/// What a wire has done.
#[derive(Default)]
pub struct Counts {
    pub passed: AtomicU64,
    pub lost: AtomicU64,
    pub overtaken: AtomicU64,
    /// Wider than a path, and so swallowed without a word.
    pub swallowed: AtomicU64,
}

/// A wire, until it is dropped.
pub struct Wire {
    pub counts: Arc<Counts>,
    end: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Wire {
    /// Makes the device of a host; to be called within its namespace.
    pub fn device() -> Result<Tun, String> {
        let open = || {
            let mut device = Tun::new_named(Interface::new("path")?)?;
            device.set_nonblocking(true)?;
            Ok(device)
        };
        open().map_err(|why: std::io::Error| format!("a TUN device: {why}"))
    }

    /// Joins hosts, from number 1 on; `widths` of their paths.
    pub fn join(devices: Vec<Tun>, widths: Vec<usize>, rough: Rough) -> Wire {
        let (counts, end) = (Arc::<Counts>::default(), Arc::<AtomicBool>::default());
        let mut inside = Inside {
            devices,
            widths,
            rough,
            counts: counts.clone(),
            clock: Clock::started().0,
            chance: Chance::new([7; 32]),
            under_way: BinaryHeap::new(),
            number: 0,
        };
        let ended = end.clone();
        let thread = std::thread::spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                inside.turn();
            }
        });
        Wire { counts, end, thread: Some(thread) }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Inside {
    devices: Vec<Tun>,
    widths: Vec<usize>,
    rough: Rough,
    counts: Arc<Counts>,
    clock: Clock,
    chance: Chance,
    under_way: BinaryHeap<Reverse<Packet>>,
    number: u64,
}

/// When it arrives, its number, to whom, and its bytes.
type Packet = (Time, u64, usize, Vec<u8>);

impl Inside {
    fn turn(&mut self) {
        let now = self.clock.now().time;
        let next = self.under_way.peek().map(|Reverse((at, ..))| *at - now);
        let wait = next.unwrap_or(LOOK_EVERY).min(LOOK_EVERY);
        let timeout = Timespec {
            tv_sec: 0,
            tv_nsec: i64::from(wait.subsec_nanos().min(LOOK_EVERY.subsec_nanos())),
        };
        let fds = self.devices.iter();
        let mut fds: Vec<_> =
            fds.map(|d| PollFd::from_borrowed_fd(d.as_fd(), PollFlags::IN)).collect();
        let _ = poll(&mut fds, Some(&timeout));
        self.take();
        self.give();
    }

    /// Takes what hosts have sent.
    fn take(&mut self) {
        let mut buffer = vec![0; 65_536];
        for from in 0..self.devices.len() {
            while let Ok(size) = self.devices[from].recv(&mut buffer) {
                let packet = &buffer[..size];
                let Some(to) = host_of(packet).filter(|to| *to < self.devices.len()) else {
                    continue;
                };
                if size > self.widths[from].min(self.widths[to]) {
                    self.counts.swallowed.fetch_add(1, Ordering::Relaxed);
                    continue;
                }
                if self.chance.below(1_000) < self.rough.lost {
                    self.counts.lost.fetch_add(1, Ordering::Relaxed);
                    continue;
                }
                let longer = self.rough.jitter.mul_f64(self.chance.unit());
                let at = self.clock.now().time + self.rough.delay + longer;
                self.number += 1;
                self.under_way.push(Reverse((at, self.number, to, packet.to_vec())));
            }
        }
    }

    /// Gives hosts what is due.
    fn give(&mut self) {
        let mut last = 0;
        while self.under_way.peek().is_some_and(|Reverse((at, ..))| *at <= self.clock.now().time) {
            let Some(Reverse((_, number, to, packet))) = self.under_way.pop() else { break };
            self.counts.overtaken.fetch_add(u64::from(number < last), Ordering::Relaxed);
            last = last.max(number);
            // A host that takes nothing more loses it, as on any wire.
            if self.devices[to].send(&packet).is_ok() {
                self.counts.passed.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// Which host a packet is for, from 0.
fn host_of(packet: &[u8]) -> Option<usize> {
    let number = match packet.first()? >> 4 {
        4 if packet.get(16..18)? == [10, 77] => *packet.get(18)?,
        6 if packet.get(24..26)? == [0xFD, 0x77] => *packet.get(27)?,
        _ => return None,
    };
    usize::from(number).checked_sub(1)
}

const LOOK_EVERY: Duration = Duration::from_millis(50);
