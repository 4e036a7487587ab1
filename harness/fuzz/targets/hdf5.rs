//! See `hdf5` in the shared bodies.
#![no_main]

#[allow(dead_code, reason = "each target has one of the bodies")]
#[path = "../../tests/corpus/targets.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|input: &[u8]| targets::hdf5(input));
