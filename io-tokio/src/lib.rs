//! Follow a Synapse deployment's replication streams from Rust, without losing or repeating a row.
//!
//! [`Builder`] takes where the deployment is and makes a [`Replication`], which hands out
//! [`Event`]s in order together with the [`Positions`] to resume from. All decisions (when to
//! connect, what to ask for, what to fetch, what is a gap) are those of the state machine in
//! [`core`]; this crate moves bytes, keeps time and does nothing else.
//!
//! ```no_run
//! # async fn follow() -> Result<(), Box<dyn std::error::Error>> {
//! let mut replication = synrepl::Builder::redis("redis://127.0.0.1:6379", "example.com")?
//!     .instance("search-indexer")
//!     .secret_file("/etc/synapse/replication_secret")?
//!     .fetch_from("master", "http://127.0.0.1:9093")?
//!     .streams(["events", "caches"])
//!     .spawn()?;
//! while let Some(event) = replication.next().await {
//!     println!("{event:?}");
//! }
//! # Ok(())
//! # }
//! ```
//!
//! A writer is built in the same way, with a [`log`] of its own streams: it publishes to Redis, to
//! followers that connect to it, or to both.
//!
//! ```no_run
//! # async fn write() -> Result<(), Box<dyn std::error::Error>> {
//! use synrepl::{Builder, Dialect, Row, log::MemoryLog};
//!
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:9092").await?;
//! let mut replication = Builder::standalone()
//!     .server_name("example.com")
//!     .instance("writer")
//!     .log(MemoryLog::default())
//!     .listen(listener, Dialect::V1_22)
//!     .spawn()?;
//! let handle = replication.handle();
//! tokio::spawn(async move { while replication.next().await.is_some() {} });
//! let token = handle.append("typing", [Row::from(r#"["!room:example.com",[]]"#)]).await?;
//! println!("durable, and on its way to every follower, as {token}");
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

mod builder;
mod clock;
mod driver;
mod error;
mod events;
mod fetch;
mod handle;
pub mod http;
mod limits;
pub mod log;
mod planted;
mod record;
mod redis;
mod replication;
mod session;
mod tcp;
pub mod transport;

pub use synrepl_core as core;
pub use synrepl_core::{
    ByteString, Config, Event, MainChannel, Start, Stats, Timestamp,
    stream::{Positions, Row, Rows, Source, Span, Token},
    wire::{Command, Dialect, Secret},
};

pub use crate::{
    builder::Builder,
    driver::Driver,
    error::{BuildError, DriverError, SecretFileError, SendError, Stopped, UrlError, WaitError},
    fetch::{FetchFuture, FetchRequest, FetchSource},
    handle::Handle,
    limits::Limits,
    record::Recorder,
    replication::Replication,
};

#[cfg(feature = "planted-bugs")]
pub use crate::planted::PlantedBug;

/// The programs in the README compile.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
