//! The bodies of requests, within a limit of each and one of all together. A body enters as it
//! arrives; it leaves whole, with its share of the memory for bodies.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use thiserror::Error;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::limits::ServerLimits;

/// A body, and its share of the memory for bodies until it is dropped.
pub(super) struct Held {
    pub(super) bytes: Bytes,
    _share: Option<OwnedSemaphorePermit>,
}

/// The reason why a body was not read.
#[derive(Debug, PartialEq, Eq, Error)]
pub(super) enum BodyError {
    #[error("the body is longer than {0} bytes; send fewer rows at once")]
    TooLarge(usize),
    #[error("too much is being appended already; try again")]
    NoRoom,
    #[error("the body did not come within {0:?}")]
    TooSlow(std::time::Duration),
    #[error("the body broke off: {0}")]
    Broken(String),
}

/// The memory for bodies.
#[derive(Clone, Debug)]
pub(super) struct Room(Arc<Semaphore>);

impl Room {
    /// Makes room for `bytes_max` bytes.
    pub(super) fn new(bytes_max: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes_max.min(Semaphore::MAX_PERMITS))))
    }

    /// Reads a body to its end. It takes room only for what has arrived, so a slow client does not
    /// keep others out.
    pub(super) async fn read(
        &self,
        body: Incoming,
        limits: &ServerLimits,
    ) -> Result<Held, BodyError> {
        let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
        if announced > limits.body_bytes_max {
            return Err(BodyError::TooLarge(limits.body_bytes_max));
        }
        timeout(limits.body_timeout, self.read_within(body, limits.body_bytes_max))
            .await
            .unwrap_or(Err(BodyError::TooSlow(limits.body_timeout)))
    }

    async fn read_within(&self, mut body: Incoming, bytes_max: usize) -> Result<Held, BodyError> {
        let mut whole = BytesMut::new();
        let mut share: Option<OwnedSemaphorePermit> = None;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| BodyError::Broken(error.to_string()))?;
            let Ok(data) = frame.into_data() else { continue };
            if whole.len() + data.len() > bytes_max {
                return Err(BodyError::TooLarge(bytes_max));
            }
            let count = u32::try_from(data.len()).map_err(|_| BodyError::TooLarge(bytes_max))?;
            let more =
                Arc::clone(&self.0).try_acquire_many_owned(count).map_err(|_| BodyError::NoRoom)?;
            match &mut share {
                Some(share) => share.merge(more),
                None => share = Some(more),
            }
            whole.extend_from_slice(&data);
        }
        Ok(Held { bytes: whole.freeze(), _share: share })
    }
}
