use super::super::folder::{LoadOptions, load};
use std::path::PathBuf;

/// A file that `tests/hdf5/make_hdf5.py` made.
fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/hdf5").join(name)
}

#[cfg(not(feature = "hdf5"))]
#[test]
fn a_build_without_the_feature_says_how_to_get_one() {
    let line = load(&fixture("contiguous.hdf5"), &LoadOptions::default()).unwrap_err().to_string();
    assert!(line.contains("contiguous.hdf5: is HDF5, which this build does not read"), "{line}");
    assert!(line.contains("cargo run --release -p hnsw-lab --features hdf5 -- …"), "{line}");
    let line = load(&fixture("absent.h5"), &LoadOptions::default()).unwrap_err().to_string();
    assert!(line.contains("absent.h5: cannot be read: No such file"), "{line}");
}

#[cfg(feature = "hdf5")]
#[path = "../../tests/corpus/hdf5_input.rs"]
mod input;

#[cfg(feature = "hdf5")]
mod with_the_feature {
    use super::super::{Hdf5, Part};
    use super::*;
    use crate::cmd::{DataCommand, InspectArgs, run};
    use crate::{Dataset, Element, Truth, Watch, read_ids, read_vectors, write_fvecs};
    use hnsw_core::distance::Metric;
    use std::fs;
    use std::path::Path;
    use tempfile::TempDir;

    /// The formula of `make_hdf5.py`.
    fn values(rows: u64, dim: u64, salt: u64) -> Vec<f32> {
        let value = |at: u64| (((at + salt * 1000) * 2_654_435_761 % (1 << 32)) >> 16) as f32 / 64.0 - 512.0;
        (0..rows * dim).map(value).collect()
    }

    fn set(name: &str, options: LoadOptions) -> Dataset {
        load(&fixture(name), &options).unwrap()
    }

    /// What is said of a file with this content.
    fn refusal(folder: &TempDir, content: &[u8]) -> String {
        let path = folder.path().join("changed.hdf5");
        fs::write(&path, content).unwrap();
        let line = load(&path, &LoadOptions::default()).unwrap_err().to_string();
        assert!(line.contains("changed.hdf5") && !line.contains('\n'), "{line}");
        line
    }

    /// The content of a fixture in which one occurrence of `old` is `new`.
    fn changed(name: &str, old: &[u8], new: &[u8]) -> Vec<u8> {
        assert_eq!(old.len(), new.len());
        let mut content = fs::read(fixture(name)).unwrap();
        let found: Vec<_> = (0..content.len()).filter(|&at| content[at..].starts_with(old)).collect();
        assert_eq!(found.len(), 1, "{old:?}");
        content[found[0]..][..new.len()].copy_from_slice(new);
        content
    }

    #[test]
    fn a_contiguous_file_is_a_data_set() {
        let set = set("contiguous.hdf5", LoadOptions::default());
        assert_eq!((set.name(), set.metric(), set.dim()), ("contiguous", Metric::L2, 4));
        assert_eq!((set.base(), set.queries()), (&values(40, 4, 0)[..], &values(5, 4, 1)[..]));
        assert_eq!(set.truth(), Some(&Truth::exact(&set, 10, Watch::none()).unwrap()));
    }

    #[test]
    fn chunks_that_are_packed_and_of_wider_types_give_the_same() {
        let set = set("chunked.hdf5", LoadOptions::default());
        assert_eq!(set.metric(), Metric::Cosine);
        assert_eq!((set.base(), set.queries()), (&values(40, 4, 0)[..], &values(5, 4, 1)[..]));
        assert_eq!(set.truth().unwrap().ids, Truth::exact(&set, 10, Watch::none()).unwrap().ids);
        let base = read_vectors(&fixture("chunked.hdf5"), Some(9)).unwrap();
        assert_eq!((base.values.as_slice(), base.rows_in_file), (&values(40, 4, 0)[..36], 40));
        assert_eq!(base.element, Element::F64);
        assert_eq!(read_ids(&fixture("chunked.hdf5"), None).unwrap().element, Element::I64);
    }

