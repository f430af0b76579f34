//! How a link is opened: what travels between two nodes that share no key yet.
//!
//! ```text
//! opener                                    responder
//!   key request, as long as an opening ───►
//!                       ◄─── piece of the signed key list          (twice)
//!   opening: envelope( link id, who, proof ), check ───►           sealed to the key of the hour
//!                       ◄─── answer( link id, 32 random bytes )
//!   first cell ───►
//! ```
//!
//! The check is WireGuard's: whoever does not know whom he talks to gets no answer and costs one
//! hash; under load, whoever does not show a cookie for his address costs one hash as well. No
//! answer is longer than what provoked it. The link's keys hang on the responder's random bytes,
//! so an opening that is sent again leads to other keys, which its sender cannot know.
//!
//! No state here: functions over bytes. The states are in `neighbours`.

use std::net::{IpAddr, SocketAddr};

use mixing::chance::Chance;
use mixing::cipher::{self, Aead, Block};
use mixing::envelope::{Exporter, Sealing};
use mixing::keys::{Identity, Signature};
use mixing::time::Time;
use zerocopy::{FromBytes, IntoBytes};

use crate::keyring::{Keyring, Known};
use crate::network::{Network, Node};
use crate::outbox::Dropped;
use crate::slots::Id;
use crate::wire::{self, Answer, AnswerBody, Opening, OpeningBody, Prelude};

pub(crate) const ENVELOPE: &str = "mingle link opening v1";
const PROOF: &str = "mingle link proof v1";
const CHECK: &str = "mingle link check v1";
const CHECK_WITH_COOKIE: &str = "mingle link check with cookie v1";
const COOKIE: &str = "mingle link cookie v1";
const ANSWER: &str = "mingle link answer v1";
const KEYS: &str = "mingle link keys v1";

/// What a responder under load hands out instead of an answer.
pub(crate) type CookieBytes = [u8; 16];

/// The opener's side of an opening that is under way.
pub(crate) struct Pending {
    exporter: Exporter,
    /// The opening's check, by which cookies and notices refer to it.
    pub(crate) check: [u8; 16],
}

/// The keys of an open link: for each direction one for headers and one for channel 0.
pub(crate) struct LinkKeys {
    pub(crate) outward: OneWay,
    pub(crate) inward: OneWay,
}

/// The keys of one direction of a link.
pub(crate) struct OneWay {
    pub(crate) header: Block,
    pub(crate) control: Aead,
}

/// Makes an opening to a listed node; a listed opener proves itself with its keyring.
pub(crate) fn open(
    network: &Network,
    to: &Identity,
    known: &Known,
    by: Option<&Keyring>,
    link: Id,
    cookie: Option<&CookieBytes>,
    chance: &mut Chance,
) -> (Vec<u8>, Pending) {
    let sealing = Sealing::begin(&known.key, ENVELOPE, chance);
    let mut body = OpeningBody { link: link.to_wire().into(), opener: [0; 4], proof: [0; 64] };
    if let Some(keyring) = by {
        let opener = keyring.identity();
        let proven = proven(network, &opener, to, link, &sealing.fingerprint());
        body.opener = short(&opener);
        body.proof = keyring.sign(PROOF, &proven).0;
    }
    let kind = if cookie.is_some() { wire::KIND_OPENING_WITH_COOKIE } else { wire::KIND_OPENING };
    let prelude = prelude(kind, known.hint);
    let (envelope, exporter) = sealing.finish(prelude.as_bytes(), body.as_bytes());
    let mut bytes = [prelude.as_bytes(), &envelope].concat();
    let check = check(to, cookie, &bytes);
    bytes.extend_from_slice(&check);
    (bytes, Pending { exporter, check })
}

/// Whether the check at the end of an opening or a key request is good: the first thing to ask.
pub(crate) fn has_check(bytes: &[u8], of: &Identity, cookie: Option<&CookieBytes>) -> bool {
    let (body, found) = bytes.split_at(bytes.len() - 16);
    cipher::equal(&check(of, cookie, body), found)
}

