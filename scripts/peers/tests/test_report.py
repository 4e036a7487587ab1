import unittest

from peers import report
from peers.curves import Spread

from .made import baseline, build, curve, made, search


def row_of(text, start):
    return next(line for line in text.splitlines() if line.startswith(start))


class Page(unittest.TestCase):
    def test_only_what_is_between_the_markers_changes(self):
        page = f"before\n\n{report.BEGIN}\nold\n{report.END}\n\nafter\n"
        self.assertEqual(report.put(page, "new\n"), f"before\n\n{report.BEGIN}\nnew\n{report.END}\n\nafter\n")

    def test_twice_is_once(self):
        page = f"{report.BEGIN}\n{report.END}"
        self.assertEqual(report.put(report.put(page, "new"), "new"), report.put(page, "new"))

    def test_a_page_without_markers_is_refused(self):
        for page in ("nothing", report.BEGIN, f"{report.END}\n{report.BEGIN}"):
            with self.assertRaises(SystemExit):
                report.put(page, "new")


class Cells(unittest.TestCase):
    def test_a_ratio_has_its_spread(self):
        self.assertEqual(report.times(Spread(2.0, 1.9, 2.1, 3)), "**2.00x** (1.90-2.10)")
        self.assertEqual(report.times(Spread(2.0, 2.0, 2.0, 1)), "**2.00x**")
        self.assertEqual(report.times(Spread(2.0, 2.0, 2.0, 1, True)), "≥ **2.00x**")
        self.assertEqual(report.times(None), report.NOTHING)

    def test_of_a_rate_and_its_ratio(self):
        self.assertEqual(report.cell(Spread(12345.0, 1.0, 2.0, 3), None), "12,345")
        self.assertEqual(report.cell(None, None), report.NOTHING)


class Tables(unittest.TestCase):
    def setUp(self):
        rows = [build("hnswlib", 1000.0), build("f32", 3500.0, strategy="slots")]
        for block in range(3):
            rows += baseline(block=block) + curve("f32", 2.0 + block / 10, block=block, strategy="slots")
        self.document = made(
            rows,
            skipped=[{"what": "peer faiss", "why": "not installed"}],
            visits=[{"visit": {"peer": "svs", "dataset": "set", "group": "f32", "threads": 1}, "seconds": 1, "failed": "no"}],
        )

    def test_search(self):
        text = report.tables([self.document])
        row = row_of(text, "| f32 / slots | 8,400")
        self.assertIn("**2.10x** (2.00-2.20)", row)
        self.assertEqual(row_of(text, "| hnswlib | 4,000"), "| hnswlib | 4,000 | 2,000 | 1,000 |")

    def test_floors_say_what_was_met(self):
        text = report.tables([self.document])
        self.assertTrue(row_of(text, "| one-by-one insert | set | 1 | hnswlib | 3.0x | **3.50x** |").endswith("| yes |"))

    def test_a_floor_that_nothing_was_measured_for_is_not_forgotten(self):
        text = report.tables([self.document])
        self.assertIn("| bulk build | set | 1 | hnswlib | 10.0x | – | – | not measured |", text)
        other = {**self.document, "settings": {**self.document["settings"], "configs": ["f32"]}}
        self.assertNotIn("| bulk build |", report.tables([other]), "a run without bulk builds owes none")
        who = ("f32", "slots")
        self.assertEqual(report.met((who, Spread(2.0, 2.0, 2.0, 1, True)), 3.0), "not known")
        self.assertEqual(report.met((who, Spread(2.0, 2.0, 2.0, 1)), 3.0), "**no**")

    def test_what_is_missing_is_named(self):
        text = report.tables([self.document])
        self.assertIn("- peer faiss: not installed", text)
        self.assertIn("- svs on set, f32: no", text)

    def test_an_engine_that_left_cores_idle_is_marked(self):
        rows = baseline(threads=2) + curve("usearch", 0.5, threads=2)
        for row in rows:
            row["cpu_seconds"] = 1.02 if row["peer"] == "usearch" else 1.98
        text = report.tables([made(rows, threads=(2,))])
        self.assertIn("| usearch (used 1.0 of 2 cores) |", text)
        self.assertIn("| hnswlib | 4,000", text)

    def test_cut_data_is_marked(self):
        self.document["settings"]["rows"] = 1000
        self.assertIn("No figures to quote", report.tables([self.document]))

    def test_blocks_that_the_time_did_not_suffice_for_are_not_claimed(self):
        def visits(*counts):
            return [{"visit": {"block": block, "place": place}} for block, count in enumerate(counts) for place in range(count)]

        builds = {"visit": {"block": 0, "place": 9, "lab": "sq8+f32-like"}}
        for counts, text in (((4, 4, 4), "3 blocks"), ((4, 4, 3), "2 blocks of 3, and part of one more"), ((4, 4), "2 of 3 blocks")):
            self.assertEqual(report.measured(made([], visits=[*visits(*counts), builds])), text)

    def test_groups_that_were_not_asked_for_have_no_section(self):
        self.assertIn("### One writer beside one reader", report.tables([self.document]))
        self.document["settings"]["groups"] = ["f32"]
        text = report.tables([self.document])
        self.assertIn("### Run on set, an unknown CPU: f32\n", text)
        for absent in ("### One writer", "### More threads", "### Searches beside", "| 1 writer + 1 reader |"):
            self.assertNotIn(absent, text)

    def test_all_rows_of_a_table_have_all_columns(self):
        for block in report.tables([self.document]).split("\n\n"):
            widths = {line.count("|") for line in block.splitlines() if line.startswith("|")}
            self.assertLessEqual(len(widths), 1, block)


