# SPDX-License-Identifier: MIT
"""Deaths by SIGKILL, and cuts of the network, at every state of a batch: a ferry
is stopped where it comes to a function, somebody dies, and it goes on or is
itself the one. Nothing is lost, and who is left serves within a second, unless
only the other host could know; then a new ferry asks it. HANDOFF_LONG=1 is the
full form, HANDOFF_SEED another choice of the short one."""
import os
import signal

from test_edges import LARGE, Stream
from world import LONG, PORT, SCALE, SEED, SERVICE4, Hosts, halt, main

CONNECTIONS, ACTIVE, BATCH = 48, 16, 16
# seconds: a machine that runs other tests stands still for one, and the full
# form is run alone
SOON = (1 if LONG else 4) * SCALE

# Where the ferries of A and B stop: which call of which function.
SENDING = [
    ("handoff__sending_begin", 2), ("handoff__sending_held", 2),
    ("handoff__sending_taken", 2), ("handoff__migrate_freeze", 5),
    ("handoff__sending_frozen", 2), ("handoff__sending_prepared", 2),
    ("handoff__migrate_unchanged", 5), ("handoff__sending_checked", 2),
    ("handoff__sending_word", 2), ("handoff__sending_serving", 2),
    ("handoff__migrate_end", 5),
]
RECEIVING = [
    ("handoff__receiving_begin", 2), ("handoff__receiving_entry", 20),
    ("handoff__migrate_prepare_with", 20), ("handoff__receiving_end", 2),
    ("handoff__receiving_held", 2), ("handoff__receiving_guarded", 2),
    ("handoff__receiving_commit", 2), ("handoff__receiving_word", 2),
    ("handoff__migrate_commit", 20), ("handoff__migrate_send", 20),
    ("handoff__receiving_served", 2), ("handoff__receiving_forget", 2),
]
# Where A is about to decide, or has, and B's part is not done: if the ferry of B
# dies then, the packets wait at A until a new one has said that B serves. At the
# end of a batch that may be so for the next one.
PROMISED = {"handoff__sending_prepared", "handoff__migrate_unchanged",
            "handoff__sending_checked", "handoff__sending_word",
            "handoff__sending_serving", "handoff__migrate_end",
            "handoff__receiving_commit", "handoff__receiving_word",
            "handoff__migrate_commit", "handoff__migrate_send",
            "handoff__receiving_served",
            "handoff__receiving_forget"}
# Where a cut finds nothing decided, and A goes on alone.
OPEN = {"handoff__sending_begin", "handoff__sending_held",
        "handoff__sending_taken", "handoff__migrate_freeze",
        "handoff__sending_frozen", "handoff__receiving_begin",
        "handoff__receiving_entry", "handoff__migrate_prepare_with",
        "handoff__receiving_end", "handoff__receiving_held",
        "handoff__receiving_guarded"}
VICTIMS = ("ferry a", "ferry b", "gate a", "gate b", "server", "standby")


def in_first_batch(times):
    """The call of a function that is that of the first batch, when nothing else
    is decided."""
    return 1 if times == 2 else 5


def needs_another(function, name):
    """Whether the connections have to wait for what follows the dead."""
    return (name in ("server", "standby")
            or (name == "ferry a" and function == "handoff__sending_word")
            or (name == "ferry b" and function in PROMISED))


