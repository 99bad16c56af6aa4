//! Gives the logs on the stage to the driver as its store.

use std::{collections::BTreeMap, future::ready};

use synrepl::{
    Row, Token,
    core::{
        ByteString,
        stream::{LogError, Page, Span},
    },
    log::{AppendError, AppendFuture, LogEnds, LogStore, ReadFuture},
};

use tokio::time::sleep;

use super::stage::{Contents, Stage, now};
use crate::marks::Mark;

/// The own streams of one writer. Only the stage appends to them.
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

    fn read(&self, stream: ByteString, span: Span, rows_max: u32) -> ReadFuture {
        let Span { from, upto } = span;
        let wait = {
            let mut stage = self.stage.lock();
            let part = &mut stage.writers[self.writer];
            if part.fail_reads > 0 {
                part.fail_reads -= 1;
                stage.marks.hit(Mark::LogReadFailed);
                let message = "it fails on purpose".to_owned();
                return Box::pin(ready(Err(LogError { stream: stream.to_string(), message })));
            }
            part.stalled_until.saturating_since(now())
        };
        let (stage, writer) = (self.stage.clone(), self.writer);
        Box::pin(async move {
            if !wait.is_zero() {
                stage.lock().marks.hit(Mark::LogReadStalled);
                sleep(wait).await;
            }
            Ok(stage.lock().read_log(writer, &stream, from, upto, rows_max))
        })
    }
}

impl Contents {
    /// Returns the rows of a log in `(from, upto]`, in whole batches of about `rows_max` rows.
    pub(super) fn read_log(
        &self,
        writer: usize,
        stream: &str,
        from: Token,
        upto: Token,
        rows_max: u32,
    ) -> Page {
        let rows_max = rows_max.min(self.scenario.page_rows_max.max(1));
        match self.logs.own(writer, stream) {
            Some(log) => log.read(from, upto.min(log.current), rows_max),
            None => Page { updates: Vec::new(), upto, limited: false },
        }
    }
}
