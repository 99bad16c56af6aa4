//! The victims: processes of `synrepl` with one hostile server, and the processes beside them that
//! must not be affected.

use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;
use serde_json::json;
use synrepl_tests::{
    Source,
    deployment::Deployment,
    endpoint::Endpoint,
    follow::{Follower, Line},
    impostor::Impostor,
    redis::RedisServer,
    serve::Writer,
};
use tempfile::TempDir;

use crate::{REDIS_PASSWORD, REPLICATION_SECRET, SERVER, STEP, Victim};

/// The longest time until a row has reached a follower that the attack does not concern. It is for
/// debug builds on a busy machine; alone a row takes milliseconds.
const IN_TIME: Duration = Duration::from_secs(10);

/// The folder of a victim, with its secrets.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        fs::write(folder.path("secret"), REPLICATION_SECRET).unwrap();
        fs::write(folder.path("password"), REDIS_PASSWORD).unwrap();
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn flag(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// Starts `synrepl follow` under this name.
    fn follow(&self, name: &str, flags: &[&str]) -> Follower {
        let secret = self.flag("secret");
        let common = ["--secret-file", &secret, "--name", name, "-vvv"];
        let flags: Vec<String> = [&common[..], flags].concat().iter().map(|&f| f.into()).collect();
        Follower::launch(self.0.path(), name, &format!("{name}.positions"), &flags).unwrap()
    }

    /// Starts `synrepl serve`, and returns it with its addresses.
    fn serve(&self, flags: &[&str]) -> (Writer, Addresses) {
        let [secret, log, addresses] = ["secret", "log", "addresses"].map(|name| self.flag(name));
        let mut all = vec!["--log", &log, "--server-name", SERVER, "--http", "127.0.0.1:0"];
        all.extend(["--tcp", "127.0.0.1:0", "--secret-file", &secret]);
        all.extend(["--addresses-file", &addresses, "--access-log", "-vvv"]);
        all.extend(flags);
        let writer = Writer::launch(self.0.path(), "serve", &all).unwrap();
        writer.stderr().wait_for_line(&["listening"], 0, STEP).unwrap();
        let addresses = fs::read_to_string(addresses).unwrap();
        (writer, serde_json::from_str(&addresses).unwrap())
    }

    /// The content of all files in the folder, but of those that hold the secrets.
    fn written(&self) -> String {
        let read = |path: &Path| {
            // A file that is being replaced is gone for a moment.
            String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
        };
        let files = fs::read_dir(self.0.path()).unwrap().map(|file| file.unwrap().path());
        let told = |path: &PathBuf| !path.ends_with("secret") && !path.ends_with("password");
        files.filter(told).map(|path| read(&path)).collect()
    }
}

#[derive(Deserialize)]
struct Addresses {
    tcp: Vec<SocketAddr>,
    http: SocketAddr,
}

/// A redis-server with a user that has a password.
fn redis_server() -> RedisServer {
    let password = format!(">{REDIS_PASSWORD}");
    RedisServer::start(&["--user", "synrepl", "on", &password, "~*", "&*", "+@all"]).unwrap()
}

fn events(writer: &str) -> Source {
    Source::new("events", writer)
}

fn row(source: &Source, token: i64) -> String {
    format!("RDATA {} {} {token} [\"{}\",{token}]", source.stream, source.instance, source.instance)
}

/// The tokens of the rows of `source`, in the order in which they came.
fn tokens(follower: &Follower, source: &Source) -> Vec<i64> {
    let of = |line: &Line| {
        let is_of = line.source().as_ref() == Some(source);
        if let Line::Rows { token, .. } = line { Some(*token).filter(|_| is_of) } else { None }
    };
    follower.lines().iter().filter_map(of).collect()
}

#[track_caller]
fn assert_complete(follower: &Follower, source: &Source, from: i64, upto: i64, what: &str) {
    let expected: Vec<i64> = (from..=upto).collect();
    assert_eq!(tokens(follower, source), expected, "{source} after {what}");
}

