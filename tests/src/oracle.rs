//! The verdict: everything that the writers hold was delivered, once and in order. Deliveries and
//! the writers' logs enter; a sentence for each fault leaves.

use std::{collections::BTreeMap, fmt::Write as _};

use crate::{
    Source,
    delivered::{Delivered, Deliveries, LOOSE, SHARED},
    held::Rows,
};

/// The rows that one writer holds of one source.
#[derive(Clone, Debug, Default)]
pub struct Log {
    /// The position that the writer announced.
    pub announced: i64,
    /// The rows in (where the follower began, `announced`].
    pub rows: Rows,
}

/// The token above which a source's log is compared: where the follower began, or the start if the
/// tokens have started over since.
pub fn compared_from(delivered: &Delivered) -> i64 {
    if delivered.resets > 0 { 0 } else { delivered.first }
}

/// The faults, each with the source and the numbers; empty if there are none.
///
/// `passed_over` decides whether the writer itself never showed that there was this token (`caches`
/// only; see [`Ear::was_passed_over`](crate::announced::Ear::was_passed_over)).
pub fn judge(
    delivered: &Deliveries,
    logs: &BTreeMap<Source, Log>,
    mut passed_over: impl FnMut(&Source, i64) -> bool,
) -> Vec<String> {
    let mut wrong = delivered.violations().to_vec();
    for (source, log) in logs {
        let Some(of) = delivered.sources().get(source) else {
            wrong.push(format!("{source}: nothing was said of it"));
            continue;
        };
        if of.last < log.announced {
            wrong.push(format!("{source}: stands at {}, not at {}", of.last, log.announced));
        }
        for row in &log.rows {
            let has = match source.stream.as_str() {
                // Over HTTP a row has the newest token per user in the window that was requested.
                "to_device" => {
                    of.rows.iter().any(|(token, text)| *token >= row.0 && *text == row.1)
                }
                stream if SHARED.contains(&stream) => delivered.has_under_any_writer(stream, row),
                LOOSE => of.rows.contains(row) || passed_over(source, row.0),
                _ => of.rows.contains(row),
            };
            if !has {
                wrong.push(format!("{source}: held by the writer, never delivered: {row:?}"));
            }
        }
    }
    wrong
}

