//! The time line: a trace enters, lines of plain text leave.

use std::fmt::Write as _;

use super::messages::{Messages, first_violation};
use crate::trace::{Moment, Trace, What};

/// The most characters of a moment's text.
const TEXT_CHARS_MAX: usize = 160;

/// Returns the moments around the first broken promise, or else the last moments, one line each.
///
/// The columns are seconds, lane, kind and text. At most `before` moments before the violation and
/// `after` moments behind it are shown; the others, and all PINGs, are only counted. Control
/// characters in texts are escaped.
pub fn timeline(trace: &Trace, before: usize, after: usize) -> String {
    let messages = Messages::of(trace);
    let shown: Vec<usize> = (0..trace.moments.len())
        .filter(|index| !messages.is_keep_alive(&trace.moments[*index]))
        .collect();
    let count = shown.len();
    let focus = first_violation(trace).and_then(|index| shown.binary_search(&index).ok());
    let focus = focus.unwrap_or_else(|| count.saturating_sub(1));
    let first = focus.saturating_sub(before);
    let last = (focus + after + 1).min(count);
    let width = trace.lanes.iter().map(|lane| lane.name.chars().count()).max().unwrap_or(0);
    let mut out = String::new();
    if first > 0 {
        writeln!(out, "  ... {first} earlier").ok();
    }
    for moment in shown[first..last].iter().map(|index| &trace.moments[*index]) {
        let lane = trace.lanes.get(moment.lane).map_or("?", |lane| lane.name.as_str());
        let (kind, text) = words(trace, &messages, moment);
        let mark = match moment.what {
            What::Violation { .. } => '>',
            What::Fault { .. } | What::Lost { .. } => '!',
            What::Sent { .. }
            | What::Received { .. }
            | What::Wrote { .. }
            | What::Input { .. }
            | What::Event { .. }
            | What::FaultsEnd => ' ',
        };
        let micros = moment.at.as_micros();
        let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
        let text = plain(&text);
        let line = format!("{mark} {seconds:>5}.{fraction:06}  {lane:<width$}  {kind:<9}  {text}");
        out.push_str(line.trim_end());
        out.push('\n');
    }
    if last < count {
        writeln!(out, "  ... {} later", count - last).ok();
    }
    let left_out = trace.moments.len() - count;
    if left_out > 0 {
        writeln!(out, "  ({left_out} moments of PINGs left out)").ok();
    }
    out
}

fn words(trace: &Trace, messages: &Messages<'_>, moment: &Moment) -> (&'static str, String) {
    let lane = |index: usize| trace.lanes.get(index).map_or("?", |lane| lane.name.as_str());
    match &moment.what {
        What::Sent { to, text, .. } => ("sends", format!("{text}  -> {}", lane(*to))),
        What::Received { message } => {
            let origin = messages.origin(*message).map_or("?", lane);
            ("receives", format!("{}  <- {origin}", messages.text(*message)))
        }
        What::Lost { message, why } => ("LOST", format!("{} ({why})", messages.text(*message))),
        What::Wrote { text } => ("writes", with_source(moment, text)),
        What::Input { text } => ("input", with_source(moment, text)),
        What::Event { text } => ("event", with_source(moment, text)),
        What::Fault { text } => ("FAULT", with_source(moment, text)),
        What::Violation { index } => {
            let violation = trace.violations.get(*index);
            ("BROKEN", violation.map_or_else(String::new, ToString::to_string))
        }
        What::FaultsEnd => ("---", "all faults end".to_owned()),
    }
}

/// Returns the text with its source in front, unless the text names the source already.
fn with_source(moment: &Moment, text: &str) -> String {
    match &moment.source {
        Some(source) if !text.contains(&source.to_string()) => format!("{source}: {text}"),
        _ => text.to_owned(),
    }
}

/// Returns the text as one line of printable characters, truncated to [`TEXT_CHARS_MAX`].
fn plain(text: &str) -> String {
    let mut out = String::new();
    for (count, c) in text.chars().enumerate() {
        if count == TEXT_CHARS_MAX {
            out.push_str("...");
            break;
        }
        if c.is_control() { out.extend(c.escape_default()) } else { out.push(c) }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{report::sample::trace, trace::MessageKind};

    #[test]
    fn a_time_line_shows_what_led_to_the_violation_and_counts_the_rest() {
        let trace = trace();
        let expected = "      4.002600  f0      receives   0 rows up to 4  <- master
      4.002600  f0      event      events/master: Position 4
>     4.002600  f0      BROKEN     F2 Complete of f0 at 4.002600s, source events/master: the position \
                        is 4 but [4] at 4 never came\n";
        let earlier = format!("  ... {} earlier\n", trace.moments.len() - 3);
        assert_eq!(timeline(&trace, 2, 0), earlier + expected);
    }

    #[test]
    fn faults_and_lost_messages_are_marked() {
        let text = timeline(&trace(), 1_000, 1_000);
        assert!(!text.contains("earlier"), "{text}");
        let marked: Vec<_> = text.lines().filter(|line| line.starts_with('!')).collect();
        assert_eq!(marked.len(), 2, "{text}");
        assert!(marked[0].contains("FAULT      events/master: the next PUBLISH gets lost"));
        assert!(marked[1].contains("LOST       RDATA events master 4 [4] (PUBLISH lost)"));
    }

    #[test]
    fn keep_alives_are_counted_and_left_out() {
        let mut trace = trace();
        let (before, ping) = (timeline(&trace, 5, 0), "PING 1000".to_owned());
        let sent = What::Sent { message: 900, to: 2, kind: MessageKind::Command, text: ping };
        for what in [sent, What::Received { message: 900 }] {
            let last = trace.moments.len() - 1;
            let moment = Moment { what, ..trace.moments[last].clone() };
            trace.moments.insert(last, moment);
        }
        assert_eq!(timeline(&trace, 5, 0), before + "  (2 moments of PINGs left out)\n");
    }

    #[test]
    fn without_a_violation_the_end_is_shown() {
        let mut trace = trace();
        trace.moments.retain(|moment| !matches!(moment.what, What::Violation { .. }));
        let text = timeline(&trace, 2, 2);
        assert_eq!(text.lines().count(), 4, "{text}");
        assert!(text.ends_with("Position 4\n"), "{text}");
    }

    #[test]
    fn control_characters_and_long_texts_keep_to_their_line() {
        let mut trace = trace();
        let text = format!("a\nb\u{7}{}", "x".repeat(1_000));
        trace.moments.last_mut().unwrap().what = What::Event { text };
        let shown = timeline(&trace, 0, 0);
        let line = shown.lines().last().unwrap();
        assert!(line.contains(r"a\nb\u{7}xxx") && line.ends_with("..."), "{line}");
        assert!(line.len() < 250, "{line}");
    }
}
