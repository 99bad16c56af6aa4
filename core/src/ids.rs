//! Ids: a newtype for everything that is counted, so that one id is never taken for another.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(u64);

        impl $name {
            /// Returns the id with this number.
            pub const fn new(number: u64) -> Self {
                Self(number)
            }

            /// Returns the number of the id.
            pub const fn get(self) -> u64 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }
    };
}

id! {
    /// The id of one session over a transport, never reused. The core chooses that of a connection
    /// that we make, in [`Action::Connect`](crate::Action) (a reconnection has a new id); the
    /// driver chooses that of one that we accept, with [`ConnectionId::accepted`].
    ConnectionId, "c"
}
id! {
    /// The id of one fetch of rows that another instance wrote. The core chooses it and the driver
    /// echoes it; it is never reused, nor used for a read.
    FetchId, "q"
}
id! {
    /// The id of one read of an own log. The core chooses it and the driver echoes it; it is never
    /// reused, nor used for a fetch.
    ReadId, "q"
}
impl ConnectionId {
    /// The number added to the ids of accepted connections, which keeps them apart from the others.
    const ACCEPTED: u64 = 1 << 48;

    /// Returns the id of the `number`th accepted connection, counted from 0. Numbers above
    /// `u64::MAX - 2^48` share the highest id.
    pub const fn accepted(number: u64) -> Self {
        Self(Self::ACCEPTED.saturating_add(number))
    }

    /// Returns whether a peer made the connection to us.
    pub const fn is_accepted(self) -> bool {
        self.0 >= Self::ACCEPTED
    }

    /// Returns the number that [`ConnectionId::accepted`] made the id from; `None` for a connection
    /// that we made.
    pub const fn accepted_number(self) -> Option<u64> {
        self.0.checked_sub(Self::ACCEPTED)
    }
}

id! {
    /// The id of one wait for a position. The application's side chooses it, unique among open
    /// waits.
    WaitId, "w"
}

macro_rules! index {
    ($(#[$doc:meta])* $name:ident, $limit:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub(crate) struct $name(u32);

        impl $name {
            /// Returns the place in a list.
            pub(crate) const fn as_usize(self) -> usize {
                self.0 as usize
            }

            #[doc = concat!("The index after `count` others, of which there are at most `", $limit, "`.")]
            pub(crate) fn after(count: usize) -> Self {
                Self(u32::try_from(count).unwrap_or(u32::MAX))
            }
        }
    };
}

index! {
    /// The index of a followed source, by order of first appearance.
    SourceIndex, "sources_max"
}
index! {
    /// The index of an own stream, by order of first appearance.
    OwnIndex, "own_streams_max"
}
index! {
    /// The index of a stream of followed sources, by order of first appearance.
    StreamIndex, "sources_max"
}
