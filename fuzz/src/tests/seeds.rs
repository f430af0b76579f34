//! The seeds: honest inputs of every parser, and steps drawn from a fixed number for every machine.
//! They are files so that a fuzzer can begin with them; here is where they come from.

use std::fs;

use ::mixing::Chance;
use ::money::Amount;
use ::money::embedded::{Call, Era};
use ::money::{Account, Reference, address};

use super::{files, here};
use crate::TARGETS;
use crate::money::{account, key, payload};
use crate::payment::{examples, layer};

fn of(name: &str) -> Vec<Vec<u8>> {
    let [identity, info, promise, request, confirm, question] = examples();
    match name {
        "destinations" => [
            &b"\x01\x09\x09\x09\x09\x00\x35hello"[..],
            b"\x02\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x00\x35hello",
            b"\x03\x0bexample.org\x00\x35hello",
            b"[2001:db8::1]:53",
            b"example.org:53",
            b"2001:db8::/32",
            b"192.0.2.0/24",
            b"00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF",
        ]
        .map(<[u8]>::to_vec)
        .to_vec(),
        "ubjson" => vec![promise, request, b"[$I#U\x02\xff\xfe\x01\0".to_vec()],
        "identity_signatures" => vec![identity],
        "peer_infos" => vec![info],
        "promises" => vec![promise],
        "requests" => vec![request],
        "confirms" => vec![confirm],
        "get_confirms" => vec![question],
        "onion_layers" => vec![layer()],
        "promise_slots" => {
            vec![b"\x02\0\x05\x05hello\0\x02\x03you\0\x01\x01!\x01\x02\x03".to_vec()]
        }
        "sealed_commands" => vec![b"\0\x05\0\x04/infobody".to_vec(), vec![0; 20]],
        "command_paths" => (0..3).map(|which| vec![which, which]).collect(),
        "transactions" => {
            let to = Account::from_bytes([9; 32]);
            let transfer = Call::Transfer { to, amount: Amount::from_units(500), keep_alive: true };
            let remark = Call::Remark(Reference::new(b"a reference").expect("short"));
            let mortal = Era::Mortal { birth: 7, hash: [8; 32], period: 16 };
            let first = payload(1, vec![transfer.clone(), remark.clone()], mortal);
            let second = payload(2, vec![remark, transfer.clone(), transfer], Era::Immortal);
            vec![[vec![1], first].concat(), [vec![2], second].concat()]
        }
        "addresses" => {
            let account = account(1);
            let forms = [address::ss58(&account), account.to_string()];
            forms.map(String::into_bytes).into_iter().chain([vec![7; 32]]).collect()
        }
        "key_files" => {
            let words = "abandon abandon abandon abandon abandon abandon abandon abandon abandon \
                         abandon abandon about";
            let hex = format!("0x{}", "0a".repeat(32));
            let file = key(1).to_file().as_bytes().to_vec();
            vec![file, hex.into_bytes(), words.as_bytes().to_vec()]
        }
        "socks_datagrams" => vec![
            b"\0\0\0\x01\x09\x09\x09\x09\x00\x35hello".to_vec(),
            b"\0\0\0\x03\x0bexample.org\x00\x35hello".to_vec(),
            b"\0\0\0\x03\x09127.0.0.1\x00\x35hello".to_vec(),
            [&b"\0\0\0\x04"[..], &[7; 16], b"\x00\x35hello"].concat(),
        ],
        "socks_handshakes" => vec![
            b"\x05\x01\0\x05\x03\0\x01\0\0\0\0\0\0".to_vec(),
            b"\x05\x02\0\x02\x01\x02me\x04pass\x05\x03\0\x03\x04here\0\x35".to_vec(),
            [&b"\x05\x01\0\x05\x01\0\x04"[..], &[0; 18]].concat(),
        ],
        "configs" => vec![vec![0], vec![1], vec![2], b"\x07[node]\nrole = \"mix\"\n".to_vec()],
        "network_lists" => vec![vec![1], vec![0, b'#']],
        "payment_configs" => {
            vec![vec![0], vec![1], vec![2], b"\x07[node]\nrole = \"mixer\"\n".to_vec()]
        }
        "request_lines" => {
            [&b"\x01\x02\0\x01"[..], b"\0/json/peers/mix/a/5/0/client/info", b"\0/sealed"]
                .map(<[u8]>::to_vec)
                .to_vec()
        }
        "peer_files" => vec![vec![3, 0, 0], vec![2, 1, 0], vec![1, 2, 0]],
        "identity_files" => vec![b"\x05hello\0\0".to_vec()],
        "order_names" => vec![b"00112233445566778899aabbccddeeff".to_vec(), b"7-1-2".to_vec()],
        "hosts" => {
            [&b"mixer.example:10951"[..], b"http://[2001:db8::1]:7/", b"127.1", b"0x7f.0.0.0x1"]
                .map(<[u8]>::to_vec)
                .to_vec()
        }
        "order_records" => order_records(),
        _ => steps(name),
    }
}

