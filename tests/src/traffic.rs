//! Client traffic on the cluster, by `synapse/traffic.py`.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, Read as _},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
};

use crate::{Failure, cluster::Cluster, follow::terminate, legacy::Legacy};

/// Traffic that runs until it is stopped, or its time is over. Dropping it ends it.
#[derive(Debug)]
pub struct Traffic {
    child: Child,
    stdout: BufReader<ChildStdout>,
}

impl Traffic {
    /// Creates users and rooms and does every action once; then random traffic runs on its own, of
    /// `rate` actions per second, for at most `seconds`.
    ///
    /// # Errors
    /// Fails if the script ends before that; its standard error is in `log/traffic.err` of the
    /// cluster's folder.
    pub fn start(cluster: &Cluster, seed: u32, rate: u32, seconds: u32) -> Result<Self, Failure> {
        Self::launch(&cluster.path("log/traffic.err"), &[], seed, rate, seconds)
    }

    /// Starts the same traffic on the one process of an old release.
    ///
    /// # Errors
    /// Fails as [`Self::start`] does.
    pub fn on_legacy(legacy: &Legacy, seed: u32, rate: u32, seconds: u32) -> Result<Self, Failure> {
        let flags = ["--legacy", legacy.client()?];
        Self::launch(&legacy.path("log/traffic.err"), &flags, seed, rate, seconds)
    }

    fn launch(
        errors: &Path,
        flags: &[&str],
        seed: u32,
        rate: u32,
        seconds: u32,
    ) -> Result<Self, Failure> {
        let mut child = Command::new("python3")
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("synapse/traffic.py"))
            .args(["--seed", &seed.to_string(), "--rate", &rate.to_string()])
            .args(["--seconds", &seconds.to_string()])
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(errors)?)
            .spawn()?;
        let stdout = child.stdout.take().ok_or("the traffic's output is not piped")?;
        let mut traffic = Self { child, stdout: BufReader::new(stdout) };
        let mut line = String::new();
        traffic.stdout.read_line(&mut line)?;
        if line.trim_end() == "ready" {
            return Ok(traffic);
        }
        let said = std::fs::read_to_string(errors)?;
        Err(format!("no traffic: {line:?}\n{said}").into())
    }

    /// Ends the traffic and returns what it did, as JSON: action -> {status: count}.
    ///
    /// # Errors
    /// Fails if the script ended badly.
    pub fn stop(mut self) -> Result<String, Failure> {
        terminate(&self.child)?;
        let mut summary = String::new();
        self.stdout.read_to_string(&mut summary)?;
        let status = self.child.wait()?;
        if status.success() { Ok(summary) } else { Err(format!("traffic: {status}").into()) }
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        // After `stop` there is nothing left to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
