"""One `hnsw-lab sweep`, as rows of the form that peers have."""

import json
import os
import re
import subprocess
import tempfile

from . import noise, table
from .held import Held, said


# Workloads of ours by what they are compared with.
SAME = {
    "bulk": "build",
    "bulk-search": "search",
    "search-batch": "search",
    "bulk-search-batch": "search",
    "reader-writer": "writer+reader",
    "reader-alone": "reader",
    "writer-alone": "writer",
}
FOREIGN = re.compile(r"other processes used ([0-9.]+) cores")


class Lab:
    def __init__(self, program, cache):
        self.program, self.cache = program, cache
        self.run_facts = None

    def command(self, config, strategies, threads, workloads, efs, more, blocks=1):
        parameters = config["parameters"]
        flags = {
            "--strategies": ",".join(strategies),
            "--threads": str(threads),
            "--workloads": ",".join(workloads),
            "--codec": config["codec"],
            "--m": str(parameters["m"]),
            "--ef-construction": str(parameters["ef_construction"]),
            "--k": str(table.K),
            "--ef": ",".join(map(str, efs)),
            "--blocks": str(blocks),
        }
        # Flags that not every version has are given only where they say something.
        if parameters.get("alpha", 1.0) != 1.0:
            flags["--alpha"] = str(parameters["alpha"])
        given = [part for flag in flags.items() for part in flag]
        return [self.program, "sweep", "--quiet", *given, *more]

    def sweep(self, config, strategies, threads, workloads, efs, more):
        """Runs one sweep. Returns its rows, or raises RuntimeError with what the program said."""
        with tempfile.TemporaryDirectory() as folder:
            out = os.path.join(folder, "rows.json")
            command = self.command(config, strategies, threads, workloads, efs, more) + ["--out", out]
            with noise.Window(own=noise.children_cpu) as window:
                done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=self.environment())
            if done.returncode:
                raise RuntimeError(said(done.stderr) or f"ended with {done.returncode}")
            with open(out) as file:
                document = json.load(file)
        return self.rows(document["run"], document["rows"], threads, window)

    def hold(self, config, strategies, threads, workloads, efs, more, blocks):
        """The same as a sweep that keeps its indexes: see `block`."""
        return Held(self.command(config, strategies, threads, workloads, efs, more, blocks), self.environment())

    def block(self, held, threads):
        """The rows of the next block of a sweep that is held."""
        with noise.Window(own=held.cpu) as window:
            run, rows = held.block()
        return self.rows(run, rows, threads, window)

    def rows(self, run, rows, threads, window):
        self.run_facts = run
        # A strategy without any parallelism is measured at one thread, whatever was asked.
        rows = [converted(row) for row in last_attempts(rows) if row["threads"] == threads]
        for row in rows:
            row["visit_other_cores"] = window.other_cores
        return rows

    def environment(self):
        """The exact neighbours of cut sets are kept with everything else that a campaign keeps."""
        return {"HNSW_LAB_CACHE": os.path.join(self.cache, "truth"), **os.environ}

    def known(self, config):
        """The strategies of a configuration that this program has, with all that the configuration asks for; and the others
        with what it said.

        Asked by a sweep of a handful of points, so the answer is what a real sweep would meet.
        """
        tiny = ["--generate", "uniform", "--n", "300", "--dim", "32", "--query-count", "20", "--seconds", "0.01"]
        workloads = [config["build"], config["search"]]
        found, refused = [], {}
        for strategy in config["strategies"]:
            try:
                self.sweep(config, [strategy], 1, workloads, [16], tiny)
                found.append(strategy)
            except RuntimeError as problem:
                refused[strategy] = str(problem)
        return found, refused

    def limit(self, rows, row_bytes, threads):
        """What the memory allows for rows of these sizes at these numbers of threads: the points of `hnsw-lab limit`."""
        with tempfile.TemporaryDirectory() as folder:
            out = os.path.join(folder, "limit.json")
            sizes, counts = (",".join(map(str, numbers)) for numbers in (row_bytes, threads))
            command = [self.program, "limit", "--quiet", "--rows", str(rows), "--bytes", sizes, "--threads", counts, "--out", out]
            done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            if done.returncode:
                raise RuntimeError(said(done.stderr) or f"ended with {done.returncode}")
            with open(out) as file:
                return json.load(file)["points"]

    def make(self, name):
        """The folder of a generated data set, made if it is not there."""
        folder = os.path.join(self.cache, name)
        if not os.path.exists(os.path.join(folder, "gt.ivecs")):
            command = [self.program, "data", "make", *table.GENERATED[name], "--out", folder, "--force"]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return folder


def row_bytes(row):
    """Bytes of the row that one comparison of a search reads, from the ledger."""
    memory, live = row["memory"], max(1, row["graph"]["live"])
    if memory.get("codes_bytes"):
        return round(memory["codes_bytes"] / live)
    whole = memory.get("vectors_bytes", 0) / live
    # The other half is read by re-ranking.
    return round(whole / 2 if row.get("codec") == "split" else whole) or None


def last_attempts(rows):
    """Of a trial that was repeated because something disturbed it, the last one: peers have one row each, too."""
    key = ("strategy", "codec", "workload", "threads", "ef", "block")
    return list({tuple(row.get(name) for name in key): row for row in rows}.values())


def converted(row):
    """A row of hnsw-lab's document (docs/results-format.md) in the form of results/README.md."""
    workload = SAME.get(row["workload"], row["workload"])
    insert, search = (row["ops"].get(kind) or {} for kind in ("insert", "search"))
    op = insert if workload in ("build", "writer") else search
    latency = op.get("latency_us") or {}
    out = {
        "strategy": row["strategy"],
        "lab_workload": row["workload"],
        "workload": workload,
        "threads": row["threads"],
        "ef": row["ef"],
        "seconds": row["seconds"],
        "per_second": op["per_second"],
        "recall": row["recall_at_k"],
        "short_answers": row.get("short_answers"),
        "evaluations": op.get("evaluations_per_op"),
        "p50_us": latency.get("p50"),
        "p99_us": latency.get("p99"),
        "p999_us": latency.get("p999"),
        "max_us": latency.get("max"),
        "live": row["graph"]["live"],
        "row_bytes": row_bytes(row),
        "bytes_per_vector": row["memory"]["total_bytes"] / max(1, row["graph"]["live"]),
        "overhead_percent": row["memory"]["overhead_percent"],
        "unreachable": row["graph"]["unreachable"],
        # The program names them only where they were too many.
        "other_cores": next((float(found.group(1)) for found in map(FOREIGN.match, row["tainted"]) if found), None),
        "tainted": row["tainted"],
    }
    if workload in ("writer", "reader", "writer+reader"):
        out["writes_per_second"] = insert.get("per_second", 0.0)
        out["reads_per_second"] = search.get("per_second", 0.0)
        out["failed_calls"] = out["short_answers"] or 0
    return out
