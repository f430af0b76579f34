//! Commands to a mixer: paths in the clear, and the sealed form.

use mixing::Chance;
use mixing::cipher::{self, Aead, TAG_SIZE};
use mixing::envelope::{self, EnvelopeKey, EnvelopePublic};
use money::Account;
use payment::command::{self, MESSAGE_SIZE, REPLY_SIZE, SEALED_SIZE};
use payment::document::{Confirm, GetConfirm, Request, Signed, peer_hash};
use payment::effect::{Command, Refused};
use std::sync::LazyLock;

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
