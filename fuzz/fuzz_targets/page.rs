//! The fuzz target `page`; see [`synrepl_fuzz::page`].
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| synrepl_fuzz::page(data));

#[cfg(not(fuzzing))]
fn main() -> std::process::ExitCode {
    synrepl_fuzz::replay(synrepl_fuzz::page)
}
