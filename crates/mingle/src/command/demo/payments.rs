//! The payments' half of the demo: a ledger, mixers and payers who pay at the same time.
//!
//! ```text
//! payer ─► mixer ─► mixer ─► mixer ─► receiver       four times at once, over three of five mixers each
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use ledger::embedded::Client;
use money::{Account, AccountKey, Amount};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::task::JoinSet;

use crate::payments::local::{Folders, LocalPayments, MIXER_MONEY, PEERS, Plan};
use crate::{Error, key};

const MIXERS: u16 = 5;
const PAYERS: usize = 4;
const HOPS: u64 = 3;
const AMOUNT: u64 = 500;
/// What a payer begins with.
const MONEY: u64 = 10_000;
const BLOCK_TIME: Duration = Duration::from_millis(50);

/// What came of it.
pub(super) struct Outcome {
    arrived: usize,
    kept: u64,
    conserved: bool,
}

impl Outcome {
    pub(super) fn json(&self) -> Value {
        json!({
            "sent": PAYERS,
            "arrived": self.arrived,
            "promises_kept": self.kept,
            "ledger_conserved": self.conserved,
        })
    }

    /// What is wrong with it.
    pub(super) fn check(&self) -> Result<(), Error> {
        let promises = PAYERS as u64 * HOPS;
        if self.arrived == PAYERS && self.kept == promises && self.conserved {
            return Ok(());
        }
        Err(Error::Failed(format!(
            "{} of {PAYERS} payments arrived, {} of {promises} promises were kept, and the ledger's money {}",
            self.arrived,
            self.kept,
            if self.conserved { "adds up" } else { "does not add up" },
        )))
    }
}

/// A payer's wallet and whom it pays.
struct Payer {
    number: usize,
    wallet: PathBuf,
    account: Account,
    receiver: Account,
}

/// Runs it in a folder of its own.
pub(super) async fn run(
    program: &Path,
    root: &Path,
    base_port: u16,
    say: &impl Fn(String),
) -> Result<Outcome, Error> {
    say(format!("\nStarting a ledger with a block every {BLOCK_TIME:?}, and five mixers …"));
    let plan = Plan {
        mixers: MIXERS,
        base_port,
        block_time: BLOCK_TIME,
        finality_lag: 2,
        strategy: "timed:1s".into(),
        delay: Duration::ZERO,
    };
    let network = Folders::create(root, &plan)?.start(program).await?;
    let mut payers = Vec::new();
    for number in 1..=PAYERS {
        payers.push(payer(program, root, &network, number).await?);
    }
    say(format!(
        "They know each other. {PAYERS} payers pay {AMOUNT} each, through {HOPS} mixers.\n"
    ));
    pay(program, &payers, say).await?;

    let kept = {
        let mut kept = 0;
        for payer in &payers {
            kept += promises_kept(program, root, &network, payer).await?;
        }
        kept
    };
    let failed = |why| Error::Ledger { url: network.url().to_owned(), why };
    let client = Client::connect(network.url()).await.map_err(failed)?;
    let mut arrived = 0;
    for payer in &payers {
        let has = client.account(&payer.receiver).await.map_err(failed)?.free;
        arrived += usize::from(has == Amount::from_units(AMOUNT));
    }
    let accounts = accounts(&network, &payers);
    let books = Books::read(&client, &accounts).await.map_err(failed)?;
    let conserved = books.all == MIXER_MONEY * u64::from(MIXERS) + MONEY * PAYERS as u64;
    say("\nWhat the ledger shows: payouts of the same amount that left a mixer in one block\n"
        .into());
    for (number, together) in (1..).zip(books.together(&accounts)) {
        say(format!("  mixer-{number}  {together}"));
    }
    say(format!(
        "\nPaid {PAYERS}, arrived {arrived}; {kept} promises kept; the ledger's money {}.",
        if conserved { "adds up" } else { "does NOT add up" }
    ));
    Ok(Outcome { arrived, kept, conserved })
}

/// A wallet with money, and a receiver whom nobody knows.
async fn payer(
    program: &Path,
    root: &Path,
    network: &LocalPayments,
    number: usize,
) -> Result<Payer, Error> {
    let wallet = root.join(format!("payer-{number}"));
    let peers = root.join(PEERS);
    let words =
        ["wallet", "new", path(&wallet)?, "--ledger", network.url(), "--peers", path(&peers)?];
    said(program, &[&words[..], &["--inside", "--unvouched"]].concat()).await?;
    let address: Value =
        read(&said(program, &["wallet", "address", path(&wallet)?, "--json"]).await?)?;
    let account: Account = address["base58"]
        .as_str()
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| Error::Failed("the wallet does not say its address".into()))?;
    network.faucet(&account, MONEY).await?;
    let receiver = AccountKey::from_seed(key::random()?).account();
    Ok(Payer { number, wallet, account, receiver })
}

