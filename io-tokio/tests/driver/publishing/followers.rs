//! Drivers as followers of a writer over direct TCP: each dialect catches up and goes on live.

use std::{sync::atomic::Ordering, time::Duration};

use synrepl::{
    Builder, Dialect, Event, Replication, Start,
    core::{Origin, Warning},
};
use tokio::time::timeout;

use super::{
    from_log::FromLog,
    writer::{DIALECTS, LIMIT, Writer},
};
use crate::servers::until;

/// A follower over direct TCP that starts from the beginning.
fn follower(writer: &Writer, dialect: Dialect, pages: FromLog) -> Replication {
    Builder::tcp(&writer.address(dialect).to_string(), dialect)
        .unwrap()
        .server_name("example.com")
        .instance("follower")
        .start(Start::Beginning)
        .fetch_source(pages)
        .spawn()
        .unwrap()
}

/// The rows up to this token, each with its token and origin.
async fn rows_upto(replication: &mut Replication, last: i64) -> Vec<(i64, String, Origin)> {
    let mut found = Vec::new();
    while found.last().is_none_or(|(token, _, _)| *token < last) {
        let event = timeout(LIMIT, replication.next()).await.expect("no row in time").unwrap();
        if let Event::Rows { token, rows, origin, .. } = event {
            found.extend(rows.iter().map(|row| (token.get(), row.as_str().to_owned(), origin)));
        }
    }
    found
}

#[tokio::test]
async fn followers_of_every_dialect_catch_up_and_go_on_live() {
    let writer = Writer::start(|builder| builder).await;
    for token in 2..=50 {
        writer.append(&[&format!("[{token}]")]).await;
    }
    let mut followers = Vec::new();
    for dialect in DIALECTS {
        let pages = FromLog::new(&writer.log);
        let mut follower = follower(&writer, dialect, pages.clone());
        let rows = rows_upto(&mut follower, 50).await;
        assert!(rows.iter().all(|(_, _, origin)| *origin == Origin::CatchUp), "{dialect}");
        let tokens: Vec<_> = rows.iter().map(|(token, _, _)| *token).collect();
        assert_eq!(tokens, (1..=50).collect::<Vec<_>>(), "{dialect}");
        // In the oldest dialect missed rows come over the connection, not in pages.
        let fetched = pages.pages.load(Ordering::Relaxed);
        assert_eq!(fetched > 0, dialect.names_instances(), "{dialect}: {fetched} pages");
        until(&mut follower, |event| matches!(event, Event::Live { .. }).then_some(())).await;
        followers.push(follower);
    }
    for token in 51..=60 {
        writer.append(&[&format!("[{token}]")]).await;
    }
    for follower in &mut followers {
        let rows = rows_upto(follower, 60).await;
        let expected: Vec<_> =
            (51..=60).map(|token| (token, format!("[{token}]"), Origin::Live)).collect();
        assert_eq!(rows, expected);
    }
}

#[tokio::test]
async fn a_follower_of_another_homeserver_takes_nothing_and_says_so() {
    let writer = Writer::start(|builder| builder).await;
    let address = writer.address(Dialect::V1_22).to_string();
    let builder = Builder::tcp(&address, Dialect::V1_22).unwrap().server_name("other.example");
    let mut follower = builder.start(Start::Beginning).spawn().unwrap();
    let (expected, found) = until(&mut follower, |event| match event {
        Event::Warning(Warning::WrongServer { expected, found }) => Some((expected, found)),
        Event::Rows { .. } | Event::Live { .. } => panic!("{event:?}"),
        _ => None,
    })
    .await;
    assert_eq!((&*expected, &*found), ("other.example", "example.com"));
    until(&mut follower, |event| matches!(event, Event::Disconnected { .. }).then_some(())).await;
}

#[tokio::test]
async fn a_follower_waits_for_what_a_writer_has_appended() {
    let writer = Writer::start(|builder| builder).await;
    let mut follower = follower(&writer, Dialect::V1_22, FromLog::new(&writer.log));
    rows_upto(&mut follower, 1).await;
    let token = writer.append(&["[2]"]).await;
    let handle = follower.handle();
    let reached = handle.wait_for("s", "writer", token, Duration::from_secs(9)).await;
    assert_eq!(reached, Ok(token));
}

#[tokio::test]
async fn what_a_follower_says_of_itself_reaches_the_writer() {
    let mut writer =
        Writer::start(|builder| builder.core(|c| c.users.presence_writer = true)).await;
    let follower = follower(&writer, Dialect::V1_22, FromLog::new(&writer.log));
    follower.handle().syncing("@a:example.com", None, true).await.unwrap();
    let user = writer.until(|event| match event {
        Event::UserSyncing { sync, .. } => {
            // The instance id is five letters, drawn at each start.
            let id = sync.instance_id.as_deref().unwrap();
            assert!(id.len() == 5 && id.chars().all(|c| c.is_ascii_alphabetic()), "{id}");
            Some((sync.user.to_string(), sync.syncing))
        }
        _ => None,
    });
    assert_eq!(user.await, ("@a:example.com".to_owned(), true));
    // The reports are cleared before the connection closes.
    follower.shutdown().await;
    writer.until(|event| matches!(event, Event::SyncingCleared { .. }).then_some(())).await;
}
