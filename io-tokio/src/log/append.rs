//! Appends in line.

use std::sync::Arc;

use synrepl_core::stream::{Row, Token};
use tokio::sync::oneshot;

use super::{AppendError, AppendFuture, LogLimits, batch::Batch, line::Line};

/// A batch to append, and who waits for its token.
pub(super) struct Append {
    pub(super) batch: Batch,
    reply: oneshot::Sender<Result<Token, AppendError>>,
}

impl Append {
    /// Checks a batch and puts it in line, both before this returns.
    pub(super) fn stand(
        line: &Arc<Line<Self>>,
        stream: &str,
        rows: &[Row],
        limits: &LogLimits,
    ) -> AppendFuture {
        let (reply, answer) = oneshot::channel();
        let place = Batch::check(stream, rows, limits)
            .and_then(|batch| line.stand(Self { batch, reply }).ok_or(AppendError::Closed));
        Box::pin(async move {
            let _place = place?;
            answer.await.unwrap_or(Err(AppendError::Closed))
        })
    }

    /// Tells who waits. The append is done, whether or not anybody still does.
    pub(super) fn answer(self, answer: Result<Token, AppendError>) {
        let _ = self.reply.send(answer);
    }
}

/// Whether the next append still belongs into the same group, of so many rows and bytes.
pub(super) fn group_of(rows_max: usize, bytes_max: usize) -> impl FnMut(&Append) -> bool {
    let (mut rows, mut bytes) = (0_usize, 0_usize);
    move |append| {
        rows += append.batch.rows as usize;
        bytes += append.batch.text.len();
        rows <= rows_max && bytes <= bytes_max
    }
}
