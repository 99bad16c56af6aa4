//! What the handling of one input may use of the node around it.

use crate::{config::Config, event::Event, shared::Shared, time::Timestamp};

/// One turn of the node: from an input to the actions that it leads to.
pub(crate) struct Turn<'a> {
    pub(crate) now: Timestamp,
    pub(crate) config: &'a Config,
    pub(crate) shared: &'a mut Shared,
}

impl Turn<'_> {
    pub(crate) fn notify(&mut self, event: Event) {
        self.shared.notify(event);
    }
}
