//! `mingle wallet`: a payer's folder.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use data_encoding::HEXLOWER;
use money::{Account, address};
use serde_json::json;

use super::account_key::AccountKeyArguments;
use super::reach::ReachArguments;
use super::say;
use crate::payments::book::{Book, End, Payment};
use crate::payments::config::{self, LedgerLink, Node, Role, WalletConfig};
use crate::payments::receipt::Receipt;
use crate::payments::wallet::Wallet;
use crate::payments::{folders, ledger, payer, settings};
use crate::table::Table;
use crate::{Error, folder};

#[derive(Subcommand)]
pub(super) enum Command {
    /// Make a wallet
    New(New),
    /// Say its address
    Address(Place),
    /// Say what it holds
    Balance(Place),
    /// Say what it paid, or what a slip is worth
    History(History),
    /// Forget payments that have ended, their routes and receipts included
    Forget(Forget),
}

#[derive(Args)]
pub(super) struct New {
    /// A folder that does not exist yet [default: mingle/CURRENCY/wallet where settings are kept]
    folder: Option<PathBuf>,
    /// Where the ledger answers. It learns whom this wallet pays: use your own node
    #[arg(long, value_name = "URL", default_value_t = ledger::default_url())]
    ledger: String,
    #[command(flatten)]
    reach: ReachArguments,
    /// Ask mixers too for whom no member answers: for tests and ledgers without members
    #[arg(long)]
    unvouched: bool,
    #[command(flatten)]
    key: AccountKeyArguments,
}

