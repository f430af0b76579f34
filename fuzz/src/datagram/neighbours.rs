//! What a neighbour says under the link's key: messages, set-ups, key lists.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use datagram::wire::{self, SetUpLayer};
use datagram::{Dropped, Limits};
use mixing::envelope::EnvelopePublic;
use mixing::{Chance, Date, cipher};
use zerocopy::IntoBytes;

use super::node::{EXIT, MIX, Node, address};
use super::peer::{self, Listed, Peer, Said, identity_key, read_messages, sign_list};
use super::strangers::linked;
use crate::input::Input;

const SECOND: Duration = Duration::from_secs(1);

/// Channel-0 cells whose content is the input's, well sealed, to a mix by a client and to an exit by a
/// mix: each is read as a second reader reads it, and what is to be answered is answered once.
pub fn messages(bytes: &[u8]) {
    messages_with(bytes, &MessageRules::TRUE);
}

/// What the model of [`messages`] believes.
pub(crate) struct MessageRules {
    /// Of how many pieces a parcel may be.
    pub(crate) pieces_max: u8,
    /// Whether a piece of a parcel that is whole is acknowledged again.
    pub(crate) says_again: bool,
}

impl MessageRules {
    pub(crate) const TRUE: MessageRules = MessageRules { pieces_max: 8, says_again: true };
}

/// The model: the parcels of the link, and what the node has to answer.
#[derive(Default)]
struct Neighbour {
    from_client: bool,
    leaving: u8,
    incomplete: BTreeMap<u32, (u8, BTreeMap<u8, Vec<u8>>)>,
    whole: BTreeSet<u32>,
    answers: Vec<Said>,
    over: bool,
}

impl Neighbour {
    /// A whole cell, up to the first message that is wrong.
    fn hear(&mut self, content: &[u8], rules: &MessageRules) -> Result<(), Dropped> {
        let (said, ends_well) = read_messages(content);
        for message in said {
            if self.over {
                // What follows a goodbye is read and means nothing.
                return Ok(());
            }
            match message {
                Said::Piece { parcel, index, count, bytes } => {
                    self.piece(parcel, index, count, bytes, rules)?;
                }
                Said::Probe => self.answers.push(Said::Alive),
                Said::Challenge { token } => self.answers.push(Said::Token { token }),
                Said::Goodbye => self.over = true,
                // Of channels and moves that there are not.
                Said::Received { .. }
                | Said::Confirm { .. }
                | Said::Refused { .. }
                | Said::Close { .. }
                | Said::Alive
                | Said::Token { .. }
                | Said::Unknown { .. } => {}
            }
        }
        if ends_well { Ok(()) } else { Err(Dropped::BadControl) }
    }

    fn piece(
        &mut self,
        parcel: u32,
        index: u8,
        count: u8,
        bytes: Vec<u8>,
        rules: &MessageRules,
    ) -> Result<(), Dropped> {
        if count == 0 || count > rules.pieces_max || index >= count {
            return Err(Dropped::BadControl);
        }
        let all = (0..count).fold(0, |bits, index| bits | 1 << index);
        if self.whole.contains(&parcel) {
            if rules.says_again {
                self.answers.push(Said::Received { parcel, pieces: all });
            }
            return Ok(());
        }
        let (of, pieces) = self.incomplete.entry(parcel).or_insert((count, BTreeMap::new()));
        if *of != count {
            return Err(Dropped::BadControl);
        }
        pieces.insert(index, bytes);
        let arrived = pieces.keys().fold(0, |bits, index| bits | 1 << index);
        self.answers.push(Said::Received { parcel, pieces: arrived });
        if arrived != all {
            return Ok(());
        }
        let (_, pieces) = self.incomplete.remove(&parcel).expect("it was just looked at");
        self.whole.insert(parcel);
        let bytes: Vec<u8> = pieces.into_values().flatten().collect();
        match bytes.first() {
            Some(1) if bytes.len() == 5 + wire::set_up_size(self.leaving) => {
                // Nobody sealed it: the neighbour is told that it does not open.
                let backward = u32::from_be_bytes(*bytes[1..].first_chunk().expect("four bytes"));
                self.answers.push(Said::Refused { backward, reason: 1 });
                Ok(())
            }
            // Nobody signed it.
            Some(2) if bytes.len() == 1 + wire::KEY_LIST && !self.from_client => {
                Err(Dropped::BadKeyList)
            }
            Some(_) | None => Err(Dropped::BadControl),
        }
    }
}

