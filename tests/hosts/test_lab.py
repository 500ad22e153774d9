# SPDX-License-Identifier: MIT
"""The experiment of the lab with three hosts: as root, and as a user with
namespaces of its own."""
import os
import subprocess
import unittest

from world import BIN, FERRY, SCALE, main

SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir,
                      os.pardir, "examples", "lab", "hosts.sh")


class Lab(unittest.TestCase):
    def run_it(self, *prefix):
        done = subprocess.run(
            [*prefix, os.path.normpath(SCRIPT)], capture_output=True,
            text=True, timeout=150 * SCALE, check=False,
            stdin=subprocess.DEVNULL,
            env=os.environ | {"HANDOFF_BIN": os.path.abspath(BIN),
                              "HANDOFF_FERRY": os.path.abspath(FERRY)})
        if done.returncode == 77:
            self.skipTest(done.stderr.strip())
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertRegex(done.stdout, r"(?m)^    moved 3 of 3 connections to B")
        self.assertEqual(done.stdout.count("one connection; ended well"), 3)
        self.assertTrue(done.stdout.endswith(
            "connections lost: 0   resets sent by any host: 0\n"))

    def test_as_it_is_called(self):
        self.run_it()

    def test_without_root(self):
        if os.geteuid() != 0:
            self.skipTest("this is no root already")
        self.run_it("setpriv", "--reuid", "65534", "--regid", "65534",
                    "--clear-groups")


if __name__ == "__main__":
    main()
