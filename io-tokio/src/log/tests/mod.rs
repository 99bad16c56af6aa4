//! Tests of the promises of every store, run on each kind.

mod paging;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "sqlite")]
mod sqlite;

use std::{future::poll_fn, ops::Deref};

use super::*;

/// A store, and the folder that must outlive it.
struct Store {
    store: Box<dyn LogStore>,
    _folder: Option<tempfile::TempDir>,
}

impl Deref for Store {
    type Target = dyn LogStore;

    fn deref(&self) -> &Self::Target {
        &*self.store
    }
}

/// Returns one store of each kind, empty, with these limits.
#[cfg_attr(not(feature = "postgres"), expect(clippy::unused_async, reason = "as with postgres"))]
async fn stores_with(limits: &LogLimits) -> Vec<Store> {
    let options = MemoryOptions { limits: limits.clone(), ..MemoryOptions::default() };
    let store = Box::new(MemoryLog::new(options));
    #[cfg_attr(
        not(any(feature = "sqlite", feature = "postgres")),
        expect(unused_mut, reason = "memory is the only store then")
    )]
    let mut stores = vec![Store { store, _folder: None }];
    #[cfg(feature = "sqlite")]
    {
        let folder = tempfile::tempdir().unwrap();
        let options = SqliteOptions { limits: limits.clone(), ..SqliteOptions::default() };
        let store = Box::new(SqliteLog::open(folder.path().join("log"), options).unwrap());
        stores.push(Store { store, _folder: Some(folder) });
    }
    #[cfg(feature = "postgres")]
    {
        let options = PostgresOptions { limits: limits.clone(), ..postgres::options() };
        let log = PostgresLog::open(&postgres::server::address(), "me", options).await.unwrap();
        stores.push(Store { store: Box::new(log), _folder: None });
    }
    stores
}

async fn stores() -> Vec<Store> {
    stores_with(&LogLimits::default()).await
}

fn rows(texts: &[&str]) -> Vec<Row> {
    texts.iter().map(|text| Row::from(*text)).collect()
}

fn append(store: &dyn LogStore, stream: &str, texts: &[&str]) -> AppendFuture {
    store.append(ByteString::from(stream), rows(texts))
}

/// Reads all of a range that one page holds: its rows as (token, row), its `upto`, and whether it
/// is limited.
async fn read(
    store: &dyn LogStore,
    stream: &str,
    from: i64,
    upto: i64,
    max: u32,
) -> (Vec<(i64, String)>, i64, bool) {
    let page = store.read(stream.into(), Span::new(from.into(), upto.into()), max).await.unwrap();
    let updates =
        page.updates.iter().map(|(token, row)| (token.get(), row.as_str().to_owned())).collect();
    (updates, page.upto.get(), page.limited)
}

fn news(ends: &LogEnds) -> Vec<(ByteString, Token)> {
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    let mut news = Vec::new();
    while let std::task::Poll::Ready(one) = ends.poll_next(&mut cx) {
        news.push(one);
    }
    news
}

#[tokio::test]
async fn tokens_rise_by_stream_in_the_order_of_the_calls_not_of_the_polls() {
    for store in stores().await {
        let first = append(&*store, "typing", &["[1]"]);
        let other = append(&*store, "events", &["[2]"]);
        let second = append(&*store, "typing", &["[3]"]);
        assert_eq!(second.await, Ok(2.into()));
        assert_eq!(other.await, Ok(1.into()));
        assert_eq!(first.await, Ok(1.into()));
        let (updates, ..) = read(&*store, "typing", 0, 9, 9).await;
        assert_eq!(updates, [(1, "[1]".to_owned()), (2, "[3]".to_owned())]);
    }
}

