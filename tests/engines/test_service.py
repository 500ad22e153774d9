# SPDX-License-Identifier: MIT
"""A service on two hosts with a lease and notices by ZooKeeper, and a client on
a third: when the host that serves dies, is cut off or gives up, the other one
serves, and says so to the client."""
import os
import signal
import subprocess
import unittest

import engines
from engines import test_main, wait_until
from ensemble import LIMIT, SCALE, Ensemble, Lines

BIN = os.environ.get("HANDOFF_BIN", ".")
TTL = int(3 * SCALE)


class Service(Ensemble):
    def setUp(self):
        super().setUp()
        self.owner = self.server(self.host_a)
        self.await_lease(self.host_a, "OWNER")
        self.other = self.server(self.host_b)
        self.await_lease(self.host_b, "CANDIDATE")
        self.client = self.program(
            self.host_c, "client", "--connect", self.listens(self.host_a),
            "--connect", self.listens(self.host_b), "--notices", self.open,
            stdin=subprocess.PIPE)
        self.notices = self.program(self.host_c, "handoffctl", "notices",
                                    self.open)
        self.assert_answers("one")

    def program(self, host, name, *argv, **how):
        lines = Lines(host, os.path.join(BIN, name), *argv, **how)
        self.addCleanup(lines.kill)
        return lines

    @staticmethod
    def listens(host):
        return f"{host.address}:7000"

    def server(self, host):
        os.makedirs(host.dir, mode=0o700, exist_ok=True)
        return self.program(
            host, "server", "--dir", host.dir, "--name", "server-" + host.name,
            "--listen", self.listens(host), "--lease", self.address,
            "--lease-ttl", TTL, "--lease-host", host.name,
            "--notices", self.address)

    @staticmethod
    def status(host):
        return host.run(os.path.join(BIN, "handoffctl"), "--dir", host.dir,
                        "status")

    def await_lease(self, host, state):
        def has():
            try:
                return f": {state}, token" in self.status(host)
            except AssertionError:
                return False  # it has only been started
        wait_until(has, f"{host.name} to be {state}", LIMIT)

    def assert_answers(self, text):
        self.client.say(text)
        wait_until(lambda: [text] in self.client.lines, f"answer '{text}'",
                   LIMIT)

    def assert_told(self, kind, host):
        """The notice names the host's address."""
        wait_until(lambda: any(kind in line and self.listens(host) in line
                               for line in self.notices.lines),
                   f"{kind} of {host.name}: {self.notices.lines}", LIMIT)

    def test_host_dies(self):
        self.host_a.kill_all()
        self.assert_told("FAILOVER", self.host_b)
        self.assert_answers("two")
        self.assertIn("token 2,", self.status(self.host_b))

    def test_host_is_cut_off(self):
        """What was sent to it is lost, and the client finds that out by itself;
        others come to the host that serves now."""
        self.network.cut(self.host_a)
        self.assert_told("FAILOVER", self.host_b)
        self.client = self.program(
            self.host_c, "client", "--connect", self.listens(self.host_a),
            "--connect", self.listens(self.host_b), "--notices", self.open,
            stdin=subprocess.PIPE)
        self.assert_answers("two")
        self.network.heal()
        self.await_lease(self.host_a, "CANDIDATE")
        self.assert_answers("three")

    def test_host_is_stopped(self):
        self.owner.stop()
        self.assert_told("FAILOVER", self.host_b)
        self.assert_answers("two")

    def test_host_gives_up(self):
        self.owner.signal(signal.SIGTERM)
        self.owner.process.wait()
        self.await_lease(self.host_b, "OWNER")
        self.assert_answers("two")

    def test_server_of_zookeeper_dies(self):
        self.zk.leader().kill()
        self.zk.leader()
        self.await_lease(self.host_a, "OWNER")
        self.assert_answers("two")
        self.assertIn("token 1,", self.status(self.host_a))


if __name__ == "__main__":
    test_main(engines.lacks_zookeeper(), engines.lacks_namespaces(),
              None if os.path.exists(os.path.join(BIN, "server"))
              else "built without the examples")
