# SPDX-License-Identifier: MIT
"""The servers under a service manager: a mock that receives their
notifications one by one and passes sockets as systemd does."""
import array
import collections
import json
import os
import re
import signal
import socket
import struct
import sys
import unittest

from harness import (DEADLINE, TOOLS, Program, SystemTest, command, group_root,
                     main, wait_until)

HERE = os.path.dirname(os.path.abspath(__file__))
KILLAT = os.path.join(TOOLS, "libkillat.so")
BUILT = os.environ["HANDOFF_SYSTEMD"] == "1"
DRAIN = "EXTEND_TIMEOUT_USEC=10000000"
STOPPING = "STOPPING=1\nSTATUS=stopping\n" + DRAIN
STORE = "FDSTORE=1\nFDNAME=listener"


class Manager:
    """Hears sd_notify(3); tells senders apart by their credentials."""

    def __init__(self, path):
        self.path = path
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(path)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.heard = collections.defaultdict(collections.deque)

    def close(self):
        for messages in self.heard.values():
            for _, fds in messages:
                for fd in fds:
                    os.close(fd)
        self.sock.close()

    def _receive(self, timeout):
        self.sock.settimeout(timeout)
        try:
            data, control, flags, _ = self.sock.recvmsg(4096, 4096)
        except (TimeoutError, BlockingIOError):
            return False
        assert flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC) == 0
        pid, fds = None, array.array("i")
        for _, kind, value in control:
            if kind == socket.SCM_CREDENTIALS:
                pid = struct.unpack("iii", value)[0]
            elif kind == socket.SCM_RIGHTS:
                fds.frombytes(value)
        self.heard[pid].append((data.decode(), list(fds)))
        return True

    def next(self, program):
        """The next message of that program, and what came with it."""
        messages = self.heard[program.pid]
        while not messages:
            if not self._receive(DEADLINE):
                raise AssertionError("nothing was told; the log:\n"
                                     + program.output())
        return messages.popleft()

    def rest(self):
        """What has been told and was not asked for yet."""
        while self._receive(0):
            pass
        return {pid: [text for text, _ in messages]
                for pid, messages in self.heard.items() if messages}


class Managed(SystemTest):
    """Starts programs as the units of a mock."""

    def setUp(self):
        super().setUp()
        self.manager = Manager(os.path.join(self.base, "notify"))
        self.addCleanup(self.manager.close)

    def service(self, program, *options, sockets=(), names=None, group=None,
                watchdog_us=0, notify=True, env=None):
        fds = [sock.fileno() for sock in sockets]
        how = {"fds": fds, "names": names or ["echo"] * len(fds),
               "group": group, "watchdog_us": watchdog_us,
               "notify": self.manager.path if notify else None,
               "env": env or {}}
        return self.start(
            sys.executable, "-B", os.path.join(HERE, "activate.py"),
            json.dumps(how), *command(program, "--systemd"), "--dir", self.dir,
            "--systemd", *options, pass_fds=fds)

    def listener(self, address="127.0.0.1"):
        sock = socket.create_server((address, 0))
        self.sockets.append(sock)
        return sock, "%s:%d" % sock.getsockname()

    def told(self, program, *expected):
        """Exactly these are the program's next messages, in this order."""
        for text in expected:
            message, fds = self.manager.next(program)
            for fd in fds:
                os.close(fd)
            if isinstance(text, re.Pattern):
                self.assertRegex(message, text)
            else:
                self.assertEqual(message, text)
            if message.startswith("FDSTORE=1"):
                self.assertGreater(len(fds), 0)
            else:
                self.assertEqual(fds, [])

    def silence(self):
        """Nobody says anything that was not asked for: what a turn of the
        loop tells is told before the answer of the next."""
        if os.path.isdir(self.dir):
            self.ctl("status")
            self.ctl("status")
        self.assertEqual(self.manager.rest(), {})

    def owner(self, *options, **how):
        server = self.service("server", "--listen", "127.0.0.1:0", *options,
                              **how)
        server.address = server.expect(r": listening on (\S+)$")[1]
        self.told(server, STORE,
                  "READY=1\nSTATUS=owner: serves echo (generation 1)")
        return server


@unittest.skipUnless(BUILT, "built without libsystemd")
@unittest.skipUnless(os.path.isdir("/sys/fs/cgroup"),
                     "libsystemd knows no control groups without "
                     "/sys/fs/cgroup")
