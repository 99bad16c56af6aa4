//! The target for recorded runs.

use synrepl_core::trace::Replayer;

/// Checks that any file is replayed to its end, or to a typed error that can be printed.
pub fn trace(data: &[u8]) {
    let mut replayer = Replayer::new();
    let mut rest = data;
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        if let Err(error) = replayer.line(&rest[..end]) {
            assert!(!error.to_string().is_empty());
            return;
        }
        rest = &rest[end + 1..];
    }
    if let Err(error) = replayer.finish(rest) {
        assert!(!error.to_string().is_empty());
    }
}
