//! How other threads speak to a node's thread: they leave a command and wake it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

use datagram::Network;

use super::wait::Waker;

/// The other threads' end.
pub struct Mailbox<C> {
    commands: Sender<C>,
    stop: Stop,
}

/// Ends a node's thread.
#[derive(Clone)]
pub struct Stop {
    asked: Arc<AtomicBool>,
    waker: Waker,
}

/// Gives a running node a changed network list; only the newest counts.
#[derive(Clone)]
pub(crate) struct NewList {
    list: Arc<Mutex<Option<Network>>>,
    waker: Waker,
}

/// The node's end.
pub(crate) struct Inside<C> {
    commands: Receiver<C>,
    asked: Arc<AtomicBool>,
    list: Arc<Mutex<Option<Network>>>,
    waker: Waker,
}

/// Makes the two ends. Each sender of commands has its own limit (connections, questions), so the
/// box needs none.
pub(crate) fn mailbox<C>(waker: Waker) -> (Mailbox<C>, Inside<C>) {
    let (sender, receiver) = channel();
    let asked = Arc::new(AtomicBool::new(false));
    let stop = Stop { asked: asked.clone(), waker: waker.clone() };
    let inside = Inside { commands: receiver, asked, list: Arc::default(), waker };
    (Mailbox { commands: sender, stop }, inside)
}

impl<C> Mailbox<C> {
    /// Leaves a command; false when the node has ended.
    pub fn send(&self, command: C) -> bool {
        let sent = self.commands.send(command).is_ok();
        self.stop.waker.wake();
        sent
    }

    /// What ends the node.
    pub fn stop(&self) -> Stop {
        self.stop.clone()
    }
}

impl<C> Clone for Mailbox<C> {
    fn clone(&self) -> Self {
        Mailbox { commands: self.commands.clone(), stop: self.stop.clone() }
    }
}

impl Stop {
    /// Asks the node to end.
    pub fn ask(&self) {
        self.asked.store(true, Ordering::Relaxed);
        self.waker.wake();
    }
}

impl NewList {
    /// Leaves the list for the node.
    pub(crate) fn give(&self, list: Network) {
        *self.list.lock().unwrap_or_else(PoisonError::into_inner) = Some(list);
        self.waker.wake();
    }
}

impl<C> Inside<C> {
    /// What gives this node a changed list.
    pub(crate) fn new_list(&self) -> NewList {
        NewList { list: self.list.clone(), waker: self.waker.clone() }
    }

    pub(crate) fn changed_list(&self) -> Option<Network> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(crate) fn next(&self) -> Option<C> {
        self.commands.try_recv().ok()
    }

    pub(crate) fn stopped(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }
}
