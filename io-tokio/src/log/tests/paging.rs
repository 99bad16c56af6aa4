//! Tests of pages against a model: a list of batches.

use proptest::prelude::*;

use super::*;

/// The page that a store must return, computed in the plainest way.
fn expected(
    log: &[Vec<String>],
    from: i64,
    upto: i64,
    rows_max: u32,
) -> (Vec<(i64, String)>, i64, bool) {
    let bound = upto.min(i64::try_from(log.len()).unwrap());
    let mut updates = Vec::new();
    for token in from.max(0) + 1..=bound {
        let batch = &log[usize::try_from(token).unwrap() - 1];
        if !updates.is_empty() && updates.len() + batch.len() > rows_max as usize {
            return (updates, token - 1, true);
        }
        updates.extend(batch.iter().map(|row| (token, row.clone())));
    }
    (updates, bound, false)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 48,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn pages_are_those_of_a_list(
        sizes in prop::collection::vec(1_usize..8, 0..40),
        calls in prop::collection::vec((-2_i64..45, -2_i64..45, 0_u32..12), 20),
        step in 1_u32..12,
    ) {
        let log: Vec<Vec<String>> = sizes
            .iter()
            .enumerate()
            .map(|(token, size)| (0..*size).map(|index| format!("[{token},{index}]")).collect())
            .collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            for store in stores().await {
                let appends: Vec<_> = log
                    .iter()
                    .map(|batch| append(&*store, "s", &batch.iter().map(String::as_str).collect::<Vec<_>>()))
                    .collect();
                for (token, append) in (1..).zip(appends) {
                    assert_eq!(append.await, Ok(Token::new(token)));
                }
                for (from, upto, rows_max) in &calls {
                    let page = read(&*store, "s", *from, *upto, *rows_max).await;
                    assert_eq!(page, expected(&log, *from, *upto, *rows_max));
                }
                // Page by page, every row is read once.
                let (mut all, mut from) = (Vec::new(), 0);
                loop {
                    let (updates, upto, limited) = read(&*store, "s", from, i64::MAX, step).await;
                    all.extend(updates);
                    if !limited {
                        break;
                    }
                    assert!(upto > from);
                    from = upto;
                }
                assert_eq!(all, expected(&log, 0, i64::MAX, u32::MAX).0);
            }
        });
    }
}
