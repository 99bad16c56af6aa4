//! A fetch source that reads missed rows straight from the writer's log.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use synrepl::{FetchFuture, FetchRequest, FetchSource, core::stream::FetchError, log::LogStore};

/// A fetch source that gives out pages of at most 7 rows.
#[derive(Clone)]
pub(crate) struct FromLog {
    log: Arc<dyn LogStore>,
    /// The number of pages requested so far.
    pub(crate) pages: Arc<AtomicU32>,
}

impl FromLog {
    pub(crate) fn new(log: &Arc<dyn LogStore>) -> Self {
        Self { log: Arc::clone(log), pages: Arc::default() }
    }
}

impl FetchSource for FromLog {
    fn fetch(&self, request: FetchRequest) -> FetchFuture {
        self.pages.fetch_add(1, Ordering::Relaxed);
        let stream = request.source.stream().to_owned().into();
        let page = self.log.read(stream, request.span, 7);
        Box::pin(async move {
            page.await.map_err(|error| FetchError::Unreachable {
                endpoint: "the log".to_owned(),
                message: error.to_string(),
            })
        })
    }
}
