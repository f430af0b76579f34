//! How a mix opens its link to an exit that answers as the input says.

use std::time::Duration;

use datagram::wire::{self, Cookie, KeyRequest, Opening, UnknownKey};
use datagram::{Dropped, Limits};
use mixing::Strategy;
use mixing::cipher::{self, Aead};
use mixing::envelope::EnvelopeKey;
use zerocopy::{FromBytes, IntoBytes};

use super::node::{EXIT, MIX, Node, address};
use super::peer::{Listed, Peer, prelude};
use crate::input::{Input, spoil};

/// Pieces, cookies, notices and answers, honest, spoiled, repeated and of earlier tries: the link
/// stands exactly when the answer to the opening under way comes; else the mix goes on trying.
pub fn links(bytes: &[u8]) {
    links_with(bytes, &Rules::TRUE);
}

/// What the model believes.
pub(crate) struct Rules {
    /// Whether an answer fits one opening.
    pub(crate) fresh: bool,
    /// Whether the opening after a cookie is keyed with it.
    pub(crate) uses_cookies: bool,
}

impl Rules {
    pub(crate) const TRUE: Rules = Rules { fresh: true, uses_cookies: true };
}

/// The model: what the mix has under way, as it can be seen from outside.
enum Stage {
    /// It asked for keys; which pieces of the answer have come.
    Asking { request: Vec<u8>, came: [Option<Vec<u8>>; 2] },
    /// It sent this opening.
    Opening { opening: Vec<u8> },
    /// The link stands.
    Open(Box<Peer>),
    /// It does nothing until time passes.
    Pausing,
}

pub(crate) fn links_with(bytes: &[u8], rules: &Rules) {
    let mut input = Input::new(bytes);
    let mut node = Node::new(Some(MIX), Strategy::None, &Limits::default());
    let (exit, at) = (Listed::new(EXIT), address(EXIT));
    let other =
        Listed { identity: super::peer::identity_key(EXIT), key: EnvelopeKey::from_seed([99; 32]) };
    let mut former: Vec<Vec<u8>> = Vec::new();
    let mut stage = Stage::Pausing;
    let mut cookie_is_due = false;
    let begins = node.now.date;
    for _ in 0..40 {
        if input.is_empty() || matches!(stage, Stage::Open(_)) {
            break;
        }
        let step = input.byte();
        let before = node.refused;
        match (step % 6, &mut stage) {
            (0, _) => node.pass(Duration::from_millis(u64::from(input.byte()) * 5)),
            (1 | 2, Stage::Asking { request, came }) => {
                // The list that is asked for, or one with another key that the exit signed as well.
                let list = if step & 0x40 == 0 { &exit } else { &other };
                let mut asked = request.clone();
                asked[7] = step >> 3 & 1;
                let mut piece = list.piece(begins, &asked);
                if step & 0x80 != 0 {
                    spoil(&mut input, &mut piece);
                }
                let given = node.give(at, &piece);
                let Some(index) = which_piece(&piece, request) else {
                    assert!(given.is_err(), "a piece that nobody asked for");
                    continue;
                };
                came[index] = Some(piece[24..].to_vec());
                let [Some(first), Some(second)] = &*came else {
                    assert_eq!(given, Ok(()), "one of two pieces");
                    continue;
                };
                let whole = [&first[..], second].concat();
                let signed = [&exit, &other].map(|by| by.list(begins).as_bytes().to_vec());
                assert_eq!(given.is_ok(), signed.contains(&whole), "two pieces of one list");
                stage = Stage::Pausing;
            }
            (3, Stage::Opening { opening }) => {
                let check = *opening[wire::OPENING - 16..].first_chunk().expect("sixteen bytes");
                let notice = UnknownKey { prelude: prelude(wire::KIND_UNKNOWN_KEY, 0), check };
                let mut notice = notice.as_bytes().to_vec();
                notice[8 + usize::from(step >> 4)] ^= step & 8;
                let given = node.give(at, &notice);
                assert_eq!(given.is_ok(), step & 8 == 0, "a notice about this opening");
                if given.is_ok() {
                    former.push(opening.clone());
                    stage = Stage::Pausing;
                }
            }
            (4, Stage::Opening { opening }) => {
                let mut cookie = cookie(&exit, opening);
                cookie[24 + usize::from(step >> 4)] ^= step & 8;
                let given = node.give(at, &cookie);
                assert_eq!(given.is_ok(), step & 8 == 0, "a cookie for this opening");
                if given.is_ok() {
                    former.push(opening.clone());
                    cookie_is_due = rules.uses_cookies;
                    stage = Stage::Pausing;
                }
            }
            (5, Stage::Opening { opening }) => {
                let late = former
                    .get(usize::from(input.byte()) % former.len().max(1))
                    .filter(|_| step & 0x40 != 0);
                let (mut answer, peer) = exit_accepts(&exit, &other, late.unwrap_or(opening));
                if step & 0x80 != 0 {
                    spoil(&mut input, &mut answer);
                }
                let honest = exit_accepts(&exit, &other, opening).0;
                let given = node.give(at, &answer);
                let fits = answer == honest || (late.is_some() && !rules.fresh);
                assert_eq!(given.is_ok(), fits, "{given:?}: an answer to the opening under way");
                if given.is_ok() {
                    let came = node.mail(at);
                    assert!(came.iter().any(|cell| peer.header(cell).is_some()), "it is used");
                    stage = Stage::Open(Box::new(peer));
                }
            }
            (_, Stage::Open(_)) => {}
            (_, Stage::Asking { .. } | Stage::Opening { .. } | Stage::Pausing) => {
                // Whatever comes that nothing waits for.
                let noise = input.run().to_vec();
                let given = node.give(at, &noise);
                assert!(given.is_err());
            }
        }
        assert!(node.refused - before <= 1);
        for datagram in node.mail(at) {
            if KeyRequest::ref_from_bytes(&datagram)
                .is_ok_and(|r| r.prelude.kind == wire::KIND_KEY_REQUEST)
            {
                if let Stage::Opening { opening } = &stage {
                    former.push(opening.clone());
                }
                stage = Stage::Asking { request: datagram, came: [None, None] };
            } else if Opening::ref_from_bytes(&datagram).is_ok_and(|o| o.prelude.link.get() == 0) {
                if let Stage::Opening { opening } = &stage {
                    former.push(opening.clone());
                }
                let kind = datagram[4];
                assert_eq!(
                    kind == wire::KIND_OPENING_WITH_COOKIE,
                    cookie_is_due,
                    "cookies serve once"
                );
                cookie_is_due = false;
                stage = Stage::Opening { opening: datagram };
            }
        }
    }
    // Whatever happened, an honest exit is reached in the end.
    for _ in 0..200 {
        match &stage {
            Stage::Open(_) => break,
            Stage::Opening { opening } => {
                let (answer, peer) = exit_accepts(&exit, &other, opening);
                if node.give(at, &answer).is_ok() {
                    stage = Stage::Open(Box::new(peer));
                    continue;
                }
            }
            Stage::Asking { request, .. } => {
                for index in 0..2 {
                    let mut asked = request.clone();
                    asked[7] = index;
                    let _ = node.give(at, &exit.piece(begins, &asked));
                }
            }
            Stage::Pausing => {}
        }
        node.pass(Duration::from_millis(200));
        for datagram in node.mail(at) {
            match datagram.get(4) {
                Some(3) => stage = Stage::Asking { request: datagram, came: [None, None] },
                Some(1 | 2) => stage = Stage::Opening { opening: datagram },
                _ => {}
            }
        }
    }
    let Stage::Open(mut peer) = stage else { panic!("an honest exit is not reached") };
    let probe = peer.control(&[6]);
    assert_eq!(node.give(at, &probe), Ok(()), "the link stands");
    assert_eq!(node.give(at, &probe), Err(Dropped::RepeatedCell));
}

