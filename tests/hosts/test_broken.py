# SPDX-License-Identifier: MIT
"""Moves that were broken off: what of them is on the other host comes back, a
server that nobody can reach gives up what it got for the move, and a batch in
doubt outlives a stop, or is settled by the operator."""
import os
import signal

from test_deaths import BATCH, CONNECTIONS, Moving
from world import PORT, SCALE, SERVICE4, SERVICE6, TOOLS, main

SUM_SERVICE = os.path.join(TOOLS, "sum_service")
ALL = 64  # connections that a batch may have: all are in one


class Broken(Moving):
    def break_off(self, function, times, load=None):
        """The link of the ferries is cut while A's stands at that function."""
        if load is None:
            load, stop = self.prepare(self.a, function, times)
        else:
            stop = self.stop_at(self.ferries[self.a], function, times)
            self.mover = self.move_later(self.a)
            stop.hit()
        self.world.cut(self.a, self.b)
        stop.go()
        self.await_(lambda: not any(self.state(host, "linked")
                                    for host in (self.a, self.b)),
                    "both ferries to notice", 30 * SCALE)
        self.assertNotEqual(self.mover.wait(60 * SCALE), 0)
        return load

    def heal(self):
        self.world.heal()
        self.wait_ready(self.b)

    def role(self, host, name):
        return next((peer["role"] for peer in self.peers(host)
                     if peer["name"] == name), None)

    def stands_by(self):
        """The server of B has given back what it got, and nothing of the
        service is there."""
        self.await_(lambda: self.role(self.b, "alt") == "standby",
                    "the server of B to be a standby again")
        self.assertNotIn(SERVICE4, self.b.run("ip", "addr", "show"))
        self.assertEqual(self.b.run("ss", "-4tlnH", "src", SERVICE4), "")

    def half_way(self):
        """One batch is on B, or two: the next one is under way by then."""
        load = self.break_off("handoff__sending_serving", 1)
        self.heal()
        self.settled()
        self.there = self.served(self.b)["alt"]
        self.assertIn(self.there, (BATCH, 2 * BATCH))
        return load

    def settled(self):
        """All are served by one host or the other."""
        self.await_(lambda: sum(sum(self.served(host).values())
                                for host in (self.a, self.b)) == CONNECTIONS
                    and not any(self.state(host, "batches_in_doubt")
                                for host in (self.a, self.b)),
                    "all to be served")

    # What nobody can reach

    def test_nothing_moved(self):
        load = self.break_off("handoff__sending_frozen", 1)
        self.serves(load)
        self.heal()
        self.stands_by()
        self.assert_served(self.a, CONNECTIONS)
        self.move_all(self.a, CONNECTIONS)
        self.move_all(self.b, CONNECTIONS)
        self.end(load)

    def test_own_listeners_stay(self):
        """B has a service of its own: only what came with the move goes."""
        self.serve_on(self.a)
        self.start_on(self.b, "server", "--dir", self.b.dir, "--listen",
                      "10.77.0.2:7010", "--origin", "2").expect(": owner: ")
        self.ferry(self.a)
        self.ferry(self.b)
        self.wait_ready(self.b)
        own = self.load("--connections", 5,
                        addresses=["10.77.0.2:7010"]).ready()
        load = self.load("--connections", 20).ready()
        self.break_off("handoff__sending_frozen", 1, load)
        self.heal()
        self.await_(lambda: SERVICE4 not in self.b.run("ss", "-4tlnH"),
                    "B to listen for itself alone")
        own.check()
        self.serves(load)
        self.move(self.a)
        own.check()
        self.serves(load)

    # What has moved

    def test_status_says_what_is_there(self):
        load = self.half_way()
        text = (f"serves {self.there} connections that an interrupted move has "
                "brought here: the addresses are on a, and ready there takes "
                "them back")
        self.await_(lambda: text in self.ok_on(self.b, "status"),
                    "B to say what it serves")
        self.assertEqual(self.state(self.b, "visiting"), self.there)
        self.end(load)

    def test_ready_brings_it_back(self):
        load = self.half_way()
        said = self.ok_on(self.a, "ready")
        self.assertIn(f"moved {self.there} of {self.there} connections from b",
                      said)
        self.assert_served(self.a, CONNECTIONS)
        self.serves(load, 10)  # what a client waits before it sends again
        self.stands_by()
        self.assertIn("the service is here", self.ok_on(self.a, "ready"))
        self.move_all(self.a, CONNECTIONS)
        self.move_all(self.b, CONNECTIONS)
        self.end(load)

    def test_ready_needs_the_link(self):
        """It does not say that all is here, as long as it cannot know."""
        load = self.break_off("handoff__sending_serving", 1)
        code, _, err = self.ctl_on(self.a, "ready")
        self.assertEqual(code, 1, self.told())
        self.assertRegex(err, "connections .* on b, .* no link")
        self.heal()
        self.settled()
        self.ok_on(self.a, "ready")
        self.assert_served(self.a, CONNECTIONS)
        self.end(load)

    def test_ready_again(self):
        """The way back is broken off too, and is gone again."""
        load = self.half_way()
        stop = self.stop_at(self.ferries[self.b], "handoff__sending_prepared")
        self.mover = self.start_on(self.a, "handoffctl", "--dir", self.a.dir,
                                   "ready")
        stop.hit()
        self.world.cut(self.a, self.b)
        stop.go()
        self.assertNotEqual(self.mover.wait(60 * SCALE), 0)
        self.heal()
        self.settled()
        self.serves(load, 10)
        self.ok_on(self.a, "ready")
        self.assert_served(self.a, CONNECTIONS)
        self.end(load)

    def test_ready_with_a_region(self):
        """It is one with the connections that have moved, so they do not come
        without it."""
        self.both(SUM_SERVICE, SUM_SERVICE, options=("--shared",))
        sock = self.dial(f"{SERVICE4}:{PORT}")
        lines = sock.makefile("rb")

        def count():
            sock.sendall(b"line\n")
            return int(lines.readline().split()[0])
        self.assertEqual(count(), 1)
        self.break_off("handoff__sending_word", 1, sock)
        self.heal()
        self.await_(lambda: self.served(self.b) == {"sum": 1},
                    "B to hear that it serves")
        code, _, err = self.ctl_on(self.a, "ready")
        self.assertEqual(code, 1, self.told())
        self.assertIn("a shared region, which moves as a whole: maintenance "
                      "--to takes the addresses there first", err)
        self.assertEqual(count(), 2)
        self.ok_on(self.a, "maintenance", "--to", "b")
        self.wait_ready(self.a)
        self.ok_on(self.a, "ready")
        self.assertEqual(count(), 3)
        sock.sendall(b"total\n")
        self.assertEqual(lines.readline().split()[0], b"3")

    # In doubt

    def in_doubt(self):
        """The ferry of B dies when it is about to hear that A has decided: its
        server knows of a batch, and not whose that is."""
        self.batch = ALL
        load, stop = self.prepare(self.b, "handoff__receiving_commit", 1)
        stop.kill()
        self.mover.wait(60 * SCALE)
        self.await_(lambda: sum(peer["in_doubt"] for peer in
                                self.peers(self.b)) == CONNECTIONS,
                    "the server of B to have them in doubt")
        return load

    def test_stop_waits_for_a_ferry(self):
        """An operator is told why not; a signal has its effect once the
        connections are in the hands of a ferry."""
        load = self.in_doubt()
        standby = self.programs[3]
        code, out, err = self.ctl_on(self.b, "stop", "alt")
        self.assertEqual((code, out), (1, ""), self.told())
        self.assertRegex(err, f"{CONNECTIONS} connections of batch "
                         "[0-9a-f]{16} "
                         "are in doubt and would be lost: start handoff-ferry")
        standby.signal(signal.SIGTERM)
        standby.expect_error("stop: waits: .* in doubt")
        self.assertIsNone(standby.process.poll())
        self.ferry(self.b)
        self.assertEqual(standby.wait(), 0, self.told())
        self.wait_on(self.b, options=("--name", "again"))
        self.wait_ready(self.b)
        self.serves(load, 10)
        self.all_go(load)

    def settle(self, host, *words):
        """When the link has been down for a while."""
        said = []

        def settled():
            code, out, err = self.ctl_on(host, "settle", *words)
            said[:] = [out]
            self.assertTrue(code == 0 or "try again" in err, err)
            return code == 0
        self.await_(settled, "the batch to be settled")
        return said[0]

    def doubt(self, host):
        """The only batch that its ferry has in doubt."""
        doubts = self.await_(lambda: self.state(host, "doubts"), "a doubt")
        self.assertEqual(len(doubts), 1)
        return doubts[0]

    def test_settle_here(self):
        """A is gone for good, in the moment in which it had decided: B is
        told to serve, and does."""
        self.batch = ALL
        load, stop = self.prepare(self.b, "handoff__receiving_commit", 1)
        self.world.pull(self.a)
        stop.kill()
        self.a.kill_all()
        self.ferry(self.b)
        doubt = self.doubt(self.b)
        self.assertEqual((doubt["direction"], doubt["connections"]),
                         ("in", CONNECTIONS))
        self.assertIn(f"batch {doubt['batch']}: {CONNECTIONS} connections "
                      "from ", self.ok_on(self.b, "status"))
        said = self.settle(self.b, "--here", doubt["batch"])
        self.assertRegex(said, "is settled: its connections are served here\n"
                         "warning: if .* lives .* two hosts serve them")
        self.b.ip(f"addr add {SERVICE4}/24 dev e0",
                  f"addr add {SERVICE6}/64 dev e0 nodad")
        self.await_(lambda: self.served(self.b) == {"alt": CONNECTIONS},
                    "B to serve all")
        self.serves(load, 20)
        self.assertEqual(self.state(self.b, "batches_in_doubt"), 0)
        self.end(load)

    def test_settle_drop(self):
        """On both sides of a cut: nobody serves them, and when the two reach
        each other again nothing is in doubt."""
        self.batch = ALL
        load, stop = self.prepare(self.b, "handoff__receiving_commit", 1)
        self.world.cut(self.a, self.b)
        stop.kill()
        self.mover.wait(60 * SCALE)
        self.ferry(self.b)
        doubt = self.doubt(self.b)
        code, _, err = self.ctl_on(self.b, "settle", "--drop", "12ab")
        self.assertEqual(code, 1)
        self.assertIn("batch 00000000000012ab is not here", err)
        self.settle(self.b, "--drop", doubt["batch"])
        self.await_(lambda: not self.state(self.b, "batches_in_doubt"),
                    "B to have nothing in doubt")
        self.assertEqual(self.served(self.b), {})
        there = self.doubt(self.a)
        # those that had input before it was decided were withdrawn: a ferry
        # that has begun anew knows how many were announced
        self.assertLessEqual(there["connections"], doubt["connections"])
        self.assertEqual(there, {**doubt, "direction": "out",
                                 "connections": there["connections"]})
        code, _, err = self.ctl_on(self.a, "settle", "--here", there["batch"])
        self.assertEqual(code, 1)
        self.assertIn("it has left this host", err)
        said = self.settle(self.a, "--drop", there["batch"])
        self.assertIn("their clients are not told", said)
        self.assertEqual(self.served(self.a), {})
        self.heal()
        self.await_(lambda: not any(self.state(host, "batches_in_doubt")
                                    for host in (self.a, self.b)),
                    "nothing to be in doubt")
        load.kill()


if __name__ == "__main__":
    main()
