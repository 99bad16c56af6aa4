//! The loop between the core and the world. Bytes, fetched pages, appended tokens, calls of the
//! application and time enter the core as inputs; its actions are carried out in order. The driver
//! decides nothing, and while the application's queue is full it reads nothing that would fill it
//! (F9).

mod queries;
mod timing;

use std::{
    collections::BTreeMap,
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll},
};

use synrepl_core::{
    Action, ByteString, Channel, ConnectionId, Event, FetchId, Input, Node, NotSentReason,
    Printable, ReadId, Timestamp, WaitId, WaitOutcome, Warning,
    stream::{FetchError, LogError, Span, Token},
    wire::Command,
};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use self::{
    queries::{Answer, Queries},
    timing::{Stop, Timer},
};
use crate::{
    clock::Clock,
    error::{DriverError, SendError},
    events,
    fetch::{FetchRequest, FetchSource},
    handle::Request,
    log::{LogEnds, LogStore},
    record::Recorder,
    session::Session,
    tcp::{PeerInput, Peers, Sent},
    transport::{Connector, READ_BYTES, SocketConnector},
};

/// The number of messages that are taken from the read buffer before other inputs get a turn. A
/// full read buffer holds some 300 of the usual size.
const MESSAGES_PER_TURN: u32 = 512;

/// The number of waiting calls of the application, or lines of peers, that are taken together: what
/// they cause to be sent goes out with one write.
const CALLS_PER_TURN: u32 = 64;

/// The driver, to be placed by the caller: its future [`Driver::run`] runs until the replication
/// stops.
#[must_use = "nothing happens until the driver runs"]
pub struct Driver<C: Connector = SocketConnector> {
    node: Node,
    clock: Clock,
    session: Session<C>,
    peers: Peers,
    fetch_source: Arc<dyn FetchSource>,
    fetches: Queries<FetchId, (), FetchError>,
    log: Option<Arc<dyn LogStore>>,
    log_ends: LogEnds,
    log_reads: Queries<ReadId, ByteString, LogError>,
    events: events::Sender,
    /// Whether the queue of events has room. While it has none, own streams that were published are
    /// kept in `published`.
    room: bool,
    published: BTreeMap<ByteString, Token>,
    requests: Option<mpsc::Receiver<Request>>,
    waits: BTreeMap<WaitId, oneshot::Sender<WaitOutcome>>,
    recorder: Option<Box<dyn Recorder>>,
    timer: Timer,
    stop: Stop,
    /// The result of the command that the application is sending.
    sent: Result<(), SendError>,
    /// The numbers of commands that have gone out to peers, to be handed to the core.
    taken: Sent,
    /// The memory in bytes that rows of the main connection may keep alive, read since the last
    /// event: it counts with the next event.
    read_bytes: usize,
    /// The memory in bytes that the line of a peer which is being handled may keep alive.
    peer_bytes: usize,
    /// The index of the lane that is polled first.
    first_lane: usize,
    stopped: bool,
}

/// The parts of a driver, besides the core.
pub(crate) struct Parts<C: Connector> {
    pub(crate) session: Session<C>,
    pub(crate) peers: Peers,
    pub(crate) fetch_source: Arc<dyn FetchSource>,
    pub(crate) log: Option<Arc<dyn LogStore>>,
    pub(crate) log_ends: LogEnds,
    pub(crate) events: events::Sender,
    pub(crate) requests: mpsc::Receiver<Request>,
    pub(crate) recorder: Option<Box<dyn Recorder>>,
    pub(crate) stop: CancellationToken,
    pub(crate) clock: Clock,
}

/// The cause of a turn of the loop.
enum Wakeup {
    Stop,
    Time,
    Fetched(Answer<FetchId, (), FetchError>),
    LogRead(Answer<ReadId, ByteString, LogError>),
    Appended(ByteString, Token),
    /// Commands have gone out to peers; their numbers are in [`Driver::taken`].
    Taken,
    Accepted(Input),
    Peer(PeerInput),
    Request(Request),
    RequestsClosed,
    Session(Input),
}

/// A cause of wake-ups, besides stop and time.
#[derive(Clone, Copy)]
enum Lane {
    Fetches,
    LogReads,
    LogEnds,
    Taken,
    Accepted,
    Peers,
    Requests,
    Session,
}

const LANES: [Lane; 8] = [
    Lane::Fetches,
    Lane::LogReads,
    Lane::LogEnds,
    Lane::Taken,
    Lane::Accepted,
    Lane::Peers,
    Lane::Requests,
    Lane::Session,
];

