//! Reads a file of test vectors: blocks of lines `name hex`, an empty line between blocks, `#` for
//! a comment.

use std::collections::BTreeMap;

/// One vector: its bytes by name.
pub(crate) type Vector = BTreeMap<&'static str, Vec<u8>>;

/// All vectors of a file.
pub(crate) fn read(text: &'static str) -> Vec<Vector> {
    text.split("\n\n").map(block).filter(|vector| !vector.is_empty()).collect()
}

fn block(text: &'static str) -> Vector {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.split_once(' ').unwrap_or((line, ""))).map(value).collect()
}

fn value((name, digits): (&'static str, &str)) -> (&'static str, Vec<u8>) {
    let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).expect("two hexadecimal digits");
    (name, (0..digits.len()).step_by(2).map(byte).collect())
}
