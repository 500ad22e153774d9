# SPDX-License-Identifier: MIT
"""Layers: docs/design.md lists the folders of lib/ from the top down, and the
main header of a folder its files. All of them are there, and each calls and
includes only what stands below it. In lib/peer the state machines do not know
each other."""
import glob
import os
import re
import unittest

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")
LIB = os.path.join(ROOT, "lib")
PAIR = re.compile(r"""handoff__(pair|entry|status|metrics|report|roster)
                  |handoff__reason_text$""", re.X)
MACHINES = "The state machines, which do not know each other:"
LISTS = {  # the header of each folder that lists its files
    "client": "client.h",
    "ferry": "ferry.h",
    "embed": "embed.h",
    "lease": "lease.h",
    "migrate": "migrate.h",
    "nats": "internal.h",
    "notice": "transport.h",
    "operator": "operator.h",
    "peer": "pair.h",
    "rpc": "component.h",
    "server": "internal.h",
    "session": "session.h",
    "systemd": "systemd.h",
    "tls": "component.h",
    "zookeeper": "component.h",
}
# A header of a file above that is included for its structures: calls still
# point down.
STRUCTURES = {
    ("ferry", "told", "gate"),
    ("peer", "core", "tally"),
    ("server", "conn_state", "conn"),
    ("server", "dumper", "dump"),
    ("server", "members", "worker"),
}


def read(*path):
    with open(os.path.join(*path), encoding="utf-8") as file:
        return file.read()


def without_comments(code):
    return re.sub(r"/\*.*?\*/", " ", code, flags=re.S)


def names_of(folder, ext):
    return {os.path.basename(path)[:-len(ext)]
            for path in glob.glob(os.path.join(LIB, folder, "*" + ext))}


def listed(folder):
    """The names of a folder's files, in the order of the list."""
    head = read(LIB, folder, LISTS[folder]).split("#ifndef")[0]
    if folder != "peer":
        return re.findall(r"\b([a-z_]+)\.c\b", head)
    return re.findall(r"^ \*   ([a-z]+) +\S", head, re.M)


def machines():
    head = read(LIB, "peer", "pair.h").split("#ifndef")[0]
    group = head.split(MACHINES)[1].split(":\n")[0]
    return re.findall(r"^ \*   ([a-z]+) +\S", group, re.M)


class Folder:
    """What the files of a folder define, and use of each other."""

    def __init__(self, name):
        self.names = listed(name)
        self.place = {file: i for i, file in enumerate(self.names)}
        self.folder = name
        self.code = {}
        self.defined = {}
        for file in names_of(name, ".c"):
            code = without_comments(read(LIB, name, file + ".c"))
            for word in re.findall(
                    r"^(?:const struct \w+ )?(handoff_\w+)(?:\(| = \{)", code,
                    re.M):
                self.defined[word] = file
            self.code[file] = code
        # The main header is for all files, so only its file may be above.
        for file in names_of(name, ".h") & set(self.code):
            if file + ".h" != LISTS[name]:
                self.code[file] += without_comments(
                    read(LIB, name, file + ".h"))

    def calls(self, file):
        return {self.defined[word]
                for word in re.findall(r"\bhandoff_\w+", self.code[file])
                if word in self.defined} - {file}

    def includes(self, file):
        return {other for other in re.findall(
            rf'#include "{self.folder}/(\w+)\.h"', self.code[file])
                if other in self.code and
                other + ".h" != LISTS[self.folder]} - {file}


class Files(unittest.TestCase):
    def test_every_file_is_listed_once(self):
        for folder in LISTS:
            with self.subTest(folder):
                self.assertEqual(sorted(names_of(folder, ".c")),
                                 sorted(listed(folder)))

    def test_calls_and_includes_point_down(self):
        above = set()  # included headers that are above
        for name in LISTS:
            folder = Folder(name)
            self.assertTrue(any(map(folder.calls, folder.names)), name)
            for file in folder.names:
                place = folder.place[file]
                for used in folder.calls(file):
                    with self.subTest(f"lib/{name}/{file}.c"):
                        self.assertLess(place, folder.place[used],
                                        f"it calls {used}.c, which is above")
                above.update((name, file, used)
                             for used in folder.includes(file)
                             if folder.place[used] < place)
        self.assertEqual(above, STRUCTURES)

    def test_machines_do_not_know_each_other(self):
        folder = Folder("peer")
        self.assertIn("give", machines())
        for name in machines():
            used = folder.calls(name) | folder.includes(name)
            self.assertEqual(used & set(machines()), set(), f"of {name}.c")

    def test_layers_above_call_its_interface_only(self):
        defined = Folder("peer").defined
        for name in ("operator", "embed", "server"):
            for path in glob.glob(os.path.join(LIB, name, "*.[ch]")):
                for word in re.findall(r"\bhandoff_\w+",
                                       without_comments(read(path))):
                    if word in defined:
                        self.assertRegex(word, PAIR, path)


class Folders(unittest.TestCase):
    def setUp(self):
        block = read(ROOT, "docs/design.md").split("## Layers")[1]
        block = block.split("    examples/")[1].split("\n\n")[0]
        rows = re.findall(r"^    (lib/.*)", block, re.M)
        self.rows = [re.findall(r"lib/(\w+)", row) for row in rows]

    def test_every_folder_is_listed_once(self):
        folders = {name for name in os.listdir(LIB) if names_of(name, ".c")}
        self.assertEqual(sorted(folders), sorted(sum(self.rows, [])))

    def test_includes_point_down(self):
        row_of = {name: i for i, row in enumerate(self.rows) for name in row}
        for name, row in row_of.items():
            for path in glob.glob(os.path.join(LIB, name, "*.[ch]")):
                for used in re.findall(r'#include "(\w+)/', read(path)):
                    with self.subTest(os.path.relpath(path, ROOT)):
                        self.assertTrue(
                            used == name or row < row_of[used],
                            f"it includes a header of lib/{used}")


if __name__ == "__main__":
    unittest.main()
