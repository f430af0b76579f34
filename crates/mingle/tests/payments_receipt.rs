//! What a ledger says of promises, asked as a third person asks: with a file and the address of a ledger.

#![allow(clippy::unwrap_used, reason = "a test says so by failing")]

mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use ledger::server::{Shared, router};
use mingle::payments::receipt::{Entry, Receipt};
use mixing::Chance;
use mixing::envelope::EnvelopeKey;
use money::embedded::{Call, Era, Genesis, Transaction};
use money::{Account, AccountKey, Amount, Ledger, LedgerTime, Reference};
use payment::document::{Currency, Host, IdentitySignature, PeerInfo, Promise, Signed, Terms};
use support::PROGRAM;
use tempfile::TempDir;

const BEGIN: u64 = 1_700_000_000;
const DAY: u64 = 86_400;
const MEMBER: u8 = 9;

fn key(name: u8) -> AccountKey {
    AccountKey::from_seed([name; 32])
}

fn units(units: u64) -> Amount {
    Amount::from_units(units)
}

/// A ledger whose time is the test's, and files of promises made on it.
struct Court {
    shared: Shared,
    url: String,
    folder: TempDir,
}

impl Court {
    fn open() -> Self {
        let genesis = Genesis {
            currency: "court".into(),
            time: LedgerTime::from_secs(BEGIN),
            existential_deposit: units(100),
            fee: units(2),
            finality_lag: 2,
            accounts: (1..=3).map(|name| (key(name).account(), units(100_000))).collect(),
            members: vec![key(MEMBER).account()],
        };
        let shared = Shared::new(Ledger::new(genesis).unwrap(), Duration::from_secs(60));
        let app = router(shared.clone());
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        // Serves as long as the test's process lives.
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                axum::serve(listener, app).await.unwrap();
            });
        });
        Self { shared, url, folder: tempfile::tempdir().unwrap() }
    }

    fn currency(&self) -> Currency {
        Currency::Genesis(self.shared.lock().genesis().hash())
    }

    /// Builds blocks, one a minute, until this second, and two more that make it final.
    fn pass(&self, until: u64) {
        loop {
            let time = self.shared.lock().final_head().time.as_secs();
            if time >= until {
                return;
            }
            let head = self.shared.lock().head().time.as_secs();
            self.shared.build(LedgerTime::from_secs(head + 60), None).unwrap();
        }
    }

    /// Lets the ledger stand still until this second.
    fn halt(&self, until: u64) {
        self.shared.build(LedgerTime::from_secs(until), None).unwrap();
    }

    fn pay(&self, from: u8, to: Account, amount: u64, reference: &Reference) {
        let mut ledger = self.shared.lock();
        let key = key(from);
        let calls = vec![
            Call::Transfer { to, amount: units(amount), keep_alive: true },
            Call::Remark(reference.clone()),
        ];
        let genesis = ledger.genesis().hash();
        let slot = ledger.next_slot(&key.account());
        let transaction =
            Transaction { genesis, sender: key.account(), slot, era: Era::Immortal, calls };
        ledger.submit(&transaction.sign(&key)).unwrap();
    }

    /// Mixer 2 promises to pass what payer 1 sends on to 3, on the second named.
    fn promise(&self, asked: u64) -> Promise {
        Promise {
            node: key(2).account(),
            sender: key(1).account(),
            receiver: key(3).account(),
            in_amount: units(505),
            in_seeds: [[1; 32], [2; 32]],
            out_amount: units(500),
            out_seeds: [[3; 32], asked.to_be_bytes().repeat(4).try_into().unwrap()],
            req_date: asked,
            expire_date: asked + 600,
            payout_date: asked + 1_200,
        }
    }

    fn info(&self) -> Signed<PeerInfo> {
        let currency = self.currency();
        let word = IdentitySignature {
            pubkey: key(2).account(),
            sigtime: BEGIN,
            expiry: BEGIN + 300 * DAY,
        };
        let word = Signed::make(word, &currency, &key(MEMBER));
        let info = PeerInfo {
            pubkey: key(2).account(),
            sigtime: BEGIN,
            host: Host { address: "mixer.example.org".into(), port: 10_951 },
            idty: Some((key(MEMBER).account(), word.bytes().to_vec())),
            enckey: EnvelopeKey::generate(&mut Chance::new([5; 32])).public().clone(),
            terms: Terms {
                least: units(100),
                fee: units(5),
                return_cost: units(2),
                company: 1,
                wait_max_s: 60,
                keep_s: DAY,
            },
            peers: vec![],
        };
        Signed::make(info, &currency, &key(2))
    }

    fn entry(&self, promise: &Promise) -> Entry {
        let promise = Signed::make(promise.clone(), &self.currency(), &key(2));
        Entry { promise: promise.bytes().to_vec(), info: self.info().bytes().to_vec() }
    }

    fn file(&self, entries: Vec<Entry>) -> PathBuf {
        let path = self.folder.path().join("a receipt");
        std::fs::write(&path, Receipt::new(self.currency(), entries).to_bytes()).unwrap();
        path
    }

    /// What `receipt verify` says of a promise: its word, checked against the exit status.
    fn judged(&self, promise: &Promise) -> String {
        let file = self.file(vec![self.entry(promise)]);
        let output = verify(&file, &["--ledger", &self.url, "--json"]);
        let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| {
            panic!("{}", String::from_utf8_lossy(&output.stderr));
        });
        let word = said["promises"][0]["result"].as_str().unwrap().to_owned();
        let codes =
            [("kept", 0), ("late", 10), ("returned", 11), ("pending", 12), ("unfunded", 13)];
        let code = codes.iter().find(|(name, _)| *name == word).map_or(14, |(_, code)| *code);
        assert_eq!(output.status.code(), Some(code), "{word}");
        assert_eq!(said["promises"][0]["member"], key(MEMBER).account().to_string());
        word
    }
}

