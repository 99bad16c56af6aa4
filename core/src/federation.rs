//! How far the federation senders have stored the rows of `federation` (`protocol.md` 2.3,
//! FEDERATION_ACK).
//!
//! What enters: the acknowledgements of the senders. What leaves: their minimum, whenever it has
//! risen.

use std::collections::BTreeMap;

use bytestring::ByteString;

use crate::{config::Config, stream::Token, wire::FederationAck};

/// The last acknowledgement of each configured sender. What counts as acknowledged is the minimum
/// over all that are configured: rows that a sender has not stored yet must not be dropped because
/// it has acknowledged nothing yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct FederationAcks {
    acked: BTreeMap<ByteString, Token>,
    /// The minimum that the application was notified of.
    told: Option<Token>,
}

impl FederationAcks {
    /// Handles an acknowledgement, given that we have sent rows up to `sent`. Returns the minimum
    /// if it has risen. An acknowledgement may be lower than the one before: the sender has started
    /// over, or we have. One above what was sent is of another epoch, and is ignored.
    pub(crate) fn on_ack(
        &mut self,
        ack: &FederationAck,
        sent: Option<Token>,
        config: &Config,
    ) -> Option<Token> {
        let senders = &config.users.federation_senders;
        let name = match &ack.instance {
            // Copied, so that no read buffer is kept for it.
            Some(name) => ByteString::from(&**name),
            // Before 1.18 there was one sender, and it did not send its name.
            None if senders.len() == 1 => ByteString::from(senders.first()?.as_str()),
            None => return None,
        };
        if !senders.contains(&*name) || sent.is_none_or(|sent| ack.token > sent) {
            return None;
        }
        self.acked.insert(name, ack.token);
        if self.acked.len() < senders.len() {
            return None;
        }
        let lowest = self.acked.values().min().copied()?;
        if self.told.is_some_and(|told| lowest <= told) {
            return None;
        }
        self.told = Some(lowest);
        Some(lowest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(senders: &[&str]) -> Config {
        let mut config = Config::default();
        config.users.federation_senders = senders.iter().map(|name| (*name).to_owned()).collect();
        config
    }

    fn ack(instance: Option<&'static str>, token: i64) -> FederationAck {
        FederationAck { instance: instance.map(ByteString::from_static), token: token.into() }
    }

    const SENT: Option<Token> = Some(Token::new(100));

    #[test]
    fn rows_count_as_stored_only_when_every_configured_sender_has_said_so() {
        let config = config(&["fed1", "fed2"]);
        let mut acks = FederationAcks::default();
        assert_eq!(acks.on_ack(&ack(Some("fed1"), 9), SENT, &config), None);
        assert_eq!(acks.on_ack(&ack(Some("fed2"), 4), SENT, &config), Some(4.into()));
        assert_eq!(acks.on_ack(&ack(Some("fed1"), 10), SENT, &config), None);
        assert_eq!(acks.on_ack(&ack(Some("fed2"), 12), SENT, &config), Some(10.into()));
    }

    #[test]
    fn a_sender_that_is_not_configured_counts_for_nothing() {
        let config = config(&["fed1"]);
        let mut acks = FederationAcks::default();
        assert_eq!(acks.on_ack(&ack(Some("shadow"), 9), SENT, &config), None);
        assert_eq!(acks.on_ack(&ack(Some("fed1"), 3), SENT, &config), Some(3.into()));
    }

    #[test]
    fn a_nameless_acknowledgement_is_of_the_only_sender() {
        let mut acks = FederationAcks::default();
        assert_eq!(acks.on_ack(&ack(None, 3), SENT, &config(&["fed1"])), Some(3.into()));
        assert_eq!(acks.on_ack(&ack(None, 4), SENT, &config(&["fed1", "fed2"])), None);
    }

    #[test]
    fn an_acknowledgement_of_rows_that_were_never_sent_counts_for_nothing() {
        let config = config(&["fed1"]);
        let mut acks = FederationAcks::default();
        assert_eq!(acks.on_ack(&ack(Some("fed1"), 101), SENT, &config), None);
        assert_eq!(acks.on_ack(&ack(Some("fed1"), 1), None, &config), None);
        assert_eq!(acks.on_ack(&ack(Some("fed1"), 100), SENT, &config), Some(100.into()));
    }

    #[test]
    fn a_sender_that_starts_over_is_believed_and_the_minimum_never_falls() {
        let config = config(&["fed1"]);
        let mut acks = FederationAcks::default();
        assert_eq!(acks.on_ack(&ack(Some("fed1"), 50), SENT, &config), Some(50.into()));
        assert_eq!(acks.on_ack(&ack(Some("fed1"), 20), SENT, &config), None);
        assert_eq!(acks.on_ack(&ack(Some("fed1"), 60), SENT, &config), Some(60.into()));
    }

    #[test]
    fn a_nameless_acknowledgement_is_of_nobody_where_there_are_several() {
        let config = config(&["fed1", "fed2"]);
        let mut acks = FederationAcks::default();
        assert_eq!(acks.on_ack(&ack(None, 4), SENT, &config), None);
        assert_eq!(acks.on_ack(&ack(Some("fed2"), 9), SENT, &config), None, "fed1 said nothing");
    }
}
