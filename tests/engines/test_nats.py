# SPDX-License-Identifier: MIT
"""Notices by NATS between hosts, which are network namespaces: a cluster of
three, a service on a fourth host and a client on a fifth. Nodes are killed and
cut off, the owner dies and the service is handed over: the client hears of
everything that still matters, in order, and status says what is wrong."""
import json
import os
import re
import shutil
import subprocess
import tempfile
import threading
import unittest

import engines
from engines import Nats, Network, test_main, wait_until

BIN = os.environ.get("HANDOFF_BIN", os.path.join(
    engines.ROOT, "build/dev/examples"))
SCALE = float(os.environ.get("HANDOFF_SCALE", "1"))
LIMIT = 40 * SCALE


class Program:
    """A program on a host, and the lines that it has printed."""

    def __init__(self, host, *argv):
        self.lines = []
        # pylint: disable=consider-using-with
        self.process = subprocess.Popen(
            host.prefix() + [os.path.join(BIN, argv[0]), *argv[1:]],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.thread = threading.Thread(target=self._read)
        self.thread.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.thread.join()
        self.process.stdout.close()

    def expect(self, pattern, since=0):
        return wait_until(
            lambda: next((line for line in self.lines[since:]
                          if re.search(pattern, line)), None),
            f"'{pattern}' in {self.lines[-8:]}", LIMIT)


class Cluster(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="handoff-nats-")
        self.addCleanup(shutil.rmtree, self.folder)
        self.network = Network(self.folder, 5)
        self.addCleanup(self.network.close)
        *nodes, self.home, self.far = self.network.hosts
        self.nats = Nats(self.folder, nodes)
        self.addCleanup(self.nats.close)
        self.address = f"nats://{self.nats.endpoints}/echo"
        self.dir = os.path.join(self.folder, "svc")
        self.server = self.start("server", "--listen", "10.78.0.4:7000")
        self.server.expect(": owner: ")
        self.alt = self.start("alt_server")
        self.alt.expect(": standby: ")
        self.client = self.program(self.far, "handoffctl", "notices",
                                   "--json", self.address)

    def program(self, host, *argv):
        program = Program(host, *argv)
        self.addCleanup(program.kill)
        return program

    def start(self, name, *options):
        return self.program(self.home, name, "--dir", self.dir, "--notices",
                            f"mq:{self.dir}", "--notices", self.address,
                            *options)

    def ctl(self, *words):
        return self.home.run(os.path.join(BIN, "handoffctl"), "--dir",
                             self.dir, *words)

    def heard(self):
        return [json.loads(line) for line in self.client.lines
                if line.startswith("{")]

    def await_heard(self, kind, serving, more_than=0):
        """A notice newer than that generation; all came in order."""
        def found():
            return next((n for n in self.heard() if n["kind"] == kind and
                         n["serving"] == serving and
                         n["generation"] > more_than), None)
        notice = wait_until(found, f"{kind} of {serving}: {self.client.lines}",
                            LIMIT)
        order = [(n["generation"], n["seq"]) for n in self.heard()]
        self.assertEqual(order, sorted(set(order)))
        return notice["generation"]

    def published(self):
        """The owner's outlet, once nothing is left to be done."""
        def done():
            status = json.loads(self.ctl("status", "--json"))
            outlet = next(o for peer in status["peers"]
                          if peer["role"] == "owner"
                          for o in peer["notices"]
                          if o["address"] == self.address)
            return outlet if outlet["complete"] else None
        return wait_until(done, "a notice that is published", LIMIT)

    def test_handoffs_and_death(self):
        self.ctl("maintenance")
        first = self.await_heard("MAINTENANCE", "alt")
        self.assertEqual(self.published()["reached"], 1)
        self.ctl("ready", "--silent")
        self.ctl("maintenance")
        last = self.await_heard("MAINTENANCE", "alt", first)
        self.alt.kill()
        self.await_heard("FAILOVER", "server", last)

    def test_each_node_killed(self):
        generation = 0
        for node in self.nats.servers:
            node.kill()
            self.ctl("maintenance")
            generation = self.await_heard("MAINTENANCE", "alt", generation)
            self.ctl("ready", "--silent")
            self.published()
            self.nats.restart(node)

    def test_each_node_isolated(self):
        """Also that which the client is connected to: it hears of it at the
        latest when that is back."""
        generation = 0
        for node in self.nats.servers:
            self.network.cut(node.host)
            self.ctl("maintenance")
            self.ctl("ready", "--silent")
            self.ctl("maintenance")
            self.network.heal()
            generation = self.await_heard("MAINTENANCE", "alt", generation + 1)
            self.ctl("ready", "--silent")
            self.published()

    def test_client_cut_off(self):
        self.ctl("maintenance")
        generation = self.await_heard("MAINTENANCE", "alt")
        self.network.cut(self.far)
        self.ctl("ready", "--silent")
        self.ctl("maintenance")
        self.published()
        self.network.heal()
        self.await_heard("MAINTENANCE", "alt", generation)

    def test_quorum_lost(self):
        """It is said, service and other transports go on, and the notice is
        published when the others are back."""
        first, second, _ = self.nats.servers
        self.ctl("maintenance")
        generation = self.await_heard("MAINTENANCE", "alt")
        self.ctl("ready", "--silent")
        self.published()
        first.kill()
        second.kill()
        self.ctl("maintenance")
        wait_until(lambda: re.search(
            r"nats://.* 0 reached: .*(cannot connect|has not answered|"
            r"is lost|too few|not available|cannot)", self.ctl("status")),
            "a sentence in the status", LIMIT)
        self.assertIn(": 0 reached\n", self.ctl("status"))  # mq
        self.nats.start(first)
        self.nats.start(second)
        self.await_heard("MAINTENANCE", "alt", generation)
        self.published()


if __name__ == "__main__":
    test_main(engines.lacks_nats(), engines.lacks_namespaces())
