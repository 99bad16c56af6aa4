//! A Redis server that is no primary: a replica, a Sentinel, and servers that do not tell which.

use crate::{
    scripted::{Network, PRIMARY, Peer, Redis, builder, disconnect_reason, network},
    servers::{client::Client, connected, disconnected},
};
use synrepl::{Builder, Event, Replication};
use synrepl_tests::redis::RedisServer;

const REPLICA: &str = "*5\r\n$5\r\nslave\r\n$8\r\n10.0.0.1\r\n:6379\r\n$9\r\nconnected\r\n:7\r\n";
const UNLINKED: &str = "*5\r\n$5\r\nslave\r\n$8\r\n10.0.0.1\r\n:6379\r\n$7\r\nconnect\r\n:-1\r\n";
const DENIED: &str = "-NOPERM this user has no permissions to run the command\r\n";

/// Answers the login up to the question which part the server plays.
async fn up_to_role(network: &mut Network) -> Redis {
    let mut publisher = network.accept().await;
    let subscriber = network.accept().await;
    publisher.expect(&["PING"]).await;
    publisher.say("+PONG\r\n").await;
    publisher.expect(&["ROLE"]).await;
    Redis { publisher, subscriber }
}

async fn subscribe(subscriber: &mut Peer) {
    subscriber.subscribe_apart().await;
    subscriber.expect(&["SUBSCRIBE", "example.com"]).await;
    subscriber.say("*3\r\n$9\r\nsubscribe\r\n$11\r\nexample.com\r\n:2\r\n").await;
}

/// Waits for the keep-alive's question. REPLICATEs that come before it are answered only then.
async fn asked(publisher: &mut Peer, question: &[&str]) {
    let mut before = 0;
    loop {
        let command = publisher.command().await.expect("the driver closed the connection");
        if command == question {
            break;
        }
        assert_eq!(command, ["PUBLISH", "example.com", "REPLICATE "]);
        before += 1;
    }
    for _ in 0..before {
        publisher.say(":1\r\n").await;
    }
}

