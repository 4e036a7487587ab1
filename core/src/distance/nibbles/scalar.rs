//! The definition of the two sums, in plain Rust.

use super::super::{LOOKAHEAD, prefetch};
use super::{BYTES, Layout, Left, Line, Routines, SHORT, ToQuery, ToRow, factors};

routines_of_nibbles!();

type Bytes = [u8; BYTES];

/// The sum of products and the sum of codes.
type Sums = [i32; 2];

fn zeros() -> Sums {
    [0; 2]
}

/// # Safety
/// `at` leads to a line.
unsafe fn bytes(at: *const Line) -> Bytes {
    // SAFETY: the caller's promise.
    unsafe { *at.cast() }
}

fn low(bytes: Bytes) -> Bytes {
    bytes.map(|byte| byte & 15)
}

fn high(bytes: Bytes) -> Bytes {
    bytes.map(|byte| byte >> 4)
}

fn and(mut a: Bytes, b: Bytes) -> Bytes {
    a.iter_mut().zip(b).for_each(|(a, b)| *a &= b);
    a
}

fn add(mut sums: Sums, codes: [Bytes; 2], q: [Bytes; 2]) -> Sums {
    for (codes, q) in codes.iter().zip(&q) {
        sums[0] += codes.iter().zip(q).map(|(c, q)| i32::from(*c) * i32::from(*q as i8)).sum::<i32>();
    }
    sums
}

fn add_codes(mut sums: Sums, codes: [Bytes; 2]) -> Sums {
    sums[1] += codes.iter().flatten().map(|code| i32::from(*code)).sum::<i32>();
    sums
}

fn totals(sums: [Sums; 4]) -> [i32; 4] {
    sums.map(|sums| sums[0])
}

fn code_totals(sums: [Sums; 4]) -> [i32; 4] {
    sums.map(|sums| sums[1])
}
