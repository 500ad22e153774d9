# SPDX-License-Identifier: MIT
"""A service with secrets, in every model: a key is in the shared memory of the
two peers and nowhere else, not in what they dump, and gone when it is replaced
and when its connection ends; the memory can be locked."""
import glob
import os
import resource
import signal
import struct
import subprocess
import tempfile
import unittest

from harness import SCALE, main, wait_until
from memory import Arena
from test_ended import MODELS, SERVICE, ConnTest

KEY = "0123456789abcdefFEDCBA9876543210"
NEXT = "fedcba98765432100123456789ABCDEF"


def memory_of(path):
    """The memory in a core file, elf(5): not the registers, which have what
    was copied last."""
    with open(path, "rb") as file:
        head = file.read(64)
        size = {1: "I", 2: "Q"}[head[4]]
        order = "<" if head[5] == 1 else ">"
        at = 28 if size == "I" else 32
        table = struct.unpack_from(order + size, head, at)[0]
        each, count = struct.unpack_from(
            order + "HH", head, 42 if size == "I" else 54)
        for number in range(count):
            file.seek(table + number * each)
            entry = file.read(each)
            if size == "Q":
                kind, _, start, _, _, length = struct.unpack_from(
                    order + "IIQQQQ", entry)
            else:
                kind, start, _, _, length = struct.unpack_from(
                    order + "IIIII", entry)
            if kind == 1:  # PT_LOAD
                file.seek(start)
                yield file.read(length)


class SecretsTest(ConnTest):
    def key(self, sock, key):
        self.say(sock, "key " + key, "kept")

    def same(self, sock, key):
        self.say(sock, "same " + key, "yes")

    def arena(self, program):
        arena = Arena(program.pid)
        self.addCleanup(arena.close)
        return arena


class Keys(SecretsTest):
    def kept(self, *options):
        """A key moves, survives a death, is replaced, and ends."""
        options += ("--secret",)
        one = self.first(*options)
        two = self.next("two", *options)
        socks = [self.client(one.address) for _ in range(4)]
        arena = self.arena(one)
        for sock in socks:
            self.key(sock, KEY)
            self.same(sock, KEY)
        self.covered("one")
        self.ok("maintenance")
        for sock in socks:
            self.same(sock, KEY)
        self.next_owner(two, one, *options)
        for sock in socks:
            self.same(sock, KEY)
        for sock in socks[:2]:
            self.key(sock, NEXT)
        # nothing but input of the other two, which said it last
        self.assertGreater(arena.count(NEXT.encode()), 0)
        for sock in socks[2:]:
            sock.close()
        self.wait_peer("one", connections=2)
        # a child or thread may be at its last instructions
        wait_until(lambda: arena.count(KEY.encode()) == 0,
                   "nothing of the first key")
        for sock in socks[:2]:
            self.same(sock, NEXT)
            sock.close()
        self.wait_peer("one", connections=0)
        wait_until(lambda: arena.count(NEXT.encode()) == 0,
                   "nothing of the second key")

    def next_owner(self, owner, survivor, *options):
        self.covered("two")
        owner.kill()
        survivor.expect(": owner: .* died; took over")
        self.next("three", *options)
        self.covered("one")

    def dumped(self, *options):
        one = self.first("--secret", *options)
        sock = self.client(one.address)
        self.key(sock, KEY)
        sock.sendall(KEY.encode())
        path = os.path.join(self.dir, "dump")
        self.ok("dump", path)
        with open(path, encoding="utf-8") as file:
            text = file.read()
        self.assertIn('"received":', text)
        for shown in (KEY, KEY.encode().hex(), "state_hex"):
            self.assertNotIn(shown, text)


for model, words in MODELS.items():
    for what in ("kept", "dumped"):
        setattr(Keys, f"test_{what}_{model}",
                lambda self, what=what, words=words:
                getattr(self, what)(*words))


