//! Rows of `federation`: the data that federation senders are to send (`protocol.md` 7.3).

use std::borrow::Cow;

use super::{
    PresenceRow, StreamRow,
    error::{Mismatch, Step},
    fields::{Fields, FromFields, Members},
    json::Json,
};

/// A row of `federation`: `[type, data]`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FederationRow<'a> {
    /// `p`, up to 1.32: presence to send to every server that is interested.
    Presence(PresenceRow<'a>),
    /// `pd`, 0.99.4 and later: presence to send to these servers.
    PresenceTo {
        /// The presence.
        state: PresenceRow<'a>,
        /// The servers, of which there may be none.
        destinations: Vec<Cow<'a, str>>,
    },
    /// `k`: an EDU that replaces an earlier one with the same destination and key.
    KeyedEdu {
        /// The parts of the key.
        key: Vec<Cow<'a, str>>,
        /// The EDU.
        edu: Edu<'a>,
    },
    /// `e`: an EDU.
    Edu(Edu<'a>),
    /// `d`, up to 1.9: device messages wait for a server.
    DeviceMessages {
        /// The server.
        destination: Cow<'a, str>,
    },
    /// `f`, up to 0.33.1: a failure is to be sent to a server.
    Failure {
        /// The server.
        destination: Cow<'a, str>,
        /// The failure, not interpreted; `None` if the row has none.
        failure: Option<Json<'a>>,
    },
    /// A type that no release up to 1.163 has. It is to be acknowledged all the same.
    Unknown {
        /// The type, verbatim.
        kind: Cow<'a, str>,
        /// The data of the row, not interpreted.
        data: Json<'a>,
    },
}

/// An EDU to be sent: `{"edu_type", "content", "origin", "destination"}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edu<'a> {
    /// The type of the EDU, `m.receipt` for example.
    pub edu_type: Cow<'a, str>,
    /// The content of the EDU, not interpreted.
    pub content: Json<'a>,
    /// The server that sends the EDU.
    pub origin: Cow<'a, str>,
    /// The server that is to receive the EDU.
    pub destination: Cow<'a, str>,
}

impl<'a> Edu<'a> {
    fn of_object(value: Json<'a>) -> Result<Self, Mismatch<'a>> {
        let members = Members::of(value, ["edu_type", "content", "origin", "destination"])?;
        Ok(Self {
            edu_type: members.read(0)?,
            content: members.read(1)?,
            origin: members.read(2)?,
            destination: members.read(3)?,
        })
    }
}

impl<'a> FederationRow<'a> {
    fn of_data(kind: Cow<'a, str>, data: Json<'a>) -> Result<Self, Mismatch<'a>> {
        Ok(match &*kind {
            "p" => Self::Presence(PresenceRow::of_object(data)?),
            "pd" => {
                let members = Members::of(data, ["state", "dests"])?;
                Self::PresenceTo {
                    state: members.read_object(0, PresenceRow::of_object)?,
                    destinations: members.read(1)?,
                }
            }
            "k" => {
                let members = Members::of(data, ["key", "edu"])?;
                Self::KeyedEdu {
                    key: members.read(0)?,
                    edu: members.read_object(1, Edu::of_object)?,
                }
            }
            "e" => Self::Edu(Edu::of_object(data)?),
            "d" => {
                Self::DeviceMessages { destination: Members::of(data, ["destination"])?.read(0)? }
            }
            "f" => {
                let members = Members::of(data, ["destination", "failure"])?;
                Self::Failure {
                    destination: members.read(0)?,
                    failure: members.read_if_present(1)?,
                }
            }
            _ => Self::Unknown { kind, data },
        })
    }
}

impl<'a> FromFields<'a> for FederationRow<'a> {
    fn from_fields(fields: &Fields<'a>) -> Result<Self, Mismatch<'a>> {
        Self::of_data(fields.read(0)?, fields.read(1)?)
            .map_err(|mismatch| mismatch.within(Step::Index(1)))
    }
}