class OneUnit(Managed):
    """Two processes of one control group: the owner speaks for both."""

    def test_upgrade(self):
        old = self.owner("--name", "v1")
        client = self.connect(old.address)
        self.assert_echo(client)
        new = self.service("server", "--listen", old.address, "--name", "v2")
        new.expect(": standby: ")
        self.told(old, f"STATUS=joined: v2 (pid {new.pid}) is the standby")
        self.silence()
        self.ok("maintenance")
        self.told(old, DRAIN, f"MAINPID={new.pid}")
        self.told(new, STORE, f"MAINPID={new.pid}\nREADY=1\nSTATUS=owner: "
                  f"took over from v1 (pid {old.pid}) (generation 2)")
        self.assertEqual(old.stop(), 0)
        self.told(new, f"STATUS=left: v1 (pid {old.pid}) is gone")
        self.assert_echo(client)
        self.silence()
        self.assertEqual(new.stop(), 0)
        self.told(new, STOPPING)
        self.silence()

    def test_stop_hands_over(self):
        """The unit goes on: it is no stop of it."""
        old = self.owner("--name", "v1")
        new = self.service("server", "--listen", old.address, "--name", "v2")
        new.expect(": standby: ")
        self.told(old, f"STATUS=joined: v2 (pid {new.pid}) is the standby")
        self.assertEqual(old.stop(), 0)
        self.told(old, DRAIN, f"MAINPID={new.pid}")
        self.told(new, STORE, re.compile(
            rf"\AMAINPID={new.pid}\nREADY=1\nSTATUS=owner: took over "),
            f"STATUS=left: v1 (pid {old.pid}) is gone")
        self.silence()

    def test_death(self):
        """Who takes over says that it is the main process now."""
        old = self.owner("--name", "v1")
        new = self.service("server", "--listen", old.address, "--name", "v2")
        new.expect(": standby: ")
        self.told(old, f"STATUS=joined: v2 (pid {new.pid}) is the standby")
        client = self.connect(old.address)
        self.assert_echo(client)
        self.wait_peer("v2", held=1)
        old.kill()
        self.assert_echo(client)
        self.told(new, STORE, re.compile(
            rf"\AMAINPID={new.pid}\nREADY=1\nSTATUS=owner: the other peer "
            r"died; took over 2 of its entries "))
        self.silence()

    def test_home_and_away(self):
        server = self.owner()
        alt = self.service("alt_server")
        alt.expect(": standby: ")
        self.told(server, f"STATUS=joined: alt (pid {alt.pid}) is the standby")
        self.ok("maintenance")
        self.told(server, DRAIN, f"MAINPID={alt.pid}")
        self.told(alt, STORE, f"MAINPID={alt.pid}\nREADY=1\nSTATUS=owner: "
                  f"took over from server (pid {server.pid}) (generation 2)")
        self.ok("ready", "--silent")
        self.told(alt, DRAIN, f"MAINPID={server.pid}")
        self.told(server, STORE, f"MAINPID={server.pid}\nSTATUS=owner: took "
                  f"over from alt (pid {alt.pid}) (generation 3)")
        self.silence()


@unittest.skipUnless(BUILT, "built without libsystemd")
@unittest.skipUnless(os.geteuid() == 0 and group_root(),
                     "no control groups can be made: it takes root and a "
                     "cgroup2 that is writable")