    #[test]
    fn neighbours_may_be_missing_and_integers_are_read() {
        let set = set("bare.hdf5", LoadOptions::default());
        let floor = |values: Vec<f32>| values.into_iter().map(f32::floor);
        assert_eq!(set.metric(), Metric::InnerProduct);
        assert_eq!(set.base(), floor(values(40, 4, 0)).collect::<Vec<_>>());
        assert_eq!(set.queries(), floor(values(5, 4, 1)).map(|x| x.rem_euclid(256.0)).collect::<Vec<_>>());
        assert!(set.truth().is_none());
        let file = Hdf5::open(&fixture("bare.hdf5")).unwrap();
        assert_eq!(Part::ALL.map(|part| file.has(part)), [true, true, false]);
        assert_eq!(file.vectors(Part::Base, None).unwrap().element, Element::I16);
    }

    #[test]
    fn flags_come_before_what_the_file_says() {
        let truth = |options| set("contiguous.hdf5", options).truth().map(|truth| truth.ids.len());
        let queries = TempDir::new().unwrap();
        let other = queries.path().join("other.fvecs");
        write_fvecs(&mut fs::File::create(&other).unwrap(), 4, &values(3, 4, 2)).unwrap();
        assert_eq!(truth(LoadOptions { metric: Some(Metric::Cosine), ..Default::default() }), None);
        assert_eq!(truth(LoadOptions { metric: Some(Metric::L2), ..Default::default() }), Some(50));
        assert_eq!(truth(LoadOptions { limit: Some(39), ..Default::default() }), None);
        assert_eq!(truth(LoadOptions { query_limit: Some(2), ..Default::default() }), Some(20));
        let options = LoadOptions { queries: Some(other), ..Default::default() };
        assert_eq!(truth(options.clone()), None);
        assert_eq!(set("contiguous.hdf5", options).queries(), values(3, 4, 2));
    }

    #[test]
    fn inspect_shows_all_parts() {
        let inspect = |name: &str| {
            let command = DataCommand::Inspect(InspectArgs { path: fixture(name), limit: None });
            let mut out = Vec::new();
            run(&command, &mut out, Watch::none()).map_err(|error| format!("{error:#}"))?;
            Ok::<_, String>(String::from_utf8(out).unwrap())
        };
        let seen = inspect("chunked.hdf5").unwrap();
        for expected in [
            "chunked.hdf5: metric cosine\n",
            "chunked.hdf5, dataset train\n  shape       40 x 4 f64",
            "chunked.hdf5, dataset test\n  shape       5 x 4 f32",
            "chunked.hdf5, dataset neighbors\n  shape       5 x 10 ids",
        ] {
            assert!(seen.contains(expected), "{expected} is missing in {seen}");
        }
        assert!(!inspect("bare.hdf5").unwrap().contains("neighbors"));
        assert!(inspect("wrong.hdf5").unwrap_err().contains("dataset train: has 1 dimensions"));
    }

    #[test]
    fn what_is_wrong_is_said_in_one_line() {
        let folder = TempDir::new().unwrap();
        let contiguous = fs::read(fixture("contiguous.hdf5")).unwrap();
        for (content, expected) in [
            (vec![], "is empty"),
            (b"no such format".to_vec(), "does not begin as an HDF5 file does"),
            (changed("contiguous.hdf5", b"train", b"trail"), "dataset train: is not there"),
            (changed("contiguous.hdf5", b"test\0", b"tent\0"), "dataset test: is not there"),
            (
                changed("contiguous.hdf5", b"euclidean", b"manhattan"),
                "says that its distance is \"manhattan\"",
            ),
            (
                changed("contiguous.hdf5", &values(40, 4, 0)[6].to_le_bytes(), &f32::NAN.to_le_bytes()),
                "dataset train: component 2 of row 1 is not a finite f32",
            ),
            (contiguous[..contiguous.len() - 1].to_vec(), "it is truncated"),
        ] {
            let line = refusal(&folder, &content);
            assert!(line.contains(expected), "{line}");
        }
        let wrong = Hdf5::open(&fixture("wrong.hdf5")).unwrap();
        let rank = wrong.vectors(Part::Base, None).unwrap_err().to_string();
        assert!(rank.contains("wrong.hdf5, dataset train: has 1 dimensions"), "{rank}");
        let text = wrong.vectors(Part::Queries, None).unwrap_err().to_string();
        assert!(text.contains("dataset test: holds text"), "{text}");
        let floats = wrong.ids(Part::Truth, None).unwrap_err().to_string();
        assert!(
            floats.contains("dataset neighbors: holds f32 values where row numbers are needed"),
            "{floats}"
        );
        let pipe = load(Path::new("absent.h5"), &LoadOptions::default()).unwrap_err().to_string();
        assert!(pipe.contains("absent.h5: cannot be read: No such file"), "{pipe}");
    }

