//! The page of a run: a trace enters, one HTML file leaves, which opens from disk and requests
//! nothing from the network.

use std::{
    borrow::Cow,
    fmt::{self, Write as _},
};

use serde::Serialize;
use synrepl_core::stream::Source;

use super::{
    messages::{Messages, first_violation},
    timeline::timeline,
};
use crate::{
    oracle::Violation,
    scenario::Mode,
    trace::{MessageKind, Trace, What},
};

const TEMPLATE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// The lines of the time line on each side of the violation.
const TIMELINE_MOMENTS: usize = 120;

/// The page of one run. `to_string` gives the HTML.
///
/// All texts of the trace are escaped, and a content security policy forbids the page to load
/// anything. The script first draws the moments around the violation, and more on request.
#[derive(Clone, Debug)]
pub struct Page<'a> {
    trace: &'a Trace,
    facts: Vec<(String, String)>,
    table: Vec<Vec<String>>,
}

impl<'a> Page<'a> {
    /// Creates the page of the run that `trace` recorded.
    pub fn new(trace: &'a Trace) -> Self {
        let scenario = &trace.scenario;
        let streams: Vec<_> = scenario.streams.iter().map(|stream| stream.name.as_str()).collect();
        let facts = [
            ("Seed", scenario.seed.to_string()),
            ("Mode", mode_name(scenario.mode)),
            ("Streams", streams.join(", ")),
            (
                "Instances",
                format!(
                    "{} writing, {} following",
                    scenario.writers.len(),
                    scenario.followers.len()
                ),
            ),
            ("Events of the scenario", scenario.events.len().to_string()),
        ];
        let facts = facts.map(|(name, value)| (name.to_owned(), value)).to_vec();
        Self { trace, facts, table: Vec::new() }
    }

    /// Adds a line to the facts at the top, such as the command that plays the scenario again.
    #[must_use]
    pub fn fact(mut self, name: &str, value: &str) -> Self {
        self.facts.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds a table that compares receivers: the first row is the head, the first column has the
    /// names. Cells other than `0` in the other columns are highlighted.
    #[must_use]
    pub fn comparison(mut self, rows: Vec<Vec<String>>) -> Self {
        self.table = rows;
        self
    }

    fn title(&self) -> (&'static str, String, String) {
        match self.trace.violations.first() {
            Some(violation) => {
                let id = violation.promise.id();
                let space = if id.is_empty() { "" } else { " " };
                let title = format!("{id}{space}{:?} broken", violation.promise);
                ("broken", title, violation_text(violation))
            }
            None => {
                let moments = self.trace.moments.len();
                ("kept", "Every promise kept".to_owned(), format!("{moments} moments"))
            }
        }
    }

    fn facts_html(&self) -> String {
        let mut out = String::new();
        for (name, value) in &self.facts {
            writeln!(out, "    <div><dt>{}</dt><dd>{}</dd></div>", Escaped(name), Escaped(value))
                .ok();
        }
        out
    }

    fn table_html(&self) -> String {
        let Some((head, rows)) = self.table.split_first() else { return String::new() };
        let mut out = String::from(
            "<section class=\"compared\">\n<h2>The same schedule, other rules</h2>\n<table>\n<tr>",
        );
        for cell in head {
            write!(out, "<th>{}</th>", Escaped(cell)).ok();
        }
        out.push_str("</tr>\n");
        for row in rows {
            out.push_str("<tr>");
            for (column, cell) in row.iter().enumerate() {
                let class = if column > 0 && cell != "0" { " class=\"bad\"" } else { "" };
                write!(out, "<td{class}>{}</td>", Escaped(cell)).ok();
            }
            out.push_str("</tr>\n");
        }
        out.push_str("</table>\n</section>\n");
        out
    }
}

impl fmt::Display for Page<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (verdict, title, summary) = self.title();
        let data = serde_json::to_string(&Data::of(self.trace)).map_err(|_| fmt::Error)?;
        let scenario =
            serde_json::to_string_pretty(&self.trace.scenario).map_err(|_| fmt::Error)?;
        let timeline = timeline(self.trace, TIMELINE_MOMENTS, TIMELINE_MOMENTS);
        let mut rest = TEMPLATE;
        while let Some((before, after)) = rest.split_once("{{") {
            f.write_str(before)?;
            let (name, after) = after.split_once("}}").ok_or(fmt::Error)?;
            match name {
                "style" => f.write_str(STYLE.trim_end())?,
                "script" => f.write_str(SCRIPT.trim_end())?,
                "verdict" => f.write_str(verdict)?,
                "title" => write!(f, "{}", Escaped(&title))?,
                "summary" => write!(f, "{}", Escaped(&summary))?,
                "facts" => f.write_str(self.facts_html().trim_end())?,
                "sections" => f.write_str(self.table_html().trim_end())?,
                "timeline" => write!(f, "{}", Escaped(&timeline))?,
                "scenario" => write!(f, "{}", Escaped(&scenario))?,
                "data" => write!(f, "{}", InScript(&data))?,
                _ => return Err(fmt::Error),
            }
            rest = after;
        }
        f.write_str(rest)
    }
}

