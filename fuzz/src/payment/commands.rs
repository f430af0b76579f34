//! Commands to a mixer: paths in the clear, and the sealed form.

use std::collections::VecDeque;
use std::sync::LazyLock;

use mixing::Chance;
use mixing::cipher::{self, Aead, TAG_SIZE};
use mixing::envelope::{self, EnvelopeKey, EnvelopePublic};
use money::Account;
use payment::command::{self, Act, Line, MESSAGE_SIZE, Question, REPLY_SIZE, SEALED_SIZE};
use payment::document::{Confirm, GetConfirm, Request, Signed, peer_hash};
use payment::effect::{Command, Refused};

use super::here;
use crate::input::{Input, spoil};
use crate::money::{account, key};

/// The honest bodies of the three commands, and the path of each.
static HONEST: LazyLock<[(String, Vec<u8>); 3]> = LazyLock::new(|| {
    let (key, currency) = (key(1), here());
    let me = key.account();
    let request = Request {
        to: Account::from_bytes([2; 32]),
        sender: *me.as_bytes(),
        amount: money::Amount::from_units(505),
        client: true,
        req_date: 1_700_000_000,
        onion: vec![3; 64],
    };
    let confirm = Confirm { to: me, out_seed: [3; 32], promises: vec![4; 64] };
    let question = GetConfirm { to: me, sender: me, in_seed: [5; 32], date: 1_700_000_000 };
    let commands = [
        Command::Mix(Signed::make(request, &currency, key).bytes().to_vec()),
        Command::Confirm(Signed::make(confirm, &currency, key).bytes().to_vec()),
        Command::GetConfirm(Signed::make(question, &currency, key).bytes().to_vec()),
    ];
    commands.map(|command| {
        let path = command.path(&currency, &me).expect("a body of its kind");
        (path, command.body().to_vec())
    })
});

/// A path and a body, each an honest one that was spoiled, or noise. What is read as a command has the
/// path that its body asks for, and no other is taken with it.
pub fn command_paths(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let (which, whose) = (input.below(4), input.below(3));
    let mut path = HONEST.get(which).map_or(Vec::new(), |(path, _)| path.clone().into_bytes());
    let mut body = HONEST[whose].1.clone();
    spoil(&mut input, &mut path);
    spoil(&mut input, &mut body);
    if which == 3 {
        path = input.rest().to_vec();
    }
    let path = String::from_utf8_lossy(&path).into_owned();
    let read = Command::read(&path, body.clone(), &here());
    if path == HONEST[whose].0 && body == HONEST[whose].1 {
        assert!(read.is_ok(), "an honest command is taken");
    }
    let Ok(command) = read else { return };
    assert_eq!(command.body(), body);
    let fits = command.path(&here(), &account(1)).expect("it was read as this kind");
    let (mut said, mut wanted): (Vec<_>, Vec<_>) =
        (path.split('/').collect(), fits.split('/').collect());
    if matches!(command, Command::Confirm(_)) {
        // Whose hash it is, is seen when the body's signer is known.
        assert_eq!(wanted[2], money::address::base58(&peer_hash(&here(), &account(1))));
        (said[2], wanted[2]) = ("", "");
    }
    // A number may have zeros in front, or a plus.
    if let (Some(said), Some(wanted)) = (said.get_mut(3), wanted.get(3))
        && matches!(command, Command::Mix(_))
        && said.parse::<u64>().ok() == wanted.parse().ok()
    {
        *said = wanted;
    }
    assert_eq!(said, wanted);
    for other in ["/mix", "/confirm/x", "//", &path[1..]] {
        assert_eq!(Command::read(other, body.clone(), &here()), Err(Refused::NoCommand));
    }
}

/// A request's path: read as a plain reader reads it, one word after the other.
pub fn request_lines(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let mut path = String::new();
    if input.flag() {
        for _ in 0..input.below(12) {
            path.push('/');
            path.push_str(WORDS[input.below(WORDS.len())]);
        }
    }
    let mut path = path.into_bytes();
    spoil(&mut input, &mut path);
    path.extend_from_slice(input.rest());
    let path = String::from_utf8_lossy(&path);
    assert_eq!(Line::read(&path).ok(), line_by_hand(&path), "{path}");
}

