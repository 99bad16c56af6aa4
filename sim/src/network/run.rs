//! One run: it sets up the hosts and the network, plays the scenario, and then waits until
//! everything has arrived and has come to rest.

use std::{
    cell::RefCell,
    hash::Hasher as _,
    rc::Rc,
    time::{Duration, SystemTime},
};

use synrepl_core::Timestamp;
use tokio::sync::mpsc;
use turmoil::{Builder, Sim};

use super::{
    fault::Faults,
    hosts::{follower, follower_host, writer, writer_host},
    redis::{self, HOST},
    stage::{Contents, Stage, begin_step},
};
use crate::{
    oracle::{Promise, Violation},
    outcome::{Outcome, Report},
    scenario::Scenario,
};

/// Simulated time without faults within which everything must have arrived. The longest retry is
/// that of a fetch, 30 s and a quarter, and one may follow the other.
const CONVERGES_WITHIN: Duration = Duration::from_secs(300);
/// Simulated time within which rows written after that must have arrived.
const FRESH_WITHIN: Duration = Duration::from_secs(120);
/// Simulated time between two checks whether everything has arrived.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Simulated time between two REPLICATEs of a stranger, if there are observers, and between fresh
/// rows.
const AGAIN_EVERY: Duration = Duration::from_secs(15);
/// Simulated time after which a REPLICATE must have been answered: a little more than the oracle
/// lets pass.
const ANSWERS_WITHIN: Duration = Duration::from_secs(12);
/// Simulated time for which nothing more may come once everything has arrived. At its beginning
/// everyone is asked to announce.
const QUIET: Duration = Duration::from_secs(20);
/// Simulated time within which a follower that is told to stop has done so.
const STOPS_WITHIN: Duration = Duration::from_secs(5);
/// The messages of strangers that may wait for the server.
const NOISE_MAX: usize = 16;
const TICK: Duration = Duration::from_millis(10);

/// Plays a scenario with the whole driver, up to the first broken promise.
///
/// The same scenario is the same run in every process. It takes seconds rather than milliseconds.
/// A scenario without a writer or a follower is an empty run.
pub fn play(scenario: &Scenario, traced: bool) -> Outcome {
    let stage = Stage::new(Contents::new(scenario, traced));
    if !scenario.writers.is_empty() && !scenario.followers.is_empty() {
        Run::new(scenario, &stage).play(scenario);
    }
    let mut contents = stage.lock();
    let mut report = Report {
        steps: contents.steps,
        rows_written: contents.logs.rows_written(),
        rows_fetched: contents.rows_fetched,
        converged_ms: u64::try_from(contents.converged_in.as_millis()).unwrap_or(u64::MAX),
        marks: contents.marks,
        fingerprint: contents.fingerprint.finish(),
        ..Report::default()
    };
    for part in &contents.followers {
        report.rows_delivered += part.counts.rows_delivered;
        report.gaps += part.counts.gaps;
        report.resets += part.counts.resets();
    }
    Outcome {
        report,
        violations: std::mem::take(&mut contents.violations),
        logs: std::mem::take(&mut contents.logs).into_inner(),
        trace: contents.recorder.take().map(crate::recorder::Recorder::into_trace),
    }
}

struct Run<'a> {
    sim: Sim<'a>,
    stage: Stage,
    faults: Faults,
}

