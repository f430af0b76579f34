//! Commands and how they are carried: paths in the clear, or one sealed envelope.
//!
//! ```text
//! /mix/SENDER/AMOUNT/BASE[/client]        body: Request      SENDER: account, or hash of a mixer
//! /confirm/RECEIVER_HASH/OUT_SEED1        body: Confirm
//! /getconfirm/SENDER_PUBKEY/IN_SEED1      body: GetConfirm
//!     accounts in base58, hashes and seeds in base58 too, amounts in decimal digits
//!
//! POST /sealed, asked:    | envelope to `enckey`, 1136 + 12288 |
//!   message: | size of path, 2 | path | size of body, 2 | body | zeros |      sizes big-endian
//! answered:               | tag, 16 | status, 2 | size, 2 | body | zeros |    8192 bytes in all
//!   AEGIS-128L, nonce 0, key exported from the envelope with context "mingle sealed reply v1"
//! ```
//! Answers are maps, in UBJSON: mix_ok 32 bytes | confirm_ok true | confirm 5120 bytes; a refusal is
//! {error, message} and a status.
//!
//! What always holds: URL and body agree, or the command is refused; sealed commands and their answers
//! have one size each, whatever they say. Absent: HTTP.

mod line;

use mixing::Chance;
use mixing::cipher::{self, Aead, Forged, TAG_SIZE};
use mixing::envelope::{self, EnvelopeKey, EnvelopePublic, Exporter};
use money::{Account, Amount, address};
use zeroize::Zeroizing;

use crate::document::{Confirm, Currency, GetConfirm, Request, Unverified, peer_hash};
use crate::effect::{Answer, Command, Refused};
use crate::ubjson::{Malformed, Value};
pub use line::{Act, Line, Question};

/// The size of a sealed command's message in bytes.
pub const MESSAGE_SIZE: usize = 12_288;

/// The size of a sealed command in bytes.
pub const SEALED_SIZE: usize = envelope::OVERHEAD + MESSAGE_SIZE;

/// The size of a sealed answer in bytes.
pub const REPLY_SIZE: usize = 8_192;

/// The longest path in bytes.
pub const PATH_SIZE_MAX: usize = 512;

const CONTEXT: &str = "mingle sealed command v1";
const REPLY_CONTEXT: &str = "mingle sealed reply v1";

impl Command {
    /// The signed body.
    pub fn body(&self) -> &[u8] {
        match self {
            Self::Mix(body) | Self::Confirm(body) | Self::GetConfirm(body) => body,
        }
    }

    /// The path that fits the body.
    ///
    /// # Errors
    /// [`Refused::Document`] if the body is not of its kind.
    pub fn path(&self, currency: &Currency, from: &Account) -> Result<String, Refused> {
        Ok(match self {
            Self::Mix(body) => {
                let request = Unverified::<Request>::parse(body, currency)?;
                let Request { sender, amount, client, .. } = request.content();
                let client = if *client { "/client" } else { "" };
                format!("/mix/{}/{amount}/0{client}", address::base58(sender))
            }
            Self::Confirm(body) => {
                let confirm = Unverified::<Confirm>::parse(body, currency)?;
                let hash = address::base58(&peer_hash(currency, from));
                format!("/confirm/{hash}/{}", address::base58(&confirm.content().out_seed))
            }
            Self::GetConfirm(body) => {
                let question = Unverified::<GetConfirm>::parse(body, currency)?;
                let GetConfirm { sender, in_seed, .. } = question.content();
                format!("/getconfirm/{sender}/{}", address::base58(in_seed))
            }
        })
    }

