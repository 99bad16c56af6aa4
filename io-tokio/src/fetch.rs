//! The interface to whatever holds missed rows. A source and a span of tokens enter, one page of
//! rows leaves. What is fetched, when and how often is decided by the core.

use std::{future::Future, pin::Pin};

use synrepl_core::stream::{FetchError, Page, Source, Span};

/// The future of one fetch, as returned by [`FetchSource::fetch`].
pub type FetchFuture = Pin<Box<dyn Future<Output = Result<Page, FetchError>> + Send>>;

/// The rows to get with one call.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FetchRequest {
    /// The source to fetch; its instance is the one to ask.
    pub source: Source,
    /// The tokens whose rows are wanted.
    pub span: Span,
}

impl FetchRequest {
    /// Makes a request for the rows of `source` in `span`.
    pub const fn new(source: Source, span: Span) -> Self {
        Self { source, span }
    }
}

/// The place from which missed rows are fetched: the writers' HTTP endpoints unless
/// [`Builder::fetch_source`](crate::Builder::fetch_source) gives another (a database, a test).
pub trait FetchSource: Send + Sync + 'static {
    /// Fetches one page of the rows that are wanted; a page that ends before all of them is
    /// `limited`.
    ///
    /// The future must end by itself (time-outs are its own business) and is dropped when the page
    /// is no longer wanted. Retries are the core's: report the first failure.
    fn fetch(&self, request: FetchRequest) -> FetchFuture;
}
