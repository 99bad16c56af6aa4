//! The Redis link against a scripted server: login and subscription, their refusals, keep-alive,
//! and the delays between attempts.

use std::time::Duration;

use crate::scripted::{Network, PRIMARY, Redis, builder, builder_for, disconnect_reason, network};
use synrepl::{Builder, Event, Replication};
use tokio::time::Instant;

#[tokio::test]
async fn nothing_is_asked_before_the_subscription_is_confirmed() {
    let (script, mut network) = network();
    let mut replication = builder(script).spawn().unwrap();
    let Redis { mut publisher, mut subscriber } =
        network.log_in_to_subscribe(&["example.com"]).await;
    // Neither an event nor a command comes until Redis confirms the subscription.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(replication.try_next(), None);
    subscriber.say("*3\r\n$9\r\nsubscribe\r\n$11\r\nexample.com\r\n:1\r\n").await;
    assert!(matches!(replication.next().await, Some(Event::Connected { .. })));
    publisher.expect(&["PUBLISH", "example.com", "REPLICATE "]).await;
}

#[tokio::test]
async fn user_and_password_go_first_on_both_connections() {
    let (script, mut network) = network();
    let _replication = builder_for("redis://me:p%20w@redis", script).spawn().unwrap();
    let mut publisher = network.accept().await;
    let mut subscriber = network.accept().await;
    publisher.expect(&["AUTH", "me", "p w"]).await;
    publisher.say("+OK\r\n").await;
    publisher.is_primary().await;
    subscriber.expect(&["AUTH", "me", "p w"]).await;
    subscriber.say("+OK\r\n").await;
    subscriber.subscribe_apart().await;
    subscriber.expect(&["SUBSCRIBE", "example.com"]).await;
}

#[tokio::test]
async fn a_password_alone_is_sent_alone() {
    let (script, mut network) = network();
    let _replication = builder_for("redis://:pw@redis", script).spawn().unwrap();
    network.accept().await.expect(&["AUTH", "pw"]).await;
}

/// The reason of the disconnect when the server gives this answer to the first command.
async fn refused_with(url: &str, answer: &str) -> String {
    let (script, mut network) = network();
    let mut replication = builder_for(url, script).spawn().unwrap();
    let mut publisher = network.accept().await;
    publisher.command().await;
    publisher.say(answer).await;
    disconnect_reason(&mut replication).await
}

#[tokio::test]
async fn a_refused_login_says_why_and_what_to_do() {
    for (url, answer, expected) in [
        (
            "redis://:hunter2@redis:7",
            "-WRONGPASS invalid username-password pair or user is disabled.\r\n",
            "Redis at redis:7: it refused the user or password: WRONGPASS",
        ),
        ("redis://redis", "-NOAUTH Authentication required.\r\n", "put the password into the URL"),
        ("redis://redis", "-ERR max number of clients reached\r\n", "raise its maxclients"),
        ("redis://:hunter2@redis", "-WRONGPASS invalid\r\n", "start anew if it was changed"),
        (
            "redis://:hunter2@redis",
            "-ERR AUTH <password> called without any password configured\r\n",
            "it wants no password",
        ),
        ("redis://redis", "\u{15}\u{3}\u{1}", "if that port speaks TLS, write rediss://"),
        ("redis://redis", "-DENIED Redis is running in protected mode\r\n", "protected mode wants"),
        ("redis://redis", "HTTP/1.1 400 Bad Request\r\n", "does not speak Redis"),
        ("redis://redis", ":1\r\n", "is that a Redis server?"),
    ] {
        let reason = refused_with(url, answer).await;
        assert!(reason.contains(expected), "{reason}");
        assert!(!reason.contains("hunter2"), "{reason}");
    }
}

#[tokio::test]
async fn a_refused_subscription_says_what_the_user_lacks() {
    let (script, mut network) = network();
    let mut replication = builder(script).spawn().unwrap();
    let mut redis = network.log_in_to_subscribe(&["example.com"]).await;
    redis.subscriber.say("-NOPERM this user has no permissions\r\n").await;
    let reason = disconnect_reason(&mut replication).await;
    assert!(reason.contains("refused the subscription: NOPERM"), "{reason}");
    assert!(reason.contains("must be allowed SUBSCRIBE"), "{reason}");
}

