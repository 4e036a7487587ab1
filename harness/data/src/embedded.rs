//! The data set that is part of the binary: 10,000 SIFT descriptors of freely licensed photographs and 1,000 queries from
//! other photographs. Origin and licences: `harness/data/sift10k/README.md`.

use super::dataset::Dataset;
use super::folder::parse_meta;
use super::read::{Format, read_ids_from, read_vectors_from};
use hnsw_core::distance::Metric;

macro_rules! file {
    ($name:literal) => {
        ($name, include_bytes!(concat!("../sift10k/", $name)) as &[u8])
    };
}

/// Names and content of the embedded files, the notices among them.
pub(super) const FILES: [(&str, &[u8]); 5] = [BASE, QUERY, TRUTH, META, file!("README.md")];
const BASE: (&str, &[u8]) = file!("base.bvecs");
const QUERY: (&str, &[u8]) = file!("query.bvecs");
const TRUTH: (&str, &[u8]) = file!("gt.ivecs");
const META: (&str, &[u8]) = file!("meta.json");

/// The embedded data set: 10,000 x 128, L2, 1,000 queries with their 100 nearest.
///
/// # Panics
/// Never in a binary whose tests passed: the bytes are part of it and a test reads them.
pub fn embedded() -> Dataset {
    let vectors = |(name, bytes): (&str, &[u8])| {
        read_vectors_from(bytes, bytes.len() as u64, Format::Bvecs, None)
            .unwrap_or_else(|problem| panic!("embedded {name}: {problem}"))
    };
    let (base, queries) = (vectors(BASE), vectors(QUERY));
    let truth = read_ids_from(TRUTH.1, TRUTH.1.len() as u64, Format::Ivecs, None).expect("embedded gt.ivecs");
    let meta = parse_meta(META.1).expect("embedded meta.json");
    Dataset::new(
        meta.name.unwrap_or_else(|| "sift10k".into()),
        meta.metric.unwrap_or(Metric::L2),
        base.dim,
        base.values,
        queries.values,
        meta.provenance.unwrap_or_default(),
    )
    .and_then(|set| set.with_truth(truth.values, truth.dim))
    .expect("the embedded files fit together")
}

#[cfg(test)]
mod tests {
    use super::super::{Truth, Watch};
    use super::*;

    #[test]
    fn the_embedded_truth_is_what_we_compute() {
        let set = embedded();
        assert_eq!((set.name(), set.metric(), set.dim()), ("sift10k", Metric::L2, 128));
        assert_eq!((set.len(), set.query_count()), (10_000, 1_000));
        assert!(set.provenance().contains("BSD-2-Clause"));
        // Squared distances of bytes are integers below 2^24, exact in f32: equal to the last id.
        let computed = Truth::exact(&set, 100, Watch::none()).unwrap();
        assert_eq!(set.truth(), Some(&computed));
    }
}
