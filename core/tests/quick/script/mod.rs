//! A node driven by a script with one input on each line: its actions are shown below the line.
//!
//! | line | input |
//! | --- | --- |
//! | `config KEY VALUE` | a setting, before anything else |
//! | `connect` | the requested connection is made |
//! | `lose` | the connection is lost, or not made |
//! | `too-long` | a line is received that is longer than allowed |
//! | `RDATA ...`, any upper-case word | a line is received |
//! | `page q1 UPTO[+]: T ROW, T ROW` | the page of a fetch; `+` marks it as limited |
//! | `fail q1 WHY` | a fetch failed: `500`, `timeout`, `too-large`, `no-endpoint`, `unknown-stream` |
//! | `log q1 UPTO[+]: T ROW, T ROW` | the page of an own log |
//! | `log-fail q1` | an own log could not be read |
//! | `+2s`, `+20ms` | time passes, then a tick |
//! | `wait w1 STREAM/WRITER TOKEN 5s` | the application waits for a token |
//! | `cancel w1` | the application cancels the wait |
//! | `send LINE` | the application sends a command |
//! | `append STREAM TOKEN` | the log of an own stream has reached a token |
//! | `shutdown` | the application shuts the node down |
//! | `positions` | shows the positions to save |
//! | `stats` | shows the nonzero counters |

use std::{fmt::Write as _, time::Duration};

use crate::bench::{Bench, command, received};
use synrepl_core::{
    Action, Backoff, Config, Event, FetchId, Input, Origin, ReadId, Start, Stats, Timestamp,
    Transport, WaitId, WaitOutcome,
    stream::{FetchError, LogError, Page, Row, Source, Span, Token},
    wire::{Command, Replicate},
};

/// Runs the inputs of `script` and returns them with the actions that each of them led to.
/// Lines that begin with `<` or `#`, and empty ones, are no inputs; the latter two are kept.
pub(crate) fn run(script: &str) -> String {
    let mut config = Config::default();
    // What is requested for the sake of continuity would stand between everything else; the scripts
    // that are about it turn it on.
    config.continuity.continuity = false;
    let mut player = Player { config, bench: None };
    let mut out = String::new();
    for line in script.lines().filter(|line| !line.starts_with("< ")) {
        writeln!(out, "{line}").expect("a string takes it");
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        for answer in player.step(line) {
            writeln!(out, "< {answer}").expect("a string takes it");
        }
    }
    out
}

struct Player {
    config: Config,
    /// Made when the settings end.
    bench: Option<Bench>,
}

