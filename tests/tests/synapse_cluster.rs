//! `synrepl follow` on a real Synapse with several writers, while Redis, writers and the follower
//! itself are stopped and started: every row that the writers hold is delivered once and in order.

#![expect(clippy::print_stdout, reason = "a test's output, shown when it fails")]

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
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

/// The least number of streams with rows, of the 19 that Synapse has. `federation` has no rows in
/// this layout.
const STREAMS_WITH_ROWS_MIN: usize = 16;
/// The time for which Redis is away.
const REDIS_AWAY: Duration = Duration::from_secs(10);
/// The longest time of a fault-free step before it counts as stuck.
const STEP: Duration = Duration::from_secs(60);

fn typing() -> Source {
    Source::new("typing", "streams1")
}

/// Waits until the follower has every source of the cluster up to the position that its writer
/// announces.
fn wait_until_complete(follower: &Follower, ear: &Ear) -> Result<BTreeMap<Source, i64>, Failure> {
    let announced = ear.ask_positions(STEP)?;
    follower.wait_for_positions(&announced, STEP)?;
    Ok(announced)
}

fn is_reset_of_typing(line: &Line) -> bool {
    matches!(line, Line::Reset { .. }) && line.source() == Some(typing())
}

/// The rows that the writers hold since the follower began, up to their announced positions.
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

/// Compares the runs with what the writers hold; the error lists the faults.
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

/// Runs a test's body on a fresh cluster; a failure is shown with the servers' logs.
fn on_a_cluster(peer: bool, body: impl FnOnce(&Cluster) -> Result<(), Failure>) {
    let clock = Stopwatch::start();
    let cluster = Cluster::start(peer).unwrap_or_else(|error| panic!("{error}"));
    println!("cluster up after {:.1?}", clock.elapsed());
    if let Err(error) = body(&cluster) {
        panic!("{}\n{error}", cluster.logs());
    }
    println!("done after {:.1?}", clock.elapsed());
}

/// A number from the environment, to run longer or otherwise by hand.
fn setting(name: &str, default: u32) -> u32 {
    match env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text}")),
        Err(_) => default,
    }
}

/// Stops Redis and starts it again, then kills two writers and starts them again. Returns with the
/// follower complete.
fn take_away(cluster: &Cluster, ear: &Ear, follower: &Follower) -> Result<(), Failure> {
    let wait_for_reset_of_typing = |known: usize, why: &str| {
        follower.wait_until(why, STEP, |lines| {
            lines.iter().filter(|line| is_reset_of_typing(line)).count() > known
        })
    };
    let is_disconnected = |line: &Line| *line == Line::Disconnected;

    let (resets, cuts) = (follower.count(is_reset_of_typing), follower.count(is_disconnected));
    cluster.stop_one("redis")?;
    follower.wait_until("the loss of Redis", STEP, |lines| {
        lines.iter().filter(|line| is_disconnected(line)).count() > cuts
    })?;
    follower.let_pass(REDIS_AWAY);
    cluster.start_one("redis")?;
    wait_for_reset_of_typing(resets, "a reset of typing after Redis was away")?;
    wait_until_complete(follower, ear)?;

    let resets = follower.count(is_reset_of_typing);
    cluster.kill("streams1")?;
    cluster.start_one("streams1")?;
    wait_for_reset_of_typing(resets, "a reset of typing after its writer was killed")?;

    cluster.kill("p1")?;
    cluster.start_one("p1")?;
    wait_until_complete(follower, ear)?;
    Ok(())
}

/// Waits until the traffic has caused this many more messages with rows.
fn wait_for_traffic(ear: &Ear, messages: usize) -> Result<(), Failure> {
    if ear.wait_for_rdata(ear.rdata_count() + messages, STEP) {
        return Ok(());
    }
    Err("the traffic has dried up".into())
}

#[test]
fn every_row_arrives_once_while_redis_writers_and_the_follower_go_away() {
    on_a_cluster(true, |cluster| {
        let clock = Stopwatch::start();
        let step = |what: &str| println!("{:6.1?} {what}", clock.elapsed());
        let rounds = setting("SYNREPL_CLUSTER_ROUNDS", 1);
        let ear = Ear::open()?;
        let start = |run: usize| {
            let name = format!("run-{run}");
            let settings = Settings { name: &name, positions: "positions.json", secret: "secret" };
            Follower::start(cluster, settings)
        };
        let mut follower = start(0)?;
        follower.wait_until("a position of every source", STEP, |lines| {
            let known: BTreeSet<_> = lines.iter().filter_map(Line::source).collect();
            sources().iter().all(|source| known.contains(source))
        })?;
        let before = wait_until_complete(&follower, &ear)?;
        step("follows; traffic begins");
        let seed = setting("SYNREPL_CLUSTER_SEED", 1);
        let traffic =
            Traffic::start(cluster, seed, setting("SYNREPL_CLUSTER_RATE", 40), 240 * rounds)?;
        step("every action was done once");

        let (mut runs, mut traces) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            take_away(cluster, &ear, &follower)?;
            step("Redis and two writers went away and came back");

            let stopped = follower.stop()?;
            runs.push(stopped.run);
            traces.push(stopped.trace);
            wait_for_traffic(&ear, 300)?;
            follower = start(runs.len())?;
            wait_until_complete(&follower, &ear)?;
            step("the follower was stopped and resumed");

            wait_for_traffic(&ear, 300)?;
            runs.push(follower.kill()?);
            follower = start(runs.len())?;
            wait_until_complete(&follower, &ear)?;
            step("the follower was killed and resumed");
            wait_for_traffic(&ear, 100)?;
        }
        println!("traffic: {}", traffic.stop()?);
        let announced = wait_until_complete(&follower, &ear)?;
        let stopped = follower.stop()?;
        runs.push(stopped.run);
        traces.push(stopped.trace);
        step("complete; traffic and follower are stopped");

        let delivered = check(&runs, &announced, &ear)?;
        step("compared with what the writers hold");
        for (source, of) in delivered.sources() {
            let stood = before.get(source);
            assert!(
                stood.is_none_or(|token| of.first <= *token),
                "{source} began at {}, above {stood:?} where its writer stood",
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

        for trace in &traces {
            replay(trace)?;
        }
        step("the recorded traces replay");
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
        println!("traffic: {}", Traffic::start(cluster, 2, 40, 3)?.stop()?);

        let follower = Follower::start(cluster, settings("wrong", "wrong-secret"))?;
        let is_of_events = |line: &Line| line.source().is_some_and(|of| of.stream == "events");
        follower.wait_until("an attempt to fetch events", STEP, |lines| {
            lines.iter().any(|line| is_of_events(line) && matches!(line, Line::CatchingUp { .. }))
        })?;
        follower.stderr().wait_for_line(&["worker_replication_secret"], 0, STEP)?;
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