/// All pay at once; their lines are shown as they come.
async fn pay(program: &Path, payers: &[Payer], say: &impl Fn(String)) -> Result<(), Error> {
    let (lines, mut heard) = tokio::sync::mpsc::channel(64);
    let mut all = JoinSet::new();
    for payer in payers {
        let (to, amount) = (payer.receiver.to_string(), AMOUNT.to_string());
        let words =
            ["pay", "--wallet", path(&payer.wallet)?, "--to", &to, "--amount", &amount, "--yes"];
        let mut child = start(program, &words)?;
        let (number, lines) = (payer.number, lines.clone());
        let stdout = child.stdout.take().expect("piped in `start`");
        all.spawn(async move {
            let mut stdout = BufReader::new(stdout).lines();
            while let Ok(Some(line)) = stdout.next_line().await {
                let _ = lines.send((number, line)).await;
            }
            child.wait().await.is_ok_and(|status| status.success())
        });
    }
    drop(lines);
    while let Some((number, line)) = heard.recv().await {
        // Each hop's terms and promise are for who pays, not for who watches four.
        if let Some(step) = line.strip_prefix(&format!("Payment 1, {AMOUNT}: ")) {
            say(format!("  payer {number}  {step}"));
        }
    }
    match all.join_all().await.into_iter().all(|paid| paid) {
        true => Ok(()),
        false => Err(Error::Failed("a payer ended without having paid".into())),
    }
}

/// Verifies a payer's receipt as anybody could: from the file and the ledger.
async fn promises_kept(
    program: &Path,
    root: &Path,
    network: &LocalPayments,
    payer: &Payer,
) -> Result<u64, Error> {
    let receipt = root.join(format!("receipt-{}", payer.number));
    let words =
        ["receipt", "export", "1", "--wallet", path(&payer.wallet)?, "--out", path(&receipt)?];
    said(program, &words).await?;
    let words = ["receipt", "verify", path(&receipt)?, "--ledger", network.url(), "--json"];
    let verified: Value = read(&said(program, &words).await?)?;
    let promises = verified["promises"].as_array().into_iter().flatten();
    Ok(promises.filter(|promise| promise["result"] == "kept").count() as u64)
}

/// Every account that ever had money: the mixers', then the payers' and the receivers'.
fn accounts(network: &LocalPayments, payers: &[Payer]) -> Vec<Account> {
    let mixers = network.infos().iter().map(|info| info.content().pubkey);
    mixers.chain(payers.iter().flat_map(|payer| [payer.account, payer.receiver])).collect()
}

/// What the final chain shows.
struct Books {
    /// What all accounts hold and the ledger took, in units.
    all: u64,
    /// How many payouts left together: by sender, amount and block.
    payouts: BTreeMap<Account, BTreeMap<(Amount, u64), usize>>,
}

impl Books {
    async fn read(client: &Client, accounts: &[Account]) -> Result<Self, ledger::Error> {
        let (mut all, mut payouts) = (0, BTreeMap::new());
        for account in accounts {
            let mut from = 1;
            loop {
                let blocks = client.blocks(from, account, Duration::ZERO).await?;
                let Some(last) = blocks.last() else { break };
                from = last.height + 1;
                for spent in blocks.iter().flat_map(|block| &block.spent) {
                    all += client.about().fee.units();
                    for transfer in &spent.transfers {
                        let batch = (transfer.amount, transfer.place.block);
                        let of: &mut BTreeMap<_, _> = payouts.entry(*account).or_default();
                        *of.entry(batch).or_default() += 1;
                    }
                }
            }
            all += client.account(account).await?.free.units();
        }
        Ok(Self { all, payouts })
    }

    /// For each mixer, in words.
    fn together(&self, accounts: &[Account]) -> impl Iterator<Item = String> {
        accounts.iter().take(usize::from(MIXERS)).map(|mixer| {
            let batches = self.payouts.get(mixer).into_iter().flatten();
            let sizes: Vec<_> = batches.map(|(_, count)| count.to_string()).collect();
            match sizes.is_empty() {
                true => "none: no route went over it".into(),
                false => sizes.join(", "),
            }
        })
    }
}

fn start(program: &Path, words: &[&str]) -> Result<tokio::process::Child, Error> {
    let mut command = Command::new(program);
    command.args(words).stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
    command.spawn().map_err(|why| Error::system("a process", why))
}

/// Runs a command to its end; what it said.
async fn said(program: &Path, words: &[&str]) -> Result<Vec<u8>, Error> {
    let child = start(program, words)?;
    let ended = child.wait_with_output().await.map_err(|why| Error::system("a process", why))?;
    match ended.status.success() {
        true => Ok(ended.stdout),
        false => Err(Error::Failed(format!("`mingle {}` failed", words.join(" ")))),
    }
}

fn read(said: &[u8]) -> Result<Value, Error> {
    serde_json::from_slice(said).map_err(|why| Error::Failed(format!("that is no JSON: {why}")))
}

fn path(path: &Path) -> Result<&str, Error> {
    path.to_str().ok_or_else(|| Error::unfit(path, "the demo's folder has a name that is no text"))
}
