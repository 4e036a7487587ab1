"""Tables in Markdown from result files, and their place in a page."""

from collections import Counter

from . import roofline, table
from .concurrency import mixed, mixed_floors, oversubscribed, oversubscribed_floors, tails
from .markdown import NOTHING, cell, grid, number, times
from .results import Results, disturbed, name

BEGIN = "<!-- bench-peers:begin -->"
END = "<!-- bench-peers:end -->"
# Part of its threads that an engine has to keep busy in a search.
BUSY = 0.85


def put(page, tables):
    """The page with what stands between its markers replaced."""
    if page.count(BEGIN) != 1 or page.count(END) != 1 or page.index(BEGIN) > page.index(END):
        raise SystemExit(f"error: the page needs one line {BEGIN} and, below it, one line {END}")
    head, rest = page.split(BEGIN)
    tail = rest.split(END)[1]
    return f"{head}{BEGIN}\n{tables.strip()}\n{END}{tail}"


def tables(documents, more=()):
    """Everything between the markers: the sections of all documents, then `more` of them."""
    return "\n\n".join([*(part for document in documents for part in sections(document)), *more]) + "\n"


def sections(document):
    results = Results(document)
    yield header(document)
    yield floors(results)
    for dataset in results.datasets:
        for group in table.COMPARED:
            if results.engines(dataset, group):
                yield searches(results, dataset, group)
        if results.engines(dataset, workload="build"):
            yield builds(results, dataset)
    yield shares(results)
    if results.asked("mixed"):
        yield mixed(results)
    if results.asked("oversubscribed"):
        yield oversubscribed(results)
        yield tails(results)
    yield noise(results)
    yield missing(results)


def header(document):
    settings, machine = document["settings"], document["machine"] or {}
    build = document["build"] or {}
    commit = f"{build.get('git_commit') or 'unknown'}{', changed since' if build.get('git_dirty') else ''}"
    cpu = machine.get("cpu_model", "an unknown CPU")
    lines = [
        f"### Run on {', '.join(document['datasets'])}, {cpu}: {', '.join(settings.get('groups') or table.GROUPS)}",
        "",
        f"Begun {document['started'][:10]} on {cpu}, {machine.get('allowed_cpus') and len(machine['allowed_cpus'])} CPUs"
        f" ({build.get('isa', '?')}), commit `{commit[:60]}`. {measured(document)}; windows of at least {settings['seconds']} s.",
        "",
        f"Peers: M = {table.LIKE['m']}, ef_construction = {table.LIKE['ef_construction']}, k = {table.K}. Ours: the same in `f32`;"
        f" everywhere else {', '.join(f'{name} = {value}' for name, value in table.OWN.items())}, on every data set.",
        "Rates are per second by the wall clock, interpolated at the recall; medians over blocks. `x`: ratio to"
        f" {table.BASELINE} inside a block, with the smallest and the largest. `≥`: the curve begins above that recall.",
        "",
        "| peer | version | what |",
        "|---|---|---|",
    ]
    for name, peer in document["peers"].items():
        lines.append(f"| {name} | {peer['version']} | {peer['note']} |")
    if settings["rows"] or settings["query_count"]:
        lines += ["", f"**Cut data**: {settings['rows'] or 'all'} rows, {settings['query_count'] or 'all'} queries. No figures to quote."]
    return "\n".join(lines)


def measured(document):
    """How many blocks there are. Visits go block by block, so only the last one may lack some, where the time was over."""
    wanted = document["settings"]["blocks"]
    visits = [one["visit"] for one in document["visits"]]
    # Visits for the time of builds are not in all blocks.
    visits = [one for one in visits if not table.LAB.get(one.get("lab"), {}).get("for_builds")]
    *earlier, last = sorted(Counter(one.get("block", 0) for one in visits).items()) or [(0, 0)]
    if earlier and last[1] < earlier[0][1]:
        return f"{len(earlier)} blocks of {wanted}, and part of one more"
    return f"{len(earlier) + 1} blocks" if len(earlier) + 1 == wanted else f"{len(earlier) + 1} of {wanted} blocks"


