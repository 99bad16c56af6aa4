//! Appends that wait in line for the writer of their store. Checked batches enter in the order of
//! the calls; each gets its token or an error once it was written.

use std::sync::Arc;

use synrepl_core::stream::{Row, Token};
use tokio::sync::oneshot;

use super::{AppendError, AppendFuture, LogLimits, batch::Batch, line::Line};

/// A batch to append, and the way to the caller that waits for its token.
pub(super) struct Append {
    pub(super) batch: Batch,
    reply: oneshot::Sender<Result<Token, AppendError>>,
}

impl Append {
    /// Checks a batch and puts it in line, both before this returns, so that tokens rise in the
    /// order of the calls.
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

    /// Resolves the append for its caller. It is done, whether or not the caller still waits.
    pub(super) fn answer(self, answer: Result<Token, AppendError>) {
        let _ = self.reply.send(answer);
    }
}

/// Returns whether the next append still belongs into the same group of at most so many rows and
/// bytes.
pub(super) fn fits_group(rows_max: usize, bytes_max: usize) -> impl FnMut(&Append) -> bool {
    let (mut rows, mut bytes) = (0_usize, 0_usize);
    move |append| {
        rows += append.batch.rows as usize;
        bytes += append.batch.text.len();
        rows <= rows_max && bytes <= bytes_max
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use super::*;

    /// Returns the sizes of the groups in which these batches, of so many rows of 3 bytes, are
    /// taken.
    fn groups(batches: &[usize], rows_max: usize, bytes_max: usize) -> Vec<usize> {
        let line = Line::new();
        let _waiting: Vec<_> = batches
            .iter()
            .map(|rows| {
                Append::stand(&line, "s", &vec![Row::from("[1]"); *rows], &LogLimits::default())
            })
            .collect();
        let mut groups = Vec::new();
        let mut cx = Context::from_waker(Waker::noop());
        while let Poll::Ready(Some(group)) =
            line.poll_take(&mut cx, fits_group(rows_max, bytes_max))
        {
            groups.push(group.len());
        }
        groups
    }

    #[test]
    fn a_group_is_limited_in_rows_and_a_longer_batch_is_one_of_its_own() {
        assert_eq!(groups(&[1; 7], 3, 1_000), [3, 3, 1]);
        assert_eq!(groups(&[2, 2, 9, 1, 1], 3, 1_000), [1, 1, 1, 2]);
    }

    #[test]
    fn a_group_is_limited_in_bytes() {
        assert_eq!(groups(&[1; 7], 1_000, 9), [3, 3, 1]);
        assert_eq!(groups(&[3, 1, 1], 1_000, 9), [1, 2]);
    }
}
