//! Rows of `caches`: the cached results that are stale (`protocol.md` 7.3, 7.4).

use std::{borrow::Cow, fmt};

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::{
    StreamRow,
    error::{Mismatch, RowError, Step},
    fields::{Fields, FromFields, FromValue},
    json::Json,
    text,
};
use crate::secret::{REDACTED, takes_tokens};

/// A row of `caches`: `[cache_func, keys?, invalidation_ts]`.
///
/// [`CachesRow::invalidation`] returns its meaning. The keys of some functions are access tokens
/// (`get_user_by_access_token`), so `Debug` leaves out the keys of every function whose name
/// contains `token`. Whoever shows rows must do the same
/// ([`veiled_keys`](crate::secret::veiled_keys)).
#[derive(Clone, PartialEq, Eq)]
pub struct CachesRow<'a> {
    /// The name of the cached function, or one of the names that stand for many caches.
    pub function: Cow<'a, str>,
    /// The key of the stale entry; `None` (1.9 and later) if the whole cache is stale.
    pub keys: Option<Vec<CacheKey<'a>>>,
    /// The time at which the row was written, in milliseconds since the Unix epoch.
    pub invalidation_ts: i64,
}

/// One part of a cache key. `Debug` leaves it out, because a part alone does not show whether its
/// function takes access tokens. The `Debug` of [`CachesRow`] and [`CacheInvalidation`] shows it if
/// the function does not.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CacheKey<'a> {
    /// A string, as nearly always: the keys go through a text column.
    Text(Cow<'a, str>),
    /// Any other JSON value.
    Json(Json<'a>),
}

/// The meaning of a row of `caches`. It borrows from the row.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CacheInvalidation<'r> {
    /// `cs_cache_fake`, 0.99.2 and later: the current state of a room changed.
    CurrentState {
        /// The room.
        room_id: &'r str,
        /// The users whose membership changed: 0 to 50. More come in further rows.
        changed_users: &'r [CacheKey<'r>],
    },
    /// `ph_cache_fake`, 1.86 and later: history of a room was purged.
    HistoryPurged {
        /// The room.
        room_id: &'r str,
    },
    /// `dr_cache_fake`, 1.86 and later: a room was deleted.
    RoomDeleted {
        /// The room.
        room_id: &'r str,
    },
    /// `_get_e2e_cross_signing_signatures_for_device`, 1.139 and later, whose keys are JSON
    /// text: signatures of these devices are stale.
    DeviceSignatures(Vec<DeviceKey<'r>>),
    /// Every entry of one function is stale.
    WholeCache {
        /// The function.
        function: &'r str,
    },
    /// One entry of one function is stale.
    Entry {
        /// The function.
        function: &'r str,
        /// The key of the entry. It may have fewer parts than the function has arguments: then it
        /// is a prefix, and all entries that begin with it are stale.
        keys: &'r [CacheKey<'r>],
    },
}

/// A user's device, as a cache key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceKey<'r> {
    /// The Matrix user id.
    pub user_id: Cow<'r, str>,
    /// The device id.
    pub device_id: Cow<'r, str>,
}

impl CachesRow<'_> {
    /// Returns the meaning of the row. Names with a meaning of their own have variants of their own
    /// (`protocol.md` 7.4).
    ///
    /// `_get_e2e_cross_signing_signatures_for_device` with keys that are not the JSON text of a
    /// user and a device counts as an ordinary function.
    ///
    /// # Errors
    /// [`RowError`] if one of the three names that stand for a room has no room as its first key.
    pub fn invalidation(&self) -> Result<CacheInvalidation<'_>, RowError> {
        let room_id = || match self.keys.as_deref().and_then(<[_]>::first) {
            Some(CacheKey::Text(room_id)) => Ok(&**room_id),
            Some(CacheKey::Json(other)) => Err(Some(other.as_str())),
            None => Err(None),
        };
        let room_id = || {
            room_id().map_err(|found| {
                let mismatch = Mismatch::new("a room id", found).within(Step::Index(0));
                RowError::new(Self::STREAM, mismatch.within(Step::Index(1)))
            })
        };
        let function = &*self.function;
        Ok(match (function, self.keys.as_deref()) {
            ("cs_cache_fake", keys) => CacheInvalidation::CurrentState {
                room_id: room_id()?,
                changed_users: keys.and_then(|keys| keys.get(1..)).unwrap_or_default(),
            },
            ("ph_cache_fake", _) => CacheInvalidation::HistoryPurged { room_id: room_id()? },
            ("dr_cache_fake", _) => CacheInvalidation::RoomDeleted { room_id: room_id()? },
            (_, None) => CacheInvalidation::WholeCache { function },
            ("_get_e2e_cross_signing_signatures_for_device", Some(keys)) => {
                match keys.iter().map(DeviceKey::of).collect() {
                    Some(devices) => CacheInvalidation::DeviceSignatures(devices),
                    None => CacheInvalidation::Entry { function, keys },
                }
            }
            (_, Some(keys)) => CacheInvalidation::Entry { function, keys },
        })
    }
}

