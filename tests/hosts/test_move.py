# SPDX-License-Identifier: MIT
"""A service moves to another host and comes home, with foreign connections that
notice nothing: every byte once and in order, no reset by any host, and each
connection served by one process. HANDOFF_LONG=1 is the full form."""
import os
import socket
import sys
import time

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
        counts = self.end(load)
        self.assertEqual(counts["connected"], connections)
        return counts

    def test_some_busy(self):
        self.both()
        self.round_trips("--active", CONNECTIONS // 5)

    def test_nothing_is_sent_twice(self):
        """By no client, as long as the network itself loses nothing."""
        self.both()
        # One message at a time: with two under way the kernel sends the
        # last one again after a few milliseconds (a tail loss probe).
        counts = self.round_trips(
            "--active", CONNECTIONS // 5, "--chunk", 256, "--window", 256,
            "--rate", 25600)
        if counts["max_gap_us"] > 150000:
            self.skipTest("the machine is too busy: an answer has taken "
                          f"{counts['max_gap_us'] // 1000} ms, in which any "
                          "client sends again")
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
        counts = load.result()
        self.assertTrue(counts["clean"], f"{counts}\n{self.told()}")

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
        counts = load.finish()
        self.assertTrue(counts["clean"], f"{counts}\n{self.told()}")

    def test_ended_meanwhile(self):
        """What has neither moved nor stayed is accounted for."""
        self.batch = 2
        self.both()
        clients = [self.dial(f"{SERVICE4}:{PORT}") for _ in range(8)]
        for client in clients:
            client.sendall(b"x")
            self.assertEqual(client.recv(1), b"x")
        stop = self.stop_at(self.ferries[self.a], "handoff__sending_frozen")
        mover = self.move_later(self.a)
        stop.hit()
        clients[-1].shutdown(socket.SHUT_WR)
        self.assertEqual(clients[-1].recv(1), b"")
        stop.go()
        self.assertRegex(self.finished(mover), r"moved 7 of 8 connections.*, "
                         "0 left; 1 has ended meanwhile")
        self.assertEqual(self.ferry_state(self.a)["move"]["ended"], 1)
        self.assert_served(self.b, 7)

    def test_none(self):
        """A service without connections moves, and gets some there."""
        self.both()
        said, moved = self.move(self.a)
        self.assertEqual(moved, 0, said)
        load = self.load("--connections", 10).ready()
        self.assert_served(self.b, 10)
        self.move_all(self.b, 10)
        self.end(load)


class Between(Hosts):
    """What else happens to the hosts."""

    def test_reboot(self):
        """All of A is gone once its service has left, and comes back."""
        self.ferries_die = True
        self.both()
        load = self.load("--connections", 100, "--active", 20).ready()
        self.move_all(self.a, 100)
        # Packets that come to A still are sent on for about a second more.
        self.await_(lambda: "handoff" not in self.a.run("nft", "list",
                                                        "tables"),
                    "the helper of A to have nothing to do any more")
        self.a.kill_all()
        load.check()
        self.ferry(self.a)
        standby = self.wait_on(self.a)
        self.move_all(self.b, 100)
        load.check()
        self.assertIsNone(standby.process.poll())
        self.end(load)

    def test_stops_the_server(self):
        """Of the host that the service has left: it ends at once."""
        server, _ = self.both()
        load = self.load("--connections", 20).ready()
        self.move_all(self.a, 20)
        self.assertEqual(server.stop(), 0)
        load.check()
        self.wait_on(self.a)
        self.move_all(self.b, 20)
        self.end(load)

    def test_fetch(self):
        """`ready` on the host that is to serve."""
        self.both()
        load = self.load("--connections", 50, "--active", 10).ready()
        self.move_all(self.a, 50)
        self.wait_ready(self.a)
        self.ok_on(self.a, "ready", "--silent")
        self.assert_served(self.a, 50)
        load.check()
        self.end(load)

    def serves_there(self, listen):
        """A service on A, and one on B with a listener of its own."""
        self.serve_on(self.a)
        there = self.start_on(self.b, "server", "--dir", self.b.dir,
                              "--listen", listen, "--origin", "2")
        there.expect(": owner: ")
        self.ferry(self.a)
        self.ferry(self.b)

    def own_clients(self, count, port=7010):
        """Of the address that B keeps."""
        return self.load("--connections", count,
                         addresses=[f"10.77.0.2:{port}"]).ready()

    def there_and_home(self, own_port):
        """B's own listener and its clients stay where they are."""
        own = self.own_clients(20, own_port)
        load = self.load("--connections", 40).ready()
        self.move(self.a)
        self.assert_served(self.b, 60)
        for _ in range(2):
            said, moved = self.move(self.b)
            self.assertEqual(moved, 40, said)
            self.await_(lambda: (self.served(self.a), self.served(self.b))
                        == ({"server": 40}, {"server": 20}),
                        "each to serve its own")
            own.check()
            load.check()
            self.end(self.own_clients(5, own_port))
            self.end(self.load("--connections", 5).ready())
            self.move(self.a)
            self.assert_served(self.b, 60)
            load.check()
            own.check()
        self.end(own)
        self.end(load)

    def test_serves_there_already(self):
        """B has a service of its own, with its own listener and clients."""
        self.serves_there("10.77.0.2:7010")
        self.there_and_home(7010)

    def test_listens_there_on_all_addresses(self):
        """B's own listener is the one that serves what has come."""
        self.serves_there(f"0.0.0.0:{PORT}")
        self.addresses = [f"{SERVICE4}:{PORT}"]
        self.there_and_home(PORT)

    def test_listens_at_home_for_itself(self):
        """A goes on with what the service's addresses do not reach."""
        server = self.serve_on(self.a, options=("--listen", "10.77.0.1:7010"))
        self.ferry(self.a)
        self.ferry(self.b)
        self.wait_on(self.b)
        own = self.load("--connections", 20,
                        addresses=["10.77.0.1:7010"]).ready()
        load = self.load("--connections", 40).ready()
        for _ in range(2):
            for source, served in ((self.a, ({"server": 20}, {"alt": 40})),
                                   (self.b, ({"server": 60}, {}))):
                said, moved = self.move(source)
                self.assertEqual(moved, 40, said)
                self.await_(lambda served=served: served == (
                    self.served(self.a), self.served(self.b)),
                            "each to serve its own")
                load.check()
                own.check()
                self.end(self.load("--connections", 5, addresses=[
                    "10.77.0.1:7010"]).ready())
        self.end(own)
        self.end(load)
        server.expect_error(f"{SERVICE4}:{PORT}': is not on this host: the "
                            "ferry brings its listener back with it")
        self.assertNotIn("cannot listen", server.output())

    def test_listens_at_home_and_waits(self):
        """An address comes home, and is on lo before the ferry has opened its
        listener: a server that lacks it and tries again all the time leaves it
        to the ferry."""
        self.serve_on(self.a, options=("--listen", "10.77.0.1:7010"))
        self.ferry(self.a)
        self.ferry(self.b)
        self.wait_on(self.b)
        load = self.load("--connections", 10).ready()
        self.move(self.a)
        self.wait_ready(self.a)
        stop = self.stop_at(
            self.ferries[self.a], "handoff__listeners_open")
        mover = self.move_later(self.b)
        stop.hit()
        self.assertTrue(self.a.has(SERVICE4, "lo"))
        end = time.monotonic() + 2.5  # several tries
        while time.monotonic() < end:
            self.assertNotIn(f"{SERVICE4}:{PORT} ",
                             self.a.run("ss", "-ltnH"))
        stop.go()
        self.finished(mover)
        self.assert_served(self.a, 10)
        self.end(load)

    def test_dry_run(self):
        """Says what would move, and moves nothing."""
        self.both()
        load = self.load("--connections", 30).ready()
        said = self.ok_on(self.a, "maintenance", "--to", "b", "--dry-run")
        self.assertIn("would move 30 of 30 connections", said)
        self.assert_served(self.a, 30)
        self.assertTrue(self.a.has(SERVICE4))
        self.end(load)

    def test_failover_there(self):
        """On B a peer of the usual kind can follow: the ferry makes room."""
        self.both()
        load = self.load("--connections", 20).ready()
        self.move_all(self.a, 20)
        second = self.wait_on(self.b, options=("--name", "second"))
        self.await_(lambda: self.served(self.b) and any(
            peer["name"] == "second" and peer["held"] == 20
            for peer in self.peers(self.b)), "the second to hold copies")
        self.programs[3].kill()
        second.expect(": owner: .* died")
        load.check()
        self.end(load)


class Lines:
    """A connection of C that sends lines and gets some."""

    def __init__(self, test, address):
        self.test = test
        self.sock = test.dial(address)
        self.lines = self.sock.makefile("rb")

    def say(self, *lines):
        self.sock.sendall("".join(line + "\n" for line in lines).encode())

    def next(self):
        return self.lines.readline().decode().rstrip("\n")

    def until(self, wanted):
        for line in self.lines:
            if line.decode().rstrip("\n") == wanted:
                return
        self.test.fail(f"the end came before '{wanted}'")


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

    def test_last_part(self):
        """A connection that the ferry itself has accepted, from the backlog,
        begins with the state with which the service lets one begin."""
        self.both(SUM_SERVICE, SUM_SERVICE,
                  options=("--grows", "--model", "iterative"))
        served = self.dial(self.addresses[0])
        served.sendall(b"one\n")
        self.assertEqual(served.recv(100), b"0\n")
        waits = self.dial(self.addresses[0])
        said, moved = self.move(self.a, "--whole")
        self.assertEqual(moved, 2, said)
        for sock, used in ((served, 8), (waits, 0), (waits, 8)):
            sock.sendall(b"two\n")
            self.assertEqual(sock.recv(100), b"%d\n" % used)
        self.assert_no_resets()

    def test_chat(self):
        """Posts between connections, some of which have moved."""
        self.both("chat", "chat")
        names = ("anna", "bert", "carl")
        people = {name: Lines(self, self.addresses[i % 2])
                  for i, name in enumerate(names)}
        for name, person in people.items():
            person.until("* welcome: what is your name?")
            person.say(name, "/who")
            person.until("* you are " + name)
        for name in names[:-1]:
            people[name].until("* carl has joined")
        for number in range(2 * ROUNDS):
            self.talk(people, f"before {number}")
            self.move_all((self.a, self.b)[number % 2], 3)
            self.talk(people, f"after {number}")
        self.assert_no_resets()

    def talk(self, people, text):
        """Each says it, and each other one gets exactly that."""
        for name, person in people.items():
            person.say(text)
            for other in people.values():
                if other is not person:
                    self.assertEqual(other.next(), f"{name}: {text}")

    def test_post_storm(self):
        """Posts to all while the connections move."""
        self.both(POST_SERVICE, POST_SERVICE)
        people = [Lines(self, self.addresses[i % 2]) for i in range(12)]
        for person in people:
            person.say("id")
            self.assertRegex(person.next(), r"^id \d+$")
        for number in range(2 * ROUNDS):
            # Moved while the posts of the first half are under way.
            for person in people[:6]:
                person.say(*(f"all {number}.{i}" for i in range(20)))
            self.move_all((self.a, self.b)[number % 2], len(people))
            wanted = [f"{number}.{i}" for i in range(20)]
            for person in people:
                got = [person.next() for _ in range(6 * 20)]
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
        self.end(load)

    def test_others_stay(self):
        """Refused by name, and served where they are."""
        self.proxy()
        load = self.load("--connections", 10,
                         addresses=[f"{SERVICE4}:{PORT}"]).ready()
        said = self.ok_on(self.a, "maintenance", "--to", "b", "--dry-run")
        self.assertRegex(said, r"would move 0 of 20 connections.*20 left: ")
        load.check()
        self.end(load)


if __name__ == "__main__":
    main()
