//! Peer info files: a UBJSON list of signed peer infos, or the saved answer of `/peers`; either as text
//! too, in base64url, to be pasted.

use std::path::{Path, PathBuf};

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use payment::document::{Host, PeerInfo, Signed};
use payment::ubjson::Value;

use super::config::PeersConfig;
use crate::Error;

/// The folder of imported files in a mixer's or wallet's folder.
pub const FOLDER: &str = "peers";

/// The largest file that is read, in bytes.
pub const SIZE_MAX: u64 = 16 * 1024 * 1024;

/// Reads the signed infos in a file. What they are worth, `Peers::offer` finds out.
///
/// # Errors
/// When the file is missing, too long, or neither form.
pub fn read(path: &Path) -> Result<Vec<Vec<u8>>, Error> {
    let remedy =
        "a peer info file is written by `mingle peers export`, or saved from a mixer's /peers";
    let failed = |why| Error::read(path, why, remedy);
    if std::fs::metadata(path).map_err(failed)?.len() > SIZE_MAX {
        return Err(Error::unfit(path, "a peer info file has at most 16 MiB"));
    }
    let bytes = std::fs::read(path).map_err(failed)?;
    infos(&bytes).ok_or_else(|| Error::unfit(path, remedy))
}

/// All peer info files of a folder: those that its settings name, and those that were imported.
pub fn of_folder(folder: &Path, settings: &PeersConfig) -> Vec<PathBuf> {
    let mut files: Vec<_> = settings.files.iter().map(|file| folder.join(file)).collect();
    let imported = std::fs::read_dir(folder.join(FOLDER)).into_iter().flatten().flatten();
    files.extend(imported.map(|entry| entry.path()));
    files.sort();
    files
}

/// Reads `HOST:PORT`; `http://` in front is forgiven.
///
/// # Errors
/// For any other text.
pub fn host(text: &str) -> Result<Host, Error> {
    let wrong = || Error::Usage(format!("{text:?} is no HOST:PORT"));
    let bare = text.trim_start_matches("http://").trim_end_matches('/');
    let (address, port) = bare.rsplit_once(':').ok_or_else(wrong)?;
    let address = address.trim_matches(['[', ']']).to_owned();
    let is_number = port.bytes().all(|digit| digit.is_ascii_digit());
    let port = port.parse().ok().filter(|_| is_number).ok_or_else(wrong)?;
    Host::new(address, port).ok_or_else(wrong)
}

/// A name for a file of these infos: the same for the same mixers.
pub fn name_of(infos: &[Signed<PeerInfo>]) -> String {
    let mut accounts: Vec<_> = infos.iter().map(|info| info.content().pubkey).collect();
    accounts.sort();
    let bytes: Vec<u8> = accounts.iter().flat_map(|account| *account.as_bytes()).collect();
    let hash = mixing::cipher::hash("mingle peer file name v1", &[&bytes]);
    HEXLOWER.encode(&hash[..8])
}

/// A file as text, 76 characters a line.
pub fn text(file: &[u8]) -> String {
    let digits = BASE64URL_NOPAD.encode(file);
    let lines = digits.as_bytes().chunks(76).map(|line| String::from_utf8_lossy(line).into_owned());
    lines.collect::<Vec<_>>().join("\n")
}

/// The bytes of a text, white space left out.
pub fn plain_text(text: &str) -> Option<Vec<u8>> {
    let digits: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    BASE64URL_NOPAD.decode(digits.as_bytes()).ok()
}

/// The signed infos in a list or in an answer of `/peers`, in bytes or as text.
pub fn infos(bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
    let value = Value::from_bytes(bytes).or_else(|why| {
        let text = std::str::from_utf8(bytes).ok().and_then(plain_text);
        text.map_or(Err(why), |bytes| Value::from_bytes(&bytes))
    });
    answered(value.ok()?)
}

/// The signed infos in a list, or in a map that has them under `peers`.
pub fn answered(value: Value) -> Option<Vec<Vec<u8>>> {
    let list = match value {
        Value::List(list) => list,
        value => match entry(value, "peers")? {
            Value::List(list) => list,
            _ => return None,
        },
    };
    list.into_iter().map(info).collect()
}

fn info(value: Value) -> Option<Vec<u8>> {
    match value {
        Value::Bytes(raw) => Some(raw),
        value => match entry(value, "raw")? {
            Value::Bytes(raw) => Some(raw),
            _ => None,
        },
    }
}

/// The value of a name in a map.
pub fn entry(value: Value, name: &str) -> Option<Value> {
    let Value::Map(entries) = value else { return None };
    entries.into_iter().find(|(key, _)| key == name).map(|(_, value)| value)
}

/// The bytes of a name in a map.
pub fn bytes(value: Value, name: &str) -> Option<Vec<u8>> {
    match entry(value, name)? {
        Value::Bytes(bytes) => Some(bytes),
        _ => None,
    }
}

/// A file of these infos.
pub fn page<'a>(infos: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    Value::List(infos.into_iter().map(Value::from).collect()).to_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use payment::ubjson::map;

    #[test]
    fn a_host_is_an_address_and_a_port() {
        let of = |address: &str, port| Host { address: address.into(), port };
        for (text, expected) in [
            ("mixer.example:7", of("mixer.example", 7)),
            ("http://mixer.example:7/", of("mixer.example", 7)),
            ("[2001:db8::1]:7", of("2001:db8::1", 7)),
        ] {
            assert_eq!(host(text).ok(), Some(expected));
        }
        for odd in ["", "a", ":7", "a:+7", "a:70000", "a b:7", "a/b:7", "me@there:7", "a?b:7"] {
            assert!(host(odd).is_err(), "{odd}");
        }
    }

    #[test]
    fn both_forms_are_read_and_others_refused() {
        let raws = [&b"one"[..], b"two"];
        let expected: Vec<_> = raws.iter().map(|raw| raw.to_vec()).collect();
        assert_eq!(infos(&page(raws)), Some(expected.clone()));
        let pasted = format!("\n{}\n", text(&page(raws)));
        assert_eq!(infos(pasted.as_bytes()), Some(expected.clone()));
        let peer = |raw: &[u8]| map([("raw", Value::from(raw)), ("up_in", Value::Bool(true))]);
        let answer = map([("peers", Value::List(raws.iter().map(|raw| peer(raw)).collect()))]);
        assert_eq!(infos(&answer.to_bytes()), Some(expected));
        for odd in [&b""[..], b"{}", b"[i\x01]", b"Z"] {
            assert_eq!(infos(odd), None);
        }
    }
}
