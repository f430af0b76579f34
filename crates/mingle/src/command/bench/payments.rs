//! `mingle bench payments`: what promises and payments cost, with mixers and a ledger as processes.
//!
//! * requests: promises asked of one mixer by many payers at once, each saved before it is answered;
//! * restart: that mixer, killed with all these orders open, until it promises again;
//! * arrival: payments of one part over three mixers that add no delay of their own.

mod payer;
mod requests;

use std::path::Path;
use std::time::Duration;

use clap::Args;
use indicatif::ProgressBar;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::local::progress;
use crate::clock::Clock;
use crate::local::free_base_port;
use crate::local::running::Running;
use crate::payments::config::MixerConfig;
use crate::payments::local::{Folders, LocalPayments, Plan, wait_status};
use crate::{Error, command};
use payer::Payer;
use requests::Asked;

#[derive(Args)]
pub(in crate::command) struct Arguments {
    /// Print one JSON object and nothing else
    #[arg(long)]
    json: bool,
}

const SENDERS: usize = 100;
/// Orders that each of them asks for; the mixer's limit for one payer is the same.
const ORDERS_OF_ONE: usize = 100;
const HOPS: u16 = 3;
const PAYMENTS: u8 = 4;
const BLOCK_TIME: Duration = Duration::from_millis(250);
const FINALITY_LAG: u64 = 3;
/// Life of transactions in blocks, and so the rest after a start.
const PERIOD: u32 = 8;

pub(in crate::command) fn perform(arguments: &Arguments) -> Result<(), Error> {
    command::runtime()?.block_on(measure(arguments))
}

async fn measure(arguments: &Arguments) -> Result<(), Error> {
    let program = command::program()?;
    let progress = progress(arguments.json);
    progress.set_message("starting a ledger and a mixer");
    let (mut town, _folder) = start(&program, 1, |config| {
        config.limits.client_orders_max = ORDERS_OF_ONE;
    })
    .await?;
    let asked = requests::measure(&progress, &town, SENDERS, ORDERS_OF_ONE).await?;
    progress.set_message("restart with all orders open");
    let restart = restart(&mut town).await?;
    drop(town);
    let arrival = arrival(&progress, &program).await?;
    progress.finish_and_clear();
    match arguments.json {
        true => println!(
            "{}",
            json!({ "requests": asked.to_json(), "restart": restart, "arrival": arrival })
        ),
        false => show(&asked, &restart, &arrival),
    }
    Ok(())
}

/// A ledger and mixers that let payments go at once, and the folder that goes with them.
async fn start(
    program: &Path,
    mixers: u16,
    change: impl Fn(&mut MixerConfig),
) -> Result<(LocalPayments, TempDir), Error> {
    let folder = super::scratch::folder()?;
    let plan = Plan {
        mixers,
        base_port: free_base_port()?,
        block_time: BLOCK_TIME,
        finality_lag: FINALITY_LAG,
        strategy: "none".into(),
        delay: Duration::ZERO,
    };
    let folders = Folders::create(&folder.path().join("payments"), &plan)?;
    folders.change(|_, config| {
        config.payouts.period = PERIOD;
        config.terms.company = 1;
        change(config);
    })?;
    Ok((folders.start(program).await?, folder))
}

/// Kills the mixer with all its orders and waits until it promises again.
async fn restart(town: &mut LocalPayments) -> Result<Value, Error> {
    let mixer = &mut town.mixers[0];
    let before = memory(mixer)?;
    mixer.kill();
    let (clock, began) = Clock::started();
    mixer.start_again()?;
    mixer.wait_ready()?;
    let ready = clock.now().time - began;
    wait_status(mixer, |status| status["makes_promises"] == true).await?;
    let served = clock.now().time - began;
    let orders = crate::payments::operator::Operator::new(mixer.folder())?.get("/status").await?;
    Ok(json!({
        "orders": orders["orders"]["promised"],
        "ready_s": ready.as_secs_f64(),
        "promises_s": served.as_secs_f64(),
        "kib_before": before,
        "kib": memory(mixer)?,
    }))
}

/// Resident memory of a process now and at most, in KiB.
fn memory(process: &Running) -> Result<Value, Error> {
    let path = format!("/proc/{}/status", process.id());
    let text = std::fs::read_to_string(&path).map_err(|why| Error::system("/proc", why))?;
    let field = |name| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok())
    };
    Ok(json!({ "now": field("VmRSS:"), "most": field("VmHWM:") }))
}

/// From the deposit to the arrival, in block times.
async fn arrival(progress: &ProgressBar, program: &Path) -> Result<Value, Error> {
    progress.set_message(format!("starting a ledger and {HOPS} mixers"));
    let (town, _folder) = start(program, HOPS, |_| {}).await?;
    let mut payer = Payer::new(&town).await?;
    // The first payment waits for the mixers' rest after their start, and is not counted.
    progress.set_message("a first payment");
    payer.pay().await?;
    let mut times = Vec::new();
    for number in 1..=PAYMENTS {
        progress.set_message(format!("payment {number} of {PAYMENTS}"));
        times.push(payer.pay().await?.as_secs_f64() / BLOCK_TIME.as_secs_f64());
    }
    let transfers = u64::from(HOPS) + 1;
    Ok(json!({
        "hops": HOPS,
        "block_time_s": BLOCK_TIME.as_secs_f64(),
        "finality_lag": FINALITY_LAG,
        "block_times": times,
        "block_times_allowed": 5 + transfers * FINALITY_LAG,
    }))
}

fn show(asked: &Asked, restart: &Value, arrival: &Value) {
    println!(
        "requests: {} of {} promised to {SENDERS} payers, {:.0} a second; {:.2} ms of one core each",
        asked.promised,
        asked.asked,
        asked.per_second(),
        asked.core_ms(),
    );
    let mib = |kib: &Value| kib.as_f64().unwrap_or(f64::NAN) / 1024.0;
    println!(
        "restart: {} open orders, ready after {:.2} s, promises after {:.2} s, {:.1} MiB, at most {:.1}",
        restart["orders"],
        restart["ready_s"].as_f64().unwrap_or(f64::NAN),
        restart["promises_s"].as_f64().unwrap_or(f64::NAN),
        mib(&restart["kib"]["now"]),
        mib(&restart["kib"]["most"]),
    );
    println!(
        "  before it was killed {:.1} MiB, at most {:.1}",
        mib(&restart["kib_before"]["now"]),
        mib(&restart["kib_before"]["most"])
    );
    println!(
        "arrival: over {} mixers, blocks of {} s, finality lag {}; allowed {} block times",
        arrival["hops"],
        arrival["block_time_s"],
        arrival["finality_lag"],
        arrival["block_times_allowed"],
    );
    for times in arrival["block_times"].as_array().into_iter().flatten() {
        println!("  {:.1} block times", times.as_f64().unwrap_or(f64::NAN));
    }
}
