//! The signals that end a command: Ctrl-C, a plain `kill`, and a terminal that was closed.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::Error;

/// Signals that end nothing by themselves from the moment this is made.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Option<Signal>,
}

impl Signals {
    /// Within a runtime only.
    pub(super) fn watch() -> Result<Self, Error> {
        let watch = |kind| signal(kind).map_err(|why| Error::system("signals", why));
        Ok(Self {
            interrupt: watch(SignalKind::interrupt())?,
            terminate: watch(SignalKind::terminate())?,
            hangup: if hangup_ignored() { None } else { Some(watch(SignalKind::hangup())?) },
        })
    }

    /// Waits for the first of them and says what happened.
    pub(super) async fn first(&mut self) -> &'static str {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => "interrupted",
            _ = self.terminate.recv() => "terminated",
            _ = hangup => "the terminal was closed",
        }
    }
}

/// Whether this process was started to outlive its terminal, as by `nohup`: to watch the signal
/// would undo that.
fn hangup_ignored() -> bool {
    std::fs::read_to_string("/proc/self/status").is_ok_and(|status| ignores_hangup(&status))
}

fn ignores_hangup(status: &str) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // Signal n is bit n - 1, and this one is 1.
    mask.is_some_and(|mask| mask & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ignored_hangup_is_seen() {
        assert!(ignores_hangup("Name:\tmingle\nSigIgn:\t0000000000001001\nSigCgt:\t0\n"));
        assert!(!ignores_hangup("Name:\tmingle\nSigIgn:\t0000000000001000\nSigCgt:\t1\n"));
        assert!(!ignores_hangup("Name:\tmingle\n"));
    }
}
