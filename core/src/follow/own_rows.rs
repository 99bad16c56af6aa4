//! Pages that may hold rows of our own: the fetch of some streams returns the rows of all their
//! writers, of which this node may be one.
//!
//! What enters: a page for another writer, and the same tokens of our own log. What leaves: the
//! page without what we wrote (F5). The log is read when the page is there, so that it has
//! whatever the page can have of it.

use std::collections::BTreeSet;

use super::{Follower, page::Checked, pager::Screened};
use crate::{
    action::Action,
    env::Env,
    stream::{FetchError, LogError, Page, Span, Token},
};

impl Follower {
    /// Applies a page, at once or when our own rows are out of it. `span` is what was requested.
    pub(super) fn screen_or_apply(&mut self, env: &mut Env, span: Span, page: Checked) {
        let is_written_here = env.streams[self.stream.as_usize()].written_here;
        match page.rows.last() {
            Some((last, _)) if self.traits.shared_fetch && is_written_here => {
                let upto = *last;
                self.read_own(env, Screened { span, page, seen: span.from, upto });
            }
            Some(_) | None => self.apply(env, page),
        }
    }

    fn read_own(&mut self, env: &mut Env, screened: Screened) {
        let span = Span { from: screened.seen, upto: screened.upto };
        let query = env.queries.issue_screening(self.index);
        let stream = self.source.stream().into();
        let rows_max = env.config.publish.log_rows_max;
        if let Some(catch_up) = self.catch_up_mut() {
            catch_up.pager.on_screening(query, screened);
        }
        env.stats.log_reads += 1;
        env.act(Action::ReadLog { query, stream, span, rows_max });
    }

    /// Handles rows of our own log, for the page that waits for them. If they cannot be read, the
    /// page is requested again later: it cannot be used.
    pub(crate) fn on_own_log_read(&mut self, env: &mut Env, result: Result<Page, LogError>) {
        let Some(catch_up) = self.catch_up_mut() else { return };
        let Some(mut screened) = catch_up.pager.take_screened() else { return };
        let own = match result {
            Ok(own) => own,
            Err(error) => {
                let message = error.to_string();
                self.on_fetch_failed(env, screened.span, FetchError::Unusable { message });
                return;
            }
        };
        let tokens: BTreeSet<Token> = own.updates.iter().map(|(token, _)| *token).collect();
        let before = screened.page.rows.len();
        screened.page.rows.retain(|(token, _)| !tokens.contains(token));
        env.stats.echoes += (before - screened.page.rows.len()) as u64;
        let is_whole = !own.limited || own.upto >= screened.upto;
        if !is_whole && own.upto > screened.seen {
            screened.seen = own.upto;
            self.read_own(env, screened);
        } else if is_whole {
            self.apply(env, screened.page);
        } else {
            let message = format!("our own log does not move on from {}", own.upto);
            self.on_fetch_failed(env, screened.span, FetchError::Unusable { message });
        }
    }
}