class TwoUnits(Managed):
    """Each process in a control group of its own, and root's, from which
    systemd would take any process for the main one."""

    def group(self, name):
        path = os.path.join(group_root(), f"handoff-{os.getpid()}-{name}")
        os.mkdir(path)

        def remove():
            # A process that has ended leaves its group a moment later.
            wait_until(lambda: self.empty(path), f"{path} to be empty")
            os.rmdir(path)
        self.groups.append(remove)
        return path

    @staticmethod
    def empty(path):
        with open(os.path.join(path, "cgroup.procs"),
                  encoding="ascii") as procs:
            return not procs.read()

    def setUp(self):
        self.groups = []
        # The other way round: first the processes end.
        self.addCleanup(lambda: [remove() for remove in self.groups])
        super().setUp()

    def test_start_handoff_and_stop(self):
        server = self.owner(group=self.group("a.service"))
        client = self.connect(server.address)
        self.assert_echo(client)
        alt = self.service("alt_server", group=self.group("b.service"))
        self.told(alt, f"READY=1\nSTATUS=standby: server (pid {server.pid}) "
                  "serves (generation 1)")
        self.told(server, f"STATUS=joined: alt (pid {alt.pid}) is the standby")
        self.wait_peer("alt", held=1)
        self.silence()
        self.ok("maintenance")
        self.told(server, DRAIN,
                  f"STATUS=standby: alt (pid {alt.pid}) serves (generation 2)",
                  "FDSTOREREMOVE=1\nFDNAME=listener")
        self.told(alt, STORE, f"STATUS=owner: took over from server (pid "
                  f"{server.pid}) (generation 2)")
        self.assert_echo(client)
        self.assertEqual(server.stop(), 0)
        self.told(server, STOPPING)
        self.told(alt, f"STATUS=left: server (pid {server.pid}) is gone")
        self.silence()
        self.assertEqual(alt.stop(), 0)
        self.told(alt, STOPPING)
        self.silence()

    def test_death(self):
        server = self.owner(group=self.group("a.service"))
        alt = self.service("alt_server", group=self.group("b.service"))
        self.told(alt, f"READY=1\nSTATUS=standby: server (pid {server.pid}) "
                  "serves (generation 1)")
        self.wait_peer("server", uncovered=0)
        server.kill()
        self.told(alt, f"STATUS=left: server (pid {server.pid}) is gone",
                  STORE, re.compile(r"\ASTATUS=owner: the other peer died; "))


@unittest.skipUnless(BUILT, "built without libsystemd")
class Alone(Managed):
    def test_start_and_stop(self):
        server = self.owner()
        client = self.connect(server.address)
        self.assert_echo(client)
        self.silence()
        self.assertEqual(server.stop(), 0)
        self.told(server, STOPPING)
        self.silence()

    def test_nothing_without_a_socket(self):
        options = ("--listen", "127.0.0.1:0")
        server = self.service("server", *options, notify=False,
                              watchdog_us=2000)
        server.expect(": owner: ")
        alt = self.service("alt_server", notify=False, watchdog_us=2000)
        alt.expect(": standby: ")
        self.ok("maintenance")
        self.ok("ready")
        self.assertEqual(server.stop(), 0)
        self.assertEqual(alt.stop(), 0)
        self.assertEqual(self.manager.rest(), {})

    def test_watchdog(self):
        """A server that stands still is silent."""
        server = self.owner(watchdog_us=200000)
        self.told(server, *["WATCHDOG=1"] * 5)
        server.signal(signal.SIGSTOP)
        wait_until(lambda: self.stopped(server), "the server to be stopped")
        self.manager.rest()
        self.manager.heard.clear()
        self.assertFalse(self.manager._receive(0.5))
        server.signal(signal.SIGCONT)
        self.told(server, *["WATCHDOG=1"] * 2)

    @staticmethod
    def stopped(program):
        with open(f"/proc/{program.pid}/stat", encoding="ascii") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] == "T"

    def test_waiting_alternate(self):
        alt = self.service("alt_server")
        self.told(alt, f"READY=1\nSTATUS=waiting: no owner is in {self.dir} "
                  "yet")
        self.assertEqual(alt.stop(), 0)
        self.told(alt, STOPPING)


