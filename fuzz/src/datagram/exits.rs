//! The life of a channel at an exit: names, destinations, replies.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use datagram::wire::{FRAGMENT_HEADER, SMALL, payload_size};
use datagram::{Class, Destination, Dropped, Flow, Limits};
use mixing::Time;

use super::peer;
use super::roles::Last;
use crate::input::Input;

/// Datagrams to addresses and names, answers to questions, replies from whoever: what leaves is what
/// the client sent, to where the policy lets it; what comes back is what a correspondent sent in time.
pub fn exits(bytes: &[u8]) {
    exits_with(bytes, &Rules::TRUE);
}

/// What the model believes.
pub(crate) struct Rules {
    /// How long somebody may answer.
    pub(crate) window: Duration,
    /// How many datagrams may wait for a name.
    pub(crate) waiting_max: usize,
    /// Whether only who was written to may answer.
    pub(crate) filters: bool,
}

impl Rules {
    pub(crate) const TRUE: Rules =
        Rules { window: Duration::from_secs(3), waiting_max: 16, filters: true };
}

const NAMES: [&str; 2] = ["a.example", "b.example"];

/// What the model knows of a name.
enum Name {
    Asked(Vec<(u16, Vec<u8>)>),
    Known(Option<IpAddr>),
}

fn places() -> [(SocketAddr, bool); 4] {
    let at = |ip: [u8; 4], port| SocketAddr::from((ip, port));
    [
        (at([9, 9, 9, 9], 53), true),
        (at([8, 8, 8, 8], 7), true),
        (at([10, 0, 0, 9], 53), false),
        (at([127, 0, 0, 1], 53), false),
    ]
}

pub(crate) fn exits_with(bytes: &[u8], rules: &Rules) {
    let mut input = Input::new(bytes);
    let limits = Limits { reply_window: Rules::TRUE.window, ..Limits::default() };
    let mut last = Last::new(Class::Small, &limits);
    let mut written: BTreeMap<IpAddr, Time> = BTreeMap::new();
    let mut names: BTreeMap<&str, Name> = BTreeMap::new();
    let mut flow: Option<Flow> = None;
    let (mut sequence, mut heard) = (0, 0);
    let start = last.node.now.time;
    // Names and questions are forgotten later; that is the clock's affair.
    while !input.is_empty() && last.node.now.time - start < Duration::from_secs(9) {
        let now = last.node.now.time;
        match input.below(8) {
            0 => {
                last.node.pass(Duration::from_millis(u64::from(input.byte()) * 5));
                let alive = last.mix.control(&[7]);
                last.node.give(last.mix.at, &alive).expect("the neighbour lives");
            }
            1 | 2 => {
                let (to, public) = places()[input.below(4)];
                let payload = input.take(40).to_vec();
                let given = send(&mut last, &mut sequence, &to.into(), &payload);
                let expected = if public { Ok(()) } else { Err(Dropped::ForbiddenDestination) };
                assert_eq!(given, expected);
                if public {
                    written.insert(to.ip(), now);
                    flow = Some(left(&mut last, to, &payload));
                }
            }
            3 | 4 => {
                let (name, port) = (NAMES[input.below(2)], input.u16() | 1);
                let payload = input.take(20).to_vec();
                let host = datagram::Host::Name(name.into());
                let given = send(&mut last, &mut sequence, &Destination { host, port }, &payload);
                match names.get_mut(name) {
                    None => {
                        assert_eq!(given, Ok(()));
                        names.insert(name, Name::Asked(vec![(port, payload)]));
                    }
                    Some(Name::Asked(waiting)) if waiting.len() < rules.waiting_max => {
                        assert_eq!(given, Ok(()));
                        waiting.push((port, payload));
                    }
                    Some(Name::Asked(_)) => assert_eq!(given, Err(Dropped::NamesFull)),
                    Some(Name::Known(None)) => assert_eq!(given, Err(Dropped::UnknownName)),
                    Some(Name::Known(Some(address))) => {
                        assert_eq!(given, Ok(()));
                        written.insert(*address, now);
                        flow = Some(left(&mut last, SocketAddr::new(*address, port), &payload));
                    }
                }
            }
            5 => {
                let Some((question, name)) = last.node.asked.pop_front() else { continue };
                let address = match input.below(3) {
                    0 => None,
                    which => Some(places()[which - 1].0.ip()),
                };
                // A private address first: the one that may be used is chosen.
                let answer: Vec<IpAddr> = match address {
                    Some(address) => vec![places()[3].0.ip(), address],
                    None => Vec::new(),
                };
                last.node.exit(|exit, now, out| exit.resolved(now, question, &answer, out));
                let name = NAMES.into_iter().find(|known| *known == name).expect("ours");
                let before = names.insert(name, Name::Known(address));
                let Some(Name::Asked(waiting)) = before else { panic!("asked once") };
                if let Some(address) = address {
                    written.insert(address, now);
                    for (port, payload) in waiting {
                        flow = Some(left(&mut last, SocketAddr::new(address, port), &payload));
                    }
                }
            }
            _ => {
                let Some(flow) = flow else { continue };
                let from = SocketAddr::new(places()[input.below(4)].0.ip(), input.u16());
                let payload = vec![input.byte(); usize::from(input.u16()) % 1_000];
                let mut replied = Ok(());
                last.node.exit(|exit, now, out| {
                    replied = exit.from_outside(now, flow, from, &payload, out);
                });
                let known = written.get(&from.ip()).is_some_and(|at| now - *at < rules.window);
                let expected =
                    if known || !rules.filters { Ok(()) } else { Err(Dropped::UnknownSource) };
                assert_eq!(replied, expected);
                let replies = replies(&mut last, &mut heard);
                let mut message = Vec::new();
                Destination::from(from).write(&mut message).expect("an address fits");
                message.extend_from_slice(&payload);
                assert_eq!(replies, known.then_some(message).into_iter().collect::<Vec<_>>());
            }
        }
        assert!(last.node.outside.is_empty(), "nothing else leaves");
    }
}

