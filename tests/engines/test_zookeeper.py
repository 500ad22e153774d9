# SPDX-License-Identifier: MIT
"""Leases and notices by ZooKeeper, with three servers on hosts of their own,
two hosts that want the lease and one that watches: servers and owners are
killed, stopped and cut off. Whatever happens: no token is won while an older
one may be valid yet, tokens grow, and the latest notice arrives."""
import os
import random
import signal
import time
import unittest

import engines
from engines import test_main, wait_until
from ensemble import LIMIT, SCALE, Ensemble, Lines

TOOLS = os.environ.get("HANDOFF_TOOLS", ".")
LONG = os.environ.get("HANDOFF_LONG") == "1"
SEED = int(os.environ.get("HANDOFF_SEED", "1"))
TTL = 3.0 * SCALE


class Leases(Ensemble):
    def setUp(self):
        super().setUp()
        self.holders = []
        self.watcher = Lines(self.host_c, os.path.join(TOOLS, "watcher"),
                             self.open)
        self.addCleanup(self.watcher.kill)

    def holder(self, host, *more):
        holder = Lines(host, os.path.join(TOOLS, "holder"), self.address,
                       host.name, int(TTL * 1000), *more)
        self.addCleanup(holder.kill)
        self.holders.append(holder)
        return holder

    def both(self):
        """The owner, and the other one."""
        a = self.holder(self.host_a)
        self.await_line(a, "won")
        b = self.holder(self.host_b)
        self.await_line(b, "open")
        return a, b

    @staticmethod
    def await_line(holder, what, since=0, limit=LIMIT):
        return wait_until(lambda: holder.find(what, since),
                          f"{what} of {holder.host.name}: "
                          f"{holder.lines[-8:]}", limit)[0]

    def await_published(self, holder):
        """It publishes, and the watcher hears what it publishes now."""
        since = len(holder.lines)
        _, token, seq = self.await_line(holder, "published", since)
        wait_until(lambda: any(
            line[1] == token and int(line[2]) >= int(seq) - 1
            for line in self.watcher.find("notice")[-5:]),
            f"notice {seq} of token {token}", LIMIT)

    def tokens(self):
        return sorted((int(line[1]), int(line[2]), holder.host.name)
                      for holder in self.holders
                      for line in holder.find("won"))

    def check(self):
        """The invariants, from all that was printed."""
        won = self.tokens()
        self.assertEqual(len({token for token, _, _ in won}), len(won), won)
        self.assertEqual(won, sorted(won, key=lambda line: line[1]))
        for holder in self.holders:
            gave = {line[1]: int(line[2]) for line in holder.find("gave")}
            for _, token, until in holder.find("valid"):
                until = min(int(until), gave.get(token, int(until)))
                for later, at, _ in won:
                    if later > int(token):
                        self.assertGreater(
                            at, until,
                            f"token {later} was won while {token} of "
                            f"{holder.host.name} was valid")
        told = [(int(line[1]), int(line[2]))
                for line in self.watcher.find("notice")]
        self.assertEqual(told, sorted(set(told)))

    def test_leader_killed(self):
        a, b = self.both()
        self.await_published(a)
        leader = self.zk.leader()
        leader.kill()
        self.zk.leader()
        self.await_published(a)
        self.zk.restart(leader)
        self.await_published(a)
        self.assertEqual(len(self.tokens()), 1)
        self.assertEqual(b.find("won"), [])
        self.check()

    def test_node_isolated(self):
        """Each in turn: also that of the owner."""
        a, b = self.both()
        for server in self.zk.servers:
            self.network.cut(server.host)
            self.await_published(a)
            self.network.heal()
            self.zk.leader()
            self.await_published(a)
        self.assertEqual(b.find("won"), [])
        self.check()

    def test_quorum_lost(self):
        a, b = self.both()
        self.await_published(a)
        for server in self.zk.servers[:2]:
            self.network.cut(server.host)
        self.await_line(a, "freeze")
        time.sleep(7 * SCALE - TTL)  # longer than any session lives
        self.network.heal()
        since = [len(holder.lines) for holder in (a, b)]

        def served():
            return a.find("thaw", since[0]) or a.find("won", since[0]) or \
                b.find("won", since[1])
        wait_until(served, "an owner", LIMIT)
        owner = b if b.find("won") else a
        self.await_published(owner)
        self.check()

    def test_owner_stopped(self):
        a, b = self.both()
        self.await_published(a)
        a.stop()
        self.await_line(b, "won")
        self.await_published(b)
        a.go_on()
        self.await_line(a, "reset")
        self.await_published(b)
        self.assertEqual(len(self.tokens()), 2)
        self.check()

    def test_owner_cut(self):
        a, b = self.both()
        self.await_published(a)
        self.network.cut(self.host_a)
        self.await_line(a, "freeze")
        self.await_line(b, "won")
        self.await_published(b)
        self.network.heal()
        self.await_line(a, "reset")
        self.await_published(b)
        self.check()

    def test_owner_killed(self):
        a, b = self.both()
        self.await_published(a)
        a.kill()
        self.await_line(b, "won")
        self.await_published(b)
        self.check()

    def test_released(self):
        """At once, not after a time."""
        a, b = self.both()
        self.await_published(a)
        began = time.monotonic()
        a.signal(signal.SIGTERM)
        self.await_line(b, "won")
        self.assertLess(time.monotonic() - began, TTL)
        self.await_published(b)
        a.process.wait()
        self.check()

    def test_continued(self):
        """A survivor of the same host keeps the token."""
        file = os.path.join(self.folder, "session")
        a = self.holder(self.host_a, file)
        self.await_line(a, "won")
        b = self.holder(self.host_b)
        for _ in range(3):
            self.await_published(a)
            a.kill()
            a = self.holder(self.host_a, file)
        self.await_published(a)
        self.assertEqual(b.find("won"), [])
        self.assertEqual(len(self.tokens()), 1)
        self.check()

    @unittest.skipUnless(LONG, "HANDOFF_LONG")
    def test_rounds(self):
        """Anything of it, fifty times."""
        pick = random.Random(SEED)
        self.both()
        for _ in range(50):
            self.one_round(pick)
            owner = self.await_owner()
            self.await_published(owner)
            self.check()

    def one_round(self, pick):
        server, holder = pick.choice(self.zk.servers), \
            pick.choice(self.holders[:2])
        seconds = pick.uniform(0.2, 2.5 * TTL)
        what = pick.choice(("kill", "cut", "stop", "own cut", "quorum"))
        if what == "kill":
            server.kill()
        elif what == "cut":
            self.network.cut(server.host)
        elif what == "stop":
            holder.stop()
        elif what == "own cut":
            self.network.cut(holder.host)
        else:
            for one in self.zk.servers[:2]:
                self.network.cut(one.host)
        time.sleep(seconds)
        if what == "kill":
            self.zk.restart(server)
        if what == "stop":
            holder.go_on()
        self.network.heal()

    def await_owner(self):
        """The holder that publishes now."""
        marks = [len(holder.lines) for holder in self.holders]

        def owner():
            return next((holder for holder, since in zip(self.holders, marks)
                         if holder.find("published", since)), None)
        return wait_until(owner, "an owner", LIMIT)


if __name__ == "__main__":
    test_main(engines.lacks_zookeeper(), engines.lacks_namespaces(),
              None if os.path.exists(os.path.join(TOOLS, "holder"))
              else "built without the ZooKeeper component")
