# SPDX-License-Identifier: MIT
"""Shared by the tests of servers with their own loop. HANDOFF_LOOPS is the
folder of the programs of tests/consumer/loops."""
import json
import os
import signal

from harness import SystemTest, open_fds, wait_until

LOOPS = os.environ["HANDOFF_LOOPS"]
CONNECTIONS = 100
# Each has the others' state and service.
PAIRS = (("poll", "poll"), ("uv", "uv"), ("event", "event"),
         ("poll", "uv"), ("uv", "event"), ("event", "poll"))
# More in flight than the buffers hold, so that all of them are full.
FULL = ("--connections", CONNECTIONS, "--seconds", 600, "--window", "256K")


def spread(case, name, arguments):
    """A test of its own for each of the arguments."""
    for args in arguments:
        def test(self, args=args):
            getattr(self, name)(*args)
        setattr(case, f"test_{name}_{'_'.join(args)}", test)


class LoopTest(SystemTest):
    def peer_of(self, kind, name, *options, **how):
        path = os.path.join(LOOPS, kind + "_server")
        if not os.path.exists(path):
            self.skipTest(f"{kind}_server was not built: no library for it")
        return self.begin(path, "--name", name, *options, **how)

    def begin(self, path, *options, **how):
        """The page's example has its arguments without their names."""
        if path.endswith("peer_page"):
            return self.start(path, self.dir, *options, **how)
        return self.start(path, "--dir", self.dir, *options, **how)

    def owner(self, kind, name, *options, **how):
        owner = self.peer_of(kind, name, *options, **how)
        owner.expect(": owner: ")
        owner.address = owner.expect(r": listening on (\S+)")[1]
        return owner

    def second(self, kind, name, *options, **how):
        second = self.peer_of(kind, name, *options, **how)
        second.expect(": standby: ")
        return second

    def loaded(self, owner, *options):
        return self.load(owner.address, *(options or FULL)).ready()

    def flows(self, load):
        """Echoes have come since the last time this was asked."""
        def echoes():
            load.signal(signal.SIGUSR1)
            return json.loads(load.expect('"echoes"').string)["echoes"] > 0
        wait_until(echoes, "bytes to flow")

    def there(self, total=CONNECTIONS):
        self.moved(self.ok("maintenance"), total)

    def back(self, total=CONNECTIONS):
        self.moved(self.ok("ready", "--silent"), total)

    def moved(self, said, total):
        self.assertRegex(said, rf"moved {total} connections?, 1 listener .*, "
                               "0 left behind")

    def resumed(self, program):
        """How many connections it has taken, mended and closed."""
        match = program.expect(r": resumed (\d+), mended (\d+), closed (\d+)")
        self.assertNotIn("a state and its book differ", program.output())
        return tuple(int(n) for n in match.groups())

    def settled(self, *programs):
        """The numbers of open descriptors once control clients are gone."""
        seen = []

        def steady():
            seen.append([open_fds(p.pid) for p in programs])
            return all(s == seen[-1] for s in seen[-5:]) and len(seen) > 5
        wait_until(steady, "a steady number of descriptors")
        return seen[-1]

    def buffers_moved(self, program):
        """What was carried in user space, as far as the program has told."""
        sums = [0, 0]
        for line in program.lines:
            words = line.split()
            if words[1] == "carried":
                sums[0] += int(words[2])
                sums[1] += int(words[4])
        return sums
