# SPDX-License-Identifier: MIT
"""What an operator must be able to rely on: a stop that really ends, a command
whose answer is true and that can be repeated, a fence that kills only a
hanging process, and peers that identify each other by more than a pid."""
import os
import random
import re
import signal
import socket
import subprocess
import threading
import time
import unittest

from harness import BIN, SCALE, Program, SystemTest, main, wait_until

LONG = os.environ.get("HANDOFF_LONG") == "1"
ROUNDS = 60 if LONG else 3
MODELS = (("--model", "loop"), ("--workers", "3"), ("--model", "thread"),
          ("--model", "fork"))


class Ends(SystemTest):
    """Whatever two peers go through at the same time, both end."""

    def setUp(self):
        super().setUp()
        self.chance = random.Random(11)

    def pause(self, most_s=0.004):
        """No wait for anything: a moment chosen at random."""
        time.sleep(self.chance.random() * most_s)

    def busy_pair(self, options):
        server, alt = self.pair(*options)
        for _ in range(4):
            sock = self.connect(server.address)
            self.assert_echo(sock)
        self.wait_peer("alt", held=4)
        return server, alt

    def assert_ended(self, program):
        """In good order: STOPPED was the last that it said."""
        self.assertEqual(program.wait(), 0, program.output())
        self.assertRegex(program.lines[-1], r": stopped(: \d+ connections? "
                         r"(was|were) closed)?\Z", program.output())

    def rounds(self, act):
        for options in MODELS:
            for _ in range(ROUNDS):
                with self.subTest(options=options):
                    server, alt = self.busy_pair(options)
                    act(server, alt)
                    for sock in self.sockets:
                        sock.close()
                    self.sockets.clear()

    def test_both_are_told_to_stop(self):
        def act(server, alt):
            first, second = self.chance.sample((server, alt), 2)
            first.signal(signal.SIGTERM)
            self.pause()
            second.signal(signal.SIGTERM)
            self.assert_ended(server)
            self.assert_ended(alt)
        self.rounds(act)

    def test_stop_while_the_other_dies(self):
        def act(server, alt):
            alt.signal(signal.SIGSTOP)
            server.signal(signal.SIGTERM)
            self.pause()
            alt.kill()
            self.assert_ended(server)
        self.rounds(act)

    def test_standby_stops_during_a_maintenance(self):
        def act(server, alt):
            command = self.start("handoffctl", "--dir", self.dir,
                                 "maintenance")
            self.pause()
            alt.signal(signal.SIGTERM)
            code = command.wait()
            self.assertIn(code, (0, 1), command.output())
            if code:
                self.assert_one_line(command.output())
            self.assert_ended(alt)
            # It has come back, or never went.
            self.wait_peer("server", role="owner", connections=4)
            for sock in self.sockets:
                self.assert_echo(sock)
            server.signal(signal.SIGTERM)
            self.assert_ended(server)
        self.rounds(act)

    def test_two_signals_at_once(self):
        """The second one, in the midst of the handover, breaks nothing."""
        def act(server, alt):
            server.signal(signal.SIGTERM)
            self.pause()
            server.signal(signal.SIGTERM)
            self.assert_ended(server)
            self.assertNotIn("closed", server.lines[-1])
            self.wait_peer("alt", role="owner", connections=4)
            for sock in self.sockets:
                self.assert_echo(sock)
            alt.signal(signal.SIGTERM)
            self.assert_ended(alt)
        self.rounds(act)

    def test_second_signal_hurries(self):
        """A client that never reads would be waited for."""
        server = self.start(
            os.path.join(os.environ["HANDOFF_TOOLS"], "other_service"),
            "--dir", self.dir, "--name", "server", "--listen", "127.0.0.1:0",
            "--stop-timeout-ms", 60000)
        address = server.expect(r": listening on (\S+)")[1]
        slow = self.stuck_client(address)
        server.signal(signal.SIGTERM)
        server.expect(": stopping")
        wait_until(lambda: not self.accepts(address), "listeners to be closed")
        self.assertIsNone(server.process.poll())
        server.signal(signal.SIGTERM)
        self.assertEqual(server.wait(), 0, server.output())
        self.assertRegex(server.lines[-1], ": stopped: 1 connection was closed")
        slow.close()

    def stuck_client(self, address):
        """One that sends until nothing is taken any more, and reads nothing."""
        sock = self.connect(address)
        sock.setblocking(False)
        quiet = 0
        while quiet < 20:
            try:
                sock.send(b"x" * 65536)
                quiet = 0
            except BlockingIOError:
                quiet += 1
                time.sleep(0.01)
        return sock

    @staticmethod
    def accepts(address):
        host, port = address.rsplit(":", 1)
        try:
            socket.create_connection((host, int(port)), timeout=1).close()
        except OSError:
            return False
        return True

    def test_stop_of_the_last_peer_says_what_it_closed(self):
        server = self.server()
        for _ in range(3):
            self.assert_echo(self.connect(server.address))
        self.assertIn("stopped: 3 connections were closed\n",
                      self.ok("stop", "server"))
        self.assert_ended(server)

    def test_stop_passes_nothing_on_that_is_half_taken_down(self):
        """A server that starts while another waits for slow clients serves
        with listeners of its own."""
        tool = os.path.join(os.environ["HANDOFF_TOOLS"], "other_service")
        old = self.start(tool, "--dir", self.dir, "--name", "old", "--listen",
                         "127.0.0.1:0", "--stop-timeout-ms", 1500)
        address = old.expect(r": listening on (\S+)")[1]
        slow = self.stuck_client(address)
        old.signal(signal.SIGTERM)
        old.expect(": stopping")
        new = self.start(tool, "--dir", self.dir, "--name", "new", "--listen",
                         address)
        new.expect(": listening on ")
        new.expect(": owner: ")
        self.assertEqual(old.wait(), 0, old.output())
        self.assert_echo(self.connect(address))
        slow.close()


