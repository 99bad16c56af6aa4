//! Settings of the catch-up (`protocol.md` 6).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Backoff;

/// Settings of the catch-up: the way in which missed rows are fetched. A group of
/// [`Config`](crate::Config), whose table has all defaults.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct CatchUpConfig {
    /// The delay between attempts of a failed fetch, per source. Default 0.5 s to 30 s: a writer
    /// that restarts is back within seconds.
    pub fetch_retry: Backoff,
    /// The number of failures in a row after which a fetch is given up and a gap reported. Default
    /// `None`: never, because a gap cannot be filled later.
    pub fetch_attempts_max: Option<u32>,
    /// The most fetches in flight at once, over all sources. Default 8: a writer answers in 2 to 8
    /// ms.
    pub fetches_in_flight_max: u32,
    /// The most tokens requested at once in streams whose paging is broken (`backfill`,
    /// `to_device`). Default 99: a full page of 100 rows would be cut.
    pub burst_window_max: u32,
    /// The quiet time after which an open burst is completed by a fetch, so that its rows can be
    /// saved. Default 2 s: the writers' own POSITIONs mostly come within 0.25 s. On direct TCP
    /// before 1.22, where nothing closes a burst, the burst then counts as whole if anything else
    /// was received since.
    pub burst_quiet_after: Duration,
    /// The time without a further row after which a batch is given up, and what it was part of is
    /// fetched. Default 1 s: a writer sends the rows of a batch without a pause.
    pub batch_torn_after: Duration,
    /// The most tokens below the position from which on a row of a loose stream is fetched that
    /// could not be read. Default 100: repeats were seen at most 29 rows apart.
    pub loose_reach_max: u32,
    /// The most rows kept of one answer of a server of the oldest dialect, which sends all missing
    /// rows at once. Default 50,000; most releases send at most 10,000. Of more rows, those with
    /// the lowest tokens are kept, and the others are requested again. At most
    /// `fetches_in_flight_max` answers come at once.
    #[serde(alias = "replay_rows_max")]
    pub in_band_rows_max: u32,
    /// The most bytes kept of one such answer, with some 60 for each row beside its text. Default
    /// 16 MiB.
    #[serde(alias = "replay_bytes_max")]
    pub in_band_bytes_max: u32,
}

impl Default for CatchUpConfig {
    fn default() -> Self {
        let millis = Duration::from_millis;
        Self {
            fetch_retry: Backoff::new(millis(500), millis(30_000)),
            fetch_attempts_max: None,
            fetches_in_flight_max: 8,
            burst_window_max: 99,
            burst_quiet_after: millis(2_000),
            batch_torn_after: millis(1_000),
            loose_reach_max: 100,
            in_band_rows_max: 50_000,
            in_band_bytes_max: 16 << 20,
        }
    }
}
