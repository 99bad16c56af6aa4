//! The loop between the core and the world. It decides nothing.

use std::{
    collections::BTreeMap,
    future::{Future as _, poll_fn},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use synrepl_core::{
    Action, Event, Input, Node, NotSentReason, QueryId, Timestamp, WaitId, WaitOutcome, Warning,
    stream::{FetchError, Page},
};
use tokio::{
    sync::{mpsc, oneshot},
    task::{AbortHandle, JoinSet},
    time::{Instant, Sleep, sleep_until},
};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::{
    clock::Clock,
    error::{DriverError, SendError},
    events,
    fetch::{FetchRequest, FetchSource},
    handle::Request,
    record::Recorder,
    redis::{Bus, Session},
    transport::{Connector, SocketConnector},
};

/// Messages taken from the read buffer before anything else gets a turn. A full read buffer holds
/// some 300 of the usual size.
const MESSAGES_PER_TURN: u32 = 512;

/// The driver, to be placed by the caller: a future that runs until the replication stops.
#[must_use = "nothing happens until the driver runs"]
pub struct Driver<C: Connector = SocketConnector> {
    node: Node,
    clock: Clock,
    session: Session<C>,
    fetches: Fetches,
    events: events::Sender,
    requests: Option<mpsc::Receiver<Request>>,
    waits: BTreeMap<WaitId, oneshot::Sender<WaitOutcome>>,
    recorder: Option<Box<dyn Recorder>>,
    timer: Timer,
    stop: Stop,
    /// What became of the command that the application is sending.
    sent: Result<(), SendError>,
    stopped: bool,
}

/// What the driver is made of, besides the core.
pub(crate) struct Parts<C: Connector> {
    pub(crate) bus: Bus<C>,
    pub(crate) fetch_source: Arc<dyn FetchSource>,
    pub(crate) events: events::Sender,
    pub(crate) requests: mpsc::Receiver<Request>,
    pub(crate) recorder: Option<Box<dyn Recorder>>,
    pub(crate) stop: CancellationToken,
    pub(crate) clock: Clock,
}

/// What a turn begins with.
enum Wakeup {
    Stop,
    Time,
    Fetched(QueryId, Result<Page, FetchError>),
    Request(Request),
    RequestsClosed,
    Session(Input),
}

impl<C: Connector> Driver<C> {
    pub(crate) fn new(node: Node, parts: Parts<C>) -> Self {
        Self {
            node,
            clock: parts.clock,
            session: Session::new(parts.bus),
            fetches: Fetches::new(parts.fetch_source),
            events: parts.events,
            requests: Some(parts.requests),
            waits: BTreeMap::new(),
            recorder: parts.recorder,
            timer: Timer::default(),
            stop: Stop::new(parts.stop),
            sent: Ok(()),
            stopped: false,
        }
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
    pub async fn run(mut self) -> Result<(), DriverError> {
        self.drain();
        while !self.stopped {
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

    /// What comes first, in this fixed order, so that a run on a simulated network can be
    /// repeated: stop, time, answers, application, network. Nothing is lost when it is pending.
    fn poll_wakeup(&mut self, cx: &mut Context<'_>) -> Poll<Wakeup> {
        if self.stop.poll(cx).is_ready() {
            return Poll::Ready(Wakeup::Stop);
        }
        if self.timer.poll(cx).is_ready() {
            return Poll::Ready(Wakeup::Time);
        }
        // While the application's queue is full nothing is read that would fill it further.
        let room = self.events.poll_room(cx).is_ready();
        if room && let Poll::Ready((query, result)) = self.fetches.poll(cx) {
            return Poll::Ready(Wakeup::Fetched(query, result));
        }
        if !self.session.is_output_full()
            && let Some(requests) = &mut self.requests
            && let Poll::Ready(request) = requests.poll_recv(cx)
        {
            return Poll::Ready(request.map_or(Wakeup::RequestsClosed, Wakeup::Request));
        }
        self.session.poll(cx, room).map(Wakeup::Session)
    }

    async fn turn(&mut self, wakeup: Wakeup) -> Result<(), DriverError> {
        let now = self.clock.now();
        match wakeup {
            Wakeup::Stop => self.handle(now, Input::Shutdown),
            Wakeup::Time => self.handle(now, Input::Tick),
            Wakeup::Fetched(query, result) => self.handle(now, Input::Fetched { query, result }),
            Wakeup::Request(request) => self.on_request(now, request),
            Wakeup::RequestsClosed => {
                self.requests = None;
                Ok(())
            }
            Wakeup::Session(input) => self.on_network(now, input).await,
        }
    }
}

impl<C: Connector> Driver<C> {
    /// Tells the core, and does what it asks for.
    #[inline]
    fn handle(&mut self, now: Timestamp, input: Input) -> Result<(), DriverError> {
        if let Some(recorder) = &mut self.recorder {
            recorder.input(now, &input);
        }
        self.node.handle(now, input)?;
        self.drain();
        Ok(())
    }

    /// Hands a message to the core, and those that were read with it. Then others get a turn.
    async fn on_network(&mut self, now: Timestamp, first: Input) -> Result<(), DriverError> {
        let mut next = Some(first);
        let mut left = MESSAGES_PER_TURN;
        while let Some(input) = next {
            self.handle(now, input)?;
            left -= 1;
            if left == 0 || self.events.is_chunk_full() {
                self.events.publish();
                tokio::task::yield_now().await;
                break;
            }
            next = self.session.next_buffered();
        }
        Ok(())
    }

    fn on_request(&mut self, now: Timestamp, request: Request) -> Result<(), DriverError> {
        match request {
            Request::Send { command, reply } => {
                self.sent = Ok(());
                self.handle(now, Input::Send { command })?;
                // Nobody minds an answer that is no longer waited for.
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
            Request::Stats(reply) => {
                let _ = reply.send(self.node.stats());
            }
        }
        Ok(())
    }

    fn drain(&mut self) {
        while let Some(action) = self.node.poll_action() {
            if let Some(recorder) = &mut self.recorder {
                recorder.action(&action);
            }
            match action {
                Action::Notify(event) => self.notify(event),
                Action::Send { conn, command } => {
                    if let Err(error) = self.session.send(conn, &command) {
                        tracing::warn!(command = command.name(), %error, "command not sent");
                        self.sent = Err(SendError::Unencodable { problem: error.to_string() });
                    }
                }
                Action::Fetch { query, source, from, upto } => {
                    self.fetches.start(query, FetchRequest::new(source, from, upto));
                }
                Action::CancelFetch { query } => self.fetches.cancel(query),
                Action::Connect { conn } => self.session.connect(conn),
                Action::Close { conn } => self.session.close(conn),
                // An action of a later core that this driver does not know cannot be carried
                // out; both are released together.
                _ => tracing::error!("the core asked for something this driver does not know"),
            }
        }
    }

    #[inline]
    fn notify(&mut self, event: Event) {
        match &event {
            Event::Rows { .. } | Event::Position { .. } => {}
            Event::WaitEnded { wait, outcome } => {
                // Waits belong to their callers, not to the stream of events.
                if let Some(reply) = self.waits.remove(wait) {
                    let _ = reply.send(*outcome);
                }
                return;
            }
            Event::Warning(Warning::NotSent { reason, .. }) => {
                self.sent = Err(match reason {
                    NotSentReason::ObserveOnly => SendError::ObserveOnly,
                    NotSentReason::Disconnected | _ => SendError::Disconnected,
                });
            }
            Event::Stopped => self.stopped = true,
            Event::Connected { conn } => tracing::info!(%conn, "connected"),
            Event::Disconnected { conn, reason, .. } => {
                tracing::warn!(%conn, reason, "disconnected");
            }
            Event::Gap { source, from, upto, .. } => {
                tracing::warn!(%source, %from, %upto, "rows are missing");
            }
            Event::Reset { source, from, token } => {
                tracing::info!(%source, %from, %token, "tokens start over");
            }
            Event::CatchingUp { source, from, upto } => {
                tracing::debug!(%source, %from, %upto, "catching up");
            }
            Event::NotLive { source, token } => tracing::info!(%source, %token, "not live"),
            Event::Live { source, token } => tracing::debug!(%source, %token, "live"),
            Event::Command { .. } | Event::Warning(_) | _ => {}
        }
        let held_bytes = self.session.take_bytes_read();
        self.events.push(event, held_bytes);
    }
}

/// The fetches in flight.
struct Fetches {
    source: Arc<dyn FetchSource>,
    tasks: JoinSet<Result<Page, FetchError>>,
    queries: BTreeMap<tokio::task::Id, QueryId>,
    aborts: BTreeMap<QueryId, AbortHandle>,
}

impl Fetches {
    fn new(source: Arc<dyn FetchSource>) -> Self {
        Self { source, tasks: JoinSet::new(), queries: BTreeMap::new(), aborts: BTreeMap::new() }
    }

    fn start(&mut self, query: QueryId, request: FetchRequest) {
        tracing::debug!(
            %query, source = %request.source, from = %request.from, upto = %request.upto, "fetch"
        );
        let task = self.tasks.spawn(self.source.fetch(request));
        self.queries.insert(task.id(), query);
        self.aborts.insert(query, task);
    }

    fn cancel(&mut self, query: QueryId) {
        if let Some(task) = self.aborts.remove(&query) {
            task.abort();
        }
    }

    /// The next answer.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<(QueryId, Result<Page, FetchError>)> {
        loop {
            // An empty set is never done: new fetches come with the next turn.
            let Some(done) = std::task::ready!(self.tasks.poll_join_next_with_id(cx)) else {
                return Poll::Pending;
            };
            let (task, result) = match done {
                Ok((task, result)) => (task, result),
                Err(error) if error.is_cancelled() => {
                    self.queries.remove(&error.id());
                    continue;
                }
                Err(error) => (
                    error.id(),
                    Err(FetchError::Unreachable {
                        endpoint: "the fetch source".to_owned(),
                        message: format!("it panicked: {error}"),
                    }),
                ),
            };
            let Some(query) = self.queries.remove(&task) else { continue };
            self.aborts.remove(&query);
            return Poll::Ready((query, result));
        }
    }
}

/// The core's next deadline.
#[derive(Default)]
struct Timer {
    sleep: Option<Pin<Box<Sleep>>>,
    armed: bool,
}

impl Timer {
    /// Sets the deadline. Costs next to nothing when it has not changed.
    fn set(&mut self, deadline: Option<Instant>) {
        self.armed = deadline.is_some();
        match (&mut self.sleep, deadline) {
            (Some(sleep), Some(deadline)) if sleep.deadline() != deadline => {
                sleep.as_mut().reset(deadline);
            }
            (None, Some(deadline)) => self.sleep = Some(Box::pin(sleep_until(deadline))),
            (_, _) => {}
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.sleep {
            Some(sleep) if self.armed => sleep.as_mut().poll(cx),
            _ => Poll::Pending,
        }
    }
}

/// The wish to stop, reported once.
struct Stop(Option<Pin<Box<WaitForCancellationFutureOwned>>>);

impl Stop {
    fn new(token: CancellationToken) -> Self {
        Self(Some(Box::pin(token.cancelled_owned())))
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(cancelled) = &mut self.0 else { return Poll::Pending };
        std::task::ready!(cancelled.as_mut().poll(cx));
        self.0 = None;
        Poll::Ready(())
    }
}
