# SPDX-License-Identifier: MIT
"""Chained swaps as fast as they go: nothing leaks, nothing breaks.
HANDOFF_LONG=1 is the full form."""
import os

from harness import SystemTest, main, open_fds, wait_until

LONG = os.environ.get("HANDOFF_LONG") == "1"
SWAPS = 1000 if LONG else 100


class Swaps(SystemTest):
    def swap(self, turn):
        command = "ready silent" if turn % 2 else "maintenance"
        reply = self.ask(1, command)
        self.assertRegex(reply, r"\Aok", f"swap {turn}")

    def chain(self, model, swaps):
        server, alt = self.pair("--model", model)
        load = self.load(server.address, "--connections", 10, "--idle", 10,
                         "--seconds", 6000, "--rate", 100000, "--chunk", 500)
        load.ready()
        self.wait_peer("alt", held=20)
        for turn in range(4):
            self.swap(turn)
        before = self.settled(server, alt)
        for turn in range(swaps):
            self.swap(turn)
        wait_until(lambda: all(now <= then for now, then in
                               zip(self.settled(server, alt), before)),
                   f"no more than {before} descriptors")
        self.assert_clean(load.finish())

    def settled(self, server, alt):
        """The numbers of open descriptors once control clients are gone."""
        def count():
            return (open_fds(server.pid), open_fds(alt.pid))
        seen = []

        def steady():
            seen.append(count())
            return len(seen) > 5 and len(set(seen[-5:])) == 1 and seen[-1]
        return wait_until(steady, "a steady number of descriptors")

    def test_chain_loop(self):
        self.chain("loop", SWAPS)

    def test_chain_thread(self):
        self.chain("thread", SWAPS)


if __name__ == "__main__":
    main()
