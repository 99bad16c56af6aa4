//! The whole driver against a real redis-server and a writer's HTTP listener played by the test:
//! logins, lost connections, catch-up and the audit.

use std::time::Duration;

use crate::servers::{client::Client, connected, disconnected, until, writer::Log};
use synrepl::{Builder, Command, Event, Positions, Source, Token, core::Origin};
use synrepl_tests::redis::RedisServer;

#[tokio::test]
async fn a_restart_of_redis_is_a_disconnect_and_a_new_connection() {
    let mut redis = RedisServer::start(&[]).unwrap();
    let mut replication = Builder::redis(&redis.url(), "example.com").unwrap().spawn().unwrap();
    let first = connected(&mut replication).await;
    redis.kill();
    let reason = disconnected(&mut replication).await;
    assert!(reason.contains("closed") || reason.contains("broke"), "{reason}");
    let reason = disconnected(&mut replication).await;
    assert!(
        reason.starts_with(&format!("Redis at 127.0.0.1:{}: cannot", redis.address().port())),
        "{reason}"
    );
    redis.start_again().unwrap();
    assert!(connected(&mut replication).await > first);
    let mut publisher = Client::of(&redis).await;
    assert_eq!(publisher.publish("REMOTE_SERVER_UP remote").await, 1);
    let heard = until(&mut replication, |event| match event {
        Event::Command { command: Command::RemoteServerUp(server) } => Some(server),
        _ => None,
    })
    .await;
    assert_eq!(heard, "remote");
}

#[tokio::test]
async fn a_wrong_password_is_said_and_the_right_one_lets_in() {
    let redis = RedisServer::start(&["--requirepass", "s3cret"]).unwrap();
    for (login, expected) in
        [("", "NOAUTH"), (":hunter2@", "WRONGPASS"), ("nobody:s3cret@", "WRONGPASS")]
    {
        let url = format!("redis://{login}{}", redis.address());
        let mut replication = Builder::redis(&url, "example.com").unwrap().spawn().unwrap();
        let reason = disconnected(&mut replication).await;
        assert!(reason.contains(expected), "{reason}");
        assert!(!reason.contains("hunter2") && !reason.contains("s3cret"), "{reason}");
    }
    for login in [":s3cret@", "default:s3cret@"] {
        let url = format!("redis://{login}{}", redis.address());
        let mut replication = Builder::redis(&url, "example.com").unwrap().spawn().unwrap();
        connected(&mut replication).await;
    }
}

#[tokio::test]
async fn a_user_of_the_access_list_logs_in_with_the_own_password() {
    let user = ["--user", "alice", "on", ">wonder/land", "resetchannels", "&example.com", "+@all"];
    let redis = RedisServer::start(&user).unwrap();
    let build = |login: &str, server_name: &str| {
        let url = format!("redis://{login}@{}", redis.address());
        Builder::redis(&url, server_name).unwrap().spawn().unwrap()
    };
    connected(&mut build("alice:wonder%2Fland", "example.com")).await;

    let reason = disconnected(&mut build("alice:looking%2Fglass", "example.com")).await;
    assert!(reason.contains("it refused the user or password: WRONGPASS"), "{reason}");
    assert!(!reason.contains("glass") && !reason.contains("wonder"), "{reason}");

    // The access list names the channel of another deployment.
    let reason = disconnected(&mut build("alice:wonder%2Fland", "other.example")).await;
    assert!(reason.contains("it refused the subscription: NOPERM"), "{reason}");
    assert!(reason.contains("must be allowed SUBSCRIBE"), "{reason}");
}

#[tokio::test]
async fn a_user_who_may_not_publish_is_told_so() {
    let user = ["--user", "alice", "on", ">pw", "allchannels", "+subscribe", "+ping"];
    let redis = RedisServer::start(&user).unwrap();
    let url = format!("redis://alice:pw@{}", redis.address());
    let mut replication = Builder::redis(&url, "example.com").unwrap().spawn().unwrap();
    let reason = disconnected(&mut replication).await;
    assert!(reason.contains("Redis refused a PUBLISH: NOPERM"), "{reason}");
    // A user without PUBLISH can observe.
    let mut observer =
        Builder::redis(&url, "example.com").unwrap().observe_only(true).spawn().unwrap();
    connected(&mut observer).await;
    let mut publisher = Client::of(&redis).await;
    publisher.publish("REMOTE_SERVER_UP remote").await;
    until(&mut observer, |event| matches!(event, Event::Command { .. }).then_some(())).await;
}

