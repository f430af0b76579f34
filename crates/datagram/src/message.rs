//! What neighbours say to each other on channel 0.
//!
//! The content of a channel-0 cell is a row of messages, each a kind and a body of fixed size;
//! kind 0 ends it, and all that follows is zero. A cell of zeros alone is a filler. A piece takes
//! a length of its own and the cell's remaining room.
//!
//! ```text
//!  0  filler    -
//!  1  piece     parcel u32 | index u8 | count u8 | length u16 | bytes
//!  2  received  parcel u32 | pieces u8 (bit i: piece i)
//!  3  confirm   backward u32 | forward u32 | proof 16
//!  4  refused   backward u32 | reason u8
//!  5  close     channel u32
//!  6  probe     -
//!  7  alive     -
//!  8  challenge token 16
//!  9  token     token 16
//! 10  goodbye   -
//! 11  unknown   channel u32
//! ```

use crate::outbox::Dropped;
use crate::slots::Id;

/// One message.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Message<'a> {
    /// A piece of a set-up or a key list.
    Piece {
        /// The sender's number of the whole.
        parcel: u32,
        /// Which piece, from 0.
        index: u8,
        /// Of how many: 1 to 8.
        count: u8,
        /// What is in it.
        bytes: &'a [u8],
    },
    /// Which pieces of a parcel have arrived.
    Received {
        /// Of the parcel.
        parcel: u32,
        /// Bit *i* stands for piece *i*.
        pieces: u8,
    },
    /// The channel stands from here to the exit.
    Confirm {
        /// The receiver's id of the channel's backward direction.
        backward: Id,
        /// The sender's id of its forward direction.
        forward: Id,
        /// The proofs of all hops behind, one over the other.
        proof: [u8; 16],
    },
    /// The sender could not open its envelope, so it has no word key to say so under.
    Refused {
        /// The receiver's id of the channel's backward direction.
        backward: Id,
        /// Why.
        reason: Refusal,
    },
    /// The client wants the channel no longer.
    Close {
        /// The receiver's id of the channel's forward direction.
        channel: Id,
    },
    /// *Are you there?*
    Probe,
    /// *I am.*
    Alive,
    /// *If you receive at this address, say so.*
    Challenge {
        /// To be said back.
        token: [u8; 16],
    },
    /// The answer to a challenge.
    Token {
        /// As it was in the challenge.
        token: [u8; 16],
    },
    /// The sender ends the link.
    Goodbye,
    /// A cell came for a channel that the sender does not have: its end was told, and lost.
    Unknown {
        /// The id that the cell had.
        channel: Id,
    },
}

/// Why a hop refuses a channel or ends it: what the client is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// The envelope is sealed to a key that the hop does not have.
    UnknownKey,
    /// The set-up is not one for this hop: tier, class, lifetime or next hop.
    BadSetUp,
    /// No room for another channel, or more set-ups than the link's share.
    Overloaded,
    /// The next hop does not answer.
    NextUnreachable,
    /// The channel was quiet too long, or its lifetime is over.
    Expired,
    /// The hop is shutting down.
    ShuttingDown,
    /// The exit cannot open a socket.
    NoSocket,
}

impl Refusal {
    const ALL: [Refusal; 7] = [
        Refusal::UnknownKey,
        Refusal::BadSetUp,
        Refusal::Overloaded,
        Refusal::NextUnreachable,
        Refusal::Expired,
        Refusal::ShuttingDown,
        Refusal::NoSocket,
    ];

    /// The number on the wire, from 1.
    pub fn to_wire(self) -> u8 {
        self as u8 + 1
    }

    /// The refusal of a number.
    pub fn from_wire(number: u8) -> Option<Refusal> {
        Refusal::ALL.get(usize::from(number.checked_sub(1)?)).copied()
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Refusal::UnknownKey => "has begun a new key",
            Refusal::BadSetUp => "does not serve such a channel",
            Refusal::Overloaded => "has no room for another channel",
            Refusal::NextUnreachable => "cannot reach the next hop",
            Refusal::Expired => "ended the channel, which was quiet too long or too old",
            Refusal::ShuttingDown => "is shutting down",
            Refusal::NoSocket => "cannot open another socket",
        })
    }
}

/// Bytes of a piece before its content: kind, parcel, index, count, length.
pub(crate) const PIECE_HEAD: usize = 9;

