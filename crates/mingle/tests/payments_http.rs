//! A mixer's HTTP side: odd requests, odd connections, and answers in both forms.

#![allow(clippy::unwrap_used, reason = "a test says so by failing")]

mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command as Process, Stdio};
use std::time::Duration;

use mixing::Chance;
use money::{AccountKey, Amount, address};
use payment::command::SEALED_SIZE;
use payment::document::{PeerInfo, Request, Signed};
use payment::effect::Command;
use payment::onion::Layer;
use serde_json::{Value, json};
use support::asker::*;
use support::payments::*;
use support::{skip, wait_until};

#[test]
fn odd_requests_are_refused_with_status_word_and_sentence_in_both_forms() {
    run(async {
        let town = Town::start(plan(1)).await;
        let mut asker = Asker::new(&town, 31, 10_000).await;
        let to = at(&asker.info);
        let (account, seed) = (asker.key.account(), address::base58(&[7; 32]));
        let mix = format!("/mix/{account}/110/0/client");
        let get_confirm = format!("/getconfirm/{account}/{seed}");
        let long = format!("/{}", "info".repeat(200));
        let own = Signed::<PeerInfo>::read(
            town.payments.infos()[0].bytes(),
            &asker.currency,
            |info: &PeerInfo| Some(info.pubkey),
        );
        let own = own.unwrap().bytes().to_vec();
        let odd: Vec<(&str, Vec<u8>, u16, &str)> = vec![
            ("/", vec![], 405, "no_command"),
            ("/what", vec![], 405, "no_command"),
            ("/info/info", vec![], 405, "no_command"),
            ("/new/sealed", vec![], 405, "no_command"),
            ("/sealed/info", vec![0; SEALED_SIZE], 405, "no_command"),
            ("/mix/a/b/c", vec![], 405, "no_command"),
            ("/mix/a/b", vec![], 405, "no_command"),
            ("/%2e%2e/%2e%2e/etc/passwd", vec![], 405, "no_command"),
            ("/info%00", vec![], 405, "no_command"),
            ("/mix/\u{e9}/1/0", vec![], 405, "no_command"),
            (&long, vec![], 405, "no_command"),
            (&mix, vec![], 400, "malformed"),
            (&mix, b"{".repeat(9), 400, "malformed"),
            (&mix, b"[$Z#l\x7f\xff\xff\xff".to_vec(), 400, "malformed"),
            (&get_confirm, vec![1; 64], 400, "malformed"),
            (&mix, vec![b'{'; 33_000], 413, "too_long"),
            ("/info", vec![0; 200_000], 413, "too_long"),
            ("/new", vec![9; 1_000], 400, "unwanted"),
            ("/new", own, 422, "unwanted"),
        ];
        for (path, body, status, word) in &odd {
            let plain = post(to, path, body).unwrap();
            assert_eq!(plain.status, *status, "{path}");
            let json = post(to, &format!("/json{path}"), body).unwrap();
            // Before the line is read nobody knows which form is wanted.
            let said = match json.kind.as_str() {
                "application/json" => serde_json::from_slice(&json.body).unwrap(),
                _ => ubjson(&json.body),
            };
            assert_eq!(json.status, *status, "/json{path}");
            for said in [said, ubjson(&plain.body)] {
                assert_eq!(said["error"], *word, "{path}: {said}");
                let sentence = said["message"].as_str().unwrap();
                assert!(sentence.len() > 9, "{path}: {said}");
            }
        }
        // Wrong requests, rightly signed.
        type Spoil = fn(&mut Asker, &mut Request, &mut Layer);
        let wrong: [(u16, &str, Spoil); 7] = [
            (403, "not_for_us", |asker, request, _| request.to = asker.key.account()),
            (422, "date_far", |_, request, _| request.req_date += 7_200),
            (401, "unknown_sender", |_, request, _| request.client = false),
            (422, "wrong_amount", |asker, request, layer| {
                layer.out_amount = Amount::from_units(107);
                *request = asker.request(layer);
            }),
            (422, "wrong_dates", |asker, request, layer| {
                layer.expire_date = 1;
                *request = asker.request(layer);
            }),
            (400, "bad_onion", |_, request, _| request.onion[100] ^= 1),
            (403, "not_owned", |asker, request, layer| {
                (layer.in_amount, layer.out_amount) =
                    (Amount::from_units(20_010), Amount::from_units(20_000));
                *request = asker.request(layer);
            }),
        ];
        for (status, word, spoil) in wrong {
            let mut layer = asker.layer();
            let mut request = asker.request(&layer);
            spoil(&mut asker, &mut request, &mut layer);
            let command = asker.sign(request);
            let (plain, json) = (asker.bare(&command, ""), asker.bare(&command, "/json"));
            assert_eq!((plain.status, json.status), (status, status), "{word}");
            assert_eq!(ubjson(&plain.body)["error"], word);
            let json: Value = serde_json::from_slice(&json.body).unwrap();
            assert_eq!(json, ubjson(&plain.body));
        }
        let other = AccountKey::from_seed([32; 32]);
        let layer = asker.layer();
        let forged = Signed::make(asker.request(&layer), &asker.currency, &other);
        let reply = asker.bare(&Command::Mix(forged.bytes().to_vec()), "");
        assert_eq!((reply.status, &ubjson(&reply.body)["error"]), (403, &json!("bad_signature")));
        let body = asker.ask();
        let reply = post(to, &mix.replace("110", "111"), body.body()).unwrap();
        assert_eq!((reply.status, &ubjson(&reply.body)["error"]), (400, &json!("contradiction")));
        let status = town.ask(0, "/status").await.unwrap();
        assert_eq!(orders(&status), 0, "nothing of it made an order");
    });
}

