//! The answer to one `REPLICATE stream from`: the rows that are received until the server's
//! POSITION.
//!
//! Rows that were on their way when the server took the request come first, and once more in the
//! answer itself, and some streams answer in no order. So an answer is a set, by token (F3). The
//! server sends everything at once, so what is kept is limited (F9): the rows with the lowest
//! tokens stay, and they are whole up to the first one that was dropped, whatever their order.

use std::collections::BTreeMap;

use bytestring::ByteString;

use super::SERVER;
use crate::{
    config::Config,
    memory::Cost,
    stream::{FetchError, Row, Token},
};

/// An answer, as far as it was received.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Answer {
    /// The token above which rows were requested.
    from: Token,
    /// The rows of each token, each once, with the place at which it was received last: a part of a
    /// send that was under way comes before the answer, in which the rows of the token stand in
    /// their order. They are in one map: one for each token would cost as much for one row as for
    /// eleven.
    places: BTreeMap<(Token, Box<str>), u64>,
    next_place: u64,
    /// Rows marked `batch`: they belong to a live send that was on its way.
    batch: Vec<Box<str>>,
    /// The bytes of all texts.
    text: usize,
    repeated: u64,
    /// The token from which on rows were dropped.
    cut: Option<Token>,
    /// Whether a line of it could not be read.
    damaged: bool,
}

/// An answer that can be used.
#[derive(Debug)]
pub(crate) struct Finished {
    /// Rows sorted by token, all in `(from, complete]`.
    pub(crate) rows: Vec<(Token, Row)>,
    /// Every row up to here is in `rows`.
    pub(crate) complete: Token,
    /// The number of rows left out because they came twice or lie at or below `from`.
    pub(crate) repeated: u64,
    /// The token from which on there is more: rows were dropped, or lie above the announced end,
    /// which `federation` passes by one (`protocol.md` 4.10, H12). Such a row may be live, or one
    /// that the server held when it took the request and sent once more: the next answer has it,
    /// once.
    pub(crate) cut: Option<Token>,
}

impl Answer {
    /// Creates an answer of which nothing was received yet, to a request for the rows above `from`.
    pub(crate) const fn new(from: Token) -> Self {
        Self {
            from,
            places: BTreeMap::new(),
            next_place: 0,
            batch: Vec::new(),
            text: 0,
            repeated: 0,
            cut: None,
            damaged: false,
        }
    }

    /// Returns the token above which rows were requested.
    pub(crate) const fn from(&self) -> Token {
        self.from
    }

    /// Notes that a line of the answer could not be read.
    pub(crate) const fn damage(&mut self) {
        self.damaged = true;
    }

    /// Adds a row, copied out of the read buffer. `token` is `None` for a row marked `batch`.
    pub(crate) fn push(&mut self, token: Option<Token>, row: &Row, config: &Config) {
        self.text += row.len();
        let row = Box::from(row.as_str());
        match token {
            None => self.batch.push(row),
            Some(token) => {
                for row in std::mem::take(&mut self.batch) {
                    self.insert(token, row);
                }
                self.insert(token, row);
            }
        }
        self.keep_within(config);
    }

    /// Adds a row behind all others.
    fn insert(&mut self, token: Token, row: Box<str>) {
        let bytes = row.len();
        if self.places.insert((token, row), self.next_place).is_some() {
            self.text -= bytes;
            self.repeated += 1;
        }
        self.next_place += 1;
    }

    fn is_within(&self, config: &Config) -> bool {
        let rows = self.places.len() + self.batch.len();
        rows <= config.catch_up.in_band_rows_max as usize
            && Cost::ANSWER.of(rows) + self.text <= config.catch_up.in_band_bytes_max as usize
    }

    /// Drops the rows with the highest tokens until the rest is within the limits.
    fn keep_within(&mut self, config: &Config) {
        while !self.is_within(config) {
            let Some(((token, row), _)) = self.places.pop_last() else {
                // The answer proper has no rows without a token, so these come again in it, with
                // one.
                self.batch.clear();
                self.text = 0;
                return;
            };
            self.text -= row.len();
            while self.places.last_key_value().is_some_and(|((last, _), _)| *last == token)
                && let Some(((_, row), _)) = self.places.pop_last()
            {
                self.text -= row.len();
            }
            self.cut = Some(self.cut.map_or(token, |cut| cut.min(token)));
        }
    }

