# SPDX-License-Identifier: MIT
"""Connections that post to each other across deaths: in the handler that posts
and in the one that takes, before and after the calls around them, of the owner
and within handoffs. Each has each line once, in the order of its sender."""
import os
import re
import selectors
import threading

from fault import LONG, SCALE, TOOLS, Chain, FaultTest, main, wait_until

SERVICE = os.path.join(TOOLS, "post_service")
CLIENTS, WINDOW = 5, 4
REPEAT = 6 if LONG else 2


class Chat:
    """The clients, in a thread of their own: each posts to all, again when all
    have got its line."""

    def __init__(self, test, address):
        self.socks = [test.connect(address) for _ in range(CLIENTS)]
        self.sent = [0] * CLIENTS
        self.got = [[0] * CLIENTS for _ in range(CLIENTS)]
        self.data = [b""] * CLIENTS
        self.failure = None
        self.stopping = False
        self.selector = selectors.DefaultSelector()
        for number, sock in enumerate(self.socks):
            sock.setblocking(True)
            # a connection gets what is posted after it has begun
            sock.sendall(b"id\n")
            test.assertRegex(sock.recv(100), b"^id \\d+\n$")
            self.selector.register(sock, selectors.EVENT_READ, number)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        try:
            while not self.stopping or self.missing():
                if not self.stopping:
                    for number in range(CLIENTS):
                        self.fill(number)
                for key, _ in self.selector.select(0.1):
                    self.receive(key.data)
        except (OSError, ValueError) as error:
            self.failure = f"{type(error).__name__}: {error}"

    def missing(self):
        return any(got != self.sent for got in self.got)

    def fill(self, number):
        # posters do not wait for receivers: so these clients do
        while self.sent[number] < WINDOW + min(
                got[number] for got in self.got):
            self.socks[number].sendall(
                b"all %d:%d\n" % (number, self.sent[number]))
            self.sent[number] += 1

    def receive(self, number):
        chunk = self.socks[number].recv(65536)
        if not chunk:
            raise ValueError("the end, too early")
        *lines, self.data[number] = (self.data[number] + chunk).split(b"\n")
        for line in lines:
            match = re.fullmatch(rb"(\d+):(\d+)", line)
            if not match:
                raise ValueError(f"{number} got {line}")
            sender, count = int(match[1]), int(match[2])
            if count != self.got[number][sender]:
                raise ValueError(f"{number} got {count} of {sender} where "
                                 f"{self.got[number][sender]} was due")
            self.got[number][sender] += 1

    def progress(self):
        return min(min(got) for got in self.got)

    def finish(self, test):
        self.stopping = True
        self.thread.join(20 * SCALE)
        test.assertIsNone(self.failure)
        test.assertFalse(self.thread.is_alive(),
                         f"lines are missing: {self.sent}, {self.got}")
        for sock in self.socks:
            sock.close()
        self.selector.close()


class Posts(FaultTest):
    def chain(self, model, *options):
        chain = Chain(self, model, SERVICE, SERVICE, options=options)
        chat = Chat(self, chain.address)
        chain.stable = CLIENTS
        cells = [(function, self.chance.randint(1, 300), after)
                 for function in ("point", "point", "point", "recv", "send")
                 for after in (False, True) for _ in range(REPEAT)]
        self.chance.shuffle(cells)
        for number, cell in enumerate(cells):
            before = chat.progress()
            wait_until(lambda before=before: chat.failure
                       or chat.progress() > before, "lines")
            self.assertIsNone(chat.failure)
            if number % 3 == 2:
                chain.swap_round(cell, self.chance.choice((1, 2)))
            else:
                chain.round(cell)
        chat.finish(self)
        chain.stable = 0
        chain.finish()

    def test_loop(self):
        self.chain("loop")

    def test_plain(self):
        self.chain("loop", "--plain")

    def test_workers(self):
        self.chain("workers")

    def test_thread(self):
        self.chain("thread")

    def test_fork(self):
        self.chain("fork")


if __name__ == "__main__":
    main()
