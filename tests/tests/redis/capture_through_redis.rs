//! The recording of a real deployment, published again through a real redis-server: `synrepl
//! follow` delivers, per source, exactly the rows that the recording holds, also when its
//! subscription is cut.

#![expect(clippy::print_stdout, reason = "a test's output, shown when it fails")]
#![allow(clippy::unwrap_used, reason = "a test ends where it fails, also outside its own function")]

use std::{collections::BTreeMap, time::Duration};

use synrepl_tests::{
    Failure, Source,
    capture::{Account, Capture},
    clock::Stopwatch,
    cluster::{INSTANCES, SECRET, SERVER_NAME},
    deployment::{Deployment, Message},
    endpoint::Endpoint,
    follow::{Follower, Line, replay},
    redis::RedisServer,
    writers::RESETTABLE,
};
use tempfile::TempDir;

/// The longest time of a step before it counts as stuck.
const STEP: Duration = Duration::from_secs(50);
const USER_IP: &str = "localhost:18448/USER_IP";
/// The message that is published behind the recording, so that its end can be waited for. The
/// recording has none of its kind.
const LAST_WORD: &str = "REMOTE_SERVER_UP the.end.example";
/// A stream that Synapse does not know. In the recording an outsider published for a writer of it
/// that does not exist.
const FOREIGN: &str = "nosuch";

/// The whole arrangement, which is torn down when dropped.
struct Stage {
    dir: TempDir,
    follower: Follower,
    deployment: Deployment,
    _endpoints: Vec<Endpoint>,
    _redis: RedisServer,
}

/// The result of a run.
struct Ended {
    lines: Vec<Line>,
    stderr: String,
    /// The number of REPLICATEs, of the recording and of the follower.
    replicates: usize,
}

impl Stage {
    /// Starts Redis, all writers' listeners, and a follower that is connected before the first
    /// message.
    fn set() -> Result<Self, Failure> {
        let redis = RedisServer::start(&[])?;
        let deployment = Deployment::start(redis.address(), SERVER_NAME)?;
        let dir = tempfile::tempdir()?;
        let secret = dir.path().join("secret");
        std::fs::write(&secret, SECRET)?;
        let mut flags = vec!["--redis".to_owned(), redis.url()];
        flags.extend(["--server-name", SERVER_NAME, "--start", "beginning"].map(str::to_owned));
        flags.extend(["--user-ip".to_owned(), "--secret-file".to_owned()]);
        flags.push(secret.display().to_string());
        let mut endpoints = Vec::new();
        for (instance, _) in INSTANCES {
            let endpoint = deployment.endpoint(instance, SECRET, |_| None)?;
            flags.extend(["--instance".to_owned(), format!("{instance}={}", endpoint.url())]);
            endpoints.push(endpoint);
        }
        let follower = Follower::launch(dir.path(), "follow", "positions.json", &flags)?;
        follower.wait_for_line("the connection", 0, STEP, |line| *line == Line::Connected)?;
        Ok(Self { dir, follower, deployment, _endpoints: endpoints, _redis: redis })
    }

    /// Waits until the follower is complete, stops it, and replays its trace.
    fn end(self) -> Result<Ended, Failure> {
        let before = self.follower.line_count();
        self.deployment.say(LAST_WORD)?;
        self.follower.wait_for_line(
            "the last message",
            before,
            STEP,
            |line| matches!(line, Line::Command { command } if command == "REMOTE_SERVER_UP"),
        )?;
        self.follower.wait_for_positions(&self.deployment.announced(), STEP)?;
        let replicates = self.deployment.replicates_heard()?;
        let stderr = self.follower.stderr().text();
        let stopped = self.follower.stop()?;
        replay(&stopped.trace)?;
        drop(self.dir);
        Ok(Ended { lines: stopped.run.lines, stderr, replicates })
    }
}

