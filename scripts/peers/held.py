"""A `hnsw-lab sweep` that builds once and then waits: it measures a block whenever it is told to.

So our indexes last through a campaign as saved ones of peers do, and blocks are still measured in turn with theirs.
"""

import json
import os
import subprocess
import tempfile

from . import noise


class Held:
    """One such sweep. It is idle between two calls of `block`."""

    def __init__(self, command, environment):
        self.folder = tempfile.TemporaryDirectory()
        self.out = os.path.join(self.folder.name, "rows.json")
        self.errors = open(os.path.join(self.folder.name, "errors"), "w+")
        self.process = subprocess.Popen(
            [*command, "--keep-indexes", "--step", "--out", self.out],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            bufsize=0,
            env=environment,
        )
        self.measured = 0

    def cpu(self):
        return noise.process_cpu(self.process.pid)

    def block(self):
        """Measures the next block. Returns what the document says of the run, and the rows of the block; raises RuntimeError
        with what the program said if it ended instead."""
        try:
            self.process.stdin.write(b"\n")
            answered = self.process.stdout.readline()
        except BrokenPipeError:
            answered = b""
        if not answered:
            self.process.wait()
            self.errors.seek(0)
            raise RuntimeError(said(self.errors.read()) or f"ended with {self.process.returncode}")
        with open(self.out) as file:
            document = json.load(file)
        rows = [row for row in document["rows"] if row["block"] == self.measured]
        self.measured += 1
        return document["run"], rows

    def close(self):
        """Lets it go: without further lines it ends by itself."""
        self.process.stdin.close()
        self.process.stdout.close()
        try:
            self.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.errors.close()
        self.folder.cleanup()


def said(stderr):
    """The first line that says what is wrong."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    return next((line for line in lines if line.startswith("error")), lines[0] if lines else "")
