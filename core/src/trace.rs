//! Recorded runs: inputs and actions as JSON lines, and the check that the same inputs give the
//! same actions again (promise C1).
//!
//! The first line is a header; inputs and actions follow in the order in which they happened:
//!
//! ```json
//! {"synrepl_trace":1,"version":"0.1.0","config":{...}}
//! {"action":{"Connect":{"conn":1}}}
//! {"now":1500,"input":{"Connected":{"conn":1}}}
//! {"action":{"Notify":{"Connected":{"conn":1}}}}
//! ```
//!
//! Actions stand after the input that caused them; those before the first input are the ones that
//! a new node has at once. A trace holds no secret: [`Secret`](crate::wire::Secret) is written
//! redacted, and access tokens in rows of `caches` are replaced by as many other characters. A
//! replay hands the node the inputs as they were written, which makes no other difference.

mod redact;
mod replay;

use std::borrow::Cow;

use serde::{Deserialize, Serialize, Serializer, ser::SerializeMap as _};

pub use self::replay::{Difference, End, Replay, ReplayError, Replayer};
use crate::{action::Action, config::Config, input::Input, time::Timestamp};

/// The version of the format that this crate writes and reads.
pub const TRACE_VERSION: u64 = 1;

/// One line of a trace. A line that is recorded borrows its content; one that was read owns it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Fields")]
#[non_exhaustive]
#[expect(clippy::large_enum_variant, reason = "one header a trace, and lines are not kept")]
pub enum TraceLine<'a> {
    /// The first line.
    Header {
        /// The version of the crate that recorded the trace, for people.
        version: Cow<'a, str>,
        /// The settings of the node.
        config: Cow<'a, Config>,
    },
    /// An input that was handed to the node.
    Input {
        /// The time of the input.
        now: Timestamp,
        /// The input, without secrets.
        input: Cow<'a, Input>,
    },
    /// An action that the node returned, without secrets.
    Action(Cow<'a, Action>),
}

impl<'a> TraceLine<'a> {
    /// Creates the header of a run with these settings, recorded by this version.
    pub const fn header(config: &'a Config) -> Self {
        Self::Header {
            version: Cow::Borrowed(env!("CARGO_PKG_VERSION")),
            config: Cow::Borrowed(config),
        }
    }

    /// Creates the line of an input and its time, without the input's secrets.
    pub fn input(now: Timestamp, input: &'a Input) -> Self {
        Self::Input { now, input: redact::input(input) }
    }

    /// Creates the line of an action, without its secrets.
    pub fn action(action: &'a Action) -> Self {
        Self::Action(redact::action(action))
    }

    /// Appends the line, with its line feed, to `out`.
    ///
    /// # Errors
    /// The error of `serde_json` if the line cannot be written as JSON, which does not happen with
    /// the crate's own types. `out` then ends where it ended before.
    pub fn append_to(&self, out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
        let start = out.len();
        if let Err(error) = serde_json::to_writer(&mut *out, self) {
            out.truncate(start);
            return Err(error);
        }
        out.push(b'\n');
        Ok(())
    }
}

impl Serialize for TraceLine<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_map(None)?;
        match self {
            Self::Header { version, config } => {
                fields.serialize_entry("synrepl_trace", &TRACE_VERSION)?;
                fields.serialize_entry("version", version)?;
                fields.serialize_entry("config", config)?;
            }
            Self::Input { now, input } => {
                fields.serialize_entry("now", now)?;
                fields.serialize_entry("input", input)?;
            }
            Self::Action(action) => fields.serialize_entry("action", action)?,
        }
        fields.end()
    }
}

/// The fields of all kinds of lines. Errors are clearer than if one kind were tried after another.
#[derive(Deserialize)]
struct Fields {
    synrepl_trace: Option<u64>,
    version: Option<String>,
    config: Option<Config>,
    now: Option<Timestamp>,
    input: Option<Input>,
    action: Option<Action>,
}

