import contextlib
import io
import json
import os
import tempfile
import unittest

from peers import document, lab, table
from peers.campaign import Campaign, remaining

SETTINGS = {
    "blocks": 2,
    "groups": ["f32", "quantised"],
    "threads": [1, 2],
    "seed": 42,
    "builds": True,
    "reuse_builds": False,
    "efs": None,
    "peers": ["hnswlib", "faiss"],
    "seconds": 0.1,
    "rows": None,
    "query_count": None,
    "strategies": None,
}


class WithFolder(unittest.TestCase):
    def setUp(self):
        self.scratch = tempfile.TemporaryDirectory()
        self.addCleanup(self.scratch.cleanup)
        self.folder = self.scratch.name
        for part in ("base.fvecs", "query.fvecs", "gt.ivecs", "notes.txt"):
            with open(os.path.join(self.folder, part), "w") as file:
                file.write(part)

    def campaign(self, **settings):
        out = os.path.join(self.folder, "out.json")
        made = Campaign({**SETTINGS, **settings}, {"set": self.folder}, lab.Lab("hnsw-lab", self.folder), self.folder, out, ["run"])
        made.document["peers"] = {"hnswlib": {"version": "1"}, "faiss": {"version": "1"}}
        made.strategies = {"f32": ["slots"], "f32-own": []}
        return made


class Plan(WithFolder):
    def test_the_baseline_is_at_both_ends_of_each_group(self):
        visits = [visit for visit in self.campaign().visits() if visit["block"] == 0 and visit["threads"] == 1]
        self.assertEqual([visit.get("peer") for visit in (visits[0], visits[-1])], ["hnswlib", "hnswlib"])
        self.assertCountEqual([visit.get("peer") or visit["lab"] for visit in visits[1:-1]], ["faiss", "f32"])

    def test_what_is_not_there_is_not_visited(self):
        self.assertEqual({visit["group"] for visit in self.campaign().visits()}, {"f32"})

    def test_blocks_come_one_after_the_other_and_each_visit_once(self):
        visits = list(self.campaign().visits())
        self.assertEqual([visit["block"] for visit in visits], sorted(visit["block"] for visit in visits))
        self.assertEqual(len({json.dumps(visit) for visit in visits}), len(visits))
        self.assertEqual(len(visits), 2 * 2 * 4)

    def test_the_plan_follows_from_the_seed(self):
        self.assertEqual(list(self.campaign().visits()), list(self.campaign().visits()))

    def test_more_threads_than_cores(self):
        visits = self.campaign(groups=["oversubscribed"]).visits()
        self.assertEqual({visit["threads"] for visit in visits}, {2, 16})


    def test_what_is_there_for_its_builds_is_left_out_where_none_are_timed(self):
        campaign = self.campaign(groups=["quantised"], reuse_builds=True)
        campaign.strategies = {"sq8+f32": ["slots"], "sq8+f32-like": ["slots"]}
        labs = {(visit["block"], visit["lab"]) for visit in campaign.visits() if "lab" in visit}
        self.assertEqual(labs, {(0, "sq8+f32"), (0, "sq8+f32-like"), (1, "sq8+f32")})

    def test_a_group_may_ask_for_more_strategies(self):
        campaign = self.campaign(strategies=None)
        campaign.strategies = {"f32-own": ["slots", "coarse"]}
        self.assertEqual(campaign.known_strategies("f32-own", "f32"), ["slots"])
        self.assertEqual(campaign.known_strategies("f32-own", "oversubscribed"), ["slots", "coarse"])
        # Not where the user names them.
        campaign.settings["strategies"] = ["slots"]
        self.assertEqual(campaign.known_strategies("f32-own", "oversubscribed"), ["slots"])


class TimeLeft(unittest.TestCase):
    def visit(self, block, who, dataset="set", threads=1):
        return {"block": block, "dataset": dataset, "group": "f32", "threads": threads, "place": 1, "peer": who}

    def left(self, left, done, timed=lambda block: True):
        return remaining(left, done, timed)

    def test_is_not_known_before_the_first_visit(self):
        self.assertIsNone(self.left([self.visit(0, "faiss")], []))

    def test_the_same_engine_at_the_same_place_says_most(self):
        done = [(self.visit(0, "faiss"), 10.0), (self.visit(0, "svs"), 100.0), (self.visit(0, "svs", threads=2), 50.0)]
        self.assertEqual(self.left([self.visit(1, "faiss"), self.visit(1, "svs")], done), 110.0)
        # Else the mean of all in the data set.
        self.assertAlmostEqual(self.left([self.visit(1, "glass")], done), 160 / 3)
        self.assertAlmostEqual(self.left([self.visit(1, "glass", "other")], done), 160 / 3)

    def test_blocks_that_time_builds_say_little_about_others(self):
        done = [(self.visit(0, "faiss"), 100.0), (self.visit(1, "faiss"), 10.0)]
        self.assertEqual(self.left([self.visit(2, "faiss")], done, lambda block: block == 0), 10.0)
        self.assertEqual(self.left([self.visit(1, "faiss")], done[:1], lambda block: block == 0), 100.0)


