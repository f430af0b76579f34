//! What a core wants done, and every reason to refuse what it was given.
//!
//! The caller owns the outbox, performs its effects in order and clears it; nothing is drained
//! from inside a core. The bytes of all effects lie in one buffer, so that cells for one neighbour
//! stand side by side and leave as one send.

use std::net::SocketAddr;
use std::ops::Range;

use crate::entry::{Association, Notice};
use crate::exit::{Flow, Question};

/// Effects, and the bytes they speak of.
#[derive(Default)]
pub struct Outbox {
    effects: Vec<Effect>,
    buffer: Vec<u8>,
}

/// Something for the shell to do.
#[derive(Clone, PartialEq, Debug)]
pub enum Effect {
    /// Sends a run of datagrams of `segment` bytes each to a neighbour.
    Send {
        /// The neighbour.
        to: SocketAddr,
        /// Bytes of each datagram in the run.
        segment: usize,
        /// Where they lie: a multiple of `segment`.
        bytes: Range<usize>,
    },
    /// Entry: hands a reply to the application behind an association.
    Deliver {
        /// Whose reply.
        association: Association,
        /// Who sent it, as the exit saw it.
        source: SocketAddr,
        /// The payload.
        bytes: Range<usize>,
    },
    /// Entry: something that the user should be told.
    Notice {
        /// Whose.
        association: Association,
        /// What.
        notice: Notice,
    },
    /// Exit: sends a datagram to the outside from the socket of a flow.
    Outside {
        /// Whose socket.
        flow: Flow,
        /// To whom.
        to: SocketAddr,
        /// The payload.
        bytes: Range<usize>,
    },
    /// Exit: looks a name up and answers with `Exit::resolved`.
    Resolve {
        /// What to answer to.
        question: Question,
        /// The name.
        name: String,
    },
    /// Exit: a flow ended; its sockets are to be closed.
    Gone {
        /// Which.
        flow: Flow,
    },
}

impl Outbox {
    /// An empty outbox.
    pub fn new() -> Self {
        Outbox::default()
    }

    /// All effects, in the order in which they are to be performed.
    pub fn effects(&self) -> &[Effect] {
        &self.effects
    }

    /// The bytes that an effect speaks of.
    pub fn bytes(&self, range: &Range<usize>) -> &[u8] {
        &self.buffer[range.clone()]
    }

    /// Forgets all effects; the memory is kept for the next.
    pub fn clear(&mut self) {
        self.effects.clear();
        self.buffer.clear();
    }

    /// The most bytes of one run: what a UDP datagram may hold, as one send is one to the kernel.
    const RUN_MAX: usize = 65_000;
    /// The most datagrams of one run: what kernels take in one segmented send.
    const SEGMENTS_MAX: usize = 64;

    /// Makes room for one datagram to a neighbour, in the run before it where that fits.
    pub(crate) fn datagram(&mut self, to: SocketAddr, size: usize) -> &mut [u8] {
        let start = self.buffer.len();
        let end = start + size;
        self.buffer.resize(end, 0);
        match self.effects.last_mut() {
            Some(Effect::Send { to: last, segment, bytes })
                if *last == to
                    && *segment == size
                    && end - bytes.start <= Self::RUN_MAX
                    && end - bytes.start <= Self::SEGMENTS_MAX * size =>
            {
                bytes.end = end;
            }
            _ => self.effects.push(Effect::Send { to, segment: size, bytes: start..end }),
        }
        &mut self.buffer[start..end]
    }

    pub(crate) fn deliver(&mut self, association: Association, source: SocketAddr, payload: &[u8]) {
        let bytes = self.append(payload);
        self.effects.push(Effect::Deliver { association, source, bytes });
    }

    pub(crate) fn outside(&mut self, flow: Flow, to: SocketAddr, payload: &[u8]) {
        let bytes = self.append(payload);
        self.effects.push(Effect::Outside { flow, to, bytes });
    }

