"""Tables in Markdown from result files, and their place in a page."""

from . import table
from .results import Results, disturbed, engine

BEGIN = "<!-- bench-peers:begin -->"
END = "<!-- bench-peers:end -->"
NOTHING = "–"
# Part of its threads that an engine has to keep busy in a search.
BUSY = 0.85


def put(page, tables):
    """The page with what stands between its markers replaced."""
    if page.count(BEGIN) != 1 or page.count(END) != 1 or page.index(BEGIN) > page.index(END):
        raise SystemExit(f"error: the page needs one line {BEGIN} and, below it, one line {END}")
    head, rest = page.split(BEGIN)
    tail = rest.split(END)[1]
    return f"{head}{BEGIN}\n{tables.strip()}\n{END}{tail}"


def tables(documents):
    """Everything between the markers."""
    return "\n\n".join(part for document in documents for part in sections(document)) + "\n"


def sections(document):
    results = Results(document)
    yield header(document)
    yield floors(results)
    for dataset in results.datasets:
        for group in ("f32", "quantised", "batch", "bulk"):
            if results.engines(dataset, group):
                yield searches(results, dataset, group)
        if results.engines(dataset, workload="build"):
            yield builds(results, dataset)
    for section in (mixed, oversubscribed, noise, missing):
        yield section(results)


def header(document):
    settings, machine = document["settings"], document["machine"] or {}
    build = document["build"] or {}
    commit = f"{build.get('git_commit') or 'unknown'}{', changed since' if build.get('git_dirty') else ''}"
    lines = [
        f"Begun {document['started'][:10]} on {machine.get('cpu_model', 'an unknown CPU')}, {machine.get('allowed_cpus') and len(machine['allowed_cpus'])} CPUs"
        f" ({build.get('isa', '?')}), commit `{commit[:60]}`. {settings['blocks']} blocks; windows of at least {settings['seconds']} s.",
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


# Cells.


def number(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def times(spread):
    """`2.10x (2.01-2.20)`."""
    if spread is None:
        return NOTHING
    at_least = "≥ " if spread.at_least else ""
    middle = f"{at_least}**{spread.median:.2f}x**"
    return middle if spread.count == 1 else f"{middle} ({spread.least:.2f}-{spread.most:.2f})"


def cell(rates, ratios):
    if rates is None:
        return NOTHING
    at_least = "≥ " if rates.at_least else ""
    text = f"{at_least}{number(rates.median)}"
    return text if ratios is None else f"{text}, {times(ratios)}"


def name(who):
    return f"{who[0]} / {who[1]}" if who[1] else who[0]


def grid(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return lines + ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]


def plural(threads):
    return f"{threads} thread" + ("s" if threads > 1 else "")


# Sections.


def floors(results):
    rows = []
    for floor in table.FLOORS:
        for dataset in results.datasets:
            if floor["on"] is not None and dataset not in floor["on"]:
                continue
            for threads in results.document["settings"]["threads"]:
                for peer in floor["peers"]:
                    what = f"{floor['what']}, {floor['measure']}" if floor["what"] == "seed workload" else floor["what"]
                    best = results.floor(floor, dataset, threads, peer)
                    reached, by = (times(best[1]), name(best[0])) if best else (NOTHING, NOTHING)
                    rows.append([what, dataset, threads, peer, f"{floor['floor']:.1f}x", reached, by, met(best, floor["floor"])])
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


def mixed(results):
    """Each role beside the other, as part of what it reaches alone."""
    blocks = {}
    for row in results.rows:
        if row["workload"] in ("writer", "reader", "writer+reader"):
            blocks.setdefault((row["dataset"], engine(row), row["block"], row["place"]), {})[row["workload"]] = row
    kept = {}
    for (dataset, who, _, _), rows in blocks.items():
        if len(rows) == 3:
            writer = rows["writer+reader"]["writes_per_second"] / max(rows["writer"]["writes_per_second"], 1e-9)
            reader = rows["writer+reader"]["reads_per_second"] / max(rows["reader"]["reads_per_second"], 1e-9)
            failed = sum(row["failed_calls"] for row in rows.values())
            kept.setdefault((dataset, who), []).append((writer, reader, failed, rows["writer+reader"]))
    table_rows = []
    for (dataset, who), runs in kept.items():
        cells = [median([run[part] for run in runs]) for part in (0, 1)]
        both = [median([run[3][field] for run in runs]) for field in ("writes_per_second", "reads_per_second")]
        table_rows.append(
            [dataset, name(who), number(both[0]), f"{cells[0]:.0%}", number(both[1]), f"{cells[1]:.0%}", sum(run[2] for run in runs)]
        )
    if not table_rows:
        return "### One writer beside one reader\n\nNot measured."
    head = ["data set", "engine", "inserts/s", "of alone", f"searches/s, ef {table.MIXED_EF}", "of alone", "failed calls"]
    note = "A call fails if it is refused, or answers with fewer than k hits."
    return "\n".join(["### One writer beside one reader", "", note, "", *grid(head, table_rows)])


def median(values):
    values = sorted(values)
    middle = len(values) // 2
    return values[middle] if len(values) % 2 else (values[middle - 1] + values[middle]) / 2


def oversubscribed(results):
    """The same at many threads per core, as ratio to one per core."""
    rows = []
    for dataset in results.datasets:
        counts = results.threads(dataset, "oversubscribed")
        if len(counts) != 2:
            continue
        few, many = counts
        for who in results.engines(dataset, "oversubscribed"):
            cells = []
            for workload in ("search", "build", "mixed"):
                ratios = [held(results, dataset, who, block, workload, few, many) for block in results.blocks]
                ratios = [ratio for ratio in ratios if ratio]
                cells.append(f"{median(ratios):.2f}" if ratios else NOTHING)
            tails = [tail(results, dataset, who, count) for count in counts]
            rows.append([dataset, name(who), f"{few} to {many}", *cells, *(f"{us:,.0f}" if us else NOTHING for us in tails)])
    if not rows:
        return "### More threads than cores\n\nNot measured."
    head = ["data set", "engine", "threads", "search", "build", "mixed", "p99.9 of a search beside inserts, µs, few", "many"]
    note = "Throughput at many threads by throughput at one per core: 1 is nothing lost."
    return "\n".join(["### More threads than cores", "", note, "", *grid(head, rows)])


def held(results, dataset, who, block, workload, few, many):
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


def tail(results, dataset, who, threads):
    found = [
        row["p999_us"]
        for row in results.rows
        if (row["dataset"], row["threads"], row["workload"]) == (dataset, threads, "mixed") and engine(row) == who
    ]
    return median(found) if found else None


def noise(results):
    rows = []
    for dataset in results.datasets:
        for group in ("f32", "quantised", "batch", "bulk"):
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
