//! The core against the plain follower: both agree, and do not where the core has a known bug.

mod random;

use synrepl_core::PlantedBug;
use synrepl_fuzz::reference_follower_with;

use self::random::random_inputs;

/// Inputs within which a bug is to be found; the rarest takes 1,127.
const SEARCHED_MAX: u64 = 3_000;

#[test]
fn the_core_delivers_what_the_plain_follower_does() {
    for input in random_inputs(500) {
        if let Err(broken) = reference_follower_with(&input, None) {
            panic!("{broken}");
        }
    }
}

/// What of the core a follower on a bus does not use, or what changes nothing of what is delivered.
const NOT_OF_THIS_WORLD: &[PlantedBug] = &[
    // Limits: the same comes in the end.
    PlantedBug::HoldsWithoutLimit,
    PlantedBug::FetchesWithoutLimit,
    // Waits are not compared.
    PlantedBug::EndsWaitsEarly,
    PlantedBug::NeverEndsWaits,
    // Rows of the old epoch that come late are forgotten with the reset that follows.
    PlantedBug::KeepsFetchOverReset,
    // Nobody observes only, and nobody publishes.
    PlantedBug::ObserverAsks,
    PlantedBug::NeverAnnouncesOnConnect,
    PlantedBug::NeverAnswersReplicate,
    PlantedBug::ForgetsUnconfirmed,
    PlantedBug::AnnouncesAhead,
    PlantedBug::DropsOwnRows,
    PlantedBug::SplitsOwnBatches,
    PlantedBug::NeverCutsOff,
    PlantedBug::SkipsUnheardStart,
    PlantedBug::TellsUnconfirmed,
    PlantedBug::ForgetsMovedTokens,
    PlantedBug::ReadsOnePage,
    PlantedBug::StaysFull,
    // The audit is off.
    PlantedBug::AuditBelievesTokens,
    PlantedBug::AuditRepeatsRows,
    PlantedBug::AuditMovesPosition,
    PlantedBug::AuditForgetsSilently,
];

#[test]
fn every_planted_bug_of_following_is_found() {
    let is_missed = |bug: &&PlantedBug| {
        let is_found = |input: Vec<u8>| reference_follower_with(&input, Some(**bug)).is_err();
        !NOT_OF_THIS_WORLD.contains(bug) && !random_inputs(SEARCHED_MAX).any(is_found)
    };
    let missed: Vec<_> = PlantedBug::ALL.iter().filter(is_missed).collect();
    assert!(missed.is_empty(), "{missed:?}");
}