class Moving(Hosts):
    batch = BATCH
    ferries_die = True
    options = ()  # of the servers

    def prepare(self, host, function, times):
        """A move that stands still at that function."""
        self.both()
        load = self.load(
            "--connections", CONNECTIONS, "--active", ACTIVE, "--chunk", 4096,
            "--window", 16384).ready()
        stop = self.stop_at(self.ferries[host], function, times)
        self.mover = self.move_later(self.a)
        stop.hit()
        return load, stop

    def victim(self, name):
        """Its process, or None if there is none now."""
        kind, _, host = name.partition(" ")
        host = {"a": self.a, "b": self.b}.get(host)
        if kind == "ferry":
            return self.ferries[host].pid
        if kind == "gate":
            return next(iter(host.named("handoff-unfreeze")), None)
        return self.programs[{"server": 0, "standby": 3}[kind]].pid

    def bring_back(self, name):
        """As a supervisor would."""
        if name == "ferry a":
            self.ferry(self.a)
        elif name == "ferry b":
            self.ferry(self.b)
        elif name == "server":
            self.start_on(self.a, "alt_server", "--dir", self.a.dir,
                          "--name", "again", *self.options)
        elif name == "standby":
            self.start_on(self.b, "alt_server", "--dir", self.b.dir,
                          "--name", "again", *self.options)

    def cell(self, host, function, times, name):
        """One death. Of what is with B's ferry nothing may be decided, if A is
        to go on alone: two batches are under way."""
        if name == "ferry b" and not needs_another(function, name):
            times = in_first_batch(times)
        load, stop = self.prepare(host, function, times)
        pid = self.victim(name)
        self.assertIsNotNone(pid, f"{name} is not there\n{self.told()}")
        if pid == self.ferries[host].pid:
            stop.kill()
        else:
            os.kill(pid, signal.SIGKILL)
            stop.go()
        if not needs_another(function, name):
            self.serves(load)
        self.bring_back(name)
        self.serves(load, 5)
        self.mover.wait(60 * SCALE)
        self.all_go(load)

    def serves(self, load, times=1):
        """All are served, soon."""
        try:
            load.check(times * SOON)
        except AssertionError as error:
            raise AssertionError(
                f"{error}\n{self.peers(self.a)}\n{self.peers(self.b)}\n"
                f"{load.report()}\n{self.told()}") from None
        self.assert_no_resets()

    def all_go(self, load):
        """Nothing is in doubt, and what is left can follow."""
        state = self.await_(lambda: self.ferry_state(self.a),
                            "the ferry of A to join")
        if state["site"] == "here":
            self.move(self.a)
        self.assert_served(self.b, CONNECTIONS)
        for host in (self.a, self.b):
            self.await_(lambda host=host: self.ferry_state(host) and not
                        self.ferry_state(host)["batches_in_doubt"],
                        "nothing to be in doubt")
        self.end(load)

    def cut(self, host, function, times, ends):
        """The network is cut in the first batch, while the ferry stands there,
        and heals after both have noticed."""
        load, stop = self.prepare(host, function, in_first_batch(times))
        self.world.cut(*ends)
        stop.go()
        if self.c in ends:
            self.finished(self.mover)
            self.world.heal()
        else:
            # How long the other host may take to prepare, and a second.
            if function in OPEN:
                self.serves(load, 4)
            self.await_(lambda: all(
                (self.ferry_state(h) or {"linked": True})["linked"] is False
                for h in (self.a, self.b)),
                        "both ferries to notice", 30 * SCALE)
            self.world.heal()
            self.mover.wait(60 * SCALE)
        self.serves(load, 5)
        self.all_go(load)


class Deaths(Moving):
    """One for each cell."""


def cells():
    """Every ferry at each of its own states; the others all, or a part."""
    for host, functions in (("a", SENDING), ("b", RECEIVING)):
        for number, (function, times) in enumerate(functions):
            for place, name in enumerate(VICTIMS):
                own = name == "ferry " + host
                if own or LONG or (number + place + SEED) % 7 == 0:
                    yield host, function, times, name


def cuts():
    for host, functions in (("a", SENDING), ("b", RECEIVING)):
        for number, (function, times) in enumerate(functions):
            for place, ends in enumerate(("ab", "ac")):
                if LONG or (number + place + SEED) % 4 == 0:
                    yield host, function, times, ends


def add(name, function):
    function.__name__ = name
    setattr(Deaths, name, function)


for HOST, FUNCTION, TIMES, WHO in cells():
    add(f"test_{WHO}_at_{HOST}_{FUNCTION[9:]}".replace(" ", "_"),
        lambda self, host=HOST, function=FUNCTION, times=TIMES, who=WHO:
        self.cell(getattr(self, host), function, times, who))
for HOST, FUNCTION, TIMES, ENDS in cuts():
    add(f"test_cut_{ENDS}_at_{HOST}_{FUNCTION[9:]}",
        lambda self, host=HOST, function=FUNCTION, times=TIMES, ends=ENDS:
        self.cut(getattr(self, host), function, times,
                 [getattr(self, end) for end in ends]))


