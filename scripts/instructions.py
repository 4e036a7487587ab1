"""Holds counted instructions against the expected ones; the last step of scripts/instructions.

    python3 instructions.py COUNTED EXPECTED          prints a line per function; exit code 1 if one differs too much
    python3 instructions.py COUNTED EXPECTED --bless  writes EXPECTED

COUNTED is a folder of what callgrind wrote, one file per function, named after it. EXPECTED is a JSON document of ours.
"""

import json
import pathlib
import sys


def counted(folder):
    """Instructions by function, `group::name`: the only event that callgrind counted, in total."""
    counts = {}
    for path in sorted(pathlib.Path(folder).glob("*.callgrind")):
        lines = path.read_text(encoding="utf-8").splitlines()
        if "events: Ir" not in lines:
            sys.exit(f"error: {path.name}: callgrind counted something else than instructions")
        (total,) = (line.split()[1] for line in lines if line.startswith("totals: "))
        counts[path.stem] = int(total)
    return counts


def compare(expected, counts, tolerance_percent):
    """(passed, text) per function."""
    for name in sorted(expected.keys() | counts.keys()):
        was, now = expected.get(name), counts.get(name)
        if was is None or now is None:
            yield False, f"{name}: " + ("not expected" if was is None else "not counted")
            continue
        change = 100 * (now - was) / was
        yield abs(change) <= tolerance_percent, f"{name}: {now:,} instructions ({change:+.2f} %)"


def main(source, target, *options):
    counts = counted(source)
    with open(target, encoding="utf-8") as file:
        document = json.load(file)
    if options == ("--bless",):
        document["instructions"] = dict(sorted(counts.items()))
        with open(target, "w", encoding="utf-8") as file:
            json.dump(document, file, indent=2)
            file.write("\n")
        return 0
    results = list(compare(document["instructions"], counts, document["tolerance_percent"]))
    for passed, text in results:
        print("ok   " if passed else "FAIL ", text)
    return 0 if all(passed for passed, _ in results) else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
