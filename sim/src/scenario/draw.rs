//! The drawing of scenarios: a seed gives bytes, and any bytes give a [`Scenario`].

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng as _, SeedableRng as _};
use synrepl_core::wire::Dialect;

use super::{
    FetchFault, FollowerPlan, Happening, Manners, Mode, Noise, Scenario, StreamPlan, Timed, Via,
    WriterPlan,
};

/// The most events of a drawn scenario.
const EVENTS_MAX: usize = 240;
/// The bytes that one event takes.
const EVENT_BYTES: usize = 6;
/// The bytes before the events, approximately.
const HEAD_BYTES: usize = 64;

/// A positional decoder of choices. Bytes beyond the end read as zero, which is everywhere the
/// simplest choice, so a shorter input gives a shorter run, and one changed byte changes one
/// choice.
struct Choices<'a>(&'a [u8]);

impl Choices<'_> {
    fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((first, rest)) => {
                self.0 = rest;
                *first
            }
            None => 0,
        }
    }

    /// Returns the next byte without taking it.
    fn peek(&self) -> u8 {
        self.0.first().copied().unwrap_or(0)
    }

    /// Takes a number below `bound`, which must not be 0. Its slight bias does not matter.
    fn below(&mut self, bound: u8) -> u8 {
        self.byte() % bound
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[usize::from(self.byte()) % all.len()]
    }

    /// Takes a choice that is true in about one of `bound` cases; false if no byte is left.
    fn one_in(&mut self, bound: u8) -> bool {
        self.below(bound) == bound - 1
    }
}

const STREAMS: [&str; 11] = [
    "events",
    "backfill",
    "caches",
    "typing",
    "receipts",
    "device_lists",
    "profile_updates",
    "federation",
    "presence_federation",
    "to_device",
    "from_the_future",
];

/// The number of kinds of faults, each of which is on or off for a whole run.
const KINDS: usize = 22;

impl Scenario {
    /// Returns the scenario of this seed in swarm mode. It is the same wherever the version of this
    /// crate is the same.
    pub fn from_seed(seed: u64) -> Self {
        Self::draw(Mode::Swarm, seed)
    }

    /// Returns the scenario of this mode and seed. It is the same wherever the version of this
    /// crate is the same.
    pub fn draw(mode: Mode, seed: u64) -> Self {
        if let Mode::Pattern(pattern) = mode {
            return pattern.scenario(seed);
        }
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let events = 20 + rng.next_u32() as usize % (EVENTS_MAX - 20);
        let mut bytes = vec![0; HEAD_BYTES + events * EVENT_BYTES];
        rng.fill_bytes(&mut bytes);
        Self::decode(mode, seed, &bytes)
    }

