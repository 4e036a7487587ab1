"""Rates and ratios out of the rows of a result file.

An engine is (name, strategy): ("glass-sq8", "") is a peer, ("f32", "slots") a configuration of ours. All ratios are formed inside
a block, between visits at the same data set and number of threads; for searches, of the same group too.
"""

from collections import defaultdict

from . import curves, table

# Cores of other processes from which on a row counts as disturbed, beside the error of two clock ticks.
QUIET = 0.1
TICKS = 0.02


def engine(row):
    return (row.get("peer") or row["lab"], row.get("strategy", ""))


def name(who):
    """How tables call an engine."""
    return f"{who[0]} / {who[1]}" if who[1] else who[0]


def is_ours(row):
    return "lab" in row


def disturbed(row):
    """True if something is known against the row."""
    other = row.get("other_cores")
    return bool(row.get("tainted")) or (other is not None and other > QUIET + TICKS / row["seconds"])


class Results:
    def __init__(self, document):
        self.document = document
        self.rows = document["rows"]
        self.datasets = list(document["datasets"])
        self.blocks = sorted({row["block"] for row in self.rows})
        # (data set, group, threads, block, engine) -> place -> rows of searches
        self.searches = defaultdict(lambda: defaultdict(list))
        # (data set, threads, block, engine) -> rates
        self.builds = defaultdict(list)
        for row in self.rows:
            if row["workload"] == "search":
                key = (row["dataset"], row["group"], row["threads"], row["block"], engine(row))
                self.searches[key][row["place"]].append(row)
            elif row["workload"] == "build":
                self.builds[row["dataset"], row["threads"], row["block"], engine(row)].append(row)

    def asked(self, group):
        """Whether the run was to measure a group."""
        return group in (self.document["settings"].get("groups") or table.GROUPS)

    def is_ours(self, who):
        """Whether an engine is a configuration of ours."""
        return any(is_ours(row) and row["lab"] == who[0] for row in self.rows)

    def engines(self, dataset, group=None, workload="search"):
        """Those with such rows, in the order of the table."""
        found = {
            engine(row)
            for row in self.rows
            if row["dataset"] == dataset and row["workload"] == workload and group in (None, row["group"])
        }
        order = [*table.PEERS, *table.LAB]
        return sorted(found, key=lambda one: (order.index(one[0]) if one[0] in order else len(order), one[1]))

    def threads(self, dataset, group=None, workload="search"):
        return sorted(
            {
                row["threads"]
                for row in self.rows
                if row["dataset"] == dataset and row["workload"] == workload and group in (None, row["group"])
            }
        )

    # What a search column is about: ("recall", 0.95), or ("ef", 100) for the recall that the baseline has at that width.

    def columns(self, dataset):
        of = table.dataset(dataset)
        if "at_baseline_ef" in of:
            return [("ef", ef) for ef in of["at_baseline_ef"]]
        return [("recall", recall) for recall in of["recalls"]]

    def recall_of(self, dataset, group, threads, block, column):
        """The recall that a column stands for in a block; None if the baseline was not measured there."""
        kind, value = column
        if kind == "recall":
            return value
        visits = self.searches[dataset, group, threads, block, (table.BASELINE, "")]
        recalls = [row["recall"] for rows in visits.values() for row in rows if row["ef"] == value]
        return sum(recalls) / len(recalls) if recalls else None

    def search_rate(self, dataset, group, threads, block, who, column):
        recall = self.recall_of(dataset, group, threads, block, column)
        visits = self.searches.get((dataset, group, threads, block, who))
        if recall is None or not visits:
            return None
        kind, value = column
        if kind == "ef" and who == (table.BASELINE, ""):
            # The point itself, not what is around it.
            points = [[row["per_second"] for row in rows if row["ef"] == value] for rows in visits.values()]
            return curves.together(curves.Rate(rates[0]) if rates else None for rates in points)
        return curves.together(
            curves.rate_at([(row["recall"], row["per_second"]) for row in rows], recall) for rows in visits.values()
        )

    def build_rate(self, dataset, threads, block, who):
        rows = self.builds.get((dataset, threads, block, who))
        return curves.together(curves.Rate(row["per_second"]) for row in rows) if rows else None

    # Over blocks.

    def search(self, dataset, group, threads, who, column, to=(table.BASELINE, "")):
        """(spread of rates, spread of ratios to `to`)."""
        ours = [self.search_rate(dataset, group, threads, block, who, column) for block in self.blocks]
        theirs = [self.search_rate(dataset, group, threads, block, to, column) for block in self.blocks]
        return curves.spread(ours), curves.spread(map(curves.ratio, ours, theirs))

    def build(self, dataset, threads, who, to=(table.BASELINE, "")):
        ours = [self.build_rate(dataset, threads, block, who) for block in self.blocks]
        theirs = [self.build_rate(dataset, threads, block, to) for block in self.blocks]
        return curves.spread(ours), curves.spread(map(curves.ratio, ours, theirs))

    def noise(self, dataset, group, threads, column):
        """The baseline at the end of a group by the baseline at its start, in each block."""
        ratios = []
        for block in self.blocks:
            recall = self.recall_of(dataset, group, threads, block, column)
            visits = self.searches.get((dataset, group, threads, block, (table.BASELINE, "")), {})
            if recall is not None and len(visits) == 2:
                first, second = (
                    curves.rate_at([(row["recall"], row["per_second"]) for row in visits[place]], recall)
                    for place in sorted(visits)
                )
                ratios.append(curves.ratio(second, first))
        return curves.spread(ratios)

    def needed(self, dataset, who, recall, field):
        """Beam width (`ef`) or distances (`evaluations`) with which a graph reaches a recall: how good the graph is. The
        median of all curves.
        """
        widths = []
        for key, visits in self.searches.items():
            if key[0] == dataset and key[4] == who and key[1] != "oversubscribed":
                found = [
                    curves.ef_at([(row["recall"], row[field]) for row in rows if row.get(field)], recall)
                    for rows in visits.values()
                ]
                widths += [curves.Rate(width) for width in found if width]
        return curves.spread(widths)

    def cores_used(self, dataset, group, threads, who):
        """Cores that searches of an engine kept busy, where its rows tell CPU time; the median of the undisturbed ones."""
        used = [
            curves.Rate(row["cpu_seconds"] / row["seconds"])
            for (at, of, count, _, one), visits in self.searches.items()
            if (at, of, count, one) == (dataset, group, threads, who)
            for rows in visits.values()
            for row in rows
            if row.get("cpu_seconds") is not None and not disturbed(row)
        ]
        found = curves.spread(used)
        return found.median if found else None

    def fact(self, dataset, who, field, workload=None, pick=max):
        """One figure of an engine out of its rows; None if no row has it."""
        values = [
            row[field]
            for row in self.rows
            if row["dataset"] == dataset
            and engine(row) == who
            and row.get(field) is not None
            and workload in (None, row["workload"])
        ]
        return pick(values) if values else None

    # Floors.

    def floor(self, floor, dataset, threads, peer):
        """The best of ours against a peer: (engine, spread of ratios), or None where nothing can be said."""
        found = []
        for name in floor["ours"]:
            for who in self.engines(dataset, workload=floor["measure"]):
                if who[0] != name:
                    continue
                found += [(who, one) for one in self.against(floor["measure"], dataset, threads, who, (peer, ""))]
        return max(found, key=lambda one: one[1].median, default=None)

    def against(self, measure, dataset, threads, who, peer):
        if measure == "build":
            ratios = self.build(dataset, threads, who, peer)[1]
            return [ratios] if ratios else []
        out = []
        for group in table.GROUPS:
            columns = self.columns(dataset)
            # Where there are several recalls the floor is for one; at the baseline's widths it holds at each: the worst counts.
            if ("recall", table.FLOOR_RECALL) in columns:
                columns = [("recall", table.FLOOR_RECALL)]
            ratios = [self.search(dataset, group, threads, who, column, peer)[1] for column in columns]
            if None not in ratios:
                out.append(min(ratios, key=lambda one: one.median))
        return out
