//! The table in `README.md` of the writers whose rows can be missed without a gap, without and with
//! the audit, is what runs show.
//!
//! `REWRITE=1 cargo test -p synrepl-sim --test sim audit_table::` rewrites it.

use std::{env, fmt::Write as _, fs, path::Path};

use synrepl_sim::{
    FollowerPlan, Happening, Manners, Mode, Report, Scenario, StreamPlan, Timed, WriterPlan, run,
};

const SEEDS: u64 = 40;
/// One stream of each class.
const STREAMS: [&str; 6] = ["events", "backfill", "caches", "typing", "device_lists", "to_device"];
const BEGIN: &str = "<!-- the table of the audit -->\n";
const END: &str = "<!-- its end -->\n";

/// What a writer does wrong, if anything, and by whose rules it sends.
const WRITERS: [(&str, Manners, Option<Happening>); 7] = [
    ("this crate's, one PUBLISH lost", Manners::Ours, LOSES),
    ("Synapse since 1.97", Manners::Synapse, None),
    ("Synapse since 1.97, one PUBLISH lost", Manners::Synapse, LOSES),
    ("Synapse since 1.97, POSITION over real rows", Manners::Synapse, EMPTY),
    ("Synapse since 1.97, its messages late", Manners::Synapse, LATE),
    ("1.22 to 1.96, announces ahead of its rows", Manners::Hasty, STALLS),
    ("1.13, away from the bus and back without a word", Manners::Mute, AWAY),
];
const LOSES: Option<Happening> = Some(Happening::LosePublish { writer: 0, count: 1 });
const EMPTY: Option<Happening> = Some(Happening::EmptyPosition { writer: 0 });
const LATE: Option<Happening> = Some(Happening::DelayWriter { writer: 0, ms: 700 });
const STALLS: Option<Happening> = Some(Happening::StallWriter { writer: 0, ms: 700 });
const AWAY: Option<Happening> = Some(Happening::WriterOffline { writer: 0, ms: 700 });

fn scenario(seed: u64, manners: Manners, fault: Option<Happening>, audit: bool) -> Scenario {
    let mut events = Vec::new();
    for round in 0..24_u32 {
        let at_ms = 3_000 + round * 400;
        let turn = usize::try_from(seed).unwrap_or_default() + round as usize;
        let (tokens, source) = ([1, 2, 3][turn % 3], [0, 1, 2, 3, 4, 5][turn % STREAMS.len()]);
        if let Some(what) = fault.filter(|_| round % 4 == 1) {
            events.push(Timed { at_ms: at_ms - 1, what });
        }
        events.push(Timed { at_ms, what: Happening::Write { source, tokens, rows: 2 } });
        if round % 4 == 1 {
            // Somebody asks while the writer has rows that it has not sent.
            let noise = synrepl_sim::Noise::Replicate;
            events.push(Timed { at_ms: at_ms + 5, what: Happening::Noise { noise } });
        }
        let what = Happening::Write { source, tokens: 1, rows: 1 };
        events.push(Timed { at_ms: at_ms + 30, what });
    }
    let stream = |name: &&str| StreamPlan { name: (*name).to_owned(), writers: vec![0] };
    Scenario {
        seed,
        mode: Mode::Swarm,
        streams: STREAMS.iter().map(stream).collect(),
        writers: vec![WriterPlan { manners, starts_ms: 0 }],
        followers: vec![FollowerPlan { audit, ..FollowerPlan::default() }],
        delay_us: (200, 2_000),
        page_rows_max: 3,
        events,
        faults_end_ms: 13_000,
    }
}

/// Rows missed without a word and rows found by the audit, over all seeds. Every other promise is
/// judged on the way.
fn missed_and_found(manners: Manners, fault: Option<Happening>, audit: bool) -> (u64, u64) {
    let mut sums = (0, 0);
    for seed in 0..SEEDS {
        let Report { rows_missed, rows_audited, .. } =
            run(&scenario(seed, manners, fault, audit)).unwrap_or_else(|broken| panic!("{broken}"));
        sums = (sums.0 + rows_missed, sums.1 + rows_audited);
    }
    sums
}

#[test]
fn the_table_of_the_audit_is_true() {
    let told = |missed: u64| if missed == 0 { "complete" } else { "rows missed without a word" };
    let mut table = "| writer | without | with the audit |\n| --- | --- | --- |\n".to_owned();
    for (name, manners, fault) in WRITERS {
        let (missed, found) = missed_and_found(manners, fault, false);
        assert_eq!(found, 0, "{name}: nothing looks");
        let (still_missed, found) = missed_and_found(manners, fault, true);
        assert_eq!(still_missed, 0, "{name}: missed with the audit");
        assert_eq!(found > 0, missed > 0, "{name}: {missed} missed without, {found} found with");
        writeln!(table, "| {name} | {} | {} |", told(missed), told(still_missed)).unwrap();
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let text = fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("the table has a beginning");
    let (kept, after) = rest.split_once(END).expect("the table has an end");
    if env::var_os("REWRITE").is_some() {
        fs::write(&path, format!("{before}{BEGIN}{table}{END}{after}")).unwrap();
        return;
    }
    assert_eq!(kept, table, "the table in {} is no longer true", path.display());
}
