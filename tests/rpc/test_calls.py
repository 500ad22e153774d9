# SPDX-License-Identifier: MIT
"""Remote procedures with real processes: a counter that 50 clients call while
the service is handed over, its processes are killed and clients come home. Each
call is counted once and each reply is right. HANDOFF_LONG=1: 1,000,000 calls.

HANDOFF_RPC is the folder of counter_server and counter_load."""
import json
import os
import re
import shutil
import signal
import struct
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "../system"))

# pylint: disable=wrong-import-position
from harness import SCALE, TOOLS, SystemTest, main, wait_until  # noqa

RPC = os.environ.get("HANDOFF_RPC", ".")
LONG = os.environ.get("HANDOFF_LONG") == "1"
CLIENTS = 50
CALLS = 1000000 if LONG else 100000
CUT_MS = 300  # a connection lasts so long in the middle
STEPS = 20  # counter_load says how far it is as often
COUNTER = 0x20000702
REPLY, ACCEPTED, SUCCESS = 1, 0, 0


def call(xid, proc, args=b"", vers=1):
    """One call with its record mark, by the RFC and not by a library."""
    body = struct.pack(">10I", xid, 0, 2, COUNTER, vers, proc, 0, 0, 0,
                       0) + args
    return struct.pack(">I", 0x80000000 | len(body)) + body


