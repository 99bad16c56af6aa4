//! What is counted of what one follower was told. It judges nothing, and so it stands beside the
//! oracle: two followers that differ in their counts alone have the same future.

use std::collections::{BTreeMap, BTreeSet};

use synrepl_core::{
    Event, Origin, WaitOutcome, Warning,
    stream::{Positions, Source},
};

use crate::{
    marks::{Mark, Marks},
    world::Log,
};

/// Counts what one follower was told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) rows_delivered: u64,
    pub(crate) gaps: u64,
    resets: BTreeMap<Source, u64>,
    /// Sources whose missed rows are being fetched.
    catching_up: BTreeSet<Source>,
    /// Sources that the follower resumed after it died, and has not caught up with since.
    resumed: BTreeSet<Source>,
}

impl Counts {
    /// The follower was told of this.
    #[expect(clippy::wildcard_enum_match_arm, reason = "other events are not counted")]
    pub(crate) fn count(&mut self, event: &Event, logs: &[Log], marks: &mut Marks) {
        match event {
            Event::Rows { rows, origin: Origin::Audit, .. } => {
                marks.hit(Mark::AuditFound);
                self.rows_delivered += rows.len() as u64;
            }
            Event::Rows { source, token, rows, .. } => {
                self.rows_delivered += rows.len() as u64;
                let of_another = |log: &&Log| {
                    let wrote = |row| log.wrote(*token, row).is_some();
                    log.source == *source
                        && log.traits.shared_fetch
                        && !rows.first().is_some_and(wrote)
                };
                if logs.iter().any(|log| of_another(&log)) {
                    marks.hit(Mark::SharedFetch);
                }
            }
            Event::Warning(Warning::NotAudited { .. }) => marks.hit(Mark::AuditLeftOut),
            Event::Live { source, .. } => {
                self.catching_up.remove(source);
            }
            Event::Rewound { .. } => marks.hit(Mark::Rewound),
            Event::Discontinuity { .. } => marks.hit(Mark::OtherLog),
            Event::Warning(Warning::WrongAddress { .. }) => marks.hit(Mark::WrongAddress),
            Event::NotLive { .. } => marks.hit(Mark::NotLive),
            Event::CatchingUp { source, .. } => {
                self.catching_up.insert(source.clone());
                if self.resumed.remove(source) {
                    marks.hit(Mark::ResumedCatchUp);
                }
            }
            Event::Gap { .. } => {
                marks.hit(Mark::Gap);
                self.gaps += 1;
            }
            Event::Reset { source, .. } => {
                let busy = self.catching_up.remove(source);
                marks.hit(if busy { Mark::ResetInCatchUp } else { Mark::Reset });
                self.resumed.remove(source);
                let resets = self.resets.entry(source.clone()).or_default();
                *resets += 1;
                if *resets > 1 {
                    marks.hit(Mark::ResetTwice);
                }
            }
            Event::WaitEnded { outcome: WaitOutcome::Reached { .. }, .. } => {
                marks.hit(Mark::WaitMet);
            }
            _ => {}
        }
    }

    /// The follower died and is started again from `saved`.
    pub(crate) fn on_restart(&mut self, saved: &Positions) {
        self.catching_up.clear();
        self.resumed = saved.iter().map(|(source, _)| source.clone()).collect();
    }

    /// How often tokens have started over, of all sources together.
    pub(crate) fn resets(&self) -> u64 {
        self.resets.values().sum()
    }

    /// Whether anything is being fetched.
    pub(crate) fn is_catching_up(&self) -> bool {
        !self.catching_up.is_empty()
    }
}
