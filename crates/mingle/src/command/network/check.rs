//! `mingle network check [FILE|DIR]`: asks every listed node, and says what does not fit.

mod report;

use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::List;
use crate::Error;
use crate::clock::Clock;
use crate::command::say;
use crate::config::span;
use crate::survey::Survey;
use report::Report;

#[derive(Args)]
pub(in crate::command) struct Arguments {
    #[command(flatten)]
    list: List,
    /// For programs
    #[arg(long)]
    json: bool,
    /// How long to ask nodes that do not answer
    #[arg(long, value_name = "TIME", default_value = "3s", value_parser = span::parse)]
    patience: Duration,
}

pub(super) fn perform(arguments: &Arguments) -> Result<(), Error> {
    let network = arguments.list.read()?;
    let clock = Clock::start();
    let bar = ProgressBar::new(network.nodes.len() as u64);
    // A template that cannot be read leaves the bar as it was.
    if let Ok(style) = ProgressStyle::with_template("asking: {pos} of {len} nodes have answered") {
        bar.set_style(style);
    }
    let findings = Survey::new(&network, clock)?
        .run(arguments.patience, |settled| bar.set_position(settled as u64));
    bar.finish_and_clear();

    let report = Report { network: &network, findings, date: clock.now().date };
    if arguments.json {
        say(&format!("{:#}\n", report.json()));
    } else {
        say(&report.text());
    }
    match report.wrong_nodes() {
        0 => Ok(()),
        1 => Err(Error::Failed("something is wrong with 1 node".into())),
        many => Err(Error::Failed(format!("something is wrong with {many} nodes"))),
    }
}
