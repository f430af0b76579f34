//! `mingle run DIR`: one node, until a signal.

use std::path::PathBuf;

use clap::Args;
use tokio::sync::oneshot;

use super::signals::Signals;
use crate::config::Config;
use crate::forward::Forward;
use crate::node::Node;
use crate::{Error, log};

#[derive(Args)]
pub(super) struct Arguments {
    /// The node's folder
    folder: PathBuf,
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
    let mut config = Config::read(&arguments.folder)?;
    add_forwards(&mut config, &arguments.forwards)?;
    // Before the node starts, so that a signal during the start is not lost.
    let mut signals = Signals::watch()?;
    let stdin_ended = watch_stdin(arguments.end_with_stdin);

    let mut node = Node::start(&arguments.folder, config).await?;
    log::info("ready");
    let why = tokio::select! {
        why = signals.first() => why,
        _ = stdin_ended => "standard input ended",
        () = node.ended() => "the node's thread ended",
    };
    log::info(format_args!("{why}: ending"));
    node.stop().await?;
    log::info("ended");
    Ok(())
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
