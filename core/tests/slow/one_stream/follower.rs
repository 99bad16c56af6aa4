//! The follower under test, and its fetches.

use std::time::Duration;

use synrepl_core::{
    Action, Backoff, Config, Event, FetchId, Input, Transport,
    stream::{Positions, Source, Span},
    wire::{Command, Dialect},
};

use super::Setting;
use crate::bench::Bench;

/// A fetch under way.
#[derive(Clone, Debug)]
pub(super) struct Fetch {
    pub(super) query: FetchId,
    pub(super) writer: String,
    pub(super) span: Span,
}

pub(super) struct Follower {
    pub(super) bench: Bench,
    pub(super) fetches: Vec<Fetch>,
    /// REPLICATE was sent and no writer has heard it yet.
    pub(super) asks: bool,
}

impl Follower {
    pub(super) fn new(setting: Setting) -> Self {
        let mut config = Config::default();
        // The pace of the looks has tests of its own.
        config.holes.hole_look_every =
            Backoff::new(Duration::from_secs(5), Duration::from_secs(10));
        // Each row is remembered, so that every catch-up begins at one.
        config.continuity.anchor_every = Duration::ZERO;
        if setting.on_tcp {
            config.transport = Transport::Tcp(Dialect::V1_13);
        }
        if let Some(at) = setting.resumes_at {
            let mut positions = Positions::new();
            for number in 0..setting.writers {
                let name = format!("w{number}");
                positions.set(&Source::new(setting.stream, &name), at.into());
            }
            config.positions = positions;
        }
        if setting.is_tight {
            config.limits.held_rows_max = 2;
            config.limits.batch_rows_max = 2;
            config.limits.burst_rows_max = 3;
            config.catch_up.burst_window_max = 3;
            // Most rows are asked for alone.
            config.continuity.anchor_reach_max = 1;
        }
        Self { bench: Bench::new(config), fetches: Vec::new(), asks: false }
    }

    /// Hands the follower an input, and returns the events that it leads to.
    #[expect(clippy::wildcard_enum_match_arm, reason = "the rest changes nothing here")]
    pub(super) fn hand(&mut self, input: Option<Input>) -> Result<Vec<Event>, String> {
        if let Some(input) = input {
            self.bench.try_hand(input).map_err(|misuse| misuse.to_string())?;
        }
        let mut events = Vec::new();
        while let Some(action) = self.bench.poll() {
            match action {
                Action::Send { command: Command::Replicate(_), .. } => self.asks = true,
                Action::Fetch { query, source, span } => {
                    let writer = source.instance().to_owned();
                    self.fetches.push(Fetch { query, writer, span });
                }
                Action::CancelFetch { query } => self.fetches.retain(|fetch| fetch.query != query),
                Action::Notify(event) => events.push(event),
                _ => {}
            }
        }
        Ok(events)
    }

    /// Lets time pass up to the next deadline, or `left`; returns the time that is left then, and
    /// the events.
    pub(super) fn pass(&mut self, left: Duration) -> Result<(Duration, Vec<Event>), String> {
        let end = self.bench.now + left;
        if self.bench.is_due_by(end) {
            let events = self.hand(Some(Input::Tick))?;
            return Ok((end.saturating_since(self.bench.now), events));
        }
        Ok((Duration::ZERO, Vec::new()))
    }
}
