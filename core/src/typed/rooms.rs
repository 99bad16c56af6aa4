//! Rows about rooms, groups and media: `public_rooms`, `groups`, `un_partial_stated_room`,
//! `quarantined_media` (`protocol.md` 7.3).

use std::borrow::Cow;

use super::{
    StreamRow,
    error::Mismatch,
    fields::{Fields, FromFields},
    json::Content,
};

/// A row of `public_rooms` (up to 1.40): `[room_id, visibility, appservice_id?, network_id?]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicRoomsRow<'a> {
    /// The room.
    pub room_id: Cow<'a, str>,
    /// The visibility of the room now: `public` or `private`.
    pub visibility: Cow<'a, str>,
    /// The application service whose list it is; `None` for the server's own.
    pub appservice_id: Option<Cow<'a, str>>,
    /// The network inside that application service.
    pub network_id: Option<Cow<'a, str>>,
}

impl<'a> FromFields<'a> for PublicRoomsRow<'a> {
    fn from_fields(fields: &Fields<'a>) -> Result<Self, Mismatch<'a>> {
        Ok(Self {
            room_id: fields.read(0)?,
            visibility: fields.read(1)?,
            appservice_id: fields.read(2)?,
            network_id: fields.read(3)?,
        })
    }
}

impl<'a> StreamRow<'a> for PublicRoomsRow<'a> {
    const STREAM: &'static str = "public_rooms";
}

/// A row of `groups` (0.24 to 1.60): `[group_id, user_id, type, content]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupsRow<'a> {
    /// The group.
    pub group_id: Cow<'a, str>,
    /// The user whose part in the group changed.
    pub user_id: Cow<'a, str>,
    /// The type of the change, `membership` for example.
    pub update_type: Cow<'a, str>,
    /// The content of the change.
    pub content: Content<'a>,
}

impl<'a> FromFields<'a> for GroupsRow<'a> {
    fn from_fields(fields: &Fields<'a>) -> Result<Self, Mismatch<'a>> {
        Ok(Self {
            group_id: fields.read(0)?,
            user_id: fields.read(1)?,
            update_type: fields.read(2)?,
            content: fields.read(3)?,
        })
    }
}

impl<'a> StreamRow<'a> for GroupsRow<'a> {
    const STREAM: &'static str = "groups";
}

/// A row of `un_partial_stated_room` (1.74 and later), a room whose state became known in full:
/// `[room_id]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnPartialStatedRoomRow<'a> {
    /// The room.
    pub room_id: Cow<'a, str>,
}

impl<'a> FromFields<'a> for UnPartialStatedRoomRow<'a> {
    fn from_fields(fields: &Fields<'a>) -> Result<Self, Mismatch<'a>> {
        Ok(Self { room_id: fields.read(0)? })
    }
}

impl<'a> StreamRow<'a> for UnPartialStatedRoomRow<'a> {
    const STREAM: &'static str = "un_partial_stated_room";
}

/// A row of `quarantined_media` (1.152 and later): `[origin?, media_id, quarantined]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuarantinedMediaRow<'a> {
    /// The server that the media comes from; `None` for the server's own, as seen on 1.163.
    pub origin: Option<Cow<'a, str>>,
    /// The id of the media on that server.
    pub media_id: Cow<'a, str>,
    /// Whether the media is in quarantine now.
    pub quarantined: bool,
}

impl<'a> FromFields<'a> for QuarantinedMediaRow<'a> {
    fn from_fields(fields: &Fields<'a>) -> Result<Self, Mismatch<'a>> {
        Ok(Self {
            origin: fields.read(0)?,
            media_id: fields.read(1)?,
            quarantined: fields.read(2)?,
        })
    }
}

impl<'a> StreamRow<'a> for QuarantinedMediaRow<'a> {
    const STREAM: &'static str = "quarantined_media";
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{stream::Row, typed::Json};

    #[test]
    fn public_rooms_are_of_the_server_or_of_an_application_service() {
        let row = Row::from(r#"["!r", "public", null, null]"#);
        let expected = PublicRoomsRow {
            room_id: "!r".into(),
            visibility: "public".into(),
            appservice_id: None,
            network_id: None,
        };
        assert_eq!(PublicRoomsRow::parse(&row).unwrap(), expected);
        let row = Row::from(r#"["!r", "private", "irc", "net"]"#);
        let expected = PublicRoomsRow {
            visibility: "private".into(),
            appservice_id: Some("irc".into()),
            network_id: Some("net".into()),
            ..expected
        };
        assert_eq!(PublicRoomsRow::parse(&row).unwrap(), expected);
    }

    #[test]
    fn groups_have_content_that_is_not_interpreted() {
        let row = Row::from(r#"["+g:h", "@u:h", "membership", {"membership": "join"}]"#);
        let expected = GroupsRow {
            group_id: "+g:h".into(),
            user_id: "@u:h".into(),
            update_type: "membership".into(),
            content: Content::Object(Json::new(r#"{"membership": "join"}"#).unwrap()),
        };
        assert_eq!(GroupsRow::parse(&row).unwrap(), expected);
    }

    #[test]
    fn un_partial_stated_rooms_are_named() {
        let row = Row::from(r#"["!r"]"#);
        let expected = UnPartialStatedRoomRow { room_id: "!r".into() };
        assert_eq!(UnPartialStatedRoomRow::parse(&row).unwrap(), expected);
    }

    #[test]
    fn quarantined_media_is_local_or_remote() {
        let row = Row::from(r#"[null,"abc",true]"#);
        let expected =
            QuarantinedMediaRow { origin: None, media_id: "abc".into(), quarantined: true };
        assert_eq!(QuarantinedMediaRow::parse(&row).unwrap(), expected);
        let row = Row::from(r#"["remote","abc",0]"#);
        let expected =
            QuarantinedMediaRow { origin: Some("remote".into()), quarantined: false, ..expected };
        assert_eq!(QuarantinedMediaRow::parse(&row).unwrap(), expected);
    }
}
