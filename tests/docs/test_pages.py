# SPDX-License-Identifier: MIT
"""The manual pages are true: each public function is in the SYNOPSIS of one
page as it is in its header, every example compiles and links with what the
page says, and a page that is referred to is there. So is the README's example.
Nothing is run."""
import glob
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

from mdoc import Page, accidents, flat, name_of

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")
INCLUDE = os.path.join(ROOT, "include")
CC = os.environ.get("HANDOFF_CC", "cc")
LIB = os.environ.get("HANDOFF_LIB", os.path.join(ROOT, "build/dev/lib"))
WARNINGS = ("-std=c17", "-Wall", "-Wextra", "-Werror")
PAGES = [Page(path) for path in sorted(
    glob.glob(os.path.join(ROOT, "docs/man/*.[1-9]")))]


class Header:
    """What a public header declares, without comments."""

    def __init__(self, path):
        self.name = os.path.relpath(path, INCLUDE)
        with open(path, encoding="utf-8") as file:
            text = re.sub(r"/\*.*?\*/", " ", file.read(), flags=re.S)
        text = text.replace("\\\n", " ")
        self.defines = {flat(line) for line in
                        re.findall(r"^#define .*$", text, re.M)}
        text = re.sub(r"^#.*$", "", text, flags=re.M)
        text = re.sub(r"__attribute__\s*\(\(.*?\)\)", "", text)
        self.declarations = [flat(part) for part in re.findall(
            r"\bHANDOFF_API\s+([^;{}]*\))\s*;", text)]
        self.declarations += [flat(part) for part in re.findall(
            r"\btypedef\s[^;{}]*\)\s*;", text)]
        self.declarations = [part.rstrip("; ") for part in self.declarations]


HEADERS = [Header(path) for path in sorted(
    glob.glob(os.path.join(INCLUDE, "**/*.h"), recursive=True))]
DECLARED = {part: header for header in HEADERS
            for part in header.declarations}


def compile_c(text, libraries=None, extra=()):
    """The compiler's complaints, "" for none; links if that is wanted."""
    folders = {os.path.dirname(path) for path in
               glob.glob(os.path.join(LIB, "**/libhandoff*.so"),
                         recursive=True)}
    with tempfile.TemporaryDirectory() as folder:
        command = [CC, *WARNINGS, "-I", INCLUDE, *extra, "-x", "c", "-",
                   "-o", os.path.join(folder, "out")]
        if libraries is None:
            command.append("-c")
        else:
            # What a library was instrumented with is not the reader's.
            command += ["-Wl,--unresolved-symbols=ignore-in-shared-libs",
                        *(f"-L{path}" for path in sorted(folders)),
                        *(f"-l{name}" for name in libraries)]
        done = subprocess.run(command, input=text, capture_output=True,
                              text=True, check=False)
    return done.stderr if done.returncode != 0 else ""


def tirpc():
    """Where the headers of libtirpc are, which one of ours includes."""
    done = subprocess.run(["pkg-config", "--cflags-only-I", "libtirpc"],
                          capture_output=True, text=True, check=False)
    return done.stdout.replace("-I", "-isystem ").split()


def built(name):
    return glob.glob(os.path.join(LIB, f"**/lib{name}.so"), recursive=True)


class Synopsis(unittest.TestCase):
    maxDiff = None

    def test_headers_declare_something(self):
        """What is compared below is not nothing."""
        self.assertGreater(len(DECLARED), 50)
        self.assertIn("const char*handoff_version(void)", DECLARED)

    def test_each_declaration_is_in_one_page(self):
        for part, header in DECLARED.items():
            with self.subTest(declaration=part):
                pages = [page for page in PAGES
                         if part in page.declarations()]
                self.assertEqual(len(pages), 1, "in the SYNOPSIS of "
                                 f"{[page.file for page in pages]}")
                self.assertIn(header.name, pages[0].includes())

    def test_nothing_else_is_in_a_page(self):
        for page in PAGES:
            for part in page.declarations():
                with self.subTest(page=page.file, declaration=part):
                    self.assertTrue(part in DECLARED, "in no header")
            for name in page.includes():
                with self.subTest(page=page.file, include=name):
                    self.assertIn(name, [h.name for h in HEADERS])

    def test_constants(self):
        for page in PAGES:
            for line in page.defines():
                with self.subTest(page=page.file, define=line):
                    self.assertTrue(any(
                        line in header.defines for header in HEADERS
                        if header.name in page.includes()))


