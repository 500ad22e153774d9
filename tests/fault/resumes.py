# SPDX-License-Identifier: MIT
"""Sessions whose connections are cut all the time, while their server dies at
calls of all kinds, and in the midst of handoffs: each is resumed, and every byte
comes back once and in order. The clients know handoff_session(7) alone."""
import importlib.util
import os
import random
import socket
import threading

from fault import LONG, SCALE, Chain, FaultTest, main, wait_until

CLIENTS = 6
REPEAT = 5 if LONG else 2
CALLS = ("recv", "send", "epoll_wait", "accept4", "shutdown", "close",
         "epoll_ctl", "eventfd_write")


def protocol():
    """Its name is that of another module of the tests."""
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir,
                        "session", "foreign.py")
    spec = importlib.util.spec_from_file_location("session_protocol", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


PROTOCOL = protocol()


class Client(threading.Thread):
    """Writes numbers and reads them back; cuts its connection at random."""

    def __init__(self, address, seed):
        super().__init__(daemon=True)
        host, port = address.rsplit(":", 1)
        self.to = (host, int(port))
        self.chance = random.Random(seed)
        self.echoed = 0
        self.failure = self.session = self.sock = None
        self.stopping = False

    def dial(self):
        if self.sock:
            self.sock.close()
        self.sock = socket.create_connection(self.to, 20 * SCALE)
        return self.sock

    def step(self, number):
        lines = b"".join(b"%d\n" % (number + i)
                         for i in range(self.chance.randint(1, 200)))
        self.session.write(lines)
        if self.chance.random() < 0.3:
            self.session.cut()
        got = self.session.read(len(lines))
        if got != lines:
            raise ValueError(f"{got[:60]} and so on instead of {lines[:60]}")
        return number + lines.count(b"\n")

    def run(self):
        try:
            self.session = PROTOCOL.Session(self.dial)
            while not self.stopping:
                self.echoed = self.step(self.echoed)
            self.session.end()
            self.session.finish()
        except Exception as error:  # pylint: disable=broad-exception-caught
            self.failure = f"{type(error).__name__}: {error}"


class Crowd:
    def __init__(self, test, address):
        self.test = test
        self.clients = [Client(address, test.seed()) for _ in range(CLIENTS)]
        for client in self.clients:
            client.start()

    def check(self):
        self.test.assertEqual([c.failure for c in self.clients],
                              [None] * CLIENTS)

    def flow(self):
        """Each client has got something that it has sent since."""
        before = [client.echoed + 250 for client in self.clients]
        wait_until(lambda: any(c.failure for c in self.clients) or all(
            c.echoed > b for c, b in zip(self.clients, before)),
                   "all sessions to go on", 60 * SCALE)
        self.check()

    def finish(self):
        for client in self.clients:
            client.stopping = True
        for client in self.clients:
            client.join(60 * SCALE)
            self.test.assertFalse(client.is_alive(), "a session hangs")
        self.check()
        return sum(c.session.resumes for c in self.clients)


class Resumes(FaultTest):
    def chain(self, model, *options):
        chain = Chain(self, model, options=("--sessions", *options))
        crowd = Crowd(self, chain.address)
        cells = [(function, self.chance.randint(1, 200), after)
                 for function in CALLS for after in (False, True)
                 for _ in range(REPEAT)]
        self.chance.shuffle(cells)
        for number, cell in enumerate(cells if LONG else cells[:12]):
            crowd.flow()
            if number % 3 == 2:
                chain.swap_round(cell, self.chance.choice((1, 2)))
            else:
                chain.round(cell)
        crowd.flow()
        resumes = crowd.finish()
        print(f"{self.id()}: {resumes} sessions were resumed", flush=True)
        self.assertGreater(resumes, 20)
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
