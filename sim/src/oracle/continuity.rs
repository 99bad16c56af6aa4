//! F11: a log is said to be another one, or to have gone back, only where it was restored from a
//! backup or where the follower had a wrong address. That no rows of another log are delivered is
//! judged in `batches`, and that what was lost comes or lies in a gap in `complete`.

use synrepl_core::stream::{Source, Token};

use super::{Oracle, Promise, Verdict};
use crate::world::Log;

impl Oracle {
    /// The follower has another instance's address for a writer.
    pub(crate) const fn on_misled(&mut self) {
        self.is_misled = true;
    }

    /// The log is said to be another one.
    pub(super) fn on_other_log(&mut self, source: &Source, logs: &[Log]) -> Verdict {
        let log = self.log_of(source, logs)?;
        let is_right = self.is_misled || !log.restored_to.is_empty();
        self.of(source).is_other_log = true;
        let what = || "the log is the same, and is said to be another one".to_owned();
        self.hold(Promise::Continuity, source, is_right.then_some(()).ok_or_else(what))
    }

    /// The log is said to have gone back.
    pub(super) fn on_rewound(
        &mut self,
        source: &Source,
        (from, to): (Token, Token),
        logs: &[Log],
    ) -> Verdict {
        let log = self.log_of(source, logs)?;
        let ledger = self.of(source);
        let verdict = match log.restored_to.last() {
            Some(_) if ledger.rewinds >= log.restored_to.len() => {
                Err(format!("the log went back {} times only", ledger.rewinds))
            }
            Some(same) if *same < to => {
                Err(format!("goes back to {to}, the log is the same up to {same} only"))
            }
            Some(_) if from != ledger.position || from <= to => {
                Err(format!("goes back from {from} to {to}, the position is {}", ledger.position))
            }
            Some(_) => Ok(()),
            None => Err("the log never went back".to_owned()),
        };
        ledger.rewind(to);
        // A gap follows if nothing is left of what was delivered.
        ledger.is_other_log = to == Token::START;
        self.hold(Promise::Continuity, source, verdict)
    }
}