class Run(WithFolder):
    def run_for(self, minutes):
        """The visits of a run, each of which takes no time, and what it said."""
        made, visited = self.campaign(), []
        made.find_peers = made.find_configurations = lambda: None
        made.visit = lambda visit: made.document["visits"].append({"visit": visit, "seconds": visited.append(visit) or 60.0})
        with contextlib.redirect_stderr(io.StringIO()) as said:
            made.run(minutes)
        return visited, said.getvalue()

    def test_makes_all_visits_and_says_how_long_is_left(self):
        visited, said = self.run_for(None)
        self.assertEqual(len(visited), 16)
        self.assertIn("about 15 min left", said)

    def test_begins_no_visit_after_its_time(self):
        visited, said = self.run_for(-1)
        self.assertEqual(visited, [])
        self.assertIn("the same command goes on", said)


class Limits(WithFolder):
    def setUp(self):
        super().setUp()
        self.enterContext(contextlib.redirect_stderr(io.StringIO()))
        self.made = self.campaign()
        self.asked = []
        self.made.lab.limit = self.limit
        row = {"dataset": "set", "workload": "search", "live": 1000}
        self.made.document["rows"] = [{**row, "row_bytes": 512}, {**row, "peer": "faiss"}, {**row, "row_bytes": 128, "workload": "mixed"}]
        del self.made.document["rows"][1]["live"]

    def limit(self, rows, row_bytes, threads):
        self.asked.append((rows, row_bytes, threads))
        return [{"bytes": size, "threads": count} for size in row_bytes for count in threads]

    def test_are_measured_once_for_each_size_of_row(self):
        self.made.measure_limits("set")
        self.made.measure_limits("set")
        self.assertEqual(self.asked, [(1000, [512], [1, 2])])
        self.made.document["rows"].append({"dataset": "set", "workload": "search", "live": 1000, "row_bytes": 128})
        self.made.measure_limits("set")
        self.assertEqual(self.asked[1:], [(1000, [128], [1, 2])])
        self.assertEqual(len(document.read(self.made.out)["limits"]["set"]), 4)

    def test_that_cannot_be_measured_are_named(self):
        def refuse(*_):
            raise RuntimeError("error: unrecognized subcommand 'limit'")

        self.made.lab.limit = refuse
        self.made.measure_limits("set")
        self.assertIn("limit", self.made.document["skipped"][0]["what"])

    def test_an_older_document_goes_on(self):
        old = document.fresh({"a": 1}, {}, [])
        del old["limits"]
        path = os.path.join(self.folder, "old.json")
        document.write(path, old)
        self.assertEqual(document.open_or_fresh(path, {"a": 1}, {}, [])["limits"], {})


class Builds(WithFolder):
    def test_are_timed_once_in_a_block(self):
        campaign = self.campaign()
        visit = {"block": 0, "dataset": "set", "group": "f32", "threads": 1, "place": 0, "peer": "hnswlib"}
        self.assertTrue(campaign.times_builds(visit))
        campaign.document["rows"].append({**visit, "workload": "build", "per_second": 1.0})
        self.assertFalse(campaign.times_builds({**visit, "place": 3}))
        self.assertTrue(campaign.times_builds({**visit, "threads": 2}))
        self.assertTrue(campaign.times_builds({**visit, "block": 1}))

    def test_with_reuse_in_the_first_block_only(self):
        visit = {"block": 1, "dataset": "set", "group": "f32", "threads": 1, "place": 0, "peer": "hnswlib"}
        self.assertFalse(self.campaign(reuse_builds=True).times_builds(visit))

    def test_with_reuse_sweeps_that_only_search_are_held(self):
        at = {"block": 1, "dataset": "set", "threads": 1, "place": 1}
        reused = self.campaign(reuse_builds=True)
        held = [(lab, group) for lab, group in (("f32", "f32"), ("f32-own", "mixed"), ("f32-bulk", "bulk"))
                if reused.holds({**at, "lab": lab, "group": group})]  # fmt: skip
        self.assertEqual(held, [("f32", "f32")])
        self.assertFalse(self.campaign().holds({**at, "lab": "f32", "group": "f32"}))

    def test_a_held_sweep_measures_what_is_left_of_the_blocks(self):
        campaign, begun, asked = self.campaign(reuse_builds=True), [], []
        campaign.lab.hold = lambda *command: begun.append(command) or "sweep"
        campaign.lab.block = lambda *command: asked.append(command) or []
        for block in (1, 1):
            campaign.lab_rows({"block": block, "dataset": "set", "group": "f32", "threads": 2, "place": 1, "lab": "f32"})
        self.assertEqual((len(begun), asked), (1, [("sweep", 2), ("sweep", 2)]))
        (_, strategies, threads, workloads, _, _, blocks) = begun[0]
        self.assertEqual((strategies, threads, workloads, blocks), (["slots"], 2, ["search"], 1))

    def test_a_saved_index_is_of_one_version_of_one_peer(self):
        campaign = self.campaign(rows=None)
        visit = {"dataset": "set", "peer": "hnswlib"}
        first = campaign.saved(visit)
        campaign.document["peers"]["hnswlib"]["version"] = "2"
        self.assertNotEqual(campaign.saved(visit), first)
        self.assertNotEqual(campaign.saved({**visit, "peer": "faiss"}), first)