#[tokio::test]
async fn a_unix_socket_serves_as_well_with_its_password_as_a_parameter() {
    let redis = RedisServer::start(&["--requirepass", "s3cret&x"]).unwrap();
    let socket = redis.socket();
    for (query, expected) in [("", "NOAUTH"), ("?password=hunter2", "WRONGPASS")] {
        let url = format!("unix://{}{query}", socket.display());
        let mut replication = Builder::redis(&url, "example.com").unwrap().spawn().unwrap();
        let reason = disconnected(&mut replication).await;
        assert!(reason.starts_with(&format!("Redis at {}: it", socket.display())), "{reason}");
        assert!(reason.contains(expected) && !reason.contains("hunter2"), "{reason}");
    }
    let url = format!("unix://{}?password=s3cret%26x", socket.display());
    let mut replication = Builder::redis(&url, "example.com").unwrap().spawn().unwrap();
    connected(&mut replication).await;
}

#[tokio::test]
async fn a_connection_that_an_administrator_kills_is_made_again_and_asks_again() {
    let redis = RedisServer::start(&[]).unwrap();
    let mut client = Client::of(&redis).await;
    let mut listening = Client::listening(&redis).await;
    let mut replication = Builder::redis(&redis.url(), "example.com").unwrap().spawn().unwrap();
    listening.hear("REPLICATE ").await;
    let first = connected(&mut replication).await;
    // The listening client is a subscriber too.
    client.command(&["CLIENT", "KILL", "TYPE", "pubsub"]).await;
    let reason = disconnected(&mut replication).await;
    assert!(
        reason.contains("closed the subscribing")
            || reason.contains("subscribing connection broke"),
        "{reason}"
    );
    let mut listening = Client::listening(&redis).await;
    listening.hear("REPLICATE ").await;
    assert!(connected(&mut replication).await > first);
    // Besides the connections of this test only the publishing one is of the type `normal`.
    client.command(&["CLIENT", "KILL", "TYPE", "normal"]).await;
    let reason = disconnected(&mut replication).await;
    assert!(
        reason.contains("closed the publishing") || reason.contains("publishing connection broke"),
        "{reason}"
    );
    assert!(!reason.contains("client-output-buffer-limit"), "{reason}");
}

#[tokio::test]
async fn an_application_that_pauses_beyond_the_ping_timeout_keeps_its_connection() {
    let redis = RedisServer::start(&[]).unwrap();
    let mut replication = Builder::redis(&redis.url(), "example.com")
        .unwrap()
        .limits(|limits| {
            limits.events_queued_max = 2;
            limits.ping_interval = Duration::from_millis(50);
            limits.ping_timeout = Duration::from_millis(50);
        })
        .spawn()
        .unwrap();
    connected(&mut replication).await;
    let mut publisher = Client::of(&redis).await;
    for number in 0..1_000 {
        assert_eq!(publisher.publish(&format!("REMOTE_SERVER_UP h{number}")).await, 1);
    }
    // The pause is longer than the interval, the timeout and the second of grace together.
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    for number in 0..1_000 {
        let heard = until(&mut replication, |event| match event {
            Event::Command { command: Command::RemoteServerUp(server) } => Some(server),
            Event::Disconnected { reason, .. } => panic!("{reason}"),
            _ => None,
        });
        assert_eq!(heard.await, format!("h{number}"));
    }
}

#[tokio::test]
async fn a_subscriber_that_redis_cuts_off_is_told_where_to_look() {
    let redis =
        RedisServer::start(&["--client-output-buffer-limit", "pubsub 64kb 32kb 1"]).unwrap();
    let mut replication = Builder::redis(&redis.url(), "example.com")
        .unwrap()
        .limits(|limits| limits.events_queued_max = 1)
        .spawn()
        .unwrap();
    connected(&mut replication).await;
    let mut publisher = Client::of(&redis).await;
    // The application reads nothing, so the driver does not either, until Redis cuts it off.
    let big = format!("REMOTE_SERVER_UP {}", "x".repeat(100_000));
    for sent in 0.. {
        assert!(sent < 10_000, "Redis never cut the subscriber off");
        if publisher.publish(&big).await == 0 {
            break;
        }
    }
    let reason = disconnected(&mut replication).await;
    assert!(reason.contains("client-output-buffer-limit") || reason.contains("broke"), "{reason}");
}