@unittest.skipUnless(BUILT, "built without libsystemd")
class Sockets(Managed):
    def test_activation(self):
        """What connects before there is a server is served by the first, and
        what connects after the last waits for the next."""
        sock, address = self.listener()
        other, other_address = self.listener("127.0.0.2")
        early = self.connect(address)
        early.sendall(b"early\n")
        server = self.service("server", sockets=[sock, other],
                              names=["echo", "more"])
        for expected in (address, other_address):
            bound = server.expect(r": listening on (\S+) \(passed in\)$")[1]
            self.assertEqual(bound, expected)
        # Not a word of a store: systemd has them already.
        self.told(server, "READY=1\nSTATUS=owner: serves echo (generation 1)")
        self.silence()
        self.assertEqual(self.receive(early, 6), b"early\n")
        self.assert_echo(self.connect(other_address))
        self.assertEqual(server.stop(), 0)
        late = self.connect(address)
        late.sendall(b"late\n")
        self.service("server", sockets=[sock]).expect(": owner: ")
        self.assertEqual(self.receive(late, 5), b"late\n")

    def test_activated_standby(self):
        """It leaves its sockets alone: the listeners come with ownership."""
        sock, address = self.listener()
        server = self.service("server", "--name", "v1", sockets=[sock])
        server.expect(": owner: ")
        client = self.connect(address)
        self.assert_echo(client)
        new = self.service("server", "--name", "v2", sockets=[sock])
        new.expect(": standby: ")
        self.assert_echo(self.connect(address))
        self.assertEqual(self.peer("v2")["listeners"], [])
        self.ok("maintenance")
        self.wait_peer("v2", role="owner", listeners=[address])
        self.assertNotIn("listening on", new.output())
        self.assertEqual(server.stop(), 0)
        self.assert_echo(client)
        self.assert_echo(self.connect(address))

    def test_address_and_socket(self):
        """The same command line with a socket unit and without."""
        sock, address = self.listener()
        server = self.service("server", "--listen", address, sockets=[sock])
        server.expect(re.escape(f"listening on {address} (passed in)"))
        server.expect(": owner: ")
        self.assertEqual(server.output().count("listening on"), 1)
        self.assert_echo(self.connect(address))

    def test_unix_socket(self):
        path = os.path.join(self.base, "socket")
        sock = socket.socket(socket.AF_UNIX)
        self.sockets.append(sock)
        sock.bind(path)
        sock.listen()
        server = self.service("server", sockets=[sock])
        server.expect(": owner: ")
        self.assert_echo(self.connect("unix:" + path))
        self.assertEqual(server.stop(), 0)
        self.assertTrue(os.path.exists(path))

    def test_death_while_the_standby_joins(self):
        """Whatever that has of the service by then, if only its own sockets:
        it serves."""
        # The first tries whether descriptors pass at all.
        for sent in range(2, 7):
            sock, address = self.listener()
            server = self.service(
                "server", "--name", "v1", sockets=[sock], notify=False,
                env={"LD_PRELOAD": KILLAT,
                     "ASAN_OPTIONS": "verify_asan_link_order=0",
                     "HANDOFF_KILLAT": f"sendmsg:{sent}:after"})
            server.expect(": owner: ")
            new = self.service("server", "--name", "v2", sockets=[sock],
                               notify=False)
            self.assertEqual(server.wait(), -signal.SIGKILL)
            new.expect(": owner: ")
            self.assert_echo(self.connect(address))
            self.assertEqual(new.stop(), 0)


@unittest.skipUnless(BUILT, "built without libsystemd")
class Store(Managed):
    def kept(self, program):
        message, fds = self.manager.next(program)
        self.assertEqual(message, STORE)
        self.assertEqual(len(fds), 1)
        sock = socket.socket(fileno=fds[0])
        self.sockets.append(sock)
        return sock

    def test_restart(self):
        """The listener outlives the server, by a stop and by a death."""
        server = self.service("server", "--listen", "127.0.0.1:0")
        address = server.expect(r": listening on (\S+)$")[1]
        sock = self.kept(server)
        self.told(server, "READY=1\nSTATUS=owner: serves echo (generation 1)")
        for end in (Program.stop, Program.kill):
            end(server)
            client = self.connect(address)
            client.sendall(b"waiting\n")
            server = self.service("server", "--listen", address,
                                  sockets=[sock], names=["listener"])
            server.expect(re.escape(f"listening on {address} (passed in)"))
            self.assertEqual(self.receive(client, 8), b"waiting\n")


class Refusals(Managed):
    def assert_refused(self, program, code, words):
        self.assertEqual(program.wait(), code)
        self.assertEqual((program.lines, len(program.errors)), ([], 1),
                         program.output())
        self.assert_one_line(program.errors[0])
        self.assertIn(words, program.errors[0])
        self.assertEqual(self.manager.rest(), {})

    @unittest.skipIf(BUILT, "built with libsystemd")
    def test_not_built(self):
        for program in ("server", "alt_server"):
            self.assert_refused(
                self.service(program, "--listen", "127.0.0.1:0"), 2,
                "built without libsystemd")

    @unittest.skipUnless(BUILT, "built without libsystemd")
    def test_no_socket(self):
        self.assert_refused(self.service("server"), 1, "--listen is needed")
        pair = socket.socketpair()
        self.sockets.extend(pair)
        self.assert_refused(self.service("server", sockets=pair[:1]), 1,
                            "--listen is needed")

    @unittest.skipUnless(BUILT, "built without libsystemd")
    def test_address_in_use(self):
        """systemd is told nothing of a server that never was one."""
        _, address = self.listener()
        self.assert_refused(self.service("server", "--listen", address), 1,
                            address)


if __name__ == "__main__":
    main()
