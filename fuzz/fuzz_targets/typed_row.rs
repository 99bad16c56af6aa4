//! The fuzz target `typed_row`; see [`synrepl_fuzz::typed_row`].
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| synrepl_fuzz::typed_row(data));

#[cfg(not(fuzzing))]
fn main() -> std::process::ExitCode {
    synrepl_fuzz::replay(synrepl_fuzz::typed_row)
}