class Commands(SystemTest):
    """A command that is repeated does no harm, and an answer is true."""

    def test_maintenance_twice(self):
        server, _ = self.pair()
        sock = self.connect(server.address)
        self.assert_echo(sock)
        self.wait_peer("alt", held=1)
        self.assertIn("moved 1 connection", self.ok("maintenance"))
        again = self.ok("maintenance")
        self.assertRegex(
            again, r"\Amaintenance under way since \S+ \S+: alt serves "
            r"in place of server; nothing was changed")
        self.assertEqual(self.peer("alt")["role"], "owner")
        away = self.peer("alt")["maintenance"]
        self.assertEqual(away["home"], "server")
        self.assertLess(abs(away["since_ms"] / 1000 - time.time()), 60 * SCALE)
        # Also while the server is away altogether, and when it is back.
        server.stop()
        self.assertIn("nothing was changed", self.ok("maintenance"))
        back = self.start("server", "--dir", self.dir, "--listen",
                          "127.0.0.1:0")
        back.expect(": standby: ")
        self.assertIn("nothing was changed", self.ok("maintenance"))
        self.assertIn("nothing was changed", self.ok("maintenance", "server"))
        self.assertRegex(self.ok("ready"), r"(?m)^clients come home on "
                         r"their own within 2\.000 s")
        self.assertEqual(self.peer("server")["role"], "owner")
        self.assertIsNone(self.peer("server")["maintenance"])
        self.assert_echo(sock)

    def test_maintenance_of_a_named_peer(self):
        self.pair()
        self.ok("maintenance", "server")
        self.assertEqual(self.peer("alt")["role"], "owner")
        self.ok("maintenance", "alt")
        self.assertEqual(self.peer("server")["role"], "owner")
        self.assertIn("no peer nobody is here", self.refused(
            "maintenance", "nobody"))

    def test_an_upgrade_after_another(self):
        """A third program under another name is no one that is to come
        home."""
        server, alt = self.pair()
        self.ok("maintenance")
        server.stop()
        third = self.standby("--name", "third")
        self.assertIn("moved 0 connections, 1 listener", self.ok("maintenance"))
        self.assertEqual(self.peer("third")["role"], "owner")
        alt.stop()
        self.assertEqual(third.process.poll(), None)

    def test_maintenance_after_a_failover(self):
        """Nobody has asked for one before: it is no repetition."""
        server, alt = self.pair()
        sock = self.connect(server.address)
        self.assert_echo(sock)
        self.wait_peer("alt", held=1)
        server.kill()
        alt.expect(": owner: ")
        self.assertIn("no standby is attached", self.refused("maintenance"))
        self.assertRegex(self.ok("status"), r"(?m)^failed over since \S+ \S+: "
                         r"alt serves in place of server$")
        back = self.start("server", "--dir", self.dir, "--listen",
                          "127.0.0.1:0")
        back.expect(": standby: ")
        self.wait_peer("server", held=1)
        self.assertIn("moved 1 connection", self.ok("maintenance"))
        self.assert_echo(sock)
        # It is home again, by its name.
        self.assertNotIn("in place of", self.ok("status"))

    def test_maintenance_twice_at_once(self):
        self.pair()
        commands = [self.start("handoffctl", "--dir", self.dir, "maintenance")
                    for _ in range(4)]
        for command in commands:
            self.assertEqual(command.wait(), 0, command.output())
        self.assertEqual(self.peer("alt")["role"], "owner")

    def test_stop_twice(self):
        server, _ = self.pair()
        commands = [self.start("handoffctl", "--dir", self.dir, "stop",
                               "server") for _ in range(3)]
        for command in commands:
            # The last may find nobody any more.
            if command.wait():
                self.assertRegex(command.output(),
                                 "no peer server|it has left")
        self.assertEqual(server.wait(), 0)
        self.assertEqual(self.peer("alt")["role"], "owner")

    def test_standby_without_room_for_a_listener(self):
        """With 24 descriptors it can hold nothing: nothing moves."""
        server = self.server()
        socks = [self.connect(server.address) for _ in range(30)]
        for sock in socks:
            self.assert_echo(sock)
        alt = self.start("alt_server", "--dir", self.dir, limit=24)
        try:
            alt.expect(": standby: ")
        except AssertionError:
            self.assertEqual(alt.wait(), 1)  # it had no room to start
            return
        code, out, err = self.ctl("maintenance")
        if code == 0:
            # The listener at least has moved; what stayed is named.
            self.assertIn("1 listener to alt", out)
            self.assertIn("left behind: connection", out)
        else:
            self.assertEqual(self.peer("server")["role"], "owner")
            self.assert_one_line(err)
        for sock in socks:
            self.assert_echo(sock)
        self.assert_echo(self.connect(server.address))

    def test_standby_that_stops_within_a_give(self):
        """At whatever moment: what it does not take stays, and is served."""
        server, alt = self.pair("--give-timeout", "2000")
        socks = [self.connect(server.address) for _ in range(5)]
        for sock in socks:
            self.assert_echo(sock)
        chance = random.Random(3)
        for _ in range(20 if LONG else 5):
            self.wait_peer("alt", held=5, partner="ready")
            command = self.start("handoffctl", "--dir", self.dir,
                                 "maintenance")
            time.sleep(chance.random() * 0.004)
            alt.signal(signal.SIGSTOP)
            command.wait(30 * SCALE)
            code = command.process.returncode
            owner = "server"
            if code == 0:
                owner = "alt"
            alt.signal(signal.SIGCONT)
            self.wait_peer(owner, role="owner", connections=5)
            for sock in socks:
                self.assert_echo(sock)
            if owner == "alt":
                self.ok("ready", "--silent")

    def test_commands_during_a_failover(self):
        """Nobody is told to start a server."""
        server, _ = self.pair()
        end = time.monotonic() + 3 * SCALE
        answers = []

        def ask():
            while time.monotonic() < end:
                answers.append(self.ctl("maintenance"))
        thread = threading.Thread(target=ask)
        thread.start()
        server.kill()
        thread.join()
        for _, _, err in answers:
            self.assertNotIn("start a server", err)


    def test_stop_beside_a_standby_that_hangs(self):
        """It stops, and says who has to go on."""
        server, alt = self.pair("--hang-timeout", "400")
        socks = [self.connect(server.address) for _ in range(3)]
        for sock in socks:
            self.assert_echo(sock)
        self.wait_peer("alt", held=3)
        alt.signal(signal.SIGSTOP)
        server.expect(": hung: ")
        said = f"the service and 3 connections pass to alt (pid {alt.pid}), " \
               "which does not answer"
        self.assertEqual(self.ok("stop", "server").splitlines(),
                         ["stopped", said])
        server.expect_error("stop: " + re.escape(said))
        self.assertEqual(server.wait(), 0)
        alt.signal(signal.SIGCONT)
        alt.expect(": owner: ")
        for sock in socks:
            self.assert_echo(sock)


