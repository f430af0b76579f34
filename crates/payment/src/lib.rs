//! An onion network of mixers for a libre currency.
pub mod ubjson;
