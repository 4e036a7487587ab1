"""Tables and floors of what goes on at once: one writer beside one reader, and more threads than cores."""

from . import table
from .curves import median
from .markdown import NOTHING, grid, number
from .results import engine, name


def beside(results):
    """Runs of one writer beside one reader: (data set, engine) -> [Beside]."""
    visits = {}
    for row in results.rows:
        if row["workload"] in ("writer", "reader", "writer+reader"):
            visits.setdefault((row["dataset"], engine(row), row["block"], row["place"]), {})[row["workload"]] = row
    runs = {}
    for (dataset, who, _, _), rows in visits.items():
        if len(rows) == 3:
            runs.setdefault((dataset, who), []).append(rows)
    return {key: Beside(found) for key, found in runs.items()}


class Beside:
    """All runs of one writer beside one reader of one engine."""

    def __init__(self, runs):
        together = [run["writer+reader"] for run in runs]
        self.writes, self.reads = (median([row[role] for row in together]) for role in ("writes_per_second", "reads_per_second"))
        # Each role beside the other, as part of what it reaches alone.
        self.writer, self.reader = (
            median([run["writer+reader"][role] / max(run[alone][role], 1e-9) for run in runs])
            for alone, role in (("writer", "writes_per_second"), ("reader", "reads_per_second"))
        )
        self.failed = sum(row["failed_calls"] for run in runs for row in run.values())
        lost = [row["unreachable"] for row in together if row.get("unreachable") is not None]
        self.unreachable = max(lost) if lost else None

    @property
    def least(self):
        return min(self.writer, self.reader)

    @property
    def sound(self):
        return self.failed == 0 and not self.unreachable

    def met(self):
        return "yes" if self.sound and self.least >= table.MIXED_FLOOR else "**no**"


def mixed(results):
    rows = [
        [
            dataset,
            name(who),
            number(run.writes),
            f"{run.writer:.0%}",
            number(run.reads),
            f"{run.reader:.0%}",
            run.failed,
            run.unreachable if run.unreachable is not None else NOTHING,
            run.met(),
        ]
        for (dataset, who), run in beside(results).items()
    ]
    if not rows:
        return "### One writer beside one reader\n\nNot measured."
    head = ["data set", "engine", "inserts/s", "of alone", f"searches/s, ef {table.MIXED_EF}", "of alone", "failed calls", "unreachable"]
    head.append(f"both {table.MIXED_FLOOR:.0%}")
    note = "A call fails if it is refused, or answers with fewer than k hits."
    return "\n".join(["### One writer beside one reader", "", note, "", *grid(head, rows)])


def mixed_floors(results):
    """The best of ours on each data set: the role that loses more counts, and one that loses answers or nodes does not."""
    found = beside(results)
    for dataset in results.datasets:
        runs = [(run.sound, run.least, who) for (at, who), run in found.items() if at == dataset and results.is_ours(who)]
        cells = [NOTHING, NOTHING, "not measured"]
        if runs:
            _, least, who = max(runs)
            cells = [f"{least:.0%}", name(who), found[dataset, who].met()]
        yield ["1 writer + 1 reader", dataset, 2, "each alone", f"{table.MIXED_FLOOR:.0%}", *cells]


OVERSUBSCRIBED = ("search", "build", "mixed")


def kept(results):
    """(data set, engine, few, many, {workload: throughput of many threads by that of few, or None})."""
    for dataset in results.datasets:
        counts = results.threads(dataset, "oversubscribed")
        if len(counts) == 2:
            for who in results.engines(dataset, "oversubscribed"):
                yield dataset, who, *counts, {workload: held(results, dataset, who, workload, *counts) for workload in OVERSUBSCRIBED}


def oversubscribed(results):
    """The same at many threads per core, as ratio to one per core."""
    rows = []
    for dataset, who, few, many, ratios in kept(results):
        cells = [f"{ratio:.2f}" if ratio is not None else NOTHING for ratio in ratios.values()]
        rows.append([dataset, name(who), f"{few} to {many}", *cells])
    if not rows:
        return "### More threads than cores\n\nNot measured."
    head = ["data set", "engine", "threads", *OVERSUBSCRIBED]
    note = "Throughput at many threads by throughput at one per core: 1 is nothing lost."
    return "\n".join(["### More threads than cores", "", note, "", *grid(head, rows)])


def oversubscribed_floors(results):
    """The worst of ours, for this floor is for all of them but the exceptions."""
    found = {}
    for dataset, who, few, many, ratios in kept(results):
        known = [ratio for ratio in ratios.values() if ratio is not None]
        if known and results.is_ours(who) and who[1] not in table.OVERSUBSCRIBED_EXCEPT:
            found.setdefault(dataset, []).append((min(known), who, f"{few} to {many}"))
    what, floor = f"more threads than cores, all but {', '.join(table.OVERSUBSCRIBED_EXCEPT)}", f"{table.OVERSUBSCRIBED_FLOOR:.0%}"
    for dataset in results.datasets:
        if dataset not in found:
            yield [what, dataset, NOTHING, "one per core", floor, NOTHING, NOTHING, "not measured"]
            continue
        least, who, threads = min(found[dataset])
        yield [what, dataset, threads, "one per core", floor, f"{least:.0%}", name(who), "yes" if least >= table.OVERSUBSCRIBED_FLOOR else "**no**"]


TAILS = ("p50_us", "p99_us", "p999_us", "max_us")


def tails(results):
    """How long searches beside inserts take where threads lose their cores, per strategy."""
    rows = []
    for dataset in results.datasets:
        for threads in results.threads(dataset, "oversubscribed", "mixed"):
            for who in results.engines(dataset, "oversubscribed", "mixed"):
                found = [tail(results, dataset, who, threads, field) for field in TAILS]
                rows.append([dataset, threads, name(who), *(f"{us:,.0f}" if us is not None else NOTHING for us in found)])
    if not rows:
        return "### Searches beside inserts, with more threads than cores\n\nNot measured."
    head = ["data set", "threads", "engine", "p50 µs", "p99 µs", "p99.9 µs", "longest µs"]
    note = (
        "Service time of a search while every 20th operation inserts; medians over blocks. With many threads per core a search may lose its own core,"
        " under any strategy: what a strategy adds by waiting for a writer that lost its core is what stands above the others."
    )
    return "\n".join(["### Searches beside inserts, with more threads than cores", "", note, "", *grid(head, rows)])


def held(results, dataset, who, workload, few, many):
    """The median over blocks of throughput at many threads by that at few; None if one was not measured."""
    ratios = [held_in(results, dataset, who, block, workload, few, many) for block in results.blocks]
    ratios = [ratio for ratio in ratios if ratio is not None]
    return median(ratios) if ratios else None


def held_in(results, dataset, who, block, workload, few, many):
    rates = []
    for count in (few, many):
        found = [
            row["per_second"]
            for row in results.rows
            if (row["dataset"], row["block"], row["threads"], row["workload"]) == (dataset, block, count, workload)
            and engine(row) == who
            and (row["group"] == "oversubscribed" or workload == "build")
        ]
        rates.append(sum(found) / len(found) if found else None)
    return None if None in rates else rates[1] / rates[0]


def tail(results, dataset, who, threads, field):
    found = [
        row[field]
        for row in results.rows
        if (row["dataset"], row["threads"], row["workload"]) == (dataset, threads, "mixed") and engine(row) == who and row.get(field)
    ]
    return median(found) if found else None
