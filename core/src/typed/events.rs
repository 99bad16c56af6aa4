//! Rows about events: `events`, `backfill`, `current_state_deltas`, `sticky_events`,
//! `un_partial_stated_event` (`protocol.md` 7.3).

use std::borrow::Cow;

use super::{
    StreamRow,
    error::{Mismatch, Step},
    fields::{Fields, FromFields},
    json::Json,
};

/// A row of `events`.
///
/// From 0.99.4 on it is `[kind, data]`; before, it has the flat fields of [`PersistedEvent`], and
/// state changes are rows of `current_state_deltas`. Rows of one token belong together: an event
/// and the state changes that it causes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventsRow<'a> {
    /// `ev`, and every row up to 0.99.3: an event was persisted, or stopped being an outlier.
    Event(PersistedEvent<'a>),
    /// `state`, 0.99.4 and later: the current state of a room changed at one place.
    State(StateChange<'a>),
    /// `state-all`, 1.96 and later: the current state of a room changed at 150 places or more.
    StateAll {
        /// The room; its `state` rows are not sent.
        room_id: Cow<'a, str>,
    },
    /// A kind that no release up to 1.163 has.
    Unknown {
        /// The kind, verbatim.
        kind: Cow<'a, str>,
        /// The data of the row, not interpreted.
        data: Json<'a>,
    },
}

impl<'a> FromFields<'a> for EventsRow<'a> {
    fn from_fields(fields: &Fields<'a>) -> Result<Self, Mismatch<'a>> {
        let kind: Cow<'a, str> = fields.read(0)?;
        let in_data = |mismatch: Mismatch<'a>| mismatch.within(Step::Index(1));
        match &*kind {
            "ev" => PersistedEvent::from_fields(&fields.read(1)?).map(Self::Event).map_err(in_data),
            "state" => StateChange::from_fields(&fields.read(1)?).map(Self::State).map_err(in_data),
            "state-all" => {
                let data: Fields<'a> = fields.read(1)?;
                Ok(Self::StateAll { room_id: data.read(0).map_err(in_data)? })
            }
            // The second element of a flat row is the room id.
            _ if fields.len() > 2 && fields.begins_with(1, b"\"") => {
                PersistedEvent::from_fields(fields).map(Self::Event)
            }
            _ => Ok(Self::Unknown { data: fields.read(1)?, kind }),
        }
    }
}

impl<'a> StreamRow<'a> for EventsRow<'a> {
    const STREAM: &'static str = "events";
}

/// An event in `events`: `[event_id, room_id, type, state_key?, redacts?, relates_to?,
/// membership?, rejected, outlier]`.
///
/// It has 5 fields up to 0.99.4, 6 up to 1.22, 8 up to 1.63, 9 since. Fields that a release does
/// not send are `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersistedEvent<'a> {
    /// The id of the event.
    pub event_id: Cow<'a, str>,
    /// The room of the event.
    pub room_id: Cow<'a, str>,
    /// The type of the event, `m.room.message` for example.
    pub event_type: Cow<'a, str>,
    /// The state key; `None` if it is not a state event.
    pub state_key: Option<Cow<'a, str>>,
    /// The event that this one redacts.
    pub redacts: Option<Cow<'a, str>>,
    /// The event that this one relates to. 0.99.5 and later.
    pub relates_to: Option<Cow<'a, str>>,
    /// The membership; `None` if it is not a membership event. 1.23 and later.
    pub membership: Option<Cow<'a, str>>,
    /// Whether the event was rejected. `None` before 1.23.
    pub rejected: Option<bool>,
    /// Whether the event is an outlier. `None` before 1.64.
    pub outlier: Option<bool>,
}

impl<'a> FromFields<'a> for PersistedEvent<'a> {
    fn from_fields(fields: &Fields<'a>) -> Result<Self, Mismatch<'a>> {
        Ok(Self {
            event_id: fields.read(0)?,
            room_id: fields.read(1)?,
            event_type: fields.read(2)?,
            state_key: fields.read(3)?,
            redacts: fields.read(4)?,
            relates_to: fields.read_if_present(5)?.flatten(),
            membership: fields.read_if_present(6)?.flatten(),
            rejected: fields.read_if_present(7)?,
            outlier: fields.read_if_present(8)?,
        })
    }
}

/// A change of a room's current state: `[room_id, type, state_key, event_id?]`.
///
/// It is the data of `state` rows in `events`, and the row of `current_state_deltas` (0.22 to
/// 0.99.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateChange<'a> {
    /// The room.
    pub room_id: Cow<'a, str>,
    /// The event type of the entry that changed.
    pub event_type: Cow<'a, str>,
    /// The state key of the entry that changed.
    pub state_key: Cow<'a, str>,
    /// The event that is the entry now; `None` if the entry was removed.
    pub event_id: Option<Cow<'a, str>>,
}

