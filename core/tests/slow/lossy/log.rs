//! The log of a writer, and the check of each reader's rows against it.

use std::collections::BTreeMap;

/// The log of one own stream.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log {
    batches: BTreeMap<i64, Vec<String>>,
    pub(crate) end: i64,
}

impl Log {
    /// Appends a batch `skip` tokens further on than need be. No rows: the tokens went elsewhere.
    pub(crate) fn append(&mut self, skip: i64, rows: Vec<String>) {
        self.end += 1 + skip;
        if !rows.is_empty() {
            self.batches.insert(self.end, rows);
        }
    }

    /// The batches in `(from, upto]`.
    pub(crate) fn range(&self, from: i64, upto: i64) -> Vec<(i64, Vec<String>)> {
        let batches = self.batches.range(from + 1..).take_while(|(token, _)| **token <= upto);
        batches.map(|(token, rows)| (*token, rows.clone())).collect()
    }
}

/// Reads the commands of one connection as they were sent, and holds them against the log: every
/// batch whole, in order and once (P1), no announcement over rows (P2) or ahead of them (P4).
#[derive(Clone, Debug, Default)]
pub(crate) struct Reader {
    /// Everything from where it began up to here was read.
    pub(crate) at: Option<i64>,
    open: Vec<String>,
    /// The oldest dialect: rows above a token, until a POSITION ends them.
    catching_up: Option<(i64, Vec<(i64, String)>)>,
}

impl Reader {
    /// It has asked for the rows above `from`, and will get nothing but them.
    pub(crate) fn asks_from(&mut self, from: i64) {
        self.catching_up = Some((from, Vec::new()));
    }

    pub(crate) fn is_inside_batch(&self) -> bool {
        !self.open.is_empty()
    }

    pub(crate) fn on_row(
        &mut self,
        log: &Log,
        token: Option<i64>,
        row: &str,
    ) -> Result<(), String> {
        if let Some((_, rows)) = &mut self.catching_up {
            let token = token.ok_or("P1: a row without a number in a catch-up")?;
            rows.push((token, row.to_owned()));
            return Ok(());
        }
        self.open.push(row.to_owned());
        let Some(token) = token else { return Ok(()) };
        let batch = (token, std::mem::take(&mut self.open));
        let expected = log.range(self.at.unwrap_or(token - 1), token);
        if expected != [batch.clone()] {
            return Err(format!("P1: at {:?}, sent {batch:?}, due {expected:?}", self.at));
        }
        self.at = Some(token);
        Ok(())
    }

    pub(crate) fn on_position(&mut self, log: &Log, prev: i64, new: i64) -> Result<(), String> {
        if self.is_inside_batch() {
            return Err("P1: an announcement inside a batch".to_owned());
        }
        if let Some((from, rows)) = self.catching_up.take() {
            let due = log.range(from, new).into_iter();
            let due: Vec<_> = due
                .flat_map(|(token, rows)| rows.into_iter().map(move |row| (token, row)))
                .collect();
            if rows != due {
                return Err(format!(
                    "P1: caught up from {from} to {new} with {rows:?}, not {due:?}"
                ));
            }
            self.at = Some(new);
            return Ok(());
        }
        if self.at.is_some_and(|at| at != prev) {
            return Err(format!("P4: POSITION {prev} {new} to who was sent up to {:?}", self.at));
        }
        if !log.range(prev, new).is_empty() {
            return Err(format!("P2: POSITION {prev} {new} over rows"));
        }
        self.at = Some(new);
        Ok(())
    }
}