/// Steps of a machine: any bytes are some.
fn steps(name: &str) -> Vec<Vec<u8>> {
    let mut chance = Chance::new(::mixing::cipher::hash("mingle fuzz seed", &[name.as_bytes()]));
    [40, 64, 200, 200, 500, 1_500]
        .map(|length| {
            let mut steps = vec![0; length];
            chance.fill(&mut steps);
            steps
        })
        .to_vec()
}

fn order_records() -> Vec<Vec<u8>> {
    use ::mixing::keys::Secret;
    use ::money::{Place, Slot};
    use ::payment::order::{Deal, Fund, HopKeys, Order};

    let deal = || Deal {
        request: [1; 32],
        client: true,
        sender: Account::from_bytes([2; 32]),
        in_amount: Amount::from_units(505),
        in_seeds: [[3; 32], [4; 32]],
        next: Account::from_bytes([5; 32]),
        next_is_mixer: true,
        out_amount: Amount::from_units(500),
        out_seed: [6; 32],
        req_date: 1_700_000_000,
        expire_date: 1_700_000_600,
        payout_date: 1_700_001_200,
    };
    let keys = || HopKeys { one_time: Secret::new([7; 32]), hop_key: Secret::new([8; 32]) };
    let fund = || Fund {
        deal: deal(),
        their_seed: [9; 32],
        confirmed: [0; 32],
        deposit: Place { block: 7, extrinsic: 1, event: 2 },
        failures: 3,
    };
    let orders = [
        Order::Requested { deal: deal(), keys: keys(), ask: vec![1; 20] },
        Order::Answered { deal: deal(), keys: keys(), their_seed: [9; 32] },
        Order::Promised {
            deal: deal(),
            their_seed: [9; 32],
            confirmed: [0; 32],
            promises: vec![2; 20],
            acknowledged: true,
        },
        Order::Funded(fund()),
        Order::Paying(fund(), Slot(12)),
        Order::Stuck(fund()),
    ];
    orders.iter().map(Order::to_bytes).collect()
}

#[test]
fn the_seeds_on_disk_are_those_that_are_made_here() {
    for target in TARGETS {
        let found = files(here().join("seeds").join(target.name));
        let found: Vec<Vec<u8>> = found.into_iter().map(|(_, bytes)| bytes).collect();
        assert_eq!(found, of(target.name), "{}: see write_the_seeds", target.name);
    }
}

/// Writes the folder `seeds` anew.
#[test]
#[ignore = "writes files; nothing to check"]
fn write_the_seeds() {
    for target in TARGETS {
        let folder = here().join("seeds").join(target.name);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).expect("a folder of ours");
        for (number, bytes) in of(target.name).into_iter().enumerate() {
            fs::write(folder.join(format!("{number}")), bytes).expect("a file of ours");
        }
    }
}
