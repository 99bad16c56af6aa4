//! Settings of continuity: the check that a log is still the one that rows were delivered from.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Backoff;

/// Settings of continuity (F11): what is fetched is compared with the rows that were delivered last,
/// so that a wrong address or a log that was replaced is found. A group of
/// [`Config`](crate::Config), whose table has all defaults.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct ContinuityConfig {
    /// Whether pages are compared with what was delivered before. Default true. It is never done in
    /// the oldest dialect (up to 1.12), where there is nobody else to ask.
    pub continuity: bool,
    /// The time after which a delivered row is remembered again. Default 1 s: a digest costs about
    /// as much as the delivery of a row.
    pub anchor_every: Duration,
    /// The tokens after which a row that was fetched is remembered again, if that is sooner. Default
    /// 64: a page of catch-up comes at once.
    pub anchor_tokens_max: u32,
    /// The most tokens below the position from which on a fetch begins in order to show a row that
    /// was delivered. Default 100: a page has as many. A row that lies lower is requested alone.
    pub anchor_reach_max: u32,
    /// The delay until rows are looked for again of which none was found. Default 3 s to 10 s: a
    /// database that lags behind has them by then.
    pub unfound_retry: Backoff,
    /// The times that rows are looked for again of which none was found, before what follows them
    /// is not believed. Default 2.
    pub unfound_retries_max: u32,
    /// The most addresses that are looked at at once, each with one request for a row that its
    /// instance has just sent. Default 10; 0 for no looks. Later ones follow, `look_up_every`.
    pub look_ups_at_once_max: u32,
    /// The time after which one more address may be looked at. Default 1 s: a deployment of 300
    /// processes is looked at within 5 min.
    pub look_up_every: Duration,
    /// The times that an address is looked at in vain before a warning says so. Default 3: the row
    /// may have been deleted meanwhile.
    pub look_up_misses_max: u32,
}

impl Default for ContinuityConfig {
    fn default() -> Self {
        let secs = Duration::from_secs;
        Self {
            continuity: true,
            anchor_every: secs(1),
            anchor_tokens_max: 64,
            anchor_reach_max: 100,
            unfound_retry: Backoff::new(secs(3), secs(10)),
            unfound_retries_max: 2,
            look_ups_at_once_max: 10,
            look_up_every: secs(1),
            look_up_misses_max: 3,
        }
    }
}
