//! Hostile servers, beside honest ones, against the processes of ours that connect to them. Hostile
//! clients that connect to us are in `hostile_peers`.
//!
//! Each row of this table is an attack ([`attacks`]), each column a victim. After each attack these
//! hold: the victim's memory is within its bound, stderr reports the fault, other processes are not
//! affected, and, once the server behaves, every row has come once and in order.
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
//! | what was never requested | peers | peers | here | here | here |
//! | secrets sent back | knows none | peers | here | here | knows none |
//!
//! *peers*: `hostile_peers`. *unit*: `io-tokio/src/http/server/tests/hostile.rs`, where time is
//! short. *no arrays*, *no coding*: the format has none. *takes none*: it requests nothing. *makes
//! two*: it is the one that connects, and no server can make it connect more often.

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
/// The secrets that are searched for in all that a victim writes.
const SECRETS: [&str; 3] = [REPLICATION_SECRET, REDIS_PASSWORD, TOKEN];
const REPLICATION_SECRET: &str = "canary-replication-5d1c";
const REDIS_PASSWORD: &str = "canary-redis-9b7e";
/// An access token of a user.
const TOKEN: &str = "syt_canary_1f0a";
/// The longest time of a step before it counts as stuck.
const STEP: Duration = Duration::from_secs(60);
/// The number of attacks that run at the same time: they mostly wait.
const AT_ONCE: usize = 4;

/// A process under attack, and those beside it.
trait Victim {
    /// The name of the victim in the table.
    const NAME: &'static str;
    /// Starts everything. Returns when all is well and some rows have gone through.
    fn set() -> Self;
    /// The server that becomes hostile.
    fn impostor(&self) -> &Impostor;
    /// Makes the victim meet the attack, if it does not by itself.
    fn provoke(&mut self);
    /// Waits for a line on standard error that reports the attack, and returns it.
    fn wait_until_told(&self, words: &[&str]) -> String;
    /// Checks that what does not depend on the hostile server goes on.
    fn check_others(&mut self, during: &str);
    /// Checks, once the server behaves again, that every row came once and in order.
    fn check_recovery(&mut self, after: &str);
    /// The most memory that the victim has had, in bytes.
    fn peak_memory(&self) -> u64;
    /// Everything that the victim has written.
    fn written(&self) -> String;
}

/// Runs each row of the table against a victim of its own.
fn run<V: Victim>(rows: &[Row]) {
    let only = std::env::var("SYNREPL_ATTACK").ok();
    let rows: Vec<&Row> =
        rows.iter().filter(|row| only.as_ref().is_none_or(|only| row.name == only)).collect();
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        let worker = || {
            while let Some(row) = rows.get(next.fetch_add(1, Ordering::SeqCst)) {
                // A failure of one row does not keep the others from running.
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
