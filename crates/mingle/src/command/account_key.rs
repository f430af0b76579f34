//! Where a new folder's account key comes from: never from the command line itself.

use std::path::{Path, PathBuf};

use clap::Args;
use money::{Account, AccountKey};
use zeroize::Zeroizing;

use crate::Error;
use crate::payments::config::KeySource;
use crate::payments::keys;

#[derive(Args)]
pub(super) struct AccountKeyArguments {
    /// Take the account's key from this file (PubSec, or a seed in hex) instead of a new one
    #[arg(long, value_name = "FILE", group = "key")]
    key_file: Option<PathBuf>,
    /// Take the account's key from the mnemonic in this file
    #[arg(long, value_name = "FILE", group = "key")]
    mnemonic_file: Option<PathBuf>,
    /// Keep no key in the folder: ask for salt and password at the terminal each time
    #[arg(long, group = "key")]
    ask: bool,
}

impl AccountKeyArguments {
    /// Puts the key into a new folder; what its settings say of it, and its account.
    pub(super) fn settle(&self, folder: &Path) -> Result<(KeySource, Account), Error> {
        let source = KeySource { ask: self.ask, ..KeySource::default() };
        let path = folder.join(&source.file);
        let key = if self.ask {
            return Ok((source, keys::ask()?.account()));
        } else if let Some(file) = &self.key_file {
            keys::read(file)?
        } else if let Some(file) = &self.mnemonic_file {
            mnemonic(file)?
        } else {
            return Ok((source, keys::create(&path)?.account()));
        };
        keys::save(&path, &key)?;
        Ok((source, key.account()))
    }
}

fn mnemonic(path: &Path) -> Result<AccountKey, Error> {
    let remedy = "name a file with the words of a mnemonic";
    let words = std::fs::read_to_string(path).map_err(|why| Error::read(path, why, remedy))?;
    let words = Zeroizing::new(words);
    AccountKey::from_mnemonic(&words).map_err(|why| Error::unfit(path, why))
}
