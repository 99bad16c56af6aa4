//! One source as this node follows it: whether its position is confirmed, what is missing, what is
//! being received.
//!
//! What enters: the rows and announcements of one (stream, writer), the answers to its fetches,
//! timers, and the end of the connection. What leaves: events, in order, and fetches. Keeps F1 to
//! F11: state is per source, and only what is received on the present connection confirms a
//! position (`protocol.md` 11.1, 11.2).
//!
//! * [`follower`]: the state and its transitions. Two pure functions decide, and their tables are
//!   to be read first: [`announce`](mod@announce) for a POSITION, [`receive`](mod@receive) for
//!   rows; [`announced`] and [`rows`] carry out what they decide.
//! * [`order`]: the differences between the classes of streams, one file per class.
//! * [`catch_up`] fetches missed rows page by page ([`pager`]); [`held`] keeps what is received
//!   meanwhile; [`hole`] knows where rows were lost; [`in_band`] catches up over the connection with
//!   a server of the oldest dialect.
//! * [`continuity`] compares the log with what was delivered before ([`probe`]); [`look_up`] looks
//!   for single rows of it, and [`rewind`] for the place down to which a log went back.
//! * [`look`] finds tokens that were lost whole; [`audit`] finds lost rows whose loss nothing on the
//!   wire shows.

mod announce;
mod announced;
mod audit;
mod batch;
mod catch_up;
mod continuity;
mod deliver;
mod follower;
mod held;
mod holding;
mod hole;
mod in_band;
mod look;
mod look_up;
mod order;
mod own_rows;
mod page;
mod pager;
mod probe;
mod receive;
mod rewind;
mod rows;
#[cfg(test)]
mod table;
mod window;

pub(crate) use self::{follower::Follower, pager::FetchOutcome};
