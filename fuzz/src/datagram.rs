//! The chain: what is read on it, and the roles that carry it.

mod entries;
mod exits;
mod fragments;
mod lanes;
mod links;
mod neighbours;
mod node;
mod peer;
mod roles;
mod strangers;
mod texts;

pub use entries::entries;
pub use exits::exits;
pub use fragments::fragments;
pub use lanes::lanes;
pub use links::links;
pub use neighbours::{key_lists, messages, set_ups};
pub use strangers::{cells, openings};
pub use texts::{destinations, id_tables};

/// Models that a test may change.
#[cfg(test)]
pub(crate) mod models {
    pub(crate) use super::entries::{Rules as EntryRules, entries_with};
    pub(crate) use super::exits::{Rules as ExitRules, exits_with};
    pub(crate) use super::fragments::{Rules as FragmentRules, fragments_with};
    pub(crate) use super::lanes::{Rules as LaneRules, lanes_with};
    pub(crate) use super::links::{Rules as LinkRules, links_with};
    pub(crate) use super::neighbours::{
        ListRules, MessageRules, SetUpRules, key_lists_with, messages_with, set_ups_with,
    };
    pub(crate) use super::strangers::{OpeningRules, openings_with};
    pub(crate) use super::texts::{IdRules, id_tables_with};
}
