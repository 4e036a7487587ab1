import os
import sys
import tempfile
import textwrap
import unittest

from peers.held import Held

# Speaks as `hnsw-lab sweep --step` does, and adds a row in each block; ends with an error in the third.
PROGRAM = """
    import json, sys
    out, rows = sys.argv[sys.argv.index("--out") + 1], []
    assert "--keep-indexes" in sys.argv and "--step" in sys.argv
    for block, line in enumerate(sys.stdin):
        if block == 2:
            print("error: no room left", file=sys.stderr)
            sys.exit(1)
        rows.append({"block": block, "ef": 16})
        with open(out, "w") as file:
            json.dump({"run": {"id": "x"}, "rows": rows}, file)
        print(f"block {block + 1} of 3 is measured", flush=True)
"""


class HeldSweep(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        program = os.path.join(scratch.name, "program.py")
        with open(program, "w") as file:
            file.write(textwrap.dedent(PROGRAM))
        self.held = Held([sys.executable, program], os.environ)
        self.addCleanup(self.held.close)

    def test_gives_each_block_its_own_rows(self):
        for block in range(2):
            run, rows = self.held.block()
            self.assertEqual((run, rows), ({"id": "x"}, [{"block": block, "ef": 16}]))
        self.assertGreaterEqual(self.held.cpu(), 0.0)

    def test_says_what_the_program_said_when_it_ended(self):
        self.held.block()
        self.held.block()
        for _ in range(2):
            with self.assertRaisesRegex(RuntimeError, "no room left"):
                self.held.block()

    def test_a_process_that_is_let_go_ends(self):
        self.held.block()
        self.held.process.stdin.close()
        self.held.process.wait(timeout=60)
        self.assertEqual(self.held.process.returncode, 0)


if __name__ == "__main__":
    unittest.main()