    #[test]
    fn an_unknown_distance_can_be_overruled_but_its_neighbours_are_not_used() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("changed.hdf5");
        fs::write(&path, changed("contiguous.hdf5", b"euclidean", b"manhattan")).unwrap();
        let options = LoadOptions { metric: Some(Metric::L2), ..Default::default() };
        let set = load(&path, &options).unwrap();
        assert_eq!((set.metric(), set.truth()), (Metric::L2, None));
    }

    #[test]
    fn more_than_the_file_can_hold_is_not_allocated() {
        let folder = TempDir::new().unwrap();
        // Rows and dimension as the dataspace of `train` has them, twice: now and at most.
        let shape = |rows: u64| [rows, 4, rows, 4].map(u64::to_le_bytes).concat();
        let line = refusal(&folder, &changed("contiguous.hdf5", &shape(40), &shape(1 << 40)));
        assert!(line.contains("announces 1099511627776 rows of 4"), "{line}");
    }

    #[test]
    fn a_truncated_file_is_an_error_wherever_it_ends() {
        let folder = TempDir::new().unwrap();
        for name in ["contiguous.hdf5", "chunked.hdf5", "bare.hdf5"] {
            let whole = fs::read(fixture(name)).unwrap();
            for sixteenth in 0..16 {
                refusal(&folder, &whole[..whole.len() * sixteenth / 16]);
            }
        }
    }

    /// Whatever a byte becomes, the file is read or refused.
    #[test]
    fn damaged_bytes_do_no_harm() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("changed.hdf5");
        let (mut read, mut refused) = (0, 0);
        for name in ["contiguous.hdf5", "chunked.hdf5", "bare.hdf5"] {
            let whole = fs::read(fixture(name)).unwrap();
            for at in (0..whole.len()).filter(|&at| whole[at] != 0) {
                let mut content = whole.clone();
                content[at] = [0x00, 0xff, whole[at] ^ 0x01][at % 3];
                fs::write(&path, &content).unwrap();
                match load(&path, &LoadOptions::default()) {
                    Ok(set) => {
                        assert!(set.base().iter().all(|x| x.is_finite()));
                        read += 1;
                    }
                    Err(error) => {
                        assert!(!error.to_string().contains('\n'));
                        refused += 1;
                    }
                }
            }
        }
        assert!(read > 0 && refused > 0, "{read} read, {refused} refused");
    }

    /// Inputs that the fuzzer keeps: an ordinary build, which replays the others, does not read these.
    #[test]
    fn kept_inputs_of_the_fuzzer_are_read_or_refused() {
        let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/hdf5");
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("changed.hdf5");
        let mut read = 0;
        for file in fs::read_dir(kept).unwrap() {
            let input = fs::read(file.unwrap().path()).unwrap();
            for length in (2..input.len().min(200)).chain([input.len()]) {
                fs::write(&path, input::content(input[0], &input[2..length])).unwrap();
                let limit = input[1].checked_sub(1).map(usize::from);
                let options = LoadOptions { limit, query_limit: limit, ..LoadOptions::default() };
                match load(&path, &options) {
                    Ok(set) => {
                        assert!(set.base().iter().all(|x| x.is_finite()));
                        read += 1;
                    }
                    Err(error) => assert!(!error.to_string().contains('\n')),
                }
            }
        }
        assert!(read > 0);
    }
}