impl TryFrom<Fields> for TraceLine<'_> {
    type Error = &'static str;

    fn try_from(fields: Fields) -> Result<Self, &'static str> {
        match fields {
            Fields { synrepl_trace: Some(_), config: Some(config), version, .. } => {
                Ok(Self::Header {
                    version: Cow::Owned(version.unwrap_or_default()),
                    config: Cow::Owned(config),
                })
            }
            Fields { now: Some(now), input: Some(input), .. } => {
                Ok(Self::Input { now, input: Cow::Owned(input) })
            }
            Fields { action: Some(action), .. } => Ok(Self::Action(Cow::Owned(action))),
            Fields { .. } => Err("a line needs `action`, or `now` and `input`, or in the first \
                                  line `synrepl_trace` and `config`"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::Channel,
        event::{Event, Origin},
        ids::{ConnectionId, FetchId, ReadId},
        stream::{Page, Row, Source, Token},
        wire::{Command, Rdata, Secret, UserIp},
    };

    fn written(line: &TraceLine<'_>) -> String {
        let mut out = Vec::new();
        line.append_to(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn each_kind_of_line_reads_back_as_it_was_written() {
        let config = Config::default();
        let input = Input::Connected { conn: ConnectionId::new(3) };
        let action = Action::Connect { conn: ConnectionId::new(3) };
        for line in [
            TraceLine::header(&config),
            TraceLine::input(Timestamp::from_micros(17), &input),
            TraceLine::action(&action),
        ] {
            let text = written(&line);
            assert_eq!(text.matches('\n').count(), 1, "{text}");
            assert_eq!(serde_json::from_str::<TraceLine<'_>>(&text).unwrap(), line);
        }
    }

    #[test]
    fn lines_have_the_documented_shape() {
        let input = Input::Connected { conn: ConnectionId::new(3) };
        let line = TraceLine::input(Timestamp::from_micros(17), &input);
        assert_eq!(written(&line), "{\"now\":17,\"input\":{\"Connected\":{\"conn\":3}}}\n");
        let header = written(&TraceLine::header(&Config::default()));
        assert!(header.starts_with("{\"synrepl_trace\":1,\"version\":\"0.1.0\",\"config\":{"));
    }

    #[test]
    fn an_access_token_in_a_row_never_gets_into_a_line() {
        let secret = Row::from(r#"["get_user_by_access_token",["syt_abc"],1]"#);
        let source = Source::new("caches", "w");
        let token = Token::new(2);
        let rdata = Command::Rdata(Rdata {
            stream: "caches".into(),
            instance: "w".into(),
            token: Some(token),
            row: secret.clone(),
        });
        let conn = ConnectionId::new(1);
        let page = Page { updates: vec![(token, secret.clone())], upto: token, limited: false };
        let rows = Event::Rows {
            source,
            token,
            rows: secret.clone().into(),
            origin: Origin::Live,
            position: token,
        };
        let lines = [
            written(&TraceLine::input(
                Timestamp::ZERO,
                &Input::Received { conn, command: rdata.clone() },
            )),
            written(&TraceLine::input(Timestamp::ZERO, &Input::Send { command: rdata.clone() })),
            written(&TraceLine::input(
                Timestamp::ZERO,
                &Input::Fetched { query: FetchId::new(1), result: Ok(page.clone()) },
            )),
            written(&TraceLine::input(
                Timestamp::ZERO,
                &Input::LogRead { query: ReadId::new(1), result: Ok(page) },
            )),
            written(&TraceLine::action(&Action::Notify(rows))),
            written(&TraceLine::action(&Action::Send {
                conn,
                channel: Channel::Main,
                command: rdata,
            })),
            format!("get_user_by_access_token {secret:?}"),
        ];
        for line in lines {
            assert!(line.contains("get_user_by_access_token"), "{line}");
            assert!(!line.contains("syt_abc"), "{line}");
        }
    }

    #[test]
    fn an_access_token_never_gets_into_a_line() {
        let command = Command::UserIp(Box::new(UserIp {
            user: "@a:b".into(),
            access_token: Secret::new("syt_abc".to_owned()),
            ip: "127.0.0.1".to_owned(),
            user_agent: "agent".to_owned(),
            device: None,
            last_seen_ms: 5,
        }));
        let input = Input::Received { conn: ConnectionId::new(0), command: command.clone() };
        let action = Action::Send { conn: ConnectionId::new(0), channel: Channel::Main, command };
        for line in [TraceLine::input(Timestamp::ZERO, &input), TraceLine::action(&action)] {
            let text = written(&line);
            assert!(text.contains("<redacted>") && !text.contains("syt_abc"), "{text}");
            assert!(serde_json::from_str::<TraceLine<'_>>(&text).is_ok());
        }
    }
}
