//! The demo's sender and receivers: processes of their own that tell on standard output, one JSON
//! object a line, what they do.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use clap::{Args, Subcommand};
use mixing::Chance;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::clock::Clock;
use crate::{Error, key, raw};

#[derive(Args)]
pub(in crate::command) struct Arguments {
    #[command(subcommand)]
    part: Which,
}

#[derive(Subcommand)]
enum Which {
    /// Answer every datagram with thanks
    Receiver,
    /// Send Hello to receivers picked at random
    Sender {
        /// The raw door of the entry
        entry: SocketAddr,
        /// How many
        count: usize,
        /// The receivers
        receivers: Vec<SocketAddr>,
    },
}

const QUESTION: &[u8] = b"Hello";
const ANSWER: &[u8] = b"Got Message. Thanks!";
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// All of them leave within this time, so that the mixes have something to mix.
const SPREAD: Duration = Duration::from_millis(60);

pub(in crate::command) fn perform(arguments: &Arguments) -> Result<(), Error> {
    super::super::end_with_stdin();
    match &arguments.part {
        Which::Receiver => receive(),
        Which::Sender { entry, count, receivers } => send(*entry, *count, receivers),
    }
}

fn receive() -> Result<(), Error> {
    let failed = |why| Error::system("a socket", why);
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).map_err(failed)?;
    let address = socket.local_addr().map_err(failed)?;
    tell(&json!({ "event": "listening", "address": address.to_string() }));
    let mut buffer = [0; 2048];
    loop {
        let Ok((size, from)) = socket.recv_from(&mut buffer) else { continue };
        if &buffer[..size] == QUESTION {
            tell(&json!({ "event": "received" }));
            let _ = socket.send_to(ANSWER, from);
        }
    }
}

fn send(entry: SocketAddr, count: usize, receivers: &[SocketAddr]) -> Result<(), Error> {
    let mut chance = Chance::new(key::random()?);
    let clock = Clock::start();
    std::thread::scope(|scope| {
        for number in 1..=count {
            let picked = chance.below(receivers.len() as u64) as usize;
            let pause = SPREAD.mul_f64(chance.unit());
            scope.spawn(move || ask(clock, entry, number, picked, receivers[picked], pause));
        }
    });
    tell(&json!({ "event": "done" }));
    Ok(())
}

/// One Hello from a socket of its own, and so over a channel of its own.
fn ask(
    clock: Clock,
    entry: SocketAddr,
    number: usize,
    picked: usize,
    receiver: SocketAddr,
    pause: Duration,
) {
    let event = |event: &str| json!({ "event": event, "number": number, "receiver": picked + 1 });
    std::thread::sleep(pause);
    let exchange = || -> std::io::Result<Duration> {
        let SocketAddr::V4(receiver) = receiver else { return Err(std::io::Error::other("IPv4")) };
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.connect(entry)?;
        socket.set_read_timeout(Some(ANSWER_WITHIN))?;
        let datagram = [&raw::header(*receiver.ip(), receiver.port())[..], QUESTION].concat();
        tell(&event("sent"));
        let began = clock.now().time;
        socket.send(&datagram)?;
        let mut buffer = [0; 2048];
        let size = socket.recv(&mut buffer)?;
        if &buffer[..size] == ANSWER {
            Ok(clock.now().time - began)
        } else {
            Err(std::io::Error::other("another answer"))
        }
    };
    let mut told = event("lost");
    if let Ok(took) = exchange() {
        told = event("answered");
        told["ms"] = json!(took.as_secs_f64() * 1000.0);
    }
    tell(&told);
}

fn tell(event: &Value) {
    let mut stdout = std::io::stdout().lock();
    let _ = writeln!(stdout, "{event}").and_then(|()| stdout.flush());
}

/// A part as the demo sees it. Dropping it ends its process.
pub(super) struct Part {
    _child: Child,
    _alive: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Part {
    pub(super) fn start(program: &Path, words: &[&str]) -> Result<Self, Error> {
        let failed = |why| Error::system("a process", why);
        let mut child = Command::new(program)
            .arg("demo-part")
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let stdout = child.stdout.take().expect("piped above");
        let alive = child.stdin.take();
        Ok(Part { _child: child, _alive: alive, lines: BufReader::new(stdout).lines() })
    }

    /// The next thing it tells.
    pub(super) async fn next(&mut self) -> Result<Value, Error> {
        let line = self.lines.next_line().await.map_err(|why| Error::system("a pipe", why))?;
        let line = line.ok_or_else(|| Error::Failed("a part of the demo ended early".into()))?;
        serde_json::from_str(&line).map_err(|why| Error::system("a pipe", why))
    }

    /// The next event of a kind.
    pub(super) async fn event(&mut self, kind: &str) -> Result<Value, Error> {
        loop {
            let event = self.next().await?;
            if event["event"] == kind {
                return Ok(event);
            }
        }
    }

    /// How many events of a kind it has told and nobody has read.
    pub(super) async fn count(&mut self, kind: &str) -> u64 {
        let mut count = 0;
        // What was told before the answer was sent is in the pipe by now.
        while let Ok(Ok(event)) = tokio::time::timeout(Duration::from_millis(20), self.next()).await
        {
            count += u64::from(event["event"] == kind);
        }
        count
    }
}