/// Which wallet.
#[derive(Args)]
pub(super) struct Place {
    /// Its folder [default: the only wallet where settings are kept]
    folder: Option<PathBuf>,
    /// For programs
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub(super) struct History {
    #[command(flatten)]
    place: Place,
    /// Look up what became of the payment to this wallet that a slip promises
    #[arg(long, value_name = "FILE")]
    slip: Option<PathBuf>,
}

#[derive(Args)]
pub(super) struct Forget {
    /// Its folder [default: the only wallet where settings are kept]
    folder: Option<PathBuf>,
    /// This one alone, also if a part of it was never paid
    #[arg(long, value_name = "NUMBER")]
    payment: Option<u64>,
    /// Also if its mixers kept the money, a day after its last date. The proof goes with it: see `mingle
    /// receipt export`
    #[arg(long, requires = "payment")]
    lost: bool,
}

pub(super) fn perform(command: &Command) -> Result<(), Error> {
    super::runtime()?.block_on(async {
        match command {
            Command::New(arguments) => new(arguments).await,
            Command::Address(place) => address_of(place),
            Command::Balance(place) => balance(place).await,
            Command::History(arguments) => history(arguments).await,
            Command::Forget(arguments) => forget(arguments).await,
        }
    })
}

async fn new(arguments: &New) -> Result<(), Error> {
    let client = arguments.reach.client();
    let about = ledger::about(&arguments.ledger, &client).await?;
    let folder = match &arguments.folder {
        Some(folder) => folder.clone(),
        None => folders::default(&about.currency, Role::Wallet)?,
    };
    let peers = arguments.reach.settings()?;
    let key = arguments.key.choose()?;
    folder::make(&folder)?;
    let (key, account) = key.settle(&folder)?;
    let config = WalletConfig {
        node: Node { role: Role::Wallet, name: "wallet".into() },
        ledger: LedgerLink {
            url: arguments.ledger.clone(),
            genesis: HEXLOWER.encode(&about.genesis),
        },
        key,
        client,
        peers,
        pay: config::Pay { unvouched: arguments.unvouched, ..settings::pay(&about) },
    };
    Wallet::create(&folder, config, account)?;
    let shown = folder.display();
    let wallet = match arguments.folder {
        Some(_) => format!(" --wallet {shown}"),
        None => String::new(),
    };
    say(&format!(
        "A wallet of {:?} is in {shown}. Its address is {account}, or {}.\nNext:\n  \
           1. Put money into it.\n  \
           2. mingle pay --to ACCOUNT --amount UNITS{wallet}\n\
         How it pays is in {shown}/{}. What paying so does not hide is in docs/paying.md.\n",
        about.currency,
        address::ss58(&account),
        crate::config::FILE,
    ));
    Ok(())
}

fn address_of(place: &Place) -> Result<(), Error> {
    let account = Wallet::find(place.folder.as_deref())?.account();
    let ss58 = address::ss58(&account);
    match place.json {
        true => say(&format!("{}\n", json!({ "base58": account.to_string(), "ss58": ss58 }))),
        false => say(&format!("{account}\n{ss58}\n")),
    }
    Ok(())
}

async fn balance(place: &Place) -> Result<(), Error> {
    let wallet = Wallet::find(place.folder.as_deref())?;
    let (_, chain) = wallet.connect().await?;
    let held = chain.connection().account(&wallet.account()).await;
    let free = held.map_err(|why| chain.failed(why))?.free;
    match place.json {
        true => say(&format!("{}\n", json!({ "units": free.units() }))),
        false => say(&format!("{free} units of {:?}\n", chain.about().currency)),
    }
    Ok(())
}

async fn history(arguments: &History) -> Result<(), Error> {
    let wallet = Wallet::find(arguments.place.folder.as_deref())?;
    if let Some(slip) = &arguments.slip {
        return what_slip_is_worth(&wallet, slip, arguments.place.json).await;
    }
    let mut store = wallet.store().await?;
    let book = Book::open(&mut store).await?;
    store.close().await?;
    if arguments.place.json {
        let payments: Vec<_> = book.payments().map(payment_json).collect();
        say(&format!("{:#}\n", json!({ "payments": payments })));
        return Ok(());
    }
    let mut table = Table::new(&["payment", "begun", "units", "to", "parts", "company"]);
    for payment in book.payments() {
        let company: Vec<_> =
            payment.shares.iter().filter_map(|share| share.company.iter().min()).collect();
        table.row([
            payment.number.to_string(),
            super::date(payment.begun),
            payment.amount.to_string(),
            payment.to.to_string(),
            states(payment),
            company.into_iter().min().map_or("-".into(), |least| format!("{least} at least")),
        ]);
    }
    say(&table.text());
    Ok(())
}

/// How many parts are in which state, in words.
fn states(payment: &Payment) -> String {
    let count = |wanted: fn(&crate::payments::book::Share) -> bool| {
        payment.shares.iter().filter(|share| wanted(share)).count()
    };
    let counts = [
        (count(|share| share.end == Some(End::Arrived)), "arrived"),
        (count(|share| share.end == Some(End::Returned)), "returned"),
        (count(|share| share.end.is_none() && share.part.is_some()), "under way"),
        (count(|share| share.end.is_none() && share.part.is_none()), "not paid"),
    ];
    let words = counts.iter().filter(|(count, _)| *count > 0);
    words.map(|(count, word)| format!("{count} {word}")).collect::<Vec<_>>().join(", ")
}

/// A payment for programs.
pub(super) fn payment_json(payment: &Payment) -> serde_json::Value {
    let shares = payment.shares.iter().map(|share| {
        let state = match (share.end, share.part) {
            (Some(End::Arrived), _) => "arrived",
            (Some(End::Returned), _) => "returned",
            (None, Some(_)) => "under way",
            (None, None) => "not paid",
        };
        json!({ "units": share.amount.units(), "state": state, "company": share.company })
    });
    json!({
        "payment": payment.number,
        "begun": super::date(payment.begun),
        "to": payment.to.to_string(),
        "units": payment.amount.units(),
        "hops": payment.hops,
        "agreed": payment.fee_most.is_some(),
        "parts": shares.collect::<Vec<_>>(),
    })
}

async fn what_slip_is_worth(wallet: &Wallet, path: &Path, json: bool) -> Result<(), Error> {
    let slip = Receipt::read(path)?;
    let (_, chain) = wallet.connect().await?;
    super::receipt::same_currency(&slip, &chain)?;
    let judged = slip.judge(&chain).await?;
    let is_ours = |account: &Account| *account == wallet.account();
    if !judged.iter().any(|judged| is_ours(&judged.promise.receiver)) {
        return Err(Error::Unfit {
            path: path.to_owned(),
            why: format!("no promise in it is for this wallet, {}", wallet.account()),
        });
    }
    super::receipt::show(&judged, json);
    Ok(())
}

async fn forget(arguments: &Forget) -> Result<(), Error> {
    let wallet = Wallet::find(arguments.folder.as_deref())?;
    let gone = payer::forget(&wallet, arguments.payment, arguments.lost).await?;
    let words = match gone.len() {
        0 => "Nothing that has ended is kept.".into(),
        1 => "One payment is forgotten.".into(),
        many => format!("{many} payments are forgotten."),
    };
    say(&format!("{words} The ledger keeps what it shows.\n"));
    Ok(())
}