impl Message<'_> {
    /// The message as it travels.
    pub(crate) fn to_wire(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(32);
        match self {
            Message::Piece { parcel, index, count, bytes: content } => {
                let length = u16::try_from(content.len()).expect("a piece fits a cell");
                bytes.push(1);
                bytes.extend_from_slice(&parcel.to_be_bytes());
                bytes.extend_from_slice(&[*index, *count]);
                bytes.extend_from_slice(&length.to_be_bytes());
                bytes.extend_from_slice(content);
            }
            Message::Received { parcel, pieces } => {
                bytes.push(2);
                bytes.extend_from_slice(&parcel.to_be_bytes());
                bytes.push(*pieces);
            }
            Message::Confirm { backward, forward, proof } => {
                bytes.push(3);
                bytes.extend_from_slice(&backward.to_wire().to_be_bytes());
                bytes.extend_from_slice(&forward.to_wire().to_be_bytes());
                bytes.extend_from_slice(proof);
            }
            Message::Refused { backward, reason } => {
                bytes.push(4);
                bytes.extend_from_slice(&backward.to_wire().to_be_bytes());
                bytes.push(reason.to_wire());
            }
            Message::Close { channel } => {
                bytes.push(5);
                bytes.extend_from_slice(&channel.to_wire().to_be_bytes());
            }
            Message::Probe => bytes.push(6),
            Message::Alive => bytes.push(7),
            Message::Challenge { token } => {
                bytes.push(8);
                bytes.extend_from_slice(token);
            }
            Message::Token { token } => {
                bytes.push(9);
                bytes.extend_from_slice(token);
            }
            Message::Goodbye => bytes.push(10),
            Message::Unknown { channel } => {
                bytes.push(11);
                bytes.extend_from_slice(&channel.to_wire().to_be_bytes());
            }
        }
        bytes
    }
}

/// Whether a message, as it travels, is answered on its link: a piece and a probe are.
pub(crate) fn asks(message: &[u8]) -> bool {
    matches!(message.first(), Some(1 | 6))
}

/// Reads the messages of a cell one after another.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    /// The next message, `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Message<'a>>, Dropped> {
        let Some((kind, rest)) = self.0.split_first() else { return Ok(None) };
        self.0 = rest;
        Ok(Some(match kind {
            0 => return Ok(None),
            1 => {
                let (parcel, [index, count]) = (self.number()?, self.take::<2>()?);
                let length = usize::from(u16::from_be_bytes(self.take::<2>()?));
                let (bytes, rest) = self.0.split_at_checked(length).ok_or(Dropped::BadControl)?;
                self.0 = rest;
                Message::Piece { parcel, index, count, bytes }
            }
            2 => Message::Received { parcel: self.number()?, pieces: self.take::<1>()?[0] },
            3 => {
                Message::Confirm { backward: self.id()?, forward: self.id()?, proof: self.take()? }
            }
            4 => {
                let (backward, [reason]) = (self.id()?, self.take::<1>()?);
                let reason = Refusal::from_wire(reason).ok_or(Dropped::BadControl)?;
                Message::Refused { backward, reason }
            }
            5 => Message::Close { channel: self.id()? },
            6 => Message::Probe,
            7 => Message::Alive,
            8 => Message::Challenge { token: self.take()? },
            9 => Message::Token { token: self.take()? },
            10 => Message::Goodbye,
            11 => Message::Unknown { channel: self.id()? },
            _ => return Err(Dropped::BadControl),
        }))
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Dropped> {
        let (bytes, rest) = self.0.split_first_chunk().ok_or(Dropped::BadControl)?;
        self.0 = rest;
        Ok(*bytes)
    }

    fn number(&mut self) -> Result<u32, Dropped> {
        Ok(u32::from_be_bytes(self.take()?))
    }

    fn id(&mut self) -> Result<Id, Dropped> {
        Ok(Id::from_wire(self.number()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_comes_back_as_it_was_written() {
        let id = Id::from_wire;
        let mut messages = vec![
            Message::Piece { parcel: 7, index: 1, count: 6, bytes: b"a piece" },
            Message::Received { parcel: 7, pieces: 0b101 },
            Message::Confirm { backward: id(0x101), forward: id(0xFFFF_FF02), proof: [9; 16] },
            Message::Close { channel: id(0x305) },
            Message::Probe,
            Message::Alive,
            Message::Challenge { token: [3; 16] },
            Message::Token { token: [4; 16] },
            Message::Goodbye,
            Message::Unknown { channel: id(0x406) },
        ];
        messages
            .extend(Refusal::ALL.map(|reason| Message::Refused { backward: id(0x207), reason }));
        let mut cell: Vec<u8> = messages.iter().flat_map(Message::to_wire).collect();
        cell.resize(400, 0);
        let mut reader = Reader(&cell);
        for message in messages {
            assert_eq!(reader.next(), Ok(Some(message)));
        }
        assert_eq!(reader.next(), Ok(None));
    }

    #[test]
    fn what_is_cut_short_or_unknown_is_refused() {
        for bad in
            [&[1u8, 0][..], &[1, 0, 0, 0, 1, 0, 1, 0, 9, 1], &[3; 10], &[4, 0, 0, 1, 0, 0], &[12]]
        {
            assert_eq!(Reader(bad).next(), Err(Dropped::BadControl), "{bad:?}");
        }
    }
}