class Hangs(Moving):
    """Parties that do not answer are no party; and can come back."""

    def hang(self, name):
        self.both()
        load = self.load("--connections", CONNECTIONS, "--active",
                         ACTIVE).ready()
        pid = self.victim(name)
        halt(pid)
        mover = self.move_later(self.a)
        code = mover.wait(60 * SCALE)
        self.assertNotEqual(code, 0, mover.output())
        self.serves(load)
        os.kill(pid, signal.SIGCONT)
        self.wait_ready(self.b)
        self.serves(load, 5)
        self.all_go(load)

    def test_ferry_there(self):
        self.hang("ferry b")

    def test_standby_there(self):
        self.hang("standby")


class Addresses(Moving):
    """The ferry of A dies while it gives the addresses away: the next one
    finds out where they belong."""

    def die(self, *lost):
        load, stop = self.prepare(
            self.a, "handoff__address_off_device", 2)
        stop.kill()
        if lost:
            self.a.ip(*lost)
        self.mover.wait()
        self.ferry(self.a)
        return load

    def all_on(self, host):
        self.await_(lambda: all(host.has(address) for address in
                                ("10.77.0.100", "fd77::100")),
                    f"the addresses to be on {host.name}")

    def test_one_is_gone(self):
        """They are where the other one is, and what comes is sent on."""
        load = self.die()
        self.all_on(self.a)
        self.assertFalse(self.b.has("10.77.0.100"))
        load.check()

    def test_all_are_gone(self):
        load = self.die("addr del fd77::100/64 dev e0")
        self.all_on(self.b)
        load.check()


class Away(Moving):
    """The ferry of A dies while the service is on B."""

    def test_nobody_takes_a_for_home(self):
        self.both()
        load = self.load("--connections", 10).ready()
        self.move(self.a)
        os.kill(self.ferries[self.a].pid, signal.SIGKILL)
        words = r"the service is on another host, and no ferry is in .*: "

        def ready():
            code, out, err = self.ctl_on(self.a, "ready")
            self.assertNotEqual(code, 0, out + self.told())
            return err
        self.await_(lambda: self.ok_on(self.a, "status").count(
            "the service is on another host: the ferry"), "A to know it")
        self.assertRegex(ready(), words + "start handoff-ferry")
        spare = self.wait_on(self.a, options=("--name", "spare"))
        self.assertRegex(ready(), words + "stop one of the two servers")
        self.assert_served(self.b, 10)
        spare.stop()
        self.ferry(self.a)
        self.wait_ready(self.a)
        self.await_(lambda: self.ferry_state(self.a)["linked"], "the link")
        self.assertRegex(self.ok_on(self.a, "ready"), "moved 10 of 10")
        self.assertNotIn("another host", self.ok_on(self.a, "status"))
        self.assert_served(self.a, 10)
        self.end(load)