impl<'a> StreamRow<'a> for FederationRow<'a> {
    const STREAM: &'static str = "federation";
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::Row;

    const STATE: &str = r#"{"user_id":"@u:h","state":"offline","last_active_ts":1,
        "last_federation_update_ts":2,"last_user_sync_ts":3,"status_msg":null,
        "currently_active":0,"from_the_future":{"\ud83d":1}}"#;
    const EDU: &str =
        r#"{"edu_type":"m.receipt","content":{"a": [1]},"origin":"h","destination":"r"}"#;

    fn state() -> PresenceRow<'static> {
        PresenceRow {
            user_id: "@u:h".into(),
            state: "offline".into(),
            last_active_ts: 1,
            last_federation_update_ts: 2,
            last_user_sync_ts: 3,
            status_msg: None,
            currently_active: false,
        }
    }

    fn edu() -> Edu<'static> {
        Edu {
            edu_type: "m.receipt".into(),
            content: Json::new(r#"{"a": [1]}"#).unwrap(),
            origin: "h".into(),
            destination: "r".into(),
        }
    }

    #[track_caller]
    fn reads_as(text: &str, expected: &FederationRow<'_>) {
        assert_eq!(FederationRow::parse(&Row::from(text)).as_ref(), Ok(expected));
    }

    #[test]
    fn every_type_of_every_release_is_read() {
        reads_as(&format!(r#"["p",{STATE}]"#), &FederationRow::Presence(state()));
        reads_as(
            &format!(r#"["pd",{{"state":{STATE},"dests":["r","s"]}}]"#),
            &FederationRow::PresenceTo {
                state: state(),
                destinations: vec!["r".into(), "s".into()],
            },
        );
        reads_as(
            &format!(r#"["k",{{"key":["!r"],"edu":{EDU}}}]"#),
            &FederationRow::KeyedEdu { key: vec!["!r".into()], edu: edu() },
        );
        reads_as(&format!(r#"["e",{EDU}]"#), &FederationRow::Edu(edu()));
        reads_as(
            r#"["d",{"destination":"r"}]"#,
            &FederationRow::DeviceMessages { destination: "r".into() },
        );
        reads_as(
            r#"["f",{"destination":"r","failure":{"code":1}}]"#,
            &FederationRow::Failure {
                destination: "r".into(),
                failure: Some(Json::new(r#"{"code":1}"#).unwrap()),
            },
        );
    }

    #[test]
    fn unknown_types_are_kept_with_their_data() {
        let data = Json::new(r#"{"x": 1}"#).unwrap();
        reads_as(r#"["z",{"x": 1}]"#, &FederationRow::Unknown { kind: "z".into(), data });
    }

    #[test]
    fn errors_name_the_member() {
        for (text, expected) in [
            (r#"["e",[]]"#, "expected an object at [1], found array []"),
            (r#"["e",{"edu_type":5}]"#, "expected a string at [1].edu_type, found number 5"),
            (
                r#"["pd",{"state":{"user_id":"@u:h"},"dests":[]}]"#,
                "expected a string at [1].state.state, found nothing",
            ),
            (r#"["pd",{"dests":[]}]"#, "expected an object at [1].state, found nothing"),
            (r#"["d",{}]"#, "expected a string at [1].destination, found nothing"),
            (r#"["d"]"#, "expected a JSON value at [1], found nothing"),
        ] {
            let error = FederationRow::parse(&Row::from(text)).unwrap_err();
            assert_eq!(error.to_string(), format!("federation row: {expected}"));
        }
    }

    #[test]
    fn of_a_member_that_stands_there_twice_the_last_one_counts() {
        reads_as(
            r#"["d",{"destination":"q","destination":"r"}]"#,
            &FederationRow::DeviceMessages { destination: "r".into() },
        );
    }
}
