//! `mingle bench hold`: crowds, floods and restarts against a local chain of processes.
//!
//! * a storm: many channels that start at the same moment, three packets each;
//! * rest: what an idle channel costs a mix: how much as many channels more make it grow, opened
//!   so slowly that what the storm needed is enough for them;
//! * a flood: openings from random sources while an echo runs;
//! * restarts: how long an application that keeps sending is without answers.

use std::net::UdpSocket;
use std::time::Duration;

use clap::Args;
use indicatif::ProgressBar;
use mixing::Strategy;
use serde_json::{Value, json};

use super::flood::Flood;
use super::load::{Asker, Echo, Load};
use super::local::{Chain, progress};
use crate::clock::Clock;
use crate::local::process::NodeProcess;
use crate::{Error, raw};

#[derive(Args)]
pub(in crate::command) struct Arguments {
    /// Print one JSON object and nothing else
    #[arg(long)]
    json: bool,
}

const STORM: usize = 1000;
const PACKETS: usize = 3;
/// Channels that are opened at once while what they cost at rest is measured.
const SLOWLY: usize = 20;
const STORM_WITHIN: Duration = Duration::from_secs(60);
const FLOOD_PER_SECOND: u64 = 20_000;
const FLOOD_FOR: Duration = Duration::from_secs(4);
const SERVED_WITHIN: Duration = Duration::from_secs(60);

pub(in crate::command) fn perform(arguments: &Arguments) -> Result<(), Error> {
    let program = super::super::program()?;
    let echo = Echo::start()?;
    let progress = progress(arguments.json);
    progress.set_message("starting a chain");
    let mut chain = Chain::start(&program, None)?;
    let flood = flood(&progress, &chain, &echo)?;
    let storm = storm(&progress, &mut chain, &echo)?;
    drop(chain);
    progress.set_message("starting another chain");
    let mut chain = Chain::start(&program, Some(Strategy::None))?;
    let restarts = restarts(&progress, &program, &mut chain, &echo)?;
    progress.finish_and_clear();
    if arguments.json {
        println!("{}", json!({ "storm": storm, "flood": flood, "restarts": restarts }));
    } else {
        show(&storm, &flood, &restarts);
    }
    Ok(())
}

