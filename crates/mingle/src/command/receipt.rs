//! `mingle receipt`: promises in a file, and what became of them.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use data_encoding::HEXLOWER;
use payment::document::Currency;
use payment::receipt::Verdict;
use serde_json::json;

use super::say;
use crate::payments::book::{self, Book};
use crate::payments::chain::Chain;
use crate::payments::client::Client;
use crate::payments::config::{self, LedgerLink};
use crate::payments::receipt::{Entry, Judged, Receipt};
use crate::payments::wallet::Wallet;
use crate::payments::{chain, ledger};
use crate::table::Table;
use crate::{Error, folder};

#[derive(Subcommand)]
pub(super) enum Command {
    /// Look up on a ledger what became of each promise in a file
    #[command(after_help = EXITS)]
    Verify(Verify),
    /// Write one promise of a file into another, which names nobody but that mixer and its neighbours
    Extract(Extract),
    /// Write the promises of one part of a payment from a wallet into a file
    Export(Export),
}

const EXITS: &str = "\
Exit status, that of the worst promise:
   0  kept      paid on in time
  10  late      paid on after its date
  11  returned  sent back
  12  pending   paid in, not yet paid on, not yet overdue
  13  unfunded  nobody paid in, or too late
  14  broken    paid in in time, and neither paid on nor sent back
   1  no result: a wrong file, or a ledger out of reach
   2  wrong arguments";

#[derive(Args)]
pub(super) struct Verify {
    /// A receipt or slip
    file: PathBuf,
    /// Where a ledger of that currency answers [default: the wallet's]
    #[arg(long, value_name = "URL")]
    ledger: Option<String>,
    /// The wallet whose ledger is asked [default: the only one where settings are kept]
    #[arg(long, value_name = "DIR", conflicts_with = "ledger")]
    wallet: Option<PathBuf>,
    /// For programs
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub(super) struct Extract {
    /// A receipt
    file: PathBuf,
    /// Which promise: 1 for the first mixer's, "last" for a slip, which says nothing of the payer
    #[arg(long)]
    hop: HopName,
    /// A file that does not exist yet
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

#[derive(Args)]
pub(super) struct Export {
    /// Which part: the payment's number, or number and part as in 3.2
    part: PartName,
    /// Only what the receiver may have: the last promise, which says nothing of the payer
    #[arg(long)]
    slip: bool,
    /// A file that does not exist yet
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// The wallet [default: the only one where settings are kept]
    #[arg(long, value_name = "DIR")]
    wallet: Option<PathBuf>,
}

/// A hop by number, or the last one.
#[derive(Clone, Copy)]
enum HopName {
    Number(usize),
    Last,
}

impl std::str::FromStr for HopName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse() {
            Ok(number @ 1..) => Ok(Self::Number(number)),
            Err(_) if text == "last" => Ok(Self::Last),
            _ => Err("a hop is 1, 2, … or \"last\""),
        }
    }
}

/// A payment and one of its parts, from 1.
#[derive(Clone, Copy)]
struct PartName {
    payment: u64,
    part: usize,
}

impl std::str::FromStr for PartName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (payment, part) = text.split_once('.').unwrap_or((text, "1"));
        match (payment.parse(), part.parse()) {
            (Ok(payment), Ok(part @ 1..)) => Ok(Self { payment, part }),
            _ => Err("a part is a payment's number, or number and part as in 3.2"),
        }
    }
}

pub(super) fn perform(command: &Command) -> Result<ExitCode, Error> {
    super::runtime()?.block_on(async {
        match command {
            Command::Verify(arguments) => return verify(arguments).await,
            Command::Extract(arguments) => extract(arguments),
            Command::Export(arguments) => export(arguments).await,
        }?;
        Ok(ExitCode::SUCCESS)
    })
}

async fn verify(arguments: &Verify) -> Result<ExitCode, Error> {
    let receipt = Receipt::read(&arguments.file)?;
    let chain = match &arguments.ledger {
        Some(url) => connect(url).await?,
        None => Wallet::find(arguments.wallet.as_deref())?.connect().await?.1,
    };
    same_currency(&receipt, &chain)?;
    let judged = receipt.judge(&chain).await?;
    show(&judged, arguments.json);
    let worst = judged.iter().map(|judged| exit_code(judged.verdict)).max();
    Ok(worst.unwrap_or_default().into())
}

/// Connects to whatever ledger answers there.
async fn connect(url: &str) -> Result<Chain, Error> {
    let settings = config::Client::default();
    let about = ledger::about(url, &settings).await?;
    let link = LedgerLink { url: url.to_owned(), genesis: HEXLOWER.encode(&about.genesis) };
    let client = Client::new(&settings, chain::currency(&link)?)?;
    Chain::connect(&link, &client).await
}

