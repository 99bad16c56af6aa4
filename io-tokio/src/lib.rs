//! Follow a Synapse deployment's replication streams from Rust, without losing or repeating a row.
//!
//! Synapse runs as many processes, its *instances*, which notify each other of new data by
//! *replication*: named streams (`events`, `receipts`, `typing`, `caches`, ...), each a log of JSON
//! rows with rising tokens. This crate takes part as one more instance, over Redis or over the
//! direct TCP of releases up to 1.66. It follows what the others write, fetches what it missed over
//! HTTP, and writes streams of its own, for Synapse or without it.
//!
//! [`Builder`] takes the addresses of a deployment and starts the driver on tokio; a
//! [`Replication`] hands out [`Event`]s in order, with the [`Positions`] to resume from.
//!
//! ```no_run
//! use synrepl::{
//!     Builder, Event,
//!     typed::{TypedRow, parse},
//! };
//!
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let mut replication = Builder::redis("redis://127.0.0.1:6379", "example.com")?
//!         .instance("search-indexer")
//!         .secret_file("/etc/synapse/replication_secret")?
//!         .fetch_from("master", "http://127.0.0.1:9093")?
//!         .streams(["receipts"])
//!         .spawn()?;
//!     while let Some(event) = replication.next().await {
//!         if let Event::Rows { source, token, rows, .. } = &event {
//!             for row in rows {
//!                 match parse(source.stream(), row) {
//!                     Ok(TypedRow::Receipts(read)) => println!("{token}: {}", read.user_id),
//!                     other => println!("{token}: {other:?}"),
//!                 }
//!             }
//!         }
//!         // Store `replication.positions()` together with what was made of the event.
//!     }
//!     Ok(())
//! }
//! ```
//!
//! # Typed rows
//!
//! Rows are delivered as verbatim JSON, so that none is lost because it has a new shape. The module
//! [`typed`] reads them: [`typed::parse`] takes a row of any stream, in the form of any release of
//! Synapse, and who knows the stream asks its row type. What a release does not send is `None`, and
//! a row that cannot be read is an error that says which element is wrong. [`typed::to_row`] writes
//! rows of streams of your own.
//!
//! ```
//! use synrepl::{
//!     Row,
//!     typed::{CacheInvalidation, CachesRow, StreamRow},
//! };
//!
//! let row = Row::from(r#"["cs_cache_fake",["!room:example.com","@user:example.com"],1795312781042]"#);
//! let row = CachesRow::parse(&row)?;
//! if let CacheInvalidation::CurrentState { room_id, changed_users } = row.invalidation()? {
//!     assert_eq!((room_id, changed_users.len()), ("!room:example.com", 1));
//! }
//! # Ok::<(), synrepl::typed::RowError>(())
//! ```
//!
//! # How to drive it
//!
//! * [`Builder::spawn`] starts the driver on the present tokio runtime. [`Builder::driver`] returns
//!   it for the caller to place; the replication runs only while [`Driver::run`] is polled.
//! * [`Replication::next`] is cancel safe, so it can stand in a `select!`; a [`Replication`] is a
//!   `Stream`, too. An application that is slow to call it costs no row: once
//!   [`Limits::events_queued_max`] events wait, nothing more is read from the network, and what is
//!   missed by that is fetched later.
//! * [`Event::Rows`] brings all rows of one token of one [`Source`], a (stream, writer) pair.
//!   [`Event::Gap`] stands where rows could not be had, [`Event::Reset`] where the tokens of a
//!   stream start over. [`Event::Live`] and [`Event::NotLive`] state whether anything may be
//!   missing now.
//! * A [`Handle`] works from any task: it sends commands, waits until a source has reached a token,
//!   appends to own streams, and shuts the replication down. A lost connection is made anew, for as
//!   long as it takes; only a shutdown, or dropping the [`Replication`] or the driver, is the end.
//!
//! # Resuming
//!
//! [`Replication::positions`] is the token up to which each source is complete after all events
//! handed out so far. [`Positions`] are a serde type (`{"events":{"p1":123}}`, with a few digests of
//! rows under `last rows`); given to [`Builder::positions`], the next start goes on from there. Stored in one transaction with the
//! application's own data they make each row count exactly once, between resets of its stream;
//! stored after that data, at least once. `io-tokio/examples/resume.rs` is a whole program.
//!
//! ```no_run
//! # fn resume() -> Result<synrepl::Replication, Box<dyn std::error::Error>> {
//! use synrepl::{Builder, Positions};
//!
//! let saved: Positions = serde_json::from_str(&std::fs::read_to_string("positions.json")?)?;
//! let builder = Builder::redis("redis://127.0.0.1:6379", "example.com")?.positions(saved);
//! # Ok(builder.spawn()?)
//! # }
//! ```
//!
//! # Writing streams
//!
//! A writer is built in the same way, with a [`log`] of its own streams: it publishes to Redis, to
//! followers that connect to it, or to both. [`http::Server`] is the endpoint from which followers
//! fetch what they missed.
//!
//! ```no_run
//! # async fn write() -> Result<(), Box<dyn std::error::Error>> {
//! use synrepl::{
//!     Builder, Dialect,
//!     log::MemoryLog,
//!     typed::{TypingRow, to_row},
//! };
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
//! let typing = TypingRow { room_id: "!room:example.com".into(), user_ids: vec![] };
//! let token = handle.append("typing", [to_row(&typing)?]).await?;
//! println!("durable, and on its way to every follower, as {token}");
//! # Ok(())
//! # }
//! ```
//!
//! # What it promises
//!
//! Per source: delivered tokens rise (F1); every row that the writer's log still holds is
//! delivered, or an [`Event::Gap`] stands in its place (F2); no row comes twice, between
//! resets (F3); the rows of one token come together (F4); own rows never come (F5); a position is
//! emitted only after its rows (F6); after any outage every source catches up by itself (F7); no
//! source disturbs another (F8); every queue has a limit, and overflow becomes a fetch (F9); tokens
//! go back only after an [`Event::Reset`] or [`Event::Rewound`] (F10); what is fetched goes on from
//! the rows that were delivered last, or an [`Event::Discontinuity`] says that it does not (F11).
//!
//! Per own stream: every appended row is sent, in token order, its batch unbroken (P1); an
//! announcement never passes over a row (P2); after a send of unknown fate the next announcement
//! makes followers fetch (P3); every connection and every REPLICATE is answered, never ahead of
//! unsent rows (P4); a slow peer is cut off at a limit and delays nobody (P5); where Synapse
//! listens, nothing is sent that makes it fail (P6). [`synrepl_core`] has the exact words, and the
//! streams for which they read otherwise.
//!
//! Not promised, because the wire does not show it: a row whose PUBLISH was lost between two others
//! of its writer, and a row that an announcement of its writer passes over. [`Builder::audit`]
//! looks for such rows. Nor are rows that the writer's log no longer holds: most streams of Synapse
//! keep only the newest row of each key.
//!
//! # What is decided where
//!
//! All decisions (when to connect, what to request, what to fetch, what is a gap) are those of the
//! state machine in [`core`], which does no IO and can be driven without tokio. This crate moves
//! bytes and keeps time. Bytes, fetched pages and the application's calls enter as
//! [`Input`]s; what leaves is what the core's [`Action`]s name.
//!
//! # Features
//!
//! `tls` (default): `rediss://` and `https://`. `sqlite`: `log::SqliteLog`, a log in one file.
//! `postgres`: `log::PostgresLog`, for several writers on one sequence of tokens.
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
mod record;
mod redis;
mod replication;
mod scatter;
mod session;
mod tcp;
pub mod transport;

