//! The checks of the writer's commands on the bus, and of the state at the end (P1 to P4).

use synrepl_core::{stream::traits, wire::Command};

use super::{Outcome, Step, World};

impl World {
    /// P1 to P4 of what is sent on the bus.
    #[expect(clippy::wildcard_enum_match_arm, reason = "the rest is not about own streams")]
    pub(super) fn check_sent(&mut self, command: &Command) -> Outcome {
        let open = self.sent.iter().find(|(_, reader)| reader.is_inside_batch());
        let open = open.map(|(name, _)| name.clone());
        match command {
            Command::Rdata(rdata) => {
                let name = rdata.stream.to_string();
                if open.is_some_and(|open| open != name) {
                    return Err("P1: a batch of another stream is open".to_owned());
                }
                let Some(reader) = self.sent.get_mut(&name) else {
                    return Err(format!("P4: a row of {name} before its announcement"));
                };
                reader.on_rdata(&self.logs[&name], rdata)?;
                self.highest.extend(rdata.token.map(|token| (name, token.get())));
            }
            Command::Position(position) => {
                let name = position.stream.to_string();
                let (prev, new) = (position.prev.get(), position.token.get());
                if open.is_some() {
                    return Err("P1: a batch is open".to_owned());
                }
                if !self.sent.contains_key(&name) {
                    let beyond = traits(&name).resettable && self.heard.contains(&name);
                    let sure = if beyond { &self.highest } else { &self.confirmed };
                    if (prev, new) != (sure[&name], sure[&name]) {
                        return Err(format!(
                            "P3: POSITION {name} {prev} {new}, not {}",
                            sure[&name]
                        ));
                    }
                }
                let reader = self.sent.entry(name.clone()).or_default();
                reader.on_position(&self.logs[&name], position)?;
                let highest = self.highest.entry(name).or_default();
                *highest = new.max(*highest);
            }
            _ => {}
        }
        Ok(())
    }

    /// Without further faults everyone must come to the end of every log.
    pub(crate) fn converge(&mut self) -> Outcome {
        let all = u8::MAX;
        let mut outcome = self.check_complete();
        for _ in 0..60 {
            if outcome.is_ok() && self.is_idle() {
                break;
            }
            self.step(Step::Wait)?;
            self.step(Step::ConnectWriter)?;
            for which in 0..self.followers.len() {
                self.step(Step::ConnectFollower { which })?;
            }
            for _ in 0..20 {
                self.step(Step::Read { fails: false })?;
                self.step(Step::Publish { count: all })?;
                self.step(Step::Confirm { count: all })?;
                self.step(Step::Hear { count: all })?;
                for which in 0..self.followers.len() {
                    self.step(Step::Deliver { which, count: all })?;
                    self.step(Step::Fetched { which, fails: false })?;
                }
                for which in 0..self.peers.len() {
                    self.step(Step::Take { which, count: all })?;
                }
                if self.is_idle() {
                    break;
                }
            }
            outcome = self.check_complete();
        }
        outcome
    }

    /// Nothing is under way anywhere.
    fn is_idle(&self) -> bool {
        self.bench.up
            && self.reads.is_empty()
            && self.outbound.is_empty()
            && self.unanswered.is_empty()
            && self.inbox.is_empty()
            && self.followers.iter().all(|follower| follower.is_idle())
            && self.peers.iter().all(|peer| peer.pending.is_empty())
    }

    fn check_complete(&self) -> Outcome {
        for (name, log) in &self.logs {
            for (number, follower) in self.followers.iter().enumerate() {
                let delivered = follower.delivered.get(name).cloned().unwrap_or_default();
                if delivered != log.range(0, log.end) {
                    return Err(format!(
                        "F2: follower {number} has {delivered:?} of {name}, not {:?}",
                        log.range(0, log.end)
                    ));
                }
            }
            if self.published[name] != log.end {
                return Err(format!(
                    "P1: {name} is out to {}, not {}",
                    self.published[name], log.end
                ));
            }
            for peer in &self.peers {
                let oldest = !peer.dialect.names_instances();
                let reader = peer.readers.get(name);
                // Of a move without rows the oldest dialect hears nothing.
                let due =
                    log.range(reader.and_then(|reader| reader.at).unwrap_or(log.end), log.end);
                if !due.is_empty() || (oldest && reader.is_some_and(|reader| reader.at.is_none())) {
                    return Err(format!("P1: {} {} misses {due:?}", peer.conn, peer.dialect));
                }
            }
        }
        Ok(())
    }
}
