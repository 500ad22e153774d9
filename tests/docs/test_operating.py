# SPDX-License-Identifier: MIT
"""docs/operating.md explains every message: those of the list in
lib/control/sentences.h, and the literals of the files that refuse commands; and
it explains none that there is not. Its metrics are those of handoff_observe(7)."""
import os
import re
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
# What they print to operators: every sentence in them.
SOURCES = (
    *(f"../examples/handoffctl/{name}.c" for name in (
        "check", "handoffctl", "interrupt", "program", "upgrade",
        "upgrade_lock")),
    "control/sentences.h", "control/call.c", "control/command.c",
    "control/hosts.c", "control/until.c", "control/wait.c",
    "control/output.c", "control/listeners.c", "operator/requests.c",
    "peer/doubt.c", "peer/home.c", "peer/idle.c", "peer/message.c",
    "peer/moves.c", "peer/partner.c", "peer/report.c", "peer/status.c",
    "ferry/operator.c")
# Lines of the status that begin with "! ", wherever they are.
FOLDERS = ("control", "embed", "ferry", "lease", "operator", "peer", "server")
TOKEN = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:[^"\\]|\\.)*"|[A-Za-z_]\w*|\S',
                   re.S)
FILLED_IN = re.compile(r"%[-+ #0-9.*lhzj]*[a-zA-Z]|\{[a-z]+\}")
UNREADY = "not ready: "  # the tool turns that into its exit status
# A sentence has three words; and these lines are for programs.
WORDS = 3
PROGRAM = re.compile(r'.*=%|[]{},]*"|/proc/')


def read(*path):
    with open(os.path.join(ROOT, *path), encoding="utf-8") as file:
        return file.read()


def literals(source):
    """The string literals of a source, those that touch put together."""
    source = re.sub(r"^#include.*$", "", source, flags=re.M)
    parts = []
    for token in TOKEN.findall(source.replace("\\\n", "\n")) + [";"]:
        if token.startswith(("/*", "//")):
            continue
        if token[0] == '"':
            parts.append(token[1:-1])
        elif parts:
            yield "".join(parts)
            parts = []


def sentences(source):
    """The lines that people read."""
    for literal in literals(source):
        for line in literal.split("\\n"):
            line = line.replace('\\"', '"')
            line = line.removeprefix("handoffctl: ")
            text = line.removeprefix("! ")
            plain = FILLED_IN.sub(" ", text)
            if text.strip() and not PROGRAM.match(text) and \
                    len(re.findall(r"[a-z]{2,}", plain)) >= WORDS:
                yield line


def pattern(sentence):
    """What it may look like when it is filled in."""
    text = " ".join(sentence.removeprefix("! ").removeprefix(
        UNREADY).split())
    return re.compile(".*?".join(
        re.escape(part) for part in FILLED_IN.split(text)))


def program_sentences():
    found = {}
    for name in SOURCES:
        for line in sentences(read("lib", name)):
            found.setdefault(line, name)
    for folder in FOLDERS:
        path = os.path.join(ROOT, "lib", folder)
        for name in sorted(os.listdir(path)):
            if name.endswith(".c"):
                for line in sentences(read("lib", folder, name)):
                    if line.startswith("! "):
                        found.setdefault(line, f"{folder}/{name}")
    return found


def explained(page):
    """Each message of the page, and what is said about it."""
    section = page.split("\n## What each message means\n")[1]
    items = re.findall(r"^- (`.*?)(?=^- |^#|^\n|\Z)", section, re.M | re.S)
    for item in items:
        head = re.match(r"((?:`[^`]+`,?\s+|`[^`]+`)+):\s(.*)\Z", item, re.S)
        if not head:
            raise AssertionError("no explanation follows: " + item)
        for message in re.findall(r"`([^`]+)`", head[1]):
            yield " ".join(message.split()), " ".join(head[2].split())


class Messages(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.program = program_sentences()
        cls.page = read("docs", "operating.md")
        cls.messages = list(explained(cls.page))

    def test_there_are_some(self):
        """What is compared below is not nothing."""
        self.assertGreater(len(self.program), 150)
        self.assertGreater(len(self.messages), 150)
        self.assertIn("! %s: not ready to serve yet: %s", self.program)
        self.assertIn("{peer} must not be stopped: {other} hangs",
                      self.program)

    def test_each_is_explained(self):
        for sentence, name in self.program.items():
            with self.subTest(sentence=sentence, source=name):
                self.assertTrue(
                    any(pattern(sentence).search(message)
                        for message, _ in self.messages),
                    "docs/operating.md does not explain it")

    def test_none_is_made_up(self):
        patterns = [pattern(sentence) for sentence in self.program]
        for message, _ in self.messages:
            with self.subTest(message=message):
                self.assertTrue(any(p.search(message) for p in patterns),
                                "no program prints it")

    def test_each_is_said_something_about(self):
        for message, text in self.messages:
            with self.subTest(message=message):
                self.assertGreater(len(text), 20)

    def test_grades(self):
        """Those of the first line of a status stand before its text."""
        rows = re.findall(r"X\(\w+, (\w+),\s*((?:\"[^\"]*\"\s*)+)\)",
                          read("lib", "control", "sentences.h").replace(
                              "\\\n", "\n"))
        self.assertGreater(len(rows), 25)
        for grade, text in rows:
            sentence = pattern("".join(re.findall('"([^"]*)"', text)))
            said = [about for message, about in self.messages
                    if sentence.fullmatch(message)]
            with self.subTest(sentence=sentence.pattern):
                self.assertTrue(any(re.match(rf"\[{grade}[],]", about)
                                    for about in said), said)

    def test_a_message_that_is_not_explained_is_found(self):
        """The comparison itself."""
        unknown = 'fail("the %s is " /* of */ "full of %u eels")'
        self.assertEqual(list(sentences(unknown)),
                         ["the %s is full of %u eels"])
        self.assertTrue(pattern("the %s is full of %u eels").search(
            "error: the X is full of 3 eels"))
        self.assertFalse(any(pattern("the %s is full of %u eels").search(
            message) for message, _ in self.messages))

    def test_metrics(self):
        section = self.page.split("\n## What to alert on\n")[1].split(
            "\n## ")[0]
        known = set(re.findall(r"\bhandoff_\w+",
                               read("docs", "man", "handoff_observe.7")))
        used = {name for name in re.findall(r"\bhandoff_\w+", section)
                if name != "handoff_observe"}
        self.assertGreater(len(used), 10)
        self.assertEqual(used - known, set())


if __name__ == "__main__":
    unittest.main(verbosity=2)
