//! `synrepl follow` on a real Synapse with several writers, while Redis, writers and the follower
//! itself go away and come back.

#![expect(clippy::print_stdout, reason = "a test's output, shown when it fails")]

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use synrepl_tests::{
    Failure, Source,
    announced::Ear,
    clock::Stopwatch,
    cluster::{Cluster, sources},
    delivered::{Delivered, Deliveries, LOOSE},
    follow::{Follower, Line, Run, Settings, replay},
    held::held,
    oracle::{Log, compared_from, judge, table},
    traffic::Traffic,
};

/// Of the 19 that Synapse has. `federation` has no rows in this layout.
const STREAMS_WITH_ROWS_MIN: usize = 16;
/// How long a fault-free step may take before it counts as stuck.
const STEP: Duration = Duration::from_secs(60);

fn typing() -> Source {
    Source::new("typing", "streams1")
}

/// Waits until every source of the cluster stands where its writer says it does.
fn wait_until_complete(follower: &Follower, ear: &Ear) -> Result<BTreeMap<Source, i64>, Failure> {
    let announced = ear.ask_positions(STEP)?;
    follower.wait_for_positions(&announced, STEP)?;
    Ok(announced)
}

fn is_reset_of_typing(line: &Line) -> bool {
    matches!(line, Line::Reset { .. }) && line.source() == Some(typing())
}

/// What the writers hold since the follower began, up to where they say they stand.
fn logs_of(
    delivered: &Deliveries,
    announced: &BTreeMap<Source, i64>,
) -> Result<BTreeMap<Source, Log>, Failure> {
    announced
        .iter()
        .map(|(source, &announced)| {
            let from = delivered.sources().get(source).map_or(0, compared_from);
            let rows = held(source, from, announced)?;
            Ok((source.clone(), Log { announced, rows }))
        })
        .collect()
}

/// Compares the runs with what the writers hold; an error says all that is wrong.
fn check(
    runs: &[Run],
    announced: &BTreeMap<Source, i64>,
    ear: &Ear,
) -> Result<Deliveries, Failure> {
    let delivered = Deliveries::read(runs);
    let logs = logs_of(&delivered, announced)?;
    println!("{}", table(&delivered, &logs));
    let mut passed_over = 0;
    let wrong = judge(&delivered, &logs, |source, token| {
        let excused = source.stream == LOOSE && ear.was_passed_over(source, token);
        passed_over += usize::from(excused);
        excused
    });
    println!("rows of {LOOSE} that their writer never sent: {passed_over}");
    if wrong.is_empty() {
        return Ok(delivered);
    }
    let more = wrong.len().saturating_sub(30);
    let shown: Vec<_> = wrong.into_iter().take(30).collect();
    Err(format!("{}\n(and {more} more)", shown.join("\n")).into())
}

/// Runs a test's body on a fresh cluster; what failed comes with the servers' own words.
fn on_a_cluster(peer: bool, body: impl FnOnce(&Cluster) -> Result<(), Failure>) {
    let clock = Stopwatch::start();
    let cluster = Cluster::start(peer).unwrap_or_else(|error| panic!("{error}"));
    println!("cluster up after {:.1?}", clock.elapsed());
    if let Err(error) = body(&cluster) {
        panic!("{}\n{error}", cluster.logs());
    }
    println!("done after {:.1?}", clock.elapsed());
}

