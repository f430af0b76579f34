//! What may go wrong in a world of the payments.

use std::time::Duration;

pub use crate::wire::Wire;

/// One of them: from when until when, and what.
pub type Fault = crate::fault::Fault<What>;

/// What happens. Nodes are numbers in the plan's order: mixers, then users.
#[derive(Clone, PartialEq, Debug)]
pub enum What {
    /// So many messages in a thousand are lost; 1,000 is a cut.
    Loss(Wire, u64),
    /// So many in a thousand arrive twice, the copy up to so much later.
    Copies(Wire, u64, Duration),
    /// Each takes up to so much longer, on its own: overtaking.
    Jitter(Wire, Duration),
    /// So many in a thousand have some bits changed.
    Noise(Wire, u64),
    /// The node is gone with all that it had not synced, and comes back at the end.
    Away(usize),
    /// After each effect, and in the middle of each save, the node ends with one chance in so many;
    /// it comes back soon.
    Dies(usize, u64),
    /// The node is gone, and comes back with an older copy of its disk.
    OldCopy(usize),
    /// The node's disk takes so long for every save.
    SlowDisk(usize, Duration),
    /// The node's date is so many seconds ahead.
    Skew(usize, i64),
    /// With one chance in so many, a block throws the newest ones out first; `true`: what they held
    /// waits again.
    Forks(u64, bool),
    /// With one chance in so many, all that waits for a block is forgotten after it was accepted.
    Drops(u64),
    /// There are no blocks.
    Halt,
    /// The node's endpoint is out of reach.
    Blind(usize),
    /// The node's endpoint is so many final blocks behind.
    Late(usize, u64),
    /// The node's endpoint takes so long for every answer.
    Slow(usize, Duration),
    /// So many of the node's submissions in a thousand never reach the ledger.
    Unsent(usize, u64),
    /// So many of them come again after so long.
    Resent(usize, u64, Duration),
    /// The mixer's operator cheats.
    Cheat(usize, Cheat),
}

/// How an operator cheats.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cheat {
    /// Half of what it says is not said.
    Silent,
    /// It says everything a long time later.
    Tardy,
    /// It says again what it was told, to whoever may listen.
    Parrot,
    /// It changes some bits of what it says before it signs or seals it.
    Forger,
    /// It refuses everything.
    Deaf,
    /// It tells of mixers that do not exist, and of others what is not so.
    Liar,
    /// It keeps the money: no payout is sent.
    Keeper,
    /// It pays out less.
    Miser,
    /// It pays somebody else.
    Thief,
    /// It spends from the account beside the mixer.
    Spender,
}

impl Cheat {
    /// All ways.
    pub const ALL: [Cheat; 10] = [
        Cheat::Silent,
        Cheat::Tardy,
        Cheat::Parrot,
        Cheat::Forger,
        Cheat::Deaf,
        Cheat::Liar,
        Cheat::Keeper,
        Cheat::Miser,
        Cheat::Thief,
        Cheat::Spender,
    ];

    /// Whether somebody may lose money by it.
    pub fn costs(self) -> bool {
        matches!(self, Cheat::Keeper | Cheat::Miser | Cheat::Thief | Cheat::Spender)
    }
}

/// The kinds that are drawn for a world.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[allow(missing_docs)] // Named as the faults above.
pub enum Kind {
    Loss,
    Copies,
    Jitter,
    Noise,
    Cut,
    Partition,
    Away,
    Sleepers,
    Dies,
    OldCopy,
    SlowDisk,
    Skew,
    Forks,
    Drops,
    Halt,
    Blind,
    Late,
    Slow,
    Unsent,
    Resent,
    Cheat,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Kind; 21] = [
        Kind::Loss,
        Kind::Copies,
        Kind::Jitter,
        Kind::Noise,
        Kind::Cut,
        Kind::Partition,
        Kind::Away,
        Kind::Sleepers,
        Kind::Dies,
        Kind::OldCopy,
        Kind::SlowDisk,
        Kind::Skew,
        Kind::Forks,
        Kind::Drops,
        Kind::Halt,
        Kind::Blind,
        Kind::Late,
        Kind::Slow,
        Kind::Unsent,
        Kind::Resent,
        Kind::Cheat,
    ];
}
