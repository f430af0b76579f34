//! `mingle run [DIR]`: one node, mixer or ledger, until a signal.

use std::path::{Path, PathBuf};

use clap::Args;
use tokio::sync::oneshot;

use super::signals::Signals;
use crate::config::Config;
use crate::forward::Forward;
use crate::node::Node;
use crate::payments::{self, folders};
use crate::{Error, log};

#[derive(Args)]
pub(super) struct Arguments {
    /// Its folder [default: the only mixer where settings are kept]
    folder: Option<PathBuf>,
    /// Entry: an address here that stands for one destination, LISTEN=DEST or LISTEN=DEST,CLASS,
    /// such as 127.0.0.1:5353=9.9.9.9:53,small; may be given again
    #[arg(long = "forward", value_name = "LISTEN=DEST")]
    forwards: Vec<Forward>,
    /// End when standard input ends: whoever starts a node as a child holds the other end
    #[arg(long)]
    end_with_stdin: bool,
}

pub(super) fn perform(arguments: &Arguments) -> Result<(), Error> {
    let runtime = super::runtime()?;
    let ended = runtime.block_on(run(arguments));
    // A name that is being looked up must not hold up the end.
    runtime.shutdown_background();
    ended
}

async fn run(arguments: &Arguments) -> Result<(), Error> {
    let folder = match &arguments.folder {
        Some(folder) => folder.clone(),
        None => folders::only(payments::config::Role::Mixer)?,
    };
    // Before anything starts, so that a signal during the start is not lost.
    let mut signals = Signals::watch()?;
    let stdin_ended = watch_stdin(arguments.end_with_stdin);
    let ended = async {
        tokio::select! {
            why = signals.first() => why,
            _ = stdin_ended => "standard input ended",
        }
    };
    match payments::config::is_of_payments(&folder) {
        true => run_payments(&folder, arguments, ended).await?,
        false => run_node(&folder, arguments, ended).await?,
    }
    log::info("ended");
    Ok(())
}

async fn run_node(
    folder: &Path,
    arguments: &Arguments,
    ended: impl Future<Output = &'static str>,
) -> Result<(), Error> {
    let mut config = Config::read(folder)?;
    add_forwards(&mut config, &arguments.forwards)?;
    let mut node = Node::start(folder, config).await?;
    log::info("ready");
    let why = tokio::select! {
        why = ended => why,
        () = node.ended() => "the node's thread ended",
    };
    log::info(format_args!("{why}: ending"));
    node.stop().await
}

async fn run_payments(
    folder: &Path,
    arguments: &Arguments,
    ended: impl Future<Output = &'static str>,
) -> Result<(), Error> {
    if !arguments.forwards.is_empty() {
        return Err(Error::Usage(
            "--forward is for entries; this folder is of the payments".into(),
        ));
    }
    let mut ended = std::pin::pin!(async move {
        let why = ended.await;
        log::info(format_args!("{why}: ending"));
    });
    match payments::config::Config::read(folder)? {
        payments::config::Config::Mixer(config) => {
            let started = payments::mixer::Mixer::start(folder, &config);
            let mixer = tokio::select! {
                started = started => started?,
                // A ledger that does not answer must not keep anyone from ending.
                () = &mut ended => return Ok(()),
            };
            log::info("ready");
            mixer.run(ended).await
        }
        payments::config::Config::Ledger(config) => {
            payments::ledger::run(folder, &config, ended).await
        }
        payments::config::Config::Wallet(_) => Err(Error::Usage(
            "a wallet is not run: `mingle pay` pays from it, `mingle wallet` says what is in it"
                .into(),
        )),
    }
}

fn add_forwards(config: &mut Config, forwards: &[Forward]) -> Result<(), Error> {
    match config {
        Config::Entry(entry) => entry.forwards.list.extend_from_slice(forwards),
        Config::Mix(_) | Config::Exit(_) if forwards.is_empty() => {}
        Config::Mix(_) | Config::Exit(_) => {
            let why = "--forward is for entries; this folder's node is a mix or an exit";
            return Err(Error::Usage(why.into()));
        }
    }
    Ok(())
}

/// Resolves when standard input ends, or never when nobody asked.
async fn watch_stdin(asked: bool) {
    if !asked {
        return std::future::pending().await;
    }
    let (end, ended) = oneshot::channel::<()>();
    // A thread of its own, as a read cannot be called off; it ends with the process.
    std::thread::spawn(move || {
        let _end = end;
        super::read_stdin_out();
    });
    let _ = ended.await;
}
