//! A wait ends once its own source has reached its token, and not before. Known invariant I10.

use std::collections::BTreeMap;

use synrepl_core::{
    WaitId, WaitOutcome,
    stream::{Source, Token},
};

/// The open waits of one follower; none has a deadline that it could live to see.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Waits(BTreeMap<WaitId, (Source, Token)>);

impl Waits {
    /// Returns whether another wait for the same token is open.
    pub(super) fn open(&mut self, wait: WaitId, source: Source, token: Token) -> bool {
        let twin = self.0.values().any(|(of, at)| *of == source && *at == token);
        self.0.insert(wait, (source, token));
        twin
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "a refused wait promises nothing")]
    pub(super) fn check_end(
        &mut self,
        wait: WaitId,
        outcome: WaitOutcome,
    ) -> Result<(), (Source, String)> {
        let Some((source, token)) = self.0.remove(&wait) else { return Ok(()) };
        match outcome {
            WaitOutcome::Reached { position } if position < token => {
                Err((source, format!("{token} was reached at {position}")))
            }
            WaitOutcome::TimedOut { .. } => {
                Err((source, format!("the wait for {token} timed out")))
            }
            _ => Ok(()),
        }
    }

    /// No wait is open that the position of its source meets.
    pub(super) fn check_open(
        &self,
        position: impl Fn(&Source) -> Option<Token>,
    ) -> Result<(), (Source, String)> {
        for (source, token) in self.0.values() {
            if let Some(position) = position(source).filter(|position| position >= token) {
                let what = format!("the wait for {token} is open at {position}");
                return Err((source.clone(), what));
            }
        }
        Ok(())
    }
}
