//! `mingle bench chain`: a local chain of processes beside plain relays, in one run.
//!
//! The round trip is measured on both at the same time, a question here and a question there, so
//! that what the machine does meanwhile is the same for both. The rate is raised step by step
//! until more than one in a hundred is lost.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use clap::Args;
use indicatif::ProgressBar;
use mixing::Strategy;
use serde_json::{Value, json};

use super::load::{Asker, Echo, Load, Outcome};
use super::local::{Chain, MIXES, SIZE, progress};
use crate::{Error, udp};

#[derive(Args)]
pub(in crate::command) struct Arguments {
    /// Print one JSON object and nothing else
    #[arg(long)]
    json: bool,
    /// Seconds of each measurement
    #[arg(long, value_name = "SECONDS", default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
}

const CALLS_PER_SECOND: u64 = 50;
const CHANNELS: usize = 64;
const RATES: [u64; 8] = [5_000, 10_000, 20_000, 30_000, 40_000, 60_000, 80_000, 120_000];
const LOSS_MOST: f64 = 0.01;

pub(in crate::command) fn perform(arguments: &Arguments) -> Result<(), Error> {
    let program = super::super::program()?;
    let time = Duration::from_secs(arguments.seconds);
    let echo = Echo::start()?;
    let progress = progress(arguments.json);

    progress.set_message("starting a chain (none) and as many plain relays");
    let none = Chain::start(&program, Some(Strategy::None))?;
    let relays = Relays::start(&program, echo.address())?;
    progress.set_message(format!("round trip: {CALLS_PER_SECOND} echoes a second on each"));
    let (chain, plain) = round_trip(&none, &relays, &echo, time)?;
    let rate_none = highest(&progress, "none", |rate| none.load(&echo, CHANNELS, rate, time))?;
    drop(none);
    let rate_plain = highest(&progress, "relays", |rate| relays.load(1, rate, time))?;
    drop(relays);
    let threshold = Strategy::Threshold { n: 16, timeout: Duration::from_millis(20) };
    progress.set_message("starting a chain (threshold 16, 20 ms)");
    let mixing = Chain::start(&program, Some(threshold))?;
    let rate_threshold =
        highest(&progress, "threshold", |rate| mixing.load(&echo, CHANNELS, rate, time))?;
    progress.finish_and_clear();

    let ratio = chain.at(0.5).zip(plain.at(0.5)).map(|(chain, plain)| chain / plain);
    if arguments.json {
        println!(
            "{}",
            json!({
                "round_trip": { "chain": trip(&chain), "relays": trip(&plain), "ratio": ratio },
                "rate": {
                    "none": steps(&rate_none),
                    "threshold": steps(&rate_threshold),
                    "relays": steps(&rate_plain),
                    "ratio": best(&rate_none) / best(&rate_plain),
                },
            })
        );
    } else {
        println!("{MIXES} mixes, {SIZE}-byte echoes, {} s each\n", arguments.seconds);
        println!("round trip at {CALLS_PER_SECOND} a second");
        show_trip("chain, strategy none", &chain);
        show_trip("plain relays", &plain);
        println!("  ratio of the medians {:.2}\n", ratio.unwrap_or(f64::NAN));
        println!("echoes a second at less than 1 % loss, {CHANNELS} channels");
        show_steps("chain, strategy none", &rate_none);
        show_steps("chain, threshold 16, 20 ms", &rate_threshold);
        show_steps("plain relays, one flow", &rate_plain);
        println!("  ratio of none to relays {:.2}", best(&rate_none) / best(&rate_plain));
    }
    Ok(())
}

/// Both at once: what disturbs one disturbs the other.
fn round_trip(
    chain: &Chain,
    relays: &Relays,
    echo: &Echo,
    time: Duration,
) -> Result<(Outcome, Outcome), Error> {
    let chain = Asker::new(chain.load(echo, 1, CALLS_PER_SECOND, time))?;
    let relays = Asker::new(relays.load(1, CALLS_PER_SECOND, time))?;
    std::thread::scope(|scope| {
        let other = scope.spawn(|| relays.run());
        let chain = chain.run()?;
        Ok((chain, other.join().expect("a load does not panic")?))
    })
}

