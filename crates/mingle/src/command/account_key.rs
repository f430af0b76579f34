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
    /// Take the account's key from this file: PubSec, or a seed in hex
    #[arg(long, value_name = "FILE", group = "key")]
    key_file: Option<PathBuf>,
    /// Take the account's key from the mnemonic in this file
    #[arg(long, value_name = "FILE", group = "key")]
    mnemonic_file: Option<PathBuf>,
    /// Ask for salt and password at the terminal, and keep no key in a folder
    #[arg(long, group = "key")]
    ask: bool,
}

impl AccountKeyArguments {
    /// The key that was named or typed, or a new one: before there is a folder to keep it in.
    pub(super) fn choose(&self) -> Result<Chosen, Error> {
        let key = match self.ask {
            true => keys::ask()?,
            false => match self.file()? {
                Some(key) => key,
                None => AccountKey::from_seed(crate::key::random()?),
            },
        };
        Ok(Chosen { key, ask: self.ask })
    }

    /// The key that was named, when a new one will not do.
    pub(super) fn given(&self) -> Result<AccountKey, Error> {
        if self.ask {
            return keys::ask();
        }
        self.file()?.ok_or_else(|| {
            Error::Usage("whose key? name --key-file, --mnemonic-file or --ask".into())
        })
    }

    fn file(&self) -> Result<Option<AccountKey>, Error> {
        match (&self.key_file, &self.mnemonic_file) {
            (Some(file), _) => keys::read(file).map(Some),
            (None, Some(file)) => mnemonic(file).map(Some),
            (None, None) => Ok(None),
        }
    }
}

/// A key for a folder.
pub(super) struct Chosen {
    key: AccountKey,
    ask: bool,
}

impl Chosen {
    /// Puts the key into the folder, unless it is asked for each time; what the folder's settings say of
    /// it, and its account.
    pub(super) fn settle(&self, folder: &Path) -> Result<(KeySource, Account), Error> {
        let source = KeySource { ask: self.ask, ..KeySource::default() };
        if !self.ask {
            keys::save(&folder.join(&source.file), &self.key)?;
        }
        Ok((source, self.key.account()))
    }
}

fn mnemonic(path: &Path) -> Result<AccountKey, Error> {
    let remedy = "name a file with the words of a mnemonic";
    let words = std::fs::read_to_string(path).map_err(|why| Error::read(path, why, remedy))?;
    let words = Zeroizing::new(words);
    AccountKey::from_mnemonic(&words).map_err(|why| Error::unfit(path, why))
}
