use super::*;
use proptest::prelude::*;

/// The bytes of a file of `dim`-dimensional rows in `format`, with values that the format's type holds.
fn encode(format: Format, dim: usize, values: &[i8]) -> Vec<u8> {
    let rows = values.len() / dim;
    let value = |&v: &i8| match format {
        Format::Fvecs | Format::Fbin => f32::from(v).to_le_bytes().to_vec(),
        Format::Bvecs | Format::U8bin => vec![v.unsigned_abs()],
        Format::I8bin => vec![v as u8],
        Format::Ivecs | Format::Ibin => i32::from(v).to_le_bytes().to_vec(),
        Format::Npy => f64::from(v).to_le_bytes().to_vec(),
    };
    let mut bytes = match format {
        Format::Fvecs | Format::Bvecs | Format::Ivecs => {
            let row = |row: &[i8]| {
                [(dim as u32).to_le_bytes().to_vec(), row.iter().flat_map(value).collect()].concat()
            };
            return values.chunks(dim).flat_map(row).collect();
        }
        Format::Npy => return npy("<f8", rows, dim, values.iter().flat_map(value).collect()),
        _ => [(rows as u32).to_le_bytes(), (dim as u32).to_le_bytes()].concat(),
    };
    bytes.extend(values.iter().flat_map(value));
    bytes
}

fn npy(descr: &str, rows: usize, dim: usize, body: Vec<u8>) -> Vec<u8> {
    let text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({rows}, {dim}), }}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((text.len() as u16).to_le_bytes());
    bytes.extend(text.as_bytes());
    bytes.extend(body);
    bytes
}

fn vectors(format: Format, bytes: &[u8]) -> Result<Matrix<f32>, Problem> {
    read_vectors_from(bytes, bytes.len() as u64, format, None)
}

fn ids(format: Format, bytes: &[u8]) -> Result<Matrix<u32>, Problem> {
    read_ids_from(bytes, bytes.len() as u64, format, None)
}

fn message(format: Format, bytes: &[u8]) -> String {
    vectors(format, bytes).unwrap_err().to_string()
}

fn unsigned(format: Format) -> bool {
    matches!(format, Format::Bvecs | Format::U8bin)
}

proptest! {
    #[test]
    fn every_format_gives_back_what_was_written(dim in 1usize..20, seed in prop::collection::vec(any::<i8>(), 20..200)) {
        let values = &seed[..seed.len() / dim * dim];
        for (name, format) in Format::ALL {
            let matrix = vectors(format, &encode(format, dim, values)).unwrap();
            let expected: Vec<f32> = values
                .iter()
                .map(|&v| if unsigned(format) { f32::from(v.unsigned_abs()) } else { f32::from(v) })
                .collect();
            prop_assert_eq!(&matrix.values, &expected, "{}", name);
            prop_assert_eq!((matrix.dim, matrix.rows(), matrix.rows_in_file), (dim, values.len() / dim, values.len() / dim));
        }
    }

    #[test]
    fn what_is_written_is_read(dim in 1usize..9, values in prop::collection::vec(-1e30f32..1e30, 9..90)) {
        let values = &values[..values.len() / dim * dim];
        let mut bytes = Vec::new();
        crate::write_fvecs(&mut bytes, dim, values).unwrap();
        prop_assert_eq!(&vectors(Format::Fvecs, &bytes).unwrap().values, values);
        let numbers: Vec<u32> = values.iter().map(|v| v.to_bits() >> 1).collect();
        bytes.clear();
        crate::write_ivecs(&mut bytes, dim, &numbers).unwrap();
        prop_assert_eq!(ids(Format::Ivecs, &bytes).unwrap().values, numbers);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), limit in prop::option::of(0usize..9)) {
        for (_, format) in Format::ALL {
            for start in [&b""[..], b"\x93NUMPY\x01\x00", b"\x02\0\0\0", b"\x03\0\0\0\x02\0\0\0"] {
                let bytes = [start, &bytes].concat();
                let len = bytes.len() as u64;
                if let Ok(matrix) = read_vectors_from(&bytes[..], len, format, limit) {
                    prop_assert!(matrix.values.len() <= bytes.len() && matrix.rows() > 0);
                    prop_assert!(matrix.values.iter().all(|x| x.is_finite()));
                }
                if let Ok(matrix) = read_ids_from(&bytes[..], len, format, limit) {
                    prop_assert!(matrix.values.len() <= bytes.len() && matrix.rows() > 0);
                }
            }
        }
    }

    #[test]
    fn a_changed_npy_header_never_panics(position in 0usize..70, byte in any::<u8>()) {
        let mut bytes = npy("<f4", 3, 2, vec![0; 24]);
        bytes[position] = byte;
        if let Ok(matrix) = vectors(Format::Npy, &bytes) {
            prop_assert!(matrix.values.len() <= 24);
        }
    }
}