    /// Takes a path and a body that agree.
    ///
    /// # Errors
    /// [`Refused::NoCommand`] for a path that is none of the three, [`Refused::Contradiction`] if the
    /// body says something else, [`Refused::Document`] if it is not of the path's kind. Who signed
    /// `/confirm`, whose hash the path names, is seen when it is verified.
    pub fn read(path: &str, body: Vec<u8>, currency: &Currency) -> Result<Self, Refused> {
        if path.len() > PATH_SIZE_MAX {
            return Err(Refused::NoCommand);
        }
        let words: Vec<_> = path.split('/').collect();
        let bytes = |text| address::unbase58(text).ok_or(Refused::NoCommand);
        let agree = |agree| if agree { Ok(()) } else { Err(Refused::Contradiction) };
        match words[..] {
            ["", "mix", sender, amount, "0", ref rest @ ..] if matches!(rest, [] | ["client"]) => {
                let sender = bytes(sender)?;
                let amount: u64 = amount.parse().map_err(|_| Refused::NoCommand)?;
                let parsed = Unverified::<Request>::parse(&body, currency)?;
                let said = parsed.content();
                agree(
                    (said.sender, said.amount, said.client)
                        == (sender, Amount::from_units(amount), !rest.is_empty()),
                )?;
                Ok(Self::Mix(body))
            }
            ["", "confirm", hash, seed] => {
                bytes(hash)?;
                let seed = bytes(seed)?;
                agree(Unverified::<Confirm>::parse(&body, currency)?.content().out_seed == seed)?;
                Ok(Self::Confirm(body))
            }
            ["", "getconfirm", sender, seed] => {
                let sender: Account = sender.parse().map_err(|_| Refused::NoCommand)?;
                let seed = bytes(seed)?;
                let parsed = Unverified::<GetConfirm>::parse(&body, currency)?;
                agree((parsed.content().sender, parsed.content().in_seed) == (sender, seed))?;
                Ok(Self::GetConfirm(body))
            }
            _ => Err(Refused::NoCommand),
        }
    }
}

impl Answer {
    /// The entry of the answered map.
    pub fn entry(self) -> (&'static str, Value) {
        match self {
            Self::Seed(seed) => ("mix_ok", Value::from(&seed[..])),
            Self::Taken => ("confirm_ok", Value::Bool(true)),
            Self::Promises(slots) => ("confirm", Value::Bytes(slots)),
        }
    }

    /// Finds the answer in the answered map.
    ///
    /// # Errors
    /// [`Malformed`] if there is none.
    pub fn read(answered: Value) -> Result<Self, Malformed> {
        let Value::Map(entries) = answered else { return Err(Malformed::NotAMap) };
        let found = entries.into_iter().find_map(|(name, value)| match (name.as_str(), value) {
            ("mix_ok", Value::Bytes(seed)) => seed.try_into().ok().map(Self::Seed),
            ("confirm_ok", Value::Bool(true)) => Some(Self::Taken),
            ("confirm", Value::Bytes(slots)) => Some(Self::Promises(slots)),
            _ => None,
        });
        found.ok_or(Malformed::WrongValue("answer"))
    }
}

/// Opens the answer to one sealed command.
pub struct ReplyKey(Exporter);

/// Seals a path and a body to a mixer, and keeps the key of the answer.
///
/// # Panics
/// If they do not fit: no command of ours is that long.
pub fn seal(
    path: &str,
    body: &[u8],
    to: &EnvelopePublic,
    chance: &mut Chance,
) -> (Vec<u8>, ReplyKey) {
    let mut message = Zeroizing::new(Vec::with_capacity(MESSAGE_SIZE));
    for part in [path.as_bytes(), body] {
        let size = u16::try_from(part.len()).expect("commands are shorter than 64 KiB");
        message.extend_from_slice(&size.to_be_bytes());
        message.extend_from_slice(part);
    }
    assert!(message.len() <= MESSAGE_SIZE, "commands fit into their envelope");
    message.resize(MESSAGE_SIZE, 0);
    let (sealed, exporter) = envelope::seal(to, CONTEXT, &[], &message, chance);
    (sealed, ReplyKey(exporter))
}

/// Opens a sealed command: path, body, and the key of the answer.
///
/// # Errors
/// [`Forged`] if it is sealed to another key, changed, or of another size or form.
pub fn open(sealed: &[u8], key: &EnvelopeKey) -> Result<(String, Vec<u8>, ReplyKey), Forged> {
    if sealed.len() != SEALED_SIZE {
        return Err(Forged);
    }
    let (message, exporter) = key.open(CONTEXT, &[], sealed)?;
    let message = Zeroizing::new(message);
    let (path, rest) = sized(&message).ok_or(Forged)?;
    let (body, _) = sized(rest).ok_or(Forged)?;
    let path = std::str::from_utf8(path).map_err(|_| Forged)?.to_owned();
    Ok((path, body.to_vec(), ReplyKey(exporter)))
}

fn sized(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (size, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*size)))
}

