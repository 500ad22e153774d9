# SPDX-License-Identifier: MIT
"""lib/peer/pair.h lists the files of the peer from the top down: all of them
are there, each calls and includes only what stands below it, and the machines
do not know each other."""
import glob
import os
import re
import unittest

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")
PEER = os.path.join(ROOT, "lib/peer")
MACHINES = "The state machines, which do not know each other:"


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def code_of(name):
    """A file without its comments."""
    return re.sub(r"/\*.*?\*/", " ", read(os.path.join(PEER, name)),
                  flags=re.S)


def listed():
    """Names from the top down, and those of them that are machines."""
    head = read(os.path.join(PEER, "pair.h")).split("#ifndef")[0]
    names = re.findall(r"^ \*   ([a-z]+) +\S", head, re.M)
    group = head.split(MACHINES)[1].split(":\n")[0]
    carriers = re.search(r"The carriers[^:]*: ([a-z, ]+)\.", head).group(1)
    return (names, re.findall(r"^ \*   ([a-z]+) +\S", group, re.M),
            carriers.split(", "))


class Layers(unittest.TestCase):
    def setUp(self):
        self.names, self.machines, self.carriers = listed()
        self.code = {name: code_of(name + ".c")
                     for name in self.names + self.carriers}
        self.defined = {}
        for name, code in self.code.items():
            for function in re.findall(r"^(handoff_\w+)\(", code, re.M):
                self.defined[function] = name

    def uses(self, name):
        """The files that a file calls or includes."""
        code = self.code[name]
        found = {self.defined[word]
                 for word in re.findall(r"\bhandoff_\w+", code)
                 if word in self.defined}
        found.update(re.findall(r'#include "peer/(\w+)\.h"', code))
        return found - {name}

    def test_every_file_is_listed(self):
        files = {os.path.basename(path)[:-2]
                 for path in glob.glob(os.path.join(PEER, "*.c"))}
        self.assertEqual(files, set(self.names + self.carriers))

    def test_calls_point_down(self):
        place = {name: i for i, name in enumerate(self.names)}
        for name in self.names:
            for used in self.uses(name) - set(self.carriers):
                self.assertLess(place[name], place[used],
                                f"{name}.c stands below {used}.c and uses it")

    def test_machines_do_not_know_each_other(self):
        self.assertIn("give", self.machines)
        for name in self.machines:
            self.assertEqual(self.uses(name) & set(self.machines), set(),
                             f"of {name}.c")

    def test_carriers_know_no_peer(self):
        for name in self.carriers:
            self.assertEqual(self.uses(name) & set(self.names), set(),
                             f"of {name}.c")


if __name__ == "__main__":
    unittest.main()
