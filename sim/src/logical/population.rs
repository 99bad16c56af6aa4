//! The instances that exist when a scenario begins.

use std::{collections::BTreeMap, time::Duration};

use bytestring::ByteString;
use synrepl_core::{Config, Start, Timestamp, Transport, stream::Positions};

use super::{
    process::{Due, Follower, Link, Process, Writer},
    queue::Queue,
    world::World,
};
use crate::{
    choice::Choice,
    marks::{Mark, Marks},
    oracle::{Counts, Oracle, PublishOracle},
    outcome::Report,
    recorder::Recorder,
    scenario::{FollowerPlan, Manners, Scenario, Timed, Via},
    world::{Fingerprint, Logs, scramble},
};

/// Commands that a peer may leave untaken.
pub(super) const PEER_PENDING_MAX: u32 = 64;
/// Rows that a writer of ours asks its log for at once, and commands that the bus may not have
/// answered: few, so that logs are read in pages and the bus is full at times.
const LOG_ROWS_MAX: u32 = 5;
const UNCONFIRMED_MAX: u32 = 8;
/// Time between two audits of a follower that has them: short, so that faults come in between.
const AUDIT_EVERY: Duration = Duration::from_secs(2);
/// Name of the homeserver.
const SERVER_NAME: &str = "example.org";

impl<'a> World<'a> {
    pub(crate) fn new(scenario: &'a Scenario, options: Choice<'a>) -> Self {
        let writers = scenario.writers.len();
        let recorder = options.traced.then(|| Recorder::new(scenario));
        let mut world = Self {
            scenario,
            options,
            now: Timestamp::ZERO,
            queue: Queue::new(),
            processes: Vec::new(),
            writers,
            logs: Logs::planned(scenario),
            waits: 0,
            messages: 0,
            accepted: 0,
            bus_down_until: Timestamp::ZERO,
            healed: false,
            publish: PublishOracle::default(),
            violations: Vec::new(),
            recorder,
            fingerprint: Fingerprint::default(),
            marks: Marks::default(),
            report: Report::default(),
        };
        world.populate();
        world
    }

    fn populate(&mut self) {
        let scenario = self.scenario;
        let faults_end = self.faults_end();
        for (number, plan) in scenario.writers.iter().enumerate() {
            let writer = Writer {
                started: false,
                down: true,
                must_announce: false,
                loop_planned: false,
                stalled_until: Timestamp::ZERO,
                lose: 0,
                fail_reads: 0,
                amid: None,
                empty_next: false,
                last_batch: Vec::new(),
                is_builtin: plan.manners != Manners::Ours,
            };
            let name = Scenario::writer_name(number);
            let mut config = self.config(number as u64);
            config.publish.peer_pending_max = PEER_PENDING_MAX;
            config.publish.log_rows_max = LOG_ROWS_MAX;
            config.publish.unconfirmed_max = UNCONFIRMED_MAX;
            config.server_name = Some(ByteString::from_static(SERVER_NAME));
            config.instance.clone_from(&name);
            self.processes.push(Process::new(name, config, None, Some(writer)));
            let at = millis(plan.starts_ms).min(faults_end);
            if at > Timestamp::ZERO {
                self.marks.hit(Mark::WriterAppeared);
            }
            self.queue.plan(at, Due::WriterStarts { writer: number });
        }
        for (number, plan) in scenario.followers.iter().enumerate() {
            let name = scenario.follower_name(number);
            if plan.namesake_of.is_some() {
                self.marks.hit(Mark::SameName);
            }
            let mut config = follower_config(plan, self.config(64 + number as u64));
            config.instance.clone_from(&name);
            let follower = Follower::new(
                Oracle::new(name.clone(), plan.from_beginning, config.transport)
                    .auditing(plan.audit)
                    .giving_up(plan.gives_up),
                plan,
            );
            self.processes.push(Process::new(name, config, Some(follower), None));
        }
        for (index, Timed { at_ms, .. }) in scenario.events.iter().enumerate() {
            self.queue.plan(millis(*at_ms).min(faults_end), Due::Happening(index));
        }
    }

    fn config(&self, number: u64) -> Config {
        let mut config = Config::default();
        config.seed = scramble(self.scenario.seed, number, 0);
        config
    }

    pub(super) fn faults_end(&self) -> Timestamp {
        millis(self.scenario.faults_end_ms)
    }
}

impl Process {
    fn new(
        name: String,
        config: Config,
        follower: Option<Follower>,
        writer: Option<Writer>,
    ) -> Self {
        Self {
            name,
            machine: None,
            config,
            link: Link::new(),
            skew: Duration::ZERO,
            timer_at: None,
            life: 0,
            fetches: BTreeMap::new(),
            cancelled: BTreeMap::new(),
            follower,
            writer,
        }
    }
}

impl Follower {
    fn new(oracle: Oracle, plan: &FollowerPlan) -> Self {
        Self {
            oracle,
            counts: Counts::default(),
            handler_us: plan.handler_us,
            pending: std::collections::VecDeque::new(),
            inbox: std::collections::VecDeque::new(),
            busy_until: Timestamp::ZERO,
            tick_missed: false,
            handler_planned: false,
            applied: Positions::new(),
            cut_after: None,
            damage: None,
            lose_replicates: 0,
            replicate_lost: false,
            spoil: std::collections::VecDeque::new(),
            misled_until: Timestamp::ZERO,
            open_batches: std::collections::BTreeSet::new(),
            positioned: std::collections::BTreeSet::new(),
            last_was_position: false,
            latest: (0, 0),
            live_since: None,
        }
    }
}

fn millis(ms: u32) -> Timestamp {
    Timestamp::from_micros(u64::from(ms) * 1_000)
}

fn follower_config(plan: &FollowerPlan, mut config: Config) -> Config {
    if let Via::Tcp(dialect) = plan.via {
        config.transport = Transport::Tcp(dialect);
    }
    config.start = if plan.from_beginning { Start::Beginning } else { Start::Now };
    config.observe_only = plan.observe_only;
    config.instance_id = ByteString::from_static("abcde");
    if plan.tight_limits {
        config.limits.held_rows_max = 2;
        config.limits.held_bytes_total_max = 800;
        config.limits.batch_rows_max = 2;
        config.limits.burst_rows_max = 3;
        config.catch_up.burst_window_max = 3;
        config.catch_up.fetches_in_flight_max = 1;
        config.audit.audit_rows_max = 6;
    }
    config.audit.audit_every = plan.audit.then_some(AUDIT_EVERY);
    config.catch_up.fetch_attempts_max = plan.gives_up.then_some(2);
    config
}