/// Sends one datagram on the channel, in one fragment.
fn send(
    last: &mut Last,
    sequence: &mut u32,
    to: &Destination,
    payload: &[u8],
) -> Result<(), Dropped> {
    let mut message = Vec::new();
    to.write(&mut message).expect("short names");
    message.extend_from_slice(payload);
    let content = [&[0, 1][..], &(message.len() as u16).to_be_bytes(), &message].concat();
    let cell = last.cell(Class::Small, *sequence, &content);
    *sequence += 1;
    last.node.give(last.mix.at, &cell)
}

/// What has just left, and over which flow.
fn left(last: &mut Last, to: SocketAddr, payload: &[u8]) -> Flow {
    let (flow, at, bytes) = last.node.outside.pop_front().expect("it leaves");
    assert_eq!((at, &bytes[..]), (to, payload));
    flow
}

/// The messages that came back, joined by hand.
fn replies(last: &mut Last, heard: &mut u32) -> Vec<Vec<u8>> {
    let (mut replies, mut message) = (Vec::new(), Vec::new());
    for mut cell in last.node.mail(last.mix.at) {
        let (channel, sequence) = last.mix.header(&cell).expect("this link's");
        if channel == 0 {
            continue;
        }
        assert_eq!((channel, sequence), (last.backward, *heard), "in order, without gaps");
        *heard += 1;
        assert!(peer::open(&last.hop.backward, sequence, &mut cell[20..]), "the exit's layer");
        let content = &cell[36..];
        let (index, count) = (content[0], content[1]);
        let length = usize::from(u16::from_be_bytes([content[2], content[3]]));
        assert!(length <= payload_size(SMALL) && index < count);
        assert!(content[FRAGMENT_HEADER + length..].iter().all(|byte| *byte == 0), "zeros follow");
        message.extend_from_slice(&content[FRAGMENT_HEADER..][..length]);
        if index + 1 == count {
            replies.push(std::mem::take(&mut message));
        }
    }
    assert!(message.is_empty(), "a message is whole");
    replies
}
