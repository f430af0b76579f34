//! Where folders are that nobody named: one per currency, where the platform keeps settings.

use std::path::PathBuf;

use etcetera::BaseStrategy as _;

use super::config::Role;
use crate::Error;
use crate::config::FILE;

/// The folder of a role in a currency.
///
/// # Errors
/// When the platform knows no home, or the currency's name is no folder's.
pub fn default(currency: &str, role: Role) -> Result<PathBuf, Error> {
    let is_plain = |c: char| c.is_alphanumeric() || "-_. ".contains(c);
    if currency.is_empty() || currency.starts_with('.') || !currency.chars().all(is_plain) {
        let why = format!("the currency's name {currency:?} is no folder's name: name a folder");
        return Err(Error::Usage(why));
    }
    Ok(root()?.join(currency).join(name(role)))
}

/// The one folder of a role there is.
///
/// # Errors
/// When there is none, or several.
pub fn only(role: Role) -> Result<PathBuf, Error> {
    let root = root()?;
    let currencies = std::fs::read_dir(&root).into_iter().flatten().flatten();
    let folders = currencies.map(|entry| entry.path().join(name(role)));
    let mut found: Vec<_> = folders.filter(|folder| folder.join(FILE).exists()).collect();
    match (found.pop(), found.is_empty()) {
        (Some(folder), true) => Ok(folder),
        (None, _) => Err(Error::Usage(format!(
            "there is no {} under {}: name its folder",
            name(role),
            root.display()
        ))),
        (Some(_), false) => Err(Error::Usage(format!(
            "there are several folders of a {} under {}: name one",
            name(role),
            root.display()
        ))),
    }
}

fn root() -> Result<PathBuf, Error> {
    let strategy = etcetera::choose_base_strategy();
    let strategy =
        strategy.map_err(|_| Error::Usage("there is no home folder: name a folder".into()))?;
    Ok(strategy.config_dir().join("mingle"))
}

fn name(role: Role) -> &'static str {
    match role {
        Role::Mixer => "mixer",
        Role::Ledger => "ledger",
        Role::Wallet => "wallet",
    }
}
