"""Data sets: base, queries, and how far the true neighbours are."""

import json
import os

import numpy as np

# Relative tolerance of a comparison of distances: both sides are rounded.
TOLERANCE = 1e-5


class Dataset:
    """Rows as contiguous f32. Angular sets are brought to unit length, so that L2 and inner product order alike."""

    def __init__(self, folder, k, rows=None, query_count=None):
        self.folder, self.k = folder, k
        self.angular = metric(folder) in ("angular", "cosine")
        base, queries = read(folder, "base"), read(folder, "query")
        if self.angular:
            base, queries = unit(base), unit(queries)
        self.base = np.ascontiguousarray(base[:rows], dtype=np.float32)
        self.queries = np.ascontiguousarray(queries[:query_count], dtype=np.float32)
        self.dim = self.base.shape[1]
        if len(self.base) < len(base):
            nearest = exact(self.base, self.queries, k)
        else:
            nearest = ivecs(os.path.join(folder, "gt.ivecs"))[: len(self.queries)]
        self.farthest = self.distances(nearest[:, k - 1 : k])[:, 0]
        # Near zero a relative tolerance is none; this is the rounding of distances of the set's size.
        self.absolute = 1e-6 * float(np.mean(self.farthest))

    def distances(self, ids):
        """Squared L2 from each query to the rows of its ids (queries x n)."""
        out = np.empty(ids.shape, dtype=np.float64)
        for start in range(0, len(ids), 1000):
            some = slice(start, start + 1000)
            found = self.base[np.clip(ids[some], 0, len(self.base) - 1)].astype(np.float64)
            out[some] = ((found - self.queries[some, None, :]) ** 2).sum(2)
        return out

    def score(self, ids):
        """Recall by distance, and how many answers had fewer than k hits. Ids outside the set are missing hits."""
        ids = np.asarray(ids).astype(np.int64)[:, : self.k]
        there = (ids >= 0) & (ids < len(self.base))
        # An id given twice is one hit.
        ordered = np.argsort(ids, axis=1, kind="stable")
        ascending = np.take_along_axis(ids, ordered, 1)
        repeated = np.zeros_like(there)
        np.put_along_axis(repeated, ordered[:, 1:], ascending[:, 1:] == ascending[:, :-1], 1)
        limit = self.farthest * (1 + TOLERANCE) + self.absolute
        hits = there & ~repeated & (self.distances(ids) <= limit[:, None])
        short = int((there.sum(1) < self.k).sum())
        return float(np.minimum(hits.sum(1), self.k).mean() / self.k), short


def metric(folder):
    """What meta.json names, else l2."""
    try:
        with open(os.path.join(folder, "meta.json")) as file:
            return json.load(file).get("metric", "l2")
    except OSError:
        return "l2"


def read(folder, stem):
    """The rows of stem.fvecs, stem.bvecs, stem.f16.npy or stem.npy."""
    for suffix, reader in ((".fvecs", fvecs), (".bvecs", bvecs), (".f16.npy", np.load), (".npy", np.load)):
        path = os.path.join(folder, stem + suffix)
        if os.path.exists(path):
            return reader(path)
    raise SystemExit(f"error: {folder} has no {stem}.fvecs, {stem}.bvecs, {stem}.f16.npy or {stem}.npy")


def vecs(path, kind):
    dim = int(np.fromfile(path, dtype=np.int32, count=1)[0])
    return np.fromfile(path, dtype=np.dtype([("dim", np.int32), ("values", kind, (dim,))]))["values"]


def fvecs(path):
    return vecs(path, np.float32)


def bvecs(path):
    return vecs(path, np.uint8)


def ivecs(path):
    return vecs(path, np.int32)


def unit(rows):
    rows = rows.astype(np.float64)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def exact(base, queries, k):
    """Row numbers of the k nearest, in no order but that the last is the farthest. For cut data sets."""
    norms = (base.astype(np.float64) ** 2).sum(1)
    out = np.empty((len(queries), k), dtype=np.int64)
    for start in range(0, len(queries), 200):
        distances = norms - 2.0 * (queries[start : start + 200].astype(np.float64) @ base.T.astype(np.float64))
        near = np.argpartition(distances, k, axis=1)[:, :k]
        order = np.argsort(np.take_along_axis(distances, near, 1), axis=1)
        out[start : start + 200] = np.take_along_axis(near, order, 1)
    return out