# Cells.


def plural(threads):
    return f"{threads} thread" + ("s" if threads > 1 else "")


# Sections.


def floors(results):
    rows = []
    configs = results.document["settings"].get("configs") or list(table.LAB)
    for floor in table.FLOORS:
        for dataset in results.datasets:
            if floor["on"] is not None and dataset not in floor["on"]:
                continue
            for threads in results.document["settings"]["threads"]:
                for peer in floor["peers"]:
                    what = f"{floor['what']}, {floor['measure']}" if floor["what"] == "seed workload" else floor["what"]
                    best = results.floor(floor, dataset, threads, peer)
                    # A run that was for something else owes nothing.
                    if best is None and floor["ours"][0] not in configs:
                        continue
                    reached, by = (times(best[1]), name(best[0])) if best else (NOTHING, NOTHING)
                    rows.append([what, dataset, threads, peer, f"{floor['floor']:.1f}x", reached, by, met(best, floor["floor"])])
    rows += mixed_floors(results) if results.asked("mixed") else []
    rows += oversubscribed_floors(results) if results.asked("oversubscribed") else []
    head = ["what", "data set", "threads", "to", "floor", "reached", "by", "met"]
    note = f"At recall {table.FLOOR_RECALL}, or at the worst of the baseline's recalls; the best of our configurations by median."
    return "\n".join(["### Floors", "", note, "", *grid(head, rows)]) if rows else "### Floors\n\nNothing to say yet."


def met(best, floor):
    """Whether the best of ours is at the floor; a lower bound below it says neither."""
    if best is None:
        return "not measured"
    if best[1].median >= floor:
        return "yes"
    return "not known" if best[1].at_least else "**no**"


def searches(results, dataset, group):
    columns, threads = results.columns(dataset), results.threads(dataset, group)
    head = ["engine"]
    for count in threads:
        for kind, value in columns:
            what = f"recall {value:g}" if kind == "recall" else f"recall of {table.BASELINE} at ef {value}{recall_note(results, dataset, group, count, value)}"
            head.append(f"{plural(count)}, {what}")
    rows = []
    for who in results.engines(dataset, group):
        cells = []
        for count in threads:
            for column in columns:
                rates, ratios = results.search(dataset, group, count, who, column)
                cells.append(cell(rates, None if who == (table.BASELINE, "") else ratios))
        rows.append([name(who) + idle_note(results, dataset, group, who), *cells])
    return "\n".join([f"### {dataset}: search, {group}", "", *grid(head, rows)])


def idle_note(results, dataset, group, who):
    """Says so where an engine left cores idle that it was given: then its rate says nothing about its index."""
    notes = []
    for threads in results.threads(dataset, group):
        used = results.cores_used(dataset, group, threads, who)
        if used is not None and used < BUSY * threads:
            notes.append(f"{used:.1f} of {threads}")
    return f" (used {', '.join(notes)} cores)" if notes else ""


def recall_note(results, dataset, group, threads, ef):
    found = [results.recall_of(dataset, group, threads, block, ("ef", ef)) for block in results.blocks]
    found = [recall for recall in found if recall is not None]
    return f" ({sum(found) / len(found):.3f})" if found else ""


