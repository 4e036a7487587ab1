#!/usr/bin/env python3
"""Made the .hdf5 files beside it (h5py 3, numpy 2); the tests of the reader know the formula.

contiguous.hdf5  as ann-benchmarks writes them: f32, contiguous, Euclidean, i32 neighbours
chunked.hdf5     chunks of 7 x 3 rows and columns, shuffled and deflated; f64 base, i64 neighbours, angular
bare.hdf5        of the newest file format, integers, no neighbours, inner product
wrong.hdf5       a base of one dimension, queries of text, and neighbours of floats
"""

import os

import h5py
import numpy as np

os.chdir(os.path.dirname(os.path.abspath(__file__)))


def values(rows, dim, salt):
    """Multiples of 1/64 from -512 to 512."""
    at = np.arange(rows * dim, dtype=np.uint64).reshape(rows, dim) + np.uint64(salt * 1000)
    return ((at * np.uint64(2654435761) % np.uint64(2**32)) >> np.uint64(16)).astype(np.int64) / 64 - 512


def nearest(base, queries, angular, k):
    if angular:
        unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (base, queries)]
        distances = 1 - unit[1] @ unit[0].T
    else:
        distances = ((queries[:, None, :] - base[None, :, :]) ** 2).sum(axis=2)
    return np.argsort(distances, axis=1, kind="stable")[:, :k]


base, queries = values(40, 4, 0), values(5, 4, 1)
with h5py.File("contiguous.hdf5", "w") as file:
    file.attrs["type"] = "dense"
    file.attrs["distance"] = "euclidean"
    file.attrs["dimension"] = 4
    file.create_dataset("train", data=base.astype("<f4"))
    file.create_dataset("test", data=queries.astype("<f4"))
    file.create_dataset("neighbors", data=nearest(base, queries, False, 10).astype("<i4"))
with h5py.File("chunked.hdf5", "w") as file:
    file.attrs["distance"] = "angular"
    packed = {"compression": "gzip", "shuffle": True}
    file.create_dataset("train", data=base.astype("<f8"), chunks=(7, 3), **packed)
    file.create_dataset("test", data=queries.astype(">f4"), chunks=(2, 4))
    file.create_dataset("neighbors", data=nearest(base, queries, True, 10).astype("<i8"), chunks=(2, 10), **packed)
with h5py.File("bare.hdf5", "w", libver="latest") as file:
    file.attrs["distance"] = np.bytes_("dot")
    file.create_dataset("train", data=np.floor(base).astype("<i2"), chunks=(16, 4), compression="gzip")
    file.create_dataset("test", data=(np.floor(queries) % 256).astype("u1"))
with h5py.File("wrong.hdf5", "w") as file:
    file.attrs["distance"] = "euclidean"
    file.create_dataset("train", data=base[0].astype("<f4"))
    file.create_dataset("test", data=np.array([["a", "b"]], dtype="S1"))
    file.create_dataset("neighbors", data=queries.astype("<f4"))
