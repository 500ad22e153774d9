# SPDX-License-Identifier: MIT
"""The hosts of these tests themselves: what they isolate, cut and count; and
that the load generator notices what it is there to notice."""
import os
import signal
import socket

from world import MOVING, TOOLS, Hosts, main, wait_until


class Itself(Hosts):
    def reaches(self, source, target):
        """Whether an answer comes, which is a reset."""
        with source.inside(), socket.socket() as sock:
            sock.settimeout(0.5)
            try:
                sock.connect((target.address, 9))
            except ConnectionRefusedError:
                return True
            except OSError:
                return False
        raise AssertionError("somebody listens")

    def assert_reaches(self, *wanted):
        names = {"ab": (self.a, self.b), "ac": (self.a, self.c),
                 "bc": (self.b, self.c)}
        reached = [name for name, ends in names.items() if self.reaches(*ends)]
        self.assertEqual(reached, list(wanted))

    def test_cuts(self):
        self.assert_reaches("ab", "ac", "bc")
        self.world.cut(self.a, self.b)
        self.assert_reaches("ac", "bc")
        self.world.heal()
        self.world.pull(self.c)
        self.assert_reaches("ab")
        self.world.heal()
        self.assert_reaches("ab", "ac", "bc")

    def test_addresses(self):
        for address in MOVING.split(","):
            self.assertTrue(self.a.has(address.split("/")[0]))
            self.assertFalse(self.b.has(address.split("/")[0]))
        self.world.take_address(self.a)
        self.world.give_address(self.b)
        self.assertTrue(self.b.has("10.77.0.100"))
        self.assertFalse(self.a.has("fd77::100"))

    def test_counts_resets(self):
        """Of the host that sends them."""
        with self.assertRaises(ConnectionRefusedError):
            self.dial("10.77.0.2:9")
        self.assertEqual(self.grown(self.b, "TcpOutRsts"), 1)
        self.assertEqual(self.grown(self.a, "TcpOutRsts"), 0)
        self.assertEqual(self.world.resets(), 0)
        for address in ("10.77.0.100:9", "[fd77::100]:9"):
            with self.assertRaises(ConnectionRefusedError):
                self.dial(address)
        self.assertEqual(self.world.resets(), 2)
        with self.assertRaises(AssertionError):
            self.assert_no_resets()

    def test_ends_what_is_left(self):
        self.start_on(self.b, "/usr/bin/sleep", "1000")
        wait_until(self.b.processes, "the program to be there")
        self.b.kill_all()
        self.assertEqual(self.b.processes(), [])


class Stops(Hosts):
    def echo(self):
        """A server that has the library in it, and so its functions."""
        return self.serve_on(self.a, os.path.join(TOOLS, "sum_service"),
                             options=("--echo",))

    def test_dies_there(self):
        server = self.echo()
        stop = self.stop_at(server, "handle_echo", 2)
        load = self.load("--connections", 2)
        stop.hit()
        stop.kill()
        self.assertEqual(server.wait(), -signal.SIGKILL)
        wait_until(lambda: load.report()["open"] == 0, "all to be broken")

    def test_goes_on(self):
        server = self.echo()
        stop = self.stop_at(server, "handle_echo")
        load = self.load("--connections", 2)
        stop.hit()
        wait_until(lambda: load.report()["stalled_us"] > 50000,
                   "the server to stand still")
        stop.go()
        load.check()
        self.assertTrue(load.finish()["clean"])


class Loads(Hosts):
    def test_local_handoffs(self):
        """Streams and idle ones of both families, while two peers of one host
        swap roles."""
        self.serve_on(self.a)
        self.wait_on(self.a)
        load = self.load("--connections", 100, "--active", 20).ready()
        for _ in range(3):
            for words in (("maintenance",), ("ready", "--silent")):
                self.assertIn("moved 100 connections",
                              self.ok_on(self.a, *words))
                load.check()
        report = load.report()
        self.assertEqual(report["open"], 100)
        self.assertGreater(report["echoed"], 100)
        self.end(load)

    def test_notices_a_death(self):
        """Nobody has a copy: the clients are reset or see the end."""
        server = self.serve_on(self.a)
        load = self.load("--connections", 10, "--active", 5).ready()
        load.check()
        server.kill()
        wait_until(lambda: load.report()["open"] == 0, "all to be broken")
        counts = load.finish()
        self.assertFalse(counts["clean"])
        self.assertEqual(counts["resets"] + counts["early_eof"], 10, counts)

    def test_notices_a_silence(self):
        """The network is gone for a while: the longest silence says so."""
        self.serve_on(self.a)
        load = self.load("--connections", 4, "--active", 4).ready()
        load.report()
        self.world.pull(self.c)
        wait_until(lambda: load.report()["stalled_us"] > 300000,
                   "the streams to be silent")
        self.world.heal()
        load.check()
        counts = load.finish()
        self.assertTrue(counts["clean"], counts)
        self.assertGreater(counts["max_gap_us"], 300000)
        self.assertGreater(self.grown(self.c, "TcpRetransSegs")
                           + self.grown(self.a, "TcpRetransSegs"), 0)

    def test_notices_what_is_wrong(self):
        """Somebody who answers other bytes."""
        with self.a.inside(), socket.create_server(
                ("10.77.0.100", 7000)) as listener:
            load = self.load("--connections", 1,
                             addresses=["10.77.0.100:7000"])
            sock, _ = listener.accept()
        with sock:
            got = sock.recv(100)
            sock.sendall(bytes(byte ^ 1 for byte in got))
            wait_until(lambda: load.report()["corrupt"] == len(got),
                       "wrong bytes to be counted")


if __name__ == "__main__":
    main(ferry=False)
