# SPDX-License-Identifier: MIT
"""The completion of handoffctl, as bash runs it: with the words that have been
typed, and what it then offers."""
import os
import re
import shutil
import subprocess
import unittest

from harness import BIN, DEADLINE, SystemTest, main

FILE = os.path.join(os.path.dirname(__file__),
                    "../../examples/handoffctl/completion.bash")
# As readline splits a line: --option=value is three words.
SCRIPT = """
source "$1" && shift
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_handoffctl "$1" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


@unittest.skipIf(not shutil.which("bash"), "needs bash")
class Completion(SystemTest):
    def offered(self, *words, env=None):
        done = subprocess.run(
            ["bash", "--norc", "-c", SCRIPT, "bash", FILE,
             os.path.join(BIN, "handoffctl"), *words],
            stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=DEADLINE, check=False, env={**os.environ, **(env or {})})
        self.assertEqual((done.returncode, done.stderr), (0, ""), words)
        return [line for line in done.stdout.split("\n") if line]

    def usages(self):
        """Of each command what --help has about it."""
        code, out, _ = self.ctl("--help")
        self.assertEqual(code, 0)
        usages, name = {}, None
        body = out.split("Commands:\n")[1].split("\nOptions:")[0]
        for line in body.rstrip("\n").split("\n"):
            found = re.match(r"  ([a-z]+)\b", line)
            name = found[1] if found else name
            usages[name] = usages.get(name, "") + line + "\n"
        return usages

    def test_commands(self):
        commands = self.offered("")
        self.assertEqual(sorted(commands), sorted(self.usages()))
        self.assertIn("maintenance", commands)
        self.assertIn("wait", commands)
        self.assertEqual(self.offered("main"), ["maintenance"])
        self.assertEqual(self.offered("--dir", "/x", "set"), ["settle"])
        self.assertEqual(self.offered("--dir", "=", "/x", "set"), ["settle"])

    def test_options(self):
        """Each that help has for a command, and none of another one."""
        for name, options in {
                "status": {"--json", "--watch", "--connections", "--check"},
                "metrics": set(),
                "maintenance": {"--wait", "--whole", "--to", "--dry-run",
                                "--timeout"},
                "ready": {"--silent"},
                "settle": {"--here", "--drop"},
                "wait": {"--owner", "--standby", "--standby=", "--covered",
                         "--gone", "--timeout"},
                "notices": {"--json"}}.items():
            self.assertEqual(
                set(self.offered(name, "--")) -
                {"--dir", "--help", "--version"}, options, name)
        self.assertEqual(self.offered("maintenance", "--w"),
                         ["--wait", "--whole"])
        self.assertEqual(self.offered("--v"), ["--version"])
        self.assertEqual(self.offered("--"), ["--dir", "--help", "--version"])
        self.assertEqual(self.offered("wait", "--stand"),
                         ["--standby", "--standby="])
        for name, usage in self.usages().items():
            wanted = set(re.findall(r"--[a-z][a-z-]*", usage))
            self.assertLessEqual(wanted, set(self.offered(name, "--")), name)

    def test_peers(self):
        self.server()
        alt = self.standby()
        here = ("--dir", self.dir)
        for words in (("stop", ""), ("maintenance", ""),
                      ("maintenance", "--whole", ""),
                      ("maintenance", "--wait", "3", ""),
                      ("wait", "--owner", ""), ("wait", "--gone", ""),
                      ("wait", "--owner", "=", ""),
                      ("wait", "--standby", "="),
                      ("wait", "--covered", "--standby", "=", "")):
            self.assertEqual(sorted(self.offered(*here, *words)),
                             ["alt", "server"], words)
        self.assertEqual(self.offered(*here, "stop", "s"), ["server"])
        for words in (("stop", "server", ""), ("maintenance", "server", ""),
                      ("maintenance", "server", "--whole", "")):
            self.assertEqual(self.offered(*here, *words), [], words)
        self.assertEqual(self.offered("stop", "a"), [])
        self.assertEqual(
            self.offered("stop", "a", env={"HANDOFF_DIR": self.dir}), ["alt"])
        # A file that a dead one has left names nobody.
        alt.kill()
        self.assertEqual(self.offered(*here, "stop", ""), ["server"])

    def test_files_and_folders(self):
        folder = os.path.join(self.base, "a folder")
        os.mkdir(folder)
        file = os.path.join(self.base, "a file")
        with open(file, "w", encoding="ascii"):
            pass
        start = os.path.join(self.base, "a f")
        self.assertEqual(self.offered("--dir", start), [folder])
        self.assertEqual(sorted(self.offered("dump", start)), [file, folder])

    def test_program(self):
        """A command or a file; its arguments are files, or what they like."""
        folder = os.path.join(self.base, "bin")
        os.mkdir(folder)
        for name in ("hoff-server", "hoff-file"):
            with open(os.path.join(folder, name), "w", encoding="ascii"):
                pass
        os.chmod(os.path.join(folder, "hoff-server"), 0o755)
        env = {"PATH": folder + ":" + os.environ["PATH"]}
        start = os.path.join(folder, "hoff-")
        both = sorted(os.path.join(folder, name)
                      for name in ("hoff-server", "hoff-file"))
        for before in (("upgrade", "--"), ("upgrade", "--log", "x", "--")):
            self.assertEqual(self.offered(*before, "hoff-", env=env),
                             ["hoff-server"])
            self.assertEqual(self.offered(*before, "hoff-server", "hoff-",
                                          env=env), [])
            self.assertEqual(sorted(self.offered(
                *before, "hoff-server", "--config", start, env=env)), both)
            self.assertEqual(self.offered(*before, "hoff-server", "-",
                                          env=env), [])

    def test_nothing_where_nothing_fits(self):
        for words in (("metrics", ""), ("wait", "--timeout", ""),
                      ("dance", ""), ("stop", ""), ("ready", ""),
                      ("dump", "x", "/")):
            self.assertEqual(self.offered("--dir", self.dir, *words), [],
                             words)


if __name__ == "__main__":
    main()
