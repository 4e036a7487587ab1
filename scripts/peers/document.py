"""The result file: written whole after every visit, so that a campaign that was stopped goes on where it was."""

import json
import os
import time

FORMAT = "bench-peers/1"
# What has to be the same for a campaign to go on in a file.
SAME = ("settings", "datasets")


def fresh(settings, datasets, command):
    return {
        "format": FORMAT,
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "command": command,
        "settings": settings,
        "datasets": datasets,
        "machine": None,
        "build": None,
        "peers": {},
        "limits": {},
        "skipped": [],
        "visits": [],
        "rows": [],
    }


def open_or_fresh(path, settings, datasets, command):
    """The document in the file if it is of this campaign; a fresh one if there is no file."""
    if not os.path.exists(path):
        return fresh(settings, datasets, command)
    document = read(path)
    wanted = json.loads(json.dumps({"settings": settings, "datasets": datasets}))
    if any(document[part] != wanted[part] for part in SAME):
        raise SystemExit(f"error: {path} is of another campaign; give the same flags, or another --out")
    document.setdefault("limits", {})
    return document


def read(path):
    try:
        with open(path) as file:
            document = json.load(file)
    except (OSError, ValueError) as problem:
        raise SystemExit(f"error: {path}: {problem}") from problem
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise SystemExit(f"error: {path} is no document of the form {FORMAT}")
    return document


def write(path, document):
    """One row a line, so that files can be compared; in place by rename."""
    head = {part: value for part, value in document.items() if part != "rows"}
    text = json.dumps(head, indent=1)[:-2]
    rows = ",\n".join("  " + json.dumps(row) for row in document["rows"])
    temporary = path + ".tmp"
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    with open(temporary, "w") as file:
        file.write(f'{text},\n "rows": [\n{rows}\n ]\n}}\n')
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
