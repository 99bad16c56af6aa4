//! The library's own diagnostics, written to stderr as far as the flags request them.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::{
    Layer as _,
    filter::{LevelFilter, Targets},
    layer::SubscriberExt as _,
};

use super::flags::Loudness;

/// The target of the line that the HTTP server writes for each request.
const ACCESS: &str = "synrepl::access";

/// Shows the library's diagnostics up to the level that `-v` selects, and the line of each HTTP
/// request if `access` is set.
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
    // This fails only if a subscriber is set already; then that one is to be used.
    let _ = tracing::subscriber::set_global_default(tracing_subscriber::registry().with(lines));
}
