//! Rows of `presence`, `presence_federation` and `typing` (`protocol.md` 7.3).

use std::borrow::Cow;

use serde::{Serialize, Serializer};

use super::{
    StreamRow,
    error::Mismatch,
    fields::{Fields, FromFields, Members},
    json::Json,
};

/// A row of `presence`: `[user_id, state, last_active_ts, last_federation_update_ts,
/// last_user_sync_ts, status_msg?, currently_active]`.
///
/// It is the same in every release, and stands as an object inside `federation` rows as well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresenceRow<'a> {
    /// The Matrix user id.
    pub user_id: Cow<'a, str>,
    /// The presence: `online`, `unavailable`, `offline` and the like; others may come.
    pub state: Cow<'a, str>,
    /// The time at which the user was last active, in milliseconds since the Unix epoch; 0 if
    /// never.
    pub last_active_ts: i64,
    /// The time at which remote servers were last notified, in milliseconds since the Unix epoch; 0
    /// if never.
    pub last_federation_update_ts: i64,
    /// The time at which the user last synced, in milliseconds since the Unix epoch; 0 if never.
    pub last_user_sync_ts: i64,
    /// The status message of the user.
    pub status_msg: Option<Cow<'a, str>>,
    /// Whether the user is active now.
    pub currently_active: bool,
}

impl<'a> PresenceRow<'a> {
    /// Reads a row in the form of an object, which `federation` rows have.
    pub(super) fn of_object(value: Json<'a>) -> Result<Self, Mismatch<'a>> {
        let members = Members::of(
            value,
            [
                "user_id",
                "state",
                "last_active_ts",
                "last_federation_update_ts",
                "last_user_sync_ts",
                "status_msg",
                "currently_active",
            ],
        )?;
        Ok(Self {
            user_id: members.read(0)?,
            state: members.read(1)?,
            last_active_ts: members.read(2)?,
            last_federation_update_ts: members.read(3)?,
            last_user_sync_ts: members.read(4)?,
            status_msg: members.read_if_present(5)?.flatten(),
            currently_active: members.read(6)?,
        })
    }
}

impl<'a> FromFields<'a> for PresenceRow<'a> {
    fn from_fields(fields: &Fields<'a>) -> Result<Self, Mismatch<'a>> {
        Ok(Self {
            user_id: fields.read(0)?,
            state: fields.read(1)?,
            last_active_ts: fields.read(2)?,
            last_federation_update_ts: fields.read(3)?,
            last_user_sync_ts: fields.read(4)?,
            status_msg: fields.read(5)?,
            currently_active: fields.read(6)?,
        })
    }
}

impl<'a> StreamRow<'a> for PresenceRow<'a> {
    const STREAM: &'static str = "presence";
}

impl Serialize for PresenceRow<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (
            &self.user_id,
            &self.state,
            self.last_active_ts,
            self.last_federation_update_ts,
            self.last_user_sync_ts,
            &self.status_msg,
            self.currently_active,
        )
            .serialize(serializer)
    }
}

/// A row of `presence_federation` (1.33 and later): `[destination, user_id]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresenceFederationRow<'a> {
    /// The server that is to be notified.
    pub destination: Cow<'a, str>,
    /// The user whose presence is to be sent to the server.
    pub user_id: Cow<'a, str>,
}

impl<'a> FromFields<'a> for PresenceFederationRow<'a> {
    fn from_fields(fields: &Fields<'a>) -> Result<Self, Mismatch<'a>> {
        Ok(Self { destination: fields.read(0)?, user_id: fields.read(1)? })
    }
}

impl<'a> StreamRow<'a> for PresenceFederationRow<'a> {
    const STREAM: &'static str = "presence_federation";
}

/// A row of `typing`: `[room_id, user_ids]`. It is the same in every release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypingRow<'a> {
    /// The room.
    pub room_id: Cow<'a, str>,
    /// All users who type in the room now; the list replaces the one before.
    pub user_ids: Vec<Cow<'a, str>>,
}

