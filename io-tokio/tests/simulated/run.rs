//! One run: the hosts, the network and its faults. A seed enters; what was written and what was
//! delivered leaves.

use std::time::{Duration, SystemTime};

use turmoil::Builder;

use super::{
    chance::Chance,
    faults::{self, Faults},
    follower::{self, Heard},
    redis,
    writer::Writer,
};

/// The result of a run: the writers with their logs, and the events of the follower.
pub(super) struct Ran {
    pub(super) writers: Vec<Writer>,
    pub(super) heard: Heard,
}

/// Runs the deployment with this seed until the follower has everything.
pub(super) fn run(seed: u64) -> Ran {
    let mut chance = Chance::new(seed);
    let mut builder = Builder::new();
    builder
        .rng_seed(seed)
        .epoch(SystemTime::UNIX_EPOCH)
        .enable_random_order()
        .tcp_capacity(1 << 16)
        .simulation_duration(faults::OVER + Duration::from_secs(120))
        .tick_duration(Duration::from_millis(10))
        .min_message_latency(Duration::from_millis(1))
        .max_message_latency(Duration::from_millis(20));
    let mut sim = builder.build();

    let mut writer = |name, streams: &[&'static str]| {
        // Writes go on while the network is broken and after it is whole again.
        let until = faults::OVER + Duration::from_secs(5);
        Writer::new(name, streams, Chance::new(chance.between(0, u64::MAX - 1)), until)
    };
    let writers = vec![writer("p1", &["events", "receipts"]), writer("p2", &["events"])];
    let heard = Heard::default();
    sim.host("redis", redis::serve);
    for writer in &writers {
        let writer = writer.clone();
        sim.host(writer.name(), move || writer.clone().run());
    }
    sim.client("follower", follower::follow(seed, writers.clone(), heard.clone()));

    let mut faults = Faults::new(&mut chance);
    loop {
        faults.apply(&mut sim);
        match sim.step() {
            Ok(true) => return Ran { writers, heard },
            Ok(false) => {}
            Err(error) => {
                let events = heard.events();
                let last = events[events.len().saturating_sub(40)..].join("\n");
                panic!("seed {seed}: {error}; the last events:\n{last}");
            }
        }
    }
}
