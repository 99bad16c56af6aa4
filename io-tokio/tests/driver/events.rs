//! The driver against a scripted Redis server: events come with the positions to save, a slow
//! application loses nothing, a shutdown ends in order, and a recorded run replays alike.

use std::{
    future::Future as _,
    pin::pin,
    sync::{Arc, Mutex},
    task::{Context, Waker},
    time::Duration,
};

use crate::scripted::{PRIMARY, Pages, Peer, Redis, builder, network};
use synrepl::{
    Command, Config, Event, Positions, Recorder, Replication, SendError, Source, Timestamp, Token,
    WaitError,
    core::{
        Action, Input, Node, Origin,
        stream::{FetchError, Page},
    },
};

/// The token, rows and origin of the next `Rows`.
async fn next_rows(replication: &mut Replication) -> (Token, Vec<String>, Origin) {
    loop {
        if let Event::Rows { token, rows, origin, .. } =
            replication.next().await.expect("the driver stopped")
        {
            return (token, rows.iter().map(|row| row.as_str().to_owned()).collect(), origin);
        }
    }
}

async fn until_live(replication: &mut Replication) {
    while !matches!(replication.next().await.expect("stopped"), Event::Live { .. }) {}
}

/// Plays the server until the driver is live on events/p1 at 0.
async fn live(redis: &mut Redis, replication: &mut Replication) {
    redis.expect_publish("REPLICATE ").await;
    redis.message("POSITION events p1 0 0").await;
    until_live(replication).await;
}

#[tokio::test]
async fn rows_come_with_the_positions_to_save() {
    let (script, mut network) = network();
    let mut replication = builder(script).spawn().unwrap();
    let mut redis = network.log_in().await;
    live(&mut redis, &mut replication).await;
    redis.message("RDATA events p1 batch [1]").await;
    redis.message("RDATA events p1 1 [2]").await;
    redis.message("RDATA events p1 2 [3]").await;
    let rows = next_rows(&mut replication).await;
    assert_eq!(rows, (Token::new(1), vec!["[1]".to_owned(), "[2]".to_owned()], Origin::Live));
    // The row of token 2 may have arrived, but was not handed out.
    assert_eq!(replication.positions().get(&Source::new("events", "p1")), Some(Token::new(1)));
    next_rows(&mut replication).await;
    assert_eq!(replication.positions().get(&Source::new("events", "p1")), Some(Token::new(2)));
}