#[test]
fn answers_read_alike_by_another_reader_as_json_and_by_py_ubjson() {
    run(async {
        let town = Town::start(plan(2)).await;
        let mut asker = Asker::new(&town, 33, 10_000).await;
        let to = at(&asker.info);
        let mut bodies = Vec::new();
        for path in ["/info", "/pubkey", "/version", "/address", "/peers", "/peers/info/pubkey/"] {
            let plain = post(to, path, &[]).unwrap();
            let json = post(to, &format!("/json{path}"), &[]).unwrap();
            assert_eq!((plain.status, plain.kind.as_str()), (200, "application/ubjson"));
            assert_eq!((json.status, json.kind.as_str()), (200, "application/json"));
            let json: Value = serde_json::from_slice(&json.body).unwrap();
            assert_eq!(ubjson(&plain.body), json, "{path}");
            bodies.push((plain.body, json));
        }
        assert_eq!(bodies[1].1["pubkey"], asker.info.pubkey.to_string());
        assert_eq!(bodies[3].1["address"], "127.0.0.1");
        assert_eq!(bodies[4].1["peers"].as_array().unwrap().len(), 1);
        let command = asker.ask();
        let plain = asker.bare(&command, "/version");
        let json: Value =
            serde_json::from_slice(&asker.bare(&command, "/json/version").body).unwrap();
        assert_eq!(ubjson(&plain.body), json, "a question and an act in one line");
        assert!(json["mix_ok"].is_string() && json["version"].is_string());
        bodies.push((plain.body, json));
        let there = Process::new("python3").args(["-c", "import ubjson"]).output();
        if !there.is_ok_and(|output| output.status.success()) {
            return skip("answers read by py-ubjson", "python3 cannot import ubjson");
        }
        for (body, json) in bodies {
            let program = "import base64,json,sys,ubjson
def plain(v):
    if isinstance(v,(bytes,bytearray)): return base64.urlsafe_b64encode(v).decode().rstrip('=')
    if isinstance(v,dict): return {k:plain(x) for k,x in v.items()}
    if isinstance(v,list): return [plain(x) for x in v]
    return v
print(json.dumps(plain(ubjson.loadb(sys.stdin.buffer.read()))))";
            let mut python = Process::new("python3")
                .args(["-c", program])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            python.stdin.take().unwrap().write_all(&body).unwrap();
            let output = python.wait_with_output().unwrap();
            let read: Value = serde_json::from_slice(&output.stdout).unwrap();
            assert_eq!(read, json);
        }
    });
}

