# SPDX-License-Identifier: MIT
"""Connections that their service holds, in every model: a handoff waits for
them alone, and nobody does after a death."""
import threading

from harness import main
from test_ended import MODELS, ConnTest

LONG = "hold 600000"


class Holds(ConnTest):
    def connections(self, name):
        return self.peer(name)["connections"]

    def give(self):
        """Begins one, which ends once what is held may go."""
        thread = threading.Thread(target=self.ok, args=("maintenance",))
        thread.start()
        self.addCleanup(thread.join)
        return thread

    def held(self, *options):
        one = self.first("--give-timeout", "60000", *options)
        two = self.next("two", *options)
        socks = [self.client(one.address) for _ in range(6)]
        for sock in socks[:3]:
            self.say(sock, LONG)
        self.covered("one")
        give = self.give()
        two.expect(": owner: ")
        for sock in socks[3:]:
            self.say(sock, "moved")
        for sock in socks[:3]:
            self.say(sock, "here")
        self.wait_peer("two", connections=3)
        self.assertEqual(self.connections("one"), 3)
        self.assertTrue(give.is_alive())
        # one is released, one ends, and the death of its process frees one
        self.say(socks[0], "hold 0")
        self.wait_peer("two", connections=4)
        self.say(socks[0], "moved")
        socks[1].close()
        self.wait_peer("one", connections=1)
        self.assertTrue(give.is_alive())
        self.say(socks[2], LONG)
        return one, two, socks, give

    def ends_in_time(self, *options):
        one, two, socks, give = self.held(*options)
        self.say(socks[2], "hold 100")
        give.join()
        self.wait_peer("two", connections=5)
        self.say(socks[2], "moved")
        self.say(socks[2], "hold -1", "refused hold -1")

    def ends_by_death(self, *options):
        one = self.first(*options)
        two = self.next("two", *options)
        sock = self.client(one.address)
        self.say(sock, LONG)
        self.covered("one")
        one.kill()
        two.expect(": owner: .* died; took over")
        self.say(sock, "survived")
        self.next("three", "--give-timeout", "60000", *options)
        self.covered("two")
        self.ok("maintenance")
        self.wait_peer("three", connections=1)
        self.say(sock, "moved")


for model, words in MODELS.items():
    for what in ("ends_in_time", "ends_by_death"):
        setattr(Holds, f"test_{what}_{model}",
                lambda self, what=what, words=words:
                getattr(self, what)(*words))

if __name__ == "__main__":
    main()
