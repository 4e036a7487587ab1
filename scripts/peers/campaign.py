"""Blocks: who is measured when.

A block walks through every data set, thread count and group. A group is a run of visits: the baseline, the other peers and our
configurations in random order, the baseline again. A visit measures one of them at one thread count: build, if builds are
timed in this block, and search at each beam width. Nothing else runs meanwhile.
"""

import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time

from . import document as documents
from . import table
from .lab import Lab

HERE = os.path.dirname(os.path.abspath(__file__))
# A visit that takes longer, s, has hung; the campaign goes on without it.
LIMIT = 7200


class Campaign:
    def __init__(self, settings, folders, lab, cache, out, command):
        self.settings, self.folders, self.lab, self.cache, self.out = settings, folders, lab, cache, out
        self.python = sys.executable
        self.document = documents.open_or_fresh(out, settings, described(folders), command)
        self.strategies = {}
        # Sweeps of ours that wait for their next block, by data set, configuration and threads.
        self.held = {}

    # What there is.

    def find_peers(self):
        """Asks each peer for its version; one that is missing is named with the way to install it, and left out."""
        wanted = [peer for peer in table.PEERS if peer in self.settings["peers"]]
        versions = {peer: version(self.python, peer) for peer in wanted}
        for peer, (found, text) in versions.items():
            if found:
                self.document["peers"][peer] = {"version": text, "note": table.PEERS[peer]["note"]}
            else:
                self.skip(f"peer {peer}", f"not installed ({text}): {table.PEERS[peer]['install']}")
        if table.BASELINE not in self.document["peers"]:
            raise SystemExit(f"error: {table.BASELINE} is what all ratios are to: {table.PEERS[table.BASELINE]['install']}")

    def find_configurations(self):
        """Asks hnsw-lab for each configuration that a wanted group has."""
        groups = [table.GROUPS[group] for group in self.settings["groups"]]
        names = dict.fromkeys(name for group in groups for name in group["lab"] if name in self.settings["configs"])
        for name in names:
            wanted = [self.wanted_strategies(name, group) for group in self.settings["groups"] if name in table.GROUPS[group]["lab"]]
            config = {**table.LAB[name], "strategies": list(dict.fromkeys(one for some in wanted for one in some))}
            self.strategies[name], refused = self.lab.known(config)
            for why in dict.fromkeys(refused.values()):
                strategies = ", ".join(strategy for strategy, other in refused.items() if other == why)
                self.skip(f"configuration {name}, strategies {strategies}", why)

    def wanted_strategies(self, name, group):
        if self.settings.get("strategies"):
            return self.settings["strategies"]
        return [*table.LAB[name]["strategies"], *table.GROUPS[group].get("more_strategies", [])]

    def known_strategies(self, name, group):
        """The strategies of a configuration that a group measures and this program has."""
        return [one for one in self.wanted_strategies(name, group) if one in self.strategies.get(name, [])]

    def skip(self, what, why):
        if {"what": what, "why": why} not in self.document["skipped"]:
            self.document["skipped"].append({"what": what, "why": why})
        print(f"skip  {what}: {why}", file=sys.stderr)

    # The plan.

    def visits(self):
        """All visits in order. Each is a dict that says who, where and when, and is its own key."""
        for block in range(self.settings["blocks"]):
            for name in self.folders:
                for group in self.settings["groups"]:
                    yield from self.group_visits(block, name, group)

    def group_visits(self, block, name, group):
        peers = [peer for peer in table.GROUPS[group]["peers"] if peer in self.document["peers"]]
        configs = [config for config in table.GROUPS[group]["lab"] if self.known_strategies(config, group)]
        if not self.may_time_builds(block):
            configs = [config for config in configs if not table.LAB[config].get("for_builds")]
        # The baseline alone is no comparison, but in these groups it is one with itself.
        if not peers and not configs and group not in ("mixed", "oversubscribed"):
            return
        threads = self.settings["threads"]
        if group == "mixed":
            threads = [2]
        elif group == "oversubscribed":
            cores = max(threads)
            threads = [cores, cores * table.OVERSUBSCRIBED]
        others = [("peer", peer) for peer in peers] + [("lab", config) for config in configs]
        random.Random(f"{self.settings['seed']} {block} {name} {group}").shuffle(others)
        baseline = ("peer", table.BASELINE)
        for count in threads:
            for place, (kind, who) in enumerate([baseline, *others, baseline]):
                yield {"block": block, "dataset": name, "group": group, "threads": count, "place": place, kind: who}

    def run(self, minutes=None):
        """Makes all visits that are not in the document; with `minutes`, begins none after so long."""
        self.find_peers()
        self.find_configurations()
        plan = list(self.visits())
        done = {json.dumps(visit["visit"], sort_keys=True) for visit in self.document["visits"]}
        left = [visit for visit in plan if json.dumps(visit, sort_keys=True) not in done]
        print(f"{len(plan)} visits, {len(plan) - len(left)} of them done before", file=sys.stderr)
        try:
            self.make(left, minutes)
        finally:
            self.let_go()

    def make(self, left, minutes):
        begin, last = time.time(), None
        for number, visit in enumerate(left):
            if last and last["block"] != visit["block"] and not self.settings["reuse_builds"]:
                self.forget_indexes()
            if last and (last["block"], last["dataset"], last["group"]) != (visit["block"], visit["dataset"], visit["group"]):
                self.measure_limits(last["dataset"])
            rest = self.time_left(left[number:])
            if minutes is not None and time.time() - begin > 60 * minutes:
                print(f"stopped after {minutes:g} min with {spoken(rest)} left; the same command goes on", file=sys.stderr)
                return
            self.show(number, left, begin, rest)
            self.visit(visit)
            last = visit
        if last:
            self.measure_limits(last["dataset"])
        if not self.settings["reuse_builds"]:
            self.forget_indexes()

    def time_left(self, left):
        """Seconds that these visits will take, by those that are done; None before the first one."""
        done = [(visit["visit"], visit["seconds"]) for visit in self.document["visits"]]
        return remaining(left, done, self.may_time_builds)

    def show(self, number, left, begin, rest):
        visit, spent = left[number], time.time() - begin
        who = visit.get("peer") or visit.get("lab")
        line = f"block {visit['block']}, {visit['dataset']}, {visit['group']}, {visit['threads']} threads: {who}"
        rest = f", about {spoken(rest)} left" if rest is not None else ""
        print(f"[{number + 1}/{len(left)}, {spent / 60:.1f} min{rest}] {line}", file=sys.stderr)

    # One visit.

    def visit(self, visit):
        begin = time.time()
        try:
            rows = self.peer_rows(visit) if "peer" in visit else self.lab_rows(visit)
            problem = None
        except (RuntimeError, OSError, ValueError, subprocess.TimeoutExpired) as failed:
            rows, problem = [], self.nameless(str(failed))
            print(f"failed: {problem}", file=sys.stderr)
        self.document["rows"] += [{**visit, **row} for row in rows]
        taken = {"visit": visit, "seconds": round(time.time() - begin, 1)}
        self.document["visits"].append({**taken, "failed": problem} if problem else taken)
        facts = self.lab.run_facts
        if facts and self.document["machine"] is None:
            self.document["machine"], self.document["build"] = facts["machine"], facts["build"]
        documents.write(self.out, self.document)

    def nameless(self, text):
        """Without the folders of this machine, which results must not name."""
        for folder in sorted([*self.folders.values(), self.cache, HERE, tempfile.gettempdir()], key=len, reverse=True):
            text = text.replace(folder, os.path.basename(folder))
        return text

    def measure_limits(self, dataset):
        """How fast the memory gives rows of each size that a search of ours on this data set reads: once, for all blocks."""
        points = self.document["limits"].setdefault(dataset, [])
        rows = [row for row in self.document["rows"] if row["dataset"] == dataset and row["workload"] == "search"]
        sizes = {row.get("row_bytes") for row in rows} - {None, *(point["bytes"] for point in points)}
        if not sizes:
            return
        print(f"limit of the memory, {dataset}: rows of {', '.join(map(str, sorted(sizes)))} bytes", file=sys.stderr)
        try:
            live = max(row["live"] for row in rows if row.get("live"))
            points += self.lab.limit(live, sorted(sizes), self.settings["threads"])
        except (RuntimeError, OSError, ValueError) as failed:
            self.skip(f"limit of the memory, {dataset}", self.nameless(str(failed)))
        documents.write(self.out, self.document)

    def may_time_builds(self, block):
        """With reuse builds are timed in the first block only."""
        return self.settings["builds"] and (not self.settings["reuse_builds"] or block == 0)

    def times_builds(self, visit):
        """Builds are timed once per block, data set and thread count."""
        at = ("dataset", "threads", "block")
        again = any(
            row["workload"] == "build" and row.get("peer") == visit["peer"] and all(row[part] == visit[part] for part in at)
            for row in self.document["rows"]
        )
        return self.may_time_builds(visit["block"]) and not again

    def efs(self, visit):
        alone = {"oversubscribed": table.OVERSUBSCRIBED_EF, "mixed": table.MIXED_EF}
        if visit["group"] in alone:
            return [alone[visit["group"]]]
        return self.settings["efs"] or table.dataset(visit["dataset"])["efs"]

    def peer_rows(self, visit):
        timed = self.times_builds(visit)
        job = {
            "peer": visit["peer"],
            "folder": self.folders[visit["dataset"]],
            "k": table.K,
            "parameters": table.LIKE,
            "threads": visit["threads"],
            "timed_build": timed,
            "build_threads": visit["threads"] if timed else max(self.settings["threads"]),
            "efs": self.efs(visit),
            "seconds": self.settings["seconds"],
            "rows": self.settings["rows"],
            "query_count": self.settings["query_count"],
            "saved": self.saved(visit),
            "mixed": visit["group"] == "mixed",
        }
        with tempfile.TemporaryDirectory() as folder:
            order, out = os.path.join(folder, "job.json"), os.path.join(folder, "rows.jsonl")
            with open(order, "w") as file:
                json.dump(job, file)
            worker = [self.python, os.path.join(HERE, "worker.py"), order, out]
            done = subprocess.run(worker, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, timeout=LIMIT)
            if done.returncode:
                last = done.stderr.strip().splitlines()[-1:] or [f"ended with {done.returncode}"]
                raise RuntimeError(last[0])
            with open(out) as file:
                return [json.loads(line) for line in file]

    def saved(self, visit):
        """Where the index of a peer is kept: by all that made it, whatever number of threads did."""
        facts = [visit["peer"], self.document["peers"][visit["peer"]]["version"], table.PEERS[visit["peer"]].get("options")]
        facts += [table.LIKE, self.document["datasets"][visit["dataset"]], self.settings["rows"]]
        digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
        folder = os.path.join(self.cache, "indexes")
        os.makedirs(folder, exist_ok=True)
        return os.path.join(folder, f"{visit['peer']}-{visit['dataset']}-{digest}")

    def forget_indexes(self):
        shutil.rmtree(os.path.join(self.cache, "indexes"), ignore_errors=True)

    def lab_rows(self, visit):
        config = table.LAB[visit["lab"]]
        strategies = self.known_strategies(visit["lab"], visit["group"])
        timed = self.may_time_builds(visit["block"])
        # A bulk build is what its group is about.
        workloads = [config["build"], config["search"]] if timed or config["build"] != "build" else [config["search"]]
        if visit["group"] == "mixed":
            workloads = ["reader-writer"]
        if visit["group"] == "oversubscribed":
            workloads.append("mixed")
        more = self.data_flags(visit) + ["--seconds", str(self.settings["seconds"])]
        asked = (config, strategies, visit["threads"], workloads, self.efs(visit), more)
        if not self.holds(visit):
            return self.lab.sweep(*asked)
        key = (visit["dataset"], visit["lab"], visit["threads"])
        if key not in self.held:
            # One that begins in a later block, because the campaign was stopped, builds untimed.
            self.held[key] = self.lab.hold(*asked, self.settings["blocks"] - visit["block"])
        return self.lab.block(self.held[key], visit["threads"])

    def holds(self, visit):
        """Whether a sweep of ours lasts from block to block, as saved indexes of peers do: if it inserts one by one, and nothing
        after that."""
        one_by_one = table.LAB[visit["lab"]]["build"] == "build"
        return self.settings["reuse_builds"] and one_by_one and visit["group"] in table.COMPARED

    def let_go(self):
        for held in self.held.values():
            held.close()
        self.held.clear()

    def data_flags(self, visit):
        flags = ["--dataset", self.folders[visit["dataset"]]]
        for flag, value in (("--n", self.settings["rows"]), ("--query-count", self.settings["query_count"])):
            if value:
                flags += [flag, str(value)]
        return flags


