//! What the stage has of each instance: what it went through, and what is to go wrong next.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use synrepl::log::LogEnds;
use synrepl_core::{ByteString, Timestamp, Transport, stream::Positions};
use tokio::sync::Notify;

use crate::{
    oracle::{Counts, Oracle},
    scenario::{FetchFault, FollowerPlan, Via},
};

/// What the stage has of one writer.
#[derive(Default)]
pub(super) struct WriterPart {
    pub(super) ends: Option<LogEnds>,
    pub(super) starts: u32,
    pub(super) is_up: bool,
    /// PUBLISHes of rows and positions that the server takes and loses, with the connection.
    pub(super) lose: u8,
    /// The connection on which the server refuses what it publishes.
    pub(super) refused_on: Option<u64>,
    /// Reads of its log that fail.
    pub(super) fail_reads: u8,
    /// Reads of its log are not answered before.
    pub(super) stalled_until: Timestamp,
    /// It takes no connection before.
    pub(super) accepts_at: Timestamp,
    /// Ends its connections to the server.
    pub(super) kick: Arc<Notify>,
    /// The connection on which it publishes, by the server's count.
    pub(super) publishes_on: u64,
    /// Since when it listens to the bus.
    pub(super) subscribed_at: Option<Timestamp>,
}

/// What the stage has of one follower.
pub(super) struct FollowerPart {
    pub(super) oracle: Oracle,
    pub(super) counts: Counts,
    pub(super) via: Via,
    /// What goes with the events that its application has handled.
    pub(super) saved: Positions,
    pub(super) starts: u32,
    pub(super) slow_until: Timestamp,
    pub(super) lose_replicates: u8,
    pub(super) damage: Option<u8>,
    pub(super) cut_after: Option<u8>,
    /// Of its two connections to the bus, only the publishing one is cut.
    pub(super) cut_publishing: bool,
    /// Connections that the server does not take.
    pub(super) refuse: u8,
    pub(super) kick: Arc<Notify>,
    /// What goes wrong with its next fetches.
    pub(super) spoil: VecDeque<FetchFault>,
    /// Calls for missed rows that nothing has been heard of yet.
    pub(super) calls: u32,
    /// Fetches that its core has asked for and still wants.
    pub(super) wanted: u32,
    /// What its clock is to jump.
    pub(super) jump: Duration,
    pub(super) jumps: Arc<Notify>,
    /// Since when it is subscribed to the bus.
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

    /// A message has left for it. Whether its connection is to end now.
    pub(super) fn count_to_cut(&mut self) -> bool {
        let left = self.cut_after.map(|left| left.saturating_sub(1));
        self.cut_after = left.filter(|left| *left > 0);
        left == Some(0)
    }

    /// All that is to go wrong is forgotten.
    pub(super) fn heal(&mut self, now: Timestamp) {
        self.slow_until = now;
        (self.lose_replicates, self.refuse) = (0, 0);
        (self.damage, self.cut_after) = (None, None);
        self.spoil.clear();
    }
}
