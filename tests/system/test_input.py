# SPDX-License-Identifier: MIT
"""Arguments and directories that are missing, wrong, repeated or absurd: each
gives one clear line, and an exit code for wrong usage or for a failure."""
import os
import shutil
import signal
import subprocess
import unittest

from harness import BIN, SystemTest, main

LONG = "x" * 5000


class Arguments(SystemTest):
    def assert_usage(self, program, *options):
        """One line on standard error, nothing on standard output, exit 2."""
        self.assert_fails(program, options, (2,))

    def assert_fails(self, program, options, codes):
        run = self.start(program, *options)
        code = run.wait()
        self.assertIn(code, codes, f"{program} {options}: {run.output()}")
        self.assertEqual(run.lines, [], options)
        self.assertEqual(len(run.errors), 1, f"{options}: {run.output()}")
        self.assertLess(len(run.errors[0]), 1000)
        self.assert_one_line(run.errors[0])
        return run.errors[0]

    def test_server(self):
        listen = ("--listen", "127.0.0.1:0")
        here = ("--dir", self.dir)
        for options in (
                (), here, listen, ("--dir",), ("--listen",),
                (*here, "--listen"), (*here, *listen, "--model"),
                (*here, *listen, "--model", "fast"),
                (*here, *listen, "--model", ""),
                (*here, *listen, "--name"), (*here, *listen, "extra"),
                (*here, *listen, "--bogus"), (*here, *listen, "-z"),
                (*here, *here, *listen),
                (*here, *listen, "--name", "a", "--name", "b"),
                (*here, *listen, "--model", "loop", "--model", "thread")):
            self.assert_usage("server", *options)

    def test_server_values(self):
        here = ("--dir", self.dir)
        line = self.assert_fails(
            "server", (*here, "--listen", "127.0.0.1:0", "--model", "fork",
                       "--workers", "2"), (1,))
        self.assertTrue(line.startswith("server: 2 workers: "), line)
        for name in ("", "a b", "../x", ".hidden", "x" * 32, LONG, "a\nb"):
            self.assert_fails("server", (*here, "--listen", "127.0.0.1:0",
                                         "--name", name), (1, 2))
        for address in ("", "7000", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x",
                        "127.0.0.1:65536", "127.0.0.1:-1", "::1:7000",
                        "[::1]", "[::1]7000", "999.0.0.1:1",
                        "198.51.100.1:7000", "unix:", "unix:" + LONG,
                        "unix:/nonexistent/sock", "no.such.host.invalid:1",
                        LONG, "127.0.0.1:0 ", "http://127.0.0.1:80"):
            line = self.assert_fails(
                "server", (*here, "--listen", address), (1, 2))
            if 0 < len(address) < 100:
                self.assertIn(address, line)
        for path in ("", "/nonexistent/a/b", "/dev/null", "/etc/passwd/x", LONG):
            line = self.assert_fails(
                "server", ("--dir", path, "--listen", "127.0.0.1:0"), (1, 2))
        self.assertFalse(os.path.exists("/nonexistent"))

    def test_addresses_repeated(self):
        """The same address twice cannot be bound twice; ten others can."""
        line = self.assert_repeated()
        self.assertIn("is given twice", line)
        server = self.server(listen=("127.0.0.1:0",) * 10)
        self.assertEqual(len(set(server.addresses)), 10)
        for address in server.addresses:
            self.assert_echo(self.connect(address))

    def assert_repeated(self):
        path = "unix:" + os.path.join(self.base, "sock")
        run = self.start("server", "--dir", self.dir, "--listen", path,
                         "--listen", path)
        self.assertEqual(run.wait(), 1)
        self.assertEqual(len(run.errors), 1)
        return run.errors[0]

    def test_alt_server(self):
        here = ("--dir", self.dir)
        for options in ((), ("--dir",), (*here, "extra"), (*here, "--bogus"),
                        (*here, *here), (*here, "--model", "fast"),
                        (*here, "--listen", "127.0.0.1:0")):
            self.assert_usage("alt_server", *options)
        for name in ("", "a b", "x" * 32):
            self.assert_fails("alt_server", (*here, "--name", name), (1, 2))

    def test_handoffd(self):
        here = ("--dir", self.dir)
        listen = ("--listen", "127.0.0.1:0")
        for options, words in (
                ((), "--dir DIR"), (here, "--listen ADDR"),
                ((*here, "--standby", *listen), "--standby"),
                ((*here, *listen, "--log"), "--log"),
                ((*here, *listen, "--log", ""), "--log"),
                ((*here, *listen, "--workers", "65"), "--workers: '65'"),
                ((*here, *listen, "--service", "calc"), "--service"),
                ((*here, *listen, "--daemon", "--daemon"), "--daemon"),
                ((*here, *listen, "--verbos=x"), "--verbos"),
                ((*here, *listen, "--bogus"), "--bogus"),
                ((*here, *listen, "extra"), "extra")):
            self.assertIn(words, self.assert_fails("handoffd", options, (2,)))
        self.assertFalse(os.path.exists(self.dir))

    def test_client(self):
        here = ("--dir", self.dir)
        os.mkdir(self.dir, 0o700)
        to = ("--connect", "127.0.0.1:1")
        for options, said in (
                ((*to, "--name="), "--name has an empty value"),
                ((*to, "--name", "a", "--name", "b"), "--name is given twice"),
                ((*to, "--name"), "--name lacks its value"),
                ((*to, "--bogus"), "--bogus is not an option"),
                ((*to, "extra"), "extra: only options are taken"),
                (here, "--connect ADDR is needed")):
            self.assertIn(said, self.assert_fails("client", options, (2,)))
        for options in ((), here, ("--dir", "--connect"), ("--connect",),
                        (*here, "--connect"), (*here, *to, "--bogus"),
                        (*here, *to, "extra"), (*here, *here, *to),
                        (*here, *to, "--name")):
            self.assert_usage("client", *options)
        for address in ("", "x", "127.0.0.1:99999", LONG):
            self.assert_fails(
                "client", (*here, "--connect", address), (1, 2))
        self.assert_fails("client", (*here, *to * 17), (1, 2))
        self.assert_fails("client", ("--dir", "/nonexistent", *to), (1, 2))

    def test_handoffctl(self):
        here = ("--dir", self.dir)
        for options, said in (
                ((*here, "--dir", "two", "status"), "two is a second --dir"),
                (("--dir", "", "status"), "--dir: its value is empty"),
                ((*here, "status", "--watch", "nan"), "nan is not a number"),
                ((*here, "ready", "--to", "B"), "--to goes with maintenance"),
                ((*here, "maintenance", "--to", ""), "--to: its value is"),
                ((*here, "maintenance", "--to", "B", "server"),
                 "server is one word too many: --to moves everything"),
                ((*here, "maintenance", "--to", "B", "--wait", "1"),
                 "--wait does not go with --to"),
                ((*here, "maintenance", "--dry-run"), "--dry-run goes with"),
                ((*here, "maintenance", "--timeout", "1"),
                 "--timeout goes with"),
                ((*here, "maintenance", "--to", "B", "--timeout", "0"),
                 "0 is not a time"),
                ((*here, "settle", "12ab"), "settle needs one of --here and"),
                ((*here, "settle", "--here", "--drop", "12ab"),
                 "settle needs one of --here and"),
                ((*here, "settle", "--here"), "settle needs a BATCH"),
                ((*here, "settle", "--here", "12ab", "1"),
                 "1 is one word too many"),
                ((*here, "ready", "--drop"), "--here and --drop go with"),
                ((*here, "wait"), "wait needs what to wait for"),
                ((*here, "wait", "--gone", ""), "take a NAME"),
                ((*here, "wait", "--gone", "a", "--gone", "b"),
                 "b is a second name"),
                ((*here, "wait", "--covered", "now"),
                 "now is one word too many"),
                ((*here, "wait", "--standby", "alt"), "alt is one word too "
                 "many: a name of the standby is given as --standby=NAME"),
                ((*here, "wait", "--gone", "a b"), "no peer can have the name"),
                ((*here, "wait", "--owner", LONG), "no peer can have the name"),
                ((*here, "say", ""), "say takes no empty TEXT"),
                (("status",), "--dir DIR is missing, and so is HANDOFF_DIR in "
                 "the environment"),
                ((*here, "status", "--covered"), "--covered and --gone go"),
                ((*here, "wait", "--covered", "--timeout", "x"),
                 "x is not a time")):
            self.assertIn(said, self.assert_fails("handoffctl", options, (2,)))
        for options in (
                (), here, ("status",), ("--dir",), (*here, "dance"),
                (*here, ""), (*here, "status", "extra"),
                (*here, "status", "--yaml"), (*here, "maintenance", "server", "now"),
                (*here, "maintenance", "--silent"),
                (*here, "ready", "--loud"), (*here, "stop"),
                (*here, "stop", "a", "b"), (*here, "--json"),
                (*here, "dump"), (*here, "dump", ""),
                (*here, "dump", "a", "b"),
                (*here, *here, "status"), (*here, "stop", LONG),
                (*here, LONG), ("--bogus", *here, "status")):
            self.assert_usage("handoffctl", *options)


