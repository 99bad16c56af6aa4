//! Carries out what a scenario lets happen, and ends each fault at its time.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use synrepl_core::{Timestamp, stream::Source};
use tokio::sync::mpsc;
use turmoil::Sim;

use super::{
    direct::SERVER,
    hosts::{follower_host, writer_host},
    redis::{HOST, party_of},
    stage::{Contents, Stage, now},
};
use crate::{
    marks::Mark,
    scenario::{FetchFault, Happening, Noise, Via, Whom},
    trace::What,
    world::damaged,
};

/// The time for which a follower that crashed is dead.
const FOLLOWER_DOWN: Duration = Duration::from_millis(500);
/// The time for which a follower has no way to any writer, for each fetch that is to find none.
const SPOILED_FOR: Duration = Duration::from_secs(2);

/// What is done when a fault is over.
#[derive(Clone, Debug, PartialEq, Eq)]
enum End {
    Release(String, String),
    Repair(String, String),
    Bounce(String),
}

/// The faults of the network and its hosts.
pub(super) struct Faults {
    stage: Stage,
    noise: mpsc::Sender<Bytes>,
    /// The ends of the present faults, by time, and by number at the same time.
    ends: BTreeMap<(Timestamp, u64), End>,
    count: u64,
}

impl Faults {
    pub(super) const fn new(stage: Stage, noise: mpsc::Sender<Bytes>) -> Self {
        Self { stage, noise, ends: BTreeMap::new(), count: 0 }
    }

    /// Ends the faults that are over.
    pub(super) fn end_due(&mut self, sim: &mut Sim<'_>, now: Timestamp) {
        while let Some(entry) = self.ends.first_entry() {
            if entry.key().0 > now {
                return;
            }
            end(sim, &entry.remove());
        }
    }

    /// Ends all faults.
    pub(super) fn heal(&mut self, sim: &mut Sim<'_>, now: Timestamp) {
        for end_of in std::mem::take(&mut self.ends).into_values() {
            end(sim, &end_of);
        }
        let mut stage = self.stage.lock();
        let bus = stage.bus_lane();
        stage.note(now, bus, None, || What::FaultsEnd);
        for writer in &mut stage.writers {
            (writer.lose, writer.fail_reads) = (0, 0);
            (writer.stalled_until, writer.accepts_at) = (now, now);
        }
        for follower in &mut stage.followers {
            follower.heal(now);
        }
    }

    /// Lets a stranger ask everyone to announce, as happens in every deployment from time to time.
    /// An observer depends on that, as it does not ask itself.
    pub(super) fn ask(&self) {
        self.noise.try_send(line(Noise::Replicate)).ok();
    }

