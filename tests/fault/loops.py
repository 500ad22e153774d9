# SPDX-License-Identifier: MIT
"""Servers that keep their own loop and buffers die, and another one continues:
no byte is duplicated, and every loss is detected. HANDOFF_LONG=1 is the long
form."""
import itertools
import time

from fault import LONG, FaultTest, main
from foreign import CONNECTIONS, PAIRS, LoopTest, spread

KILLS = 60 if LONG else 6
AIMS = 160 if LONG else 16


class Deaths(LoopTest, FaultTest):
    def begin(self, path, *options, killable=False, **how):
        if killable:
            return self.launch(path, *options)
        return super().begin(path, *options, **how)

    def heir(self, kind, name, total):
        heir = self.second(kind, name)
        self.wait_peer(name, held=total)
        return heir

    def inherit(self, heir, name, total):
        """It is told of everything; how many it mended, how many it could not
        go on with."""
        taken, mended, closed = self.resumed(heir)
        self.assertEqual(taken, total)
        heir.expect(": owner: the other peer died")
        self.wait_peer(name, connections=total - closed)
        self.tally.kills += 1
        return mended, closed

    def deaths(self, first, second):
        """At any moment. Who notes before it takes loses nothing; others may
        lose what they had just read of one connection, and that is closed."""
        owner, kind = self.owner(first, "peer0"), first
        left = CONNECTIONS
        load = self.loaded(owner)
        heirs = itertools.islice(itertools.cycle((second, first)), KILLS)
        for turn, heir_kind in enumerate(heirs, 1):
            name = f"peer{turn}"
            heir = self.heir(heir_kind, name, left)
            self.flows(load)
            time.sleep(self.chance.uniform(0, 0.02))  # to be anywhere
            owner.kill()
            _, closed = self.inherit(heir, name, left)
            self.assertLessEqual(closed, 0 if kind == "poll" else 1)
            left -= closed
            self.flows(load)
            owner, kind = heir, heir_kind
        self.heir(second, "last", left)
        self.there(left)
        self.back(left)
        self.assert_lost(load.finish(), CONNECTIONS - left)

    def assert_lost(self, counts, lost):
        """So many connections have ended before their time, and all else is
        exact."""
        self.assertEqual(counts["resets"] + counts["early_eof"], lost, counts)
        for what in ("corrupt", "unfinished", "refused"):
            self.assertEqual(counts[what], 0, counts)
        if lost == 0:
            self.assert_clean(counts)

    def test_poll_at_each_call(self):
        """Between any two calls of a turn: peek, take, send."""
        self.at_each_call()

    def test_read_at_each_call(self):
        """The same where the library keeps what is read: read, send."""
        self.at_each_call("--read")

    def at_each_call(self, *options):
        calls = itertools.cycle(itertools.product(
            ("recv", "send"), (1, 2, 3, 4), (False, True)))
        owner = self.owner("poll", "peer0", *options, killable=True)
        load = self.loaded(owner)
        mended = 0
        for turn, aim in enumerate(itertools.islice(calls, AIMS), 1):
            name = f"peer{turn}"
            heir = self.second("poll", name, *options, killable=True)
            self.wait_peer(name, held=CONNECTIONS)
            self.flows(load)
            owner.trigger.arm(*aim)
            self.assert_gone(owner)
            self.tally.aimed += 1
            more, closed = self.inherit(heir, name, CONNECTIONS)
            self.assertEqual(closed, 0, aim)
            mended += more
            self.flows(load)
            owner = heir
        self.assertGreater(mended, 0)
        self.assert_clean(load.finish())

    def test_standby_dies(self):
        one = self.owner("poll", "one")
        load = self.loaded(one)
        for turn in range(3):
            two = self.heir("poll", f"two{turn}", CONNECTIONS)
            two.kill()
            one.expect(": left: ")
            self.flows(load)
        self.assert_clean(load.finish())


spread(Deaths, "deaths", PAIRS)

if __name__ == "__main__":
    main()
