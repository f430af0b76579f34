//! What is asked of the worlds of either system.

use std::collections::BTreeSet;

use simulator::shrink::Less;
use simulator::{Planned, Report};

/// Runs worlds and fails with the report of the first broken one.
pub(crate) fn all_hold<P: Planned>(profile: P::Profile, seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let report = P::draw(seed, profile).run(false);
        assert!(report.is_clean(), "{report}");
    }
}

/// Each of these worlds has one history, and another seed another.
pub(crate) fn have_one_log_each<P: Planned>(worlds: [(u64, P::Profile); 3]) {
    for (seed, profile) in worlds {
        let again: [Report<P>; 2] = [(), ()].map(|()| P::draw(seed, profile).run(true));
        let [one, two] = again.map(|report| (report.sum, report.log));
        assert_eq!(one, two);
        assert!(one.1.is_some_and(|log| log.lines().count() > 1_000), "the log says something");
        assert_ne!(one.0, P::draw(seed + 100, profile).run(false).sum);
    }
}

/// Worlds of faults have so many kinds of them; some worlds only one, some more than 20 faults.
pub(crate) fn have_kinds_of_faults<P: Planned>(profile: P::Profile, count: usize) {
    let kind = |fault: String| fault.split(['(', ' ']).next().unwrap_or_default().to_owned();
    let worlds: Vec<Vec<String>> = (0..400)
        .map(|seed| P::draw(seed, profile).faults().into_iter().map(kind).collect())
        .collect();
    let kinds = |worlds: &[Vec<String>]| worlds.concat().into_iter().collect::<BTreeSet<_>>();
    assert_eq!(kinds(&worlds).len(), count, "{:?}", kinds(&worlds));
    let single = |faults: &&Vec<String>| kinds(&[(*faults).clone()]).len() == 1;
    assert!(worlds.iter().filter(single).count() > 50);
    assert!(worlds.iter().filter(|faults| faults.len() > 20).count() > 30);
}

/// A world of which nothing is left out is the one that was drawn.
pub(crate) fn is_the_same_in_part<P: Planned>(profile: P::Profile) {
    let drawn = P::draw(5, profile);
    assert_eq!(drawn.clone().run(false).sum, Less::default().of(drawn).run(false).sum);
}
