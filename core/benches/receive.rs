//! What one received line costs, from its bytes to the event: criterion over every case, in CPU
//! time. `figures` compares the same cases with their floors.

mod workload;

use std::time::Duration;

use criterion::{Criterion, Throughput};

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3))
        .configure_from_args();
    for group in workload::all() {
        let mut benches = criterion.benchmark_group(group.name);
        for case in &group.cases {
            benches.throughput(Throughput::Elements(case.lines as u64));
            benches.bench_function(case.name, |bench| {
                bench.iter_custom(|passes| (0..passes).map(|_| case.pass()).sum());
            });
        }
        benches.finish();
    }
    criterion.final_summary();
}
