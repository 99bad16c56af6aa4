//! The accepted connections, as the driver sees them. New connections, their lines and their ends
//! leave as inputs, in the order of each connection; commands enter, and go out to one peer or to
//! many (P5).

use std::{
    collections::BTreeMap,
    sync::Arc,
    task::{Context, Poll, ready},
};

use synrepl_core::{
    Audience, ConnectionId, Input, Printable,
    wire::{Command, Dialect},
};
use tokio::{sync::mpsc, task::JoinSet};

use super::{
    accept::{Accepted, Acceptor},
    gather::Gather,
    outbox::{Outbox, Reports},
    peer::{self, PeerChannels},
};

/// The number of connections beyond those that the core serves: it has yet to refuse them, or they
/// are closing.
const REFUSED_MAX: usize = 64;

/// The numbers of commands that have gone out, by connection.
pub(crate) type Sent = Vec<(ConnectionId, u32)>;

/// An input that came from a peer.
#[derive(Debug)]
pub(crate) struct PeerInput {
    pub(crate) input: Input,
    /// The memory that it may keep alive, in bytes.
    pub(crate) bytes_read: usize,
}

/// The accepted connections: accepts them, runs a task for each, and gives commands to them.
pub(crate) struct Peers {
    listeners: Vec<Acceptor>,
    acceptors: JoinSet<()>,
    accepted: Option<mpsc::Receiver<Accepted>>,
    connections_max: usize,
    count: u64,
    open: BTreeMap<ConnectionId, Open>,
    tasks: JoinSet<String>,
    conns: BTreeMap<tokio::task::Id, ConnectionId>,
    /// A connection that has ended, with the reason: lines that were received on it may still have
    /// to be handed over first.
    over: Option<(ConnectionId, String)>,
    inputs: mpsc::Receiver<PeerInput>,
    inputs_sender: mpsc::Sender<PeerInput>,
    reports: Reports,
    gather: Gather,
}

struct Open {
    dialect: Dialect,
    outbox: Arc<Outbox>,
}

impl Peers {
    /// Makes the set, empty. `peers_max` is the number of peers that the core serves;
    /// `lines_queued_max` the number of their lines that may wait.
    pub(crate) fn new(listeners: Vec<Acceptor>, peers_max: usize, lines_queued_max: usize) -> Self {
        let (inputs_sender, inputs) = mpsc::channel(lines_queued_max);
        Self {
            listeners,
            acceptors: JoinSet::new(),
            accepted: None,
            connections_max: peers_max.saturating_add(REFUSED_MAX),
            count: 0,
            open: BTreeMap::new(),
            tasks: JoinSet::new(),
            conns: BTreeMap::new(),
            over: None,
            inputs,
            inputs_sender,
            reports: Reports::default(),
            gather: Gather::default(),
        }
    }

    /// Begins to accept connections. To be called inside a runtime.
    pub(crate) fn start(&mut self) {
        if self.listeners.is_empty() {
            return;
        }
        // A place for each listener, which holds it while it waits.
        let (sender, accepted) = mpsc::channel(self.listeners.len());
        for listener in self.listeners.drain(..) {
            self.acceptors.spawn(listener.run(sender.clone()));
        }
        self.accepted = Some(accepted);
    }

    /// Accepts no more connections. Those that the core was not notified of are closed.
    pub(crate) fn stop_accepting(&mut self) {
        self.acceptors.abort_all();
        self.accepted = None;
    }