fn verify(file: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(PROGRAM);
    command.args(["receipt", "verify"]).arg(file).args(arguments).stdin(Stdio::null());
    command.output().unwrap()
}

fn complaint(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn back(court: &Court, promise: &Promise) -> Reference {
    let paid = promise.in_reference(&court.currency());
    Reference::new(&[payment::mixer::RETURN_PREFIX, paid.as_bytes()].concat()).unwrap()
}

#[test]
fn each_of_the_six_results_is_found_by_who_has_one_promise_and_a_ledger() {
    let court = Court::open();
    let currency = court.currency();
    // Enough before the promise that the first block to be read must be looked for.
    court.pass(BEGIN + 40_000);
    let deposit = |promise: &Promise| {
        court.pay(1, promise.node, promise.in_amount.units(), &promise.in_reference(&currency));
    };
    let payout = |promise: &Promise| {
        court.pay(2, promise.receiver, 500, &promise.out_reference(&currency));
    };
    let asked = |court: &Court| court.shared.lock().final_head().time.as_secs();

    let kept = court.promise(asked(&court));
    assert_eq!(court.judged(&kept), "unfunded");
    deposit(&kept);
    court.pass(kept.req_date + 300);
    assert_eq!(court.judged(&kept), "pending");
    payout(&kept);
    court.pass(kept.req_date + 600);
    assert_eq!(court.judged(&kept), "kept");

    let late = court.promise(asked(&court));
    deposit(&late);
    court.pass(late.payout_date + 60);
    assert_eq!(court.judged(&late), "pending", "not overdue for a day");
    payout(&late);
    court.pass(late.payout_date + 300);
    assert_eq!(court.judged(&late), "late");

    let returned = court.promise(asked(&court));
    deposit(&returned);
    court.pass(returned.req_date + 300);
    court.pay(2, returned.sender, 503, &back(&court, &returned));
    court.pass(returned.req_date + 600);
    assert_eq!(court.judged(&returned), "returned");

    let broken = court.promise(asked(&court));
    deposit(&broken);
    court.pass(broken.payout_date + DAY - 120);
    assert_eq!(court.judged(&broken), "pending");
    court.pass(broken.payout_date + DAY + 120);
    assert_eq!(court.judged(&broken), "broken");

    // A ledger that stood still makes nothing broken.
    let halted = court.promise(asked(&court));
    deposit(&halted);
    court.pass(halted.req_date + 300);
    court.halt(halted.payout_date + 2 * DAY);
    let now = court.shared.lock().head().time.as_secs();
    court.pass(now + 300);
    assert_eq!(court.judged(&halted), "pending");
    assert_eq!(court.judged(&kept), "kept", "what was kept stays kept");

    // The worst of several is the exit status.
    let both = court.file(vec![court.entry(&kept), court.entry(&broken)]);
    let output = verify(&both, &["--ledger", &court.url]);
    assert_eq!(output.status.code(), Some(14));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("kept ") && said.contains("broken "), "{said}");
}

