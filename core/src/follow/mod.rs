//! One source as this node sees it: whether its position is confirmed, what is missing, what is
//! being received.
//!
//! What enters: the rows and announcements of one (stream, writer), the answers to its fetches,
//! timers, and the end of the connection. What leaves: events, in order, and fetches. Keeps F1 to F10;
//! state is per source, and only what came on the present connection confirms anything
//! (`protocol.md` 11.1, 11.2).
//!
//! * [`follower`]: the state and its transitions. Two pure functions decide, and their tables are
//!   what to read first: [`announce`](mod@announce) for a POSITION, [`receive`](mod@receive) for rows.
//! * [`order`]: what differs by class of stream, one file a class.
//! * [`catch_up`] fetches what is missing page by page ([`pager`]); [`holding`] keeps what arrives
//!   meanwhile; [`in_band`] does the same with a server of the oldest dialect.
//! * [`audit`] finds rows that nothing on the wire tells of.

mod announce;
mod audit;
mod batch;
mod catch_up;
mod deliver;
mod follower;
mod holding;
mod in_band;
mod order;
mod page;
mod pager;
mod receive;
#[cfg(test)]
mod table;
mod window;

pub(crate) use self::{follower::Follower, pager::FetchOutcome};