/// A table of what was delivered and held, for people.
pub fn table(delivered: &Deliveries, logs: &BTreeMap<Source, Log>) -> String {
    let mut table = format!(
        "{:<32}{:>8}{:>8}{:>8}{:>8}{:>8}{:>8}\n",
        "source", "from", "to", "rows", "fetched", "resets", "held"
    );
    for (source, of) in delivered.sources() {
        let held = logs.get(source).map_or(0, |log| log.rows.len());
        // Writing to a string does not fail.
        let _ = writeln!(
            table,
            "{:<32}{:>8}{:>8}{:>8}{:>8}{:>8}{:>8}",
            source.to_string(),
            of.first,
            of.last,
            of.row_count,
            of.caught_up_count,
            of.resets,
            held
        );
    }
    table
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::follow::{Line, Run, SavedPositions};

    fn line(mut value: Value, source: &str) -> Line {
        let (stream, instance) = source.split_once('/').unwrap();
        value["stream"] = stream.into();
        value["instance"] = instance.into();
        serde_json::from_value(value).unwrap()
    }

    fn rows_at(source: &str, token: i64, position: i64, rows: &[&str]) -> Line {
        let value = json!({
            "type": "rows", "token": token, "rows": rows, "origin": "live", "position": position,
        });
        line(value, source)
    }

    fn rows(source: &str, token: i64) -> Line {
        rows_at(source, token, token, &[&format!("row {token}")])
    }

    fn position(source: &str, token: i64) -> Line {
        line(json!({"type": "position", "token": token}), source)
    }

    fn reset(source: &str, token: i64) -> Line {
        line(json!({"type": "reset", "token": token}), source)
    }

    fn run(lines: Vec<Line>) -> Run {
        Run { saved: SavedPositions::new(), lines }
    }

    fn resumed(source: &str, token: i64, lines: Vec<Line>) -> Run {
        let (stream, instance) = source.split_once('/').unwrap();
        let of_stream = BTreeMap::from([(instance.to_owned(), token)]);
        Run { saved: BTreeMap::from([(stream.to_owned(), of_stream)]), lines }
    }

    fn log(source: &str, announced: i64, tokens: &[i64]) -> (Source, Log) {
        let (stream, instance) = source.split_once('/').unwrap();
        let rows = tokens.iter().map(|token| (*token, format!("\"row {token}\""))).collect();
        (Source::new(stream, instance), Log { announced, rows })
    }

    fn verdict(runs: &[Run], logs: impl IntoIterator<Item = (Source, Log)>) -> Vec<String> {
        judge(&Deliveries::read(runs), &logs.into_iter().collect(), |_, _| false)
    }

    #[test]
    fn a_follower_that_delivers_all_is_right() {
        let first =
            run(vec![position("events/p1", 3), rows("events/p1", 4), position("events/p1", 6)]);
        let second = resumed("events/p1", 6, vec![rows("events/p1", 7)]);
        let right = verdict(&[first, second], [log("events/p1", 7, &[4, 7])]);
        assert!(right.is_empty(), "{right:?}");
    }

    #[test]
    fn a_row_that_was_never_delivered_is_found() {
        let lines = vec![position("events/p1", 3), rows("events/p1", 4), rows("events/p1", 6)];
        let wrong = verdict(&[run(lines)], [log("events/p1", 6, &[4, 5, 6])]);
        assert_eq!(wrong.len(), 1, "{wrong:?}");
        assert!(wrong[0].contains("never delivered: (5,"), "{wrong:?}");
    }

    #[test]
    fn a_row_with_another_text_does_not_count_as_delivered() {
        let lines = vec![position("events/p1", 3), rows_at("events/p1", 4, 4, &["other"])];
        assert_eq!(verdict(&[run(lines)], [log("events/p1", 4, &[4])]).len(), 1);
    }

    #[test]
    fn a_row_under_another_writer_counts_only_in_shared_streams() {
        for (stream, wrong) in [("events", 1), ("profile_updates", 0)] {
            let (p1, p2) = (format!("{stream}/p1"), format!("{stream}/p2"));
            let lines = vec![position(&p1, 3), position(&p2, 3), rows(&p1, 4), position(&p2, 4)];
            assert_eq!(verdict(&[run(lines)], [log(&p2, 4, &[4])]).len(), wrong, "{stream}");
        }
    }

    #[test]
    fn a_repeat_is_found_in_a_run_and_across_a_resume() {
        let twice = vec![position("events/p1", 3), rows("events/p1", 4), rows("events/p1", 4)];
        assert_eq!(verdict(&[run(twice)], []).len(), 1);
        let first = run(vec![position("events/p1", 3), rows("events/p1", 4)]);
        let second = resumed("events/p1", 4, vec![rows("events/p1", 4)]);
        assert_eq!(verdict(&[first.clone(), second], []).len(), 1);
        let saved_before = resumed("events/p1", 3, vec![rows("events/p1", 4)]);
        // The position went back with the file, so delivery is at least once.
        assert_eq!(verdict(&[first, saved_before], []), Vec::<String>::new());
    }

    #[test]
    fn a_saved_position_above_the_printed_ones_is_found_unless_the_tokens_started_over() {
        let events = run(vec![position("events/p1", 3)]);
        assert_eq!(verdict(&[events, resumed("events/p1", 4, vec![])], []).len(), 1);
        let typing = "typing/streams1";
        let over = run(vec![position(typing, 9), reset(typing, 0), rows(typing, 1)]);
        let next = vec![reset(typing, 0), rows(typing, 1)];
        assert_eq!(verdict(&[over, resumed(typing, 9, next)], []), Vec::<String>::new());
    }

    #[test]
    fn a_position_that_is_not_that_of_its_rows_is_found() {
        let lines = vec![position("events/p1", 3), rows_at("events/p1", 4, 5, &["row"])];
        assert_eq!(verdict(&[run(lines)], []).len(), 1);
    }

    #[test]
    fn a_row_of_two_writers_may_be_delivered_once_in_a_run() {
        let twice = vec![rows("profile_updates/p1", 4), rows("profile_updates/p2", 4)];
        assert_eq!(verdict(&[run(twice)], []).len(), 1);
    }

    #[test]
    fn a_burst_may_fall_but_not_repeat_nor_reach_the_position() {
        let burst = |tokens: &[i64]| {
            let mut lines = vec![position("backfill/p1", 3)];
            lines.extend(
                tokens
                    .iter()
                    .map(|token| rows_at("backfill/p1", *token, 3, &[&format!("row {token}")])),
            );
            verdict(&[run(lines)], [log("backfill/p1", 3, &[])])
        };
        assert_eq!(burst(&[7, 6, 5, 4]), Vec::<String>::new());
        assert_eq!(burst(&[7, 6, 7]).len(), 1);
        assert_eq!(burst(&[4, 3]).len(), 1);
    }

    #[test]
    fn caches_may_repeat_and_go_back_but_not_lose() {
        let lines =
            [3, 2, 3].map(|token| rows_at("caches/p1", token, 3, &[&format!("row {token}")]));
        let runs = [run(lines.to_vec())];
        assert_eq!(verdict(&runs, [log("caches/p1", 3, &[2, 3])]), Vec::<String>::new());
        assert_eq!(verdict(&runs, [log("caches/p1", 3, &[1, 2, 3])]).len(), 1);
        let logs = BTreeMap::from([log("caches/p1", 3, &[1, 2, 3])]);
        assert!(judge(&Deliveries::read(&runs), &logs, |_, token| token == 1).is_empty());
    }

    #[test]
    fn after_a_reset_the_whole_new_log_must_come() {
        let typing = "typing/streams1";
        let lines = vec![position(typing, 9), reset(typing, 0), rows(typing, 1), rows(typing, 3)];
        let runs = [run(lines)];
        let delivered = Deliveries::read(&runs);
        assert_eq!(compared_from(&delivered.sources()[&Source::new("typing", "streams1")]), 0);
        assert_eq!(verdict(&runs, [log(typing, 3, &[1, 3])]), Vec::<String>::new());
        assert_eq!(verdict(&runs, [log(typing, 3, &[1, 2, 3])]).len(), 1);
    }

    #[test]
    fn tokens_that_go_back_without_a_reset_are_found() {
        let typing = "typing/streams1";
        let wrong = verdict(&[run(vec![position(typing, 9), rows(typing, 1)])], []);
        assert_eq!(wrong.len(), 2, "the token and the position: {wrong:?}");
    }

    #[test]
    fn a_newer_to_device_row_of_the_user_stands_for_the_older() {
        let lines =
            vec![position("to_device/streams1", 1), rows_at("to_device/streams1", 5, 5, &["@u"])];
        let held = |token| {
            let rows = [(token, "\"@u\"".to_owned())].into();
            (Source::new("to_device", "streams1"), Log { announced: 5, rows })
        };
        assert_eq!(verdict(&[run(lines.clone())], [held(4)]), Vec::<String>::new());
        assert_eq!(verdict(&[run(lines)], [held(6)]).len(), 1);
    }

    #[test]
    fn a_source_that_lags_or_is_silent_or_has_a_gap_is_found() {
        let gap = json!({"type": "gap", "from": 3, "upto": 5, "reason": "why"});
        let lines = vec![position("events/p1", 3), line(gap, "events/p1")];
        let wrong = verdict(&[run(lines)], [log("events/p1", 8, &[]), log("events/p2", 0, &[])]);
        assert_eq!(wrong.len(), 3, "{wrong:?}");
    }
}
