//! The transport over which the others are reached, and the traits of streams that depend on it.

use serde::{Deserialize, Serialize};

use crate::{
    stream::{Order, StreamTraits, traits},
    wire::Dialect,
};

/// The streams whose tokens fall or repeat inside one send on direct TCP before 1.22: two tables
/// share one token (`account_data`, `device_lists`), or rows are gathered kind by kind
/// (`federation`).
const UNCLOSED: [&str; 4] = ["account_data", "device_lists", "federation", "tag_account_data"];

/// The transport of the connection that we make ourselves, over which the other instances are
/// reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Transport {
    /// A subscription to Redis: one connection behind which all instances are.
    #[default]
    Bus,
    /// A direct TCP connection to the main process, in the dialect of that process.
    Tcp(Dialect),
    /// No connection: the node only accepts connections.
    None,
}

impl Transport {
    /// Returns whether missed rows come over the connection itself, as in the oldest dialect.
    pub(crate) const fn catches_up_in_band(self) -> bool {
        match self {
            Self::Tcp(dialect) => dialect.catches_up_in_band(),
            Self::Bus | Self::None => false,
        }
    }

    /// Returns the traits of the stream with this name on this transport.
    ///
    /// They are those of [`traits`], with one exception: on direct TCP in a dialect without
    /// previous tokens (before 1.22) four streams come in [`Order::UnclosedBursts`]. One instance
    /// writes everything there, so no fetch of these four returns rows of another.
    pub fn traits_of(self, stream: &str) -> StreamTraits {
        let mut known = traits(stream);
        if let Self::Tcp(dialect) = self
            && !dialect.position_has_prev()
            && UNCLOSED.contains(&stream)
        {
            known.order = Order::UnclosedBursts;
            known.shared_fetch = false;
        }
        known
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::CATALOGUE;

    #[test]
    fn four_streams_come_in_unclosed_bursts_on_direct_tcp_before_1_22_and_nowhere_else() {
        for (name, known) in CATALOGUE {
            for dialect in Dialect::ALL {
                let unclosed = UNCLOSED.contains(&name) && dialect < Dialect::V1_22;
                let order = if unclosed { Order::UnclosedBursts } else { known.order };
                let found = Transport::Tcp(dialect).traits_of(name);
                assert_eq!((found.order, found.resettable), (order, known.resettable), "{name}");
            }
            assert_eq!(Transport::Bus.traits_of(name), known);
            assert_eq!(Transport::None.traits_of(name), known);
        }
    }
}
