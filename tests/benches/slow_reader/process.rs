//! The writer as a process of its own, so that its memory is measured apart from that of the bench.

use std::{
    fs,
    io::{BufRead as _, BufReader, BufWriter},
    net::{SocketAddr, TcpListener},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use synrepl_tests::follow::synrepl;
use tempfile::TempDir;

use crate::Failure;

/// The longest time for the writer to listen, and to acknowledge what it was given.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Writer {
    child: Child,
    input: BufWriter<ChildStdin>,
    address: SocketAddr,
    acknowledged: Arc<AtomicU64>,
    watches: Arc<Mutex<Vec<(&'static str, Watch)>>>,
    _directory: TempDir,
}

/// A flag that is set once a line of stderr has had certain words.
#[derive(Clone)]
pub(crate) struct Watch(Arc<AtomicBool>);

impl Watch {
    pub(crate) fn seen(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Writer {
    pub(crate) fn start() -> Result<Self, Failure> {
        let directory = tempfile::tempdir()?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let mut child = Command::new(synrepl().map_err(|error| error.to_string())?)
            .arg("serve")
            .arg("--log")
            .arg(directory.path().join("bench.db"))
            .args(["--server-name", "bench", "--tcp", &address.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let missing = "the writer has no pipes";
        let input = BufWriter::new(child.stdin.take().ok_or(missing)?);
        let (stdout, stderr) =
            (child.stdout.take().ok_or(missing)?, child.stderr.take().ok_or(missing)?);
        let acknowledged = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&acknowledged);
        thread::spawn(move || {
            for _ in BufReader::new(stdout).lines().map_while(Result::ok) {
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
        let watches: Arc<Mutex<Vec<(&'static str, Watch)>>> = Arc::default();
        let all = Arc::clone(&watches);
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                for (words, watch) in all.lock().unwrap_or_else(PoisonError::into_inner).iter() {
                    if line.contains(words) {
                        watch.0.store(true, Ordering::Relaxed);
                    }
                }
            }
        });
        let directory = directory;
        let writer = Self { child, input, address, acknowledged, watches, _directory: directory };
        writer.wait(|| std::net::TcpStream::connect(address).is_ok(), "does not listen")?;
        Ok(writer)
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) const fn input(&mut self) -> &mut BufWriter<ChildStdin> {
        &mut self.input
    }

    /// The present resident memory of the writer, in KiB.
    pub(crate) fn rss_kib(&self) -> Result<u64, Failure> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next()).ok_or("no VmRSS")?;
        Ok(kib.parse()?)
    }

    /// Watches for a line of stderr with these words from now on.
    pub(crate) fn watch_for(&self, words: &'static str) -> Watch {
        let watch = Watch(Arc::default());
        let mut watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
        watches.push((words, watch.clone()));
        watch
    }

    pub(crate) fn wait_until_acknowledged(&self, batches: u64) -> Result<(), Failure> {
        self.wait(
            || self.acknowledged.load(Ordering::Relaxed) >= batches,
            "did not acknowledge everything",
        )
    }

    fn wait(&self, done: impl Fn() -> bool, otherwise: &str) -> Result<(), Failure> {
        let end = Instant::now() + PATIENCE;
        while !done() {
            if Instant::now() >= end {
                return Err(format!("the writer {otherwise} within {PATIENCE:?}").into());
            }
            // The condition is polled: threads that read the writer's outputs count what is waited
            // for.
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // The writer is not needed any more, so errors do not matter.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
