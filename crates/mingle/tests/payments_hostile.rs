//! A mixer among those who seal wrongly, repeat, bait, crowd and pretend to be many.

#![allow(clippy::unwrap_used, reason = "a test says so by failing")]

mod support;

use std::io::{Read, Write};
use std::net::TcpListener;

use mixing::Chance;
use mixing::envelope::EnvelopeKey;
use money::{Account, AccountKey, Amount};
use payment::command::{self, REPLY_SIZE, SEALED_SIZE};
use payment::document::{Host, PeerInfo, Signed, peer_hash};
use payment::effect::{Command, Unheard};
use payment::onion::ONION_SIZE;
use serde_json::json;
use support::asker::*;
use support::payments::*;

#[test]
fn what_is_sealed_wrongly_or_twice_opens_and_moves_nothing() {
    run(async {
        let town = Town::start(plan(1)).await;
        let mut asker = Asker::new(&town, 34, 10_000).await;
        let to = at(&asker.info);
        let enckey = asker.info.enckey.clone();
        let mut chance = Chance::new([8; 32]);
        let refused = |body: &[u8]| {
            let reply = post(to, "/sealed", body).unwrap();
            (reply.status, ubjson(&reply.body)["error"].as_str().unwrap().to_owned())
        };
        let strange = EnvelopeKey::generate(&mut chance);
        let (foreign, _) = command::seal("/info", &[], strange.public(), &mut chance);
        for garbage in
            [vec![], vec![0; 10], vec![7; SEALED_SIZE], foreign, vec![1; SEALED_SIZE + 1]]
        {
            assert_eq!(refused(&garbage), (400, "unopened".into()));
        }
        // Sealed once more, and odd lines inside.
        let (inner, _) = command::seal("/info", &[], &enckey, &mut chance);
        let fitting = &inner[..command::MESSAGE_SIZE - 100];
        for (path, body) in [("/sealed", fitting), ("/sealed", &[][..]), ("/what", &[]), ("", &[])]
        {
            let (sealed, key) = command::seal(path, body, &enckey, &mut chance);
            let reply = post(to, "/sealed", &sealed).unwrap();
            assert_eq!((reply.status, reply.body.len()), (200, REPLY_SIZE));
            let (status, body) = key.open(&reply.body).ok().unwrap();
            assert_eq!((status, &ubjson(&body)["error"]), (405, &json!("no_command")), "{path}");
        }
        // A request of somebody else's, sent again and again.
        let mix = asker.ask();
        let path = mix.path(&asker.currency, &asker.key.account()).unwrap();
        let (sealed, key) = command::seal(&path, mix.body(), &enckey, &mut chance);
        let first = post(to, "/sealed", &sealed).unwrap();
        let (status, answer) = key.open(&first.body).ok().unwrap();
        assert_eq!(status, 200);
        for _ in 0..5 {
            let again = post(to, "/sealed", &sealed).unwrap();
            assert_eq!(again.status, 200);
            assert_eq!(again.body, first.body, "whoever cannot open it learns nothing from it");
        }
        assert_eq!(asker.bare(&mix, "").body, answer, "the same bytes, the same answer");
        assert_eq!(orders(&town.ask(0, "/status").await.unwrap()), 1);
        // The same onion in another request.
        let mut layer = asker.layer();
        layer.in_seed = [9; 32];
        let mut request = asker.request(&layer);
        let seed = seed_of(&asker.bare(&asker.sign(request.clone()), ""));
        request.req_date += 1;
        let reply = asker.bare(&asker.sign(request), "");
        assert_eq!((reply.status, &ubjson(&reply.body)["error"]), (409, &json!("replayed")));
        assert_ne!(seed, [0; 32]);
        assert_eq!(orders(&town.ask(0, "/status").await.unwrap()), 2);
        // An old answer to a new question.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let old = first.body.clone();
        let liar = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = vec![0; 16_384];
            let mut size = 0;
            while size < SEALED_SIZE {
                size += stream.read(&mut asked[size..]).unwrap();
            }
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", old.len());
            stream.write_all(&[head.as_bytes(), &old].concat()).unwrap();
        });
        let mut liars = asker.info.clone();
        liars.host = Host { address: "127.0.0.1".into(), port };
        let heard = town.client().ask(&asker.key.account(), &liars, &mix).await;
        assert_eq!(heard, Err(Unheard::Unreachable), "it is no answer");
        liar.join().unwrap();
    });
}

