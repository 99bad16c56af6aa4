//! Promises P1 to P4 and their purpose: whatever is lost between a writer and its followers, they
//! end up with every row of its logs, once and in order.

use crate::lossy::{Step, World};
use proptest::prelude::*;
use synrepl_core::wire::Dialect;

fn step() -> impl Strategy<Value = Step> {
    let stream = 0..crate::lossy::STREAMS.len();
    let dialects = [Dialect::V0_23, Dialect::V1_13, Dialect::V1_22];
    prop_oneof![
        8 => (stream.clone(), 0_usize..4, 0_u8..3)
            .prop_map(|(stream, rows, skip)| Step::Append { stream, rows, skip }),
        8 => prop::bool::weighted(0.1).prop_map(|fails| Step::Read { fails }),
        6 => (1_u8..6).prop_map(|count| Step::Publish { count }),
        6 => (1_u8..6).prop_map(|count| Step::Confirm { count }),
        2 => Just(Step::CutWriter),
        4 => Just(Step::ConnectWriter),
        1 => Just(Step::RestartWriter),
        4 => (1_u8..6).prop_map(|count| Step::Hear { count }),
        1 => (0_usize..2).prop_map(|which| Step::CutFollower { which }),
        3 => (0_usize..2).prop_map(|which| Step::ConnectFollower { which }),
        6 => (0_usize..2, 1_u8..9).prop_map(|(which, count)| Step::Deliver { which, count }),
        4 => (0_usize..2, prop::bool::weighted(0.2))
            .prop_map(|(which, fails)| Step::Fetched { which, fails }),
        2 => prop::sample::select(dialects.to_vec()).prop_map(|dialect| Step::Accept { dialect }),
        1 => (0_usize..4).prop_map(|which| Step::Leave { which }),
        3 => (0_usize..4, stream, 0_u8..6)
            .prop_map(|(which, stream, behind)| Step::Ask { which, stream, behind }),
        6 => (0_usize..4, 1_u8..9).prop_map(|(which, count)| Step::Take { which, count }),
        2 => Just(Step::Wait),
    ]
}

proptest! {
    #![proptest_config(crate::cases::not_kept(1_000))]

    #[test]
    fn everyone_ends_with_every_row_once_and_in_order(
        tight in any::<bool>(),
        steps in prop::collection::vec(step(), 0..120),
    ) {
        let mut world = World::new(tight);
        for step in steps {
            world.step(step).map_err(TestCaseError::fail)?;
        }
        world.converge().map_err(TestCaseError::fail)?;
    }
}
