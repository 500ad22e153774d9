# SPDX-License-Identifier: MIT
"""Two hosts with a lease, which here are two service directories: one serves,
and what happens when it is stopped, killed, cut off, or gives. The engine is a
file (lease/file_engine.c), preloaded into the servers."""
import os
import shutil
import signal
import socket
import subprocess
import time

from harness import BIN, SystemTest, TOOLS, main

TTL = 4
PRELOAD = ("LD_PRELOAD=" + os.path.join(TOOLS, "libfile_lease.so"),
           "ASAN_OPTIONS=verify_asan_link_order=0")


class Lease(SystemTest):
    def setUp(self):
        super().setUp()
        self.ttl = TTL
        self.engine = os.path.join(self.dir, "lease")
        self.far = self.dir + "-far"
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

    def candidate(self, folder, host):
        server = self.launch(folder, host, "--listen", "127.0.0.1:0")
        server.expect(": waiting: for the lease of ")
        return server

    def two_hosts(self):
        return self.owner(self.dir, "a"), self.candidate(self.far, "b")

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


if __name__ == "__main__":
    main()
