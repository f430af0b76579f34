//! The smallest part of a world that still breaks the same way.
//!
//! Of either system. Leaves out faults, then users, then time, each as long as the same check still breaks. What is
//! left out is said in a word that the command takes back, so that the small world can be run by
//! anybody: `--without f0,f3,u2,t12000`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::planned::{Breach, Planned};
use crate::report::Report;

/// What is left out of a drawn world.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Less {
    /// Faults, by their number in the drawn plan.
    pub faults: Vec<usize>,
    /// Users, by their number.
    pub users: Vec<usize>,
    /// The users stop then.
    pub ends: Option<Duration>,
}

impl Less {
    /// A plan without what is left out.
    pub fn of<P: Planned>(&self, mut plan: P) -> P {
        plan.leave_out(&self.faults, &self.users);
        if let Some(ends) = self.ends {
            plan.last(ends.min(plan.ends()));
        }
        plan
    }

    fn tries(&self, plan: &impl Planned) -> Vec<Less> {
        let mut tries = Vec::new();
        let faults: Vec<usize> =
            (0..plan.faults().len()).filter(|fault| !self.faults.contains(fault)).collect();
        let users: Vec<usize> =
            (0..plan.users()).filter(|user| !self.users.contains(user)).collect();
        // Halves first, then one by one.
        for half in [&faults[..faults.len() / 2], &faults[faults.len() / 2..]] {
            tries.push(Less { faults: [&self.faults, half].concat(), ..self.clone() });
        }
        for fault in faults {
            tries.push(Less { faults: [&self.faults[..], &[fault]].concat(), ..self.clone() });
        }
        if users.len() > 1 {
            for half in [&users[..users.len() / 2], &users[users.len() / 2..]] {
                tries.push(Less { users: [&self.users, half].concat(), ..self.clone() });
            }
            for user in users {
                tries.push(Less { users: [&self.users[..], &[user]].concat(), ..self.clone() });
            }
        }
        let ends = self.ends.unwrap_or(plan.ends());
        for part in [0.5, 0.75, 0.9] {
            let ends = Duration::from_millis(ends.mul_f64(part).as_millis() as u64);
            tries.push(Less { ends: Some(ends), ..self.clone() });
        }
        tries.retain(|less| less != self);
        tries
    }
}

/// Shrinks a broken world: at most `runs` further runs. Returns what can be left out, and the
/// report of the smallest world that breaks the same way.
pub fn shrink<P: Planned>(
    broken: Report<P>,
    drawn: &P,
    mut runs: usize,
    run: impl Fn(P) -> Report<P>,
) -> (Less, Report<P>) {
    let (mut less, mut smallest) = (Less::default(), broken);
    'again: loop {
        for further in less.tries(drawn) {
            if runs == 0 {
                return (less, smallest);
            }
            runs -= 1;
            let report = run(further.of(drawn.clone()));
            let same = report.broken.as_ref().zip(smallest.broken.as_ref());
            if same.is_some_and(|(new, old)| new.is_like(old)) {
                (less, smallest) = (further, report);
                continue 'again;
            }
        }
        return (less, smallest);
    }
}

impl fmt::Display for Less {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let faults = self.faults.iter().map(|fault| format!("f{fault}"));
        let users = self.users.iter().map(|user| format!("u{user}"));
        let ends = self.ends.iter().map(|ends| format!("t{}", ends.as_millis()));
        f.write_str(&faults.chain(users).chain(ends).collect::<Vec<_>>().join(","))
    }
}

/// A word that says nothing of the kind.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NotLess(String);

impl fmt::Display for NotLess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not f, u or t with a number", self.0)
    }
}

impl std::error::Error for NotLess {}

impl FromStr for Less {
    type Err = NotLess;

    fn from_str(text: &str) -> Result<Less, NotLess> {
        let mut less = Less::default();
        for word in text.split(',').filter(|word| !word.is_empty()) {
            let wrong = || NotLess(word.to_owned());
            let number: u64 = word.get(1..).and_then(|n| n.parse().ok()).ok_or_else(wrong)?;
            match word.as_bytes()[0] {
                b'f' => less.faults.push(number as usize),
                b'u' => less.users.push(number as usize),
                b't' => less.ends = Some(Duration::from_millis(number)),
                _ => return Err(wrong()),
            }
        }
        Ok(less)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_can_be_written_and_read() {
        let less =
            Less { faults: vec![3, 0], users: vec![7], ends: Some(Duration::from_millis(1_500)) };
        assert_eq!(less.to_string(), "f3,f0,u7,t1500");
        assert_eq!(less.to_string().parse(), Ok(less));
        assert!("f".parse::<Less>().is_err() && "x3".parse::<Less>().is_err());
    }
}