impl Run<'_> {
    fn new(scenario: &Scenario, stage: &Stage) -> Self {
        let faults_end = Duration::from_millis(u64::from(scenario.faults_end_ms));
        let (least, most) = scenario.delay_us;
        let micros = |us: u32| Duration::from_micros(u64::from(us));
        let mut sim = Builder::new()
            .rng_seed(scenario.seed)
            .epoch(SystemTime::UNIX_EPOCH)
            .enable_random_order()
            // The buffers are large, as a full one would end the simulation.
            .tcp_capacity(1 << 16)
            .simulation_duration(faults_end + CONVERGES_WITHIN + FRESH_WITHIN * 2)
            .tick_duration(TICK)
            .min_message_latency(micros(least.min(most)))
            .max_message_latency(micros(most.max(least)))
            .build();
        let (noise, strange) = mpsc::channel(NOISE_MAX);
        let strange = Rc::new(RefCell::new(strange));
        {
            let stage = stage.clone();
            sim.host(HOST, move || redis::serve(stage.clone(), Rc::clone(&strange)));
        }
        for number in 0..scenario.writers.len() {
            let stage = stage.clone();
            sim.host(writer_host(number), move || writer(stage.clone(), number));
        }
        for number in 0..scenario.followers.len() {
            let stage = stage.clone();
            sim.host(follower_host(number), move || follower(stage.clone(), number));
        }
        Self { sim, stage: stage.clone(), faults: Faults::new(stage.clone(), noise) }
    }

    fn play(&mut self, scenario: &Scenario) {
        for event in &scenario.events {
            let at = event.at_ms.min(scenario.faults_end_ms);
            if !self.run_until(Duration::from_millis(u64::from(at))) {
                return;
            }
            let now = self.now();
            self.faults.happen(&mut self.sim, now, event.what);
        }
        if !self.run_until(Duration::from_millis(u64::from(scenario.faults_end_ms))) {
            return;
        }
        let now = self.now();
        self.faults.heal(&mut self.sim, now);
        let begun = self.sim.elapsed();
        let all_came = self.converges(false, CONVERGES_WITHIN);
        self.stage.lock().converged_in = self.sim.elapsed() - begun;
        if !all_came || !self.converges(true, FRESH_WITHIN) {
            return;
        }
        let quiet_ends = self.sim.elapsed() + QUIET;
        if self.answers() && self.run_until(quiet_ends) {
            self.stops();
        }
    }

    /// Checks that every writer announces when it is asked to, and is told that this has gone out.
    /// Returns false if a promise was broken.
    fn answers(&mut self) -> bool {
        self.faults.ask();
        self.run_for(ANSWERS_WITHIN)
            && self.keeps(|stage, now| {
                stage.check_answered(now).or_else(|| stage.check_published(now))
            })
    }

    /// Checks that every follower stops when it is told to. Returns false if a promise was broken.
    fn stops(&mut self) -> bool {
        self.stage.lock().shut_down();
        let deadline = self.sim.elapsed() + STOPS_WITHIN;
        while self.sim.elapsed() < deadline && self.stage.lock().check_stopped().is_some() {
            if !self.run_for(LOOK_EVERY) {
                return false;
            }
        }
        self.keeps(|stage, _| stage.check_stopped())
    }

    /// Makes a check, and records the broken promise that it finds. Returns false if it finds one.
    fn keeps(
        &self,
        check: impl FnOnce(&Contents, Timestamp) -> Option<(usize, Violation)>,
    ) -> bool {
        let now = self.now();
        let mut stage = self.stage.lock();
        match check(&stage, now) {
            None => true,
            Some((lane, violation)) => {
                stage.break_promise(now, lane, violation);
                false
            }
        }
    }

    fn now(&self) -> Timestamp {
        Timestamp::ZERO + self.sim.elapsed()
    }

    /// Runs the network for this long. Returns false if a promise was broken meanwhile.
    fn run_for(&mut self, time: Duration) -> bool {
        self.run_until(self.sim.elapsed() + time)
    }

    /// Runs the network up to this time. Returns false if a promise was broken meanwhile.
    fn run_until(&mut self, until: Duration) -> bool {
        while self.sim.elapsed() < until {
            let now = self.now();
            self.faults.end_due(&mut self.sim, now);
            begin_step(self.sim.elapsed() + TICK);
            if let Err(error) = self.sim.step() {
                let mut stage = self.stage.lock();
                let lane = stage.bus_lane();
                let violation = Violation {
                    promise: Promise::Total,
                    at: now,
                    instance: "a host".to_owned(),
                    source: None,
                    what: error.to_string(),
                };
                stage.break_promise(now, lane, violation);
            }
            if !self.stage.lock().violations.is_empty() {
                return false;
            }
        }
        true
    }

    /// Runs the network until everything has arrived, with new rows again and again if `fresh`.
    /// Returns false if that took too long or a promise was broken otherwise.
    fn converges(&mut self, fresh: bool, within: Duration) -> bool {
        let deadline = self.sim.elapsed() + within;
        let mut again_at = self.sim.elapsed();
        // Observers have to wait until somebody else asks.
        let asks = self.stage.lock().has_observers();
        if !fresh {
            again_at += AGAIN_EVERY;
        }
        loop {
            if self.sim.elapsed() >= again_at {
                again_at += AGAIN_EVERY;
                if fresh {
                    let now = self.now();
                    let mut stage = self.stage.lock();
                    for log in 0..stage.logs.len() {
                        stage.write(now, log, 2, 2);
                    }
                }
                if asks {
                    self.faults.ask();
                }
            }
            if !self.run_for(LOOK_EVERY) {
                return false;
            }
            let mut stage = self.stage.lock();
            match stage.unconverged(fresh) {
                None => return true,
                Some((lane, violation)) if self.sim.elapsed() >= deadline => {
                    let now = Timestamp::ZERO + self.sim.elapsed();
                    stage.break_promise(now, lane, violation);
                    return false;
                }
                Some(_) => {}
            }
        }
    }
}
