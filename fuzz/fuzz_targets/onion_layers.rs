//! The target `onion_layers`: with `cargo fuzz` a fuzzer, else its body on the files that are named.

#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::run("onion_layers", bytes));

#[cfg(not(fuzzing))]
fn main() {
    fuzz::again("onion_layers");
}