    /// Decodes a scenario, for fuzzers and property tests. Any bytes are valid; a changed byte
    /// changes one choice, and a shorter input gives a shorter run.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let mut choices = Choices(bytes);
        let mode = choices.one_of(&[Mode::Calm, Mode::Swarm, Mode::Swarm, Mode::Storm]);
        let seed = u64::from(choices.byte());
        Self::decode(mode, seed, choices.0)
    }

    fn decode(mode: Mode, seed: u64, bytes: &[u8]) -> Self {
        let mut choices = Choices(bytes);
        let calm = mode == Mode::Calm;
        let faults: [bool; KINDS] = std::array::from_fn(|_| {
            let on = choices.byte() % 2 == 1;
            !calm && (on || mode == Mode::Storm)
        });
        let delay_us = choices.one_of(&[(200, 1_500), (0, 0), (100, 40_000), (500, 5_000)]);
        let page_rows_max = choices.one_of(&[100, 1, 2, 3, 5]);
        let mut writers: Vec<_> = (0..=choices.below(3))
            .map(|_| WriterPlan {
                manners: choices.one_of(&[
                    Manners::Synapse,
                    Manners::Synapse,
                    Manners::Hasty,
                    if calm { Manners::Synapse } else { Manners::Mute },
                    Manners::Ours,
                    Manners::Ours,
                ]),
                starts_ms: if choices.one_in(6) { 3_000 } else { 0 },
            })
            .collect();
        let count = u8::try_from(writers.len()).unwrap_or(1);
        let streams = (0..=choices.below(3))
            .map(|_| StreamPlan {
                name: choices.one_of(&STREAMS).to_owned(),
                writers: (0..=choices.below(3)).map(|_| choices.below(count)).collect(),
            })
            .collect();
        let mut followers: Vec<_> = (0..=choices.below(2))
            .map(|_| FollowerPlan {
                via: choices.one_of(&[
                    Via::Bus,
                    Via::Bus,
                    Via::Bus,
                    Via::Tcp(Dialect::V1_22),
                    Via::Tcp(Dialect::V1_13),
                    Via::Tcp(Dialect::V0_23),
                ]),
                from_beginning: choices.one_in(3),
                observe_only: choices.one_in(6),
                tight_limits: choices.one_in(3),
                gives_up: !calm && choices.one_in(8),
                namesake_of: choices.one_in(16).then_some(1),
                // One byte decides both this and `handler_us`.
                audit: choices.peek() / 6 % 3 == 1,
                handler_us: choices.one_of(&[0, 0, 0, 0, 200, 3_000]),
            })
            .collect();
        for follower in &mut followers {
            if let Via::Tcp(dialect) = follower.via {
                // A server of the oldest dialect sends nothing to a client that sends nothing.
                follower.observe_only &= dialect.names_instances();
                // Nor can an audit ask such a server for past rows.
                follower.audit &= dialect.names_instances();
                follower.namesake_of = None;
            }
        }
        if followers.iter().any(|follower| follower.via != Via::Bus) {
            // Only our own node listens for connections.
            writers[0].manners = Manners::Ours;
        }
        let pace = choices.one_of(&[0_usize, 1, 2]);
        let mut events = Vec::new();
        let mut at_ms = 0;
        while !choices.0.is_empty() && events.len() < EVENTS_MAX {
            let pauses: [&[u32]; 3] =
                [&[0, 0, 1, 2, 5, 20, 100], &[1, 5, 20, 100, 300, 1_000], &[0, 0, 0, 50, 2_500]];
            at_ms += choices.one_of(pauses[pace]);
            events.push(Timed { at_ms, what: Happening::draw(&mut choices, &faults) });
        }
        let faults_end_ms = at_ms + 100;
        Self {
            seed,
            mode,
            streams,
            writers,
            followers,
            delay_us,
            page_rows_max,
            events,
            faults_end_ms,
        }
    }
}

impl Happening {
    /// Decodes an event from exactly five bytes.
    fn draw(choices: &mut Choices<'_>, faults: &[bool; KINDS]) -> Self {
        let kind = choices.byte();
        let (who, much, more, most) =
            (choices.byte(), choices.byte(), choices.byte(), choices.byte());
        let ms = |least: u16| least + u16::from(more) * 16;
        let write = Self::Write { source: who, tokens: 1 + much % 4, rows: 1 + more % 4 };
        // Three of seven events are writes, and so is a fault whose kind is off for this run.
        let (of, kind) = (usize::from(kind) % 7, usize::from(kind / 7) % KINDS);
        if of < 3 || !faults[kind] {
            return if of == 6 && most % 4 == 0 {
                Self::WaitFor { follower: who, source: much, ahead: more % 4 }
            } else {
                write
            };
        }
        match kind {
            0 => Self::Cut { follower: who, after: much % 12 },
            1 => Self::HalfOpen { follower: who, ms: ms(200) },
            2 => Self::RefuseConnections { follower: who, count: 1 + much % 3 },
            3 => Self::DelayFollower { follower: who, ms: ms(5) },
            4 => Self::CrashFollower { follower: who },
            5 => Self::SlowHandler { follower: who, ms: ms(20) },
            6 => Self::ClockJump { follower: who, ms: ms(500) },
            7 => Self::LoseReplicate { follower: who },
            8 => Self::Damage { follower: who, byte: much },
            9..=11 => Self::SpoilFetches {
                follower: who,
                fault: FetchFault::ALL[usize::from(much) % FetchFault::ALL.len()],
                count: 1 + more % 3,
            },
            12 => Self::CrashWriter { writer: who, down_ms: ms(0) },
            13 => Self::WriterOffline { writer: who, ms: ms(1) },
            14 => Self::LosePublish { writer: who, count: 1 + much % 3 },
            15 => Self::DelayWriter { writer: who, ms: ms(1) },
            16 => Self::StallWriter { writer: who, ms: ms(1) },
            17 => Self::Repeat { writer: who },
            18 => Self::EmptyPosition { writer: who },
            19 => Self::RestartBus { down_ms: ms(0) },
            20 => Self::Noise { noise: Noise::ALL[usize::from(much) % Noise::ALL.len()] },
            _ => match most % 3 {
                0 => Self::AnswerAmid { writer: who, after: 1 + much % 3 },
                1 => Self::DieAmid { writer: who, after: 1 + much % 6, down_ms: ms(0) },
                _ => Self::Cut { follower: who, after: much % 3 },
            },
        }
    }
}