pub(super) fn same_currency(receipt: &Receipt, chain: &Chain) -> Result<(), Error> {
    match *receipt.currency() == Currency::Genesis(chain.about().genesis) {
        true => Ok(()),
        false => Err(Error::Failed(format!(
            "the receipt is of another currency than {:?} on this ledger",
            chain.about().currency
        ))),
    }
}

fn exit_code(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Kept => 0,
        Verdict::Late => 10,
        Verdict::Returned => 11,
        Verdict::Pending => 12,
        Verdict::Unfunded => 13,
        Verdict::Broken => 14,
    }
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Kept => "kept",
        Verdict::Late => "late",
        Verdict::Returned => "returned",
        Verdict::Pending => "pending",
        Verdict::Unfunded => "unfunded",
        Verdict::Broken => "broken",
    }
}

/// Says what became of promises.
pub(super) fn show(judged: &[Judged], json: bool) {
    if json {
        let promises: Vec<_> = judged.iter().map(promise_json).collect();
        return say(&format!("{:#}\n", json!({ "promises": promises })));
    }
    let mut table =
        Table::new(&["result", "mixer", "from", "to", "units", "deposit by", "payout by"]);
    for Judged { promise, verdict, .. } in judged {
        table.row([
            word(*verdict).into(),
            promise.node.to_string(),
            promise.sender.to_string(),
            promise.receiver.to_string(),
            promise.out_amount.to_string(),
            super::date(promise.expire_date),
            super::date(promise.payout_date),
        ]);
    }
    say(&table.text());
    for Judged { promise, member, .. } in judged {
        match member {
            Some(member) => say(&format!("For {} answers the member {member}.\n", promise.node)),
            None => say(&format!("For {} no member answers.\n", promise.node)),
        }
    }
}

fn promise_json(judged: &Judged) -> serde_json::Value {
    let Judged { promise, info, member, verdict } = judged;
    json!({
        "result": word(*verdict),
        "mixer": promise.node.to_string(),
        "host": info.host.address,
        "port": info.host.port,
        "member": member.map(|member| member.to_string()),
        "from": promise.sender.to_string(),
        "to": promise.receiver.to_string(),
        "units_in": promise.in_amount.units(),
        "units_out": promise.out_amount.units(),
        "req_date": promise.req_date,
        "expire_date": promise.expire_date,
        "payout_date": promise.payout_date,
    })
}

fn extract(arguments: &Extract) -> Result<(), Error> {
    let receipt = Receipt::read(&arguments.file)?;
    let hops = receipt.entries().len();
    let cut = match arguments.hop {
        HopName::Number(hop) => receipt.extract(hop),
        HopName::Last => receipt.slip(),
    };
    let cut = cut.ok_or_else(|| Error::Usage(format!("the receipt has {hops} promises")))?;
    write(&arguments.out, &cut)
}

async fn export(arguments: &Export) -> Result<(), Error> {
    let wallet = Wallet::find(arguments.wallet.as_deref())?;
    let mut store = wallet.store().await?;
    let book = Book::open(&mut store).await?;
    let PartName { payment, part } = arguments.part;
    let found = book.find(payment).and_then(|payment| payment.shares.get(part - 1));
    let none = |why| Error::Usage(format!("part {part} of payment {payment} {why}"));
    let share = found.ok_or_else(|| none("does not exist"))?;
    let id = share.part.ok_or_else(|| none("has no promises"))?;
    let currency = chain::currency(&wallet.config().ledger)?;
    let kept = crate::payments::payer::promises(&mut store, &wallet, &id).await?;
    let infos = book::infos(&mut store).await?.remove(&id).unwrap_or_default();
    store.close().await?;
    if kept.is_empty() || kept.len() != infos.len() {
        return Err(none("has no promises yet"));
    }
    let entries = kept.into_iter().zip(infos);
    let entries = entries.map(|(promise, info)| Entry { promise, info }).collect();
    let receipt = Receipt::new(currency, entries);
    let receipt = if arguments.slip { receipt.slip() } else { Some(receipt) };
    write(&arguments.out, &receipt.ok_or_else(|| none("has no promises"))?)
}

fn write(path: &Path, receipt: &Receipt) -> Result<(), Error> {
    folder::write_private(path, &receipt.to_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_hops_and_parts_are_read_or_refused() {
        assert!(matches!("2".parse(), Ok(HopName::Number(2))));
        assert!(matches!("last".parse(), Ok(HopName::Last)));
        assert!("0".parse::<HopName>().is_err() && "x".parse::<HopName>().is_err());
        assert!(matches!("3".parse(), Ok(PartName { payment: 3, part: 1 })));
        assert!(matches!("3.2".parse(), Ok(PartName { payment: 3, part: 2 })));
        for odd in ["", "3.0", ".1", "3.", "a.b", "-1"] {
            assert!(odd.parse::<PartName>().is_err(), "{odd}");
        }
    }
}
