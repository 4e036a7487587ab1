//! Public data sets: where they are, how large, under which terms, and what their bytes should be.
//!
//! A checksum is here only if a public source states it; [`Origin::stated_by`] names that source. Of a file without one,
//! the first download is written down in `NAME.sha256`, and what comes later is compared with that.
//!
//! Only a build with the cargo feature `fetch` downloads; any other lists the sets and says how to get one.

#[cfg(feature = "fetch")]
#[path = "fetch_http.rs"]
mod http;

use super::truth::Watch;
use anyhow::{Result, bail};
use clap::Args;
use std::io::Write;
use std::path::PathBuf;

/// Arguments of `data fetch`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  hnsw-lab data fetch sift1m --out sets\n  hnsw-lab sweep --dataset sets/sift1m"
)]
pub struct FetchArgs {
    /// A set; without one, all are listed
    #[arg(requires = "out")]
    pub name: Option<String>,
    /// Folder to write it to, with NAME.sha256 beside it
    #[arg(long, value_name = "DIR", requires = "name")]
    pub out: Option<PathBuf>,
    /// Fetch it again, whatever is there
    #[arg(long, requires = "name")]
    pub force: bool,
}

/// A set that can be fetched.
pub(super) struct Set {
    pub name: &'static str,
    /// Rows, dimension, metric.
    pub about: &'static str,
    /// Who made it, and the terms.
    pub terms: &'static str,
    pub origins: &'static [Origin],
}

/// A file on a server.
pub(super) struct Origin {
    pub url: &'static str,
    pub bytes: Option<u64>,
    pub sha256: Option<&'static str>,
    /// Who states the checksum.
    pub stated_by: &'static str,
    pub content: Content,
}

