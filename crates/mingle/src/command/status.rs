//! `mingle status [DIR]`: what the node of a folder does, from its own page.

mod mixer;
mod page;
mod words;

use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use crate::clock::Clock;
use crate::config::{self, Config};
use crate::{Error, http, local, payments};

#[derive(Args)]
pub(super) struct Arguments {
    /// The node's folder
    #[arg(value_name = "DIR", default_value = ".")]
    folder: PathBuf,
    /// Show it again and again until interrupted
    #[arg(long, conflicts_with = "json")]
    watch: bool,
    /// What the node says, for programs
    #[arg(long)]
    json: bool,
}

pub(super) fn perform(arguments: &Arguments) -> Result<(), Error> {
    if payments::config::is_of_payments(&arguments.folder) {
        return mixer::perform(arguments);
    }
    let config = Config::read(&arguments.folder)?;
    let address = *config.metrics().listen.first().ok_or_else(|| {
        let why =
            "metrics.listen is empty, so the node has no page to ask: give it 127.0.0.1:20200";
        Error::unfit(&arguments.folder.join(config::FILE), why)
    })?;
    if arguments.json {
        super::say(&read(address)?);
        super::say("\n");
        return Ok(());
    }
    let clock = Clock::start();
    let shown = || -> Result<String, Error> {
        let status: Value = serde_json::from_str(&read(address)?)
            .map_err(|why| Error::Failed(format!("the page at {address} is no status: {why}")))?;
        Ok(page::text(&status, clock.now().date, config.node().figures_every))
    };
    if !arguments.watch {
        super::say(&shown()?);
        return Ok(());
    }
    watch(shown)
}

/// Shows it again and again until interrupted.
fn watch(shown: impl Fn() -> Result<String, Error>) -> Result<(), Error> {
    let mut out = std::io::stdout();
    let before = if out.is_terminal() { CLEAR } else { "\n" };
    loop {
        // A node that restarts is worth watching through it.
        let text = shown().unwrap_or_else(|why| format!("{why}\n"));
        let written = write!(out, "{before}{text}").and_then(|()| out.flush());
        if written.is_err() {
            // Nobody reads any more.
            return Ok(());
        }
        std::thread::sleep(WATCH_EVERY);
    }
}

fn read(address: SocketAddr) -> Result<String, Error> {
    // A node that listens everywhere listens here.
    let mut asked = address;
    if asked.ip().is_unspecified() {
        asked.set_ip(match asked {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    local::process::get(asked, "/status").map_err(|why| {
        let page = http::status_address(asked);
        Error::Failed(format!("{page} does not answer ({why}): the node does not run"))
    })
}

const WATCH_EVERY: Duration = Duration::from_secs(1);
/// To the corner, and all below it empty.
const CLEAR: &str = "\x1b[H\x1b[J";
