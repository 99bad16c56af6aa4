//! Servers that mean their clients no good. `hostile_peers` has those that connect to us; here are
//! those that we connect to, beside honest ones.
//!
//! Each row of a table is an attack ([`attacks`]), each column of this a victim. After each attack:
//! the victim's memory within its bound, what it said to a person, who else goes on, and, once the
//! server behaves, every row once and in order.
//!
//! | | listener | HTTP endpoint | Redis reader | catch-up client | direct TCP client |
//! | --- | --- | --- | --- | --- | --- |
//! | endless line | peers | peers | here | here | here |
//! | slow drip | peers | unit | here; `redis_link` | here | here |
//! | huge array headers | no arrays | no arrays | here | lengths, here | no arrays |
//! | deep JSON | peers | peers | here | here | here |
//! | 2^63 and 2^80 | peers | peers | here | here | here |
//! | NUL and invalid UTF-8 | peers | peers | here | here | here |
//! | half-open connections | peers | peers | makes two | makes eight | makes one |
//! | replies that never end | takes none | takes none | here | here | here |
//! | gzip bombs | no coding | peers | here, as noise | here | no coding |
//! | what was never asked for | peers | peers | here | here | here |
//! | secrets told back | knows none | peers | here | here | knows none |
//!
//! *peers*: `hostile_peers`. *unit*: `io-tokio/src/http/server/tests/hostile.rs`, where time is
//! short. *no arrays*, *no coding*: the format has none. *takes none*: it asks for nothing.
//! *makes two*: it is the one that connects, and no server can make it connect more often.

#![allow(clippy::unwrap_used, reason = "a test ends where it fails, also outside its own function")]
#![allow(clippy::print_stdout, reason = "what was measured is to be seen")]

mod attacks;
mod victims;

use std::{
    panic::catch_unwind,
    sync::Mutex,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use synrepl_tests::{clock::Stopwatch, impostor::Impostor};

use crate::{
    attacks::{Row, catch_up, direct_tcp, messages, redis},
    victims::{CatchUp, LineReader, RedisReader, RedisWriter},
};

const SERVER: &str = "example.com";
/// Secrets that are looked for in all that a victim writes.
const SECRETS: [&str; 3] = [REPLICATION_SECRET, REDIS_PASSWORD, TOKEN];
const REPLICATION_SECRET: &str = "canary-replication-5d1c";
const REDIS_PASSWORD: &str = "canary-redis-9b7e";
/// An access token of a user.
const TOKEN: &str = "syt_canary_1f0a";
/// How long a step may take before it counts as stuck.
const STEP: Duration = Duration::from_secs(60);
/// Rows that are attacked at the same time: they mostly wait.
const AT_ONCE: usize = 4;

/// A process under attack, and those beside it.
trait Victim {
    /// What it is called in the table.
    const NAME: &'static str;
    /// Everything is well, and some rows have gone through.
    fn set() -> Self;
    /// The server that turns.
    fn impostor(&self) -> &Impostor;
    /// Makes it meet the attack, if it does not by itself.
    fn provoke(&mut self);
    /// Waits for a line that tells a person of it.
    fn wait_until_told(&self, words: &[&str]) -> String;
    /// What does not depend on the hostile server goes on.
    fn check_others(&mut self, during: &str);
    /// The server behaves again: every row came once and in order.
    fn check_recovery(&mut self, after: &str);
    /// The most memory that it has had, in bytes.
    fn peak_memory(&self) -> u64;
    /// All that it has written.
    fn written(&self) -> String;
}

/// Attacks a victim of its own with each row.
fn run<V: Victim>(rows: &[Row]) {
    let only = std::env::var("SYNREPL_ATTACK").ok();
    let rows: Vec<&Row> =
        rows.iter().filter(|row| only.as_ref().is_none_or(|only| row.name == only)).collect();
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        let worker = || {
            while let Some(row) = rows.get(next.fetch_add(1, Ordering::SeqCst)) {
                // The other rows are worth a look all the same.
                if catch_unwind(|| attack::<V>(row)).is_err() {
                    failed.lock().unwrap().push(row.name);
                }
            }
        };
        for _ in 0..AT_ONCE {
            scope.spawn(worker);
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{}: {failed:?}", V::NAME);
}

fn attack<V: Victim>(row: &Row) {
    let mut victim = V::set();
    let before = victim.peak_memory();
    let time = Stopwatch::start();
    victim.impostor().attack((row.attack)());
    victim.provoke();
    assert!(victim.impostor().wait_until_attacked(STEP), "{}: nobody was attacked", row.name);
    let told = victim.wait_until_told(row.told);
    if let Some(bytes) = row.floods {
        let said = victim.impostor().wait_until_said(bytes, STEP);
        assert!(said >= bytes, "{}: it takes no more after {said} bytes", row.name);
    }
    victim.check_others(row.name);
    let peak = victim.peak_memory();
    let taken = time.elapsed();
    victim.impostor().behave();
    victim.check_recovery(row.name);
    println!(
        "{:12} {:40} {:4} MiB, then {:4} MiB; {:5.1} s; {}",
        V::NAME,
        row.name,
        before >> 20,
        peak >> 20,
        taken.as_secs_f64(),
        told.get(..told.len().min(250)).unwrap_or(&told),
    );
    assert!(peak < row.memory_max, "{}: {} MiB", row.name, peak >> 20);
    let written = victim.written();
    assert!(!written.contains("panicked"), "{}: {written}", row.name);
    for secret in SECRETS {
        let shown = written.find(secret).map(|at| &written[at.saturating_sub(200)..at]);
        assert_eq!(shown, None, "{}: {secret} stands behind this", row.name);
    }
}

#[test]
fn a_hostile_redis_costs_its_reader_the_connection_at_most() {
    run::<RedisReader>(&redis());
}

#[test]
fn messages_of_any_kind_cost_a_reader_little() {
    run::<RedisReader>(&messages());
}

#[test]
fn a_hostile_redis_costs_a_writers_other_followers_nothing() {
    run::<RedisWriter>(&redis());
}

#[test]
fn a_hostile_listener_costs_its_own_rows_time_at_most() {
    run::<CatchUp>(&catch_up());
}

#[test]
fn a_hostile_main_process_costs_the_connection_at_most() {
    run::<LineReader>(&direct_tcp());
}
