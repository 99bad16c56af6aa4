//! Rows of `receipts` (`protocol.md` 7.3).

use std::borrow::Cow;

use serde::{Serialize, Serializer};

use super::{
    StreamRow,
    error::Mismatch,
    fields::{Fields, FromFields},
    json::Content,
};

/// A row of `receipts`: `[room_id, receipt_type, user_id, event_id, thread_id?, data]`.
///
/// Up to 1.68 it has no `thread_id`, and 5 fields. Up to 0.99.2 `data` is JSON text in a string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiptsRow<'a> {
    /// The room.
    pub room_id: Cow<'a, str>,
    /// The type of the receipt: `m.read`, `m.read.private` and the like.
    pub receipt_type: Cow<'a, str>,
    /// The user who has read.
    pub user_id: Cow<'a, str>,
    /// The event up to which the user has read.
    pub event_id: Cow<'a, str>,
    /// The thread, `main` for events outside of threads; `None` if the receipt is for no thread in
    /// particular. 1.69 and later.
    pub thread_id: Option<Cow<'a, str>>,
    /// The content of the receipt, normally `{"ts": milliseconds since the Unix epoch}`.
    pub data: Content<'a>,
}

impl<'a> FromFields<'a> for ReceiptsRow<'a> {
    fn from_fields(fields: &Fields<'a>) -> Result<Self, Mismatch<'a>> {
        // An object in this place is the data, with an unknown element behind it.
        let has_thread_id = fields.len() > 5 && !fields.begins_with(4, b"{");
        Ok(Self {
            room_id: fields.read(0)?,
            receipt_type: fields.read(1)?,
            user_id: fields.read(2)?,
            event_id: fields.read(3)?,
            thread_id: if has_thread_id { fields.read(4)? } else { None },
            data: fields.read(if has_thread_id { 5 } else { 4 })?,
        })
    }
}

impl<'a> StreamRow<'a> for ReceiptsRow<'a> {
    const STREAM: &'static str = "receipts";
}

impl Serialize for ReceiptsRow<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (
            &self.room_id,
            &self.receipt_type,
            &self.user_id,
            &self.event_id,
            &self.thread_id,
            &self.data,
        )
            .serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        stream::Row,
        typed::{Json, to_row},
    };

    fn receipt() -> ReceiptsRow<'static> {
        ReceiptsRow {
            room_id: "!r".into(),
            receipt_type: "m.read".into(),
            user_id: "@u:h".into(),
            event_id: "$e".into(),
            thread_id: None,
            data: Content::Object(Json::new(r#"{"ts": 5}"#).unwrap()),
        }
    }

    #[test]
    fn data_up_to_0_99_2_is_text() {
        let row = Row::from(r#"["!r", "m.read", "@u:h", "$e", "{\"ts\": 5}"]"#);
        let parsed = ReceiptsRow::parse(&row).unwrap();
        assert_eq!(parsed, ReceiptsRow { data: Content::Text(r#"{"ts": 5}"#.into()), ..receipt() });
        assert_eq!(parsed.data.as_str(), receipt().data.as_str());
    }

    #[test]
    fn data_up_to_1_68_is_an_object_in_fifth_place() {
        let row = Row::from(r#"["!r", "m.read", "@u:h", "$e", {"ts": 5}]"#);
        assert_eq!(ReceiptsRow::parse(&row).unwrap(), receipt());
        let row = Row::from(r#"["!r", "m.read", "@u:h", "$e", {"ts": 5}, "of the future"]"#);
        assert_eq!(ReceiptsRow::parse(&row).unwrap(), receipt());
    }

    #[test]
    fn rows_since_1_69_have_the_thread_before_the_data() {
        let row = Row::from(r#"["!r","m.read","@u:h","$e",null,{"ts": 5}]"#);
        assert_eq!(ReceiptsRow::parse(&row).unwrap(), receipt());
        let row = Row::from(r#"["!r","m.read","@u:h","$e","main",{"ts": 5},[]]"#);
        let expected = ReceiptsRow { thread_id: Some("main".into()), ..receipt() };
        assert_eq!(ReceiptsRow::parse(&row).unwrap(), expected);
    }

    #[test]
    fn rows_without_data_are_errors() {
        let error = ReceiptsRow::parse(&Row::from(r#"["!r","m.read","@u:h","$e"]"#)).unwrap_err();
        assert_eq!(error.index(), Some(4));
        let error =
            ReceiptsRow::parse(&Row::from(r#"["!r","m.read","@u:h","$e",null]"#)).unwrap_err();
        assert_eq!(error.index(), Some(4));
        let error =
            ReceiptsRow::parse(&Row::from(r#"["!r","m.read","@u:h","$e",null,5]"#)).unwrap_err();
        assert_eq!(error.index(), Some(5));
    }

    #[test]
    fn every_era_is_written_in_the_newest_form() {
        let newest = Row::from(r#"["!r","m.read","@u:h","$e",null,{"ts": 5}]"#);
        for text in [
            newest.as_str(),
            r#"["!r", "m.read", "@u:h", "$e", {"ts": 5}]"#,
            r#"["!r", "m.read", "@u:h", "$e", "{\"ts\": 5}"]"#,
        ] {
            let row = Row::from(text);
            assert_eq!(to_row(&ReceiptsRow::parse(&row).unwrap()).unwrap(), newest);
        }
        assert_eq!(ReceiptsRow::parse(&to_row(&receipt()).unwrap()).unwrap(), receipt());
    }
}