def remaining(left, done, may_time_builds):
    """Seconds for the visits `left`, from (visit, seconds) of those that are `done`; None if there are none.

    As long as the last one of the same engine at the same place took; else as the mean of the same group and data set, of the same
    group, of all. Blocks that time builds are looked up apart from those that do not.
    """
    means = {}
    for visit, seconds in done:
        for key in keys(visit, may_time_builds(visit["block"])):
            count, total = means.get(key, (0, 0.0))
            means[key] = (count + 1, total + seconds)

    def expected(visit):
        count, total = next(means[key] for key in keys(visit, may_time_builds(visit["block"])) if key in means)
        return total / count

    return sum(map(expected, left)) if done else None


def keys(visit, timed):
    """What visits may be alike in, from the closest likeness to none."""
    who, at = visit.get("peer") or visit.get("lab"), (visit["group"], visit["dataset"])
    return [(timed, who, *at, visit["threads"]), (who, *at, visit["threads"]), (timed, *at), at, visit["group"], None]


def spoken(seconds):
    if seconds is None:
        return "all"
    return f"{seconds / 3600:.1f} h" if seconds >= 5400 else f"{seconds / 60:.0f} min"


def version(python, peer):
    """(True, version) of an installed peer, or (False, why not)."""
    asked = subprocess.run([python, os.path.join(HERE, "worker.py"), "--version", peer], capture_output=True, text=True)
    lines = asked.stdout.strip().splitlines() or asked.stderr.strip().splitlines() or ["no answer"]
    return asked.returncode == 0, lines[-1].strip()


def described(folders):
    """What the files of each data set are, so that a result names them without naming this machine's folders."""
    out = {}
    for name, folder in folders.items():
        parts = sorted(part for part in os.listdir(folder) if part.split(".")[0] in ("base", "query", "gt", "meta"))
        out[name] = {part: os.path.getsize(os.path.join(folder, part)) for part in parts if "." in part}
    return out


def cached(folder):
    """The folder that a campaign keeps indexes, generated data and truths in."""
    default = os.path.join(os.environ.get("XDG_CACHE_HOME", os.path.expanduser("~/.cache")), "hnsw-lab", "peers")
    folder = os.path.abspath(folder or default)
    os.makedirs(folder, exist_ok=True)
    return folder