class Environment(SystemTest):
    """HANDOFF_DIR is the directory of all four programs."""

    def run_in(self, value, program, *options, stdin=None):
        return self.start(shutil.which("env"), f"HANDOFF_DIR={value}",
                          os.path.join(BIN, program), *options, stdin=stdin)

    def test_directory(self):
        server = self.run_in(self.dir, "server", "--listen", "127.0.0.1:0")
        address = server.expect(r": listening on (\S+)")[1]
        server.expect(": owner: ")
        self.run_in(self.dir, "alt_server").expect(": standby: ")
        client = self.run_in(self.dir, "client", "--connect", address,
                             stdin=subprocess.PIPE)
        client.expect_error("connected to")
        self.assertEqual(self.run_in(self.dir, "handoffctl",
                                     "maintenance").wait(), 0)
        # It is told, so it had subscribed there.
        client.expect_error("handoff: alt serves now")
        self.assertEqual(client.stop(), -signal.SIGTERM)
        # An option counts more.
        self.assertEqual(self.run_in("/nowhere", "handoffctl", "--dir",
                                     self.dir, "status").wait(), 0)

    def test_empty(self):
        """As if it were not there."""
        for program, *options in (
                ("server", "--listen", "127.0.0.1:0"), ("alt_server",),
                ("handoffctl", "status")):
            run = self.run_in("", program, *options)
            self.assertEqual(run.wait(), 2, run.output())
            self.assertIn("--dir DIR", run.errors[0])


