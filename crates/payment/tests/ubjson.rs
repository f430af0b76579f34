//! Our UBJSON beside that of the Python package `py-ubjson`: recorded, and live where it is installed.

#![allow(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::io::Write as _;
use std::process::{Command, Stdio};

use payment::ubjson::{Value, map};

/// Values and what `ubjson.dumpb` of py-ubjson 0.16.1 made of them.
fn recorded() -> Vec<(Value, &'static str)> {
    let int = |number, hex| (Value::Int(number), hex);
    let nested = map([
        ("a", Value::Int(1)),
        ("bc", Value::List(vec![Value::Bool(true), map([("d", Value::Bytes(b"xy".to_vec()))])])),
    ]);
    vec![
        (Value::Null, "5a"),
        (Value::Bool(true), "54"),
        (Value::Bool(false), "46"),
        int(0, "5500"),
        int(127, "557f"),
        int(128, "5580"),
        int(255, "55ff"),
        int(256, "490100"),
        int(-1, "69ff"),
        int(-128, "6980"),
        int(-129, "49ff7f"),
        int(32767, "497fff"),
        int(32768, "6c00008000"),
        int(-32768, "498000"),
        int(-32769, "6cffff7fff"),
        int(65535, "6c0000ffff"),
        int(i64::from(i32::MAX), "6c7fffffff"),
        int(i64::from(i32::MAX) + 1, "4c0000000080000000"),
        int(i64::from(i32::MIN), "6c80000000"),
        int(i64::from(i32::MIN) - 1, "4cffffffff7fffffff"),
        int(i64::MAX, "4c7fffffffffffffff"),
        int(i64::MIN, "4c8000000000000000"),
        (Value::from(""), "535500"),
        (Value::from("a"), "4361"),
        (Value::from("ab"), "5355026162"),
        (Value::from("é"), "535502c3a9"),
        (Value::Bytes(vec![]), "5b2455235500"),
        (Value::Bytes(vec![0, 255]), "5b245523550200ff"),
        (Value::List(vec![]), "5b5d"),
        (Value::List(vec![Value::Int(1), Value::from("a"), Value::Null]), "5b550143615a5d"),
        (map([]), "7b7d"),
        (nested, "7b5501615501550262635b547b5501645b245523550278797d5d7d"),
    ]
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}

#[test]
fn recorded_values_are_written_and_read_alike() {
    for (value, bytes) in recorded() {
        assert_eq!(hex(&value.to_bytes()), bytes);
        assert_eq!(Value::from_bytes(&unhex(bytes)), Ok(value));
    }
}

#[test]
fn python_reads_ours_and_writes_the_same() {
    // All is read before anything is written: two full pipes would wait for each other.
    const SCRIPT: &str = "import sys, ubjson\n\
        lines = sys.stdin.read().split()\n\
        for line in lines: print(ubjson.dumpb(ubjson.loadb(bytes.fromhex(line))).hex())";
    let there = Command::new("python3").args(["-c", "import ubjson"]).output();
    if !there.is_ok_and(|output| output.status.success()) {
        println!("skipped: py-ubjson beside our UBJSON: python3 cannot import ubjson");
        return;
    }
    let mut python = Command::new("python3")
        .args(["-c", SCRIPT])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // Sizes around every change of width, as texts, bytes, lists and numbers.
    let sizes = [0usize, 1, 2, 127, 128, 129, 254, 255, 256, 257, 900, 40_000];
    let mut ours: Vec<String> =
        recorded().into_iter().map(|(value, _)| hex(&value.to_bytes())).collect();
    for size in sizes {
        let number = i64::try_from(size).unwrap();
        let list = Value::List(vec![Value::Int(-number); size.min(990)]);
        for value in [Value::Text("é".repeat(size)), Value::Bytes(vec![7; size]), list] {
            ours.push(hex(&value.to_bytes()));
        }
    }
    let lines = ours.join("\n");
    let mut stdin = python.stdin.take().unwrap();
    let writer = std::io::Write::write_all(&mut stdin, lines.as_bytes());
    writer.and_then(|()| stdin.flush()).unwrap();
    drop(stdin);
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success());
    let theirs = String::from_utf8(output.stdout).unwrap();
    assert_eq!(theirs.lines().collect::<Vec<_>>(), ours);
}
