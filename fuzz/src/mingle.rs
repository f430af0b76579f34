//! What the program reads from its user: SOCKS5, settings, the network list; and of others.

mod others;

use std::hash::RandomState;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::LazyLock;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use datagram::destination::Host;
use mingle::config::Config;
use mingle::figures::Lost;
use mingle::payments;
use mingle::socks::{self, Refusal};
use mingle::{network, socks::parse_datagram};

use crate::input::{Input, spoil};
pub use others::{hosts, identity_files, mixer_answers, order_names, peer_files};

/// A datagram to a SOCKS relay: what is read is written again as it came, but for the two bytes that
/// mean nothing and for addresses that were spelled out.
pub fn socks_datagrams(bytes: &[u8]) {
    match parse_datagram(bytes) {
        Err(Lost::FragmentedSocks) => assert!(bytes.len() >= 4 && bytes[2] != 0),
        Err(why) => assert_eq!(why, Lost::BadSocks),
        Ok((to, payload)) => {
            assert_eq!(bytes[2], 0, "it is no fragment");
            assert!(
                bytes.ends_with(payload)
                    && bytes[..bytes.len() - payload.len()].ends_with(&to.port.to_be_bytes())
            );
            let head = &bytes[3..bytes.len() - payload.len() - 2];
            match (&to.host, head[0]) {
                (Host::Name(name), 3) => {
                    assert!(name.parse::<IpAddr>().is_err() && !name.is_empty());
                    assert_eq!(head[2..], *name.as_bytes());
                }
                (Host::Address(address), 3) => {
                    assert_eq!(std::str::from_utf8(&head[2..]).map(str::parse), Ok(Ok(*address)));
                }
                (Host::Address(address), _) => {
                    let mut again = Vec::new();
                    let source = SocketAddr::new(*address, to.port);
                    socks::write_datagram(source, payload, &mut again);
                    assert_eq!(again[2..], bytes[2..]);
                }
                (Host::Name(_), kind) => panic!("a name of kind {kind}"),
            }
        }
    }
}

/// The handshake of SOCKS5 on a stream that holds the input and ends: read as a plain reader of
/// RFC 1928 and RFC 1929 reads it, and answered with what that one answers.
pub fn socks_handshakes(bytes: &[u8]) {
    static ISOLATIONS: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    let mut stream = tokio::io::join(bytes, Vec::new());
    let heard = {
        let handshake = pin!(async {
            match socks::greet(&mut stream, &ISOLATIONS).await? {
                None => Ok(Heard::Nothing),
                Some(isolation) => {
                    let asked = socks::read_request(&mut stream).await?;
                    Ok::<_, std::io::Error>(Heard::Asked(isolation != 0, asked))
                }
            }
        });
        // Bytes in memory are there at once, or never.
        match handshake.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(heard) => heard.unwrap_or(Heard::TooLittle),
            Poll::Pending => panic!("nothing is waited for"),
        }
    };
    let mut plain = Plain { rest: bytes, said: Vec::new() };
    assert_eq!(heard, plain.handshake().unwrap_or(Heard::TooLittle));
    assert_eq!(*stream.writer(), plain.said);
}

/// What came of a handshake.
#[derive(PartialEq, Debug)]
enum Heard {
    /// The stream ended before it was whole.
    TooLittle,
    /// There is nothing to agree on.
    Nothing,
    /// A request; whether the client wants to be kept apart, and what is refused.
    Asked(bool, Result<(), Refusal>),
}

/// The model of [`socks_handshakes`].
struct Plain<'a> {
    rest: &'a [u8],
    said: Vec<u8>,
}

impl<'a> Plain<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }

    fn counted(&mut self) -> Option<&'a [u8]> {
        let count = self.take(1)?[0];
        self.take(count.into())
    }

    fn handshake(&mut self) -> Option<Heard> {
        // Version and number of methods come as one.
        let greeting = self.take(2)?;
        if greeting[0] != 5 {
            return Some(Heard::Nothing);
        }
        let methods = self.take(greeting[1].into())?;
        let apart = methods.contains(&2);
        if apart {
            self.said.extend([5, 2]);
            if self.take(1)? != [1] {
                return Some(Heard::Nothing);
            }
            self.counted()?;
            self.counted()?;
            self.said.extend([1, 0]);
        } else if methods.contains(&0) {
            self.said.extend([5, 0]);
        } else {
            self.said.extend([5, 0xff]);
            return Some(Heard::Nothing);
        }
        let head = self.take(4)?;
        if head[0] != 5 {
            return Some(Heard::Asked(apart, Err(Refusal::General)));
        }
        match head[3] {
            1 => drop(self.take(6)?),
            4 => drop(self.take(18)?),
            3 => {
                self.counted()?;
                self.take(2)?;
            }
            _ => return Some(Heard::Asked(apart, Err(Refusal::AddressType))),
        }
        let command = if head[1] == 3 { Ok(()) } else { Err(Refusal::Command) };
        Some(Heard::Asked(apart, command))
    }
}

/// A `config.toml`: what is read writes a page that is read as the same settings.
pub fn configs(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let honest = HONEST.get(input.below(8)).map_or(&[][..], |page| page.as_bytes());
    let text = text(&mut input, honest);
    if let Ok(config) = Config::parse(&text) {
        let page = config.page();
        assert_eq!(Config::parse(&page), Ok(config), "{page}");
    }
}