pub(crate) fn messages_with(bytes: &[u8], rules: &MessageRules) {
    let mut input = Input::new(bytes);
    let role = [MIX, EXIT][input.below(2)];
    let (mut node, mut peer) = linked(Some(role));
    let mut model = Neighbour {
        from_client: role == MIX,
        leaving: u8::from(role == EXIT),
        ..Neighbour::default()
    };
    for _ in 0..60 {
        if input.is_empty() {
            return;
        }
        let content = content(&mut input, &peer);
        let cell = peer.control(&content);
        let given = node.give(peer.at, &cell);
        if model.over {
            assert_eq!(given, Err(Dropped::UnknownLink), "the link was ended");
            return;
        }
        assert_eq!(given, model.hear(&content, rules), "{content:?}");
        if model.over {
            continue;
        }
        // Whatever was in it, its number is used up.
        assert_eq!(node.give(peer.at, &cell), Err(Dropped::RepeatedCell));
        node.pass(Duration::from_millis(20));
        let mut heard = Vec::new();
        for cell in node.mail(peer.at) {
            let (channel, sequence) = peer.header(&cell).expect("it is this link's");
            assert_eq!((channel, cell.len()), (0, peer.control_size()));
            let (said, ends_well) = read_messages(&peer.open_control(&cell, sequence));
            assert!(ends_well, "what a node says is well said");
            heard.extend(said);
        }
        // Its key lists, and what it does to keep the link, are its own affair.
        heard.retain(|said| !matches!(said, Said::Piece { .. } | Said::Probe));
        let expected = std::mem::take(&mut model.answers);
        for answer in &expected {
            let at = heard.iter().position(|said| said == answer);
            assert!(at.is_some(), "{answer:?} is not answered: {heard:?}");
            heard.remove(at.expect("looked at"));
        }
        assert_eq!(heard, [], "more is answered than was asked");
    }
}

/// The content of a cell: messages that are well said, and noise.
fn content(input: &mut Input<'_>, peer: &Peer) -> Vec<u8> {
    let mut content = Vec::new();
    for _ in 0..=input.below(4) {
        match input.below(8) {
            0 => content.extend_from_slice(input.run()),
            kind @ 1..=3 => {
                let (parcel, index) = (input.byte() % 4, input.byte() % 4);
                let count = [0, 1, 1, 1, 2, 3, 8, 9, 255][input.below(9)];
                // Long enough that a parcel may be one of those that exist.
                let exact = match kind {
                    1 => input.u16().into(),
                    2 => 1 + wire::KEY_LIST,
                    _ => 5 + wire::set_up_size(0),
                };
                let length = exact.min(peer.control_size() - wire::CELL_OVERHEAD - 9);
                let mut bytes = input.run().to_vec();
                bytes.resize(length, 1);
                content.extend(peer::piece(parcel.into(), index, count, &bytes));
            }
            4 => content.push(6 + input.byte() % 2),
            5 => content.extend([&[8 + input.byte() % 2][..], &input.array::<16>()].concat()),
            6 => content.extend([&[3][..], &input.array::<24>()].concat()),
            _ => content.extend([&[[5, 11, 4, 2, 10][input.below(5)]][..], input.take(5)].concat()),
        }
    }
    content.resize(peer.control_size() - wire::CELL_OVERHEAD, 0);
    content
}

/// A set-up whose layer is the input's, sealed to a mix or an exit: a channel stands, or the client
/// hears the right refusal, or nobody hears anything.
pub fn set_ups(bytes: &[u8]) {
    set_ups_with(bytes, &SetUpRules::TRUE);
}

/// What the model of [`set_ups`] believes.
pub(crate) struct SetUpRules {
    /// How many lifetimes there are.
    pub(crate) lifetimes: u8,
    /// How many channels there may be.
    pub(crate) channels: u64,
}

impl SetUpRules {
    pub(crate) const TRUE: SetUpRules = SetUpRules { lifetimes: 3, channels: 4 };
}

