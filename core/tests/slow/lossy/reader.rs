//! The check of each reader's rows against the writer's log.

use synrepl_core::{
    stream::{Row, Span, Token},
    wire::{Position, Rdata},
};

use crate::writer::log::Log;

/// Reads the commands of one connection as they were sent, and holds them against the log: every
/// batch whole, in order and once (P1), no announcement over rows (P2) or ahead of them (P4).
#[derive(Clone, Debug, Default)]
pub(crate) struct Reader {
    /// Everything from where it began up to here was read.
    pub(crate) at: Option<i64>,
    open: Vec<Row>,
    /// The oldest dialect: rows above a token, until a POSITION ends them.
    catching_up: Option<(Token, Vec<(Token, Row)>)>,
}

impl Reader {
    /// It has asked for the rows above `from`, and will get nothing but them.
    pub(crate) fn asks_from(&mut self, from: Token) {
        self.catching_up = Some((from, Vec::new()));
    }

    pub(crate) fn is_inside_batch(&self) -> bool {
        !self.open.is_empty()
    }

    pub(crate) fn on_rdata(&mut self, log: &Log, rdata: &Rdata) -> Result<(), String> {
        if let Some((_, rows)) = &mut self.catching_up {
            let token = rdata.token.ok_or("P1: a row without a number in a catch-up")?;
            rows.push((token, rdata.row.clone()));
            return Ok(());
        }
        self.open.push(rdata.row.clone());
        let Some(token) = rdata.token.map(Token::get) else { return Ok(()) };
        let batch = (token, std::mem::take(&mut self.open));
        let expected = log.range(self.at.unwrap_or(token - 1), token);
        if expected != [batch.clone()] {
            return Err(format!("P1: at {:?}, sent {batch:?}, due {expected:?}", self.at));
        }
        self.at = Some(token);
        Ok(())
    }

    pub(crate) fn on_position(&mut self, log: &Log, position: &Position) -> Result<(), String> {
        let (prev, new) = (position.prev.get(), position.token.get());
        if self.is_inside_batch() {
            return Err("P1: an announcement inside a batch".to_owned());
        }
        if let Some((from, rows)) = self.catching_up.take() {
            let due = log.page(Span { from, upto: position.token }, usize::MAX).updates;
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