#[test]
fn truncation_at_every_offset_is_noticed() {
    let values: Vec<i8> = (0..12).collect();
    for (name, format) in Format::ALL {
        let bytes = encode(format, 4, &values);
        for len in 0..bytes.len() {
            let result = vectors(format, &bytes[..len]);
            // Whole rows of a vecs file are a vecs file: nothing in it says how many there were.
            let row = bytes.len() / 3;
            let whole =
                matches!(format, Format::Fvecs | Format::Bvecs | Format::Ivecs) && len > 0 && len % row == 0;
            assert_eq!(result.is_ok(), whole, "{name} cut at {len}: {result:?}");
        }
        let longer = [&bytes[..], &[0]].concat();
        assert!(vectors(format, &longer).is_err(), "{name} with a byte too many");
        // A file that shrinks after its length was taken.
        let shrunk =
            read_vectors_from(&bytes[..bytes.len() - 1], bytes.len() as u64, format, None).unwrap_err();
        assert!(shrunk.to_string().contains("while it was read"), "{name}: {shrunk}");
    }
}

#[test]
fn a_limit_cuts_rows() {
    let values: Vec<i8> = (0..12).collect();
    for (name, format) in Format::ALL {
        let bytes = encode(format, 4, &values);
        let read = |limit| read_vectors_from(&bytes[..], bytes.len() as u64, format, Some(limit));
        let cut = read(2).unwrap();
        assert_eq!((cut.rows(), cut.rows_in_file, cut.values.len()), (2, 3, 8), "{name}");
        assert_eq!(read(99).unwrap().rows(), 3, "{name}");
        assert!(read(0).unwrap_err().to_string().contains("no rows"), "{name}");
    }
}

#[test]
fn files_longer_than_a_block_are_read_whole() {
    let values: Vec<i8> = (0..3 * BLOCK as i32 / 2).map(|i| (i % 127) as i8).collect();
    let values = &values[..values.len() / 100 * 100];
    let matrix = vectors(Format::I8bin, &encode(Format::I8bin, 100, values)).unwrap();
    assert!(
        matrix.values.iter().zip(values).all(|(&a, &b)| a == f32::from(b))
            && matrix.values.len() == values.len()
    );
}

#[test]
fn every_npy_type_is_read() {
    let read =
        |descr, body: Vec<u8>| vectors(Format::Npy, &npy(descr, 1, 2, body)).map(|m| (m.values, m.element));
    assert_eq!(
        read("<f4", [1.5f32, -2.0].map(f32::to_le_bytes).concat()).unwrap(),
        (vec![1.5, -2.0], Element::F32)
    );
    assert_eq!(
        read("<f8", [1.5f64, -2.0].map(f64::to_le_bytes).concat()).unwrap(),
        (vec![1.5, -2.0], Element::F64)
    );
    let half = [1.5, -2.0].map(|x| f16::from_f32(x).to_le_bytes()).concat();
    assert_eq!(read("<f2", half).unwrap(), (vec![1.5, -2.0], Element::F16));
    assert_eq!(read("|u1", vec![1, 255]).unwrap(), (vec![1.0, 255.0], Element::U8));
    assert_eq!(read("|i1", vec![1, 255]).unwrap(), (vec![1.0, -1.0], Element::I8));
    assert_eq!(
        read("<i4", [7i32, -7].map(i32::to_le_bytes).concat()).unwrap(),
        (vec![7.0, -7.0], Element::I32)
    );
    let wide = read("<i8", vec![0; 16]).unwrap_err().to_string();
    assert!(wide.contains("i64 for vectors"), "{wide}");
    let numbers = |descr, body| ids(Format::Npy, &npy(descr, 1, 2, body)).map(|m| m.values);
    assert_eq!(
        numbers("<i8", [7i64, 3_000_000_000].map(i64::to_le_bytes).concat()).unwrap(),
        [7, 3_000_000_000]
    );
    assert_eq!(numbers("<u4", [7u32, 8].map(u32::to_le_bytes).concat()).unwrap(), [7, 8]);
    assert_eq!(numbers("<i4", [7i32, 8].map(i32::to_le_bytes).concat()).unwrap(), [7, 8]);
    let distances = numbers("<f4", vec![0; 8]).unwrap_err().to_string();
    assert!(distances.contains("holds f32 values where row numbers"), "{distances}");
}