/// The account that must be delivered. Checks that the recording is what it is believed to be.
fn truth(capture: &Capture) -> Account {
    let mut truth = capture.account(&[SERVER_NAME, USER_IP]);
    let rows: usize = truth.sources.values().map(|told| told.row_count).sum();
    let named = |name: &str| {
        let start = format!("{name} ");
        let of_name = |message: &&Message| message.text.starts_with(start.as_bytes());
        capture.messages.iter().filter(of_name).count()
    };
    assert_eq!(rows, named("RDATA"), "each RDATA is one row");
    assert_eq!(truth.commands["USER_IP"], named("USER_IP"));
    assert!(rows > 14_000 && truth.sources.len() > 25, "{rows} of {}", truth.sources.len());
    let foreign = truth.sources.get_mut(&Source::new(FOREIGN, "master")).unwrap();
    *foreign = Default::default();
    // These lines are no commands; stderr reports them instead.
    for line in ["GARBAGE", ""] {
        assert_eq!(truth.commands.remove(line), Some(1));
    }
    truth
}

fn check(
    truth: &Account,
    lines: &[Line],
    stderr: &str,
    lost: impl Fn(&Source, usize) -> usize,
) -> Account {
    let delivered = Account::of_lines(lines);
    println!("{}", truth.table(&delivered));
    let mut wrong = truth.compare(&delivered, lost);
    // Nobody has the rows of that stream: a gap says so.
    wrong.retain(|told| !told.starts_with(&format!("{FOREIGN}/master: gap")));
    assert!(wrong.is_empty(), "{}\n{stderr}", wrong.join("\n"));
    let foreign = stderr.lines().find(|line| line.contains(FOREIGN)).unwrap_or_default();
    assert!(foreign.contains("Unknown stream"), "{stderr}");
    delivered
}

#[test]
fn every_row_and_command_of_the_recording_comes_out() {
    let clock = Stopwatch::start();
    let capture = Capture::read().unwrap();
    let mut truth = truth(&capture);
    let stage = Stage::set().unwrap();
    stage.deployment.publish(&capture.messages).unwrap();
    println!("published {} messages after {:.1?}", capture.messages.len(), clock.elapsed());
    let Ended { lines, stderr, replicates } = stage.end().unwrap();
    println!("complete and replayed after {:.1?}", clock.elapsed());

    // The follower's own REPLICATEs come on top.
    let recorded = truth.commands.insert("REPLICATE".to_owned(), replicates).unwrap();
    assert!(replicates > recorded, "the follower asked nobody");
    truth.commands.insert("REMOTE_SERVER_UP".to_owned(), 1);
    let delivered = check(&truth, &lines, &stderr, |_, _| 0);
    assert_eq!(delivered.commands, truth.commands);
    assert_eq!(stderr.matches("is not a command").count(), 2, "{stderr}");
    let connections = lines.iter().filter(|line| **line == Line::Connected).count();
    assert_eq!(connections, 1, "{stderr}");
}

/// A place at which all subscribers are cut off.
struct Cut {
    why: &'static str,
    /// The number of messages of the recording that are published before.
    after: usize,
    /// The number of messages that are published before anyone can subscribe again.
    unheard: usize,
}

/// The places at which the subscription is cut.
fn cuts(capture: &Capture, restart: usize) -> Vec<Cut> {
    let phase = |name: &str| capture.before(&format!("phase {name}"), 0).unwrap();
    let amid = |stream: &str, first: usize| capture.amid_a_send(stream, first).unwrap();
    let cut = |why, after, unheard| Cut { why, after, unheard };
    let (traffic, bursts) = (phase("traffic, 90 s"), phase("bursts"));
    let (joins, again) = (phase("peer joins"), phase("restart p1"));
    let falling = amid("backfill", joins + 580);
    vec![
        cut("while the workers start", phase("start-up: the other workers") + 40, 10),
        cut("inside a batch, heard from its middle on", amid("events", traffic + 200), 0),
        cut("inside a batch, missed to its end", amid("events", traffic + 2_000), 150),
        cut("inside a batch of to_device", amid("to_device", traffic + 4_000), 1),
        cut("in a dense phase", bursts + 400, 1_000),
        cut("while it catches up with that", bursts + 1_400, 300),
        cut("inside the first falling run", amid("backfill", joins - 150) + 2, 0),
        cut("inside a falling run, heard from its middle on", falling, 0),
        cut("inside a falling run, missed to its end", amid("backfill", falling + 40), 60),
        cut("over the restart of a writer in memory", restart - 40, 200),
        cut("over the restart of an event persister", again + 350, 150),
        cut("inside a batch in memory", amid("presence_federation", joins + 1_100), 0),
        cut("shortly before the end", capture.messages.len() - 60, 30),
    ]
}

