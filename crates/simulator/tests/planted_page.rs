//! The page of planted mistakes is complete: it names every test and every patch, each patch beside
//! the check that its head names, and no patch that is not there.

use std::collections::BTreeSet;
use std::path::Path;

const PAGE: &str = include_str!("../../../docs/planted.md");
const TESTS: [&str; 2] = [include_str!("chain_planted.rs"), include_str!("payments_planted.rs")];

/// All that the page has between backquotes.
fn named() -> BTreeSet<&'static str> {
    PAGE.split('`').skip(1).step_by(2).collect()
}

/// The patches, each with the check in its head.
fn patches() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("planted");
    let files = folder.read_dir().expect("the patches are there");
    let mut patches = Vec::new();
    for file in files {
        let path = file.expect("a folder is read").path();
        let name = path.file_name().and_then(|name| name.to_str()).expect("names are plain");
        let Some(name) = name.strip_suffix(".patch") else { continue };
        let text = std::fs::read_to_string(&path).expect("a patch is text");
        let check = text.lines().find_map(|line| line.strip_prefix("Check: "));
        patches.push((name.to_owned(), check.expect("a patch names its check").to_owned()));
    }
    patches
}

#[test]
fn the_page_names_every_test_that_plants_something() {
    let tests = TESTS.iter().flat_map(|text| text.split("#[test]\nfn ").skip(1));
    let tests: Vec<&str> = tests.filter_map(|test| test.split('(').next()).collect();
    assert!(tests.len() > 40, "{tests:?}");
    let missing: Vec<_> = tests.iter().filter(|test| !named().contains(**test)).collect();
    assert!(missing.is_empty(), "docs/planted.md does not name {missing:?}");
}

#[test]
fn the_page_names_every_patch_with_its_check_and_no_other() {
    let patches = patches();
    assert!(patches.len() > 20, "{patches:?}");
    for (name, check) in &patches {
        let quoted = format!("`{name}`");
        let row = PAGE.lines().find(|line| line.contains(&quoted));
        let row = row.unwrap_or_else(|| panic!("docs/planted.md does not name {name}"));
        let number = check.parse::<u8>().is_ok();
        assert!(!number || row.contains(&format!("check {check}")), "{name} is for check {check}");
    }
    let is_patch = |name: &str| name.starts_with("chain-") || name.starts_with("payments-");
    for name in named().into_iter().filter(|name| is_patch(name)) {
        assert!(patches.iter().any(|(patch, _)| patch == name), "there is no {name}.patch");
    }
}
