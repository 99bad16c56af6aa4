//! Pages of the log, read on a session of their own, so that they wait for no append. A span of
//! committed tokens enters; a page of whole batches leaves.

use std::sync::Arc;

use synrepl_core::{
    ByteString,
    stream::{Page, Token},
};
use tokio::sync::Mutex;
use tokio_postgres::{Statement, types::ToSql};

use super::session::{Database, Failure, Session};
use crate::log::page::{PAGE_BYTES_MAX, PageBuilder};

/// Most rows of a page, however many were requested.
const ROWS_MAX: u32 = 100_000;

/// Selects the first batch, and those behind it that still have room; with each, whether there is
/// another.
const BATCHES: &str = "
    SELECT token, rows, more FROM (
        SELECT token, rows,
            row_number() OVER w AS place,
            sum(row_count) OVER w AS rows_so_far,
            sum(octet_length(rows)) OVER w AS bytes_so_far,
            lead(token) OVER (ORDER BY token) IS NOT NULL AS more
        FROM (
            SELECT token, row_count, rows FROM batches
            WHERE stream = $1 AND instance = $2 AND token > $3 AND token <= $4
            ORDER BY token LIMIT $5::bigint + 1
        ) AS next
        WINDOW w AS (ORDER BY token ROWS UNBOUNDED PRECEDING)
    ) AS counted
    WHERE place = 1 OR (rows_so_far <= $5::bigint AND bytes_so_far <= $6::bigint)
    ORDER BY token";

/// A reader of pages. A lost session is made anew with the next page.
pub(super) struct Pages {
    database: Arc<Database>,
    session: Mutex<Option<Arc<Ready>>>,
}

struct Ready {
    session: Session,
    batches: Statement,
}

impl Pages {
    pub(super) fn new(database: Arc<Database>) -> Self {
        Self { database, session: Mutex::default() }
    }

    /// Reads a page of the instance's rows in `(from, bound]`, all of which are committed.
    pub(super) async fn read(
        &self,
        stream: &str,
        from: Token,
        bound: Token,
        rows_max: u32,
    ) -> Result<Page, String> {
        let page = async {
            let ready = self.ready().await?;
            self.page(&ready, stream, from, bound, rows_max.clamp(1, ROWS_MAX)).await
        };
        page.await.map_err(Failure::message)
    }

    async fn page(
        &self,
        Ready { session, batches }: &Ready,
        stream: &str,
        from: Token,
        bound: Token,
        rows_max: u32,
    ) -> Result<Page, Failure> {
        let mut page = PageBuilder::new(from, rows_max);
        let (rows_max, bytes_max) = (i64::from(rows_max), PAGE_BYTES_MAX as i64);
        let parameters: [&(dyn ToSql + Sync); 6] =
            [&stream, &self.database.instance, &from.get(), &bound.get(), &rows_max, &bytes_max];
        let mut more = false;
        for batch in session.rows(batches, &parameters).await? {
            page.push(
                Token::new(batch.try_get(0)?),
                &ByteString::from(batch.try_get::<_, &str>(1)?),
            );
            more = batch.try_get(2)?;
        }
        Ok(if more { page.limited() } else { page.complete(bound) })
    }

    async fn ready(&self) -> Result<Arc<Ready>, Failure> {
        let mut kept = self.session.lock().await;
        if let Some(ready) = &*kept
            && !ready.session.is_closed()
        {
            return Ok(Arc::clone(ready));
        }
        *kept = None;
        let session = self.database.connect().await?;
        let batches = session.prepare(BATCHES).await?;
        let ready = Arc::new(Ready { session, batches });
        *kept = Some(Arc::clone(&ready));
        Ok(ready)
    }
}
