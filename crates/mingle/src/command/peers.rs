//! `mingle peers list|export|import|watch`: the mixers that a mixer or wallet knows.

mod page;

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use payment::document::{Currency, PeerInfo, Signed};

use crate::Error;
use crate::config::span;
use crate::payments::client::Client;
use crate::payments::config::{self, Config, LedgerLink, Role};
use crate::payments::operator::Operator;
use crate::payments::wallet::Wallet;
use crate::payments::{chain, folders, payer, peer_file};
use page::Shown;

#[derive(Subcommand)]
pub(super) enum Command {
    /// Show them
    List(List),
    /// Write them to a peer info file, to be given to others
    Export(Export),
    /// Take the mixers of a peer info file into a folder
    Import(Import),
    /// Keep a table of them fresh, and a page with the text to paste into a peer info file
    Watch(Watch),
}

#[derive(Args)]
pub(super) struct Source {
    /// The folder of a mixer or wallet [default: the only mixer where settings are kept]
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
    /// Ask this mixer whom it knows, instead of the folder
    #[arg(long, value_name = "HOST:PORT")]
    ask: Option<String>,
}

#[derive(Args)]
pub(super) struct List {
    #[command(flatten)]
    source: Source,
    /// For programs
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub(super) struct Export {
    #[command(flatten)]
    source: Source,
    /// The file
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

#[derive(Args)]
pub(super) struct Import {
    /// The peer info file, or text of one
    file: PathBuf,
    /// The folder of a mixer or wallet [default: the only mixer where settings are kept]
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
}

#[derive(Args)]
pub(super) struct Watch {
    #[command(flatten)]
    source: Source,
    /// How often
    #[arg(long, default_value = "10s", value_parser = span::parse)]
    every: Duration,
    /// Write the table as a page too
    #[arg(long, value_name = "FILE.html")]
    page: Option<PathBuf>,
}

pub(super) fn perform(command: &Command) -> Result<(), Error> {
    super::runtime()?.block_on(async {
        match command {
            Command::List(list) => {
                let shown = Shown::of(list.source.read().await?);
                let text = if list.json { shown.json() } else { shown.text() };
                super::say(&text);
                Ok(())
            }
            Command::Export(export) => {
                let infos = export.source.read().await?;
                let file = peer_file::page(infos.iter().map(Signed::bytes));
                std::fs::write(&export.out, file).map_err(|why| Error::write(&export.out, why))?;
                let (count, shown) = (infos.len(), export.out.display());
                super::say(&format!("{count} mixers are in {shown}.\n"));
                Ok(())
            }
            Command::Import(import) => take(import).await,
            Command::Watch(watch) => keep_watching(watch).await,
        }
    })
}

/// What the commands need of a folder's settings.
struct Settings {
    folder: PathBuf,
    currency: Currency,
    client: config::Client,
    is_mixer: bool,
}

impl Settings {
    fn of(folder: Option<&PathBuf>) -> Result<Self, Error> {
        let folder = match folder {
            Some(folder) => folder.clone(),
            None => folders::only(Role::Mixer).or_else(|_| folders::only(Role::Wallet))?,
        };
        let made = |link: &LedgerLink, client, is_mixer| {
            let currency = chain::currency(link)?;
            Ok(Self { folder: folder.clone(), currency, client, is_mixer })
        };
        match Config::read(&folder)? {
            Config::Mixer(config) => made(&config.ledger, config.client, true),
            Config::Wallet(config) => made(&config.ledger, config.client, false),
            Config::Ledger(_) => Err(Error::Usage("a ledger knows no mixers".into())),
        }
    }
}

impl Source {
    /// The infos that are there and verify.
    async fn read(&self) -> Result<Vec<Signed<PeerInfo>>, Error> {
        let settings = Settings::of(self.folder.as_ref())?;
        let raws = match &self.ask {
            Some(host) => asked(&settings, host).await?,
            None if settings.is_mixer => known(&settings.folder).await?,
            None => payer::mixers(&Wallet::find(Some(&settings.folder))?).await?,
        };
        Ok(verified(raws, &settings.currency))
    }
}

fn verified(raws: Vec<Vec<u8>>, currency: &Currency) -> Vec<Signed<PeerInfo>> {
    let read = |raw: Vec<u8>| Signed::<PeerInfo>::read(&raw, currency, |info| Some(info.pubkey));
    let mut infos: Vec<_> = raws.into_iter().filter_map(|raw| read(raw).ok()).collect();
    // The newest of each.
    infos.sort_by_key(|info| (info.content().pubkey, std::cmp::Reverse(info.content().sigtime)));
    infos.dedup_by_key(|info| info.content().pubkey);
    infos
}

async fn asked(settings: &Settings, host: &str) -> Result<Vec<Vec<u8>>, Error> {
    let client = Client::new(&settings.client, settings.currency.clone())?;
    let to = peer_file::host(host)?;
    let failed = |why| Error::Failed(format!("{host}: {why}"));
    let mut raws =
        Vec::from_iter(peer_file::bytes(client.plain(&to, "/info").await.map_err(failed)?, "info"));
    let peers = client.plain(&to, "/peers").await.map_err(failed)?;
    raws.extend(peer_file::answered(peers).unwrap_or_default());
    Ok(raws)
}

async fn known(folder: &Path) -> Result<Vec<Vec<u8>>, Error> {
    let said = Operator::new(folder)?.get("/peers").await?;
    let raws = said["peers"].as_array().into_iter().flatten();
    Ok(raws.filter_map(|peer| peer_file::plain_text(peer["raw"].as_str()?)).collect())
}

async fn take(import: &Import) -> Result<(), Error> {
    let settings = Settings::of(import.folder.as_ref())?;
    let infos = verified(peer_file::read(&import.file)?, &settings.currency);
    if infos.is_empty() {
        let why = "there is no peer info of this currency in it that verifies";
        return Err(Error::unfit(&import.file, why));
    }
    let into = settings.folder.join(peer_file::FOLDER);
    std::fs::create_dir_all(&into).map_err(|why| Error::write(&into, why))?;
    let page = peer_file::page(infos.iter().map(Signed::bytes));
    // Of the same mixers the same file, so that taking it again adds nothing.
    let path = into.join(format!("{}.ubjson", peer_file::name_of(&infos)));
    std::fs::write(&path, &page).map_err(|why| Error::write(&path, why))?;
    // One that runs learns of them at once; else it reads the folder when it starts.
    if settings.is_mixer {
        let _ = Operator::new(&settings.folder)?.post("/peers", page).await;
    }
    let (count, shown) = (infos.len(), settings.folder.display());
    super::say(&format!("{count} mixers are known to {shown} now.\n"));
    Ok(())
}

async fn keep_watching(watch: &Watch) -> Result<(), Error> {
    let mut signals = super::signals::Signals::watch()?;
    loop {
        // A mixer that restarts is worth watching through it.
        let text = match watch.source.read().await {
            Ok(infos) => {
                let shown = Shown::of(infos);
                if let Some(page) = &watch.page {
                    shown.write(page)?;
                }
                shown.text()
            }
            Err(why) => format!("{why}\n"),
        };
        let mut out = std::io::stdout();
        let before = if out.is_terminal() { CLEAR } else { "\n" };
        if write!(out, "{before}{text}").and_then(|()| out.flush()).is_err() {
            return Ok(());
        }
        tokio::select! {
            () = tokio::time::sleep(watch.every) => {}
            _ = signals.first() => return Ok(()),
        }
    }
}

/// To the corner, and all below it empty.
const CLEAR: &str = "\x1b[H\x1b[J";
