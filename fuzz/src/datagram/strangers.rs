//! What comes from somebody who shares no key with a node: noise, and openings that are well sealed
//! and say something wrong.

use datagram::wire;
use datagram::{Dropped, Limits};
use mixing::{Chance, Strategy};

use super::node::{EXIT, LARGE, MIX, Node, SMALL, address};
use super::peer::{self, Listed, check, identity_key, prelude};
use crate::input::Input;

/// Noise to a mix, an exit or an entry that has one open link: refused for the reason that the page
/// names, counted once, and answered by nothing but a piece of the public key list, or a notice, and by
/// nothing that is longer than what came.
pub fn cells(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let role = [Some(MIX), Some(EXIT), None][input.below(3)];
    let (mut node, peer) = linked(role);
    while !input.is_empty() {
        let (form, size) = (input.byte(), input.u16());
        let mut noise = input.run().to_vec();
        // Sizes that something has, mostly.
        let sizes = [wire::OPENING, SMALL, LARGE, peer.control_size(), SMALL - 16, 56, 688, 72, 24];
        noise.resize(sizes.get(input.below(12)).copied().unwrap_or(size.into()), form);
        if let Some(id) = noise.first_chunk_mut() {
            match form & 3 {
                0 => *id = peer.theirs().to_be_bytes(),
                1 => {}
                _ => *id = [0; 4],
            }
        }
        if let (Some(role), 0, Some(at)) = (role, form & 4, noise.len().checked_sub(16)) {
            let good = check(&identity_key(role).identity(), &noise[..at]);
            noise[at..].copy_from_slice(&good);
        }
        let from = if form & 8 == 0 { peer.at } else { address(201) };
        let before = node.dropped();
        let given = node.give(from, &noise);
        assert_eq!(given, judge(&noise, role, peer.theirs()), "{noise:?}");
        assert_eq!(node.dropped() - before, u64::from(given.is_err()), "it is counted once");
        let answered = matches!(given, Ok(()) | Err(Dropped::UnknownKey));
        let answers = node.mail(from);
        assert_eq!(answers.len(), usize::from(answered), "{given:?}");
        assert!(answers.iter().all(|answer| answer.len() <= noise.len()));
        assert!(node.sent.is_empty(), "nobody else hears of it");
    }
}

/// A node of a role with one open link, and the end of that link.
pub(crate) fn linked(role: Option<u8>) -> (Node, super::peer::Peer) {
    let limits = Limits {
        spare_channels: 0,
        openings_per_source: 1_000,
        openings_before_cookies: 1_000,
        key_requests_per_source: 1_000,
        ..Limits::default()
    };
    match role {
        Some(role) => {
            let mut node = Node::new(Some(role), Strategy::None, &limits);
            let listed = Listed::new(MIX);
            let by = (role == EXIT).then_some(&listed);
            let peer = node.link(role, by, address(if role == EXIT { MIX } else { 200 }));
            // What it has begun to open by itself is nobody's.
            node.sent.clear();
            (node, peer)
        }
        None => {
            let (node, peer, _) = super::roles::entry(&limits);
            (node, peer)
        }
    }
}

/// The model: what a datagram of somebody without keys comes to.
fn judge(bytes: &[u8], role: Option<u8>, link: u32) -> Result<(), Dropped> {
    let Some(id) = bytes.first_chunk() else { return Err(Dropped::TooShort) };
    let id = u32::from_be_bytes(*id);
    let leaving = u8::from(role == Some(EXIT));
    if id == link {
        let sizes = [SMALL, LARGE].map(|s0| wire::cell_size(s0, leaving));
        return Err(match bytes.len() {
            0..36 => Dropped::TooShort,
            size if sizes.contains(&size) => Dropped::ForgedHeader,
            _ => Dropped::WrongSize,
        });
    }
    if id != 0 {
        return Err(Dropped::UnknownLink);
    }
    let [_, _, _, _, kind, version, hint @ ..] = bytes else { return Err(Dropped::TooShort) };
    let Some(hint) = hint.first_chunk() else { return Err(Dropped::TooShort) };
    let hint = u16::from_be_bytes(*hint);
    if *version != 1 {
        return Err(Dropped::UnknownVersion);
    }
    let sizes = match kind {
        1 | 2 => wire::OPENING..=wire::OPENING,
        3 => wire::OPENING..=LARGE,
        4 => 688..=688,
        5 => 72..=72,
        6 => 24..=24,
        _ => return Err(Dropped::UnknownKind),
    };
    if !sizes.contains(&bytes.len()) {
        return Err(Dropped::WrongSize);
    }
    if *kind > 3 {
        return Err(Dropped::Unexpected);
    }
    let Some(role) = role else { return Err(Dropped::UnknownKind) };
    let (body, shown) = bytes.split_at(bytes.len() - 16);
    match kind {
        _ if *kind == 2 || check(&identity_key(role).identity(), body) != shown => {
            Err(Dropped::BadCheck)
        }
        1 => Err(Dropped::UnknownKey),
        _ if hint >= 2 => Err(Dropped::WrongSize),
        _ => Ok(()),
    }
}

