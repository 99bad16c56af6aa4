//! The shutdown: what is left goes out, then everything is closed.
//!
//! What enters: [`Input::Shutdown`](crate::Input::Shutdown), and the ends of connections. What
//! leaves: the ends of fetches and waits, the rows that own logs hold already (P1), `Close`, and
//! [`Event::Stopped`].

use super::Node;
use crate::{
    action::Action,
    connection::Link,
    event::{Event, WaitOutcome},
};

impl Node {
    pub(super) fn on_shutdown(&mut self) {
        if std::mem::replace(&mut self.stopping, true) {
            return;
        }
        self.env.timers.clear_all();
        for query in self.env.queries.give_up_all() {
            self.env.act(Action::CancelFetch { query });
        }
        while let Some(wait) = self.env.waits.pop() {
            self.env.notify(Event::WaitEnded { wait, outcome: WaitOutcome::Refused });
        }
        self.clear_reports();
        self.publisher.stop(&mut self.connections, &mut self.env);
        if self.connections.upstream.up().is_none() {
            self.connections.upstream.shut_down(&mut self.env);
        }
    }

    /// Closes everything once own rows have gone out, and notifies the application when all is
    /// closed.
    pub(super) fn stop_when_drained(&mut self) {
        if self.stopped || !self.publisher.is_drained(&self.connections) {
            return;
        }
        self.connections.upstream.shut_down(&mut self.env);
        self.connections.peers.close_all(&mut self.env);
        if matches!(self.connections.upstream.link, Link::Stopped)
            && self.connections.peers.is_empty()
        {
            self.stopped = true;
            self.env.notify(Event::Stopped);
        }
    }
}
