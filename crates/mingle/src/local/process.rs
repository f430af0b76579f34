//! The nodes of a local network as processes.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::running::Running;
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
    status: SocketAddr,
    running: Running,
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
        let running = Running::start(program, folder)?;
        Ok(NodeProcess { name, status, running })
    }

    /// Starts it once more after it ended.
    ///
    /// # Errors
    /// When the process cannot be started.
    pub fn start_again(&mut self) -> Result<(), Error> {
        self.running.start_again()
    }

    /// Its name in the network list.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The process.
    pub fn id(&self) -> u32 {
        self.running.id()
    }

    /// Everything it said so far.
    pub fn said(&self) -> String {
        self.running.said()
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
        let status = self.status;
        self.running.wait_until(state, |_| {
            let body = get(status, "/status");
            let status = body.ok().and_then(|body| serde_json::from_str::<Value>(&body).ok());
            status.is_some_and(|status| status[state] == true)
        })
    }

    /// Tells it to end and waits until it has.
    ///
    /// # Errors
    /// When it has to be killed, or ends with a failure.
    pub fn stop(&mut self) -> Result<(), Error> {
        self.running.stop()
    }

    /// Ends it as a crash would.
    pub fn kill(&mut self) {
        self.running.kill();
    }

    fn tell(&mut self) {
        self.running.tell();
    }
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

const ANSWER_WITHIN: Duration = Duration::from_secs(5);
const PAGE_MAX: u64 = 1 << 20;
