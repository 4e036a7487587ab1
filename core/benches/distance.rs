//! Time per row of each kernel, with all rows in the first-level cache: the cost of the arithmetic, not of the memory.
//! Divide 1 by the reported throughput (rows per second) to have seconds per row.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use hnsw_core::distance::codes::{Codes, Sum};
use hnsw_core::distance::{Isa, Kernels, LANES, Metric, half};
use hnsw_core::vectors::Line;
use std::hint::black_box;

/// Rows and query together fit a first-level cache of 32 KiB.
const BYTES: usize = 16 << 10;

fn rows(count: usize, lines: usize) -> Vec<Line> {
    let component = |i: usize| ((i * 7919) % 256) as f32;
    (0..count * lines).map(|line| Line(std::array::from_fn(|lane| component(line * LANES + lane)))).collect()
}

fn distances(c: &mut Criterion) {
    for dim in [100, 128, 1024] {
        let lines = usize::div_ceil(dim, LANES);
        let count = BYTES / (lines * size_of::<Line>());
        let (query, store) = (rows(1, lines), rows(count, lines));
        let pointers: Vec<*const f32> = store.chunks(lines).map(|row| row.as_ptr().cast()).collect();
        let mut out = vec![0.0; count];
        let mut group = c.benchmark_group(format!("{dim}-d"));
        group.throughput(Throughput::Elements(count as u64));
        for metric in [Metric::L2, Metric::InnerProduct] {
            for isa in Isa::available() {
                let kernels = Kernels::with_isa(metric, dim, isa).expect("it is available");
                let query: *const f32 = query.as_ptr().cast();
                group.bench_function(BenchmarkId::new(format!("many/{metric}"), isa), |b| {
                    // SAFETY: `query` and all rows are `lines` aligned lines, and `out` has room for all rows.
                    b.iter(|| unsafe {
                        kernels.many(query, black_box(&pointers), kernels.padded(), &mut out)
                    })
                });
                group.bench_function(BenchmarkId::new(format!("one/{metric}"), isa), |b| {
                    b.iter(|| {
                        for (&row, out) in black_box(&pointers).iter().zip(&mut out) {
                            // SAFETY: as above.
                            *out = unsafe { kernels.one(query, row, kernels.padded()) };
                        }
                    })
                });
            }
        }
        group.finish();
    }
}

/// Rows of codes of one size; zeros take as long as any codes.
fn codes(c: &mut Criterion) {
    for dim in [100, 128, 1024] {
        let mut group = c.benchmark_group(format!("{dim}-d codes"));
        for (name, lanes) in [("bytes", size_of::<Line>()), ("half", half::LANES)] {
            let lines = usize::div_ceil(dim, lanes);
            let count = BYTES / (lines * size_of::<Line>());
            let store = vec![Line([0.0; LANES]); (count + 1) * lines];
            let pointers: Vec<*const u8> = store.chunks(lines).map(|row| row.as_ptr().cast()).collect();
            let (query, rows) = pointers.split_first().expect("there is a query");
            let mut out = vec![0.0; count];
            group.throughput(Throughput::Elements(count as u64));
            for (sum, isa) in [Sum::Squares, Sum::Products]
                .into_iter()
                .flat_map(|sum| Isa::available().into_iter().map(move |isa| (sum, isa)))
            {
                let kernel = match name {
                    "bytes" => Codes::bytes(sum, lines, 1.0, isa),
                    _ => Codes::half(sum, lines, 1.0, isa),
                };
                group.bench_function(BenchmarkId::new(format!("{name}/{sum:?}"), isa), |b| {
                    // SAFETY: `query` and all rows are `lines` aligned lines, and `out` has room for all rows.
                    b.iter(|| unsafe { kernel.many(*query, black_box(rows), &mut out) })
                });
            }
        }
        group.finish();
    }
}

criterion_group!(benches, distances, codes);
criterion_main!(benches);
