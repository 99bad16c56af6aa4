//! Synapse's worker replication protocol as a pure state machine.
//!
//! A [`Node`] is one instance of a Synapse deployment: it follows the streams that the other
//! instances write, and publishes its own, on a bus and to peers that connect to it. This crate
//! opens no socket, reads no clock, draws no random number and starts no thread: a driver hands in
//! what happened ([`Input`]) and carries out what the node requests ([`Action`]). The crate
//! `synrepl` is such a driver, on tokio: to follow a deployment, start there.
//!
//! # How to drive it
//!
//! 1. Take actions from [`Node::poll_action`] until there is none, and carry them out in order.
//! 2. Take the time of the next deadline from [`Node::poll_timeout`].
//! 3. Wait for that time, a message, a disconnection or the answer to a fetch.
//! 4. Hand in what happened, and the time, with [`Node::handle`].
//! 5. Go to 1.
//!
//! ```
//! use bytes::Bytes;
//! use synrepl_core::{
//!     Action, Config, Event, Input, Node, Timestamp,
//!     stream::{Page, Source, Token},
//!     wire::Decoder,
//! };
//!
//! // Everything that `p1` wrote up to 7 was delivered in an earlier run.
//! let mut config = Config::default();
//! config.positions.set(&Source::new("events", "p1"), Token::new(7));
//! let mut node = Node::new(config)?;
//!
//! let Some(Action::Connect { conn }) = node.poll_action() else { panic!("connects first") };
//! let now = Timestamp::from_micros(0);
//! node.handle(now, Input::Connected { conn })?;
//!
//! // It announces that it is at 9: what lies between has to be fetched.
//! let line = Bytes::from_static(b"POSITION events p1 9 9");
//! node.handle(now, Input::Received { conn, command: Decoder::new().decode(&line)? })?;
//!
//! let mut tokens = Vec::new();
//! while let Some(action) = node.poll_action() {
//!     match action {
//!         Action::Fetch { query, span, .. } => {
//!             assert_eq!(span.to_string(), "7..9");
//!             let updates = vec![(Token::new(9), r#"["ev",["$id"]]"#.into())];
//!             let page = Page { updates, upto: span.upto, limited: false };
//!             node.handle(now, Input::Fetched { query, result: Ok(page) })?;
//!         }
//!         Action::Notify(Event::Rows { token, .. }) => tokens.push(token.get()),
//!         _ => {}
//!     }
//! }
//! assert_eq!(tokens, [9]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The connection to the others
//!
//! [`Transport`] says how the other instances are reached: over a bus (Redis), or over direct TCP
//! to the main process, in the [`Dialect`](wire::Dialect) that it speaks. On direct TCP the main
//! process writes every stream. Missed rows are requested from a server of the oldest dialect (up
//! to 1.12) on the connection itself, and there is no `Fetch`; with later ones they are fetched as
//! from a bus. Some old releases send tokens that fall or repeat inside one send:
//! [`Transport::traits_of`] says in which streams, and what follows.
//!
//! # What it promises
//!
//! Per source, that is, per (stream, writer):
//!
//! | id | promise |
//! |---|---|
//! | F1 order | delivered tokens strictly rise, between resets |
//! | F2 complete | every row that the writer's log holds between two delivered positions is delivered, or an [`Event::Gap`] stands in its place |
//! | F3 once | no row is delivered twice, between resets |
//! | F4 batches | rows of one token come in one delivery, never mixed, never split |
//! | F5 no echo | own rows are never delivered |
//! | F6 honest position | a position is emitted only after every row up to it |
//! | F7 progress | once network, writer and fetch source work again, every source reaches the last announced token, with no further command needed |
//! | F8 isolation | nothing that happens on one source changes what is delivered on another |
//! | F9 bounded | every queue has a limit in [`Config`]; overflow becomes a catch-up |
//! | F10 explicit reset | tokens go back only after an [`Event::Reset`], and only where that can be |
//! | F11 continuity | a fetch goes on from the rows that were delivered last: where the log has others in their place, or none of them, an [`Event::Discontinuity`] and a gap say so, and what follows is not delivered |
//! | F12 holes are looked into | a token that a writer has passed and that no row and no announcement explains is fetched after a short grace |
//!
//! The writer's log is what its fetch source still holds: most streams keep only the newest row
//! per key. Streams whose tokens do not simply rise, or whose fetch shows other writers' rows, have
//! [traits](stream::StreamTraits) that say how the promises read for them.
//!
//! Per own stream, on the bus and to every accepted peer:
//!
//! | id | promise |
//! |---|---|
//! | P1 rows | every appended row is sent, in token order, its batch unbroken |
//! | P2 moves | `POSITION prev new` is sent only when no row lies in `(prev, new]` |
//! | P3 losses | after a send of unknown fate the next announcement stands at the last token known to have gone out; where tokens can start over, at the last that may have, once where they started is known to have gone out |
//! | P4 announcements | they answer REPLICATE and follow every connection, never ahead of rows still unsent |
//! | P5 slow peers | a peer that takes its commands too slowly is cut off at a limit, and costs the others nothing |
//! | P6 no harm | on a bus, what Synapse is not configured to have from us goes out on a channel to which it does not subscribe ([`MainChannel`]) |
//!
//! A row that is too long for a line of direct TCP is announced to peers instead; those of the
//! oldest dialect, which cannot fetch, miss it, and [`Warning::RowTooLong`] says so.
//!
//! A token that was lost with its PUBLISH is missing in the sequence, and is fetched some seconds
//! later ([`HolesConfig`]): its rows come as [`Origin::Hole`], at or below a position that does not
//! move.
//!
//! What the protocol cannot show, no follower can see: a row that was lost inside a batch whose last
//! row came, and an announcement that states that there are no rows where there are.
//! With [`AuditConfig::audit_every`], an audit looks for such rows in the writer's log from time to
//! time. Those that it finds are delivered as [`Origin::Audit`]: at or below a position that does
//! not move, each once, rising among themselves; of a token of which some rows were received, only
//! the others.
//!
//! The core itself is deterministic (same settings and inputs, same actions, in every build and
//! process), total (no input panics) and of constant cost per command.
#![forbid(unsafe_code)]

mod action;
mod config;
mod connection;
mod env;
mod error;
mod event;
mod federation;
mod follow;
mod holes;
mod ids;
mod inband;
mod input;
mod memory;
mod node;
mod printable;
mod publish;
mod queries;
mod retry;
pub mod secret;
mod sources;
mod stats;
pub mod stream;
mod syncing;
mod time;
mod timer;
pub mod trace;
pub mod typed;
mod wait;
pub mod wire;

pub use crate::{
    action::{Action, Audience},
    config::{
        AuditConfig, Backoff, CatchUpConfig, Channel, Config, ConnectionConfig, ContinuityConfig,
        HolesConfig, MainChannel, MemoryLimits, PublishConfig, Start, Transport, UsersConfig,
    },
    error::{ConfigError, Misuse},
    event::{
        Break, ClearedReason, Event, GapReason, NotAuditedReason, NotSentReason, Origin,
        SyncOrigin, WaitOutcome, Warning,
    },
    ids::{ConnectionId, FetchId, ReadId, WaitId},
    input::Input,
    node::Node,
    printable::Printable,
    stats::Stats,
    time::Timestamp,
};
pub use bytestring::ByteString;