class Names(unittest.TestCase):
    def test_files_are_what_their_titles_say(self):
        self.assertGreater(len(PAGES), 10)
        for page in PAGES:
            with self.subTest(page=page.file):
                self.assertEqual(page.file, f"{page.title}.{page.number}")

    def test_names(self):
        """A page of functions names them all, and nothing that it does not
        declare but the object that it is called after."""
        for page in PAGES:
            with self.subTest(page=page.file):
                if page.number != "3":
                    self.assertIn(page.title, page.names)
                    continue
                functions = [name_of(part) for part in page.declarations()
                             if not part.startswith("typedef")]
                names = [name for name in page.names if name != page.title]
                self.assertEqual(sorted(names), sorted(functions))
                self.assertTrue(functions)

    def test_words_that_are_macros(self):
        for page in PAGES:
            with self.subTest(page=page.file):
                self.assertEqual(accidents(page.source), [])
        for line in (".Ss In a handler", ".Ss No standby", ".Nd An echo",
                     ".It At once", ".In a handler", ".Do not"):
            self.assertEqual(accidents(line), [line])
        for line in (".Ss \\&In a handler", ".In sys/sdt.h", "In a handler",
                     '.It "In a handler"', ".It Ar addr No (passed in)"):
            self.assertEqual(accidents(line), [])

    def test_references(self):
        """What is ours is there; the rest is the system's."""
        there = {(name, page.number) for page in PAGES
                 for name in (page.title, *page.names)}
        ours = {name for name, _ in there}
        for page in PAGES:
            for name, number in page.references:
                with self.subTest(page=page.file, reference=name):
                    if name in ours or name.startswith("handoff"):
                        self.assertTrue((name, number) in there,
                                        "no such page")

    def test_pages_are_found(self):
        """From handoff(7) to any other, by references alone."""
        todo, seen = ["handoff"], set()
        while todo:
            name = todo.pop()
            seen.add(name)
            todo += [to for page in PAGES if page.title == name
                     for to, _ in page.references if to not in seen]
        self.assertEqual({page.title for page in PAGES} - seen, set())


class Conversation:
    """What handoff_session(7) has in hexadecimal, by its own rules."""

    def __init__(self, lines):
        self.frames = []  # (side, bytes), the prefaces among them
        for line in lines:
            side, text = line[:1], line[1:45]
            if not re.match("[CS ] ", line):
                continue
            data = bytes.fromhex("".join(re.findall(r"\b[0-9a-f]{2}\b", text)))
            if side in "CS":
                self.frames.append((side, data))
            elif data:
                self.frames[-1] = (self.frames[-1][0],
                                   self.frames[-1][1] + data)
        self.sent = {"C": 0, "S": 0}
        self.taken = {"C": 0, "S": 0}  # of the other side's stream

    def positions(self):
        """Each frame as (side, type, ack, received, what both should be)."""
        for side, data in self.frames:
            if data[0] == 0xf5:
                continue
            word, ack = struct.unpack(">II", data[:8])
            kind, payload = word >> 24, data[8:]
            if len(payload) != word & 0xffffff:
                raise ValueError(data.hex(" "))
            received = None
            if kind in (0x11, 0x12):
                received, = struct.unpack(">Q", payload[24:32])
            yield side, kind, ack, received, self.taken[side]
            # What is sent is received at once, or not in the conversation.
            if kind in (1, 3):
                other = "S" if side == "C" else "C"
                self.sent[side] += len(payload) if kind == 1 else 1
                self.taken[other] = self.sent[side]


class SessionProtocol(unittest.TestCase):
    """handoff_session(7): its numbers and its conversation."""
    PAGE = next((p for p in PAGES if p.title == "handoff_session"
                 and p.number == "7"), None)

    def setUp(self):
        self.text = "\n".join(self.PAGE.sections.values())

    def test_numbers(self):
        path = os.path.join(ROOT, "lib/session/frame.h")
        with open(path, encoding="utf-8") as file:
            names = re.findall(
                r"^\tHANDOFF__(FRAME|REFUSED|ABORT)_(\w+) = (\w+),",
                file.read(), re.M)
        self.assertEqual(len(names), 9 + 6 + 2)
        for group, name, number in names:
            with self.subTest(name=name):
                self.assertRegex(
                    self.text, rf"(?m)^ *{int(number, 0):x}  {name}\b")

    def test_conversation(self):
        text = re.search(r"(?ms)^C  f5.*^C  02.*?$", self.PAGE.source)[0]
        there = Conversation(text.splitlines())
        self.assertGreater(len(there.frames), 12)
        for side, kind, ack, received, taken in there.positions():
            with self.subTest(side=side, kind=kind):
                self.assertEqual(ack, 0 if kind == 0x10 else taken)
                self.assertIn(received, (None, taken))