#[tokio::test]
async fn rows_come_once_and_in_order_through_redis_and_http() {
    let redis = RedisServer::start(&[]).unwrap();
    // The writer's log. None of its rows is published, and its pages are shorter than the ranges
    // requested.
    let url = Log::new(1..=60, 7).with_secret("s3cret").listen().await;
    let mut saved = Positions::new();
    saved.set(&Source::new("events", "p1"), Token::new(20));
    let build = |secret: &str| {
        Builder::redis(&redis.url(), "example.com")
            .unwrap()
            .instance("follower")
            .secret(synrepl::Secret::new(secret.to_owned()))
            .fetch_from("p1", &url)
            .unwrap()
            .positions(saved.clone())
    };

    let mut publisher = Client::of(&redis).await;
    let mut listening = Client::listening(&redis).await;
    let mut replication = build("s3cret").spawn().unwrap();
    listening.hear("REPLICATE ").await;
    publisher.publish("POSITION events p1 40 40").await;
    publisher.publish("POSITION events p1 60 60").await;
    publisher.publish("RDATA events p1 batch [\"a\"]").await;
    publisher.publish("RDATA events p1 61 [\"b\"]").await;

    let mut tokens = Vec::new();
    while tokens.last() != Some(&61) {
        let rows = until(&mut replication, |event| match event {
            Event::Rows { token, rows, origin, .. } => Some((token, rows, origin)),
            _ => None,
        });
        let (token, rows, origin) = rows.await;
        if token.get() <= 60 {
            assert_eq!(origin, Origin::CatchUp, "{token}");
            assert_eq!(rows[0].as_str(), format!("[\"r{token}\"]"));
        } else {
            assert_eq!((origin, rows.len()), (Origin::Live, 2));
        }
        tokens.push(token.get());
    }
    assert_eq!(tokens, (21..=61).collect::<Vec<_>>());
    let handle = replication.handle();
    let reached = handle.wait_for("events", "p1", Token::new(61), Duration::from_secs(9)).await;
    assert_eq!(reached, Ok(Token::new(61)));
    assert_eq!(
        replication.shutdown().await.get(&Source::new("events", "p1")),
        Some(Token::new(61))
    );

    let mut replication = build("wrong").spawn().unwrap();
    listening.hear("REPLICATE ").await;
    publisher.publish("POSITION events p1 40 40").await;
    let failure = until(&mut replication, |event| match event {
        Event::Warning(synrepl::core::Warning::FetchFailed { error, .. }) => Some(error),
        _ => None,
    })
    .await;
    assert!(failure.to_string().contains("the replication secret may be wrong"), "{failure}");
}

#[tokio::test]
async fn a_lost_publish_is_found_by_the_audit() {
    let redis = RedisServer::start(&[]).unwrap();
    let url = Log::new(1..=60, 7).listen().await;
    let mut publisher = Client::of(&redis).await;
    let mut listening = Client::listening(&redis).await;
    let mut replication = Builder::redis(&redis.url(), "example.com")
        .unwrap()
        .fetch_from("p1", &url)
        .unwrap()
        .audit(Duration::from_secs(1))
        .spawn()
        .unwrap();
    listening.hear("REPLICATE ").await;
    publisher.publish("POSITION events p1 40 40").await;
    // 42 and 44 to 57 are in the log; their messages never reached Redis.
    for token in [41, 43, 58] {
        publisher.publish(&format!("RDATA events p1 {token} [\"r{token}\"]")).await;
    }
    let mut rows = async || {
        until(&mut replication, |event| match event {
            Event::Rows { token, rows, origin, position, .. } => {
                assert_eq!(rows[0].as_str(), format!("[\"r{token}\"]"));
                Some((token.get(), origin, position.get()))
            }
            _ => None,
        })
        .await
    };
    for token in [41, 43, 58] {
        assert_eq!(rows().await, (token, Origin::Live, token));
    }
    for lost in [42].into_iter().chain(44..=57) {
        assert_eq!(rows().await, (lost, Origin::Audit, 58));
    }
    // The audit found nothing else.
    publisher.publish("RDATA events p1 59 [\"r59\"]").await;
    assert_eq!(rows().await, (59, Origin::Live, 59));
    assert_eq!(
        replication.shutdown().await.get(&Source::new("events", "p1")),
        Some(Token::new(59))
    );
}