impl<C: Connector> Driver<C> {
    pub(crate) fn new(node: Node, parts: Parts<C>) -> Self {
        Self {
            node,
            clock: parts.clock,
            session: parts.session,
            peers: parts.peers,
            fetch_source: parts.fetch_source,
            fetches: Queries::new(),
            log: parts.log,
            log_ends: parts.log_ends,
            log_reads: Queries::new(),
            events: parts.events,
            room: true,
            published: BTreeMap::new(),
            requests: Some(parts.requests),
            waits: BTreeMap::new(),
            recorder: parts.recorder,
            timer: Timer::default(),
            stop: Stop::new(parts.stop),
            sent: Ok(()),
            taken: Sent::new(),
            read_bytes: 0,
            peer_bytes: 0,
            first_lane: 0,
            stopped: false,
        }
    }

    /// Runs the replication until [`Handle::shutdown`](crate::Handle::shutdown) is called or the
    /// [`Replication`](crate::Replication) is dropped. A lost connection is no end: it is made
    /// anew.
    ///
    /// # Errors
    /// [`DriverError`] on a defect of this crate.
    ///
    /// # Cancel safety
    /// Dropping the future closes the connections and ends the events without
    /// [`Event::Stopped`].
    pub async fn run(mut self) -> Result<(), DriverError> {
        self.peers.start();
        self.drain();
        while !self.stopped {
            self.peers.flush();
            self.events.publish();
            self.timer.set(self.node.poll_timeout().map(|at| self.clock.instant(at)));
            let wakeup = poll_fn(|cx| self.poll_wakeup(cx)).await;
            self.turn(wakeup).await?;
        }
        self.events.publish();
        if let Some(recorder) = &mut self.recorder {
            recorder.finish();
        }
        Ok(())
    }

    /// Waits for the next cause of a turn: stop and time before anything else, then the lanes in
    /// their fixed order, begun behind the one that came last, so that none ever waits for more
    /// than the others' one turn each and a run on a simulated network can be repeated. Nothing is
    /// lost when it is pending.
    fn poll_wakeup(&mut self, cx: &mut Context<'_>) -> Poll<Wakeup> {
        if self.stop.poll(cx).is_ready() {
            return Poll::Ready(Wakeup::Stop);
        }
        if self.timer.poll(cx).is_ready() {
            return Poll::Ready(Wakeup::Time);
        }
        self.room = self.events.poll_room(cx).is_ready();
        if self.room {
            self.notify_published();
        }
        for step in 0..LANES.len() {
            let place = (self.first_lane + step) % LANES.len();
            if let Poll::Ready(wakeup) = self.poll_lane(LANES[place], cx) {
                self.first_lane = place + 1;
                return Poll::Ready(wakeup);
            }
        }
        Poll::Pending
    }

    fn poll_lane(&mut self, lane: Lane, cx: &mut Context<'_>) -> Poll<Wakeup> {
        match lane {
            // While the application's queue is full nothing is read that would fill it further.
            Lane::Fetches if self.room => self.fetches.poll(cx).map(Wakeup::Fetched),
            // The core limits how many rows may be unconfirmed; this limits the bytes that wait
            // here.
            Lane::LogReads if !self.session.is_output_long() => {
                self.log_reads.poll(cx).map(Wakeup::LogRead)
            }
            Lane::LogEnds => {
                self.log_ends.poll_next(cx).map(|(stream, token)| Wakeup::Appended(stream, token))
            }
            Lane::Taken => {
                self.taken.clear();
                self.peers.poll_sent(cx, &mut self.taken).map(|()| Wakeup::Taken)
            }
            Lane::Accepted if self.has_room_for_peers() => {
                self.peers.poll_accepted(cx).map(Wakeup::Accepted)
            }
            Lane::Peers if self.has_room_for_peers() => self.peers.poll_input(cx).map(Wakeup::Peer),
            Lane::Requests if !self.session.is_output_full() => {
                let Some(requests) = &mut self.requests else { return Poll::Pending };
                let request = std::task::ready!(requests.poll_recv(cx));
                Poll::Ready(request.map_or(Wakeup::RequestsClosed, Wakeup::Request))
            }
            Lane::Session => self.session.poll(cx, self.room).map(Wakeup::Session),
            Lane::Fetches | Lane::LogReads | Lane::Accepted | Lane::Peers | Lane::Requests => {
                Poll::Pending
            }
        }
    }

    fn has_room_for_peers(&self) -> bool {
        self.room || self.events.has_room_for_peers()
    }

