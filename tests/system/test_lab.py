# SPDX-License-Identifier: MIT
"""The lab guide shows what really happens; and its runner detects a guide that
does not."""
import os
import subprocess
from unittest import mock

from harness import BIN, SCALE, SystemTest, main
import lab


class LabTest(SystemTest):
    def lab(self, guide):
        runner = lab.Lab(guide, self.base)
        self.addCleanup(runner.close)
        return runner


def speaks_tls():
    """Whether the servers were built where OpenSSL is."""
    done = subprocess.run([os.path.join(BIN, "server"), "--tls-cert", "/none"],
                          capture_output=True, text=True, timeout=20,
                          check=False)
    return "built without TLS" not in done.stderr


class Guide(LabTest):
    def test_guide(self):
        with open(os.path.join(lab.ROOT, "docs", "lab.md"),
                  encoding="utf-8") as file:
            guide = file.read()
        if not speaks_tls():
            before, _, after = guide.partition("## 20. TLS")
            guide = before + after[after.index("## The end"):].replace(
                " /tmp/tls /tmp/tls.crt /tmp/tls.key", "")
        self.assertGreater(self.lab(guide).run(), 50)

    def test_operating(self):
        """The first sections of docs/operating.md; the rest needs another
        host, or is no session."""
        with open(os.path.join(lab.ROOT, "docs", "operating.md"),
                  encoding="utf-8") as file:
            first, rest = file.read().split("\n## Another host\n")
        self.assertNotIn("    $ ", rest)
        self.assertGreater(self.lab(first).run(), 20)


