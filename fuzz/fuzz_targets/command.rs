//! The fuzz target `command`; see [`synrepl_fuzz::command`].
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| synrepl_fuzz::command(data));

#[cfg(not(fuzzing))]
fn main() -> std::process::ExitCode {
    synrepl_fuzz::replay(synrepl_fuzz::command)
}