    /// Waits for the next new connection. Pending while there are too many.
    pub(crate) fn poll_accepted(&mut self, cx: &mut Context<'_>) -> Poll<Input> {
        let Some(accepted) = &mut self.accepted else { return Poll::Pending };
        if self.open.len() >= self.connections_max {
            return Poll::Pending;
        }
        let Some(Accepted { stream, peer, dialect }) = ready!(accepted.poll_recv(cx)) else {
            self.accepted = None;
            return Poll::Pending;
        };
        let conn = ConnectionId::accepted(self.count);
        self.count += 1;
        tracing::debug!(%conn, peer, %dialect, "accepted");
        let outbox = Arc::<Outbox>::default();
        let seat = PeerChannels {
            conn,
            outbox: Arc::clone(&outbox),
            inputs: self.inputs_sender.clone(),
            reports: self.reports.clone(),
        };
        let task = self.tasks.spawn(peer::serve(stream, seat));
        self.conns.insert(task.id(), conn);
        self.open.insert(conn, Open { dialect, outbox });
        Poll::Ready(Input::Accepted { conn, dialect })
    }

    /// Waits for the next input from a peer. The end of a connection comes once, after all that was
    /// received on it.
    pub(crate) fn poll_input(&mut self, cx: &mut Context<'_>) -> Poll<PeerInput> {
        loop {
            if self.over.is_some() {
                // All lines of that connection are in the queue by now.
                if let Ok(input) = self.inputs.try_recv() {
                    return Poll::Ready(input);
                }
                if let Some((conn, reason)) = self.over.take() {
                    tracing::debug!(%conn, reason = %Printable::foreign(&reason), "connection ended");
                    self.open.remove(&conn);
                    let input = Input::Disconnected { conn, reason };
                    return Poll::Ready(PeerInput { input, bytes_read: 0 });
                }
            }
            if let Poll::Ready(Some(input)) = self.inputs.poll_recv(cx) {
                return Poll::Ready(input);
            }
            self.over = Some(ready!(self.poll_over(cx)));
        }
    }

    /// Returns the next input in the queue, without waiting.
    pub(crate) fn next_buffered(&mut self) -> Option<PeerInput> {
        self.inputs.try_recv().ok()
    }

    fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<(ConnectionId, String)> {
        loop {
            // An empty set is never ready: new connections come with the next turn.
            let Some(done) = ready!(self.tasks.poll_join_next_with_id(cx)) else {
                return Poll::Pending;
            };
            let (task, reason) = match done {
                Ok((task, reason)) => (task, reason),
                Err(error) => (error.id(), format!("the transport failed: {error}")),
            };
            if let Some(conn) = self.conns.remove(&task) {
                return Poll::Ready((conn, reason));
            }
        }
    }

    /// Waits until commands have gone out, and exchanges their numbers for `empty`. Leaves out
    /// those of connections that have ended.
    pub(crate) fn poll_sent(&mut self, cx: &mut Context<'_>, empty: &mut Sent) -> Poll<()> {
        ready!(self.reports.poll_take(cx, empty));
        empty.retain(|(conn, _)| self.open.contains_key(conn));
        Poll::Ready(())
    }

    /// Sends a command to each connection of the audience, once [`Peers::flush`] is called.
    pub(crate) fn broadcast(&mut self, audience: &Arc<Audience>, command: &Command) {
        if !self.gather.targets_audience(audience) {
            let members = audience.connections().iter().filter_map(|conn| self.open.get(conn));
            self.gather.target_audience(audience, members.map(|open| (open.dialect, &open.outbox)));
        }
        self.gather.add(command);
    }

    /// Sends a command to one connection, once [`Peers::flush`] is called; without effect if the
    /// connection is gone.
    pub(crate) fn send(&mut self, conn: ConnectionId, command: &Command) {
        if !self.gather.is_at_one(conn) {
            let Some(open) = self.open.get(&conn) else { return };
            self.gather.aim_at_one(conn, open.dialect, &open.outbox);
        }
        self.gather.add(command);
    }

    /// Hands over what was sent since the last time. To be called at the end of each turn.
    pub(crate) fn flush(&mut self) {
        self.gather.flush();
    }

    /// Closes a connection after what was sent on it has gone out.
    pub(crate) fn close(&mut self, conn: ConnectionId) {
        self.gather.flush();
        if let Some(open) = self.open.get(&conn) {
            open.outbox.close();
        }
    }
}

#[cfg(test)]
mod tests;
