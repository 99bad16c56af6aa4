//! Where missed rows come from.

use std::{future::Future, pin::Pin};

use synrepl_core::stream::{FetchError, Page, Source, Span};

/// The future of one fetch.
pub type FetchFuture = Pin<Box<dyn Future<Output = Result<Page, FetchError>> + Send>>;

/// One page to get.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FetchRequest {
    /// The source to fetch; its instance is the one to ask.
    pub source: Source,
    /// The tokens whose rows are wanted.
    pub span: Span,
}

impl FetchRequest {
    /// A request for rows of `source`.
    pub const fn new(source: Source, span: Span) -> Self {
        Self { source, span }
    }
}

/// A place to get missed rows from: the writers' HTTP endpoints unless
/// [`Builder::fetch_source`](crate::Builder::fetch_source) gives another (a database, a test).
pub trait FetchSource: Send + Sync + 'static {
    /// Gets one page of the rows that are wanted; a page that ends earlier says so with `limited`.
    ///
    /// The future must end by itself (time-outs are its own business) and is dropped when the
    /// answer is no longer wanted. Retries are the core's: report the first failure.
    fn fetch(&self, request: FetchRequest) -> FetchFuture;
}
