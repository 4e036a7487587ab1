//! Whatever a file claims, reading it allocates no more than its own size allows.
//!
//! A file of its own, because the allocator that counts is that of the whole process.

use hnsw_data::{Format, read_ids_from, read_vectors_from};
use proptest::prelude::*;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    /// The largest allocation of this thread since it was last reset.
    static LARGEST: Cell<usize> = const { Cell::new(0) };
}

struct Watching;

// SAFETY: everything is passed on to the system allocator; the counter allocates nothing.
unsafe impl GlobalAlloc for Watching {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LARGEST.with(|largest| largest.set(largest.get().max(layout.size())));
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Watching = Watching;

/// The largest allocation while both readers try `bytes`.
fn largest(bytes: &[u8], format: Format) -> usize {
    LARGEST.set(0);
    let len = bytes.len() as u64;
    let _ = (read_vectors_from(bytes, len, format, None), read_ids_from(bytes, len, format, None));
    LARGEST.get()
}

/// A byte of a file becomes at most an f32; messages are short.
fn allowed(bytes: &[u8]) -> usize {
    4 * bytes.len() + 1024
}

#[test]
fn the_allocator_watches() {
    LARGEST.set(0);
    drop(Vec::<u8>::with_capacity(12_345));
    assert_eq!(LARGEST.get(), 12_345);
}

#[test]
fn huge_headers_allocate_nothing_huge() {
    let words = |words: &[u32]| words.iter().flat_map(|w| w.to_le_bytes()).collect::<Vec<u8>>();
    let npy = |shape: &str| {
        let text = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({shape}), }}");
        [b"\x93NUMPY\x01\x00", &(text.len() as u16).to_le_bytes()[..], text.as_bytes(), &[0; 64]].concat()
    };
    for bytes in [
        words(&[u32::MAX, u32::MAX, 0, 0]),
        words(&[u32::MAX, 65_536, 0, 0]),
        words(&[i32::MAX as u32, 1, 0, 0]),
        words(&[65_536, 1, 0, 0]),
        npy("18446744073709551615, 65536"),
        npy("4294967296, 4294967296"),
        b"\x93NUMPY\x02\x00\xff\xff\xff\xff{}".to_vec(),
    ] {
        for (name, format) in Format::ALL {
            let largest = largest(&bytes, format);
            assert!(largest <= allowed(&bytes), "{name}: {largest} bytes for a file of {}", bytes.len());
        }
    }
}

proptest! {
    #[test]
    fn arbitrary_files_allocate_no_more_than_their_size(
        head in prop::collection::vec(prop_oneof![0u32..20, any::<u32>()], 0..4),
        tail in prop::collection::vec(any::<u8>(), 0..2000),
    ) {
        let plain: Vec<u8> = head.iter().flat_map(|w| w.to_le_bytes()).chain(tail).collect();
        let numpy = [b"\x93NUMPY\x02\x00", &plain[..]].concat();
        for bytes in [plain, numpy] {
            for (name, format) in Format::ALL {
                let largest = largest(&bytes, format);
                prop_assert!(largest <= allowed(&bytes), "{name}: {largest} bytes for a file of {}", bytes.len());
            }
        }
    }
}
