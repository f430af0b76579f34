//! Where an account key comes from, when nothing on the command line may hold it.
//!
//! ```text
//! key.ask = true ─► terminal: salt and password
//! else the credential `account.key` of a service ─► else the key file
//! ```
//! What always holds: a key file that others can read is refused; what was typed or read is wiped.

use std::fs::{File, OpenOptions};
use std::io::{IsTerminal, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use money::{AccountKey, keys};
use zeroize::Zeroizing;

use super::config::KeySource;
use crate::Error;

/// The key file in a folder, and the name of the credential.
pub const FILE: &str = "account.key";

/// Finds the key of a folder.
///
/// # Errors
/// When there is none, with what to do about it.
pub fn find(folder: &Path, source: &KeySource) -> Result<AccountKey, Error> {
    if source.ask {
        return ask();
    }
    // systemd puts credentials where only this service reads them.
    if let Some(credentials) = std::env::var_os("CREDENTIALS_DIRECTORY") {
        let path = Path::new(&credentials).join(FILE);
        if path.exists() {
            return parse(&path, &text(&path, File::open(&path))?);
        }
    }
    read(&folder.join(&source.file))
}

/// Makes a new key and saves it at `path`, which must not exist yet.
///
/// # Errors
/// When the file exists or cannot be written, or the system has no randomness.
pub fn create(path: &Path) -> Result<AccountKey, Error> {
    let key = AccountKey::from_seed(crate::key::random()?);
    save(path, &key)?;
    Ok(key)
}

/// Saves a key at `path`, which must not exist yet.
///
/// # Errors
/// When it exists or cannot be written.
pub fn save(path: &Path, key: &AccountKey) -> Result<(), Error> {
    let mut options = OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(path);
    let mut file = file.map_err(|why| Error::write(path, why))?;
    file.write_all(key.to_file().as_bytes()).map_err(|why| Error::write(path, why))?;
    file.sync_all().map_err(|why| Error::write(path, why))
}

/// A second owner of a key, where one signs documents and one transactions.
pub fn copy(key: &AccountKey) -> AccountKey {
    AccountKey::from_file(&key.to_file()).expect("what we write, we read")
}

/// Reads a key file: `PubSec`, or a seed in hex.
///
/// # Errors
/// When it is missing, is no key, or can be read by anyone but its owner.
pub fn read(path: &Path) -> Result<AccountKey, Error> {
    let file = File::open(path);
    if let Ok(file) = &file {
        // Of the opened file, not of the path: the two could differ.
        let metadata = file.metadata().map_err(|why| Error::read(path, why, REMEDY))?;
        let mode = metadata.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(Error::KeyExposed { path: path.to_owned(), mode });
        }
    }
    parse(path, &text(path, file)?)
}

const REMEDY: &str = "put the account's key file there (PubSec, or a seed in hex), or set \
                      key.ask = true to type salt and password at the terminal";

fn text(path: &Path, file: std::io::Result<File>) -> Result<Zeroizing<String>, Error> {
    let mut text = Zeroizing::new(String::with_capacity(keys::FILE_SIZE_MAX + 1));
    let limit = keys::FILE_SIZE_MAX as u64 + 1;
    file.and_then(|file| file.take(limit).read_to_string(&mut text))
        .map_err(|why| Error::read(path, why, REMEDY))?;
    Ok(text)
}

fn parse(path: &Path, text: &str) -> Result<AccountKey, Error> {
    AccountKey::from_file(text).map_err(|why| Error::unfit(path, why))
}

/// Asks for salt and password at the terminal, unseen.
///
/// # Errors
/// Without a terminal.
pub fn ask() -> Result<AccountKey, Error> {
    if !std::io::stdin().is_terminal() {
        return Err(Error::Usage(
            "salt and password are asked for at a terminal, and there is none: use a key file \
             (key.file), or a service's credential account.key"
                .into(),
        ));
    }
    let asked = |what: &'static str| {
        let typed = rpassword::prompt_password(what);
        typed.map(Zeroizing::new).map_err(|why| Error::system("the terminal", why))
    };
    let salt = asked("Salt (secret identifier): ")?;
    let password = asked("Password: ")?;
    Ok(AccountKey::from_salt(&salt, &password))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_saved_key_is_read_back_by_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let made = create(&path).unwrap();
        assert_eq!(read(&path).unwrap().account(), made.account());
        assert!(save(&path, &made).is_err(), "a key is never written over");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(read(&path), Err(Error::KeyExposed { .. })));
    }

    #[test]
    fn without_key_or_terminal_it_is_said_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let missing = find(folder.path(), &KeySource::default()).err().unwrap().to_string();
        assert!(missing.contains("key.ask = true"), "{missing}");
        std::fs::write(folder.path().join(FILE), "what").unwrap();
        let mode = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(folder.path().join(FILE), mode).unwrap();
        let odd = find(folder.path(), &KeySource::default()).err().unwrap().to_string();
        assert!(odd.contains("not a key file"), "{odd}");
    }
}
