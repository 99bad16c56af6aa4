//! The application's end of a running replication: events leave in order, and with them the
//! positions to save, which are those of the events handed out so far (F6).

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures_core::Stream;
use synrepl_core::{ContinuityConfig, Event, Origin, Timestamp, stream::Positions};

use crate::{clock::Clock, events::Receiver, handle::Handle};

/// A running replication, which hands out [`Event`]s in order.
///
/// Dropping it stops the driver. It is a [`Stream`] of events, too.
#[derive(Debug)]
#[must_use = "the replication stops when it is dropped"]
pub struct Replication {
    events: Receiver,
    positions: Positions,
    /// How often a row that is handed out is remembered with its position: after this time, or so
    /// many tokens.
    pace: (Duration, u32),
    /// The time at which the events at hand were taken.
    taken_at: Timestamp,
    handle: Handle,
    clock: Clock,
}

impl Replication {
    pub(crate) const fn new(
        events: Receiver,
        positions: Positions,
        continuity: &ContinuityConfig,
        handle: Handle,
        clock: Clock,
    ) -> Self {
        let pace = (continuity.anchor_every, continuity.anchor_tokens_max);
        Self { events, positions, pace, taken_at: Timestamp::ZERO, handle, clock }
    }

    /// Returns the next event; `None` after [`Event::Stopped`], or when the driver is gone.
    ///
    /// Events of one source come in order, each row once, as the [promises](crate#what-it-promises)
    /// say. While the application does not call this, at most
    /// [`Limits::events_queued_max`](crate::Limits::events_queued_max) events wait; then nothing
    /// more is read from the network, and what is missed by that is fetched later.
    ///
    /// # Cancel safety
    /// Cancel safe: a dropped call loses no event.
    #[must_use = "rows of an event that is dropped are lost"]
    pub async fn next(&mut self) -> Option<Event> {
        std::future::poll_fn(|cx| self.poll_next_event(cx)).await
    }

    /// Returns the next event if one is waiting; never waits itself.
    #[must_use = "rows of an event that is dropped are lost"]
    pub fn try_next(&mut self) -> Option<Event> {
        let is_fresh = !self.events.has_at_hand();
        let event = self.events.try_pop()?;
        self.note(&event, is_fresh);
        Some(event)
    }

    fn poll_next_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        let is_fresh = !self.events.has_at_hand();
        let event = std::task::ready!(self.events.poll_pop(cx));
        if let Some(event) = &event {
            self.note(event, is_fresh);
        }
        Poll::Ready(event)
    }

    /// Returns the positions to resume from after all events handed out so far: the value to save
    /// together with what the application made of them.
    ///
    /// They start as the positions given to [`Builder::positions`](crate::Builder::positions).
    pub const fn positions(&self) -> &Positions {
        &self.positions
    }

    /// Returns a handle to send commands, append rows, wait for positions, read counters and stop.
    /// Cheap to clone.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Returns the present time on the clock that the events' [`Timestamp`]s are read from.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Stops the replication, drops the events that still come, and returns the positions *before*
    /// these: what was not handed out will be delivered after a resume.
    ///
    /// # Cancel safety
    /// Dropping the future stops the replication all the same; the positions are lost with it.
    pub async fn shutdown(mut self) -> Positions {
        self.handle.shutdown();
        while std::future::poll_fn(|cx| self.events.poll_pop(cx)).await.is_some() {}
        std::mem::take(&mut self.positions)
    }

    /// Moves the positions on to those of an event that is handed out. The clock is read once for
    /// all events that were taken together.
    fn note(&mut self, event: &Event, is_fresh: bool) {
        if let Some((source, token)) = event.position() {
            self.positions.set(source, token);
        }
        if let Event::Rows { source, token, rows, origin, .. } = event {
            if is_fresh {
                self.taken_at = self.clock.now();
            }
            let (every, tokens_max) = self.pace;
            // Rows that are received live are remembered once in a while; many of a page come at
            // once.
            let tokens_max = if *origin == Origin::Live { u32::MAX } else { tokens_max };
            self.positions.on_rows(source, *token, rows, self.taken_at, (every, tokens_max));
        }
    }
}

impl Drop for Replication {
    fn drop(&mut self) {
        self.handle.shutdown();
    }
}

impl Stream for Replication {
    type Item = Event;

    /// Polls for what [`Replication::next`] returns.
    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        self.get_mut().poll_next_event(cx)
    }
}