impl<'a> FromFields<'a> for StateChange<'a> {
    fn from_fields(fields: &Fields<'a>) -> Result<Self, Mismatch<'a>> {
        Ok(Self {
            room_id: fields.read(0)?,
            event_type: fields.read(1)?,
            state_key: fields.read(2)?,
            event_id: fields.read(3)?,
        })
    }
}

impl<'a> StreamRow<'a> for StateChange<'a> {
    const STREAM: &'static str = "current_state_deltas";
}

/// A row of `backfill`, an event from before those that were known: `[event_id, room_id, type,
/// state_key?, redacts?, relates_to?]`.
///
/// It has 5 fields up to 0.99.4, 6 since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackfillRow<'a> {
    /// The id of the event.
    pub event_id: Cow<'a, str>,
    /// The room of the event.
    pub room_id: Cow<'a, str>,
    /// The type of the event.
    pub event_type: Cow<'a, str>,
    /// The state key; `None` if it is not a state event.
    pub state_key: Option<Cow<'a, str>>,
    /// The event that this one redacts.
    pub redacts: Option<Cow<'a, str>>,
    /// The event that this one relates to. 0.99.5 and later.
    pub relates_to: Option<Cow<'a, str>>,
}

impl<'a> FromFields<'a> for BackfillRow<'a> {
    fn from_fields(fields: &Fields<'a>) -> Result<Self, Mismatch<'a>> {
        Ok(Self {
            event_id: fields.read(0)?,
            room_id: fields.read(1)?,
            event_type: fields.read(2)?,
            state_key: fields.read(3)?,
            redacts: fields.read(4)?,
            relates_to: fields.read_if_present(5)?.flatten(),
        })
    }
}

impl<'a> StreamRow<'a> for BackfillRow<'a> {
    const STREAM: &'static str = "backfill";
}

/// A row of `sticky_events` (1.148 and later): `[room_id, event_id]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StickyEventsRow<'a> {
    /// The room.
    pub room_id: Cow<'a, str>,
    /// The sticky event in the room.
    pub event_id: Cow<'a, str>,
}

impl<'a> FromFields<'a> for StickyEventsRow<'a> {
    fn from_fields(fields: &Fields<'a>) -> Result<Self, Mismatch<'a>> {
        Ok(Self { room_id: fields.read(0)?, event_id: fields.read(1)? })
    }
}

impl<'a> StreamRow<'a> for StickyEventsRow<'a> {
    const STREAM: &'static str = "sticky_events";
}

/// A row of `un_partial_stated_event` (1.75 and later), an event whose room state became known
/// in full: `[event_id, rejection_status_changed]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnPartialStatedEventRow<'a> {
    /// The event.
    pub event_id: Cow<'a, str>,
    /// Whether the event is rejected now and was not before, or the other way round.
    pub rejection_status_changed: bool,
}

impl<'a> FromFields<'a> for UnPartialStatedEventRow<'a> {
    fn from_fields(fields: &Fields<'a>) -> Result<Self, Mismatch<'a>> {
        Ok(Self { event_id: fields.read(0)?, rejection_status_changed: fields.read(1)? })
    }
}

