//! Runs worlds of a broken tree until one breaks, and says whether by the check that was expected:
//! `expect SYSTEM PROFILE FIRST COUNT CHECK`. Used by `planted/run`.

use std::process::ExitCode;

use simulator::{Breach, Planned, chain, payments};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [system, profile, first, count, check] = &words[..] else {
        panic!("expect SYSTEM PROFILE FIRST COUNT CHECK");
    };
    let number = |word: &String| word.parse::<u64>().expect("a number");
    let seeds = number(first)..number(first) + number(count);
    let check = number(check) as u8;
    match system.as_str() {
        "chain" => expect::<chain::Plan>(profile, seeds, check),
        "payments" => expect::<payments::Plan>(profile, seeds, check),
        _ => panic!("which system? chain or payments"),
    }
}

fn expect<P: Planned>(profile: &str, mut seeds: std::ops::Range<u64>, check: u8) -> ExitCode {
    let profile = P::PROFILES.iter().find(|(known, _)| *known == profile).expect("a profile").1;
    let broken = seeds.find_map(|seed| {
        let report = P::draw(seed, profile).run(false);
        report.broken.map(|broken| (seed, broken.check(), broken.tell(&report.plan)))
    });
    match broken {
        Some((seed, found, tale)) => {
            println!("seed {seed}, check {found}: {tale}");
            if found == check { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        None => {
            println!("every world is clean");
            ExitCode::FAILURE
        }
    }
}
