//! How a kernel walks over planes: in blocks of [`LOOKAHEAD`](super::LOOKAHEAD) rows, the next block being prefetched while
//! one is computed. Each instruction set compiles its own copy, as in [`distance::blocks`](super::super::blocks).

/// Defines `routines` for an instruction set, whose functions all have the attributes `$feature`, out of these in scope:
///
/// - `Values`, the 16 floats of a line, and `Words`, the 32 halves of a line; `values(at)` and `words(at)` load them.
/// - `planes(words)`: the two lines of floats that a line of a high plane stands for; `joined(high, low)`: those that the
///   two planes give together.
/// - `Sums`: what has been added up for one row; `zeros()`; `add::<F>(sums, q, r)` adds the terms of two lines.
/// - `totals([Sums; 4])`: the four sums.
macro_rules! routines_of_planes {
    ($(#[$feature:meta])*) => {
        /// The kernels for planes of `lines` cache lines. Those of 65 to 128 components are compiled apart: these dimensions
        /// are common, and so small that the loop over the lines would cost.
        pub(super) fn routines<F: Formula>(lines: usize) -> Routines {
            match lines {
                3 => routines_of::<F, 3>(),
                4 => routines_of::<F, 4>(),
                _ => routines_of::<F, 0>(),
            }
        }

        fn routines_of<F: Formula, const LINES: usize>() -> Routines {
            Routines {
                to_query: many::<F, LINES, false, false>,
                to_row: many::<F, LINES, true, false>,
                joined: many::<F, LINES, false, true>,
            }
        }

        /// The distances of `left`, a high plane if `LEFT_ROW` and an f32 query if not, to `rows`, joined with their `rests`
        /// if `JOINED`.
        ///
        /// # Safety
        /// See [`super::PlaneKernels`]; and the machine runs this instruction set, planes have `lines` lines, `LINES` if that
        /// is not 0, and there are as many `rests` as `rows`.
        $(#[$feature])*
        unsafe fn many<F: Formula, const LINES: usize, const LEFT_ROW: bool, const JOINED: bool>(
            left: *const Line,
            mut rows: &[*const Line],
            mut rests: &[*const Line],
            lines: usize,
            out: &mut [f32],
        ) {
            let lines = if LINES == 0 { lines } else { LINES };
            let mut out = out.as_mut_ptr();
            // SAFETY: the caller's promise, for rows of `lines` lines; `out` advances with `rows` and `rests`, which are as
            // many.
            unsafe {
                while let (Some((four, more)), Some((low, more_low))) =
                    (rows.split_first_chunk::<LOOKAHEAD>(), rests.split_first_chunk::<LOOKAHEAD>())
                {
                    if more.is_empty() || lines <= SHORT {
                        block::<F, 4, LEFT_ROW, JOINED, 0>(left, four, low, &[], lines, out);
                    } else {
                        // Prefetching a row of this block again costs next to nothing.
                        let ahead = core::array::from_fn(|i| [*more.get(i).unwrap_or(&four[i]), *more_low.get(i).unwrap_or(&low[i])]);
                        block::<F, 4, LEFT_ROW, JOINED, LOOKAHEAD>(left, four, low, &ahead, lines, out);
                    }
                    (rows, rests, out) = (more, more_low, out.add(LOOKAHEAD));
                }
                match (rows, rests) {
                    (&[a], &[x]) => block::<F, 1, LEFT_ROW, JOINED, 0>(left, &[a], &[x], &[], lines, out),
                    (&[a, b], &[x, y]) => {
                        block::<F, 2, LEFT_ROW, JOINED, 0>(left, &[a, b], &[x, y], &[], lines, out)
                    }
                    (&[a, b, c], &[x, y, z]) => {
                        block::<F, 3, LEFT_ROW, JOINED, 0>(left, &[a, b, c], &[x, y, z], &[], lines, out)
                    }
                    _ => {}
                }
            }
        }

        /// Writes the distances of `ROWS` (1 to 4) rows to `out`, and prefetches the rows `ahead`, and their rests if `JOINED`.
        ///
        /// # Safety
        /// As `many`; `out` has room for `ROWS` floats.
        $(#[$feature])*
        #[inline]
        unsafe fn block<
            F: Formula,
            const ROWS: usize,
            const LEFT_ROW: bool,
            const JOINED: bool,
            const AHEAD: usize,
        >(
            left: *const Line,
            rows: &[*const Line; ROWS],
            rests: &[*const Line; ROWS],
            ahead: &[[*const Line; 2]; AHEAD],
            lines: usize,
            out: *mut f32,
        ) {
            let mut sums = [zeros(); 4];
            for line in 0..lines {
                for [row, rest] in ahead {
                    prefetch(row.wrapping_add(line).cast());
                    if JOINED {
                        prefetch(rest.wrapping_add(line).cast());
                    }
                }
                // SAFETY: the line is one of the `lines` of each plane, and of twice as many of a query.
                unsafe {
                    let q = match LEFT_ROW {
                        true => planes(words(left.add(line))),
                        false => [values(left.add(2 * line)), values(left.add(2 * line + 1))],
                    };
                    for row in 0..ROWS {
                        let high = words(rows[row].add(line));
                        let r = match JOINED {
                            true => joined(high, words(rests[row].add(line))),
                            false => planes(high),
                        };
                        sums[row] = add::<F>(sums[row], q, r);
                    }
                }
            }
            let mut distances = totals(sums);
            if !F::DIFFERENCES {
                distances = distances.map(|sum| F::BASE - sum);
            }
            // SAFETY: `out` has room for `ROWS` floats.
            unsafe { out.copy_from_nonoverlapping(distances.as_ptr(), ROWS) };
        }
    };
}
