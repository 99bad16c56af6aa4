//! The orders in which the log that a follower reads from is not the one that it had rows of.

use super::Draft;
use crate::scenario::Happening;

/// Time between two writes that a follower both remembers: of the rows that it receives live, it
/// keeps the digests of one a second.
const REMEMBERED_MS: u32 = 1_200;

fn write_remembered(draft: &mut Draft, source: u8, count: u8) {
    for _ in 0..count {
        draft.write(source, 1, 1);
        draft.at_ms += REMEMBERED_MS;
    }
}

pub(super) fn restored_backups(draft: &mut Draft) {
    let class = draft.one_of(&["receipts", "account_data", "pushers", "push_rules"]);
    draft.stream(class, &[0]);
    draft.at_ms = 500;
    for _ in 0..4 {
        let before = 3 + draft.below(4);
        write_remembered(draft, 0, before);
        let tokens = 1 + draft.below(before - 1);
        draft.now(Happening::RestoreBackup { writer: 0, tokens });
        if draft.below(2) == 0 {
            // The follower hears where the writer stands before anything is given out again.
            draft.at_ms += 3_000;
        } else {
            // It is away until the writer has passed it.
            draft.now(Happening::HalfOpen { follower: 0, ms: 500 });
            draft.at_ms += 150;
            for _ in 0..=tokens {
                draft.write(0, 1, 1);
            }
            draft.at_ms += 5_000;
        }
        let tokens = 1 + draft.below(3);
        draft.write(0, tokens, 2);
        draft.at_ms += 3_000;
    }
}

pub(super) fn wrong_addresses(draft: &mut Draft) {
    let class = draft.one_of(&["events", "receipts", "account_data"]);
    draft.stream(class, &[0, 1]);
    draft.at_ms = 500;
    for _ in 0..4 {
        for _ in 0..2 {
            write_remembered(draft, 0, 1);
            write_remembered(draft, 1, 1);
        }
        let ms = draft.one_of(&[1_500, 6_000, 30_000]);
        draft.now(Happening::WrongAddresses { follower: 0, ms });
        let tokens = 1 + draft.below(3);
        draft.write(0, tokens, 1);
        if draft.below(2) == 0 {
            draft.write(1, 1, 2);
        }
        draft.at_ms += 3_000;
        draft.write(0, 1, 1);
        draft.at_ms += 37_000;
    }
}