#[test]
fn every_row_arrives_once_while_redis_writers_and_the_follower_go_away() {
    on_a_cluster(true, |cluster| {
        let clock = Stopwatch::start();
        let step = |what: &str| println!("{:6.1?} {what}", clock.elapsed());
        let ear = Ear::open()?;
        let settings = |name| Settings { name, positions: "positions.json", secret: "secret" };
        let follower = Follower::start(cluster, settings("first"))?;
        follower.wait_until("a position of every source", STEP, |lines| {
            let known: BTreeSet<_> = lines.iter().filter_map(Line::source).collect();
            sources().iter().all(|source| known.contains(source))
        })?;
        let before = wait_until_complete(&follower, &ear)?;
        step("follows; traffic begins");
        let traffic = Traffic::start(cluster, 1, 200)?;
        step("every action was done once; Redis stops");

        let resets = follower.count(is_reset_of_typing);
        let lines = follower.line_count();
        cluster.stop_one("redis")?;
        follower.wait_until("the loss of Redis", STEP, |all| {
            all[lines..].contains(&Line::Disconnected)
        })?;
        follower.let_pass(Duration::from_secs(10));
        cluster.start_one("redis")?;
        follower.wait_until("a reset of typing after Redis was away", STEP, |lines| {
            lines.iter().filter(|line| is_reset_of_typing(line)).count() > resets
        })?;
        wait_until_complete(&follower, &ear)?;
        step("complete again; the writer of typing is killed");

        let resets = follower.count(is_reset_of_typing);
        cluster.kill("streams1")?;
        cluster.start_one("streams1")?;
        follower.wait_until("a reset of typing after its writer was killed", STEP, |lines| {
            lines.iter().filter(|line| is_reset_of_typing(line)).count() > resets
        })?;
        step("typing was reset; a writer of events is killed");

        cluster.kill("p1")?;
        cluster.start_one("p1")?;
        wait_until_complete(&follower, &ear)?;
        step("complete again; the follower stops");

        let first = follower.stop()?;
        if !ear.wait_for_rdata(ear.rdata_count() + 300, STEP) {
            return Err("the traffic has dried up".into());
        }
        step("300 messages were missed; the follower resumes");
        let follower = Follower::start(cluster, settings("second"))?;
        wait_until_complete(&follower, &ear)?;
        if !ear.wait_for_rdata(ear.rdata_count() + 300, STEP) {
            return Err("the traffic has dried up".into());
        }
        println!("traffic: {}", traffic.stop()?);
        let announced = wait_until_complete(&follower, &ear)?;
        let second = follower.stop()?;
        step("complete; traffic and follower are stopped");

        assert_eq!(first.saved, second.run.saved, "the second run began where the first ended");
        let delivered = check(&[first.run, second.run], &announced, &ear)?;
        step("compared with what the writers hold");
        for (source, of) in delivered.sources() {
            let at_first = before.get(source);
            assert!(
                at_first.is_none_or(|token| of.first <= *token),
                "{source} began at {}, above {at_first:?} where its writer stood",
                of.first
            );
        }
        let with_rows: BTreeSet<_> = delivered
            .sources()
            .iter()
            .filter(|(_, of)| of.row_count > 0)
            .map(|(source, _)| source.stream.as_str())
            .collect();
        println!("{} streams had rows: {with_rows:?}", with_rows.len());
        assert!(with_rows.len() >= STREAMS_WITH_ROWS_MIN, "only {with_rows:?} had rows");
        let fetched: usize = delivered.sources().values().map(|of| of.caught_up_count).sum();
        assert!(fetched > 0, "nothing was ever caught up");

        replay(&first.record)?;
        replay(&second.record)?;
        step("both recorded traces replay");
        Ok(())
    });
}

#[test]
fn a_wrong_secret_is_named_and_no_row_is_lost_once_it_is_right() {
    on_a_cluster(false, |cluster| {
        let ear = Ear::open()?;
        let settings = |name, secret| Settings { name, positions: "positions.json", secret };
        let follower = Follower::start(cluster, settings("before", "secret"))?;
        wait_until_complete(&follower, &ear)?;
        let before = follower.stop()?;
        println!("traffic: {}", Traffic::start(cluster, 2, 3)?.stop()?);

        let follower = Follower::start(cluster, settings("wrong", "wrong-secret"))?;
        let is_of_events = |line: &Line| line.source().is_some_and(|of| of.stream == "events");
        follower.wait_until("an attempt to fetch events", STEP, |lines| {
            lines.iter().any(|line| is_of_events(line) && matches!(line, Line::CatchingUp { .. }))
        })?;
        follower.wait_until_stderr("secret", STEP)?;
        let wrong = follower.stop()?;
        assert!(
            !wrong.run.lines.iter().any(|line| {
                is_of_events(line) && matches!(line, Line::Rows { .. } | Line::Position { .. })
            }),
            "events went on above rows that could not be fetched"
        );
        assert_eq!(wrong.saved["events"], before.saved["events"], "the position passed rows");

        let follower = Follower::start(cluster, settings("right", "secret"))?;
        let announced = wait_until_complete(&follower, &ear)?;
        let right = follower.stop()?;
        let delivered = check(&[before.run, wrong.run, right.run], &announced, &ear)?;
        let fetched = |(source, of): (&Source, &Delivered)| {
            if source.stream == "events" { of.caught_up_count } else { 0 }
        };
        let fetched: usize = delivered.sources().iter().map(fetched).sum();
        assert!(fetched > 0, "no events were written while the secret was wrong");
        Ok(())
    });
}