impl CacheKey<'_> {
    /// Returns the string's text, or the JSON text of any other value.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Text(text) => text,
            Self::Json(json) => json.as_str(),
        }
    }

    /// Returns the parts of a key that is a list: an array, or the JSON text of one in a string, as
    /// the keys of some functions are. `None` if it is neither.
    pub fn parts(&self) -> Option<Vec<CacheKey<'_>>> {
        let values: Vec<&RawValue> = serde_json::from_str(self.as_str()).ok()?;
        Some(values.into_iter().map(CacheKey::of).collect())
    }
}

impl<'a> CacheKey<'a> {
    fn of(value: &'a RawValue) -> Self {
        text::decode(value.get()).map_or_else(|| Self::Json(value.into()), Self::Text)
    }
}

impl<'a> FromValue<'a> for CacheKey<'a> {
    const EXPECTED: &'static str = "a JSON value";

    fn from_value(value: &'a RawValue) -> Result<Self, Mismatch<'a>> {
        Ok(Self::of(value))
    }
}

impl<'a, T: Into<Cow<'a, str>>> From<T> for CacheKey<'a> {
    fn from(text: T) -> Self {
        Self::Text(text.into())
    }
}

impl<'r> DeviceKey<'r> {
    fn of(key: &'r CacheKey<'_>) -> Option<Self> {
        match <[CacheKey<'r>; 2]>::try_from(key.parts()?).ok()? {
            [CacheKey::Text(user_id), CacheKey::Text(device_id)] => {
                Some(Self { user_id, device_id })
            }
            _ => None,
        }
    }
}

impl<'a> FromFields<'a> for CachesRow<'a> {
    fn from_fields(fields: &Fields<'a>) -> Result<Self, Mismatch<'a>> {
        Ok(Self {
            function: fields.read(0)?,
            keys: fields.read(1)?,
            invalidation_ts: fields.read(2)?,
        })
    }
}

impl<'a> StreamRow<'a> for CachesRow<'a> {
    const STREAM: &'static str = "caches";
}

impl Serialize for CachesRow<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (&self.function, &self.keys, self.invalidation_ts).serialize(serializer)
    }
}

impl Serialize for CacheKey<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => text.serialize(serializer),
            Self::Json(json) => json.serialize(serializer),
        }
    }
}

impl fmt::Debug for CacheKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CacheKey({REDACTED})")
    }
}

/// The keys as `Debug` may show them.
struct Shown<'r> {
    function: &'r str,
    keys: &'r [CacheKey<'r>],
}

impl fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if takes_tokens(self.function) {
            return f.write_str(REDACTED);
        }
        f.debug_list().entries(self.keys.iter().map(CacheKey::as_str)).finish()
    }
}

impl fmt::Debug for CachesRow<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.keys.as_deref().map(|keys| Shown { function: &self.function, keys });
        f.debug_struct("CachesRow")
            .field("function", &self.function)
            .field("keys", &keys)
            .field("invalidation_ts", &self.invalidation_ts)
            .finish()
    }
}

