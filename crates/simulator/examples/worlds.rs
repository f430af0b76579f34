//! Runs worlds without the program: `worlds SYSTEM PROFILE FIRST COUNT [LESS] [log]`.

use simulator::shrink::{Less, shrink};
use simulator::{Breach, Planned, chain, payments};

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.get(1).map(String::as_str) {
        Some("chain") => worlds::<chain::Plan>(&arguments),
        Some("payments") => worlds::<payments::Plan>(&arguments),
        _ => panic!("which system? chain or payments"),
    }
}

#[allow(clippy::disallowed_methods)] // how fast the simulator is, is a question about real time
fn worlds<P: Planned>(arguments: &[String]) {
    let name = arguments.get(2).map_or(P::PROFILES[0].0, String::as_str);
    let number = |at: usize| arguments.get(at).and_then(|word| word.parse::<u64>().ok());
    let profile = P::PROFILES.iter().find(|(known, _)| *known == name).expect("a profile").1;
    let (first, count) = (number(3).unwrap_or(1), number(4).unwrap_or(1));
    let less: Less = arguments.get(5).map(|word| word.parse().expect("less")).unwrap_or_default();
    let full = arguments.iter().any(|word| word == "log");
    let start = std::time::Instant::now();
    let (mut broken, mut virtual_seconds) = (0, 0.0);
    for seed in first..first + count {
        let plan = P::draw(seed, profile);
        let run = |plan: P| plan.run(full);
        let mut report = run(less.of(plan.clone()));
        virtual_seconds += report.plan.ends().as_secs_f64();
        if !report.is_clean() {
            broken += 1;
            println!("seed {seed} breaks: {}", report.broken.as_ref().expect("broken").tell(&plan));
            let runs = if arguments.len() > 5 || broken > 3 { 0 } else { 60 };
            let (less, smallest) = shrink(report, &plan, runs, run);
            report = smallest;
            println!("without {less}");
        }
        if count == 1 || !report.is_clean() && broken <= 3 {
            println!("{report}");
            println!("{}", report.log.as_deref().unwrap_or_default());
        }
    }
    let real = start.elapsed().as_secs_f64();
    println!(
        "{count} worlds, {broken} broken, {virtual_seconds:.0} virtual seconds in {real:.2} s: \
         {:.1} per second",
        virtual_seconds / real
    );
}