class Directories(SystemTest):
    def refused_in(self, path, user=None):
        """Every program says one line about this directory."""
        lines = []
        listen = ("--listen", "127.0.0.1:0")
        for program, options in (
                ("server", listen), ("alt_server", ()),
                ("client", ("--connect", "127.0.0.1:1")),
                ("handoffctl", ("status",))):
            run = self.start(program, "--dir", path, *options, user=user)
            self.assertEqual(run.wait(), 1, f"{program}: {run.output()}")
            self.assertEqual(len(run.errors), 1, run.output())
            self.assert_one_line(run.errors[0])
            self.assertIn(path, run.errors[0])
            lines.append(run.errors[0])
        return lines

    def test_open_to_others(self):
        for mode in (0o755, 0o770, 0o701, 0o777):
            os.mkdir(self.dir)
            os.chmod(self.dir, mode)
            for line in self.refused_in(self.dir):
                self.assertIn("chmod 700", line)
            self.assertEqual(os.listdir(self.dir), [])
            os.rmdir(self.dir)

    def test_a_file(self):
        with open(self.dir, "w", encoding="ascii"):
            pass
        self.refused_in(self.dir)

    @unittest.skipIf(os.geteuid() != 0, "needs root to give a folder away")
    def test_of_another_user(self):
        os.mkdir(self.dir, 0o700)
        os.chown(self.dir, 65534, 65534)
        for program, options in (("server", ("--listen", "127.0.0.1:0")),
                                 ("alt_server", ())):
            run = self.start(program, "--dir", self.dir, *options)
            self.assertEqual(run.wait(), 1, run.output())
            self.assertEqual(len(run.errors), 1, run.output())
            self.assertIn("belongs to uid 65534", run.errors[0])

    @unittest.skipIf(os.geteuid() != 0, "needs root to become another user")
    def test_as_another_user(self):
        """A running service of this user, and programs of another."""
        os.chmod(self.base, 0o755)
        if not self.reachable_by(65534):
            self.skipTest("the programs are not readable for uid 65534")
        server, _ = self.pair()
        client = self.connect(server.address)
        for program, options in (
                ("server", ("--listen", "127.0.0.1:0")), ("alt_server", ()),
                ("client", ("--connect", server.address)),
                ("handoffctl", ("maintenance",))):
            run = self.start(program, "--dir", self.dir, *options, user=65534)
            self.assertEqual(run.wait(), 1, run.output())
            self.assertEqual(len(run.errors), 1, run.output())
        self.assert_echo(client)
        self.assertEqual(self.peer("server")["role"], "owner")

    def reachable_by(self, user):
        run = self.start(shutil.which("test"), "-x",
                         os.path.join(BIN, "server"), user=user)
        return run.wait() == 0

    def test_sockets_are_private(self):
        self.pair()
        self.assertEqual(os.stat(self.dir).st_mode & 0o7777, 0o700)
        for name in os.listdir(self.dir):
            mode = os.stat(os.path.join(self.dir, name)).st_mode
            self.assertEqual(mode & 0o077, 0, name)

    def test_stale_sockets_of_the_dead(self):
        """Killed peers leave their files; new ones start as if new."""
        server, alt = self.pair()
        alt.kill()
        server.kill()
        again = self.server()
        self.standby()
        self.ok("maintenance")
        self.assert_echo(self.connect(again.address))

    def test_long_path(self):
        """Longer than a socket address can hold."""
        self.dir = os.path.join(self.base, "d" * 150)
        server, _ = self.pair()
        client = self.connect(server.address)
        self.assert_echo(client)
        self.ok("maintenance")
        self.assert_echo(client)
        self.assertEqual(len(self.status()["peers"]), 2)


if __name__ == "__main__":
    main()
