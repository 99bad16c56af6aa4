//! The library's own diagnostics, on stderr.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::{
    Layer as _,
    filter::{LevelFilter, Targets},
    layer::SubscriberExt as _,
};

use super::flags::Loudness;

/// Target of the line that the HTTP server writes for each request.
const ACCESS: &str = "synrepl::access";

/// Shows as much of them as `-v` asks for, and the line for each request if it is asked for.
pub(super) fn show(loudness: &Loudness, access: bool) {
    let level = match loudness.verbose {
        0 => LevelFilter::OFF,
        1 => LevelFilter::INFO,
        2 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    if level == LevelFilter::OFF && !access {
        return;
    }
    let access = if access { LevelFilter::INFO } else { level };
    let wanted = Targets::new().with_default(level).with_target(ACCESS, access);
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_filter(wanted);
    // Fails only if there is one already, and then that one is to be used.
    let _ = tracing::subscriber::set_global_default(tracing_subscriber::registry().with(lines));
}
