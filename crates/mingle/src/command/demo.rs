//! `mingle demo`: the real thing on one machine, as separate processes over real sockets.
//!
//! ```text
//! sender ─► entry ─► mix-1 ─► mix-2 ─► mix-3 ─► exit ─► one of five receivers, and back
//! payer  ─► mixer ─► mixer ─► mixer ─► receiver                        (`payments`)
//! ```
//!
//! Every process ends with this one, however it ends, and the folder goes with them.

pub(super) mod part;
mod payments;

use std::io::IsTerminal;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use crate::clock::Clock;
use crate::local::process::LocalNetwork;
use crate::local::{self, Plan};
use crate::{Error, log};
use part::Part;

use super::signals::Signals;

#[derive(Args)]
pub(super) struct Arguments {
    /// Print one JSON object and nothing else
    #[arg(long)]
    json: bool,
    /// Keep the network of the datagrams up afterwards and say how to use it
    #[arg(long)]
    stay: bool,
}

const RECEIVERS: usize = 5;
const MESSAGES: usize = 10;
const FIGURES_WITHIN: Duration = Duration::from_secs(5);

pub(super) fn perform(arguments: &Arguments) -> Result<(), Error> {
    let runtime = super::runtime()?;
    let outcome = runtime.block_on(async {
        // A person's Ctrl-C, or a closed terminal, must still take the folder and the processes
        // down.
        let mut signals = Signals::watch()?;
        tokio::select! {
            outcome = run(arguments) => outcome,
            why = signals.first() => {
                log::info(format_args!("{why}: ending"));
                Ok(())
            }
        }
    });
    runtime.shutdown_background();
    outcome
}

async fn run(arguments: &Arguments) -> Result<(), Error> {
    let say = |line: String| {
        if !arguments.json {
            super::say(&format!("{line}\n"));
        }
    };
    let folder = tempfile::Builder::new().prefix("mingle-demo-").tempdir();
    let folder = folder.map_err(|why| Error::system("a folder for the demo", why))?;
    let root = folder.path().join("network");
    let plan = Plan { base_port: local::free_base_port()?, ..Plan::default() };
    local::create(&root, &plan)?;
    let program = super::program()?;

    say("Starting five receivers, an exit, three mixes and an entry …".into());
    let (clock, began) = Clock::started();
    let mut receivers = Vec::new();
    for _ in 0..RECEIVERS {
        let mut receiver = Part::start(&program, &["receiver"])?;
        let address = receiver.event("listening").await?["address"].clone();
        receivers.push((receiver, address.as_str().unwrap_or_default().to_owned()));
    }
    let starting = {
        let (program, root) = (program.clone(), root.clone());
        tokio::task::spawn_blocking(move || LocalNetwork::start(&program, &root))
    };
    let mut network =
        starting.await.map_err(|why| Error::system("a thread", std::io::Error::other(why)))??;
    let ports = network.ports();
    say(format!(
        "All run after {:.1} s. The sender sends.\n",
        (clock.now().time - began).as_secs_f64()
    ));

    let mut words = vec!["sender".to_owned(), ports.raw().to_string(), MESSAGES.to_string()];
    words.extend(receivers.iter().map(|(_, address)| address.clone()));
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut sender = Part::start(&program, &words)?;
    let mut times = Vec::new();
    let mut sent = 0;
    loop {
        let event = sender.next().await?;
        let number = event["number"].as_u64().unwrap_or_default();
        let receiver = event["receiver"].as_u64().unwrap_or_default();
        match event["event"].as_str() {
            Some("sent") => {
                sent += 1;
                say(format!("{number:>4}   {} receiver {receiver}", paint("36", "Hello ─►")));
            }
            Some("answered") => {
                let ms = event["ms"].as_f64().unwrap_or_default();
                times.push(ms);
                let thanks = paint("32", "◄─ Got Message. Thanks!");
                say(format!("{number:>4} {thanks}   from receiver {receiver} after {ms:.0} ms"));
            }
            Some("lost") => {
                let lost = paint("31", "no answer");
                say(format!("{number:>4}   {lost} from receiver {receiver}"));
            }
            Some("done") => break,
            _ => {}
        }
    }
    let mut received = 0;
    for (receiver, _) in &mut receivers {
        received += receiver.count("received").await;
    }
    let mixes = mixed(&mut network, times.len() as u64).await;
    let answered = times.len();
    times.sort_by(f64::total_cmp);
    let (p50, max) = (median(&times), times.last().copied());
    if !arguments.json {
        summarise(sent, answered, p50, max, &mixes);
    }
    let root = folder.path().join("payments");
    let payments = payments::run(&program, &root, local::free_base_port()?, &say).await?;
    if arguments.json {
        let summary = json!({
            "datagrams": {
                "sent": sent,
                "received": received,
                "answered": answered,
                "rtt_ms": { "p50": p50, "max": max },
            },
            "mixes": mixes,
            "payments": payments.json(),
        });
        super::say(&format!("{summary}\n"));
    }
    if arguments.stay {
        stay(&network, arguments.json).await;
    }
    let ended = tokio::task::spawn_blocking(move || network.stop());
    ended.await.map_err(|why| Error::system("a thread", std::io::Error::other(why)))??;
    if answered != MESSAGES {
        let why = format!("only {answered} of {MESSAGES} datagrams were answered");
        return Err(Error::Failed(why));
    }
    payments.check()
}

