//! A Synapse before 1.67, which `synapse/legacy.sh` runs: started for one test and stopped with it.

use std::{
    collections::BTreeMap,
    env,
    fs::{self, File},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{self, Command, Stdio},
};

use crate::Failure;

/// A release, and the facts about it that a test needs.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the fields that are not plain say more")]
#[non_exhaustive]
pub struct Release {
    pub version: &'static str,
    /// Whether the release is of the oldest dialect: it names no instances, and a subscriber names
    /// the token from which on it wants rows, and gets what it missed over the connection.
    pub oldest: bool,
    /// The streams inside of whose sends tokens fall or repeat, with no POSITION to end them.
    pub unclosed: &'static [&'static str],
    /// The number of streams that it announces.
    pub streams: usize,
    /// The number of streams that have rows under the traffic of `traffic.py --legacy`.
    pub with_rows: usize,
}

/// The releases under test: one of each wire format, and both ends of the oldest.
pub const RELEASES: [Release; 4] = [
    Release { version: "1.0.0", oldest: true, unclosed: &UNCLOSED, streams: 15, with_rows: 13 },
    Release { version: "1.12.4", oldest: true, unclosed: &UNCLOSED, streams: 16, with_rows: 13 },
    Release { version: "1.13.0", oldest: false, unclosed: &UNCLOSED, streams: 16, with_rows: 13 },
    Release { version: "1.66.0", oldest: false, unclosed: &[], streams: 15, with_rows: 10 },
];

const UNCLOSED: [&str; 4] = ["account_data", "tag_account_data", "device_lists", "federation"];

/// The name of the only instance: no release has workers here.
pub const INSTANCE: &str = "master";

/// A running server. Dropping it stops it; so does the end of this process, however it comes. With
/// `SYNREPL_LEGACY_KEEP` set it is left running.
#[derive(Debug)]
pub struct Legacy {
    release: Release,
    dir: PathBuf,
    keep: bool,
    settings: BTreeMap<String, String>,
    /// The lock on the release: there is one server of it at a time, over all tests and processes,
    /// because they share a folder.
    _exclusive: File,
}

impl Legacy {
    /// Starts this release on an empty database, once no other test has it any more. Takes some
    /// 2 s, and the installation the first time.
    ///
    /// # Errors
    /// Fails if it is not one of [`RELEASES`] or does not come up; the script has printed the
    /// reason.
    pub fn start(version: &str) -> Result<Self, Failure> {
        let release = RELEASES.into_iter().find(|release| release.version == version);
        let release = release.ok_or_else(|| format!("{version} is not among RELEASES"))?;
        let all = env::var_os("SYNREPL_LEGACY_DIR")
            .map_or_else(|| env::temp_dir().join("synrepl-legacy"), PathBuf::from);
        fs::create_dir_all(&all)?;
        let exclusive = File::create(all.join(format!("{version}.lock")))?;
        exclusive.lock()?;
        let mut legacy = Self {
            release,
            dir: all.join(version),
            keep: env::var_os("SYNREPL_LEGACY_KEEP").is_some(),
            settings: BTreeMap::new(),
            _exclusive: exclusive,
        };
        legacy.run("reset")?;
        legacy.run("start")?;
        let told = legacy.script("env").stderr(Stdio::inherit()).output()?;
        legacy.settings = String::from_utf8(told.stdout)?
            .lines()
            .filter_map(|line| line.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        fs::create_dir_all(legacy.path("follow"))?;
        Ok(legacy)
    }

    /// The release of the server.
    pub const fn release(&self) -> Release {
        self.release
    }

    /// A path in the server's folder.
    pub fn path(&self, below: impl AsRef<Path>) -> PathBuf {
        self.dir.join(below)
    }

    /// The address of the direct TCP listener.
    ///
    /// # Errors
    /// Fails if the script did not print it.
    pub fn tcp(&self) -> Result<SocketAddr, Failure> {
        Ok(self.setting("tcp")?.parse()?)
    }

    /// The address of the HTTP replication listener, as `HOST:PORT`.
    ///
    /// # Errors
    /// Fails if the script did not print it.
    pub fn http(&self) -> Result<&str, Failure> {
        self.setting("http")
    }

    /// The URL of the client API.
    ///
    /// # Errors
    /// Fails if the script did not print it.
    pub fn client(&self) -> Result<&str, Failure> {
        self.setting("client")
    }

    /// The server name.
    ///
    /// # Errors
    /// Fails if the script did not print it.
    pub fn server_name(&self) -> Result<&str, Failure> {
        self.setting("server_name")
    }

    /// Warnings and errors from the server's log, for a failed test's output.
    pub fn logs(&self) -> String {
        match self.script("logs").stderr(Stdio::inherit()).output() {
            Ok(output) => String::from_utf8_lossy(&output.stdout).into_owned(),
            Err(error) => format!("no logs: {error}"),
        }
    }

    fn setting(&self, name: &str) -> Result<&str, Failure> {
        let value = self.settings.get(name).map(String::as_str);
        value.ok_or_else(|| format!("legacy.sh env does not tell {name}").into())
    }

    fn script(&self, order: &str) -> Command {
        let mut script =
            Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("synapse/legacy.sh"));
        script
            .args([self.release.version, order])
            .stdin(Stdio::null())
            .env("SYNREPL_LEGACY_DIR", &self.dir);
        if !self.keep {
            script.env("SYNREPL_LEGACY_OWNER", process::id().to_string());
        }
        script
    }

    fn run(&self, order: &str) -> Result<(), Failure> {
        let status = self.script(order).stdout(Stdio::null()).status()?;
        if status.success() {
            return Ok(());
        }
        Err(format!("legacy.sh {} {order}: {status}\n{}", self.release.version, self.logs()).into())
    }
}

impl Drop for Legacy {
    fn drop(&mut self) {
        if !self.keep {
            // The script reports its errors on stderr, and a drop cannot return them.
            let _ = self.run("stop");
        }
    }
}
