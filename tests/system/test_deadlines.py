# SPDX-License-Identifier: MIT
"""Deadlines of connections across handoffs and deaths, in every model: each
passes once, in the peer that has the connection then."""
import time

from harness import main, wait_until
from test_ended import MODELS, ConnTest, name_of


class Deadlines(ConnTest):
    def expect_deadline(self, *socks):
        for sock in socks:
            self.assertEqual(self.receive(sock, 9), b"deadline\n")

    def across(self, *options):
        """Half of them pass while the service moves there and back, the others
        when their owner is dead; none is early and none comes twice."""
        one = self.first(*options)
        two = self.next("two", *options)
        socks = [self.client(one.address) for _ in range(40)]
        before = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        for number, sock in enumerate(socks[:20]):
            self.say(sock, f"in {100 + 20 * number}")
        for number in range(6):
            self.ok(*(("ready", "--silent") if number % 2
                      else ("maintenance",)))
        self.expect_deadline(*socks[:20])
        passed = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - before
        self.assertGreaterEqual(passed, 480 * 10**6)
        for sock in socks[20:]:
            self.say(sock, "in 300")
        self.covered("one")
        one.kill()
        two.expect(": owner: .* died; took over")
        self.expect_deadline(*socks[20:])
        self.next("three", *options)
        self.covered("two")
        for sock in socks:
            self.say(sock, "in 100000")
            self.say(sock, "nothing before")
        self.say(socks[0], "in 0")
        self.say(socks[0], "in -5", "refused in -5")

    def test_across_loop(self):
        self.across(*MODELS["loop"])

    def test_across_thread(self):
        self.across(*MODELS["thread"])

    def test_across_workers(self):
        self.across(*MODELS["workers"])

    def test_across_fork(self):
        self.across(*MODELS["fork"])

    def slow(self, *options):
        """A client that reads nothing is ended at the deadline, and the hook
        says so."""
        one = self.first(*options)
        sock = self.client(one.address)
        other = self.client(one.address)
        self.say(sock, "in 300")
        sock.sendall(b"flood\n")
        self.assertEqual(self.wait_ends(1, one)[0][:3],
                         (1, "deadline", name_of(sock)))
        wait_until(lambda: self.peer("one")["connections"] == 1, "one is left")
        self.assertRegex(self.ask(1, "metrics"),
                         r'closed_total{[^}]*reason="deadline"} 1\b')
        self.say(other, "still here")

    def test_slow_loop(self):
        self.slow(*MODELS["loop"])

    def test_slow_thread(self):
        self.slow(*MODELS["thread"])

    def test_slow_workers(self):
        self.slow(*MODELS["workers"])

    def test_slow_fork(self):
        self.slow(*MODELS["fork"])


if __name__ == "__main__":
    main()
