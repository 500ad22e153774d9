# SPDX-License-Identifier: MIT
"""Deadlines of connections across handoffs and deaths, in every model: each
passes once, in the peer that has the connection then."""
import time

from harness import SCALE, main, wait_until
from test_ended import MODELS, ConnTest, name_of

PREFACE = b"\xf5HSESS\0\1"
DECIDE_S = 5  # handoff_session(3)


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

    def undecided(self, *options):
        """Clients of which nothing shows yet whether they want a session: the
        time that they have for that goes on when their owner dies."""
        options += ("--sessions", "--greet")
        one = self.first(*options)
        two = self.next("two", *options)
        before = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        silent, part, hello = (self.connect(one.address) for _ in range(3))
        part.sendall(PREFACE[:3])
        hello.sendall(PREFACE)
        self.wait_peer("one", connections=3)
        self.covered("one")
        one.kill()
        two.expect(": owner: .* died; took over")
        for sock in (silent, part):
            self.assertEqual(self.receive(sock, 8), b"welcome\n")
        self.assertEqual(self.receive(hello, 100), b"")
        passed = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - before
        self.assertGreaterEqual(passed, DECIDE_S * 10**9)
        self.assertLess(passed, (DECIDE_S + 3 * SCALE) * 10**9)
        self.say(silent, "plain")
        # what had come of the preface is input
        part.sendall(b"x\n")
        self.assertEqual(self.receive(part, 5), PREFACE[:3] + b"x\n")

    def test_undecided_loop(self):
        self.undecided(*MODELS["loop"])

    def test_undecided_thread(self):
        self.undecided(*MODELS["thread"])

    def test_undecided_workers(self):
        self.undecided(*MODELS["workers"])

    def test_undecided_fork(self):
        self.undecided(*MODELS["fork"])

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