/// What an opening that passed the cheap checks says.
pub(crate) struct Opened {
    /// The id that the opener wants to see.
    pub(crate) link: Id,
    /// The listed node that proved itself; `None` for a client.
    pub(crate) opener: Option<Identity>,
    exporter: Exporter,
}

/// Opens an opening's envelope and judges its proof.
pub(crate) fn accept(
    network: &Network,
    keyring: &mut Keyring,
    opening: &Opening,
) -> Result<Opened, Dropped> {
    use crate::keyring::Refused;
    let hint = opening.prelude.hint.get();
    let prelude = opening.prelude.as_bytes();
    let fingerprint = mixing::envelope::fingerprint(&opening.envelope);
    let (body, exporter) =
        keyring.open(Some(hint), ENVELOPE, prelude, &opening.envelope).map_err(|refused| {
            match refused {
                Refused::Repeated => Dropped::RepeatedOpening,
                Refused::NotOurs => Dropped::ForgedOpening,
                Refused::MemoryFull => Dropped::MemoryFull,
            }
        })?;
    let body = OpeningBody::read_from_bytes(&body).expect("as long as the envelope says");
    let link = Id::from_wire(body.link.get());
    let opener = match body.opener {
        [0, 0, 0, 0] => None,
        opener => {
            let me = keyring.identity();
            let proof = Signature(body.proof);
            let proves = |node: &&Node| {
                let proven = proven(network, &node.identity, &me, link, &fingerprint);
                short(&node.identity) == opener
                    && node.identity.verify(PROOF, &proven, &proof).is_ok()
            };
            let node = network.nodes.iter().find(proves).ok_or(Dropped::UnprovedOpening)?;
            Some(node.identity)
        }
    };
    Ok(Opened { link, opener, exporter })
}

impl Opened {
    /// Answers, and so gives the link its keys.
    pub(crate) fn answer(&self, link: Id, chance: &mut Chance) -> (Answer, LinkKeys) {
        let random = chance.bytes();
        let mut body = AnswerBody { link: link.to_wire().into(), random };
        let tag = answer_key(&self.exporter).seal(&cipher::nonce(0), &[], body.as_mut_bytes());
        let answer = Answer { link: self.link.to_wire().into(), tag, body };
        let (opener_to_us, us_to_opener) = link_keys(&self.exporter, &random);
        (answer, LinkKeys { outward: us_to_opener, inward: opener_to_us })
    }
}

impl Pending {
    /// Reads the answer: the id that the responder wants to see, and the link's keys.
    pub(crate) fn answered(&self, answer: &mut Answer) -> Result<(Id, LinkKeys), Dropped> {
        let body = answer.body.as_mut_bytes();
        answer_key(&self.exporter)
            .open(&cipher::nonce(0), &[], body, &answer.tag)
            .map_err(|_| Dropped::ForgedAnswer)?;
        let (outward, inward) = link_keys(&self.exporter, &answer.body.random);
        Ok((Id::from_wire(answer.body.link.get()), LinkKeys { outward, inward }))
    }
}

/// A responder's cookies: a code of the source address under a secret that changes.
pub(crate) struct Cookies {
    secret: [u8; 32],
    former: [u8; 32],
    renewed: Time,
}

impl Cookies {
    /// How long a secret hands out cookies; they are good as long again.
    const SECRET_FOR: std::time::Duration = std::time::Duration::from_secs(60);

    pub(crate) fn new(now: Time, chance: &mut Chance) -> Self {
        Cookies { secret: chance.bytes(), former: chance.bytes(), renewed: now }
    }

    pub(crate) fn tick(&mut self, now: Time, chance: &mut Chance) {
        if now - self.renewed >= Self::SECRET_FOR {
            self.former = std::mem::replace(&mut self.secret, chance.bytes());
            self.renewed = now;
        }
    }

    /// Whether an opening's check is keyed with a cookie that its source was given.
    pub(crate) fn has_check(&self, bytes: &[u8], of: &Identity, from: SocketAddr) -> bool {
        [&self.secret, &self.former]
            .into_iter()
            .any(|secret| has_check(bytes, of, Some(&cookie(secret, from))))
    }

