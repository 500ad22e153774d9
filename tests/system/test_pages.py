# SPDX-License-Identifier: MIT
"""The pages of shared memory under abuse: rounds of clients that leave at
once, send a byte at a time, never read, half-close, reset, while dumps are
written and the service moves back and forth. Meanwhile there are no more pages
than the live entries account for; after each round, when all have gone, memory
is near where it was in the beginning; and it does not creep up.

HANDOFF_SOAK is how many seconds it takes for each model."""
import json
import os
import random
import socket
import struct
import threading
import time

from harness import SystemTest, main, wait_until
from memory import Arena

SOAK = float(os.environ.get("HANDOFF_SOAK", "12"))
ROUND = max(4.0, SOAK / 10)
ABUSERS = 6  # threads, each with up to
MOST = 12    # connections at once
SLOTS = 1024  # of a segment; its records are
# pages, once all have been in use, with a box of 32 bytes for each connection
RECORDS = SLOTS * (384 + 32) // 4096 + 8  # they come first
EACH = 48    # pages of a connection whose buffers are full: 128 + 64 KiB
DESK = 48    # of a desk, of which each peer has one


def reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                    struct.pack("ii", 1, 0))
    sock.close()


class Abuser(threading.Thread):
    """One of those who treat a service badly, for as long as it runs."""

    def __init__(self, address, seed, stop):
        super().__init__(daemon=True)
        host, port = address.rsplit(":", 1)
        self.address = host, int(port)
        self.random = random.Random(seed)
        self.stop = stop
        self.clients = 0
        self.failures = []

    def connect(self):
        self.clients += 1
        return socket.create_connection(self.address, timeout=20)

    def leave(self):
        for _ in range(20):
            self.connect().close()

    def trickle(self):
        with self.connect() as sock:
            for byte in b"one byte at a time\n":
                sock.sendall(bytes([byte]))
                if sock.recv(1) != bytes([byte]):
                    self.failures.append("another byte came back")

    def never_read(self):
        socks = [self.connect() for _ in range(MOST)]
        for sock in socks:
            sock.setblocking(False)
            try:
                while not self.stop.is_set():
                    sock.send(b"never read " * 1000)
            except BlockingIOError:
                pass
        self.stop.wait(self.random.random() / 4)
        for sock in socks:
            self.random.choice((reset, socket.socket.close))(sock)

    def half_close(self):
        text = b"half-closed\n" * self.random.randrange(1, 2000)
        with self.connect() as sock:
            sock.sendall(text[:30000])
            sock.shutdown(socket.SHUT_WR)
            got = 0
            while chunk := sock.recv(65536):
                got += len(chunk)
            if got != len(text[:30000]):
                self.failures.append(f"{got} bytes of {len(text[:30000])}")

    def cut_off(self):
        socks = [self.connect() for _ in range(MOST)]
        for sock in socks:
            sock.sendall(b"x" * self.random.randrange(1, 20000))
        for sock in socks:
            reset(sock)

    def run(self):
        kinds = (self.leave, self.trickle, self.never_read, self.half_close,
                 self.cut_off)
        while not self.stop.is_set():
            try:
                self.random.choice(kinds)()
            except OSError as error:
                self.failures.append(repr(error))


class Pages(SystemTest):
    peak = 0

    def live(self):
        """Connections that the service has, whoever serves them. A peer may
        have no time for two seconds on a busy machine: asked again, then."""
        seen = []

        def answered():
            code, out, _ = self.ctl("status", "--json")
            seen[:] = json.loads(out)["peers"] if code == 0 else []
            return seen
        wait_until(answered, "both peers to answer")
        return sum(peer["connections"] for peer in seen)

    def operate(self, *words):
        """As ok, with the same patience."""
        done = []

        def answered():
            done[:] = self.ctl(*words)
            return "no answer within 2 s" not in done[2]
        wait_until(answered, f"an answer to {words}")
        self.assertEqual((done[0], done[2]), (0, ""), words)

    def wait_empty(self):
        wait_until(lambda: self.live() == 0, "all clients to be gone")

    def assert_accounted(self, arena, begin):
        """No more pages than the entries can have that live at about this
        time; some come and go while they are counted."""
        before = self.live()
        pages = arena.pages()
        live = max(before, self.live()) + ABUSERS * MOST // 2
        self.assertLessEqual(
            pages, begin + live * EACH + RECORDS + 2 * DESK)
        self.peak = max(self.peak, pages)

    def abuse(self, arena, address, seed, begin):
        """One round. Returns how many clients there were."""
        stop = threading.Event()
        abusers = [Abuser(address, seed * ABUSERS + i, stop)
                   for i in range(ABUSERS)]
        for abuser in abusers:
            abuser.start()
        end = time.monotonic() + ROUND
        words = [("maintenance",), ("dump", os.path.join(self.base, "dump")),
                 ("ready", "--silent"), ("dump", "/dev/null")]
        try:
            while time.monotonic() < end:
                self.operate(*words[0])
                words.append(words.pop(0))
                self.assert_accounted(arena, begin)
                time.sleep(0.2)  # the pace of the operator, nothing waits
        finally:
            stop.set()
            for abuser in abusers:
                abuser.join(30)
        for abuser in abusers:
            self.assertFalse(abuser.is_alive(), "an abuser hangs")
            self.assertEqual(abuser.failures, [])
        return sum(abuser.clients for abuser in abusers)

    def soak(self, *options):
        server, _ = self.pair(*options)
        arena = Arena(server.pid)
        self.addCleanup(arena.close)
        sock = self.connect(server.address)
        self.assert_echo(sock)
        sock.close()
        self.wait_empty()
        begin = self.peak = arena.pages()
        rest, clients, seed = [], 0, 1  # rest: without records
        end = time.monotonic() + SOAK
        while time.monotonic() < end:
            clients += self.abuse(arena, server.address, seed, begin)
            self.wait_empty()
            now = arena.pages()
            rest.append(arena.pages_from(RECORDS))
            print(f"{self.id()}: {clients} clients, pages {begin} in the "
                  f"beginning, {self.peak} at most, {now} now, "
                  f"{now - rest[-1]} of them of records", flush=True)
            # Records that have been in use, and what lies on two desks.
            self.assertLessEqual(now, begin + RECORDS + 2 * DESK)
            seed += 1
        self.assertEqual(len(arena.segments), 1)
        # Records are used one after the other, more of them in a round with
        # more clients at once; a peer that had no large input yet may have
        # some now; all else is flat.
        self.assertLessEqual(rest[-1], max(rest[:2]) + DESK)

    def test_loop(self):
        self.soak()

    def test_fork(self):
        self.soak("--model", "fork")


if __name__ == "__main__":
    main()
