# SPDX-License-Identifier: MIT
"""Programs that are started with other addresses: the difference is reported,
the owner opens its own addresses, and an address that cannot be opened is
named."""
import os
import random
import signal
import socket

from harness import SystemTest, main, wait_until

NOWHERE = "192.0.2.77:7000"  # of no host (RFC 5737)


class Addresses(SystemTest):
    def free(self, count=1):
        """Ports that are free, and that no other test is given: below those
        of which the kernel chooses (ip_local_port_range, 32768 and up)."""
        ports = []
        for port in random.sample(range(10000, 32768), 20 * count):
            try:
                socket.create_server(("", port)).close()
            except OSError:
                continue
            ports.append(port)
            if len(ports) == count:
                break
        self.assertEqual(len(ports), count)
        return ports

    def second(self, *listen, name="new"):
        more = [text for each in listen for text in ("--listen", each)]
        return self.standby("--name", name, *more, program="server")

    def refuses(self, address):
        with self.assertRaises(OSError):
            self.connect(address).close()

    def test_all_kinds(self):
        old, new, both = self.free(3)
        paths = ["unix:" + os.path.join(self.base, name) for name in "ab"]
        first = [f"127.0.0.1:{old}", f"[::1]:{both}", paths[0], "127.0.0.2:0"]
        server = self.server(listen=first)
        clients = [self.connect(address) for address in server.addresses]
        for client in clients:
            self.assert_echo(client)
        kept = server.addresses[3]
        then = [f"[::1]:{both}", f":{new}", paths[1], "127.0.0.2:0"]
        second = self.second(*then)
        second.expect(r": addresses: differ from those of server \(pid \d+\): when "
                      rf"this peer serves it opens :{new}, {paths[1]} and "
                      rf"closes ")
        self.assertIn(f"\nnew: when it serves it opens :{new}",
                      self.ok("status"))
        self.assertEqual(
            self.peer("new")["addresses"],
            {"only_here": [f":{new}", paths[1]],
             "only_there": [first[0], paths[0]], "opened": [], "closed": []})
        said = self.ok("maintenance").splitlines()
        self.assertRegex(said[0], "^moved 4 connections, 4 listeners to new ")
        opened = [f"[::]:{new}", paths[1]]
        self.assertEqual(sorted(said[1:3]),
                         sorted("opened " + name for name in opened))
        self.assertEqual(said[3:], ["closed " + first[0], "closed " + paths[0]])
        peer = self.peer("new")
        self.assertEqual(sorted(peer["listeners"]),
                         sorted([kept, first[1], *opened]))
        self.assertEqual(peer["addresses"]["only_here"], [])
        self.assertEqual(peer["addresses"]["only_there"], [])
        self.assertEqual(peer["addresses"]["closed"], [first[0], paths[0]])
        for client in clients:
            self.assert_echo(client)
        for address in (first[0], paths[0]):
            self.refuses(address)
        self.assertFalse(os.path.exists(paths[0][5:]))
        for address in (kept, first[1], paths[1], f"127.0.0.1:{new}",
                        f"[::1]:{new}"):
            self.assert_echo(self.connect(address))
        # Nothing more has changed.
        self.assertNotIn("opened", self.ok("maintenance"))
        said = self.ok("ready", "--silent").splitlines()
        self.assertIn("opened " + first[0], said)
        self.assertIn(f"closed [::]:{new}", said)
        for client in clients:
            self.assert_echo(client)
        self.assert_echo(self.connect(first[0]))
        self.assertEqual(second.stop(), 0)
        self.assertEqual(server.stop(), 0)
        self.assertEqual(sorted(os.listdir(self.base)), ["echo"])

    def test_no_event_is_lost_with_the_most_addresses(self):
        ports = self.free(128)
        addresses = [f"127.0.0.1:{port}" for port in ports]
        server = self.server(listen=addresses[:64])
        second = self.second(*addresses[64:])
        self.ok("maintenance")
        second.expect("took: moved 0 connections, 64 listeners")
        lines = second.output().splitlines()
        for what in (": listening on ", ": no longer listening on "):
            self.assertEqual(sum(what in line for line in lines), 64, lines)
        self.assertEqual(sum(": owner: " in line for line in lines), 1)
        self.assertEqual(second.stop(), 0)
        self.assertEqual(server.stop(), 0)

    def test_alternate_keeps_all(self):
        server, alt = self.pair()
        said = self.ok("maintenance")
        self.assertEqual(len(said.splitlines()), 1)
        self.assert_echo(self.connect(server.address))
        self.assertEqual(self.peer("alt")["listeners"], [server.address])
        self.assertNotIn("addresses:", alt.output())

    def test_what_cannot_be_opened(self):
        """The move goes on and closes nothing; the exit status says that not
        all was done."""
        server = self.server()
        other = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(other.close)
        taken = "127.0.0.1:%d" % other.getsockname()[1]
        client = self.connect(server.address)
        new = self.second(taken, NOWHERE, "[::1]:0")
        code, out, err = self.ctl("maintenance")
        self.assertEqual(code, 1)
        self.assertEqual(err, "handoffctl: not every address could be "
                              "opened\n")
        said = out.splitlines()
        self.assertRegex(said[0], "^moved 1 connection, 1 listener to new ")
        self.assertRegex(said[1], r"^opened \[::1\]:\d+$")
        failed = (f"address '{taken}': cannot listen: Address already in use",
                  f"address '{NOWHERE}': cannot listen: Cannot assign "
                  "requested address")
        self.assertEqual(
            said[2:], [f"error {line}: retrying every second"
                       for line in failed]
            + [f"kept {server.address}: to be closed when all addresses of "
               "this peer are open"])
        for line in failed:
            new.expect_error(f"{line}: retrying every second; until then "
                             f"this stays open: {server.address}")
            self.assertIn(f"\nnew: {line}: retrying every second\n",
                          self.ok("status"))
        self.assert_echo(client)
        self.assert_echo(self.connect(server.address))
        # One of two is not all.
        other.close()
        new.expect(f": listening on {taken}")
        self.assert_echo(self.connect(taken))
        self.assert_echo(self.connect(server.address))
        self.assertEqual(self.peer("new")["addresses"]["only_here"], [NOWHERE])

    def test_death(self):
        """The same, in the log."""
        server = self.server()
        other = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(other.close)
        taken = "127.0.0.1:%d" % other.getsockname()[1]
        client = self.connect(server.address)
        self.assert_echo(client)
        new = self.second(taken)
        self.wait_peer("new", held=1)
        server.signal(signal.SIGKILL)
        new.expect_error(f"address '{taken}': cannot listen: .*; until then "
                         f"this stays open: {server.address}")
        self.assert_echo(client)
        other.close()
        new.expect(f": listening on {taken}")
        new.expect(f": no longer listening on {server.address}: ")
        self.refuses(server.address)
        self.assert_echo(client)
        self.assert_echo(self.connect(taken))

    def test_backlog(self):
        """Clients that the old listener has not accepted are served, however
        the peers are stopped meanwhile."""
        server = self.server()
        new = self.second("[::1]:0")
        server.signal(signal.SIGSTOP)
        new.signal(signal.SIGSTOP)
        waiting = [self.connect(server.address) for _ in range(20)]
        server.signal(signal.SIGUSR1)
        server.signal(signal.SIGCONT)
        new.signal(signal.SIGCONT)
        new.expect(f": no longer listening on {server.address}: ")
        for sock in waiting:
            self.assert_echo(sock)

    def test_full(self):
        """While there is no room for who waits there, the listener stays."""
        server = self.server("--model", "iterative")
        first = self.connect(server.address)
        self.assert_echo(first)
        waiting = self.connect(server.address)
        new = self.standby("--name", "new", "--model", "iterative", "--listen",
                           "[::1]:0", program="server")
        said = self.ok("maintenance")
        self.assertIn(f"kept {server.address}: to be closed when there is "
                      "room for the clients in its backlog "
                      "(--max-connections)", said)
        first.close()
        self.assert_echo(waiting)
        new.expect(f": no longer listening on {server.address}: ")

    def test_relative_path(self):
        """It is where it was when the program was started."""
        server = self.server()
        new = self.second("unix:" + os.path.relpath(
            os.path.join(self.base, "s")))
        self.ok("maintenance")
        self.assert_echo(self.connect("unix:" + os.path.join(self.base, "s")))
        wait_until(lambda: server.address not in self.peer("new")["listeners"],
                   "the old address to be closed")
        self.assertEqual(new.stop(), 0)


if __name__ == "__main__":
    main()
