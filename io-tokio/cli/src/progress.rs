//! The progress of catch-up. Events enter; a progress line and the number of live sources leave.
//! After a disconnect nothing is claimed until new events show it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    time::Duration,
};

use synrepl_core::{
    Event, Origin,
    stream::{Source, Span, Token},
};
use tokio::time::Instant;

/// The most sources that the line names; of the others it states the number.
const NAMED_MAX: usize = 3;
/// The time without a change after which the number of live sources is reported: sources go live
/// one by one.
const SETTLED_AFTER: Duration = Duration::from_millis(500);

/// The state of catch-up, as far as events show it.
#[derive(Debug)]
pub(super) struct Progress {
    behind: BTreeMap<Source, Behind>,
    live: BTreeSet<Source>,
    rows: u64,
    changed: Instant,
    live_said: usize,
}

#[derive(Clone, Copy, Debug)]
struct Behind {
    span: Span,
    at: Token,
}

impl Behind {
    fn percent(self) -> u64 {
        let whole = u128::from(self.span.len());
        let done = u128::from(self.at.distance_from(self.span.from));
        let percent = (done * 100).checked_div(whole).unwrap_or(100);
        u64::try_from(percent).unwrap_or(100).min(100)
    }
}

impl Progress {
    pub(super) const fn new(now: Instant) -> Self {
        Self { behind: BTreeMap::new(), live: BTreeSet::new(), rows: 0, changed: now, live_said: 0 }
    }

    /// Updates the state from an event.
    pub(super) fn take(&mut self, event: &Event, now: Instant) {
        match event {
            Event::Rows { source, rows, origin, position, .. } => {
                self.rows += rows.len() as u64;
                if *origin == Origin::CatchUp {
                    self.reached(source, *position);
                }
            }
            Event::Position { source, token }
            | Event::Gap { source, span: Span { upto: token, .. }, .. } => {
                self.reached(source, *token);
            }
            Event::CatchingUp { source, span } => {
                self.changed = now;
                self.live.remove(source);
                self.behind.insert(source.clone(), Behind { span: *span, at: span.from });
            }
            Event::NotLive { source, .. } => {
                self.changed = now;
                self.live.remove(source);
            }
            Event::Live { source, .. } => {
                self.changed = now;
                self.behind.remove(source);
                self.live.insert(source.clone());
            }
            Event::Disconnected { .. } => {
                self.behind.clear();
                self.live.clear();
                self.live_said = 0;
            }
            Event::Connected { .. }
            | Event::Reset { .. }
            | Event::Discontinuity { .. }
            | Event::Rewound { .. }
            | Event::Command { .. }
            | Event::WaitEnded { .. }
            | Event::PeerCommand { .. }
            | Event::PeerConnected { .. }
            | Event::PeerNamed { .. }
            | Event::PeerDisconnected { .. }
            | Event::Published { .. }
            | Event::UserSyncing { .. }
            | Event::SyncingCleared { .. }
            | Event::FederationAcked { .. }
            | Event::Warning(_)
            | Event::Stopped
            | _ => {}
        }
    }

    fn reached(&mut self, source: &Source, token: Token) {
        if let Some(span) = self.behind.get_mut(source) {
            span.at = token;
        }
    }

    /// The number of rows so far.
    pub(super) const fn rows(&self) -> u64 {
        self.rows
    }

    /// The progress line; `None` if no source is behind.
    pub(super) fn line(&self) -> Option<String> {
        if self.behind.is_empty() {
            return None;
        }
        let count = self.behind.len();
        let mut line = format!("catching up {}, {} rows so far:", sources(count), self.rows);
        for (source, span) in self.behind.iter().take(NAMED_MAX) {
            // Writing to memory does not fail.
            let _ = write!(line, " {source} {} %,", span.percent());
        }
        match count.saturating_sub(NAMED_MAX) {
            0 => line.truncate(line.len() - 1),
            more => {
                let _ = write!(line, " {more} more");
            }
        }
        Some(line)
    }

    /// The note `live on N sources`, once for each N that lasts while no source is behind.
    pub(super) fn news(&mut self, now: Instant) -> Option<String> {
        let settled = now.saturating_duration_since(self.changed) >= SETTLED_AFTER;
        if !settled || !self.behind.is_empty() || self.live.len() == self.live_said {
            return None;
        }
        self.live_said = self.live.len();
        Some(format!("live on {}, {} rows so far", sources(self.live_said), self.rows))
    }
}

fn sources(count: usize) -> String {
    if count == 1 { "1 source".to_owned() } else { format!("{count} sources") }
}

#[cfg(test)]
mod tests {
    use synrepl_core::{ConnectionId, stream::Row};

    use super::*;

    fn source(number: u32) -> Source {
        Source::new("events", &format!("p{number}"))
    }

    fn catching_up(number: u32) -> Event {
        let (from, upto) = (Token::new(100), Token::new(300));
        Event::CatchingUp { source: source(number), span: Span { from, upto } }
    }

    fn rows(number: u32, token: i64) -> Event {
        let (source, token, rows) = (source(number), Token::new(token), Row::from("[]").into());
        Event::Rows { source, token, rows, origin: Origin::CatchUp, position: token }
    }

    fn live(number: u32) -> Event {
        Event::Live { source: source(number), token: Token::new(300) }
    }

    #[tokio::test]
    async fn the_line_has_sources_rows_and_percent() {
        let now = Instant::now();
        let mut progress = Progress::new(now);
        assert_eq!(progress.line(), None);
        progress.take(&catching_up(1), now);
        progress.take(&rows(1, 250), now);
        assert_eq!(progress.line().unwrap(), "catching up 1 source, 1 rows so far: events/p1 75 %");
        for number in 2..=5 {
            progress.take(&catching_up(number), now);
        }
        assert_eq!(
            progress.line().unwrap(),
            "catching up 5 sources, 1 rows so far: events/p1 75 %, events/p2 0 %, events/p3 0 %, 2 more"
        );
    }

    #[tokio::test]
    async fn the_number_of_live_sources_is_said_once_it_settled() {
        let now = Instant::now();
        let mut progress = Progress::new(now);
        progress.take(&catching_up(1), now);
        progress.take(&live(2), now);
        let later = now + SETTLED_AFTER;
        assert_eq!(progress.news(later), None, "one is behind");
        progress.take(&live(1), later);
        assert_eq!(progress.news(later), None, "it has just changed");
        let settled = later + SETTLED_AFTER;
        assert_eq!(progress.news(settled).unwrap(), "live on 2 sources, 0 rows so far");
        assert_eq!(progress.news(settled), None, "said before");
    }

    #[tokio::test]
    async fn nothing_is_claimed_after_a_disconnect() {
        let now = Instant::now();
        let mut progress = Progress::new(now);
        progress.take(&catching_up(1), now);
        progress.take(&live(2), now);
        let conn = ConnectionId::new(0);
        progress.take(&Event::Disconnected { conn, reason: String::new(), retry_at: None }, now);
        assert_eq!((progress.line(), progress.news(now + SETTLED_AFTER)), (None, None));
    }

    #[test]
    fn odd_tokens_do_not_break_the_percent() {
        let span = |from, at, upto| Behind {
            span: Span::new(Token::new(from), Token::new(upto)),
            at: Token::new(at),
        };
        assert_eq!(span(5, 5, 5).percent(), 100);
        assert_eq!(span(i64::MIN, i64::MAX, i64::MAX).percent(), 100);
        assert_eq!(span(5, 1, 9).percent(), 0);
        assert_eq!(span(5, 99, 9).percent(), 100);
    }
}