const WORDS: [&str; 16] = [
    "json",
    "peers",
    "info",
    "pubkey",
    "version",
    "address",
    "new",
    "sealed",
    "mix",
    "confirm",
    "getconfirm",
    "client",
    "0",
    "",
    "7",
    "x",
];

/// The model of [`request_lines`].
fn line_by_hand(path: &str) -> Option<Line> {
    let bare = path.strip_prefix('/').unwrap_or(path);
    let bare = bare.strip_suffix('/').unwrap_or(bare);
    let mut words: VecDeque<&str> = bare.split('/').collect();
    let json = words[0] == "json";
    if json {
        words.pop_front();
    }
    let mut line = Line { json, questions: Default::default(), act: None };
    let mut acts = Vec::new();
    while let Some(word) = words.pop_front() {
        let question = match word {
            "peers" => Some(Question::Peers),
            "info" => Some(Question::Info),
            "pubkey" => Some(Question::Pubkey),
            "version" => Some(Question::Version),
            "address" => Some(Question::Address),
            _ => None,
        };
        if let Some(question) = question {
            line.questions.insert(question).then_some(())?;
            continue;
        }
        let more = match word {
            "new" => None,
            "sealed" => None,
            "mix" => Some(3),
            "confirm" | "getconfirm" => Some(2),
            _ => return None,
        };
        acts.push(match (word, more) {
            ("new", _) => Act::New,
            (_, None) => Act::Sealed,
            (_, Some(more)) if words.len() < more => return None,
            (_, Some(more)) => {
                let mut order = vec!["", word];
                order.extend(words.drain(..more));
                if word == "mix" && words.front() == Some(&"client") {
                    order.extend(words.pop_front());
                }
                Act::Order(order.join("/"))
            }
        });
    }
    let says = acts.len() + line.questions.len();
    if says == 0 || acts.len() > 1 || bare.len() > 512 {
        return None;
    }
    line.act = acts.pop();
    Some(line)
}

/// A sealed command and its answer, both well sealed around what the input says. What is opened is what
/// the layout says, of the sizes it says; the rest is refused.
pub fn sealed_commands(bytes: &[u8]) {
    static KEY: LazyLock<EnvelopeKey> = LazyLock::new(|| EnvelopeKey::from_seed([3; 32]));
    let mut input = Input::new(bytes);
    let (path, body) = (input.u16(), input.u16());
    let said = input.rest();
    // Sizes are the input's, so that they may contradict what follows.
    let mut message = [&path.to_be_bytes()[..], said].concat();
    message.resize(MESSAGE_SIZE, 0);
    let at = 2 + usize::from(path);
    if at + 2 <= MESSAGE_SIZE {
        message[at..at + 2].copy_from_slice(&body.to_be_bytes());
    }
    let (sealed, exporter) = seal(KEY.public(), &message);
    assert_eq!(sealed.len(), SEALED_SIZE);
    let expected = message.get(2..at).zip(message.get(at + 2..at + 2 + usize::from(body)));
    let expected = expected.and_then(|(path, body)| Some((std::str::from_utf8(path).ok()?, body)));
    let opened = command::open(&sealed, &KEY).ok();
    let found = opened.as_ref().map(|(path, body, _)| (path.as_str(), &body[..]));
    assert_eq!(found, expected);
    assert!(command::open(said, &KEY).is_err(), "noise");

    // The answer, by whoever opened the command; read with the key that both have.
    let Some((_, _, reply_key)) = opened else { return };
    let mut reply = said[..said.len().min(REPLY_SIZE - TAG_SIZE)].to_vec();
    reply.resize(REPLY_SIZE - TAG_SIZE, 0);
    let clear = reply.clone();
    let mut key = [0; cipher::KEY_SIZE];
    exporter.export("mingle sealed reply v1", &[], &mut key);
    let tag = Aead::new(&key).seal(&cipher::nonce(0), &[], &mut reply);
    let size = usize::from(u16::from_be_bytes([clear[2], clear[3]]));
    let expected = clear.get(4..4 + size);
    let status = u16::from_be_bytes([clear[0], clear[1]]);
    let read = reply_key.open(&[&tag[..], &reply].concat()).ok();
    assert_eq!(read, expected.map(|body| (status, body.to_vec())));
}

fn seal(to: &EnvelopePublic, message: &[u8]) -> (Vec<u8>, envelope::Exporter) {
    envelope::seal(to, "mingle sealed command v1", &[], message, &mut Chance::new([4; 32]))
}
