"""What share of the memory's limit a search reaches: the time that reading its rows alone takes, by the time that it takes."""

from typing import NamedTuple

from . import table


class Share(NamedTuple):
    """Of one engine at one number of threads. Times in µs, of one query on one thread; None where it was not measured."""

    evaluations: float | None
    row_bytes: int | None
    gather: float | None
    measured: float | None
    # The rate is a lower bound, so the time is an upper one.
    at_most: bool = False

    @property
    def value(self):
        return self.gather / self.measured if self.gather and self.measured else None


def column(results, dataset):
    """Where on the curves the shares are taken: at the recall of the floors, or at the middle one."""
    columns = results.columns(dataset)
    return ("recall", table.FLOOR_RECALL) if ("recall", table.FLOOR_RECALL) in columns else columns[len(columns) // 2]


def recall_of(results, dataset, group, threads, at):
    """The recall that a column stands for, over blocks; None if the baseline was not measured."""
    found = [results.recall_of(dataset, group, threads, block, at) for block in results.blocks]
    found = [recall for recall in found if recall is not None]
    return sum(found) / len(found) if found else None


def shares(results, dataset):
    """(threads, group, engine, share) for every engine of ours, in the order of tables."""
    at = column(results, dataset)
    for group in table.COMPARED:
        for threads in results.threads(dataset, group):
            recall = recall_of(results, dataset, group, threads, at)
            for who in results.engines(dataset, group):
                if recall is not None and results.is_ours(who):
                    yield threads, group, who, share(results, dataset, group, threads, who, at, recall)


def share(results, dataset, group, threads, who, at, recall):
    evaluations = results.needed(dataset, who, recall, "evaluations")
    rates = results.search(dataset, group, threads, who, at)[0]
    row_bytes = results.fact(dataset, who, "row_bytes", "search")
    each = gather_ns(results.document, dataset, row_bytes, threads)
    return Share(
        evaluations=evaluations.median if evaluations else None,
        row_bytes=row_bytes,
        gather=evaluations.median * each / 1000 if evaluations and each else None,
        measured=1e6 * threads / rates.median if rates else None,
        at_most=bool(rates and rates.at_least),
    )


def gather_ns(document, dataset, row_bytes, threads):
    """Nanoseconds for a row of so many bytes; None in documents without limits."""
    for point in document.get("limits", {}).get(dataset, []):
        if (point["bytes"], point["threads"]) == (row_bytes, threads):
            return point["gather_ns"]["median"]
    return None