class Document(WithFolder):
    def path(self):
        return os.path.join(self.folder, "result.json")

    def test_is_read_as_it_was_written(self):
        made = {**document.fresh({"a": 1}, {"set": {}}, ["run"]), "rows": [{"x": 1}, {"x": 2}]}
        document.write(self.path(), made)
        self.assertEqual(document.read(self.path()), made)
        document.write(self.path(), {**made, "rows": []})
        self.assertEqual(document.read(self.path())["rows"], [])

    def test_goes_on_only_with_the_same_settings(self):
        document.write(self.path(), {**document.fresh({"a": 1}, {}, ["run"]), "rows": [{"x": 1}]})
        self.assertEqual(document.open_or_fresh(self.path(), {"a": 1}, {}, [])["rows"], [{"x": 1}])
        with self.assertRaises(SystemExit):
            document.open_or_fresh(self.path(), {"a": 2}, {}, [])

    def test_another_form_is_refused(self):
        for text in ("{}", "[]", "{"):
            with open(self.path(), "w") as file:
                file.write(text)
            with self.assertRaises(SystemExit):
                document.read(self.path())

    def test_names_no_folder(self):
        campaign = self.campaign()
        self.assertEqual(campaign.document["datasets"], {"set": {"base.fvecs": 10, "gt.ivecs": 8, "query.fvecs": 11}})
        self.assertNotIn(self.folder, json.dumps(campaign.document))
        self.assertNotIn(os.path.dirname(self.folder), campaign.nameless(f"no file {self.folder}/indexes/x"))


class Command(unittest.TestCase):
    def test_a_neutral_alpha_is_not_given(self):
        made = lab.Lab("hnsw-lab", "cache")
        plain = made.command(table.LAB["f32"], ["slots"], 1, ["search"], [16, 32], [])
        own = made.command(table.LAB["f32-own"], ["slots"], 1, ["search"], [16, 32], [])
        self.assertNotIn("--alpha", plain)
        self.assertEqual(own[own.index("--alpha") + 1], str(table.OWN["alpha"]))
        self.assertEqual(plain[plain.index("--ef") + 1], "16,32")

    def test_what_the_program_said(self):
        self.assertEqual(lab.said("\nnote: x\nerror: unknown codec\nUsage\n"), "error: unknown codec")
        self.assertEqual(lab.said(""), "")

    def test_what_one_comparison_reads(self):
        def each(codec, vectors, codes):
            memory = {"vectors_bytes": 10 * vectors, "codes_bytes": 10 * codes}
            return lab.row_bytes({"codec": codec, "memory": memory, "graph": {"live": 10}})

        self.assertEqual(each("f32", 512, 0), 512)
        self.assertEqual(each("sq8+f32", 512, 128), 128)
        self.assertEqual(each("split", 512, 0), 256)

    def test_rows_of_ours_have_the_form_of_rows_of_peers(self):
        op = {"per_second": 5.0, "latency_us": {"p50": 1.0, "p99": 2.0, "p999": 3.0}}
        row = {
            "strategy": "slots", "workload": "bulk", "threads": 2, "ef": None, "seconds": 1.0, "recall_at_k": None,
            "ops": {"insert": op, "search": None}, "memory": {"overhead_percent": 3.0, "total_bytes": 5000},
            "graph": {"unreachable": 0, "live": 10}, "short_answers": None,
            "tainted": ["other processes used 1.50 cores"],
        }  # fmt: skip
        made = lab.converted(row)
        self.assertEqual((made["workload"], made["lab_workload"], made["per_second"]), ("build", "bulk", 5.0))
        self.assertEqual(made["other_cores"], 1.5)
        self.assertIsNone(made["row_bytes"])
        self.assertEqual(made["bytes_per_vector"], 500.0)
        search = {**op, "per_second": 9.0, "evaluations_per_op": 600.0}
        both = lab.converted({**row, "workload": "reader-writer", "ops": {"insert": op, "search": search}, "short_answers": 1})
        self.assertEqual([both[part] for part in ("workload", "writes_per_second", "reads_per_second", "failed_calls")],
                         ["writer+reader", 5.0, 9.0, 1])
        self.assertEqual(both["evaluations"], 600.0)
        alone = lab.converted({**row, "workload": "writer-alone"})
        self.assertEqual((alone["workload"], alone["reads_per_second"]), ("writer", 0.0))
        mixed = lab.converted({**row, "workload": "mixed", "ops": {"insert": op, "search": {**op, "per_second": 9.0}}})
        self.assertEqual((mixed["workload"], mixed["per_second"]), ("mixed", 9.0))


if __name__ == "__main__":
    unittest.main()