    /// Ends the answer at `upto`, where the server has announced that it ends.
    ///
    /// # Errors
    /// The answer cannot be used: a line of it could not be read ([`FetchError::Malformed`]), or
    /// the rows of one token alone are above the limits ([`FetchError::TooLarge`]).
    pub(crate) fn finish(self, upto: Token, config: &Config) -> Result<Finished, FetchError> {
        let from = self.from;
        if self.damaged {
            return Err(FetchError::Malformed {
                endpoint: SERVER.to_owned(),
                message: "a line of it could not be read".to_owned(),
            });
        }
        let complete = match self.cut {
            Some(cut) if cut <= upto => cut.before(),
            Some(_) | None => upto,
        };
        if self.cut.is_some() && complete <= from && from < upto {
            return Err(FetchError::TooLarge {
                limit_bytes: config.catch_up.in_band_bytes_max.into(),
            });
        }
        let complete = complete.max(from);
        let tokens = || self.places.keys().map(|(token, _)| *token);
        let beyond = tokens().find(|token| *token > complete);
        let in_answer = tokens().take_while(|token| *token <= complete).count();
        let mut placed: Vec<_> = self
            .places
            .into_iter()
            .filter(|((token, _), _)| from < *token && *token <= complete)
            .map(|((token, row), place)| (token, place, row))
            .collect();
        placed.sort_unstable_by_key(|(token, place, _)| (*token, *place));
        let rows: Vec<_> = placed
            .into_iter()
            .map(|(token, _, row)| (token, Row::from_text(ByteString::from(row))))
            .collect();
        let repeated = self.repeated + (in_answer - rows.len()) as u64;
        let cut = self.cut.or(beyond);
        Ok(Finished { rows, complete, repeated, cut })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::CatchUpConfig;

    fn answer(from: i64, rows: &[(i64, &str)], config: &Config) -> Answer {
        let mut answer = Answer::new(Token::new(from));
        for (token, text) in rows {
            let token = (*token >= 0).then_some(Token::new(*token));
            answer.push(token, &Row::from(*text), config);
        }
        answer
    }

    fn shown(answer: Answer, upto: i64, config: &Config) -> String {
        let Finished { rows, complete, cut, .. } = match answer.finish(Token::new(upto), config) {
            Ok(finished) => finished,
            Err(error) => return error.to_string(),
        };
        let row = |(token, row): &(Token, Row)| format!("{token}{}", row.as_str());
        let rows: Vec<_> = rows.iter().map(row).collect();
        let cut = cut.map(|cut| format!(", more from {cut}")).unwrap_or_default();
        format!("{} to {complete}{cut}", rows.join(" "))
    }

    /// The bytes of an answer with this many rows of three bytes.
    fn room(rows: u32) -> u32 {
        u32::try_from(Cost::ANSWER.of(rows as usize)).expect("a small one") + 3 * rows
    }

    #[test]
    fn rows_that_were_under_way_are_dropped_from_the_answer_that_has_them_again() {
        let config = Config::default();
        let got = answer(224, &[(227, "[7]"), (225, "[5]"), (226, "[6]"), (227, "[7]")], &config);
        assert_eq!(shown(got, 228, &config), "225[5] 226[6] 227[7] to 228");
    }

    #[test]
    fn equal_tokens_keep_their_order_and_each_its_own_row() {
        let config = Config::default();
        let got = answer(223, &[(225, "[5]"), (226, "[2]"), (224, "[4]"), (226, "[1]")], &config);
        assert_eq!(shown(got, 226, &config), "224[4] 225[5] 226[2] 226[1] to 226");
    }

    #[test]
    fn the_rest_of_a_torn_send_takes_the_place_that_it_has_in_the_answer() {
        let config = Config::default();
        let got = answer(4, &[(5, "[3]"), (5, "[1]"), (5, "[2]"), (5, "[3]")], &config);
        assert_eq!(shown(got, 5, &config), "5[1] 5[2] 5[3] to 5");
    }

    #[test]
    fn a_batch_that_was_under_way_is_one_with_its_rows_in_the_answer() {
        let config = Config::default();
        let got = answer(4, &[(-1, "[1]"), (5, "[2]"), (5, "[1]"), (5, "[2]")], &config);
        assert_eq!(shown(got, 5, &config), "5[1] 5[2] to 5");
    }

    #[test]
    fn rows_of_before_are_left_out_and_those_beyond_the_end_are_asked_for() {
        let config = Config::default();
        let got = answer(4, &[(4, "[4]"), (9, "[9]"), (5, "[5]")], &config);
        assert_eq!(shown(got, 6, &config), "5[5] to 6, more from 9");
    }

    #[test]
    fn of_too_many_rows_the_lowest_are_kept_and_are_whole() {
        let config = Config {
            catch_up: CatchUpConfig { in_band_rows_max: 3, ..CatchUpConfig::default() },
            ..Config::default()
        };
        let rows = [(9, "[9]"), (5, "[a]"), (8, "[8]"), (6, "[6]"), (5, "[b]"), (7, "[7]")];
        assert_eq!(
            shown(answer(4, &rows, &config), 9, &config),
            "5[a] 5[b] 6[6] to 6, more from 7"
        );
        let config = Config {
            catch_up: CatchUpConfig { in_band_bytes_max: room(2), ..CatchUpConfig::default() },
            ..Config::default()
        };
        assert_eq!(shown(answer(4, &rows, &config), 9, &config), "5[a] 5[b] to 5, more from 6");
    }

    #[test]
    fn one_token_that_is_above_the_limit_cannot_be_used() {
        let config = Config {
            catch_up: CatchUpConfig { in_band_rows_max: 1, ..CatchUpConfig::default() },
            ..Config::default()
        };
        let got = answer(4, &[(5, "[a]"), (5, "[b]"), (6, "[6]")], &config);
        assert_eq!(shown(got, 9, &config), "the answer is larger than 16777216 bytes");
    }

    #[test]
    fn a_batch_that_was_under_way_and_is_too_long_is_let_go_for_the_answer_has_it_again() {
        let config = Config {
            catch_up: CatchUpConfig { in_band_rows_max: 2, ..CatchUpConfig::default() },
            ..Config::default()
        };
        let rows = [(-1, "[1]"), (-1, "[2]"), (-1, "[3]"), (5, "[4]"), (6, "[5]")];
        assert_eq!(shown(answer(4, &rows, &config), 6, &config), "5[4] 6[5] to 6");
    }

    #[test]
    fn an_answer_with_a_bad_line_is_not_used() {
        let config = Config::default();
        let mut got = answer(4, &[(5, "[5]")], &config);
        got.damage();
        assert!(shown(got, 9, &config).contains("could not be read"));
    }

    #[test]
    fn what_comes_twice_takes_the_room_of_one() {
        let rows = [(5, "[a]"), (5, "[a]"), (5, "[a]"), (6, "[6]")];
        for config in [
            Config {
                catch_up: CatchUpConfig { in_band_rows_max: 2, ..CatchUpConfig::default() },
                ..Config::default()
            },
            Config {
                catch_up: CatchUpConfig { in_band_bytes_max: room(2), ..CatchUpConfig::default() },
                ..Config::default()
            },
        ] {
            assert_eq!(shown(answer(4, &rows, &config), 9, &config), "5[a] 6[6] to 9");
        }
    }

    #[test]
    fn what_comes_twice_makes_no_room_for_more() {
        let config = Config {
            catch_up: CatchUpConfig { in_band_bytes_max: room(3) - 1, ..CatchUpConfig::default() },
            ..Config::default()
        };
        let got = answer(4, &[(5, "[a]"), (5, "[a]"), (6, "[6]"), (7, "[7]")], &config);
        assert_eq!(shown(got, 9, &config), "5[a] 6[6] to 6, more from 7");
    }

    #[test]
    fn what_is_let_go_beyond_the_end_leaves_the_answer_whole() {
        let config = Config {
            catch_up: CatchUpConfig { in_band_rows_max: 1, ..CatchUpConfig::default() },
            ..Config::default()
        };
        let got = answer(4, &[(5, "[5]"), (9, "[9]")], &config);
        assert_eq!(shown(got, 6, &config), "5[5] to 6, more from 9");
        let got = answer(9, &[(10, "[a]"), (11, "[b]")], &config);
        assert_eq!(shown(got, 9, &config), " to 9, more from 11");
    }

    #[test]
    fn rows_that_came_twice_and_rows_of_before_are_counted_as_repeated() {
        let config = Config::default();
        let rows = [(3, "[3]"), (4, "[4]"), (5, "[5]"), (5, "[5]")];
        let got = answer(4, &rows, &config).finish(Token::new(5), &config).unwrap();
        assert_eq!(got.repeated, 3);
    }
}