class Beside(unittest.TestCase):
    def test_each_role_by_itself_alone(self):
        def window(workload, writes, reads, failed=0):
            row = search("f32-own", None, None, 64, group="mixed", strategy="slots")
            return {**row, "workload": workload, "writes_per_second": writes, "reads_per_second": reads, "failed_calls": failed}

        rows = [window("writer", 1000.0, 0.0), window("reader", 0.0, 2000.0), window("writer+reader", 950.0, 1600.0, 1)]
        text = report.tables([made(rows)])
        self.assertEqual(row_of(text, "| set | f32-own / slots"), "| set | f32-own / slots | 950 | 95% | 1,600 | 80% | 1 | – | **no** |")
        self.assertIn("| 1 writer + 1 reader | set | 2 | each alone | 90% | 80% | f32-own / slots | **no** |", text)

    def test_the_floor_is_for_an_engine_that_loses_neither_answers_nor_nodes(self):
        def visit(strategy, reads, failed=0, unreachable=0):
            row = {**search("f32-own", None, None, 64, group="mixed", strategy=strategy), "failed_calls": failed, "unreachable": unreachable}
            alone = {**row, "workload": "reader", "writes_per_second": 0.0, "reads_per_second": 1000.0}
            other = {**row, "workload": "writer", "writes_per_second": 100.0, "reads_per_second": 0.0}
            return [alone, other, {**row, "workload": "writer+reader", "writes_per_second": 95.0, "reads_per_second": reads}]

        start = "| 1 writer + 1 reader | set | 2 | each alone | 90% "
        text = report.tables([made([*visit("slots", 920.0), *visit("fine", 990.0, failed=1), *visit("mvcc", 990.0, unreachable=1)])])
        self.assertIn(f"{start}| 92% | f32-own / slots | yes |", text)
        self.assertTrue(row_of(text, "| set | f32-own / mvcc").endswith("| 0 | 3 |".replace("3", "1") + " **no** |"))
        self.assertIn(f"{start}| – | – | not measured |", report.tables([made([])]))


class Oversubscribed(unittest.TestCase):
    def test_many_threads_by_few(self):
        rows = []
        for threads, rate in ((2, 1000.0), (16, 900.0)):
            rows.append(search("f32-own", 0.9, rate, 64, group="oversubscribed", threads=threads, strategy="slots"))
        mixed = search("f32-own", 0.9, 500.0, 64, group="oversubscribed", threads=16, strategy="slots")
        rows.append({**mixed, "workload": "mixed", "p50_us": 50.0, "p999_us": 1234.0})
        text = report.tables([made(rows, threads=(1, 2))])
        self.assertEqual(row_of(text, "| set | f32-own / slots"), "| set | f32-own / slots | 2 to 16 | 0.90 | – | – |")
        self.assertIn("| set | 16 | f32-own / slots | 50 | – | 1,234 | – |", text)

    def test_the_floor_is_for_all_strategies_but_the_exceptions(self):
        def two(strategy, many):
            where = {"group": "oversubscribed", "strategy": strategy}
            return [search("f32-own", 0.9, rate, 64, threads=threads, **where) for threads, rate in ((2, 100.0), (16, many))]

        start = "| more threads than cores, all but coarse | set | 2 to 16 | one per core | 90% "
        text = report.tables([made([*two("coarse", 20.0), *two("slots", 99.0), *two("fine", 95.0)])])
        self.assertIn(f"{start}| 95% | f32-own / fine | yes |", text)
        text = report.tables([made([*two("slots", 99.0), *two("fine", 70.0)])])
        self.assertIn(f"{start}| 70% | f32-own / fine | **no** |", text)


class Roofline(unittest.TestCase):
    def setUp(self):
        self.rows = baseline() + curve("sq8+f32", 2.0, strategy="slots")
        for row in self.rows:
            if "lab" in row:
                row.update(evaluations=10.0 * row["ef"], row_bytes=128)
        point = {"rows": 10, "bytes": 128, "threads": 1, "gather_ns": {"median": 20.0, "least": 19.0, "most": 21.0}}
        self.limits = {"set": [{**point, "threads": 2, "gather_ns": {"median": 99.0}}, point]}

    def test_share_is_the_time_of_the_rows_by_the_time_of_the_query(self):
        # 320 rows of 20 ns are 6.4 µs; 4000 queries a second on one thread take 250 µs.
        text = report.tables([made(self.rows, limits=self.limits)])
        self.assertIn("| set | 1 | sq8+f32 / slots | 320 | 128 B | 6.4 | 250.0 | 3% |", text)

    def test_a_document_without_limits_says_so(self):
        document = made(self.rows)
        del document["limits"]
        text = report.tables([document])
        self.assertIn("| set | 1 | sq8+f32 / slots | 320 | 128 B | not measured | 250.0 | – |", text)

    def test_the_time_of_a_thread_counts(self):
        for row in self.rows:
            row["threads"] = 2
        text = report.tables([made(self.rows, threads=(2,), limits=self.limits)])
        self.assertIn("| set | 2 | sq8+f32 / slots | 320 | 128 B | 31.7 | 500.0 | 6% |", text)


if __name__ == "__main__":
    unittest.main()