class Fence(SystemTest):
    def test_impatient_peer_beside_a_patient_one(self):
        """The documented options beside a default server: it is healthy."""
        server = self.server()
        self.standby("--fence", "--hang-timeout", "1000")
        sock = self.connect(server.address)
        self.assert_echo(sock)
        # Time itself is what is tested: longer than its beats without notice.
        time.sleep(4)
        self.assertIsNone(server.process.poll())
        self.assert_echo(sock)
        self.assertEqual(self.peer("server")["role"], "owner")

    def test_only_what_is_covered_is_fenced(self):
        """A standby that holds nothing of it would lose all of it."""
        server = self.server("--hang-timeout", "800")
        socks = [self.connect(server.address) for _ in range(40)]
        for sock in socks:
            self.assert_echo(sock)
        alt = self.standby("--fence", "--hang-timeout", "800", limit=40)
        self.wait_peer("alt", role="standby")
        if self.peer("server")["uncovered"] == 0:
            self.skipTest("everything fits")
        server.signal(signal.SIGSTOP)
        alt.expect(": hung: ")
        alt.expect_error("hangs and is not killed: ")
        server.signal(signal.SIGCONT)
        alt.expect(" responds again")
        for sock in socks:
            self.assert_echo(sock)

    def test_what_hangs_is_killed(self):
        server = self.server("--hang-timeout", "800")
        alt = self.standby("--fence", "--hang-timeout", "800")
        sock = self.connect(server.address)
        self.assert_echo(sock)
        self.wait_peer("alt", held=1)
        server.signal(signal.SIGSTOP)
        alt.expect(": owner: ")
        self.assertEqual(server.wait(), -signal.SIGKILL)
        self.assert_echo(sock)


