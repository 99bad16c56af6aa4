//! Rows about devices and their messages: `device_lists`, `user_signature`, `to_device`
//! (`protocol.md` 7.3).

use std::borrow::Cow;

use serde::{Serialize, Serializer};

use super::{
    StreamRow,
    error::Mismatch,
    fields::{Fields, FromFields},
};

/// A row of `device_lists`: the devices of a user changed, or a server has to be notified of it.
///
/// | releases | row |
/// |---|---|
/// | up to 1.12 | `[user_id, destination?]` |
/// | 1.13 to 1.75 | `[entity]` |
/// | 1.76 to 1.109 | `[entity, is_signature]` |
/// | 1.110 and later | `[user_id, is_signature, hosts_calculated]` |
///
/// Fields that a release does not send are `None`. The row serialises in the newest form, in which
/// `None` of the booleans is `false`, and an entity that is not a user is an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceListsRow<'a> {
    /// The user; from 1.13 to 1.109 a user or a server, see [`is_user`](Self::is_user).
    pub entity: Cow<'a, str>,
    /// The server to be notified, up to 1.12; `None` there if the row is for local followers.
    pub destination: Option<Cow<'a, str>>,
    /// Whether the user signed something, rather than changed a device. 1.76 and later.
    pub is_signature: Option<bool>,
    /// Whether the servers to be notified are already known. 1.110 and later.
    pub hosts_calculated: Option<bool>,
}

impl DeviceListsRow<'_> {
    /// Returns whether the entity is a user, not a server.
    pub fn is_user(&self) -> bool {
        self.entity.starts_with('@')
    }
}

impl<'a> FromFields<'a> for DeviceListsRow<'a> {
    fn from_fields(fields: &Fields<'a>) -> Result<Self, Mismatch<'a>> {
        let entity = fields.read(0)?;
        if fields.begins_with(1, b"\"n") {
            let destination = fields.read(1)?;
            return Ok(Self { entity, destination, is_signature: None, hosts_calculated: None });
        }
        Ok(Self {
            entity,
            destination: None,
            is_signature: fields.read_if_present(1)?,
            hosts_calculated: fields.read_if_present(2)?,
        })
    }
}

impl<'a> StreamRow<'a> for DeviceListsRow<'a> {
    const STREAM: &'static str = "device_lists";
}

impl Serialize for DeviceListsRow<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !self.is_user() {
            return Err(serde::ser::Error::custom(
                "a device_lists row must name a user, whose id begins with @",
            ));
        }
        (
            &self.entity,
            self.is_signature.unwrap_or_default(),
            self.hosts_calculated.unwrap_or_default(),
        )
            .serialize(serializer)
    }
}

/// A row of `user_signature` (1.6 to 1.75): `[user_id]`. From 1.76 on `device_lists` has such rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserSignatureRow<'a> {
    /// The user who signed.
    pub user_id: Cow<'a, str>,
}

impl<'a> FromFields<'a> for UserSignatureRow<'a> {
    fn from_fields(fields: &Fields<'a>) -> Result<Self, Mismatch<'a>> {
        Ok(Self { user_id: fields.read(0)? })
    }
}

impl<'a> StreamRow<'a> for UserSignatureRow<'a> {
    const STREAM: &'static str = "user_signature";
}

/// A row of `to_device`: `[entity]`, for which messages to devices wait. It is the same in every
/// release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToDeviceRow<'a> {
    /// The user or the server, see [`is_user`](Self::is_user).
    pub entity: Cow<'a, str>,
}

impl ToDeviceRow<'_> {
    /// Returns whether the entity is a user, not a server.
    pub fn is_user(&self) -> bool {
        self.entity.starts_with('@')
    }
}

impl<'a> FromFields<'a> for ToDeviceRow<'a> {
    fn from_fields(fields: &Fields<'a>) -> Result<Self, Mismatch<'a>> {
        Ok(Self { entity: fields.read(0)? })
    }
}

impl<'a> StreamRow<'a> for ToDeviceRow<'a> {
    const STREAM: &'static str = "to_device";
}

impl Serialize for ToDeviceRow<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (&self.entity,).serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{stream::Row, typed::to_row};

    const USER: DeviceListsRow<'_> = DeviceListsRow {
        entity: Cow::Borrowed("@u:h"),
        destination: None,
        is_signature: None,
        hosts_calculated: None,
    };

    #[track_caller]
    fn reads_as(text: &str, expected: &DeviceListsRow<'_>) {
        assert_eq!(DeviceListsRow::parse(&Row::from(text)).as_ref(), Ok(expected));
    }

    #[test]
    fn device_lists_of_every_era_are_told_apart() {
        reads_as(r#"["@u:h", null]"#, &USER);
        reads_as(
            r#"["@u:h", "remote"]"#,
            &DeviceListsRow { destination: Some("remote".into()), ..USER },
        );
        reads_as(r#"["@u:h"]"#, &USER);
        reads_as(r#"["remote"]"#, &DeviceListsRow { entity: "remote".into(), ..USER });
        for (text, is_signature) in [("true", true), ("false", false), ("1", true), ("0", false)] {
            let signed = DeviceListsRow { is_signature: Some(is_signature), ..USER };
            reads_as(&format!(r#"["@u:h",{text}]"#), &signed);
            let calculated = DeviceListsRow { hosts_calculated: Some(is_signature), ..signed };
            reads_as(&format!(r#"["@u:h",{text},{text}]"#), &calculated);
            reads_as(&format!(r#"["@u:h",{text},{text},"new"]"#), &calculated);
        }
    }

    #[test]
    fn users_and_servers_are_told_apart() {
        assert!(USER.is_user());
        assert!(!DeviceListsRow { entity: "remote".into(), ..USER }.is_user());
        assert!(ToDeviceRow { entity: "@u:h".into() }.is_user());
        assert!(!ToDeviceRow { entity: "remote".into() }.is_user());
    }

    #[test]
    fn device_lists_are_written_in_the_newest_form() {
        assert_eq!(to_row(&USER).unwrap().as_str(), r#"["@u:h",false,false]"#);
        for text in [r#"["@u:h",true,false]"#, r#"["@u:h",false,true]"#] {
            let row = Row::from(text);
            assert_eq!(to_row(&DeviceListsRow::parse(&row).unwrap()).unwrap(), row);
        }
    }

    #[test]
    fn a_server_is_not_written_to_device_lists() {
        let error = to_row(&DeviceListsRow { entity: "remote".into(), ..USER }).unwrap_err();
        assert!(error.to_string().contains("must name a user"), "{error}");
    }

    #[test]
    fn to_device_is_written_as_it_is_read() {
        let row = Row::from(r#"["@u:h"]"#);
        let parsed = ToDeviceRow::parse(&row).unwrap();
        assert_eq!(parsed, ToDeviceRow { entity: "@u:h".into() });
        assert_eq!(to_row(&parsed).unwrap(), row);
    }

    #[test]
    fn user_signatures_name_the_user() {
        let row = Row::from(r#"["@u:h"]"#);
        assert_eq!(
            UserSignatureRow::parse(&row).unwrap(),
            UserSignatureRow { user_id: "@u:h".into() }
        );
    }
}
