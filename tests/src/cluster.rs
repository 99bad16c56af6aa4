//! The Synapse cluster of `synapse/cluster.sh`, started for one test and stopped with it.

use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{self, Command, Stdio},
};

use crate::{Failure, Source};

/// The instances of the cluster, each with the streams that it writes.
pub const LAYOUT: [(&str, &[&str]); 6] = [
    (
        "master",
        &[
            "pushers",
            "caches",
            "federation",
            "un_partial_stated_room",
            "un_partial_stated_event",
            "quarantined_media",
        ],
    ),
    ("p1", &["events", "backfill", "caches", "profile_updates", "sticky_events"]),
    ("p2", &["events", "backfill", "caches", "profile_updates", "sticky_events"]),
    (
        "streams1",
        &[
            "presence",
            "presence_federation",
            "typing",
            "receipts",
            "push_rules",
            "caches",
            "device_lists",
            "to_device",
            "account_data",
            "thread_subscriptions",
        ],
    ),
    ("fed1", &["caches"]),
    ("client1", &["caches"]),
];

/// Every source of the cluster, sorted by name.
pub fn sources() -> Vec<Source> {
    let mut sources: Vec<_> = LAYOUT
        .iter()
        .flat_map(|(instance, streams)| {
            streams.iter().map(move |stream| Source::new(stream, instance))
        })
        .collect();
    sources.sort();
    sources
}

/// The instances and the addresses of their HTTP replication listeners.
pub const INSTANCES: [(&str, &str); 6] = [
    ("master", "127.0.0.1:19000"),
    ("p1", "127.0.0.1:19001"),
    ("p2", "127.0.0.1:19002"),
    ("streams1", "127.0.0.1:19003"),
    ("fed1", "127.0.0.1:19004"),
    ("client1", "127.0.0.1:19005"),
];

/// The server name, which is also the Redis channel.
pub const SERVER_NAME: &str = "localhost:18448";
/// The address of Redis.
pub const REDIS: &str = "127.0.0.1:16379";
/// The cluster's `worker_replication_secret`.
pub const SECRET: &str = "lab-replication-secret";

/// A running cluster. Dropping it stops every process; so does the end of this process, however
/// it comes. With `SYNREPL_CLUSTER_KEEP` set it is left running.
#[derive(Debug)]
pub struct Cluster {
    dir: PathBuf,
    peer: bool,
    typing: Option<String>,
    keep: bool,
    /// The lock on the cluster: the ports are fixed, so there is one at a time, over all tests and
    /// processes.
    _exclusive: File,
}

impl Cluster {
    /// Starts the cluster on empty databases, with or without the peer homeserver, once no other
    /// test has it any more. Takes some 10 s, and the installation of Synapse the first time.
    ///
    /// # Errors
    /// Fails if a process does not come up; the script has printed the reason.
    pub fn start(peer: bool) -> Result<Self, Failure> {
        Self::launch(peer, None)
    }

    /// Starts the cluster without a peer and without a writer of `typing`, which is to be an
    /// instance called `synrepl` whose HTTP replication listener is at this `HOST:PORT`.
    ///
    /// # Errors
    /// Fails as [`Self::start`] does.
    pub fn start_for_typing(http: &str) -> Result<Self, Failure> {
        Self::launch(false, Some(http.to_owned()))
    }

    fn launch(peer: bool, typing: Option<String>) -> Result<Self, Failure> {
        let exclusive = File::create(env::temp_dir().join("synrepl-cluster.lock"))?;
        exclusive.lock()?;
        let dir = env::var_os("SYNREPL_CLUSTER_DIR")
            .map_or_else(|| env::temp_dir().join("synrepl-cluster"), PathBuf::from);
        let keep = env::var_os("SYNREPL_CLUSTER_KEEP").is_some();
        let cluster = Self { dir, peer, typing, keep, _exclusive: exclusive };
        cluster.run(&["reset"])?;
        cluster.run(&["start"])?;
        fs::create_dir_all(cluster.path("follow"))?;
        fs::write(cluster.path("follow/secret"), SECRET)?;
        fs::write(cluster.path("follow/wrong-secret"), "not-the-secret")?;
        Ok(cluster)
    }

    /// A path in the cluster's folder.
    pub fn path(&self, below: impl AsRef<Path>) -> PathBuf {
        self.dir.join(below)
    }

    /// Starts one process and waits until it answers.
    ///
    /// # Errors
    /// Fails if the process does not come up.
    pub fn start_one(&self, name: &str) -> Result<(), Failure> {
        self.run(&["start", name])
    }

    /// Stops one process in an orderly way.
    ///
    /// # Errors
    /// Fails if the script fails.
    pub fn stop_one(&self, name: &str) -> Result<(), Failure> {
        self.run(&["stop", name])
    }

    /// Ends one process by SIGKILL.
    ///
    /// # Errors
    /// Fails if the process does not run.
    pub fn kill(&self, name: &str) -> Result<(), Failure> {
        self.run(&["kill", name])
    }

    /// Holds one process still by SIGSTOP.
    ///
    /// # Errors
    /// Fails if the process does not run.
    pub fn freeze(&self, name: &str) -> Result<(), Failure> {
        self.run(&["freeze", name])
    }

    /// Lets a process go on that was held still by [`Self::freeze`].
    ///
    /// # Errors
    /// Fails if the process does not run.
    pub fn thaw(&self, name: &str) -> Result<(), Failure> {
        self.run(&["thaw", name])
    }

    /// Warnings and errors from the servers' logs, for a failed test's output.
    pub fn logs(&self) -> String {
        match self.script(&["logs", "8"]).stderr(Stdio::inherit()).output() {
            Ok(output) => String::from_utf8_lossy(&output.stdout).into_owned(),
            Err(error) => format!("no logs: {error}"),
        }
    }

    fn script(&self, arguments: &[&str]) -> Command {
        let mut script =
            Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("synapse/cluster.sh"));
        script
            .args(arguments)
            .stdin(Stdio::null())
            .env("SYNREPL_CLUSTER_DIR", &self.dir)
            .env("SYNREPL_CLUSTER_PEER", if self.peer { "1" } else { "0" })
            .env("SYNREPL_CLUSTER_TYPING", self.typing.as_deref().unwrap_or_default());
        if !self.keep {
            script.env("SYNREPL_CLUSTER_OWNER", process::id().to_string());
        }
        script
    }

    fn run(&self, arguments: &[&str]) -> Result<(), Failure> {
        let status = self.script(arguments).stdout(Stdio::null()).status()?;
        if status.success() {
            return Ok(());
        }
        Err(format!("cluster.sh {}: {status}\n{}", arguments.join(" "), self.logs()).into())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if !self.keep {
            // The script reports its errors on stderr, and a drop cannot return them.
            let _ = self.run(&["stop"]);
        }
    }
}
