//! Lines about the life of the node, to stderr.
//!
//! Nothing here ever follows a datagram: no user's address, no destination, no count of a channel
//! (promise 6). Colour only where a person looks.
//!
//! A thread of its own writes them: whoever reads them slowly, or not at all, holds up no node. Of more
//! than [`WAITING_MAX`] that wait, the newest are lost.

use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

/// The most lines that wait for their reader.
pub const WAITING_MAX: usize = 1024;

/// The longest that an ending process waits for the reader of its last lines.
const FLUSH_WITHIN: Duration = Duration::from_secs(1);

enum Line {
    Text(String),
    /// All before it are written when the answer comes.
    Flush(SyncSender<()>),
}

/// Something that happened and is as it should be.
pub fn info(text: impl std::fmt::Display) {
    line("", &text);
}

/// Something the operator should look at; the node goes on.
pub fn warning(text: impl std::fmt::Display) {
    line("33", &format_args!("warning: {text}"));
}

/// Something that ended what was asked for.
pub fn error(text: impl std::fmt::Display) {
    line("31", &format_args!("error: {text}"));
}

/// Waits until what was said is written, or its reader is too slow: before the process ends.
pub fn flush() {
    let (done, written) = sync_channel(1);
    if writer().try_send(Line::Flush(done)).is_ok() {
        let _ = written.recv_timeout(FLUSH_WITHIN);
    }
}

fn line(colour: &str, text: &dyn std::fmt::Display) {
    let text = if colour.is_empty() || !io::stderr().is_terminal() || plain() {
        format!("mingle: {text}\n")
    } else {
        format!("\x1b[{colour}mmingle: {text}\x1b[0m\n")
    };
    // What does not fit is lost; there is nobody left to be told.
    let _ = writer().try_send(Line::Text(text));
}

fn writer() -> &'static SyncSender<Line> {
    static WRITER: OnceLock<SyncSender<Line>> = OnceLock::new();
    WRITER.get_or_init(|| {
        let (sender, lines) = sync_channel(WAITING_MAX);
        std::thread::spawn(move || write(&lines));
        sender
    })
}

/// A log that cannot be written ends nothing, so what `write_all` says is not asked.
fn write(lines: &Receiver<Line>) {
    for line in lines {
        match line {
            Line::Text(text) => drop(io::stderr().write_all(text.as_bytes())),
            Line::Flush(done) => drop(done.try_send(())),
        }
    }
}

/// Whether the user asked for no colour (no-color.org).
pub(crate) fn plain() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}
