"""How each peer is built, searched, saved and loaded.

An adapter imports its library when it is made, so that `ImportError` says that it is not installed. `build` takes all rows in
one call with a number of threads; `search` takes a batch of queries. `save` and `load` are None where a peer has no such
thing; it is then built again, untimed, whenever it is searched.
"""

import json
import os
import re
import subprocess
import tempfile
from importlib import metadata

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
# The slack for Vamana's degree and the pruning factor that their papers use.
VAMANA_ALPHA = 1.2


class Adapter:
    distribution = None

    def __init__(self, dataset, parameters, options):
        self.dataset, self.options = dataset, options
        self.m, self.ef_construction, self.k = parameters["m"], parameters["ef_construction"], dataset.k
        self.index = None
        self.imports()

    def imports(self):
        raise NotImplementedError

    def version(self):
        """Version of the library and where its binary comes from."""
        return described(self.distribution)

    def build(self, threads):
        raise NotImplementedError

    def prepare(self, threads):
        """What has to be done once before searches with so many threads, untimed."""

    def search(self, queries, ef, threads):
        """Ids, queries x k."""
        raise NotImplementedError

    save = None
    load = None


def described(distribution):
    """A name that pip knows, its version, and whether its binary was compiled on this machine."""
    of = metadata.distribution(distribution)
    tags = [line for line in (of.read_text("WHEEL") or "").splitlines() if line.startswith("Tag:")]
    portable = any("manylinux" in tag or "musllinux" in tag for tag in tags)
    return f"{distribution} {of.version} ({'wheel' if portable else 'compiled here'})"


class Hnswlib(Adapter):
    distribution = "hnswlib"

    def imports(self):
        import hnswlib

        self.library = hnswlib

    def space(self):
        return "ip" if self.dataset.angular else "l2"

    def empty(self, capacity):
        self.index = self.library.Index(self.space(), self.dataset.dim)
        self.index.init_index(capacity, ef_construction=self.ef_construction, M=self.m)

    def build(self, threads):
        self.empty(len(self.dataset.base))
        self.add(0, len(self.dataset.base), threads)

    def add(self, start, end, threads):
        self.index.add_items(self.dataset.base[start:end], np.arange(start, end), num_threads=threads)

    def search(self, queries, ef, threads):
        self.index.set_ef(ef)
        return self.index.knn_query(queries, self.k, num_threads=threads)[0]

    def save(self, path):
        self.index.save_index(path)

    def load(self, path):
        self.index = self.library.Index(self.space(), self.dataset.dim)
        self.index.load_index(path, max_elements=len(self.dataset.base))


class Faiss(Adapter):
    """Options: quantizer (a type of faiss.ScalarQuantizer; none is f32), refine (k times this many are re-ranked on f32)."""

    distribution = "faiss-cpu"

    def imports(self):
        import faiss

        self.library = faiss

    def version(self):
        return f"{described(self.distribution)}, {self.library.get_compile_options().strip()}"

    def build(self, threads):
        faiss, dim = self.library, self.dataset.dim
        faiss.omp_set_num_threads(threads)
        kind = faiss.METRIC_INNER_PRODUCT if self.dataset.angular else faiss.METRIC_L2
        quantizer = self.options.get("quantizer")
        if quantizer:
            self.graph = faiss.IndexHNSWSQ(dim, getattr(faiss.ScalarQuantizer, quantizer), self.m, kind)
        else:
            self.graph = faiss.IndexHNSWFlat(dim, self.m, kind)
        self.graph.hnsw.efConstruction = self.ef_construction
        if not self.graph.is_trained:
            self.graph.train(self.dataset.base)
        self.graph.add(self.dataset.base)
        self.refined()

    def refined(self):
        factor = self.options.get("refine")
        self.index = self.graph
        if factor:
            # The exact rows that re-ranking reads; adding them is a copy.
            kind = self.library.IndexFlatIP if self.dataset.angular else self.library.IndexFlatL2
            self.exact = kind(self.dataset.dim)
            self.exact.add(self.dataset.base)
            self.index = self.library.IndexRefine(self.graph, self.exact)
            self.index.k_factor = float(factor)

    def search(self, queries, ef, threads):
        self.library.omp_set_num_threads(threads)
        self.graph.hnsw.efSearch = ef
        return self.index.search(queries, self.k)[1]

    def save(self, path):
        self.library.write_index(self.graph, path)

    def load(self, path):
        self.graph = self.library.read_index(path)
        self.refined()


class Usearch(Adapter):
    distribution = "usearch"

    def imports(self):
        from usearch.index import Index

        self.Index = Index

    def version(self):
        self.empty(0)
        return f"{described(self.distribution)}, {self.index.hardware_acceleration}"

    def empty(self, _capacity):
        metric = "ip" if self.dataset.angular else "l2sq"
        self.index = self.Index(
            ndim=self.dataset.dim,
            metric=metric,
            dtype="f32",
            connectivity=self.m,
            expansion_add=self.ef_construction,
            expansion_search=64,
        )

    def build(self, threads):
        self.empty(len(self.dataset.base))
        self.add(0, len(self.dataset.base), threads)

    def add(self, start, end, threads):
        keys = np.arange(start, end, dtype=np.uint64)
        self.index.add(keys, self.dataset.base[start:end], threads=threads)

    def search(self, queries, ef, threads):
        self.index.expansion_search = ef
        keys = self.index.search(queries, self.k, threads=threads).keys
        return np.asarray(keys).reshape(len(queries), self.k).astype(np.int64)

    def save(self, path):
        self.index.save(path)

    def load(self, path):
        self.empty(0)
        self.index.load(path)


