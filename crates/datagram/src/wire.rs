//! Every size and every fixed layout on the wire. Numbers are big-endian.
//!
//! A cell, on a link that leaves tier *k* (the entry is tier 0), is `S₀ − 16·k` bytes:
//!
//! ```text
//! 0         4                 20         36
//! | link id | header block    | tag      | ciphertext                          |
//!             AES( channel u32 | sequence u32 | first 8 bytes of the tag )
//! ```
//!
//! The tag and ciphertext are one layer. What a hop finds under its layer begins with the next
//! layer's tag, so a cell shrinks by one tag towards the exit and grows by one on the way back:
//!
//! ```text
//! tag₁ | ciphertext₁ = seal₁( tag₂ | ciphertext₂ = seal₂( … sealₑ( fragment | padding ) … ) )
//! ```
//!
//! Everything that is not a cell of an open link begins with link id 0 ([`Prelude`]), except the
//! answer to an opening, which begins with the link id that the opener chose.

use zerocopy::byteorder::big_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::network::{Class, Network};

/// Bytes of an authentication tag; also what a cell loses at each hop.
pub const TAG: usize = 16;
/// The highest tier.
pub const TIERS_MAX: u8 = 5;
/// The most hops of a chain: five mixes and the exit.
pub const HOPS_MAX: usize = TIERS_MAX as usize + 1;
/// S₀ of `large`, and the largest UDP payload that anything here has: a link needs an MTU of
/// 1,452 on IPv6.
pub const LARGE: usize = 1404;
/// The least S₀ of `large`: what a link opening needs, for an MTU of 1,280 on IPv6.
pub const LARGE_LEAST: usize = OPENING;
/// S₀ of `small` unless the network list says otherwise: 320 bytes of payload.
pub const SMALL: usize = 440;
/// The least S₀: 64 bytes of payload.
pub const SMALLEST: usize = CELL_OVERHEAD + TAG * TIERS_MAX as usize + FRAGMENT_HEADER + 64;

/// The head of a cell, in clear but for the header block.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct CellHead {
    /// The receiver's id of the link.
    pub link: U32,
    /// The enciphered [`Header`].
    pub header: [u8; 16],
    /// The outermost layer's tag.
    pub tag: [u8; TAG],
}

/// The header block, deciphered.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy)]
#[repr(C)]
pub struct Header {
    /// The receiver's id of the channel; 0 is the link itself.
    pub channel: U32,
    /// The cell's number in its channel and direction.
    pub sequence: U32,
    /// The first half of the tag: what proves that the block belongs to this cell.
    pub tag_half: [u8; 8],
}

/// Bytes before a cell's ciphertext.
pub const CELL_OVERHEAD: usize = size_of::<CellHead>();
/// The last number of a channel and direction: that of a hop's last word.
pub const LAST_SEQUENCE: u32 = u32::MAX;

/// The head of a fragment, under the exit's layer.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy)]
#[repr(C)]
pub struct FragmentHead {
    /// Which fragment of its message this is, from 0. The first fragment's sequence is this
    /// cell's sequence less `index`.
    pub index: u8,
    /// How many fragments the message has. 0: a dummy.
    pub count: u8,
    /// Bytes of the message in this fragment; all that follows is zero.
    pub length: U16,
}

/// Bytes of a fragment's head.
pub const FRAGMENT_HEADER: usize = size_of::<FragmentHead>();

/// What everything with link id 0 begins with.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy)]
#[repr(C)]
pub struct Prelude {
    /// 0.
    pub link: U32,
    /// One of the `KIND_` constants.
    pub kind: u8,
    /// [`VERSION`].
    pub version: u8,
    /// Openings: which of the responder's keys they are sealed to. Key pieces: their index.
    pub hint: U16,
}

/// The one suite and format that exists.
pub const VERSION: u8 = 1;
/// A link opening.
pub const KIND_OPENING: u8 = 1;
/// A link opening whose check is keyed with a cookie.
pub const KIND_OPENING_WITH_COOKIE: u8 = 2;
/// Asks for a piece of a node's key list.
pub const KIND_KEY_REQUEST: u8 = 3;
/// A piece of a node's key list.
pub const KIND_KEY_PIECE: u8 = 4;
/// *Prove that you receive at your address first.*
pub const KIND_COOKIE: u8 = 5;
/// *I do not have the key that you sealed this to.*
pub const KIND_UNKNOWN_KEY: u8 = 6;

/// A link opening.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Opening {
    /// `KIND_OPENING…`, and a hint which key it is sealed to.
    pub prelude: Prelude,
    /// An [`OpeningBody`] in an envelope.
    pub envelope: [u8; mixing::envelope::OVERHEAD + size_of::<OpeningBody>()],
    /// The cheap check: over all bytes before it.
    pub check: [u8; 16],
}

/// What an opening says.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy)]
#[repr(C)]
pub struct OpeningBody {
    /// The link id that the opener wants to see.
    pub link: U32,
    /// The first 4 bytes of the opener's identity; zero for a client.
    pub opener: [u8; 4],
    /// The opener's proof; zero for a client.
    pub proof: [u8; 64],
}

/// Bytes of a link opening and of the shortest key request, in every network.
pub const OPENING: usize = size_of::<Opening>();

