//! `mingle run` of one folder, as a process of its own: started, watched, ended, killed.
//!
//! What always holds: the process ends with the one that started it, however that ends; what it says is
//! kept up to a limit, so that its pipe never fills.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::Error;

/// A process. Dropping it ends it.
pub struct Running {
    program: PathBuf,
    folder: PathBuf,
    child: Child,
    /// Closed, it ends the process.
    alive: Option<ChildStdin>,
    said: Arc<Mutex<String>>,
}

impl Running {
    /// Starts what is in a folder.
    ///
    /// # Errors
    /// When the process cannot be started.
    pub fn start(program: &Path, folder: &Path) -> Result<Self, Error> {
        let said = Arc::new(Mutex::new(String::new()));
        let (child, alive) = spawn(program, folder, &said)?;
        let (program, folder) = (program.to_owned(), folder.to_owned());
        Ok(Self { program, folder, child, alive, said })
    }

    /// Starts it once more after it ended; what it said before is forgotten.
    ///
    /// # Errors
    /// When the process cannot be started.
    pub fn start_again(&mut self) -> Result<(), Error> {
        self.tell();
        self.wait_ended();
        // A buffer of its own: the last words of the one before may still come.
        self.said = Arc::default();
        (self.child, self.alive) = spawn(&self.program, &self.folder, &self.said)?;
        Ok(())
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Everything it said since its start.
    pub fn said(&self) -> String {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until it says that it is ready.
    ///
    /// # Errors
    /// As [`Self::wait_until`].
    pub fn wait_ready(&mut self) -> Result<(), Error> {
        self.wait_until("ready", |running| {
            running.said().lines().any(|line| line.ends_with("ready"))
        })
    }

    /// Looks again and again until it is so.
    ///
    /// # Errors
    /// When the process ends instead, or takes a minute, with what it said.
    pub fn wait_until(&mut self, state: &str, so: impl Fn(&Self) -> bool) -> Result<(), Error> {
        for _ in 0..LOOKS_FOR_STATE {
            if so(self) {
                return Ok(());
            }
            let ended = self.child.try_wait().map_err(|why| Error::system("waiting", why))?;
            if let Some(status) = ended {
                return Err(self.failed(&format!("ended with {status} before it was {state}")));
            }
            thread::sleep(LOOK_AGAIN);
        }
        Err(self.failed(&format!("is still not {state} after a minute")))
    }

    /// Tells it to end and waits until it has.
    ///
    /// # Errors
    /// When it has to be killed, or ends with a failure.
    pub fn stop(&mut self) -> Result<(), Error> {
        self.tell();
        match self.wait_ended() {
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(self.failed(&format!("ended with {status}"))),
            None => Err(self.failed("did not end and was killed")),
        }
    }

    /// Ends it as a crash would.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Tells it to end; dropping it waits.
    pub fn tell(&mut self) {
        self.alive = None;
    }

    /// How it ended; nothing when it took so long that it was killed.
    pub fn wait_ended(&mut self) -> Option<ExitStatus> {
        for _ in 0..LOOKS {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Some(status);
            }
            thread::sleep(LOOK_AGAIN);
        }
        self.kill();
        None
    }

    fn failed(&self, what: &str) -> Error {
        let name = self.folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let what = format!("{what}; it said:\n{}", self.said());
        Error::Child { name, what }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.tell();
        self.wait_ended();
    }
}

/// Starts a process that lives no longer than the pipe to it.
fn spawn(
    program: &Path,
    folder: &Path,
    said: &Arc<Mutex<String>>,
) -> Result<(Child, Option<ChildStdin>), Error> {
    let mut child = Command::new(program)
        .arg("run")
        .arg(folder)
        .arg("--end-with-stdin")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|why| Error::system("a process", why))?;
    if let Some(stderr) = child.stderr.take() {
        listen(stderr, said.clone());
    }
    let alive = child.stdin.take();
    Ok((child, alive))
}

/// Keeps what a process says, up to a limit, so that its pipe never fills.
fn listen(stderr: ChildStderr, said: Arc<Mutex<String>>) {
    thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
            if said.len() + line.len() < SAID_MAX {
                said.push_str(&line);
                said.push('\n');
            }
        }
    });
}

const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// Ten seconds.
const LOOKS: u32 = 1000;
const LOOKS_FOR_STATE: u32 = 6 * LOOKS;
const SAID_MAX: usize = 1 << 16;
