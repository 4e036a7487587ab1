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
        self.assertEqual(row_of(text, "| set | f32-own / slots"), "| set | f32-own / slots | 950 | 95% | 1,600 | 80% | 1 |")


class Oversubscribed(unittest.TestCase):
    def test_many_threads_by_few(self):
        rows = []
        for threads, rate in ((2, 1000.0), (16, 900.0)):
            rows.append(search("f32-own", 0.9, rate, 64, group="oversubscribed", threads=threads, strategy="slots"))
        mixed = search("f32-own", 0.9, 500.0, 64, group="oversubscribed", threads=16, strategy="slots")
        rows.append({**mixed, "workload": "mixed", "p999_us": 1234.0})
        text = report.tables([made(rows, threads=(1, 2))])
        self.assertEqual(row_of(text, "| set | f32-own / slots"), "| set | f32-own / slots | 2 to 16 | 0.90 | – | – | – | 1,234 |")


if __name__ == "__main__":
    unittest.main()