/// The answer to an opening. Begins with the opener's link id.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Answer {
    /// The opener's link id.
    pub link: U32,
    /// Of the body.
    pub tag: [u8; TAG],
    /// Sealed under a key from the opening's envelope.
    pub body: AnswerBody,
}

/// What an answer says.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy)]
#[repr(C)]
pub struct AnswerBody {
    /// The link id that the responder wants to see.
    pub link: U32,
    /// The responder's part of the link keys: a replayed opening leads to other keys.
    pub random: [u8; 32],
}

/// Asks for a piece of a key list. As long as an opening, so that no answer is longer; it may have
/// more zeros, up to the size of the largest cell, and then the answer has them too.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct KeyRequest {
    /// `KIND_KEY_REQUEST`, and the piece's index.
    pub prelude: Prelude,
    /// Comes back in the answer.
    pub token: [u8; 16],
    /// Zero.
    pub padding: [u8; OPENING - 40],
    /// The cheap check: over all bytes before it, at the end however long the request is.
    pub check: [u8; 16],
}

/// A piece of a key list.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct KeyPiece {
    /// `KIND_KEY_PIECE`, and the piece's index.
    pub prelude: Prelude,
    /// The request's.
    pub token: [u8; 16],
    /// The bytes from `index · KEY_PIECE` on; zeros follow where the request was longer.
    pub bytes: [u8; KEY_PIECE],
}

/// Bytes of a key list in one piece: half of it.
pub const KEY_PIECE: usize = KEY_LIST / 2;
/// Pieces of a key list.
pub const KEY_PIECES: u16 = 2;

/// A node's current key, signed.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone)]
#[repr(C)]
pub struct KeyList {
    /// Whose.
    pub identity: [u8; 32],
    /// Milliseconds since 1970 when its epoch began.
    pub begins: U64,
    /// Milliseconds since 1970 when its epoch ends; accepted ten minutes longer.
    pub ends: U64,
    /// X-Wing.
    pub key: [u8; mixing::envelope::PUBLIC_SIZE],
    /// By the identity, over the network's name and all bytes before.
    pub signature: [u8; 64],
}

/// Bytes of a key list.
pub const KEY_LIST: usize = size_of::<KeyList>();

/// *Prove that you receive at your address first*: a cookie, readable by who sent the opening.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Cookie {
    /// `KIND_COOKIE`.
    pub prelude: Prelude,
    /// The check of the opening that it answers.
    pub check: [u8; 16],
    /// Of the cookie.
    pub nonce: [u8; 16],
    /// Of the cookie.
    pub tag: [u8; TAG],
    /// Sealed.
    pub cookie: [u8; 16],
}

/// *I do not have the key that you sealed this to.*
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct UnknownKey {
    /// `KIND_UNKNOWN_KEY`.
    pub prelude: Prelude,
    /// The check of the opening that it answers.
    pub check: [u8; 16],
}

/// What a hop learns from the envelope that opens a channel.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy)]
#[repr(C)]
pub struct SetUpLayer {
    /// The next hop's identity; zero at the exit.
    pub next: [u8; 32],
    /// [`Class::index`].
    pub class: u8,
    /// Which of the three lifetimes.
    pub lifetime: u8,
    /// Zero.
    pub reserved: [u8; 6],
}

/// Bytes that a set-up loses at each hop.
pub const SET_UP_LAYER: usize = mixing::envelope::OVERHEAD + size_of::<SetUpLayer>();

const _: () = assert!(CELL_OVERHEAD == 36);
const _: () = assert!(size_of::<Header>() == 16);
const _: () = assert!(FRAGMENT_HEADER == 4);
const _: () = assert!(size_of::<Prelude>() == 8);
const _: () = assert!(OPENING == 1232);
const _: () = assert!(size_of::<KeyRequest>() == OPENING);
const _: () = assert!(size_of::<Answer>() == 56);
const _: () = assert!(KEY_LIST == 1328 && KEY_LIST.is_multiple_of(KEY_PIECES as usize));
const _: () = assert!(size_of::<KeyPiece>() <= OPENING);
const _: () = assert!(size_of::<Cookie>() <= OPENING && size_of::<UnknownKey>() <= OPENING);
const _: () = assert!(SET_UP_LAYER == 1176);
const _: () = assert!(payload_size(SMALL) == 320 && payload_size(LARGE) == 1284);

/// Bytes of a cell of class size `s0` on a link that leaves tier `leaving`.
pub const fn cell_size(s0: usize, leaving: u8) -> usize {
    s0 - TAG * leaving as usize
}

/// Bytes of a message that one fragment carries; the same whatever the length of the chain.
pub const fn payload_size(s0: usize) -> usize {
    s0 - CELL_OVERHEAD - TAG * TIERS_MAX as usize - FRAGMENT_HEADER
}

/// Bytes of a set-up on a link that leaves tier `leaving`.
pub const fn set_up_size(leaving: u8) -> usize {
    SET_UP_LAYER * (HOPS_MAX - leaving as usize)
}

/// The class of a cell of `size` bytes on a link that leaves tier `leaving`.
pub fn class_of(network: &Network, leaving: u8, size: usize) -> Option<Class> {
    Class::ALL.into_iter().find(|&c| cell_size(network.class(c).cell_size, leaving) == size)
}
