import unittest

from peers.results import Results, disturbed
from peers import table

from .made import baseline, build, curve, made, search

OURS = ("f32", "slots")
AT = ("recall", 0.95)


class Search(unittest.TestCase):
    def test_a_ratio_is_formed_inside_its_block(self):
        # The machine is three times as fast in the second block: rates differ, ratios do not.
        rows = []
        for block, speed in enumerate((1.0, 3.0)):
            rows += baseline(speed, block=block) + curve("f32", 2.0 * speed, block=block, strategy="slots")
        rates, ratios = Results(made(rows)).search("set", "f32", 1, OURS, AT)
        self.assertAlmostEqual(rates.least, 4000.0)
        self.assertAlmostEqual(rates.most, 12000.0)
        self.assertAlmostEqual(ratios.least, 2.0)
        self.assertAlmostEqual(ratios.most, 2.0)

    def test_the_baseline_is_the_mean_of_both_ends_of_the_group(self):
        rows = curve("hnswlib", 1.0, place=0) + curve("hnswlib", 4.0, place=9) + curve("f32", 4.0, strategy="slots")
        results = Results(made(rows))
        self.assertAlmostEqual(results.search("set", "f32", 1, OURS, AT)[1].median, 2.0)
        self.assertAlmostEqual(results.noise("set", "f32", 1, AT).median, 4.0)

    def test_groups_and_thread_counts_are_kept_apart(self):
        rows = baseline() + curve("f32", 2.0, strategy="slots") + baseline(5.0, group="batch") + baseline(7.0, threads=2)
        results = Results(made(rows))
        self.assertAlmostEqual(results.search("set", "f32", 1, OURS, AT)[1].median, 2.0)
        self.assertIsNone(results.search("set", "f32", 2, OURS, AT)[1])

    def test_where_recall_is_out_of_reach_that_of_the_baseline_counts(self):
        rows = []
        for place in (0, 9):
            rows += [
                search("hnswlib", recall, rate, ef, place=place, dataset="uniform128")
                for ef, recall, rate in ((50, 0.3, 4000.0), (100, 0.45, 2000.0), (200, 0.6, 1000.0), (400, 0.77, 500.0))
            ]
        rows += [
            search("f32", recall, rate, ef, dataset="uniform128", strategy="slots")
            for ef, recall, rate in ((40, 0.3, 12000.0), (80, 0.45, 8000.0), (160, 0.6, 5000.0), (320, 0.77, 3000.0))
        ]
        results = Results(made(rows, datasets=("uniform128",)))
        self.assertEqual(results.columns("uniform128"), [("ef", ef) for ef in (50, 100, 200, 400)])
        ratios = [results.search("uniform128", "f32", 1, OURS, column)[1].median for column in results.columns("uniform128")]
        for found, expected in zip(ratios, (3.0, 4.0, 5.0, 6.0)):
            self.assertAlmostEqual(found, expected)
        # A floor holds at each of them.
        floor = {"measure": "search", "ours": ["f32"]}
        self.assertAlmostEqual(results.floor(floor, "uniform128", 1, "hnswlib")[1].median, 3.0)

    def test_beam_width_needed(self):
        needed = Results(made(curve("f32", strategy="slots"))).needed("set", OURS, 0.95, "ef")
        self.assertAlmostEqual(needed.median, 32.0)


class Build(unittest.TestCase):
    def test_is_compared_across_groups_of_a_block(self):
        rows = [build("hnswlib", 1000.0), build("sq8+f32", 4000.0, group="quantised", strategy="slots")]
        rates, ratios = Results(made(rows)).build("set", 1, ("sq8+f32", "slots"))
        self.assertAlmostEqual(rates.median, 4000.0)
        self.assertAlmostEqual(ratios.median, 4.0)

    def test_a_block_without_a_build_of_the_baseline_has_no_ratio(self):
        rows = [build("hnswlib", 1000.0), build("f32", 3000.0, strategy="slots"), build("f32", 9.0, block=1, strategy="slots")]
        self.assertEqual(Results(made(rows)).build("set", 1, OURS)[1].count, 1)


class Floors(unittest.TestCase):
    def test_the_best_of_ours_by_median_stands_for_us(self):
        rows = baseline() + curve("f32", 2.0, strategy="slots") + curve("f32-own", 3.0, strategy="mvcc")
        floor = {"measure": "search", "ours": ["f32", "f32-own"]}
        who, ratios = Results(made(rows)).floor(floor, "set", 1, "hnswlib")
        self.assertEqual(who, ("f32-own", "mvcc"))
        self.assertAlmostEqual(ratios.median, 3.0)

    def test_other_peers_are_compared_in_their_group(self):
        rows = baseline() + curve("f32", 3.0, strategy="slots") + curve("faiss", 1.5)
        floor = {"measure": "search", "ours": ["f32"]}
        self.assertAlmostEqual(Results(made(rows)).floor(floor, "set", 1, "faiss")[1].median, 2.0)
        self.assertIsNone(Results(made(rows)).floor(floor, "set", 1, "usearch"))

    def test_all_names_of_the_table_exist(self):
        for floor in table.FLOORS:
            self.assertLessEqual(set(floor["ours"]), set(table.LAB), floor)
            self.assertLessEqual(set(floor["peers"]), set(table.PEERS), floor)
        for group in table.GROUPS.values():
            self.assertLessEqual(set(group["lab"]), set(table.LAB))
            self.assertLessEqual(set(group["peers"]), set(table.PEERS))
        self.assertNotIn(table.BASELINE, [peer for group in table.GROUPS.values() for peer in group["peers"]])


    def test_insert_like_for_like_takes_the_best_rows(self):
        floor = next(floor for floor in table.FLOORS if floor["what"] == "one-by-one insert")
        rows = [build("hnswlib", 1000.0), build("f32", 2500.0, strategy="slots"), build("sq8+f32", 9000.0, group="quantised", strategy="slots")]
        rows.append(build("sq8+f32-like", 3500.0, group="quantised", strategy="slots"))
        self.assertEqual(Results(made(rows)).floor(floor, "set", 1, "hnswlib")[0], ("sq8+f32-like", "slots"))
        self.assertEqual(table.LAB["sq8+f32-like"]["parameters"], table.LIKE)

    def test_batches_are_those_that_search_in_batches(self):
        self.assertEqual(set(table.BATCHES), {name for name in table.LAB if name.endswith("-search-batch")})


class Disturbed(unittest.TestCase):
    def test_by_other_processes_or_by_what_the_program_says(self):
        self.assertFalse(disturbed({"other_cores": 0.1, "seconds": 1.0}))
        self.assertTrue(disturbed({"other_cores": 0.2, "seconds": 1.0}))
        self.assertTrue(disturbed({"tainted": ["threads were preempted"], "seconds": 1.0}))
        self.assertFalse(disturbed({"other_cores": None, "tainted": [], "seconds": 1.0}))


if __name__ == "__main__":
    unittest.main()
