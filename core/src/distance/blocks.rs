//! How a SIMD kernel walks over its rows: in blocks of [`LOOKAHEAD`](super::LOOKAHEAD), the next block being prefetched
//! while one is computed. The walk is the same for all instruction sets, but each needs its own copy: only a function
//! that is compiled for an instruction set can inline the intrinsics of that set.

/// Defines `routines`, `one` and `many` for the instruction set `$feature`, out of two things in scope:
///
/// - `Query<LINES>::new(at)`: the query, in registers if they have room for it. `LINES` is the number of cache lines of
///   a row, or 0 if it is known at run time only.
/// - `block::<F, LINES, ROWS, AHEAD>(query, rows, ahead, lines, out)`: writes the distances of 1 to 4 rows, and prefetches
///   the rows `ahead` line by line. Each row has its own accumulators, added up in an order that depends on `lines` only:
///   a distance has the same bits wherever its row stands.
macro_rules! routines_of_blocks {
    ($feature:literal) => {
        /// The kernels for rows of `lines` cache lines. Those of 81 to 128 components are compiled apart: these dimensions
        /// are common, and so small that the loop over the lines would cost.
        pub(super) fn routines<F: Formula>(lines: usize) -> Routines {
            match lines {
                6 => Routines { one: one::<F, 6>, many: many::<F, 6> },
                7 => Routines { one: one::<F, 7>, many: many::<F, 7> },
                8 => Routines { one: one::<F, 8>, many: many::<F, 8> },
                _ => Routines { one: one::<F, 0>, many: many::<F, 0> },
            }
        }

        /// # Safety
        /// See [`super::Kernels::one`]; and the machine runs this instruction set, and rows have `LINES` lines if that is
        /// not 0.
        #[target_feature(enable = $feature)]
        unsafe fn one<F: Formula, const LINES: usize>(a: *const f32, b: *const f32, dim: usize) -> f32 {
            let lines = if LINES == 0 { dim / LANES } else { LINES };
            let mut out = 0.0;
            // SAFETY: the caller promises `lines` lines behind `a` and `b`; `out` takes one distance.
            unsafe { block::<F, LINES, 1, 0>(&Query::new(a), &[b], &[], lines, &raw mut out) };
            out
        }

        /// # Safety
        /// See [`super::Kernels::many`]; and the machine runs this instruction set, and rows have `LINES` lines if that is
        /// not 0.
        #[target_feature(enable = $feature)]
        unsafe fn many<F: Formula, const LINES: usize>(
            query: *const f32,
            rows: &[*const f32],
            dim: usize,
            out: &mut [f32],
        ) {
            let lines = if LINES == 0 { dim / LANES } else { LINES };
            let mut out = out.as_mut_ptr();
            let mut rows = rows;
            // SAFETY: the caller promises `lines` lines behind `query` and behind each row, and room for one distance per
            // row behind `out`, which advances with `rows`.
            unsafe {
                let query = Query::<LINES>::new(query);
                while let Some((four, rest)) = rows.split_first_chunk::<LOOKAHEAD>() {
                    match *rest {
                        [] => block::<F, LINES, LOOKAHEAD, 0>(&query, four, &[], lines, out),
                        [a] => block::<F, LINES, LOOKAHEAD, 1>(&query, four, &[a], lines, out),
                        [a, b] => block::<F, LINES, LOOKAHEAD, 2>(&query, four, &[a, b], lines, out),
                        [a, b, c] => block::<F, LINES, LOOKAHEAD, 3>(&query, four, &[a, b, c], lines, out),
                        [a, b, c, d, ..] => {
                            block::<F, LINES, LOOKAHEAD, LOOKAHEAD>(&query, four, &[a, b, c, d], lines, out)
                        }
                    }
                    out = out.add(LOOKAHEAD);
                    rows = rest;
                }
                match *rows {
                    [a] => block::<F, LINES, 1, 0>(&query, &[a], &[], lines, out),
                    [a, b] => block::<F, LINES, 2, 0>(&query, &[a, b], &[], lines, out),
                    [a, b, c] => block::<F, LINES, 3, 0>(&query, &[a, b, c], &[], lines, out),
                    _ => {}
                }
            }
        }
    };
}

/// Defines `routine` for rows of codes and the instruction set `$feature`: [`routines_of_blocks`] for a
/// [`Codes`](super::codes::Codes). `$lines` are the numbers of lines that are compiled apart, among them all that are
/// [fetched at once](super::codes::AT_ONCE). In scope are:
///
/// - `Query<LINES>::new::<F>(at, lines)`: the query, in registers if they have room for it.
/// - `block::<F, LINES, ROWS, AHEAD>(query, rows, ahead, lines, scale, out)`: writes `scale` times the sum of each of 1 to
///   4 rows, and prefetches the rows `ahead`.
macro_rules! code_routine_of_blocks {
    ($feature:literal, $($lines:literal)*) => {
        /// The kernel for rows of `lines` cache lines.
        pub(in crate::distance) fn routine<F: Formula>(lines: usize) -> Routine {
            match lines {
                $($lines => many::<F, $lines>,)*
                _ => many::<F, 0>,
            }
        }

        /// # Safety
        /// See [`Codes::many`](super::super::codes::Codes::many); and the machine runs this instruction set, and rows have
        /// `LINES` lines if that is not 0.
        #[target_feature(enable = $feature)]
        unsafe fn many<F: Formula, const LINES: usize>(
            query: *const u8,
            rows: &[*const u8],
            lines: usize,
            scale: f32,
            out: &mut [f32],
        ) {
            let lines = if LINES == 0 { lines } else { LINES };
            let at_once = const { LINES != 0 && LINES <= AT_ONCE };
            let mut out = out.as_mut_ptr();
            let mut rows = rows;
            // SAFETY: the caller promises `lines` lines behind `query` and behind each row, and room for one distance per
            // row behind `out`, which advances with `rows`.
            unsafe {
                let query = Query::<LINES>::new::<F>(query, lines);
                while let Some((four, rest)) = rows.split_first_chunk::<LOOKAHEAD>() {
                    match *rest {
                        [a, b, c, d, ..] if !at_once => {
                            block::<F, LINES, 4, 4>(&query, four, &[a, b, c, d], lines, scale, out)
                        }
                        [a, b, c] if !at_once => {
                            block::<F, LINES, 4, 3>(&query, four, &[a, b, c], lines, scale, out)
                        }
                        [a, b] if !at_once => block::<F, LINES, 4, 2>(&query, four, &[a, b], lines, scale, out),
                        [a] if !at_once => block::<F, LINES, 4, 1>(&query, four, &[a], lines, scale, out),
                        _ => block::<F, LINES, 4, 0>(&query, four, &[], lines, scale, out),
                    }
                    out = out.add(LOOKAHEAD);
                    rows = rest;
                }
                match *rows {
                    [a] => block::<F, LINES, 1, 0>(&query, &[a], &[], lines, scale, out),
                    [a, b] => block::<F, LINES, 2, 0>(&query, &[a, b], &[], lines, scale, out),
                    [a, b, c] => block::<F, LINES, 3, 0>(&query, &[a, b, c], &[], lines, scale, out),
                    _ => {}
                }
            }
        }
    };
}