impl<'a> StreamRow<'a> for UnPartialStatedEventRow<'a> {
    const STREAM: &'static str = "un_partial_stated_event";
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::Row;

    fn events(row: &Row) -> EventsRow<'_> {
        EventsRow::parse(row).unwrap()
    }

    fn message() -> PersistedEvent<'static> {
        PersistedEvent {
            event_id: "$e".into(),
            room_id: "!r".into(),
            event_type: "m.room.member".into(),
            state_key: Some("@u:h".into()),
            redacts: None,
            relates_to: None,
            membership: None,
            rejected: None,
            outlier: None,
        }
    }

    #[test]
    fn flat_rows_up_to_0_99_3_are_events() {
        let row = Row::from(r#"["$e", "!r", "m.room.member", "@u:h", null]"#);
        assert_eq!(events(&row), EventsRow::Event(message()));
    }

    #[test]
    fn ev_rows_of_every_length_are_events() {
        let five = Row::from(r#"["ev", ["$e", "!r", "m.room.member", "@u:h", null]]"#);
        assert_eq!(events(&five), EventsRow::Event(message()));

        let six = Row::from(r#"["ev", ["$e", "!r", "m.room.member", "@u:h", "$x", "$y"]]"#);
        let expected = PersistedEvent {
            redacts: Some("$x".into()),
            relates_to: Some("$y".into()),
            ..message()
        };
        assert_eq!(events(&six), EventsRow::Event(expected));

        let eight =
            Row::from(r#"["ev",["$e","!r","m.room.member","@u:h",null,null,"join",false]]"#);
        let expected =
            PersistedEvent { membership: Some("join".into()), rejected: Some(false), ..message() };
        assert_eq!(events(&eight), EventsRow::Event(expected.clone()));

        let nine = Row::from(r#"["ev",["$e","!r","m.room.member","@u:h",null,null,"join",0,1]]"#);
        assert_eq!(
            events(&nine),
            EventsRow::Event(PersistedEvent { outlier: Some(true), ..expected })
        );
    }

    #[test]
    fn fields_of_the_future_are_ignored() {
        let row = Row::from(
            r#"["ev",["$e","!r","m.room.member","@u:h",null,null,null,false,false,{"x":[]}],7]"#,
        );
        let expected = PersistedEvent { rejected: Some(false), outlier: Some(false), ..message() };
        assert_eq!(events(&row), EventsRow::Event(expected));
    }

    #[test]
    fn state_rows_name_the_event_or_say_that_there_is_none() {
        let change = |event_id| StateChange {
            room_id: "!r".into(),
            event_type: "m.room.topic".into(),
            state_key: "".into(),
            event_id,
        };
        let set = Row::from(r#"["state",["!r","m.room.topic","","$e"]]"#);
        assert_eq!(events(&set), EventsRow::State(change(Some("$e".into()))));
        let removed = Row::from(r#"["state",["!r","m.room.topic","",null]]"#);
        assert_eq!(events(&removed), EventsRow::State(change(None)));
        let delta = Row::from(r#"["!r","m.room.topic","","$e"]"#);
        assert_eq!(StateChange::parse(&delta).unwrap(), change(Some("$e".into())));
    }

    #[test]
    fn state_all_rows_name_the_room() {
        let row = Row::from(r#"["state-all",["!r"]]"#);
        assert_eq!(events(&row), EventsRow::StateAll { room_id: "!r".into() });
    }

    #[test]
    fn unknown_kinds_are_kept_with_their_data() {
        for data in [r#"["x", 1]"#, r#"{"x": 1}"#, "null", "\"x\""] {
            let row = Row::from(format!(r#"["new", {data}]"#).as_str());
            let data = Json::new(data).unwrap();
            assert_eq!(events(&row), EventsRow::Unknown { kind: "new".into(), data });
        }
    }

    #[test]
    fn errors_name_the_element_inside_the_data() {
        let row = Row::from(r#"["ev",["$e","!r",5,null,null]]"#);
        let error = EventsRow::parse(&row).unwrap_err();
        assert_eq!(error.to_string(), "events row: expected a string at [1][2], found number 5");
        let row = Row::from(r#"["state",["!r","t","k"]]"#);
        let error = EventsRow::parse(&row).unwrap_err();
        assert_eq!(
            error.to_string(),
            "events row: expected a string or null at [1][3], found nothing"
        );
        let row = Row::from(r#"["state-all","!r"]"#);
        let error = EventsRow::parse(&row).unwrap_err();
        assert_eq!(error.to_string(), "events row: expected an array at [1], found string \"!r\"");
    }

    #[test]
    fn backfill_rows_have_five_or_six_fields() {
        let five = Row::from(r#"["$e", "!r", "m.room.message", null, "$x"]"#);
        let expected = BackfillRow {
            event_id: "$e".into(),
            room_id: "!r".into(),
            event_type: "m.room.message".into(),
            state_key: None,
            redacts: Some("$x".into()),
            relates_to: None,
        };
        assert_eq!(BackfillRow::parse(&five).unwrap(), expected);
        let six = Row::from(r#"["$e","!r","m.room.message",null,"$x","$y"]"#);
        let expected = BackfillRow { relates_to: Some("$y".into()), ..expected };
        assert_eq!(BackfillRow::parse(&six).unwrap(), expected);
    }

    #[test]
    fn sticky_and_un_partial_stated_events_are_read() {
        let row = Row::from(r#"["!r","$e"]"#);
        let expected = StickyEventsRow { room_id: "!r".into(), event_id: "$e".into() };
        assert_eq!(StickyEventsRow::parse(&row).unwrap(), expected);
        for (text, changed) in [("false", false), ("0", false), ("true", true), ("1", true)] {
            let row = Row::from(format!(r#"["$e",{text}]"#).as_str());
            let expected = UnPartialStatedEventRow {
                event_id: "$e".into(),
                rejection_status_changed: changed,
            };
            assert_eq!(UnPartialStatedEventRow::parse(&row).unwrap(), expected);
        }
    }
}
