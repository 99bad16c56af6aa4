//! The two phases of a run: safety with faults, then liveness without.

use std::time::Duration;

use synrepl_core::{
    Input, Timestamp,
    stream::{Order, Token},
};

use super::{
    process::{LinkState, ProcessIndex},
    tcp::SERVER,
    world::World,
};
use crate::{
    marks::Mark,
    oracle::{Promise, Violation},
    outcome::Outcome,
    recorder::Recorder,
    scenario::{Manners, Noise},
    trace::What,
    world::Log,
};

/// Simulated time within which everything announced must have arrived once all faults are gone.
/// The longest delays of the core are a REPLICATE after 60 s and a fetch after 30 s, each plus a
/// quarter, and one may follow the other.
const CONVERGES_WITHIN: Duration = Duration::from_secs(300);
/// Simulated time within which rows written after that must have arrived.
const FRESH_WITHIN: Duration = Duration::from_secs(120);
/// Simulated time within which holes have been looked into: looks of a stream in which many were
/// empty lie 5 min apart, and each asks for few tokens and may have to be made of several writers.
const LOOKED_WITHIN: Duration = Duration::from_secs(1_800);
/// Simulated time within which an application has heard that its rows have gone out: with few
/// commands under way at once, all that was written takes its time.
const TOLD_WITHIN: Duration = Duration::from_secs(120);
/// How long nothing must be due before it is worth looking whether everything has arrived.
const LULL: Duration = Duration::from_millis(10);

