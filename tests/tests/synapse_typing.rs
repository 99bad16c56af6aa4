//! A real Synapse whose `typing` is written by `synrepl serve`: rows appended there show in a
//! client's `/sync`, also those that were missed, and those after the writer has started over. A
//! stream that Synapse does not know harms no process of the deployment (promise P6).

#![expect(clippy::print_stdout, reason = "a test's output, shown when it fails")]

use std::{collections::BTreeSet, fs, time::Duration};

use serde_json::{Value, json};
use synrepl_tests::{
    Failure,
    clock::{Deadline, Stopwatch},
    cluster::{Cluster, REDIS, SERVER_NAME},
    matrix::Client,
    redis::Connection,
    serve::Writer,
};

/// The longest time of a step before it counts as stuck.
const STEP: Duration = Duration::from_secs(60);
/// The writer's HTTP replication listener, as the cluster's `instance_map` has it.
const HTTP: &str = "127.0.0.1:19006";
/// The client API of the worker that answers `/sync`, and its log.
const SYNC: (&str, &str) = ("127.0.0.1:18015", "log/client1.log");
/// The client API of the main process.
const MAIN: &str = "127.0.0.1:18008";
/// A catch-up request for `typing`, as the logs of both sides spell it.
const CALL: &str = "get_repl_stream_updates/typing";

/// The number of processes of the cluster, each of which subscribes to Redis.
const PROCESSES: usize = 6;
/// The flags for the stream of which `stream_writers` names us as the writer.
const TYPING: [&str; 2] = ["--stream-writer", "typing"];
/// What we, or an application through us, can send where Synapse listens, announcements of streams
/// that it does not know apart (`docs/protocol.md` 5.6 has the table).
const SENDABLE: [&str; 15] = [
    "REPLICATE",
    "PING 1700000000000",
    "ERROR a text",
    "REMOTE_SERVER_UP example.com",
    "CLEAR_USER_SYNC synrepl",
    "USER_SYNC synrepl @alice:localhost:18448 start 1700000000000",
    "USER_SYNC synrepl @alice:localhost:18448 DEVICE end 1700000000000",
    "FEDERATION_ACK synrepl 5",
    "LOCK_RELEASED [\"synrepl\", \"a lock\", \"its key\"]",
    "NEW_ACTIVE_TASK an_id",
    "CANCEL_TASK an_id",
    "RDATA logins synrepl batch [\"alice\", 1]",
    "RDATA logins synrepl 7 [\"alice\", 2]",
    "RDATA presence synrepl 7 [\"@alice:localhost:18448\"]",
    "POSITION presence synrepl 7 7",
];

fn start_writer(cluster: &Cluster, name: &str, streams: &[&str]) -> Result<Writer, Failure> {
    let secret = cluster.path("follow/secret").display().to_string();
    let redis = format!("redis://{REDIS}");
    let writer = Writer::launch(
        &cluster.path("follow"),
        name,
        &[
            &["--memory", "--name", "synrepl", "--redis", &redis, "--server-name", SERVER_NAME],
            streams,
            &["--http", HTTP, "--secret-file", &secret, "--access-log"][..],
        ]
        .concat(),
    )?;
    Ok(writer)
}

/// The subscribed connections that Redis has, by their ids.
fn listeners(redis: &mut Connection) -> Result<BTreeSet<String>, Failure> {
    let reply = redis.call(&[b"CLIENT", b"LIST", b"TYPE", b"pubsub"])?;
    let text = reply.text().ok_or("CLIENT LIST is no text")?;
    let ids = text.lines().filter_map(|line| line.split(' ').next());
    Ok(ids.map(str::to_owned).collect())
}

/// The row of `typing` that names the users who type in `room`.
fn row(room: &str, users: &[&str]) -> [Value; 1] {
    [json!([room, users])]
}

/// Waits until a file has a line with all these words behind its first `skipped` bytes.
fn wait_for_log(
    cluster: &Cluster,
    file: &str,
    words: &[&str],
    skipped: usize,
) -> Result<(), Failure> {
    let deadline = Deadline::after(STEP);
    loop {
        let text = fs::read(cluster.path(file))?;
        let text = String::from_utf8_lossy(text.get(skipped..).unwrap_or_default()).into_owned();
        if text.lines().any(|line| words.iter().all(|word| line.contains(word))) {
            return Ok(());
        }
        if !deadline.pause() {
            return Err(format!("{file} has no line with {words:?}").into());
        }
    }
}

fn length(cluster: &Cluster, file: &str) -> Result<usize, Failure> {
    Ok(fs::read(cluster.path(file))?.len())
}

