# SPDX-License-Identifier: MIT
"""Handoffs under full load from a foreign load generator: every byte comes
back, in order, and no connection breaks. HANDOFF_LONG=1 is the full form."""
import os
import time

from harness import SystemTest, main, wait_until

LONG = os.environ.get("HANDOFF_LONG") == "1"
CONNECTIONS = 500 if LONG else 200
SWAPS = 20 if LONG else 6


class UnderLoad(SystemTest):
    def alternate(self, swaps, total):
        """Each handoff waits until bytes have flowed since the last one."""
        for turn in range(swaps):
            if turn % 2 == 0:
                said = self.ok("maintenance")
                self.programs[1].expect(": owner: ")
            else:
                said = self.ok("ready", "--silent")
                self.programs[0].expect(": owner: ")
            self.assertRegex(said, f"moved {total} connections")
            owner = "alt" if turn % 2 == 0 else "server"
            self.wait_peer(owner, role="owner", connections=total)

    def stream(self, model, *options):
        server, _ = self.pair("--model", model)
        load = self.load(server.address, "--connections", CONNECTIONS,
                         "--seconds", 600, *options).ready()
        self.wait_peer("alt", held=CONNECTIONS)
        self.alternate(SWAPS, CONNECTIONS)
        counts = load.finish()
        self.assert_clean(counts)
        self.assertEqual(counts["connected"], CONNECTIONS)
        return counts

    def test_loop(self):
        self.stream("loop")

    def test_thread(self):
        self.stream("thread")

    def test_idle_among_busy(self):
        self.stream("loop", "--active", 20)

    def test_small_messages(self):
        self.stream("loop", "--chunk", 17, "--window", 170)


class Coming(SystemTest):
    """New, short and half-closed connections while the roles swap."""

    def swap_until(self, load, seconds):
        end = time.monotonic() + seconds
        turn = 0
        while time.monotonic() < end or turn < 4:
            said = self.ok(*(("maintenance",), ("ready", "--silent"))[turn % 2])
            self.assertIn(" 0 left behind", said)
            turn += 1
        return load.finish()

    def churn(self, model):
        server, _ = self.pair("--model", model)
        load = self.load(server.address, "--connections", 20, "--churn", 300,
                         "--seconds", 600, "--rate", 200000, "--chunk", 2000)
        load.ready()
        counts = self.swap_until(load, 3)
        self.assert_clean(counts)
        self.assertGreater(counts["churn"], 300)
        self.assertEqual(counts["churn_failed"], 0)

    def test_churn_loop(self):
        self.churn("loop")

    def test_churn_thread(self):
        self.churn("thread")

    def test_churn_comes_home(self):
        """The same with READY, which leaves old connections behind."""
        server, _ = self.pair()
        load = self.load(server.address, "--connections", 0, "--churn", 300,
                         "--seconds", 600)
        for _ in range(3):
            self.ok("maintenance")
            wait_until(lambda: self.peer("alt")["connections"] > 0,
                       "new connections on the alternate")
            self.ok("ready")
            wait_until(lambda: self.peer("server")["connections"] > 0,
                       "new connections at home")
            self.wait_peer("alt", connections=0)
        counts = load.finish()
        self.assert_clean(counts)
        self.assertEqual(counts["churn_failed"], 0)

    def half_close(self, model):
        server, _ = self.pair("--model", model)
        load = self.load(server.address, "--connections", 100, "--bytes",
                         "2M", "--rate", "1M", "--half-close", "--churn", 300)
        turns = 0
        while load.process.poll() is None:
            said = self.ok(*(("maintenance",), ("ready", "--silent"))[turns % 2])
            self.assertIn(" 0 left behind", said)
            turns += 1
        self.assertGreater(turns, 2)
        counts = load.result()
        self.assert_clean(counts)
        self.assertGreater(counts["echoed"], 100 * (2 << 20))

    def test_half_close_loop(self):
        self.half_close("loop")

    def test_half_close_thread(self):
        self.half_close("thread")


if __name__ == "__main__":
    main()
