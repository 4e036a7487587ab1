"""Small result documents for tests."""

from peers import document


def made(rows, datasets=("set",), threads=(1,), **more):
    """A document with these rows."""
    settings = {"blocks": 3, "seconds": 0.5, "threads": list(threads), "rows": None, "query_count": None}
    return {**document.fresh(settings, {name: {} for name in datasets}, ["bench-peers"]), "rows": rows, **more}


def search(who, recall, rate, ef=32, block=0, place=1, dataset="set", group="f32", threads=1, strategy=None):
    row = {
        "block": block,
        "dataset": dataset,
        "group": group,
        "threads": threads,
        "place": place,
        "workload": "search",
        "ef": ef,
        "recall": recall,
        "per_second": rate,
        "seconds": 1.0,
    }
    return {**row, "lab": who, "strategy": strategy} if strategy else {**row, "peer": who}


def build(who, rate, block=0, place=1, dataset="set", group="f32", threads=1, strategy=None):
    row = search(who, None, rate, None, block, place, dataset, group, threads, strategy)
    del row["recall"]
    return {**row, "workload": "build"}


def curve(who, factor=1.0, **where):
    """Three points that halve the rate from each to the next: 0.9 at 4000, 0.95 at 2000, 0.99 at 1000, times `factor`."""
    points = ((0.90, 4000.0, 16), (0.95, 2000.0, 32), (0.99, 1000.0, 64))
    return [search(who, recall, rate * factor, ef, **where) for recall, rate, ef in points]


def baseline(factor=1.0, **where):
    """The baseline at both ends of a group."""
    return curve("hnswlib", factor, place=0, **where) + curve("hnswlib", factor, place=9, **where)