    /// Carries out one event of the scenario.
    pub(super) fn happen(&mut self, sim: &mut Sim<'_>, now: Timestamp, what: Happening) {
        let (writers, followers, sources) = {
            let stage = self.stage.lock();
            (stage.writers.len(), stage.followers.len(), stage.logs.len())
        };
        let (writer_of, follower_of) = (
            |number: u8| usize::from(number) % writers,
            |number: u8| usize::from(number) % followers,
        );
        let millis = |ms: u16| Duration::from_millis(u64::from(ms));
        let bus = HOST.to_owned();
        if what.is_fault() {
            self.say(now, what, writers, followers);
        }
        match what {
            Happening::Write { source, tokens, rows } => {
                let index = usize::from(source) % sources.max(1);
                self.stage.lock().write(now, index, tokens.clamp(1, 8), rows.clamp(1, 4));
            }
            Happening::Cut { follower, after } => {
                let mut stage = self.stage.lock();
                let part = &mut stage.followers[follower_of(follower)];
                part.cut_after = Some(after.max(1));
                part.cut_publishing = after % 3 == 1;
            }
            Happening::HalfOpen { follower, ms } => {
                self.stage.lock().marks.hit(Mark::HalfOpen);
                let (here, there) = self.ends_of(follower_of(follower));
                self.partition(sim, here, there, now + millis(ms));
            }
            Happening::Deafen { follower, ms } => {
                let (here, there) = self.ends_of(follower_of(follower));
                sim.partition_oneway(there.as_str(), here.as_str());
                self.until(now + millis(ms), End::Repair(here, there));
            }
            Happening::RefuseConnections { follower, count } => {
                let mut stage = self.stage.lock();
                let follower = follower_of(follower);
                let part = &mut stage.followers[follower];
                part.refuse = count;
                part.cut_publishing = false;
                part.kick.notify_waiters();
                stage.direct.cut(follower);
            }
            Happening::DelayFollower { follower, ms } => {
                let (here, there) = self.ends_of(follower_of(follower));
                self.hold(sim, here, there, now + millis(ms));
            }
            Happening::DelayWriter { writer, ms } => {
                let host = writer_host(writer_of(writer));
                self.hold(sim, host, bus, now + millis(ms));
            }
            Happening::StallWriter { writer, ms } => {
                let until = now + millis(ms);
                self.stage.lock().writers[writer_of(writer)].stalled_until = until;
            }
            Happening::FailReads { writer, count } => {
                self.stage.lock().writers[writer_of(writer)].fail_reads = count.clamp(1, 16);
            }
            Happening::SlowAccept { writer, ms } => {
                let until = now + millis(ms);
                self.stage.lock().writers[writer_of(writer)].accepts_at = until;
            }
            Happening::Pieces { bytes } => self.stage.lock().pieces = bytes,
            Happening::ClockJump { follower, ms } => {
                let mut stage = self.stage.lock();
                stage.marks.hit(Mark::ClockJumped);
                let part = &mut stage.followers[follower_of(follower)];
                part.jump += millis(ms);
                part.jumps.notify_one();
            }
            Happening::WriterOffline { writer, ms } => {
                self.stage.lock().marks.hit(Mark::WriterOffline);
                let host = writer_host(writer_of(writer));
                self.partition(sim, host, bus, now + millis(ms));
            }
            Happening::CrashFollower { follower } => {
                self.stage.lock().marks.hit(Mark::FollowerCrashed);
                self.crash(sim, follower_host(follower_of(follower)), now + FOLLOWER_DOWN);
            }
            Happening::CrashWriter { writer, down_ms } => {
                let writer = writer_of(writer);
                if self.crash(sim, writer_host(writer), now + millis(down_ms)) {
                    let mut stage = self.stage.lock();
                    stage.marks.hit(Mark::WriterCrashed);
                    stage.writers[writer].is_up = false;
                }
            }
            Happening::RestartBus { down_ms } => {
                self.stage.lock().marks.hit(Mark::BusRestarted);
                self.crash(sim, bus, now + millis(down_ms));
            }
            Happening::SlowHandler { follower, ms } => {
                let mut stage = self.stage.lock();
                stage.marks.hit(Mark::SlowHandler);
                stage.followers[follower_of(follower)].slow_until = now + millis(ms);
            }
            Happening::LoseReplicate { follower } => {
                self.stage.lock().followers[follower_of(follower)].lose_replicates += 1;
            }
            Happening::Damage { follower, byte } => {
                self.stage.lock().followers[follower_of(follower)].damage = Some(byte);
            }
            Happening::SpoilFetches { follower, fault: FetchFault::NoEndpoint, count } => {
                self.stage.lock().marks.hit(Mark::FetchNoWay);
                let host = follower_host(follower_of(follower));
                let until = now + SPOILED_FOR * u32::from(count.clamp(1, 4));
                for writer in 0..writers {
                    self.partition(sim, host.clone(), writer_host(writer), until);
                }
            }
            Happening::SpoilFetches { follower, fault, count } => {
                let mut stage = self.stage.lock();
                let spoil = &mut stage.followers[follower_of(follower)].spoil;
                spoil.extend(std::iter::repeat_n(fault, usize::from(count.clamp(1, 8))));
                spoil.truncate(32);
            }
            Happening::LosePublish { writer, count } => {
                self.stage.lock().writers[writer_of(writer)].lose = count;
            }
            Happening::Noise { noise } => {
                self.mark_noise(noise);
                // The noise is not heard if the server is down.
                self.noise.try_send(line(noise)).ok();
            }
            Happening::WaitFor { .. }
            | Happening::Repeat { .. }
            | Happening::EmptyPosition { .. }
            | Happening::AnswerAmid { .. }
            | Happening::DieAmid { .. }
            | Happening::RestoreBackup { .. }
            | Happening::WrongAddresses { .. } => {}
        }
    }