class Protocol(unittest.TestCase):
    """The numbers in handoff_protocol(7) are those of the code."""
    PAGE = next((p for p in PAGES if p.title == "handoff_protocol"), None)

    def test_numbers(self):
        path = os.path.join(ROOT, "lib/peer/message.h")
        with open(path, encoding="utf-8") as file:
            names = re.findall(r"^\tHANDOFF__(\w+) = (\d+),", file.read(), re.M)
        self.assertGreater(len(names), 30)
        text = "\n".join(self.PAGE.sections.values())
        for name, number in names:
            with self.subTest(name=name):
                self.assertRegex(text, rf"(?m)^ *{number}  {name}\b")

    def offsets(self, title, struct, base=0, end=1 << 63):
        """The rows of a table below a title as assertions about a struct."""
        text = "\n".join(self.PAGE.sections.values())
        table = re.search(rf"(?ms){title}$.*?offset  size\n(.*?)\n\n",
                          text)[1]
        rows = re.findall(r"^ +(\d+) +\d+  (\w+)(?:  |$)", table, re.M)
        self.assertGreater(len(rows), 3, title)
        return [f'_Static_assert(offsetof(struct handoff__{struct}, {name}) + '
                f'{base} == {offset}, "{title}: {name}");'
                for offset, name in rows if base <= int(offset) < end]

    def test_layout(self):
        asserts = (self.offsets("A record", "record")
                   + self.offsets("A commit is:", "commit")
                   + self.offsets("belongs to, is:", "extra")
                   + self.offsets("What follows is layout 6:", "board", 32, 128)
                   + self.offsets("The posts", "post_ring")
                   + self.offsets("These 64 are:", "post")
                   + self.offsets("The intent is:", "post_intent")
                   + self.offsets("The bulletin", "bulletin")
                   + self.offsets("slots of 64 bytes:", "batch_slot")
                   + self.offsets("The tenure", "tenure")
                   + self.offsets("of the host is:", "tenure_kept"))
        text = "\n".join(['#include "record/record.h"',
                          '#include "record/batch.h"',
                          '#include "record/tenure.h"', *asserts,
                          '_Static_assert(HANDOFF__BATCHES == 64, "batches");',
                          '_Static_assert(HANDOFF__LAYOUT == 6, "layout");',
                          '_Static_assert(HANDOFF__POSTS_HEAD == 2121728, "");'])
        complaints = compile_c(text, extra=("-I", os.path.join(ROOT, "lib"),
                                            "-D_GNU_SOURCE"))
        self.assertTrue(complaints == "", complaints)


class Examples(unittest.TestCase):
    def test_pages(self):
        for page in PAGES:
            programs = page.programs()
            if page.number == "3":
                with self.subTest(page=page.file):
                    self.assertTrue(
                        any("int\nmain(" in text for text in programs),
                        "no complete example")
            for number, text in enumerate(programs):
                with self.subTest(page=page.file, example=number + 1):
                    self.check(page, text)

    def check(self, page, text):
        libraries = page.libraries() or ["handoff"]
        # A component may be left out of a build; the core is in each.
        missing = [name for name in libraries
                   if name.startswith("handoff-") and not built(name)]
        if "main(" not in text:
            libraries = None
        elif missing:
            print(f"{page.file}: compiled, not linked: this build has no "
                  f"{', '.join(missing)}", file=sys.stderr)
            libraries = None
        extra = tirpc() if "handoff/rpc.h" in text else ()
        complaints = compile_c(text, libraries, extra)
        self.assertTrue(complaints == "", complaints)

    def test_readme(self):
        with open(os.path.join(ROOT, "README.md"), encoding="utf-8") as file:
            text = file.read()
        programs = re.findall(r"^```c\n(.*?)^```$", text, re.M | re.S)
        for part in programs:
            complaints = compile_c(part, ["handoff"])
            self.assertTrue(complaints == "", complaints)
        # What is compiled, and run by tests/consumer/smallest.sh, is a file.
        path = os.path.join(ROOT, "examples/smallest.c")
        with open(path, encoding="utf-8") as file:
            whole = [re.sub(r"\A(/\*.*?\*/\n)+", "", file.read(), flags=re.S)]
        self.assertEqual([p for p in programs if "main(" in p], whole)
        self.assertLess(text.count("\n"), 150, "lines: it is to stay short")

    def test_the_compiler_is_heard(self):
        """What is wrong is said, and what is right passes."""
        good = "#include <handoff.h>\nint\nmain(void)\n{\n%s\n}\n"
        call = good % "return handoff_version() == NULL;"
        self.assertEqual(compile_c(call, ["handoff"]), "")
        self.assertIn("unused", compile_c(good % "int n;", ["handoff"]))
        self.assertNotEqual(compile_c(call, []), "")


if __name__ == "__main__":
    if not shutil.which("mandoc"):
        print("SKIP: mandoc is not installed")
        sys.exit(77)
    unittest.main(verbosity=2)
