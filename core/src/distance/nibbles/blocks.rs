//! How a kernel walks over rows of codes: in blocks of [`LOOKAHEAD`](super::LOOKAHEAD), the next block being prefetched while
//! one is computed. Each instruction set compiles its own copy, as in [`distance::blocks`](super::super::blocks).

/// Defines `routines` for an instruction set, whose functions all have the attributes `$feature`, out of these in scope:
///
/// - `Bytes`: a line of bytes; `bytes(at)` loads it, `low(bytes)` and `high(bytes)` are its codes, `and(a, b)` masks it.
/// - `Sums`: what has been added up for one row; `zeros()`; `add(sums, codes, q)` adds the products of two lines of codes with
///   two of signed bytes, at most 127 in magnitude; `add_codes(sums, codes)` adds the codes.
/// - `totals([Sums; 4])`: the four sums of products, `code_totals([Sums; 4])`: those of the codes.
macro_rules! routines_of_nibbles {
    ($(#[$feature:meta])*) => {
        /// The kernels for rows with `lines` lines of codes. Those of up to 128 components are compiled apart: there, the loop
        /// over the lines would cost more than its content.
        pub(super) fn routines(lines: usize) -> Routines {
            match lines {
                1 => Routines { to_query: many::<1, ToQuery>, to_row: many::<1, ToRow> },
                _ => Routines { to_query: many::<0, ToQuery>, to_row: many::<0, ToRow> },
            }
        }

        /// The distances of `left` to `rows`.
        ///
        /// # Safety
        /// See [`super::NibbleKernels`]; and the machine runs this instruction set, and rows have `LINES` lines of codes if that
        /// is not 0.
        $(#[$feature])*
        unsafe fn many<const LINES: usize, L: Left>(
            layout: Layout,
            left: L,
            mut rows: &[*const Line],
            out: &mut [f32],
        ) {
            let code_lines = if LINES == 0 { layout.code_lines() } else { LINES };
            let lines = [code_lines, layout.lines()];
            let mut out = out.as_mut_ptr();
            // SAFETY: the caller's promise, for rows of so many lines; `out` advances with `rows`.
            unsafe {
                while let Some((four, more)) = rows.split_first_chunk::<LOOKAHEAD>() {
                    if LINES != 0 || more.is_empty() || lines[1] <= SHORT {
                        block::<4, 0, L>(layout, &left, lines, four, &[], out);
                    } else {
                        // Prefetching a row of this block again costs next to nothing.
                        let ahead = core::array::from_fn(|i| *more.get(i).unwrap_or(&four[i]));
                        block::<4, LOOKAHEAD, L>(layout, &left, lines, four, &ahead, out);
                    }
                    (rows, out) = (more, out.add(LOOKAHEAD));
                }
                match *rows {
                    [a] => block::<1, 0, L>(layout, &left, lines, &[a], &[], out),
                    [a, b] => block::<2, 0, L>(layout, &left, lines, &[a, b], &[], out),
                    [a, b, c] => block::<3, 0, L>(layout, &left, lines, &[a, b, c], &[], out),
                    _ => {}
                }
            }
        }

        /// Writes the distances of `ROWS` (1 to 4) rows to `out`, and prefetches the rows `ahead`.
        ///
        /// # Safety
        /// As `many`, for rows with `code_lines` lines of codes and `lines` in all; `out` has room for `ROWS` floats.
        $(#[$feature])*
        #[inline]
        unsafe fn block<const ROWS: usize, const AHEAD: usize, L: Left>(
            layout: Layout,
            left: &L,
            [code_lines, lines]: [usize; 2],
            rows: &[*const Line; ROWS],
            ahead: &[*const Line; AHEAD],
            out: *mut f32,
        ) {
            let mut sums = [zeros(); 4];
            for line in 0..code_lines {
                ahead.iter().for_each(|row| prefetch(row.wrapping_add(line).cast()));
                // SAFETY: the line is one of the lines of codes of each row, and of twice as many of a query or masks.
                unsafe {
                    let q = [bytes(left.bytes().add(2 * line)), bytes(left.bytes().add(2 * line + 1))];
                    if let Some(from) = left.from() {
                        let from = bytes(from.add(line));
                        let from = [and(low(from), q[0]), and(high(from), q[1])];
                        for row in 0..ROWS {
                            let codes = bytes(rows[row].add(line));
                            let codes = [and(low(codes), q[0]), and(high(codes), q[1])];
                            sums[row] = add_codes(add(sums[row], codes, from), codes);
                        }
                    } else {
                        for row in 0..ROWS {
                            let codes = bytes(rows[row].add(line));
                            sums[row] = add(sums[row], [low(codes), high(codes)], q);
                        }
                    }
                }
            }
            if code_lines < lines {
                ahead.iter().for_each(|row| prefetch(row.wrapping_add(code_lines).cast()));
            }
            let products = totals(sums);
            let sums = if left.from().is_some() { code_totals(sums) } else { [0; 4] };
            for row in 0..ROWS {
                // SAFETY: the rows are of this layout, and `out` has room for `ROWS` floats.
                unsafe {
                    let factors = factors(rows[row], lines);
                    *out.add(row) = left.distance(factors, layout, products[row], sums[row]);
                }
            }
        }
    };
}
