# SPDX-License-Identifier: MIT
"""Hot upgrades from a program to its successor, whose states are of another
size: every connection continues with its count; whichever process dies in
between, none continues with a wrong one."""
import json
import os
import signal
import sys

from fault import LONG, TOOLS, FaultTest, main

SERVICE = os.path.join(TOOLS, "versions")
CONNECTIONS = 40
# Of tests/tools/versions.c: sizes of the states, and where their counts are.
SIZES = {1: 4, 2: 3008, 3: 40}
COUNTS = {1: (0, 4), 2: (3000, 8), 3: (36, 4)}


class Versions(FaultTest):
    def run_version(self, version, *options, model="loop"):
        return self.launch(SERVICE, "--state", version, "--name",
                           f"v{version}", "--model", model, *options)

    def first(self, version, model="loop"):
        old = self.run_version(version, "--listen", "127.0.0.1:0", model=model)
        address = old.expect(r": listening on (\S+)")[1]
        old.expect(": owner: ")
        return old, address

    def next(self, version, model="loop"):
        new = self.run_version(version, model=model)
        new.expect(": standby: ")
        return new

    def count(self, sock, number, version):
        sock.sendall(b"line\n")
        wanted = b"%d %d\n" % (number, version)
        self.assertEqual(self.receive(sock, len(wanted)), wanted)

    def upgrade(self, new):
        self.assertIn(" 0 left behind", self.ok("maintenance"))
        new.expect(": owner: ")

    def assert_dump(self, number, version):
        """Every connection once, with a state of this version's size."""
        path = os.path.join(self.base, f"dump.{version}")
        self.ok("dump", path)
        with open(path, encoding="utf-8") as file:
            header, *entries = [json.loads(line) for line in file]
        self.assertEqual(header["entries"], len(entries))
        conns = [e for e in entries if e["kind"] == "connection"]
        self.assertEqual(len({c["id"] for c in conns}), len(conns))
        counts = []
        for conn in conns:
            state = bytes.fromhex(conn["state_hex"])
            self.assertEqual(len(state), SIZES[version])
            at, size = COUNTS[version]
            counts.append(int.from_bytes(state[at:at + size], sys.byteorder))
        counts.sort()
        self.assertEqual(counts[-CONNECTIONS:], [number] * CONNECTIONS)

    def there(self, model):
        """From 1 to 2, which grows, to 3, which shrinks; the old leaves."""
        old, address = self.first(1, model)
        socks = [self.connect(address) for _ in range(CONNECTIONS)]
        for sock in socks:
            self.count(sock, 1, 1)
        number = 1
        for version in (2, 3):
            new = self.next(version, model)
            for sock in socks[:10]:
                sock.sendall(b"half a ")  # is handled by the next
            self.upgrade(new)
            number += 1
            for sock in socks:
                self.count(sock, number, version)
            self.count(self.connect(address), 1, version)
            self.assert_dump(number, version)
            self.ok("stop", f"v{version - 1}")
            self.assertEqual(old.wait(), 0)
            old = new
        # And on among equals, which need no conversion any more.
        twin = self.run_version(3, "--name", "twin", model=model)
        twin.expect(": standby: ")
        self.upgrade(twin)
        for sock in socks:
            self.count(sock, number + 1, 3)

    def test_there_loop(self):
        self.there("loop")

    def test_there_thread(self):
        self.there("thread")

    def test_there_fork(self):
        self.there("fork")

    def test_death_of_the_old(self):
        """The new program is the standby, and survives."""
        old, address = self.first(1)
        new = self.next(2)
        socks = [self.connect(address) for _ in range(CONNECTIONS)]
        for sock in socks:
            self.count(sock, 1, 1)
        old.kill()
        new.expect(": owner: .* died; took over 41 .* 0 closed")
        for sock in socks:
            self.count(sock, 2, 2)

    def killed(self, at):
        """The new one dies when it has converted some: the old one goes on
        with the others. What was converted ends; it does not go back."""
        old, address = self.first(1)
        new = self.next(2)
        socks = [self.connect(address) for _ in range(CONNECTIONS)]
        for sock in socks:
            self.count(sock, 1, 1)
        self.wait_peer("v2", held=CONNECTIONS)
        new.trigger.arm("epoll_ctl", at, False)
        old.signal(signal.SIGUSR1)
        self.assert_gone(new)
        # It may have died before anything was its own.
        old.expect(": left: v2")
        self.wait_peer("v1", role="owner")
        gone = 0
        for sock in socks:
            try:
                sock.sendall(b"line\n")
                answer = self.receive(sock, 4)
            except (ConnectionResetError, BrokenPipeError):
                answer = b""
            self.assertIn(answer, (b"2 1\n", b""))
            gone += answer == b""
        # Each takes two calls, and so does the listener, the first of all;
        # one call more may be the link's.
        self.assertIn(gone, range(max(0, at // 2 - 2), at // 2))

    def test_killed_in_between(self):
        for at in (2, 3, 4, 5, 17, 18, 40, 41) if LONG else (2, 3, 17, 18):
            with self.subTest(at=at):
                self.dir = os.path.join(self.base, f"at.{at}")
                self.killed(at)

    def test_no_way_back(self):
        """An old program is no standby of a new one."""
        new, _ = self.first(2)
        old = self.run_version(1)
        self.assertEqual(old.wait(), 1)
        self.assertIn("state version 2 there, 1 here", old.errors[0])
        new.expect("refused: .*state version 1 there, 2 here")


if __name__ == "__main__":
    main()