    async fn turn(&mut self, wakeup: Wakeup) -> Result<(), DriverError> {
        let now = self.clock.now();
        match wakeup {
            Wakeup::Stop => {
                self.peers.stop_accepting();
                // What was appended before the shutdown is still to go out.
                while let Some((stream, token)) = self.log_ends.take() {
                    self.handle(now, Input::Appended { stream, token })?;
                }
                self.handle(now, Input::Shutdown)
            }
            Wakeup::Time => self.handle(now, Input::Tick),
            Wakeup::Fetched(Answer { query, outcome, .. }) => {
                let result = outcome.unwrap_or_else(|message| {
                    let endpoint = "the fetch source".to_owned();
                    Err(FetchError::Unreachable { endpoint, message })
                });
                self.handle(now, Input::Fetched { query, result })
            }
            Wakeup::LogRead(Answer { query, about: stream, outcome }) => {
                let result = outcome.unwrap_or_else(|message| {
                    Err(LogError { stream: stream.to_string(), message })
                });
                self.handle(now, Input::LogRead { query, result })?;
                // Peers get the time to take a page before the next one comes.
                self.peers.flush();
                tokio::task::yield_now().await;
                Ok(())
            }
            Wakeup::Appended(stream, token) => self.handle(now, Input::Appended { stream, token }),
            Wakeup::Taken => self.on_sent_to_peers(now),
            Wakeup::Accepted(input) => self.handle(now, input),
            Wakeup::Peer(input) => self.on_peer(now, input),
            Wakeup::Request(request) => self.on_requests(now, request),
            Wakeup::RequestsClosed => {
                self.requests = None;
                Ok(())
            }
            Wakeup::Session(input) => self.on_network(now, input).await,
        }
    }
}

impl<C: Connector> Driver<C> {
    /// Hands an input to the core and carries out the actions that follow.
    #[inline]
    fn handle(&mut self, now: Timestamp, input: Input) -> Result<(), DriverError> {
        if let Some(recorder) = &mut self.recorder {
            recorder.input(now, &input);
        }
        self.node.handle(now, input)?;
        self.drain();
        Ok(())
    }

    /// Hands a message to the core, and those that were read with it; then others get a turn.
    async fn on_network(&mut self, now: Timestamp, first: Input) -> Result<(), DriverError> {
        // Capped at two buffers, however many messages led to no event.
        let read_bytes = self.read_bytes + self.session.take_bytes_read();
        self.read_bytes = read_bytes.min(2 * READ_BYTES);
        let mut next = Some(first);
        let mut left = MESSAGES_PER_TURN;
        while let Some(input) = next {
            self.handle(now, input)?;
            left -= 1;
            if left == 0 || self.events.is_chunk_full() {
                self.peers.flush();
                self.events.publish();
                tokio::task::yield_now().await;
                break;
            }
            next = self.session.next_buffered();
        }
        Ok(())
    }

    /// Hands the line of a peer to the core, and those that wait with it.
    fn on_peer(&mut self, now: Timestamp, first: PeerInput) -> Result<(), DriverError> {
        let mut next = Some(first);
        let mut left = CALLS_PER_TURN;
        while let Some(PeerInput { input, bytes_read }) = next {
            self.peer_bytes = bytes_read;
            self.handle(now, input)?;
            self.peer_bytes = 0;
            left -= 1;
            next = if left > 0 { self.peers.next_buffered() } else { None };
        }
        Ok(())
    }

    fn on_sent_to_peers(&mut self, now: Timestamp) -> Result<(), DriverError> {
        let taken = std::mem::take(&mut self.taken);
        for &(conn, count) in &taken {
            self.handle(now, Input::Sent { conn, count })?;
        }
        // The memory of the list is used again.
        self.taken = taken;
        Ok(())
    }

    /// Handles a call of the application, and those that wait with it.
    fn on_requests(&mut self, now: Timestamp, first: Request) -> Result<(), DriverError> {
        let mut next = Some(first);
        let mut left = CALLS_PER_TURN;
        while let Some(request) = next {
            self.on_request(now, request)?;
            left -= 1;
            next = match &mut self.requests {
                Some(requests) if left > 0 && !self.session.is_output_full() => {
                    requests.try_recv().ok()
                }
                _ => None,
            };
        }
        Ok(())
    }

    fn on_request(&mut self, now: Timestamp, request: Request) -> Result<(), DriverError> {
        match request {
            Request::Send { command, reply } => {
                self.sent = Ok(());
                self.handle(now, Input::Send { command })?;
                // A caller that no longer waits needs no answer.
                let _ = reply.send(std::mem::replace(&mut self.sent, Ok(())));
            }
            Request::WaitFor { wait, source, token, timeout, reply } => {
                self.waits.insert(wait, reply);
                let deadline = now + timeout;
                self.handle(now, Input::WaitFor { wait, source, token, deadline })?;
            }
            Request::CancelWait(wait) => {
                self.waits.remove(&wait);
                self.handle(now, Input::CancelWait { wait })?;
            }
            Request::Syncing { user, device, syncing } => {
                let at_ms = self.clock.unix_ms();
                self.handle(now, Input::Syncing { user, device, syncing, at_ms })?;
            }
            Request::Stats(reply) => {
                let _ = reply.send(self.node.stats());
            }
        }
        Ok(())
    }

