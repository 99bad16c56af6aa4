//! The library's own diagnostics, written to stderr as far as the flags request them.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::{
    Layer as _,
    filter::{LevelFilter, Targets},
    layer::SubscriberExt as _,
};

use crate::{flags::Loudness, stderr::Stderr};

/// The target of the line that the HTTP server writes for each request.
const ACCESS: &str = "synrepl::access";

/// The parts of the library whose warnings are shown without `-v`, too: none of them is an event,
/// which the command says by itself, and none comes often.
const WITHOUT_EVENT: [&str; 3] = ["synrepl::redis", "synrepl::log", "synrepl::tcp::accept"];

/// Shows the library's diagnostics up to the level that `-v` selects, errors without it, and the
/// line of each HTTP request if `access` is set.
pub(super) fn show(loudness: &Loudness, access: bool) {
    let level = match loudness.verbose {
        0 => LevelFilter::ERROR,
        1 => LevelFilter::INFO,
        2 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    let access = if access { LevelFilter::INFO } else { level };
    let mut wanted = Targets::new().with_default(level).with_target(ACCESS, access);
    for target in WITHOUT_EVENT {
        wanted = wanted.with_target(target, level.max(LevelFilter::WARN));
    }
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(|| Stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_filter(wanted);
    // This fails only if a subscriber is set already; then that one is to be used.
    let _ = tracing::subscriber::set_global_default(tracing_subscriber::registry().with(lines));
}
