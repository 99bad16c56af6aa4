//! How the others are reached, and what of the streams depends on that.

use serde::{Deserialize, Serialize};

use crate::{
    stream::{Order, StreamTraits, traits},
    wire::Dialect,
};

/// Streams whose tokens fall or repeat inside one send on direct TCP before 1.22: two tables share
/// one token (`account_data`, `device_lists`), or rows are gathered kind by kind (`federation`).
const UNCLOSED: [&str; 4] = ["account_data", "device_lists", "federation", "tag_account_data"];

/// How the other instances are reached by the connection that we make ourselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Transport {
    /// One subscription behind which all instances are (Redis).
    #[default]
    Bus,
    /// A direct TCP connection to the main process, in the dialect that it speaks.
    Tcp(Dialect),
    /// Not at all: we only accept connections.
    None,
}

impl Transport {
    /// Whether missed rows come over the connection itself: the oldest dialect.
    pub(crate) const fn catches_up_in_band(self) -> bool {
        match self {
            Self::Tcp(dialect) => dialect.catches_up_in_band(),
            Self::Bus | Self::None => false,
        }
    }

    /// The traits of the stream with this name where the others are reached by this transport.
    ///
    /// Those of [`traits`], but on direct TCP in a dialect without previous tokens (before 1.22) four
    /// streams come in [`Order::UnclosedBursts`], and there, where one instance writes everything, no
    /// fetch returns rows of another.
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
