# SPDX-License-Identifier: MIT
"""Dumps: their content is true and consistent while the server continues to
work; a dump that fails in any way does not affect the server."""
import ctypes
import datetime
import fcntl
import json
import os
import signal
import subprocess
import threading
import time

from harness import (BIN, DEADLINE, SCALE, TOOLS, SystemTest, main, open_fds,
                     wait_until)

SUMS = os.path.join(TOOLS, "sum_service")
OFFSET, PRIME, MASK = 0xCBF29CE484222325, 0x100000001B3, (1 << 64) - 1
LINE = b"how are you?\n"
EACH = 4096        # bytes of a buffer that a dump has
FLAGS = {"opened", "eof", "eof-handled", "closing"}
F_SETPIPE_SZ = 1031
MANY = 60          # connections: a dump of them does not fit into a small pipe


def sums(count):
    """What the sum service holds after each line: position of its output,
    checksum."""
    value, produced, states = OFFSET, 0, [(0, 0)]
    for number in range(1, count + 1):
        for byte in LINE:
            value = (value ^ byte) * PRIME & MASK
        produced += len(f"{number} {value:016x}\n")
        states.append((produced, value))
    return states


def children(pid):
    """The children of a process, dead ones too: process ids."""
    found = []
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/children",
                  encoding="ascii") as file:
            found += [int(child) for child in file.read().split()]
    return found


def comm(pid):
    try:
        with open(f"/proc/{pid}/comm", encoding="ascii") as file:
            return file.read().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


