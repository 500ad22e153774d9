# SPDX-License-Identifier: MIT
"""A service moves to another host and comes home, with foreign connections that
notice nothing: every byte once and in order, no reset by any host, and each
connection served by one process. HANDOFF_LONG=1 is the full form."""
import os
import sys

from world import (LONG, PORT, SERVICE4, TOOLS, Hosts, main,
                   wait_until)

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                os.pardir, "fault"))
# pylint: disable=wrong-import-position
from sums import Talkers  # noqa

CONNECTIONS = 1000 if LONG else 200
ROUNDS = 10 if LONG else 2
SUM_SERVICE = os.path.join(TOOLS, "sum_service")
POST_SERVICE = os.path.join(TOOLS, "post_service")


class Streams(Hosts):
    def round_trips(self, *options, rounds=ROUNDS, connections=CONNECTIONS):
        load = self.load("--connections", connections, *options).ready()
        for _ in range(rounds):
            for source in (self.a, self.b):
                self.move_all(source, connections)
                load.check()
                self.assert_no_resets()
        counts = load.finish()
        self.assert_all_well(counts)
        self.assertEqual(counts["connected"], connections)

    def test_some_busy(self):
        self.both()
        self.round_trips("--active", CONNECTIONS // 5)
        self.assert_not_retransmitted()

    def test_all_busy(self):
        """Windows of 64 KiB on every connection, and short and long sends."""
        self.both()
        self.round_trips("--vary", "--window", 65536)

    def test_small_messages(self):
        self.both()
        self.round_trips("--chunk", 17, "--window", 170)

    def test_small_batches(self):
        self.batch = 7
        self.both()
        self.round_trips("--active", 20, rounds=1, connections=100)

    def test_workers(self):
        self.both(options=("--workers", 2))
        self.round_trips("--active", 50, rounds=2)

    def test_thread(self):
        self.both(options=("--model", "thread"))
        self.round_trips("--active", 50, rounds=2)

    def test_half_closes(self):
        """Each ends its side with all its bytes under way."""
        self.both()
        load = self.load("--connections", 50, "--bytes", "4M", "--vary",
                         "--half-close").ready()
        self.move(self.a)
        self.move(self.b)
        self.assert_all_well(load.result())

    def test_new_ones_meanwhile(self):
        """Short connections come all the time; none is refused or reset."""
        self.both()
        load = self.load("--connections", 50, "--active", 10, "--churn",
                         200).ready()
        for _ in range(ROUNDS):
            for source in (self.a, self.b):
                before = load.report()["churn"]
                self.move(source)
                wait_until(lambda before=before:
                           load.report()["churn"] > before + 50,
                           "more short connections")
        self.assert_all_well(load.finish())

    def test_none(self):
        """A service without connections moves, and gets some there."""
        self.both()
        said, moved = self.move(self.a)
        self.assertEqual(moved, 0, said)
        load = self.load("--connections", 10).ready()
        self.assert_served(self.b, 10)
        self.move_all(self.b, 10)
        self.assert_all_well(load.finish())


class Between(Hosts):
    """What else happens to the hosts."""

    def test_reboot(self):
        """All of A is gone once its service has left, and comes back."""
        self.both()
        load = self.load("--connections", 100, "--active", 20).ready()
        self.move_all(self.a, 100)
        # Packets that come to A still are sent on for about a second more.
        self.await_(lambda: not any("unfreeze" in p for p in self.names(self.a)),
                    "the helper of A to have nothing to do any more")
        self.a.kill_all()
        load.check()
        self.ferry(self.a)
        standby = self.wait_on(self.a)
        self.move_all(self.b, 100)
        load.check()
        self.assertIsNone(standby.process.poll())
        self.assert_all_well(load.finish())

    @staticmethod
    def names(host):
        found = []
        for pid in host.processes():
            try:
                with open(f"/proc/{pid}/comm", encoding="ascii") as file:
                    found.append(file.read().strip())
            except OSError:
                pass
        return found

    def test_stops_the_server(self):
        """Of the host that the service has left: it ends at once."""
        server, _ = self.both()
        load = self.load("--connections", 20).ready()
        self.move_all(self.a, 20)
        self.assertEqual(server.stop(), 0)
        load.check()
        self.wait_on(self.a)
        self.move_all(self.b, 20)
        self.assert_all_well(load.finish())

    def test_fetch(self):
        """`ready` on the host that is to serve."""
        self.both()
        load = self.load("--connections", 50, "--active", 10).ready()
        self.move_all(self.a, 50)
        self.wait_ready(self.a)
        self.ok_on(self.a, "ready", "--silent")
        self.assert_served(self.a, 50)
        load.check()
        self.assert_all_well(load.finish())

    def test_serves_there_already(self):
        """B has a service of its own, with its own listener and clients."""
        self.serve_on(self.a)
        there = self.start_on(self.b, "server", "--dir", self.b.dir,
                              "--listen", "10.77.0.2:7010")
        there.expect(": owner: ")
        self.ferry(self.a)
        self.ferry(self.b)
        own = self.load("--connections", 20,
                        addresses=["10.77.0.2:7010"]).ready()
        load = self.load("--connections", 40).ready()
        self.move(self.a)
        load.check()
        own.check()
        self.assert_served(self.b, 60)
        self.assert_all_well(own.finish())
        self.assert_all_well(load.finish())

    def test_dry_run(self):
        """Says what would move, and moves nothing."""
        self.both()
        load = self.load("--connections", 30).ready()
        said = self.ok_on(self.a, "maintenance", "--to", "b", "--dry-run")
        self.assertIn("would move 30 of 30 connections", said)
        self.assert_served(self.a, 30)
        self.assertTrue(self.a.has(SERVICE4))
        self.assert_all_well(load.finish())

    def test_failover_there(self):
        """On B a peer of the usual kind can follow: the ferry makes room."""
        self.both()
        load = self.load("--connections", 20).ready()
        self.move_all(self.a, 20)
        second = self.wait_on(self.b, "server", ("--name", "second"))
        self.await_(lambda: self.served(self.b) and any(
            peer["name"] == "second" and peer["held"] == 20
            for peer in self.peers(self.b)), "the second to hold copies")
        self.programs[3].kill()
        second.expect(": owner: .* died")
        load.check()
        self.assert_all_well(load.finish())


class States(Hosts):
    """Services whose answers show whether each line was handled once, with the
    state of its own connection."""

    def test_sums(self):
        self.both(SUM_SERVICE, SUM_SERVICE)
        with self.c.inside():
            talkers = Talkers(self, self.addresses[0])
        self.go_round(talkers)
        talkers.finish(self)
        self.assert_no_resets()

    def go_round(self, talkers, *options):
        for _ in range(ROUNDS):
            for source in (self.a, self.b):
                said, moved = self.move(source, *options)
                self.assertEqual(moved, len(talkers.talkers), said)
                before = talkers.progress()
                self.await_(lambda before=before: talkers.failure
                            or talkers.progress() > before, "answers")
                self.assertIsNone(talkers.failure, self.told())

    def test_shared_region(self):
        """It moves as a whole, and has counted each line once."""
        self.both(SUM_SERVICE, SUM_SERVICE, options=("--shared",))
        with self.c.inside():
            talkers = Talkers(self, self.addresses[0])
        self.go_round(talkers, "--whole")
        talkers.drain(self)
        with self.dial(self.addresses[0]) as sock:
            sock.sendall(b"total\n")
            self.assertEqual(sock.makefile().readline(), talkers.total())
        talkers.finish(self)
        self.assert_no_resets()

    def test_chat(self):
        """Posts between connections, some of which have moved."""
        self.both("chat", "chat")
        names = ("anna", "bert", "carl")
        socks = [self.enter(self.addresses[i % 2], name)
                 for i, name in enumerate(names)]
        for name, sock in zip(names, socks):
            self.until(sock, f"* {names[-1]} has joined" if name != names[-1]
                       else "* you are carl")
        for number in range(2 * ROUNDS):
            self.say(socks, names, f"before {number}")
            self.move_all((self.a, self.b)[number % 2], 3)
            self.say(socks, names, f"after {number}")
        self.assert_no_resets()

    def enter(self, address, name):
        sock = self.dial(address)
        sock.lines = sock.makefile("rb")
        self.until(sock, "* welcome: what is your name?")
        sock.sendall(name.encode() + b"\n/who\n")
        return sock

    def until(self, sock, wanted):
        for line in sock.lines:
            if line.decode().rstrip("\n") == wanted:
                return
        self.fail(f"the end came before '{wanted}'")

    def say(self, socks, names, text):
        """Each says it, and each other one gets exactly that."""
        for name, sock in zip(names, socks):
            sock.sendall(text.encode() + b"\n")
            for other in socks:
                if other is not sock:
                    self.assertEqual(other.lines.readline().decode(),
                                     f"{name}: {text}\n")

    def test_post_storm(self):
        """Posts to all while the connections move."""
        self.both(POST_SERVICE, POST_SERVICE)
        socks = [self.dial(self.addresses[i % 2]) for i in range(12)]
        for sock in socks:
            sock.lines = sock.makefile("rb")
            sock.sendall(b"id\n")
            self.assertRegex(sock.lines.readline(), rb"^id \d+\n")
        for number in range(2 * ROUNDS):
            # Moved while the posts of the first half are under way.
            for sock in socks[:6]:
                sock.sendall(b"".join(b"all %d.%d\n" % (number, i)
                                      for i in range(20)))
            self.move_all((self.a, self.b)[number % 2], len(socks))
            for sock in socks:
                got = [sock.lines.readline() for _ in range(6 * 20)]
                wanted = [b"post %d.%d\n" % (number, i) for i in range(20)]
                self.assertEqual(sorted(got), sorted(6 * wanted))
        self.assert_no_resets()


class Pairs(Hosts):
    """A proxy: each client's connection and that to the backend are a pair."""

    def proxy(self):
        """The backend is on C, beside the clients."""
        backend = self.start_on(self.c, "server", "--dir", self.c.dir,
                                "--listen", "10.77.0.3:7020")
        backend.expect(": owner: ")
        self.both("proxy", "proxy",
                  options=("--backend", "10.77.0.3:7020"))

    def test_bound_pairs_move(self):
        """What the proxy dials comes from the service's address."""
        self.a.ip("route add 10.77.0.3/32 dev e0 src 10.77.0.100")
        self.proxy()
        load = self.load("--connections", 50, "--active", 20, "--vary",
                         addresses=[f"{SERVICE4}:{PORT}"]).ready()
        self.move_all(self.a, 100)
        load.check()
        self.move_all(self.b, 100)
        load.check()
        self.assert_all_well(load.finish())

    def test_others_stay(self):
        """Refused by name, and served where they are."""
        self.proxy()
        load = self.load("--connections", 10,
                         addresses=[f"{SERVICE4}:{PORT}"]).ready()
        said = self.ok_on(self.a, "maintenance", "--to", "b", "--dry-run")
        self.assertRegex(said, r"would move 0 of 20 connections.*20 left: ")
        load.check()
        self.assert_all_well(load.finish())


if __name__ == "__main__":
    main()
