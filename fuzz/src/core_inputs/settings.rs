//! Settings from bytes.

use synrepl_core::{Config, Start, stream::Token};

use super::driver::{STREAMS, WRITERS, small_token};
use crate::choices::Choices;

/// Defaults for zeros.
pub(super) fn decoded(choices: &mut Choices<'_>) -> Config {
    let mut config = Config::default();
    let flags = choices.byte();
    let is_set = |bit: u8| flags >> bit & 1 == 1;
    if is_set(0) {
        config.held_rows_max = 3;
        config.held_bytes_max = 40;
        config.held_bytes_total_max = 50;
        config.batch_rows_max = 2;
        config.batch_bytes_max = 30;
        config.repeat_window_rows_max = 2;
        config.repeat_window_bytes_max = 30;
        config.burst_rows_max = 3;
        config.burst_window_max = 3;
        config.shared_tokens_max = 2;
        config.fetches_in_flight_max = 1;
        config.waits_max = 2;
    }
    if is_set(1) {
        config.start = Start::Beginning;
    }
    if is_set(2) {
        config.observe_only = true;
    }
    if is_set(3) {
        config.fetch_attempts_max = Some(2);
    }
    if is_set(4) {
        config.sources_max = 4;
    }
    if is_set(5) {
        config.streams = Some(STREAMS[..4].iter().map(|name| (*name).to_owned()).collect());
    }
    if is_set(6) {
        for _ in 0..1 + choices.below(3) {
            let (stream, writer) = (choices.one_of(&STREAMS), choices.one_of(&WRITERS));
            let token: Token = small_token(choices);
            config.positions.set(stream, writer, token);
        }
    }
    config
}
