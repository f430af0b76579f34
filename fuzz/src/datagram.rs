//! The chain: what is read on it, and the roles that carry it.

mod texts;

#[cfg(test)]
pub(crate) use texts::{IdRules, id_tables_with};
pub use texts::{destinations, id_tables};
