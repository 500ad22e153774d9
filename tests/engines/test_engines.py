# SPDX-License-Identifier: MIT
"""The engines of these tests themselves: they start, answer, elect a leader,
are killed, cut off and healed, and nothing of them is left."""
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

import engines
from engines import Nats, Network, ZooKeeper, wait_until


class Itself(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="handoff-engines-")
        self.addCleanup(shutil.rmtree, self.folder)

    def need(self, *reasons):
        for why in reasons:
            if why:
                self.skipTest(why)

    def network(self, count):
        network = Network(self.folder, count)
        self.addCleanup(network.close)
        return network

    def test_one(self):
        self.need(engines.lacks_zookeeper())
        with ZooKeeper(self.folder) as zk:
            server, = zk.servers
            self.assertEqual(server.mode(), "standalone")
            server.stop()
            self.assertEqual(server.mode(), "")
            server.go_on()
            wait_until(server.mode, "an answer")
            server.kill()
            self.assertEqual(server.mode(), "")
            zk.restart(server)
            self.assertEqual(server.mode(), "standalone")
            pid = server.pid
        self.assertFalse(os.path.exists(f"/proc/{pid}"))

    def test_three(self):
        self.need(engines.lacks_zookeeper(), engines.lacks_namespaces())
        network = self.network(3)
        with ZooKeeper(self.folder, network.hosts) as zk:
            first = zk.leader()
            first.kill()
            second = zk.leader()
            self.assertIsNot(first, second)
            zk.restart(first)
            network.cut(second.host)
            wait_until(lambda: zk.leader() is not second, "another leader")
            network.heal()
            wait_until(lambda: sorted(s.mode() for s in zk.servers) ==
                       ["follower", "follower", "leader"], "all three")

    def test_nats(self):
        self.need(engines.lacks_nats(), engines.lacks_namespaces())
        with Nats(self.folder) as nats:
            self.assertTrue(nats.servers[0].answers())
        network = self.network(3)
        with Nats(os.path.join(self.folder, "3"), network.hosts) as nats:
            self.assertTrue(all(s.answers() for s in nats.servers))

    def test_command(self):
        self.need(engines.lacks_zookeeper())
        command = [sys.executable, "-B", engines.__file__, "run", "zookeeper",
                   "tickTime=300", "--", "sh", "-c",
                   "kill -0 $HANDOFF_TEST_ENGINE_PID && echo "
                   "$HANDOFF_TEST_ENGINE_PID $HANDOFF_TEST_ENGINE; exit 3"]
        done = subprocess.run(command, capture_output=True, text=True,
                              check=False, timeout=60)
        self.assertEqual(done.returncode, 3, done.stderr)
        pid, endpoint = done.stdout.split()
        self.assertRegex(endpoint, r"127\.0\.0\.1:\d+$")
        self.assertFalse(os.path.exists(f"/proc/{pid}"))


if __name__ == "__main__":
    engines.test_main(engines.lacks_zookeeper() and engines.lacks_nats())