/// All channels at once; then what they cost while they rest.
fn storm(progress: &ProgressBar, chain: &mut Chain, echo: &Echo) -> Result<Value, Error> {
    progress.set_message(format!("storm: {STORM} channels at the same moment"));
    let header = raw::header(std::net::Ipv4Addr::LOCALHOST, echo.address().port());
    let sockets = applications(chain)?;
    let (clock, began) = Clock::started();
    for packet in 0..PACKETS {
        let datagram = [&header[..], &[packet as u8; 64]].concat();
        for socket in &sockets {
            let _ = socket.send(&datagram);
        }
    }
    let mut answered = vec![0; STORM];
    let mut all_after = None;
    while clock.now().time - began < STORM_WITHIN {
        for (socket, answered) in sockets.iter().zip(&mut answered) {
            while socket.recv(&mut [0; 2048]).is_ok() {
                *answered += 1;
            }
        }
        if answered.iter().all(|count| *count == PACKETS) {
            all_after = Some((clock.now().time - began).as_secs_f64());
            break;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let peak = memory(chain, "VmHWM:")?;
    progress.set_message(format!("rest: {STORM} channels more, a few at a time"));
    let (stand, idle) = rest(chain, &header)?;
    Ok(json!({
        "channels": STORM,
        "packets": STORM * PACKETS,
        "answered": answered.iter().sum::<usize>(),
        "channels_answered_whole": answered.iter().filter(|count| **count == PACKETS).count(),
        "seconds": all_after,
        "peak_kib": peak,
        "idle_channels": stand,
        "bytes_per_idle_channel": idle,
    }))
}

/// As many applications as a storm has, each with a channel of its own once it sends.
fn applications(chain: &Chain) -> Result<Vec<UdpSocket>, Error> {
    let door = chain.network.ports().raw();
    let open = |_| {
        let socket = UdpSocket::bind((std::net::Ipv4Addr::LOCALHOST, 0))?;
        socket.connect(door)?;
        socket.set_nonblocking(true)?;
        Ok(socket)
    };
    let all: std::io::Result<Vec<_>> = (0..STORM).map(open).collect();
    all.map_err(|why| Error::system("a socket", why))
}

/// Opens as many channels again, so slowly that set-ups need no memory that the storm has not
/// given back; how many stand, and what each of them costs a mix at rest.
fn rest(chain: &mut Chain, header: &[u8]) -> Result<(usize, Value), Error> {
    std::thread::sleep(Duration::from_secs(2));
    let before = memory(chain, "VmRSS:")?;
    let more = applications(chain)?;
    let datagram = [header, &[0; 64]].concat();
    let mut stand = 0;
    for sockets in more.chunks(SLOWLY) {
        for socket in sockets {
            let _ = socket.send(&datagram);
        }
        let (clock, began) = Clock::started();
        let mut waiting: Vec<_> = sockets.iter().collect();
        while !waiting.is_empty() && clock.now().time - began < SERVED_WITHIN {
            waiting.retain(|socket| socket.recv(&mut [0; 2048]).is_err());
            std::thread::sleep(Duration::from_millis(2));
        }
        stand += sockets.len() - waiting.len();
    }
    std::thread::sleep(Duration::from_secs(2));
    let after = memory(chain, "VmRSS:")?;
    let per_channel = |node: &str| {
        let (before, after) = (before[node].as_u64(), after[node].as_u64());
        let grown = before.zip(after).map(|(before, after)| after.saturating_sub(before) * 1024);
        grown.map(|bytes| bytes / stand.max(1) as u64)
    };
    let mixes = ["mix-1", "mix-2", "mix-3"];
    let idle: serde_json::Map<_, _> =
        mixes.map(|mix| (mix.to_owned(), json!(per_channel(mix)))).into_iter().collect();
    Ok((stand, Value::Object(idle)))
}

/// A field of every process's status, in KiB.
fn memory(chain: &mut Chain, field: &str) -> Result<Value, Error> {
    let mut all = serde_json::Map::new();
    for node in chain.network.nodes() {
        let path = format!("/proc/{}/status", node.id());
        let text = std::fs::read_to_string(&path).map_err(|why| Error::system("/proc", why))?;
        let line = text.lines().find_map(|line| line.strip_prefix(field));
        let kib: Option<u64> = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        all.insert(node.name().to_owned(), json!(kib));
    }
    Ok(Value::Object(all))
}

/// Echoes of an open channel while openings come from everywhere.
fn flood(progress: &ProgressBar, chain: &Chain, echo: &Echo) -> Result<Value, Error> {
    progress.set_message(format!("flood: {FLOOD_PER_SECOND} openings a second at the first mix"));
    let load = Load { time: FLOOD_FOR, ..chain.load(echo, 1, 50, FLOOD_FOR) };
    let asker = Asker::new(load)?;
    let flood = Flood::prepare(chain)?;
    let (outcome, sent) = std::thread::scope(|scope| {
        let flooding = scope.spawn(|| flood.run(FLOOD_PER_SECOND, FLOOD_FOR));
        let outcome = asker.run();
        (outcome, flooding.join().expect("a flood does not panic"))
    });
    let outcome = outcome?;
    Ok(json!({
        "openings": sent,
        "echoes": { "sent": outcome.sent, "answered": outcome.answered, "ms_p50": outcome.at(0.5) },
    }))
}

/// Kills and starts every node in turn under an application that keeps sending.
fn restarts(
    progress: &ProgressBar,
    program: &std::path::Path,
    chain: &mut Chain,
    echo: &Echo,
) -> Result<Value, Error> {
    let mut all = serde_json::Map::new();
    let names: Vec<String> =
        chain.network.nodes().iter().map(|node| node.name().to_owned()).collect();
    let root = chain.network.root().to_owned();
    for name in names {
        progress.set_message(format!("restart: {name}"));
        let asker = Asker::new(chain.load(echo, 1, 20, Duration::from_secs(1)))?;
        let Some(node) = chain.network.node(&name) else { continue };
        node.kill();
        let (clock, began) = Clock::started();
        *node = NodeProcess::start(program, &root.join(&name))?;
        let served = asker.served_again(SERVED_WITHIN);
        all.insert(name, json!(served.then(|| (clock.now().time - began).as_secs_f64())));
    }
    Ok(Value::Object(all))
}

fn show(storm: &Value, flood: &Value, restarts: &Value) {
    println!(
        "storm: {} channels at the same moment, {} of {} packets answered{}",
        storm["channels"],
        storm["answered"],
        storm["packets"],
        storm["seconds"].as_f64().map_or(String::new(), |s| format!(", all after {s:.1} s")),
    );
    for (node, kib) in storm["peak_kib"].as_object().into_iter().flatten() {
        println!("  {node:<8} {:>6.1} MiB at most", kib.as_f64().unwrap_or_default() / 1024.0);
    }
    println!("rest: {} channels more", storm["idle_channels"]);
    for (node, bytes) in storm["bytes_per_idle_channel"].as_object().into_iter().flatten() {
        println!("  {node:<8} grew by {bytes} bytes for each");
    }
    println!(
        "flood: {} openings, {} of {} echoes answered",
        flood["openings"], flood["echoes"]["answered"], flood["echoes"]["sent"]
    );
    println!("restarts: seconds until an application that keeps sending was served again");
    for (node, seconds) in restarts.as_object().into_iter().flatten() {
        let seconds = seconds.as_f64().map_or("never".to_owned(), |s| format!("{s:.2}"));
        println!("  {node:<8} {seconds}");
    }
}