/// Two writers of `events`, played by the test on a real Redis, and `synrepl follow`.
struct Played {
    follower: Follower,
    deployment: Deployment,
    impostor: Impostor,
    folder: Folder,
    _endpoints: [Endpoint; 2],
    _redis: RedisServer,
}

impl Played {
    /// Starts everything, with the impostor in front of Redis or of p1's listener.
    fn set(in_front_of_redis: bool) -> Self {
        let redis = redis_server();
        let deployment = Deployment::start(redis.address(), SERVER).unwrap();
        let endpoints =
            ["p1", "p2"].map(|name| deployment.endpoint(name, REPLICATION_SECRET, |_| None));
        let endpoints = endpoints.map(Result::unwrap);
        let [p1, p2] = endpoints.each_ref().map(Endpoint::address);
        let impostor = Impostor::open(if in_front_of_redis { redis.address() } else { p1 });
        let impostor = impostor.unwrap();
        let (at, p1) = if in_front_of_redis {
            (impostor.address(), p1)
        } else {
            (redis.address(), impostor.address())
        };
        let folder = Folder::new();
        let url = format!("redis://{at}?user=synrepl");
        let (p1, p2) = (format!("p1=http://{p1}"), format!("p2=http://{p2}"));
        let password = folder.flag("password");
        let mut flags = vec!["--redis", &url, "--redis-password-file", &password, "--user-ip"];
        flags.extend(["--server-name", SERVER, "--instance", &p1, "--instance", &p2]);
        let follower = folder.follow("victim", &flags);
        follower.wait_for_line("the connection", 0, STEP, |l| *l == Line::Connected).unwrap();
        for writer in ["p1", "p2"] {
            deployment.say(format!("POSITION events {writer} 10 10")).unwrap();
        }
        let played =
            Self { follower, deployment, impostor, folder, _endpoints: endpoints, _redis: redis };
        ["p1", "p2"].into_iter().for_each(|writer| played.say_rows(writer, 2));
        played.wait_until_complete("the start");
        played
    }

    fn last(&self, writer: &str) -> i64 {
        self.deployment.announced()[&events(writer)]
    }

    fn say_rows(&self, writer: &str, count: i64) {
        for _ in 0..count {
            let next = self.last(writer) + 1;
            self.deployment.say(row(&events(writer), next)).unwrap();
        }
    }

    /// Adds rows to the writer's log without publishing them, then announces a token behind them.
    fn write_rows(&self, writer: &str, count: i64) {
        for _ in 0..count {
            let next = self.last(writer) + 1;
            self.deployment.write(&row(&events(writer), next));
        }
        let last = self.last(writer);
        self.deployment.say(format!("POSITION events {writer} {last} {}", last + 1)).unwrap();
    }

    fn wait_until_complete(&self, what: &str) {
        let waited = self.follower.wait_for_positions(&self.deployment.announced(), STEP);
        waited.unwrap_or_else(|error| panic!("after {what}: {error}"));
    }
}

/// `synrepl follow` on a hostile Redis.
pub(crate) struct RedisReader(Played);

impl Victim for RedisReader {
    const NAME: &'static str = "Redis reader";

    fn set() -> Self {
        Self(Played::set(true))
    }

    fn impostor(&self) -> &Impostor {
        &self.0.impostor
    }

    /// Nothing needs to be done: the victim connects again by itself.
    fn provoke(&mut self) {}

    fn wait_until_told(&self, words: &[&str]) -> String {
        self.0.follower.stderr().wait_for_line(words, 0, STEP).unwrap()
    }

    /// Publishes rows, and checks nothing: all of this victim depends on its Redis. [`RedisWriter`]
    /// has others.
    fn check_others(&mut self, _: &str) {
        ["p1", "p2"].into_iter().for_each(|writer| self.0.say_rows(writer, 2));
    }