class Dump(SystemTest):
    # Reading dumps

    def read(self, path, text=None):
        """Header and entries of a valid dump."""
        if text is None:
            with open(path, encoding="utf-8") as file:
                text = file.read()
        self.assertTrue(text.endswith("\n"))
        header, *entries = [json.loads(line) for line in text.splitlines()]
        self.assertEqual(len(entries), header["entries"])
        taken = datetime.datetime.fromisoformat(header["time"])
        age = datetime.datetime.now(datetime.timezone.utc) - taken
        self.assertLess(abs(age.total_seconds()), DEADLINE)
        for entry in entries:
            self.assertNotIn("unstable", entry)
            if entry["kind"] == "connection":
                self.check(entry)
            else:
                self.assertEqual(set(entry), {"id", "kind", "owner", "name"})
        return header, entries

    def check(self, entry):
        """Everything that a connection's line must fulfil."""
        for buffer, begin, end in (("in", "consumed", "received"),
                                   ("out", "sent", "produced")):
            held = entry[end] - entry[begin]
            self.assertEqual(entry[buffer]["bytes"], held, entry)
            self.assertGreaterEqual(held, 0, entry)
            self.assertLessEqual(held, 65536, entry)
            self.assertEqual(len(entry[buffer]["hex"]),
                             2 * min(held, EACH), entry)
        self.assertLessEqual(set(entry["flags"]), FLAGS)
        self.assertIn(entry["activity"], ("at rest", "in a turn", "pending"))

    def dump(self, name="picture"):
        path = os.path.join(self.base, name)
        said = self.ok("dump", path)
        header, entries = self.read(path)
        self.assertRegex(
            said, rf"\Adumped {len(entries)} entr(y|ies), "
            rf"{os.path.getsize(path)} bytes, pause [0-9]+\.[0-9]{{3}} ms\n\Z")
        return header, entries

    def connections(self, entries):
        return {entry["id"]: entry for entry in entries
                if entry["kind"] == "connection"}

    # Dumps that stand still

    def fifo(self):
        """A pipe that holds little and that nobody reads."""
        path = os.path.join(self.base, "fifo")
        os.mkfifo(path)
        reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        self.addCleanup(os.close, reader)
        fcntl.fcntl(reader, F_SETPIPE_SZ, 4096)
        return path, reader

    def stalled(self, server, path):
        """A dump to that path, at work; and the child that writes it."""
        ctl = self.start("handoffctl", "--dir", self.dir, "dump", path)
        def writers():
            return [pid for pid in children(server.pid)
                    if comm(pid) == "handoff-dump"]
        child = wait_until(writers, "a child that writes")
        self.assertEqual(len(child), 1)
        # It has let go of all but the standard ones and its pipe.
        wait_until(lambda: open_fds(child[0]) == 4, "descriptors closed")
        links = {os.readlink(f"/proc/{child[0]}/fd/{fd}")
                 for fd in os.listdir(f"/proc/{child[0]}/fd")}
        self.assertIn(path, links)
        with open(f"/proc/{child[0]}/comm", encoding="ascii") as file:
            self.assertEqual(file.read(), "handoff-dump\n")
        return ctl, child[0]

    def crowd(self, server):
        socks = [self.connect(server.address) for _ in range(MANY)]
        for sock in socks:
            self.assert_echo(sock)
        return socks

    def assert_gone(self, pid):
        """It has ended; init reaps it, in its time, if its parent died."""
        def ended():
            try:
                with open(f"/proc/{pid}/stat", encoding="ascii") as file:
                    return file.read().rpartition(")")[2].split()[0] == "Z"
            except OSError:
                return True
        wait_until(ended, f"process {pid} to end")

    # Contents

    def test_ipv4_clients_of_all_addresses(self):
        """Told as what they are, by a listener of IPv6 too."""
        server = self.server(listen=(":0",))
        port = server.address.rpartition(":")[2]
        sock = self.connect("127.0.0.1:" + port)
        self.assert_echo(sock)
        client = "%s:%d" % sock.getsockname()
        found = self.connections(self.dump()[1])
        self.assertEqual(found[1]["client"], client)
        self.assertEqual(found[1]["local"], "127.0.0.1:" + port)
        self.assertEqual(self.ok("say", "@list"), f"1 {client} server\n")

    def test_contents(self):
        path = os.path.join(self.base, "sock")
        server = self.server(listen=("127.0.0.1:0", "[::1]:0", "unix:" + path))
        four, six, local = [self.connect(address)
                            for address in server.addresses]
        for sock in (four, six, local):
            self.assert_echo(sock, b"hello\n")
        header, entries = self.dump()
        self.assertEqual(
            (header["service"], header["peer"], header["generation"],
             header["entries"]), ("echo", "server", 1, 6))
        self.assertEqual([e["name"] for e in entries
                          if e["kind"] == "listener"], server.addresses)
        found = self.connections(entries)
        self.assertEqual(set(found), {1, 2, 3})
        self.assertEqual(found[1]["client"], "%s:%d" % four.getsockname())
        self.assertEqual(found[1]["local"], server.addresses[0])
        self.assertEqual(found[2]["client"],
                         "[%s]:%d" % six.getsockname()[:2])
        self.assertEqual(found[3]["local"], server.addresses[2])
        for entry in found.values():
            self.assertEqual(
                [entry[key] for key in ("owner", "received", "consumed",
                                        "produced", "sent", "flags",
                                        "activity")],
                ["server", 6, 6, 6, 6, ["opened"], "at rest"])
        self.assertEqual(
            os.stat(os.path.join(self.base, "picture")).st_mode & 0o7777,
            0o600)

    def test_standard_output(self):
        server = self.server()
        self.assert_echo(self.connect(server.address))
        code, out, err = self.ctl("dump", "-")
        self.assertEqual(code, 0)
        self.assertRegex(err, r"\Adumped 2 entries, .* ms\n\Z")
        self.read(None, out)

    def test_buffers(self):
        """A client that sends and does not read: both buffers are full."""
        server = self.server()
        sock = self.connect(server.address)
        sock.setblocking(False)
        data = bytes(number * 7 & 255 for number in range(65536))
        sent, last = 0, time.monotonic()
        while time.monotonic() < last + 0.3:
            try:
                at = sent % 65536
                sent += sock.send(data[at:] + data[:at])
                last = time.monotonic()
            except BlockingIOError:
                time.sleep(0.01)
        entry = self.connections(self.dump()[1])[1]
        self.assertEqual(entry["activity"], "pending")
        self.assertGreater(entry["out"]["bytes"], EACH)
        self.assertGreater(entry["in"]["bytes"], EACH)
        for buffer, begin in (("in", "consumed"), ("out", "sent")):
            at = entry[begin] % 65536
            self.assertEqual(bytes.fromhex(entry[buffer]["hex"]),
                             (data + data)[at:at + EACH])
        self.assertLessEqual(entry["received"], sent)

    def under_load(self, model):
        """An echo service has produced what it has consumed whenever a
        handler has returned, and at no other moment."""
        server = self.server("--model", model)
        load = self.load(server.address, "--connections", 100, "--seconds",
                         3600, "--chunk", 2000, "--vary").ready()
        ids, moved = set(range(1, 101)), 0
        before = self.connections(self.dump()[1])
        end = time.monotonic() + DEADLINE
        while moved < 1000:
            self.assertLess(time.monotonic(), end)
            entries = self.dump()[1]
            now = self.connections(entries)
            self.assertEqual(set(now), ids)
            self.assertEqual(len(entries), 101)
            for number, entry in now.items():
                self.assertEqual(entry["consumed"], entry["produced"])
                for key in ("received", "consumed", "produced", "sent"):
                    self.assertGreaterEqual(entry[key], before[number][key])
                moved += entry["sent"] > before[number]["sent"]
            before = now
        self.assert_clean(load.finish())

    def test_under_load(self):
        self.under_load("loop")

    def test_under_load_fork(self):
        self.under_load("fork")

    def test_under_load_thread(self):
        self.under_load("thread")

    def chatter(self, address, over):
        """A client of the sum service: lines, as fast as they are answered."""
        sock = self.connect(address)
        reader = sock.makefile("rb")

        def talk():
            count = 0
            while not over.is_set():
                sock.sendall(40 * LINE)
                for _ in range(40):
                    count += 1
                    self.assertTrue(
                        reader.readline().startswith(b"%d " % count))
            reader.close()
        thread = threading.Thread(target=talk)
        thread.start()
        return thread

    def state_of_stream(self, model):
        """State and positions are of one transaction."""
        server = self.start(SUMS, "--dir", self.dir, "--listen", "127.0.0.1:0",
                            "--model", model)
        address = server.expect(r": listening on (\S+)")[1]
        server.expect(": owner: ")
        over = threading.Event()
        threads = [self.chatter(address, over) for _ in range(6)]
        expected, seen = sums(20000), set()
        try:
            for _ in range(20):
                for entry in self.connections(self.dump()[1]).values():
                    state = bytes.fromhex(entry["state_hex"])
                    count = int.from_bytes(state[:8], "little")
                    if count >= len(expected):
                        expected = sums(2 * count)
                    produced, value = expected[count]
                    self.assertEqual(entry["consumed"], count * len(LINE))
                    self.assertEqual(entry["produced"], produced)
                    if count > 0:
                        self.assertEqual(
                            int.from_bytes(state[8:], "little"), value)
                    seen.add(count)
        finally:
            over.set()
            for thread in threads:
                thread.join(DEADLINE)
        self.assertGreater(len(seen), 20)

    def test_state(self):
        self.state_of_stream("loop")

    def test_state_thread(self):
        self.state_of_stream("thread")

    def test_owners(self):
        """After a home-coming the alternate serves what has not come yet."""
        server, _ = self.pair()
        socks = [self.connect(server.address) for _ in range(5)]
        for sock in socks:
            self.assert_echo(sock)
        self.ok("maintenance")
        header, entries = self.dump()
        self.assertEqual(header["peer"], "alt")
        self.assertEqual({e["owner"] for e in entries}, {"alt"})
        self.ok("ready")
        for sock in socks:
            self.assert_echo(sock)
        header, entries = self.dump()
        self.assertEqual(header["peer"], "server")
        self.assertEqual(
            [(e["owner"], e["name"]) for e in entries
             if e["kind"] == "listener"], [("server", server.address)])
        found = self.connections(entries)
        self.assertEqual(
            {(e["owner"], e["client"], e["sent"]) for e in found.values()},
            {("alt", "%s:%d" % sock.getsockname(), 12) for sock in socks})

    def test_during_handoffs(self):
        server, _ = self.pair()
        load = self.load(server.address, "--connections", 50, "--seconds",
                         3600, "--chunk", 500).ready()
        over, given = threading.Event(), []

        def move():
            while not over.is_set():
                self.ok("maintenance")
                self.ok("ready", "--silent")
                given.append(1)
        thread = threading.Thread(target=move)
        thread.start()
        try:
            written = 0
            end = time.monotonic() + DEADLINE
            while written < 20 or len(given) < 10:
                self.assertLess(time.monotonic(), end)
                path = os.path.join(self.base, "picture")
                code, _, err = self.ctl("dump", path)
                if code != 0:
                    # Between two owners there is none, for a moment.
                    self.assertIn("no peer owns the service", err)
                    continue
                written += 1
                _, entries = self.read(path)
                self.assertEqual(set(self.connections(entries)),
                                 set(range(1, 51)))
                for entry in self.connections(entries).values():
                    self.assertEqual(entry["consumed"], entry["produced"])
        finally:
            over.set()
            thread.join(DEADLINE)
        self.assert_clean(load.finish())

    # What is in the way

    def test_nothing_is_left_behind(self):
        """No descriptor, no child, no file, in either model."""
        for model in ("loop", "thread"):
            server = self.server("--model", model)
            socks = self.crowd(server)
            self.dump()
            before = open_fds(server.pid)
            for _ in range(10):
                self.dump()
                self.refused("dump", "/dev/full")
                self.refused("dump", os.path.join(self.base, "no", "where"))
                self.refused("dump", self.base)
            self.assertEqual(children(server.pid), [])
            wait_until(lambda: open_fds(server.pid) == before,
                       "the descriptors of before")
            self.assertEqual(sorted(os.listdir(self.base)),
                             ["echo", "picture"])
            for sock in socks:
                self.assert_echo(sock)
                sock.close()
            self.assertEqual(server.stop(), 0)

    def test_full_disc(self):
        """What was there stays, and nothing is left of what was to come."""
        if not self.queues:
            self.skipTest("needs to mount a tmpfs")
        libc = ctypes.CDLL(None, use_errno=True)
        disc = os.path.join(self.base, "disc")
        os.mkdir(disc)
        self.assertEqual(libc.mount(b"tmpfs", disc.encode(), b"tmpfs",
                                    ctypes.c_ulong(0), b"size=64k"), 0)
        self.addCleanup(libc.umount2, disc.encode(), 2)
        server = self.server()
        socks = [self.connect(server.address) for _ in range(10)]
        path = os.path.join(disc, "picture")
        self.ok("dump", path)
        with open(path, "rb") as file:
            old = file.read()
        socks += [self.connect(server.address) for _ in range(390)]
        for sock in socks:
            self.assert_echo(sock)
        self.assertIn("No space left on device", self.refused("dump", path))
        with open(path, "rb") as file:
            self.assertEqual(file.read(), old)
        self.assertEqual(os.listdir(disc), ["picture"])
        self.assertEqual(os.statvfs(disc).f_bfree,
                         os.statvfs(disc).f_blocks - -(-len(old) // 4096))
        for sock in socks:
            self.assert_echo(sock)

    def test_second_dump(self):
        server = self.server()
        socks = self.crowd(server)
        path, reader = self.fifo()
        ctl, child = self.stalled(server, path)
        for name in ("-", os.path.join(self.base, "other")):
            self.assertIn("a dump is under way", self.refused("dump", name))
        self.assertEqual(children(server.pid), [child])
        for sock in socks:
            self.assert_echo(sock)
        text = b""
        while chunk := self.drain(reader):
            text += chunk
        self.assertEqual(ctl.wait(), 0)
        _, entries = self.read(path, text.decode())
        # Of before: what was echoed since is not in it.
        self.assertEqual({e["sent"] for e in
                          self.connections(entries).values()}, {6})
        self.dump()

    def drain(self, reader):
        """The next bytes of the pipe, or none when it has ended."""
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end:
            try:
                return os.read(reader, 65536)
            except BlockingIOError:
                time.sleep(0.001)
        raise AssertionError("the dump does not go on")

    def test_reader_leaves(self):
        server = self.server()
        self.crowd(server)
        with subprocess.Popen(
                [os.path.join(BIN, "handoffctl"), "--dir", self.dir, "dump",
                 "-"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as ctl:
            fcntl.fcntl(ctl.stdout, F_SETPIPE_SZ, 4096)
            ctl.stdout.read(1)
            ctl.stdout.close()
            self.assertIn(b"Broken pipe", ctl.stderr.read())
            self.assertEqual(ctl.wait(DEADLINE), 1)
        self.dump()

    def test_requester_is_killed(self):
        for number in (signal.SIGKILL, signal.SIGTERM):
            server = self.server()
            socks = self.crowd(server)
            path, _ = self.fifo()
            before = open_fds(server.pid)
            ctl, child = self.stalled(server, path)
            ctl.signal(number)
            ctl.wait()
            self.assert_gone(child)
            wait_until(lambda: open_fds(server.pid) == before,
                       "the descriptors of before")
            self.assertEqual(children(server.pid), [])
            for sock in socks:
                self.assert_echo(sock)
                sock.close()
            self.dump()
            os.unlink(path)
            self.assertEqual(server.stop(), 0)

    def test_stop(self):
        server = self.server()
        self.crowd(server)
        path, _ = self.fifo()
        ctl, child = self.stalled(server, path)
        self.assertEqual(server.stop(), 0)
        self.assertEqual(ctl.wait(), 1)
        self.assertIn("this server is ending", ctl.errors[0])
        self.assert_gone(child)

    def killed(self, model):
        """The standby takes over at once: nothing that the child holds keeps
        it from seeing that the owner is dead; and the child goes too."""
        server, alt = self.pair("--model", model)
        socks = self.crowd(server)
        self.wait_peer("alt", held=MANY)
        path, _ = self.fifo()
        ctl, child = self.stalled(server, path)
        killed = time.monotonic()
        server.signal(signal.SIGKILL)
        alt.expect(rf"took over {MANY + 1} of its entries")
        self.assertLess(time.monotonic() - killed, 2 * SCALE)
        self.assert_gone(child)
        self.assertEqual(ctl.wait(), 1)
        for sock in socks:
            self.assert_echo(sock)
        # Its place is free, its locks are.
        self.standby("--listen", "127.0.0.1:0", program="server")
        self.assertEqual(self.dump()[0]["peer"], "alt")

    def test_server_is_killed(self):
        self.killed("loop")

    def test_server_is_killed_fork(self):
        self.killed("fork")

    def test_server_is_killed_thread(self):
        self.killed("thread")

    def test_killed_at_any_moment(self):
        """The owner dies as soon as it has a child, and while that lets go of
        what it has inherited: a thousand connections take a moment."""
        self.need_descriptors(1200)
        owner, other = self.pair()
        socks = [self.connect(owner.address) for _ in range(1000)]
        for sock in socks:
            self.assert_echo(sock)
        path, _ = self.fifo()
        for number in range(10):
            self.wait_peer(("alt", "server")[number % 2], held=len(socks))
            ctl = self.start("handoffctl", "--dir", self.dir, "dump", path)
            end = time.monotonic() + DEADLINE
            while not (child := children(owner.pid)):
                self.assertLess(time.monotonic(), end)
            time.sleep(number * 0.0005)
            owner.signal(signal.SIGKILL)
            killed = time.monotonic()
            other.expect("took over")
            self.assertLess(time.monotonic() - killed, 2 * SCALE)
            self.assert_gone(child[0])
            self.assertEqual(ctl.wait(), 1)
            for sock in socks:
                self.assert_echo(sock)
            program = ("server", "alt_server")[number % 2]
            listen = ("--listen", "127.0.0.1:0") if number % 2 == 0 else ()
            owner, other = other, self.standby(*listen, program=program)

    def test_nobody_to_ask(self):
        path = os.path.join(self.base, "picture")
        self.assertIn(self.dir, self.refused("dump", path))
        self.start("alt_server", "--dir", self.dir).expect(": waiting: ")
        self.assertIn("no peer owns the service", self.refused("dump", path))
        self.assertFalse(os.path.exists(path))


if __name__ == "__main__":
    main()
