//! What the payments' side of the program reads of others: peer info files, answers of mixers, words of
//! members, names that an operator types, and where mixers say they are.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::LazyLock;

use mingle::payments::client::{self, Silence};
use mingle::payments::control::Named;
use mingle::payments::{identity, peer_file};
use money::Place;
use payment::document::{Host, Signed};
use payment::effect::Answer;
use payment::peers::is_inside;
use payment::ubjson::{Value, map};

use crate::input::{Input, spoil};
use crate::money::{account, key};
use crate::payment::{here, info};

/// Peer infos of three mixers.
static INFOS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let made = |name: u8| Signed::make(info(name), &here(), key(name));
    [4, 5, 6].iter().map(|name| made(*name).bytes().to_vec()).collect()
});

/// A peer info file in each of its forms, spoiled: what is read of one form is read of the others.
pub fn peer_files(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let infos: Vec<&[u8]> = INFOS[..input.below(4)].iter().map(Vec::as_slice).collect();
    let expected: Vec<Vec<u8>> = infos.iter().map(|info| info.to_vec()).collect();
    let peers = infos.iter().map(|info| map([("raw", Value::from(*info))])).collect();
    let page = peer_file::page(infos);
    let mut file = match input.below(4) {
        0 => page.clone(),
        1 => peer_file::text(&page).into_bytes(),
        2 => map([("version", Value::from("x")), ("peers", Value::List(peers))]).to_bytes(),
        _ => input.rest().to_vec(),
    };
    if !input.is_empty() && input.byte() < 16 {
        assert_eq!(peer_file::infos(&file), Some(expected), "an honest file");
    }
    spoil(&mut input, &mut file);
    let Some(read) = peer_file::infos(&file) else { return };
    let page = peer_file::page(read.iter().map(Vec::as_slice));
    let text = peer_file::text(&page);
    assert!(text.lines().all(|line| line.len() <= 76));
    assert_eq!(peer_file::plain_text(&text).as_ref(), Some(&page));
    assert_eq!(peer_file::infos(&page).as_ref(), Some(&read));
    assert_eq!(peer_file::infos(text.as_bytes()), Some(read));
}

/// A member's word for a mixer in a file: what is read is the identity and what it signed, to the byte.
pub fn identity_files(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let signed = input.run().to_vec();
    let idty = account(1).as_bytes().to_vec();
    let file = |idty: &[u8], signed: &[u8]| {
        map([("idty", Value::from(idty)), ("idtysig", Value::from(signed))]).to_bytes()
    };
    let mut honest = file(&idty, &signed);
    assert_eq!(identity::parse(&honest), Some((account(1), signed)));
    if input.flag() {
        honest = input.rest().to_vec();
    }
    spoil(&mut input, &mut honest);
    if let Some((member, signed)) = identity::parse(&honest) {
        let again = file(member.as_bytes(), &signed);
        assert_eq!(identity::parse(&again), Some((member, signed)));
    }
}

/// A mixer's answer, honest but spoiled, under any status: an answer of the three is what stands in the
/// map, and what is shown to a person does nothing to his screen.
pub fn mixer_answers(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let seed: [u8; 32] = input.array();
    let run = input.run().to_vec();
    let word = String::from_utf8_lossy(&run).into_owned();
    let answer = match input.below(5) {
        0 => Some(Answer::Seed(seed)),
        1 => Some(Answer::Taken),
        2 => Some(Answer::Promises(run)),
        _ => None,
    };
    let mut body = match &answer {
        Some(answer) => Value::Map(vec![{
            let (name, value) = answer.clone().entry();
            (name.to_owned(), value)
        }]),
        None => map([("error", Value::from(word.as_str())), ("message", Value::from(&*word))]),
    }
    .to_bytes();
    let honest = body.clone();
    spoil(&mut input, &mut body);
    let status = [200, 200, 404, 422, input.u16()][input.below(5)];
    match client::read(status, &body) {
        Ok(value) => {
            assert_eq!(status, 200);
            let read = Answer::read(value.clone()).ok();
            if body == honest {
                assert_eq!(read, answer);
            }
            if let Some(read) = read {
                let (name, said) = read.entry();
                assert_eq!(peer_file::entry(value, name), Some(said), "the first of its name");
            }
        }
        Err(Silence::Refused { status: said, word: shown, message }) => {
            assert_eq!(said, status);
            for text in [shown, message] {
                assert!(text.chars().count() <= 200 && !text.chars().any(char::is_control));
            }
        }
        Err(why) => assert_eq!((why, status), (Silence::Forged, 200)),
    }
}

/// Names in an operator's list: a name has one form, and whatever has a name is found by it.
pub fn order_names(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Some(named) = Named::read(&text) {
        assert_eq!(named.to_string(), text);
    }
    let mut input = Input::new(bytes);
    let block = u64::from_be_bytes(input.array());
    let place = Place { block, extrinsic: input.u32(), event: input.u32() };
    for named in [Named::Place(place), Named::Order(input.array())] {
        assert_eq!(Named::read(&named.to_string()), Some(named));
    }
}

/// Where somebody says that he is: `HOST:PORT` is read as what it is written as, and an address inside
/// a network is one in every form that a resolver takes for it.
pub fn hosts(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(Host { address, port }) = peer_file::host(&text) {
        let bare = address.parse::<std::net::Ipv6Addr>().is_ok();
        let written =
            if bare { format!("[{address}]:{port}") } else { format!("{address}:{port}") };
        let again = peer_file::host(&written).ok();
        assert_eq!(again, Some(Host { address: address.clone(), port }), "{written}");
        assert!(!address.contains(['/', '?', '#', '@', ' ']), "{address}");
    }
    if let Some(address) = as_c_reads(&text) {
        let inside = is_inside(&IpAddr::V4(address).to_string());
        assert!(is_inside(&text) || !inside, "{text} is {address}");
    }
    if let Ok(address) = text.parse::<Ipv4Addr>() {
        let mapped = address.to_ipv6_mapped().to_string();
        assert_eq!(is_inside(&mapped), is_inside(&text), "{mapped}");
        assert_eq!(is_inside(&format!("[{mapped}]")), is_inside(&text));
    }
}

/// An address as C's `inet_aton` reads it: one to four numbers, decimal, octal or hexadecimal, of which
/// the last fills what is left.
fn as_c_reads(text: &str) -> Option<Ipv4Addr> {
    let number = |part: &str| -> Option<u32> {
        let lower = part.to_ascii_lowercase();
        let (digits, base) = match lower.strip_prefix("0x") {
            Some(hex) => (hex, 16),
            None if lower.len() > 1 && lower.starts_with('0') => (&lower[1..], 8),
            None => (&lower[..], 10),
        };
        digits.chars().all(|digit| digit.is_digit(base)).then_some(())?;
        u32::from_str_radix(digits, base).ok()
    };
    let parts: Vec<u32> = text.split('.').map(number).collect::<Option<_>>()?;
    let (last, front) = parts.split_last()?;
    let left = 4usize.checked_sub(front.len()).filter(|left| *left > 0)?;
    let fits = front.iter().all(|part| *part < 256) && u64::from(*last) < 1 << (8 * left);
    fits.then_some(())?;
    let front = front.iter().enumerate().map(|(at, part)| part << (24 - 8 * at)).sum::<u32>();
    Some(Ipv4Addr::from(front + last))
}