    /// The cookie for a source, readable by whoever sent the opening.
    pub(crate) fn bake(
        &self,
        of: &Identity,
        from: SocketAddr,
        check: [u8; 16],
        chance: &mut Chance,
    ) -> wire::Cookie {
        let (nonce, mut cookie) = (chance.bytes(), cookie(&self.secret, from));
        let tag = cookie_key(of).seal(&nonce, &check, &mut cookie);
        wire::Cookie { prelude: prelude(wire::KIND_COOKIE, 0), check, nonce, tag, cookie }
    }
}

/// Reads a cookie that answers the opening with this check.
pub(crate) fn taste(of: &Identity, message: &mut wire::Cookie) -> Result<CookieBytes, Dropped> {
    let (nonce, check) = (message.nonce, message.check);
    cookie_key(of)
        .open(&nonce, &check, &mut message.cookie, &message.tag)
        .map_err(|_| Dropped::Unexpected)?;
    Ok(message.cookie)
}

/// Asks a node for a piece of its key list.
pub(crate) fn key_request(of: &Identity, piece: u16, token: [u8; 16]) -> Vec<u8> {
    key_request_of_size(of, piece, token, wire::OPENING)
}

/// The same in `size` bytes, at least those of an opening.
pub(crate) fn key_request_of_size(
    of: &Identity,
    piece: u16,
    token: [u8; 16],
    size: usize,
) -> Vec<u8> {
    let mut bytes = vec![0; size];
    let (body, place) = bytes.split_at_mut(size - 16);
    body[..8].copy_from_slice(prelude(wire::KIND_KEY_REQUEST, piece).as_bytes());
    body[8..24].copy_from_slice(&token);
    place.copy_from_slice(&check(of, None, body));
    bytes
}

pub(crate) fn prelude(kind: u8, hint: u16) -> Prelude {
    Prelude { link: 0.into(), kind, version: wire::VERSION, hint: hint.into() }
}

fn check(of: &Identity, cookie: Option<&CookieBytes>, body: &[u8]) -> [u8; 16] {
    let mut key = [0; 32];
    match cookie {
        None => cipher::derive(CHECK, &[of.as_bytes()], &mut key),
        Some(cookie) => cipher::derive(CHECK_WITH_COOKIE, &[of.as_bytes(), cookie], &mut key),
    }
    cipher::mac(&key, &[body])
}

fn cookie(secret: &[u8; 32], from: SocketAddr) -> CookieBytes {
    let port = from.port().to_be_bytes();
    match from.ip() {
        IpAddr::V4(address) => cipher::mac(secret, &[&address.octets(), &port]),
        IpAddr::V6(address) => cipher::mac(secret, &[&address.octets(), &port]),
    }
}

fn cookie_key(of: &Identity) -> Aead {
    let mut key = [0; 16];
    cipher::derive(COOKIE, &[of.as_bytes()], &mut key);
    Aead::new(&key)
}

fn short(identity: &Identity) -> [u8; 4] {
    let [a, b, c, d, ..] = *identity.as_bytes();
    [a, b, c, d]
}

fn proven(
    network: &Network,
    opener: &Identity,
    responder: &Identity,
    link: Id,
    fingerprint: &[u8; 16],
) -> Vec<u8> {
    // The fingerprint covers the ciphertext; that fits one key of the responder only.
    [
        opener.as_bytes(),
        responder.as_bytes(),
        &link.to_wire().to_be_bytes()[..],
        fingerprint,
        network.name.as_bytes(),
    ]
    .concat()
}

fn answer_key(exporter: &Exporter) -> Aead {
    let mut key = zeroize::Zeroizing::new([0; 16]);
    exporter.export(ANSWER, &[], &mut *key);
    Aead::new(&key)
}

fn link_keys(exporter: &Exporter, random: &[u8; 32]) -> (OneWay, OneWay) {
    let mut keys = zeroize::Zeroizing::new([[0u8; 16]; 4]);
    exporter.export(KEYS, &[random], keys.as_flattened_mut());
    let one_way =
        |header, control| OneWay { header: Block::new(header), control: Aead::new(control) };
    let [a, b, c, d] = &*keys;
    (one_way(a, b), one_way(c, d))
}
