//! Money itself, apart from how it is mixed: who owns it, how much of it moves, how that is written
//! down, and one small ledger on which it really moves.
//!
//! ```text
//! salt and password, key file, mnemonic ─► keys::AccountKey ─► account::Account ◄─► address
//! AccountKey + Slot + Transfer ─► embedded::transaction ─► embedded::Ledger ─► blocks, final transfers
//! ```
//!
//! What always holds: an [`Amount`] never wraps around; an [`AccountKey`] signs either an object that
//! begins with `{` or a ledger transaction that does not, and so neither can stand in for the other;
//! a [`Ledger`] counts all its money after every block.
//!
//! Absent: sockets, files and clocks (crate `ledger` and the program have them), and everything about
//! promises and onions (crate `payment`).

pub mod account;
pub mod address;
pub mod amount;
pub mod embedded;
pub mod keys;
pub mod transfer;

pub use account::Account;
pub use amount::Amount;
pub use embedded::Ledger;
pub use keys::AccountKey;
pub use transfer::{LedgerTime, Place, Reference, Slot, Transfer};
