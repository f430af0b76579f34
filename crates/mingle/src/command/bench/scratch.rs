//! Where a bench works: one folder that goes with it, also when somebody interrupts it.

use std::path::PathBuf;
use std::sync::OnceLock;

use tempfile::TempDir;

use crate::command::signals::Signals;
use crate::{Error, log};

static ROOT: OnceLock<PathBuf> = OnceLock::new();

/// Makes the folder, which goes when what is returned is dropped, and watches for signals.
pub(super) fn begin() -> Result<TempDir, Error> {
    let root = tempfile::Builder::new().prefix("mingle-bench-").tempdir();
    let root = root.map_err(|why| Error::system("a folder for the bench", why))?;
    let path = ROOT.get_or_init(|| root.path().to_owned());
    std::thread::spawn(move || {
        let Ok(runtime) = crate::command::runtime() else { return };
        runtime.block_on(async {
            let Ok(mut signals) = Signals::watch() else { return };
            let why = signals.first().await;
            log::error(format_args!("{why}: nothing was measured"));
            // The processes end with this one, whose end of their pipes closes.
            let _ = std::fs::remove_dir_all(path);
            log::flush();
            std::process::exit(1);
        });
    });
    Ok(root)
}

/// A folder within it.
pub(super) fn folder() -> Result<TempDir, Error> {
    let made = match ROOT.get() {
        Some(root) => tempfile::tempdir_in(root),
        None => tempfile::tempdir(),
    };
    made.map_err(|why| Error::system("a folder for the bench", why))
}