#[test]
fn wrong_and_odd_files_are_refused_with_a_sentence() {
    let court = Court::open();
    court.pass(BEGIN + 600);
    let promise = court.promise(BEGIN + 300);
    let ledger = ["--ledger", &court.url];
    // Signed by another than the peer info's mixer, or changed.
    let foreign = Signed::make(promise.clone(), &court.currency(), &key(3)).bytes().to_vec();
    let info = court.info().bytes().to_vec();
    let file = court.file(vec![Entry { promise: foreign, info }]);
    assert!(complaint(&verify(&file, &ledger)).contains("promise 1 of the receipt is not valid"));
    let mut entry = court.entry(&promise);
    entry.promise[100] ^= 1;
    assert!(complaint(&verify(&court.file(vec![entry]), &ledger)).contains("not valid"));
    // Another currency's.
    let other = Receipt::new(Currency::Genesis([1; 32]), vec![court.entry(&promise)]);
    let path = court.folder.path().join("other");
    std::fs::write(&path, other.to_bytes()).unwrap();
    assert!(complaint(&verify(&path, &ledger)).contains("another currency"));
    // No receipt at all.
    for (name, bytes) in [("empty", &b""[..]), ("text", b"hello"), ("list", b"[]"), ("map", b"{}")]
    {
        let path = court.folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        assert!(complaint(&verify(&path, &ledger)).contains("no receipt"), "{name}");
    }
    std::fs::write(&path, vec![0; 2 << 20]).unwrap();
    assert!(complaint(&verify(&path, &ledger)).contains("at most 1 MiB"));
    assert!(complaint(&verify(Path::new("/nowhere"), &ledger)).contains("cannot read"));
    // No ledger there.
    let file = court.file(vec![court.entry(&promise)]);
    let silent = complaint(&verify(&file, &["--ledger", "http://127.0.0.1:9"]));
    assert!(silent.contains("out of reach"), "{silent}");
}

#[test]
fn a_promise_is_cut_out_and_judged_alone() {
    let court = Court::open();
    court.pass(BEGIN + 600);
    let first = court.promise(BEGIN + 300);
    let second = Promise { sender: key(7).account(), in_seeds: [[8; 32]; 2], ..first.clone() };
    let file = court.file(vec![court.entry(&first), court.entry(&second)]);
    let out = court.folder.path().join("cut");
    let extract = |hop: &str| {
        let mut command = Command::new(PROGRAM);
        command.args(["receipt", "extract", "--hop", hop]).arg(&file).arg("--out").arg(&out);
        command.stdin(Stdio::null()).output().unwrap()
    };
    assert!(extract("last").status.success());
    let cut = std::fs::read(&out).unwrap();
    let holds = |bytes: &[u8]| cut.windows(32).any(|window| window == bytes);
    assert!(holds(key(7).account().as_bytes()) && !holds(key(1).account().as_bytes()));
    assert_eq!(verify(&out, &["--ledger", &court.url]).status.code(), Some(13));
    assert!(!extract("1").status.success(), "a file is not written over");
    std::fs::remove_file(&out).unwrap();
    assert!(complaint(&extract("3")).contains("the receipt has 2 promises"));
}