impl Player {
    fn step(&mut self, line: &str) -> Vec<String> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        if word == "config" {
            self.configure(rest);
            return Vec::new();
        }
        let mut shown = Vec::new();
        let is_new = self.bench.is_none();
        let bench = self.bench.get_or_insert_with(|| Bench::new(self.config.clone()));
        if is_new {
            shown.extend(actions(bench));
        }
        let input = match word {
            "connect" => bench.made(),
            "lose" => bench.lost(),
            "too-long" => Input::LineTooLong { conn: bench.conn() },
            "page" => page(rest),
            "fail" => fail(rest),
            "log" => log_page(rest),
            "log-fail" => {
                let error = LogError { stream: "s".to_owned(), message: "disk on fire".to_owned() };
                Input::LogRead { query: read(rest), result: Err(error) }
            }
            "wait" => wait(rest, bench.now),
            "cancel" => Input::CancelWait { wait: WaitId::new(rest[1..].parse().expect("w1")) },
            "send" => Input::Send { command: command(rest) },
            "append" => {
                let (stream, token) = rest.split_once(' ').expect("append STREAM TOKEN");
                Input::Appended { stream: stream.into(), token: token.parse().expect("a token") }
            }
            "shutdown" => Input::Shutdown,
            "positions" => {
                let positions = bench.node.positions();
                shown.push(serde_json::to_string(&positions).expect("positions are JSON"));
                return shown;
            }
            "stats" => {
                shown.push(counters(&bench.node.stats()));
                return shown;
            }
            _ if word.starts_with('+') => {
                bench.now = bench.now + duration(&word[1..]);
                Input::Tick
            }
            // Synapse's own form of the command ends in a space, which no editor keeps.
            "REPLICATE" if rest.is_empty() => received(bench.conn(), "REPLICATE "),
            _ => received(bench.conn(), line),
        };
        if let Err(misuse) = bench.try_hand(input) {
            shown.push(format!("misuse: {misuse}"));
        }
        shown.extend(actions(bench));
        shown
    }

    fn configure(&mut self, rest: &str) {
        let (key, value) = rest.split_once(' ').expect("config KEY VALUE");
        let config = &mut self.config;
        let number = || value.parse::<u32>().expect("a number");
        match key {
            "start" => {
                config.start = if value == "beginning" { Start::Beginning } else { Start::Now };
            }
            "instance" => config.instance = value.to_owned(),
            "positions" => config.positions = serde_json::from_str(value).expect("positions"),
            "streams" => config.streams = Some(value.split(' ').map(str::to_owned).collect()),
            "reconnect_ms" => {
                let delay = Duration::from_millis(number().into());
                config.connection.reconnect = Backoff::new(delay, delay);
            }
            "transport" => {
                config.transport = match value {
                    "none" => Transport::None,
                    release => Transport::Tcp(release.parse().expect("a release")),
                };
            }
            "server_name" => config.server_name = Some(value.into()),
            "replay_rows_max" => config.catch_up.in_band_rows_max = number(),
            "observe_only" => config.observe_only = value == "true",
            "fetches_in_flight_max" => config.catch_up.fetches_in_flight_max = number(),
            "fetch_attempts_max" => config.catch_up.fetch_attempts_max = Some(number()),
            "held_rows_max" => config.limits.held_rows_max = number(),
            "held_bytes_max" => config.limits.held_bytes_max = number(),
            "held_bytes_total_max" => config.limits.held_bytes_total_max = number().into(),
            "batch_bytes_max" => config.limits.batch_bytes_max = number(),
            "batch_rows_max" => config.limits.batch_rows_max = number(),
            "burst_rows_max" => config.limits.burst_rows_max = number(),
            "burst_window_max" => config.catch_up.burst_window_max = number(),
            "burst_bytes_max" => config.limits.burst_bytes_max = number(),
            "sources_max" => config.limits.sources_max = number(),
            "audit_every_s" => {
                config.audit.audit_every = Some(Duration::from_secs(number().into()));
            }
            "continuity" => {
                config.continuity.continuity = true;
                // Each row is remembered, and addresses are looked at only where that is wanted.
                config.continuity.anchor_every = Duration::ZERO;
                config.continuity.look_ups_at_once_max = value.parse().expect("a number of looks");
            }
            "anchor_reach_max" => config.continuity.anchor_reach_max = number(),
            "own_stream" => {
                config.publish.own_streams.insert(value.to_owned(), Token::new(10));
            }
            "audit_rows_max" => config.audit.audit_rows_max = number(),
            "audit_tokens_max" => config.audit.audit_tokens_max = number(),
            "look_into_holes" => config.holes.look_into_holes = value == "yes",
            "hole_looks_per_minute_max" => config.holes.hole_looks_per_minute_max = number(),
            "hole_jump_tokens_min" => config.holes.hole_jump_tokens_min = number(),
            "hole_spans_max" => config.holes.hole_spans_max = number(),
            "waits_max" => config.limits.waits_max = number(),
            _ => panic!("no such setting in scripts: {key}"),
        }
    }
}

fn actions(bench: &mut Bench) -> Vec<String> {
    let now = bench.now;
    bench.actions().iter().map(|action| show(action, now)).collect()
}

