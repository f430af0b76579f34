//! What the benches share: a chain of processes, and a line that says what is being measured.

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use mixing::Strategy;

use super::load::{Echo, Load};
use crate::local::process::LocalNetwork;
use crate::local::{self, Plan};
use crate::{Error, raw};

/// Mixes of a chain that is measured.
pub(super) const MIXES: u8 = 3;
/// Bytes of an echo.
pub(super) const SIZE: usize = 200;

/// A chain of processes, and the folder that goes with it.
pub(super) struct Chain {
    pub(super) network: LocalNetwork,
    _folder: tempfile::TempDir,
}

impl Chain {
    pub(super) fn start(program: &Path, strategy: Option<Strategy>) -> Result<Self, Error> {
        let folder = super::scratch::folder()?;
        let root = folder.path().join("network");
        let base_port = local::free_base_port()?;
        local::create(&root, &Plan { mixes: MIXES, base_port, strategy })?;
        Ok(Chain { network: LocalNetwork::start(program, &root)?, _folder: folder })
    }

    pub(super) fn load(&self, echo: &Echo, sockets: usize, rate: u64, time: Duration) -> Load {
        let to = self.network.ports().raw();
        let header = raw::header(Ipv4Addr::LOCALHOST, echo.address().port()).to_vec();
        Load { to, header, sockets, size: SIZE, rate, time }
    }
}

/// One line that changes; nothing where a program reads.
pub(super) fn progress(quiet: bool) -> ProgressBar {
    if quiet {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{spinner} {elapsed} {msg}");
    let bar = ProgressBar::new_spinner().with_style(style.expect("a fixed template"));
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}