/// What a file on a server is here.
pub(super) enum Content {
    /// This file, below the folder of sets.
    File(&'static str),
    /// A gzipped tar: members and the files that they become.
    Archive(&'static [(&'static str, &'static str)]),
}

const TEXMEX: &str = "TEXMEX corpus, INRIA (http://corpus-texmex.irisa.fr/ has the terms, and the files by FTP only: from a mirror)";
const TFDS: &str = "tensorflow/datasets";

/// All sets.
pub(super) const SETS: [Set; 7] = [
    Set {
        name: "sift1m",
        about: "1,000,000 x 128 and 10,000 queries, l2",
        terms: TEXMEX,
        origins: &[
            Origin {
                url: "https://huggingface.co/datasets/qbo-odp/sift1m/resolve/main/sift_base.fvecs",
                bytes: Some(516_000_000),
                sha256: Some("21f66e2975057b5728ba56de1c825bac4f4d89d596609ae985741c6242631816"),
                stated_by: MEMBERS,
                content: Content::File("sift1m/base.fvecs"),
            },
            Origin {
                url: "https://huggingface.co/datasets/qbo-odp/sift1m/resolve/main/sift_query.fvecs",
                bytes: Some(5_160_000),
                sha256: Some("f7fc9be140accdfd64116c2fa2365ecdb69b8f084970c6b0532db5ff79ac8fdc"),
                stated_by: MEMBERS,
                content: Content::File("sift1m/query.fvecs"),
            },
            Origin {
                url: "https://huggingface.co/datasets/qbo-odp/sift1m/resolve/main/sift_groundtruth.ivecs",
                bytes: Some(4_040_000),
                sha256: Some("2b71de0a8d5a83e6a84eec3e23fb8b611d8801dd9b3a6cd62f070ab65ea65f4f"),
                stated_by: MEMBERS,
                content: Content::File("sift1m/gt.ivecs"),
            },
        ],
    },
    Set {
        name: "gist1m",
        about: "1,000,000 x 960 and 1,000 queries, l2",
        terms: TEXMEX,
        origins: &[Origin {
            url: "https://huggingface.co/datasets/fzliu/gist1m/resolve/main/gist.tar.gz",
            bytes: Some(2_740_172_684),
            sha256: Some("01469a7f1c3768853525e543d537e2dfa1adece927616405e360952e3f67df73"),
            stated_by: MEMBERS,
            content: Content::Archive(&[
                ("gist/gist_base.fvecs", "gist1m/base.fvecs"),
                ("gist/gist_query.fvecs", "gist1m/query.fvecs"),
                ("gist/gist_groundtruth.ivecs", "gist1m/gt.ivecs"),
            ]),
        }],
    },
    Set {
        name: "sift-128-euclidean",
        about: "1,000,000 x 128 and 10,000 queries, l2, HDF5",
        terms: "ann-benchmarks, made from TEXMEX (see its page for the terms)",
        origins: &[Origin {
            url: "https://ann-benchmarks.com/sift-128-euclidean.hdf5",
            bytes: Some(525_128_288),
            sha256: Some("dd6f0a6ed6b7ebb8934680f861a33ed01ff33991eaee4fd60914d854a0ca5984"),
            stated_by: TFDS,
            content: Content::File("sift-128-euclidean.hdf5"),
        }],
    },
    Set {
        name: "glove-100-angular",
        about: "1,183,514 x 100 and 10,000 queries, cosine, HDF5",
        terms: "ann-benchmarks, made from GloVe of Stanford (PDDL)",
        origins: &[Origin {
            url: "https://ann-benchmarks.com/glove-100-angular.hdf5",
            bytes: Some(485_413_888),
            sha256: Some("544af1d5e84e112cd4749571dcfd8ca109818a572f850af75a3a09e093a953c4"),
            stated_by: TFDS,
            content: Content::File("glove-100-angular.hdf5"),
        }],
    },
    Set {
        name: "fashion-mnist-784-euclidean",
        about: "60,000 x 784 and 10,000 queries, l2, HDF5",
        terms: "ann-benchmarks, made from Fashion-MNIST of Zalando (MIT)",
        origins: &[Origin {
            url: "https://ann-benchmarks.com/fashion-mnist-784-euclidean.hdf5",
            bytes: None,
            sha256: None,
            stated_by: "",
            content: Content::File("fashion-mnist-784-euclidean.hdf5"),
        }],
    },
    Set {
        name: "gist-960-euclidean",
        about: "1,000,000 x 960 and 1,000 queries, l2, HDF5",
        terms: "ann-benchmarks, made from TEXMEX (see its page for the terms)",
        origins: &[Origin {
            url: "https://ann-benchmarks.com/gist-960-euclidean.hdf5",
            bytes: Some(3_844_648_288),
            sha256: Some("8e95831936bfdbfa0a56086942e2cf98cd703517c67f985914183eb4cdbf026a"),
            stated_by: "scikit-learn_bench (sklbench/datasets/loaders.py)",
            content: Content::File("gist-960-euclidean.hdf5"),
        }],
    },
    Set {
        name: "nytimes-256-angular",
        about: "290,000 x 256 and 10,000 queries, cosine, HDF5",
        terms: "ann-benchmarks, made from Bag of Words of UCI (see its page for the terms)",
        origins: &[Origin {
            url: "https://ann-benchmarks.com/nytimes-256-angular.hdf5",
            bytes: None,
            sha256: None,
            stated_by: "",
            content: Content::File("nytimes-256-angular.hdf5"),
        }],
    },
];

/// TEXMEX itself states MD5 sums of its archives; several projects that compared them state the same SHA-256 of the archives
/// and of what is in them.
const MEMBERS: &str = "several public projects that fetched it";

/// Runs `data fetch`.
pub(super) fn run(args: &FetchArgs, out: &mut dyn Write, watch: Watch<'_>) -> Result<()> {
    let (Some(name), Some(folder)) = (&args.name, &args.out) else { return list(out) };
    let Some(set) = SETS.iter().find(|set| set.name == name) else {
        let names: Vec<_> = SETS.iter().map(|set| set.name).collect();
        bail!("no set is named {name:?}; known are {}", names.join(", "));
    };
    download(set, folder, args.force, out, watch)
}

#[cfg(feature = "fetch")]
use http::download;

#[cfg(not(feature = "fetch"))]
fn download(set: &Set, _: &std::path::Path, _: bool, _: &mut dyn Write, _: Watch<'_>) -> Result<()> {
    bail!(
        "this build does not download; run one that does: cargo run --release -p hnsw-lab --features fetch,hdf5 -- \
         data fetch {} …",
        set.name
    )
}

fn list(out: &mut dyn Write) -> Result<()> {
    for set in &SETS {
        writeln!(out, "{}\n  what       {}\n  source     {}", set.name, set.about, set.terms)?;
        for origin in set.origins {
            let bytes = origin.bytes.map_or("size unknown".into(), |bytes| format!("{bytes} bytes"));
            let files = match &origin.content {
                Content::File(name) => (*name).to_owned(),
                Content::Archive(members) => {
                    members.iter().map(|member| member.1).collect::<Vec<_>>().join(" ")
                }
            };
            writeln!(out, "  from       {}\n  to         {files} ({bytes})", origin.url)?;
            match origin.sha256 {
                Some(sum) => writeln!(out, "  sha256     {sum}, by {}", origin.stated_by)?,
                None => writeln!(out, "  sha256     of the first download, written to {}.sha256", set.name)?,
            }
        }
    }
    if !cfg!(feature = "fetch") {
        writeln!(
            out,
            "This build does not download; one that does: cargo run --release -p hnsw-lab --features fetch,hdf5 -- data \
             fetch …"
        )?;
    }
    Ok(())
}

#[cfg(test)]
#[path = "fetch_tests.rs"]
mod tests;
