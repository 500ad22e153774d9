# SPDX-License-Identifier: MIT
"""Shared by the tests of the schedule service: a timetable, peers that serve
it, and students who ask."""
import os
import re
import shutil

from harness import BIN, SystemTest

DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday",
        "sunday")
PLAIN = ("# Who has what when\n"
         "\n"
         "anna monday    09:30 algebra r101\n"
         "anna wednesday 14:00 physics hall-2   # moved\n"
         "bert Sunday 23:59 sleep home\n")


# How a peer is told to run a model.
MODELS = {"loop": (), "thread": ("--model", "thread"),
          "fork": ("--model", "fork"), "workers": ("--workers", 3)}


class Client:
    """A student who types; every answer is read to its end."""

    def __init__(self, test, address, student=None):
        self.sock = test.connect(address)
        self.file = self.sock.makefile("rb")
        self.test = test
        if student:
            self.ok("LOGIN " + student)

    def send(self, text):
        self.sock.sendall(text.encode() if isinstance(text, str) else text)

    def answer(self):
        """The lines of an answer, or the text of an error."""
        first = self.file.readline().decode()
        if first.startswith("ERR "):
            return first[4:-1]
        match = re.fullmatch(r"OK (\d+)\n", first)
        self.test.assertTrue(match, f"not an answer: {first!r}")
        lines = [self.file.readline() for _ in range(int(match[1]))]
        self.test.assertTrue(all(line.endswith(b"\n") for line in lines))
        return [line[:-1].decode() for line in lines]

    def ask(self, line):
        self.send(line + "\n")
        return self.answer()

    def ok(self, line):
        answer = self.ask(line)
        self.test.assertIsInstance(answer, list, f"{line}: {answer}")
        return answer

    def refused(self, line):
        answer = self.ask(line)
        self.test.assertIsInstance(answer, str, f"{line}: {answer}")
        return answer

    def ended(self):
        self.test.assertEqual(self.file.read(), b"")


class ScheduleTest(SystemTest):
    def setUp(self):
        super().setUp()
        self.data = os.path.join(self.base, "plan.txt")
        self.write(PLAIN)

    def write(self, text):
        with open(self.data, "w", encoding="utf-8") as file:
            file.write(text)

    def read(self):
        with open(self.data, encoding="utf-8") as file:
            return file.read()

    def options(self, *more):
        return ("--service", "schedule", "--data", self.data, *more)

    def schedule(self, *options, **how):
        return self.server(*self.options(*options), **how)

    def alternate(self, *options, **how):
        return self.standby(*self.options(*options), **how)

    def both(self, *options):
        return self.schedule(*options), self.alternate(*options)

    def client(self, server, student=None):
        return Client(self, server.address, student)

    def another_user(self):
        """Whom permissions hold for, as they do not for root."""
        if os.geteuid() != 0:
            return None
        os.chmod(self.base, 0o777)
        run = self.start(shutil.which("test"), "-x",
                         os.path.join(BIN, "server"), user=65534)
        if run.wait() != 0:
            self.skipTest("the programs are not readable for uid 65534")
        return 65534

    def assert_saved(self, *lines):
        """The file is what it was, and then these lines."""
        self.assertEqual(self.read(),
                         PLAIN + "".join(line + "\n" for line in lines))
        self.assertNotIn("plan.txt.tmp", os.listdir(self.base))

    def assert_not_started(self, program, *words, code=1):
        self.assertEqual(program.wait(), code, program.output())
        self.assertEqual(program.lines, [])
        self.assertEqual(len(program.errors), 1, program.output())
        self.assert_one_line(program.errors[0])
        for word in words:
            self.assertIn(word, program.errors[0])
