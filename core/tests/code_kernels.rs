//! Every kernel over codes that this machine runs, against a definition of its own.

use half::f16;
use hnsw_core::distance::codes::{Codes, Sum};
use hnsw_core::distance::{Isa, LOOKAHEAD, bytes, half as halves};
use hnsw_core::vectors::Line;
use proptest::prelude::*;

const SUMS: [Sum; 2] = [Sum::Squares, Sum::Products];

/// Rows of `lines` cache lines that `byte` fills, by the place of the byte.
fn rows(count: usize, lines: usize, mut byte: impl FnMut(usize) -> u8) -> Vec<Vec<Line>> {
    let row = |_| {
        let mut row = vec![Line([0.0; 16]); lines];
        for (place, to) in bytemuck::cast_slice_mut::<_, u8>(&mut row).iter_mut().enumerate() {
            *to = byte(place);
        }
        row
    };
    (0..count).map(row).collect()
}

fn bytes_of(row: &[Line]) -> &[u8] {
    bytemuck::cast_slice(row)
}

/// The halves of a row as exact numbers.
fn halves_of(row: &[Line]) -> Vec<f64> {
    bytemuck::cast_slice::<_, u16>(row).iter().map(|bits| f16::from_bits(*bits).to_f64()).collect()
}

fn many(kernel: &Codes, query: &[Line], rows: &[Vec<Line>]) -> Vec<f32> {
    assert!(rows.iter().all(|row| row.len() == kernel.lines()) && query.len() == kernel.lines());
    let pointers: Vec<*const u8> = rows.iter().map(|row| row.as_ptr().cast()).collect();
    // One more than is asked for, to see that it stays as it is.
    let mut out = vec![f32::MAX; rows.len() + 1];
    // SAFETY: all are aligned rows of as many lines as the kernel is for, and `out` is long enough.
    unsafe { kernel.many(query.as_ptr().cast(), &pointers, &mut out) };
    assert_eq!(out.pop(), Some(f32::MAX), "written behind the last distance");
    out
}

/// A generator of numbers, quicker than what proptest has for many of them.
fn generator(seed: u64) -> impl FnMut() -> u32 {
    let mut state = seed | 1;
    move || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as u32
    }
}

/// The same two rows give the same bits, wherever in a batch, alone, and in exchanged roles.
fn is_repeatable(kernel: &Codes, query: &[Line], rows: &[Vec<Line>], batch: &[f32]) {
    for (i, row) in rows.iter().enumerate() {
        assert_eq!(many(kernel, query, &rows[i..])[0].to_bits(), batch[i].to_bits());
        let back = many(kernel, row, &[query.to_vec()])[0];
        assert_eq!(back.to_bits(), batch[i].to_bits());
    }
}

fn expected_of_bytes(sum: Sum, a: &[Line], b: &[Line]) -> i64 {
    let zero = i64::from(bytes::ZERO);
    let pairs = bytes_of(a).iter().zip(bytes_of(b)).map(|(a, b)| (i64::from(*a), i64::from(*b)));
    pairs.map(|(a, b)| if sum == Sum::Squares { (a - b) * (a - b) } else { (a - zero) * (b - zero) }).sum()
}

/// Up to the largest dimension, at which no sum may overflow.
#[test]
fn bytes_are_added_up_without_error_at_every_extreme() {
    for lines in (1..=20).chain([64, 1024]) {
        for (a, b) in [(0, 127), (127, 127), (0, 0), (64, 127), (0, 64), (63, 65)] {
            let (query, rows) = (rows(1, lines, |_| a).remove(0), rows(6, lines, |_| b));
            for (isa, sum) in Isa::available().into_iter().flat_map(|isa| SUMS.map(|sum| (isa, sum))) {
                let kernel = Codes::bytes(sum, lines, 1.0, isa);
                let expected = expected_of_bytes(sum, &query, &rows[0]) as f32;
                assert_eq!(many(&kernel, &query, &rows), [expected; 6], "{isa} {sum:?} of {a} and {b}");
            }
        }
    }
}

