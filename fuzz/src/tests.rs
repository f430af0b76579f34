//! The ordinary tests: every body over every input that was ever wrong, over its seeds, and over some
//! changed ones; and every model shown to notice when it is another.

mod seeds;
mod wrong;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use ::mixing::Chance;

use crate::{TARGETS, Target};

/// The folder of this package.
fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files of a folder, in order; none where there is no such folder.
fn files(folder: PathBuf) -> Vec<(PathBuf, Vec<u8>)> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("a file").path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), fs::read(path).expect("it was listed"))).collect()
}

fn seeds(target: &Target) -> Vec<Vec<u8>> {
    let seeds = files(here().join("seeds").join(target.name));
    assert!(!seeds.is_empty(), "{} has no seeds", target.name);
    seeds.into_iter().map(|(_, bytes)| bytes).collect()
}

/// Seeds of a target and what becomes of them: cut, joined, changed; the same in every run.
fn changed(target: &Target, count: u32) -> impl Iterator<Item = Vec<u8>> {
    let seeds = seeds(target);
    let name = target.name.as_bytes();
    let mut chance = Chance::new(::mixing::cipher::hash("mingle fuzz test", &[name]));
    (0..count).map(move |_| {
        let mut bytes = chance.pick(&seeds).expect("there are some").clone();
        for _ in 0..=chance.below(4) {
            change(&mut bytes, &seeds, &mut chance);
        }
        bytes
    })
}

fn change(bytes: &mut Vec<u8>, seeds: &[Vec<u8>], chance: &mut Chance) {
    let at = chance.below(bytes.len() as u64 + 1) as usize;
    let place = at.min(bytes.len().saturating_sub(1));
    match chance.below(7) {
        0 => bytes.truncate(at),
        1 => bytes.insert(at, chance.u32() as u8),
        2 if !bytes.is_empty() => drop(bytes.remove(place)),
        3 if !bytes.is_empty() => bytes[place] ^= 1 << chance.below(8),
        4 => {
            let other = chance.pick(seeds).expect("there are some");
            let from = chance.below(other.len() as u64 + 1) as usize;
            bytes.truncate(at);
            bytes.extend_from_slice(&other[from..]);
        }
        5 => {
            let mut noise = vec![0; 1 + chance.below(32) as usize];
            chance.fill(&mut noise);
            bytes.splice(at..at, noise);
        }
        _ if !bytes.is_empty() => bytes[place] = chance.u32() as u8,
        _ => {}
    }
}

#[test]
fn every_input_that_was_ever_wrong_is_right_now() {
    for target in TARGETS {
        for (path, bytes) in files(here().join("regressions").join(target.name)) {
            println!("{}", path.display());
            (target.body)(&bytes);
        }
    }
}

/// One test for each target, so that they share the cores and say where they failed.
macro_rules! changed_inputs {
    ($($name:ident)*) => {
        mod changed_inputs {
            $(#[test]
            fn $name() {
                super::hold(stringify!($name));
            })*
        }

        const TESTED: &[&str] = &[$(stringify!($name)),*];
    };
}

changed_inputs! {
    cells openings messages set_ups key_lists destinations
    ubjson identity_signatures peer_infos promises requests confirms get_confirms
    onion_layers promise_slots sealed_commands command_paths request_lines receipts order_records
    mixer_records payer_records
    transactions blocks addresses key_files ledger_answers ledger_files
    socks_datagrams socks_handshakes configs network_lists
    payment_configs peer_files identity_files mixer_answers order_names hosts
    window pool id_tables fragments lanes links exits entries orders slots payers mixers paths verdicts ledger
}

/// A body over its seeds and over changed ones. What fails is kept, to be a regression case.
fn hold(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name).expect("in the list");
    for bytes in seeds(target).into_iter().chain(changed(target, target.mutations)) {
        let held = std::panic::catch_unwind(|| (target.body)(&bytes));
        if held.is_err() {
            let file =
                format!("{name}-{:016x}", Chance::new(::mixing::cipher::hash("", &[&bytes])).u64());
            let path = std::env::temp_dir().join(file);
            fs::write(&path, &bytes).expect("room for one input");
            panic!("{name} does not hold for {}", path.display());
        }
    }
}

#[test]
fn every_target_has_its_program_its_seeds_and_its_test() {
    let names: BTreeSet<&str> = TARGETS.iter().map(|target| target.name).collect();
    assert_eq!(names.len(), TARGETS.len(), "a name is one target's");
    assert_eq!(names, TESTED.iter().copied().collect());
    let manifest = fs::read_to_string(here().join("Cargo.toml")).expect("this package's");
    for name in &names {
        let program = format!("name = \"{name}\"\npath = \"fuzz_targets/{name}.rs\"");
        assert!(manifest.contains(&program), "Cargo.toml names no program of {name}");
        let source = here().join("fuzz_targets").join(format!("{name}.rs"));
        let source = fs::read_to_string(source).expect("the program's source");
        assert_eq!(source.matches(&format!("\"{name}\"")).count(), 2, "{name} runs its own body");
    }
    for folder in ["fuzz_targets", "seeds", "regressions"] {
        for (path, _) in fs::read_dir(here().join(folder)).into_iter().flatten().map(|entry| {
            let path = entry.expect("a file or folder").path();
            (path, ())
        }) {
            let stem = path.file_stem().and_then(|stem| stem.to_str()).expect("plain names");
            assert!(names.contains(stem), "{} belongs to no target", path.display());
        }
    }
}