    pub(crate) fn push(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    fn append(&mut self, payload: &[u8]) -> Range<usize> {
        let start = self.buffer.len();
        self.buffer.extend_from_slice(payload);
        start..self.buffer.len()
    }
}

macro_rules! reasons {
    ($(#[$doc:meta] $name:ident = $label:literal,)*) => {
        /// Every reason to refuse a datagram. `docs/protocol.md` has the table of which input
        /// leads to which.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
        pub enum Dropped { $(#[$doc] $name,)* }

        impl Dropped {
            /// All reasons, in the order of `index`.
            pub const ALL: &'static [Dropped] = &[$(Dropped::$name,)*];

            /// The metric label.
            pub fn label(self) -> &'static str {
                match self { $(Dropped::$name => $label,)* }
            }
        }
    };
}

// One list makes the enum, the table of all and the labels, so that none of them can forget one.
reasons! {
    /// Shorter than the head of a cell.
    TooShort = "too_short",
    /// Not of the size of a cell on its link, nor of the message it claims to be.
    WrongSize = "wrong_size",
    /// A link id that no open link has.
    UnknownLink = "unknown_link",
    /// The header block does not belong to this cell under the link's key.
    ForgedHeader = "forged_header",
    /// A channel id that nothing on this link has.
    UnknownChannel = "unknown_channel",
    /// A cell of one class on a channel of the other.
    WrongClass = "wrong_class",
    /// The number was seen before.
    RepeatedCell = "repeated_cell",
    /// The number is too old to tell whether it was seen.
    LateCell = "late_cell",
    /// The layer does not open under the channel's key.
    ForgedLayer = "forged_layer",
    /// Data before the channel's confirmation.
    Unconfirmed = "unconfirmed",
    /// A cell on channel 0 that does not open under the link's key.
    ForgedControl = "forged_control",
    /// A message on channel 0 that cannot be read or does not belong there.
    BadControl = "bad_control",
    /// A message with link id 0 of a kind that does not exist here.
    UnknownKind = "unknown_kind",
    /// A message with link id 0 of another version.
    UnknownVersion = "unknown_version",
    /// An opening or a key request without a valid check.
    BadCheck = "bad_check",
    /// An opening under load that has to come again with a cookie.
    NeedsCookie = "needs_cookie",
    /// More openings than are worked on in a second.
    TooManyOpenings = "too_many_openings",
    /// More key requests than are answered in a second.
    TooManyKeyRequests = "too_many_key_requests",
    /// An opening sealed to a key that this node does not have.
    UnknownKey = "unknown_key",
    /// An opening that came before.
    RepeatedOpening = "repeated_opening",
    /// An opening whose envelope does not open.
    ForgedOpening = "forged_opening",
    /// An opening from someone who may not open a link to this node.
    UnprovedOpening = "unproved_opening",
    /// No room for another link.
    LinksFull = "links_full",
    /// An answer, cookie, key piece or notice that nothing here waits for.
    Unexpected = "unexpected",
    /// An answer to an opening that does not open.
    ForgedAnswer = "forged_answer",
    /// A key list that is not signed by a listed node, or is out of date.
    BadKeyList = "bad_key_list",
    /// More new key lists of one node than an honest one has.
    TooManyKeyLists = "too_many_key_lists",
    /// No room for another incomplete set-up or key list on its link.
    ParcelsFull = "parcels_full",
    /// A set-up or key list that was not complete in time.
    ParcelExpired = "parcel_expired",
    /// A set-up that came before.
    RepeatedSetUp = "repeated_set_up",
    /// A set-up whose envelope does not open.
    ForgedSetUp = "forged_set_up",
    /// A set-up that opens but asks for what this node does not do.
    BadSetUp = "bad_set_up",
    /// More set-ups from one link than its share.
    TooManySetUps = "too_many_set_ups",
    /// No room for another channel.
    ChannelsFull = "channels_full",
    /// No room to remember more set-ups or openings under this key.
    MemoryFull = "memory_full",
    /// No room in the pool.
    PoolFull = "pool_full",
    /// The link or channel ended while the cell waited.
    Orphaned = "orphaned",
    /// A fragment that contradicts itself or its message.
    BadFragment = "bad_fragment",
    /// No room for another incomplete datagram in its channel.
    FragmentsFull = "fragments_full",
    /// A datagram that was not complete in time.
    FragmentExpired = "fragment_expired",
    /// A whole datagram without a destination or source in front.
    BadDatagram = "bad_datagram",
    /// Longer than fits.
    TooLong = "too_long",
    /// A destination that the exit's policy refuses.
    ForbiddenDestination = "forbidden_destination",
    /// A name that does not resolve.
    UnknownName = "unknown_name",
    /// No room for another question about a name.
    NamesFull = "names_full",
    /// No room for another socket.
    SocketsFull = "sockets_full",
    /// A reply from someone the channel did not write to.
    UnknownSource = "unknown_source",
    /// More than the channel's rate.
    TooFast = "too_fast",
    /// A reply to a channel that ended.
    UnknownFlow = "unknown_flow",
    /// An application's datagram while its channel's queue is full.
    QueueFull = "queue_full",
    /// No room for another association.
    AssociationsFull = "associations_full",
    /// An association that ended.
    UnknownAssociation = "unknown_association",
    /// No chain could be made in time for what waited.
    NoChain = "no_chain",
}

impl Dropped {
    /// The number of this reason in tables.
    pub fn index(self) -> usize {
        self as usize
    }
}

impl std::fmt::Display for Dropped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.label())
    }
}

impl std::error::Error for Dropped {}
