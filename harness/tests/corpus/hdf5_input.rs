//! What an input of the target `hdf5` stands for. Shared with the tests of the reader, since an ordinary build has none.

/// Files that are read, whose bytes an input changes.
const FILES: [&[u8]; 3] = [
    include_bytes!("../../data/tests/hdf5/contiguous.hdf5"),
    include_bytes!("../../data/tests/hdf5/chunked.hdf5"),
    include_bytes!("../../data/tests/hdf5/bare.hdf5"),
];

/// Which of the files has some of its bytes replaced, or that the content follows; then changes or content.
pub fn content(which: u8, rest: &[u8]) -> Vec<u8> {
    let Some(good) = FILES.get(usize::from(which) % (FILES.len() + 1)) else { return rest.to_vec() };
    let mut content = good.to_vec();
    for change in rest.chunks_exact(3) {
        let at = usize::from(u16::from_le_bytes([change[0], change[1]])) % content.len();
        content[at] = change[2];
    }
    content
}
