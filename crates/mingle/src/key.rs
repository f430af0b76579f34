//! A node's identity key on disk: one line of 64 hexadecimal digits that only its owner can read.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use mixing::keys::IdentityKey;
use zeroize::Zeroizing;

use crate::Error;

/// Makes a new identity key and saves it at `path`, which must not exist yet.
///
/// # Errors
/// When the file exists or cannot be written, or the system has no randomness.
pub fn create(path: &Path) -> Result<IdentityKey, Error> {
    let seed = Zeroizing::new(random()?);
    let mut line = Zeroizing::new([b'\n'; 2 * SEED_SIZE + 1]);
    HEXLOWER.encode_mut(&*seed, &mut line[..2 * SEED_SIZE]);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(|why| Error::write(path, why))?;
    file.write_all(&*line).map_err(|why| Error::write(path, why))?;
    file.sync_all().map_err(|why| Error::write(path, why))?;
    Ok(IdentityKey::from_seed(*seed))
}

/// Reads the identity key at `path`.
///
/// # Errors
/// When the file is missing, is not a key, or can be read by anyone but its owner.
pub fn read(path: &Path) -> Result<IdentityKey, Error> {
    let remedy = "`mingle init` makes a folder with a key in it";
    let failed = |why| Error::read(path, why, remedy);
    let mut file = File::open(path).map_err(failed)?;
    // Of the opened file, not of the path: the two could differ.
    let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(Error::KeyExposed { path: path.to_owned(), mode });
    }
    let mut line = Zeroizing::new(Vec::with_capacity(LINE_MAX));
    Read::by_ref(&mut file).take(LINE_MAX as u64).read_to_end(&mut line).map_err(failed)?;
    let seed = parse(line.trim_ascii()).ok_or_else(|| {
        Error::unfit(path, "a key is one line of 64 hexadecimal digits; this is something else")
    })?;
    Ok(IdentityKey::from_seed(*seed))
}

/// 32 fresh bytes from the operating system.
///
/// # Errors
/// When it has none.
pub fn random() -> Result<[u8; SEED_SIZE], Error> {
    let mut bytes = [0; SEED_SIZE];
    getrandom::fill(&mut bytes).map_err(|why| Error::system("randomness", why))?;
    Ok(bytes)
}

fn parse(digits: &[u8]) -> Option<Zeroizing<[u8; SEED_SIZE]>> {
    let mut seed = Zeroizing::new([0; SEED_SIZE]);
    if digits.len() != 2 * SEED_SIZE {
        return None;
    }
    HEXLOWER_PERMISSIVE.decode_mut(digits, &mut *seed).ok()?;
    Some(seed)
}

const SEED_SIZE: usize = 32;
/// A key and some white space; more is not a key.
const LINE_MAX: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_saved_key_is_the_key_that_was_made_and_only_its_owner_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("identity.key");
        let made = create(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(read(&path).unwrap().identity(), made.identity());
        assert!(matches!(create(&path), Err(Error::Write { .. })), "a key is never written over");
    }

    #[test]
    fn a_key_that_others_can_read_is_refused_with_the_command_that_helps() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("identity.key");
        create(&path).unwrap();
        for mode in [0o640, 0o604, 0o644, 0o660, 0o610] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let refusal = read(&path).err().unwrap().to_string();
            assert!(refusal.contains(&format!("chmod 600 {}", path.display())), "{refusal}");
        }
    }

    #[test]
    fn what_is_not_a_key_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("identity.key");
        let digits = "0".repeat(64);
        for wrong in ["", "00", &digits[1..], &format!("{digits}0"), &digits.replace('0', "g")] {
            let mut options = OpenOptions::new();
            let mut file =
                options.write(true).create(true).truncate(true).mode(0o600).open(&path).unwrap();
            file.write_all(wrong.as_bytes()).unwrap();
            assert!(matches!(read(&path), Err(Error::Unfit { .. })), "{wrong:?}");
        }
    }
}
