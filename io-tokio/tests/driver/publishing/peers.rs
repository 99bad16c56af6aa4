//! A writer against bare sockets as its peers, in each dialect: every peer gets each batch whole
//! and in order, and a bad or slow peer harms no other.

use std::collections::BTreeSet;

use synrepl::{Dialect, Event, core::Warning};
use tokio::task::JoinSet;

use super::{
    raw::Raw,
    writer::{DIALECTS, LIMIT, Writer},
};

/// The rows that a follower receives of batches of one row each.
fn numbered(tokens: std::ops::RangeInclusive<i64>) -> Vec<(String, String)> {
    tokens.map(|token| (token.to_string(), format!("[{token}]"))).collect()
}

#[tokio::test]
async fn every_dialect_hears_each_batch_unbroken_and_in_order() {
    let writer = Writer::start(|builder| builder).await;
    let mut followers = Vec::new();
    for dialect in DIALECTS {
        followers.push(Raw::follow(&writer, dialect).await);
    }
    assert_eq!(writer.append(&["[1]", "[2]"]).await.get(), 2);
    assert_eq!(writer.append(&["[3]"]).await.get(), 3);
    for follower in &mut followers {
        let rows = follower.rows_upto(3).await;
        let rows: Vec<_> = rows.iter().map(|(token, row)| (token.as_str(), row.as_str())).collect();
        assert_eq!(rows, [("batch", "[1]"), ("2", "[2]"), ("3", "[3]")]);
    }
}

#[tokio::test]
async fn two_hundred_followers_of_three_dialects_hear_everything() {
    const COUNT: i64 = 500;
    let writer = Writer::start(|builder| builder).await;
    let mut followers = Vec::new();
    for number in 0..200 {
        followers.push(Raw::follow(&writer, DIALECTS[number % 3]).await);
    }
    let mut reading = JoinSet::new();
    for mut follower in followers {
        reading.spawn(async move { (follower.rows_upto(COUNT).await, follower) });
    }
    for token in 2..=COUNT {
        assert_eq!(writer.append(&[&format!("[{token}]")]).await.get(), token);
    }
    let mut followers = Vec::new();
    while let Some(read) = reading.join_next().await {
        let (rows, follower) = read.unwrap();
        assert_eq!(rows, numbered(2..=COUNT));
        followers.push(follower);
    }
    let stats = writer.handle.stats().await.unwrap();
    assert_eq!((stats.peers_now, stats.peers_cut_off), (200, 0));
}

#[tokio::test]
async fn a_follower_that_takes_nothing_is_cut_off_and_the_others_hear_everything() {
    const COUNT: i64 = 3_000;
    let mut writer =
        Writer::start(|builder| builder.core(|c| c.publish.peer_pending_max = 1_000)).await;
    let mut stuck = Raw::follow(&writer, Dialect::V1_22).await;
    let mut good = Vec::new();
    for number in 0..20 {
        good.push(Raw::follow(&writer, DIALECTS[number % 3]).await);
    }
    // All rows together are more than the system's buffers and the queue take.
    let filler = "x".repeat(10_000);
    // Every row is waited for, so the peer that is stuck must not hold up the others.
    for token in 2..=COUNT {
        writer.append(&[&format!("[{token},\"{filler}\"]")]).await;
        for follower in &mut good {
            let rows = follower.rows_upto(token).await;
            assert_eq!(rows.len(), 1, "each row once, none left out");
        }
    }
    let pending = writer
        .until(|event| match event {
            Event::Warning(Warning::PeerTooSlow { pending, .. }) => Some(pending),
            _ => None,
        })
        .await;
    assert!(pending <= 1_000, "{pending}");
    writer.until(|event| matches!(event, Event::PeerDisconnected { .. }).then_some(())).await;
    // The rows that the stuck peer reads at last have no hole.
    let mut expected = 2;
    while let Some((token, _)) = stuck.row().await {
        assert_eq!(token, expected.to_string());
        expected += 1;
    }
    assert!(expected < COUNT);
    assert_eq!(writer.handle.stats().await.unwrap().peers_now, 20);
}

