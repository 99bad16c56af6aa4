//! The cache of the example, with a right and a wrong rule.

use std::collections::BTreeMap;

use synrepl_core::{
    Event, Timestamp,
    stream::{Source, Token},
};
use synrepl_sim::{FollowerPlan, Handler, Manners, Scenario, StreamPlan, Truth};

/// The rule by which the cache handles events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// Drops the entries that were invalidated, and all where invalidations may have been missed.
    Right,
    /// Handles rows only, so it misses the invalidations that a gap stands for.
    IgnoresGaps,
}

/// The loaded entries: for each key the token of its last change when it was loaded.
type Entries = BTreeMap<u64, Token>;

/// A cache of values by key. The database holds, for each key, the token of its last change.
#[derive(Debug)]
pub(crate) struct Cache {
    rule: Rule,
    entries: BTreeMap<Source, Entries>,
}

impl Cache {
    pub(crate) fn new(rule: Rule) -> Self {
        Self { rule, entries: BTreeMap::new() }
    }
}

/// Returns the key of a row, one of eight. Rows are `[serial]` in the simulator.
fn key(row: &str) -> u64 {
    row.trim_matches(['[', ']']).parse::<u64>().unwrap_or(0) % 8
}

/// Returns the last change of each key up to `position`, as the database has it.
fn database(truth: Truth<'_>, source: &Source, position: Token) -> Entries {
    let upto = truth.rows(source).filter(|(token, _)| *token <= position);
    upto.flat_map(|(token, rows)| rows.iter().map(move |row| (key(row.as_str()), token))).collect()
}

impl Handler for Cache {
    #[expect(clippy::wildcard_enum_match_arm, reason = "other events change no entry")]
    fn on_event(&mut self, _: Timestamp, event: &Event, truth: Truth<'_>) -> Result<(), String> {
        let Some((source, position)) = event.position() else { return Ok(()) };
        let entries = self.entries.entry(source.clone()).or_default();
        match event {
            Event::Rows { rows, .. } => {
                for row in rows.iter() {
                    entries.remove(&key(row.as_str()));
                }
            }
            Event::Reset { .. } => entries.clear(),
            Event::Gap { .. } if self.rule == Rule::Right => entries.clear(),
            _ => {}
        }
        // Users request every key now; one that is not cached is loaded as it is in the database.
        let newest = database(truth, source, Token::new(i64::MAX));
        for (key, changed) in database(truth, source, position) {
            let loaded = *entries.entry(key).or_insert_with(|| newest[&key]);
            if loaded < changed {
                return Err(format!("key {key} is of {loaded}, it changed at {changed}"));
            }
        }
        Ok(())
    }

    fn on_restart(&mut self) {
        self.entries.clear();
    }
}

/// Returns the scenario with only this stream, and with a follower that gives up fetches.
pub(crate) fn scenario(mut scenario: Scenario) -> Scenario {
    scenario.streams = vec![StreamPlan { name: "receipts".to_owned(), writers: vec![0, 1] }];
    // A row whose PUBLISH gets lost between two others is invisible to every follower.
    for writer in &mut scenario.writers {
        writer.manners = Manners::Ours;
    }
    scenario.followers = vec![FollowerPlan { gives_up: true, ..FollowerPlan::default() }];
    scenario
}
