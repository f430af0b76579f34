//! The nodes of a local network as processes.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::{ENTRY, Ports, folders};
use crate::Error;
use crate::config::Config;

/// A local network that runs. Dropping it ends every process of it.
pub struct LocalNetwork {
    root: PathBuf,
    ports: Ports,
    nodes: Vec<NodeProcess>,
}

impl LocalNetwork {
    /// Starts every node of the network in `root` with `program` and waits until all are ready.
    ///
    /// # Errors
    /// When a node ends before it is ready, with what it said.
    pub fn start(program: &Path, root: &Path) -> Result<Self, Error> {
        let folders = folders(root)?;
        let base = base_port(&folders)?;
        let mut network =
            LocalNetwork { root: root.to_owned(), ports: Ports { base }, nodes: Vec::new() };
        // All at once, then wait: whoever is asked too early is asked again.
        for folder in &folders {
            network.nodes.push(NodeProcess::start(program, folder)?);
        }
        for node in &mut network.nodes {
            node.wait_for("ready")?;
        }
        // The entry knows everybody's key, so that the first datagram waits for one set-up only.
        if let Some(entry) = network.node(ENTRY) {
            entry.wait_for("complete")?;
        }
        Ok(network)
    }

    /// Its folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where everything is.
    pub fn ports(&self) -> Ports {
        self.ports
    }

    /// Its nodes, the last hop first and the entry last.
    pub fn nodes(&mut self) -> &mut [NodeProcess] {
        &mut self.nodes
    }

    /// The node with this name.
    pub fn node(&mut self, name: &str) -> Option<&mut NodeProcess> {
        self.nodes.iter_mut().find(|node| node.name == name)
    }

    /// Ends every node cleanly, the entry first, and says how each ended.
    ///
    /// # Errors
    /// When a node did not end by itself, or not with success.
    pub fn stop(mut self) -> Result<(), Error> {
        for node in self.nodes.iter_mut().rev() {
            node.stop()?;
        }
        Ok(())
    }
}

impl Drop for LocalNetwork {
    fn drop(&mut self) {
        // All are told before any is waited for.
        for node in self.nodes.iter_mut().rev() {
            node.tell();
        }
    }
}

/// A node's process. Dropping it ends it.
pub struct NodeProcess {
    name: String,
    program: PathBuf,
    folder: PathBuf,
    status: SocketAddr,
    child: Child,
    /// Closed, it ends the process.
    alive: Option<ChildStdin>,
    said: Arc<Mutex<String>>,
}

impl NodeProcess {
    /// Starts the node of a folder; its figures must have an address.
    ///
    /// # Errors
    /// When its settings cannot be read, or the process cannot be started.
    pub fn start(program: &Path, folder: &Path) -> Result<Self, Error> {
        let config = Config::read(folder)?;
        let name = config.node().name.clone();
        let status = *config.metrics().listen.first().ok_or_else(|| {
            let why = "metrics.listen is empty, so nobody can see whether the node is ready";
            Error::unfit(&folder.join(crate::config::FILE), why)
        })?;
        let said = Arc::new(Mutex::new(String::new()));
        let (child, alive) = spawn(program, folder, &said)?;
        let (program, folder) = (program.to_owned(), folder.to_owned());
        Ok(NodeProcess { name, program, folder, status, child, alive, said })
    }

    /// Starts it once more after it ended.
    ///
    /// # Errors
    /// When the process cannot be started.
    pub fn start_again(&mut self) -> Result<(), Error> {
        self.tell();
        self.wait_ended();
        (self.child, self.alive) = spawn(&self.program, &self.folder, &self.said)?;
        Ok(())
    }

    /// Its name in the network list.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Everything it said so far.
    pub fn said(&self) -> String {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What its status page says now.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn status(&self) -> io::Result<Value> {
        let body = get(self.status, "/status")?;
        serde_json::from_str(&body).map_err(io::Error::other)
    }

    /// The text of its metrics page now.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn metrics(&self) -> io::Result<String> {
        get(self.status, "/metrics")
    }

    /// Waits until its status page says that it is `ready` or `complete`.
    ///
    /// # Errors
    /// When it ends instead, or takes a minute, with what it said.
    pub fn wait_for(&mut self, state: &str) -> Result<(), Error> {
        for _ in 0..LOOKS_FOR_STATE {
            if self.status().is_ok_and(|status| status[state] == true) {
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

    fn tell(&mut self) {
        self.alive = None;
    }

    /// How it ended; nothing when it took so long that it was killed.
    fn wait_ended(&mut self) -> Option<ExitStatus> {
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
        let what = format!("{what}; it said:\n{}", self.said());
        Error::Child { name: self.name.clone(), what }
    }
}

impl Drop for NodeProcess {
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

/// A page over HTTP; enough of it to read our own.
///
/// # Errors
/// When nobody answers, or with something else than success.
pub fn get(address: SocketAddr, page: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, ANSWER_WITHIN)?;
    stream.set_read_timeout(Some(ANSWER_WITHIN))?;
    write!(stream, "GET {page} HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(PAGE_MAX).read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    if head.split_whitespace().nth(1) != Some("200") {
        return Err(io::Error::other(head.lines().next().unwrap_or("no answer").to_owned()));
    }
    Ok(body.to_owned())
}

/// The base port of a network: where its entry's raw door is.
fn base_port(folders: &[PathBuf]) -> Result<u16, Error> {
    let entry = folders.last().ok_or(Error::Usage("a network has an entry".into()))?;
    match Config::read(entry)? {
        Config::Entry(config) => config.raw.listen.first().map(SocketAddr::port),
        _ => None,
    }
    .ok_or_else(|| Error::unfit(&entry.join(crate::config::FILE), "raw.listen is empty"))
}

const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// Ten seconds.
const LOOKS: u32 = 1000;
const LOOKS_FOR_STATE: u32 = 6 * LOOKS;
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
const PAGE_MAX: u64 = 1 << 20;
const SAID_MAX: usize = 1 << 16;