    fn send(&mut self, conn: ConnectionId, channel: Channel, command: &Command) {
        if let Err(error) = self.session.send(conn, channel, command) {
            tracing::warn!(command = command.name(), %error, "command not sent");
            self.sent = Err(SendError::Unencodable { problem: error.to_string() });
        }
    }

    fn drain(&mut self) {
        while let Some(action) = self.node.poll_action() {
            if let Some(recorder) = &mut self.recorder {
                recorder.action(&action);
            }
            match action {
                Action::Notify(event) => self.notify(event),
                Action::Send { conn, command, .. } if conn.is_accepted() => {
                    self.peers.send(conn, &command);
                }
                Action::Broadcast { audience, command } => {
                    self.peers.broadcast(&audience, &command);
                }
                Action::Send { conn, channel, command } => self.send(conn, channel, &command),
                Action::Fetch { query, source, span } => {
                    tracing::debug!(%query, %source, %span, "fetch");
                    let answer = self.fetch_source.fetch(FetchRequest::new(source, span));
                    self.fetches.start(query, (), answer);
                }
                Action::ReadLog { query, stream, span, rows_max } => {
                    self.read_log(query, stream, span, rows_max);
                }
                Action::CancelFetch { query } => self.fetches.cancel(query),
                Action::Connect { conn } => self.session.connect(conn),
                Action::Close { conn } if conn.is_accepted() => self.peers.close(conn),
                Action::Close { conn } => self.session.close(conn),
                // An action of a later core that this driver does not know cannot be carried out;
                // both are released together.
                _ => tracing::error!("the core asked for something this driver does not know"),
            }
        }
    }

    fn read_log(&mut self, query: ReadId, stream: ByteString, span: Span, rows_max: u32) {
        let about = stream.clone();
        match &self.log {
            Some(log) => {
                let answer = log.read(stream, span, rows_max);
                self.log_reads.start(query, about, answer);
            }
            None => {
                let message = "this instance was built without a log".to_owned();
                let error = LogError { stream: stream.to_string(), message };
                self.log_reads.start(query, about, std::future::ready(Err(error)));
            }
        }
    }

    /// Notifies the application of how far own streams have been published, once the queue has room
    /// again.
    fn notify_published(&mut self) {
        while let Some((stream, token)) = self.published.pop_first() {
            self.events.push(Event::Published { stream, token }, 0);
        }
        self.events.publish();
    }

    #[inline]
    fn notify(&mut self, event: Event) {
        match &event {
            Event::Rows { .. } | Event::Position { .. } => {}
            Event::Published { stream, token } if !self.room => {
                self.published.insert(stream.clone(), *token);
                return;
            }
            Event::WaitEnded { wait, outcome } => {
                // The outcome of a wait goes to its caller alone, not into the queue of events.
                if let Some(reply) = self.waits.remove(wait) {
                    let _ = reply.send(*outcome);
                }
                return;
            }
            Event::Warning(Warning::NotSent { reason, .. }) => {
                self.sent = Err(match reason {
                    NotSentReason::ObserveOnly => SendError::ObserveOnly,
                    NotSentReason::NotForClients => SendError::NotForClients,
                    NotSentReason::OnlyFromLog => SendError::OnlyFromLog,
                    NotSentReason::Disconnected | _ => SendError::Disconnected,
                });
            }
            Event::Stopped => self.stopped = true,
            Event::Connected { conn } => tracing::info!(%conn, "connected"),
            Event::Disconnected { conn, reason, .. } => {
                tracing::warn!(%conn, reason = %Printable::foreign(reason), "disconnected");
            }
            Event::Gap { source, span: Span { from, upto }, reason } => {
                tracing::warn!(%source, %from, %upto, %reason, "rows are missing");
            }
            Event::Reset { source, from, token } => {
                tracing::info!(%source, %from, %token, "tokens start over");
            }
            Event::Discontinuity { source, position, why } => {
                tracing::error!(%source, %position, %why, "the log is another one");
            }
            Event::Rewound { source, from, to } => {
                tracing::warn!(%source, %from, %to, "the log was restored and goes back");
            }
            Event::CatchingUp { source, span: Span { from, upto } } => {
                tracing::debug!(%source, %from, %upto, "catching up");
            }
            Event::NotLive { source, token } => tracing::info!(%source, %token, "not live"),
            Event::Live { source, token } => tracing::debug!(%source, %token, "live"),
            Event::PeerConnected { conn, dialect } => {
                tracing::info!(%conn, %dialect, "peer connected")
            }
            Event::PeerDisconnected { conn, reason } => {
                tracing::info!(%conn, reason = %Printable::foreign(reason), "peer disconnected");
            }
            Event::Command { .. } | Event::Warning(_) | _ => {}
        }
        let held_bytes =
            std::mem::take(&mut self.read_bytes) + std::mem::take(&mut self.peer_bytes);
        self.events.push(event, held_bytes);
    }
}
