//! The text of an event in a time line or a diagram.

use synrepl_core::{
    Event, Origin,
    stream::{Row, Span},
};

/// The most rows of a delivery that are shown; the others are counted.
const ROWS_SHOWN: usize = 6;

/// Returns one line about an event, without its source, which is shown beside it. Rare events have
/// their `Debug` text.
#[expect(clippy::wildcard_enum_match_arm, reason = "what is rare is not worth words of its own")]
pub(crate) fn event_words(event: &Event) -> String {
    match event {
        Event::Rows { token, rows, origin, position, .. } => {
            let shown: Vec<_> = rows.iter().take(ROWS_SHOWN).map(Row::as_str).collect();
            let mut text = format!("Rows {token}: {}", shown.join(" "));
            if rows.len() > ROWS_SHOWN {
                text.push_str(&format!(" and {} more", rows.len() - ROWS_SHOWN));
            }
            match origin {
                Origin::Live => {}
                Origin::Audit => text.push_str(", found by the audit"),
                Origin::Hole => text.push_str(", found in a hole"),
                _ => text.push_str(", caught up"),
            }
            if position != token {
                text.push_str(&format!(", position {position}"));
            }
            text
        }
        Event::Position { token, .. } => format!("Position {token}"),
        Event::Gap { span: Span { from, upto }, reason, .. } => {
            format!("Gap ({from}, {upto}]: {reason:?}")
        }
        Event::Reset { from, token, .. } => format!("Reset from {from} to {token}"),
        Event::Discontinuity { position, why, .. } => {
            format!("Discontinuity at {position}: {why}")
        }
        Event::Rewound { from, to, .. } => format!("Rewound from {from} to {to}"),
        Event::CatchingUp { span: Span { from, upto }, .. } => {
            format!("Catching up ({from}, {upto}]")
        }
        Event::NotLive { token, .. } => format!("Not live, at {token}"),
        Event::Live { token, .. } => format!("Live at {token}"),
        other => format!("{other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use synrepl_core::{
        ConnectionId,
        stream::{Rows, Source, Token},
    };

    use super::*;

    #[test]
    fn events_of_sources_are_told_in_few_words() {
        let source = Source::new("events", "a");
        let rows: Vec<_> = (1..9).map(|n| Row::from(format!("[{n}]").as_str())).collect();
        let (token, position) = (Token::new(3), Token::new(2));
        let event = Event::Rows {
            source: source.clone(),
            token,
            rows: Rows::new(rows).unwrap(),
            origin: Origin::CatchUp,
            position,
        };
        assert_eq!(
            event_words(&event),
            "Rows 3: [1] [2] [3] [4] [5] [6] and 2 more, caught up, position 2"
        );
        assert_eq!(event_words(&Event::Live { source, token }), "Live at 3");
        let connected = Event::Connected { conn: ConnectionId::new(1) };
        assert_eq!(event_words(&connected), format!("{connected:?}"));
    }
}
