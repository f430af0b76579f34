//! An onion network of mixers for a libre currency.
pub mod document;
pub mod effect;
pub mod mixer;
pub mod onion;
pub mod order;
pub mod payer;
pub mod peers;
pub mod promises;
pub mod receipt;
pub mod route;
pub mod slots;
pub mod ubjson;
