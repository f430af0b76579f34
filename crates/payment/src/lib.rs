//! An onion network of mixers for a libre currency: before any money moves the payer has a signed
//! promise of every mixer on the way; then each mixer, when it sees its deposit, waits for company and
//! pays the next.
//!
//! ```text
//! payer  ─► Payer::begin            route::choose → onion::build, one slot per mixer
//!        ─► Mixer::on_request       verify → Requested   Save, Ask next  (last: Promised, Confirm back)
//!        ─► Mixer::on_confirm       next one promised → Promised   Save, Confirm back
//!        ─► Payer::on_heard         all promised, all fit?         Save; then Payer::pay
//! ledger ─► Mixer::on_block         deposit final → Funded → Pool  Save
//!           Mixer::tick             pool lets go → slot, Paying    Save, Sign, Save, Broadcast
//! ledger ─► Mixer::on_block         payout final → forgotten       Save
//! anyone ─► receipt::judge          one promise and the ledger → one of six verdicts
//! ```
//! What always holds: a funded promise is paid exactly once, whatever crashes and when; the account key
//! signs only what was composed here; what one mixer knows joins its two neighbours and no more.
//!
//! Absent: sockets, HTTP, disks, clocks, ledgers. [`effect::Input`]s come in, [`effect::Effect`]s go
//! out, saving first.

pub mod command;
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

pub use mixer::Mixer;
pub use payer::Payer;
