//! The process's stderr, without waiting for whoever reads it. A log driver that stands still must
//! not stand the program still; what it does not take is left out, counted, and said once it takes
//! something again.

use std::{
    io::{self, Write},
    sync::OnceLock,
    time::Duration,
};

use crate::outlet::Outlet;

/// The bytes that may wait for the reader: some ten thousand lines.
const BYTES_MAX: usize = 1 << 20;
/// The time that the reader has for the last lines at the end of the program.
const LAST_LINES: Duration = Duration::from_secs(1);

static OUTLET: OnceLock<Option<Outlet>> = OnceLock::new();

/// A writer to stderr. Every write is a message, which is written whole or left out. Without a
/// thread to write it writes by itself.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Stderr;

fn outlet() -> Option<&'static Outlet> {
    OUTLET.get_or_init(|| Outlet::start(io::stderr(), BYTES_MAX).ok()).as_ref()
}

impl Write for Stderr {
    fn write(&mut self, message: &[u8]) -> io::Result<usize> {
        let Some(outlet) = outlet() else { return io::stderr().write(message) };
        let left_out = outlet.take_left_out();
        if left_out > 0 {
            let told = format!("... {left_out} messages were left out: nobody read stderr\n");
            // There is room: that is when the number is given out.
            let _ = outlet.offer(told.into_bytes());
        }
        // What finds no room is counted, and said later.
        let _ = outlet.offer(message.to_vec());
        Ok(message.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Gives the reader time for the last lines.
pub(crate) fn finish() {
    if let Some(Some(outlet)) = OUTLET.get() {
        outlet.drain(LAST_LINES);
    }
}