fn story(cluster: &Cluster) -> Result<(), Failure> {
    let clock = Stopwatch::start();
    let step = |what: &str| println!("{:6.1?} {what}", clock.elapsed());
    let mut writer = start_writer(cluster, "writer-0", &TYPING)?;
    let alice = Client::register(MAIN, "alice")?;
    let room = alice.create_room()?;
    let alice = alice.at(SYNC.0);
    let user = alice.user();
    alice.wait_for_typing(&room, &[], STEP)?;
    step("a user and a room");

    writer.append("typing", &row(&room, &[user]))?;
    alice.wait_for_typing(&room, &[user], STEP)?;
    writer.append("typing", &row(&room, &[user, "@bob:localhost:18448"]))?;
    alice.wait_for_typing(&room, &[user, "@bob:localhost:18448"], STEP)?;
    step("rows show in /sync as they come");

    // The worker is held still until the writer has published everything on the new Redis, so that
    // nothing of it is live for the worker.
    cluster.freeze("client1")?;
    cluster.stop_one("redis")?;
    let (said, logged) = (writer.stderr().text().len(), length(cluster, SYNC.1)?);
    let missed = writer.append("typing", &row(&room, &["@carol:localhost:18448"]))?;
    cluster.start_one("redis")?;
    writer.stderr().wait_for_line(&["connected"], said, STEP)?;
    cluster.thaw("client1")?;
    alice.wait_for_typing(&room, &["@carol:localhost:18448"], STEP)?;
    let upto = format!("upto_token={missed}");
    wait_for_log(cluster, SYNC.1, &[CALL, &upto], logged)?;
    let served = writer.stderr().wait_for_line(&[CALL, &upto, "200"], said, STEP)?;
    step(&format!("a row that was missed was fetched: {served}"));

    writer.kill()?;
    let mut writer = start_writer(cluster, "writer-1", &TYPING)?;
    let token = writer.append("typing", &row(&room, &[user]))?;
    if token >= missed {
        return Err(format!("token {token} after {missed}: the log did not start over").into());
    }
    alice.wait_for_typing(&room, &[user], STEP)?;
    let token = writer.append("typing", &row(&room, &[]))?;
    alice.wait_for_typing(&room, &[], STEP)?;
    step(&format!("the worker follows a writer that has started over, now at {token}"));

    let mut redis = Connection::open(REDIS.parse()?)?;
    // The last process may still be connecting again after Redis was away.
    let deadline = Deadline::after(STEP);
    let before = loop {
        let before = listeners(&mut redis)?;
        if before.len() > PROCESSES {
            break before;
        }
        if !deadline.pause() {
            return Err(format!("only {before:?} listen").into());
        }
    };
    writer.append("logins", &[json!(["alice", 1])])?;
    for _ in 0..3 {
        redis.call(&[b"PUBLISH", SERVER_NAME.as_bytes(), b"REPLICATE"])?;
        writer.append("logins", &[json!(["alice", 2])])?;
        writer.append("typing", &row(&room, &[user]))?;
        alice.wait_for_typing(&room, &[user], STEP)?;
        writer.append("typing", &row(&room, &[]))?;
        alice.wait_for_typing(&room, &[], STEP)?;
    }
    if listeners(&mut redis)? != before {
        return Err("a stream that Synapse does not know cost it Redis connections".into());
    }
    step(&format!("{} subscriptions outlive a stream that Synapse does not know", before.len()));

    for line in SENDABLE {
        redis.call(&[b"PUBLISH", SERVER_NAME.as_bytes(), line.as_bytes()])?;
        // Each process handles its messages in order, so it has handled the line before these.
        writer.append("typing", &row(&room, &[user]))?;
        alice.wait_for_typing(&room, &[user], STEP)?;
        writer.append("typing", &row(&room, &[]))?;
        alice.wait_for_typing(&room, &[], STEP)?;
        if listeners(&mut redis)? != before {
            return Err(format!("{line:?} cost Synapse Redis connections").into());
        }
    }
    step("no line that we send on the main channel costs a connection");

    // The same stream on Synapse's own channel costs connections, so the check above would have
    // found that.
    writer.kill()?;
    let mut writer = start_writer(cluster, "writer-2", &["--announce-unknown-streams"])?;
    writer.append("logins", &[json!(["alice", 1])])?;
    let deadline = Deadline::after(STEP);
    while before.is_subset(&listeners(&mut redis)?) {
        if !deadline.pause() {
            return Err("an unknown stream on the main channel cost no connection".into());
        }
    }
    step("insisting on the main channel costs Synapse its connections");
    Ok(())
}

#[test]
fn a_worker_shows_what_we_write_and_is_not_harmed_by_what_it_does_not_know() {
    let cluster = Cluster::start_for_typing(HTTP).unwrap_or_else(|error| panic!("{error}"));
    if let Err(error) = story(&cluster) {
        panic!("{}\n{error}", cluster.logs());
    }
}