class Memory(SystemTest):
    @unittest.skipIf(SCALE > 1, "sanitizers need all address space there is")
    def test_standby_without_room_for_a_segment(self):
        """What it has no room for has no copy, and is named; the link lives,
        and the rest survives."""
        self.need_descriptors(2400)
        server = self.server()
        # More than two segments of 1024 records, of 216 MiB each.
        socks = [self.connect(server.address) for _ in range(2200)]
        for sock in socks:
            self.assert_echo(sock)
        alt = self.start("/usr/bin/prlimit", f"--as={600 << 20}",
                         os.path.join(BIN, "alt_server"), "--dir", self.dir)
        alt.expect(": standby: ")
        self.wait_peer("server", partner="ready")
        seen = wait_until(
            lambda: (p := self.peer("server")) and 0 < p["uncovered"] < 1000
            and p, "most to be covered")
        time.sleep(2)  # some beats: nothing is cut
        self.assertEqual(self.peer("server")["partner"], "ready")
        self.assertEqual(self.peer("server")["uncovered"], seen["uncovered"])
        self.assertNotIn("link: closed", server.output() + alt.output())
        code, out, err = self.ctl("maintenance")
        self.assertEqual(code, 0, err)
        self.assertIn("the standby is out of memory", out)
        for sock in socks:
            self.assert_echo(sock)


def unshare_works():
    return subprocess.run(
        ["unshare", "--pid", "--fork", "--mount-proc", "true"],
        capture_output=True, check=False).returncode == 0


@unittest.skipUnless(unshare_works(), "needs the right to make pid namespaces")
class Namespaces(SystemTest):
    """Peers in pid namespaces of their own: neither has a number for the
    other."""

    def isolated(self, program, *options):
        argv = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc",
                os.path.join(BIN, program), "--dir", self.dir, *options]
        started = Program(argv)
        self.programs.append(started)
        return started

    @staticmethod
    def inner(program):
        """The process in the namespace, by its number here."""
        path = f"/proc/{program.pid}/task/{program.pid}/children"
        with open(path, encoding="ascii") as children:
            return int(children.read().split()[0])

    def test_death_is_seen(self):
        server = self.isolated("server", "--listen", "127.0.0.1:0")
        address = server.expect(r": listening on (\S+)")[1]
        alt = self.isolated("alt_server")
        alt.expect(": standby: ")
        server.expect(": joined: ")
        socks = [self.connect(address) for _ in range(16)]
        for sock in socks:
            self.assert_echo(sock)
        self.wait_peer("alt", held=16)
        os.kill(self.inner(server), signal.SIGKILL)
        alt.expect(": owner: ")
        for sock in socks:
            self.assert_echo(sock)
        self.assert_echo(self.connect(address))

    def test_handoff(self):
        server = self.isolated("server", "--listen", "127.0.0.1:0")
        address = server.expect(r": listening on (\S+)")[1]
        alt = self.isolated("alt_server")
        alt.expect(": standby: ")
        sock = self.connect(address)
        self.assert_echo(sock)
        self.wait_peer("alt", held=1)
        for _ in range(3):
            self.ok("maintenance")
            self.assert_echo(sock)
            self.ok("ready", "--silent")
            self.assert_echo(sock)

    def test_fence_that_cannot_kill_is_refused(self):
        server = self.isolated("server", "--listen", "127.0.0.1:0")
        server.expect(": owner: ")
        alt = self.isolated("alt_server", "--fence")
        code = alt.wait()
        self.assertEqual(code, 1, alt.output())
        self.assertRegex(alt.output(), "fence: .* could not be killed")
        self.assertIsNone(server.process.poll())


if __name__ == "__main__":
    main()