pub(crate) fn set_ups_with(bytes: &[u8], rules: &SetUpRules) {
    let mut input = Input::new(bytes);
    let role = [MIX, EXIT][input.below(2)];
    // A client alone gets half of the channels, a listed node nearly all.
    let channels = if role == MIX { 8 } else { 4 };
    let limits = Limits { channels, spare_channels: 0, ..Limits::default() };
    let mut node = Node::new(Some(role), mixing::Strategy::None, &limits);
    let listed = Listed::new(MIX);
    let leaving = u8::from(role == EXIT);
    let by = (role == EXIT).then_some(&listed);
    let mut peer = node.link(role, by, address(if role == EXIT { MIX } else { 200 }));
    let key = node.key(&identity_key(role).identity());
    let mut chance = Chance::new([6; 32]);
    let mut channels = 0;
    for backward in 0x100u32..0x118 {
        if input.is_empty() {
            return;
        }
        let exit = *identity_key(EXIT).identity().as_bytes();
        let right = if role == MIX { exit } else { [0; 32] };
        let wrong = [[0; 32], exit, *identity_key(MIX).identity().as_bytes(), [9; 32]];
        let next = wrong.get(input.below(8)).copied().unwrap_or(right);
        // One more than there are, of each.
        let [class, lifetime] = [[0, 1, 2, 0], [0, 1, 2, 3]].map(|all| all[input.below(4)]);
        let layer = SetUpLayer { next, class, lifetime, reserved: [input.byte(); 6] };
        let size = wire::set_up_size(leaving + 1);
        let inner = vec![input.byte(); size];
        let (mut envelope, hop) = peer::layer(&key, &layer, &inner, &mut chance);
        assert_eq!(envelope.len(), wire::set_up_size(leaving));
        let spoiled = input.byte() < 32;
        if spoiled {
            let at = usize::from(input.u16()) % envelope.len();
            envelope[at] ^= 1 << input.below(8);
        }
        let leads_on = next == right;
        let expected = match () {
            () if spoiled => Some(Dropped::ForgedSetUp),
            () if class > 1 || lifetime >= rules.lifetimes => Some(Dropped::BadSetUp),
            () if !leads_on => Some(Dropped::BadSetUp),
            () if channels == rules.channels => Some(Dropped::ChannelsFull),
            () => None,
        };
        let before = reasons(&node);
        let whole = [&[1][..], &backward.to_be_bytes(), &envelope].concat();
        let cells = peer.parcel(&whole);
        node.hears(&peer, &cells);
        channels += u64::from(expected.is_none());
        assert_eq!(new_reasons(&node, &before), expected.into_iter().collect::<Vec<_>>());
        assert_eq!(node.figures().channels, channels);
        node.pass(Duration::from_millis(5));
        let (said, words) = heard(&mut node, &peer);
        let silent = class > 1 || lifetime >= rules.lifetimes;
        let word = match expected {
            Some(Dropped::BadSetUp) if !silent => Some(2),
            Some(Dropped::ChannelsFull) => Some(3),
            _ => None,
        };
        let spoken: Vec<u8> = words
            .into_iter()
            .map(|mut word| {
                let (_, sequence) = peer.header(&word).expect("this link's");
                assert_eq!(
                    peer.header(&word),
                    Some((backward, u32::MAX)),
                    "the channel's last cell"
                );
                assert!(peer::open(&hop.word, sequence, &mut word[20..]), "this hop speaks");
                word[36]
            })
            .collect();
        assert_eq!(spoken, word.into_iter().collect::<Vec<u8>>());
        let refused = said.contains(&Said::Refused { backward, reason: 1 });
        assert_eq!(refused, spoiled);
        let proof = cipher::mac(&hop.confirm, &[&[0; 16]]);
        let confirmed = said.iter().any(|said| {
            matches!(said, Said::Confirm { backward: b, proof: p, .. } if (*b, *p) == (backward, proof))
        });
        assert_eq!(confirmed, role == EXIT && expected.is_none());
        // The very same once more opens nothing.
        let before = reasons(&node);
        let again = peer.parcel(&whole);
        node.hears(&peer, &again);
        let repeated = if spoiled { Dropped::ForgedSetUp } else { Dropped::RepeatedSetUp };
        assert_eq!(new_reasons(&node, &before), [repeated]);
        assert_eq!(node.figures().channels, channels);
        heard(&mut node, &peer);
    }
}

fn reasons(node: &Node) -> BTreeMap<Dropped, u64> {
    node.figures().all_dropped().collect()
}

/// What was dropped since, each reason as often as it was counted.
fn new_reasons(node: &Node, before: &BTreeMap<Dropped, u64>) -> Vec<Dropped> {
    let after = node.figures().all_dropped();
    after.flat_map(|(why, count)| vec![why; (count - before[&why]) as usize]).collect()
}

