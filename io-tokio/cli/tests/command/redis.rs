//! `synrepl follow` and `serve` with a real Redis that is not as it should be: a replica, and a user
//! who may not ask for that.

use synrepl_tests::redis::RedisServer;

use super::program::{Running, synrepl};

#[test]
fn a_replica_is_said_with_its_primary_and_serves_an_observer() {
    let primary = RedisServer::start(&[]).unwrap();
    let port = primary.address().port().to_string();
    let replica = RedisServer::start(&["--replicaof", "127.0.0.1", &port]).unwrap();
    let url = replica.url();
    let follow = ["follow", "--redis", &url, "--server-name", "example.com"];
    let running = Running::start(synrepl(&follow));
    let said = running.stderr_until("no connection").pop().unwrap();
    assert!(said.contains(&format!("it is a replica of 127.0.0.1:{port}")), "{said}");
    assert!(said.contains("give the address of the primary; next attempt in"), "{said}");
    let running = Running::start(synrepl(&[&follow[..], &["--observe-only"]].concat()));
    running.stdout_until("\"connected\"");
    primary.publish("example.com", "REMOTE_SERVER_UP remote").unwrap();
    running.stdout_until("REMOTE_SERVER_UP");
}

#[test]
fn a_redis_that_does_not_tell_its_part_is_said_once_also_without_v() {
    const USER: [&str; 7] =
        ["--user", "alice", "on", ">pw", "allchannels", "+subscribe", "+publish"];
    let redis = RedisServer::start(&[&USER[..], &["+ping"]].concat()).unwrap();
    let url = format!("redis://alice:pw@{}", redis.address());
    let follow = ["follow", "--redis", &url, "--server-name", "example.com"];
    let running = Running::start(synrepl(&follow));
    let mut said = running.stderr_until(" connected");
    // The default user may do everything, that is, cut the other one off.
    let mut administrator = synrepl_tests::redis::Connection::open(redis.address()).unwrap();
    administrator.call(&[b"CLIENT", b"KILL", b"USER", b"alice"]).unwrap();
    said.extend(running.stderr_until("no connection"));
    said.extend(running.stderr_until(" connected"));
    running.signal("TERM");
    said.extend(running.end().2);
    let times = said.iter().filter(|line| line.contains("tells neither ROLE nor INFO")).count();
    assert_eq!(times, 1, "{said:#?}");
    assert!(said.iter().all(|line| !line.contains("pw@")), "{said:#?}");
}