#[tokio::test]
async fn a_follower_that_breaks_the_protocol_hears_why_and_harms_nobody() {
    let mut writer = Writer::start(|builder| builder).await;
    let mut good = Raw::follow(&writer, Dialect::V1_22).await;
    let long = "x".repeat(16_385);
    for (line, told) in [
        ("RDATA s me 1 [1]", "ERROR invalid command: RDATA"),
        ("GARBAGE", "ERROR failed to parse line"),
        (&*long, "ERROR Line length exceeded"),
    ] {
        let mut bad = Raw::connect(&writer, Dialect::V1_22).await;
        bad.say(line).await;
        let error = bad.hear_of("ERROR ").await;
        assert!(error.starts_with(told), "{error}");
        assert_eq!(bad.line().await, None);
        drop(bad);
        writer.until(|event| matches!(event, Event::PeerDisconnected { .. }).then_some(())).await;
    }
    writer.append(&["[2]"]).await;
    assert_eq!(good.rows_upto(2).await, numbered(2..=2));
}

#[tokio::test]
async fn what_was_appended_before_a_shutdown_goes_out_before_the_connections_close() {
    const COUNT: i64 = 2_000;
    let mut writer = Writer::start(|builder| builder).await;
    let mut followers = Vec::new();
    for dialect in DIALECTS {
        followers.push(Raw::follow(&writer, dialect).await);
    }
    let appends: Vec<_> = (2..=COUNT)
        .map(|token| writer.handle.append("s", [format!("[{token}]").as_str()]))
        .collect();
    for append in appends {
        append.await.unwrap();
    }
    writer.handle.shutdown();
    let address = writer.address(Dialect::V1_22);
    for mut follower in followers {
        let mut rows = Vec::new();
        while let Some(row) = follower.row().await {
            rows.push(row);
        }
        assert_eq!(rows, numbered(2..=COUNT));
    }
    let mut gone = 0;
    while let Some(event) = tokio::time::timeout(LIMIT, writer.replication.next()).await.unwrap() {
        gone += u32::from(matches!(event, Event::PeerDisconnected { .. }));
        if event == Event::Stopped {
            assert_eq!(gone, 3);
        }
    }
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn publishing_goes_on_while_the_application_takes_no_events() {
    const COUNT: i64 = 300;
    let writer = Writer::start(|builder| builder.limits(|l| l.events_queued_max = 8)).await;
    let mut followers = Vec::new();
    // Each connection raises an event, and together these are more than the queue takes.
    for _ in 0..8 {
        followers.push(Raw::follow(&writer, Dialect::V1_22).await);
    }
    for token in 2..=COUNT {
        writer.append(&[&format!("[{token}]")]).await;
    }
    for follower in &mut followers {
        assert_eq!(follower.rows_upto(COUNT).await, numbered(2..=COUNT));
    }
}

#[tokio::test]
async fn a_command_of_the_application_reaches_peers_behind_what_went_before() {
    let writer = Writer::start(|builder| builder).await;
    let mut follower = Raw::follow(&writer, Dialect::V1_22).await;
    writer.append(&["[2]"]).await;
    assert_eq!(follower.rows_upto(2).await, numbered(2..=2));
    let up = synrepl::Command::RemoteServerUp("far.example".into());
    writer.handle.send(up).await.unwrap();
    assert_eq!(follower.hear_of("REMOTE").await, "REMOTE_SERVER_UP far.example");
}

#[tokio::test]
async fn peers_are_told_apart_in_events() {
    let mut writer = Writer::start(|builder| builder).await;
    let mut names = BTreeSet::new();
    for name in ["a", "b"] {
        let mut raw = Raw::connect(&writer, Dialect::V1_13).await;
        raw.say(&format!("NAME {name}")).await;
        let named = writer.until(|event| match event {
            Event::PeerNamed { conn, name } => Some((conn, name.to_string())),
            _ => None,
        });
        names.insert(named.await);
    }
    let names: Vec<_> = names.into_iter().map(|(_, name)| name).collect();
    assert_eq!(names, ["a", "b"], "ids rise");
}
