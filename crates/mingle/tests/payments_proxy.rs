//! Mixers and payers behind a SOCKS5 proxy, which alone knows where a name leads.

#![allow(clippy::unwrap_used, reason = "a test says so by failing")]

mod support;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use mingle::payments::client::{Client, Silence};
use mingle::payments::config;
use payment::document::{Host, PeerInfo};
use support::payments::*;

/// A SOCKS5 proxy that leads every name to one port here, and remembers what it was asked for.
struct Proxy {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    fn start(target: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let remembered = asked.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let asked = remembered.clone();
                std::thread::spawn(move || serve(stream, target, &asked));
            }
        });
        Self { port, asked }
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }

    fn client(&self, town: &Town, onion_only: bool) -> Client {
        let settings = config::Client {
            proxy: format!("127.0.0.1:{}", self.port),
            proxy_onion_only: onion_only,
            ..config::Client::default()
        };
        Client::new(&settings, town.payments.currency()).unwrap()
    }
}

fn serve(mut stream: TcpStream, target: u16, asked: &Mutex<Vec<String>>) -> Option<()> {
    let mut take = |size: usize| {
        let mut bytes = vec![0; size];
        stream.read_exact(&mut bytes).ok().map(|()| bytes)
    };
    let methods = take(2)?;
    take(methods[1].into())?;
    stream.write_all(&[5, 0]).ok()?;
    let mut take = |size: usize| {
        let mut bytes = vec![0; size];
        stream.read_exact(&mut bytes).ok().map(|()| bytes)
    };
    let head = take(4)?;
    let host = match head[3] {
        1 => take(4)?.iter().map(u8::to_string).collect::<Vec<_>>().join("."),
        3 => {
            let size = take(1)?[0];
            String::from_utf8(take(size.into())?).ok()?
        }
        other => format!("address type {other}"),
    };
    let port = take(2)?;
    asked.lock().unwrap().push(format!("{host}:{}", u16::from_be_bytes([port[0], port[1]])));
    let mut behind = TcpStream::connect((Ipv4Addr::LOCALHOST, target)).ok()?;
    stream.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).ok()?;
    let (mut from, mut to) = (stream.try_clone().ok()?, behind.try_clone().ok()?);
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
    let _ = std::io::copy(&mut behind, &mut stream);
    Some(())
}

/// A name that no resolver knows, so that whoever resolves it fails.
const NAME: &str = "mixerofthetestthatnobodyresolves.onion";

fn hidden(info: &PeerInfo) -> PeerInfo {
    let host = Host { address: NAME.into(), port: 80 };
    PeerInfo { host, ..info.clone() }
}

#[test]
fn with_a_proxy_names_go_to_it_as_they_are_and_onions_nowhere_else() {
    run(async {
        let town = Town::start(plan(1)).await;
        let info = town.infos()[0].clone();
        let proxy = Proxy::start(info.host.port);
        let all = proxy.client(&town, false);
        assert_eq!(all.proves(&hidden(&info)).await, Ok(()));
        assert_eq!(proxy.asked(), [format!("{NAME}:80")], "by name, not by address");
        assert_eq!(all.proves(&info).await, Ok(()));
        assert_eq!(proxy.asked(), [format!("127.0.0.1:{}", info.host.port)]);
        // A ledger on this machine is not asked through it.
        let url = town.payments.url();
        let http = all.for_ledger(url).unwrap();
        ledger::embedded::Client::connect_with(http, url).await.unwrap();
        assert_eq!(proxy.asked(), [""; 0]);
        let http = all.for_ledger("http://ledger.example.org:9950").unwrap();
        // It leads to the mixer, which is no ledger; that it was asked by name is what counts.
        let elsewhere = "http://ledger.example.org:9950";
        assert!(ledger::embedded::Client::connect_with(http, elsewhere).await.is_err());
        assert_eq!(proxy.asked(), ["ledger.example.org:9950"]);

        let onions = proxy.client(&town, true);
        assert_eq!(onions.proves(&hidden(&info)).await, Ok(()));
        assert_eq!(proxy.asked(), [format!("{NAME}:80")]);
        assert_eq!(onions.proves(&info).await, Ok(()));
        assert_eq!(proxy.asked(), [""; 0], "the others directly");
        assert_eq!(town.client().proves(&hidden(&info)).await, Err(Silence::NoProxy));
    });
}
