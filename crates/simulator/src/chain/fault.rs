//! What may go wrong in a world of the chain.

use std::time::Duration;

pub use crate::wire::Wire;

/// One of them: from when until when, and what.
pub type Fault = crate::fault::Fault<What>;

/// What happens.
#[derive(Clone, PartialEq, Debug)]
pub enum What {
    /// So many in a thousand are lost; 1,000 is a cut.
    Loss(Wire, u64),
    /// So many in a thousand arrive twice, the copy up to so much later.
    Copies(Wire, u64, Duration),
    /// Each takes up to so much longer, on its own: overtaking.
    Jitter(Wire, Duration),
    /// So many in a thousand have some bits changed.
    Noise(Wire, u64),
    /// So many in a thousand are cut short.
    Short(Wire, u64),
    /// Longer ones than this are lost.
    Narrow(Wire, usize),
    /// So many in a thousand come again after so long, from their own address.
    Replays(Wire, u64, Duration),
    /// So many in a thousand come again at once from an address that nobody has, before the
    /// original.
    Strays(Wire, u64),
    /// The node is gone with all that it remembers, and comes back at the end.
    Crash(usize),
    /// The node is stopped in good order and started again at the end.
    Stop(usize),
    /// The node does nothing; what arrives meanwhile it finds at the end.
    Stall(usize),
    /// The entry has another address from the beginning on; `true`: only another port.
    Move(usize, bool),
    /// The node's date is so many seconds ahead.
    Skew(usize, i64),
    /// Somebody sends the node so many datagrams a second that he made up.
    Flood(usize, u64),
}

/// The kinds that are drawn for a world.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[allow(missing_docs)] // Named as the faults above.
pub enum Kind {
    Loss,
    Copies,
    Jitter,
    Noise,
    Short,
    Narrow,
    Replays,
    Strays,
    Crash,
    Stop,
    Stall,
    Move,
    Skew,
    Flood,
    Cut,
    HalfCut,
    Cheat,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Kind; 17] = [
        Kind::Loss,
        Kind::Copies,
        Kind::Jitter,
        Kind::Noise,
        Kind::Short,
        Kind::Narrow,
        Kind::Replays,
        Kind::Strays,
        Kind::Crash,
        Kind::Stop,
        Kind::Stall,
        Kind::Move,
        Kind::Skew,
        Kind::Flood,
        Kind::Cut,
        Kind::HalfCut,
        Kind::Cheat,
    ];
}