/// What a peer heard since: messages, and cells of channels.
pub(crate) fn heard(node: &mut Node, peer: &Peer) -> (Vec<Said>, Vec<Vec<u8>>) {
    let (mut said, mut cells) = (Vec::new(), Vec::new());
    for cell in node.mail(peer.at) {
        match peer.header(&cell) {
            Some((0, sequence)) => {
                let (messages, ends_well) = read_messages(&peer.open_control(&cell, sequence));
                assert!(ends_well, "what a node says is well said");
                said.extend(messages);
            }
            Some(_) => cells.push(cell),
            None => panic!("it is this link's"),
        }
    }
    (said, cells)
}

/// Signed key lists whose insides are the input's, from a listed mix to an exit: taken exactly when the
/// page says so.
pub fn key_lists(bytes: &[u8]) {
    key_lists_with(bytes, &ListRules::TRUE);
}

/// What the model of [`key_lists`] believes.
pub(crate) struct ListRules {
    /// How far two clocks may be apart, in milliseconds.
    pub(crate) apart: u64,
    /// How many lists of one node are taken in an hour.
    pub(crate) per_hour: usize,
}

impl ListRules {
    pub(crate) const TRUE: ListRules = ListRules { apart: 26 * 3_600_000, per_hour: 60 };
}

pub(crate) fn key_lists_with(bytes: &[u8], rules: &ListRules) {
    let mut input = Input::new(bytes);
    let (mut node, mut peer) = linked(Some(EXIT));
    // The model: the lists of the mix that are known, by when they begin, and when lists were taken.
    let [mut known, mut other]: [Option<(u64, Vec<u8>)>; 2] = [None, None];
    let mut taken = 0;
    let start = node.now.time;
    while !input.is_empty() && node.now.time - start < 600 * SECOND {
        let now: Date = node.now.date;
        let of = [MIX, MIX, MIX, MIX, EXIT, 7][input.below(6)];
        let mut list = Listed::new(of).list(now);
        // Near the edges of what is taken, or anywhere.
        let begins = match input.below(4) {
            0 => now.as_millis().saturating_add(rules_edge(&mut input)),
            1 => now.as_millis().saturating_sub(rules_edge(&mut input) + 3_600_000),
            2 => now.as_millis() - u64::from(input.byte()),
            _ => u64::from_be_bytes(input.array()),
        };
        let length = match input.below(4) {
            0 => 3_600_000 + u64::from(input.byte() % 2),
            _ => 3_600_000 - u64::from(input.byte()),
        };
        list.begins = begins.into();
        list.ends = begins.saturating_add(length).into();
        let (spoil, at) = (input.byte(), usize::from(input.u16()) % 1_184);
        if spoil < 32 {
            list.key[at] ^= spoil;
        }
        sign_list(&identity_key(of), &mut list);
        if spoil > 240 {
            list.signature[at % 64] ^= 1;
        }
        let bytes = list.as_bytes().to_vec();
        let cells = peer.parcel(&[&[2][..], &bytes].concat());
        let given: Result<(), Dropped> = cells.iter().try_for_each(|cell| node.give(peer.at, cell));
        let ends = list.ends.get();
        let date = now.as_millis();
        let in_time = begins <= date.saturating_add(rules.apart)
            && date <= ends.saturating_add(rules.apart)
            && ends - begins <= 3_600_000;
        let good_key = EnvelopePublic::from_bytes(&list.key).is_ok();
        let older = known.as_ref().is_some_and(|(had, _)| begins < *had);
        let overtaken = older && other.as_ref().is_some_and(|(had, _)| begins < *had);
        let said = [&known, &other].into_iter().flatten().any(|(_, had)| *had == bytes);
        let expected = match () {
            () if of == EXIT => Ok(()),
            () if of != MIX => Err(Dropped::BadKeyList),
            () if said || overtaken => Ok(()),
            () if !in_time || spoil > 240 || !good_key => Err(Dropped::BadKeyList),
            () if taken == rules.per_hour => Err(Dropped::TooManyKeyLists),
            () => {
                taken += 1;
                *(if older { &mut other } else { &mut known }) = Some((begins, bytes));
                Ok(())
            }
        };
        assert_eq!(given, expected, "begins {begins}, ends {ends}, now {date}");
        if input.below(8) == 0 {
            node.pass(SECOND);
        }
        node.sent.clear();
    }
}

fn rules_edge(input: &mut Input<'_>) -> u64 {
    ListRules::TRUE.apart - 128 + u64::from(input.byte())
}