/// The state machine alone, for who drives it without tokio, models it or replays its traces. What
/// an application needs of it stands at the root of this crate, too.
pub use synrepl_core as core;
// Settings, and what a `Recorder` is handed.
#[doc(inline)]
pub use synrepl_core::{
    Action, Audience, Backoff, Channel, Config, Input, MainChannel, Start, Stats, Transport,
};
// Events, and every type that a match on one finds.
#[doc(inline)]
pub use synrepl_core::{
    Break, ByteString, ClearedReason, ConnectionId, Event, GapReason, NotAuditedReason,
    NotSentReason, Origin, SyncOrigin, Timestamp, WaitId, WaitOutcome, Warning,
    stream::{Positions, Row, Rows, Source, Span, Token},
    wire::{
        Command, Dialect, FederationAck, InvalidateCache, LockReleased, Position, Rdata,
        RemovePusher, Replicate, Secret, UserIp, UserSync,
    },
};
// Errors of the core, their parts, and what a `FetchSource` or a `LogStore` answers with.
#[doc(inline)]
pub use synrepl_core::typed;
#[doc(inline)]
pub use synrepl_core::{
    ConfigError, FetchId, Misuse, ReadId,
    stream::{FetchError, LogError, Page},
    wire::{BadRow, DecodeError, DecodeErrorKind, UnknownRelease},
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

/// Compiles the programs in the README.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
