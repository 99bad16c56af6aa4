//! Scripted writers, a bus, fetch sources and the real follower, on virtual time.

use std::time::Duration;

use synrepl_core::{
    Config, Input, Start, Timestamp,
    wire::{Command, Decoder},
};

use super::{
    follower::{Answer, BATCH_ROWS, Follower, Says},
    model::Step,
};
use crate::{
    oracle::{Promise, Violation},
    world::{Log, Logs, damaged, look},
};

/// Simulated time within which everything must arrive once all faults are gone.
const CONVERGES_WITHIN: Duration = Duration::from_secs(600);

/// What a writer is besides its logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Writer {
    online: bool,
    must_announce: bool,
}

/// Everything that the future depends on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct World {
    now: Timestamp,
    pub(super) follower: Follower,
    lose_replicate: bool,
    writers: Vec<Writer>,
    pub(super) logs: Logs,
}

type Outcome = Result<(), Violation>;

impl World {
    /// Makes a world of streams, each with the number of its writers. With tight limits every queue
    /// of the follower overflows.
    pub(super) fn new(streams: &[(&str, usize)], tight_limits: bool) -> (Self, Outcome) {
        let mut config = Config::default();
        config.start = Start::Beginning;
        if tight_limits {
            config.limits.held_rows_max = 2;
            config.limits.batch_rows_max = 2;
            config.limits.burst_rows_max = 3;
            config.catch_up.burst_window_max = 3;
            config.catch_up.fetches_in_flight_max = 1;
        }
        let writers = streams.iter().map(|(_, writers)| *writers).max().unwrap_or_default();
        let mut world = Self {
            now: Timestamp::ZERO,
            follower: Follower::new(config),
            lose_replicate: false,
            writers: vec![Writer { online: true, must_announce: true }; writers],
            logs: Logs::of(streams.iter().map(|(name, writers)| (*name, (0..*writers).collect()))),
        };
        let says = world.follower.begin(&world.logs);
        let outcome = world.hear(says);
        (world, outcome)
    }

    pub(super) fn step(&mut self, step: Step) -> Outcome {
        match step {
            Step::Write { source } => self.logs.write(source, BATCH_ROWS),
            Step::Flush { writer } => self.flush(writer),
            Step::Deliver => return self.deliver(),
            Step::Damage => self.damage(),
            Step::Answer { fetch, answer } => return self.answer(fetch, answer),
            Step::Lose => {
                let input = self.follower.member.lose();
                return self.handle(input);
            }
            Step::Connect => {
                let input = self.follower.member.connect();
                return self.handle(input);
            }
            Step::LoseReplicate => self.lose_replicate = true,
            Step::Wait => return self.wait(self.until_timeout().unwrap_or_default()),
            Step::RestartWriter { writer } => {
                self.logs.of_writer(writer).for_each(Log::restart);
                self.writers[writer] = Writer { online: true, must_announce: true };
                self.flush(writer);
            }
            Step::WriterOffline { writer } => self.writers[writer].online = false,
            Step::WriterOnline { writer } => self.bring_online(writer),
            Step::RestartFollower => {
                self.now = Timestamp::ZERO;
                let says = self.follower.restart(&self.logs);
                return self.hear(says);
            }
        }
        Ok(())
    }

    fn flush(&mut self, writer: usize) {
        let Writer { online, must_announce } = self.writers[writer];
        self.writers[writer].must_announce &= !online;
        for index in 0..self.logs.len() {
            if self.logs[index].writer == writer {
                self.logs.follow(index);
            }
        }
        for log in self.logs.of_writer(writer) {
            let said = look(log, must_announce);
            let lines: Vec<_> = said.iter().flat_map(|said| said.lines(&log.source)).collect();
            for line in lines.into_iter().filter(|_| online) {
                if let Ok(command) = Decoder::new().decode(&line) {
                    log.on_said(&command);
                }
                self.follower.member.post(line);
            }
        }
    }

