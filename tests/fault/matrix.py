# SPDX-License-Identifier: MIT
"""The owner dies by SIGKILL at the n-th call of each function that it makes,
the survivor serves, a new peer attaches, and so on: every byte of every
established connection comes back once and in order. So do deaths of the
standby, deaths in the midst of handoffs, and deaths at random moments."""

import os

from fault import LONG, SCALE, Chain, Churn, FaultTest, main

REPEAT = 6 if LONG else 1
RANDOM = 50 if LONG else 10


# How many calls a function gets in a moment, in these tests; a call that does
# not come is replaced by a kill at that moment.
MANY, SOME, FEW = 1500, 60, 8


class Matrix(FaultTest):
    def cells(self, functions):
        """Each function, before and after the real call, at a first, an early
        and a late call, in random order."""
        cells = [(function, number, after)
                 for function, most in functions.items()
                 for after in (False, True)
                 for _ in range(REPEAT)
                 for number in (1, self.chance.randint(2, most // 4 + 2),
                                self.chance.randint(most // 4 + 2, most))]
        self.chance.shuffle(cells)
        return cells

    # Connections that stream without end.

    def streams(self, model, functions):
        chain = Chain(self, model)
        # Windows beyond what all buffers take fill the output of the server,
        # whose ring then wraps: two pieces are sent by sendmsg.
        chain.load("--connections", 4, "--chunk", 65536, "--window", "8M")
        chain.load("--connections", 6, "--chunk", 16384, "--window", "256K",
                   "--vary")
        chain.load("--connections", 10, "--chunk", 180, "--window", 2000,
                   "--vary")
        chain.load("--connections", 5, "--rate", 20000, "--chunk", 100,
                   "--idle", 10)
        chain.stable = 35
        repaired = self.tally.repaired
        for cell in self.cells(functions):
            chain.round(cell)
            chain.shape()
        for _ in range(RANDOM):
            chain.random_round()
        self.assertGreater(self.tally.repaired, repaired)
        chain.finish()

    def test_streams_loop(self):
        self.streams("loop", {"recv": MANY, "send": MANY, "sendmsg": SOME,
                              "epoll_wait": MANY})

    def test_streams_thread(self):
        self.streams("thread", {"recv": MANY, "send": MANY, "sendmsg": SOME,
                                "poll": MANY})

    def test_streams_workers(self):
        self.streams("workers", {"recv": MANY, "send": MANY, "sendmsg": SOME,
                                 "epoll_wait": MANY,
                                 "pthread_mutex_lock": MANY})

    def test_streams_mixed(self):
        self.streams(("loop", "thread"), {"recv": SOME, "send": SOME})

    # The same in numbers, killed at random moments.

    def crowd(self, model, connections):
        chain = Chain(self, model)
        chain.load("--connections", connections, "--vary")
        chain.stable = connections
        for _ in range(RANDOM):
            chain.random_round(0.2)
        chain.finish()

    def test_crowd_loop(self):
        self.crowd("loop", 500 if LONG else 100)

    def test_crowd_thread(self):
        self.crowd("thread", 500 if LONG else 100)

    def test_crowd_workers(self):
        self.crowd("workers", 500 if LONG else 100)

    def test_crowd_fork(self):
        self.crowd("fork", 200 if LONG else 50)

    def test_crowd_mixed(self):
        self.crowd(("fork", "workers"), 200 if LONG else 50)

    # Connections that come and go, some of them half-closed.

    def comings(self, model, functions):
        chain = Chain(self, model)
        chain.load("--connections", 5, "--chunk", 3000, "--window", 9000,
                   "--vary", "--idle", 5)
        churn = Churn(self, chain.address, 200)
        for number, cell in enumerate(self.cells(functions)):
            ending = self.load(
                chain.address, "--connections", 10, "--bytes", 18000, "--rate",
                300000, "--chunk", 3000, "--vary", "--seed", self.seed(),
                *(("--half-close",) if number % 2 else ())).ready()
            chain.round(cell)
            churn.check()
            self.assert_clean(ending.result())
        counts = churn.finish()
        self.tally.instants += counts["churn_failed"]
        chain.finish()

    def test_comings_loop(self):
        self.comings("loop", {"accept4": SOME, "shutdown": FEW, "close": FEW,
                              "epoll_ctl": SOME, "sendmsg": FEW,
                              "recvmsg": FEW, "recv": SOME, "send": SOME})

    def test_comings_thread(self):
        self.comings("thread", {
            "accept4": SOME, "shutdown": FEW, "close": FEW, "epoll_ctl": SOME,
            "sendmsg": FEW, "recvmsg": FEW, "pthread_mutex_lock": FEW,
            "eventfd_write": FEW, "poll": SOME})

    # Connections that have ended their sending, with much still to be read:
    # the end counts as a byte in the kernel's counters.

    def endings(self, model, functions):
        chain = Chain(self, model)
        for cell in self.cells(functions):
            ending = self.load(
                chain.address, "--connections", 5, "--bytes", "8M",
                "--window", "8M", "--chunk", 65536, "--half-close", "--seed",
                self.seed()).ready()
            chain.round(cell)
            self.assert_clean(ending.result())
        chain.stable = 0
        chain.finish()

    def test_endings_loop(self):
        self.endings("loop", {"recv": SOME, "send": SOME, "sendmsg": FEW,
                              "epoll_wait": SOME, "shutdown": FEW})

    def test_endings_thread(self):
        self.endings("thread", {"recv": SOME, "send": SOME, "poll": SOME,
                                "shutdown": FEW, "pthread_mutex_lock": FEW})

    # Whoever got one answer is safe.

    def first_answers(self, model):
        chain = Chain(self, model)
        clients = []
        for number in range(5 * REPEAT):
            chain.stable = number
            chain.covered()
            chain.peers[chain.owner].trigger.arm("send", 1, True)
            client = self.connect(chain.address)
            self.assert_echo(client, b"first\n")
            clients.append(client)
            chain.die(chain.owner)
            chain.stable = number + 1
            chain.bury(chain.owner)
            self.assert_echo(client, b"second\n")
            chain.attach()
        for client in clients:
            self.assert_echo(client)
            client.close()
        chain.stable = 0
        chain.finish()

    def test_first_answers_loop(self):
        self.first_answers("loop")

    def test_first_answers_thread(self):
        self.first_answers("thread")

    # Planned handoffs, in the midst of which either peer dies.

    def handoffs(self, model, functions):
        chain = Chain(self, model)
        chain.load("--connections", 10, "--rate", 100000, "--chunk", 1000,
                   "--vary")
        chain.load("--connections", 5, "--chunk", 9000, "--window", 18000,
                   "--vary", "--idle", 20)
        chain.stable = 35
        for cell in self.cells(functions):
            chain.swap_round(cell, self.chance.choice((1, 2)))
        for cell in self.cells({"close": 40, "sendmsg": FEW, "epoll_ctl": FEW}):
            chain.stop_round(cell)
        chain.finish()

    def test_handoffs_loop(self):
        self.handoffs("loop", {"sendmsg": FEW, "recvmsg": FEW, "send": MANY,
                               "epoll_ctl": SOME, "epoll_wait": SOME})

    def test_handoffs_thread(self):
        self.handoffs("thread", {
            "sendmsg": FEW, "recvmsg": FEW, "epoll_ctl": SOME,
            "epoll_wait": SOME, "eventfd_write": SOME,
            "pthread_mutex_lock": SOME})

    def test_handoffs_workers(self):
        self.handoffs("workers", {
            "sendmsg": FEW, "recvmsg": FEW, "epoll_ctl": SOME,
            "epoll_wait": SOME, "eventfd_write": SOME,
            "pthread_mutex_lock": SOME})

    # The standby dies, while it attaches and later.

    def standbys(self, model):
        chain = Chain(self, model)
        chain.load("--connections", 10, "--chunk", 9000, "--window", 18000,
                   "--vary", "--idle", 40)
        chain.stable = 50
        for cell in self.cells({"recvmsg": 4, "sendmsg": 3, "close": 3,
                                "epoll_ctl": SOME, "epoll_wait": 3}):
            chain.attach_round(cell)
        chain.stable = None
        churn = Churn(self, chain.address, 300)
        for cell in self.cells({"recvmsg": FEW, "sendmsg": FEW, "close": SOME,
                                "epoll_ctl": SOME, "epoll_wait": FEW}):
            chain.round(cell, chain.other(chain.owner))
        self.assertEqual(churn.finish()["churn_failed"], 0)
        chain.finish()

    def test_standbys_loop(self):
        self.standbys("loop")

    def test_standbys_thread(self):
        self.standbys("thread")


class Births(FaultTest):
    """The owner dies while its first standby attaches: that serves if the
    service has reached it, and otherwise whoever comes next begins anew."""

    def birth(self, cell, second):
        self.dir = os.path.join(self.base, f"echo.{self.launched}")
        owner = self.launch("server", "--listen", "127.0.0.1:0")
        address = owner.expect(r": listening on (\S+)")[1]
        owner.expect(": owner: ")
        owner.trigger.arm(*cell)
        listen = ("--listen", address)
        standby = self.launch(second, *(listen if second == "server" else ()))
        aimed = True
        try:
            owner.wait(0.2 * SCALE)
        except AssertionError:
            aimed = False
            owner.kill()
        self.tally.kills += 1
        self.tally.aimed += aimed
        self.tally.read(owner)
        standby.expect(": left: |: waiting: |: owner: ")
        new = self.launch("server", *listen)
        new.expect(": owner: |: standby: ")
        self.assert_echo(self.connect(address))
        roles = sorted(self.json(place)["role"] for place in (1, 2))
        self.assertEqual(roles, ["owner", "standby"])
        for peer in (standby, new):
            self.assertIsNone(peer.process.poll(), peer.output())
            peer.kill()
            self.tally.read(peer)

    def births(self, second):
        for function, most in (("sendmsg", 5), ("recvmsg", 3),
                               ("epoll_ctl", 6), ("epoll_wait", 3)):
            for number in range(1, most + 1):
                for after in ((False, True) if LONG or function == "sendmsg"
                              else (self.chance.random() < 0.5,)):
                    with self.subTest(function=function, number=number,
                                      after=after):
                        self.birth((function, number, after), second)

    def test_alternate(self):
        self.births("alt_server")

    def test_server(self):
        self.births("server")


if __name__ == "__main__":
    main()