#[tokio::test]
async fn a_batch_comes_back_whole_and_verbatim_under_one_token() {
    for store in stores().await {
        let texts = [r#"["a", {"b":"\n\u0000"}]"#, "[ 1.50 ]", r#"["é"]"#];
        append(&*store, "s", &texts).await.unwrap();
        let (updates, upto, limited) = read(&*store, "s", 0, 1, 1).await;
        assert_eq!(updates, texts.map(|text| (1, text.to_owned())));
        assert_eq!((upto, limited), (1, false));
    }
}

#[tokio::test]
async fn a_bad_batch_fails_alone_and_takes_no_token() {
    for store in stores().await {
        let good = append(&*store, "s", &["[1]"]);
        let bad = append(&*store, "s", &["[2]", "{}"]);
        let empty = append(&*store, "s", &[]);
        let unnamed = append(&*store, "a b", &["[3]"]);
        let next = append(&*store, "s", &["[4]"]);
        assert!(matches!(bad.await, Err(AppendError::Row { index: 1, .. })));
        assert_eq!(empty.await, Err(AppendError::Empty));
        assert!(matches!(unnamed.await, Err(AppendError::StreamName { .. })));
        assert_eq!((good.await, next.await), (Ok(1.into()), Ok(2.into())));
        assert_eq!(store.streams(), BTreeMap::from([("s".to_owned(), 2.into())]));
    }
}

#[tokio::test]
async fn a_page_is_complete_up_to_the_end_of_the_log_and_no_further() {
    for store in stores().await {
        for text in ["[1]", "[2]", "[3]"] {
            append(&*store, "s", &[text]).await.unwrap();
        }
        assert_eq!(read(&*store, "s", 1, 99, 10).await.1, 3);
        assert_eq!(read(&*store, "s", 0, 2, 10).await.0.len(), 2);
        assert_eq!(read(&*store, "s", 0, 2, 10).await.1, 2);
        assert_eq!(read(&*store, "s", 3, 3, 10).await, (vec![], 3, false));
        let (updates, upto, limited) = read(&*store, "s", 0, 99, 2).await;
        assert_eq!((updates.len(), upto, limited), (2, 2, true));
        // The page is full, but nothing is behind it in the requested range.
        let (updates, upto, limited) = read(&*store, "s", 0, 2, 2).await;
        assert_eq!((updates.len(), upto, limited), (2, 2, false));
    }
}

#[tokio::test]
async fn a_stream_that_is_not_known_has_no_rows() {
    for store in stores().await {
        append(&*store, "s", &["[1]"]).await.unwrap();
        assert_eq!(read(&*store, "t", 0, 99, 10).await, (vec![], 0, false));
        assert_eq!(read(&*store, "S", 0, 99, 10).await, (vec![], 0, false));
        assert_eq!(store.streams().len(), 1);
    }
}

#[tokio::test]
async fn the_end_of_the_log_is_told_once_rows_can_be_read() {
    for store in stores().await {
        append(&*store, "before", &["[0]"]).await.unwrap();
        let ends = LogEnds::default();
        store.attach(ends.clone());
        assert_eq!(news(&ends), [("before".into(), 1.into())]);
        let appending = append(&*store, "s", &["[1]", "[2]"]);
        let (stream, token) = poll_fn(|cx| ends.poll_next(cx)).await;
        assert_eq!((&*stream, token), ("s", 1.into()));
        assert_eq!(read(&*store, "s", 0, 1, 10).await.0.len(), 2);
        assert_eq!(appending.await, Ok(1.into()));
        assert_eq!(news(&ends), []);
    }
}

#[tokio::test]
async fn streams_are_limited() {
    let limits = LogLimits { streams_max: 2, ..LogLimits::default() };
    for store in stores_with(&limits).await {
        let [a, b, c, again] = ["a", "b", "c", "a"].map(|stream| append(&*store, stream, &["[1]"]));
        assert_eq!((a.await, b.await), (Ok(1.into()), Ok(1.into())));
        assert_eq!(c.await, Err(AppendError::TooManyStreams { streams_max: 2 }));
        assert_eq!(again.await, Ok(2.into()));
        assert_eq!(store.streams().len(), 2);
    }
}
