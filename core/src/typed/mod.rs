//! Rows as types, on request: every stream in the form of every release (`protocol.md` 7.3).
//!
//! A row enters, its fields leave, or a [`RowError`]. [`parse`] takes a stream name and returns the
//! variant of [`TypedRow`] for it; callers that know the stream call [`StreamRow::parse`] on the
//! row type. The core needs neither: it delivers rows verbatim, so that a row which cannot be
//! parsed here is not lost.
//!
//! Reading is tolerant (`protocol.md` 11, item 11): elements behind the last known one are
//! ignored, booleans may be `0` or `1`, the form of a release is recognised by the number and the
//! types of the elements (`protocol.md` 2.5, item 6), and unknown kinds of `events` and
//! `federation` rows are kept as such. Fields that a release does not send are `None`. Strings
//! borrow from the row unless they hold escapes; an escape of a surrogate without its other half
//! reads as U+FFFD, while values that are not interpreted ([`Json`]) keep it. Times are
//! milliseconds since the Unix epoch.
//!
//! Writing is strict: the row types that implement `serde::Serialize` write exactly the fields
//! of the newest form, in order; [`to_row`] makes a [`Row`] of them.
//!
//! ```
//! use synrepl_core::{stream::Row, typed::{StreamRow, TypedRow, TypingRow, parse, to_row}};
//!
//! let row = Row::from(r#"["!room:host",["@user:host"]]"#);
//! let TypedRow::Typing(typing) = parse("typing", &row)? else { panic!() };
//! assert_eq!(typing.user_ids, ["@user:host"]);
//! assert_eq!(typing, TypingRow::parse(&row)?);
//! assert_eq!(to_row(&typing)?, row);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod account;
mod caches;
mod devices;
mod error;
mod events;
mod federation;
mod fields;
mod json;
mod presence;
mod receipts;
mod rooms;
mod text;

use serde::Serialize;

use self::fields::{Fields, FromFields};
pub use self::{
    account::{
        AccountDataRow, ProfileUpdatesRow, PushRulesRow, PushersRow, TagAccountDataRow,
        ThreadSubscriptionsRow,
    },
    caches::{CacheInvalidation, CacheKey, CachesRow, DeviceKey},
    devices::{DeviceListsRow, ToDeviceRow, UserSignatureRow},
    error::RowError,
    events::{
        BackfillRow, EventsRow, PersistedEvent, StateChange, StickyEventsRow,
        UnPartialStatedEventRow,
    },
    federation::{Edu, FederationRow},
    json::{Content, Json},
    presence::{PresenceFederationRow, PresenceRow, TypingRow},
    receipts::ReceiptsRow,
    rooms::{GroupsRow, PublicRoomsRow, QuarantinedMediaRow, UnPartialStatedRoomRow},
};
use crate::stream::Row;

/// The row type of one stream. The trait is sealed.
pub trait StreamRow<'a>: FromFields<'a> {
    /// The name of the stream, as on the wire.
    const STREAM: &'static str;

    /// Parses a row of this stream in the form of any release, and borrows from it.
    ///
    /// # Errors
    /// [`RowError`] if the row is not a JSON array, or an element is missing or has a type that it
    /// has in no release.
    fn parse(row: &'a Row) -> Result<Self, RowError> {
        Fields::of_text(row.as_str())
            .and_then(|fields| Self::from_fields(&fields))
            .map_err(|mismatch| RowError::new(Self::STREAM, mismatch))
    }
}

