//! The settings of a run: bytes enter, a valid [`Config`] leaves.

use std::time::Duration;

use synrepl_core::{
    Config, Start, Transport,
    stream::{Source, Token},
    wire::Dialect,
};

use super::{
    logs::OWN_STREAMS,
    world::{SERVER, STREAMS, WRITERS, small_token},
};
use crate::choices::Choices;

/// The settings, and whether the run has more than a bus that is only followed.
pub(super) struct Settings {
    pub(super) config: Config,
    pub(super) is_wide: bool,
}

/// Decodes settings; zeros give the defaults.
pub(super) fn decoded(choices: &mut Choices<'_>) -> Settings {
    let mut config = Config::default();
    let flags = choices.byte();
    let is_set = |bit: u8| flags >> bit & 1 == 1;
    if is_set(0) {
        config.limits.held_rows_max = 3;
        config.limits.held_bytes_max = 440;
        config.limits.held_bytes_total_max = 780;
        config.limits.batch_rows_max = 2;
        config.limits.batch_bytes_max = 254;
        config.limits.repeat_window_rows_max = 2;
        config.limits.repeat_window_bytes_max = 366;
        config.limits.burst_rows_max = 3;
        config.catch_up.burst_window_max = 3;
        config.limits.shared_tokens_max = 2;
        config.limits.shared_parts_bytes_max = 400;
        config.catch_up.fetches_in_flight_max = 1;
        config.limits.waits_max = 2;
    }
    if is_set(1) {
        config.start = Start::Beginning;
    }
    if is_set(2) {
        config.observe_only = true;
    }
    if is_set(3) {
        config.catch_up.fetch_attempts_max = Some(2);
    }
    if is_set(4) {
        config.limits.sources_max = 4;
    }
    if is_set(5) {
        config.streams = Some(STREAMS[..4].iter().map(|name| (*name).to_owned()).collect());
    }
    if is_set(6) {
        for _ in 0..1 + choices.below(3) {
            let (stream, writer) = (choices.one_of(&STREAMS), choices.one_of(&WRITERS));
            let token: Token = small_token(choices);
            config.positions.set(&Source::new(stream, writer), token);
        }
    }
    let is_wide = is_set(7);
    if is_wide {
        widen(&mut config, choices);
    }
    Settings { config, is_wide }
}

/// Decodes the settings of publishing, of accepted connections and of direct TCP.
fn widen(config: &mut Config, choices: &mut Choices<'_>) {
    config.transport = match choices.below(16) {
        0..=6 => Transport::Bus,
        7..=9 => Transport::None,
        nth => Transport::Tcp(Dialect::ALL[usize::from(nth - 10)]),
    };
    if let Transport::Tcp(dialect) = config.transport {
        // `Config::validate` refuses an observer of the oldest dialect.
        config.observe_only &= dialect.names_instances();
    }
    let flags = choices.byte();
    let is_set = |bit: u8| flags >> bit & 1 == 1;
    config.server_name = (!is_set(0)).then(|| SERVER.into());
    config.users.presence_writer = is_set(1);
    if is_set(2) {
        config.users.federation_senders = ["w0", "w1"].map(str::to_owned).into();
    }
    if is_set(3) {
        config.publish.log_rows_max = 2;
        config.publish.unconfirmed_max = 3;
    }
    if is_set(4) {
        config.publish.peers_max = 2;
        config.publish.peer_pending_max = 6;
        config.publish.peer_pending_bytes_max = 300;
    }
    if is_set(5) {
        config.publish.own_streams_max = 3;
        config.users.syncing_users_max = 2;
        config.catch_up.in_band_rows_max = 2;
        config.catch_up.in_band_bytes_max = 526;
    }
    if is_set(6) {
        config.publish.row_bytes_max = 40;
    }
    if is_set(7) {
        for _ in 0..1 + choices.below(3) {
            let (stream, end) = (choices.one_of(&OWN_STREAMS), small_token(choices));
            config.publish.own_streams.insert(stream.to_owned(), end);
        }
    }
}

/// Decodes the settings of the audit, which a server of the oldest dialect does not support.
pub(super) fn audit(config: &mut Config, choices: &mut Choices<'_>) {
    let flags = choices.byte();
    let is_set = |bit: u8| flags >> bit & 1 == 1;
    if matches!(config.transport, Transport::Tcp(dialect) if !dialect.names_instances()) {
        return;
    }
    // A look and an audit both fetch below the position: only one of them can be judged by that.
    config.holes.look_into_holes = false;
    // So does a search for rows that were delivered.
    config.continuity.continuity = false;
    config.audit.audit_every = Some(Duration::from_secs(if is_set(0) { 3 } else { 1 }));
    if is_set(1) {
        config.audit.audit_rows_max = 3;
        config.audit.audit_rows_total_max = 4;
    }
    if is_set(2) {
        config.audit.audit_tokens_max = 4;
    }
}
