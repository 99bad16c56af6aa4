//! A writer on a Redis bus: against a scripted server, when a row counts as published and what is
//! sent again; against a real redis-server, that no row is lost or repeated.

use std::sync::Arc;

use synrepl::{
    Builder, Event, Replication, Start, Token,
    log::{LogStore, MemoryLog},
};
use synrepl_tests::redis::RedisServer;

use super::from_log::FromLog;
use crate::{
    scripted::{Network, Redis, Script, builder, network},
    servers::{connected, disconnected, until},
};

/// The token of the next `Published`.
async fn published(replication: &mut Replication) -> Token {
    until(replication, |event| match event {
        Event::Published { stream, token } => {
            assert_eq!(stream, "s");
            Some(token)
        }
        _ => None,
    })
    .await
}

/// A writer on a scripted server, which has answered every command so far.
async fn writer(
    build: impl FnOnce(Builder<Script>) -> Builder<Script>,
) -> (Replication, Network, Redis) {
    let (script, mut network) = network();
    let replication = build(builder(script).log(MemoryLog::default())).spawn().unwrap();
    let mut redis = network.log_in().await;
    redis.expect_publish("REPLICATE ").await;
    (replication, network, redis)
}

async fn append(replication: &Replication, row: &str) -> Token {
    replication.handle().append("s", [row]).await.unwrap()
}

/// The text of the next PUBLISH, which is left unanswered. A REPLICATE and a POSITION that
/// announces nothing new are answered and left out.
async fn next_publish(redis: &mut Redis) -> String {
    loop {
        let command = redis.publisher.command().await.expect("the driver closed the connection");
        let text = command.into_iter().nth(2).unwrap();
        if text != "REPLICATE " && text != "POSITION s me 0 0" {
            return text;
        }
        redis.publisher.say(":1\r\n").await;
    }
}

#[tokio::test]
async fn a_row_counts_as_published_once_redis_has_answered() {
    let (mut replication, _network, mut redis) = writer(|builder| builder).await;
    for number in 1..=3 {
        append(&replication, &format!("[{number}]")).await;
        assert_eq!(next_publish(&mut redis).await, format!("RDATA s me {number} [{number}]"));
    }
    let told = |replication: &mut Replication| {
        std::iter::from_fn(|| replication.try_next())
            .any(|event| matches!(event, Event::Published { .. }))
    };
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(!told(&mut replication));
    redis.publisher.say(":0\r\n").await;
    assert_eq!(published(&mut replication).await, Token::new(1));
    redis.publisher.say(":0\r\n:0\r\n").await;
    assert_eq!(published(&mut replication).await, Token::new(3));
}

#[tokio::test(start_paused = true)]
async fn rows_of_unknown_fate_are_announced_and_sent_again() {
    let (mut replication, mut network, mut redis) = writer(|builder| builder).await;
    for number in 1..=3 {
        append(&replication, &format!("[{number}]")).await;
        next_publish(&mut redis).await;
    }
    redis.publisher.say(":1\r\n").await;
    assert_eq!(published(&mut replication).await, Token::new(1));
    drop(redis);
    append(&replication, "[4]").await;
    let mut redis = network.log_in().await;
    let mut said = Vec::new();
    while said.last().is_none_or(|last: &String| last != "RDATA s me 4 [4]") {
        said.push(next_publish(&mut redis).await);
        redis.publisher.say(":1\r\n").await;
    }
    let expected =
        ["POSITION s me 1 1", "RDATA s me 2 [2]", "RDATA s me 3 [3]", "RDATA s me 4 [4]"];
    assert_eq!(said, expected);
    assert_eq!(published(&mut replication).await.get().max(4), 4);
}

#[tokio::test]
async fn a_refused_row_ends_the_connection_and_is_not_published() {
    let (mut replication, _network, mut redis) = writer(|builder| builder).await;
    append(&replication, "[1]").await;
    next_publish(&mut redis).await;
    redis.publisher.say("-OOM command not allowed\r\n").await;
    let reason = until(&mut replication, |event| match event {
        Event::Disconnected { reason, .. } => Some(reason),
        Event::Published { .. } => panic!("{event:?}"),
        _ => None,
    });
    assert!(reason.await.contains("OOM"));
}

#[tokio::test]
async fn an_application_that_takes_no_events_hears_at_last_how_far_it_has_come() {
    const COUNT: i64 = 500;
    let (mut replication, _network, mut redis) =
        writer(|builder| builder.limits(|limits| limits.events_queued_max = 4)).await;
    for number in 1..=COUNT {
        append(&replication, "[1]").await;
        let expected = format!("RDATA s me {number} [1]");
        assert_eq!(next_publish(&mut redis).await, expected);
        redis.publisher.say(":0\r\n").await;
    }
    let mut tokens = Vec::new();
    while tokens.last() != Some(&COUNT) {
        tokens.push(published(&mut replication).await.get());
    }
    assert!(tokens.is_sorted() && tokens.len() < 10, "{tokens:?}");
}

#[tokio::test]
async fn rows_that_are_long_reach_redis_whatever_the_output_limit() {
    let (replication, _network, mut redis) =
        writer(|builder| builder.limits(|limits| limits.output_bytes_max = 10_000)).await;
    let filler = "x".repeat(15_000);
    let appends: Vec<_> = (1..=300)
        .map(|number| {
            let row = format!("[{number},\"{filler}\"]");
            replication.handle().append("s", [row.as_str()])
        })
        .collect();
    for append in appends {
        append.await.unwrap();
    }
    for number in 1..=300 {
        let text = next_publish(&mut redis).await;
        assert!(text.starts_with(&format!("RDATA s me {number} [{number},")), "{text:.40}");
        redis.publisher.say(":0\r\n").await;
    }
}

#[tokio::test]
async fn no_row_is_lost_or_repeated_when_redis_goes_away() {
    let mut redis = RedisServer::start(&[]).unwrap();
    let log: Arc<dyn LogStore> = Arc::new(MemoryLog::default());
    let build = |name: &str| {
        Builder::redis(&redis.url(), "example.com")
            .unwrap()
            .instance(name)
            .start(Start::Beginning)
            .fetch_source(FromLog::new(&log))
    };
    let mut writer = build("writer").shared_log(Arc::clone(&log)).spawn().unwrap();
    let mut follower = build("follower").spawn().unwrap();
    connected(&mut writer).await;
    connected(&mut follower).await;
    let handle = writer.handle();
    let mut last = Token::START;
    for round in 0..3 {
        let appends: Vec<_> = (0..2_000)
            .map(|number| handle.append("s", [format!("[{round},{number}]").as_str()]))
            .collect();
        if round == 1 {
            redis.kill();
            disconnected(&mut writer).await;
        }
        for append in appends {
            last = append.await.unwrap();
        }
        if round == 1 {
            redis.start_again().unwrap();
            connected(&mut writer).await;
        }
    }
    let mut tokens = Vec::new();
    while tokens.last() != Some(&last.get()) {
        let token = until(&mut follower, |event| match event {
            Event::Rows { token, rows, .. } => {
                assert_eq!(rows.len(), 1);
                Some(token.get())
            }
            Event::Gap { .. } | Event::Reset { .. } => panic!("{event:?}"),
            _ => None,
        });
        tokens.push(token.await);
    }
    assert_eq!(tokens, (1..=6_000).collect::<Vec<_>>());
    while published(&mut writer).await < last {}
}
