# SPDX-License-Identifier: MIT
"""What the tests of leases and notices by ZooKeeper run in."""
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import unittest

from engines import SCALE, Network, ZooKeeper, halt

__all__ = ("Ensemble", "LIMIT", "Lines", "SCALE")

LIMIT = 60 * SCALE


class Lines:
    """A program on a host, and what it has printed."""

    def __init__(self, host, *argv, stdin=None):
        self.host = host
        self.lines = []
        # pylint: disable=consider-using-with
        self.process = subprocess.Popen(
            host.prefix() + [str(word) for word in argv],
            stdin=stdin, stdout=subprocess.PIPE, text=True)
        self.thread = threading.Thread(target=self._read)
        self.thread.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line.split())

    def find(self, what, since=0):
        """The lines that begin with a word."""
        return [line for line in self.lines[since:] if line[0] == what]

    def say(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def signal(self, number):
        os.kill(self.process.pid, number)

    def stop(self):
        halt(self.process.pid)

    def go_on(self):
        self.signal(signal.SIGCONT)

    def kill(self):
        """What it has printed is still there."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.thread.join()
        self.process.stdout.close()
        if self.process.stdin:
            self.process.stdin.close()


class Ensemble(unittest.TestCase):
    """Three servers, and three hosts that are clients of theirs."""

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="handoff-zk-")
        self.addCleanup(shutil.rmtree, self.folder)
        self.network = Network(self.folder, 6)
        self.addCleanup(self.network.close)
        *servers, self.host_a, self.host_b, self.host_c = self.network.hosts
        self.zk = ZooKeeper(self.folder, servers)
        self.addCleanup(self.zk.close)
        creds = os.path.join(self.folder, "creds")
        with open(creds, "w", encoding="ascii") as file:
            file.write("auth svc:secret\nread anyone\n")
        os.chmod(creds, 0o600)
        self.open = f"zk:{self.zk.endpoints}/echo"
        self.address = f"{self.open}?creds={creds}"