    /// Returns the two hosts between which a follower's connection stands.
    fn ends_of(&self, follower: usize) -> (String, String) {
        let there = match self.stage.lock().followers[follower].via {
            Via::Bus => HOST.to_owned(),
            Via::Tcp(_) => writer_host(SERVER),
        };
        (follower_host(follower), there)
    }

    fn mark_noise(&self, noise: Noise) {
        let mark = match noise {
            Noise::Garbage | Noise::Blank | Noise::UnknownCommand => Mark::Garbage,
            Noise::UnknownStream => Mark::UnknownStream,
            Noise::Replicate | Noise::RemoteServerUp => return,
        };
        self.stage.lock().marks.hit(mark);
    }

    /// Records a fault on the lane of the instance that it strikes.
    fn say(&self, now: Timestamp, what: Happening, writers: usize, followers: usize) {
        let mut stage = self.stage.lock();
        let lane = match what.whom() {
            Whom::Writer(number) => usize::from(number) % writers,
            Whom::Follower(number) => stage.follower_lane(usize::from(number) % followers),
            Whom::Bus => stage.bus_lane(),
        };
        stage.note(now, lane, None, || What::Fault { text: format!("{what:?}") });
    }

    fn until(&mut self, at: Timestamp, end: End) {
        self.count += 1;
        self.ends.insert((at, self.count), end);
    }

    fn hold(&mut self, sim: &mut Sim<'_>, a: String, b: String, until: Timestamp) {
        sim.hold(a.as_str(), b.as_str());
        self.until(until, End::Release(a, b));
    }

    fn partition(&mut self, sim: &mut Sim<'_>, a: String, b: String, until: Timestamp) {
        sim.partition(a.as_str(), b.as_str());
        self.until(until, End::Repair(a, b));
    }

    /// Crashes a host. Returns false if it is dead already.
    fn crash(&mut self, sim: &mut Sim<'_>, host: String, until: Timestamp) -> bool {
        if self.ends.values().any(|end| *end == End::Bounce(host.clone())) {
            return false;
        }
        self.stage.lock().open.set_dying(party_of(&host));
        sim.crash(host.as_str());
        self.stage.lock().open.set_dying(None);
        self.until(until, End::Bounce(host));
        true
    }
}

fn end(sim: &mut Sim<'_>, end: &End) {
    match end {
        End::Release(a, b) => sim.release(a.as_str(), b.as_str()),
        End::Repair(a, b) => sim.repair(a.as_str(), b.as_str()),
        End::Bounce(host) => sim.bounce(host.as_str()),
    }
}

/// Returns a command on its way to a follower, damaged if that is planned. The names of the source
/// stay readable, since otherwise nobody could know that something of it was lost.
pub(super) fn damage(
    stage: &mut Contents,
    follower: usize,
    line: &Bytes,
    source: Option<&Source>,
) -> Bytes {
    if !line.starts_with(b"RDATA ") || source.is_none() {
        return line.clone();
    }
    let Some(byte) = stage.followers[follower].damage.take() else { return line.clone() };
    stage.marks.hit(Mark::Damaged);
    let at = stage.bus_lane();
    let text = format!("damaged: {}", String::from_utf8_lossy(line));
    stage.note(now(), at, source, || What::Fault { text });
    damaged(line, byte)
}

fn line(noise: Noise) -> Bytes {
    Bytes::from_static(match noise {
        Noise::Replicate => b"REPLICATE ",
        Noise::Garbage => b"\xff\xfe not a command",
        Noise::Blank => b"",
        Noise::UnknownCommand => b"FROM_THE_FUTURE 1 2 3",
        Noise::UnknownStream => b"POSITION nobody_knows stranger 3 9",
        Noise::RemoteServerUp => b"REMOTE_SERVER_UP example.org",
    })
}
