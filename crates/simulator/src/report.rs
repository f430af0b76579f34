//! How a world ended.

use std::fmt;

use mixing::Time;

use crate::checks::Broken;
use crate::plan::Plan;

/// How a world ended.
pub struct Report {
    /// The world.
    pub plan: Plan,
    /// The first broken check, if one broke.
    pub broken: Option<Broken>,
    /// When it ended.
    pub at: Time,
    /// The log around the broken check.
    pub tail: String,
    /// The sum over the log: the same for the same seed on every machine.
    pub sum: u64,
    /// Lines of the log.
    pub events: u64,
    /// Cells on all links.
    pub cells: u64,
    /// Datagrams that applications sent.
    pub sent: u64,
    /// Those of them that were answered.
    pub answered: u64,
    /// All lines of the log, if they were kept.
    pub log: Option<String>,
}

impl Report {
    /// Whether all checks held.
    pub fn is_clean(&self) -> bool {
        self.broken.is_none()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}: {}", self.plan.seed, self.plan.summary())?;
        for (number, fault) in self.plan.faults.iter().enumerate() {
            writeln!(f, "  fault {number}: {fault}")?;
        }
        let Some(broken) = &self.broken else {
            return writeln!(
                f,
                "  clean: {} datagrams sent, {} answered, {} cells, log {:016x}",
                self.sent, self.answered, self.cells, self.sum
            );
        };
        let at = self.at.as_nanos() as f64 / 1e9;
        writeln!(f, "  check {} broke at {at:.3} s: {}", broken.check(), broken.tell(&self.plan))?;
        write!(f, "{}", self.tail)
    }
}