#[tokio::test]
async fn missed_rows_are_fetched_and_live_ones_follow() {
    let (script, mut network) = network();
    let mut saved = Positions::new();
    saved.set(&Source::new("events", "p1"), Token::new(5));
    let page = Page {
        updates: vec![(Token::new(6), "[6]".into()), (Token::new(8), "[8]".into())],
        upto: Token::new(8),
        limited: false,
    };
    let pages = Pages::new([Ok(page)]);
    let mut replication = builder(script).positions(saved).fetch_source(pages).spawn().unwrap();
    let mut redis = network.log_in().await;
    redis.expect_publish("REPLICATE ").await;
    redis.message("POSITION events p1 8 8").await;
    redis.message("RDATA events p1 9 [9]").await;
    for (token, origin) in [(6, Origin::CatchUp), (8, Origin::CatchUp), (9, Origin::Live)] {
        let expected = (Token::new(token), vec![format!("[{token}]")], origin);
        assert_eq!(next_rows(&mut replication).await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_fetch_source_that_panics_is_a_failed_fetch() {
    struct Panics;
    impl synrepl::FetchSource for Panics {
        fn fetch(&self, _request: synrepl::FetchRequest) -> synrepl::FetchFuture {
            Box::pin(async { panic!("on purpose") })
        }
    }
    let (script, mut network) = network();
    let mut saved = Positions::new();
    saved.set(&Source::new("events", "p1"), Token::new(5));
    let mut replication = builder(script).positions(saved).fetch_source(Panics).spawn().unwrap();
    let mut redis = network.log_in().await;
    redis.message("POSITION events p1 8 8").await;
    loop {
        if let Event::Warning(synrepl::core::Warning::FetchFailed { error, .. }) =
            replication.next().await.unwrap()
        {
            assert!(matches!(&error, FetchError::Unreachable { .. }), "{error:?}");
            assert!(error.to_string().contains("panicked"), "{error}");
            break;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_fetch_that_is_no_longer_wanted_is_dropped() {
    /// A source that never answers; the sender in its future is dropped with it.
    struct Silent(tokio::sync::mpsc::Sender<()>);
    impl synrepl::FetchSource for Silent {
        fn fetch(&self, _request: synrepl::FetchRequest) -> synrepl::FetchFuture {
            let held = self.0.clone();
            Box::pin(async move {
                held.closed().await;
                unreachable!("the test keeps the receiver")
            })
        }
    }
    let (script, mut network) = network();
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    let mut replication = builder(script).fetch_source(Silent(sender)).spawn().unwrap();
    let mut redis = network.log_in().await;
    redis.message("POSITION typing p1 5 5").await;
    until_live(&mut replication).await;
    let idle = receiver.sender_strong_count();
    redis.message("POSITION typing p1 9 9").await;
    while receiver.sender_strong_count() == idle {
        replication.next().await.unwrap();
    }
    // The writer starts over: the fetch that runs is of an epoch that is gone.
    redis.message("POSITION typing p1 0 0").await;
    until_live(&mut replication).await;
    for _ in 0..1_000 {
        if receiver.sender_strong_count() == idle {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("the fetch goes on");
}

/// A number of rows that is far more than the queue and the sockets take.
const FLOOD: u64 = 5_000;

/// A driver whose application reads nothing while [`FLOOD`] rows come in, once it takes no more.
/// The last value is the number of rows that it took.
async fn flooded(
    configure: impl FnOnce(&mut synrepl::Limits),
) -> (Replication, tokio::task::JoinHandle<Peer>, u64) {
    let (script, mut network) = network();
    let mut replication = builder(script).limits(configure).spawn().unwrap();
    let mut redis = network.log_in().await;
    live(&mut redis, &mut replication).await;
    let Redis { mut publisher, mut subscriber } = redis;
    tokio::spawn(async move {
        while publisher.command().await.is_some() {
            publisher.say(PRIMARY).await;
        }
    });
    let flood = tokio::spawn(async move {
        for token in 1..=FLOOD {
            let row = "x".repeat(1_000);
            subscriber.message(&format!("RDATA events p1 {token} [\"{row}\"]")).await;
        }
        subscriber
    });
    let handle = replication.handle();
    let mut taken = u64::MAX;
    loop {
        for _ in 0..1_000 {
            tokio::task::yield_now().await;
        }
        let now = handle.stats().await.unwrap().rdata;
        if now == taken {
            return (replication, flood, taken);
        }
        taken = now;
    }
}

#[tokio::test]
async fn a_slow_application_stops_the_reading_and_loses_nothing() {
    // The driver may go one turn beyond the limit: a read buffer of 64 KiB holds that many of these
    // rows at most.
    for (events_max, bytes_max, at_most) in [(4, usize::MAX, 4 + 128), (usize::MAX, 4_000, 4 + 128)]
    {
        let (mut replication, flood, taken) = flooded(|limits| {
            limits.events_queued_max = events_max;
            limits.event_bytes_queued_max = bytes_max;
        })
        .await;
        assert!(taken > 0 && taken <= at_most, "{taken} rows were taken");
        for token in 1..=FLOOD {
            let (found, ..) = next_rows(&mut replication).await;
            assert_eq!(found.get().unsigned_abs(), token);
        }
        flood.await.unwrap();
    }
}

#[tokio::test]
async fn a_shutdown_gets_through_to_a_driver_whose_queue_is_full() {
    let (mut replication, flood, taken) = flooded(|limits| limits.events_queued_max = 4).await;
    replication.handle().shutdown();
    let mut rows = 0;
    let mut last = None;
    while let Some(event) = replication.next().await {
        rows += u64::from(matches!(event, Event::Rows { .. }));
        last = Some(event);
    }
    assert_eq!(rows, taken, "what was queued still comes");
    assert_eq!(last, Some(Event::Stopped));
    assert!(flood.await.is_err_and(|error| error.is_panic()), "the connection was closed");
}

#[tokio::test]
async fn a_dropped_replication_ends_a_driver_whose_queue_is_full() {
    let (replication, flood, _) = flooded(|limits| limits.events_queued_max = 4).await;
    let handle = replication.handle();
    drop(replication);
    while handle.stats().await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(flood.await.is_err_and(|error| error.is_panic()), "the connection was closed");
}

#[tokio::test]
async fn an_answered_fetch_waits_while_the_queue_is_full() {
    let (script, mut network) = network();
    let mut saved = Positions::new();
    saved.set(&Source::new("events", "p1"), Token::new(5));
    let page =
        Page { updates: vec![(Token::new(6), "[6]".into())], upto: Token::new(6), limited: false };
    let mut replication = builder(script)
        .positions(saved)
        .fetch_source(Pages::new([Ok(page)]))
        .limits(|limits| limits.events_queued_max = 2)
        .spawn()
        .unwrap();
    let mut redis = network.log_in().await;
    redis.expect_publish("REPLICATE ").await;
    // `Connected` and `CatchingUp` fill the queue.
    redis.message("POSITION events p1 6 6").await;
    let handle = replication.handle();
    while handle.stats().await.unwrap().fetches == 0 {
        tokio::task::yield_now().await;
    }
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    assert_eq!(handle.stats().await.unwrap().rows_caught_up, 0);
    assert_eq!(next_rows(&mut replication).await.0, Token::new(6));
}

#[tokio::test(start_paused = true)]
async fn a_long_pause_of_the_application_costs_no_healthy_connection() {
    let (mut replication, flood, _) = flooded(|limits| limits.events_queued_max = 4).await;
    // Twenty PINGs fall due; their answers can be read only afterwards.
    tokio::time::sleep(Duration::from_secs(600)).await;
    let answering = tokio::spawn(async move {
        let mut subscriber = flood.await.unwrap();
        while subscriber.command().await.is_some() {
            subscriber.say("*2\r\n$4\r\npong\r\n$0\r\n\r\n").await;
        }
    });
    for token in 1..=FLOOD {
        let event = replication.next().await;
        let Some(Event::Rows { token: found, .. }) = event else { panic!("{event:?}") };
        assert_eq!(found.get().unsigned_abs(), token);
    }
    answering.abort();
}

#[tokio::test]
async fn a_message_arrives_whole_however_large_and_in_whatever_pieces() {
    let (script, mut network) = network();
    let mut replication = builder(script).spawn().unwrap();
    let mut redis = network.log_in().await;
    live(&mut redis, &mut replication).await;
    let large = format!("[\"{}\"]", "x".repeat(900_000));
    redis.message(&format!("RDATA events p1 1 {large}")).await;
    assert_eq!(next_rows(&mut replication).await.1, [large]);
    let small =
        "*3\r\n$7\r\nmessage\r\n$11\r\nexample.com\r\n$24\r\nRDATA events p1 2 [\"ab\"]\r\n";
    for at in 0..small.len() {
        redis.subscriber.say(&small[at..=at]).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(next_rows(&mut replication).await.1, ["[\"ab\"]"]);
}

#[tokio::test]
async fn a_message_above_the_limit_ends_the_connection_and_says_so() {
    let (script, mut network) = network();
    let mut replication =
        builder(script).limits(|limits| limits.message_bytes_max = 100).spawn().unwrap();
    let mut redis = network.log_in().await;
    redis.message(&format!("RDATA events p1 1 [\"{}\"]", "x".repeat(100))).await;
    let reason = crate::scripted::disconnect_reason(&mut replication).await;
    assert!(reason.contains("at most 100 bytes"), "{reason}");
}

#[tokio::test]
async fn shutdown_returns_the_positions_of_what_was_handed_out() {
    let (script, mut network) = network();
    let mut replication = builder(script).spawn().unwrap();
    let mut redis = network.log_in().await;
    live(&mut redis, &mut replication).await;
    redis.message("RDATA events p1 1 [1]").await;
    redis.message("RDATA events p1 2 [2]").await;
    next_rows(&mut replication).await;
    let handle = replication.handle();
    while handle.stats().await.unwrap().rdata < 2 {}
    let positions = replication.shutdown().await;
    assert_eq!(positions.get(&Source::new("events", "p1")), Some(Token::new(1)));
    assert!(handle.stats().await.is_err());
}

#[tokio::test]
async fn what_was_sent_goes_out_before_the_connection_is_closed() {
    let (script, mut network) = network();
    let mut replication = builder(script).spawn().unwrap();
    let mut redis = network.log_in().await;
    live(&mut redis, &mut replication).await;
    let handle = replication.handle();
    // The command is longer than the network holds, so that most of it is still unsent at the
    // shutdown.
    let remote = "x".repeat(500_000);
    handle.send(Command::RemoteServerUp(remote.as_str().into())).await.unwrap();
    let stopping = tokio::spawn(replication.shutdown());
    redis.expect_publish(&format!("REMOTE_SERVER_UP {remote}")).await;
    redis.publisher.expect_close().await;
    redis.subscriber.expect_close().await;
    stopping.await.unwrap();
    let command = Command::RemoteServerUp("remote".into());
    assert_eq!(handle.send(command).await, Err(SendError::Stopped));
}

#[tokio::test]
async fn a_command_without_a_connection_or_a_wire_form_is_refused_to_its_caller() {
    let (script, mut network) = network();
    let replication = builder(script).spawn().unwrap();
    let handle = replication.handle();
    let command = Command::RemoteServerUp("remote".into());
    assert_eq!(handle.send(command.clone()).await, Err(SendError::Disconnected));
    let mut redis = network.log_in().await;
    redis.expect_publish("REPLICATE ").await;
    let unencodable = handle.send(Command::RemoteServerUp("two\nlines".into())).await;
    assert!(matches!(unencodable, Err(SendError::Unencodable { .. })), "{unencodable:?}");
    // Neither refusal hinders the next command.
    handle.send(command).await.unwrap();
    redis.expect_publish("REMOTE_SERVER_UP remote").await;
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_when_the_position_is_reached_or_the_time_is_over() {
    let (script, mut network) = network();
    let mut replication = builder(script).spawn().unwrap();
    let mut redis = network.log_in().await;
    live(&mut redis, &mut replication).await;
    let handle = replication.handle();
    let second = Duration::from_secs(1);
    let late = handle.wait_for("events", "p1", Token::new(3), second).await;
    assert_eq!(late, Err(WaitError::TimedOut { position: Some(Token::new(0)) }));
    let wait = handle.wait_for("events", "p1", Token::new(1), second);
    let row = redis.message("RDATA events p1 2 [2]");
    let (reached, ()) = tokio::join!(wait, row);
    assert_eq!(reached, Ok(Token::new(2)));
    // The results of waits go to their callers and are no events.
    next_rows(&mut replication).await;
    assert_eq!(replication.try_next(), None);
}

#[tokio::test]
async fn a_dropped_wait_is_given_up() {
    let (script, mut network) = network();
    let trace = Trace::default();
    let mut replication = builder(script).record(trace.clone()).spawn().unwrap();
    let mut redis = network.log_in().await;
    live(&mut redis, &mut replication).await;
    let handle = replication.handle();
    {
        let wait = handle.wait_for("events", "p1", Token::new(3), Duration::from_secs(60));
        let mut wait = pin!(wait);
        let mut cx = Context::from_waker(Waker::noop());
        assert!(wait.as_mut().poll(&mut cx).is_pending());
        handle.stats().await.unwrap();
        assert!(wait.as_mut().poll(&mut cx).is_pending());
    }
    handle.stats().await.unwrap();
    let trace = trace.0.lock().unwrap();
    assert!(trace.steps.iter().any(|(_, input, _)| matches!(input, Input::CancelWait { .. })));
}

#[tokio::test]
async fn a_dropped_next_loses_no_event() {
    let (script, mut network) = network();
    let mut replication = builder(script).spawn().unwrap();
    let mut redis = network.log_in().await;
    live(&mut redis, &mut replication).await;
    for token in 1..=100 {
        {
            let mut next = pin!(replication.next());
            let mut cx = Context::from_waker(Waker::noop());
            assert!(next.as_mut().poll(&mut cx).is_pending());
            redis.message(&format!("RDATA events p1 {token} [1]")).await;
        }
        assert_eq!(next_rows(&mut replication).await.0, Token::new(token));
    }
}

/// A recorder that keeps the configuration, the inputs and the actions of a run.
#[derive(Clone, Default)]
struct Trace(Arc<Mutex<Steps>>);

#[derive(Default)]
struct Steps {
    config: Option<Config>,
    before: Vec<Action>,
    steps: Vec<(Timestamp, Input, Vec<Action>)>,
    finished: bool,
}

impl Recorder for Trace {
    fn start(&mut self, config: &Config) {
        self.0.lock().unwrap().config = Some(config.clone());
    }

    fn input(&mut self, now: Timestamp, input: &Input) {
        self.0.lock().unwrap().steps.push((now, input.clone(), Vec::new()));
    }

    fn action(&mut self, action: &Action) {
        let mut trace = self.0.lock().unwrap();
        let trace = &mut *trace;
        match trace.steps.last_mut() {
            Some((_, _, actions)) => actions.push(action.clone()),
            None => trace.before.push(action.clone()),
        }
    }

    fn finish(&mut self) {
        self.0.lock().unwrap().finished = true;
    }
}

#[tokio::test(start_paused = true)]
async fn a_recorded_run_replays_without_a_difference() {
    let (script, mut network) = network();
    let mut saved = Positions::new();
    saved.set(&Source::new("events", "p1"), Token::new(5));
    let pages = Pages::new([Err(FetchError::TooLarge { limit_bytes: 1 })]);
    let trace = Trace::default();
    let mut replication =
        builder(script).positions(saved).fetch_source(pages).record(trace.clone()).spawn().unwrap();
    let mut redis = network.log_in().await;
    redis.expect_publish("REPLICATE ").await;
    redis.message("POSITION events p1 8 8").await;
    redis.message("nonsense").await;
    redis.message("RDATA typing p1 1 [1]").await;
    replication.handle().send(Command::RemoteServerUp("remote".into())).await.unwrap();
    let warned = |event: &Event| matches!(event, Event::Warning(_));
    while !replication.next().await.is_some_and(|event| warned(&event)) {}
    replication.shutdown().await;

    let trace = trace.0.lock().unwrap();
    assert!(trace.finished);
    let mut node = Node::new(trace.config.clone().unwrap()).unwrap();
    let before: Vec<Action> = std::iter::from_fn(|| node.poll_action()).collect();
    assert_eq!(before, trace.before);
    assert!(trace.steps.len() > 6);
    for (now, input, actions) in &trace.steps {
        node.handle(*now, input.clone()).unwrap();
        let replayed: Vec<Action> = std::iter::from_fn(|| node.poll_action()).collect();
        assert_eq!(&replayed, actions);
    }
    assert!(node.is_stopped());
}
