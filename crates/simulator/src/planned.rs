//! What both systems have in common: a world that is planned, can be told about, left out of, and
//! run.

use std::time::Duration;

use mixing::Chance;

use crate::report::Report;

/// A world before it runs. Everything is drawn from one seed and then only data, so a world can be
/// run again with a part left out ([`crate::shrink`]).
pub trait Planned: Clone {
    /// What kinds of worlds are drawn.
    type Profile: Copy + PartialEq + 'static;
    /// What may break in it.
    type Broken: Breach<Plan = Self>;

    /// The system's name on the command line.
    const SYSTEM: &'static str;
    /// All profiles with their names on the command line; the first is the usual one.
    const PROFILES: &'static [(&'static str, Self::Profile)];

    /// Draws the world of a seed.
    fn draw(seed: u64, profile: Self::Profile) -> Self;
    /// The number that brings it back.
    fn seed(&self) -> u64;
    /// What kind of world it is.
    fn profile(&self) -> Self::Profile;
    /// One sentence about it.
    fn summary(&self) -> String;
    /// What goes wrong in it, a line each.
    fn faults(&self) -> Vec<String>;
    /// How many users it has.
    fn users(&self) -> usize;
    /// When the users stop.
    fn ends(&self) -> Duration;
    /// Lets the users go on for so long, but never less than the checks need.
    fn last(&mut self, lasts: Duration);
    /// Leaves faults and users out, by their numbers. Users keep their numbers.
    fn leave_out(&mut self, faults: &[usize], users: &[usize]);
    /// Runs it; `log` keeps every line.
    fn run(self, log: bool) -> Report<Self>;

    /// The name of its profile.
    fn profile_name(&self) -> &'static str {
        let named = Self::PROFILES.iter().find(|(_, profile)| *profile == self.profile());
        named.map_or("", |(name, _)| name)
    }
}

/// A check that did not hold.
pub trait Breach {
    /// Where the names of the world are.
    type Plan;

    /// The number of the check.
    fn check(&self) -> u8;
    /// Whether two worlds broke the same way, whatever the numbers.
    fn is_like(&self, other: &Self) -> bool;
    /// The sentence for people.
    fn tell(&self, plan: &Self::Plan) -> String;
}

/// A generator for one purpose of a world, so that leaving a part of it out changes no other.
pub(crate) fn chance(seed: u64, purpose: &str, number: usize) -> Chance {
    let number = (number as u64).to_be_bytes();
    Chance::new(mixing::cipher::hash(
        "mingle simulator v1",
        &[&seed.to_be_bytes(), purpose.as_bytes(), &number],
    ))
}
