//! Settings of the audit (`protocol.md` H5).

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Settings of the audit: the search for lost rows of which nothing on the wire gives a sign. A
/// group of [`Config`](crate::Config), whose table has all defaults.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct AuditConfig {
    /// The time between two audits of a source, each moved by up to a quarter. Default `None`: no
    /// audits. At least 1 s; 1 min is usual.
    ///
    /// RDATA does not show what came before it: if a PUBLISH of another writer gets lost and the
    /// next one arrives, nothing on the wire gives a sign of it (`protocol.md` H5). An audit
    /// fetches the tokens above the last audit, up to the position of the source one period
    /// before, and delivers the rows that were not delivered, as [`Origin::Audit`](crate::Origin).
    /// So a lost row comes one to two periods and a half after the rows above it. The audit costs
    /// one fetch per source and period in which the source moved (more where a page is not enough),
    /// one at a time and never while a catch-up waits, and some 30 bytes per row delivered in two
    /// periods.
    ///
    /// The audit of a source begins where the source first becomes live, so rows that were lost
    /// before this process started are not found, nor rows that were lost in the last two periods
    /// before it stopped. A row that its writer rewrites in place comes again. It is not possible
    /// in the oldest dialect (up to 1.12), where rows are only sent over the connection. It is not
    /// done in a stream that this node writes too if its fetch returns the rows of all writers
    /// ([`StreamTraits`](crate::stream::StreamTraits)), nor in
    /// [`Order::UnclosedBursts`](crate::stream::Order).
    pub audit_every: Option<Duration>,
    /// The most rows remembered for the audit, per source, or per stream whose fetch returns the
    /// rows of all writers. Default 10,000 (some 300 kB). Of more rows, the older half is forgotten
    /// and not audited, and [`Warning::NotAudited`](crate::Warning) reports it.
    pub audit_rows_max: u32,
    /// The most rows remembered for the audit by all sources together. Default 1,000,000 (some 30
    /// MB).
    pub audit_rows_total_max: u64,
    /// The most tokens that one audit covers. Default 1,000,000: 10,000 fetches where few tokens
    /// are requested at once. Of more tokens, the lower ones are not audited, and
    /// [`Warning::NotAudited`](crate::Warning) reports it.
    pub audit_tokens_max: u32,
}

impl Default for AuditConfig {
    fn default() -> Self {
        Self {
            audit_every: None,
            audit_rows_max: 10_000,
            audit_rows_total_max: 1_000_000,
            audit_tokens_max: 1_000_000,
        }
    }
}
