# SPDX-License-Identifier: MIT
"""Two hosts with a lease, which here are two service directories: one serves,
and what happens when it is stopped, killed, cut off, or gives. The engine is a
file (lease/file_engine.c), preloaded into the servers."""
import contextlib
import json
import os
import random
import shutil
import signal
import socket
import struct
import subprocess
import time

from harness import BIN, SystemTest, TOOLS, main, wait_until

TTL = 4
PRELOAD = ("LD_PRELOAD=" + os.path.join(TOOLS, "libfile_lease.so"),
           "ASAN_OPTIONS=verify_asan_link_order=0")


class Lease(SystemTest):
    def setUp(self):
        super().setUp()
        self.ttl = TTL
        self.far = self.dir + "-far"
        self.engine = os.path.join(self.far, "lease")
        os.mkdir(self.far, 0o700)
        self.addCleanup(shutil.rmtree, self.far)

    def launch(self, folder, host, *options, program="server"):
        return self.start(
            "/usr/bin/env", *PRELOAD, os.path.join(BIN, program),
            "--dir", folder,
            "--lease", f"file:{self.engine}", "--lease-ttl", self.ttl,
            "--lease-host", host, *options)

    def owner(self, folder, host):
        server = self.candidate(folder, host)
        self.wins(server)
        return server

    def wins(self, server):
        server.address = server.expect(r": listening on (\S+)")[1]
        server.expect(": owner: has the lease and serves ")

    def candidate(self, folder, host, *options):
        listen = () if "--listen" in options else ("--listen", "127.0.0.1:0")
        server = self.launch(folder, host, *listen, *options)
        server.expect(": waiting: for the lease of ")
        return server

    def two_hosts(self):
        return self.owner(self.dir, "a"), self.candidate(self.far, "b")

    def two_hosts_with_a_client(self, listen):
        """Both publish by a transport that they share; the client knows where
        either of them serves, behind a wildcard or not."""
        shared = self.dir + "-notices"
        os.mkdir(shared, 0o700)
        self.addCleanup(shutil.rmtree, shared)
        self.notices = ("--notices", f"unix:{shared}")
        ports = []
        for port in random.sample(range(10000, 32768), 100):
            with contextlib.suppress(OSError):
                socket.create_server(("", port)).close()
                ports.append(port)
        near, far = (
            (folder, host, "--listen", f"{listen}:{port}", *self.notices)
            for folder, host, port in zip((self.dir, self.far), "ab", ports))
        near = self.candidate(*near)
        self.wins(near)
        far = self.candidate(*far)
        client = self.start(
            "client", *self.notices, "--connect", f"127.0.0.1:{ports[0]}",
            "--connect", f"127.0.0.1:{ports[1]}", stdin=subprocess.PIPE)
        client.expect_error("connected to ")
        self.assert_answer(client, "first")
        return near, far, client, ports

    def assert_answer(self, client, line):
        client.process.stdin.write(line.encode() + b"\n")
        client.process.stdin.flush()
        client.expect(f"^{line}$")

    def leases(self, *words):
        """Pulls a switch; without words: token and owner."""
        out = subprocess.run(
            [os.path.join(TOOLS, "leases"), self.engine, *words],
            capture_output=True, text=True, check=True).stdout.split()
        return (int(out[0]), out[1]) if out else None

    def assert_silent(self, sock, seconds):
        sock.settimeout(seconds)
        with self.assertRaises(socket.timeout):
            sock.recv(100)
        sock.settimeout(20)

    def test_a_host_that_stops(self):
        near, far = self.two_hosts()
        self.assertEqual(self.leases(), (1, "a"))
        self.assert_echo(self.connect(near.address))
        begun = time.monotonic()
        near.signal(signal.SIGTERM)
        self.wins(far)
        self.assertLess(time.monotonic() - begun, TTL / 2)
        self.assertEqual(near.wait(), 0)
        self.assertEqual(self.leases(), (2, "b"))
        self.assert_echo(self.connect(far.address))

    def test_a_host_that_dies(self):
        near, far = self.two_hosts()
        near.kill()
        begun = time.monotonic()
        self.wins(far)
        self.assertGreater(time.monotonic() - begun, TTL / 2)
        self.assertEqual(self.leases(), (2, "b"))
        self.assert_echo(self.connect(far.address))

    def test_a_host_that_is_cut_off(self):
        near, far = self.two_hosts()
        sock = self.connect(near.address)
        self.assert_echo(sock)
        self.leases("cut", "a")
        self.wins(far)
        sock.sendall(b"too late\n")
        self.assert_silent(sock, 0.5)
        self.leases("heal", "a")
        near.expect(": waiting: the lease of ")
        with self.assertRaises(ConnectionError):
            if sock.recv(100) == b"":
                raise ConnectionError
        self.assertEqual(self.leases(), (2, "b"))
        # it waits, and has it again when the other stops
        far.signal(signal.SIGTERM)
        self.wins(near)
        self.assertEqual(self.leases(), (3, "a"))
        self.assert_echo(self.connect(near.address))

    def test_no_majority_for_a_while(self):
        near, far = self.two_hosts()
        sock = self.connect(near.address)
        self.assert_echo(sock)
        self.leases("down")
        near.expect_error("everything stands still")
        sock.sendall(b"later\n")
        self.assert_silent(sock, 2 * TTL)
        self.leases("up")
        self.assertEqual(self.receive(sock, 6), b"later\n")
        self.assertEqual(self.leases(), (1, "a"))
        self.assertNotIn("owner", far.output())

    def test_peers_of_a_host(self):
        near, far = self.two_hosts()
        alt = self.launch(self.dir, "a", program="alt_server")
        alt.expect(": standby: ")
        sock = self.connect(near.address)
        self.assert_echo(sock)
        self.ok("maintenance")
        self.assert_echo(sock)
        self.assertEqual(self.peer("alt")["lease"]["state"], "OWNER")
        self.ok("ready")
        self.assert_echo(sock)
        # the survivor goes on at once
        near.kill()
        self.assert_echo(sock)
        time.sleep(TTL)  # the survivor proves it on its own
        self.assert_echo(sock)
        self.assertEqual(self.leases(), (1, "a"))
        self.assertNotIn("owner", far.output())
        alt.kill()
        self.wins(far)

    def server_and_alt(self):
        server = self.owner(self.dir, "a")
        alt = self.launch(self.dir, "a", program="alt_server")
        alt.expect(": standby: ")
        return server, alt

    def lose(self, owner):
        """The engine does not hear of the host for longer than a TTL."""
        self.leases("cut", "a")
        wait_until(lambda: self.leases()[1] == "-", "the end of the session")
        self.leases("heal", "a")
        owner.expect(": waiting: the lease of ")

    def opens_again(self, peer, address):
        """At the address that it got from another peer."""
        self.assertEqual(peer.expect(r": listening on (\S+)")[1], address)
        peer.expect(": owner: has the lease and serves ")
        self.assert_echo(self.connect(address))

    def test_an_alternate_that_loses_the_lease(self):
        server, alt = self.server_and_alt()
        sock = self.connect(server.address)
        self.assert_echo(sock)
        self.ok("maintenance")
        self.assert_echo(sock)
        for token in 2, 3:
            self.lose(alt)
            self.opens_again(alt, server.address)
            self.assertEqual(self.leases(), (token, "a"))
        # they are the service's: the other peer has them back
        sock = self.connect(server.address)
        self.assert_echo(sock)
        self.ok("ready", "--silent")
        self.assert_echo(sock)
        self.assert_echo(self.connect(server.address))

    def test_sessions_end_with_the_lease(self):
        """Those without a connection too: another host has served since."""
        server = self.candidate(self.dir, "a", "--sessions")
        self.wins(server)
        new = bytes.fromhex("f548534553530001") + struct.pack(
            ">IIII", 0x10000008, 0, 9999, 9999)
        with self.connect(server.address) as sock:
            sock.sendall(new)
            welcome = self.receive(sock, 53)
        self.assertEqual(welcome[0], 0x12)

        def sessions():
            return self.peer("server")["sessions"]
        wait_until(lambda: sessions() == {"count": 1, "absent": 1},
                   "the session to be absent")
        self.lose(server)
        address = server.expect(r": listening on (\S+)")[1]
        server.expect(": owner: has the lease and serves ")
        self.assertEqual(sessions(), {"count": 0, "absent": 0})
        sock = self.connect(address)
        sock.sendall(new[:8] + struct.pack(">II", 0x11000028, 0)
                     + welcome[8:32] + bytes(16))
        answer = self.receive(sock, 10)
        self.assertEqual((answer[0], answer[9]), (0x13, 1))

    def test_an_alternate_that_succeeds_a_candidate(self):
        """It has not served itself, and has seen the listeners go."""
        server, alt = self.server_and_alt()
        far = self.candidate(self.far, "b")
        self.leases("cut", "a")
        self.wins(far)
        self.leases("heal", "a")
        server.expect(": waiting: the lease of ")
        wait_until(lambda: self.peer("server")["lease"]["state"] ==
                   "CANDIDATE", "the end of the loss")
        server.kill()
        alt.expect(": left: server ")
        far.signal(signal.SIGTERM)
        self.opens_again(alt, server.address)
        self.assertEqual(self.leases(), (3, "a"))

    def in_far(self, *words):
        """handoffctl for the peers of the other host."""
        done = subprocess.run(
            [os.path.join(BIN, "handoffctl"), "--dir", self.far, *words],
            capture_output=True, text=True, timeout=20, check=False)
        return done.returncode, done.stdout, done.stderr

    def assert_serving(self, *wanted):
        """The gauges of both peers of the other host."""
        self.assertEqual(
            [int(line.split()[-1])
             for line in self.in_far("metrics")[1].splitlines()
             if line.startswith("handoff_serving{")], list(wanted))

    def assert_refused_in_far(self, *sentences):
        for command in (("ready",), ("ready", "--silent"), ("maintenance",),
                        ("maintenance", "server"), ("maintenance", "alt")):
            code, out, err = self.in_far(*command)
            self.assertEqual((code, out), (1, ""), command)
            self.assert_one_line(err)
            for sentence in sentences:
                self.assertIn(sentence, err, command)

    def test_commands_where_nothing_is_served(self):
        """A host that waits for the lease, and later stands still, says so."""
        near, far = self.two_hosts()
        alt = self.launch(self.far, "b", program="alt_server")
        alt.expect(r": standby: server \(pid \d+\) waits for the lease, and "
                   "serves nothing ")
        self.assert_refused_in_far(
            "this host waits for the lease, which host a has")
        self.assert_serving(0, 0)
        self.assertRegex(self.in_far("status")[1], r"\nserver +\d+ +candidate ")
        near.signal(signal.SIGTERM)
        self.wins(far)
        self.assert_serving(1, 0)
        self.assertIn("serves already: nothing to bring home",
                      self.in_far("ready")[1])
        self.assertRegex(self.in_far("status")[1], r"\nserver +\d+ +owner ")
        self.leases("down")
        far.expect_error("everything stands still")
        self.assert_refused_in_far("everything stands still")
        self.assert_serving(0, 0)
        self.assertRegex(self.in_far("status")[1], r"\nserver +\d+ +frozen ")
        self.leases("up")
        far.expect_error("everything goes on")
        self.assert_serving(1, 0)

    def follow(self, *addresses):
        """`handoffctl notices`, which outlives all servers."""
        def count():
            box = os.path.join(self.dir, "subscribers")
            return len(os.listdir(box)) if os.path.isdir(box) else 0
        os.mkdir(self.dir, 0o700)
        told = self.start("handoffctl", "notices", "--json", *addresses)
        wait_until(count, "a subscriber")
        return told

    def plain(self, folder):
        """A server without a lease, and its standby."""
        words = ("--dir", folder, "--notices", f"mq:{self.dir}")
        server = self.start("server", *words, "--listen", "127.0.0.1:0")
        start = server.expect(r": owner: .*generation (\d+)")[1]
        alt = self.start("alt_server", *words)
        alt.expect(": standby: ")
        return server, alt, int(start)

    def next_notice(self, told, kind):
        while True:
            seen = json.loads(told.expect(r"^{.*}$")[0])
            self.assertGreater((seen["generation"], seen["seq"]), self.last)
            self.last = seen["generation"], seen["seq"]
            if seen["kind"] == kind:
                return seen["generation"]

    def test_what_clients_hear_of_two_hosts(self):
        told, self.last = self.follow(f"mq:{self.dir}"), (0, 0)
        words = ("--notices", f"mq:{self.dir}")
        near = self.candidate(self.dir, "a", *words)
        self.wins(near)
        far = self.candidate(self.far, "b", *words)
        near.signal(signal.SIGTERM)
        self.assertEqual(self.next_notice(told, "GOODBYE"), 1 << 32)
        self.wins(far)
        self.assertEqual(self.next_notice(told, "FAILOVER"), 2 << 32)
        self.assertIn(far.address, told.lines[-1])
        self.assertEqual(near.wait(), 0)
        near = self.candidate(self.dir, "a", *words)
        self.leases("cut", "b")
        self.wins(near)
        self.assertEqual(self.next_notice(told, "FAILOVER"), 3 << 32)
        # a candidate retains nothing any more where the other may publish
        self.leases("heal", "b")
        far.expect(": waiting: the lease of ")
        os.unlink(os.path.join(self.far, "notice"))
        time.sleep(2.5)  # it looks each second
        self.assertFalse(os.path.exists(os.path.join(self.far, "notice")))
        told.signal(signal.SIGTERM)
        told.wait()

    def test_off_and_on_again(self):
        told, self.last = self.follow(f"mq:{self.dir}"), (0, 0)
        words = ("--notices", f"mq:{self.dir}")
        for token, folder, host in ((1, self.dir, "a"), (2, self.far, "b"),
                                    (3, self.dir, "a")):
            server = self.candidate(folder, host, *words)
            self.wins(server)
            self.assertEqual(self.leases(), (token, host))
            server.signal(signal.SIGTERM)
            self.assertEqual(self.next_notice(told, "GOODBYE"), token << 32)
            self.assertEqual(server.wait(), 0)
        # Off: on the host that has served last, or on another one that has
        # published where the clients hear; each leaves it higher.
        for folder in self.dir, self.far, self.dir:
            server, alt, start = self.plain(folder)
            self.assertGreater(start, self.last[0])
            subprocess.run([os.path.join(BIN, "handoffctl"), "--dir", folder,
                            "maintenance"], capture_output=True, check=True)
            self.assertEqual(self.next_notice(told, "MAINTENANCE"), start + 1)
            for program in server, alt:
                program.signal(signal.SIGTERM)
                self.assertEqual(program.wait(), 0)
            self.next_notice(told, "GOODBYE")
            self.assertEqual(self.last[0] >> 32, 3)
        # and on again, with an engine that has counted less
        os.unlink(self.engine)
        server = self.candidate(self.far, "b", *words)
        self.wins(server)
        self.assertEqual(self.leases(), (4, "b"))
        server.signal(signal.SIGTERM)
        self.assertEqual(self.next_notice(told, "GOODBYE"), 4 << 32)
        told.signal(signal.SIGTERM)
        told.wait()

    def test_an_owner_that_hangs(self):
        # a twelfth of it is left to the survivor for going on
        self.ttl = 15
        near, far = self.two_hosts()
        alt = self.launch(self.dir, "a", program="alt_server")
        alt.expect(": standby: ")
        sock = self.connect(near.address)
        self.assert_echo(sock)
        near.signal(signal.SIGSTOP)
        self.assertEqual(near.wait(), -signal.SIGKILL)
        self.assert_echo(sock)
        self.assertEqual(self.leases(), (1, "a"))
        self.assertNotIn("owner", far.output())

    def check_a_client(self, listen):
        near, far, client, ports = self.two_hosts_with_a_client(listen)
        alt = self.launch(self.dir, "a", *self.notices, program="alt_server")
        alt.expect(": standby: ")
        # within the host nothing breaks
        near.kill()
        client.expect_error(r"handoff: alt serves now \(FAILOVER\), "
                            "the connection stays$")
        self.assert_answer(client, "second")
        # nobody there says a word any more
        self.leases("cut", "a")
        self.wins(far)
        client.expect_error(r"handoff: server serves now \(FAILOVER\) with "
                            f"another lease: leaves for 127.0.0.1:{ports[1]}$")
        client.expect_error(f"moved to 127.0.0.1:{ports[1]}; the connection "
                            f"to 127.0.0.1:{ports[0]} was given up: ")
        self.assert_answer(client, "third")
        # it did not have to notice the loss by itself
        self.assertNotIn("lost", client.output())
        client.process.stdin.close()
        self.assertEqual(client.wait(), 0, client.output())
        self.assertEqual(client.lines, ["first", "second", "third"])

    def test_a_client_leaves(self):
        self.check_a_client("127.0.0.1")

    def test_a_client_leaves_for_a_wildcard(self):
        self.check_a_client("0.0.0.0")

    def test_a_client_that_comes_later(self):
        """What is retained is no news to it."""
        near, far, client, ports = self.two_hosts_with_a_client("0.0.0.0")
        near.kill()
        self.wins(far)
        client.expect_error(f"connected to 127.0.0.1:{ports[1]}")
        self.assert_answer(client, "second")
        late = self.start("client", *self.notices, "--connect",
                          f"127.0.0.1:{ports[1]}", "--connect",
                          f"127.0.0.1:{ports[0]}", stdin=subprocess.PIPE)
        self.assert_answer(late, "late")
        late.process.stdin.close()
        self.assertEqual(late.wait(), 0, late.output())
        self.assertNotIn("leaves", late.output())


if __name__ == "__main__":
    main()