#[test]
fn every_row_of_the_recording_comes_out_though_the_subscription_is_cut() {
    let clock = Stopwatch::start();
    let capture = Capture::read().unwrap();
    let truth = truth(&capture);
    let stage = Stage::set().unwrap();
    let (follower, deployment) = (&stage.follower, &stage.deployment);
    // Here the tokens of the streams that streams1 has in memory go back.
    let restart = capture.before("phase restart streams1", 0).unwrap();
    let restart = capture.before("POSITION typing streams1 0 0", restart).unwrap();

    let mut published = 0;
    let mut lost: BTreeMap<Source, usize> = BTreeMap::new();
    let mut cuts = cuts(&capture, restart);
    cuts.sort_by_key(|cut| cut.after);
    for Cut { why, after, unheard } in &cuts {
        assert!(*after >= published, "{why}: the one before is not over");
        deployment.publish(&capture.messages[published..*after]).unwrap();
        if (*after..after + unheard).contains(&restart) {
            // The batches that end with the writer are counted, so all before them must have
            // arrived.
            let mut announced = deployment.announced();
            announced.retain(|source, _| RESETTABLE.contains(&source.stream.as_str()));
            follower.wait_for_positions(&announced, STEP).unwrap();
            let unheard = Capture { messages: capture.messages[*after..restart].to_vec() };
            for (source, told) in unheard.account(&[SERVER_NAME]).sources {
                lost.insert(source, told.epochs.iter().flatten().count());
            }
        }
        let known = follower.line_count();
        assert_eq!(deployment.cut_subscribers().unwrap(), 1, "{why}");
        published = after + unheard;
        deployment.publish(&capture.messages[*after..published]).unwrap();
        follower.wait_for_line(why, known, STEP, |line| *line == Line::Connected).unwrap();
        println!("{:6.1?} cut {after}..{published} {why}", clock.elapsed());
    }
    deployment.publish(&capture.messages[published..]).unwrap();
    let Ended { lines, stderr, .. } = stage.end().unwrap();
    println!("complete and replayed after {:.1?}", clock.elapsed());

    let lost = |source: &Source, epoch: usize| match lost.get(source) {
        Some(count) if epoch == 0 => *count,
        Some(_) | None => 0,
    };
    let delivered = check(&truth, &lines, &stderr, lost);
    let connections = lines.iter().filter(|line| **line == Line::Connected).count();
    assert_eq!(connections, cuts.len() + 1, "{stderr}");
    for stream in ["events", "backfill", "to_device", "typing", "caches", "profile_updates"] {
        let of_stream = delivered.sources.iter().filter(|(source, _)| source.stream == stream);
        let fetched: usize = of_stream.map(|(_, told)| told.fetched_count).sum();
        assert!(fetched > 0, "{stream}: nothing was ever fetched");
    }
    // One reset is for the writer's restart; the others are for restarts that may have happened in
    // a cut.
    let typing = &delivered.sources[&Source::new("typing", "streams1")];
    assert!(typing.epochs.len() > 3, "{} epochs of typing", typing.epochs.len());
    for (name, count) in &delivered.commands {
        let most = truth.commands.get(name).copied().unwrap_or(usize::MAX);
        assert!(name == "REPLICATE" || *count <= most, "{name}: {count} of {most}");
    }
}
