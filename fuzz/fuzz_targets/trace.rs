//! The fuzz target `trace`; see [`synrepl_fuzz::trace`].
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| synrepl_fuzz::trace(data));

#[cfg(not(fuzzing))]
fn main() -> std::process::ExitCode {
    synrepl_fuzz::replay(synrepl_fuzz::trace)
}
