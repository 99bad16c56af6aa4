//! Where missed rows come from.

use std::{future::Future, pin::Pin};

use synrepl_core::stream::{FetchError, Page, Source, Token};

/// The future of one fetch.
pub type FetchFuture = Pin<Box<dyn Future<Output = Result<Page, FetchError>> + Send>>;

/// One page to get.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FetchRequest {
    /// Whose rows.
    pub source: Source,
    /// Rows above this token.
    pub from: Token,
    /// Rows up to this token.
    pub upto: Token,
}

impl FetchRequest {
    /// A request for the rows of `source` in `(from, upto]`.
    pub const fn new(source: Source, from: Token, upto: Token) -> Self {
        Self { source, from, upto }
    }
}

/// A place to get missed rows from: the writers' HTTP endpoints unless
/// [`Builder::fetch_source`](crate::Builder::fetch_source) gives another (a database, a test).
pub trait FetchSource: Send + Sync + 'static {
    /// Gets one page of rows in `(from, upto]`; a page that ends earlier says so with `limited`.
    ///
    /// The future must end by itself (time-outs are its own business) and is dropped when the
    /// answer is no longer wanted. Retries are the core's: report the first failure.
    fn fetch(&self, request: FetchRequest) -> FetchFuture;
}
