# SPDX-License-Identifier: MIT
"""An input that kills each process that handles it ends its own connection and
no other; a connection that was merely inside its handler when a process died
continues."""
import os
import signal
import time

from harness import TOOLS, SystemTest, main, wait_until
from test_models import children

SERVICE = os.path.join(TOOLS, "other_service")
OTHERS = 20
CROWD = 100
ALONE = "suspected of a death, is tried alone"
TWICE = "two processes died in its handler, on the same input"
MODELS = {
    "loop": (), "iterative": ("--model", "iterative"),
    "thread": ("--model", "thread"), "workers": ("--workers", "3"),
    "fork": ("--model", "fork"),
}


class Poison(SystemTest):
    """Processes are named one, two, three; each but the last dies."""

    def first(self, *options):
        owner = self.start(SERVICE, "--dir", self.dir, "--name", "one",
                           "--listen", "127.0.0.1:0", *options)
        address = owner.expect(r": listening on (\S+)")[1]
        owner.expect(": owner: ")
        return owner, address

    def next(self, name, *options):
        peer = self.start(SERVICE, "--dir", self.dir, "--name", name, *options)
        peer.expect(": standby: ")
        return peer

    def covered(self, name):
        wait_until(lambda: (peer := self.peer(name)) and peer["uncovered"] == 0
                   and peer["partner"] == "ready", f"all of {name} covered")

    def clients(self, address, count=OTHERS):
        clients = [self.connect(address) for _ in range(count)]
        self.all_echo(clients)
        return clients

    def all_echo(self, clients):
        for number, client in enumerate(clients):
            self.assert_echo(client, b"line of %d\n" % number)

    def assert_ended(self, client):
        self.assertEqual(self.receive(client, 1), b"")

    def metric(self, slot, name, label=""):
        for line in self.ask(slot, "metrics").splitlines():
            if line.startswith(f"handoff_{name}{{") and label in line:
                return int(line.rsplit(" ", 1)[1])
        raise AssertionError(f"no metric {name} {label}")

    def closed(self, slot, reason):
        return self.metric(slot, "closed_total", f'reason="{reason}"')

    def dies(self, program):
        self.assertEqual(program.wait(), -signal.SIGABRT, program.output())
        self.programs.remove(program)  # which may not end like that

    def poison(self, address, owner):
        """A connection whose input has killed `owner`, called one."""
        client = self.connect(address)
        self.assert_echo(client)
        self.covered("one")
        client.sendall(b"crash")
        self.dies(owner)
        return client

    def sleepers(self, address, count):
        """So many connections, each with a handler that sleeps."""
        crowd = [self.connect(address) for _ in range(count)]
        for number, client in enumerate(crowd):
            client.sendall(b"sleep %d\n" % number)
        return crowd

    def all_slept(self, crowd):
        for number, client in enumerate(crowd):
            line = b"sleep %d\n" % number
            self.assertEqual(self.receive(client, len(line)), line)

    def kills_two(self, *options):
        """The poison kills one; two serves all others at once and keeps the
        poison until three is there; that ends it."""
        one, address = self.first(*options)
        two = self.next("two", *options)
        others = self.clients(address)
        poison = self.poison(address, one)
        two.expect(": owner: .* 0 closed")
        self.all_echo(others)
        others += self.clients(address, 3)
        self.assertEqual(self.peer("two")["suspects"], 1)
        self.assertIn("two: 1 connection is suspected", self.ok("status"))
        self.assertEqual(self.metric(2, "handler_deaths_total"), 1)
        self.assertNotIn(ALONE, two.output())

        three = self.next("three", *options)
        self.dies(two)
        self.assertIn(ALONE, two.output())
        three.expect(": owner: .* 1 closed")
        three.expect_error(TWICE)
        self.assert_ended(poison)
        self.all_echo(others)
        self.all_echo(self.clients(address, 3))
        self.assertEqual(self.peer("three")["suspects"], 0)
        self.assertEqual(self.peer("three")["ended_as_poison"], 1)
        self.assertEqual(self.closed(1, "poison"), 1)
        self.assertIn("1 the second time", self.ok("status"))

    def test_loop(self):
        self.kills_two(*MODELS["loop"])

    def test_thread(self):
        self.kills_two(*MODELS["thread"])

    def test_workers(self):
        self.kills_two(*MODELS["workers"])

    def test_fork(self):
        """Only children die, and two of them."""
        one, address = self.first(*MODELS["fork"])
        two = self.next("two", *MODELS["fork"])
        others = self.clients(address)
        poison = self.connect(address)
        self.assert_echo(poison)
        poison.sendall(b"crash")
        one.expect_error("in the handler: another one continues, once")
        one.expect_error(ALONE)
        one.expect_error("closed: .*SIGABRT|closed: .*Aborted")
        self.assert_ended(poison)
        self.all_echo(others)
        self.assertEqual(self.peer("one")["ended_as_poison"], 1)
        self.assertEqual(self.closed(1, "poison"), 1)
        self.assertEqual(self.metric(1, "handler_deaths_total"), 2)
        self.assertIsNone(one.process.poll())
        self.assertIsNone(two.process.poll())

    def test_fork_parent(self):
        """A death of the parent counts, and so does that of a child."""
        one, address = self.first(*MODELS["loop"])
        two = self.next("two", *MODELS["fork"])
        others = self.clients(address)
        poison = self.poison(address, one)
        two.expect(": owner: ")
        two.expect_error("closed: .*" + TWICE)
        self.assert_ended(poison)
        self.all_echo(others)

    def test_iterative(self):
        one, address = self.first(*MODELS["iterative"])
        two = self.next("two", "--suspect-wait", "300",
                        *MODELS["iterative"])
        poison = self.poison(address, one)
        two.expect(": owner: ")
        self.assert_ended(poison)
        self.clients(address, 1)

    def no_standby(self, *options):
        one, address = self.first(*options)
        two = self.next("two", "--suspect-wait", "1500", *options)
        others = self.clients(address)
        poison = self.poison(address, one)
        begin = time.monotonic()
        two.expect(": owner: ")
        self.all_echo(others)
        self.assert_ended(poison)
        self.assertGreater(time.monotonic() - begin, 1.0)
        two.expect_error("closed: a process died in its handler, and within "
                         "1500 ms no standby covered")
        self.all_echo(others)
        self.assertEqual(self.closed(2, "suspect"), 1)
        self.assertIn("1 without a standby", self.ok("status"))
        self.assertNotIn(ALONE, two.output())

    def test_no_standby_loop(self):
        self.no_standby(*MODELS["loop"])

    def test_no_standby_thread(self):
        self.no_standby(*MODELS["thread"])

    def test_no_standby_workers(self):
        self.no_standby(*MODELS["workers"])

    def test_stop_with_suspects(self):
        """A server that ends takes its suspects along, and does not wait."""
        one, address = self.first()
        two = self.next("two")
        poison = self.poison(address, one)
        two.expect(": owner: ")
        self.assertEqual(self.peer("two")["suspects"], 1)
        self.assertEqual(two.stop(), 0)
        self.assert_ended(poison)

    def test_cured(self):
        """A handler that returned in between has begun anew: three deaths on
        three inputs end nothing."""
        one, address = self.first("--model", "thread", "--sleep-ms", "300")
        peers = {"one": one}
        client = self.connect(address)
        for name, after in (("one", "two"), ("two", "three"),
                            ("three", "four")):
            peers[after] = self.next(after, "--model", "thread", "--sleep-ms",
                                     "300")
            self.covered(name)
            if name != "one":
                # It was suspected, and has returned.
                self.assertEqual(self.receive(client, 6), b"sleep\n")
            client.sendall(b"sleep\n")
            peers[name].expect("handler: sleeping")
            peers[name].process.kill()
            peers[name].wait()
            peers[after].expect(": owner: .* 0 closed")
        self.next("five", "--model", "thread")
        self.assertEqual(self.receive(client, 6), b"sleep\n")
        self.assert_echo(client)

    # SIGKILL while very many are inside their handlers: they are suspected,
    # and one after the other is cleared.

    def crowd(self, count, inside, *options):
        slow = (*options, "--sleep-ms", "20000")
        quick = (*options, "--sleep-ms", "20")
        one, address = self.first(*slow)
        two = self.next("two", *quick)
        idle = self.clients(address)
        crowd = self.sleepers(address, count)
        wait_until(lambda: one.output().count("handler: sleeping") >= inside,
                   "all to be in their handlers")
        self.covered("one")
        one.process.kill()
        one.wait()
        two.expect(": owner: .* 0 closed")
        self.all_echo(idle)
        if "fork" not in options:
            self.assertEqual(self.peer("two")["suspects"], inside)
        self.next("three", *quick)
        self.all_slept(crowd)
        self.all_echo(idle + crowd)
        wait_until(lambda: self.peer("two")["suspects"] == 0, "no suspects")
        self.assertEqual(self.metric(2, "handler_deaths_total"), inside)
        # What it logs is read by a thread of this test.
        wait_until(lambda: two.output().count(ALONE) >= inside, "all lines")
        self.assertEqual(two.output().count(ALONE), inside)
        self.assertEqual(self.closed(2, "poison"), 0)
        self.assertEqual(self.closed(2, "suspect"), 0)
        return two

    def test_crowd_thread(self):
        self.crowd(CROWD, CROWD, "--model", "thread")

    def test_crowd_fork(self):
        two = self.crowd(CROWD, CROWD, "--model", "fork")
        self.assertNotIn("Z", children(two.pid).values())

    def test_crowd_workers(self):
        """A worker is in one handler at a time."""
        self.crowd(CROWD, 60, "--workers", "60")

    def test_crowd_and_poison(self):
        """The one that kills is found among those that do not."""
        one, address = self.first("--model", "thread", "--sleep-ms", "20000")
        quick = ("--model", "thread", "--sleep-ms", "10")
        two = self.next("two", *quick)
        crowd = self.sleepers(address, CROWD)
        wait_until(lambda: one.output().count("handler: sleeping") == CROWD,
                   "all to be in their handlers")
        poison = self.poison(address, one)
        two.expect(": owner: ")
        three = self.next("three", *quick)
        self.dies(two)
        three.expect(": owner: .* 1 closed")
        self.assert_ended(poison)
        self.next("four", *quick)
        self.all_slept(crowd)
        self.all_echo(crowd)


if __name__ == "__main__":
    main()
