//! Newtypes for everything that is counted, so that one id is never taken for another.

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
            /// The id with this number.
            pub const fn new(number: u64) -> Self {
                Self(number)
            }

            /// The number behind the id.
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
    /// One session over a transport. Chosen by the core in [`Action::Connect`](crate::Action),
    /// never reused; a reconnection is a new id.
    ConnectionId, "c"
}
id! {
    /// One fetch. Chosen by the core, echoed by the driver, never reused.
    QueryId, "q"
}
id! {
    /// One wait for a position. Chosen by the application's side, unique among open waits.
    WaitId, "w"
}
