import json
import os
import tempfile
import unittest

from peers import tax

INSTRUCTIONS = {"search::sequential": 1000, "search::slots": 1087}


def row(workload, strategy, threads, rate, block=0, codec="f32"):
    kind = "insert" if workload == "build" else "search"
    ops = {"insert": None, "search": None, kind: {"per_second": rate}}
    ef = None if workload == "build" else 64
    return {"workload": workload, "strategy": strategy, "threads": threads, "block": block, "ops": ops, "codec": codec, "ef": ef}


def document(rows):
    config = {"codec": "f32", "blocks": 3, "seconds": 0.2}
    return {"schema_version": 1, "run": {"config": config, "dataset": {"name": "sift10k"}}, "rows": rows}


def line_of(rows, strategy, threads=1):
    text = tax.section(document(rows), "f32", INSTRUCTIONS)
    return next(line for line in text.splitlines() if line.startswith(f"| {strategy} | {threads} |"))


class Ratios(unittest.TestCase):
    def setUp(self):
        # The machine is twice as fast in the second block: ratios are formed inside blocks.
        self.rows = []
        for block, speed in enumerate((1.0, 2.0, 1.0)):
            for workload, rate in (("build", 100.0), ("search", 1000.0)):
                self.rows.append(row(workload, "sequential", 1, rate * speed, block))
                self.rows.append(row(workload, "slots", 1, rate * speed * (0.97 + block / 100), block))
                self.rows.append(row(workload, "slots", 2, rate * speed * 1.8, block))
            self.rows.append(row("search-writer", "slots", 1, 950.0 * speed, block))

    def test_are_formed_inside_blocks_and_per_thread(self):
        line = line_of(self.rows, "slots")
        self.assertIn("| 0.980 (0.970-0.990), +2.0 % | 0.980 (0.970-0.990), +2.0 % | 0.950 (0.950-0.950), +5.0 % |", line)
        self.assertIn("| 0.900 (0.900-0.900), +10.0 % |", line_of(self.rows, "slots", 2))

    def test_the_floor_is_for_each_measure(self):
        self.assertTrue(line_of(self.rows, "slots").endswith("| ≤ 4 % | **no** (searches beside a writer) | +8.7 % |"))
        without = [one for one in self.rows if one["workload"] != "search-writer"]
        self.assertIn("| not measured |", line_of(without, "slots"))
        rows = [*without, *(row("search-writer", "slots", 1, 1960.0 if block == 1 else 990.0, block) for block in range(3))]
        self.assertIn("| yes |", line_of(rows, "slots"))

    def test_a_strategy_without_floor_or_count_has_neither(self):
        rows = [*self.rows, row("search", "coarse", 1, 900.0)]
        self.assertEqual(line_of(rows, "coarse"), "| coarse | 1 | – | 0.900, +10.0 % | – | – | – | – |")

    def test_strategies_have_the_order_of_the_table(self):
        rows = [*self.rows, row("search", "coarse", 1, 900.0), row("search", "fine", 1, 900.0)]
        self.assertEqual([strategy for strategy, _ in tax.Taxes(document(rows), "f32").lines()], ["fine", "slots", "slots", "coarse"])


    def test_codecs_are_told_apart(self):
        other = [row("search", "sequential", 1, 10.0, codec="f16"), row("search", "slots", 1, 5.0, codec="f16")]
        both = document([*self.rows, *other])
        both["run"]["config"]["codec"] = "f32,f16"
        first, second = tax.sections(both, INSTRUCTIONS)
        self.assertIn("### Tax: sift10k, f32, ef 64, 3 blocks of 0.2 s", first)
        self.assertIn("| – | 0.500, +50.0 % | – |", second)


class File(unittest.TestCase):
    def test_what_is_no_tax_is_refused(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "tax.json")
            for content in ("{", "{}", "[]", json.dumps(document([row("search", "slots", 1, 1.0)]))):
                with open(path, "w") as file:
                    file.write(content)
                with self.assertRaises(SystemExit):
                    tax.read(path)
            with open(path, "w") as file:
                json.dump(document([row("search", "sequential", 1, 1.0)]), file)
            self.assertEqual(len(tax.read(path)["rows"]), 1)


if __name__ == "__main__":
    unittest.main()
