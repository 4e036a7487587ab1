"""One peer in a process of its own, so that no peer meets another's threads, floating-point modes or memory.

    python3 worker.py JOB.json ROWS.jsonl     measures; rows are appended as they are known
    python3 worker.py --version PEER          prints what is installed; exit code 3 and why, if nothing is

The job is what `campaign.py` writes: peer, folder, k, parameters, threads, build_threads, timed_build, efs, seconds, rows,
query_count, saved (a path or null),
mixed (true for one writer beside one reader).
"""

import json
import os
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
# Instead of this folder: libraries must not find its modules where they look for theirs.
sys.path[0] = os.path.dirname(HERE)

import numpy as np  # noqa: E402

from peers import adapters, noise, table  # noqa: E402
from peers.datasets import Dataset  # noqa: E402

# A curve ends where its recall has passed all that is asked for.
ENOUGH = 0.997
# Queries before a window, to warm up.
WARM_UP = 256
# Vectors that a writer or a reader hands over in one call.
CALL = 64


def adapter(peer, dataset, parameters):
    entry = table.PEERS[peer]
    return getattr(adapters, entry["adapter"])(dataset, parameters, entry.get("options", {}))


def window_row(window, workload, threads, **fields):
    return {
        "workload": workload,
        "threads": threads,
        "seconds": window.seconds,
        "cpu_seconds": window.cpu_seconds,
        "other_cores": window.other_cores,
        **fields,
    }


def build(peer, dataset, threads):
    before = noise.resident_bytes()
    with noise.Window() as window:
        peer.build(threads)
    after = noise.resident_bytes()
    grown = None if None in (before, after) else (after - before) / len(dataset.base)
    per_second = len(dataset.base) / window.seconds
    return window_row(window, "build", threads, per_second=per_second, resident_bytes_per_vector=grown)


def search(peer, dataset, ef, threads, seconds):
    peer.search(dataset.queries[:WARM_UP], ef, threads)
    asked = 0
    with noise.Window() as window:
        while asked == 0 or window.elapsed() < seconds:
            ids = peer.search(dataset.queries, ef, threads)
            asked += len(dataset.queries)
    recall, short = dataset.score(ids)
    return window_row(window, "search", threads, ef=ef, per_second=asked / window.seconds, recall=recall, short_answers=short)


def by_itself(peer, dataset, job, push):
    """A peer that is another program, which measures and leaves the ids to be scored."""
    for row, ids in peer.measure(job["build_threads"], job["threads"], job["efs"], job["seconds"]):
        if row["workload"] == "build":
            row["per_second"] = len(dataset.base) / row["seconds"]
            if not job["timed_build"]:
                continue
        else:
            row["recall"], row["short_answers"] = dataset.score(ids)
            row["per_second"] = row.pop("asked") / row["seconds"]
        push(row)


def measure(peer, dataset, job, push):
    saved = job["saved"]
    if peer.load and saved and os.path.exists(saved) and not job["timed_build"]:
        peer.load(saved)
    else:
        row = build(peer, dataset, job["build_threads"])
        if job["timed_build"]:
            push(row)
        if peer.save and saved:
            peer.save(saved)
    peer.prepare(job["threads"])
    for ef in job["efs"]:
        row = search(peer, dataset, ef, job["threads"], job["seconds"])
        push(row)
        if row["recall"] >= ENOUGH:
            break


class Beside:
    """One writer, one reader or both on an index that holds the first `begin` rows; calls that fail are counted."""

    def __init__(self, peer, dataset, begin, seconds):
        self.peer, self.dataset, self.begin, self.seconds = peer, dataset, begin, seconds
        self.written = self.read = self.failed = 0

    def write(self):
        end, until = len(self.dataset.base), time.perf_counter() + self.seconds
        for start in range(self.begin, end - CALL, CALL):
            try:
                self.peer.add(start, start + CALL, 1)
                self.written += CALL
            except RuntimeError:
                self.failed += 1
            if time.perf_counter() > until or self.over.is_set():
                break
        # Nobody goes on alone.
        self.over.set()

    def ask(self):
        count, until, start = len(self.dataset.queries), time.perf_counter() + self.seconds, 0
        while time.perf_counter() < until and not self.over.is_set():
            queries = self.dataset.queries[start : start + CALL]
            start = (start + CALL) % max(1, count - CALL)
            try:
                self.peer.search(queries, table.MIXED_EF, 1)
                self.read += len(queries)
            except RuntimeError:
                # hnswlib refuses a whole batch if one of its queries found fewer than k.
                self.failed += 1
        self.over.set()

    def run(self, *roles):
        self.over = threading.Event()
        workers = [threading.Thread(target=role) for role in roles]
        with noise.Window() as window:
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join()
        return window


def mixed(peer, dataset, job, push):
    """Writer alone, reader alone, both; each on the same index of the first rows, loaded anew."""
    begin = len(dataset.base) // 2
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "index")
        peer.empty(len(dataset.base))
        peer.add(0, begin, job["build_threads"])
        peer.save(path)
        for name in ("writer", "reader", "writer+reader"):
            peer.load(path)
            beside = Beside(peer, dataset, begin, job["seconds"])
            roles = {"writer": [beside.write], "reader": [beside.ask]}.get(name, [beside.write, beside.ask])
            window = beside.run(*roles)
            push(
                window_row(
                    window,
                    name,
                    len(roles),
                    ef=table.MIXED_EF,
                    writes_per_second=beside.written / window.seconds,
                    reads_per_second=beside.read / window.seconds,
                    failed_calls=beside.failed,
                )
            )


def main():
    if sys.argv[1] == "--version":
        try:
            nothing = type("Nothing", (), {"k": table.K, "dim": 8, "angular": False, "base": np.zeros((0, 8), np.float32)})
            version = adapter(sys.argv[2], nothing, table.LIKE).version()
        except ImportError as missing:
            print(missing)
            sys.exit(3)
        # Some libraries print when they are imported: the last line counts.
        print(f"\n{version}")
        return
    with open(sys.argv[1]) as file:
        job = json.load(file)
    out = open(sys.argv[2], "a")

    def push(row):
        out.write(json.dumps(row) + "\n")
        out.flush()

    dataset = Dataset(job["folder"], job["k"], job["rows"], job["query_count"])
    peer = adapter(job["peer"], dataset, job["parameters"])
    if job["mixed"]:
        mixed(peer, dataset, job, push)
    elif hasattr(peer, "measure"):
        by_itself(peer, dataset, job, push)
    else:
        measure(peer, dataset, job, push)


if __name__ == "__main__":
    main()