class Both(Moving):
    """Two at once."""

    def test_all_of_the_other_host(self):
        """B is lost before anything is decided: A goes on alone."""
        load, stop = self.prepare(self.b, "handoff__receiving_held", 1)
        self.world.pull(self.b)
        stop.kill()
        self.b.kill_all()
        self.serves(load, 4)
        self.mover.wait(60 * SCALE)
        self.world.heal()
        self.ferry(self.b)
        self.wait_on(self.b)
        self.all_go(load)

    def gate_and_ferry(self, function, times):
        """Nobody on A knows any more what has moved: its packets get to where
        they belong all the same, and none is answered by a reset."""
        load, stop = self.prepare(self.a, function, times)
        os.kill(self.victim("gate a"), signal.SIGKILL)
        stop.kill()
        self.mover.wait(60 * SCALE)
        self.assertIn("server", self.served(self.a), self.told())
        self.assertTrue(self.served(self.b), self.told())
        self.ferry(self.a)
        self.serves(load, 10)
        late = self.dial(f"{SERVICE4}:{PORT}")
        for word in (b"one\n", b"two\n"):
            late.sendall(word)
            self.assertTrue(late.recv(100))
        late.close()
        self.all_go(load)
        self.await_(lambda: not self.victim("gate a") or not
                    self.has_rules(self.a), "the rules of A to be removed")

    def has_rules(self, host):
        return "handoff-" in host.run("nft", "list", "tables")

    def test_gate_and_ferry(self):
        # at the second one the third batch may have been decided, too
        self.gate_and_ferry("handoff__sending_serving", 1)

    def test_gate_and_ferry_committed(self):
        self.gate_and_ferry("handoff__sending_word", 2)

    def test_all_and_the_directory(self):
        """Everything on A is gone, its service directory too, and rules are
        left that drop packets to the service: the gate of a ferry in a new
        directory removes them."""
        _, stop = self.prepare(self.a, "handoff__sending_prepared", 1)
        os.kill(self.programs[0].pid, signal.SIGKILL)
        os.kill(self.victim("gate a"), signal.SIGKILL)
        stop.kill()
        self.mover.wait(60 * SCALE)
        self.assertTrue(self.has_rules(self.a))
        os.rename(self.a.dir, self.a.dir + ".old")
        self.serve_on(self.a)
        self.ferry(self.a).expect_error("removed 1 set of rules")
        sock = self.dial(f"{SERVICE4}:{PORT}")
        sock.sendall(b"hello\n")
        self.assertEqual(sock.recv(100), b"hello\n")
        self.wait_ready(self.b)
        self.move(self.a)
        sock.sendall(b"again\n")
        self.assertEqual(sock.recv(100), b"again\n")
        self.await_(lambda: not self.victim("gate a") or not
                    self.has_rules(self.a), "the rules of A to be removed")

    def frozen(self, host, function, times):
        """A ferry and its gate leave sockets in repair mode that the server
        there has claimed: the next ferry lets them go, or finishes them."""
        load, stop = self.prepare(host, function, times)
        os.kill(self.victim(f"gate {host.name}"), signal.SIGKILL)
        stop.kill()
        self.ferry(host)
        self.serves(load, 10)
        self.mover.wait(60 * SCALE)
        self.wait_ready(self.b)
        self.all_go(load)

    def test_gate_and_ferry_frozen(self):
        self.frozen(self.a, "handoff__migrate_freeze", 5)

    def test_gate_and_ferry_shipped(self):
        self.frozen(self.a, "handoff__sending_prepared", 2)

    def test_gate_and_ferry_there_held(self):
        self.frozen(self.b, "handoff__receiving_held", 2)

    def test_gate_and_ferry_there_in_doubt(self):
        self.frozen(self.b, "handoff__receiving_commit", 2)

    def test_gate_and_ferry_there_committed(self):
        self.frozen(self.b, "handoff__receiving_word", 2)

    def test_gate_and_ferry_there_finishing(self):
        self.frozen(self.b, "handoff__migrate_commit", 20)

    def test_gate_and_ferry_there_sending(self):
        self.frozen(self.b, "handoff__migrate_send", 20)

    def test_gate_and_ferry_there_served(self):
        self.frozen(self.b, "handoff__receiving_served", 2)

    def full_streams(self):
        """Connections whose clients have read nothing: every queue on the way
        is full, and the server has more."""
        for host in (self.a, self.b):
            host.settings(LARGE)
        streams = [Stream(self, address) for address in self.addresses]
        for stream in streams:
            stream.fill()
        return streams

    def both_of(self, program):
        """As `both`, with a program that has a loop of its own."""
        self.addresses = [f"{SERVICE4}:{PORT}"]
        self.start_on(self.a, program, "--dir", self.a.dir, "--name",
                      "server", "--host", SERVICE4, "--port",
                      str(PORT)).expect(": owner: ")
        self.ferry(self.a)
        # or it would serve on B
        self.ferry(self.b).expect_error("owns echo here")
        self.start_on(self.b, program, "--dir", self.b.dir, "--name", "alt",
                      "--host", SERVICE4).expect(": standby: ")
        self.wait_ready(self.b)

    def die_sending(self, times, *also):
        """The ferry of B dies when a socket is not frozen any more, and lacks
        the output that A had not sent."""
        stop = self.stop_at(self.ferries[self.b], "handoff__migrate_send",
                            times)
        self.mover = self.move_later(self.a)
        stop.hit()
        for name in also:
            os.kill(self.victim(name), signal.SIGKILL)
        stop.kill()

    def every_byte(self, streams):
        for stream in streams:
            stream.check()
        self.mover.wait(60 * SCALE)
        self.wait_ready(self.b)
        for stream in streams:
            stream.check()
        self.assert_no_resets()

    def unsent(self, times):
        """The gate sends it, beside a server that has output too."""
        self.both()
        streams = self.full_streams()
        self.die_sending(times)
        self.await_(lambda: sum(self.served(self.b).values()) == 2,
                    "the server of B to have them")
        for stream in streams:
            stream.take_some(0.5)
        self.ferry(self.b)
        self.every_byte(streams)

    def test_unsent_output(self):
        self.unsent(1)

    def test_unsent_output_of_the_other(self):
        self.unsent(2)

    def unsent_without_gate(self, times, program=None):
        """Nobody sends it before the next ferry: the clients get what the
        sockets have, and not a byte of what comes after it."""
        if program:
            self.both_of(program)
        else:
            self.both()
        streams = self.full_streams()
        count = len(streams)
        self.die_sending(times, "gate b")
        self.await_(lambda: sum(self.served(self.b).values()) == count,
                    "the server of B to have them")
        for stream in streams:
            stream.take_some(0.5)
            self.assertTrue(stream.due)
        self.ferry(self.b)
        self.every_byte(streams)

    def test_unsent_output_without_gate(self):
        self.unsent_without_gate(1)

    def test_unsent_output_of_the_other_without_gate(self):
        self.unsent_without_gate(2)

    def test_unsent_output_of_a_program(self):
        """One with a loop of its own gets the connection when it is complete,
        and its positions are not in the record."""
        folder = os.environ.get("HANDOFF_LOOPS")
        if not folder:
            self.skipTest("HANDOFF_LOOPS is not set: no such program")
        self.unsent_without_gate(1, os.path.join(folder, "poll_server"))

    def server_and_ferry(self, host, function, times, left, again=False):
        """A server and the ferry beside it: its connections are lost, but those
        that had left it are the other host's, which is not left in doubt."""
        _, stop = self.prepare(host, function, times)
        os.kill(self.programs[0 if host is self.a else 3].pid, signal.SIGKILL)
        stop.kill()
        self.mover.wait(60 * SCALE)
        if again:
            self.serve_on(host)
        self.ferry(host)
        other = self.world.other(host)
        for each in (host, other):
            self.await_(lambda each=each: self.state(each, "linked") and
                        not self.state(each, "batches_in_doubt"),
                        "nothing to be in doubt")
        # Batches overlap: A may have decided about one more or less than B
        # had seen.
        some = 0 if host is self.a else BATCH
        least, most = max(left - some, 0), min(left + some, CONNECTIONS)
        self.await_(lambda: least <= sum(self.served(other).values()) <= most
                    and not self.served(host),
                    f"{least} to {most} connections on {other.name} and none "
                    f"on {host.name}")

    def test_server_and_ferry_open(self):
        self.server_and_ferry(self.a, "handoff__sending_prepared", 2, BATCH)

    def test_server_and_ferry_committed(self):
        self.server_and_ferry(self.a, "handoff__sending_word", 2, 2 * BATCH)

    def test_server_and_ferry_then_another_server(self):
        """It has an arena of its own."""
        self.server_and_ferry(self.a, "handoff__sending_word", 2, 2 * BATCH,
                              again=True)

    def test_server_and_ferry_served(self):
        self.server_and_ferry(self.a, "handoff__sending_serving", 2, 2 * BATCH)

    def test_server_and_ferry_there_open(self):
        self.server_and_ferry(self.b, "handoff__receiving_held", 2,
                              CONNECTIONS - BATCH)

    def test_server_and_ferry_there_promised(self):
        self.server_and_ferry(self.b, "handoff__receiving_commit", 2,
                              CONNECTIONS - 2 * BATCH)

    def test_server_and_ferry_there_committed(self):
        self.server_and_ferry(self.b, "handoff__receiving_served", 2,
                              CONNECTIONS - 2 * BATCH)

    def test_both_ferries(self):
        """In the midst: each side goes on with what is its own, and the batch
        before, which B may not know to be its own, when both are back."""
        load, stop = self.prepare(self.a, "handoff__sending_prepared", 2)
        os.kill(self.ferries[self.b].pid, signal.SIGKILL)
        stop.kill()
        self.mover.wait(60 * SCALE)
        self.ferry(self.a)
        self.ferry(self.b)
        self.wait_ready(self.b)
        self.serves(load, 5)
        self.all_go(load)

    def test_both_ferries_at_first(self):
        """Nothing is decided: A goes on alone, within a second."""
        load, stop = self.prepare(self.a, "handoff__sending_prepared", 1)
        os.kill(self.ferries[self.b].pid, signal.SIGKILL)
        stop.kill()
        self.mover.wait(60 * SCALE)
        self.serves(load)
        self.ferry(self.a)
        self.ferry(self.b)
        self.wait_ready(self.b)
        self.all_go(load)


if __name__ == "__main__":
    main()
