# SPDX-License-Identifier: MIT
"""cmake/abi/ describes the binary interface of the headers and maps, and
cmake/abi.sh finds every difference from it."""
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")
MAP = "lib/handoff.map"


class Abi(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = folder.name
        for name in ("include", "cmake"):
            shutil.copytree(os.path.join(ROOT, name),
                            os.path.join(self.root, name))
        for name in (MAP, "lib/systemd/handoff-systemd.map",
                     "lib/nats/handoff-nats.map",
                     "lib/rpc/handoff-rpc.map",
                     "lib/tls/handoff-tls.map",
                     "lib/zookeeper/handoff-zookeeper.map"):
            path = os.path.join(self.root, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            shutil.copy(os.path.join(ROOT, name), path)

    def change(self, path, old, new):
        with open(os.path.join(self.root, path), encoding="utf-8") as file:
            text = file.read()
        text, count = re.subn(old, new, text)
        self.assertEqual(count, 1, f"{old} in {path}")
        with open(os.path.join(self.root, path), "w",
                  encoding="utf-8") as file:
            file.write(text)

    def compare(self, *options):
        return subprocess.run(
            [os.path.join(self.root, "cmake/abi.sh"), *options],
            capture_output=True, text=True, check=False)

    def test_it_is_what_is_described(self):
        done = self.compare()
        self.assertEqual((done.returncode, done.stdout, done.stderr),
                         (0, "", ""))

    def test_each_difference_is_found(self):
        changes = {
            "a function more": [
                ("include/handoff/common.h", r"(handoff_version\(void\);)",
                 r"\1\nHANDOFF_API int handoff_new(int a);"),
                (MAP, "handoff_version;", "handoff_new;\nhandoff_version;")],
            "one less": [
                ("include/handoff/common.h", r"HANDOFF_API .*version\(void\);",
                 ""), (MAP, "handoff_version;", "")],
            "the version of the symbols": [(MAP, "HANDOFF_0", "HANDOFF_1")],
            "what a function returns": [
                ("include/handoff/service.h", r"uint64_t handoff_conn_id",
                 "uint32_t handoff_conn_id")],
            "what it takes": [
                ("include/handoff/service.h", r"handoff_conn_id\(const ",
                 "handoff_conn_id(")],
            "a callback": [
                ("include/handoff/server.h",
                 r"handoff_watch_fn\(int fd, void \*arg\)",
                 "handoff_watch_fn(void *arg, int fd)")],
            "a member more": [
                ("include/handoff/notice.h", r"(uint32_t nendpoints;)",
                 r"\1 uint32_t more;")],
            "a member of another type": [
                ("include/handoff/notice.h", "uint32_t nendpoints;",
                 "int32_t nendpoints;")],
            "a member of another name": [
                ("include/handoff/notice.h", "uint32_t nendpoints;",
                 "uint32_t number;")],
            "an enumerator more": [
                ("include/handoff/outcome.h", r"(REASON_UNREADY = 23,)",
                 r"\1\nHANDOFF_REASON_NEW = 99,")],
            "another value": [
                ("include/handoff/outcome.h", r"REASON_UNREADY = 23,",
                 "REASON_UNREADY = 24,")],
            "a number": [
                ("include/handoff/common.h", "_TEXT_MAX 256", "_TEXT_MAX 255")],
            "of the systemd component": [
                ("include/handoff/systemd.h", "uint32_t extend_ms;",
                 "uint64_t extend_ms;")],
        }
        for what, edits in changes.items():
            with self.subTest(change=what):
                self.doCleanups()
                self.setUp()
                for path, old, new in edits:
                    self.change(path, old, new)
                done = self.compare()
                self.assertEqual(done.returncode, 1, done.stderr)
                self.assertIn("cmake/abi.sh --update", done.stdout)
                self.assertEqual(self.compare("--update").returncode, 0)
                self.assertEqual(self.compare().returncode, 0)

    def test_what_is_no_interface_is_not(self):
        """Comments, and names of parameters."""
        self.change("include/handoff/service.h",
                    r"/\* The connection's number", "/* Its number")
        self.change("include/handoff/service.h",
                    r"handoff_conn_id\(const struct handoff_conn \*conn\)",
                    "handoff_conn_id(const struct handoff_conn *c)")
        self.assertEqual(self.compare().returncode, 0)

    def test_a_header_that_is_wrong_is_an_error(self):
        self.change("include/handoff/common.h", "_TEXT_MAX 256",
                    "_TEXT_MAX 256\n#error")
        self.assertNotIn(self.compare().returncode, (0, 77))

    def test_nothing_of_this_machine_is_described(self):
        for name in ("libhandoff", "libhandoff-systemd", "libhandoff-nats",
                     "libhandoff-zookeeper", "libhandoff-rpc",
                     "libhandoff-tls"):
            path = os.path.join(ROOT, "cmake/abi", name + ".xml")
            with open(path, encoding="utf-8") as file:
                paths = set(re.findall(r"path='([^']*)'", file.read()))
            self.assertEqual(paths, {"./stubs.c"})


if __name__ == "__main__":
    if not shutil.which("abidw") or not shutil.which("abidiff"):
        print("SKIP: this takes abidw and abidiff, of abigail-tools")
        sys.exit(77)
    unittest.main(verbosity=2)
