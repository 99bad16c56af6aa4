//! The search for rows that were delivered in what may be another log (F11): which is asked for next,
//! and what follows from the answers.
//!
//! What enters: the rows that are remembered, and what stands under their tokens. What leaves: a
//! verdict. Nothing here asks or delivers.

use crate::stream::{Anchor, Anchors, Finding, Token};

/// The search for rows that were delivered, from the newest anchor on downwards.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Probe {
    /// The anchor that was requested last.
    pub(super) asked: Token,
    /// The anchors down to this one were answered.
    pub(super) answered: Option<Token>,
    pub(super) looked_for: u32,
    /// Whether an answer could not show the rows of its anchor: nothing proves then that all are
    /// gone.
    is_incomplete: bool,
    /// The lowest token under which other rows stood, and how often any did.
    contradicted: Option<(Token, u32)>,
    /// The highest token under which a delivered row stood.
    pub(super) same: Option<Token>,
    /// The number of times that all of it was done before.
    pub(super) round: u32,
}

/// What follows from the answers so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    AskOn,
    Same,
    Broken {
        token: Token,
    },
    Gone,
    /// Some are gone, and others cannot be had.
    Unknown,
}

impl Probe {
    /// Forgets all answers, to ask for all once more; returns how often that was done.
    pub(super) fn begin_again(&mut self) -> u32 {
        *self = Self { round: self.round + 1, ..Self::default() };
        self.round
    }

    /// Returns the anchor to ask for next: the newest one that was not asked for; the one that is
    /// alone in being contradicted is asked for again.
    pub(super) fn next<'a>(&self, anchors: &'a Anchors, position: Token) -> Option<&'a Anchor> {
        let is_above = |anchor: &&Anchor| self.answered.is_none_or(|upto| anchor.token() < upto);
        let alone = match self.contradicted {
            Some((token, 1)) => anchors.upto(position).find(|anchor| anchor.token() == token),
            _ => None,
        };
        let next = anchors.upto(position).find(is_above);
        if self.same.is_some() { alone } else { next.or(alone) }
    }

    /// Handles an answer; `finding` is `None` if it could not show the rows.
    pub(super) fn on_answer(
        &mut self,
        finding: Option<Finding>,
        anchors: &Anchors,
        position: Token,
    ) -> Verdict {
        self.looked_for += 1;
        self.is_incomplete |= finding.is_none();
        let token = self.asked;
        let is_again = self.contradicted.is_some_and(|(lowest, _)| lowest == token);
        match finding {
            Some(Finding::Found) => {
                self.same = self.same.max(Some(token));
                if is_again {
                    self.contradicted = None;
                }
            }
            Some(Finding::Contradicted) => {
                let (lowest, times) = self.contradicted.unwrap_or((token, 0));
                self.contradicted = Some((lowest.min(token), times + 1));
            }
            Some(Finding::Absent) | None if is_again => self.contradicted = None,
            Some(Finding::Absent) | None => {}
        }
        self.answered = Some(self.answered.map_or(token, |upto| upto.min(token)));
        match (self.same, self.contradicted) {
            (Some(_), None) => Verdict::Same,
            (Some(_), Some((token, 2..))) => Verdict::Broken { token },
            _ if self.next(anchors, position).is_some() => Verdict::AskOn,
            (None, Some((token, _))) => Verdict::Broken { token },
            (None | Some(_), _) if self.is_incomplete => Verdict::Unknown,
            (None | Some(_), _) => Verdict::Gone,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::Row;

    const POSITION: Token = Token::new(100);

    fn anchors(tokens: &[i64]) -> Anchors {
        let anchor = |token: &i64| {
            let row = Row::from(format!("[{token}]").as_str());
            Anchor::new("pushers", Token::new(*token), &row.into())
        };
        Anchors::saved(tokens.iter().map(anchor).collect(), POSITION)
    }

    /// Asks as long as that is wanted, and answers for each token with what stands there.
    fn probed(tokens: &[i64], answer: impl Fn(i64, u32) -> Finding) -> (Vec<i64>, Verdict) {
        let anchors = anchors(tokens);
        let (mut probe, mut asked) = (Probe::default(), Vec::new());
        loop {
            let token = probe.next(&anchors, POSITION).expect("there is one to ask for").token();
            probe.asked = token;
            let times = asked.iter().filter(|before| **before == token.get()).count();
            asked.push(token.get());
            let finding = answer(token.get(), u32::try_from(times).unwrap_or(u32::MAX));
            match probe.on_answer(Some(finding), &anchors, POSITION) {
                Verdict::AskOn => {}
                verdict @ (Verdict::Same
                | Verdict::Broken { .. }
                | Verdict::Gone
                | Verdict::Unknown) => return (asked, verdict),
            }
        }
    }

    #[test]
    fn the_newest_anchor_is_enough_if_it_is_found() {
        let (asked, verdict) = probed(&[7, 8, 9], |_, _| Finding::Found);
        assert_eq!((asked, verdict), (vec![9], Verdict::Same));
    }

    #[test]
    fn an_anchor_that_is_gone_says_nothing_while_an_older_one_is_found() {
        let (asked, verdict) =
            probed(
                &[7, 8, 9],
                |token, _| if token == 7 { Finding::Found } else { Finding::Absent },
            );
        assert_eq!((asked, verdict), (vec![9, 8, 7], Verdict::Same));
    }

    #[test]
    fn two_that_are_contradicted_prove_a_break_and_show_up_to_where_the_log_is_the_same() {
        let answer = |token, _| match token {
            7 => Finding::Found,
            _ => Finding::Contradicted,
        };
        let (asked, verdict) = probed(&[6, 7, 8, 9], answer);
        assert_eq!((asked, verdict), (vec![9, 8, 7], Verdict::Broken { token: Token::new(8) }));
    }

    #[test]
    fn one_that_is_contradicted_is_asked_for_again() {
        let answer = |again| {
            move |token, times| match (token, times) {
                (9, 0) => Finding::Contradicted,
                (9, _) => again,
                _ => Finding::Found,
            }
        };
        let (asked, verdict) = probed(&[8, 9], answer(Finding::Contradicted));
        assert_eq!((asked, verdict), (vec![9, 8, 9], Verdict::Broken { token: Token::new(9) }));
        for again in [Finding::Found, Finding::Absent] {
            assert_eq!(probed(&[8, 9], answer(again)), (vec![9, 8, 9], Verdict::Same));
        }
        let (asked, verdict) = probed(&[9], answer(Finding::Contradicted));
        assert_eq!((asked, verdict), (vec![9, 9], Verdict::Broken { token: Token::new(9) }));
    }

    #[test]
    fn where_none_is_found_all_were_asked_for_once() {
        let (asked, verdict) = probed(&[1, 2, 3, 4, 5, 6, 7, 8], |_, _| Finding::Absent);
        assert_eq!((asked, verdict), (vec![8, 7, 6, 5, 4, 3, 2, 1], Verdict::Gone));
    }
}
