//! The instances that `--instance` names and of which nothing is heard. Events and time enter; one
//! note leaves, once: a name with a slip in it is never fetched from, and nothing else tells.

use std::{collections::BTreeSet, time::Duration};

use synrepl_core::{Event, Printable, stream::Source};
use tokio::time::Instant;

/// The time after the first connection at which whoever has not spoken is named. Writers answer the
/// question for their positions within seconds; a minute of restarts is usual.
const PATIENCE: Duration = Duration::from_secs(60);
/// The most names that are kept and said: of those that spoke and are not expected.
const OTHERS_MAX: usize = 8;

/// The names of which nothing was heard yet.
#[derive(Debug)]
pub(super) struct Unheard {
    expected: BTreeSet<String>,
    others: BTreeSet<String>,
    since: Option<Instant>,
}

impl Unheard {
    /// Expects to hear of every one of `expected`.
    pub(super) const fn new(expected: BTreeSet<String>) -> Self {
        Self { expected, others: BTreeSet::new(), since: None }
    }

    /// Notes who speaks in an event.
    pub(super) fn take(&mut self, event: &Event, now: Instant) {
        if self.expected.is_empty() {
            return;
        }
        if let Event::Connected { .. } = event {
            self.since.get_or_insert(now);
        }
        let Some(name) = source_of(event).map(Source::instance) else { return };
        if !self.expected.remove(name) && self.others.len() < OTHERS_MAX {
            self.others.insert(name.to_owned());
        }
    }

    /// Returns the note about those that have not spoken in time, once.
    pub(super) fn news(&mut self, now: Instant) -> Option<String> {
        let since = self.since?;
        if self.expected.is_empty() || now.saturating_duration_since(since) < PATIENCE {
            return None;
        }
        let silent = list(&std::mem::take(&mut self.expected));
        let others = match std::mem::take(&mut self.others) {
            others if others.is_empty() => "nobody".to_owned(),
            others => list(&others),
        };
        Some(format!(
            "--instance: nothing was heard of {silent} so far, so nothing is fetched there; is \
             that the worker_name, and does it write a stream that is followed? Heard of others: \
             {others}"
        ))
    }
}

fn list(names: &BTreeSet<String>) -> String {
    let names: Vec<String> = names.iter().map(|name| Printable::name(name).to_string()).collect();
    names.join(", ")
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the others are of no source")]
const fn source_of(event: &Event) -> Option<&Source> {
    match event {
        Event::Rows { source, .. }
        | Event::Position { source, .. }
        | Event::Gap { source, .. }
        | Event::CatchingUp { source, .. }
        | Event::Live { source, .. } => Some(source),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use synrepl_core::{ConnectionId, stream::Token};

    use super::*;

    fn live(instance: &str) -> Event {
        Event::Live { source: Source::new("events", instance), token: Token::new(1) }
    }

    #[tokio::test]
    async fn who_has_not_spoken_in_time_is_named_once_with_who_has() {
        let now = Instant::now();
        let names = ["master", "persister1", "persistr2"].map(str::to_owned);
        let mut unheard = Unheard::new(names.into());
        assert_eq!(unheard.news(now + 2 * PATIENCE), None, "there was no connection");
        unheard.take(&Event::Connected { conn: ConnectionId::new(1) }, now);
        for instance in ["master", "persister1", "persister2", "persister2"] {
            unheard.take(&live(instance), now);
        }
        assert_eq!(unheard.news(now + PATIENCE / 2), None);
        let said = unheard.news(now + PATIENCE).unwrap();
        assert!(said.contains("nothing was heard of persistr2 so far"), "{said}");
        assert!(said.ends_with("Heard of others: persister2"), "{said}");
        assert_eq!(unheard.news(now + 2 * PATIENCE), None);
    }

    #[tokio::test]
    async fn where_all_speak_nothing_is_said() {
        let now = Instant::now();
        let mut unheard = Unheard::new(["master".to_owned()].into());
        unheard.take(&Event::Connected { conn: ConnectionId::new(1) }, now);
        unheard.take(&live("master"), now);
        assert_eq!(unheard.news(now + 2 * PATIENCE), None);
    }
}
