//! One run: the hosts, the network and its faults. A seed enters; what was written and what was
//! delivered leaves.

use std::time::{Duration, SystemTime};

use turmoil::Builder;

use super::{
    chance::Chance,
    faults::{self, FOLLOWERS, Faults, WRITER},
    follower::{self, Heard},
    writer::{SPOKEN, Writer},
};

/// The result of a run.
pub(super) struct Ran {
    pub(super) writer: Writer,
    /// The events of each dialect's follower.
    pub(super) heard: [Heard; 3],
}

/// Runs the deployment with this seed until all followers have everything.
pub(super) fn run(seed: u64) -> Ran {
    let mut chance = Chance::new(seed);
    let mut builder = Builder::new();
    builder
        .rng_seed(seed)
        .epoch(SystemTime::UNIX_EPOCH)
        .enable_random_order()
        .tcp_capacity(1 << 16)
        .simulation_duration(faults::OVER + Duration::from_secs(180))
        .tick_duration(Duration::from_millis(10))
        .min_message_latency(Duration::from_millis(1))
        .max_message_latency(Duration::from_millis(20));
    let mut sim = builder.build();

    // Writes go on while the network is broken and after it is whole again.
    let until = faults::OVER + Duration::from_secs(5);
    let writer = Writer::new(Chance::new(chance.between(0, u64::MAX - 1)), until);
    let process = writer.clone();
    sim.host(WRITER, move || process.clone().run());
    let heard: [Heard; 3] = Default::default();
    for ((host, spoken), heard) in FOLLOWERS.into_iter().zip(SPOKEN).zip(&heard) {
        sim.client(host, follower::follow(seed, spoken, writer.clone(), heard.clone()));
    }

    let mut faults = Faults::new(&mut chance);
    loop {
        faults.apply(&mut sim, writer.open_streams());
        match sim.step() {
            Ok(true) => return Ran { writer, heard },
            Ok(false) => {}
            Err(error) => {
                let last: Vec<String> = heard
                    .iter()
                    .map(|heard| {
                        let events = heard.events();
                        events[events.len().saturating_sub(30)..].join("\n")
                    })
                    .collect();
                panic!("seed {seed}: {error}\nlast events per follower:\n{}", last.join("\n\n"));
            }
        }
    }
}
