//! Rows that wait for the last row of their token (`protocol.md` 2.3, RDATA `batch`).

use crate::{
    config::Config,
    stream::{Row, Rows},
};

/// The rows of an unfinished batch of one source. Rows are copied out of the read buffer, which
/// they might otherwise keep alive for as long as the batch stays open.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Batch {
    rows: Vec<Row>,
    bytes: usize,
}

impl Batch {
    /// Adds a row, unless the batch would then be larger than allowed, or all sources together keep
    /// more than they may, who now keep `kept_bytes`.
    #[must_use]
    pub(super) fn push(&mut self, row: &Row, config: &Config, kept_bytes: u64) -> bool {
        let bytes = self.bytes + row.len();
        if self.rows.len() >= config.batch_rows_max as usize
            || bytes > config.batch_bytes_max as usize
            || kept_bytes + row.len() as u64 > config.kept_bytes_total_max
        {
            return false;
        }
        self.rows.push(row.detached());
        self.bytes = bytes;
        true
    }

    /// Bytes of its rows.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// The whole batch, with its last row.
    pub(super) fn finish(mut self, last: Row) -> Rows {
        self.rows.push(last);
        Rows::from(self.rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_may_be_as_large_as_is_allowed_and_no_larger() {
        let config = Config { batch_bytes_max: 6, batch_rows_max: 3, ..Config::default() };
        let mut batch = Batch::default();
        assert!(batch.push(&Row::from("[1]"), &config, 0));
        assert!(batch.push(&Row::from("[2]"), &config, 0), "six bytes are allowed");
        assert!(!batch.push(&Row::from("0"), &config, 0), "seven are not");
        let mut batch = Batch::default();
        for _ in 0..3 {
            assert!(batch.push(&Row::from("0"), &config, 0));
        }
        assert!(!batch.push(&Row::from("0"), &config, 0), "three rows are allowed, four are not");
    }
}