    fn bring_online(&mut self, writer: usize) {
        if self.writers[writer].online {
            return;
        }
        // What was written meanwhile was moved past, not sent.
        self.logs.of_writer(writer).for_each(|log| log.last_token = log.current);
        self.writers[writer] = Writer { online: true, must_announce: true };
        self.flush(writer);
    }

    fn damage(&mut self) {
        let next = self.follower.member.inbox.front_mut();
        if let Some(line) = next.filter(|line| line.starts_with(b"RDATA")) {
            *line = damaged(line, 0);
        }
    }

    fn handle(&mut self, input: Option<Input>) -> Outcome {
        let Some(input) = input else { return Ok(()) };
        let says = self.follower.handle(self.now, input, None, &self.logs);
        self.hear(says)
    }

    fn deliver(&mut self) -> Outcome {
        let says = self.follower.deliver(self.now, &self.logs);
        self.hear(says)
    }

    fn answer(&mut self, fetch: usize, answer: Answer) -> Outcome {
        let says = self.follower.answer(self.now, fetch, answer, &self.logs);
        self.hear(says)
    }

    fn wait(&mut self, time: Duration) -> Outcome {
        self.now = self.now + time;
        self.handle(Some(Input::Tick))
    }

    /// What the follower says reaches the writers at once, if it does.
    fn hear(&mut self, says: Says) -> Outcome {
        for command in says? {
            if let Command::Replicate(_) = command {
                let heard = !std::mem::take(&mut self.lose_replicate);
                self.writers.iter_mut().for_each(|writer| writer.must_announce |= heard);
            }
        }
        self.follower.forget_cancelled();
        Ok(())
    }

    /// Checks liveness: the faults end, every writer writes once more, and all rows must arrive.
    pub(super) fn converge(&mut self) -> Outcome {
        self.lose_replicate = false;
        for writer in 0..self.writers.len() {
            self.bring_online(writer);
        }
        for index in 0..self.logs.len() {
            self.logs.write(index, BATCH_ROWS);
        }
        let deadline = self.now + CONVERGES_WITHIN;
        while self.now < deadline {
            if self.follower.member.wants_connection() {
                self.step(Step::Connect)?;
            }
            for writer in 0..self.writers.len() {
                self.flush(writer);
            }
            while self.follower.has_mail() || self.follower.pending() > 0 {
                self.deliver()?;
                if self.follower.pending() > 0 {
                    self.answer(0, Answer::Now)?;
                }
            }
            let idle = self.writers.iter().all(|writer| !writer.must_announce);
            if self.follower.member.up && idle && self.check_converged().is_ok() {
                return self.shut_down();
            }
            match self.follower.member.node.poll_timeout() {
                Some(at) => self.wait(at.saturating_since(self.now))?,
                None => break,
            }
        }
        self.check_converged()
    }

    fn check_converged(&self) -> Outcome {
        self.follower.check_converged(&self.logs, |log| log.last_token)
    }

    /// The follower is told to stop, and must have stopped once its connection has ended.
    fn shut_down(&mut self) -> Outcome {
        self.handle(Some(Input::Shutdown))?;
        self.step(Step::Lose)?;
        let node = &self.follower.member.node;
        if node.is_stopped() && node.poll_timeout().is_none() && self.follower.pending() == 0 {
            return Ok(());
        }
        Err(self.follower.violation(Promise::Progress, "did not stop".to_owned()))
    }

    /// How many writers there are.
    pub(super) const fn writers(&self) -> usize {
        self.writers.len()
    }

    /// The time until the follower wants to be woken, in whole milliseconds, if it is not long.
    pub(super) fn until_timeout(&self) -> Option<Duration> {
        let due = self.follower.member.node.poll_timeout()?.saturating_since(self.now);
        let ms = u16::try_from(due.as_micros().div_ceil(1_000)).ok()?;
        Some(Duration::from_millis(ms.into()))
    }
}
