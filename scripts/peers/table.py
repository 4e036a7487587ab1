"""What is compared. Everything that a campaign varies is a row here; the rest of the package only reads it.

One set of parameters serves all data sets, and was fixed before comparing.
"""

K = 10

# Like for like with every peer. Vamana graphs (DiskANN, SVS) take 2M as degree: that is what level 0 may hold.
LIKE = {"m": 16, "ef_construction": 200}
# Ours, for every data set. Peers keep LIKE.
OWN = {"m": 16, "ef_construction": 150, "alpha": 1.15}

# Beam widths, and the recalls at which rates are read off the curve. `at_baseline_ef`: at the recalls that the baseline has at
# these widths instead, for data on which 0.9 is out of reach. Names not listed take "default".
DATASETS = {
    "default": {"efs": [16, 24, 32, 48, 64, 96, 128], "recalls": [0.90, 0.95, 0.99]},
    "glove100": {"efs": [32, 64, 128, 192, 256, 384], "recalls": [0.90, 0.95]},
    "hi1024": {"efs": [24, 48, 96, 128, 192, 256, 384], "recalls": [0.90, 0.95]},
    "uniform128": {"efs": [32, 50, 72, 100, 144, 200, 288, 400, 576], "at_baseline_ef": [50, 100, 200, 400]},
}
# Made by `hnsw-lab data make` if no folder of that name is given.
GENERATED = {"uniform128": ["uniform", "--n", "100000", "--dim", "128", "--query-count", "10000"]}

# The denominator of all ratios. Measured at the start and at the end of each group; the two give the noise.
BASELINE = "hnswlib"

# adapter: class in adapters.py; install: what to tell who has not got it.
PEERS = {
    "hnswlib": {
        "adapter": "Hnswlib",
        "install": "pip install --no-binary hnswlib hnswlib",
        "note": "compiled on the machine that measures, for its CPU",
    },
    "faiss": {"adapter": "Faiss", "install": "pip install faiss-cpu", "note": "HNSWFlat"},
    "faiss-sq8": {
        "adapter": "Faiss",
        "options": {"quantizer": "QT_8bit", "refine": 2},
        "install": "pip install faiss-cpu",
        "note": "HNSWSQ, 8 bits, 2k candidates re-ranked on f32",
    },
    "usearch": {
        "adapter": "Usearch",
        "install": "pip install usearch",
        "note": "f32; its Python layer may serialise a batch: see the cores that it used",
    },
    "diskann": {
        "adapter": "Diskann",
        "install": "RUSTFLAGS='-C target-cpu=native' cargo build --release --manifest-path scripts/peers/diskann/Cargo.toml",
        "note": "diskann-inmem, f32, R = 2M, L = ef_construction, alpha 1.2",
    },
    "glass": {
        "adapter": "Glass",
        "options": {"build": "FP32", "search": "FP32", "refine": ""},
        "install": "pip install pyglass-portable (AVX2 only), or compile https://github.com/zilliztech/pyglass for this CPU",
        "note": "f32, static",
    },
    "glass-sq8": {
        "adapter": "Glass",
        "options": {"build": "SQ8U", "search": "SQ8U", "refine": "FP32"},
        "install": "pip install pyglass-portable (AVX2 only), or compile https://github.com/zilliztech/pyglass for this CPU",
        "note": "8 bits, re-ranked on f32, static",
    },
    "symphonyqg": {
        "adapter": "SymphonyQg",
        "install": "pip install rabitqlib",
        "note": "1-bit RaBitQ codes of the neighbours beside each list, static",
    },
    "svs": {"adapter": "Svs", "install": "pip install scalable-vs", "note": "Vamana, f32, R = 2M, alpha 1.2"},
    "svs-lvq8": {
        "adapter": "Svs",
        "options": {"bits": [8, 0]},
        "install": "pip install scalable-vs",
        "note": "Vamana on LVQ8, no re-ranking on f32",
    },
    "svs-lvq4x8": {
        "adapter": "Svs",
        "options": {"bits": [4, 8]},
        "install": "pip install scalable-vs",
        "note": "Vamana on LVQ4, re-ranked on 8 more bits",
    },
}