#[test]
fn kernels_say_what_they_are() {
    for isa in Isa::available() {
        for kernel in [Codes::bytes(Sum::Squares, 2, 1.0, isa), Codes::half(Sum::Squares, 2, 1.0, isa)] {
            assert!(kernel.isa() <= isa && kernel.isa().is_available());
            assert_eq!((kernel.lines(), kernel.lookahead()), (2, usize::MAX));
        }
        assert_eq!(Codes::bytes(Sum::Products, 16, 1.0, isa).lookahead(), LOOKAHEAD);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_kernel_of_bytes_gives_the_same_bits(
        lines in 1usize..=20, count in 0usize..=33, seed in any::<u64>(), scale in 1e-6f32..10.0,
    ) {
        let mut next = generator(seed);
        let mut all = rows(count + 1, lines, |_| (next() % 128) as u8);
        let query = all.pop().unwrap();
        for sum in SUMS {
            let expected: Vec<f32> =
                all.iter().map(|row| scale * expected_of_bytes(sum, &query, row) as f32).collect();
            for isa in Isa::available() {
                let kernel = Codes::bytes(sum, lines, scale, isa);
                let found = many(&kernel, &query, &all);
                prop_assert_eq!(&found, &expected, "{} {:?} of {} lines", isa, sum, lines);
                is_repeatable(&kernel, &query, &all, &found);
            }
        }
    }

    #[test]
    fn every_kernel_of_halves_is_as_exact_as_f32(
        lines in 1usize..=20, count in 0usize..=17, seed in any::<u64>(),
        exponents in prop::sample::select(vec![0x00u8, 0x1F, 0x3F, 0x7B]),
    ) {
        // The second byte of a half has the sign and the exponent; none of these is infinite.
        let mut next = generator(seed);
        let mut all = rows(count + 1, lines, |place| match place % 2 {
            0 => next() as u8,
            _ => (next() as u8 & 0x83) | (exponents & 0x7C).min(0x78),
        });
        let query = all.pop().unwrap();
        let q = halves_of(&query);
        for sum in SUMS {
            for isa in Isa::available() {
                let kernel = Codes::half(sum, lines, -0.5, isa);
                let found = many(&kernel, &query, &all);
                is_repeatable(&kernel, &query, &all, &found);
                for (row, found) in all.iter().zip(found) {
                    let r = halves_of(row);
                    let terms = || q.iter().zip(&r).map(|(q, r)| match sum {
                        Sum::Squares => (q - r) * (q - r),
                        Sum::Products => q * r,
                    });
                    let (expected, magnitude) = (terms().sum::<f64>(), terms().map(f64::abs).sum::<f64>());
                    // Two terms or more per line and lane, and a dozen operations around them, each round once.
                    let tolerance = (2 * lines + 14) as f64 * f64::from(f32::EPSILON) / 2.0;
                    let error = (f64::from(found) + 0.5 * expected).abs();
                    prop_assert!(error <= 0.5 * magnitude * tolerance, "{isa} {sum:?}: {found} for -{expected} / 2");
                }
            }
        }
    }

    #[test]
    fn a_row_of_codes_is_at_distance_zero_from_itself(lines in 1usize..=20, seed in any::<u64>()) {
        let mut next = generator(seed);
        let row = rows(1, lines, |place| (next() as u8) & if place % 2 == 0 { 0x7F } else { 0x7B }).remove(0);
        for isa in Isa::available() {
            for kernel in [Codes::bytes(Sum::Squares, lines, 1.0, isa), Codes::half(Sum::Squares, lines, 1.0, isa)] {
                prop_assert_eq!(many(&kernel, &row, std::slice::from_ref(&row))[0].to_bits(), 0);
            }
        }
    }
}

#[test]
fn halves_at_the_end_of_their_range_do_not_overflow() {
    let largest = f16::MAX.to_bits().to_le_bytes();
    for lines in [1, 2, 3, 4, 5, 65_536 / halves::LANES] {
        let high = rows(1, lines, |place| largest[place % 2]).remove(0);
        let low = rows(5, lines, |place| largest[place % 2] | if place % 2 == 1 { 0x80 } else { 0 });
        for isa in Isa::available() {
            let kernel = Codes::half(Sum::Squares, lines, 1.0, isa);
            let expected = (2.0 * 65_504.0f64).powi(2) * (lines * halves::LANES) as f64;
            for found in many(&kernel, &high, &low) {
                assert!((f64::from(found) / expected - 1.0).abs() < 1e-4, "{isa}: {found} for {expected}");
            }
        }
    }
}