#[tokio::test]
async fn user_ip_is_subscribed_before_the_main_channel_and_all_are_awaited() {
    let (script, mut network) = network();
    let mut replication = builder(script).user_ip(true).spawn().unwrap();
    let mut redis = network.log_in_to_subscribe(&["example.com/USER_IP", "example.com"]).await;
    redis.subscriber.say("*3\r\n$9\r\nsubscribe\r\n$19\r\nexample.com/USER_IP\r\n:1\r\n").await;
    let early = "USER_IP @a:b [\"token\",\"::1\",\"ua\",null,5]";
    let length = early.len();
    redis
        .subscriber
        .say(&format!(
            "*3\r\n$7\r\nmessage\r\n$19\r\nexample.com/USER_IP\r\n${length}\r\n{early}\r\n"
        ))
        .await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(replication.try_next(), None);
    redis.subscriber.say("*3\r\n$9\r\nsubscribe\r\n$11\r\nexample.com\r\n:2\r\n").await;
    assert!(matches!(replication.next().await, Some(Event::Connected { .. })));
    let Some(Event::Command { command }) = replication.next().await else { panic!() };
    assert_eq!(command.name(), "USER_IP");
    assert!(!format!("{command:?}").contains("token\""), "{command:?}");
}

#[tokio::test]
async fn a_server_that_allows_the_deployments_channel_alone_is_followed_all_the_same() {
    let (script, mut network) = network();
    let mut replication = builder(script).spawn().unwrap();
    let mut publisher = network.accept().await;
    let mut subscriber = network.accept().await;
    publisher.is_primary().await;
    subscriber.expect(&["SUBSCRIBE", "example.com/synrepl"]).await;
    subscriber.say("-NOPERM No permissions to access a channel\r\n").await;
    subscriber.expect(&["SUBSCRIBE", "example.com"]).await;
    subscriber.say("*3\r\n$9\r\nsubscribe\r\n$11\r\nexample.com\r\n:1\r\n").await;
    assert!(matches!(replication.next().await, Some(Event::Connected { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_hangs_is_given_up_in_time() {
    let (script, mut network) = network();
    let start = Instant::now();
    let mut replication = builder(script).spawn().unwrap();
    let _publisher = network.accept().await;
    let reason = disconnect_reason(&mut replication).await;
    assert_eq!(
        reason,
        "Redis at redis:6379: no connection and subscription within 10s: it did not answer PING"
    );
    assert_eq!(start.elapsed().as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_falls_silent_is_given_up_with_what_it_did_not_do() {
    for (answers, expected) in [
        (0, "within 10s: it did not answer AUTH"),
        (1, "within 10s: it did not answer PING"),
        (2, "within 10s: it did not answer ROLE or INFO"),
        (3, "within 10s: it did not answer AUTH"),
        (4, "within 10s: it did not confirm the subscription"),
    ] {
        let (script, mut network) = network();
        let mut replication = builder_for("redis://:hunter2@redis", script).spawn().unwrap();
        let mut publisher = network.accept().await;
        let mut subscriber = network.accept().await;
        for answered in 0..answers {
            let peer = if answered < 3 { &mut publisher } else { &mut subscriber };
            peer.command().await;
            peer.say(if answered == 2 { PRIMARY } else { "+OK\r\n" }).await;
        }
        let reason = disconnect_reason(&mut replication).await;
        assert!(reason.ends_with(expected), "{answers}: {reason}");
        // Both connections are closed, also the one that was not set up yet.
        while publisher.command().await.is_some() {}
        while subscriber.command().await.is_some() {}
    }
}

/// The delay that the next `Disconnected` announces, in milliseconds.
async fn announced_delay(replication: &mut Replication) -> u128 {
    loop {
        if let Event::Disconnected { retry_at, .. } = replication.next().await.expect("stopped") {
            return retry_at.unwrap().saturating_since(replication.now()).as_millis();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn attempts_are_one_to_five_seconds_apart_and_start_over_only_after_a_position() {
    let (script, mut network) = network();
    let mut replication = builder(script).spawn().unwrap();
    // While attempts are refused, the delay doubles to its longest and stays there.
    let mut first = Vec::new();
    for nominal in [1_000, 2_000, 4_000, 5_000, 5_000, 5_000, 5_000] {
        let refused = network.accept().await;
        drop(refused);
        drop(network.accept().await);
        let delay = announced_delay(&mut replication).await;
        assert!((nominal * 3 / 4..=nominal * 5 / 4).contains(&delay), "{nominal}: {delay}");
        first.push(delay);
    }
    assert!(first.windows(2).any(|pair| pair[0] % 1_000 != pair[1] % 1_000), "jitter: {first:?}");
    // A connection on which no position is announced changes nothing.
    drop(network.log_in().await);
    let delay = announced_delay(&mut replication).await;
    assert!((3_750..=6_250).contains(&delay), "{delay}");
    // A connection with a POSITION resets the delay.
    let mut redis = network.log_in().await;
    redis.message("POSITION events p1 1 1").await;
    while !matches!(replication.next().await, Some(Event::Live { .. })) {}
    drop(redis);
    let delay = announced_delay(&mut replication).await;
    assert!((750..=1_250).contains(&delay), "{delay}");
}

#[tokio::test(start_paused = true)]
async fn a_refused_connection_is_reported_with_the_address_and_tried_again() {
    let (script, network) = network();
    drop(network);
    let mut replication = builder(script).spawn().unwrap();
    for _ in 0..2 {
        let reason = disconnect_reason(&mut replication).await;
        assert!(
            reason.starts_with("Redis at redis:6379: cannot connect: connection refused"),
            "{reason}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_subscription_on_which_a_message_only_drips_is_found_by_ping() {
    let (script, mut network) = network();
    let mut replication = builder(script).spawn().unwrap();
    let mut redis = network.log_in().await;
    redis.expect_publish("REPLICATE ").await;
    let start = Instant::now();
    redis.subscriber.say("*3\r\n$7\r\nmessage\r\n$11\r\nexample.com\r\n$1000000\r\n").await;
    let drip = async {
        loop {
            // Every byte comes before a timeout could end the connection.
            tokio::time::sleep(Duration::from_secs(1)).await;
            redis.subscriber.say("x").await;
        }
    };
    let answers = async {
        while let Some(command) = redis.publisher.command().await {
            redis.publisher.say(if command[0] == "ROLE" { PRIMARY } else { ":0\r\n" }).await;
        }
        // The connection was closed; its reason comes as an event.
        std::future::pending().await
    };
    let reason = tokio::select! {
        reason = disconnect_reason(&mut replication) => reason,
        () = drip => unreachable!(),
        () = answers => unreachable!(),
    };
    assert!(reason.contains("ping timeout"), "{reason}");
    assert!(start.elapsed() < Duration::from_secs(70), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_half_open_subscription_is_found_by_ping() {
    let (script, mut network) = network();
    let mut replication = builder(script).spawn().unwrap();
    let mut redis = network.log_in().await;
    let start = Instant::now();
    redis.expect_publish("REPLICATE ").await;
    let far_end = async {
        redis.subscriber.expect(&["PING"]).await;
        assert_eq!(start.elapsed().as_secs(), 30);
        // The publishing connection is answered: PINGs, and REPLICATEs that are sent again.
        while let Some(command) = redis.publisher.command().await {
            redis.publisher.say(if command[0] == "ROLE" { PRIMARY } else { ":0\r\n" }).await;
        }
    };
    let (reason, ()) = tokio::join!(disconnect_reason(&mut replication), far_end);
    assert!(reason.contains("ping timeout"), "{reason}");
    assert!(reason.contains("subscribing"), "{reason}");
    assert_eq!(start.elapsed().as_secs(), 61);
}

#[tokio::test(start_paused = true)]
async fn an_answered_ping_keeps_a_quiet_connection_open() {
    let (script, mut network) = network();
    let mut replication = builder(script).observe_only(true).spawn().unwrap();
    let redis = network.log_in().await;
    let mut subscriber = redis.subscriber;
    let mut publisher = redis.publisher;
    tokio::spawn(async move {
        while publisher.command().await.is_some() {
            publisher.say(PRIMARY).await;
        }
    });
    // Redis answers in the first way, some proxies in the second.
    tokio::spawn(async move {
        for pong in ["*2\r\n$4\r\npong\r\n$0\r\n\r\n", "+PONG\r\n"].into_iter().cycle() {
            if subscriber.command().await.is_none() {
                return;
            }
            subscriber.say(pong).await;
        }
    });
    let hour = Duration::from_secs(3_600);
    let broken = tokio::time::timeout(hour, disconnect_reason(&mut replication)).await;
    assert!(broken.is_err(), "{broken:?}");
}

#[tokio::test(start_paused = true)]
async fn a_status_that_answers_nothing_on_a_subscription_is_said() {
    for (status, expected) in [
        ("+PONG\r\n", "more replies than commands it got on the subscribing"),
        ("+OK\r\n", "Redis said on the subscription: a status of 2 bytes"),
    ] {
        let (script, mut network) = network();
        let mut replication = builder(script).spawn().unwrap();
        let mut redis = network.log_in().await;
        redis.subscriber.say(status).await;
        let reason = disconnect_reason(&mut replication).await;
        assert!(reason.contains(expected), "{reason}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_publishing_connection_never_says_nothing_for_longer_than_five_seconds() {
    let (script, mut network) = network();
    let _replication = builder(script).observe_only(true).spawn().unwrap();
    let mut redis = network.log_in().await;
    let start = Instant::now();
    for after in [5, 10, 15] {
        redis.publisher.expect(&["ROLE"]).await;
        assert_eq!(start.elapsed().as_secs(), after);
        redis.publisher.say(PRIMARY).await;
    }
}

#[tokio::test]
async fn either_connection_closing_ends_both_and_is_reported_once() {
    for publisher_breaks in [true, false] {
        let (script, mut network) = network();
        let mut replication = builder(script).spawn().unwrap();
        let redis = network.log_in().await;
        assert!(matches!(replication.next().await, Some(Event::Connected { .. })));
        let (broken, mut other) = if publisher_breaks {
            (redis.publisher, redis.subscriber)
        } else {
            (redis.subscriber, redis.publisher)
        };
        drop(broken);
        let reason = disconnect_reason(&mut replication).await;
        let which = if publisher_breaks { "publishing" } else { "subscribing" };
        assert!(reason.contains(which), "{reason}");
        while other.command().await.is_some() {}
        assert_eq!(replication.try_next(), None);
    }
}

#[tokio::test]
async fn a_refused_publish_ends_the_connection_with_the_text() {
    let (script, mut network) = network();
    let mut replication = builder(script).spawn().unwrap();
    let mut redis = network.log_in().await;
    redis.publisher.expect(&["PUBLISH", "example.com", "REPLICATE "]).await;
    redis.publisher.say("-NOPERM no permissions to access a channel\r\n").await;
    let reason = disconnect_reason(&mut replication).await;
    assert!(
        reason.starts_with("Redis refused a PUBLISH: NOPERM no permissions to access a channel; "),
        "{reason}"
    );
    assert!(reason.contains("--observe-only"), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn a_reconnection_is_a_new_id_and_asks_again() {
    let (script, mut network) = network();
    let mut replication = builder(script).spawn().unwrap();
    let redis = network.log_in().await;
    let Some(Event::Connected { conn: first }) = replication.next().await else { panic!() };
    drop(redis);
    disconnect_reason(&mut replication).await;
    let mut redis = network.log_in().await;
    let Some(Event::Connected { conn: second }) = replication.next().await else { panic!() };
    assert_ne!(first, second);
    redis.expect_publish("REPLICATE ").await;
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_does_not_wait_for_a_server_that_is_silent() {
    let (script, mut network) = network();
    let mut replication = builder(script).spawn().unwrap();
    let mut redis = network.log_in().await;
    assert!(matches!(replication.next().await, Some(Event::Connected { .. })));
    let start = Instant::now();
    // The server never answers REPLICATE.
    replication.shutdown().await;
    assert_eq!(start.elapsed().as_secs(), 2);
    redis.publisher.expect(&["PUBLISH", "example.com", "REPLICATE "]).await;
    redis.publisher.expect_close().await;
}

async fn hears_nothing(network: &mut Network) -> bool {
    let mut redis = network.log_in().await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    let nothing = std::pin::pin!(redis.publisher.command());
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    nothing.poll(&mut cx).is_pending()
}

#[tokio::test]
async fn an_observer_publishes_nothing() {
    let (script, mut network) = network();
    let replication = builder(script).observe_only(true).spawn().unwrap();
    assert!(hears_nothing(&mut network).await);
    let command = synrepl::Command::RemoteServerUp("remote".into());
    assert_eq!(replication.handle().send(command).await, Err(synrepl::SendError::ObserveOnly));
}

#[test]
fn outside_a_runtime_spawn_says_so() {
    let spawned = Builder::redis("redis://h", "example.com").unwrap().spawn();
    assert!(matches!(spawned.err(), Some(synrepl::BuildError::NoRuntime)));
}
