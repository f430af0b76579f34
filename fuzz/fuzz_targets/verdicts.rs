//! The target `verdicts`: with `cargo fuzz` a fuzzer, else its body on the files that are named.

#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::run("verdicts", bytes));

#[cfg(not(fuzzing))]
fn main() {
    fuzz::again("verdicts");
}
