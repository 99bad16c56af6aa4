//! The end of a run: every follower is told to stop, and does.

use super::stage::Contents;
use crate::oracle::{Promise, Violation};

impl Contents {
    /// Tells every follower to stop.
    pub(super) fn shut_down(&mut self) {
        for part in &mut self.followers {
            if let Some(handle) = part.handle.take() {
                handle.shutdown();
            }
        }
    }

    /// The events of a follower have come to an end.
    ///
    /// # Errors
    /// Nobody had told its driver to stop.
    pub(super) fn on_end(&mut self, follower: usize) -> Result<(), &'static str> {
        let part = &mut self.followers[follower];
        part.has_stopped = part.handle.is_none();
        part.has_stopped.then_some(()).ok_or("the driver of a follower ended")
    }

    /// A follower that has not stopped, and that it should have.
    pub(super) fn check_stopped(&self) -> Option<(usize, Violation)> {
        let index = self.followers.iter().position(|part| !part.has_stopped)?;
        let what = "did not stop".to_owned();
        let violation = self.followers[index].oracle.violation(Promise::Progress, None, what);
        Some((self.follower_lane(index), violation))
    }
}
