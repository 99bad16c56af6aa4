//! What is written.

use std::sync::Arc;

use synrepl::log::{LogStore, MemoryLog, MemoryOptions};

/// A row of `events` as long as most are: lines of 190 bytes, about.
pub(crate) fn row(number: usize) -> String {
    format!(
        "[\"ev\",[\"$0123456789abcdefghijklmnopqrstuvwxyzABCDE{number:08}\",\
         \"!abcdefghijklmnopqr:matrix.example.org\",\"m.room.message\",null,null,null,false]]"
    )
}

/// A log that forgets nothing meanwhile.
pub(crate) fn log() -> Arc<dyn LogStore> {
    let mut options = MemoryOptions::default();
    options.keep_rows_max = 10_000_000;
    options.keep_bytes_max = 4 << 30;
    Arc::new(MemoryLog::new(options))
}