impl ReplyKey {
    fn aead(&self) -> Aead {
        let mut key = Zeroizing::new([0; cipher::KEY_SIZE]);
        self.0.export(REPLY_CONTEXT, &[], &mut *key);
        Aead::new(&key)
    }

    /// Seals the one answer, an HTTP status and a body.
    ///
    /// # Panics
    /// If the body is longer than 8172 bytes.
    pub fn seal(self, status: u16, body: &[u8]) -> Vec<u8> {
        let size = u16::try_from(body.len()).expect("answers are shorter than 64 KiB");
        let mut reply = [&status.to_be_bytes()[..], &size.to_be_bytes(), body].concat();
        assert!(reply.len() <= REPLY_SIZE - TAG_SIZE, "answers fit into their size");
        reply.resize(REPLY_SIZE - TAG_SIZE, 0);
        let tag = self.aead().seal(&cipher::nonce(0), &[], &mut reply);
        [&tag[..], &reply].concat()
    }

    /// Opens the answer.
    ///
    /// # Errors
    /// [`Forged`] if it is not the answer to this command.
    pub fn open(self, reply: &[u8]) -> Result<(u16, Vec<u8>), Forged> {
        if reply.len() != REPLY_SIZE {
            return Err(Forged);
        }
        let (tag, body) = reply.split_first_chunk().ok_or(Forged)?;
        let mut body = body.to_vec();
        self.aead().open(&cipher::nonce(0), &[], &mut body, tag)?;
        let (status, rest) = body.split_first_chunk().ok_or(Forged)?;
        let (answer, _) = sized(rest).ok_or(Forged)?;
        Ok((u16::from_be_bytes(*status), answer.to_vec()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Signed;
    use crate::onion::ONION_SIZE;
    use money::AccountKey;

    fn here() -> Currency {
        Currency::Genesis([7; 32])
    }

    fn command(client: bool) -> Command {
        let key = AccountKey::from_seed([1; 32]);
        let request = Request {
            to: Account::from_bytes([2; 32]),
            sender: *key.account().as_bytes(),
            amount: Amount::from_units(505),
            client,
            req_date: 1_700_000_000,
            onion: vec![3; ONION_SIZE],
        };
        Command::Mix(Signed::make(request, &here(), &key).bytes().to_vec())
    }

    #[test]
    fn a_path_and_its_body_agree_or_are_refused() {
        for client in [true, false] {
            let command = command(client);
            let path = command.path(&here(), &Account::from_bytes([1; 32])).unwrap();
            let body = command.body().to_vec();
            assert_eq!(Command::read(&path, body.clone(), &here()), Ok(command));
            let other = path.replace("505", "506");
            let refused = Command::read(&other, body.clone(), &here());
            assert_eq!(refused, Err(Refused::Contradiction));
            for odd in ["", "/mix", "/mix/a/b/c", "/mix//1/0", "/peers", &path.repeat(9)] {
                assert_eq!(Command::read(odd, body.clone(), &here()), Err(Refused::NoCommand));
            }
        }
        let path = command(true).path(&here(), &Account::from_bytes([1; 32])).unwrap();
        let without = path.trim_end_matches("/client");
        let refused = Command::read(without, command(true).body().to_vec(), &here());
        assert_eq!(refused, Err(Refused::Contradiction));
    }

    #[test]
    fn sealed_commands_and_answers_have_one_size_each() {
        let mut chance = Chance::new([5; 32]);
        let key = EnvelopeKey::generate(&mut chance);
        for (path, body) in [("/info", &[][..]), ("/mix/x", &[9; 8_000])] {
            let (sealed, asked) = seal(path, body, key.public(), &mut chance);
            assert_eq!(sealed.len(), SEALED_SIZE);
            let (opened, same, answering) = open(&sealed, &key).ok().unwrap();
            assert_eq!((opened.as_str(), &same[..]), (path, body));
            let reply = answering.seal(200, body);
            assert_eq!(reply.len(), REPLY_SIZE);
            assert_eq!(asked.open(&reply).ok().unwrap(), (200, body.to_vec()));
            let (_, another) = seal(path, body, key.public(), &mut chance);
            assert!(another.open(&reply).is_err(), "an answer serves one question");
            let mut changed = sealed;
            changed[SEALED_SIZE - 1] ^= 1;
            assert!(open(&changed, &key).is_err());
            assert!(open(&changed[1..], &key).is_err());
        }
    }
}
