//! The Synapse of before 1.67 of `synapse/legacy.sh`, started for one test and stopped with it.

use std::{
    collections::BTreeMap,
    env,
    fs::{self, File},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{self, Command, Stdio},
};

use crate::Failure;

/// A release, and what a test must know of it beforehand.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the fields that are not plain say more")]
#[non_exhaustive]
pub struct Release {
    pub version: &'static str,
    /// It names no instances; a subscriber says from which token on it wants rows, and gets what it
    /// missed over the connection.
    pub oldest: bool,
    /// Streams inside of whose sends tokens fall or repeat, with no POSITION to end them.
    pub unclosed: &'static [&'static str],
    /// How many streams it announces.
    pub streams: usize,
    /// Streams that have rows under the traffic of `traffic.py --legacy`.
    pub with_rows: usize,
}

/// Those that are tested: one of each wire format, and both ends of the oldest.
pub const RELEASES: [Release; 4] = [
    Release { version: "1.0.0", oldest: true, unclosed: &UNCLOSED, streams: 15, with_rows: 13 },
    Release { version: "1.12.4", oldest: true, unclosed: &UNCLOSED, streams: 16, with_rows: 13 },
    Release { version: "1.13.0", oldest: false, unclosed: &UNCLOSED, streams: 16, with_rows: 13 },
    Release { version: "1.66.0", oldest: false, unclosed: &[], streams: 15, with_rows: 10 },
];

const UNCLOSED: [&str; 4] = ["account_data", "tag_account_data", "device_lists", "federation"];

/// The only instance of a release that has no workers here.
pub const INSTANCE: &str = "master";

/// A running server. Dropping it stops it; so does the end of this process, however it comes. With
/// `SYNREPL_LEGACY_KEEP` set it is left running.
#[derive(Debug)]
pub struct Legacy {
    release: Release,
    dir: PathBuf,
    keep: bool,
    settings: BTreeMap<String, String>,
    /// One server of a release at a time, over all tests and processes: they share a folder.
    _exclusive: File,
}

impl Legacy {
    /// Starts this release on an empty database, once no other test has it any more. Takes some
    /// 2 s, and the installation the first time.
    ///
    /// # Errors
    /// When it is not one of [`RELEASES`] or does not come up; the script has printed why.
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

    /// Which release it is.
    pub const fn release(&self) -> Release {
        self.release
    }

    /// A path in its folder.
    pub fn path(&self, below: impl AsRef<Path>) -> PathBuf {
        self.dir.join(below)
    }

    /// The direct TCP listener.
    ///
    /// # Errors
    /// When the script did not tell it.
    pub fn tcp(&self) -> Result<SocketAddr, Failure> {
        Ok(self.setting("tcp")?.parse()?)
    }

    /// The HTTP replication listener, as `HOST:PORT`.
    ///
    /// # Errors
    /// When the script did not tell it.
    pub fn http(&self) -> Result<&str, Failure> {
        self.setting("http")
    }

    /// The URL of the client API.
    ///
    /// # Errors
    /// When the script did not tell it.
    pub fn client(&self) -> Result<&str, Failure> {
        self.setting("client")
    }

    /// The server name.
    ///
    /// # Errors
    /// When the script did not tell it.
    pub fn server_name(&self) -> Result<&str, Failure> {
        self.setting("server_name")
    }

    /// Warnings and errors from its log, for a failed test's output.
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
            // The script says on stderr what went wrong, and a drop has nobody to tell.
            let _ = self.run("stop");
        }
    }
}