#[test]
fn slow_huge_and_idle_connections_end_and_others_are_served_meanwhile() {
    run(async {
        let town = Town::changed(plan(1), |_, config| {
            config.server.request_time = Duration::from_secs(1);
            config.server.connections_max = 100;
        })
        .await;
        let to = at(&town.infos()[0]);
        let begins: [&[u8]; 6] = [
            b"",
            b"POST /se",
            b"POST /sealed HTTP/1.1\r\nHost: x\r\nContent-Length: 13424\r\n\r\nabc",
            b"POST /sealed HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n",
            b"POST /info HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999\r\n\r\n",
            b"GET /info HTTP/1.1\r\nHost: x\r\n\r\n",
        ];
        let mut held: Vec<_> = (0..90)
            .map(|i| {
                let mut stream = connect(to);
                stream.write_all(begins[i % begins.len()]).unwrap();
                stream
            })
            .collect();
        assert_eq!(post(to, "/info", &[]).unwrap().status, 200, "others are served");
        for (i, stream) in held.iter_mut().enumerate() {
            // The end comes without any more word from here; else this would wait half a minute.
            let mut all = Vec::new();
            stream.read_to_end(&mut all).unwrap_or_else(|why| panic!("{i} is still held: {why}"));
            let head = String::from_utf8_lossy(&all);
            let status = head.split_whitespace().nth(1).unwrap_or("");
            match i % begins.len() {
                2 | 3 => assert_eq!(status, "408", "a slow body"),
                5 => assert_eq!(status, "200"),
                _ => assert!(["", "408", "413"].contains(&status), "{head}"),
            }
        }
        // A head and a body without end.
        let mut stream = connect(to);
        let _ = stream.write_all(b"POST /info HTTP/1.1\r\n");
        for i in 0..10_000 {
            if stream.write_all(format!("X-{i}: {}\r\n", "y".repeat(100)).as_bytes()).is_err() {
                break;
            }
        }
        let refused = reply(&mut stream).map(|reply| reply.status);
        assert!([None, Some(431)].contains(&refused), "{refused:?}");
        let mut stream = connect(to);
        let _ = stream
            .write_all(b"POST /new HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
        for _ in 0..10_000 {
            if stream.write_all(&[b"400\r\n", &[b'z'; 1024][..], b"\r\n"].concat()).is_err() {
                break;
            }
        }
        let refused = reply(&mut stream).map(|reply| reply.status);
        assert!([None, Some(413)].contains(&refused), "{refused:?}");
        // Noise, and what is no HTTP at all.
        let mut chance = Chance::new([1; 32]);
        for _ in 0..50 {
            let mut noise = [0; 500];
            chance.fill(&mut noise);
            let mut stream = connect(to);
            let _ = stream.write_all(&noise);
        }
        wait_until("everybody is served", || {
            post(to, "/info", &[]).is_some_and(|reply| reply.status == 200)
        });
    });
}

#[test]
fn one_source_cannot_take_all_connections() {
    let mut all = if_addrs::get_if_addrs().unwrap().into_iter().map(|interface| interface.ip());
    let Some(outside) = all.find(|ip| ip.is_ipv4() && !ip.is_loopback()) else {
        return skip("connections of one source", "this machine has no address but loopback");
    };
    run(async {
        let town = Town::changed(plan(1), |_, config| {
            config.server.bind_host = std::net::Ipv4Addr::UNSPECIFIED.into();
            config.server.source_connections_max = 8;
            config.server.connections_max = 64;
        })
        .await;
        let info = town.infos()[0].clone();
        let flooded = SocketAddr::new(outside, info.host.port);
        let held: Vec<_> = (0..200).filter_map(|_| TcpStream::connect(flooded).ok()).collect();
        for _ in 0..20 {
            assert_eq!(post(at(&info), "/info", &[]).unwrap().status, 200);
        }
        // Those beyond the share were closed.
        let mut closed = 0;
        for mut stream in held {
            stream.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
            closed +=
                usize::from(matches!(stream.read(&mut [0]), Ok(0)) || stream.write(b"G").is_err());
        }
        assert!(closed >= 150, "{closed}");
    });
}
