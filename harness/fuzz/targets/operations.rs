//! Sequences of calls on every strategy, against brute force; see `calls`.
#![no_main]

#[path = "../../../strategies/tests/operations/calls.rs"]
mod calls;
#[allow(dead_code, reason = "shared with tests that use more of it")]
#[path = "../../../strategies/tests/conformance/support.rs"]
mod support;

libfuzzer_sys::fuzz_target!(|input: &[u8]| calls::run(input));