    fn check_recovery(&mut self, after: &str) {
        self.0.wait_until_complete(after);
        ["p1", "p2"].into_iter().for_each(|writer| self.0.say_rows(writer, 2));
        self.0.wait_until_complete(after);
        for writer in ["p1", "p2"] {
            let last = self.0.last(writer);
            assert_complete(&self.0.follower, &events(writer), 11, last, after);
        }
    }

    fn peak_memory(&self) -> u64 {
        self.0.follower.peak_memory().unwrap()
    }

    fn written(&self) -> String {
        self.0.folder.written()
    }
}

/// The catch-up client of `synrepl follow`, for which the listener of p1 is hostile.
pub(crate) struct CatchUp {
    played: Played,
    /// The position of p1 before the attack.
    before: i64,
    missed: Vec<i64>,
}

impl Victim for CatchUp {
    const NAME: &'static str = "catch-up";

    fn set() -> Self {
        let played = Played::set(false);
        let before = played.last("p1");
        Self { played, before, missed: Vec::new() }
    }

    fn impostor(&self) -> &Impostor {
        &self.played.impostor
    }

    fn provoke(&mut self) {
        self.played.write_rows("p1", 2);
        // A POSITION's own token has no row.
        self.missed.push(self.played.last("p1"));
    }

    fn wait_until_told(&self, words: &[&str]) -> String {
        let words = [&["of events/p1 could not be fetched"], words].concat();
        self.played.follower.stderr().wait_for_line(&words, 0, STEP).unwrap()
    }

    /// Checks that p2 goes on live and that its missed rows are fetched, while p1 passes over
    /// nothing.
    fn check_others(&mut self, during: &str) {
        self.played.say_rows("p1", 2);
        self.played.say_rows("p2", 2);
        let upto = |played: &Played| BTreeMap::from([(events("p2"), played.last("p2"))]);
        let wait = |played: &Played| {
            let waited = played.follower.wait_for_positions(&upto(played), IN_TIME);
            waited.unwrap_or_else(|error| panic!("during {during}: {error}"));
        };
        wait(&self.played);
        self.played.write_rows("p2", 2);
        wait(&self.played);
        assert_complete(&self.played.follower, &events("p1"), 11, self.before, during);
    }

    fn check_recovery(&mut self, after: &str) {
        self.played.wait_until_complete(after);
        let mut expected: Vec<i64> = (11..=self.played.last("p1")).collect();
        expected.retain(|token| !self.missed.contains(token));
        assert_eq!(tokens(&self.played.follower, &events("p1")), expected, "after {after}");
    }

    fn peak_memory(&self) -> u64 {
        self.played.follower.peak_memory().unwrap()
    }

    fn written(&self) -> String {
        self.played.folder.written()
    }
}

/// `synrepl serve` on a hostile Redis, with a follower over direct TCP and one on the Redis behind
/// the impostor.
pub(crate) struct RedisWriter {
    writer: Writer,
    on_tcp: Follower,
    on_redis: Follower,
    impostor: Impostor,
    last: i64,
    folder: Folder,
    _redis: RedisServer,
}

impl RedisWriter {
    fn append(&mut self, follower: Option<&str>, time: Duration, what: &str) {
        for _ in 0..2 {
            self.last = self.writer.append("events", &[json!(["row", self.last])]).unwrap();
        }
        let wanted = BTreeMap::from([(events("synrepl"), self.last)]);
        for (name, of) in [("tcp", &self.on_tcp), ("redis", &self.on_redis)] {
            if follower.is_none_or(|only| only == name) {
                let waited = of.wait_for_positions(&wanted, time);
                waited.unwrap_or_else(|error| panic!("{name}, {what}: {error}"));
            }
        }
    }
}

impl Victim for RedisWriter {
    const NAME: &'static str = "Redis writer";