class Calls(SystemTest):
    def program(self, name, *options):
        return self.start(os.path.join(RPC, "counter_server"), "--dir",
                          self.dir, "--name", name, *options)

    def owner(self, *options):
        server = self.program("one", "--listen", "127.0.0.1:0", *options)
        server.address = server.expect(r": listening on (\S+)")[1]
        server.expect(": owner: ")
        return server

    def other(self, name, *options):
        other = self.program(name, *options)
        other.expect(": standby: ")
        return other

    def load_of(self, address, *options, clients=CLIENTS, calls=CALLS):
        load = self.start(os.path.join(RPC, "counter_load"), "--connect",
                          address, "--clients", clients, "--calls",
                          calls // clients, *options)
        load.expect("^ready$")
        return load

    def counts(self, load, **wanted):
        """The counts in the end: every call was answered, and right, and
        counted once."""
        self.assertEqual(load.wait(600 * SCALE), 0, load.output())
        counts = json.loads(load.lines[-1])
        expected = {"answered": CALLS, "failed": 0, "moved": 0, "wrong": 0,
                    "total": CALLS, **wanted}
        self.assertEqual({key: counts[key] for key in expected}, expected,
                         load.output())
        return counts

    def step(self, load):
        """Waits until more calls are done; False at the end."""
        return load.expect("^(done|{)", 120 * SCALE)[1] == "done"

    def disturb(self, load, peers, *options):
        """Gives there and back, and kills, as long as there are calls."""
        deaths = 0
        for move in range(STEPS):
            if not self.step(load):
                break
            if move % 3 < 2:
                self.ok(*("maintenance",) if move % 3 == 0
                        else ("ready", "--silent"))
                peers.reverse()
                continue
            peers[0].kill()
            peers[1].expect(": owner: .* died")
            deaths += 1
            peers = [peers[1], self.other(f"next{move}", *options)]
        return deaths

    def exact(self, *options, client=()):
        server = self.owner(*options)
        peers = [server, self.other("two", *options)]
        load = self.load_of(server.address, *client)
        self.assertGreater(self.disturb(load, peers, *options), 0)
        self.counts(load)

    def test_loop(self):
        self.exact("--model", "loop")

    def test_thread(self):
        self.exact("--model", "thread")

    def test_thread_one_at_a_time(self):
        self.exact("--model", "thread", "--locked")

    def test_workers(self):
        self.exact("--workers", "3")

    def test_fork(self):
        self.exact("--model", "fork")

    def test_foreign_clients(self):
        """libtirpc's own clients notice nothing either."""
        self.exact("--model", "thread", client=("--foreign",))

    def test_foreign_clients_beside_sessions(self):
        """A server with sessions knows them by their first bytes."""
        self.exact("--model", "loop", "--sessions", client=("--foreign",))

    def test_clients_come_home(self):
        """READY: each client moves to a new connection, between two calls."""
        options = ("--model", "loop", "--spread", 100)
        server = self.owner(*options)
        self.other("two", *options)
        load = self.load_of(server.address, "--dir", self.dir)
        moves = 0
        while self.step(load):
            if moves < 4:
                self.ok("maintenance")
                self.step(load)
                self.ok("ready")
                moves += 1
        self.assertGreater(moves, 1)
        counts = json.loads(load.lines[-1])
        self.counts(load, moved=counts["moved"])
        self.assertGreater(counts["moved"], CLIENTS)

    def sessions(self, *options):
        """Connections are cut all the time, the service is handed over, killed
        and comes home: in sessions each call is answered, once."""
        options += ("--sessions", "--spread", 100)
        server = self.owner(*options)
        peers = [server, self.other("two", *options)]
        cutter = self.start(os.path.join(TOOLS, "cutter"),
                            server.address.rsplit(":", 1)[1], CUT_MS)
        address = cutter.expect(r"listening on (\S+)")[1]
        load = self.load_of(address, "--session", "--dir", self.dir)
        cutter.signal(signal.SIGUSR1)
        deaths = 0
        for move in range(STEPS):
            if not self.step(load):
                break
            if move % 3 < 2:
                self.ok("ready" if move % 3 else "maintenance")
                peers.reverse()
                continue
            peers[0].kill()
            peers[1].expect(": owner: .* died")
            deaths += 1
            peers = [peers[1], self.other(f"next{move}", *options)]
        self.assertGreater(deaths, 0)
        counts = self.counts(load)
        self.assertGreater(counts["resumed"], CLIENTS)

    def test_sessions_loop(self):
        self.sessions("--model", "loop")

    def test_sessions_thread(self):
        self.sessions("--model", "thread")

    def test_a_service_that_is_lost(self):
        """No process of it is left: of each client at most the call that was
        under way fails, and the others are executed by the next service."""
        options = ("--model", "loop", "--sessions")
        clients = 8  # an address may ask for so many unknown sessions at once
        server = self.owner(*options)
        load = self.load_of(server.address, "--session", clients=clients)
        for _ in range(3):
            self.step(load)
        server.kill()
        self.program("one", "--listen", server.address, *options).expect(
            ": owner: ")
        self.assertEqual(load.wait(600 * SCALE), 0, load.output())
        counts = json.loads(load.lines[-1])
        self.assertEqual(counts["answered"] + counts["failed"], CALLS)
        self.assertLessEqual(counts["failed"], clients)
        self.assertEqual((counts["wrong"], counts["moved"]), (0, clients))
        done = [int(line.split()[1]) for line in load.lines
                if line.startswith("done")]
        self.assertLess(counts["total"], CALLS - done[2] + 1)

    # The wire, by hand

    def reply(self, sock):
        mark = struct.unpack(">I", self.receive(sock, 4))[0]
        self.assertTrue(mark & 0x80000000)
        return self.receive(sock, mark & 0x7fffffff)

    def expect_sum(self, sock, xid, total, own):
        self.assertEqual(self.reply(sock), struct.pack(
            ">6I2Q", xid, REPLY, ACCEPTED, 0, 0, SUCCESS, total, own))

    def dies(self, *options):
        """The process dies in the midst of a call, once it has counted: the
        call is executed again, counted once, and answered once."""
        once = os.path.join(self.base, "once")
        options += ("--once", once)
        server = self.owner(*options)
        two = self.other("two", *options)
        sock = self.connect(server.address)
        sock.sendall(call(1, 1, struct.pack(">i", 5)))
        self.expect_sum(sock, 1, 5, 5)
        self.wait_peer("two", held=1)
        with open(once, "w", encoding="ascii"):
            pass
        sock.sendall(call(2, 6, struct.pack(">i", 7))
                     + call(3, 1, struct.pack(">i", 1)))
        if "fork" not in options:
            two.expect(": owner: .* died")
            self.other("three", *options)  # it may try the call again
        self.assertEqual(self.reply(sock), struct.pack(
            ">6I", 2, REPLY, ACCEPTED, 0, 0, SUCCESS))
        self.expect_sum(sock, 3, 13, 13)
        self.assertFalse(os.path.exists(once))

    def test_dies_loop(self):
        self.dies("--model", "loop")

    def test_dies_thread(self):
        self.dies("--model", "thread")

    def test_dies_fork(self):
        self.dies("--model", "fork")

    def test_rpcinfo(self):
        unpacked = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "../../build/rpcbind/usr/sbin")
        tool = shutil.which("rpcinfo", path=os.pathsep.join(
            (os.environ["PATH"], "/usr/sbin", unpacked)))
        if not tool:
            self.skipTest("there is no rpcinfo (cmake/deps.sh engines)")
        server = self.owner("--model", "loop")
        host, port = server.address.split(":")
        where = f"{host}.{int(port) // 256}.{int(port) % 256}"

        def ask(*words):
            done = subprocess.run([tool, "-a", where, "-T", "tcp", *words],
                                  capture_output=True, text=True, check=False)
            return done.returncode, done.stdout, done.stderr
        ready = f"program {COUNTER} version 1 ready and waiting\n"
        self.assertEqual(ask(str(COUNTER), "1"), (0, ready, ""))
        self.assertRegex(ask(str(COUNTER), "2")[2],
                         "mismatch; low version = 1, high version = 3")
        self.assertRegex(ask(str(COUNTER))[1], re.escape(ready)
                         + ".*version 2 is not available\n"
                         ".*version 3 ready and waiting\n")
        self.assertRegex(ask(str(COUNTER + 1), "1")[2], "unavailable")

    def test_bad_input_ends_one_connection(self):
        """Records that never end, and what is no call: others are served."""
        server = self.owner("--model", "loop")
        good = self.connect(server.address)
        for data in (b"\x7f\xff\xff\xff", b"\0\0\0\0", b"\xff" * 64,
                     b"GET / HTTP/1.0\r\n\r\n", b"\0\0\0\1x" * 5000,
                     struct.pack(">3I", 0x80000008, 1, REPLY),
                     b"\0\0\1\0" + bytes(256) + b"\0\0\0\0"):
            bad = self.connect(server.address)
            bad.sendall(data)
            try:
                self.assertEqual(bad.recv(100), b"", data[:8])
            except ConnectionResetError:
                pass
            good.sendall(call(1, 0))
            self.assertEqual(len(self.reply(good)), 24)
        wait_until(lambda: self.peer("one")["connections"] == 1,
                   "the bad ones to be gone")

    def test_bad_input_ends_a_session_in_words(self):
        """ABORT, handoff_session(7): its client need not resume in vain, and
        knows what it must not repeat."""
        server = self.owner("--model", "loop", "--sessions")
        for data in (b"\x7f\xff\xff\xff", b"\0\0\0\0"):
            sock = self.connect(server.address)
            sock.sendall(b"\xf5HSESS\0\1"
                         + struct.pack(">4I", 0x10000008, 0, 65536, 65536))
            self.assertEqual(self.receive(sock, 53)[0], 0x12)  # WELCOME
            # DATA, of which more is to come
            sock.sendall(struct.pack(">2I", 0x01008000, 0) + data)
            head = self.receive(sock, 8)
            self.assertEqual((head[0], head[4:]), (4, b"\0\0\0\4"))
            reason = self.receive(sock, struct.unpack(">I", head[:4])[0]
                                  & 0xffffff)
            self.assertEqual(reason[:2], b"\0\1")  # APPLICATION
            self.assertEqual(sock.recv(1), b"")


if __name__ == "__main__":
    main()