/// `name: value` of each counter that is not 0.
fn counters(stats: &Stats) -> String {
    let stats = serde_json::to_value(stats).expect("counters are JSON");
    let counted = stats.as_object().expect("by name").iter().filter(|(_, count)| **count != 0);
    counted.map(|(name, count)| format!("{name}: {count}")).collect::<Vec<_>>().join(", ")
}

fn duration(text: &str) -> Duration {
    let (number, unit_ms) = match text.strip_suffix("ms") {
        Some(number) => (number, 1),
        None => (text.strip_suffix('s').expect("2s or 20ms"), 1_000),
    };
    Duration::from_millis(number.parse::<u64>().expect("a whole number") * unit_ms)
}

fn wait(rest: &str, now: Timestamp) -> Input {
    let words: Vec<_> = rest.split(' ').collect();
    let (stream, instance) = words[1].split_once('/').expect("stream/writer");
    Input::WaitFor {
        wait: WaitId::new(words[0][1..].parse().expect("w1")),
        source: Source::new(stream, instance),
        token: words[2].parse().expect("a token"),
        deadline: now + duration(words[3]),
    }
}

fn query(word: &str) -> FetchId {
    FetchId::new(word[1..].parse().expect("q1"))
}

fn read(word: &str) -> ReadId {
    ReadId::new(word[1..].parse().expect("q1"))
}

fn page(rest: &str) -> Input {
    let (id, page) = parsed_page(rest);
    Input::Fetched { query: query(id), result: Ok(page) }
}

fn log_page(rest: &str) -> Input {
    let (id, page) = parsed_page(rest);
    Input::LogRead { query: read(id), result: Ok(page) }
}

fn parsed_page(rest: &str) -> (&str, Page) {
    let (head, rows) = rest.split_once(':').unwrap_or((rest, ""));
    let (id, upto) = head.split_once(' ').expect("page q1 UPTO");
    let limited = upto.ends_with('+');
    let updates = rows
        .split(", ")
        .map(str::trim)
        .filter(|row| !row.is_empty())
        .map(|row| {
            let (token, row) = row.split_once(' ').expect("T ROW");
            (token.parse::<Token>().expect("a token"), Row::from(row))
        })
        .collect();
    let upto = upto.trim_end_matches('+').parse().expect("a token");
    (id, Page { updates, upto, limited })
}

