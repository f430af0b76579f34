//! An onion network of mixers for a libre currency.
pub mod document;
pub mod effect;
pub mod mixer;
pub mod onion;
pub mod order;
pub mod peers;
pub mod promises;
pub mod slots;
pub mod ubjson;
