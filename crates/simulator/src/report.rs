//! How a world ended.

use std::fmt;

use mixing::Time;

use crate::planned::{Breach, Planned};

/// How a world ended.
pub struct Report<P: Planned> {
    /// The world.
    pub plan: P,
    /// The first broken check, if one broke.
    pub broken: Option<P::Broken>,
    /// When it ended.
    pub at: Time,
    /// The log around the broken check.
    pub tail: String,
    /// The sum over the log: the same for the same seed on every machine.
    pub sum: u64,
    /// Lines of the log.
    pub events: u64,
    /// What was counted, with names.
    pub counts: Vec<(&'static str, u64)>,
    /// All lines of the log, if they were kept.
    pub log: Option<String>,
}

impl<P: Planned> Report<P> {
    /// Whether all checks held.
    pub fn is_clean(&self) -> bool {
        self.broken.is_none()
    }

    /// One of the counts; 0 if nothing of that name was counted.
    pub fn count(&self, name: &str) -> u64 {
        self.counts.iter().find(|(known, _)| *known == name).map_or(0, |(_, count)| *count)
    }
}

impl<P: Planned> fmt::Display for Report<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}: {}", self.plan.seed(), self.plan.summary())?;
        for (number, fault) in self.plan.faults().iter().enumerate() {
            writeln!(f, "  fault {number}: {fault}")?;
        }
        let Some(broken) = &self.broken else {
            write!(f, "  clean: ")?;
            for (name, count) in &self.counts {
                write!(f, "{name} {count}, ")?;
            }
            return writeln!(f, "log {:016x}", self.sum);
        };
        let at = self.at.as_nanos() as f64 / 1e9;
        writeln!(f, "  check {} broke at {at:.3} s: {}", broken.check(), broken.tell(&self.plan))?;
        write!(f, "{}", self.tail)
    }
}