    fn set() -> Self {
        let redis = redis_server();
        let impostor = Impostor::open(redis.address()).unwrap();
        let folder = Folder::new();
        let url = |at: SocketAddr| format!("redis://{at}?user=synrepl");
        let password = folder.flag("password");
        let at = url(impostor.address());
        let (writer, addresses) =
            folder.serve(&["--redis", &at, "--redis-password-file", &password]);
        let (tcp, http) = (addresses.tcp[0], addresses.http);
        let (tcp, instance) = (tcp.to_string(), format!("synrepl=http://{http}"));
        let common = ["--instance", &instance, "--stream", "events", "--start", "beginning"];
        let flags = [&common[..], &["--tcp", &tcp]].concat();
        let on_tcp = folder.follow("on-tcp", &flags);
        let at = url(redis.address());
        let flags = ["--redis", &at, "--redis-password-file", &password, "--server-name", SERVER];
        let on_redis = folder.follow("on-redis", &[&common[..], &flags].concat());
        let mut set = Self { writer, on_tcp, on_redis, impostor, last: 0, folder, _redis: redis };
        set.append(None, STEP, "at the start");
        set
    }

    fn impostor(&self) -> &Impostor {
        &self.impostor
    }

    /// Nothing needs to be done: the victim connects again by itself.
    fn provoke(&mut self) {}

    fn wait_until_told(&self, words: &[&str]) -> String {
        self.writer.stderr().wait_for_line(words, 0, STEP).unwrap()
    }

    fn check_others(&mut self, during: &str) {
        self.append(Some("tcp"), IN_TIME, during);
    }

    fn check_recovery(&mut self, after: &str) {
        self.append(None, STEP, after);
        for follower in [&self.on_tcp, &self.on_redis] {
            assert_complete(follower, &events("synrepl"), 1, self.last, after);
        }
    }

    fn peak_memory(&self) -> u64 {
        self.writer.peak_memory().unwrap()
    }

    fn written(&self) -> String {
        self.folder.written()
    }
}

/// `synrepl follow` of a hostile main process over direct TCP; the listener for catch-up is honest.
pub(crate) struct LineReader {
    follower: Follower,
    writer: Writer,
    impostor: Impostor,
    last: i64,
    folder: Folder,
}

impl LineReader {
    fn append(&mut self) {
        for _ in 0..2 {
            self.last = self.writer.append("events", &[json!(["row", self.last])]).unwrap();
        }
    }

    fn wait(&self, what: &str) {
        let wanted = BTreeMap::from([(events("synrepl"), self.last)]);
        let waited = self.follower.wait_for_positions(&wanted, STEP);
        waited.unwrap_or_else(|error| panic!("after {what}: {error}"));
    }
}

impl Victim for LineReader {
    const NAME: &'static str = "direct TCP";

    fn set() -> Self {
        let folder = Folder::new();
        let (writer, addresses) = folder.serve(&[]);
        let impostor = Impostor::open(addresses.tcp[0]).unwrap();
        let tcp = impostor.address().to_string();
        let instance = format!("synrepl=http://{}", addresses.http);
        let flags = ["--tcp", &tcp, "--server-name", SERVER, "--instance", &instance];
        let follower = folder.follow("victim", &[&flags[..], &["--start", "beginning"]].concat());
        let mut set = Self { follower, writer, impostor, last: 0, folder };
        set.append();
        set.wait("the start");
        set
    }

    fn impostor(&self) -> &Impostor {
        &self.impostor
    }

    /// Nothing needs to be done: the victim connects again by itself.
    fn provoke(&mut self) {}

    fn wait_until_told(&self, words: &[&str]) -> String {
        self.follower.stderr().wait_for_line(words, 0, STEP).unwrap()
    }

    /// Appends rows, and checks nothing: the victim has but one connection.
    fn check_others(&mut self, _: &str) {
        self.append();
    }

    fn check_recovery(&mut self, after: &str) {
        self.append();
        self.wait(after);
        assert_complete(&self.follower, &events("synrepl"), 1, self.last, after);
    }

    fn peak_memory(&self) -> u64 {
        self.follower.peak_memory().unwrap()
    }

    fn written(&self) -> String {
        self.folder.written()
    }
}