class Runner(LabTest):
    """Small guides, good and bad."""

    def box(self, *lines):
        return "Text.\n\n" + "".join(f"    {line}\n" for line in lines)

    def assert_good(self, *lines):
        runner = self.lab(self.box(*lines))
        typed = runner.run()
        runner.close()
        return typed

    def assert_rotten(self, why, *lines):
        runner = self.lab(self.box(*lines))
        runner.terminal(1)
        with mock.patch.object(lab, "DEADLINE", SCALE):
            with self.assertRaisesRegex(lab.Rotten, why):
                runner.run()
            runner.close()
        self.assertEqual(lab.descendants(os.getpid()), [])

    def test_counts_what_it_types(self):
        self.assertEqual(self.assert_good("$ echo one", "one", "", "$ true"), 2)

    def test_programs_and_terminals(self):
        self.assert_good(
            "$ cat                  # terminal 1", "> hello", "hello",
            "$ echo other           # terminal 2", "other",
            "> again                # terminal 1", "again", "^D",
            "$ cat", "> and again", "and again", "^C",
            "$ cat > /tmp/file <<END", "> line", "> END",
            "$ cat /tmp/file", "line")
        self.assertTrue(os.path.exists(os.path.join(self.base, "file")))

    def test_a_new_terminal_is_in_the_folder_of_the_build(self):
        self.assert_good("$ cmake/deps.sh build", "$ cmake --preset release",
                         "$ cmake --build --preset release",
                         "$ cd build/release/examples",
                         "$ ls server # terminal 2", "server")

    def test_what_was_erased_is_not_seen(self):
        self.assert_good("$ printf 'gone\\r\\033[Kmore\\r\\033[Kone\\n'", "one")
        self.assert_rotten("not seen", "$ printf 'gone\\r\\033[Kone\\n'",
                           "gone...")

    def test_what_is_seen(self):
        self.assert_good("$ printf '%s\\n' 'pid  12 in 0.3 ms' x '1:02 y'",
                         "pid NUMBER in ... ms", "...", "1:02 y")
        self.assert_rotten("^line 4, .*not seen", "$ echo one", "two")
        for line, seen in (
                ("pid NUMBER", "pid 12"), (" pid 1 ", "pid   1"),
                ("... 1", "pid 1"), ("pid ...", "pid 1"), ("p... 1", "pid 1"),
                ("14:02 x: (y)", "14:02 x: (y)")):
            self.assertTrue(self.matches(line, seen), line)
        for line, seen in (
                ("pid NUMBER", "pid x"), ("pid NUMBER", "pid 12 x"),
                ("pid 1", "id 1"), ("id 1", "pid 1"), ("0.3", "0x3"),
                ("... 1", "pid 2"), ("... 1", "pid 21"), ("a b", "ab"),
                ("14:02 x", "14:03 x")):
            self.assertFalse(self.matches(line, seen), line)

    def matches(self, line, seen):
        return lab.Step(1, 1, line.strip()).pattern().fullmatch(seen)

    def test_seen_in_order_and_after_what_is_typed(self):
        self.assert_rotten("line 5.*not seen", "$ printf 'a\\nb\\n'", "b", "a")
        self.assert_rotten("line 5.*not seen", "$ echo a", "$ true", "a")
        self.assert_rotten("line 5.*not seen", "$ cat", "> b", "a", "b")

    def test_what_is_typed_is_not_output(self):
        self.assert_rotten("line 5.*not seen",
                           "$ cat > /dev/null", "> hello", "hello")

    def test_commands_must_do(self):
        self.assert_rotten("line 3.*fails with status 3",
                           "$ echo no; (exit 3)", "$ true")
        self.assert_good("$ echo no; (exit 3)", "no")
        self.assert_rotten("line 3.*fails with status 127:\n.*No such file",
                           "$ ./no-such-program")
        self.assert_rotten("line 3.*does not end, and the guide",
                           "$ sleep 1000", "$ true # terminal 2")

    def test_where_nothing_runs(self):
        self.assert_rotten("line 3.*no program runs", "> hello")
        self.assert_rotten("line 4.*no program runs", "$ true", "^C")

    def test_where_something_runs(self):
        self.assert_rotten("line 5.*still runs",
                           "$ echo a; cat", "a", "$ true")

    def test_what_is_left(self):
        self.assert_rotten("at the end .*terminal 1",
                           "$ cat", "> hello", "hello")
        self.assert_rotten("there still runs: sleep 1001$", "$ sleep 1001 &")
        self.assert_rotten("there still runs: sleep 1002$",
                           "$ setsid -f sleep 1002")

    def test_the_stopped_and_the_stubborn_are_ended(self):
        self.assert_rotten("at the end .*terminal 1",
                           "$ trap '' TERM; echo a; sleep 1003", "a")
        self.assert_rotten("there still runs: sleep 1004",
                           "$ sleep 1004 & until grep -q sleep /proc/$!/comm; do "
                           ":; done; kill -STOP $!")

    def test_builds_are_checked(self):
        for command in ("cmake --preset nosuch", "cmake/deps.sh nosuch",
                        "cmake --build --preset nosuch",
                        "cd build/nosuch/examples",
                        "cd build/release/nosuch"):
            self.assert_rotten("line 3", "$ " + command)

    def test_commands_in_no_box(self):
        for text in ("Do `./server --dir /tmp/svc`.", "Do `kill -9 1`.",
                     "```\n$ true\n```", "```sh\n./server --dir x\n```"):
            with self.assertRaisesRegex(lab.Rotten, "in no box"):
                self.lab(text)
        self.assertEqual(self.lab("`server`\n\n```\ndata\n```\n").run(), 0)

    def test_files_and_ports_are_its_own(self):
        runner = self.lab(self.box("$ x :7000 7000 7001 /tmp/a :7009"))
        name, *ports, path, last = runner.steps[0].text.split()
        self.assertEqual(path, os.path.join(self.base, "a"))
        self.assertEqual((name, ports[0]), ("x", ":" + ports[1]))
        self.assertEqual(ports[2], "7001")  # that is no port here
        self.assertNotIn("7000", ports)
        self.assertNotEqual(ports[0], last)


if __name__ == "__main__":
    main()
