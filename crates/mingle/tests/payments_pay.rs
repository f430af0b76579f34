//! Paying as a person pays: the program's own commands, over a ledger and mixers that are processes.
//!
//! `MINGLE_SEED` names another seed of the moments at which payers are killed.

#![allow(clippy::unwrap_used, reason = "a test says so by failing")]

mod support;

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use mingle::payments::config::{Config, WalletConfig};
use mingle::payments::local::PEERS;
use mixing::Chance;
use money::{Account, AccountKey};
use serde_json::Value;
use support::PROGRAM;
use support::payments::{FEE, PERIOD, Town, plan, run};
use tempfile::TempDir;

/// A payer's wallet in a folder that vanishes with it.
struct Wallet {
    folder: PathBuf,
    account: Account,
    _place: TempDir,
}

fn mingle(arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn complained(output: &Output) -> String {
    assert!(!output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

impl Wallet {
    /// Made with `wallet new`; asks quickly, as a test must.
    fn new(town: &Town) -> Self {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("wallet");
        let peers = town.payments.ledger.folder().parent().unwrap().join(PEERS);
        let output = mingle(&["wallet", "new", "--ledger", town.payments.url(), "--inside"])
            .args(["--unvouched", "--peers"])
            .args([&peers, &folder])
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let mut wallet = Self { folder, account: Account::from_bytes([0; 32]), _place: place };
        let address = said(&wallet.perform(&["wallet", "address"], &[]));
        wallet.account = address.lines().next().unwrap().parse().unwrap();
        let ss58: Account = address.lines().nth(1).unwrap().parse().unwrap();
        assert_eq!(ss58, wallet.account);
        wallet.change(|config| {
            config.pay.period = PERIOD;
            config.pay.patience = Duration::from_secs(4);
        });
        wallet
    }

    fn change(&self, change: impl FnOnce(&mut WalletConfig)) {
        let Config::Wallet(mut config) = Config::read(&self.folder).unwrap() else { panic!() };
        change(&mut config);
        let page = Config::Wallet(config).page();
        std::fs::write(self.folder.join(mingle::config::FILE), page).unwrap();
    }

    /// A command that takes the folder last.
    fn perform(&self, words: &[&str], more: &[&str]) -> Output {
        mingle(words).arg(&self.folder).args(more).output().unwrap()
    }

    fn pay(&self, arguments: &[&str]) -> Command {
        let mut command = mingle(&["pay", "--wallet"]);
        command.arg(&self.folder).args(arguments);
        command
    }

    fn balance(&self) -> u64 {
        let output = self.perform(&["wallet", "balance"], &["--json"]);
        let said: Value = serde_json::from_slice(&output.stdout).unwrap();
        said["units"].as_u64().unwrap()
    }

    fn receipt(&self, words: &[&str], out: &Path) {
        let mut command = mingle(&["receipt", "export", "--wallet"]);
        let output = command.arg(&self.folder).args(words).arg("--out").arg(out).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
}

fn somebody() -> Account {
    AccountKey::from_seed(mingle::key::random().unwrap()).account()
}

fn held(town: &Town, account: &Account) -> u64 {
    run(async {
        let client = ledger::embedded::Client::connect(town.payments.url()).await.unwrap();
        client.account(account).await.unwrap().free.units()
    })
}

/// What `receipt verify --json` finds, promise by promise.
fn verdicts(town: &Town, file: &Path) -> Vec<String> {
    let mut command = mingle(&["receipt", "verify", "--json", "--ledger", town.payments.url()]);
    let output = command.arg(file).output().unwrap();
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    let promises = said["promises"].as_array().unwrap();
    promises.iter().map(|p| p["result"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_payment_arrives_and_what_proves_it_can_be_shown_cut_and_forgotten() {
    let town = run(Town::start(plan(3)));
    let (payer, receiver) = (Wallet::new(&town), Wallet::new(&town));
    let to = receiver.account.to_string();
    let pay =
        |more: &[&str]| payer.pay(&["--to", &to, "--within", "0s"]).args(more).output().unwrap();

    // Before anything is asked of anyone.
    let unasked = complained(&pay(&["--amount", "500"]));
    assert!(unasked.contains("--yes"), "{unasked}");
    let poor = complained(&pay(&["--amount", "500", "--yes"]));
    assert!(poor.contains("the account holds 0 units"), "{poor}");
    run(town.payments.faucet(&payer.account, 10_000)).unwrap();
    let odd = complained(&pay(&["--amount", "555", "--yes"]));
    assert!(odd.contains("500 (--round down), 600 (--round up)"), "{odd}");
    let few = complained(&pay(&["--amount", "500", "--hops", "4", "--yes"]));
    assert!(few.contains("3 mixers can be asked, and a route needs 4"), "{few}");
    let own = payer.account.to_string();
    let own = payer.pay(&["--to", &own, "--amount", "500", "--yes"]).output().unwrap();
    assert!(complained(&own).contains("own account"));
    assert_eq!(payer.balance(), 10_000);

    let output = pay(&["--amount", "555", "--round", "down", "--yes"]);
    let words = said(&output);
    assert!(output.status.success(), "{output:?}");
    for word in
        ["3 mixers are known", "hop 3 ", "all 3 promises verified", "deposit final", "arrived"]
    {
        assert!(words.contains(word), "{word} is not in {words}");
    }
    assert!(words.contains("itself included: 1, 1, 1; it was alone everywhere"), "{words}");
    assert_eq!(receiver.balance(), 500);
    assert_eq!(payer.balance(), 10_000 - 500 - FEE - town.payments.about().fee.units());
    assert!(said(&pay(&["--resume"])).is_empty(), "--to and --resume contradict each other");
    let nothing = payer.pay(&["--resume"]).output().unwrap();
    assert!(nothing.status.success() && said(&nothing).contains("Nothing is to be resumed"));

    // The receipt, whole and cut.
    let place = tempfile::tempdir().unwrap();
    let (whole, slip) = (place.path().join("whole"), place.path().join("slip"));
    payer.receipt(&["1"], &whole);
    payer.receipt(&["1.1", "--slip"], &slip);
    assert_eq!(verdicts(&town, &whole), ["kept"; 3]);
    assert_eq!(verdicts(&town, &slip), ["kept"]);
    let holds = |path: &Path, account: &Account| {
        std::fs::read(path).unwrap().windows(32).any(|window| window == account.as_bytes())
    };
    assert!(holds(&whole, &payer.account) && holds(&whole, &receiver.account));
    assert!(!holds(&slip, &payer.account) && holds(&slip, &receiver.account));
    let slip = slip.to_str().unwrap();
    let found = receiver.perform(&["wallet", "history"], &["--slip", slip]);
    assert!(said(&found).contains("kept"), "{found:?}");
    let not_his = payer.perform(&["wallet", "history"], &["--slip", slip]);
    assert!(complained(&not_his).contains("for this wallet"));

    // The mixers that this run met are known to the next one without any file.
    payer.change(|config| config.peers.files.clear());
    let listed = payer.perform(&["peers", "list"], &["--json"]);
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!(listed["peers"].as_array().unwrap().len(), 3, "{listed}");

    // The history, and its end.
    let history = payer.perform(&["wallet", "history"], &[]);
    assert!(said(&history).contains("1 arrived"), "{history:?}");
    let records = payer.folder.join("records.db");
    assert!(holds(&records, &receiver.account));
    let gone = payer.perform(&["wallet", "forget"], &[]);
    assert!(said(&gone).contains("One payment is forgotten"), "{gone:?}");
    for file in std::fs::read_dir(&payer.folder).unwrap() {
        assert!(!holds(&file.unwrap().path(), &receiver.account), "the receiver is in no file");
    }
}

#[test]
fn parts_that_are_spread_arrive_one_after_the_other_over_few_mixers() {
    let town = run(Town::start(plan(4)));
    let payer = Wallet::new(&town);
    run(town.payments.faucet(&payer.account, 10_000)).unwrap();
    let to = somebody();
    let to_ss58 = money::address::ss58(&to);
    let output = payer
        .pay(&[
            "--to", &to_ss58, "--amount", "800", "--hops", "2", "--within", "3s", "--yes", "--json",
        ])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    let parts = said["payments"][0]["parts"].as_array().unwrap();
    let mut amounts: Vec<_> = parts.iter().map(|part| part["units"].as_u64().unwrap()).collect();
    amounts.sort_unstable();
    assert_eq!(amounts, [100, 200, 500]);
    assert!(parts.iter().all(|part| part["state"] == "arrived"), "{said}");
    assert!(parts.iter().all(|part| part["company"].as_array().unwrap().len() == 2), "{said}");
    assert_eq!(held(&town, &to), 800);
}

/// Ends a process when this is dropped.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_mixer_that_dies_before_its_promise_is_named_and_no_money_moves() {
    // Time to die in, between the question and its passing on.
    let plan = mingle::payments::local::Plan { delay: Duration::from_secs(3), ..plan(3) };
    let mut town = run(Town::start(plan));
    let payer = Wallet::new(&town);
    run(town.payments.faucet(&payer.account, 10_000)).unwrap();
    let to = somebody().to_string();
    let mut paying = Killed(payer.pay(&["--to", &to, "--amount", "500", "--yes"]).spawn().unwrap());
    let mut lines = BufReader::new(paying.0.stdout.take().unwrap()).lines();
    let last = lines.find(|line| line.as_ref().is_ok_and(|line| line.contains("hop 3 ")));
    let last = last.unwrap().unwrap();
    let dead = town.infos().iter().position(|info| last.contains(&info.pubkey.to_string()));
    town.payments.mixers[dead.unwrap()].kill();
    let rest: Vec<_> = lines.map(Result::unwrap).collect();
    assert!(!paying.0.wait().unwrap().success());
    let account = town.infos()[dead.unwrap()].pubkey.to_string();
    let named = rest.iter().find(|line| line.contains("hop 3, ")).unwrap_or_else(|| {
        panic!("{rest:?}");
    });
    assert!(named.contains(&account) && named.contains("No money has moved"), "{named}");
    assert!(!rest.iter().any(|line| line.contains("deposit")), "{rest:?}");
    assert_eq!(payer.balance(), 10_000);
    assert!(
        !said(&payer.perform(&["wallet", "history"], &[])).contains(&to),
        "nothing is left of it"
    );
}

#[test]
fn a_payer_who_is_killed_at_any_moment_and_resumes_pays_once() {
    let seed = std::env::var("MINGLE_SEED").map_or(20_260, |seed| seed.parse().unwrap());
    println!("seed {seed}");
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&u64::to_le_bytes(seed));
    let mut chance = Chance::new(bytes);
    let town = run(Town::start(plan(4)));
    let payer = Wallet::new(&town);
    run(town.payments.faucet(&payer.account, 100_000)).unwrap();
    for payment in 1..=4 {
        let to = somebody();
        let first = ["--to", &to.to_string(), "--amount", "700", "--hops", "2", "--within", "1s"];
        let mut kills = 0;
        // A payment that was not agreed to yet leaves nothing; it is begun again.
        let is_kept = |payer: &Wallet| {
            let history = payer.perform(&["wallet", "history"], &["--json"]);
            let said: Value = serde_json::from_slice(&history.stdout).unwrap();
            let payments = said["payments"].as_array().unwrap().clone();
            payments.iter().any(|p| p["to"] == to.to_string() && p["agreed"] == true)
        };
        while kills < 4 {
            let kept = is_kept(&payer);
            let words = if kept { &["--resume"][..] } else { &first };
            let mut paying = Killed(payer.pay(words).arg("--yes").spawn().unwrap());
            // Drawn moments, not waiting: wherever it is then, it is killed.
            let moment = Duration::from_millis(chance.below(1_500));
            std::thread::sleep(moment);
            if paying.0.try_wait().unwrap().is_some() {
                break;
            }
            println!("payment {payment}: killed after {moment:?}");
            drop(paying);
            kills += 1;
        }
        let words = if is_kept(&payer) { &["--resume"][..] } else { &first };
        let output = payer.pay(words).arg("--yes").output().unwrap();
        assert!(output.status.success(), "seed {seed}: {output:?}");
        assert_eq!(held(&town, &to), 700, "seed {seed}");
    }
    let (end, _folder) = town.end();
    assert!(end.made.values().all(|count| *count == 1), "seed {seed}: something was paid twice");
}

/// A payer who has just said this.
fn until(wallet: &Wallet, words: &[&str], said: &[&str]) -> Killed {
    let mut paying = Killed(wallet.pay(words).spawn().unwrap());
    let lines = BufReader::new(paying.0.stdout.take().unwrap()).lines();
    let says = |line: &str| said.iter().all(|word| line.contains(word));
    assert!(lines.map_while(Result::ok).any(|line| says(&line)), "never said {said:?}");
    paying
}

fn copy(from: &Path, to: &Path) {
    let _ = std::fs::remove_dir_all(to);
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

#[test]
fn what_is_deposited_arrives_without_the_payer_and_an_old_copy_pays_nothing_twice() {
    let town = run(Town::start(plan(4)));
    let payer = Wallet::new(&town);
    run(town.payments.faucet(&payer.account, 10_000)).unwrap();

    // The payer's machine dies for good.
    let to = somebody();
    let words = ["--to", &to.to_string(), "--amount", "500", "--yes"];
    drop(until(&payer, &words, &["deposit final"]));
    support::wait_until("the payment arrives", || held(&town, &to) == 500);

    // The second of two parts is being asked for when it dies, and there is a copy of that moment.
    let to = somebody();
    let words = ["--to", &to.to_string(), "--amount", "700", "--within", "1s", "--yes"];
    drop(until(&payer, &words, &["part 2 of 2", ": asking"]));
    let old = payer.folder.with_file_name("old");
    copy(&payer.folder, &old);
    let resumed = payer.pay(&["--resume"]).output().unwrap();
    assert!(resumed.status.success(), "{resumed:?}");
    assert_eq!(held(&town, &to), 700);
    let left = payer.balance();
    copy(&old, &payer.folder);
    let again = payer.pay(&["--resume"]).output().unwrap();
    let why = complained(&again);
    assert!(why.contains("older copy"), "{why}");
    assert_eq!((held(&town, &to), payer.balance()), (700, left));
    let (end, _folder) = town.end();
    assert!(end.made.values().all(|count| *count == 1), "something was paid twice");
}

#[test]
fn an_interrupted_payer_is_told_what_is_left_to_do() {
    let town = run(Town::start(plan(3)));
    let payer = Wallet::new(&town);
    run(town.payments.faucet(&payer.account, 10_000)).unwrap();
    let to = somebody();
    let interrupted = |words: &[&str], said: &str| {
        let mut paying = until(&payer, words, &[said]);
        let id = rustix::process::Pid::from_child(&paying.0);
        rustix::process::kill_process(id, rustix::process::Signal::INT).unwrap();
        let mut why = String::new();
        paying.0.stderr.take().unwrap().read_to_string(&mut why).unwrap();
        assert_eq!(paying.0.wait().unwrap().code(), Some(1));
        why
    };
    let words = ["--to", &to.to_string(), "--amount", "500", "--yes"];
    let why = interrupted(&words, ": asking");
    assert!(why.contains("interrupted: no money has moved"), "{why}");
    assert!(!said(&payer.perform(&["wallet", "history"], &[])).contains(&to.to_string()));
    let why = interrupted(&words, "deposit final");
    assert!(why.contains("arrives without you; `mingle pay --resume`"), "{why}");
    let other = ["--to", &to.to_string(), "--amount", "200", "--yes"];
    let output = payer.pay(&other).output().unwrap();
    assert!(said(&output).contains("Payment 2: 200 units are with"), "{output:?}");
    let resumed = payer.pay(&["--resume", "--json"]).output().unwrap();
    assert!(resumed.status.success(), "{resumed:?}");
    assert_eq!(held(&town, &to), 700);
}