/// Which piece a datagram is, if it answers this request.
fn which_piece(datagram: &[u8], request: &[u8]) -> Option<usize> {
    let head = [0, 0, 0, 0, wire::KIND_KEY_PIECE, wire::VERSION, 0];
    let is_one =
        datagram.len() == 688 && datagram[..7] == head && datagram[8..24] == request[8..24];
    is_one.then(|| usize::from(datagram[7])).filter(|index| *index < 2)
}

/// Answers an opening that is sealed to either key.
fn exit_accepts(exit: &Listed, other: &Listed, opening: &[u8]) -> (Vec<u8>, Peer) {
    let read = Opening::ref_from_bytes(opening).expect("an opening");
    let sealed = exit.key.open(super::peer::OPENING, read.prelude.as_bytes(), &read.envelope);
    if sealed.is_ok() { exit } else { other }.accept(address(EXIT), opening, 1, 0x5500)
}

/// The cookie that answers an opening.
fn cookie(exit: &Listed, opening: &[u8]) -> Vec<u8> {
    let check = *opening[wire::OPENING - 16..].first_chunk().expect("sixteen bytes");
    let (nonce, mut cookie) = ([6; 16], [5; 16]);
    let mut key = [0; 16];
    let identity = exit.identity.identity();
    cipher::derive("mingle link cookie v1", &[identity.as_bytes()], &mut key);
    let tag = Aead::new(&key).seal(&nonce, &check, &mut cookie);
    let prelude = prelude(wire::KIND_COOKIE, 0);
    Cookie { prelude, check, nonce, tag, cookie }.as_bytes().to_vec()
}
