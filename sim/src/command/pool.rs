//! The pool of threads that work on many seeds: seeds enter, results leave in the order in which
//! they are ready.

use std::{
    num::NonZeroUsize,
    sync::{
        atomic::{AtomicU64, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::Duration,
};

use super::{interrupt::Interrupt, seeds::Seeds};

/// The most results that wait for the calling thread.
const QUEUED_MAX: usize = 1_024;
/// The longest time that the calling thread waits for a result before it calls `idle`.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Calls `work` for every seed, on as many threads as there are cores, and `each` with every result
/// on this thread, in the order in which they are ready. Calls `idle` in between, several times a
/// second.
///
/// Ends early when `each` returns false, after which it is not called again, or when interrupted,
/// after the results of the work that was begun. Returns whether every seed was worked on.
pub(super) fn over<T: Send>(
    seeds: Seeds,
    interrupt: &Interrupt,
    work: impl Fn(u64) -> T + Sync,
    mut each: impl FnMut(u64, T) -> bool,
    mut idle: impl FnMut(),
) -> bool {
    let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let next = AtomicU64::new(0);
    let end = AtomicU64::new(seeds.count());
    let mut done = 0;
    thread::scope(|scope| {
        let (results, incoming) = mpsc::sync_channel(QUEUED_MAX);
        for _ in 0..threads.min(usize::try_from(seeds.count()).unwrap_or(threads)) {
            let (results, work, next, end) = (results.clone(), &work, &next, &end);
            scope.spawn(move || {
                while !interrupt.requested() {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= end.load(Ordering::Relaxed) {
                        return;
                    }
                    let Some(seed) = seeds.at(index) else { return };
                    if results.send((seed, work(seed))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(results);
        loop {
            match incoming.recv_timeout(LOOK_EVERY) {
                Ok((seed, result)) if end.load(Ordering::Relaxed) > 0 => {
                    done += 1;
                    if !each(seed, result) {
                        end.store(0, Ordering::Relaxed);
                    }
                }
                // A result of work that was begun before `each` returned false is dropped.
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            idle();
        }
    });
    done == seeds.count()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_seed_is_worked_on_once() {
        let mut seen = BTreeSet::new();
        let all = over(
            Seeds::new(10, 1_010),
            &Interrupt::never(),
            |seed| seed * 2,
            |seed, double| {
                assert_eq!(double, seed * 2);
                assert!(seen.insert(seed));
                true
            },
            || {},
        );
        assert!(all && seen == (10..1_010).collect());
    }

    #[test]
    fn it_ends_early_when_told_to() {
        let mut seen = 0;
        let all = over(
            Seeds::new(0, u64::MAX),
            &Interrupt::never(),
            |seed| seed,
            |_, _| {
                seen += 1;
                seen < 5
            },
            || {},
        );
        assert!(!all);
        assert_eq!(seen, 5, "what was begun meanwhile is not handed on");
    }

    #[test]
    fn an_interrupt_ends_it_with_what_was_begun() {
        let interrupt = Interrupt::never();
        let mut seen = 0;
        let all = over(
            Seeds::new(0, u64::MAX),
            &interrupt,
            |seed| seed,
            |_, _| {
                seen += 1;
                if seen == 3 {
                    interrupt.request();
                }
                true
            },
            || {},
        );
        assert!(!all && seen >= 3);
    }
}
