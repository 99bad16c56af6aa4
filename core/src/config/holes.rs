//! Settings of the looks into holes (F12; `protocol.md` 12.4).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Backoff;

/// Settings of the looks into holes: the search for tokens that a writer has passed and that no row
/// explains. A group of [`Config`](crate::Config), whose table has all defaults.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct HolesConfig {
    /// Whether holes are looked into. Default yes: a token that got lost with its PUBLISH is
    /// delivered seconds later, as [`Origin::Hole`](crate::Origin). It costs a fetch now and then;
    /// many tokens have no row, in some streams most of them.
    ///
    /// It is never done over direct TCP, where nothing gets lost between two rows, nor for
    /// `caches`, whose writers skip and repeat tokens, nor for streams in their writer's memory,
    /// whose tokens start over. A row that got lost inside a batch of which the last row came leaves
    /// no hole, nor does the last row of a writer that has fallen silent: an
    /// [audit](crate::AuditConfig::audit_every) finds those.
    pub look_into_holes: bool,
    /// The time that a row has to come after rows above it, before it is asked for. Default 2 s:
    /// the rows of several writers are seen some milliseconds out of order.
    pub hole_grace: Duration,
    /// The same, in the first such time after a source went live on a connection. Default 10 s: all
    /// catch up then, and their writers have enough to do.
    pub hole_grace_after_connect: Duration,
    /// The time between two looks of one stream. Default 5 s to 5 min: it doubles while nothing is
    /// found, as the holes are natural then, and is the first one again once a row was found.
    pub hole_look_every: Backoff,
    /// The most looks in a minute, over all streams. Default 30, which is far less than what a
    /// writer answers. Streams with few natural holes come first.
    pub hole_looks_per_minute_max: u32,
    /// The most looks in flight at once. Default 4: half of
    /// [`fetches_in_flight_max`](crate::CatchUpConfig::fetches_in_flight_max), so that one address
    /// that does not answer leaves the catch-ups their slots.
    pub hole_looks_in_flight_max: u32,
    /// The most tokens that are asked for at once if rows were delivered between the holes. Default
    /// 100: a page has 100 rows.
    pub hole_span_tokens_max: u32,
    /// The width from which on a hole is a jump of the sequence, in streams whose pages show few
    /// tokens at once (`backfill`, `to_device`). Default 10,000 tokens, which would take 100 looks.
    /// Of a jump, the last tokens are looked into and no others.
    pub hole_jump_tokens_min: u32,
    /// The most spans without a row that are remembered of a stream. Default 64, some 3 kB. Of more,
    /// the lowest are forgotten, those first that are not to be looked into.
    pub hole_spans_max: u32,
    /// The most spans that are remembered of all streams together. Default 10,000, some 500 kB.
    pub hole_spans_total_max: u64,
}

impl Default for HolesConfig {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            look_into_holes: true,
            hole_grace: seconds(2),
            hole_grace_after_connect: seconds(10),
            hole_look_every: Backoff::new(seconds(5), seconds(300)),
            hole_looks_per_minute_max: 30,
            hole_looks_in_flight_max: 4,
            hole_span_tokens_max: 100,
            hole_jump_tokens_min: 10_000,
            hole_spans_max: 64,
            hole_spans_total_max: 10_000,
        }
    }
}