/// Raises the rate until too much is lost; every step that was taken.
fn highest(
    progress: &ProgressBar,
    name: &str,
    load: impl Fn(u64) -> Load,
) -> Result<Vec<(u64, Outcome)>, Error> {
    let mut steps = Vec::new();
    for rate in RATES {
        progress.set_message(format!("rate, {name}: {rate} echoes a second"));
        let outcome = Asker::new(load(rate))?.run()?;
        let lost = outcome.loss() > LOSS_MOST;
        steps.push((rate, outcome));
        if lost {
            break;
        }
    }
    Ok(steps)
}

/// The highest rate of a row that lost less than one in a hundred: what was answered a second.
fn best(steps: &[(u64, Outcome)]) -> f64 {
    let good = steps.iter().filter(|(_, outcome)| outcome.loss() <= LOSS_MOST);
    good.map(|(_, outcome)| outcome.answered as f64 / outcome.seconds).fold(0.0, f64::max)
}

/// As many relays as the chain has processes. Dropping them ends them.
struct Relays {
    first: SocketAddr,
    children: Vec<(Child, Option<ChildStdin>)>,
}

impl Relays {
    fn start(program: &Path, echo: SocketAddr) -> Result<Self, Error> {
        let mut relays = Relays { first: echo, children: Vec::new() };
        for _ in 0..MIXES + 2 {
            let listen = free_port()?;
            let mut child = Command::new(program)
                .arg("bench-relay")
                .args([listen.to_string(), relays.first.to_string()])
                .stdin(Stdio::piped())
                .spawn()
                .map_err(|why| Error::system("a process", why))?;
            let alive = child.stdin.take();
            relays.children.push((child, alive));
            relays.first = listen;
        }
        Ok(relays)
    }

    fn load(&self, sockets: usize, rate: u64, time: Duration) -> Load {
        Load { to: self.first, header: Vec::new(), sockets, size: SIZE, rate, time }
    }
}

impl Drop for Relays {
    fn drop(&mut self) {
        for (child, alive) in &mut self.children {
            *alive = None;
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn free_port() -> Result<SocketAddr, Error> {
    let socket = udp::plain((Ipv4Addr::LOCALHOST, 0).into());
    let address = socket.and_then(|socket| socket.local_addr());
    address.map_err(|why| Error::system("a socket", why))
}

fn trip(outcome: &Outcome) -> Value {
    json!({
        "sent": outcome.sent,
        "answered": outcome.answered,
        "ms": { "p50": outcome.at(0.5), "p99": outcome.at(0.99), "max": outcome.at(1.0) },
    })
}

fn steps(steps: &[(u64, Outcome)]) -> Value {
    let rows = steps.iter().map(|(rate, outcome)| {
        json!({
            "asked": rate,
            "sent": outcome.sent,
            "answered": outcome.answered,
            "loss": outcome.loss(),
            "ms": { "p50": outcome.at(0.5), "p99": outcome.at(0.99) },
        })
    });
    json!({ "best": best(steps), "steps": rows.collect::<Vec<_>>() })
}

fn show_trip(name: &str, outcome: &Outcome) {
    println!(
        "  {name:<28} {:.2} ms in the middle, {:.2} ms at 99 %, {} of {} answered",
        outcome.at(0.5).unwrap_or(f64::NAN),
        outcome.at(0.99).unwrap_or(f64::NAN),
        outcome.answered,
        outcome.sent,
    );
}

fn show_steps(name: &str, steps: &[(u64, Outcome)]) {
    println!("  {name:<28} {:.0}", best(steps));
    for (rate, outcome) in steps {
        println!(
            "    {rate:>7} asked  {:>6.2} % lost  {:>8.2} ms in the middle",
            outcome.loss() * 100.0,
            outcome.at(0.5).unwrap_or(f64::NAN),
        );
    }
}
