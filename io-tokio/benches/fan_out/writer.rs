//! The rows that are written, and the log that they are written to.

use std::sync::Arc;

use synrepl::log::{LogStore, MemoryLog, MemoryOptions};

/// Returns a row of `events` as long as most are: their lines have about 190 bytes.
pub(crate) fn row(number: usize) -> String {
    format!(
        "[\"ev\",[\"$0123456789abcdefghijklmnopqrstuvwxyzABCDE{number:08}\",\
         \"!abcdefghijklmnopqr:matrix.example.org\",\"m.room.message\",null,null,null,false]]"
    )
}

/// Returns a log that drops nothing during a run.
pub(crate) fn log() -> Arc<dyn LogStore> {
    let mut options = MemoryOptions::default();
    options.keep_rows_max = 10_000_000;
    options.keep_bytes_max = 4 << 30;
    Arc::new(MemoryLog::new(options))
}