def builds(results, dataset):
    threads = [count for count in results.threads(dataset, workload="build") if count in results.document["settings"]["threads"]]
    recall = table.FLOOR_RECALL
    head = ["engine", *(f"rows/s, {plural(count)}" for count in threads), f"ef for recall {recall}", "distances", "memory", "unreachable"]
    rows = []
    for who in results.engines(dataset, workload="build"):
        cells = []
        for count in threads:
            rates, ratios = results.build(dataset, count, who)
            cells.append(cell(rates, None if who == (table.BASELINE, "") else ratios))
        ef, distances = (results.needed(dataset, who, recall, field) for field in ("ef", "evaluations"))
        each = results.fact(dataset, who, "bytes_per_vector", "search", pick=min)
        percent = results.fact(dataset, who, "overhead_percent", "search", pick=min)
        unreachable = results.fact(dataset, who, "unreachable")
        rows.append(
            [
                name(who),
                *cells,
                f"{ef.median:.0f}" if ef else NOTHING,
                f"{distances.median:.0f}" if distances else NOTHING,
                f"{each:,.0f} B a row, {percent:.1f} %" if each is not None else resident(results, dataset, who),
                unreachable if unreachable is not None else NOTHING,
            ]
        )
    note = (
        "Beam width and distances for a recall say how good the graph is. Memory: ours exact, from the ledger, with what is above the"
        " rows as the codec keeps them in %; of peers (`~`) the growth of the resident set while they built."
    )
    return "\n".join([f"### {dataset}: build", "", note, "", *grid(head, rows)])


def resident(results, dataset, who):
    grown = results.fact(dataset, who, "resident_bytes_per_vector", "build", pick=min)
    return f"~{grown:,.0f} B a row" if grown is not None else NOTHING


def shares(results):
    """How near searches of ours come to reading rows and doing nothing else."""
    rows = []
    for dataset in results.datasets:
        for threads, group, who, one in roofline.shares(results, dataset):
            rows.append(
                [
                    dataset,
                    threads,
                    name(who),
                    f"{one.evaluations:,.0f}" if one.evaluations else NOTHING,
                    f"{one.row_bytes:,} B" if one.row_bytes else NOTHING,
                    f"{one.gather:.1f}" if one.gather else "not measured",
                    f"{'≤ ' if one.at_most else ''}{one.measured:.1f}" if one.measured else NOTHING,
                    f"{'≥ ' if one.at_most else ''}{one.value:.0%}" if one.value else NOTHING,
                ]
            )
    if not rows:
        return "### Roofline\n\nNot measured."
    head = ["data set", "threads", "engine", "distances", "bytes each", "gather µs", "query µs", "share of the limit"]
    note = (
        f"At recall {table.FLOOR_RECALL}, or at the middle of the baseline's recalls; times are of one query on one thread. Gather: how long this machine"
        " takes to read as many random rows, known ahead, with as many threads and nothing else to do (`hnsw-lab limit`). 100 % would be a search"
        " that waits for memory alone; more means that its rows came from a cache, because queries meet the same nodes."
    )
    return "\n".join(["### Roofline", "", note, "", *grid(head, rows)])


def noise(results):
    rows = []
    for dataset in results.datasets:
        for group in table.COMPARED:
            for threads in results.threads(dataset, group):
                found = [results.noise(dataset, group, threads, column) for column in results.columns(dataset)]
                rows += [[dataset, group, threads, times(one).replace("**", "")] for one in found[len(found) // 2 :][:1] if one]
    bad = sum(disturbed(row) for row in results.rows)
    note = (
        f"{table.BASELINE} at the end of a group by itself at the start, at the middle recall: a difference within that spread says"
        f" nothing. {bad} of {len(results.rows)} rows were disturbed by other processes; they are in the file and in the medians."
    )
    return "\n".join(["### Noise", "", note, "", *grid(["data set", "group", "threads", "second by first"], rows)])


def missing(results):
    document = results.document
    lines = [f"- {one['what']}: {one['why']}" for one in document["skipped"]]
    for visit in document["visits"]:
        if "failed" in visit:
            at = visit["visit"]
            lines.append(f"- {at.get('peer') or at.get('lab')} on {at['dataset']}, {at['group']}: {visit['failed']}")
    return "\n".join(["### Not measured", "", *(dict.fromkeys(lines) or ["Nothing was left out."])])