/// A row of any stream. One variant per stream of the [catalogue](crate::stream::CATALOGUE).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TypedRow<'a> {
    /// A row of `account_data`.
    AccountData(AccountDataRow<'a>),
    /// A row of `backfill`.
    Backfill(BackfillRow<'a>),
    /// A row of `caches`.
    Caches(CachesRow<'a>),
    /// A row of `current_state_deltas`.
    CurrentStateDeltas(StateChange<'a>),
    /// A row of `device_lists`.
    DeviceLists(DeviceListsRow<'a>),
    /// A row of `events`.
    Events(EventsRow<'a>),
    /// A row of `federation`.
    Federation(FederationRow<'a>),
    /// A row of `groups`.
    Groups(GroupsRow<'a>),
    /// A row of `presence`.
    Presence(PresenceRow<'a>),
    /// A row of `presence_federation`.
    PresenceFederation(PresenceFederationRow<'a>),
    /// A row of `profile_updates`.
    ProfileUpdates(ProfileUpdatesRow<'a>),
    /// A row of `public_rooms`.
    PublicRooms(PublicRoomsRow<'a>),
    /// A row of `push_rules`.
    PushRules(PushRulesRow<'a>),
    /// A row of `pushers`.
    Pushers(PushersRow<'a>),
    /// A row of `quarantined_media`.
    QuarantinedMedia(QuarantinedMediaRow<'a>),
    /// A row of `receipts`.
    Receipts(ReceiptsRow<'a>),
    /// A row of `sticky_events`.
    StickyEvents(StickyEventsRow<'a>),
    /// A row of `tag_account_data`.
    TagAccountData(TagAccountDataRow<'a>),
    /// A row of `thread_subscriptions`.
    ThreadSubscriptions(ThreadSubscriptionsRow<'a>),
    /// A row of `to_device`.
    ToDevice(ToDeviceRow<'a>),
    /// A row of `typing`.
    Typing(TypingRow<'a>),
    /// A row of `un_partial_stated_event`.
    UnPartialStatedEvent(UnPartialStatedEventRow<'a>),
    /// A row of `un_partial_stated_room`.
    UnPartialStatedRoom(UnPartialStatedRoomRow<'a>),
    /// A row of `user_signature`.
    UserSignature(UserSignatureRow<'a>),
    /// A row of a stream that is not in the catalogue; it is not parsed.
    Unknown {
        /// The name of the stream.
        stream: &'a str,
        /// The row, verbatim.
        row: &'a Row,
    },
}

/// Parses a row of the stream with this name in the form of any release, and borrows from it.
///
/// A stream that is not known gives [`TypedRow::Unknown`], never an error.
///
/// # Errors
/// [`RowError`] if the stream is known, and the row is not a JSON array, or an element is missing
/// or has a type that it has in no release.
pub fn parse<'a>(stream: &'a str, row: &'a Row) -> Result<TypedRow<'a>, RowError> {
    Ok(match stream {
        AccountDataRow::STREAM => TypedRow::AccountData(StreamRow::parse(row)?),
        BackfillRow::STREAM => TypedRow::Backfill(StreamRow::parse(row)?),
        CachesRow::STREAM => TypedRow::Caches(StreamRow::parse(row)?),
        StateChange::STREAM => TypedRow::CurrentStateDeltas(StreamRow::parse(row)?),
        DeviceListsRow::STREAM => TypedRow::DeviceLists(StreamRow::parse(row)?),
        EventsRow::STREAM => TypedRow::Events(StreamRow::parse(row)?),
        FederationRow::STREAM => TypedRow::Federation(StreamRow::parse(row)?),
        GroupsRow::STREAM => TypedRow::Groups(StreamRow::parse(row)?),
        PresenceRow::STREAM => TypedRow::Presence(StreamRow::parse(row)?),
        PresenceFederationRow::STREAM => TypedRow::PresenceFederation(StreamRow::parse(row)?),
        ProfileUpdatesRow::STREAM => TypedRow::ProfileUpdates(StreamRow::parse(row)?),
        PublicRoomsRow::STREAM => TypedRow::PublicRooms(StreamRow::parse(row)?),
        PushRulesRow::STREAM => TypedRow::PushRules(StreamRow::parse(row)?),
        PushersRow::STREAM => TypedRow::Pushers(StreamRow::parse(row)?),
        QuarantinedMediaRow::STREAM => TypedRow::QuarantinedMedia(StreamRow::parse(row)?),
        ReceiptsRow::STREAM => TypedRow::Receipts(StreamRow::parse(row)?),
        StickyEventsRow::STREAM => TypedRow::StickyEvents(StreamRow::parse(row)?),
        TagAccountDataRow::STREAM => TypedRow::TagAccountData(StreamRow::parse(row)?),
        ThreadSubscriptionsRow::STREAM => TypedRow::ThreadSubscriptions(StreamRow::parse(row)?),
        ToDeviceRow::STREAM => TypedRow::ToDevice(StreamRow::parse(row)?),
        TypingRow::STREAM => TypedRow::Typing(StreamRow::parse(row)?),
        UnPartialStatedEventRow::STREAM => TypedRow::UnPartialStatedEvent(StreamRow::parse(row)?),
        UnPartialStatedRoomRow::STREAM => TypedRow::UnPartialStatedRoom(StreamRow::parse(row)?),
        UserSignatureRow::STREAM => TypedRow::UserSignature(StreamRow::parse(row)?),
        _ => TypedRow::Unknown { stream, row },
    })
}

impl TypedRow<'_> {
    /// Returns the name of the row's stream, as on the wire.
    pub const fn stream(&self) -> &str {
        match self {
            Self::AccountData(_) => AccountDataRow::STREAM,
            Self::Backfill(_) => BackfillRow::STREAM,
            Self::Caches(_) => CachesRow::STREAM,
            Self::CurrentStateDeltas(_) => StateChange::STREAM,
            Self::DeviceLists(_) => DeviceListsRow::STREAM,
            Self::Events(_) => EventsRow::STREAM,
            Self::Federation(_) => FederationRow::STREAM,
            Self::Groups(_) => GroupsRow::STREAM,
            Self::Presence(_) => PresenceRow::STREAM,
            Self::PresenceFederation(_) => PresenceFederationRow::STREAM,
            Self::ProfileUpdates(_) => ProfileUpdatesRow::STREAM,
            Self::PublicRooms(_) => PublicRoomsRow::STREAM,
            Self::PushRules(_) => PushRulesRow::STREAM,
            Self::Pushers(_) => PushersRow::STREAM,
            Self::QuarantinedMedia(_) => QuarantinedMediaRow::STREAM,
            Self::Receipts(_) => ReceiptsRow::STREAM,
            Self::StickyEvents(_) => StickyEventsRow::STREAM,
            Self::TagAccountData(_) => TagAccountDataRow::STREAM,
            Self::ThreadSubscriptions(_) => ThreadSubscriptionsRow::STREAM,
            Self::ToDevice(_) => ToDeviceRow::STREAM,
            Self::Typing(_) => TypingRow::STREAM,
            Self::UnPartialStatedEvent(_) => UnPartialStatedEventRow::STREAM,
            Self::UnPartialStatedRoom(_) => UnPartialStatedRoomRow::STREAM,
            Self::UserSignature(_) => UserSignatureRow::STREAM,
            Self::Unknown { stream, .. } => stream,
        }
    }
}

/// Returns the row to publish: the JSON text of `row` in the newest form, on one line.
///
/// It serves the row types that can be published: those of `account_data`, `caches`,
/// `device_lists`, `presence`, `push_rules`, `pushers`, `receipts`, `to_device` and `typing`.
///
/// # Errors
/// The error of `serde_json` if the row cannot be written in the newest form; the documentation of
/// its type states when that is.
pub fn to_row<'a, T: StreamRow<'a> + Serialize>(row: &T) -> Result<Row, serde_json::Error> {
    let mut text = serde_json::to_string(row)?;
    // Only white space between the parts of a verbatim value can be a raw line break.
    text.retain(|c| c != '\n' && c != '\r');
    Ok(Row::from_text(text.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::CATALOGUE;

    #[test]
    fn every_stream_of_the_catalogue_has_its_type() {
        for (stream, _) in CATALOGUE {
            let row = Row::from("{}");
            let error = parse(stream, &row).unwrap_err();
            assert_eq!(error.stream(), stream);
            assert_eq!(
                error.to_string(),
                format!(
                    "{stream} row: expected a JSON array as the row, found object{}",
                    if stream == "caches" { "" } else { " {}" }
                )
            );
        }
    }

    #[test]
    fn rows_of_unknown_streams_are_not_looked_at() {
        let row = Row::from("not even JSON");
        let typed = parse("from_the_future", &row).unwrap();
        assert_eq!(typed, TypedRow::Unknown { stream: "from_the_future", row: &row });
        assert_eq!(typed.stream(), "from_the_future");
    }

    #[test]
    fn line_breaks_inside_verbatim_values_are_not_published() {
        let row = Row::from("[\"!r\",\"m.read\",\"@u:h\",\"$e\",null,{\r\n\"ts\":\n5}]");
        let receipt = ReceiptsRow::parse(&row).unwrap();
        assert_eq!(
            to_row(&receipt).unwrap().as_str(),
            r#"["!r","m.read","@u:h","$e",null,{"ts":5}]"#
        );
    }
}