#[test]
fn distances_after_the_ids_of_a_truth_are_passed_over() {
    let mut bytes = encode(Format::Ibin, 2, &[1, 2, 3, 4]);
    bytes.extend([9; 16]);
    assert_eq!(ids(Format::Ibin, &bytes).unwrap().values, [1, 2, 3, 4]);
    assert!(
        message(Format::Ibin, &bytes).contains("announces 2 rows of 2, so 24 bytes, but the file has 40")
    );
}

#[test]
fn each_problem_has_its_line() {
    let words = |words: &[u32]| words.iter().flat_map(|w| w.to_le_bytes()).collect::<Vec<u8>>();
    assert!(message(Format::Fbin, &[]).contains("is empty"));
    assert!(message(Format::Fvecs, &[1, 0]).contains("ends at byte 2, inside its header of 4 bytes"));
    assert!(message(Format::Fbin, &[1, 0, 0, 0, 1]).contains("ends at byte 5, inside its header of 8 bytes"));
    assert!(message(Format::Fvecs, &words(&[0, 0])).contains("the dimension at byte 0 is 0"));
    assert!(message(Format::Fvecs, &words(&[u32::MAX, 0])).contains("the dimension at byte 0 is -1"));
    assert!(message(Format::Fvecs, &words(&[70_000, 0])).contains("the dimension at byte 0 is 70000"));
    assert!(message(Format::Fvecs, &words(&[1, 0, 2])).contains("4 bytes are left at byte 8, after 1 rows"));
    assert!(
        message(Format::Fvecs, &words(&[1, 0, 2, 0]))
            .contains("row 1 at byte 8 has dimension 2, the rows before it 1")
    );
    assert!(message(Format::Fbin, &words(&[0, 4])).contains("no rows"));
    assert!(message(Format::Fbin, &words(&[4, 0])).contains("the dimension at byte 4 is 0"));
    assert!(message(Format::Fbin, &words(&[4, 1 << 20])).contains("the dimension at byte 4 is 1048576"));
    let huge = message(Format::Fbin, &words(&[u32::MAX, 65_536, 0]));
    assert!(
        huge.contains("announces 4294967295 rows of 65536, so 1125899906580488 bytes, but the file has 12"),
        "{huge}"
    );
    let nan = message(Format::Fbin, &words(&[2, 2, 0, 0, 0, f32::NAN.to_bits()]));
    assert!(nan.contains("component 1 of row 1 is not a finite f32"), "{nan}");
    let overflow = vectors(Format::Npy, &npy("<f8", 1, 1, 1e300f64.to_le_bytes().to_vec())).unwrap_err();
    assert!(overflow.to_string().contains("component 0 of row 0 is not a finite f32"));
    let negative = ids(Format::Ivecs, &words(&[1, 5, 1, u32::MAX])).unwrap_err().to_string();
    assert!(negative.contains("entry 0 of row 1 is -1, which is no row number"), "{negative}");
}

#[test]
fn errors_of_files_name_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let line = |name: &str| read_vectors(&path(name), None).unwrap_err().to_string();
    std::fs::write(path("a.csv"), "x").unwrap();
    std::fs::create_dir(path("b.fvecs")).unwrap();
    std::fs::write(path("c.FVECS"), [1, 0, 0, 0, 0, 0, 0, 0]).unwrap();
    for (name, expected) in [
        ("a.csv", "has no known extension"),
        ("b.fvecs", "is not a regular file"),
        ("none.npy", "cannot be read: No such file"),
    ] {
        let line = line(name);
        assert!(line.contains(expected) && line.contains(name) && !line.contains('\n'), "{line}");
    }
    assert_eq!(read_vectors(&path("c.FVECS"), None).unwrap().values, [0.0], "extensions in any case");
}