/// What each mix did, once its figures have caught up with what was answered.
async fn mixed(network: &mut LocalNetwork, answered: u64) -> Vec<Value> {
    let (clock, began) = Clock::started();
    let mut names: Vec<String> =
        network.nodes().iter().map(|node| node.name().to_owned()).collect();
    names.retain(|name| name.starts_with("mix-"));
    names.sort();
    let mut mixes = Vec::new();
    for name in names {
        let mix = loop {
            let status = network.node(&name).map(|node| node.status());
            let status = status.and_then(Result::ok).unwrap_or_default();
            let pools = status["classes"]["large"]["pools"].clone();
            let late = clock.now().time - began > FIGURES_WITHIN;
            if late || pools["backward"]["cells"].as_u64().is_some_and(|cells| cells >= answered) {
                break json!({
                    "name": name,
                    "channels": status["channels"]["opened"],
                    "pools": pools,
                });
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        mixes.push(mix);
    }
    mixes
}

fn summarise(sent: u64, answered: usize, p50: Option<f64>, max: Option<f64>, mixes: &[Value]) {
    super::say(
        "\nWhat the mixes did (cells that left together, and how uncertain whose is whose):\n",
    );
    for mix in mixes {
        for direction in ["forward", "backward"] {
            let pool = &mix["pools"][direction];
            super::say(&format!(
                "  {} {direction:<8}  {:>3} cells in {:>2} batches   {:.1} channels together   {:.1} bits\n",
                mix["name"].as_str().unwrap_or_default(),
                pool["cells"].as_u64().unwrap_or_default(),
                pool["batches"].as_u64().unwrap_or_default(),
                pool["mean"]["channels"].as_f64().unwrap_or_default(),
                pool["mean"]["entropy_bits"].as_f64().unwrap_or_default(),
            ));
        }
    }
    super::say(&format!("\nSent {sent}, answered {answered}.\n"));
    if let (Some(p50), Some(max)) = (p50, max) {
        super::say(&format!(
            "Round trip {p50:.0} ms in the middle, {max:.0} ms at most, waiting in three mixes both ways.\n"
        ));
    }
}

async fn stay(network: &LocalNetwork, quiet: bool) {
    let ports = network.ports();
    if !quiet {
        super::say(&format!(
            "\nThe network stays up until Ctrl-C.\n  \
               SOCKS5 with UDP ASSOCIATE   {}\n  \
               raw datagrams               {}   IPv4 address (4 bytes), port (2, big-endian), payload\n  \
               figures of the entry        http://{}/status, of the next node one port further\n  \
               folder                      {}\n\
             Destinations are on this machine (127.0.0.0/8 and ::1) or public addresses.\n",
            ports.socks(),
            ports.raw(),
            ports.metrics(0),
            network.root().display(),
        ));
    }
    // `perform` waits for the signal.
    std::future::pending().await
}

/// Colour where a person looks.
fn paint(colour: &str, text: &str) -> String {
    if std::io::stdout().is_terminal() && !log::plain() {
        format!("\x1b[{colour}m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}

/// The middle of a sorted row.
fn median(sorted: &[f64]) -> Option<f64> {
    sorted.get(sorted.len().saturating_sub(1) / 2).copied()
}
