"""Needs numpy, which nothing else here does; without it these tests are skipped."""

import os
import tempfile
import unittest

try:
    import numpy as np

    from peers.datasets import Dataset, exact
except ImportError:
    np = None


@unittest.skipIf(np is None, "numpy is not installed")
class Scores(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        # Rows 0 and 1 are as far from the query, one on each side; row 2 is farther.
        np.save(os.path.join(scratch.name, "base.npy"), np.array([[1.0], [-1.0], [3.0], [5.0]], np.float32))
        np.save(os.path.join(scratch.name, "query.npy"), np.zeros((1, 1), np.float32))
        np.array([[2, 0, 1]], np.int32).tofile(os.path.join(scratch.name, "gt.ivecs"))
        self.folder = scratch.name

    def test_by_distance_so_that_ties_are_hits(self):
        dataset = Dataset(self.folder, 1)
        self.assertEqual(dataset.score([[0]]), (1.0, 0))
        self.assertEqual(dataset.score([[1]]), (1.0, 0))
        self.assertEqual(dataset.score([[2]]), (0.0, 0))

    def test_an_id_given_twice_is_one_hit_and_a_missing_one_none(self):
        dataset = Dataset(self.folder, 2)
        self.assertEqual(dataset.score([[1, 0]]), (1.0, 0))
        self.assertEqual(dataset.score([[0, 0]]), (0.5, 0))
        self.assertEqual(dataset.score([[0, -1]]), (0.5, 1))
        self.assertEqual(dataset.score(np.array([[0, 2**32 - 1]], np.uint32)), (0.5, 1))

    def test_cut_sets_have_their_own_neighbours(self):
        self.assertEqual(exact(np.array([[1.0], [9.0], [2.0]]), np.zeros((1, 1)), 2).tolist(), [[0, 2]])
        dataset = Dataset(self.folder, 2, rows=3)
        self.assertEqual(dataset.score([[1, 0]]), (1.0, 0))


if __name__ == "__main__":
    unittest.main()
