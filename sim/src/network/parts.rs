//! The state of each instance on the stage, with the faults that are planned for it.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use synrepl::{Handle, log::LogEnds};
use synrepl_core::{ByteString, Timestamp, Transport, stream::Positions};
use tokio::sync::Notify;

use crate::{
    oracle::{Counts, Oracle},
    scenario::{FetchFault, FollowerPlan, Via},
};

/// One writer, as the stage knows it.
#[derive(Default)]
pub(super) struct WriterPart {
    pub(super) ends: Option<LogEnds>,
    pub(super) starts: u32,
    pub(super) is_up: bool,
    /// The number of PUBLISHes of rows and positions that the server loses, with their connection,
    /// or refuses.
    pub(super) lose: u8,
    /// The connection on which the server refuses what it publishes.
    pub(super) refused_on: Option<u64>,
    /// The number of reads of its log that fail.
    pub(super) fail_reads: u8,
    /// The time before which no read of its log is answered.
    pub(super) stalled_until: Timestamp,
    /// The time before which it takes no connection.
    pub(super) accepts_at: Timestamp,
    /// Ends its connections to the server.
    pub(super) kick: Arc<Notify>,
    /// The connection on which it publishes, by the server's count.
    pub(super) publishes_on: u64,
    /// The time at which it subscribed to the bus, if it is subscribed.
    pub(super) subscribed_at: Option<Timestamp>,
}

/// One follower, as the stage knows it.
pub(super) struct FollowerPart {
    pub(super) oracle: Oracle,
    pub(super) counts: Counts,
    pub(super) via: Via,
    /// The positions up to which its application has handled events.
    pub(super) saved: Positions,
    pub(super) starts: u32,
    /// The driver of its present life, until it is told to stop.
    pub(super) handle: Option<Handle>,
    /// Its driver was told to stop, and its events have come to an end.
    pub(super) has_stopped: bool,
    pub(super) slow_until: Timestamp,
    pub(super) lose_replicates: u8,
    pub(super) damage: Option<u8>,
    pub(super) cut_after: Option<u8>,
    /// Only the publishing one of its two connections to the bus is cut.
    pub(super) cut_publishing: bool,
    /// The number of its connections that the server does not take.
    pub(super) refuse: u8,
    pub(super) kick: Arc<Notify>,
    /// The faults of its next fetches.
    pub(super) spoil: VecDeque<FetchFault>,
    /// The number of its calls for missed rows that nothing was answered to yet.
    pub(super) calls: u32,
    /// The number of fetches that its core has asked for and still wants.
    pub(super) wanted: u32,
    /// The time by which its clock is to jump.
    pub(super) jump: Duration,
    pub(super) jumps: Arc<Notify>,
    /// The time at which it subscribed to the bus, if it is subscribed.
    pub(super) subscribed_at: Option<Timestamp>,
    /// Messages that the server has sent and the core has not seen.
    pub(super) under_way: VecDeque<(u64, ByteString)>,
}

impl FollowerPart {
    pub(super) fn new(name: String, plan: &FollowerPlan) -> Self {
        let transport = match plan.via {
            Via::Bus => Transport::Bus,
            Via::Tcp(dialect) => Transport::Tcp(dialect),
        };
        Self {
            oracle: Oracle::new(name, plan.from_beginning, transport).giving_up(plan.gives_up),
            counts: Counts::default(),
            via: plan.via,
            saved: Positions::new(),
            starts: 0,
            handle: None,
            has_stopped: false,
            slow_until: Timestamp::ZERO,
            lose_replicates: 0,
            damage: None,
            cut_after: None,
            cut_publishing: false,
            refuse: 0,
            kick: Arc::default(),
            spoil: VecDeque::new(),
            calls: 0,
            wanted: 0,
            jump: Duration::ZERO,
            jumps: Arc::default(),
            subscribed_at: None,
            under_way: VecDeque::new(),
        }
    }

    /// Counts a message that has left for it. Returns whether its connection is to end now.
    pub(super) fn count_to_cut(&mut self) -> bool {
        let left = self.cut_after.map(|left| left.saturating_sub(1));
        self.cut_after = left.filter(|left| *left > 0);
        left == Some(0)
    }

    /// Forgets the faults that are planned.
    pub(super) fn heal(&mut self, now: Timestamp) {
        self.slow_until = now;
        (self.lose_replicates, self.refuse) = (0, 0);
        (self.damage, self.cut_after) = (None, None);
        self.spoil.clear();
    }
}
