"""What a strategy costs beside the one without synchronisation, from a document of `hnsw-lab tax` (docs/results-format.md)."""

import json
from collections import defaultdict

from . import curves, table
from .markdown import NOTHING, grid

SEQUENTIAL = "sequential"
# Workloads by what they are held against, on one thread, and by what they are called.
MEASURES = [("build", "build", "inserts"), ("search", "search", "searches"), ("search-writer", "search", "searches beside a writer")]
# The workload whose rate is that of inserts.
INSERTS = "build"


def read(path):
    try:
        with open(path) as file:
            document = json.load(file)
    except (OSError, ValueError) as problem:
        raise SystemExit(f"error: {path}: {problem}") from problem
    if not isinstance(document, dict) or "schema_version" not in document or "rows" not in document:
        raise SystemExit(f"error: {path} is no document of hnsw-lab; hnsw-lab tax --out FILE writes one")
    if not any(row["strategy"] == SEQUENTIAL for row in document["rows"]):
        raise SystemExit(f"error: {path} has no rows of {SEQUENTIAL}, so nothing to compare with; hnsw-lab tax --out FILE has them")
    return document


class Taxes:
    """Rates per thread over those of `sequential` on one thread, each ratio inside a block."""

    def __init__(self, document, codec):
        self.rates = defaultdict(dict)
        # `tax` searches at one beam width; of a document with more, the narrowest.
        self.ef = min((row["ef"] for row in document["rows"] if row.get("ef")), default=None)
        for row in document["rows"]:
            if row.get("codec", codec) != codec or row.get("ef") not in (None, self.ef):
                continue
            op = row["ops"].get("insert" if row["workload"] == INSERTS else "search")
            if op:
                self.rates[row["workload"], row["strategy"], row["threads"]][row["block"]] = op["per_second"]

    def lines(self):
        """(strategy, threads), the strategies in the order of the document."""
        found = dict.fromkeys((strategy, threads) for _, strategy, threads in self.rates if strategy != SEQUENTIAL)
        order = list(dict.fromkeys(strategy for strategy, _ in found))
        known = list(dict.fromkeys([*table.STRATEGIES, *table.COARSER]))
        place = {name: known.index(name) if name in known else len(known) + order.index(name) for name in order}
        return sorted(found, key=lambda line: (place[line[0]], line[1]))

    def ratio(self, workload, base, strategy, threads):
        """The spread over blocks; None where one of both was not measured."""
        ours, theirs = self.rates.get((workload, strategy, threads), {}), self.rates.get((base, SEQUENTIAL, 1), {})
        return curves.spread(curves.Ratio(ours[block] / threads / theirs[block]) for block in sorted(ours) if theirs.get(block))


def sections(document, instructions):
    """A table for each codec, with `instructions` as scripts/instructions counts them."""
    for codec in document["run"]["config"]["codec"].split(","):
        yield section(document, codec, instructions)


def section(document, codec, instructions):
    taxes, rows = Taxes(document, codec), []
    for strategy, threads in taxes.lines():
        ratios = {what: taxes.ratio(workload, base, strategy, threads) for workload, base, what in MEASURES}
        floor = table.TAX_FLOORS.get(strategy)
        rows.append(
            [
                strategy,
                threads,
                *(cell(ratio) for ratio in ratios.values()),
                f"≤ {floor:g} %" if floor is not None else NOTHING,
                met(ratios, floor),
                more_instructions(instructions, strategy),
            ]
        )
    head = ["strategy", "threads", *(what for _, _, what in MEASURES), "floor", "met", "instructions of a search"]
    return "\n".join([f"### Tax: {described(document, codec, taxes.ef)}", "", NOTE, "", *grid(head, rows)])


NOTE = (
    "Rate per thread by that of `sequential` on one thread, in the same block: median (least-most), and what is missing to 1. Searches beside a"
    " writer are held against searches of `sequential` without one; the writer has a thread of its own, so with as many workers as cores it takes"
    " time from them. The floor is for each of the three. Instructions: of a search on one thread, beside `sequential`, with f32, as valgrind counts them."
)


def described(document, codec, ef):
    run = document["run"]
    config, dataset = run["config"], run["dataset"]
    return f"{dataset['name']}, {codec}, ef {ef}, {config['blocks']} blocks of {config['seconds']:g} s"


def cell(ratio):
    if ratio is None:
        return NOTHING
    spread = f" ({ratio.least:.3f}-{ratio.most:.3f})" if ratio.count > 1 else ""
    return f"{ratio.median:.3f}{spread}, {percent(ratio):+.1f} %"


def percent(ratio):
    """What is missing to 1, in %: the tax."""
    return 100 * (1 - ratio.median)


def met(ratios, floor):
    """Whether no measure costs more than the floor, else which do."""
    if floor is None:
        return NOTHING
    over = [what for what, ratio in ratios.items() if ratio is not None and percent(ratio) > floor]
    if over:
        return f"**no** ({', '.join(over)})"
    return "yes" if None not in ratios.values() else "not measured"


def more_instructions(instructions, strategy):
    ours, theirs = (instructions.get(f"search::{name}") for name in (strategy, SEQUENTIAL))
    return f"{100 * (ours / theirs - 1):+.1f} %" if ours and theirs else NOTHING
