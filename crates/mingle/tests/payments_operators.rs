//! What operators of mixers type, from the first folder to the last look: all of it as commands.

#![allow(clippy::unwrap_used, reason = "a test says so by failing")]

mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use mingle::local::running::Running;
use mingle::payments::keys;
use money::AccountKey;
use serde_json::Value;
use support::{PROGRAM, wait_until};
use tempfile::TempDir;

/// A folder where somebody works, and what runs there.
struct Desk {
    folder: TempDir,
    ports: u16,
    running: Vec<Running>,
}

impl Desk {
    fn new() -> Self {
        let ports = mingle::local::free_base_port().unwrap();
        Self { folder: tempfile::tempdir().unwrap(), ports, running: Vec::new() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn ledger(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports)
    }

    fn host(&self, mixer: u16) -> String {
        format!("127.0.0.1:{}", self.ports + mixer)
    }

    /// Runs a command in the folder; what it printed, or what it complained of.
    fn try_type(&self, words: &str) -> Result<String, String> {
        let mut command = Command::new(PROGRAM);
        command.args(words.split(' ')).current_dir(self.folder.path()).stdin(Stdio::null());
        let ended = command.env("HOME", self.folder.path()).output().unwrap();
        match ended.status.success() {
            true => Ok(String::from_utf8(ended.stdout).unwrap()),
            false => Err(String::from_utf8(ended.stderr).unwrap()),
        }
    }

    fn types(&self, words: &str) -> String {
        self.try_type(words).unwrap_or_else(|why| panic!("mingle {words}: {why}"))
    }

    fn json(&self, words: &str) -> Value {
        serde_json::from_str(&self.types(words)).unwrap()
    }

    fn runs(&mut self, name: &str) {
        let mut running = Running::start(Path::new(PROGRAM), &self.path(name)).unwrap();
        running.wait_ready().unwrap();
        self.running.push(running);
    }

    /// Makes and runs a ledger with one member, whose key is in the file `member`.
    fn begin(&mut self) -> String {
        let member = keys::create(&self.path("member")).unwrap().account();
        let port = self.ports;
        self.types(&format!(
            "init ledger ledger --port {port} --block-time 50ms --member {member}"
        ));
        self.runs("ledger");
        member.to_string()
    }

    /// Makes, feeds and runs a mixer; its account.
    fn mixer(&mut self, number: u16, more: &str) -> String {
        let (ledger, port) = (self.ledger(), self.ports + number);
        let text = self.types(&format!(
            "init mixer mixer-{number} --ledger {ledger} --bind-host 127.0.0.1 --bind-port {port} \
             --public-host 127.0.0.1 --inside{more}"
        ));
        let account = text.split("account is ").nth(1).and_then(|text| text.split('.').next());
        let account = account.unwrap().to_owned();
        self.types(&format!("ledger faucet --ledger {ledger} --to {account} --amount 100000"));
        self.runs(&format!("mixer-{number}"));
        account
    }

    fn peers(&self, source: &str) -> Vec<Value> {
        let listed = self.try_type(&format!("peers list {source} --json"));
        let listed = listed.ok().and_then(|text| serde_json::from_str::<Value>(&text).ok());
        listed.and_then(|value| value["peers"].as_array().cloned()).unwrap_or_default()
    }
}

#[test]
fn mixers_come_to_know_each_other_and_a_member_answers_for_one() {
    let mut desk = Desk::new();
    let member = desk.begin();
    let first = desk.mixer(1, "");
    let ask = format!(" --ask-mixer {}", desk.host(1));
    let second = desk.mixer(2, &ask);
    wait_until("the two have met", || {
        desk.peers("mixer-1").len() == 1 && desk.peers("mixer-2").len() == 1
    });
    assert_eq!(desk.peers("mixer-1")[0]["account"], second.as_str());

    // A third, who has a file alone, and for whom the member answers.
    let ask = format!("--ask {}", desk.host(1));
    assert_eq!(
        desk.types(&format!("peers export mixer-2 {ask} --out file")),
        "2 mixers are in file.\n"
    );
    let third = AccountKey::from_seed([3; 32]);
    keys::save(&desk.path("third.key"), &third).unwrap();
    let third = third.account();
    let ledger = desk.ledger();
    desk.types(&format!(
        "identity sign --mixer {third} --ledger {ledger} --key-file member --out word"
    ));
    assert_eq!(
        desk.mixer(3, " --peers file --identity word --key-file third.key"),
        third.to_string()
    );
    wait_until("the third is known and vouched for", || {
        let all = desk.peers("mixer-1");
        all.len() == 2 && all.iter().any(|peer| peer["identity"] == member.as_str())
    });
    wait_until("everybody knows everybody", || {
        (1..=3).all(|mixer| desk.peers(&format!("mixer-{mixer}")).len() == 2)
    });
    let status = desk.json("status mixer-3 --json");
    assert_eq!((&status["makes_promises"], &status["peers_reached"]), (&true.into(), &2.into()));
    assert!(desk.types("status mixer-3").contains("promises   made"));

    // A word for another mixer helps nobody.
    let other = AccountKey::from_seed([4; 32]).account();
    desk.types(&format!(
        "identity sign --mixer {other} --ledger {ledger} --key-file member --out other --lasts 1day"
    ));
    let long = format!("identity sign --mixer {other} --ledger {ledger} --key-file member --out x");
    assert!(desk.try_type(&format!("{long} --lasts 367days")).unwrap_err().contains("366days"));

    // The page has a text that another's wallet takes.
    let watching = Command::new(PROGRAM)
        .args(["peers", "watch", "mixer-3", "--every", "100ms", "--page", "page.html"])
        .current_dir(desk.folder.path())
        .stdout(Stdio::null())
        .spawn();
    let mut watching = watching.unwrap();
    wait_until("there is a page", || desk.path("page.html").exists());
    watching.kill().unwrap();
    watching.wait().unwrap();
    let page = std::fs::read_to_string(desk.path("page.html")).unwrap();
    assert!(page.contains(&first) && page.contains(&second), "{page}");
    let text = page.split("<pre>").nth(1).unwrap().split("</pre>").next().unwrap();
    std::fs::write(desk.path("pasted"), text).unwrap();
    desk.types(&format!("wallet new wallet --ledger {ledger}"));
    assert!(desk.peers("wallet").is_empty());
    desk.types("peers import pasted wallet");
    desk.types("peers import pasted wallet");
    assert_eq!(desk.peers("wallet").len(), 2);

    // Mixers know each other again after a start, without being told.
    desk.running[1].kill();
    desk.running[1].start_again().unwrap();
    wait_until("the first knows them again", || desk.peers("mixer-1").len() == 2);
}

#[test]
fn whoever_types_something_odd_is_told_what_would_be_right() {
    let mut desk = Desk::new();
    let ledger = desk.ledger();
    let init = format!("init mixer x --ledger {ledger}");
    let says = |desk: &Desk, words: &str, hint: &str| {
        let why = desk.try_type(words).unwrap_err();
        assert!(why.contains(hint), "mingle {words}: {why}");
    };
    says(&desk, &format!("{init} --public-host 127.0.0.1"), "out of reach");
    says(&desk, &init, "--public-host");
    desk.begin();
    says(&desk, &format!("{init} --public-ip"), "--peers");
    says(&desk, &format!("{init} --public-host h --peers none"), "none");
    says(&desk, &format!("{init} --public-host h --ask"), "there is none");
    assert!(!desk.path("x").exists(), "nothing is made before everything is right");
    desk.mixer(1, "");
    let export = format!("peers export mixer-1 --ask {} --out one", desk.host(1));
    wait_until("the mixer has heard of its ledger", || desk.try_type(&export).is_ok());
    says(&desk, &format!("{init} --public-ip --peers one"), "--public-host");
    says(&desk, "run mixer-1", "another mingle works in this folder");
    says(&desk, "run ledger", "another mingle works in this folder");
    says(&desk, "run", "there is no mixer");
    says(&desk, "orders list --mixer ledger", "does not run");
    says(&desk, "orders show nothing --mixer mixer-1", "no order");
    says(&desk, "orders retry ../x --mixer mixer-1", "no order");
    assert_eq!(desk.types("orders list --mixer mixer-1"), "No orders.\n");
    std::fs::write(desk.path("odd"), "odd").unwrap();
    says(&desk, "peers import odd mixer-1", "peer info file");
    says(&desk, "peers list ledger", "knows no mixers");
    // A mixer that has ended leaves its folder to the next, and nothing that could be asked.
    desk.running.pop().unwrap().stop().unwrap();
    assert!(!desk.path("mixer-1/control.sock").exists());
    says(&desk, "status mixer-1", "does not run");
}
