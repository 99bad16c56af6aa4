//! P3: what became of what a writer sent of a stream, over all of its connections.

use synrepl_core::stream::Token;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Fate {
    /// The highest token that is known to have gone out.
    confirmed: Token,
    /// The highest token that may have gone out.
    highest: Token,
    /// The token up to which the application was told that all has gone out.
    told: Token,
    /// Something that this process said is known to have gone out.
    heard: bool,
}

impl Fate {
    /// A process begins, where its log ends.
    pub(super) const fn starting_at(end: Token) -> Self {
        Self { confirmed: end, highest: end, told: end, heard: false }
    }

    pub(super) fn on_sent(&mut self, token: Token) {
        self.highest = self.highest.max(token);
    }

    pub(super) fn on_confirmed(&mut self, token: Token) {
        self.confirmed = self.confirmed.max(token);
        self.heard = true;
    }

    /// Returns whether listeners may know more than an announcement of `token` says.
    pub(super) fn is_known_above(&self, token: Token) -> bool {
        token < self.confirmed
    }

    /// Returns where the first announcement of a connection must stand. Lower tokens of a
    /// resettable stream would pass for a new epoch; before its first ones are known to have gone
    /// out, they are one.
    pub(super) const fn resumes_at(&self, resettable: bool) -> Token {
        if resettable && self.heard { self.highest } else { self.confirmed }
    }

    /// The application is told that all up to `token` has gone out.
    pub(super) fn on_published(&mut self, token: Token) -> Result<(), String> {
        let Self { confirmed, told, .. } = *self;
        self.told = token;
        if token <= told || token > confirmed {
            return Err(format!(
                "told that {token} has gone out: {confirmed} has, {told} was told"
            ));
        }
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn is_told(&self, token: Token) -> bool {
        token <= self.told
    }

    /// The application has heard of all that has gone out.
    pub(super) fn check_told(&self) -> Result<(), String> {
        let Self { confirmed, told, .. } = self;
        if told < confirmed {
            return Err(format!("{confirmed} has gone out, the application heard of {told}"));
        }
        Ok(())
    }
}
