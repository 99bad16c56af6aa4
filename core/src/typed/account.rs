//! Rows about users: `account_data`, `tag_account_data`, `push_rules`, `pushers`,
//! `profile_updates`, `thread_subscriptions` (`protocol.md` 7.3; `profile_updates` as seen on
//! 1.163).

use std::borrow::Cow;

use serde::{Serialize, Serializer};

use super::{
    StreamRow,
    error::Mismatch,
    fields::{Fields, FromFields},
    json::Content,
};

/// A row of `account_data`: `[user_id, room_id?, data_type]`, up to 1.6 with the content behind.
///
/// From 1.76 on the stream has tags, too, with the type `m.tag`. The row serialises in the newest
/// form, without the content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountDataRow<'a> {
    /// The user whose data changed.
    pub user_id: Cow<'a, str>,
    /// The room of the data; `None` for global data.
    pub room_id: Option<Cow<'a, str>>,
    /// The type of the data, `m.direct` for example.
    pub data_type: Cow<'a, str>,
    /// The content, which releases up to 1.6 send, usually as text. A fourth element that is
    /// neither an object nor a string is ignored.
    pub content: Option<Content<'a>>,
}

impl<'a> FromFields<'a> for AccountDataRow<'a> {
    fn from_fields(fields: &Fields<'a>) -> Result<Self, Mismatch<'a>> {
        Ok(Self {
            user_id: fields.read(0)?,
            room_id: fields.read(1)?,
            data_type: fields.read(2)?,
            content: if fields.begins_with(3, b"{\"") { Some(fields.read(3)?) } else { None },
        })
    }
}

impl<'a> StreamRow<'a> for AccountDataRow<'a> {
    const STREAM: &'static str = "account_data";
}

impl Serialize for AccountDataRow<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (&self.user_id, &self.room_id, &self.data_type).serialize(serializer)
    }
}

/// A row of `tag_account_data` (up to 1.75): `[user_id, room_id, data]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagAccountDataRow<'a> {
    /// The user whose tags changed.
    pub user_id: Cow<'a, str>,
    /// The room that has the tags.
    pub room_id: Cow<'a, str>,
    /// All tags of the room, by name. They were only seen as JSON text in a string.
    pub tags: Content<'a>,
}

impl<'a> FromFields<'a> for TagAccountDataRow<'a> {
    fn from_fields(fields: &Fields<'a>) -> Result<Self, Mismatch<'a>> {
        Ok(Self { user_id: fields.read(0)?, room_id: fields.read(1)?, tags: fields.read(2)? })
    }
}

impl<'a> StreamRow<'a> for TagAccountDataRow<'a> {
    const STREAM: &'static str = "tag_account_data";
}

/// A row of `push_rules`: `[user_id]`, the same in every release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushRulesRow<'a> {
    /// The user whose rules changed.
    pub user_id: Cow<'a, str>,
}

impl<'a> FromFields<'a> for PushRulesRow<'a> {
    fn from_fields(fields: &Fields<'a>) -> Result<Self, Mismatch<'a>> {
        Ok(Self { user_id: fields.read(0)? })
    }
}

impl<'a> StreamRow<'a> for PushRulesRow<'a> {
    const STREAM: &'static str = "push_rules";
}

impl Serialize for PushRulesRow<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (&self.user_id,).serialize(serializer)
    }
}

/// A row of `pushers`: `[user_id, app_id, pushkey, deleted]`, the same in every release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushersRow<'a> {
    /// The pusher's user.
    pub user_id: Cow<'a, str>,
    /// The application that is pushed to.
    pub app_id: Cow<'a, str>,
    /// The push key: the installation of the application.
    pub pushkey: Cow<'a, str>,
    /// Whether the pusher is gone, rather than new or changed.
    pub deleted: bool,
}

impl<'a> FromFields<'a> for PushersRow<'a> {
    fn from_fields(fields: &Fields<'a>) -> Result<Self, Mismatch<'a>> {
        Ok(Self {
            user_id: fields.read(0)?,
            app_id: fields.read(1)?,
            pushkey: fields.read(2)?,
            deleted: fields.read(3)?,
        })
    }
}

impl<'a> StreamRow<'a> for PushersRow<'a> {
    const STREAM: &'static str = "pushers";
}

impl Serialize for PushersRow<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (&self.user_id, &self.app_id, &self.pushkey, self.deleted).serialize(serializer)
    }
}

/// A row of `profile_updates`: `[user_id, action, field_names?]`, as seen on 1.163.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileUpdatesRow<'a> {
    /// The user whose profile it is.
    pub user_id: Cow<'a, str>,
    /// The event that changed the profile: `update`, `joined_room` and `left_room` were seen.
    pub action: Cow<'a, str>,
    /// The names of the fields that changed, `displayname` for example; `None` unless the action is
    /// `update`.
    pub field_names: Option<Vec<Cow<'a, str>>>,
}

impl<'a> FromFields<'a> for ProfileUpdatesRow<'a> {
    fn from_fields(fields: &Fields<'a>) -> Result<Self, Mismatch<'a>> {
        Ok(Self { user_id: fields.read(0)?, action: fields.read(1)?, field_names: fields.read(2)? })
    }
}

impl<'a> StreamRow<'a> for ProfileUpdatesRow<'a> {
    const STREAM: &'static str = "profile_updates";
}

/// A row of `thread_subscriptions` (1.135 and later): `[user_id, room_id, event_id]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThreadSubscriptionsRow<'a> {
    /// The user who subscribed or unsubscribed.
    pub user_id: Cow<'a, str>,
    /// The room of the thread.
    pub room_id: Cow<'a, str>,
    /// The root of the thread.
    pub event_id: Cow<'a, str>,
}

