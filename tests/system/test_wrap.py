# SPDX-License-Identifier: MIT
"""A service that wraps another one, in every model, across handoffs and deaths
under load: the clients speak the frames of the toy in tests/wrap, and compare
every byte of what is in them. All tests of posts are run with it too."""
import os
import random
import socket
import struct
import threading

import test_posts
from harness import DEADLINE, TOOLS, SystemTest, main, wait_until

LONG = os.environ.get("HANDOFF_LONG") == "1"
CLIENTS, BATCHES, MOVES = (50, 400, 20) if LONG else (12, 60, 4)
MASK = bytes(byte ^ 0x5a for byte in range(256))


class Toy:
    """A socket whose bytes travel in frames, some of them short."""

    def __init__(self, sock, seed=0):
        self.sock, self.random = sock, random.Random(seed)
        self.raw, self.data, self.out = b"", b"", b""
        self.ended = False
        self.types = b""

    def frames(self, data):
        frames = b""
        while data:
            size = self.random.choice((1, 7, 100, 3000, 20000))
            part, data = data[:size], data[size:]
            frames += struct.pack("<3scI", b"toy", b"d", len(part))
            frames += part.translate(MASK)
        return frames

    def sendall(self, data):
        self.sock.sendall(self.frames(data))

    def send(self, data):
        """Takes all of it, and keeps what does not go at once."""
        self.out += self.frames(data)
        if self.out:
            self.out = self.out[self.sock.send(self.out):]
        return len(data)

    def decode(self):
        while len(self.raw) >= 8:
            name, kind, size = struct.unpack("<3scI", self.raw[:8])
            assert name == b"toy" and kind in (b"d", b"b"), self.raw[:8]
            if len(self.raw) < 8 + size:
                break
            self.types += kind
            self.data += self.raw[8:8 + size].translate(MASK)
            self.raw = self.raw[8 + size:]

    def recv(self, size):
        while not self.data:
            chunk = self.sock.recv(1 << 18)
            if not chunk:
                assert not self.raw, "the end is in the midst of a frame"
                return b""
            self.raw += chunk
            self.decode()
        data, self.data = self.data[:size], self.data[size:]
        return data

    def setblocking(self, on):
        self.sock.setblocking(on)

    def fileno(self):
        return self.sock.fileno()

    def close(self):
        self.sock.close()


class WrappedPosts(test_posts.Posts):
    """Every test of posts."""

    def program(self, name, *options, **how):
        return super().program(name, "--wrapped", *options, **how)

    def connect(self, address):
        return Toy(super().connect(address))


class Caller(threading.Thread):
    """A client that knows what must come, and compares it."""

    def __init__(self, sock, seed):
        super().__init__()
        self.sock, self.random = sock, random.Random(seed)
        self.number = self.count = 0
        self.batches = 0
        self.error = None
        self.may_end = threading.Event()

    def run(self):
        try:
            while self.batches < BATCHES or not self.may_end.is_set():
                self.batch()
                self.batches += 1
        except (OSError, AssertionError) as error:
            self.error = error

    def ask(self, word, *args):
        """A request, and the answer that must come."""
        self.number += 1
        line = b" ".join((word, b"%d" % self.number, *args)) + b"\n"
        if word == b"count":
            self.count += 1
            return line, b"%d %d\n" % (self.number, self.count)
        if word in (b"later", b"due"):
            return line, b"%d %s\n" % (self.number, word)
        more = b""
        if word == b"bytes":
            more = bytes((i * 7 + self.number) & 255
                         for i in range(int(args[0])))
        return line, b"%d %s\n" % (self.number, args[0]) + more

    def some(self):
        size = b"%d" % self.random.randrange(4000)
        text = bytes(self.random.choices(range(33, 127), k=self.random.choice(
            (1, 10, 300, 3000))))
        return self.random.choice((
            (b"echo", text), (b"echo", text), (b"count",), (b"later",),
            (b"bytes", size), (b"grow", size)))

    def batch(self):
        asked = [self.ask(*self.some())
                 for _ in range(self.random.randrange(1, 12))]
        if self.random.randrange(4) == 0:
            asked.append(self.ask(b"due"))
        self.sock.sendall(b"".join(line for line, _ in asked))
        for _, answer in asked:
            self.expect(answer)

    def expect(self, answer):
        got = b""
        while len(got) < len(answer):
            chunk = self.sock.recv(len(answer) - len(got))
            assert chunk, f"the end instead of {answer[:60]}"
            got += chunk
        assert got == answer, f"{got[:60]} instead of {answer[:60]}"


class Calls(SystemTest):
    def program(self, name, *options):
        return self.start(os.path.join(TOOLS, "calls_service"), "--dir",
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

    def caller(self, server, seed):
        return Caller(Toy(self.connect(server.address), seed), seed)

    def progress(self, callers, more):
        wanted = [caller.batches + more for caller in callers]
        wait_until(lambda: all(
            caller.batches >= want or caller.error
            for caller, want in zip(callers, wanted)), "progress")

    def covered(self, owner, standby):
        def there():
            peers = {peer["name"]: peer for peer in self.status()["peers"]}
            return (peers[owner]["role"] == "owner"
                    and peers[owner]["uncovered"] == 0
                    and peers[owner]["suspects"] == 0
                    and peers.get(standby, {}).get("role") == "standby")
        wait_until(there, f"{standby} to cover {owner}")

    def load(self, *options):
        peers = [self.owner(*options), self.other("two", *options)]
        names = ["one", "two"]
        callers = [self.caller(peers[0], seed) for seed in range(CLIENTS)]
        for caller in callers:
            caller.start()
        for move in range(2 * MOVES):
            self.progress(callers, 2)
            self.covered(*names)
            if move % 2 == 0:
                self.ok("maintenance")
                peers.reverse()
                names.reverse()
                continue
            peers[0].kill()
            peers[1].expect(": owner: .* died")
            names = [names[1], f"next{move}"]
            peers = [peers[1], self.other(names[1], *options)]
        for caller in callers:
            caller.may_end.set()
        for caller in callers:
            caller.join(DEADLINE * 4)
            self.assertIsNone(caller.error)
        # each was counted once, in the state and in the region
        last = callers[0]
        last.sock.sendall(b"total 1\n")
        last.expect(b"1 %d\n" % sum(caller.count for caller in callers))
        # and the last words are in a frame, behind which is the toy's own
        last.sock.types = b""
        peers[1].stop()
        peers[0].stop()
        last.expect(b"0 bye\n")
        self.assertEqual(last.sock.recv(1), b"")
        self.assertEqual(last.sock.types, b"db")

    def test_loop(self):
        self.load("--wrapped", "--model", "loop")

    def test_last(self):
        self.load("--last", "--model", "loop")

    def test_workers(self):
        self.load("--wrapped", "--workers", "3")

    def test_thread(self):
        self.load("--wrapped", "--model", "thread")

    def test_fork(self):
        self.load("--last", "--model", "fork")

    def test_half_closed(self):
        """The end of the client's stream, with requests before it."""
        server = self.owner("--wrapped", "--model", "loop")
        toy = Toy(self.connect(server.address))
        toy.sendall(b"echo 1 a\nlater 2\ncount 3\n")
        toy.sock.shutdown(socket.SHUT_WR)
        data = b""
        while chunk := toy.recv(100):
            data += chunk
        self.assertEqual(data, b"1 a\n2 later\n3 1\n")


if __name__ == "__main__":
    main()
