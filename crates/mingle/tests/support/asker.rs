//! Somebody with an account who asks a mixer over plain sockets, and reads its answers with a UBJSON
//! reader of the tests' own.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use mixing::Chance;
use mixing::keys::Secret;
use money::{Account, AccountKey, Amount};
use payment::document::{Currency, GetConfirm, PeerInfo, Request, Signed};
use payment::effect::{Answer, Command};
use payment::onion::{self, Layer};
use serde_json::Value;

use super::payments::{FEE, Town};

/// What came back.
#[derive(Debug, PartialEq)]
pub struct Reply {
    pub status: u16,
    pub kind: String,
    pub body: Vec<u8>,
}

pub fn at(info: &PeerInfo) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], info.host.port))
}

pub fn connect(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream
}

/// One request; nothing if the connection was closed without an answer.
pub fn post(to: SocketAddr, path: &str, body: &[u8]) -> Option<Reply> {
    let mut stream = connect(to);
    let size = body.len();
    let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n");
    let request = [head.as_bytes(), b"Connection: close\r\n\r\n", body].concat();
    // A server that has read enough may close before it has read all.
    let _ = stream.write_all(&request);
    reply(&mut stream)
}

pub fn reply(stream: &mut TcpStream) -> Option<Reply> {
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8(answer[..end].to_vec()).unwrap().to_ascii_lowercase();
    let status = head.split_whitespace().nth(1)?.parse().ok()?;
    let kind = head.lines().find_map(|line| line.strip_prefix("content-type: "));
    Some(Reply { status, kind: kind.unwrap_or("").to_owned(), body: answer[end + 4..].to_vec() })
}

/// UBJSON, read by somebody else: bytes become base64url, as in the JSON form.
pub fn ubjson(bytes: &[u8]) -> Value {
    let mut rest = bytes;
    let value = read(&mut rest);
    assert!(rest.is_empty(), "nothing follows");
    value
}

pub fn take<'a>(rest: &mut &'a [u8], size: usize) -> &'a [u8] {
    let (taken, after) = rest.split_at(size);
    *rest = after;
    taken
}

pub fn read(rest: &mut &[u8]) -> Value {
    let mark = take(rest, 1)[0];
    read_marked(mark, rest)
}

pub fn number(mark: u8, rest: &mut &[u8]) -> i64 {
    match mark {
        b'U' => take(rest, 1)[0].into(),
        b'i' => i8::from_be_bytes(take(rest, 1).try_into().unwrap()).into(),
        b'I' => i16::from_be_bytes(take(rest, 2).try_into().unwrap()).into(),
        b'l' => i32::from_be_bytes(take(rest, 4).try_into().unwrap()).into(),
        b'L' => i64::from_be_bytes(take(rest, 8).try_into().unwrap()),
        other => panic!("{other} is no number"),
    }
}

pub fn text(rest: &mut &[u8]) -> String {
    let mark = take(rest, 1)[0];
    let size = number(mark, rest).try_into().unwrap();
    String::from_utf8(take(rest, size).to_vec()).unwrap()
}

pub fn read_marked(mark: u8, rest: &mut &[u8]) -> Value {
    match mark {
        b'Z' => Value::Null,
        b'T' => true.into(),
        b'F' => false.into(),
        b'C' => String::from_utf8(take(rest, 1).to_vec()).unwrap().into(),
        b'S' => text(rest).into(),
        b'[' if rest.starts_with(b"$U#") => {
            take(rest, 3);
            let mark = take(rest, 1)[0];
            let size = number(mark, rest).try_into().unwrap();
            BASE64URL_NOPAD.encode(take(rest, size)).into()
        }
        b'[' => {
            let mut list = Vec::new();
            while rest[0] != b']' {
                list.push(read(rest));
            }
            take(rest, 1);
            list.into()
        }
        b'{' => {
            let mut map = serde_json::Map::new();
            while rest[0] != b'}' {
                let name = text(rest);
                assert!(map.insert(name, read(rest)).is_none(), "a name twice");
            }
            take(rest, 1);
            map.into()
        }
        mark => number(mark, rest).into(),
    }
}

/// Somebody who asks the first mixer of a town.
pub struct Asker {
    pub key: AccountKey,
    pub info: PeerInfo,
    pub currency: Currency,
    pub chance: Chance,
}

impl Asker {
    pub async fn new(town: &Town, name: u8, money: u64) -> Self {
        let key = AccountKey::from_seed([name; 32]);
        town.payments.faucet(&key.account(), money).await.unwrap();
        let (info, currency) = (town.infos()[0].clone(), town.payments.currency());
        Self { key, info, currency, chance: Chance::new([name; 32]) }
    }

    /// A layer for the mixer as the last one.
    pub fn layer(&mut self) -> Layer {
        let expire = self.info.sigtime + 600;
        let chance = &mut self.chance;
        Layer {
            sender: self.key.account(),
            in_amount: Amount::from_units(100 + FEE),
            in_seed: chance.bytes(),
            next: Account::from_bytes(chance.bytes()),
            next_is_mixer: false,
            out_amount: Amount::from_units(100),
            out_seed: chance.bytes(),
            expire_date: expire,
            payout_date: expire + 600,
            one_time: Secret::new(chance.bytes()),
            hop_key: Secret::new(chance.bytes()),
        }
    }

    pub fn request(&mut self, layer: &Layer) -> Request {
        let layers = [(&self.info.enckey, layer)];
        Request {
            to: self.info.pubkey,
            sender: *self.key.account().as_bytes(),
            amount: layer.in_amount,
            client: true,
            req_date: self.info.sigtime,
            onion: onion::build(&layers, &self.currency, &mut self.chance),
        }
    }

    pub fn sign(&self, request: Request) -> Command {
        let signed = Signed::make(request, &self.currency, &self.key);
        Command::Mix(signed.bytes().to_vec())
    }

    pub fn ask(&mut self) -> Command {
        let layer = self.layer();
        let request = self.request(&layer);
        self.sign(request)
    }

    /// Sends a command by its bare path.
    pub fn bare(&self, command: &Command, form: &str) -> Reply {
        let path = command.path(&self.currency, &self.key.account()).unwrap();
        post(at(&self.info), &format!("{form}{path}"), command.body()).unwrap()
    }

    /// The promise that was made for a layer.
    pub fn promise(&self, layer: &Layer, seed: [u8; 32]) -> Vec<u8> {
        let (to, sender) = (self.info.pubkey, self.key.account());
        let question = GetConfirm { to, sender, in_seed: seed, date: self.info.sigtime };
        let signed = Signed::make(question, &self.currency, &self.key);
        let reply = self.bare(&Command::GetConfirm(signed.bytes().to_vec()), "");
        assert_eq!(reply.status, 200);
        let answer = payment::ubjson::Value::from_bytes(&reply.body).unwrap();
        let Ok(Answer::Promises(slots)) = Answer::read(answer) else { panic!("{reply:?}") };
        let keys = [(&layer.one_time, &layer.hop_key)];
        payment::promises::take(&slots, &keys).unwrap().remove(0)
    }
}

pub fn seed_of(reply: &Reply) -> [u8; 32] {
    let answer = payment::ubjson::Value::from_bytes(&reply.body).unwrap();
    match Answer::read(answer) {
        Ok(Answer::Seed(seed)) => seed,
        other => panic!("{other:?}"),
    }
}

pub fn orders(status: &Value) -> u64 {
    status["orders"].as_object().unwrap().values().filter_map(Value::as_u64).sum()
}