impl World<'_> {
    /// Plays the scenario to its end, or to the first violation.
    pub(crate) fn play(mut self) -> Outcome {
        self.run_phases();
        self.report.simulated_ms = self.now.as_micros() / 1_000;
        for process in &self.processes {
            if let Some(node) = process.machine.as_ref().and_then(|machine| machine.as_node()) {
                let stats = node.stats();
                self.report.rows_fetched += stats.rows_caught_up;
                self.report.overflows += stats.overflows;
                self.report.rows_audited += stats.rows_audited;
                if stats.overflows > 0 {
                    self.marks.hit(Mark::Overflow);
                }
                if stats.echoes > 0 {
                    self.marks.hit(Mark::Echo);
                }
            }
            if let Some(follower) = &process.follower {
                self.report.rows_delivered += follower.counts.rows_delivered;
                self.report.gaps += follower.counts.gaps;
                self.report.resets += follower.counts.resets();
                self.report.rows_missed += follower.oracle.rows_missed(&self.logs);
            }
        }
        self.report.rows_written = self.logs.rows_written();
        self.report.fingerprint = std::hash::Hasher::finish(&self.fingerprint);
        self.report.marks = self.marks;
        Outcome {
            report: self.report,
            violations: self.violations,
            logs: self.logs.into_inner(),
            trace: self.recorder.map(Recorder::into_trace),
        }
    }

    fn run_phases(&mut self) {
        for follower in self.writers..self.processes.len() {
            self.start_machine(follower);
        }
        let faults_end = self.faults_end();
        self.run_until(faults_end, |_| false);
        self.now = self.now.max(faults_end);
        self.heal();
        let begun = self.now;
        // First, what is announced must arrive, with nothing more written that would hide a
        // forgotten retry.
        self.run_until(begun + CONVERGES_WITHIN, |world| world.unconverged(false).is_none());
        if let Some((process, violation)) = self.unconverged(false) {
            self.break_promise(process, violation);
        }
        self.report.converged_ms =
            u64::try_from(self.now.saturating_since(begun).as_millis()).unwrap_or(u64::MAX);
        // Then fresh rows must, also where only the writers' speaking makes a source live.
        let fresh = self.now;
        let mut again_at = fresh;
        while self.unconverged(true).is_some() && self.now < fresh + FRESH_WITHIN {
            if self.stops() {
                return;
            }
            for log in 0..self.logs.len() {
                self.write(log, 2, 2);
            }
            again_at = again_at + Duration::from_secs(15);
            self.run_until(again_at, |world| world.unconverged(true).is_none());
            // Somebody asks from time to time, if not the observer.
            self.noise(Noise::Replicate);
        }
        if let Some((process, violation)) = self.unconverged(true) {
            self.break_promise(process, violation);
        }
        self.run_until(self.now + LOOKED_WITHIN, |world| world.not_looked_into().is_none());
        if let Some((process, violation)) = self.not_looked_into() {
            self.break_promise(process, violation);
        }
        self.run_until(self.now + TOLD_WITHIN, |world| world.unpublished().is_none());
        for writer in 0..self.writers {
            let is_up = self.processes[writer].link.is_up();
            let verdict = self.publish.check_answered(self.now, &self.processes[writer].name);
            if let Err(violation) = verdict
                && is_up
            {
                self.break_promise(writer, violation);
            }
        }
        if let Some((writer, violation)) = self.unpublished() {
            self.break_promise(writer, violation);
        }
        self.shut_down();
    }

    /// Plays what is planned up to `until`, or until `done` in a lull.
    fn run_until(&mut self, until: Timestamp, done: impl Fn(&Self) -> bool) {
        while let Some(at) = self.queue.next_at() {
            if self.stops() {
                return;
            }
            if at.saturating_since(self.now) >= LULL && done(self) {
                return;
            }
            if at > until {
                self.now = self.now.max(until);
                return;
            }
            let Some((at, due)) = self.queue.pop() else { break };
            self.now = at;
            self.happen(due);
        }
        // Nothing is planned: nothing will happen.
        self.now = self.now.max(until);
    }

    /// What has not arrived of what was announced, or of everything if `fresh`.
    fn unconverged(&self, fresh: bool) -> Option<(ProcessIndex, Violation)> {
        (self.writers..self.processes.len()).find_map(|index| {
            let follower = self.processes[index].follower.as_ref()?;
            let plan = &self.scenario.followers[index - self.writers];
            if !fresh && plan.observe_only {
                return None;
            }
            let upto = |log: &Log| {
                let mute = self.scenario.writers[log.writer].manners == Manners::Mute;
                let started = self.processes[log.writer].writer.as_ref()?.started;
                let direct = self.dialect_of(index).is_some();
                let unknown = follower.oracle.position_of(&log.source).is_none();
                let untold = (follower.replicate_lost && unknown) || log.unannounced;
                if !fresh && untold {
                    return None;
                }
                if !started || (mute && !fresh) || (direct && log.writer != SERVER) {
                    return None;
                }
                if direct && plan.observe_only && log.traits.order == Order::Bursts {
                    // Nobody else on this connection asks for the announcement that it takes.
                    return None;
                }
                if direct {
                    // Not every dialect tells of tokens without rows.
                    return Some(log.entries.keys().next_back().copied().unwrap_or(Token::START));
                }
                Some(if fresh { log.current } else { log.published })
            };
            let behind = !follower.pending.is_empty() || !follower.inbox.is_empty();
            let verdict = if behind {
                let what = "its application is behind".to_owned();
                Err(follower.oracle.violation(Promise::Progress, None, what))
            } else {
                follower.oracle.check_converged(&self.logs, upto)
            };
            verdict.err().map(|violation| (index, Violation { at: self.now, ..violation }))
        })
    }

    /// What got lost with its tokens and has not been found.
    fn not_looked_into(&self) -> Option<(ProcessIndex, Violation)> {
        (self.writers..self.processes.len()).find_map(|index| {
            let follower = self.processes[index].follower.as_ref()?;
            let violation = follower.oracle.check_looked_into(&self.logs).err()?;
            Some((index, Violation { at: self.now, ..violation }))
        })
    }

    /// What has gone out of a writer of ours that its application has not heard of.
    fn unpublished(&self) -> Option<(ProcessIndex, Violation)> {
        (0..self.writers).find_map(|writer| {
            let process = &self.processes[writer];
            let is_ours = process.link.is_up() && process.machine.is_some();
            let verdict = self.publish.check_published(self.now, &process.name);
            verdict.err().filter(|_| is_ours).map(|violation| (writer, violation))
        })
    }

    /// All faults end.
    fn heal(&mut self) {
        self.healed = true;
        self.note(self.writers, None, || What::FaultsEnd);
        self.bus_down_until = Timestamp::ZERO;
        let now = self.now;
        for index in 0..self.processes.len() {
            let process = &mut self.processes[index];
            let link = &mut process.link;
            (link.late_until, link.refuse, link.refuse_until) = (now, 0, Timestamp::ZERO);
            if let Some(follower) = &mut process.follower {
                follower.busy_until = follower.busy_until.min(now);
                follower.cut_after = None;
                follower.damage = None;
                follower.lose_replicates = 0;
                follower.spoil.clear();
                follower.misled_until = now;
                self.plan_handler(index);
            } else if let Some(writer) = &mut process.writer {
                (writer.stalled_until, writer.lose, writer.empty_next) = (now, 0, false);
                (writer.fail_reads, writer.amid) = (0, None);
                if !writer.started || writer.down {
                    self.start_writer(index);
                } else if writer.is_builtin {
                    self.bring_back(index);
                    self.plan_loop(index, now);
                }
            }
        }
    }

    /// The followers stop: at once, but for the end of their connections.
    fn shut_down(&mut self) {
        for index in self.writers..self.processes.len() {
            if self.stops() {
                return;
            }
            self.feed(index, Input::Shutdown, None);
            let conn = self.processes[index].link.conn;
            if self.processes[index].link.state != LinkState::Down {
                self.disconnect(index, conn, "closed");
            }
            let process = &self.processes[index];
            let Some(node) = process.machine.as_ref().and_then(|machine| machine.as_node()) else {
                continue;
            };
            let stopped = node.is_stopped() && node.poll_timeout().is_none();
            if (!stopped || !process.fetches.is_empty())
                && let Some(follower) = &process.follower
            {
                let what = "did not stop".to_owned();
                let violation = follower.oracle.violation(Promise::Progress, None, what);
                self.break_promise(index, violation);
            }
        }
    }
}
