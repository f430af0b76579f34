//! A wallet's folder: what it is, whose account, and what is kept of its payments.
//!
//! ```text
//! DIR/config.toml   settings          DIR/account   the account in base58, said without the key
//! DIR/account.key   unless asked for  DIR/records.db   the core's parts, and `book`'s payments
//! ```
//! What always holds: a key that belongs to another account than the folder's is refused.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use money::{Account, AccountKey};

use super::chain::{self, Chain};
use super::client::Client;
use super::config::{Config, Role, WalletConfig};
use super::store::Store;
use super::{folders, keys};
use crate::{Error, folder};

/// A wallet's folder.
pub struct Wallet {
    folder: PathBuf,
    config: WalletConfig,
    account: Account,
}

/// The file that says whose wallet it is.
pub const ACCOUNT: &str = "account";

impl Wallet {
    /// The wallet in a folder, or the only one there is where settings are kept.
    ///
    /// # Errors
    /// When there is none, or something else.
    pub fn find(folder: Option<&Path>) -> Result<Self, Error> {
        let folder = match folder {
            Some(folder) => folder.to_owned(),
            None => folders::only(Role::Wallet)?,
        };
        let Config::Wallet(config) = Config::read(&folder)? else {
            let path = folder.join(crate::config::FILE);
            return Err(Error::unfit(
                &path,
                "this folder is no wallet; `mingle wallet new` makes one",
            ));
        };
        let path = folder.join(ACCOUNT);
        let remedy = "`mingle wallet new` writes it: the account in base58";
        let text = std::fs::read_to_string(&path).map_err(|why| Error::read(&path, why, remedy))?;
        let account = text.trim().parse().map_err(|why| Error::unfit(&path, why))?;
        Ok(Self { folder, config, account })
    }

    /// Fills a new folder that has its key.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn create(folder: &Path, config: WalletConfig, account: Account) -> Result<(), Error> {
        folder::write(&folder.join(ACCOUNT), &format!("{account}\n"))?;
        folder::write(&folder.join(crate::config::FILE), &Config::Wallet(config).page())
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Its settings.
    pub fn config(&self) -> &WalletConfig {
        &self.config
    }

    /// Whose it is.
    pub fn account(&self) -> Account {
        self.account
    }

    /// The key of its account.
    ///
    /// # Errors
    /// When there is none, or it is another account's.
    pub fn key(&self) -> Result<AccountKey, Error> {
        let key = keys::find(&self.folder, &self.config.key)?;
        match key.account() == self.account {
            true => Ok(key),
            false => Err(Error::Usage(format!(
                "this is the key of {}, and the wallet is that of {}",
                key.account(),
                self.account
            ))),
        }
    }

    /// Its records.
    ///
    /// # Errors
    /// When another process has them, or they cannot be read.
    pub async fn store(&self) -> Result<Store, Error> {
        Store::open(&self.folder).await
    }

    /// Its ways to mixers and to its ledger.
    ///
    /// # Errors
    /// When the ledger is out of reach, or another one.
    pub async fn connect(&self) -> Result<(Arc<Client>, Chain), Error> {
        let currency = chain::currency(&self.config.ledger)?;
        let client = Client::new(&self.config.client, currency)?;
        let chain = Chain::connect(&self.config.ledger, &client).await?;
        Ok((Arc::new(client), chain))
    }
}
