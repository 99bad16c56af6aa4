//! The parts of the integration tests: a real Synapse, or instances played from a recording on a
//! real Redis; the `synrepl` command as a child process, a subscriber of Redis, the writers' logs
//! over HTTP, and the oracle that compares them. The tests of `synrepl` and `synrepl-cli` start their
//! redis-server with it, too.
//!
//! Nothing here uses the code under test: the command is seen from outside, as an operator's script
//! would see it. `README.md` beside this lists what runs what.

pub mod announced;
pub mod capture;
pub mod clock;
pub mod cluster;
pub mod delivered;
pub mod deployment;
pub mod direct;
pub mod endpoint;
pub mod follow;
pub mod held;
pub mod impostor;
pub mod legacy;
mod listener;
pub mod matrix;
mod memory;
pub mod oracle;
pub mod proxy;
pub mod redis;
pub mod serve;
mod shared;
pub mod stderr;
pub mod traffic;
pub mod truth;
pub mod writers;

/// A fault, in words for the person who reads the test's output.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// One (stream, writer) pair, by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Source {
    /// The stream's name.
    pub stream: String,
    /// The writer's instance name.
    pub instance: String,
}

impl Source {
    /// The source of these two names.
    pub fn new(stream: &str, instance: &str) -> Self {
        Self { stream: stream.to_owned(), instance: instance.to_owned() }
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.stream, self.instance)
    }
}