# Strategies of ours, in the order of tables; those that this build does not know are left out.
STRATEGIES = ["fine", "lockfree", "mvcc", "slots", "seqlock"]
# For codecs: what differs between strategies is shown with f32.
FEW_STRATEGIES = ["lockfree", "slots"]
# Those that take part where threads lose their cores, beside the others.
COARSER = ["coarse", "batch"]


def lab(codec, parameters=OWN, strategies=FEW_STRATEGIES, search="search", build="build", **more):
    """One configuration of hnsw-lab: flags, and the workloads that stand for search and for build.

    `for_builds`: it is there for the time of its builds, so blocks that time none leave it out.
    """
    return {"codec": codec, "parameters": parameters, "strategies": strategies, "search": search, "build": build, **more}


LAB = {
    "f32": lab("f32", LIKE, STRATEGIES),
    "f32-own": lab("f32", OWN, STRATEGIES),
    "f16": lab("f16"),
    "split": lab("split"),
    "sq8+f32": lab("sq8+f32"),
    # Like for like with peers, which may build on whatever rows they like, too.
    "sq8+f32-like": lab("sq8+f32", LIKE, for_builds=True),
    "lvq4+f32": lab("lvq4+f32"),
    "rabitq1+f32": lab("rabitq1+f32"),
    "rabitq2+f32": lab("rabitq2+f32"),
    "rabitq4+f32": lab("rabitq4+f32"),
    "f32-search-batch": lab("f32", search="search-batch"),
    "sq8+f32-search-batch": lab("sq8+f32", search="search-batch"),
    "split-search-batch": lab("split", search="search-batch"),
    "lvq4+f32-search-batch": lab("lvq4+f32", strategies=["slots"], search="search-batch"),
    "rabitq2+f32-search-batch": lab("rabitq2+f32", strategies=["slots"], search="search-batch"),
    "f32-bulk": lab("f32", build="bulk", search="bulk-search"),
    "sq8+f32-bulk": lab("sq8+f32", build="bulk", search="bulk-search"),
    # Batches on both sides: what is built at once is searched at once.
    "f32-bulk-search-batch": lab("f32", strategies=["slots"], build="bulk", search="bulk-search-batch"),
    "sq8+f32-bulk-search-batch": lab("sq8+f32", strategies=["slots"], build="bulk", search="bulk-search-batch"),
}
# Those that answer exactly: whatever they traverse, the last candidates are compared as f32.
RERANKED = ["split", "sq8+f32", "lvq4+f32", "rabitq1+f32", "rabitq2+f32", "rabitq4+f32"]
BATCHES = [name for name, config in LAB.items() if config["search"].endswith("search-batch")]
BULK = ["f32-bulk", "sq8+f32-bulk"]
# All that keep f32 rows and nothing else, and all that have exact answers from shorter rows, however the graph was built.
PLAIN = ["f32", "f32-own", "f32-bulk"]
EXACT = [*RERANKED, "sq8+f32-bulk"]

# A group is measured without a pause: baseline, the others in random order, baseline.
GROUPS = {
    "f32": {"lab": ["f32", "f32-own"], "peers": ["faiss", "usearch", "diskann", "glass", "svs"]},
    "quantised": {
        "lab": ["f16", *RERANKED, "sq8+f32-like"],
        "peers": ["faiss-sq8", "glass-sq8", "symphonyqg", "svs-lvq8", "svs-lvq4x8"],
    },
    "batch": {"lab": BATCHES, "peers": []},
    "bulk": {"lab": BULK, "peers": []},
    # One writer beside one reader, each of which is measured alone too.
    "mixed": {"lab": ["f32-own"], "peers": []},
    # The same at many more threads than cores, as ratio to as many threads as cores.
    "oversubscribed": {"lab": ["f32-own"], "more_strategies": COARSER, "peers": ["faiss"]},
}
# Groups that compare engines at equal recall.
COMPARED = ["f32", "quantised", "batch", "bulk"]
OVERSUBSCRIBED = 8  # threads per core
OVERSUBSCRIBED_EF = 64
MIXED_EF = 64