impl<'a> FromFields<'a> for TypingRow<'a> {
    fn from_fields(fields: &Fields<'a>) -> Result<Self, Mismatch<'a>> {
        Ok(Self { room_id: fields.read(0)?, user_ids: fields.read(1)? })
    }
}

impl<'a> StreamRow<'a> for TypingRow<'a> {
    const STREAM: &'static str = "typing";
}

impl Serialize for TypingRow<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (&self.room_id, &self.user_ids).serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{stream::Row, typed::to_row};

    fn busy() -> PresenceRow<'static> {
        PresenceRow {
            user_id: "@u:h".into(),
            state: "unavailable".into(),
            last_active_ts: 1,
            last_federation_update_ts: 1_795_298_203_246,
            last_user_sync_ts: 0,
            status_msg: Some("busy \"now\"".into()),
            currently_active: false,
        }
    }

    #[test]
    fn presence_is_read_with_both_kinds_of_booleans() {
        for active in ["false", "0"] {
            let text = format!(
                r#"["@u:h", "unavailable", 1, 1795298203246, 0, "busy \"now\"", {active}]"#
            );
            assert_eq!(PresenceRow::parse(&Row::from(text.as_str())).unwrap(), busy());
        }
    }

    #[test]
    fn presence_is_written_as_it_is_read() {
        let text = r#"["@u:h","unavailable",1,1795298203246,0,"busy \"now\"",false]"#;
        assert_eq!(to_row(&busy()).unwrap(), Row::from(text));
        let silent = PresenceRow { status_msg: None, currently_active: true, ..busy() };
        let row = to_row(&silent).unwrap();
        assert_eq!(row.as_str(), r#"["@u:h","unavailable",1,1795298203246,0,null,true]"#);
        assert_eq!(PresenceRow::parse(&row).unwrap(), silent);
    }

    #[test]
    fn an_object_may_leave_the_status_out() {
        let text = r#"{"user_id":"@u:h","state":"unavailable","last_active_ts":1,
            "last_federation_update_ts":1795298203246,"last_user_sync_ts":0,
            "currently_active":false}"#;
        let read = PresenceRow::of_object(Json::new(text).unwrap()).unwrap();
        assert_eq!(read, PresenceRow { status_msg: None, ..busy() });
    }

    #[test]
    fn times_beyond_64_bits_and_fractions_are_errors() {
        for time in ["9223372036854775808", "1.5", "\"1\"", "null"] {
            let row = Row::from(format!(r#"["@u:h","online",{time},0,0,null,true]"#).as_str());
            let error = PresenceRow::parse(&row).unwrap_err();
            assert_eq!(error.index(), Some(2), "{time}");
            assert_eq!(error.expected(), "an integer of 64 bits");
        }
        let row = Row::from(r#"["@u:h","online",-9223372036854775808,0,0,null,true]"#);
        assert_eq!(PresenceRow::parse(&row).unwrap().last_active_ts, i64::MIN);
    }

    #[test]
    fn presence_federation_has_the_destination_first() {
        let row = Row::from(r#"["remote:8448","@u:h"]"#);
        let expected =
            PresenceFederationRow { destination: "remote:8448".into(), user_id: "@u:h".into() };
        assert_eq!(PresenceFederationRow::parse(&row).unwrap(), expected);
    }

    #[test]
    fn typing_is_written_as_it_is_read() {
        for (text, count) in [(r#"["!r",[]]"#, 0), (r#"["!r",["@a:h","@b:h"]]"#, 2)] {
            let row = Row::from(text);
            let typing = TypingRow::parse(&row).unwrap();
            assert_eq!(typing.user_ids.len(), count);
            assert_eq!(to_row(&typing).unwrap(), row);
        }
    }

    #[test]
    fn a_user_id_that_is_no_string_is_found_by_its_place() {
        let error = TypingRow::parse(&Row::from(r#"["!r",["@a:h",null]]"#)).unwrap_err();
        assert_eq!(error.to_string(), "typing row: expected a string at [1][1], found null null");
    }
}
