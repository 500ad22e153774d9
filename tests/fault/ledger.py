# SPDX-License-Identifier: MIT
"""A data server whose owner dies again and again: each line is counted once,
in the state of its connection and in the data of the service, whichever call
or commit the process dies at. So the totals that all clients are told are
those from 1 to the number of their lines, each of them once."""
import os

from fault import LONG, TOOLS, FaultTest, main, wait_until
from sums import Talkers

SERVICE = os.path.join(TOOLS, "ledger_service")
PIPELINES = (1, 1, 5, 30, 30, 200)
REPEAT = 12 if LONG else 2


class Counter:
    """One connection: sends lines, is told how many it has sent and which of
    all lines each one is."""

    def __init__(self, test, address, pipeline):
        self.chance = test.chance
        self.sock = test.connect(address)
        self.sock.setblocking(False)
        self.pipeline = pipeline
        self.unsent = b""
        self.got = b""
        self.due = []
        self.answered = 0
        self.totals = []

    def fill(self):
        while len(self.due) < self.pipeline and len(self.unsent) < 4096:
            self.due.append(self.answered + len(self.due) + 1)
            self.unsent += b"x" * self.chance.randrange(60) + b"\n"

    def send(self):
        try:
            self.unsent = self.unsent[self.sock.send(self.unsent):]
        except BlockingIOError:
            pass

    def receive(self):
        data = self.sock.recv(65536)
        if not data:
            raise ConnectionError("the end, too early")
        *lines, self.got = (self.got + data).split(b"\n")
        for line in lines:
            count, total = map(int, line.split())
            if count != self.due.pop(0):
                raise ValueError(f"{line} came after {self.answered} answers")
            self.answered += 1
            self.totals.append(total)


class Ledger(FaultTest):
    def peer_named(self, name):
        return self.launch(SERVICE, "--name", name)

    def heir(self, owner, name):
        heir = self.peer_named(name)
        heir.expect(": standby: ")
        self.wait_peer(name, held=len(PIPELINES))
        self.wait_peer(owner, uncovered=0)
        return heir

    def answered(self, talkers):
        before = talkers.progress()
        wait_until(lambda: talkers.failure or talkers.progress() > before,
                   "answers")
        self.assertIsNone(talkers.failure)

    def assert_each_once(self, talkers):
        totals = sorted(t for c in talkers.talkers for t in c.totals)
        self.assertEqual(totals, list(range(1, len(totals) + 1)))
        self.assertGreater(len(totals), 1000)

    def test_deaths_and_gives(self):
        """After every other death the service moves: who dies next has been
        given it."""
        owner, number = self.peer_named("peer0"), 0
        talkers = Talkers(self, owner.expect(r": listening on (\S+)")[1],
                          Counter, PIPELINES)
        cells = [(function, self.chance.randint(1, most), after)
                 for function, most in (("point", 200), ("point", 200),
                                        ("recv", 30), ("send", 20),
                                        ("poll", 20))
                 for after in (False, True) for _ in range(REPEAT)]
        self.chance.shuffle(cells)
        for turn, cell in enumerate(cells, 1):
            heir = self.heir(f"peer{number}", f"peer{turn}")
            if turn % 2:
                self.assertIn("0 left behind", self.ok("maintenance"))
                owner, heir = heir, owner
                self.wait_peer(f"peer{turn}", uncovered=0)
            else:
                number = turn
            self.answered(talkers)
            owner.trigger.arm(*cell)
            self.assert_gone(owner)
            self.tally.kills += 1
            self.tally.aimed += 1
            heir.expect(": owner: the other peer died")
            owner = heir
            self.answered(talkers)
        talkers.finish(self)
        self.assert_each_once(talkers)


if __name__ == "__main__":
    main()
