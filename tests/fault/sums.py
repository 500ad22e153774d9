# SPDX-License-Identifier: MIT
"""A service with state across deaths: each answer carries the number of lines
of its connection and a checksum over all of them, so that a line handled
twice or not at all, or a state that is not that of the stream, shows in every
answer from then on. The owner also dies in the midst of its handler.

The same with a shared region, whose sums must be those of all connections:
also in children, in workers, and while both peers serve in handoffs."""
import os
import selectors
import socket
import threading

from fault import LONG, SCALE, TOOLS, Chain, FaultTest, main, wait_until

SERVICE = os.path.join(TOOLS, "sum_service")
STATE_SIZE = 16
OFFSET, PRIME, MASK = 0xCBF29CE484222325, 0x100000001B3, (1 << 64) - 1
REPEAT = 6 if LONG else 2


class Talker:
    """One connection: sends lines, knows what must come back."""

    def __init__(self, test, address, pipeline):
        self.chance = test.chance
        self.sock = test.connect(address)
        self.sock.setblocking(False)
        self.pipeline = pipeline
        self.count, self.hash = 0, OFFSET
        self.unsent = b""
        self.got = b""
        self.due = []
        self.answered = 0

    def fill(self):
        """More lines, as long as not too many are unanswered."""
        while len(self.due) < self.pipeline and len(self.unsent) < 4096:
            line = self.chance.randbytes(self.chance.randrange(60))
            line = line.replace(b"\n", b"") + b"\n"
            for byte in line:
                self.hash = (self.hash ^ byte) * PRIME & MASK
            self.count += 1
            self.due.append(b"%d %016x" % (self.count, self.hash))
            self.unsent += line

    def send(self):
        try:
            self.unsent = self.unsent[self.sock.send(self.unsent):]
        except BlockingIOError:
            pass

    def receive(self):
        data = self.sock.recv(65536)
        if not data:
            raise ConnectionError("the end, too early")
        *lines, self.got = (self.got + data).split(b"\n")
        for line in lines:
            due = self.due.pop(0)
            if line != due:
                raise ValueError(f"{line} came where {due} was due")
            self.answered += 1


class Talkers:
    """Many of them, in a thread of their own."""

    def __init__(self, test, address, talker=Talker,
                 pipelines=(1, 1, 5, 30, 30, 400, 3000)):
        self.talkers = [talker(test, address, pipeline)
                        for pipeline in pipelines]
        self.selector = selectors.DefaultSelector()
        self.failure = None
        self.stopping = False
        for talker in self.talkers:
            self.selector.register(talker.sock, selectors.EVENT_READ
                                   | selectors.EVENT_WRITE, talker)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        try:
            while not self.stopping or any(t.due for t in self.talkers):
                for key, events in self.selector.select(0.1):
                    self.turn(key.data, events)
        except (OSError, ValueError, IndexError) as error:
            self.failure = f"{type(error).__name__}: {error}"

    def turn(self, talker, events):
        if events & selectors.EVENT_READ:
            talker.receive()
        if not self.stopping:
            talker.fill()
        if talker.unsent:
            talker.send()
        # Writable is of interest only while there is something to write.
        more = talker.unsent or (not self.stopping
                                 and len(talker.due) < talker.pipeline)
        self.selector.modify(
            talker.sock, selectors.EVENT_READ
            | (selectors.EVENT_WRITE if more else 0), talker)

    def progress(self):
        return min(talker.answered for talker in self.talkers)

    def drain(self, test):
        """All that was sent is answered."""
        self.stopping = True
        self.thread.join(20 * SCALE)
        test.assertFalse(self.thread.is_alive(), "not all was answered")
        test.assertIsNone(self.failure)

    def total(self):
        """What a region with the sums of all connections has."""
        hashes = 0
        for talker in self.talkers:
            hashes ^= talker.hash
        return f"{sum(t.count for t in self.talkers)} {hashes:016x}\n"

    def finish(self, test):
        self.drain(test)
        for talker in self.talkers:
            talker.sock.shutdown(socket.SHUT_WR)
            talker.sock.setblocking(True)
            talker.sock.settimeout(20)
            test.assertEqual(talker.sock.recv(1), b"")
        self.selector.close()


class Sums(FaultTest):
    def chain(self, model):
        """Deaths before and after calls and in the handler; between any two
        of them every connection is answered."""
        chain = Chain(self, model, SERVICE, SERVICE, state_size=STATE_SIZE)
        talkers = Talkers(self, chain.address)
        chain.stable = len(talkers.talkers)
        cells = [(function, self.chance.randint(1, 300), after)
                 for function in ("point", "point", "point", "recv", "send")
                 for after in (False, True) for _ in range(REPEAT)]
        self.chance.shuffle(cells)
        for cell in cells:
            before = talkers.progress()
            wait_until(lambda before=before: talkers.failure
                       or talkers.progress() > before, "answers")
            self.assertIsNone(talkers.failure)
            chain.round(cell)
        talkers.finish(self)
        chain.stable = 0
        chain.finish()

    def test_loop(self):
        self.chain("loop")

    def test_thread(self):
        self.chain("thread")


class Shared(FaultTest):
    """A region whose sums are those of all connections."""

    def lives(self, talkers):
        before = talkers.progress()
        wait_until(lambda: talkers.failure
                   or talkers.progress() > before, "answers")
        self.assertIsNone(talkers.failure)

    def total(self, address):
        with self.connect(address) as sock:
            sock.settimeout(20 * SCALE)
            sock.sendall(b"total\n")
            return sock.makefile().readline()

    def chain(self, model):
        """Deaths in the transaction and around it, of the owner and in
        handoffs; in model fork, of children too."""
        chain = Chain(self, model, SERVICE, SERVICE, state_size=STATE_SIZE,
                      options=("--shared",))
        talkers = Talkers(self, chain.address)
        chain.stable = len(talkers.talkers)
        cells = [(function, self.chance.randint(1, 300), after)
                 for function in ("point", "point", "point", "point", "send")
                 for after in (False, True) for _ in range(REPEAT)]
        self.chance.shuffle(cells)
        for number, cell in enumerate(cells):
            self.lives(talkers)
            if number % 3 == 2:
                chain.swap_round(cell, self.chance.choice((1, 2)))
            else:
                chain.round(cell)
        talkers.drain(self)
        self.assertEqual(self.total(chain.address), talkers.total())
        talkers.finish(self)
        chain.stable = 0
        chain.finish()

    def test_loop(self):
        self.chain("loop")

    def test_workers(self):
        self.chain("workers")

    def test_thread(self):
        self.chain("thread")

    def test_fork(self):
        self.chain("fork")


if __name__ == "__main__":
    main()
