//! Instructions that the hot functions execute, counted under callgrind. Run it with `scripts/instructions`, which holds the
//! counts against `instructions.json`.
//!
//! Unlike times, the counts are the same on a busy machine, so they catch small regressions; unlike times, they know nothing of
//! caches and waiting. All kernels are those for AVX2, because valgrind does not run AVX-512.
//!
//! | group | one count is |
//! |---|---|
//! | `search` | 20 searches for 10 neighbours with a beam of 64 |
//! | `insert` | 20 inserts with ef_construction 64, M = 16 |
//! | `prune` | 20 inserts with ef_construction 16, M = 4: nearly all lists are full, so nearly all links back prune one |
//! | `kernel` | one query compared with 64 rows of 128 components |

use hnsw_core::distance::codes::{Codes, Sum};
use hnsw_core::distance::{Isa, Kernels, LANES, Metric};
use hnsw_core::graph::Graph;
use hnsw_core::hnsw::{Index, IndexConfig, Scratch};
use hnsw_core::vectors::{Codec, F32, Line, RaBitQ, Reranked, Sq8};
use hnsw_strategies::{LockFree, Sequential, Slots};
use std::hint::black_box;
use std::process::ExitCode;

const DIM: usize = 128;
/// Rows that are in an index before anything is counted.
const ROWS: usize = 1_000;
/// Operations that are counted together.
const OPERATIONS: usize = 20;
const CONFIG: IndexConfig =
    IndexConfig { ef_construction: 64, capacity: ROWS + OPERATIONS, ..IndexConfig::new(DIM, Metric::L2) };

/// What is counted. It is leaked, so that dropping it is not.
type Hot = &'static mut dyn FnMut();

/// Makes it. What that takes is not counted.
type Make = fn() -> Hot;

fn leaked(hot: impl FnMut() + 'static) -> Hot {
    Box::leak(Box::new(hot))
}

/// Rows of the embedded data set; each is preceded by its dimension.
fn vectors(file: &[u8]) -> Vec<Vec<f32>> {
    let rows = file.chunks_exact(4 + DIM).take(ROWS + OPERATIONS);
    rows.map(|row| row[4..].iter().map(|b| f32::from(*b)).collect()).collect()
}

/// An index of the first [`ROWS`] rows, the rows that come after them, and scratch that has been in use.
fn index<G: Graph, C: Codec>(config: IndexConfig) -> (Index<G, C>, Vec<Vec<f32>>, Scratch<C>) {
    assert_eq!(Isa::in_use(), Isa::Avx2, "set HNSW_ISA");
    let mut rows = vectors(include_bytes!("../../harness/data/sift10k/base.bvecs"));
    let index = Index::<G, C>::trained(config, &rows.concat()).expect("the configuration holds");
    let later = rows.split_off(ROWS);
    let mut scratch = Scratch::new();
    for row in &rows {
        index.insert_with(row, &mut scratch).expect("there is room");
    }
    (index, later, scratch)
}

fn searches<G: Graph, C: Codec>() -> Hot {
    let (index, _, mut scratch) = index::<G, C>(CONFIG);
    let queries = vectors(include_bytes!("../../harness/data/sift10k/query.bvecs"));
    let mut search = move || {
        for query in &queries[..OPERATIONS] {
            black_box(index.search_with(black_box(query), 10, 64, &mut scratch)).expect("the query is sound");
        }
    };
    // Uncounted: it allocates what searches keep.
    search();
    leaked(search)
}

fn inserts<G: Graph>(config: IndexConfig) -> Hot {
    let (index, later, mut scratch) = index::<G, F32>(config);
    leaked(move || {
        for row in &later {
            black_box(index.insert_with(black_box(row), &mut scratch)).expect("there is room");
        }
    })
}

fn prunes<G: Graph>() -> Hot {
    inserts::<G>(IndexConfig { m: 4, ef_construction: 16, ..CONFIG })
}

/// Compares one row with 64 others, each of `lines` lines, by `many`, which takes pointers to what rows consist of.
fn compared<T: 'static>(
    lines: usize,
    mut many: impl FnMut(*const T, &[*const T], &mut [f32]) + 'static,
) -> Hot {
    let store: &'static [Line] = vec![Line([1.0; LANES]); (1 + 64) * lines].leak();
    let pointers: Vec<*const T> = store.chunks(lines).map(|row| row.as_ptr().cast()).collect();
    let mut out = vec![0.0; 64];
    leaked(move || many(pointers[0], black_box(&pointers[1..]), black_box(&mut out)))
}

fn f32_kernel() -> Hot {
    let kernels = Kernels::with_isa(Metric::L2, DIM, Isa::Avx2).expect("this processor has AVX2");
    compared(DIM / LANES, move |query, rows, out| {
        // SAFETY: `query` and all rows are as many aligned lines as the dimension needs, and `out` has room for all rows.
        unsafe { kernels.many(query, rows, kernels.padded(), out) }
    })
}

fn bytes_kernel() -> Hot {
    let lines = DIM.div_ceil(size_of::<Line>());
    let kernel = Codes::bytes(Sum::Squares, lines, 1.0, Isa::Avx2);
    compared(lines, move |query, rows, out| {
        // SAFETY: `query` and all rows are `lines` aligned lines, and `out` has room for all rows.
        unsafe { kernel.many(query, rows, out) }
    })
}

/// What is counted, by group and name.
fn table() -> Vec<(&'static str, Make)> {
    let mut table: Vec<(&str, Make)> = vec![
        ("search::sequential_sq8_f32", searches::<Sequential, Reranked<Sq8>>),
        ("search::sequential_rabitq2_f32", searches::<Sequential, Reranked<RaBitQ<2>>>),
        ("insert::sequential", || inserts::<Sequential>(CONFIG)),
        ("insert::slots", || inserts::<Slots>(CONFIG)),
        ("insert::lockfree", || inserts::<LockFree>(CONFIG)),
        ("prune::sequential", prunes::<Sequential>),
        ("kernel::f32", f32_kernel),
        ("kernel::bytes", bytes_kernel),
    ];
    macro_rules! search_with_each {
        ($(($name:ident, $graph:ty)),+ $(,)?) => {
            $(table.push((concat!("search::", stringify!($name)), searches::<$graph, F32>));)+
        };
    }
    hnsw_strategies::for_each_strategy!(search_with_each);
    table
}

/// Callgrind is told this name, and counts from its entry to its return.
// SAFETY: nothing else has this name.
#[unsafe(no_mangle)]
#[inline(never)]
fn hnsw_lab_counted(hot: Hot) {
    hot();
}

/// Runs what is named; without a name, or with `--bench` alone as cargo gives it, says what there is.
fn main() -> ExitCode {
    let table = table();
    let Some(name) = std::env::args().skip(1).find(|argument| !argument.starts_with('-')) else {
        table.iter().for_each(|(name, _)| println!("{name}"));
        return ExitCode::SUCCESS;
    };
    let Some((_, make)) = table.iter().find(|(known, _)| *known == name) else {
        eprintln!("error: nothing here is named {name}; without a name all names are listed");
        return ExitCode::FAILURE;
    };
    hnsw_lab_counted(make());
    ExitCode::SUCCESS
}