# What is to be reached at `recall`, as ratio of the best configuration of ours (by median) to the best of `peers`.
# `measure`: search or build. The data sets, or None for all that were measured.
LARGE = ["sift128-100k", "glove100"]
FLOORS = [
    {"what": "f32 search", "measure": "search", "ours": PLAIN, "peers": ["hnswlib"], "on": LARGE, "floor": 2.0},
    {"what": "f32 search", "measure": "search", "ours": PLAIN, "peers": ["hnswlib"], "on": ["hi1024"], "floor": 1.6},
    {"what": "f32 search", "measure": "search", "ours": PLAIN, "peers": ["faiss"], "on": None, "floor": 1.8},
    {"what": "f32 search", "measure": "search", "ours": PLAIN, "peers": ["usearch"], "on": None, "floor": 1.8},
    {"what": "f32 search", "measure": "search", "ours": PLAIN, "peers": ["diskann"], "on": None, "floor": 1.6},
    {"what": "plane split", "measure": "search", "ours": ["split"], "peers": ["hnswlib"], "on": ["hi1024"], "floor": 2.2},
    {"what": "quantised, re-ranked", "measure": "search", "ours": EXACT, "peers": ["hnswlib"], "on": LARGE, "floor": 3.5},
    {"what": "quantised, re-ranked", "measure": "search", "ours": EXACT, "peers": ["hnswlib"], "on": ["hi1024"], "floor": 6.9},
    {"what": "quantised, re-ranked", "measure": "search", "ours": EXACT, "peers": ["glass-sq8"], "on": None, "floor": 1.0},
    {"what": "quantised, re-ranked", "measure": "search", "ours": EXACT, "peers": ["symphonyqg"], "on": None, "floor": 1.0},
    {
        "what": "search_batch",
        "measure": "search",
        "ours": BATCHES,
        "peers": ["hnswlib"],
        "on": ["sift128-100k"],
        "floor": 4.0,
    },
    {"what": "one-by-one insert", "measure": "build", "ours": ["f32", "sq8+f32-like"], "peers": ["hnswlib"], "on": None, "floor": 3.0},
    {
        "what": "one-by-one insert, own parameters",
        "measure": "build",
        "ours": ["f32-own", *RERANKED],
        "peers": ["hnswlib"],
        "on": None,
        "floor": 4.0,
    },
    {"what": "bulk build", "measure": "build", "ours": BULK, "peers": ["hnswlib"], "on": None, "floor": 10.0},
    {
        "what": "seed workload",
        "measure": "search",
        "ours": [*PLAIN, *EXACT],
        "peers": ["hnswlib"],
        "on": ["uniform128"],
        "floor": 3.0,
    },
    {
        "what": "seed workload",
        "measure": "build",
        "ours": ["f32", "f32-own", *BULK, *RERANKED],
        "peers": ["hnswlib"],
        "on": ["uniform128"],
        "floor": 5.0,
    },
]
FLOOR_RECALL = 0.95
# What a writer and a reader beside each other keep, each, of what it reaches alone; without a short answer or a lost node.
MIXED_FLOOR = 0.90
# What many threads per core keep of the throughput of one per core; for all strategies but those.
OVERSUBSCRIBED_FLOOR = 0.90
OVERSUBSCRIBED_EXCEPT = ["coarse"]
# The most that a strategy may cost per thread, in % of the rate without synchronisation.
TAX_FLOORS = {"fine": 4.0, "slots": 4.0, "mvcc": 6.0, "lockfree": 12.0}

# Flags that `--quick` sets where they are not given: minutes instead of hours, to see that all runs; no figures to quote.
QUICK = {"blocks": 1, "seconds": 0.1, "query_count": 1000, "rows": 10000, "strategies": ["lockfree"]}


def dataset(name):
    """Beam widths and recalls of a data set."""
    return DATASETS.get(name, DATASETS["default"])
