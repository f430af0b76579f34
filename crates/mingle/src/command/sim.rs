//! `mingle sim`: made-up worlds of the chain or of the payments under faults, and whether all checks
//! hold in them.

use std::time::Duration;

use clap::{Args, ValueEnum};
use serde_json::json;
use simulator::shrink::{Less, shrink};
use simulator::{Breach, Planned, Report, chain, payments};

use super::say;
use crate::Error;
use crate::clock::Clock;

#[derive(Args)]
pub(super) struct Arguments {
    /// The number of the first world; the same number is the same world on every machine
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// How many worlds, one number after the other
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    count: u64,
    /// Which system's worlds
    #[arg(long, value_name = "NAME", default_value = "chain")]
    system: System,
    /// How long the users send, at the least until all could recover from the last fault; without it each
    /// world says itself
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    duration: Option<Duration>,
    /// What kind of worlds: faults, calm, storm, restarts, hours or voice for the chain; faults, calm,
    /// storm, sleepers, copies or cheats for the payments
    #[arg(long, value_name = "NAME", default_value = "faults")]
    profile: String,
    /// Leave a part of the world out: f, u or t with a number for a fault, a user or the
    /// milliseconds after which the users stop
    #[arg(long, value_name = "PARTS", default_value = "")]
    without: Less,
    /// Do not look for the smallest part of a broken world that still breaks
    #[arg(long)]
    no_shrink: bool,
    /// Print every line of the log
    #[arg(long)]
    log: bool,
    /// Print one line of JSON per world
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum System {
    Chain,
    Payments,
}

/// How often a broken world is run again to find its smallest part.
const SHRINK_RUNS: usize = 200;
/// How often progress is said, in worlds.
const PROGRESS_EVERY: u64 = 100;

pub(super) fn perform(arguments: &Arguments) -> Result<(), Error> {
    match arguments.system {
        System::Chain => worlds::<chain::Plan>(arguments),
        System::Payments => worlds::<payments::Plan>(arguments),
    }
}

fn worlds<P: Planned>(arguments: &Arguments) -> Result<(), Error> {
    let profile = profile::<P>(&arguments.profile)?;
    let clock = Clock::start();
    let (start, mut sent) = (clock.now().time, Duration::ZERO);
    for seed in arguments.seed..arguments.seed.saturating_add(arguments.count) {
        let mut drawn = P::draw(seed, profile);
        if let Some(duration) = arguments.duration {
            drawn.last(duration);
        }
        let run = |plan: P| plan.run(arguments.log);
        let report = run(arguments.without.of(drawn.clone()));
        sent += report.plan.ends();
        print(arguments, &report);
        if let Some(broken) = &report.broken {
            let why = broken.tell(&report.plan);
            let again = again::<P>(arguments, seed, &arguments.without);
            say(&format!("again: {again}\n"));
            if !arguments.no_shrink && arguments.without == Less::default() {
                let (less, smallest) = shrink(report, &drawn, SHRINK_RUNS, run);
                print(arguments, &smallest);
                say(&format!("smallest: {}\n", self::again::<P>(arguments, seed, &less)));
            }
            return Err(Error::Usage(format!("the world of seed {seed} breaks: {why}")));
        }
        let done = seed - arguments.seed + 1;
        if !arguments.json && done.is_multiple_of(PROGRESS_EVERY) && done < arguments.count {
            say(&format!("{done} worlds clean\n"));
        }
    }
    let took = clock.now().time - start;
    if !arguments.json {
        say(&format!(
            "{} worlds clean: {:.0} virtual seconds in {:.1} s, {:.0} per second\n",
            arguments.count,
            sent.as_secs_f64(),
            took.as_secs_f64(),
            sent.as_secs_f64() / took.as_secs_f64().max(1e-9),
        ));
    }
    Ok(())
}

fn profile<P: Planned>(name: &str) -> Result<P::Profile, Error> {
    let found = P::PROFILES.iter().find(|(known, _)| *known == name);
    found.map(|(_, profile)| *profile).ok_or_else(|| {
        let names: Vec<_> = P::PROFILES.iter().map(|(name, _)| *name).collect();
        Error::Usage(format!("the profiles of {} are {}", P::SYSTEM, names.join(", ")))
    })
}

/// The command that brings a world back.
fn again<P: Planned>(arguments: &Arguments, seed: u64, less: &Less) -> String {
    let (system, profile) = (P::SYSTEM, &arguments.profile);
    let mut command = format!("mingle sim --system {system} --profile {profile} --seed {seed}");
    if let Some(duration) = arguments.duration {
        command += &format!(" --duration {}ms", duration.as_millis());
    }
    if *less != Less::default() {
        command += &format!(" --without {less}");
    }
    command
}

fn print<P: Planned>(arguments: &Arguments, report: &Report<P>) {
    if let Some(log) = &report.log {
        say(log);
    }
    if arguments.json {
        let broken = report.broken.as_ref();
        let mut line = json!({
            "system": P::SYSTEM,
            "seed": report.plan.seed(),
            "profile": report.plan.profile_name(),
            "clean": report.is_clean(),
            "check": broken.map(|broken| broken.check()),
            "broken": broken.map(|broken| broken.tell(&report.plan)),
            "seconds": report.plan.ends().as_secs_f64(),
            "log": format!("{:016x}", report.sum),
        });
        for (name, count) in &report.counts {
            line[*name] = json!(count);
        }
        say(&format!("{line}\n"));
    } else if arguments.count == 1 || !report.is_clean() {
        say(&report.to_string());
    }
}
