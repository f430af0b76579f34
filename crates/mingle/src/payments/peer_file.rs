//! Peer info files: a UBJSON list of signed peer infos, or the saved answer of `/peers`.

use std::path::Path;

use payment::ubjson::Value;

use crate::Error;

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

/// The signed infos in a list or in an answer of `/peers`.
pub fn infos(bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
    answered(Value::from_bytes(bytes).ok()?)
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
    fn both_forms_are_read_and_others_refused() {
        let raws = [&b"one"[..], b"two"];
        let expected: Vec<_> = raws.iter().map(|raw| raw.to_vec()).collect();
        assert_eq!(infos(&page(raws)), Some(expected.clone()));
        let peer = |raw: &[u8]| map([("raw", Value::from(raw)), ("up_in", Value::Bool(true))]);
        let answer = map([("peers", Value::List(raws.iter().map(|raw| peer(raw)).collect()))]);
        assert_eq!(infos(&answer.to_bytes()), Some(expected));
        for odd in [&b""[..], b"{}", b"[i\x01]", b"Z"] {
            assert_eq!(infos(odd), None);
        }
    }
}