impl fmt::Debug for CacheInvalidation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CurrentState { room_id, changed_users } => f
                .debug_struct("CurrentState")
                .field("room_id", room_id)
                .field("changed_users", &Shown { function: "cs_cache_fake", keys: changed_users })
                .finish(),
            Self::HistoryPurged { room_id } => {
                f.debug_struct("HistoryPurged").field("room_id", room_id).finish()
            }
            Self::RoomDeleted { room_id } => {
                f.debug_struct("RoomDeleted").field("room_id", room_id).finish()
            }
            Self::DeviceSignatures(devices) => {
                f.debug_tuple("DeviceSignatures").field(devices).finish()
            }
            Self::WholeCache { function } => {
                f.debug_struct("WholeCache").field("function", function).finish()
            }
            Self::Entry { function, keys } => f
                .debug_struct("Entry")
                .field("function", function)
                .field("keys", &Shown { function, keys })
                .finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{stream::Row, typed::to_row};

    fn caches(text: &str, check: impl FnOnce(CacheInvalidation<'_>)) {
        let row = Row::from(text);
        check(CachesRow::parse(&row).unwrap().invalidation().unwrap());
    }

    #[test]
    fn an_ordinary_function_has_one_stale_entry() {
        caches(r#"["get_user_by_id", ["@u:h"], 1795298200514]"#, |invalidation| {
            let keys = ["@u:h".into()];
            let expected = CacheInvalidation::Entry { function: "get_user_by_id", keys: &keys };
            assert_eq!(invalidation, expected);
        });
        caches(r#"["get_monthly_active_count",[],1]"#, |invalidation| {
            let function = "get_monthly_active_count";
            assert_eq!(invalidation, CacheInvalidation::Entry { function, keys: &[] });
        });
    }

    #[test]
    fn null_keys_mean_the_whole_cache() {
        let row = Row::from(r#"["get_partial_rooms",null,1795298362021]"#);
        let parsed = CachesRow::parse(&row).unwrap();
        let expected = CachesRow {
            function: "get_partial_rooms".into(),
            keys: None,
            invalidation_ts: 1_795_298_362_021,
        };
        assert_eq!(parsed, expected);
        assert_eq!(
            parsed.invalidation().unwrap(),
            CacheInvalidation::WholeCache { function: "get_partial_rooms" }
        );
    }

    #[test]
    fn names_that_stand_for_a_room_are_taken_apart() {
        caches(r#"["cs_cache_fake",["!r","@a:h","@b:h"],1]"#, |invalidation| {
            let users = ["@a:h".into(), "@b:h".into()];
            let expected = CacheInvalidation::CurrentState { room_id: "!r", changed_users: &users };
            assert_eq!(invalidation, expected);
        });
        caches(r#"["cs_cache_fake",["!r"],1]"#, |invalidation| {
            let expected = CacheInvalidation::CurrentState { room_id: "!r", changed_users: &[] };
            assert_eq!(invalidation, expected);
        });
        caches(r#"["ph_cache_fake",["!r"],1]"#, |invalidation| {
            assert_eq!(invalidation, CacheInvalidation::HistoryPurged { room_id: "!r" });
        });
        caches(r#"["dr_cache_fake",["!r"],1]"#, |invalidation| {
            assert_eq!(invalidation, CacheInvalidation::RoomDeleted { room_id: "!r" });
        });
    }

    #[test]
    fn a_room_that_is_missing_is_an_error_and_not_a_whole_cache() {
        for (keys, found) in [("null", "nothing"), ("[]", "nothing"), ("[5]", "number")] {
            for name in ["cs_cache_fake", "ph_cache_fake", "dr_cache_fake"] {
                let row = Row::from(format!(r#"["{name}",{keys},1]"#).as_str());
                let error = CachesRow::parse(&row).unwrap().invalidation().unwrap_err();
                assert_eq!(
                    error.to_string(),
                    format!("caches row: expected a room id at [1][0], found {found}")
                );
            }
        }
    }

    #[test]
    fn device_keys_are_decoded_twice() {
        caches(
            r#"["_get_e2e_cross_signing_signatures_for_device",
                ["[\"@a:h\",\"DEV\\u0041\"]","[\"@b:h\", \"B\"]"],1]"#,
            |invalidation| {
                let expected = vec![
                    DeviceKey { user_id: "@a:h".into(), device_id: "DEVA".into() },
                    DeviceKey { user_id: "@b:h".into(), device_id: "B".into() },
                ];
                assert_eq!(invalidation, CacheInvalidation::DeviceSignatures(expected));
            },
        );
    }

    #[test]
    fn device_keys_in_another_form_are_an_ordinary_entry() {
        let function = "_get_e2e_cross_signing_signatures_for_device";
        for keys in [r#"["@a:h","DEV"]"#, r#"["[\"@a:h\"]"]"#, r#"["[\"@a:h\",5]"]"#] {
            caches(&format!(r#"["{function}",{keys},1]"#), |invalidation| {
                assert!(matches!(invalidation, CacheInvalidation::Entry { .. }), "{keys}");
            });
        }
        caches(&format!(r#"["{function}",null,1]"#), |invalidation| {
            assert_eq!(invalidation, CacheInvalidation::WholeCache { function });
        });
    }

    #[test]
    fn keys_that_are_no_strings_are_kept() {
        let row = Row::from(r#"["f",["a",5,null,["b"]],1]"#);
        let keys = CachesRow::parse(&row).unwrap().keys.unwrap();
        assert_eq!(
            keys.iter().map(CacheKey::as_str).collect::<Vec<_>>(),
            ["a", "5", "null", r#"["b"]"#]
        );
        assert_eq!(keys[0], CacheKey::Text("a".into()));
        assert_eq!(keys[2], CacheKey::Json(Json::new("null").unwrap()));
        assert_eq!(keys[0].parts(), None);
        assert_eq!(keys[3].parts(), Some(vec!["b".into()]));
    }

    #[test]
    fn debug_never_shows_access_tokens() {
        let row = Row::from(r#"["get_user_by_access_token",["syt_secret"],1]"#);
        let parsed = CachesRow::parse(&row).unwrap();
        assert!(!format!("{parsed:?}").contains("syt_"));
        assert!(!format!("{:?}", parsed.invalidation().unwrap()).contains("syt_"));
        assert!(!format!("{:?}", parsed.keys).contains("syt_"));
        let row = Row::from(r#"["get_user_by_id",["@u:h"],1]"#);
        assert!(format!("{:?}", CachesRow::parse(&row).unwrap()).contains("@u:h"));
    }

    #[test]
    fn rows_are_written_as_they_are_read() {
        for text in [
            r#"["get_device",["@u:h","D"],1795298200527]"#,
            r#"["get_partial_rooms",null,1]"#,
            r#"["f",[],-1]"#,
            r#"["f",["a",5,null,["b"]],1]"#,
        ] {
            let row = Row::from(text);
            assert_eq!(to_row(&CachesRow::parse(&row).unwrap()).unwrap(), row);
        }
    }
}