/// Text between tags, escaped for HTML.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// JSON inside a script element, escaped so that it can neither end the element nor begin a
/// comment.
struct InScript<'a>(&'a str);

impl fmt::Display for InScript<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => write!(f, "\\u{:04x}", u32::from(c))?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// The data that the script draws. Field names are short because there are thousands of moments.
#[derive(Serialize)]
struct Data<'a> {
    lanes: &'a [crate::trace::Lane],
    sources: Vec<String>,
    focus: Option<usize>,
    moments: Vec<Drawn<'a>>,
}

#[derive(Serialize)]
struct Drawn<'a> {
    /// The time in microseconds.
    t: u64,
    /// The lane.
    l: usize,
    /// The index of the source.
    s: Option<usize>,
    /// The kind of the moment.
    k: &'static str,
    /// The text.
    #[serde(skip_serializing_if = "str::is_empty")]
    x: Cow<'a, str>,
    /// The number of the message.
    #[serde(skip_serializing_if = "Option::is_none")]
    m: Option<u64>,
    /// The lane that the message goes to.
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<usize>,
    /// The kind of the message.
    #[serde(skip_serializing_if = "Option::is_none")]
    mk: Option<MessageKind>,
    /// The reason why the message was lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    w: Option<&'a str>,
}

impl<'a> Data<'a> {
    fn of(trace: &'a Trace) -> Self {
        let messages = Messages::of(trace);
        let mut sources: Vec<&Source> =
            trace.moments.iter().filter_map(|moment| messages.source(moment)).collect();
        sources.sort();
        sources.dedup();
        let moments = trace
            .moments
            .iter()
            .map(|moment| {
                let s = messages.source(moment).and_then(|of| sources.binary_search(&of).ok());
                let (t, l) = (moment.at.as_micros(), moment.lane);
                let k = kind(&moment.what);
                let blank =
                    Drawn { t, l, s, k, x: "".into(), m: None, to: None, mk: None, w: None };
                match &moment.what {
                    What::Sent { message, to, kind, text } => Drawn {
                        x: text.into(),
                        m: Some(*message),
                        to: Some(*to),
                        mk: Some(*kind),
                        ..blank
                    },
                    What::Received { message } => Drawn { m: Some(*message), ..blank },
                    What::Lost { message, why } => {
                        Drawn { m: Some(*message), w: Some(why), ..blank }
                    }
                    What::Wrote { text }
                    | What::Input { text }
                    | What::Event { text }
                    | What::Fault { text } => Drawn { x: text.into(), ..blank },
                    What::Violation { index } => {
                        let violation = trace.violations.get(*index);
                        let x = violation.map_or_else(String::new, |it| it.what.clone()).into();
                        Drawn { x, ..blank }
                    }
                    What::FaultsEnd => blank,
                }
            })
            .collect();
        let focus = first_violation(trace);
        let sources = sources.iter().map(ToString::to_string).collect();
        Self { lanes: &trace.lanes, sources, focus, moments }
    }
}

/// Returns the text of a violation, without the name of the promise, which is in the title.
fn violation_text(violation: &Violation) -> String {
    let Violation { at, instance, source, what, .. } = violation;
    match source {
        Some(source) => format!("At {at} at {instance}, source {source}: {what}"),
        None => format!("At {at} at {instance}: {what}"),
    }
}

/// Returns the name of a mode, or of its pattern, on the command line and in file names.
pub fn mode_name(mode: Mode) -> String {
    let name = match mode {
        Mode::Pattern(pattern) => serde_json::to_value(pattern),
        Mode::Calm | Mode::Swarm | Mode::Storm => serde_json::to_value(mode),
    };
    name.ok().and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default()
}

const fn kind(what: &What) -> &'static str {
    match what {
        What::Sent { .. } => "sent",
        What::Received { .. } => "received",
        What::Lost { .. } => "lost",
        What::Wrote { .. } => "wrote",
        What::Input { .. } => "input",
        What::Event { .. } => "event",
        What::Fault { .. } => "fault",
        What::Violation { .. } => "violation",
        What::FaultsEnd => "faults_end",
    }
}

#[cfg(test)]
mod tests;