/// Everything that an account signs begins with `{`; what a stranger put in travels inside.
#[test]
fn over_http_too_nobody_gets_a_signature_of_what_moves_money() {
    run(async {
        let town = Town::start(plan(1)).await;
        let mut asker = Asker::new(&town, 35, 10_000).await;
        let mixer = asker.info.pubkey;
        let transaction = money::embedded::Transaction {
            genesis: town.payments.about().genesis,
            sender: asker.key.account(),
            slot: money::Slot(0),
            era: money::embedded::Era::Immortal,
            calls: vec![money::embedded::Call::Transfer {
                to: asker.key.account(),
                amount: Amount::from_units(90_000),
                keep_alive: false,
            }],
        };
        let bytes = transaction.sign(&asker.key);
        let mut payload = bytes[..bytes.len() - 64].to_vec();
        payload[33..65].copy_from_slice(mixer.as_bytes());
        // A Substrate payload of up to 256 bytes is signed raw, a longer one by its hash.
        let mut substrate = vec![0x28, 6, 0];
        substrate.extend_from_slice(&[0x11; 120]);
        let hash = mixing::cipher::hash("some payload's hash", &[&payload]);
        let baits = [payload.clone(), substrate.clone(), hash.to_vec()];
        for bait in &baits {
            let mut padded = bait.clone();
            padded.resize(ONION_SIZE, 0);
            for onion in [bait.clone(), padded] {
                let layer = asker.layer();
                let mut request = asker.request(&layer);
                request.onion = onion;
                assert_eq!(asker.bare(&asker.sign(request), "").status, 400);
            }
            for path in ["/new", "/sealed", "/mix", "/confirm", "/info", "/pubkey"] {
                let reply = post(at(&asker.info), path, bait).unwrap();
                assert!(!reply.body.windows(bait.len()).any(|window| window == bait), "{path}");
            }
        }
        let words = [&payload, &substrate].map(|bait| std::array::from_fn(|i| bait[i]));
        for word in words.into_iter().chain([hash]) {
            let mut layer = asker.layer();
            (layer.in_seed, layer.out_seed, layer.next) = (word, word, Account::from_bytes(word));
            let request = asker.request(&layer);
            let reply = asker.bare(&asker.sign(request), "");
            let promise = asker.promise(&layer, seed_of(&reply));
            let (signature, signed) = promise.split_first_chunk::<64>().unwrap();
            assert_eq!(signed[0], b'{');
            assert!(mixer.verify(signed, signature).is_ok());
            for wanted in baits.iter().map(Vec::as_slice).chain([&word[..], &signed[1..]]) {
                assert!(mixer.verify(wanted, signature).is_err());
            }
            let ledger = ledger::embedded::Client::connect(town.payments.url()).await.unwrap();
            for bytes in [[&payload[..], signature].concat(), promise] {
                assert!(ledger.submit(&bytes).await.is_err());
            }
        }
    });
}

/// A mixer that nobody runs.
fn unreachable(chance: &mut Chance, asker: &Asker, host: Host) -> (AccountKey, Vec<u8>) {
    let key = AccountKey::from_seed(chance.bytes());
    let info = PeerInfo {
        pubkey: key.account(),
        host,
        enckey: EnvelopeKey::generate(chance).public().clone(),
        peers: vec![],
        idty: None,
        ..asker.info.clone()
    };
    let signed = Signed::make(info, &asker.currency, &key);
    (key, signed.bytes().to_vec())
}

#[test]
fn places_are_limited_per_payer_and_per_mixer() {
    run(async {
        let town = Town::changed(plan(1), |_, config| config.limits.peer_orders_max = 3).await;
        let mut asker = Asker::new(&town, 36, 110 * 20).await;
        for i in 0..20 {
            let command = asker.ask();
            let reply = asker.bare(&command, "");
            match i < 16 {
                true => drop(seed_of(&reply)),
                false => {
                    let said = ubjson(&reply.body);
                    assert_eq!((reply.status, &said["error"]), (429, &json!("sender_full")));
                }
            }
        }
        // Another payer has places, but must own what his orders would cost.
        let mut poor = Asker::new(&town, 37, 110 * 2).await;
        let statuses: Vec<_> = (0..4)
            .map(|_| {
                let command = poor.ask();
                poor.bare(&command, "").status
            })
            .collect();
        assert_eq!(statuses, [200, 200, 403, 403]);
        // A mixer that nobody vouches for has a share of its own.
        let host = Host { address: "127.0.0.1".into(), port: 9 };
        let (key, info) = unreachable(&mut Chance::new([3; 32]), &asker, host);
        assert_eq!(post(at(&asker.info), "/new", &info).unwrap().status, 200);
        let hash = peer_hash(&asker.currency, &key.account());
        let mut statuses = Vec::new();
        for _ in 0..5 {
            let mut layer = asker.layer();
            (layer.sender, layer.in_amount) = (key.account(), layer.out_amount);
            let mut request = asker.request(&layer);
            (request.client, request.sender) = (false, hash);
            let signed = Signed::make(request, &asker.currency, &key);
            statuses.push(asker.bare(&Command::Mix(signed.bytes().to_vec()), "").status);
        }
        assert_eq!(statuses, [200, 200, 200, 429, 429]);
    });
}

#[test]
fn a_flood_of_new_mixers_pushes_out_nobody_who_was_reached() {
    run(async {
        let town = Town::start(plan(3)).await;
        let asker = Asker::new(&town, 38, 10_000).await;
        let mut chance = Chance::new([5; 32]);
        let to = at(&asker.info);
        for i in 0..1_100u16 {
            // Ports where nobody listens, half of them those of the others in disguise.
            let address = if i % 2 == 0 { "127.0.0.1" } else { "127.0.0.2" };
            let host = Host { address: address.into(), port: 1 + i % 999 };
            let (_, info) = unreachable(&mut chance, &asker, host);
            let status = post(to, "/new", &info).unwrap().status;
            assert!([200, 422, 503].contains(&status), "{status}");
        }
        // At the place of one that was reached nobody else is taken.
        let taken = town.infos()[1].host.clone();
        let (_, info) = unreachable(&mut chance, &asker, taken);
        assert_eq!(post(to, "/new", &info).unwrap().status, 422);
        let status = town.ask(0, "/status").await.unwrap();
        assert_eq!(status["peers_reached"], 2);
        assert!(status["peers"].as_u64().unwrap() <= 1_000);
        let listed = ubjson(&post(to, "/peers", &[]).unwrap().body);
        assert_eq!(listed["peers"].as_array().unwrap().len(), 2);
        // And payments go on.
        let mut purse = town.purse(39, 10_000).await;
        let receiver = AccountKey::from_seed([200; 32]).account();
        let accounts: Vec<_> = town.infos().iter().map(|info| info.pubkey).collect();
        purse.begin(&accounts, receiver, 100).unwrap();
        purse.work_until("a deposit", is("deposited")).await;
    });
}
