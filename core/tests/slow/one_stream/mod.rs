//! One stream beside its truth (F1 to F4, F6, F7, F10 to F12): writers that send in every order that a
//! writer of its class is known to send in, a follower, and rows that cannot be read, answers to
//! REPLICATE anywhere, fetches that are late, cut or fail, connections that end, and writers that
//! die inside a send.

mod follower;
mod truth;
mod world;
mod writer;

use proptest::prelude::*;

use self::world::World;

/// One thing that happens.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// A writer appends so many tokens, of so many rows each, so many tokens further on.
    Append {
        writer: u8,
        tokens: u8,
        rows: u8,
        skip: u8,
    },
    /// A writer sends so many lines. A loose one goes back by so many tokens if a send begins.
    Send {
        writer: u8,
        lines: u8,
        back: u8,
    },
    /// A line of a writer comes that cannot be read, with or without its token.
    SendUnreadable {
        writer: u8,
        has_token: bool,
    },
    /// A writer answers a REPLICATE, also inside a send.
    Answer {
        writer: u8,
    },
    /// A writer announces what it has not sent yet.
    AnnounceAhead {
        writer: u8,
    },
    /// The next announcement of a writer is lost, if the next line is one.
    LoseAnnouncement {
        writer: u8,
    },
    /// The next rows of a writer are lost, all those of a token, if its next line is the first of
    /// them: their PUBLISH never comes, and nothing says so.
    LoseToken {
        writer: u8,
    },
    /// A writer dies, with what it had not sent, and starts again.
    Die {
        writer: u8,
        is_heard: bool,
    },
    /// A fetch is answered: which one, whether it fails, and after how many rows it is cut.
    Fetched {
        nth: u8,
        fails: bool,
        cut: u8,
    },
    Lose,
    Connect,
    Pass {
        ms: u32,
    },
}

/// The stream, its writers, and the limits of the follower.
#[derive(Clone, Copy, Debug)]
struct Setting {
    stream: &'static str,
    writers: usize,
    on_tcp: bool,
    is_tight: bool,
    /// The position from which the follower resumes; it is new without one.
    resumes_at: Option<i64>,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (any::<u8>(), 1..4_u8, 1..4_u8, 0..3_u8)
            .prop_map(|(writer, tokens, rows, skip)| Step::Append { writer, tokens, rows, skip }),
        8 => (any::<u8>(), 1..6_u8, 0..4_u8)
            .prop_map(|(writer, lines, back)| Step::Send { writer, lines, back }),
        2 => (any::<u8>(), any::<bool>())
            .prop_map(|(writer, has_token)| Step::SendUnreadable { writer, has_token }),
        3 => any::<u8>().prop_map(|writer| Step::Answer { writer }),
        1 => any::<u8>().prop_map(|writer| Step::AnnounceAhead { writer }),
        1 => any::<u8>().prop_map(|writer| Step::LoseAnnouncement { writer }),
        2 => any::<u8>().prop_map(|writer| Step::LoseToken { writer }),
        1 => (any::<u8>(), any::<bool>())
            .prop_map(|(writer, is_heard)| Step::Die { writer, is_heard }),
        5 => (any::<u8>(), prop::bool::weighted(0.15), 0..6_u8)
            .prop_map(|(nth, fails, cut)| Step::Fetched { nth, fails, cut }),
        1 => Just(Step::Lose),
        2 => Just(Step::Connect),
        2 => prop::sample::select(vec![1_u32, 400, 1_500, 2_500, 40_000])
            .prop_map(|ms| Step::Pass { ms }),
    ];
    prop::collection::vec(step, 1..60)
}

fn setting(stream: &'static str, writers: usize, on_tcp: bool) -> impl Strategy<Value = Setting> {
    (any::<bool>(), prop::option::of(0..12_i64)).prop_map(move |(is_tight, resumes_at)| Setting {
        stream,
        writers,
        on_tcp,
        is_tight,
        resumes_at,
    })
}

fn play(setting: Setting, steps: &[Step]) -> Result<(), String> {
    let mut world = World::new(setting);
    let outcome = steps.iter().try_for_each(|step| world.step(*step)).and_then(|()| world.settle());
    outcome.map_err(|broken| format!("{broken}\n{}", world.shown))
}

macro_rules! a_stream_is_followed_without_loss {
    ($($name:ident: $stream:literal, $writers:literal, $on_tcp:literal;)*) => {
        $(proptest! {
            #![proptest_config(crate::cases::not_kept(1_000))]
            #[test]
            fn $name(setting in setting($stream, $writers, $on_tcp), steps in steps()) {
                play(setting, &steps).map_err(TestCaseError::fail)?;
            }
        })*
    };
}

a_stream_is_followed_without_loss! {
    rising_tokens_are_followed_without_loss: "events", 1, false;
    a_stream_that_starts_over_is_followed_without_loss: "typing", 1, false;
    rising_tokens_of_several_writers_are_followed_without_loss: "events", 3, false;
    falling_bursts_are_followed_without_loss: "backfill", 1, false;
    a_loose_stream_is_followed_without_loss: "caches", 1, false;
    writers_that_share_a_stream_are_followed_without_loss: "device_lists", 3, false;
    bursts_of_several_writers_are_followed_without_loss: "backfill", 3, false;
    bursts_that_nothing_closes_are_followed_without_loss: "account_data", 1, true;
}