async fn is_connected(replication: &mut Replication) {
    assert!(matches!(replication.next().await, Some(Event::Connected { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_replica_or_a_sentinel_is_refused_and_the_next_attempt_finds_the_primary() {
    let (script, mut network) = network();
    let mut replication = builder(script).spawn().unwrap();
    for (answer, expected) in [
        (REPLICA, "Redis at redis:6379: it is a replica of 10.0.0.1:6379, which takes a PUBLISH"),
        ("*2\r\n$8\r\nsentinel\r\n*1\r\n$2\r\nm1\r\n", "it is a Redis Sentinel"),
    ] {
        let mut redis = up_to_role(&mut network).await;
        redis.publisher.say(answer).await;
        let reason = disconnect_reason(&mut replication).await;
        assert!(reason.contains(expected), "{reason}");
        redis.subscriber.expect_close().await;
    }
    network.log_in().await.expect_publish("REPLICATE ").await;
    is_connected(&mut replication).await;
}

#[tokio::test(start_paused = true)]
async fn where_role_is_denied_info_tells_the_part_at_login_and_later() {
    let (script, mut network) = network();
    let mut replication = builder(script).spawn().unwrap();
    let mut redis = up_to_role(&mut network).await;
    redis.publisher.say(DENIED).await;
    redis.publisher.expect(&["INFO", "replication"]).await;
    redis.publisher.say("$13\r\nrole:master\r\n\r\n").await;
    subscribe(&mut redis.subscriber).await;
    redis.expect_publish("REPLICATE ").await;
    is_connected(&mut replication).await;
    asked(&mut redis.publisher, &["INFO", "replication"]).await;
    let info = "role:slave\r\nmaster_host:10.0.0.2\r\nmaster_port:1\r\nmaster_link_status:up\r\n";
    redis.publisher.say(&format!("${}\r\n{info}\r\n", info.len())).await;
    let reason = disconnect_reason(&mut replication).await;
    assert!(reason.contains("no longer be published to"), "{reason}");
    assert!(reason.contains("a replica of 10.0.0.2:1"), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_tell_its_part_is_taken_as_it_is_and_pinged() {
    let (script, mut network) = network();
    let mut replication = builder(script).spawn().unwrap();
    let mut redis = up_to_role(&mut network).await;
    redis.publisher.say(DENIED).await;
    redis.publisher.expect(&["INFO", "replication"]).await;
    redis.publisher.say("-ERR unknown command\r\n").await;
    subscribe(&mut redis.subscriber).await;
    redis.expect_publish("REPLICATE ").await;
    is_connected(&mut replication).await;
    for _ in 0..2 {
        asked(&mut redis.publisher, &["PING"]).await;
        redis.publisher.say("+PONG\r\n").await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_primary_that_becomes_a_replica_is_left_and_a_reply_before_its_answer_still_counts() {
    let (script, mut network) = network();
    let mut replication = builder(script).spawn().unwrap();
    let mut redis = network.log_in().await;
    is_connected(&mut replication).await;
    asked(&mut redis.publisher, &["ROLE"]).await;
    redis.publisher.say(PRIMARY).await;
    asked(&mut redis.publisher, &["ROLE"]).await;
    redis.publisher.say(REPLICA).await;
    let reason = disconnect_reason(&mut replication).await;
    assert!(reason.contains("no longer be published to"), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn an_observer_takes_a_replica_while_that_hears_its_primary() {
    let (script, mut network) = network();
    let mut replication = builder(script).observe_only(true).spawn().unwrap();
    let mut redis = up_to_role(&mut network).await;
    redis.publisher.say(REPLICA).await;
    subscribe(&mut redis.subscriber).await;
    is_connected(&mut replication).await;
    redis.publisher.expect(&["ROLE"]).await;
    redis.publisher.say(UNLINKED).await;
    let reason = disconnect_reason(&mut replication).await;
    assert!(reason.contains("a replica that has lost its primary 10.0.0.1:6379"), "{reason}");
}

#[tokio::test]
async fn a_real_replica_is_refused_and_a_real_primary_that_becomes_one_is_left() {
    let primary = RedisServer::start(&[]).unwrap();
    let mut other = RedisServer::start(&[]).unwrap();
    let mut replication = Builder::redis(&primary.url(), "example.com")
        .unwrap()
        .limits(|limits| limits.publisher_ping_interval = std::time::Duration::from_millis(50))
        .spawn()
        .unwrap();
    connected(&mut replication).await;
    let port = other.address().port().to_string();
    Client::of(&primary).await.command(&["REPLICAOF", "127.0.0.1", &port]).await;
    let expected = format!("a replica of 127.0.0.1:{port}");
    // Once by the keep-alive, and then at each login.
    for _ in 0..2 {
        let reason = disconnected(&mut replication).await;
        assert!(reason.contains(&expected), "{reason}");
    }
    Client::of(&primary).await.command(&["REPLICAOF", "NO", "ONE"]).await;
    connected(&mut replication).await;
    other.kill();
}

#[tokio::test]
async fn a_real_replica_serves_an_observer() {
    let primary = RedisServer::start(&[]).unwrap();
    let port = primary.address().port().to_string();
    let replica = RedisServer::start(&["--replicaof", "127.0.0.1", &port]).unwrap();
    let mut replication =
        Builder::redis(&replica.url(), "example.com").unwrap().observe_only(true).spawn().unwrap();
    connected(&mut replication).await;
    Client::of(&primary).await.publish("REMOTE_SERVER_UP remote").await;
    crate::servers::until(&mut replication, |event| {
        matches!(event, Event::Command { .. }).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_server_that_closes_idle_clients_keeps_the_publishing_connection() {
    let redis = RedisServer::start(&["--timeout", "1"]).unwrap();
    let mut client = Client::of(&redis).await;
    let mut replication = Builder::redis(&redis.url(), "example.com")
        .unwrap()
        .observe_only(true)
        .limits(|limits| limits.publisher_ping_interval = std::time::Duration::from_millis(200))
        .spawn()
        .unwrap();
    let first = connected(&mut replication).await;
    // An idle client is closed by the same rule: once it is, the rule was applied.
    let idle = RedisServer::publish(&redis, "example.com", "REMOTE_SERVER_UP a");
    assert_eq!(idle.unwrap(), 1);
    client.closed().await;
    assert_eq!(redis.publish("example.com", "REMOTE_SERVER_UP b").unwrap(), 1);
    let mut heard = 0;
    crate::servers::until(&mut replication, |event| match event {
        Event::Disconnected { reason, .. } => panic!("{first:?}: {reason}"),
        Event::Command { .. } => {
            heard += 1;
            (heard == 2).then_some(())
        }
        _ => None,
    })
    .await;
}