fn fail(rest: &str) -> Input {
    let (id, why) = rest.split_once(' ').expect("fail q1 WHY");
    let endpoint = "http://w".to_owned();
    let error = match why {
        "500" => FetchError::Status { endpoint, status: 500, message: "no".to_owned() },
        "404" => FetchError::Status { endpoint, status: 404, message: "not here".to_owned() },
        "unknown-stream" => {
            FetchError::Status { endpoint, status: 400, message: "Unknown stream".to_owned() }
        }
        "timeout" => FetchError::TimedOut { endpoint, after_ms: 30_000 },
        "too-large" => FetchError::TooLarge { limit_bytes: 1_000 },
        "no-endpoint" => FetchError::NoEndpoint { instance: "w".to_owned() },
        _ => panic!("no such failure in scripts: {why}"),
    };
    Input::Fetched { query: query(id), result: Err(error) }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the rest is shown as it is")]
fn show(action: &Action, now: Timestamp) -> String {
    match action {
        Action::Connect { conn } => format!("connect {conn}"),
        Action::Close { conn } => format!("close {conn}"),
        Action::Send { command, .. } => match command {
            Command::Replicate(Replicate::Stream { stream, from: Some(from) }) => {
                format!("send REPLICATE {stream} {from}")
            }
            Command::Replicate(Replicate::Stream { stream, from: None }) => {
                format!("send REPLICATE {stream} NOW")
            }
            Command::Error(text) => format!("send ERROR {text}"),
            command => format!("send {}", command.name()),
        },
        Action::Fetch { query, source, span } => format!("fetch {query} {source} {span}"),
        Action::ReadLog { query, stream, span, .. } => format!("read {query} {stream} {span}"),
        Action::CancelFetch { query } => format!("cancel {query}"),
        Action::Notify(event) => show_event(event, now),
        _ => format!("{action:?}"),
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the rest is shown as it is")]
fn show_event(event: &Event, now: Timestamp) -> String {
    match event {
        Event::Connected { conn } => format!("connected {conn}"),
        Event::Disconnected { conn, retry_at, .. } => match retry_at {
            Some(at) => {
                let wait = at.saturating_since(now);
                // Delays have a jitter of a quarter; what they are a jitter of is what matters.
                let base = [1, 2, 4, 5].into_iter().find(|base| {
                    let base = Duration::from_secs(*base);
                    (base * 3 / 4..=base * 5 / 4).contains(&wait)
                });
                let base = base.map_or_else(|| format!("{wait:?}"), |base| format!("{base} s"));
                format!("disconnected {conn}, will retry after about {base}")
            }
            None => format!("disconnected {conn}"),
        },
        Event::Rows { source, token, rows, origin, position } => {
            let origin = match origin {
                Origin::Live => "live",
                Origin::Hole => "hole",
                Origin::Audit => "audit",
                _ => "fetched",
            };
            let at =
                if position == token { String::new() } else { format!(" position {position}") };
            let rows: Vec<_> = rows.iter().map(Row::as_str).collect();
            format!("rows {source} {token} {} {origin}{at}", rows.join(" "))
        }
        Event::Position { source, token } => format!("position {source} {token}"),
        Event::Gap { source, span: Span { from, upto }, reason } => {
            format!("gap {source} {from}..{upto} {reason:?}")
        }
        Event::Reset { source, from, token } => format!("reset {source} {from} to {token}"),
        Event::Discontinuity { source, position, why } => {
            format!("discontinuity {source} {position}: {why}")
        }
        Event::Rewound { source, from, to } => format!("rewound {source} {from} to {to}"),
        Event::CatchingUp { source, span: Span { from, upto } } => {
            format!("catching up {source} {from}..{upto}")
        }
        Event::NotLive { source, token } => format!("not live {source} {token}"),
        Event::Live { source, token } => format!("live {source} {token}"),
        Event::Command { command } => format!("command {command:?}"),
        Event::WaitEnded { wait, outcome } => match outcome {
            WaitOutcome::Reached { position } => format!("{wait} reached at {position}"),
            WaitOutcome::TimedOut { position } => format!("{wait} timed out at {position:?}"),
            outcome => format!("{wait} {outcome:?}"),
        },
        Event::Warning(warning) => format!("warning {}", show_warning(warning)),
        Event::Stopped => "stopped".to_owned(),
        _ => format!("{event:?}"),
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the rest is shown as it is")]
fn show_warning(warning: &synrepl_core::Warning) -> String {
    use synrepl_core::Warning;
    match warning {
        Warning::Malformed { error } => format!("malformed: {error}"),
        Warning::NothingHeard { after } => format!("nothing heard for {} s", after.as_secs()),
        Warning::Unanswered { sources, example, asked } => {
            format!("{sources} unanswered, {example} for one, asked {asked}")
        }
        Warning::NotAudited { source, span: Span { from, upto }, reason } => {
            format!("not audited {source} {from}..{upto} {reason:?}")
        }
        Warning::HoleLeft { source, span: Span { from, upto }, reason } => {
            format!("hole left {source} {from}..{upto} {reason:?}")
        }
        Warning::FetchFailed { source, span: Span { from, upto }, attempt, error, .. } => {
            format!("fetch {source} {from}..{upto} failed {attempt}: {error}")
        }
        Warning::RowsGone { .. } | Warning::WrongAddress { .. } | Warning::NotRewound { .. } => {
            warning.to_string()
        }
        warning => format!("{warning:?}"),
    }
}
