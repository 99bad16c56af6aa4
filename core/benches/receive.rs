//! The cost of one received line, from its bytes to the event: criterion measures every case, in
//! CPU time. `figures` compares the same cases with their floors.

mod workload;

use std::time::Duration;

use criterion::{BenchmarkGroup, Criterion, Throughput, measurement::WallTime};
use workload::{Case, Group};

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3))
        .configure_from_args();
    for Group { name, cases } in workload::all() {
        let mut benches = criterion.benchmark_group(name);
        for case in cases {
            bench(&mut benches, &case);
        }
        benches.finish();
    }
    criterion.final_summary();
}

fn bench(benches: &mut BenchmarkGroup<'_, WallTime>, case: &Case) {
    benches.throughput(Throughput::Elements(case.lines as u64));
    benches.bench_function(case.name, |bench| {
        bench.iter_custom(|passes| (0..passes).map(|_| case.pass()).sum());
    });
}
