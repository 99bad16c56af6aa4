//! The rows of the token that is being received (`protocol.md` 2.3, RDATA `batch`).
//!
//! What enters: the rows of one source, one by one. What leaves: all rows of a token together (F4),
//! or none of them once a limit is reached (F9).

use crate::{
    config::Config,
    memory::Cost,
    stream::{Row, Rows},
    time::Timestamp,
};

/// The rows received so far of the token that is being received.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) enum Open {
    /// No row was received, or the last token is complete.
    #[default]
    Nothing,
    /// The first rows of the token; the last one is still to come.
    Batch(Box<Batch>),
    /// The first rows of the token were dropped: what looks like a whole batch next is its rest. The
    /// last of what was received of it came at this time.
    Torn(Timestamp),
}

impl Open {
    /// Returns the bytes that the rows take.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Batch(batch) => batch.bytes(),
            Self::Nothing | Self::Torn(_) => 0,
        }
    }
}

/// The rows of an unfinished batch of one source. They are copied out of the read buffer, which
/// they would otherwise keep alive for as long as the batch stays open.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Batch {
    rows: Vec<Row>,
    /// The bytes of their texts.
    text: usize,
    /// The time at which its last row was received.
    last_at: Timestamp,
}

impl Batch {
    /// Adds a row. Returns false, and leaves it out, if the batch would be larger than allowed, or
    /// if all sources together, which keep `kept_bytes` now, would keep more than allowed.
    #[must_use]
    pub(super) fn push(
        &mut self,
        row: &Row,
        now: Timestamp,
        config: &Config,
        kept_bytes: u64,
    ) -> bool {
        let bytes = Cost::BATCH.of(self.rows.len() + 1) + self.text + row.len();
        let more = (bytes - self.bytes()) as u64;
        if self.rows.len() >= config.limits.batch_rows_max as usize
            || bytes > config.limits.batch_bytes_max as usize
            || kept_bytes + more > config.limits.kept_bytes_total_max
        {
            return false;
        }
        self.rows.push(row.detached());
        self.text += row.len();
        self.last_at = now;
        true
    }

    /// Returns the time at which its last row was received.
    pub(super) const fn last_at(&self) -> Timestamp {
        self.last_at
    }

    fn bytes(&self) -> usize {
        Cost::BATCH.of(self.rows.len()) + self.text
    }

    /// Returns the whole batch, with its last row.
    pub(super) fn finish(self, last: Row) -> Rows {
        Rows::with_last(self.rows, last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::MemoryLimits;

    #[test]
    fn a_batch_may_be_as_large_as_is_allowed_and_no_larger() {
        let six = u32::try_from(Cost::BATCH.of(2) + 6).expect("a small one");
        let config = Config {
            limits: MemoryLimits {
                batch_bytes_max: six,
                batch_rows_max: 3,
                ..MemoryLimits::default()
            },
            ..Config::default()
        };
        let mut batch = Batch::default();
        assert!(batch.push(&Row::from("[1]"), Timestamp::ZERO, &config, 0));
        assert!(
            batch.push(&Row::from("[2]"), Timestamp::ZERO, &config, 0),
            "six bytes are allowed"
        );
        assert!(!batch.push(&Row::from("0"), Timestamp::ZERO, &config, 0), "seven are not");
        let config = Config {
            limits: MemoryLimits { batch_rows_max: 3, ..MemoryLimits::default() },
            ..Config::default()
        };
        let mut batch = Batch::default();
        for _ in 0..3 {
            assert!(batch.push(&Row::from("0"), Timestamp::ZERO, &config, 0));
        }
        assert!(
            !batch.push(&Row::from("0"), Timestamp::ZERO, &config, 0),
            "three rows are allowed, four are not"
        );
    }
}
