# SPDX-License-Identifier: MIT
"""What is refused, with one clear line, and changes nothing."""
import os

from harness import TOOLS, SystemTest, main, wait_until

OTHER = os.path.join(TOOLS, "other_service")


class Refusals(SystemTest):
    def assert_unchanged(self, server, client):
        self.assert_echo(client)
        self.assert_echo(self.connect(server.address))
        self.assertEqual(self.peer("server")["role"], "owner")

    def assert_joins_not(self, program, *words):
        """The peer must leave with one line that says all these words."""
        self.assertEqual(program.wait(), 1)
        self.assertEqual(len(program.errors), 1, program.output())
        self.assert_one_line(program.errors[0])
        for word in words:
            self.assertIn(word, program.errors[0])

    def test_version(self):
        """It is that of the library, and nothing else is looked at."""
        for name in ("server", "alt_server", "client", "handoffctl", "handoffd"):
            program = self.start(name, "--version")
            self.assertEqual(program.wait(), 0)
            self.assertEqual(program.errors, [])
            self.assertEqual(len(program.lines), 1)
            self.assertRegex(program.lines[0], rf"\A{name} \d+\.\d+\.\d+\Z")

    def test_maintenance_without_standby(self):
        server = self.server()
        client = self.connect(server.address)
        self.assertIn("standby", self.refused("maintenance"))
        self.assert_unchanged(server, client)
        alt = self.standby()
        self.assertEqual(alt.stop(), 0)
        server.expect(": left: ")
        self.assertIn("standby", self.refused("maintenance"))
        self.assert_unchanged(server, client)

    def test_ready_when_it_serves(self):
        """Repeated, it changes nothing and succeeds."""
        server, alt = self.pair()
        client = self.connect(server.address)
        said = f"server (pid {server.pid}) serves already: nothing to bring " \
               "home"
        self.assertEqual(self.ok("ready").strip(), said)
        self.assertEqual(self.ok("ready", "--silent").strip(), said)
        self.assert_unchanged(server, client)
        self.ok("maintenance")
        self.assertEqual(
            self.ask(2, "ready"),
            f"error alt serves already: server (pid {server.pid}) is the "
            "standby now; repeat this to bring the service home to it\n")
        self.ok("ready")
        self.assertEqual(self.ok("ready").strip(), said)
        self.assertRegex(self.ok("ready", "--silent"), r"\Amoved \d+ conn")
        self.assertEqual(self.ok("ready", "--silent").strip(), said)
        self.assert_unchanged(server, client)

    def test_ready_alone(self):
        server = self.server()
        client = self.connect(server.address)
        self.refused("ready")
        self.assert_unchanged(server, client)

    def test_empty_name(self):
        """As of a script whose variable is not set."""
        server, _ = self.pair()
        client = self.connect(server.address)
        for command in ("maintenance", "stop"):
            code, out, err = self.ctl(command, "")
            self.assertEqual((code, out), (2, ""))
            self.assertIn("NAME", err)
        self.assert_unchanged(server, client)

    def test_nobody_there(self):
        for words in (("status",), ("status", "--json"), ("maintenance",),
                      ("ready",), ("ready", "--silent"), ("stop", "server")):
            self.refused(*words)
        os.mkdir(self.dir, 0o700)
        for words in (("status",), ("maintenance",), ("ready",),
                      ("stop", "server")):
            self.assertIn(self.dir, self.refused(*words))
        server = self.server()
        self.assertEqual(server.stop(), 0)
        self.refused("status")

    def test_stop_of_a_stranger(self):
        server, _ = self.pair()
        client = self.connect(server.address)
        self.assertIn("nobody-here", self.refused("stop", "nobody-here"))
        self.assert_unchanged(server, client)

    def other(self, *options):
        return self.start(OTHER, "--dir", self.dir, "--name", "stranger",
                          *options)

    def owner(self):
        """An owner whose service the strangers differ from."""
        owner = self.other("--name", "server", "--listen", "127.0.0.1:0",
                           "--service", "echo", "--state-size", "16",
                           "--state-version", "3")
        owner.address = owner.expect(r": listening on (\S+)")[1]
        owner.expect(": owner: ")
        return owner

    def test_another_service(self):
        server = self.owner()
        client = self.connect(server.address)
        for options, words in (
                (("--service", "calc", "--state-size", 16,
                  "--state-version", 3), ("echo", "calc")),
                (("--state-size", 16, "--state-version", 4), ("3", "4")),
                (("--state-size", 32, "--state-version", 3), ("16", "32"))):
            self.assert_joins_not(self.other(*options), "server", *words)
            server.expect(": refused: .*stranger")
            self.assertIn("standby", self.refused("maintenance"))
            self.assert_unchanged(server, client)
        right = self.other("--state-size", 16, "--state-version", 3)
        right.expect(": standby: ")
        self.ok("maintenance")
        self.assert_echo(client)

    def test_third_peer(self):
        server, alt = self.pair()
        client = self.connect(server.address)
        for program, options in (
                ("server", ("--listen", "127.0.0.1:0", "--name", "third")),
                ("alt_server", ("--name", "third"))):
            third = self.start(program, "--dir", self.dir, *options)
            self.assert_joins_not(third, "server", "alt", str(server.pid),
                                  str(alt.pid))
            self.assert_unchanged(server, client)
        self.ok("maintenance")
        self.assert_echo(client)
        third = self.start("alt_server", "--dir", self.dir, "--name", "third")
        self.assert_joins_not(third, "server", "alt")

    def test_two_owners(self):
        """A second server binds nothing, also not another address."""
        server = self.server()
        second = self.start("server", "--dir", self.dir, "--listen",
                            "127.0.0.1:0", "--name", "second")
        second.expect(": standby: ")
        self.assertNotIn("listening on", second.output())
        self.assertEqual(self.peer("second")["listeners"], [])
        self.ok("maintenance")
        self.wait_peer("second", role="owner", listeners=[server.address])


class UnderWay(SystemTest):
    def test_maintenance_while_one_is_under_way(self):
        server, _, address = self.sleepers(2500, 20000)
        slow, quick = self.connect(address), self.connect(address)
        self.assert_echo(quick)
        self.assert_echo(slow)
        wait_until(lambda: self.peer("alt")["held"] == 2, "held to be 2")
        slow.sendall(b"sleep\n")
        server.expect("^handler: sleeping$")
        first = self.start("handoffctl", "--dir", self.dir, "maintenance")
        # The quick one has moved, the slow one holds the handoff up.
        self.wait_peer("alt", connections=1)
        for words in (("ready",), ("ready", "--silent")):
            self.assertIn("under way", self.refused(*words))
        # The same again changes nothing, and says so.
        again = self.ok("maintenance")
        self.assertRegex(again, r"\Amaintenance under way since .*: alt "
                         r"serves in place of server; nothing was changed")
        self.assert_echo(quick)
        self.assertEqual(first.wait(), 0, first.output())
        self.assertIn("moved 2 connections", first.output())
        self.assertEqual(self.receive(slow, 6), b"sleep\n")
        self.assert_echo(slow)
        self.assert_echo(quick)


if __name__ == "__main__":
    main()