/// A `config.toml` of a mixer, a ledger or a wallet: as [`configs`]; and a mixer that may begin with its
/// settings says what its terms are, and what it must hold.
pub fn payment_configs(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let honest = OF_PAYMENTS.get(input.below(8)).map_or(&[][..], |page| page.as_bytes());
    let text = text(&mut input, honest);
    let Ok(config) = payments::config::Config::parse(&text) else { return };
    let page = config.page();
    assert_eq!(payments::config::Config::parse(&page).as_ref(), Ok(&config), "{page}");
    let units = money::Amount::from_units;
    let about = ledger::About {
        genesis: [7; 32],
        currency: "fuzz".into(),
        existential_deposit: units(1),
        fee: units(1),
        finality_lag: 2,
        block_time: Duration::from_secs(6),
    };
    if let payments::config::Config::Mixer(config) = config
        && let Ok(made) = payments::settings::mixer(&config, &about)
    {
        assert!((1..=money::embedded::PERIOD_MAX).contains(&made.period), "a ledger takes it");
        let (key, chance) = (money::AccountKey::from_seed([1; 32]), mixing::Chance::new([2; 32]));
        let now = mixing::Now { time: mixing::Time::from_nanos(1), ..mixing::Now::default() };
        let none: [(Vec<u8>, Vec<u8>); 0] = [];
        let mixer = payment::mixer::Mixer::resume(made, key, chance, none, 0, now);
        let mixer = mixer.expect("no records");
        let host = payment::document::Host { address: "mixer.example".into(), port: 1 };
        let _ = (mixer.info(host, None), mixer.needed(), mixer.standing(now));
    }
}

/// A `network.toml`: what is read is sound, and writes a page that is read as the same list.
pub fn network_lists(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let honest = if input.below(4) == 0 { &[][..] } else { LIST.as_bytes() };
    let text = text(&mut input, honest);
    if let Ok(list) = network::parse(&text) {
        assert_eq!(list.check(), Ok(()));
        let page = network::page(&list).expect("a sound list has a page");
        assert_eq!(network::parse(&page), Ok(list), "{page}");
    }
}

/// An honest text that was spoiled, or the input itself where there is none.
fn text(input: &mut Input<'_>, honest: &[u8]) -> String {
    let mut text = honest.to_vec();
    if honest.is_empty() {
        text = input.rest().to_vec();
    } else {
        spoil(input, &mut text);
    }
    String::from_utf8_lossy(&text).into_owned()
}

const HONEST: [&str; 3] = [
    "[node]\nrole = \"entry\"\nname = \"me\"\nnetwork = \"network.toml\"\nlisten = [\"0.0.0.0:0\"]\n\
     [socks]\nlisten = [\"127.0.0.1:1080\"]\nhandshake = \"10s\"\n\
     [forwards]\nlist = [\"127.0.0.1:5300=9.9.9.9:53,small\", \"[::1]:7=example.org:7\"]\n\
     [limits]\nlinks = 100\nqueue_wait = \"2s 5ms\"\n",
    "[node]\nrole = \"mix\"\nname = \"mix-1\"\nnetwork = \"../network.toml\"\n\
     listen = [\"0.0.0.0:700\", \"[::]:700\"]\nfigures_every = \"1m\"\n\
     [key]\nfile = \"identity.key\"\n[metrics]\nlisten = [\"127.0.0.1:9100\"]\n",
    "[node]\nrole = \"exit\"\nname = \"exit-1\"\nnetwork = \"network.toml\"\nlisten = [\"[::1]:1\"]\n\
     [outside]\n[policy]\nallow = [\"10.0.0.0/8\"]\ndeny = [\"2001:db8::/32\", \"192.0.2.1\"]\n\
     open_filtering = true\n",
];

const LIST: &str = "name = \"test\"\n\
    [small]\ncell_size = 440\nstrategy = { is = \"timed\", period = \"10ms\" }\n\
    [large]\ncell_size = 1404\nstrategy = { is = \"threshold\", n = 16, timeout = \"20ms\" }\n\
    [[node]]\nname = \"mix-1\"\nrole = \"mix\"\ntier = 1\naddress = \"10.0.0.1:700\"\n\
    identity = \"0000000000000000000000000000000000000000000000000000000000000001\"\n\
    [[node]]\nname = \"exit-1\"\nrole = \"exit\"\naddress = \"[2001:db8::1]:700\"\n\
    identity = \"0000000000000000000000000000000000000000000000000000000000000002\"\n";

const OF_PAYMENTS: [&str; 3] = [
    "[node]\nrole = \"mixer\"\nname = \"m\"\n\
     [ledger]\nurl = \"http://127.0.0.1:1\"\ngenesis = \"00\"\n\
     [server]\nbind_host = \"::1\"\nbind_port = 1\npublic_host = \"x.onion\"\npublic_port = 2\n\
     [terms]\nleast = 1\nfee = 1\nreturn_cost = 1\ncompany = 1\nwait_max = \"1h\"\nkeep = \"1day\"\n\
     [mixing]\nstrategy = \"timed:9s\"\ndelay = \"2s\"\n\
     [payouts]\nfloat = 1\nmargin = \"1m\"\nhorizon = \"2days\"\nperiod = 64\n",
    "[node]\nrole = \"ledger\"\nname = \"l\"\n\
     [server]\nbind_host = \"::1\"\nbind_port = 1\nblock_time = \"6s\"\n\
     [genesis]\ncurrency = \"x\"\ntime = 1\nexistential_deposit = 1\nfee = 1\nfinality_lag = 3\n",
    "[node]\nrole = \"wallet\"\nname = \"w\"\n\
     [ledger]\nurl = \"http://127.0.0.1:1\"\ngenesis = \"00\"\n\
     [pay]\nhops = 3\nwithin = \"1h\"\ndeposit = \"1m\"\nmargin = \"1m\"\nstep = \"1m\"\npoll = \"1s\"\n\
     patience = \"1m\"\nperiod = 64\n[client]\nproxy = \"127.0.0.1:9050\"\ntime_out = \"30s\"\n",
];