/// Openings to a mix or an exit, sealed to its key, whose insides are the input's: taken exactly from
/// whom the page says, once, and answered as it says.
pub fn openings(bytes: &[u8]) {
    openings_with(bytes, &OpeningRules::TRUE);
}

/// What the model of [`openings`] believes.
pub(crate) struct OpeningRules {
    /// Whether an opening serves once.
    pub(crate) once: bool,
    /// Whether a mix of tier 1 takes listed nodes.
    pub(crate) mix_takes_listed: bool,
}

impl OpeningRules {
    pub(crate) const TRUE: OpeningRules = OpeningRules { once: true, mix_takes_listed: false };
}

pub(crate) fn openings_with(bytes: &[u8], rules: &OpeningRules) {
    let mut input = Input::new(bytes);
    let role = [MIX, EXIT][input.below(2)];
    let limits =
        Limits { openings_per_source: 1_000, openings_before_cookies: 1_000, ..Limits::default() };
    let mut node = Node::new(Some(role), Strategy::None, &limits);
    let of = identity_key(role).identity();
    let key = node.key(&of);
    let (at, mut chance) = (address(200), Chance::new([5; 32]));
    let mut links = 0;
    while !input.is_empty() && links < 20 {
        let (form, link) = (input.byte(), input.u32());
        // Who it says it is, and who signs.
        let by = [MIX, EXIT, 7][input.below(3)];
        let other = if form & 1 == 0 { of } else { identity_key(9).identity() };
        let noise = [input.byte(); 64];
        let hint = peer::hint(&key) ^ u16::from(form & 2 != 0);
        let names_itself = form & 4 == 0;
        let signs = form & 8 == 0;
        let body = |fingerprint: &[u8; 16]| {
            let mut body = match names_itself {
                true => peer::proved(&identity_key(by), &other, link, fingerprint),
                false => peer::unnamed(link),
            };
            if !signs {
                body.proof = noise;
            }
            body
        };
        let head = prelude(wire::KIND_OPENING, hint);
        let (mut opening, asked) = peer::opening(&of, &key, head, body, &mut chance);
        let spoiled = form & 0x30 == 0x30;
        if spoiled {
            // Behind the head, with a check that anybody can make.
            opening[8 + usize::from(input.u16()) % 1_208] ^= 1 << input.below(8);
            let end = wire::OPENING - 16;
            let good = check(&of, &opening[..end]);
            opening[end..].copy_from_slice(&good);
        }
        let proved = names_itself && signs && by == MIX && form & 1 == 0;
        let expected = match () {
            () if form & 2 != 0 => Err(Dropped::UnknownKey),
            () if spoiled => Err(Dropped::ForgedOpening),
            () if role == MIX && !names_itself => Ok(()),
            () if role == MIX && proved && rules.mix_takes_listed => Ok(()),
            () if role == EXIT && proved => Ok(()),
            () => Err(Dropped::UnprovedOpening),
        };
        assert_eq!(node.give(at, &opening), expected);
        let answers = node.mail(at);
        if expected.is_ok() {
            links += 1;
            let mut peer = asked.answered(at, &answers[0], u8::from(role == EXIT));
            let probe = peer.control(&[6]);
            assert_eq!(node.give(at, &probe), Ok(()), "the link stands");
        } else {
            assert_eq!(answers.len(), usize::from(form & 2 != 0));
        }
        node.sent.clear();
        let again = match expected {
            Err(Dropped::UnknownKey | Dropped::ForgedOpening) => expected,
            _ if !rules.once => expected,
            _ => Err(Dropped::RepeatedOpening),
        };
        assert_eq!(node.give(at, &opening), again, "a second time");
        node.sent.clear();
    }
    assert_eq!(node.dropped(), node.refused);
}
