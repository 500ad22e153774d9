# SPDX-License-Identifier: MIT
"""The experiment of the lab with a client that hears of handoffs by NATS: as
root, and as a user with namespaces of its own."""
import os
import subprocess
import unittest

import engines
from engines import test_main

BIN = os.environ.get("HANDOFF_BIN", os.path.join(
    engines.ROOT, "build/dev/examples"))
SCALE = float(os.environ.get("HANDOFF_SCALE", "1"))
SCRIPT = os.path.join(engines.ROOT, "examples", "lab", "nats.sh")


class Lab(unittest.TestCase):
    def run_it(self, *prefix):
        done = subprocess.run(
            [*prefix, SCRIPT], capture_output=True, text=True,
            timeout=100 * SCALE, check=False, stdin=subprocess.DEVNULL,
            env=os.environ | {"HANDOFF_BIN": os.path.abspath(BIN)})
        if done.returncode == 77:
            self.skipTest(done.stderr.strip())
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertTrue(done.stdout.endswith(
            "lines answered: 5 of 5   handoffs heard of: 3 of 3\n"),
            done.stdout)

    def test_as_it_is_called(self):
        self.run_it()

    def test_without_root(self):
        if os.geteuid() != 0:
            self.skipTest("this is no root already")
        self.run_it("setpriv", "--reuid", "65534", "--regid", "65534",
                    "--clear-groups")


if __name__ == "__main__":
    test_main(engines.lacks_nats())