class Glass(Adapter):
    """Options: build, search, refine: quantisers of graph building, traversal and re-ranking. Level 0 has degree 2M.

    Unit vectors are compared by L2, which orders them as the inner product does.
    """

    def imports(self):
        import glass

        self.library = glass

    def version(self):
        try:
            return described("pyglass-portable" if "site-packages" in self.library.__file__ else "glass")
        except metadata.PackageNotFoundError:
            return "glass (compiled here)"

    def build(self, threads):
        self.library.set_num_threads(threads)
        builder = self.library.Index("HNSW", "L2", self.options["build"], R=2 * self.m, L=self.ef_construction)
        self.index, self.searcher = builder.build(self.dataset.base), None

    def prepare(self, threads):
        self.library.set_num_threads(threads)
        if self.searcher is None:
            searcher = self.library.Searcher
            self.searcher = searcher(self.index, self.dataset.base, "L2", self.options["search"], self.options["refine"])
            self.searcher.set_ef(64)
        self.searcher.optimize(threads)

    def search(self, queries, ef, threads):
        self.searcher.set_ef(ef)
        return self.searcher.batch_search(queries, self.k, threads)[0]

    def save(self, path):
        self.index.save(path)

    def load(self, path):
        self.index, self.searcher = self.library.Graph(path), None


class SymphonyQg(Adapter):
    """Degree 2M; unit vectors are compared by L2."""

    distribution = "rabitqlib"

    def imports(self):
        import rabitqlib

        self.library = rabitqlib

    def build(self, threads):
        self.index = self.library.SymqgIndex(self.dataset.dim, 2 * self.m, "l2", 0)
        self.index.build(self.dataset.base, self.ef_construction, threads)

    def search(self, queries, ef, threads):
        # Labels and distances; which comes first differs between versions.
        return next(part for part in map(np.asarray, self.index.search(queries, self.k, ef, threads)) if part.dtype.kind in "iu")

    def save(self, path):
        self.index.save(path)

    def load(self, path):
        self.index = self.library.SymqgIndex.load(path)


class Svs(Adapter):
    """Options: bits, of LVQ's first and second level; none is f32. Degree 2M; unit vectors are compared by L2."""

    distribution = "scalable-vs"

    def imports(self):
        import svs

        self.library = svs

    def build(self, threads):
        svs = self.library
        parameters = svs.VamanaBuildParameters(
            alpha=VAMANA_ALPHA, graph_max_degree=2 * self.m, window_size=self.ef_construction
        )
        if "bits" not in self.options:
            self.index = svs.Vamana.build(parameters, self.dataset.base, svs.DistanceType.L2, num_threads=threads)
            return
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "base.fvecs")
            svs.write_vecs(self.dataset.base, path)
            rows = svs.VectorDataLoader(path, svs.DataType.float32)
            loader = svs.LVQLoader(rows, *self.options["bits"])
            self.index = svs.Vamana.build(parameters, loader, svs.DistanceType.L2, num_threads=threads)

    def search(self, queries, ef, threads):
        self.index.num_threads = threads
        self.index.search_window_size = ef
        return self.index.search(queries, self.k)[0]

    def save(self, path):
        os.makedirs(path, exist_ok=True)
        self.index.save(*(os.path.join(path, part) for part in ("config", "graph", "data")))

    def load(self, path):
        svs, data = self.library, os.path.join(path, "data")
        loader = svs.LVQLoader(data) if "bits" in self.options else svs.VectorDataLoader(data, svs.DataType.float32)
        graph = svs.GraphLoader(os.path.join(path, "graph"))
        self.index = svs.Vamana(os.path.join(path, "config"), graph, loader, svs.DistanceType.L2)


class Diskann(Adapter):
    """The Rust crate, by the program in diskann/, which measures by itself: see `measure`."""

    def imports(self):
        folder = os.path.join(HERE, "diskann")
        self.program = os.path.join(os.environ.get("CARGO_TARGET_DIR", f"{folder}/target"), "release", "diskann-peer")
        if not os.path.isfile(self.program):
            raise ImportError("scripts/peers/diskann is not built")
        with open(f"{folder}/Cargo.lock") as file:
            locked = re.search(r'name = "diskann-inmem"\nversion = "([^"]+)"', file.read())
        self.locked = locked.group(1) if locked else "?"

    def version(self):
        return f"diskann-inmem {self.locked} (compiled here)"

    def measure(self, build_threads, threads, efs, seconds):
        """Builds, then searches; yields (row, ids or None)."""
        with tempfile.TemporaryDirectory() as folder:
            base, queries = os.path.join(folder, "base.f32"), os.path.join(folder, "query.f32")
            self.dataset.base.astype("<f4").tofile(base)
            self.dataset.queries.astype("<f4").tofile(queries)
            flags = {
                "base": base,
                "queries": queries,
                "dim": self.dataset.dim,
                "degree": 2 * self.m,
                "beam": self.ef_construction,
                "alpha": VAMANA_ALPHA,
                "k": self.k,
                "build-threads": build_threads,
                "threads": threads,
                "ef": ",".join(map(str, efs)),
                "seconds": seconds,
                "out": folder,
            }
            command = [self.program, *(str(part) for flag, value in flags.items() for part in (f"--{flag}", value))]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
                for line in running.stdout:
                    row = json.loads(line)
                    ids = row.pop("ids", None)
                    yield row, None if ids is None else np.fromfile(ids, dtype="<u4").reshape(-1, self.k)
            if running.returncode:
                raise RuntimeError(f"diskann-peer ended with {running.returncode}")
