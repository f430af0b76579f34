//! Lines about the life of the node, to stderr.
//!
//! Nothing here ever follows a datagram: no user's address, no destination, no count of a channel
//! (promise 6). Colour only where a person looks.

use std::io::{self, IsTerminal, Write};

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

/// A log that cannot be written ends nothing, so what `write` says is not asked.
fn line(colour: &str, text: &dyn std::fmt::Display) {
    let mut stderr = io::stderr().lock();
    let _ = if colour.is_empty() || !stderr.is_terminal() || plain() {
        writeln!(stderr, "mingle: {text}")
    } else {
        writeln!(stderr, "\x1b[{colour}mmingle: {text}\x1b[0m")
    };
}

/// Whether the user asked for no colour (no-color.org).
pub(crate) fn plain() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}