impl<'a> FromFields<'a> for ThreadSubscriptionsRow<'a> {
    fn from_fields(fields: &Fields<'a>) -> Result<Self, Mismatch<'a>> {
        Ok(Self { user_id: fields.read(0)?, room_id: fields.read(1)?, event_id: fields.read(2)? })
    }
}

impl<'a> StreamRow<'a> for ThreadSubscriptionsRow<'a> {
    const STREAM: &'static str = "thread_subscriptions";
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        stream::Row,
        typed::{Json, to_row},
    };

    fn direct() -> AccountDataRow<'static> {
        AccountDataRow {
            user_id: "@u:h".into(),
            room_id: None,
            data_type: "m.direct".into(),
            content: None,
        }
    }

    #[test]
    fn account_data_up_to_1_6_has_the_content() {
        let row = Row::from(r#"["@u:h", null, "m.direct", "{\"v\": 1}"]"#);
        let text = AccountDataRow { content: Some(Content::Text("{\"v\": 1}".into())), ..direct() };
        assert_eq!(AccountDataRow::parse(&row).unwrap(), text);
        let row = Row::from(r#"["@u:h", null, "m.direct", {"v": 1}]"#);
        let json = Json::new(r#"{"v": 1}"#).unwrap();
        let object = AccountDataRow { content: Some(Content::Object(json)), ..direct() };
        assert_eq!(AccountDataRow::parse(&row).unwrap(), object);
    }

    #[test]
    fn account_data_since_1_7_has_three_fields() {
        let row = Row::from(r#"["@u:h",null,"m.direct"]"#);
        assert_eq!(AccountDataRow::parse(&row).unwrap(), direct());
        let row = Row::from(r#"["@u:h","!r","m.direct",null]"#);
        let in_room = AccountDataRow { room_id: Some("!r".into()), ..direct() };
        assert_eq!(AccountDataRow::parse(&row).unwrap(), in_room);
    }

    #[test]
    fn account_data_is_written_in_the_newest_form() {
        let with_content = AccountDataRow { content: Some(Content::Text("{}".into())), ..direct() };
        assert_eq!(to_row(&with_content).unwrap().as_str(), r#"["@u:h",null,"m.direct"]"#);
        let row = Row::from(r#"["@u:h","!r","m.tag"]"#);
        assert_eq!(to_row(&AccountDataRow::parse(&row).unwrap()).unwrap(), row);
    }

    #[test]
    fn tags_are_read_from_text_and_from_an_object() {
        let row = Row::from(r#"["@u:h","!r","{\"m.favourite\":{}}"]"#);
        let parsed = TagAccountDataRow::parse(&row).unwrap();
        assert_eq!(parsed.tags, Content::Text(r#"{"m.favourite":{}}"#.into()));
        assert_eq!((&*parsed.user_id, &*parsed.room_id), ("@u:h", "!r"));
        let row = Row::from(r#"["@u:h","!r",{"m.favourite":{}}]"#);
        assert_eq!(TagAccountDataRow::parse(&row).unwrap().tags.as_str(), r#"{"m.favourite":{}}"#);
        let error = TagAccountDataRow::parse(&Row::from(r#"["@u:h","!r",[]]"#)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "tag_account_data row: expected an object, or JSON text in a string at [2], \
             found array []"
        );
    }

    #[test]
    fn push_rules_are_written_as_they_are_read() {
        let row = Row::from(r#"["@u:h"]"#);
        let parsed = PushRulesRow::parse(&row).unwrap();
        assert_eq!(parsed, PushRulesRow { user_id: "@u:h".into() });
        assert_eq!(to_row(&parsed).unwrap(), row);
    }

    #[test]
    fn pushers_are_written_as_they_are_read() {
        for deleted in [true, false] {
            let row = Row::from(format!(r#"["@u:h","org.lab","k 0",{deleted}]"#).as_str());
            let expected = PushersRow {
                user_id: "@u:h".into(),
                app_id: "org.lab".into(),
                pushkey: "k 0".into(),
                deleted,
            };
            let parsed = PushersRow::parse(&row).unwrap();
            assert_eq!(parsed, expected);
            assert_eq!(to_row(&parsed).unwrap(), row);
        }
        let row = Row::from(r#"["@u:h","org.lab","k0",1]"#);
        assert!(PushersRow::parse(&row).unwrap().deleted);
    }

    #[test]
    fn profile_updates_name_the_fields_or_none() {
        let row = Row::from(r#"["@u:h","update",["displayname","avatar_url"]]"#);
        let expected = ProfileUpdatesRow {
            user_id: "@u:h".into(),
            action: "update".into(),
            field_names: Some(vec!["displayname".into(), "avatar_url".into()]),
        };
        assert_eq!(ProfileUpdatesRow::parse(&row).unwrap(), expected);
        let row = Row::from(r#"["@u:h","left_room",null]"#);
        let expected =
            ProfileUpdatesRow { action: "left_room".into(), field_names: None, ..expected };
        assert_eq!(ProfileUpdatesRow::parse(&row).unwrap(), expected);
    }

    #[test]
    fn thread_subscriptions_name_the_root() {
        let row = Row::from(r#"["@u:h","!r","$root"]"#);
        let expected = ThreadSubscriptionsRow {
            user_id: "@u:h".into(),
            room_id: "!r".into(),
            event_id: "$root".into(),
        };
        assert_eq!(ThreadSubscriptionsRow::parse(&row).unwrap(), expected);
    }
}
