//! The fuzz target `resp`; see [`synrepl_fuzz::resp`].
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| synrepl_fuzz::resp(data));

#[cfg(not(fuzzing))]
fn main() -> std::process::ExitCode {
    synrepl_fuzz::replay(synrepl_fuzz::resp)
}
