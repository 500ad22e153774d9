# SPDX-License-Identifier: MIT
"""Sessions of many clients that stream both ways while their connections are
broken at random, the owner is killed, and the service goes away and comes home:
every byte comes back once and in order, and no session is lost. HANDOFF_LONG=1
is the full form."""
import json
import os
import signal

from harness import SCALE, TOOLS, SystemTest, main, wait_until

LONG = os.environ.get("HANDOFF_LONG") == "1"
CLIENTS = 500 if LONG else 100
ROUNDS = 10 if LONG else 3
BREAK_MS = 1500 if LONG else 700  # a connection lasts so long in the middle
DEADLINE = 90 * SCALE


class Crowd:
    """The clients, perhaps behind a program that breaks connections."""

    def __init__(self, test, address, *options, breaks=True):
        self.test = test
        self.cutter = None
        if breaks:
            self.cutter = test.start(os.path.join(TOOLS, "cutter"),
                                     address.rsplit(":", 1)[1], BREAK_MS)
            address = self.cutter.expect(r"listening on (\S+)")[1]
        self.program = test.start(
            os.path.join(TOOLS, "sessions"), "--connect", address,
            "--notices", "unix:" + test.dir, "--clients", CLIENTS, *options)
        self.program.expect("connected$", DEADLINE)
        # not before: a session whose client never heard of it would stay for
        # as long as an absent one may
        if self.cutter:
            self.cutter.signal(signal.SIGUSR1)

    def report(self):
        self.program.signal(signal.SIGUSR1)
        return json.loads(self.program.expect("^{.*}$")[0])

    def flow(self):
        """Until bytes have come back that were sent after this began."""
        before = self.report()
        wait_until(lambda: self.report()["echoed"] >
                   before["sent"] + 100 * CLIENTS, "bytes to flow", DEADLINE)

    def finish(self):
        if self.cutter:
            self.cutter.signal(signal.SIGUSR1)
        self.program.signal(signal.SIGTERM)
        code = self.program.wait(DEADLINE)
        counts = json.loads(self.program.lines[-1])
        self.test.assertEqual(code, 0, counts)
        self.test.assertEqual(counts["corrupt"], 0, counts)
        self.test.assertEqual(counts["new"], 0, counts)
        self.test.assertEqual(counts["echoed"], counts["sent"], counts)
        self.test.assertEqual(counts["closed"], CLIENTS, counts)
        return counts


class Sessions(SystemTest):
    """`home` and `away` are the peers by their places, `self.options` what
    both are started with."""

    def begin(self, *options):
        # more clients than there may be message queues
        self.options = ("--sessions", "--notices", "unix:" + self.dir, *options)
        self.home, self.away = self.pair(*self.options)
        self.address = self.home.address
        self.wait_peer("alt", role="standby")

    def ready(self, crowd):
        """Ends when no session is left behind."""
        self.ok("ready")
        self.wait_peer("server", role="owner")
        wait_until(lambda: self.peer("alt")["connections"] == 0,
                   "all sessions to come home", DEADLINE)
        crowd.flow()

    def come_home(self, crowd):
        self.ok("maintenance")
        self.wait_peer("alt", role="owner")
        crowd.flow()
        self.ready(crowd)

    def kill_owner(self, crowd):
        """What is killed comes back as the standby, and then as the owner."""
        self.home.signal(signal.SIGKILL)
        self.home.wait()
        self.wait_peer("alt", role="owner")
        crowd.flow()
        self.home = self.start("server", "--dir", self.dir, "--listen",
                               self.address, *self.options)
        self.home.expect(": standby: ")
        self.wait_peer("server", role="standby")
        crowd.flow()
        self.ready(crowd)

    def test_connections_break(self):
        self.begin()
        crowd = Crowd(self, self.address)
        for _ in range(ROUNDS):
            crowd.flow()
        wait_until(lambda: crowd.report()["resumed"] > 3 * CLIENTS,
                   "sessions to be resumed", DEADLINE)
        counts = crowd.finish()
        self.assertEqual(counts["moved"], 0)

    def test_come_home(self):
        """Without a broken connection: READY alone moves every session."""
        self.begin()
        crowd = Crowd(self, self.address, breaks=False)
        for _ in range(ROUNDS):
            self.come_home(crowd)
        counts = crowd.finish()
        self.assertGreaterEqual(counts["moved"], ROUNDS * CLIENTS)
        self.assertEqual(counts["lost"], 0)

    def test_the_owner_is_killed(self):
        self.begin()
        crowd = Crowd(self, self.address, breaks=False)
        for _ in range(ROUNDS):
            self.kill_owner(crowd)
        counts = crowd.finish()
        self.assertGreaterEqual(counts["moved"], ROUNDS * CLIENTS)
        self.assertEqual(counts["lost"], 0)

    def everything(self, rounds, *options):
        self.begin(*options)
        crowd = Crowd(self, self.address)
        for _ in range(rounds):
            self.come_home(crowd)
            self.kill_owner(crowd)
        crowd.finish()

    def test_everything(self):
        self.everything(ROUNDS)

    # Where a process dies in many handlers at once, each of these connections
    # is tried alone: that takes its time.

    def test_everything_in_threads(self):
        self.everything(ROUNDS // 3, "--model", "thread")

    def test_everything_in_children(self):
        self.everything(ROUNDS // 3, "--model", "fork")

    def test_everything_with_workers(self):
        self.everything(ROUNDS // 3, "--workers", 3)


if __name__ == "__main__":
    main()