@unittest.skipIf(SCALE > 1, "a sanitizer's processes write no cores")
class Cores(SecretsTest):
    """What a peer leaves when it crashes."""

    def set_up_cores(self):
        """Where cores are written, None if that is not the folder of the
        program."""
        with open("/proc/sys/kernel/core_pattern", encoding="utf-8") as file:
            pattern = file.read().strip()
        if pattern.startswith("|") or "/" in pattern or not pattern:
            return None
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        return folder.name

    def start_in(self, folder, *options):
        where = ("-C", folder) if folder else ()
        # the dynamic linker saves registers to the stack when it binds late
        peer = self.start("/usr/bin/env", *where, "LD_BIND_NOW=1", SERVICE,
                          "--dir", self.dir, "--secret", *options)
        resource.prlimit(peer.pid, resource.RLIMIT_CORE,
                         (resource.RLIM_INFINITY,) * 2)
        return peer

    def assert_left_out(self, peer):
        """The mapping is marked: proc(5), VmFlags."""
        inside, seen = False, 0
        with open(f"/proc/{peer.pid}/smaps", encoding="utf-8") as file:
            for line in file:
                if "handoff-arena" in line:
                    inside = True
                elif inside and line.startswith("VmFlags:"):
                    self.assertIn(" dd", line)
                    inside, seen = False, seen + 1
        self.assertGreater(seen, 0)

    def assert_core(self, folder, peer):
        peer.signal(signal.SIGABRT)
        self.dies(peer)
        if not folder:
            return
        files = glob.glob(os.path.join(folder, "core*"))
        self.assertEqual(len(files), 1, "a core of the peer")
        core = b"".join(memory_of(files[0]))
        os.unlink(files[0])
        self.assertGreater(len(core), 1 << 16)
        self.assertIn(b"conn_service", core)
        self.assertEqual(core.count(KEY.encode()), 0)

    def crash(self, *options):
        folder = self.set_up_cores()
        one = self.start_in(folder, "--name", "one", "--listen",
                            "127.0.0.1:0", *options)
        one.address = one.expect(r": listening on (\S+)")[1]
        two = self.start_in(folder, "--name", "two", *options)
        two.expect(": standby: ")
        sock = self.client(one.address)
        self.key(sock, KEY)
        # and input that is not consumed
        sock.sendall(b"same " + KEY.encode())
        self.covered("one")
        arena = self.arena(one)
        wait_until(lambda: arena.count(KEY.encode()) > 1, "the key is there")
        for peer in (one, two):
            self.assert_left_out(peer)
        self.assert_core(folder, two)
        two = self.start_in(folder, "--name", "two", *options)
        two.expect(": standby: ")
        self.covered("one")
        self.assert_core(folder, one)
        two.expect(": owner: .* died; took over")
        self.say(sock, "", "yes")  # the line ends
        self.assert_core(folder, two)

    def test_crash_loop(self):
        self.crash(*MODELS["loop"])

    def test_crash_thread(self):
        self.crash(*MODELS["thread"])

    def test_crash_workers(self):
        self.crash(*MODELS["workers"])


class Locked(SecretsTest):
    def locked_kb(self, program):
        with open(f"/proc/{program.pid}/status", encoding="utf-8") as file:
            return next(int(line.split()[1]) for line in file
                        if line.startswith("VmLck:"))

    def need_lock(self):
        run = subprocess.run([SERVICE, "--dir", self.dir + "/none", "--name",
                              "try", "--lock-memory"], check=False,
                             capture_output=True, text=True)
        if "lock_memory" in run.stderr:
            self.skipTest(run.stderr.strip())

    def test_both_peers_lock(self):
        self.need_lock()
        one = self.first("--lock-memory")
        two = self.next("two", "--lock-memory")
        sock = self.client(one.address)
        self.covered("one")
        for peer in (one, two):
            self.assertGreater(self.locked_kb(peer), 0)
        self.ok("maintenance")
        self.say(sock, "moved")
        # each for itself: the other one need not
        self.assertEqual(one.stop(), 0)
        three = self.next("three")
        self.assertEqual(self.locked_kb(three), 0)
        self.assertGreater(self.locked_kb(two), 0)

    def test_limit_is_named(self):
        user = 65534 if os.geteuid() == 0 else None
        if user:
            os.chown(os.path.dirname(self.dir), user, user)
        run = self.start("/usr/bin/prlimit", "--memlock=65536:65536", SERVICE,
                         "--dir", self.dir, "--name", "one", "--listen",
                         "127.0.0.1:0", "--lock-memory", user=user)
        run.expect_error("lock_memory: cannot lock [0-9]+ bytes more of "
                         "shared memory: .*: raise RLIMIT_MEMLOCK .*, which "
                         "is 65536 bytes, or give the process CAP_IPC_LOCK")
        self.assertEqual(run.wait(), 1)
        self.programs.remove(run)  # which may not end like that


if __name__ == "__main__":
    main()
