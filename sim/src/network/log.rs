//! The logs on the stage, as the driver's store.

use std::{collections::BTreeMap, future::ready};

use synrepl::{
    Row, Token,
    core::{ByteString, stream::Page},
    log::{AppendError, AppendFuture, LogEnds, LogStore, ReadFuture},
};

use super::stage::Stage;

/// The own streams of one writer. It is the stage that appends.
#[derive(Debug)]
pub(super) struct StageLog {
    pub(super) stage: Stage,
    pub(super) writer: usize,
}

impl LogStore for StageLog {
    fn streams(&self) -> BTreeMap<String, Token> {
        let stage = self.stage.lock();
        let own = stage.logs.iter().filter(|log| log.writer == self.writer);
        own.map(|log| (log.source.stream().to_owned(), log.current)).collect()
    }

    fn attach(&self, ends: LogEnds) {
        self.stage.lock().writers[self.writer].ends = Some(ends);
    }

    fn append(&self, _stream: ByteString, _rows: Vec<Row>) -> AppendFuture {
        Box::pin(ready(Err(AppendError::Empty)))
    }

    fn read(&self, stream: ByteString, from: Token, upto: Token, rows_max: u32) -> ReadFuture {
        let stage = self.stage.lock();
        let rows_max = rows_max.min(stage.scenario.page_rows_max.max(1)) as usize;
        let log = stage
            .logs
            .iter()
            .find(|log| log.writer == self.writer && log.source.stream() == &*stream);
        let Some(log) = log else {
            return Box::pin(ready(Ok(Page { updates: Vec::new(), upto, limited: false })));
        };
        let upto = upto.min(log.current);
        let mut page = Page { updates: Vec::new(), upto, limited: false };
        for (token, rows) in log.between(from, upto) {
            if !page.updates.is_empty() && page.updates.len() + rows.len() > rows_max {
                page.limited = true;
                page.upto = page.updates.last().map_or(from, |(token, _)| *token);
                break;
            }
            page.updates.extend(rows.iter().map(|row| (token, row.clone())));
        }
        Box::pin(ready(Ok(page)))
    }
}
