//! Runs worlds without the program: `worlds PROFILE FIRST COUNT [LESS] [log]`.

use simulator::shrink::{Less, shrink};
use simulator::{Plan, Profile, World};

#[allow(clippy::disallowed_methods)] // how fast the simulator is, is a question about real time
fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let name = arguments.get(1).map_or("faults", String::as_str);
    let number = |at: usize| arguments.get(at).and_then(|word| word.parse::<u64>().ok());
    let profile = Profile::ALL.iter().find(|(known, _)| *known == name).expect("a profile").1;
    let (first, count) = (number(2).unwrap_or(1), number(3).unwrap_or(1));
    let less: Less = arguments.get(4).map(|word| word.parse().expect("less")).unwrap_or_default();
    let full = arguments.iter().any(|word| word == "log");
    let start = std::time::Instant::now();
    let (mut broken, mut virtual_seconds) = (0, 0.0);
    for seed in first..first + count {
        let plan = Plan::draw(seed, profile);
        let run = |plan: Plan| World::new(plan, None, full).run();
        let mut report = run(less.of(plan.clone()));
        virtual_seconds += report.plan.ends.as_secs_f64();
        if !report.is_clean() {
            broken += 1;
            println!("seed {seed} breaks: {}", report.broken.as_ref().expect("broken").tell(&plan));
            let runs = if arguments.len() > 4 || broken > 3 { 0 } else { 60 };
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
